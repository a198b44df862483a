/* SPDX-License-Identifier: Apache-2.0 */
/* intake_look.h - what Kafka says of topics: how they are kept and set. Asks only, as a member of no group.
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

/* Fills everything but `name`. PK_RETRY: no broker answers. */
enum pk_status intake_look_topics(const struct intake_config *config, struct look_topic *topic, size_t count, int64_t timeout_us,
                                  struct pk_err *err);
/* Is this cleanup.policy one by which Kafka drops all but the newest record of a key? */
bool intake_look_compacts(const char *policy);

#endif
