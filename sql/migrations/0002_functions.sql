-- SPDX-License-Identifier: Apache-2.0
-- Functions of the commit protocol (docs/protocol.md). Each raises its own SQLSTATE, so that the
-- rest of a pipeline is skipped:
--   PK001  the position is not where the caller left it (fence)
--   PK002  a guard cell has another version, is gone, or exists already
--   PK003  an identifier exists already
--   PK004  an interaction exists already, or is not the one that was seen
-- Lock order, for everybody: K, positions, cells, new identifiers, new interactions, then rows that the
-- cells protect. K is the advisory lock 482905713525; migrations take 482905713526, months 482905713527.

CREATE FUNCTION polku.fence(topics integer[], partitions integer[], epochs bigint[], offsets bigint[],
                            next_offsets bigint[], alone boolean)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    span record;
BEGIN
    IF alone THEN
        PERFORM pg_catalog.pg_advisory_xact_lock(482905713525);
    ELSE
        PERFORM pg_catalog.pg_advisory_xact_lock_shared(482905713525);
    END IF;
    FOR span IN
        SELECT * FROM unnest(topics, partitions, epochs, offsets, next_offsets)
            AS s (topic_id, partition, epoch, old_offset, new_offset)
        ORDER BY 1, 2
    LOOP
        UPDATE polku.stream_position p
        SET next_offset = span.new_offset, moved_at = pg_catalog.clock_timestamp()
        WHERE p.topic_id = span.topic_id AND p.partition = span.partition
          AND p.epoch = span.epoch AND p.next_offset = span.old_offset;
        IF NOT FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'PK001', MESSAGE = pg_catalog.format(
                'partition %s of %s is not at offset %s, epoch %s any more', span.partition,
                (SELECT d.text FROM polku.dictionary d WHERE d.id = span.topic_id), span.old_offset, span.epoch);
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION polku.fence(integer[], integer[], bigint[], bigint[], bigint[], boolean) IS
    'Takes K (exclusive if alone), then moves positions, sorted; PK001 unless epoch and old offset match for every one.';

CREATE FUNCTION polku.claim(topics integer[], partitions integer[], offsets bigint[])
RETURNS TABLE (topic_id integer, partition integer, next_offset bigint, epoch bigint, slot integer)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    span record;
BEGIN
    FOR span IN
        SELECT * FROM unnest(topics, partitions, offsets) AS s (topic_id, partition, first_offset) ORDER BY 1, 2
    LOOP
        UPDATE polku.stream_position p SET epoch = p.epoch + 1, claimed_at = pg_catalog.clock_timestamp()
        WHERE p.topic_id = span.topic_id AND p.partition = span.partition;
        IF NOT FOUND THEN
            INSERT INTO polku.stream_position AS p (topic_id, partition, next_offset, epoch, slot, claimed_at)
            VALUES (span.topic_id, span.partition, span.first_offset, 1,
                    pg_catalog.nextval('polku.stream_slot'), pg_catalog.clock_timestamp())
            ON CONFLICT (topic_id, partition) DO UPDATE
            SET epoch = p.epoch + 1, claimed_at = excluded.claimed_at;
        END IF;
    END LOOP;
    RETURN QUERY
        SELECT p.topic_id, p.partition, p.next_offset, p.epoch, p.slot
        FROM unnest(topics, partitions) AS s (topic_id, partition)
        JOIN polku.stream_position p ON p.topic_id = s.topic_id AND p.partition = s.partition;
END $$;
COMMENT ON FUNCTION polku.claim(integer[], integer[], bigint[]) IS
    'Claims partitions: epoch + 1, sorted; new ones start at the given offset.';

CREATE FUNCTION polku.lock_cells(cells bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM g.cell_id FROM polku.guard_cell g WHERE g.cell_id = ANY (cells) ORDER BY g.cell_id FOR NO KEY UPDATE;
END $$;
COMMENT ON FUNCTION polku.lock_cells(bigint[]) IS 'Locks guard cells in ascending order; those that are gone are ignored.';

CREATE FUNCTION polku.guard(cells bigint[], versions bigint[], token bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    matched bigint;
BEGIN
    PERFORM polku.lock_cells(cells);
    -- BETWEEN is always true: it lets the planner expect one row of u, so that it looks each cell up by its key
    -- and never reads the table from end to end, whatever it believed of its size when it planned.
    UPDATE polku.guard_cell g SET version = token
    FROM unnest(cells, versions) AS u (cell_id, version)
    WHERE g.cell_id = u.cell_id AND g.version = u.version
      AND u.cell_id BETWEEN -9223372036854775808 AND 9223372036854775807;
    GET DIAGNOSTICS matched = ROW_COUNT;
    IF matched <> (SELECT count(DISTINCT c) FROM unnest(cells) AS c) THEN
        RAISE EXCEPTION USING ERRCODE = 'PK002', MESSAGE = pg_catalog.format(
            '%s of %s guard cells changed since they were read', pg_catalog.cardinality(cells) - matched,
            pg_catalog.cardinality(cells));
    END IF;
END $$;
COMMENT ON FUNCTION polku.guard(bigint[], bigint[], bigint) IS
    'Locks the cells in order, then gives each whose version matches the new one; PK002 unless all match.';

-- What must be new is inserted plainly: ON CONFLICT would search every index twice (measured: 2 us a row).
CREATE FUNCTION polku.add_cells(cells bigint[], token bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO polku.guard_cell (cell_id, version) SELECT unnest(cells), token;
EXCEPTION WHEN unique_violation THEN
    RAISE EXCEPTION USING ERRCODE = 'PK002', MESSAGE = 'a new guard cell exists already';
END $$;
COMMENT ON FUNCTION polku.add_cells(bigint[], bigint) IS 'Inserts guard cells; PK002 unless all are new.';

CREATE FUNCTION polku.add_identifiers(hashes uuid[], kinds smallint[], namespaces integer[], cells bigint[], owners uuid[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO polku.identifier (hash, kind, namespace_id, cell_id, owner_id)
    SELECT unnest(hashes), unnest(kinds), unnest(namespaces), unnest(cells), unnest(owners);
EXCEPTION WHEN unique_violation THEN
    RAISE EXCEPTION USING ERRCODE = 'PK003', MESSAGE = pg_catalog.format(
        'one of %s new identifiers exists already', pg_catalog.cardinality(hashes));
END $$;
COMMENT ON FUNCTION polku.add_identifiers(uuid[], smallint[], integer[], bigint[], uuid[]) IS
    'Inserts identifiers in the given order (by hash); PK003 unless all are new.';

CREATE FUNCTION polku.remove_interactions(times timestamptz[], hashes uuid[], contents bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    removed bigint;
BEGIN
    DELETE FROM polku.interaction i
    USING unnest(times, hashes, contents) AS u (occurred_at, event_hash, content_hash)
    WHERE i.occurred_at = u.occurred_at AND i.event_hash = u.event_hash AND i.content_hash = u.content_hash
      AND u.occurred_at BETWEEN '-infinity' AND 'infinity'; -- as in polku.guard
    GET DIAGNOSTICS removed = ROW_COUNT;
    IF removed <> pg_catalog.cardinality(hashes) THEN
        RAISE EXCEPTION USING ERRCODE = 'PK004', MESSAGE = pg_catalog.format(
            '%s of %s interactions to replace changed since they were read', pg_catalog.cardinality(hashes) - removed,
            pg_catalog.cardinality(hashes));
    END IF;
END $$;
COMMENT ON FUNCTION polku.remove_interactions(timestamptz[], uuid[], bigint[]) IS
    'Deletes the copies that lost; PK004 unless all are as they were seen.';

-- One statement, not one per row: that would lock every month again for every row.
CREATE FUNCTION polku.move_interactions(times timestamptz[], hashes uuid[], journeys uuid[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE polku.interaction i SET journey_id = u.journey_id
    FROM unnest(times, hashes, journeys) AS u (occurred_at, event_hash, journey_id)
    WHERE i.occurred_at = u.occurred_at AND i.event_hash = u.event_hash
      AND u.occurred_at BETWEEN '-infinity' AND 'infinity'; -- as in polku.guard
END $$;
COMMENT ON FUNCTION polku.move_interactions(timestamptz[], uuid[], uuid[]) IS
    'Gives stored interactions another journey (null = none).';

CREATE FUNCTION polku.intern(texts text[])
RETURNS SETOF polku.dictionary LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO polku.dictionary (text)
    SELECT t FROM unnest(texts) AS t
    WHERE NOT EXISTS (SELECT FROM polku.dictionary d WHERE d.text = t)
    ORDER BY t COLLATE "C"
    ON CONFLICT DO NOTHING;
    RETURN QUERY SELECT d.* FROM polku.dictionary d WHERE d.text = ANY (texts);
END $$;
COMMENT ON FUNCTION polku.intern(text[]) IS 'Gives every text an id, sorted; returns all of them with their ids.';

-- A month is made as a table of its own and then attached: unlike CREATE .. PARTITION OF this waits for no reader
-- and no writer.
CREATE FUNCTION polku.ensure_months(months date[])
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    first_day date;
    name text;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(482905713527);
    FOR first_day IN SELECT DISTINCT date_trunc('month', m::timestamp)::date FROM unnest(months) AS m ORDER BY 1 LOOP
        IF first_day < DATE '1990-01-01' OR first_day >= DATE '2200-01-01' THEN
            RAISE EXCEPTION USING ERRCODE = '22008', MESSAGE = format('no event may occur in %s', to_char(first_day, 'YYYY-MM'));
        END IF;
        name := 'interaction_' || to_char(first_day, 'YYYY_MM');
        CONTINUE WHEN to_regclass('polku.' || name) IS NOT NULL;
        EXECUTE format('CREATE TABLE polku.%I (LIKE polku.interaction INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS)', name);
        EXECUTE format('ALTER TABLE polku.interaction ATTACH PARTITION polku.%I FOR VALUES FROM (%L) TO (%L)', name,
                       to_char(first_day, 'YYYY-MM-DD') || ' 00:00:00+00',
                       to_char(first_day + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00');
        EXECUTE format('COMMENT ON TABLE polku.%I IS %L', name, 'polku.interaction of ' || to_char(first_day, 'YYYY-MM') || ' (UTC).');
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
COMMENT ON FUNCTION polku.ensure_months(date[]) IS 'Makes the partitions of interaction for the given months that are missing; returns how many.';
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA polku FROM PUBLIC;
