/* SPDX-License-Identifier: Apache-2.0 */
/* health_rules.h - is this consumer alive, is it ready: the rules behind /livez and /readyz.
 *
 * Pure: a struct and the time in, a verdict out.
 *
 * *Alive* is a promise to whoever restarts what is not: a restart would help. It does where the thread that does the work has
 * stopped, and where Kafka's client gives nothing although there is something. It does not where PostgreSQL, the registry or
 * Kafka is away or slow: whoever comes after would wait for them too, and have lost its cache. Waiting for them is alive, and
 * not ready.
 *
 * *Ready*: it does what it is for, or would, if there were anything to do. A member of the group without a partition is. */
#ifndef POLKU_HEALTH_RULES_H
#define POLKU_HEALTH_RULES_H

#include "pulse.h"

struct health_state {            /* times: monotonic, microseconds */
    int64_t live_after_us;       /* --live-after */
    enum pulse_phase phase;
    int64_t phase_since_us, beat_us;
    bool leaving;                /* asked to stop */
    bool connected;              /* to PostgreSQL */
    bool joined;                 /* Kafka has given us our partitions, perhaps none */
    bool claimed;                /* where they stand was read from PostgreSQL, and nobody has taken them since */
    bool schema_wait;            /* reading stands still until the registry says what an id means */
    size_t partitions;
    int64_t read_us;             /* when a record last came from Kafka, or reading began */
    bool kafka_known;            /* the rest was told by Kafka's client */
    size_t brokers_up;
    size_t served;               /* our partitions that a broker has which is connected */
    int64_t lag;                 /* records that they have for us */
    int64_t lag_since_us;        /* since when there are any */
    bool queue_empty;            /* the client holds no records for us */
    int64_t fetched_us;          /* when it was last seen to ask a broker for records */
};

struct health_verdict {
    bool good;
    char text[200]; /* one line: why not, or what it is at */
};

struct health_verdict health_live(const struct health_state *state, int64_t now_us);
struct health_verdict health_ready(const struct health_state *state, int64_t now_us);

#endif
