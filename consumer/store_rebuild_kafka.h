/* SPDX-License-Identifier: Apache-2.0 */
/* store_rebuild_kafka.h - what only a rebuild from Kafka asks of PostgreSQL, beside store_rebuild.h.
 *
 * Notes of what was read are tables of REBUILD_SCHEMA and go with it. What is set aside goes to a quarantine of the shadow
 * (store_config.own_quarantine) and is merged at the swap. All statuses as in store.h. */
#ifndef POLKU_STORE_REBUILD_KAFKA_H
#define POLKU_STORE_REBUILD_KAFKA_H

#include "store_rebuild.h"

/* By `old`, after store_rebuild_make and before the shadow's store is opened. */
enum pk_status store_rebuild_make_notes(struct store *old, struct pk_err *err);

struct rebuild_span { /* one partition */
    sym_t topic;
    int32_t partition;
    int64_t first; /* Kafka's first offset */
    int64_t done;  /* all before it was read */
    int64_t next;  /* the stored position */
    int64_t newest_at_us, newest_received_at_us; /* of what was derived; PK_NO_TIME = nothing */
};
struct rebuild_spans {
    struct rebuild_span *span;
    size_t count;
};
/* The stored positions; `first` and `done` are left 0. */
enum pk_status store_rebuild_positions(struct store *old, struct pk_arena *arena, struct rebuild_spans *ret,
                                       struct pk_err *err);
/* By `shadow`; may be called again with further partitions, and later positions. */
enum pk_status store_rebuild_note_spans(struct store *shadow, const struct rebuild_spans *spans, struct pk_err *err);

struct rebuild_gone { /* stored events whose records Kafka does not hold any more */
    int64_t events;
    int64_t retained; /* beside them, those before the latest retention, whose records are none */
    char topic[250]; /* of the first partition that has some */
    int32_t partition;
    int64_t first, here; /* Kafka's first offset there (-1: the partition is not in Kafka), and how many lie before it */
};
enum pk_status store_rebuild_gone(struct store *old, struct rebuild_gone *ret, struct pk_err *err);

/* ---- another key, other hashing ---- */

struct rebuild_forgotten { /* a row of polku.forgotten */
    struct pk_hash name, event; /* event: zero = none */
};
/* The newest forgetting; with `ret_row` also what is kept of all of them. */
enum pk_status store_rebuild_forgotten(struct store *old, struct pk_arena *arena, int64_t *ret_newest,
                                       struct rebuild_forgotten **ret_row, size_t *ret_count, struct pk_err *err);
/* What is forgotten under one name is forgotten under the other one too. Rows of both stay: nothing that is read under the
 * one key is met by a row of the other. */
enum pk_status store_rebuild_forget_too(struct store *shadow, const struct rebuild_forgotten *from,
                                        const struct rebuild_forgotten *to, size_t count, struct pk_err *err);
/* Notes which of these events (time, hash under the former key) are stored as older ones: they were met again. */
enum pk_status store_rebuild_note_copies(struct store *shadow, const int64_t *at_us, const struct pk_hash *hash, size_t count,
                                         int64_t *ret_noted, struct pk_err *err);
/* Notes for polku.former_key what stays as it is hashed. */
enum pk_status store_rebuild_note_former(struct store *shadow, struct pk_err *err);

/* ---- within the transaction of the swap ---- */

/* The quarantine of what was read in the place of what was set aside of it before; rows that were published again stay. */
enum pk_status store_rebuild_swap_quarantine(struct store *shadow, struct pk_err *err);
/* Newest times of positions: of an event that came twice it may be the other copy now. Holds the positions, for which consumers'
 * claims do not wait long: not before everything else is locked. */
enum pk_status store_rebuild_swap_times(struct store *shadow, struct pk_err *err);
/* Key, decisions in force, former keys. */
enum pk_status store_rebuild_swap_key(struct store *shadow, const struct rebuild_change *change, struct pk_err *err);

#endif
