-- SPDX-License-Identifier: Apache-2.0
-- Quarantine, whole: who published what was set aside, what was published again, and what was only counted because too much came.

ALTER TABLE polku.quarantine
    ADD COLUMN requeued_at        timestamptz,
    ADD COLUMN requeued_offset    bigint,
    ADD COLUMN requeued_partition integer,
    ADD COLUMN requeued_topic_id  integer,
    ADD COLUMN source_id          integer,
    ADD COLUMN value_bytes        integer,
    ADD COLUMN bytes              integer NOT NULL DEFAULT 0,
    ADD COLUMN whole              boolean NOT NULL DEFAULT true,
    ADD COLUMN requeued_by        text;
COMMENT ON COLUMN polku.quarantine.source_id IS 'Publisher (dictionary): the event''s source where the record could be decoded so far, else the record''s header "source"; null if neither says it.';
COMMENT ON COLUMN polku.quarantine.value_bytes IS 'Size of the record''s value; null if it had none, or where only its place is known.';
COMMENT ON COLUMN polku.quarantine.bytes IS 'What the row takes of the space for quarantine: key, value and headers, and 100 for itself.';
COMMENT ON COLUMN polku.quarantine.whole IS 'Key, value and headers are those of the record; false: some are not kept here, and the record can be read again in Kafka at its offset.';
COMMENT ON COLUMN polku.quarantine.requeued_at IS 'When polku-consumer requeue published it again; null if it did not.';
COMMENT ON COLUMN polku.quarantine.requeued_by IS 'Who did.';
COMMENT ON COLUMN polku.quarantine.requeued_topic_id IS 'To which topic (dictionary).';
COMMENT ON COLUMN polku.quarantine.requeued_partition IS 'Partition of the new record.';
COMMENT ON COLUMN polku.quarantine.requeued_offset IS 'Offset of the new record.';
COMMENT ON COLUMN polku.quarantine.key IS 'Key of the record; null if it had none, or it is not kept here (whole).';
COMMENT ON COLUMN polku.quarantine.value IS 'Value of the record; null likewise.';

UPDATE polku.quarantine SET
    value_bytes = octet_length(value),
    whole = value IS NOT NULL OR reason NOT IN ('conflicting_duplicate', 'too_late'),
    bytes = 100 + coalesce(octet_length(key), 0) + coalesce(octet_length(value), 0) + coalesce(octet_length(headers::text), 0);
-- Retention looks for the oldest rows of a partition.
CREATE INDEX quarantine_age ON polku.quarantine (topic_id, partition, quarantined_at);

-- ---- how much there is, without reading it ----

CREATE TABLE polku.quarantine_size (
    records bigint NOT NULL,
    bytes   bigint NOT NULL,
    slot    integer NOT NULL PRIMARY KEY
);
COMMENT ON TABLE polku.quarantine_size IS 'How much quarantine holds: the sum over all rows. Each batch adds to the row of its slot, deletions to that of slot 0, so that nobody waits for anybody.';
COMMENT ON COLUMN polku.quarantine_size.records IS 'Rows of quarantine; negative in slot 0.';
COMMENT ON COLUMN polku.quarantine_size.bytes IS 'Sum of their bytes; likewise.';
COMMENT ON COLUMN polku.quarantine_size.slot IS 'Slot of the partition with which a batch begins.';
INSERT INTO polku.quarantine_size (records, bytes, slot)
SELECT count(*), coalesce(sum(q.bytes), 0), 0 FROM polku.quarantine q;

CREATE FUNCTION polku.shrink_quarantine() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO polku.quarantine_size AS s (records, bytes, slot)
    SELECT -count(*), -sum(g.bytes), 0 FROM gone g HAVING count(*) > 0
    ON CONFLICT (slot) DO UPDATE SET records = s.records + excluded.records, bytes = s.bytes + excluded.bytes;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION polku.shrink_quarantine() IS 'Takes deleted rows of quarantine off its size, whoever deleted them.';
CREATE TRIGGER shrink_quarantine AFTER DELETE ON polku.quarantine REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION polku.shrink_quarantine();

-- ---- what was only counted ----

CREATE TABLE polku.quarantine_excess (
    hour         timestamptz NOT NULL,
    last_at      timestamptz NOT NULL,
    records      bigint NOT NULL,
    bytes        bigint NOT NULL,
    first_offset bigint NOT NULL,
    last_offset  bigint NOT NULL,
    topic_id     integer NOT NULL,
    partition    integer NOT NULL,
    source_id    integer NOT NULL,
    slot         integer NOT NULL,
    reason       text COLLATE "C" NOT NULL,
    PRIMARY KEY (topic_id, partition, hour, reason, source_id, slot)
);
COMMENT ON TABLE polku.quarantine_excess IS 'Records that were set aside by number only, because more came than quarantine takes: they can be read again in Kafka, as long as it holds them.';
COMMENT ON COLUMN polku.quarantine_excess.hour IS 'Hour in which they were set aside.';
COMMENT ON COLUMN polku.quarantine_excess.last_at IS 'When the last of them was.';
COMMENT ON COLUMN polku.quarantine_excess.records IS 'Number of records.';
COMMENT ON COLUMN polku.quarantine_excess.bytes IS 'Bytes of their keys, values and headers.';
COMMENT ON COLUMN polku.quarantine_excess.first_offset IS 'Lowest offset among them.';
COMMENT ON COLUMN polku.quarantine_excess.last_offset IS 'Highest offset among them.';
COMMENT ON COLUMN polku.quarantine_excess.topic_id IS 'Topic (dictionary).';
COMMENT ON COLUMN polku.quarantine_excess.partition IS 'Partition.';
COMMENT ON COLUMN polku.quarantine_excess.source_id IS 'Publisher (dictionary); 0 if unknown.';
COMMENT ON COLUMN polku.quarantine_excess.slot IS 'Slot of the batches that counted them.';
COMMENT ON COLUMN polku.quarantine_excess.reason IS 'One of common/reject.def, as undecodable.';

-- ---- schema bi: columns added at the end, two views more ----

CREATE OR REPLACE VIEW bi.quarantine AS
SELECT topic.text AS topic, q.partition, q.kafka_offset, q.reason, q.detail, q.received_at, q.quarantined_at,
       q.value_bytes, publisher.text AS publisher, q.whole, q.requeued_at, q.requeued_by, requeued.text AS requeued_topic,
       q.requeued_partition, q.requeued_offset
FROM polku.quarantine q
LEFT JOIN polku.dictionary topic ON topic.id = q.topic_id
LEFT JOIN polku.dictionary publisher ON publisher.id = q.source_id
LEFT JOIN polku.dictionary requeued ON requeued.id = q.requeued_topic_id;
COMMENT ON COLUMN bi.quarantine.value_bytes IS 'Size of its value; null if it had none, or where only its place is known.';
COMMENT ON COLUMN bi.quarantine.publisher IS 'Who published it: the event''s source, else the record''s header "source"; null if neither says it.';
COMMENT ON COLUMN bi.quarantine.whole IS 'The record is kept here; false: it can be read again in Kafka at its offset, as long as that holds it.';
COMMENT ON COLUMN bi.quarantine.requeued_at IS 'When it was published again; null if it was not.';
COMMENT ON COLUMN bi.quarantine.requeued_by IS 'Who did.';
COMMENT ON COLUMN bi.quarantine.requeued_topic IS 'To which topic.';
COMMENT ON COLUMN bi.quarantine.requeued_partition IS 'Partition of the new record.';
COMMENT ON COLUMN bi.quarantine.requeued_offset IS 'Offset of the new record.';

CREATE OR REPLACE VIEW bi.quarantine_by_reason AS
SELECT topic.text AS topic, q.reason, q.records, q.first_at, q.last_at, q.excess, q.requeued
FROM (SELECT a.topic_id, a.reason, sum(a.records + a.excess)::bigint AS records, min(a.first_at) AS first_at, max(a.last_at) AS last_at,
             sum(a.excess)::bigint AS excess, sum(a.requeued)::bigint AS requeued
      FROM (SELECT r.topic_id, r.reason, count(*) AS records, min(r.quarantined_at) AS first_at, max(r.quarantined_at) AS last_at,
                   0 AS excess, count(r.requeued_at) AS requeued
            FROM polku.quarantine r GROUP BY r.topic_id, r.reason
            UNION ALL
            SELECT e.topic_id, e.reason, 0, min(e.hour), max(e.last_at), sum(e.records), 0
            FROM polku.quarantine_excess e GROUP BY e.topic_id, e.reason) a
      GROUP BY a.topic_id, a.reason) q
LEFT JOIN polku.dictionary topic ON topic.id = q.topic_id;
COMMENT ON COLUMN bi.quarantine_by_reason.records IS 'Number of records, those of excess included.';
COMMENT ON COLUMN bi.quarantine_by_reason.first_at IS 'When the first was set aside (of excess, the hour).';
COMMENT ON COLUMN bi.quarantine_by_reason.excess IS 'Of them, counted only, because more came than quarantine takes.';
COMMENT ON COLUMN bi.quarantine_by_reason.requeued IS 'Of them, published again.';

CREATE OR REPLACE VIEW bi.reject AS
SELECT topic.text AS topic, q.reason, q.day, q.records, q.last_at, (SELECT polku.as_of()) AS as_of, q.excess
FROM (SELECT a.topic_id, a.reason, a.day, sum(a.records + a.excess)::bigint AS records, max(a.last_at) AS last_at, sum(a.excess)::bigint AS excess
      FROM (SELECT r.topic_id, r.reason, date_trunc('day', r.quarantined_at, 'UTC') AS day, count(*) AS records, max(r.quarantined_at) AS last_at,
                   0 AS excess
            FROM polku.quarantine r WHERE r.quarantined_at <= (SELECT polku.as_of())
            GROUP BY r.topic_id, r.reason, date_trunc('day', r.quarantined_at, 'UTC')
            UNION ALL
            SELECT e.topic_id, e.reason, date_trunc('day', e.hour, 'UTC'), 0, max(e.last_at), sum(e.records)
            FROM polku.quarantine_excess e WHERE e.last_at <= (SELECT polku.as_of())
            GROUP BY e.topic_id, e.reason, date_trunc('day', e.hour, 'UTC')) a
      GROUP BY a.topic_id, a.reason, a.day) q
LEFT JOIN polku.dictionary topic ON topic.id = q.topic_id;
COMMENT ON COLUMN bi.reject.records IS 'Number of records, those of excess included.';
COMMENT ON COLUMN bi.reject.excess IS 'Of them, counted only, because more came than quarantine takes.';

-- The newest sentence travels with its time as a pair: max() of pairs keeps one row, however many there are.
CREATE VIEW bi.quarantine_by_publisher AS
SELECT publisher.text AS publisher, q.reason, q.day, q.records, q.excess, q.requeued, q.bytes, q.last_at, q.newest[2] AS last_detail,
       (SELECT polku.as_of()) AS as_of
FROM (SELECT a.source_id, a.reason, a.day, sum(a.records + a.excess)::bigint AS records, sum(a.excess)::bigint AS excess,
             sum(a.requeued)::bigint AS requeued, sum(a.bytes)::bigint AS bytes, max(a.last_at) AS last_at, max(a.newest) AS newest
      FROM (SELECT coalesce(r.source_id, 0) AS source_id, r.reason, date_trunc('day', r.quarantined_at, 'UTC') AS day, count(*) AS records,
                   0 AS excess, count(r.requeued_at) AS requeued, sum(r.bytes) AS bytes, max(r.quarantined_at) AS last_at,
                   max(ARRAY[to_char(r.quarantined_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), r.detail]) AS newest
            FROM polku.quarantine r WHERE r.quarantined_at <= (SELECT polku.as_of())
            GROUP BY coalesce(r.source_id, 0), r.reason, date_trunc('day', r.quarantined_at, 'UTC')
            UNION ALL
            SELECT e.source_id, e.reason, date_trunc('day', e.hour, 'UTC'), 0, sum(e.records), 0, sum(e.bytes), max(e.last_at), NULL
            FROM polku.quarantine_excess e WHERE e.last_at <= (SELECT polku.as_of())
            GROUP BY e.source_id, e.reason, date_trunc('day', e.hour, 'UTC')) a
      GROUP BY a.source_id, a.reason, a.day) q
LEFT JOIN polku.dictionary publisher ON publisher.id = q.source_id;
COMMENT ON VIEW bi.quarantine_by_publisher IS 'Records that were set aside, by publisher, reason and UTC day: they are in no figure. For whom to ask.';
COMMENT ON COLUMN bi.quarantine_by_publisher.publisher IS 'Who published them: the event''s source, else the record''s header "source"; null if neither says it.';
COMMENT ON COLUMN bi.quarantine_by_publisher.reason IS 'Reason, as undecodable; see bi.quarantine.';
COMMENT ON COLUMN bi.quarantine_by_publisher.day IS 'UTC day on which they were set aside.';
COMMENT ON COLUMN bi.quarantine_by_publisher.records IS 'Number of records, those of excess included.';
COMMENT ON COLUMN bi.quarantine_by_publisher.excess IS 'Of them, counted only, because more came than quarantine takes.';
COMMENT ON COLUMN bi.quarantine_by_publisher.requeued IS 'Of them, published again.';
COMMENT ON COLUMN bi.quarantine_by_publisher.bytes IS 'Bytes of keys, values and headers.';
COMMENT ON COLUMN bi.quarantine_by_publisher.last_at IS 'When the last was set aside.';
COMMENT ON COLUMN bi.quarantine_by_publisher.last_detail IS 'What is wrong with the newest one that is kept, in a sentence; null if none is.';
COMMENT ON COLUMN bi.quarantine_by_publisher.as_of IS 'The moment for which this row holds: polku.as_of, else now.';

CREATE VIEW bi.quarantine_excess AS
SELECT topic.text AS topic, e.partition, publisher.text AS publisher, e.reason, e.hour, e.records, e.bytes, e.first_offset, e.last_offset,
       e.last_at
FROM (SELECT x.topic_id, x.partition, x.source_id, x.reason, x.hour, sum(x.records)::bigint AS records, sum(x.bytes)::bigint AS bytes,
             min(x.first_offset) AS first_offset, max(x.last_offset) AS last_offset, max(x.last_at) AS last_at
      FROM polku.quarantine_excess x GROUP BY x.topic_id, x.partition, x.source_id, x.reason, x.hour) e
LEFT JOIN polku.dictionary topic ON topic.id = e.topic_id
LEFT JOIN polku.dictionary publisher ON publisher.id = e.source_id;
COMMENT ON VIEW bi.quarantine_excess IS 'Records that were set aside by number only, because more came than quarantine takes, with where they are in Kafka.';
COMMENT ON COLUMN bi.quarantine_excess.topic IS 'Topic.';
COMMENT ON COLUMN bi.quarantine_excess.partition IS 'Partition.';
COMMENT ON COLUMN bi.quarantine_excess.publisher IS 'Who published them, as in bi.quarantine; null if that is not known.';
COMMENT ON COLUMN bi.quarantine_excess.reason IS 'Reason, as undecodable; see bi.quarantine.';
COMMENT ON COLUMN bi.quarantine_excess.hour IS 'UTC hour in which they were set aside.';
COMMENT ON COLUMN bi.quarantine_excess.records IS 'Number of records.';
COMMENT ON COLUMN bi.quarantine_excess.bytes IS 'Bytes of their keys, values and headers.';
COMMENT ON COLUMN bi.quarantine_excess.first_offset IS 'Lowest offset among them.';
COMMENT ON COLUMN bi.quarantine_excess.last_offset IS 'Highest offset among them.';
COMMENT ON COLUMN bi.quarantine_excess.last_at IS 'When the last of them was set aside.';
