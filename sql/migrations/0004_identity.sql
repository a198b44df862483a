-- SPDX-License-Identifier: Apache-2.0
-- Identity: which identifiers are one customer (docs/semantics.md 2 and 3).
--
-- What decides it is stored, not the result alone: every distinct set of persons of one event (a meeting) with its first
-- event. Links, refusals, conflicts and redirects are views over meetings and over what identifier says of each
-- person. A database made before this migration keeps its rows; they were derived by an older version of the
-- derivation, so a consumer asks for a rebuild.

-- ---- what a key knows of itself ----

ALTER TABLE polku.identifier
    ADD COLUMN flags integer NOT NULL DEFAULT 0,
    ADD COLUMN first_at timestamptz,
    ADD COLUMN customer_id uuid,
    ADD COLUMN value text;
ALTER TABLE polku.identifier SET (fillfactor = 90);
-- The members of a customer beside its own id: costs nothing for a customer of one identifier.
CREATE INDEX identifier_customer ON polku.identifier (customer_id) WHERE customer_id IS NOT NULL AND customer_id <> hash;

COMMENT ON COLUMN polku.identifier.hash IS 'Hash of namespace and value; kind 3: ledger id or event_hash with the last byte inverted; kind 4: hash of the case with the first byte inverted.';
COMMENT ON COLUMN polku.identifier.kind IS '0 person, 1 device, 2 case, 3 obligation, 4 a case that ties customers together (rules: across).';
COMMENT ON COLUMN polku.identifier.owner_id IS 'The first customer that it was met with; null = only events without a customer. A log: depends on the order of arrival.';
COMMENT ON COLUMN polku.identifier.flags IS 'Sum of: 1 shared, 2 its component is oversize, 4 some event without own person carries it (or did), 8 blocked, 16 unlinked, 32 kept apart from others (8, 16, 32: decisions in force), 64 its namespace is unique.';
COMMENT ON COLUMN polku.identifier.first_at IS 'Persons: time of the first event that carries it; null if none does.';
COMMENT ON COLUMN polku.identifier.customer_id IS 'Persons that are neither shared nor blocked: the customer, which is the hash of one of its persons.';
COMMENT ON COLUMN polku.identifier.value IS 'The normalised value where its namespace says store: clear; else null.';
COMMENT ON COLUMN polku.sighting.customer_id IS 'A customer that has, or had, events which carry the key. All zeros = events without a customer.';
COMMENT ON COLUMN polku.customer.kind IS 'What the customer is known by: 0 person, 1 device, 2 case, 5 a shared person (its anonymous events).';

-- ---- meetings ----

CREATE TABLE polku.identity_meeting (
    first_at          timestamptz NOT NULL,
    first_sequence    bigint NOT NULL,
    first_source_id   integer NOT NULL,
    identifier        uuid NOT NULL,
    meeting_id        uuid NOT NULL,
    members           uuid[] NOT NULL,
    member_namespaces integer[] NOT NULL,
    first_event_id    text COLLATE "C" NOT NULL,
    PRIMARY KEY (identifier, meeting_id)
) WITH (fillfactor = 90);
COMMENT ON TABLE polku.identity_meeting IS 'Every distinct set of two or more persons that stood in one event, with its first event; one row for each of its persons.';
COMMENT ON COLUMN polku.identity_meeting.first_at IS 'First event (in event order) with exactly these persons: occurred_at.';
COMMENT ON COLUMN polku.identity_meeting.first_sequence IS 'First event: sequence.';
COMMENT ON COLUMN polku.identity_meeting.first_source_id IS 'First event: source (dictionary).';
COMMENT ON COLUMN polku.identity_meeting.first_event_id IS 'First event: event_id.';
COMMENT ON COLUMN polku.identity_meeting.identifier IS 'The person whose row this is: identifier.hash.';
COMMENT ON COLUMN polku.identity_meeting.meeting_id IS 'Hash of the members.';
COMMENT ON COLUMN polku.identity_meeting.members IS 'All its persons, the strongest first: by priority, then by position in the event.';
COMMENT ON COLUMN polku.identity_meeting.member_namespaces IS 'Namespaces (dictionary) of members, in the same order.';

-- ---- decisions ----

CREATE TABLE polku.decision (
    decision_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    decided_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    restored_at    timestamptz,
    a_namespace_id integer,
    b_namespace_id integer,
    kind           smallint NOT NULL CHECK (kind BETWEEN 0 AND 2),
    a_kind         smallint NOT NULL,
    b_kind         smallint,
    a              uuid NOT NULL,
    b              uuid,
    decided_by     text NOT NULL,
    note           text,
    restored_by    text,
    restored_note  text,
    CHECK ((kind = 2) = (b IS NOT NULL)),
    CHECK (a < b)
);
CREATE UNIQUE INDEX decision_in_force ON polku.decision (kind, a, b) NULLS NOT DISTINCT WHERE restored_at IS NULL;
CREATE INDEX decision_apart ON polku.decision (b) WHERE restored_at IS NULL AND kind = 2;
COMMENT ON TABLE polku.decision IS 'What people decided about identity (docs/semantics.md 3.6); repeated by a rebuild. A row that is restored is history only. identifier.flags mirrors what is in force.';
COMMENT ON COLUMN polku.decision.decision_id IS 'Number of the decision.';
COMMENT ON COLUMN polku.decision.decided_at IS 'When it was made.';
COMMENT ON COLUMN polku.decision.restored_at IS 'When it was taken back; null = in force.';
COMMENT ON COLUMN polku.decision.a_namespace_id IS 'Namespace of a (dictionary); null for a case.';
COMMENT ON COLUMN polku.decision.b_namespace_id IS 'Namespace of b (dictionary); null without b.';
COMMENT ON COLUMN polku.decision.kind IS '0 block a, 1 unlink a, 2 keep a and b apart.';
COMMENT ON COLUMN polku.decision.a_kind IS 'What a is: 0 person, 1 device, 2 case.';
COMMENT ON COLUMN polku.decision.b_kind IS 'What b is; null without b.';
COMMENT ON COLUMN polku.decision.a IS 'identifier.hash.';
COMMENT ON COLUMN polku.decision.b IS 'The other identifier, greater than a; null unless kind is 2.';
COMMENT ON COLUMN polku.decision.decided_by IS 'Who decided.';
COMMENT ON COLUMN polku.decision.note IS 'Why.';
COMMENT ON COLUMN polku.decision.restored_by IS 'Who took it back.';
COMMENT ON COLUMN polku.decision.restored_note IS 'Why it was taken back.';

-- ---- events, rules ----

ALTER TABLE polku.interaction ADD COLUMN sighted_id uuid;
-- A blocked identifier may leave events without a customer; a restore finds them again.
CREATE INDEX interaction_nobody ON polku.interaction (occurred_at)
    WHERE customer_id IS NULL AND (identifiers IS NOT NULL OR case_key IS NOT NULL);
COMMENT ON TABLE polku.interaction IS 'One row per event, partitioned by month (UTC) of occurred_at; months are made by polku.ensure_months before they are needed. A row is written once; later only journey_id, customer_id, customer_kind and sighted_id may change.';
COMMENT ON COLUMN polku.interaction.customer_kind IS 'What the customer is known by: 0 person, 1 device, 2 case, 5 shared person; null without a customer.';
COMMENT ON COLUMN polku.interaction.sighted_id IS 'An event that borrowed its customer from a sighting on one of its devices, shared persons or its case: own person of that sighting. Null if it has a person of its own, or is anonymous.';
DO $$
DECLARE
    month regclass;
BEGIN
    FOR month IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'polku.interaction'::regclass LOOP
        EXECUTE format('COMMENT ON COLUMN %s.sighted_id IS %L', month, col_description('polku.interaction'::regclass, (
            SELECT attnum FROM pg_attribute WHERE attrelid = 'polku.interaction'::regclass AND attname = 'sighted_id')::integer));
    END LOOP;
END $$;

ALTER TABLE polku.rules_state ADD COLUMN hashing_hash uuid;
COMMENT ON COLUMN polku.rules_state.hashing_hash IS 'Hash of what decides how identifiers are hashed (normalisers, blocked values, country); null in a database made before it was kept.';

-- ---- functions of the commit protocol (see 0002) ----
-- New in the lock order: identifiers that exist, meetings and decisions are rows that cells protect.

DROP FUNCTION polku.add_identifiers(uuid[], smallint[], integer[], bigint[], uuid[]);
CREATE FUNCTION polku.add_identifiers(hashes uuid[], kinds smallint[], namespaces integer[], cells bigint[], owners uuid[],
                                      flag_sums integer[], first_times timestamptz[], customers uuid[], clear_values text[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO polku.identifier (hash, kind, namespace_id, cell_id, owner_id, flags, first_at, customer_id, value)
    SELECT unnest(hashes), unnest(kinds), unnest(namespaces), unnest(cells), unnest(owners), unnest(flag_sums),
           unnest(first_times), unnest(customers), unnest(clear_values);
EXCEPTION WHEN unique_violation THEN
    RAISE EXCEPTION USING ERRCODE = 'PK003', MESSAGE = pg_catalog.format(
        'one of %s new identifiers exists already', pg_catalog.cardinality(hashes));
END $$;
COMMENT ON FUNCTION polku.add_identifiers(uuid[], smallint[], integer[], bigint[], uuid[], integer[], timestamptz[], uuid[], text[]) IS
    'Inserts identifiers in the given order (by hash); PK003 unless all are new.';

-- The guard came first, so a missing row is no race but a defect.
CREATE FUNCTION polku.set_identifiers(hashes uuid[], flag_sums integer[], first_times timestamptz[], customers uuid[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    changed bigint;
BEGIN
    UPDATE polku.identifier i SET flags = u.flags, first_at = u.first_at, customer_id = u.customer_id
    FROM unnest(hashes, flag_sums, first_times, customers) AS u (hash, flags, first_at, customer_id)
    WHERE i.hash = u.hash
      AND u.hash BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff'; -- as in polku.guard
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed <> pg_catalog.cardinality(hashes) THEN
        RAISE EXCEPTION '% of % identifiers to change are missing', pg_catalog.cardinality(hashes) - changed,
            pg_catalog.cardinality(hashes);
    END IF;
END $$;
COMMENT ON FUNCTION polku.set_identifiers(uuid[], integer[], timestamptz[], uuid[]) IS
    'Sets flags, first time and customer of identifiers that exist.';

DROP FUNCTION polku.move_interactions(timestamptz[], uuid[], uuid[]);
CREATE FUNCTION polku.move_interactions(times timestamptz[], hashes uuid[], journeys uuid[], customers uuid[], kinds smallint[],
                                        sighted uuid[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE polku.interaction i
    SET journey_id = u.journey_id, customer_id = u.customer_id, customer_kind = u.customer_kind, sighted_id = u.sighted_id
    FROM unnest(times, hashes, journeys, customers, kinds, sighted)
        AS u (occurred_at, event_hash, journey_id, customer_id, customer_kind, sighted_id)
    WHERE i.occurred_at = u.occurred_at AND i.event_hash = u.event_hash
      AND u.occurred_at BETWEEN '-infinity' AND 'infinity'; -- as in polku.guard
END $$;
COMMENT ON FUNCTION polku.move_interactions(timestamptz[], uuid[], uuid[], uuid[], smallint[], uuid[]) IS
    'Gives stored interactions another journey, customer and sighting (null = none).';

CREATE FUNCTION polku.set_meetings(identifiers uuid[], meetings uuid[], times timestamptz[], sequences bigint[],
                                   sources integer[], event_ids text[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    changed bigint;
BEGIN
    UPDATE polku.identity_meeting m
    SET first_at = u.first_at, first_sequence = u.first_sequence, first_source_id = u.first_source_id,
        first_event_id = u.first_event_id
    FROM unnest(identifiers, meetings, times, sequences, sources, event_ids)
        AS u (identifier, meeting_id, first_at, first_sequence, first_source_id, first_event_id)
    WHERE m.identifier = u.identifier AND m.meeting_id = u.meeting_id
      AND u.identifier BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff'; -- as in polku.guard
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed <> pg_catalog.cardinality(identifiers) THEN
        RAISE EXCEPTION '% of % meetings to change are missing', pg_catalog.cardinality(identifiers) - changed,
            pg_catalog.cardinality(identifiers);
    END IF;
END $$;
COMMENT ON FUNCTION polku.set_meetings(uuid[], uuid[], timestamptz[], bigint[], integer[], text[]) IS
    'Gives rows of identity_meeting another first event.';

CREATE FUNCTION polku.remove_meetings(identifiers uuid[], meetings uuid[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    removed bigint;
BEGIN
    DELETE FROM polku.identity_meeting m
    USING unnest(identifiers, meetings) AS u (identifier, meeting_id)
    WHERE m.identifier = u.identifier AND m.meeting_id = u.meeting_id
      AND u.identifier BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff'; -- as in polku.guard
    GET DIAGNOSTICS removed = ROW_COUNT;
    IF removed <> pg_catalog.cardinality(identifiers) THEN
        RAISE EXCEPTION '% of % meetings to remove are missing', pg_catalog.cardinality(identifiers) - removed,
            pg_catalog.cardinality(identifiers);
    END IF;
END $$;
COMMENT ON FUNCTION polku.remove_meetings(uuid[], uuid[]) IS 'Deletes rows of identity_meeting.';

CREATE FUNCTION polku.restore_decisions(kinds smallint[], ones uuid[], others uuid[], people text[], notes text[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    restored bigint;
BEGIN
    UPDATE polku.decision d
    SET restored_at = pg_catalog.clock_timestamp(), restored_by = u.restored_by, restored_note = u.note
    FROM unnest(kinds, ones, others, people, notes) AS u (kind, a, b, restored_by, note)
    WHERE d.kind = u.kind AND d.a = u.a AND d.b IS NOT DISTINCT FROM u.b AND d.restored_at IS NULL;
    GET DIAGNOSTICS restored = ROW_COUNT;
    IF restored <> pg_catalog.cardinality(kinds) THEN
        RAISE EXCEPTION USING ERRCODE = 'PK002', MESSAGE = pg_catalog.format(
            '%s of %s decisions to take back are not in force', pg_catalog.cardinality(kinds) - restored,
            pg_catalog.cardinality(kinds));
    END IF;
END $$;
COMMENT ON FUNCTION polku.restore_decisions(smallint[], uuid[], uuid[], text[], text[]) IS
    'Takes back decisions; PK002 unless all are in force.';

REVOKE EXECUTE ON FUNCTION
    polku.add_identifiers(uuid[], smallint[], integer[], bigint[], uuid[], integer[], timestamptz[], uuid[], text[]),
    polku.set_identifiers(uuid[], integer[], timestamptz[], uuid[]),
    polku.move_interactions(timestamptz[], uuid[], uuid[], uuid[], smallint[], uuid[]),
    polku.set_meetings(uuid[], uuid[], timestamptz[], bigint[], integer[], text[]),
    polku.remove_meetings(uuid[], uuid[]),
    polku.restore_decisions(smallint[], uuid[], uuid[], text[], text[])
FROM PUBLIC;

-- ---- views: what a meeting gives ----
-- Flags are looked up row by row in subqueries of their own: by the primary key, whatever the planner thinks of the
-- sizes. 25 = shared, blocked or unlinked; 72 = unique or blocked.

CREATE VIEW polku.identity_meeting_led AS
SELECT m.*,
       (SELECT p.hash FROM unnest(m.members) WITH ORDINALITY AS p (hash, place)
        WHERE (SELECT i.flags & 25 FROM polku.identifier i WHERE i.hash = p.hash) = 0
        ORDER BY p.place LIMIT 1) AS strongest,
       EXISTS (SELECT FROM unnest(m.members, m.member_namespaces) AS p (hash, namespace_id)
               WHERE (SELECT i.flags & 72 FROM polku.identifier i WHERE i.hash = p.hash) = 64
               GROUP BY p.namespace_id HAVING count(*) > 1) AS contradictory
FROM polku.identity_meeting m;
COMMENT ON VIEW polku.identity_meeting_led IS 'Meetings with what follows from the flags of their members. For the views of schema bi.';
COMMENT ON COLUMN polku.identity_meeting_led.first_at IS 'As in identity_meeting.';
COMMENT ON COLUMN polku.identity_meeting_led.first_sequence IS 'As in identity_meeting.';
COMMENT ON COLUMN polku.identity_meeting_led.first_source_id IS 'As in identity_meeting.';
COMMENT ON COLUMN polku.identity_meeting_led.first_event_id IS 'As in identity_meeting.';
COMMENT ON COLUMN polku.identity_meeting_led.identifier IS 'As in identity_meeting.';
COMMENT ON COLUMN polku.identity_meeting_led.meeting_id IS 'As in identity_meeting.';
COMMENT ON COLUMN polku.identity_meeting_led.members IS 'As in identity_meeting.';
COMMENT ON COLUMN polku.identity_meeting_led.member_namespaces IS 'As in identity_meeting.';
COMMENT ON COLUMN polku.identity_meeting_led.strongest IS 'The first member that may be linked: neither shared nor blocked nor unlinked. It is linked with all others of these.';
COMMENT ON COLUMN polku.identity_meeting_led.contradictory IS 'Two of its members that are not blocked are of one unique namespace: it links nobody.';

-- Each link is told once, from its end a. Ends of equal priority (one namespace, or one name behind the issuer) are told from the
-- smaller hash.
CREATE VIEW bi.identity_link AS
SELECT l.a, a_name.text AS a_namespace, l.a_value, l.b, b_name.text AS b_namespace, l.b_value,
       l.first_at, l.source, l.event_id,
       CASE WHEN l.customer_a = l.customer_b THEN NULL
            WHEN l.oversize THEN 'oversize'
            WHEN EXISTS (SELECT FROM polku.decision d
                         WHERE d.kind = 2 AND d.restored_at IS NULL
                           AND ARRAY[(SELECT i.customer_id FROM polku.identifier i WHERE i.hash = d.a),
                                     (SELECT i.customer_id FROM polku.identifier i WHERE i.hash = d.b)]
                               IN (ARRAY[l.customer_a, l.customer_b], ARRAY[l.customer_b, l.customer_a])) THEN 'apart'
            ELSE 'unique' END AS refused,
       l.customer_a, l.customer_b
FROM (SELECT DISTINCT ON (p.hash, p.customer_id, o.hash, o.customer_id)
             p.hash AS a, p.customer_id AS customer_a, p.namespace_id AS a_namespace_id, p.value AS a_value,
             o.hash AS b, o.customer_id AS customer_b, o.namespace_id AS b_namespace_id, o.value AS b_value,
             p.flags & 2 <> 0 AS oversize, m.first_at, m.source, m.first_event_id AS event_id
      FROM (SELECT hash, customer_id, namespace_id, flags, value FROM polku.identifier
            WHERE kind = 0 AND customer_id = hash AND flags & 25 = 0
            UNION ALL
            SELECT hash, customer_id, namespace_id, flags, value FROM polku.identifier
            WHERE kind = 0 AND customer_id IS NOT NULL AND customer_id <> hash AND flags & 25 = 0) p
      CROSS JOIN LATERAL (SELECT l.*, (SELECT d.text FROM polku.dictionary d WHERE d.id = l.first_source_id) AS source
                          FROM polku.identity_meeting_led l WHERE l.identifier = p.hash OFFSET 0) m
      CROSS JOIN LATERAL (
          SELECT i.hash, i.customer_id, i.namespace_id, i.value
          FROM unnest(m.members) AS x (hash)
          CROSS JOIN LATERAL (SELECT * FROM polku.identifier k WHERE k.hash = x.hash OFFSET 0) i
          CROSS JOIN LATERAL (SELECT i.namespace_id = p.namespace_id OR coalesce(
                                  (SELECT substr(d.text, strpos(d.text, '/')) FROM polku.dictionary d
                                   WHERE d.id = i.namespace_id AND strpos(d.text, '/') > 0)
                                  = (SELECT substr(d.text, strpos(d.text, '/')) FROM polku.dictionary d
                                     WHERE d.id = p.namespace_id AND strpos(d.text, '/') > 0), false) AS equal) priority
          WHERE x.hash <> p.hash AND i.flags & 25 = 0
            AND CASE m.strongest WHEN p.hash THEN p.hash < i.hash OR NOT priority.equal
                                 WHEN i.hash THEN p.hash < i.hash AND priority.equal
                                 ELSE false END
          OFFSET 0) o
      WHERE NOT m.contradictory
      ORDER BY p.hash, p.customer_id, o.hash, o.customer_id, m.first_at, m.first_sequence, m.source, m.first_event_id) l
LEFT JOIN polku.dictionary a_name ON a_name.id = l.a_namespace_id
LEFT JOIN polku.dictionary b_name ON b_name.id = l.b_namespace_id;
COMMENT ON VIEW bi.identity_link IS 'Which identifiers were seen together, the refused links included: one row per pair. Name a or customer_a where you can; else the whole table is read.';
COMMENT ON COLUMN bi.identity_link.a IS 'The stronger of the two identifiers (hash): by priority of the namespace, then by hash.';
COMMENT ON COLUMN bi.identity_link.a_namespace IS 'Its namespace, as email.';
COMMENT ON COLUMN bi.identity_link.a_value IS 'Its value; null unless the rules say store: clear.';
COMMENT ON COLUMN bi.identity_link.b IS 'The other identifier (hash).';
COMMENT ON COLUMN bi.identity_link.b_namespace IS 'Its namespace.';
COMMENT ON COLUMN bi.identity_link.b_value IS 'Its value; null unless the rules say store: clear.';
COMMENT ON COLUMN bi.identity_link.first_at IS 'When the first event that links them occurred.';
COMMENT ON COLUMN bi.identity_link.source IS 'Publishing system of that event.';
COMMENT ON COLUMN bi.identity_link.event_id IS 'event_id of that event.';
COMMENT ON COLUMN bi.identity_link.refused IS 'Null: they are one customer. Else why not: unique (each side has another value of a unique namespace), apart (a decision), oversize (more persons hang together than a customer may have).';
COMMENT ON COLUMN bi.identity_link.customer_a IS 'Customer of a.';
COMMENT ON COLUMN bi.identity_link.customer_b IS 'Customer of b.';

CREATE VIEW bi.identity_conflict AS
SELECT l.a, l.a_namespace, l.a_value, l.b, l.b_namespace, l.b_value, l.first_at, l.source, l.event_id, l.refused,
       l.customer_a, l.customer_b,
       because.namespace, because.a AS because_a, because.a_value AS because_a_value, because.b AS because_b,
       because.b_value AS because_b_value
FROM bi.identity_link l
LEFT JOIN LATERAL (
    SELECT name.text AS namespace, x.hash AS a, x.value AS a_value, y.hash AS b, y.value AS b_value
    FROM (SELECT hash, namespace_id, value FROM polku.identifier
          WHERE hash = l.customer_a AND flags & 64 <> 0
          UNION ALL
          SELECT hash, namespace_id, value FROM polku.identifier
          WHERE customer_id = l.customer_a AND customer_id <> hash AND flags & 64 <> 0 OFFSET 0) x
    CROSS JOIN LATERAL (
          SELECT hash, namespace_id, value FROM polku.identifier
          WHERE hash = l.customer_b AND flags & 64 <> 0
          UNION ALL
          SELECT hash, namespace_id, value FROM polku.identifier
          WHERE customer_id = l.customer_b AND customer_id <> hash AND flags & 64 <> 0 OFFSET 0) y
    LEFT JOIN polku.dictionary name ON name.id = x.namespace_id
    WHERE l.refused = 'unique' AND y.namespace_id = x.namespace_id
    UNION ALL
    SELECT CASE WHEN x.namespace_id = y.namespace_id THEN (SELECT n.text FROM polku.dictionary n WHERE n.id = x.namespace_id) END,
           x.hash, x.value, y.hash, y.value
    FROM polku.decision d
    CROSS JOIN LATERAL (SELECT * FROM polku.identifier k WHERE k.hash IN (d.a, d.b) AND k.customer_id = l.customer_a OFFSET 0) x
    CROSS JOIN LATERAL (SELECT * FROM polku.identifier k WHERE k.hash IN (d.a, d.b) AND k.customer_id = l.customer_b OFFSET 0) y
    WHERE l.refused = 'apart' AND d.kind = 2 AND d.restored_at IS NULL
    ORDER BY 1, 2, 4 LIMIT 1) because ON true
WHERE l.refused IS NOT NULL;
COMMENT ON VIEW bi.identity_conflict IS 'Links that were refused, and what stood against them. Name a or customer_a where you can; else the whole table is read.';
COMMENT ON COLUMN bi.identity_conflict.a IS 'The stronger of the two identifiers (hash).';
COMMENT ON COLUMN bi.identity_conflict.a_namespace IS 'Its namespace.';
COMMENT ON COLUMN bi.identity_conflict.a_value IS 'Its value; null unless the rules say store: clear.';
COMMENT ON COLUMN bi.identity_conflict.b IS 'The other identifier (hash).';
COMMENT ON COLUMN bi.identity_conflict.b_namespace IS 'Its namespace.';
COMMENT ON COLUMN bi.identity_conflict.b_value IS 'Its value; null unless the rules say store: clear.';
COMMENT ON COLUMN bi.identity_conflict.first_at IS 'When the first event that would link them occurred.';
COMMENT ON COLUMN bi.identity_conflict.source IS 'Publishing system of that event.';
COMMENT ON COLUMN bi.identity_conflict.event_id IS 'event_id of that event.';
COMMENT ON COLUMN bi.identity_conflict.refused IS 'Why they are not one customer: unique, apart or oversize.';
COMMENT ON COLUMN bi.identity_conflict.customer_a IS 'Customer of a.';
COMMENT ON COLUMN bi.identity_conflict.customer_b IS 'Customer of b.';
COMMENT ON COLUMN bi.identity_conflict.namespace IS 'The namespace of because_a and because_b; null if theirs differ, or the component is oversize.';
COMMENT ON COLUMN bi.identity_conflict.because_a IS 'The identifier of customer_a that cannot be one customer with because_b (the first such pair); null if the component is oversize.';
COMMENT ON COLUMN bi.identity_conflict.because_a_value IS 'Its value; null unless the rules say store: clear.';
COMMENT ON COLUMN bi.identity_conflict.because_b IS 'The identifier of customer_b.';
COMMENT ON COLUMN bi.identity_conflict.because_b_value IS 'Its value; null unless the rules say store: clear.';

CREATE VIEW bi.customer_redirect AS
SELECT i.hash AS identifier, name.text AS namespace, i.value, i.customer_id, joined.first_at, joined.source, joined.event_id
FROM polku.identifier i
LEFT JOIN LATERAL (
    SELECT m.first_at, (SELECT d.text FROM polku.dictionary d WHERE d.id = m.first_source_id) AS source, m.first_event_id AS event_id
    FROM (SELECT * FROM polku.identity_meeting_led l WHERE l.identifier = i.hash OFFSET 0) m
    WHERE NOT m.contradictory AND i.flags & 25 = 0
      AND CASE WHEN m.strongest = i.hash
               THEN EXISTS (SELECT FROM unnest(m.members) AS x (hash)
                            WHERE x.hash <> i.hash
                              AND (SELECT k.customer_id FROM polku.identifier k WHERE k.hash = x.hash AND k.flags & 25 = 0) = i.customer_id)
               ELSE (SELECT k.customer_id FROM polku.identifier k WHERE k.hash = m.strongest) = i.customer_id END
    ORDER BY m.first_at, m.first_sequence, 2, m.first_event_id LIMIT 1) joined ON true
LEFT JOIN polku.dictionary name ON name.id = i.namespace_id
WHERE i.kind = 0 AND i.customer_id IS NOT NULL AND i.customer_id <> i.hash;
COMMENT ON VIEW bi.customer_redirect IS 'Every identifier of a person that is not the customer id, the customer that it leads to, and the event that joined it. A customer id that was given out earlier and has no row in bi.customer any more is found here.';
COMMENT ON COLUMN bi.customer_redirect.identifier IS 'The identifier (hash).';
COMMENT ON COLUMN bi.customer_redirect.namespace IS 'Its namespace.';
COMMENT ON COLUMN bi.customer_redirect.value IS 'Its value; null unless the rules say store: clear.';
COMMENT ON COLUMN bi.customer_redirect.customer_id IS 'The customer.';
COMMENT ON COLUMN bi.customer_redirect.first_at IS 'When the first event that links it with another person of the customer occurred.';
COMMENT ON COLUMN bi.customer_redirect.source IS 'Publishing system of that event.';
COMMENT ON COLUMN bi.customer_redirect.event_id IS 'event_id of that event.';

CREATE VIEW bi.identity_shared AS
SELECT i.hash AS identifier, name.text AS namespace, i.value,
       (SELECT count(DISTINCT x.hash)
        FROM (SELECT * FROM polku.identity_meeting_led l WHERE l.identifier = i.hash OFFSET 0) m
        CROSS JOIN LATERAL unnest(m.members) AS x (hash)
        WHERE NOT m.contradictory AND x.hash <> i.hash
          AND (SELECT k.flags & 8 FROM polku.identifier k WHERE k.hash = x.hash) = 0) AS people,
       i.first_at
FROM polku.identifier i
LEFT JOIN polku.dictionary name ON name.id = i.namespace_id
WHERE i.kind = 0 AND i.flags & 1 <> 0;
COMMENT ON VIEW bi.identity_shared IS 'Identifiers of persons that belong to several people (a family''s phone): they join nobody.';
COMMENT ON COLUMN bi.identity_shared.identifier IS 'The identifier (hash).';
COMMENT ON COLUMN bi.identity_shared.namespace IS 'Its namespace.';
COMMENT ON COLUMN bi.identity_shared.value IS 'Its value; null unless the rules say store: clear.';
COMMENT ON COLUMN bi.identity_shared.people IS 'Other identifiers of persons that it was seen with.';
COMMENT ON COLUMN bi.identity_shared.first_at IS 'When it was first seen.';

CREATE VIEW bi.identity_oversize AS
SELECT i.hash AS identifier, name.text AS namespace, i.value, i.customer_id, i.first_at
FROM polku.identifier i
LEFT JOIN polku.dictionary name ON name.id = i.namespace_id
WHERE i.kind = 0 AND i.flags & 2 <> 0;
COMMENT ON VIEW bi.identity_oversize IS 'Identifiers whose links hang together with more persons than rules allow (max_component): set aside, each a customer alone, until something that glues them is blocked or unlinked.';
COMMENT ON COLUMN bi.identity_oversize.identifier IS 'The identifier (hash).';
COMMENT ON COLUMN bi.identity_oversize.namespace IS 'Its namespace.';
COMMENT ON COLUMN bi.identity_oversize.value IS 'Its value; null unless the rules say store: clear.';
COMMENT ON COLUMN bi.identity_oversize.customer_id IS 'The customer, as long as its links are set aside.';
COMMENT ON COLUMN bi.identity_oversize.first_at IS 'When it was first seen.';

-- ---- views of before: kind shared, identifiers of a customer, borrowed events ----

CREATE OR REPLACE VIEW bi.customer AS
SELECT c.customer_id,
       (ARRAY['person', 'device', 'case', NULL, NULL, 'shared'])[c.kind + 1] AS kind,
       name_space.text AS namespace,
       s.journeys,
       s.first_at,
       s.last_at,
       own.value,
       1 + other.identifiers AS identifiers
FROM polku.customer c
LEFT JOIN polku.dictionary name_space ON name_space.id = c.namespace_id
LEFT JOIN polku.identifier own ON own.hash = c.customer_id
LEFT JOIN LATERAL (
    SELECT count(*) AS journeys, min(j.first_at) AS first_at, max(j.last_at) AS last_at
    FROM polku.journey j WHERE j.customer_id = c.customer_id
) s ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS identifiers
    FROM polku.identifier i WHERE i.customer_id = c.customer_id AND i.customer_id <> i.hash
) other ON true;
COMMENT ON COLUMN bi.customer.kind IS 'What that is: person, device, case, or shared (anonymous events of an identifier that several people share).';
COMMENT ON COLUMN bi.customer.value IS 'Value of that identifier; null unless the rules say store: clear.';
COMMENT ON COLUMN bi.customer.identifiers IS 'Identifiers of persons that are this customer; 1 for a device, a case or a shared one. The others are in bi.customer_redirect.';

CREATE OR REPLACE VIEW bi.interaction AS
SELECT i.occurred_at,
       i.received_at,
       source.text AS source,
       i.event_id,
       i.sequence,
       type.text AS type,
       channel.text AS channel,
       (ARRAY['INBOUND', 'OUTBOUND', 'INTERNAL', 'PUBLIC', 'UNKNOWN'])[i.direction + 1] AS direction,
       (ARRAY['CUSTOMER', 'HUMAN', 'BOT', 'SYSTEM', 'UNKNOWN'])[i.actor + 1] AS actor,
       brand.text AS brand,
       unit.text AS unit,
       outcome.text AS outcome,
       CASE WHEN i.sensitivity = 0 THEN reason.text END AS reason,
       i.customer_id,
       CASE WHEN i.customer_id IS NOT NULL THEN (ARRAY['person', 'device', 'case', NULL, NULL, 'shared'])[i.customer_kind + 1] END AS customer_kind,
       i.journey_id,
       i.case_key,
       i.relates_to,
       i.staff,
       CASE WHEN i.sensitivity = 0 THEN i.topic END AS topic,
       CASE WHEN i.sensitivity = 0 THEN i.cause END AS cause,
       CASE WHEN i.sensitivity = 0 THEN i.product END AS product,
       i.location,
       i.stage,
       i.promise_id,
       promise_kind.text AS promise_kind,
       i.promise_due_from,
       i.promise_due_to,
       promise_brand.text AS promise_brand,
       promise_unit.text AS promise_unit,
       promise_role.text AS promise_role,
       i.handoff,
       to_brand.text AS to_brand,
       to_unit.text AS to_unit,
       to_role.text AS to_role,
       rating_scale.text AS rating_scale,
       i.rating_score,
       i.rating_min,
       i.rating_max,
       i.money_amount_minor,
       money_currency.text AS money_currency,
       money_kind.text AS money_kind,
       i.sensitivity = 1 AS sensitive,
       CASE WHEN i.sensitivity = 0 THEN i.attributes END AS attributes,
       ARRAY(SELECT (SELECT d.text FROM polku.dictionary d WHERE d.id = n.id)
             FROM unnest(i.identifier_namespaces) WITH ORDINALITY AS n (id, place) ORDER BY n.place) AS identifier_namespaces,
       i.event_hash,
       kafka_topic.text AS kafka_topic,
       i.kafka_partition,
       i.kafka_offset,
       i.sighted_id
FROM polku.interaction i
LEFT JOIN polku.dictionary source ON source.id = i.source_id
LEFT JOIN polku.dictionary type ON type.id = i.type_id
LEFT JOIN polku.dictionary channel ON channel.id = i.channel_id
LEFT JOIN polku.dictionary brand ON brand.id = i.brand_id
LEFT JOIN polku.dictionary unit ON unit.id = i.unit_id
LEFT JOIN polku.dictionary outcome ON outcome.id = i.outcome_id
LEFT JOIN polku.dictionary reason ON reason.id = i.reason_id
LEFT JOIN polku.dictionary promise_kind ON promise_kind.id = i.promise_kind_id
LEFT JOIN polku.dictionary promise_brand ON promise_brand.id = i.promise_brand_id
LEFT JOIN polku.dictionary promise_unit ON promise_unit.id = i.promise_unit_id
LEFT JOIN polku.dictionary promise_role ON promise_role.id = i.promise_role_id
LEFT JOIN polku.dictionary to_brand ON to_brand.id = i.to_brand_id
LEFT JOIN polku.dictionary to_unit ON to_unit.id = i.to_unit_id
LEFT JOIN polku.dictionary to_role ON to_role.id = i.to_role_id
LEFT JOIN polku.dictionary rating_scale ON rating_scale.id = i.rating_scale_id
LEFT JOIN polku.dictionary money_currency ON money_currency.id = i.money_currency_id
LEFT JOIN polku.dictionary money_kind ON money_kind.id = i.money_kind_id
LEFT JOIN polku.dictionary kafka_topic ON kafka_topic.id = i.kafka_topic_id;
COMMENT ON COLUMN bi.interaction.customer_kind IS 'What the customer is known by: person, device, case, or shared (an identifier that several people share).';
COMMENT ON COLUMN bi.interaction.sighted_id IS 'The event names no person; it was given to the customer of this identifier, which was seen nearest in time on the same device or case. Null: it names the customer itself, or is anonymous.';
