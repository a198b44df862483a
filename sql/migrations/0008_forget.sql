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
    UNIQUE NULLS NOT DISTINCT (name, event_hash, forgetting_id, until)
);
COMMENT ON TABLE polku.forgotten IS 'Names whose events are forgotten, and single events. Keyed hashes only; without them a replay would bring the person back.';
COMMENT ON COLUMN polku.forgotten.until IS 'forgetting.until; of a single event its occurred_at.';
COMMENT ON COLUMN polku.forgotten.forgetting_id IS 'forgetting.';
COMMENT ON COLUMN polku.forgotten.name IS 'Keyed hash of an identifier or a case; of a single event one of its names.';
COMMENT ON COLUMN polku.forgotten.event_hash IS 'A single event that carries the name; null: all that 3.7 says of a name in F.';
COMMENT ON COLUMN polku.forgotten.anonymise IS 'forgetting.anonymise.';

COMMENT ON COLUMN polku.identifier.flags IS 'Sum of: 1 shared, 2 its component is oversize, 4 some event without own person carries it (or did), 8 blocked, 16 unlinked, 32 kept apart from others (8, 16, 32: decisions in force), 64 its namespace is unique, 128 polku.forgotten has rows about it.';

-- Keys were met with customers who are gone: nothing may say so. The caller is alone among writers; whoever has such a key in
-- memory finds another version of its cell. Keys of obligations that nobody else has are gone too.
CREATE FUNCTION polku.forget_keys(names uuid[], keys uuid[], key_names uuid[], new_version bigint)
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
    WHERE i.hash = k.key AND i.owner_id IS NULL
      AND NOT EXISTS (SELECT FROM polku.sighting s WHERE s.key = i.hash)
      AND NOT EXISTS (SELECT FROM polku.interaction e
                      WHERE e.relates_to = k.name AND e.relates_to IS NOT NULL AND e.customer_id IS NULL);
END $$;
COMMENT ON FUNCTION polku.forget_keys(uuid[], uuid[], uuid[], bigint) IS
    'Takes customers that are gone out of identifier and sighting, clear values of forgotten names, and keys of obligations that no event has.';
