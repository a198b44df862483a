/* SPDX-License-Identifier: Apache-2.0 */
#include "health_rules.h"

#include <inttypes.h>
#include <stdio.h>

enum { ANSWER_SECONDS = 10 }; /* PostgreSQL takes longer: not ready */

static struct health_verdict verdict(bool good, const char *format, ...) __attribute__((format(printf, 2, 3)));

static struct health_verdict verdict(bool good, const char *format, ...)
{
    struct health_verdict ret = {.good = good};
    va_list list;
    va_start(list, format);
    vsnprintf(ret.text, sizeof ret.text, format, list);
    va_end(list);
    return ret;
}

static int64_t seconds(int64_t us)
{
    return us / PK_SECOND_US;
}

/* Calls that come back by themselves, after the time that was set for them; in all others it shows signs of life. */
static bool waits_for_others(enum pulse_phase phase)
{
    return phase == PULSE_CONNECT || phase == PULSE_REGISTRY || phase == PULSE_PAUSE;
}

static bool is_reading(const struct health_state *s)
{
    return s->connected && s->joined && s->claimed && !s->schema_wait && s->partitions > 0 &&
           (s->phase == PULSE_WAIT || s->phase == PULSE_DECODE || s->phase == PULSE_DERIVE);
}

/* Kafka's client has been silent although a broker is there: it has faults of that kind, and a restart ends them. */
static bool is_client_stuck(const struct health_state *s, int64_t now_us, struct health_verdict *ret)
{
    if (!is_reading(s) || !s->kafka_known || s->served == 0)
        return false;
    int64_t idle_us = now_us - PK_MAX(s->read_us, s->lag_since_us);
    if (s->lag > 0 && idle_us > s->live_after_us) {
        *ret = verdict(false, "%" PRId64 " records wait in Kafka, its brokers answer, and none came for %" PRId64 " s", s->lag,
                       seconds(idle_us));
        return true;
    }
    int64_t silent_us = now_us - PK_MAX(s->read_us, s->fetched_us);
    if (s->queue_empty && silent_us > s->live_after_us) {
        *ret = verdict(false, "Kafka's client has asked no broker for records for %" PRId64 " s", seconds(silent_us));
        return true;
    }
    return false;
}

struct health_verdict health_live(const struct health_state *s, int64_t now_us)
{
    static const char *const at[] = {
#define X(id, name, help) help,
#include "pulse.def"
#undef X
    };
    struct health_verdict stuck;
    int64_t silent_us = now_us - s->beat_us;
    if (silent_us > s->live_after_us && !waits_for_others(s->phase))
        return verdict(false, "no sign of life for %" PRId64 " s, since: %s", seconds(silent_us), at[s->phase]);
    if (is_client_stuck(s, now_us, &stuck))
        return stuck;
    return verdict(true, "alive: %s", at[s->phase]);
}

struct health_verdict health_ready(const struct health_state *s, int64_t now_us)
{
    struct health_verdict live = health_live(s, now_us);
    int64_t waits_us = s->phase == PULSE_LOAD || s->phase == PULSE_COMMIT ? now_us - s->phase_since_us : 0;
    if (!live.good)
        return live;
    if (s->leaving)
        return verdict(false, "it was asked to stop");
    if (!s->connected)
        return verdict(false, "no connection to PostgreSQL: it is tried, the log says why not");
    if (waits_us > ANSWER_SECONDS * PK_SECOND_US)
        return verdict(false, "PostgreSQL has not answered for %" PRId64 " s", seconds(waits_us));
    if (s->kafka_known && s->brokers_up == 0)
        return verdict(false, "no broker of Kafka can be reached");
    if (!s->joined)
        return verdict(false, "not in the group yet, or a rebalance is under way");
    if (s->partitions > 0 && !s->claimed)
        return verdict(false, "%zu partitions are ours, and not claimed in PostgreSQL yet", s->partitions);
    if (s->schema_wait)
        return verdict(false, "reading waits for a schema that the registry cannot give now");
    if (s->partitions == 0)
        return verdict(true, "ready: the group has more consumers than partitions, this one has none");
    return verdict(true, "ready: reading %zu partitions", s->partitions);
}
