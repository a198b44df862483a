/* SPDX-License-Identifier: Apache-2.0 */
/* metric.h - what one event and one obligation add to the aggregates, and their differences.
 *
 * Pure. An aggregate changes only by contribution(new) - contribution(old), so it always equals the
 * GROUP BY it stands for (docs/semantics.md 6). */
#ifndef POLKU_METRIC_H
#define POLKU_METRIC_H

#include "changes.h"

/* Differences collected over a batch, one entry per bucket. */
struct metrics {
    struct metric_slot *slot;
    size_t slots, used;
    PK_VEC(struct change_interactions) interactions;
    PK_VEC(struct change_obligations) obligations;
};

void metrics_reset(struct metrics *metrics);
void metrics_done(struct metrics *metrics);
void metrics_add_event(struct metrics *metrics, const struct fact *fact, int sign);
void metrics_add_obligation(struct metrics *metrics, const struct obligation *o, int sign);
/* Appends the buckets whose difference is not zero, sorted by all members of their key. */
void metrics_collect(struct metrics *metrics, struct changes *changes);

#endif
