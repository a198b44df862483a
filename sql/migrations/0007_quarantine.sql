-- SPDX-License-Identifier: Apache-2.0
-- Quarantine, whole: who published what was set aside, what was published again, and what was only counted because too much came.

ALTER TABLE polku.quarantine
    ADD COLUMN source_id      integer,
    ADD COLUMN requeued_at    timestamptz,
    ADD COLUMN requeued_by    text,
    ADD COLUMN requeued_topic_id integer,
    ADD COLUMN requeued_partition integer,
    ADD COLUMN requeued_offset bigint;
COMMENT ON COLUMN polku.quarantine.source_id IS 'Publisher (dictionary): the event''s source where the record could be decoded so far, else the record''s header "source"; null if neither says it.';
COMMENT ON COLUMN polku.quarantine.requeued_at IS 'When polku-consumer requeue published it again; null if it did not.';
COMMENT ON COLUMN polku.quarantine.requeued_by IS 'Who did.';
COMMENT ON COLUMN polku.quarantine.requeued_topic_id IS 'To which topic (dictionary).';
COMMENT ON COLUMN polku.quarantine.requeued_partition IS 'Partition of the new record.';
COMMENT ON COLUMN polku.quarantine.requeued_offset IS 'Offset of the new record.';

CREATE TABLE polku.quarantine_excess (
    hour         timestamptz NOT NULL,
    records      bigint NOT NULL,
    bytes        bigint NOT NULL,
    first_offset bigint NOT NULL,
    last_offset  bigint NOT NULL,
    topic_id     integer NOT NULL,
    partition    integer NOT NULL,
    source_id    integer NOT NULL,
    reason       text COLLATE "C" NOT NULL,
    PRIMARY KEY (topic_id, partition, hour, reason, source_id)
);
COMMENT ON TABLE polku.quarantine_excess IS 'Records that were set aside by number only, because more came than quarantine takes: they can be read again in Kafka, as long as it holds them.';
COMMENT ON COLUMN polku.quarantine_excess.hour IS 'Hour in which they were set aside.';
COMMENT ON COLUMN polku.quarantine_excess.records IS 'Number of records.';
COMMENT ON COLUMN polku.quarantine_excess.bytes IS 'Bytes of their keys, values and headers.';
COMMENT ON COLUMN polku.quarantine_excess.first_offset IS 'Lowest offset among them.';
COMMENT ON COLUMN polku.quarantine_excess.last_offset IS 'Highest offset among them.';
COMMENT ON COLUMN polku.quarantine_excess.topic_id IS 'Topic (dictionary).';
COMMENT ON COLUMN polku.quarantine_excess.partition IS 'Partition.';
COMMENT ON COLUMN polku.quarantine_excess.source_id IS 'Publisher (dictionary); 0 if unknown.';
COMMENT ON COLUMN polku.quarantine_excess.reason IS 'One of common/reject.def, as undecodable.';
