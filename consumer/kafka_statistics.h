/* SPDX-License-Identifier: Apache-2.0 */
/* kafka_statistics.h - what librdkafka tells of itself as JSON, as far as health and metrics ask for it.
 *
 * Pure. A member that is missing counts as 0 or "not known": other versions say other things. */
#ifndef POLKU_KAFKA_STATISTICS_H
#define POLKU_KAFKA_STATISTICS_H

#include "pk.h"

struct kafka_partition {
    char topic[250];
    int32_t partition;
    int64_t end;    /* of what read_committed may see; -1 = not known */
    int64_t queued; /* records that wait for us */
    bool served;    /* a broker that has it is connected */
};

struct kafka_statistics {
    size_t brokers_up, brokers_down; /* of those with an id: the addresses of --brokers are left out */
    int64_t round_trip_us;           /* mean, to the group's coordinator; -1 = none was made */
    int64_t errors, timeouts, fetches, rebalances, queue_records, queue_bytes;
    PK_VEC(struct kafka_partition) partition; /* all but internal ones */
};

/* False: that is no such JSON; `ret` is as it was. */
bool kafka_statistics_read(const char *json, struct kafka_statistics *ret);
void kafka_statistics_done(struct kafka_statistics *statistics);
const struct kafka_partition *kafka_statistics_find(const struct kafka_statistics *statistics, const char *topic,
                                                    int32_t partition); /* NULL: not in them */

#endif
