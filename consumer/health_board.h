/* SPDX-License-Identifier: Apache-2.0 */
/* health_board.h - between the thread that does the work and the one that is asked how it goes.
 *
 * The worker posts: flags at once (atomics), figures after each batch and now and then between (a copy under a lock that is
 * held for the copy alone; if the reader holds it just then, the next time), and the statistics of Kafka's client as they are
 * (the reader parses them). It never waits. The reader answers from that and from the worker's pulse, also while the worker
 * is stuck. One worker, one reader. */
#ifndef POLKU_HEALTH_BOARD_H
#define POLKU_HEALTH_BOARD_H

#include "metrics_text.h"

struct health_board;

struct health_board_config {
    int64_t live_after_us;
    const char *version, *rules; /* of polku_build_info; copied */
    int schema;
};

struct health_board *health_board_open(const struct health_board_config *config);
void health_board_close(struct health_board *board);

/* ---- the worker's side; a NULL board takes everything and does nothing ---- */

struct pulse *health_board_pulse(struct health_board *board);

struct health_flags {
    bool leaving, connected, joined, claimed, schema_wait;
    size_t partitions;
    int64_t read_us; /* as in health_rules.h */
};
void health_board_show(struct health_board *board, const struct health_flags *flags);
void health_board_post(struct health_board *board, const struct figures *figures, const struct figure_partition *partition,
                       size_t partitions);
/* Takes over what librdkafka's stats_cb gave. */
void health_board_statistics(struct health_board *board, char *json);

/* ---- the reader's side ---- */

/* Answers a GET of `path`: the HTTP status, and the body with its type. */
unsigned health_board_answer(struct health_board *board, const char *path, struct pk_buf *body, const char **ret_type);

#endif
