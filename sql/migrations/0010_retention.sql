-- SPDX-License-Identifier: Apache-2.0
-- Retention: events go, what was told by them stays. docs/semantics.md 3.8.

CREATE TABLE polku.retention (
    retention_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    decided_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    before       timestamptz NOT NULL UNIQUE,
    finished_at  timestamptz,
    events       bigint NOT NULL DEFAULT 0,
    journeys     bigint NOT NULL DEFAULT 0,
    obligations  bigint NOT NULL DEFAULT 0,
    kept         bigint,
    decided_by   text NOT NULL,
    note         text
);
COMMENT ON TABLE polku.retention IS 'What polku-consumer retain did: events before these months are sealed, records before the latest are refused.';
COMMENT ON COLUMN polku.retention.retention_id IS 'Number.';
COMMENT ON COLUMN polku.retention.decided_at IS 'When it was decided: records before `before` that were not stored then are no events.';
COMMENT ON COLUMN polku.retention.before IS 'Start of a UTC month.';
COMMENT ON COLUMN polku.retention.finished_at IS 'When the last customer was looked at; null = it was stopped, and the same command goes on.';
COMMENT ON COLUMN polku.retention.events IS 'Number of events sealed.';
COMMENT ON COLUMN polku.retention.journeys IS 'Number of journeys sealed.';
COMMENT ON COLUMN polku.retention.obligations IS 'Number of obligations sealed.';
COMMENT ON COLUMN polku.retention.kept IS 'Number of events before the month that stayed, because newer rows rest on them; null = not finished.';
COMMENT ON COLUMN polku.retention.decided_by IS 'Who decided.';
COMMENT ON COLUMN polku.retention.note IS 'Why.';

ALTER TABLE polku.journey ADD sealed boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN polku.journey.sealed IS 'Its events are sealed: nothing changes it any more.';
ALTER TABLE polku.obligation ADD sealed boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN polku.obligation.sealed IS 'Its events are sealed: nothing changes it any more.';
ALTER TABLE polku.customer
    ADD sealed_events bigint NOT NULL DEFAULT 0,
    ADD sealed_purchases integer NOT NULL DEFAULT 0,
    ADD sealed_first_purchase_at timestamptz,
    ADD sealed_last_purchase_at timestamptz;
COMMENT ON COLUMN polku.customer.sealed_events IS 'Number of its events that are sealed.';
COMMENT ON COLUMN polku.customer.sealed_purchases IS 'Those of the purchases that are sealed.';
COMMENT ON COLUMN polku.customer.sealed_first_purchase_at IS 'Time of the first of them.';
COMMENT ON COLUMN polku.customer.sealed_last_purchase_at IS 'Time of the last of them.';
ALTER TABLE polku.identifier ADD sealed_at timestamptz;
COMMENT ON COLUMN polku.identifier.sealed_at IS 'Persons: time of the first sealed event that carries it; null = none.';
ALTER TABLE polku.identity_meeting ADD sealed boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN polku.identity_meeting.sealed IS 'Its first event is sealed.';
