/* SPDX-License-Identifier: Apache-2.0 */
/* cache.h - what this process remembers of guard cells, bounded in bytes, dropped cell by cell.
 *
 * Pure. A cell is dropped or replaced as a whole: its keys and its customers' frozen states were read
 * or derived at one version of the cell. Only committed states come in here. */
#ifndef POLKU_CACHE_H
#define POLKU_CACHE_H

#include "derive.h"

struct cache_meeting { /* a meeting that the database has; its other members do not matter here */
    struct pk_hash id;
    int64_t first_at_us;
};

struct cache_newest { /* of a name that events borrow by: enough for an event that is newer than all that carry it */
    int64_t at_us;           /* of the newest that carries it; INT64_MIN = none */
    int64_t sighting_at_us;  /* of the newest sighting; PK_NO_TIME = none that matters */
    int64_t unsighted_at_us; /* of the newest that borrows and had no sighting before it; PK_NO_TIME = none that matters */
    struct pk_hash sighting; /* its event hash */
    struct pk_hash own;      /* its own person */
};

struct cache_key {
    struct pk_hash hash;
    enum key_kind kind;
    sym_t name_space;
    uint32_t flags;          /* enum key_flag */
    int64_t first_at_us;     /* persons, as in store_key */
    int64_t sealed_at_us;
    struct pk_hash customer; /* likewise */
    struct cache_cell *cell;
    struct pk_hash *user; /* customers met with it; zero = events without a customer */
    uint32_t user_count;
    struct cache_meeting *meeting; /* some of those that begin with this person */
    uint32_t meeting_count;
    struct cache_newest *newest; /* NULL = not known */
    struct customer *state; /* if it is itself a customer's id and that one's state is known, else NULL */
    size_t state_bytes;
    struct cache_key *next; /* in the cell */
};

struct cache_cell {
    int64_t id;
    uint64_t version;
    struct cache_key *key;
    size_t bytes;
    struct cache_cell *newer, *older;
};

struct cache {
    struct pk_map keys; /* hash -> cache_key */
    struct pk_map cells;
    struct cache_cell *newest, *oldest;
    size_t bytes, budget;
    uint64_t evicted; /* cells */
};

void cache_init(struct cache *cache, size_t budget);
void cache_clear(struct cache *cache); /* the database went back, or the connection was lost */
void cache_done(struct cache *cache);

struct cache_key *cache_find(struct cache *cache, struct pk_hash key);
struct cache_cell *cache_cell(struct cache *cache, int64_t id); /* NULL if not held */
void cache_drop(struct cache *cache, int64_t cell);

/* After a commit: the cell now has this version. Makes it if it is not held. */
struct cache_cell *cache_put_cell(struct cache *cache, int64_t id, uint64_t version);
/* Adds or replaces a key of that cell: `key` gives all members from hash to customer, and users, meetings and newest,
 * which are copied. Takes over `state` (may be NULL); with `keep_state` the state that is held stays and `state` is NULL. */
void cache_put_key(struct cache *cache, struct cache_cell *cell, const struct cache_key *key, bool keep_state,
                   struct customer *state, size_t state_bytes);
/* Drops the cells that were not used for longest until the budget holds. */
void cache_evict(struct cache *cache);

#endif
