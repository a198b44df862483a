/* SPDX-License-Identifier: Apache-2.0 */
/* intake_look.h - what Kafka says of topics and of a group: how they are kept, set and used. Asks only, as a member of no group.
 *
 * Whether records may vanish behind our back is decided by a topic's settings, and only an administrator's question gives
 * them (DescribeConfigs). A user who may read a topic need not be one who may ask. */
#ifndef POLKU_INTAKE_LOOK_H
#define POLKU_INTAKE_LOOK_H

#include "intake.h"

#define LOOK_SETTINGS(X)                                                                                                   \
    X(CLEANUP_POLICY, "cleanup.policy")                                                                                    \
    X(RETENTION_MS, "retention.ms")                                                                                        \
    X(RETENTION_BYTES, "retention.bytes")                                                                                  \
    X(MIN_INSYNC_REPLICAS, "min.insync.replicas")                                                                          \
    X(MAX_MESSAGE_BYTES, "max.message.bytes")                                                                              \
    X(TIMESTAMP_TYPE, "message.timestamp.type")

enum look_setting {
#define X(id, name) LOOK_##id,
    LOOK_SETTINGS(X)
#undef X
    LOOK_SETTING_COUNT
};

enum look_answer {
    LOOK_TOLD,
    LOOK_NO_TOPIC,
    LOOK_DENIED, /* the user may not ask: the operation DescribeConfigs */
    LOOK_FAILED, /* `why` says how; it may pass */
};

struct look_topic {
    const char *name; /* the caller's */
    enum look_answer answer;
    char setting[LOOK_SETTING_COUNT][64]; /* "": Kafka does not say */
    char why[200];
};

/* The second part of what there is to know, by way of metadata and of the records themselves. */
struct look_partitions {
    const char *topic;
    enum look_answer answer;
    char why[200];
    int partitions, leaderless, behind; /* behind: with a replica that does not keep up */
    int replicas;                       /* of the partition that has the fewest */
    PK_VEC(struct intake_watermark) mark;
    bool read, denied;                  /* its newest records: read; or not allowed */
    int64_t newest_at_us;               /* the latest of their times; PK_NO_TIME */
};

struct look_member {
    char client[100], host[100], instance[100];
};
struct look_group {
    enum look_answer answer;
    char why[200], state[40], assignor[40];
    PK_VEC(struct look_member) member;
};

struct look_kafka {
    int brokers;
    char why[500]; /* nobody answers: the last that the client said of it */
};

/* Fills everything but `name`. PK_RETRY: no broker answers. */
enum pk_status intake_look_topics(const struct intake_config *config, struct look_topic *topic, size_t count, int64_t timeout_us,
                                  struct pk_err *err);
/* PK_RETRY: nobody answers within the time; ret->why says more than the error. */
enum pk_status intake_look_brokers(const struct intake_config *config, int64_t timeout_us, struct look_kafka *ret, struct pk_err *err);
/* Fills everything but `topic`. What cannot be known is said in `answer` and `why`. The newest record of up to 64 partitions is read. */
enum pk_status intake_look_partitions(const struct intake_config *config, struct look_partitions *look, int64_t timeout_us,
                                      struct pk_err *err);
void intake_look_partitions_done(struct look_partitions *look);
enum pk_status intake_look_group(const struct intake_config *config, int64_t timeout_us, struct look_group *ret, struct pk_err *err);
void intake_look_group_done(struct look_group *look);
/* Is this cleanup.policy one by which Kafka drops all but the newest record of a key? */
bool intake_look_compacts(const char *policy);

#endif
