-- SPDX-License-Identifier: Apache-2.0
-- Another hash key: what a rebuild from Kafka could not hash again, because Kafka did not hold it any more.

CREATE TABLE polku.former_key (
    replaced_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    newest_at     timestamptz NOT NULL,
    before_offset bigint NOT NULL,
    events        bigint NOT NULL,
    identifiers   bigint NOT NULL,
    topic_id      integer NOT NULL,
    partition     integer NOT NULL,
    key_check     uuid NOT NULL,
    hashing_hash  uuid,
    PRIMARY KEY (topic_id, partition, before_offset)
);
COMMENT ON TABLE polku.former_key IS 'Events that stayed as they were hashed when the hash key or the hashing changed. Those of a partition before before_offset (and not before that of another row) have hashes of the former key: nothing under a newer key joins them.';
COMMENT ON COLUMN polku.former_key.replaced_at IS 'When the key or the hashing changed.';
COMMENT ON COLUMN polku.former_key.newest_at IS 'Time of the newest of these events.';
COMMENT ON COLUMN polku.former_key.before_offset IS 'Their Kafka offsets are smaller.';
COMMENT ON COLUMN polku.former_key.events IS 'Number of events then.';
COMMENT ON COLUMN polku.former_key.identifiers IS 'Number of different identifiers in them.';
COMMENT ON COLUMN polku.former_key.topic_id IS 'Topic (dictionary).';
COMMENT ON COLUMN polku.former_key.partition IS 'Partition.';
COMMENT ON COLUMN polku.former_key.key_check IS 'rules_state.key_check of then: tells keys apart without showing them.';
COMMENT ON COLUMN polku.former_key.hashing_hash IS 'rules_state.hashing_hash of then.';

CREATE VIEW bi.former_key AS
SELECT topic.text AS topic, f.partition, f.before_offset, left(f.key_check::text, 8) AS key_id, f.events, f.identifiers, f.newest_at,
       f.replaced_at
FROM polku.former_key f
LEFT JOIN polku.dictionary topic ON topic.id = f.topic_id;
COMMENT ON VIEW bi.former_key IS 'Events that stayed under a former hash key, because Kafka did not hold them any more when the key changed. Their customers are there, and nothing is added to them.';
COMMENT ON COLUMN bi.former_key.topic IS 'Topic.';
COMMENT ON COLUMN bi.former_key.partition IS 'Partition.';
COMMENT ON COLUMN bi.former_key.before_offset IS 'Their Kafka offsets are smaller.';
COMMENT ON COLUMN bi.former_key.key_id IS 'Which key: a check value, the first 8 digits.';
COMMENT ON COLUMN bi.former_key.events IS 'Number of events.';
COMMENT ON COLUMN bi.former_key.identifiers IS 'Number of different identifiers in them.';
COMMENT ON COLUMN bi.former_key.newest_at IS 'Time of the newest one.';
COMMENT ON COLUMN bi.former_key.replaced_at IS 'When the key changed.';
