-- SPDX-License-Identifier: Apache-2.0
-- Tables of schema polku: written by polku-consumer alone. People and BI tools read schema bi.
--
-- Columns stand in the order in which they pack best: 8 bytes, 4, 2, 1, uuids, then what varies.
-- Nothing that changes with every update of a row is indexed, and such tables keep room in their pages
-- (fillfactor), so that updates stay within the page (HOT).
-- A hash is a keyed BLAKE2b-128; its 16 bytes are the bytes of the uuid.

COMMENT ON SCHEMA polku IS 'What polku-consumer keeps: events, journeys, obligations, aggregates, positions. Internal: read schema bi instead.';

-- ---- text ----

CREATE TABLE polku.dictionary (
    id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    text text COLLATE "C" NOT NULL UNIQUE
);
COMMENT ON TABLE polku.dictionary IS 'Text that repeats (types, channels, brands, units, kinds, namespaces, topics of Kafka), each once. Never identifiers or free text.';
COMMENT ON COLUMN polku.dictionary.id IS 'What columns named ..._id hold in place of the text. Of this database only: never compare ids between databases.';
COMMENT ON COLUMN polku.dictionary.text IS 'The text, compared as bytes.';

-- ---- events ----

CREATE TABLE polku.interaction (
    occurred_at           timestamptz NOT NULL,
    received_at           timestamptz,
    sequence              bigint NOT NULL,
    content_hash          bigint NOT NULL,
    kafka_offset          bigint NOT NULL,
    kafka_topic_id        integer NOT NULL,
    kafka_partition       integer NOT NULL,
    source_id             integer NOT NULL,
    type_id               integer NOT NULL,
    channel_id            integer,
    brand_id              integer,
    unit_id               integer,
    outcome_id            integer,
    reason_id             integer,
    customer_kind         smallint,
    direction             smallint NOT NULL,
    actor                 smallint NOT NULL,
    sensitivity           smallint NOT NULL,
    handoff               boolean NOT NULL,
    event_hash            uuid NOT NULL,
    customer_id           uuid,
    journey_id            uuid,
    case_key              uuid,
    relates_to            uuid,
    staff                 uuid,
    promise_id            uuid,
    promise_due_from      timestamptz,
    promise_due_to        timestamptz,
    promise_kind_id       integer,
    promise_brand_id      integer,
    promise_unit_id       integer,
    promise_role_id       integer,
    to_brand_id           integer,
    to_unit_id            integer,
    to_role_id            integer,
    rating_scale_id       integer,
    rating_score          double precision,
    rating_min            double precision,
    rating_max            double precision,
    money_amount_minor    bigint,
    money_currency_id     integer,
    money_kind_id         integer,
    event_id              text COLLATE "C" NOT NULL,
    identifiers           uuid[],
    identifier_namespaces integer[],
    topic                 text,
    cause                 text,
    product               text,
    location              text,
    stage                 text,
    attributes            jsonb,
    PRIMARY KEY (occurred_at, event_hash)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX interaction_customer ON polku.interaction (customer_id, occurred_at) WHERE customer_id IS NOT NULL;
CREATE INDEX interaction_nameless ON polku.interaction (relates_to) WHERE customer_id IS NULL AND relates_to IS NOT NULL;

COMMENT ON TABLE polku.interaction IS 'One row per event, partitioned by month (UTC) of occurred_at; months are made by polku.ensure_months before they are needed. A row is written once; later only journey_id may change.';
COMMENT ON COLUMN polku.interaction.occurred_at IS 'When it happened to the customer.';
COMMENT ON COLUMN polku.interaction.received_at IS 'Timestamp of the Kafka record; null if it had none.';
COMMENT ON COLUMN polku.interaction.sequence IS 'The publisher''s counter: orders its events of equal time.';
COMMENT ON COLUMN polku.interaction.content_hash IS 'First 8 bytes of the hash of the canonical form; the bits of an unsigned number.';
COMMENT ON COLUMN polku.interaction.kafka_offset IS 'Offset of the Kafka record.';
COMMENT ON COLUMN polku.interaction.kafka_topic_id IS 'Topic of the Kafka record (dictionary).';
COMMENT ON COLUMN polku.interaction.kafka_partition IS 'Partition of the Kafka record.';
COMMENT ON COLUMN polku.interaction.source_id IS 'Publishing system (dictionary).';
COMMENT ON COLUMN polku.interaction.type_id IS 'What happened, as contact.inbound (dictionary).';
COMMENT ON COLUMN polku.interaction.channel_id IS 'Channel, as phone (dictionary).';
COMMENT ON COLUMN polku.interaction.brand_id IS 'Organisation at this touchpoint (dictionary).';
COMMENT ON COLUMN polku.interaction.unit_id IS 'Team of the brand (dictionary).';
COMMENT ON COLUMN polku.interaction.outcome_id IS 'How it ended, as ok or unreached (dictionary).';
COMMENT ON COLUMN polku.interaction.reason_id IS 'Why, as no_authority (dictionary).';
COMMENT ON COLUMN polku.interaction.customer_kind IS 'What the customer is known by: 0 person, 1 device, 2 case; null without a customer.';
COMMENT ON COLUMN polku.interaction.direction IS '0 inbound, 1 outbound, 2 internal, 3 public, 4 unknown.';
COMMENT ON COLUMN polku.interaction.actor IS '0 customer, 1 human, 2 bot, 3 system, 4 unknown.';
COMMENT ON COLUMN polku.interaction.sensitivity IS '0 normal, 1 sensitive: schema bi hides topic, cause, product, reason and attributes.';
COMMENT ON COLUMN polku.interaction.handoff IS 'The event names a hand-off; its target is in to_brand_id, to_unit_id, to_role_id.';
COMMENT ON COLUMN polku.interaction.event_hash IS 'Hash of source and event_id; with occurred_at the identity of the event.';
COMMENT ON COLUMN polku.interaction.customer_id IS 'The customer; null if the event names nobody and no case.';
COMMENT ON COLUMN polku.interaction.journey_id IS 'The journey that the event belongs to; null for passive events without one and events without a customer.';
COMMENT ON COLUMN polku.interaction.case_key IS 'Hash of the case (order, ticket, booking); null if none.';
COMMENT ON COLUMN polku.interaction.relates_to IS 'Ledger id or hash of the event that this one answers; null if none.';
COMMENT ON COLUMN polku.interaction.staff IS 'Who served, hashed; null if not told.';
COMMENT ON COLUMN polku.interaction.promise_id IS 'Ledger id of the explicit promise that the event carries; null if it carries none.';
COMMENT ON COLUMN polku.interaction.promise_due_from IS 'Explicit promise: start of its window.';
COMMENT ON COLUMN polku.interaction.promise_due_to IS 'Explicit promise: due time.';
COMMENT ON COLUMN polku.interaction.promise_kind_id IS 'Explicit promise: kind (dictionary).';
COMMENT ON COLUMN polku.interaction.promise_brand_id IS 'Explicit promise: brand named as accountable (dictionary).';
COMMENT ON COLUMN polku.interaction.promise_unit_id IS 'Explicit promise: unit named as accountable (dictionary).';
COMMENT ON COLUMN polku.interaction.promise_role_id IS 'Explicit promise: role named as accountable (dictionary).';
COMMENT ON COLUMN polku.interaction.to_brand_id IS 'Hand-off: brand asked to take over (dictionary).';
COMMENT ON COLUMN polku.interaction.to_unit_id IS 'Hand-off: unit asked to take over (dictionary).';
COMMENT ON COLUMN polku.interaction.to_role_id IS 'Hand-off: role asked to take over (dictionary).';
COMMENT ON COLUMN polku.interaction.rating_scale_id IS 'Rating: scale, as nps (dictionary).';
COMMENT ON COLUMN polku.interaction.rating_score IS 'Rating: what the customer gave; null if the event carries no rating.';
COMMENT ON COLUMN polku.interaction.rating_min IS 'Rating: lowest possible score.';
COMMENT ON COLUMN polku.interaction.rating_max IS 'Rating: highest possible score.';
COMMENT ON COLUMN polku.interaction.money_amount_minor IS 'Money: amount in the smallest unit of the currency; null if the event carries none.';
COMMENT ON COLUMN polku.interaction.money_currency_id IS 'Money: currency (dictionary).';
COMMENT ON COLUMN polku.interaction.money_kind_id IS 'Money: what it is, as refund (dictionary).';
COMMENT ON COLUMN polku.interaction.event_id IS 'The publisher''s id of the event.';
COMMENT ON COLUMN polku.interaction.identifiers IS 'Hashes of the identifiers in the order of the event; all zeros = blocked or of an unknown namespace. Null if the event has none.';
COMMENT ON COLUMN polku.interaction.identifier_namespaces IS 'Namespaces (dictionary) of identifiers, in the same order.';
COMMENT ON COLUMN polku.interaction.topic IS 'What it is about.';
COMMENT ON COLUMN polku.interaction.cause IS 'Why the customer had to get in touch.';
COMMENT ON COLUMN polku.interaction.product IS 'Product or service.';
COMMENT ON COLUMN polku.interaction.location IS 'Where it happened.';
COMMENT ON COLUMN polku.interaction.stage IS 'Stage of the customer''s life cycle.';
COMMENT ON COLUMN polku.interaction.attributes IS 'Further facts as the publisher wrote them; Polku does not interpret them.';

-- Parts that most events lack travel to the server as one value each, not as columns of nulls.
CREATE TYPE polku.promise AS (id uuid, due_from timestamptz, due_to timestamptz, kind_id integer, brand_id integer, unit_id integer, role_id integer);
CREATE TYPE polku.target AS (brand_id integer, unit_id integer, role_id integer);
CREATE TYPE polku.rating AS (scale_id integer, score double precision, min double precision, max double precision);
CREATE TYPE polku.money AS (amount_minor bigint, currency_id integer, kind_id integer);
COMMENT ON TYPE polku.promise IS 'The promise_ columns of interaction, as a parameter.';
COMMENT ON TYPE polku.target IS 'The to_ columns of interaction, as a parameter.';
COMMENT ON TYPE polku.rating IS 'The rating_ columns of interaction, as a parameter.';
COMMENT ON TYPE polku.money IS 'The money_ columns of interaction, as a parameter.';

-- ---- journeys ----

CREATE TABLE polku.journey (
    first_at             timestamptz NOT NULL,
    last_at              timestamptz NOT NULL,
    first_inbound_at     timestamptz,
    first_human_reply_at timestamptz,
    entry_channel_id     integer,
    last_channel_id      integer,
    last_type_id         integer,
    last_outcome_id      integer,
    events               integer NOT NULL,
    contacts             integer NOT NULL,
    switches             integer NOT NULL,
    handoffs_offered     integer NOT NULL,
    handoffs_accepted    integer NOT NULL,
    unanswered           integer NOT NULL,
    refusals             integer NOT NULL,
    resolved             boolean NOT NULL,
    crowd                boolean NOT NULL,
    journey_id           uuid NOT NULL PRIMARY KEY,
    customer_id          uuid NOT NULL,
    case_key             uuid,
    continues            uuid,
    channels             integer[] NOT NULL,
    brands               integer[] NOT NULL,
    units                integer[] NOT NULL
) WITH (fillfactor = 75);
CREATE INDEX journey_customer ON polku.journey (customer_id);

COMMENT ON TABLE polku.journey IS 'A customer''s events that belong together (docs/semantics.md 4).';
COMMENT ON COLUMN polku.journey.first_at IS 'Time of the first event.';
COMMENT ON COLUMN polku.journey.last_at IS 'Time of the activity: the last event that is not passive.';
COMMENT ON COLUMN polku.journey.first_inbound_at IS 'Time of the first contact with direction inbound.';
COMMENT ON COLUMN polku.journey.first_human_reply_at IS 'Time of the first human reply after first_inbound_at.';
COMMENT ON COLUMN polku.journey.entry_channel_id IS 'Channel of the first event (dictionary).';
COMMENT ON COLUMN polku.journey.last_channel_id IS 'Channel of the activity (dictionary).';
COMMENT ON COLUMN polku.journey.last_type_id IS 'Type of the activity (dictionary).';
COMMENT ON COLUMN polku.journey.last_outcome_id IS 'Outcome of the activity (dictionary).';
COMMENT ON COLUMN polku.journey.events IS 'All its events, passive ones included.';
COMMENT ON COLUMN polku.journey.contacts IS 'Events at which customer and organisation really met.';
COMMENT ON COLUMN polku.journey.switches IS 'Contacts on another channel than the contact before.';
COMMENT ON COLUMN polku.journey.handoffs_offered IS 'Events at which somebody else was asked to take over.';
COMMENT ON COLUMN polku.journey.handoffs_accepted IS 'Events at which somebody took over.';
COMMENT ON COLUMN polku.journey.unanswered IS 'Attempts at which nobody was reached.';
COMMENT ON COLUMN polku.journey.refusals IS 'Events at which the customer was refused or sent away.';
COMMENT ON COLUMN polku.journey.resolved IS 'The activity is terminal.';
COMMENT ON COLUMN polku.journey.crowd IS 'One UTC day of a customer with very many events (a shared phone, a test account).';
COMMENT ON COLUMN polku.journey.journey_id IS 'Time of the first event in microseconds (8 bytes), then the first 8 bytes of its event_hash.';
COMMENT ON COLUMN polku.journey.customer_id IS 'Whose journey it is.';
COMMENT ON COLUMN polku.journey.case_key IS 'Hash of the case that the journey adopted; null if none.';
COMMENT ON COLUMN polku.journey.continues IS 'The journey that grew too long and was cut before this one; null if none.';
COMMENT ON COLUMN polku.journey.channels IS 'Channels of its events (dictionary), in the order of their first appearance.';
COMMENT ON COLUMN polku.journey.brands IS 'Brands of its events (dictionary), in the order of their first appearance.';
COMMENT ON COLUMN polku.journey.units IS 'Units of its events (dictionary), in the order of their first appearance.';

-- ---- obligations ----

CREATE TABLE polku.obligation (
    opened_at        timestamptz NOT NULL,
    due_from         timestamptz,
    first_due_to     timestamptz,
    due_to           timestamptz,
    changed_at       timestamptz,
    first_attempt_at timestamptz,
    last_attempt_at  timestamptz,
    fulfilled_at     timestamptz,
    rejected_at      timestamptz,
    withdrawn_at     timestamptz,
    attempts         integer NOT NULL,
    kind_id          integer NOT NULL,
    brand_id         integer,
    unit_id          integer,
    role_id          integer,
    label            smallint NOT NULL,
    explicit         boolean NOT NULL,
    obligation_id    uuid NOT NULL PRIMARY KEY,
    customer_id      uuid NOT NULL,
    journey_id       uuid,
    case_key         uuid,
    opened_by        uuid NOT NULL,
    fulfilled_by     uuid
) WITH (fillfactor = 80);
CREATE INDEX obligation_customer ON polku.obligation (customer_id);

COMMENT ON TABLE polku.obligation IS 'The ledger: what was owed to a customer and what became of it (docs/semantics.md 5). Its state depends on the moment and is in bi.obligation.';
COMMENT ON COLUMN polku.obligation.opened_at IS 'Time of the event that opened it.';
COMMENT ON COLUMN polku.obligation.due_from IS 'Start of the window; null if none.';
COMMENT ON COLUMN polku.obligation.first_due_to IS 'Due time as first promised; null if none.';
COMMENT ON COLUMN polku.obligation.due_to IS 'Due time as last promised; null if none.';
COMMENT ON COLUMN polku.obligation.changed_at IS 'When the due time was last moved; null if never.';
COMMENT ON COLUMN polku.obligation.first_attempt_at IS 'First attempt; null if none.';
COMMENT ON COLUMN polku.obligation.last_attempt_at IS 'Last attempt; null if none.';
COMMENT ON COLUMN polku.obligation.fulfilled_at IS 'When it was fulfilled; null if it was not.';
COMMENT ON COLUMN polku.obligation.rejected_at IS 'When it was rejected; null if it was not.';
COMMENT ON COLUMN polku.obligation.withdrawn_at IS 'When it was withdrawn; null if it was not.';
COMMENT ON COLUMN polku.obligation.attempts IS 'Number of attempts.';
COMMENT ON COLUMN polku.obligation.kind_id IS 'Kind, as callback (dictionary).';
COMMENT ON COLUMN polku.obligation.brand_id IS 'Accountable brand (dictionary).';
COMMENT ON COLUMN polku.obligation.unit_id IS 'Accountable unit (dictionary); null if none was named.';
COMMENT ON COLUMN polku.obligation.role_id IS 'Accountable role (dictionary); null if none was named.';
COMMENT ON COLUMN polku.obligation.label IS 'State of an attempted one that is not closed: 0 none, 1 attempted_not_reached, 2 replied_not_answered.';
COMMENT ON COLUMN polku.obligation.explicit IS 'Opened by a record in the event, not by a rule.';
COMMENT ON COLUMN polku.obligation.obligation_id IS 'Ledger id: explicit hash(source, id), by rule hash(source, event_id, time, kind).';
COMMENT ON COLUMN polku.obligation.customer_id IS 'To whom it is owed: the customer of the opening event.';
COMMENT ON COLUMN polku.obligation.journey_id IS 'Journey of the opening event; null if it has none.';
COMMENT ON COLUMN polku.obligation.case_key IS 'Hash of the opening event''s case; null if none.';
COMMENT ON COLUMN polku.obligation.opened_by IS 'event_hash of the opening event.';
COMMENT ON COLUMN polku.obligation.fulfilled_by IS 'event_hash of the fulfilling event; null if none.';

-- ---- identity ----

CREATE TABLE polku.customer (
    namespace_id integer,
    kind         smallint NOT NULL,
    customer_id  uuid NOT NULL PRIMARY KEY
);
COMMENT ON TABLE polku.customer IS 'One row per customer that has an event. Nothing here changes with every event: the last time seen is in its journeys.';
COMMENT ON COLUMN polku.customer.namespace_id IS 'Namespace of the identifier that became the customer (dictionary); null for a case.';
COMMENT ON COLUMN polku.customer.kind IS 'What the customer is known by: 0 person, 1 device, 2 case.';
COMMENT ON COLUMN polku.customer.customer_id IS 'Hash of that identifier.';

CREATE SEQUENCE polku.guard_cell_id INCREMENT BY 65536;
COMMENT ON SEQUENCE polku.guard_cell_id IS 'Each value hands out a block: value .. value + 65535 are cell ids of whoever drew it.';

CREATE TABLE polku.guard_cell (
    cell_id bigint NOT NULL PRIMARY KEY,
    version bigint NOT NULL
) WITH (fillfactor = 70);
COMMENT ON TABLE polku.guard_cell IS 'Lock units of the commit protocol (docs/protocol.md): a batch compares and replaces the version of every cell that it read or wrote.';
COMMENT ON COLUMN polku.guard_cell.cell_id IS 'From the sequence guard_cell_id, never reused.';
COMMENT ON COLUMN polku.guard_cell.version IS '64 random bits drawn by the last batch that used the cell.';

CREATE TABLE polku.identifier (
    cell_id      bigint NOT NULL,
    namespace_id integer,
    kind         smallint NOT NULL,
    hash         uuid NOT NULL PRIMARY KEY,
    owner_id     uuid
);
COMMENT ON TABLE polku.identifier IS 'Every key by which events can influence each other: persons, devices, cases, obligations. Each belongs to exactly one guard cell.';
COMMENT ON COLUMN polku.identifier.cell_id IS 'Its guard cell (no foreign key: its check would lock out of order).';
COMMENT ON COLUMN polku.identifier.namespace_id IS 'Namespace (dictionary); null for cases and obligations.';
COMMENT ON COLUMN polku.identifier.kind IS '0 person, 1 device, 2 case, 3 obligation.';
COMMENT ON COLUMN polku.identifier.hash IS 'Hash of namespace and value, or ledger id or event_hash of an obligation.';
COMMENT ON COLUMN polku.identifier.owner_id IS 'The first customer that it was met with; null = only events without a customer. A log: depends on the order of arrival.';

CREATE TABLE polku.sighting (
    key         uuid NOT NULL,
    customer_id uuid NOT NULL,
    PRIMARY KEY (key, customer_id)
);
COMMENT ON TABLE polku.sighting IS 'Further customers that a key was met with, beside identifier.owner_id: one row per pair, not per event.';
COMMENT ON COLUMN polku.sighting.key IS 'identifier.hash.';
COMMENT ON COLUMN polku.sighting.customer_id IS 'The customer.';

-- ---- positions, quarantine ----

CREATE SEQUENCE polku.stream_slot AS integer;
COMMENT ON SEQUENCE polku.stream_slot IS 'Numbers of aggregate slots.';

CREATE TABLE polku.stream_position (
    next_offset        bigint NOT NULL,
    epoch              bigint NOT NULL,
    claimed_at         timestamptz NOT NULL,
    moved_at           timestamptz,
    newest_occurred_at timestamptz,
    newest_received_at timestamptz,
    topic_id           integer NOT NULL,
    partition          integer NOT NULL,
    slot               integer NOT NULL UNIQUE,
    PRIMARY KEY (topic_id, partition)
) WITH (fillfactor = 50);
COMMENT ON TABLE polku.stream_position IS 'Where reading stands, per partition of Kafka: everything before next_offset is in the tables, nothing from it on is.';
COMMENT ON COLUMN polku.stream_position.next_offset IS 'First offset that is not yet in the database.';
COMMENT ON COLUMN polku.stream_position.epoch IS 'Number of claims; a consumer that holds an older one commits nothing.';
COMMENT ON COLUMN polku.stream_position.claimed_at IS 'When a consumer last claimed the partition.';
COMMENT ON COLUMN polku.stream_position.moved_at IS 'When next_offset last moved; null if never.';
COMMENT ON COLUMN polku.stream_position.newest_occurred_at IS 'Greatest occurred_at stored from this partition; null if none.';
COMMENT ON COLUMN polku.stream_position.newest_received_at IS 'Greatest Kafka timestamp stored from this partition; null if none.';
COMMENT ON COLUMN polku.stream_position.topic_id IS 'Topic (dictionary).';
COMMENT ON COLUMN polku.stream_position.partition IS 'Partition.';
COMMENT ON COLUMN polku.stream_position.slot IS 'Number under which batches that begin with this partition add to the aggregates.';

CREATE TABLE polku.quarantine (
    kafka_offset   bigint NOT NULL,
    received_at    timestamptz,
    quarantined_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    topic_id       integer NOT NULL,
    partition      integer NOT NULL,
    reason         text COLLATE "C" NOT NULL,
    detail         text NOT NULL,
    key            bytea,
    value          bytea,
    headers        jsonb,
    PRIMARY KEY (topic_id, partition, kafka_offset, reason)
);
COMMENT ON TABLE polku.quarantine IS 'Records that are no valid events, and copies that lost against another of the same identity. May hold raw identifiers: owner and writer only.';
COMMENT ON COLUMN polku.quarantine.kafka_offset IS 'Offset of the record.';
COMMENT ON COLUMN polku.quarantine.received_at IS 'Timestamp of the Kafka record; null if it had none.';
COMMENT ON COLUMN polku.quarantine.quarantined_at IS 'When this row was written.';
COMMENT ON COLUMN polku.quarantine.topic_id IS 'Topic (dictionary).';
COMMENT ON COLUMN polku.quarantine.partition IS 'Partition.';
COMMENT ON COLUMN polku.quarantine.reason IS 'One of common/reject.def, as undecodable.';
COMMENT ON COLUMN polku.quarantine.detail IS 'A sentence: what is wrong. Never quotes identifiers.';
COMMENT ON COLUMN polku.quarantine.key IS 'Key of the record; null if it had none, or for a displaced copy of an earlier batch.';
COMMENT ON COLUMN polku.quarantine.value IS 'Value of the record; null likewise. A displaced copy can be read again at its offset.';
COMMENT ON COLUMN polku.quarantine.headers IS 'Headers in their order: [{"name": .., "value_hex": ..}], value_hex null for a null value; name_hex in place of name where it is not UTF-8.';

-- ---- aggregates ----

CREATE TABLE polku.interaction_hourly (
    hour         timestamptz NOT NULL,
    interactions bigint NOT NULL,
    contacts     bigint NOT NULL,
    brand_id     integer NOT NULL,
    channel_id   integer NOT NULL,
    type_id      integer NOT NULL,
    outcome_id   integer NOT NULL,
    slot         integer NOT NULL,
    PRIMARY KEY (hour, brand_id, channel_id, type_id, outcome_id, slot)
) WITH (fillfactor = 70);
COMMENT ON TABLE polku.interaction_hourly IS 'Events by UTC hour; changed by difference in the transaction of the change. The sum over slots is the count; one slot alone may be negative.';
COMMENT ON COLUMN polku.interaction_hourly.hour IS 'Start of the UTC hour of occurred_at.';
COMMENT ON COLUMN polku.interaction_hourly.interactions IS 'Events.';
COMMENT ON COLUMN polku.interaction_hourly.contacts IS 'Events at which customer and organisation really met.';
COMMENT ON COLUMN polku.interaction_hourly.brand_id IS 'Brand (dictionary); 0 = none.';
COMMENT ON COLUMN polku.interaction_hourly.channel_id IS 'Channel (dictionary); 0 = none.';
COMMENT ON COLUMN polku.interaction_hourly.type_id IS 'Type (dictionary).';
COMMENT ON COLUMN polku.interaction_hourly.outcome_id IS 'Outcome (dictionary); 0 = none.';
COMMENT ON COLUMN polku.interaction_hourly.slot IS 'stream_position.slot of the writer, so that writers do not wait for each other.';

CREATE TABLE polku.obligation_hourly (
    due_hour            timestamptz NOT NULL,
    opened              bigint NOT NULL,
    kept                bigint NOT NULL,
    kept_late_in_window bigint NOT NULL,
    late                bigint NOT NULL,
    attempted           bigint NOT NULL,
    rejected            bigint NOT NULL,
    withdrawn           bigint NOT NULL,
    kind_id             integer NOT NULL,
    brand_id            integer NOT NULL,
    unit_id             integer NOT NULL,
    slot                integer NOT NULL,
    PRIMARY KEY (due_hour, kind_id, brand_id, unit_id, slot)
) WITH (fillfactor = 70);
COMMENT ON TABLE polku.obligation_hourly IS 'Obligations by kind, accountable brand and unit, and UTC hour of due_to; changed by difference, summed over slots.';
COMMENT ON COLUMN polku.obligation_hourly.due_hour IS 'Start of the UTC hour of due_to; infinity = no due time.';
COMMENT ON COLUMN polku.obligation_hourly.opened IS 'All of them.';
COMMENT ON COLUMN polku.obligation_hourly.kept IS 'Fulfilled in time, and not at the end of a window.';
COMMENT ON COLUMN polku.obligation_hourly.kept_late_in_window IS 'Fulfilled in the last tenth of the window.';
COMMENT ON COLUMN polku.obligation_hourly.late IS 'Fulfilled after due_to.';
COMMENT ON COLUMN polku.obligation_hourly.attempted IS 'Attempted and not closed.';
COMMENT ON COLUMN polku.obligation_hourly.rejected IS 'Rejected.';
COMMENT ON COLUMN polku.obligation_hourly.withdrawn IS 'Withdrawn.';
COMMENT ON COLUMN polku.obligation_hourly.kind_id IS 'Kind (dictionary).';
COMMENT ON COLUMN polku.obligation_hourly.brand_id IS 'Accountable brand (dictionary); 0 = none.';
COMMENT ON COLUMN polku.obligation_hourly.unit_id IS 'Accountable unit (dictionary); 0 = none.';
COMMENT ON COLUMN polku.obligation_hourly.slot IS 'stream_position.slot of the writer.';

-- ---- what the rows were derived with ----

CREATE TABLE polku.rules_state (
    only_row           boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (only_row),
    derivation_version integer NOT NULL,
    rules_hash         uuid NOT NULL,
    key_check          uuid NOT NULL,
    stored_at          timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE polku.rules_state IS 'One row: the rules, the derivation and the hash key that everything here was derived with. A consumer with others stops.';
COMMENT ON COLUMN polku.rules_state.only_row IS 'Always true.';
COMMENT ON COLUMN polku.rules_state.derivation_version IS 'DERIVATION_VERSION of the program.';
COMMENT ON COLUMN polku.rules_state.rules_hash IS 'Hash of the rules file''s bytes.';
COMMENT ON COLUMN polku.rules_state.key_check IS 'Hash of a fixed text with the hash key: tells keys apart without showing them.';
COMMENT ON COLUMN polku.rules_state.stored_at IS 'When the row was written.';

-- ---- migrations (the table is made by polku-consumer migrate) ----

COMMENT ON TABLE polku.schema_migration IS 'Files of sql/migrations that were applied.';
COMMENT ON COLUMN polku.schema_migration.number IS 'Number that begins the file''s name.';
COMMENT ON COLUMN polku.schema_migration.name IS 'Name of the file.';
COMMENT ON COLUMN polku.schema_migration.checksum IS 'SHA-256 of the file when it was applied; a file must not change afterwards.';
COMMENT ON COLUMN polku.schema_migration.applied_at IS 'When it was applied.';
