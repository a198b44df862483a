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
-- A case that is forgotten is taken from them.
CREATE INDEX journey_sealed_case ON polku.journey (case_key) WHERE sealed AND case_key IS NOT NULL;
CREATE INDEX obligation_sealed_case ON polku.obligation (case_key) WHERE sealed AND case_key IS NOT NULL;
ALTER TABLE polku.customer
    ADD sealed_events bigint NOT NULL DEFAULT 0,
    ADD sealed_purchases integer NOT NULL DEFAULT 0,
    ADD sealed_first_purchase_at timestamptz,
    ADD sealed_last_purchase_at timestamptz,
    ADD sealed_kind smallint;
COMMENT ON COLUMN polku.customer.sealed_events IS 'Number of its events that are sealed.';
COMMENT ON COLUMN polku.customer.sealed_purchases IS 'Those of the purchases that are sealed.';
COMMENT ON COLUMN polku.customer.sealed_first_purchase_at IS 'Time of the first of them.';
COMMENT ON COLUMN polku.customer.sealed_last_purchase_at IS 'Time of the last of them.';
COMMENT ON COLUMN polku.customer.sealed_kind IS 'What kind it was when they were sealed: kind, as long as it has no other events.';
-- Events without a customer are sealed one by one, and few: they are found without reading the others.
CREATE INDEX interaction_alone ON polku.interaction (occurred_at, event_hash) WHERE customer_id IS NULL;
ALTER TABLE polku.identifier ADD sealed_at timestamptz;
COMMENT ON COLUMN polku.identifier.sealed_at IS 'Persons: time of the first sealed event that carries it; null = none.';
ALTER TABLE polku.identity_meeting ADD sealed boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN polku.identity_meeting.sealed IS 'Its first event is sealed.';

COMMENT ON COLUMN polku.identifier.flags IS 'Sum of: 1 shared, 2 its component is oversize, 4 some event without own person carries it (or did), 8 blocked, 16 unlinked, 32 kept apart from others (8, 16, 32: decisions in force), 64 its namespace is unique, 128 polku.forgotten has rows about it, 256 it names a sealed obligation.';

-- The advisory lock 482905713528 is held by polku-consumer retain for as long as it runs: one at a time.

-- The caller is alone among writers. Consumers are refused by the fence, claim again and read what was decided.
CREATE FUNCTION polku.retain(before timestamptz, decided_by text, note text)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    latest polku.retention;
    made   bigint;
BEGIN
    SELECT * INTO latest FROM polku.retention r ORDER BY r.before DESC LIMIT 1;
    IF latest.before >= retain.before THEN
        RETURN CASE WHEN latest.before = retain.before THEN latest.retention_id END;
    END IF;
    INSERT INTO polku.retention (before, decided_by, note) VALUES (retain.before, retain.decided_by, retain.note)
    RETURNING retention_id INTO made;
    -- Claims under way are waited for, those of partitions without a row too; later ones wait, and then read what is decided.
    LOCK TABLE polku.stream_position IN SHARE ROW EXCLUSIVE MODE;
    UPDATE polku.stream_position p SET epoch = p.epoch + 1;
    RETURN made;
END $$;
COMMENT ON FUNCTION polku.retain(timestamptz, text, text) IS
    'Decides a retention, and ends all claims; the number of the latest one if it is the same; null if that is of a later month.';

-- A month is empty for good once records of it are refused. Whoever waits for the lock holds up others: not for long.
CREATE FUNCTION polku.drop_months()
RETURNS text[] LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    month   record;
    empty   boolean;
    locked  boolean := false;
    dropped text[] := '{}';
BEGIN
    PERFORM pg_advisory_xact_lock(482905713527);
    FOR month IN
        SELECT c.relname, to_char(to_date(substr(c.relname, 13), 'YYYY_MM'), 'YYYY-MM') AS name
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'polku.interaction'::regclass AND c.relname ~ '^interaction_[0-9]{4}_[0-9]{2}$'
          AND (to_date(substr(c.relname, 13), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC'
              <= (SELECT max(r.before) FROM polku.retention r)
        ORDER BY 1
    LOOP
        EXECUTE format('SELECT NOT EXISTS (SELECT FROM polku.%I)', month.relname) INTO empty;
        CONTINUE WHEN NOT empty;
        IF NOT locked THEN
            LOCK TABLE ONLY polku.interaction IN ACCESS EXCLUSIVE MODE;
            locked := true;
        END IF;
        EXECUTE format('LOCK TABLE polku.%I IN ACCESS EXCLUSIVE MODE', month.relname);
        EXECUTE format('SELECT NOT EXISTS (SELECT FROM polku.%I)', month.relname) INTO empty;
        CONTINUE WHEN NOT empty;
        EXECUTE format('DROP TABLE polku.%I', month.relname);
        dropped := dropped || month.name;
    END LOOP;
    RETURN dropped;
END $$;
COMMENT ON FUNCTION polku.drop_months() IS 'Drops the partitions of interaction of months before the latest retention that are empty; returns which.';
REVOKE EXECUTE ON FUNCTION polku.retain(timestamptz, text, text), polku.drop_months() FROM PUBLIC;

-- As before, but for keys of sealed obligations: what somebody else named stays told; and what a rule opened is known by its own id
-- as long as it is there, whoever else it was for a while.
CREATE OR REPLACE FUNCTION polku.forget_keys(names uuid[], keys uuid[], key_names uuid[], new_version bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    gone uuid[] := ARRAY(SELECT n FROM unnest(names) n WHERE NOT EXISTS (SELECT FROM polku.customer c WHERE c.customer_id = n));
BEGIN
    WITH met AS (DELETE FROM polku.sighting s WHERE s.customer_id = ANY (gone) RETURNING s.key),
    first AS (UPDATE polku.identifier i SET owner_id = NULL WHERE i.owner_id = ANY (gone) RETURNING i.cell_id)
    UPDATE polku.guard_cell g SET version = new_version
    WHERE g.cell_id IN (SELECT f.cell_id FROM first f UNION
                        SELECT i.cell_id FROM met m JOIN polku.identifier i ON i.hash = m.key);
    -- Others whose events lost these names, or had them for a while.
    DELETE FROM polku.sighting s WHERE s.key = ANY (names) AND s.customer_id <> '00000000-0000-0000-0000-000000000000'
      AND NOT EXISTS (SELECT FROM polku.interaction e WHERE e.customer_id = s.customer_id AND e.customer_id IS NOT NULL
                      AND (s.key = ANY (e.identifiers) OR e.case_key = s.key));
    UPDATE polku.identifier i SET owner_id = NULL WHERE i.hash = ANY (names) AND i.owner_id IS NOT NULL
      AND NOT EXISTS (SELECT FROM polku.interaction e WHERE e.customer_id = i.owner_id AND e.customer_id IS NOT NULL
                      AND (i.hash = ANY (e.identifiers) OR e.case_key = i.hash));
    UPDATE polku.identifier i SET value = NULL WHERE i.hash = ANY (names) AND i.value IS NOT NULL AND i.first_at IS NULL;
    -- Likewise whoever had an event with such an obligation's name for a while, until it turned out whose it is.
    WITH met AS (
        DELETE FROM polku.sighting s USING unnest(keys, key_names) AS k (key, name), polku.identifier i
        WHERE s.key = k.key AND i.hash = k.key AND i.kind = 3 AND s.customer_id <> '00000000-0000-0000-0000-000000000000'
          AND NOT EXISTS (SELECT FROM polku.interaction e WHERE e.customer_id = s.customer_id
                          AND (e.relates_to = k.name OR e.promise_id = k.name OR e.event_hash = k.name))
          AND NOT EXISTS (SELECT FROM polku.obligation o WHERE o.obligation_id = k.name AND o.customer_id = s.customer_id)
        RETURNING i.cell_id),
    first AS (
        UPDATE polku.identifier i SET owner_id = NULL FROM unnest(keys, key_names) AS k (key, name)
        WHERE i.hash = k.key AND i.kind = 3 AND i.owner_id <> '00000000-0000-0000-0000-000000000000'
          AND NOT EXISTS (SELECT FROM polku.interaction e WHERE e.customer_id = i.owner_id
                          AND (e.relates_to = k.name OR e.promise_id = k.name OR e.event_hash = k.name))
          AND NOT EXISTS (SELECT FROM polku.obligation o WHERE o.obligation_id = k.name AND o.customer_id = i.owner_id)
        RETURNING i.cell_id)
    UPDATE polku.guard_cell g SET version = new_version
    WHERE g.cell_id IN (SELECT f.cell_id FROM first f UNION SELECT m.cell_id FROM met m);
    DELETE FROM polku.identifier i USING unnest(keys, key_names) AS k (key, name)
    WHERE i.hash = k.key AND i.owner_id IS NULL AND i.flags & 256 = 0
      AND NOT EXISTS (SELECT FROM polku.sighting s WHERE s.key = i.hash)
      AND NOT EXISTS (SELECT FROM polku.interaction e
                      WHERE e.relates_to = k.name AND e.relates_to IS NOT NULL AND e.customer_id IS NULL);
END $$;

-- ---- schema bi: as before, with `sealed` at the end ----

CREATE OR REPLACE VIEW bi.obligation AS
SELECT o.obligation_id,
       kind.text AS kind,
       CASE WHEN s.withdrawn_at IS NOT NULL THEN 'withdrawn'
            WHEN s.rejected_at IS NOT NULL THEN 'rejected'
            WHEN s.fulfilled_at > s.due_to THEN 'late'
            WHEN (s.fulfilled_at - o.due_from) * 10 > (s.due_to - o.due_from) * 9 THEN 'kept_late_in_window'
            WHEN s.fulfilled_at IS NOT NULL THEN 'kept'
            WHEN s.first_attempt_at IS NOT NULL AND o.label = 1 THEN 'attempted_not_reached'
            WHEN s.first_attempt_at IS NOT NULL AND o.label = 2 THEN 'replied_not_answered'
            WHEN s.due_to < a.as_of THEN 'overdue'
            ELSE 'open' END AS state,
       coalesce(s.fulfilled_at, s.rejected_at, s.withdrawn_at) IS NOT NULL AS closed,
       coalesce(s.due_to < a.as_of AND coalesce(s.fulfilled_at, s.rejected_at, s.withdrawn_at) IS NULL, false) AS overdue,
       coalesce(s.due_to < a.as_of AND s.rejected_at IS NULL AND s.withdrawn_at IS NULL
                AND NOT coalesce(s.fulfilled_at <= s.due_to, false), false) AS broken,
       coalesce(s.fulfilled_at < o.due_from, false) AS early,
       s.due_to IS NULL AS no_deadline,
       o.unit_id IS NULL AND o.role_id IS NULL AS no_owner,
       brand.text AS brand,
       unit.text AS unit,
       role.text AS role,
       o.opened_at,
       o.due_from,
       s.due_to,
       o.first_due_to,
       CASE WHEN o.changed_at <= a.as_of THEN o.changed_at END AS changed_at,
       o.attempts,
       s.first_attempt_at,
       CASE WHEN o.last_attempt_at <= a.as_of THEN o.last_attempt_at END AS last_attempt_at,
       s.fulfilled_at,
       s.rejected_at,
       s.withdrawn_at,
       (extract(epoch FROM s.fulfilled_at - o.due_from)
        / nullif(extract(epoch FROM s.due_to - o.due_from), 0))::double precision AS position,
       s.due_to - s.fulfilled_at AS slack,
       greatest(coalesce(s.fulfilled_at, s.rejected_at, s.withdrawn_at, a.as_of) - o.opened_at, interval '0') AS open_for,
       o.customer_id,
       o.journey_id,
       o.case_key,
       o.explicit,
       o.opened_by,
       CASE WHEN s.fulfilled_at IS NOT NULL THEN o.fulfilled_by END AS fulfilled_by,
       a.as_of,
       from_brand.text AS from_brand,
       from_unit.text AS from_unit,
       o.cycle,
       o.handoff AS is_handoff,
       o.amount_minor,
       currency.text AS currency,
       greatest(coalesce(s.fulfilled_at, s.rejected_at, s.withdrawn_at, a.as_of) - coalesce(o.due_from, o.opened_at), interval '0') AS waiting,
       s.due_to - o.due_from AS window_width,
       (coalesce(o.due_from, o.opened_at) AT TIME ZONE 'UTC' + (s.due_to - coalesce(o.due_from, o.opened_at)) / 2) AT TIME ZONE 'UTC' AS half_used_at,
       bi.business_time(brand.text, unit.text, o.opened_at, coalesce(s.fulfilled_at, s.rejected_at, s.withdrawn_at, a.as_of)) AS business_open_for,
       CASE WHEN s.due_to < coalesce(s.fulfilled_at, a.as_of) AND s.rejected_at IS NULL AND s.withdrawn_at IS NULL
            THEN coalesce(s.fulfilled_at, a.as_of) - s.due_to END AS late_by,
       CASE WHEN s.due_to < coalesce(s.fulfilled_at, a.as_of) AND s.rejected_at IS NULL AND s.withdrawn_at IS NULL
            THEN bi.business_time(brand.text, unit.text, s.due_to, coalesce(s.fulfilled_at, a.as_of)) END AS business_late_by,
       least(CASE WHEN s.due_to IS NULL OR (o.unit_id IS NULL AND o.role_id IS NULL) THEN o.opened_at END,
             CASE WHEN o.label <> 0 AND s.first_attempt_at IS NOT NULL AND coalesce(s.fulfilled_at, s.rejected_at, s.withdrawn_at) IS NULL
                  THEN greatest(s.first_attempt_at, o.opened_at) END,
             CASE WHEN s.due_to < a.as_of AND s.rejected_at IS NULL AND s.withdrawn_at IS NULL
                       AND NOT coalesce(s.fulfilled_at <= s.due_to, false)
                  THEN greatest(s.due_to, least(o.changed_at, o.first_due_to), o.opened_at) END,
             CASE WHEN s.fulfilled_at <= s.due_to
                       AND (s.fulfilled_at - o.due_from) * 10 > (s.due_to - o.due_from) * 9
                  THEN greatest((o.due_from AT TIME ZONE 'UTC' + (s.due_to - o.due_from) * 0.9::double precision) AT TIME ZONE 'UTC', o.opened_at) END,
             CASE WHEN s.rejected_at IS NOT NULL THEN greatest(s.rejected_at, o.opened_at) END) AS visible_at,
       o.sealed
FROM polku.obligation o
CROSS JOIN (SELECT polku.as_of() AS as_of OFFSET 0) a
CROSS JOIN LATERAL (
    SELECT CASE WHEN o.changed_at > a.as_of THEN o.first_due_to ELSE o.due_to END AS due_to,
           CASE WHEN o.first_attempt_at <= a.as_of THEN o.first_attempt_at END AS first_attempt_at,
           CASE WHEN o.fulfilled_at <= a.as_of THEN o.fulfilled_at END AS fulfilled_at,
           CASE WHEN o.rejected_at <= a.as_of THEN o.rejected_at END AS rejected_at,
           CASE WHEN o.withdrawn_at <= a.as_of THEN o.withdrawn_at END AS withdrawn_at
) s
LEFT JOIN polku.dictionary kind ON kind.id = o.kind_id
LEFT JOIN polku.dictionary brand ON brand.id = o.brand_id
LEFT JOIN polku.dictionary unit ON unit.id = o.unit_id
LEFT JOIN polku.dictionary role ON role.id = o.role_id
LEFT JOIN polku.dictionary from_brand ON from_brand.id = o.from_brand_id
LEFT JOIN polku.dictionary from_unit ON from_unit.id = o.from_unit_id
LEFT JOIN polku.dictionary currency ON currency.id = o.currency_id
WHERE o.opened_at <= a.as_of;
COMMENT ON COLUMN bi.obligation.sealed IS 'Its events are gone (bi.retention): it stays as it is.';

CREATE OR REPLACE VIEW bi.journey AS
SELECT j.journey_id,
       j.customer_id,
       j.first_at,
       j.last_at,
       j.last_at - j.first_at AS duration,
       entry_channel.text AS entry_channel,
       last_channel.text AS last_channel,
       last_type.text AS last_type,
       last_outcome.text AS last_outcome,
       j.resolved,
       j.events,
       j.contacts,
       j.switches,
       j.handoffs_offered,
       j.handoffs_accepted,
       j.unanswered,
       j.refusals,
       j.first_inbound_at,
       j.first_human_reply_at,
       j.first_human_reply_at - j.first_inbound_at AS first_human_reply_after,
       ARRAY(SELECT (SELECT d.text FROM polku.dictionary d WHERE d.id = n.id)
             FROM unnest(j.channels) WITH ORDINALITY AS n (id, place) ORDER BY n.place) AS channels,
       ARRAY(SELECT (SELECT d.text FROM polku.dictionary d WHERE d.id = n.id)
             FROM unnest(j.brands) WITH ORDINALITY AS n (id, place) ORDER BY n.place) AS brands,
       ARRAY(SELECT (SELECT d.text FROM polku.dictionary d WHERE d.id = n.id)
             FROM unnest(j.units) WITH ORDINALITY AS n (id, place) ORDER BY n.place) AS units,
       cardinality(j.channels) AS channel_count,
       cardinality(j.brands) AS brand_count,
       cardinality(j.units) AS unit_count,
       (SELECT count(*) FROM bi.obligation o WHERE o.customer_id = j.customer_id AND o.journey_id = j.journey_id) AS obligations_opened,
       (SELECT count(*) FROM bi.obligation o
        WHERE o.customer_id = j.customer_id AND o.journey_id = j.journey_id AND NOT o.closed) AS obligations_open,
       (SELECT count(*) FROM bi.obligation o
        WHERE o.customer_id = j.customer_id AND o.journey_id = j.journey_id AND o.broken) AS obligations_broken,
       (SELECT jsonb_object_agg(k.kind, k.counts) FROM (
            SELECT o.kind, jsonb_build_object(
                'opened', count(*),
                'open', count(*) FILTER (WHERE NOT o.closed),
                'kept', count(*) FILTER (WHERE o.state = 'kept'),
                'kept_late_in_window', count(*) FILTER (WHERE o.state = 'kept_late_in_window'),
                'late', count(*) FILTER (WHERE o.state = 'late'),
                'attempted', count(*) FILTER (WHERE NOT o.closed AND o.first_attempt_at IS NOT NULL),
                'rejected', count(*) FILTER (WHERE o.state = 'rejected'),
                'withdrawn', count(*) FILTER (WHERE o.state = 'withdrawn'),
                'overdue', count(*) FILTER (WHERE o.overdue),
                'broken', count(*) FILTER (WHERE o.broken)) AS counts
            FROM bi.obligation o
            WHERE o.customer_id = j.customer_id AND o.journey_id = j.journey_id
            GROUP BY o.kind) k) AS obligations,
       j.case_key,
       j.continues,
       j.crowd,
       entry_brand.text AS entry_brand,
       entry_unit.text AS entry_unit,
       terminal_outcome.text AS terminal_outcome,
       stage.text AS stage,
       j.fallbacks,
       j.repeats,
       (SELECT justify_hours(r.repeat_window_us * interval '1 microsecond') FROM polku.rules_state r) AS repeat_window,
       j.handoffs_rejected,
       j.handoffs_returned,
       j.deflections,
       j.transfers,
       j.misroutes,
       j.proactive,
       j.thanks,
       j.reopened,
       j.people,
       j.effort,
       (SELECT r.effort_id FROM polku.rules_state r) AS effort_definition,
       owner_brand.text AS owner_brand,
       owner_unit.text AS owner_unit,
       j.owners,
       j.owners = 1 AND j.ownerless_us = 0 AND j.ownerless_since IS NULL AS one_owner,
       j.ownerless_since,
       justify_hours(j.ownerless_us * interval '1 microsecond')
           + greatest(coalesce((SELECT polku.as_of()) - j.ownerless_since, interval '0'), interval '0') AS ownerless_for,
       justify_hours(j.orphan_us * interval '1 microsecond')
           + CASE WHEN j.ownerless_since < (SELECT polku.as_of())
                  THEN coalesce((SELECT sum(o.owned_for) FROM bi.journey_owner o
                                 WHERE o.journey_id = j.journey_id AND o.customer_id = j.customer_id AND o.orphan AND o.from_at >= j.ownerless_since),
                                interval '0')
                  ELSE interval '0' END AS orphan_for,
       j.queue_since,
       justify_hours(j.queue_us * interval '1 microsecond') + greatest(coalesce((SELECT polku.as_of()) - j.queue_since, interval '0'), interval '0') AS queue_for,
       j.touch_since,
       justify_hours(j.touch_us * interval '1 microsecond') + greatest(coalesce((SELECT polku.as_of()) - j.touch_since, interval '0'), interval '0') AS touch_for,
       j.queue_us::double precision / nullif(j.queue_us + j.touch_us, 0) AS queue_share,
       j.decided_at,
       CASE WHEN j.decided_at IS NOT NULL THEN j.people_until_decision END AS people_until_decision,
       CASE WHEN j.decided_at IS NOT NULL THEN j.people_until_decision <= 1 END AS decided_at_first_level,
       bi.business_time(entry_brand.text, entry_unit.text, j.first_inbound_at, j.first_human_reply_at) AS first_human_reply_after_business,
       j.first_terminal_at,
       j.last_terminal_at,
       CASE WHEN j.resolved THEN j.last_terminal_at - j.first_at END AS resolution_after,
       CASE WHEN j.resolved THEN bi.business_time(entry_brand.text, entry_unit.text, j.first_at, j.last_terminal_at) END AS resolution_after_business,
       (SELECT sum(o.waiting) FROM bi.obligation o WHERE o.customer_id = j.customer_id AND o.journey_id = j.journey_id) AS waiting,
       (SELECT jsonb_object_agg(m.kind, m.sums) FROM (
            SELECT n.kind, jsonb_object_agg(n.currency, n.amount) AS sums
            FROM (SELECT coalesce((SELECT d.text FROM polku.dictionary d WHERE d.id = i.money_kind_id), 'other') AS kind, coalesce((SELECT d.text FROM polku.dictionary d WHERE d.id = i.money_currency_id), '?') AS currency,
                         sum(i.money_amount_minor) AS amount
                  FROM polku.interaction i WHERE i.customer_id = j.customer_id AND i.journey_id = j.journey_id AND i.occurred_at >= j.first_at AND i.occurred_at <= j.last_at AND i.traits & 1 <> 1 AND i.money_amount_minor IS NOT NULL GROUP BY 1, 2) n
            GROUP BY n.kind) m) AS money,
       (SELECT jsonb_agg(jsonb_build_object('scale', (SELECT d.text FROM polku.dictionary d WHERE d.id = i.rating_scale_id), 'score', i.rating_score, 'min', i.rating_min,
                         'max', i.rating_max, 'at', i.occurred_at, 'channel', (SELECT d.text FROM polku.dictionary d WHERE d.id = i.channel_id), 'brand', (SELECT d.text FROM polku.dictionary d WHERE d.id = i.brand_id))
                         ORDER BY i.occurred_at, i.sequence)
        FROM polku.interaction i WHERE i.customer_id = j.customer_id AND i.journey_id = j.journey_id AND i.occurred_at >= j.first_at AND i.occurred_at <= j.last_at AND i.traits & 1 <> 1 AND i.rating_score IS NOT NULL) AS ratings,
       (SELECT jsonb_object_agg(n.reason, n.refusals) FROM (
            SELECT coalesce(CASE WHEN i.sensitivity = 0 THEN (SELECT d.text FROM polku.dictionary d WHERE d.id = i.reason_id) END, 'not told') AS reason, count(*) AS refusals
            FROM polku.interaction i WHERE i.customer_id = j.customer_id AND i.journey_id = j.journey_id AND i.occurred_at >= j.first_at AND i.occurred_at <= j.last_at AND i.traits & 1 <> 1 AND i.traits & 2064 > 0 GROUP BY 1) n) AS refusals_by_reason,
       (SELECT jsonb_object_agg(n.state, n.obligations) FROM (
            SELECT o.state, count(*) AS obligations FROM bi.obligation o
            WHERE o.customer_id = j.customer_id AND o.journey_id = j.journey_id GROUP BY o.state) n) AS obligations_by_state,
       (SELECT polku.as_of()) AS as_of,
       j.sealed
FROM polku.journey j
LEFT JOIN polku.dictionary entry_channel ON entry_channel.id = j.entry_channel_id
LEFT JOIN polku.dictionary last_channel ON last_channel.id = j.last_channel_id
LEFT JOIN polku.dictionary last_type ON last_type.id = j.last_type_id
LEFT JOIN polku.dictionary last_outcome ON last_outcome.id = j.last_outcome_id
LEFT JOIN polku.dictionary entry_brand ON entry_brand.id = j.entry_brand_id
LEFT JOIN polku.dictionary entry_unit ON entry_unit.id = j.entry_unit_id
LEFT JOIN polku.dictionary terminal_outcome ON terminal_outcome.id = j.terminal_outcome_id
LEFT JOIN polku.dictionary stage ON stage.id = j.stage_id
LEFT JOIN polku.dictionary owner_brand ON owner_brand.id = j.owner_brand_id
LEFT JOIN polku.dictionary owner_unit ON owner_unit.id = j.owner_unit_id;
COMMENT ON COLUMN bi.journey.sealed IS 'Its events are gone (bi.retention): it stays as it is; money, ratings, refusals_by_reason and the running part of orphan_for, which are read from events, are not known any more.';

CREATE VIEW bi.retention AS
SELECT r.retention_id, r.before, r.decided_at, r.finished_at, r.events, r.journeys, r.obligations, r.kept
FROM polku.retention r;
COMMENT ON VIEW bi.retention IS 'Months whose events are gone (polku-consumer retain), while journeys, obligations and figures of them stay.';
COMMENT ON COLUMN bi.retention.retention_id IS 'Number.';
COMMENT ON COLUMN bi.retention.before IS 'Events before it are sealed: gone but for what they told.';
COMMENT ON COLUMN bi.retention.decided_at IS 'Since then nothing that comes late counts before it.';
COMMENT ON COLUMN bi.retention.finished_at IS 'Null: it was stopped, or is at work.';
COMMENT ON COLUMN bi.retention.events IS 'Number of events sealed.';
COMMENT ON COLUMN bi.retention.journeys IS 'Number of journeys sealed.';
COMMENT ON COLUMN bi.retention.obligations IS 'Number of obligations sealed.';
COMMENT ON COLUMN bi.retention.kept IS 'Number of events before it that stayed, because newer rows rest on them; null = not finished.';
