/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics_text.h"

#include <inttypes.h>

enum type { COUNTER, GAUGE, HISTOGRAM };
enum unit { NUMBER, BYTES, SECONDS };

#define BEGIN(set, label) static const char *const words_##set[] = {
#define WORD(set, word) #word,
#define END(set) };
#include "metrics_label.def"
static const char *const words_REASON[] = {
#define X(id, name, help) name,
#include "reject.def"
#undef X
};
static const char *const words_PHASE[] = {
#define X(id, name, help) name,
#include "pulse.def"
#undef X
};

#define BEGIN(set, label) static const char label_##set[] = label;
#define WORD(set, word)
#define END(set)
#include "metrics_label.def"
static const char label_REASON[] = "reason", label_PHASE[] = "phase";

#define MS INT64_C(1000)
#define S PK_SECOND_US
static const struct {
    size_t count;
    int64_t bound[HISTOGRAM_MOST];
} bounds[BOUNDS_COUNT] = {
    [BOUNDS_RECORDS] = {11, {1, 10, 100, 500, 1000, 2500, 5000, 10000, 25000, 100000, 1000000}},
    [BOUNDS_BATCH] = {16, {5 * MS, 10 * MS, 25 * MS, 50 * MS, 100 * MS, 250 * MS, 500 * MS, S, 5 * S / 2, 5 * S, 10 * S, 30 * S,
                           60 * S, 120 * S, 300 * S, 600 * S}},
    [BOUNDS_AGE] = {18, {50 * MS, 100 * MS, 250 * MS, 500 * MS, S, 5 * S / 2, 5 * S, 10 * S, 30 * S, 60 * S, 300 * S, 900 * S,
                         PK_HOUR_US, 6 * PK_HOUR_US, PK_DAY_US, 7 * PK_DAY_US, 30 * PK_DAY_US, 365 * PK_DAY_US}},
};

static const struct metric {
    enum type type;
    const char *name, *label;
    const char *const *word;
    size_t words, offset;
    enum histogram_bounds bounds;
    enum unit unit;
    bool by_partition;
    const char *help;
} metrics[] = {
#define X(type, member, name, labels, unit, help)                                                                      \
    {type, name, label_##labels, words_##labels, METRIC_##labels##_COUNT, offsetof(struct figures, member), 0, unit, false, help},
#define H(member, name, bounds, unit, help)                                                                            \
    {HISTOGRAM, name, "", NULL, 1, offsetof(struct figures, member), BOUNDS_##bounds, unit, false, help},
#define P(type, member, name, unit, help)                                                                              \
    {type, name, "topic, partition", NULL, 1, offsetof(struct figure_partition, member), 0, unit, true, help},
#include "metrics.def"
};

static const char build_info[] = "polku_build_info";
static const char build_help[] =
    "1; which program (version), tables (schema) and rules (the first digits of their hash) this process works with";

void histogram_add(struct histogram *histogram, enum histogram_bounds which, int64_t value)
{
    size_t i = 0;
    while (i < bounds[which].count && value > bounds[which].bound[i])
        i++;
    histogram->bucket[i]++;
    histogram->sum += (double)value;
}

/* ---- text ---- */

static const char *type_name(enum type type)
{
    return type == COUNTER ? "counter" : type == GAUGE ? "gauge" : "histogram";
}

/* As the format asks: backslash, line end, and in label values the quote. */
static void add_escaped(struct pk_buf *out, const char *text, bool label)
{
    for (; *text; text++) {
        if (*text == '\\')
            pk_buf_text(out, "\\\\");
        else if (*text == '\n')
            pk_buf_text(out, "\\n");
        else if (*text == '"' && label)
            pk_buf_text(out, "\\\"");
        else
            pk_buf_add(out, text, 1);
    }
}

static void add_value(struct pk_buf *out, enum unit unit, int64_t value)
{
    uint64_t whole = value < 0 ? -(uint64_t)value : (uint64_t)value;
    if (unit == SECONDS)
        pk_buf_printf(out, "%s%" PRIu64 ".%06" PRIu64, value < 0 ? "-" : "", whole / 1000000, whole % 1000000);
    else
        pk_buf_printf(out, "%" PRId64, value);
}

static void add_bound(struct pk_buf *out, enum unit unit, int64_t bound)
{
    if (unit == SECONDS)
        pk_buf_printf(out, "%.10g", (double)bound / 1e6);
    else
        pk_buf_printf(out, "%" PRId64, bound);
}

static void add_head(struct pk_buf *out, const char *name, enum type type, const char *help)
{
    pk_buf_printf(out, "# HELP %s ", name);
    add_escaped(out, help, false);
    pk_buf_printf(out, "\n# TYPE %s %s\n", name, type_name(type));
}

static void add_histogram(struct pk_buf *out, const struct metric *metric, const struct histogram *histogram)
{
    uint64_t count = 0;
    for (size_t i = 0; i < bounds[metric->bounds].count; i++) {
        count += histogram->bucket[i];
        pk_buf_printf(out, "%s_bucket{le=\"", metric->name);
        add_bound(out, metric->unit, bounds[metric->bounds].bound[i]);
        pk_buf_printf(out, "\"} %" PRIu64 "\n", count);
    }
    count += histogram->bucket[bounds[metric->bounds].count];
    pk_buf_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum ", metric->name, count, metric->name);
    pk_buf_printf(out, metric->unit == SECONDS ? "%.6f" : "%.0f", metric->unit == SECONDS ? histogram->sum / 1e6 : histogram->sum);
    pk_buf_printf(out, "\n%s_count %" PRIu64 "\n", metric->name, count);
}

static void add_numbers(struct pk_buf *out, const struct metric *metric, const int64_t *value)
{
    for (size_t i = 0; i < metric->words; i++) {
        if (value[i] == FIGURE_NONE)
            continue;
        pk_buf_text(out, metric->name);
        if (metric->label[0])
            pk_buf_printf(out, "{%s=\"%s\"}", metric->label, metric->word[i]);
        pk_buf_text(out, " ");
        add_value(out, metric->unit, value[i]);
        pk_buf_text(out, "\n");
    }
}

static void add_partitions(struct pk_buf *out, const struct metric *metric, const struct figure_partition *partition,
                           size_t partitions)
{
    for (size_t i = 0; i < partitions; i++) {
        int64_t value;
        memcpy(&value, (const char *)&partition[i] + metric->offset, sizeof value);
        if (value == FIGURE_NONE)
            continue;
        pk_buf_printf(out, "%s{topic=\"", metric->name);
        add_escaped(out, partition[i].topic, true);
        pk_buf_printf(out, "\",partition=\"%" PRId32 "\"} ", partition[i].partition);
        add_value(out, metric->unit, value);
        pk_buf_text(out, "\n");
    }
}

void metrics_text(const struct figures *figures, const struct figure_partition *partition, size_t partitions,
                  struct pk_buf *out)
{
    add_head(out, build_info, GAUGE, build_help);
    pk_buf_printf(out, "%s{version=\"", build_info);
    add_escaped(out, figures->version, true);
    pk_buf_printf(out, "\",schema=\"%d\",rules=\"", figures->schema);
    add_escaped(out, figures->rules, true);
    pk_buf_text(out, "\"} 1\n");
    for (size_t i = 0; i < PK_COUNT(metrics); i++) {
        const struct metric *metric = &metrics[i];
        const void *value = (const char *)figures + metric->offset;
        add_head(out, metric->name, metric->type, metric->help);
        if (metric->by_partition)
            add_partitions(out, metric, partition, partitions);
        else if (metric->type == HISTOGRAM)
            add_histogram(out, metric, value);
        else
            add_numbers(out, metric, value);
    }
}

/* ---- page ---- */

void metrics_count(size_t *ret_fixed, size_t *ret_partition)
{
    size_t fixed = 1, by_partition = 0;
    for (size_t i = 0; i < PK_COUNT(metrics); i++) {
        if (metrics[i].by_partition)
            by_partition++;
        else
            fixed += metrics[i].type == HISTOGRAM ? bounds[metrics[i].bounds].count + 3 : metrics[i].words;
    }
    *ret_fixed = fixed;
    *ret_partition = by_partition;
}

static void add_labels_cell(struct pk_buf *out, const struct metric *metric)
{
    if (metric->by_partition || !metric->label[0]) {
        pk_buf_text(out, metric->label);
        return;
    }
    pk_buf_printf(out, "%s:", metric->label);
    for (size_t i = 0; i < metric->words; i++)
        pk_buf_printf(out, "%s %s", i ? "," : "", metric->word[i]);
}

void metrics_markdown(struct pk_buf *out)
{
    size_t fixed, by_partition;
    metrics_count(&fixed, &by_partition);
    pk_buf_printf(out, "%zu series of each process, and %zu for each partition that it holds.\n\n", fixed, by_partition);
    pk_buf_text(out, "| metric | type | labels | meaning |\n|---|---|---|---|\n");
    pk_buf_printf(out, "| `%s` | gauge | version, schema, rules | %s |\n", build_info, build_help);
    for (size_t i = 0; i < PK_COUNT(metrics); i++) {
        pk_buf_printf(out, "| `%s` | %s | ", metrics[i].name, type_name(metrics[i].type));
        add_labels_cell(out, &metrics[i]);
        pk_buf_printf(out, " | %s |\n", metrics[i].help);
    }
}
