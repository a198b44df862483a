/* SPDX-License-Identifier: Apache-2.0 */
#include "cache.h"

#include <stdlib.h>

void cache_init(struct cache *cache, size_t budget)
{
    *cache = (struct cache){.budget = budget};
}

struct cache_key *cache_find(struct cache *cache, struct pk_hash key)
{
    return pk_map_get(&cache->keys, key);
}

struct cache_cell *cache_cell(struct cache *cache, int64_t id)
{
    return pk_map_get(&cache->cells, pk_hash_of(id));
}

/* ---- the list by last use ---- */

static void unlink_cell(struct cache *cache, struct cache_cell *cell)
{
    *(cell->newer ? &cell->newer->older : &cache->newest) = cell->older;
    *(cell->older ? &cell->older->newer : &cache->oldest) = cell->newer;
}

static void link_newest(struct cache *cache, struct cache_cell *cell)
{
    cell->newer = NULL;
    cell->older = cache->newest;
    *(cache->newest ? &cache->newest->newer : &cache->oldest) = cell;
    cache->newest = cell;
}

/* ---- accounting: every byte is in its cell's sum and in the cache's ---- */

static void charge(struct cache *cache, struct cache_cell *cell, size_t more, size_t less)
{
    cell->bytes += more - less;
    cache->bytes += more - less;
}

static size_t key_bytes(const struct cache_key *key)
{
    enum { MAP_SHARE = 2 * sizeof(struct pk_map_entry), MALLOC_SHARE = 32 };
    return sizeof *key + key->user_count * sizeof *key->user + key->meeting_count * sizeof *key->meeting +
           (key->newest ? sizeof *key->newest + 8 : 0) + key->state_bytes + MAP_SHARE + MALLOC_SHARE;
}

static void free_key(struct cache *cache, struct cache_key *key)
{
    pk_map_remove(&cache->keys, key->hash);
    free(key->state);
    free(key->user);
    free(key->meeting);
    free(key->newest);
    free(key);
}

static void drop(struct cache *cache, struct cache_cell *cell)
{
    for (struct cache_key *key = cell->key, *next; key; key = next) {
        next = key->next;
        free_key(cache, key);
    }
    pk_map_remove(&cache->cells, pk_hash_of(cell->id));
    unlink_cell(cache, cell);
    cache->bytes -= cell->bytes;
    free(cell);
}

void cache_drop(struct cache *cache, int64_t id)
{
    struct cache_cell *cell = cache_cell(cache, id);
    if (cell)
        drop(cache, cell);
}

void cache_clear(struct cache *cache)
{
    while (cache->newest)
        drop(cache, cache->newest);
}

void cache_done(struct cache *cache)
{
    cache_clear(cache);
    pk_map_done(&cache->keys);
    pk_map_done(&cache->cells);
}

struct cache_cell *cache_put_cell(struct cache *cache, int64_t id, uint64_t version)
{
    struct cache_cell *cell = cache_cell(cache, id);
    if (cell) {
        unlink_cell(cache, cell);
    } else {
        cell = pk_alloc(sizeof *cell);
        cell->id = id;
        pk_map_put(&cache->cells, pk_hash_of(id), cell);
        charge(cache, cell, sizeof *cell + 2 * sizeof(struct pk_map_entry) + 16, 0);
    }
    cell->version = version;
    link_newest(cache, cell);
    return cell;
}

void cache_put_key(struct cache *cache, struct cache_cell *cell, const struct cache_key *from, bool keep_state,
                   struct customer *state, size_t state_bytes)
{
    struct cache_key *key = cache_find(cache, from->hash);
    size_t before = 0;
    if (key) {
        before = key_bytes(key);
        if (!keep_state)
            free(key->state);
    } else {
        key = pk_alloc(sizeof *key);
        key->hash = from->hash;
        key->cell = cell;
        key->next = cell->key;
        cell->key = key;
        pk_map_put(&cache->keys, from->hash, key);
    }
    if (key->user_count != from->user_count)
        key->user = pk_realloc(key->user, from->user_count * sizeof *key->user);
    if (from->user_count)
        memcpy(key->user, from->user, from->user_count * sizeof *key->user);
    key->user_count = from->user_count;
    if (key->meeting_count != from->meeting_count)
        key->meeting = pk_realloc(key->meeting, from->meeting_count * sizeof *key->meeting);
    if (from->meeting_count)
        memcpy(key->meeting, from->meeting, from->meeting_count * sizeof *key->meeting);
    key->meeting_count = from->meeting_count;
    if (!from->newest) {
        free(key->newest);
        key->newest = NULL;
    } else {
        key->newest = pk_realloc(key->newest, sizeof *key->newest);
        *key->newest = *from->newest;
    }
    key->kind = from->kind;
    key->name_space = from->name_space;
    key->flags = from->flags;
    key->first_at_us = from->first_at_us;
    key->sealed_at_us = from->sealed_at_us;
    key->customer = from->customer;
    if (!keep_state) {
        key->state = state;
        key->state_bytes = state_bytes;
    }
    charge(cache, cell, key_bytes(key), before);
}

void cache_evict(struct cache *cache)
{
    while (cache->bytes > cache->budget && cache->oldest) {
        cache->evicted++;
        drop(cache, cache->oldest);
    }
}
