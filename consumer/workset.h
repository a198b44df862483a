/* SPDX-License-Identifier: Apache-2.0 */
/* workset.h - what one try of one batch uses: its facts, their keys, cells and customers.
 *
 * Pure: it says what it needs (workset_need), the pipeline loads that and puts it in, until nothing is
 * missing; then workset_save derives and fills the changes. The cells that it holds at the end are the
 * *used cells* of protocol page docs/protocol.md: everything read or written is protected by one of them. */
#ifndef POLKU_WORKSET_H
#define POLKU_WORKSET_H

#include "cache.h"

struct ws_cell {
    int64_t id; /* of a new cell: given by workset_save's caller */
    uint64_t version;
    bool is_new, locked;
};

struct ws_key {
    struct pk_hash hash;
    enum key_kind kind;
    sym_t name_space;
    bool looked_up, in_database, asked;
    bool couples;             /* those who met here may influence each other's rows */
    bool named;               /* met by an event of this batch that was derived already */
    struct ws_cell *cell;     /* NULL until known */
    struct pk_hash *user;     /* customers met with it, stored ones first; zero = events without a customer */
    uint32_t user_count, user_cap, stored_users;
    struct pk_map user_index; /* user -> its place + 1; used once there are many */
};

struct ws_customer {
    struct pk_hash id;
    enum key_kind kind;
    sym_t name_space;
    struct ws_key *key;
    const struct customer *state; /* from the cache; NULL = not known */
    struct ws_fact **fact;        /* of this batch, in event order */
    uint32_t fact_count, fact_cap;
    bool slow, coupled, asked, loaded, appended;
    struct derivation *derivation; /* fast path, once appended */
    struct customer *result;       /* slow path */
    struct group_result *result_group;
    struct fact **stored; /* loaded */
    uint32_t stored_count, stored_cap;
    struct ws_customer *parent; /* union-find over customers that influence each other */
};

struct ws_fact {
    struct fact *fact;
    struct ws_customer *customer; /* NULL = none */
    bool dropped;                 /* a duplicate; not part of the batch any more */
    bool checked;                 /* the database was asked whether it has the event */
    uint8_t key_count;
    struct ws_key **key;          /* those of the fact, with their role */
    uint8_t *role;
};

enum ws_need_kind { NEED_NOTHING, NEED_KEYS, NEED_CUSTOMERS, NEED_NAMELESS, NEED_EVENTS };
struct ws_need {
    enum ws_need_kind kind;
    struct pk_hash *hash; /* KEYS, CUSTOMERS, NAMELESS (values of relates_to) */
    struct fact **fact;   /* EVENTS */
    size_t count;
};

struct workset {
    const struct meaning *meaning;
    struct pk_arena *arena;
    struct cache *cache; /* NULL: nothing is taken from it (tries 2 and 3) */
    bool check_all;      /* ask for every event whether it is stored (tries 2 and 3) */
    struct ws_fact *fact;
    size_t facts;
    struct pk_map keys, cells, customers;
    PK_VEC(struct ws_key *) key_list;
    size_t keys_asked; /* of key_list */
    bool users_added;  /* those of this batch, to its keys */
    PK_VEC(struct ws_cell *) cell_list;
    PK_VEC(struct ws_customer *) customer_list;
    PK_VEC(struct fact *) displaced;     /* stored copies that lose against one of this batch */
    PK_VEC(struct fact *) lost;          /* facts of this batch that lose against a stored copy */
    PK_VEC(struct fact *) nameless;      /* stored events without a customer that name obligations */
    PK_VEC(struct journey *) journeys;   /* loaded */
    PK_VEC(struct obligation *) obligations;
    struct pk_map displaced_index;
    PK_VEC(struct group_result *) groups;
    uint64_t fast, slow; /* facts derived either way, for the counters */
};

/* `fact` in event order and without duplicates of one identity; borrowed, their results are set. */
void workset_begin(struct workset *ws, const struct meaning *meaning, struct pk_arena *arena, struct cache *cache,
                   bool check_all, struct fact **fact, size_t count);
/* What must be loaded next. PK_STALE if the cache and the database contradict each other. */
enum pk_status workset_need(struct workset *ws, struct ws_need *ret);

/* `key`: those of need->hash that exist; the others do not. */
enum pk_status workset_put_keys(struct workset *ws, const struct ws_need *need, const struct store_key *key,
                                size_t count, struct pk_err *err);
void workset_put_customers(struct workset *ws, const struct ws_need *need, struct fact *fact, size_t facts,
                           struct journey *journey, size_t journeys, struct obligation *obligation,
                           size_t obligations);
void workset_put_nameless(struct workset *ws, struct fact *fact, size_t facts);
void workset_put_events(struct workset *ws, const struct ws_need *need, struct fact *fact, size_t facts);

/* How many new cells the batch makes: known once nothing is needed. */
size_t workset_new_cells(struct workset *ws);
/* Derives what is left to derive and fills everything of `changes` but spans, slot, token and the
 * quarantine of rejected records (that of duplicates it adds). `new_cell` has workset_new_cells ids. */
void workset_save(struct workset *ws, const int64_t *new_cell, struct metrics *metrics, struct changes *changes);
/* After the commit: the cache takes over what is known now. */
void workset_publish(struct workset *ws, struct cache *cache, uint64_t token);
void workset_done(struct workset *ws);

#endif
