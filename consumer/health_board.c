/* SPDX-License-Identifier: Apache-2.0 */
#include "health_board.h"
#include "health_rules.h"
#include "kafka_statistics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define GET(member) atomic_load_explicit(&(member), memory_order_relaxed)
#define SET(member, value) atomic_store_explicit(&(member), (value), memory_order_relaxed)

struct posted {
    struct figures figures;
    PK_VEC(struct figure_partition) partition;
};

struct health_board {
    struct pulse pulse;
    int64_t live_after_us, started_at_us;
    _Atomic bool leaving, connected, joined, claimed, schema_wait;
    _Atomic size_t partitions;
    _Atomic int64_t read_us;
    _Atomic(char *) statistics; /* the newest; whoever takes it out owns it */
    pthread_mutex_t lock;
    struct posted posted; /* under the lock */

    /* the reader's own */
    struct posted shown;
    struct kafka_statistics kafka;
    bool kafka_known;
    int64_t lag_since_us, fetched_us;
    size_t served;
    int64_t phases[PULSE_COUNT]; /* as told last */
};

static int64_t wall_clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * PK_SECOND_US + now.tv_nsec / 1000;
}

struct health_board *health_board_open(const struct health_board_config *config)
{
    struct health_board *board = pk_alloc(sizeof *board);
    pthread_mutex_init(&board->lock, NULL);
    board->live_after_us = config->live_after_us;
    board->started_at_us = wall_clock_us();
    board->fetched_us = pulse_clock_us();
    struct figures *figures = &board->posted.figures;
    snprintf(figures->version, sizeof figures->version, "%s", config->version);
    snprintf(figures->rules, sizeof figures->rules, "%s", config->rules);
    figures->schema = config->schema;
    figures->committed_at[0] = figures->quarantine_bytes[0] = FIGURE_NONE;
    pulse_start(&board->pulse, PULSE_DERIVE);
    return board;
}

void health_board_close(struct health_board *board)
{
    if (!board)
        return;
    free(GET(board->statistics));
    kafka_statistics_done(&board->kafka);
    pk_vec_done(&board->posted.partition);
    pk_vec_done(&board->shown.partition);
    pthread_mutex_destroy(&board->lock);
    free(board);
}

/* ---- the worker's side ---- */

struct pulse *health_board_pulse(struct health_board *board)
{
    return board ? &board->pulse : NULL;
}

void health_board_show(struct health_board *board, const struct health_flags *flags)
{
    if (!board)
        return;
    SET(board->leaving, flags->leaving);
    SET(board->connected, flags->connected);
    SET(board->joined, flags->joined);
    SET(board->claimed, flags->claimed);
    SET(board->schema_wait, flags->schema_wait);
    SET(board->partitions, flags->partitions);
    SET(board->read_us, flags->read_us);
    pulse_beat(&board->pulse);
}

static void set_partitions(struct posted *posted, const struct figure_partition *partition, size_t partitions)
{
    posted->partition.len = 0;
    for (size_t i = 0; i < partitions; i++)
        *pk_vec_push(&posted->partition) = partition[i];
}

void health_board_post(struct health_board *board, const struct figures *figures, const struct figure_partition *partition,
                       size_t partitions)
{
    if (!board || pthread_mutex_trylock(&board->lock) != 0)
        return;
    struct figures before = board->posted.figures;
    board->posted.figures = *figures;
    memcpy(board->posted.figures.version, before.version, sizeof before.version);
    memcpy(board->posted.figures.rules, before.rules, sizeof before.rules);
    board->posted.figures.schema = before.schema;
    set_partitions(&board->posted, partition, partitions);
    pthread_mutex_unlock(&board->lock);
}

void health_board_statistics(struct health_board *board, char *json)
{
    free(board ? atomic_exchange(&board->statistics, json) : json);
}

/* ---- the reader's side ---- */

static void take_statistics(struct health_board *board, int64_t now_us)
{
    char *json = atomic_exchange(&board->statistics, NULL);
    if (!json)
        return;
    int64_t fetches = board->kafka.fetches;
    board->kafka_known |= kafka_statistics_read(json, &board->kafka);
    if (board->kafka.fetches != fetches)
        board->fetched_us = now_us;
    free(json);
}

static void take_posted(struct health_board *board)
{
    pthread_mutex_lock(&board->lock);
    board->shown.figures = board->posted.figures;
    set_partitions(&board->shown, board->posted.partition.ptr, board->posted.partition.len);
    pthread_mutex_unlock(&board->lock);
}

/* Where Kafka's ends are known, partition by partition. Lag of those that a broker serves now. */
static int64_t join_ends(struct health_board *board)
{
    int64_t lag = 0;
    board->served = 0;
    for (size_t i = 0; i < board->shown.partition.len; i++) {
        struct figure_partition *partition = &board->shown.partition.ptr[i];
        const struct kafka_partition *at = kafka_statistics_find(&board->kafka, partition->topic, partition->partition);
        partition->end = partition->lag = FIGURE_NONE;
        if (!at || at->end < 0)
            continue;
        partition->end = PK_MAX(at->end, partition->position); /* the statistics may be older */
        partition->lag = partition->end - partition->position;
        board->served += at->served;
        lag += at->served ? partition->lag : 0;
    }
    return lag;
}

static struct health_state state_of(struct health_board *board, int64_t now_us)
{
    int64_t lag = join_ends(board);
    if (lag == 0)
        board->lag_since_us = 0;
    else if (board->lag_since_us == 0)
        board->lag_since_us = now_us;
    return (struct health_state){
        .live_after_us = board->live_after_us,
        .phase = (enum pulse_phase)GET(board->pulse.phase),
        .phase_since_us = GET(board->pulse.since_us),
        .beat_us = GET(board->pulse.beat_us),
        .leaving = GET(board->leaving),
        .connected = GET(board->connected),
        .joined = GET(board->joined),
        .claimed = GET(board->claimed),
        .schema_wait = GET(board->schema_wait),
        .partitions = GET(board->partitions),
        .read_us = GET(board->read_us),
        .kafka_known = board->kafka_known,
        .brokers_up = board->kafka.brokers_up,
        .served = board->served,
        .lag = lag,
        .lag_since_us = board->lag_since_us,
        .queue_empty = board->kafka.queue_records == 0,
        .fetched_us = board->fetched_us,
    };
}

static int64_t resident_bytes(void)
{
    long pages = -1;
    FILE *in = fopen("/proc/self/statm", "r");
    if (in && fscanf(in, "%*s %ld", &pages) != 1)
        pages = -1;
    if (in)
        fclose(in);
    return pages < 0 ? FIGURE_NONE : pages * sysconf(_SC_PAGESIZE);
}

static int64_t processor_us(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return FIGURE_NONE;
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * PK_SECOND_US + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

/* The worker may have gone on between the look at its phase and the one at the sums: what was told once is not taken back. */
static void set_phases(struct health_board *board, const struct health_state *state, int64_t now_us)
{
    for (int i = 0; i < PULSE_COUNT; i++) {
        int64_t now = i == (int)state->phase ? PK_MAX(now_us - state->phase_since_us, INT64_C(0)) : 0;
        board->phases[i] = PK_MAX(board->phases[i], GET(board->pulse.spent_us[i]) + now);
        board->shown.figures.phases[i] = board->phases[i];
    }
}

/* What is known here and not by the worker. */
static void complete(struct health_board *board, const struct health_state *state, int64_t now_us)
{
    struct figures *f = &board->shown.figures;
    const struct kafka_statistics *kafka = &board->kafka;
    f->alive[0] = health_live(state, now_us).good;
    f->ready[0] = health_ready(state, now_us).good;
    f->connected[0] = state->connected;
    f->schema_wait[0] = state->schema_wait;
    set_phases(board, state, now_us);
    f->memory[0] = resident_bytes();
    f->processor[0] = processor_us();
    f->started_at[0] = board->started_at_us;
    bool known = board->kafka_known;
    f->brokers[METRIC_LINK_up] = known ? (int64_t)kafka->brokers_up : FIGURE_NONE;
    f->brokers[METRIC_LINK_down] = known ? (int64_t)kafka->brokers_down : FIGURE_NONE;
    f->queue_records[0] = known ? kafka->queue_records : FIGURE_NONE;
    f->queue_bytes[0] = known ? kafka->queue_bytes : FIGURE_NONE;
    f->round_trip[0] = known && kafka->round_trip_us >= 0 ? kafka->round_trip_us : FIGURE_NONE;
    f->kafka_errors[0] = kafka->errors;
    f->kafka_timeouts[0] = kafka->timeouts;
    f->fetches[0] = kafka->fetches;
    f->rebalances[0] = kafka->rebalances;
}

static unsigned say(const struct health_verdict *verdict, struct pk_buf *body)
{
    pk_buf_printf(body, "%s\n", verdict->text);
    return verdict->good ? 200 : 503;
}

unsigned health_board_answer(struct health_board *board, const char *path, struct pk_buf *body, const char **ret_type)
{
    int64_t now_us = pulse_clock_us();
    take_statistics(board, now_us);
    take_posted(board);
    struct health_state state = state_of(board, now_us);
    *ret_type = "text/plain; charset=utf-8";
    if (strcmp(path, "/livez") == 0) {
        struct health_verdict verdict = health_live(&state, now_us);
        return say(&verdict, body);
    }
    if (strcmp(path, "/readyz") == 0) {
        struct health_verdict verdict = health_ready(&state, now_us);
        return say(&verdict, body);
    }
    if (strcmp(path, "/metrics") == 0) {
        *ret_type = "text/plain; version=0.0.4; charset=utf-8";
        complete(board, &state, now_us);
        metrics_text(&board->shown.figures, board->shown.partition.ptr, board->shown.partition.len, body);
        return 200;
    }
    pk_buf_text(body, "there are /livez, /readyz and /metrics\n");
    return 404;
}
