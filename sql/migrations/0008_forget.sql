-- SPDX-License-Identifier: Apache-2.0
-- Forgetting a customer: docs/semantics.md 3.7. What stays is what keeps a replay from bringing the person back: keyed hashes.

CREATE TABLE polku.forgetting (
    forgetting_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    decided_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    until         timestamptz NOT NULL,
    anonymise     boolean NOT NULL,
    names         integer NOT NULL,
    events        bigint NOT NULL,
    journeys      bigint NOT NULL,
    obligations   bigint NOT NULL,
    quarantined   bigint NOT NULL,
    receipt       uuid NOT NULL UNIQUE,
    decided_by    text NOT NULL,
    note          text
);
COMMENT ON TABLE polku.forgetting IS 'Receipts of polku-consumer forget: what was done, when, by whom; nothing that says about whom.';
COMMENT ON COLUMN polku.forgetting.forgetting_id IS 'Number.';
COMMENT ON COLUMN polku.forgetting.decided_at IS 'When.';
COMMENT ON COLUMN polku.forgetting.until IS 'Events up to this time are forgotten; those after it are of a new customer.';
COMMENT ON COLUMN polku.forgetting.anonymise IS 'True: the events stay and are counted, of no customer. False: they are gone.';
COMMENT ON COLUMN polku.forgetting.names IS 'Number of identifiers and cases.';
COMMENT ON COLUMN polku.forgetting.events IS 'Number of stored events that were deleted or anonymised.';
COMMENT ON COLUMN polku.forgetting.journeys IS 'Number of journeys that are gone.';
COMMENT ON COLUMN polku.forgetting.obligations IS 'Number of obligations that are gone.';
COMMENT ON COLUMN polku.forgetting.quarantined IS 'Number of records deleted from quarantine.';
COMMENT ON COLUMN polku.forgetting.receipt IS 'Random; what the person may be given.';
COMMENT ON COLUMN polku.forgetting.decided_by IS 'Who decided.';
COMMENT ON COLUMN polku.forgetting.note IS 'Why.';

CREATE TABLE polku.forgotten (
    until         timestamptz NOT NULL,
    forgetting_id bigint NOT NULL,
    name          uuid NOT NULL,
    event_hash    uuid,
    anonymise     boolean NOT NULL,
    UNIQUE NULLS NOT DISTINCT (name, event_hash, forgetting_id)
);
COMMENT ON TABLE polku.forgotten IS 'Names whose events are forgotten, and single events. Keyed hashes only; without them a replay would bring the person back.';
COMMENT ON COLUMN polku.forgotten.until IS 'forgetting.until; of a single event its occurred_at.';
COMMENT ON COLUMN polku.forgotten.forgetting_id IS 'forgetting.';
COMMENT ON COLUMN polku.forgotten.name IS 'Keyed hash of an identifier or a case; of a single event one of its names.';
COMMENT ON COLUMN polku.forgotten.event_hash IS 'A single event that carries the name; null: all that 3.7 says of a name in F.';
COMMENT ON COLUMN polku.forgotten.anonymise IS 'forgetting.anonymise.';
