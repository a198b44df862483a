/* SPDX-License-Identifier: Apache-2.0 */
/* metrics_text.h - the figures of one process, from metrics.def, and their text in the format of Prometheus.
 *
 * Pure. Label values come from closed sets (metrics_label.def, reject.def, pulse.def) and from the partitions that this process
 * holds, never from records: the number of series is bounded, and docs/metrics.md says by what. */
#ifndef POLKU_METRICS_TEXT_H
#define POLKU_METRICS_TEXT_H

#include "event.h"
#include "pulse.h"

#define BEGIN(set, label) enum {
#define WORD(set, word) METRIC_##set##_##word,
#define END(set) METRIC_##set##_COUNT };
#include "metrics_label.def"
enum { METRIC_REASON_COUNT = REJECT_COUNT, METRIC_PHASE_COUNT = PULSE_COUNT };

enum { HISTOGRAM_MOST = 20 };
enum histogram_bounds { BOUNDS_RECORDS, BOUNDS_BATCH, BOUNDS_AGE, BOUNDS_COUNT };
struct histogram {
    uint64_t bucket[HISTOGRAM_MOST + 1]; /* not cumulative; the last: more than all bounds */
    double sum; /* years of many records, in microseconds, are more than 64 bits */
};

#define FIGURE_NONE INT64_MIN /* not known: the sample is left out */

struct figure_partition {
    char topic[250];
    int32_t partition;
#define P(type, member, name, unit, help) int64_t member;
#include "metrics.def"
};

struct figures {
#define X(type, member, name, labels, unit, help) int64_t member[METRIC_##labels##_COUNT];
#define H(member, name, bounds, unit, help) struct histogram member;
#include "metrics.def"
    char version[32], rules[40]; /* polku_build_info */
    int schema;
};

void histogram_add(struct histogram *histogram, enum histogram_bounds bounds, int64_t value);

void metrics_text(const struct figures *figures, const struct figure_partition *partition, size_t partitions,
                  struct pk_buf *out);
/* A Markdown table for docs/metrics.md. */
void metrics_markdown(struct pk_buf *out);
/* Series without partitions, and for each partition. */
void metrics_count(size_t *ret_fixed, size_t *ret_partition);

#endif
