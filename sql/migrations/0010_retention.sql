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
    ADD sealed_last_purchase_at timestamptz,
    ADD sealed_kind smallint;
COMMENT ON COLUMN polku.customer.sealed_events IS 'Number of its events that are sealed.';
COMMENT ON COLUMN polku.customer.sealed_purchases IS 'Those of the purchases that are sealed.';
COMMENT ON COLUMN polku.customer.sealed_first_purchase_at IS 'Time of the first of them.';
COMMENT ON COLUMN polku.customer.sealed_last_purchase_at IS 'Time of the last of them.';
COMMENT ON COLUMN polku.customer.sealed_kind IS 'What kind it was when they were sealed: kind, as long as it has no other events.';
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
    PERFORM FROM polku.stream_position p ORDER BY p.topic_id, p.partition FOR NO KEY UPDATE;
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

-- As before, but for keys of sealed obligations: what somebody else named stays told.
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
        RETURNING i.cell_id),
    first AS (
        UPDATE polku.identifier i SET owner_id = NULL FROM unnest(keys, key_names) AS k (key, name)
        WHERE i.hash = k.key AND i.kind = 3 AND i.owner_id <> '00000000-0000-0000-0000-000000000000'
          AND NOT EXISTS (SELECT FROM polku.interaction e WHERE e.customer_id = i.owner_id
                          AND (e.relates_to = k.name OR e.promise_id = k.name OR e.event_hash = k.name))
        RETURNING i.cell_id)
    UPDATE polku.guard_cell g SET version = new_version
    WHERE g.cell_id IN (SELECT f.cell_id FROM first f UNION SELECT m.cell_id FROM met m);
    DELETE FROM polku.identifier i USING unnest(keys, key_names) AS k (key, name)
    WHERE i.hash = k.key AND i.owner_id IS NULL AND i.flags & 256 = 0
      AND NOT EXISTS (SELECT FROM polku.sighting s WHERE s.key = i.hash)
      AND NOT EXISTS (SELECT FROM polku.interaction e
                      WHERE e.relates_to = k.name AND e.relates_to IS NOT NULL AND e.customer_id IS NULL);
END $$;
