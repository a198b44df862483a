/* SPDX-License-Identifier: Apache-2.0 */
#include "cache.h"

#include <stdlib.h>

static struct pk_hash cell_key(int64_t id)
{
    struct pk_hash key = {{0}};
    pk_put_be64(key.byte + 8, (uint64_t)id * UINT64_C(0x9E3779B97F4A7C15));
    return key;
}

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
    return pk_map_get(&cache->cells, cell_key(id));
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
    return sizeof *key + key->user_count * sizeof *key->user + key->state_bytes + MAP_SHARE + MALLOC_SHARE;
}

static void drop(struct cache *cache, struct cache_cell *cell)
{
    for (struct cache_key *key = cell->key, *next; key; key = next) {
        next = key->next;
        pk_map_remove(&cache->keys, key->hash);
        free(key->state);
        free(key->user);
        free(key);
    }
    pk_map_remove(&cache->cells, cell_key(cell->id));
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
        pk_map_put(&cache->cells, cell_key(id), cell);
        charge(cache, cell, sizeof *cell + 2 * sizeof(struct pk_map_entry) + 16, 0);
    }
    cell->version = version;
    link_newest(cache, cell);
    return cell;
}

void cache_put_key(struct cache *cache, struct cache_cell *cell, struct pk_hash hash, enum key_kind kind,
                   const struct pk_hash *user, uint32_t user_count, bool keep_state,
                   struct customer *state, size_t state_bytes)
{
    struct cache_key *key = cache_find(cache, hash);
    size_t before = 0;
    if (key) {
        before = key_bytes(key);
        if (!keep_state)
            free(key->state);
    } else {
        key = pk_alloc(sizeof *key);
        key->hash = hash;
        key->cell = cell;
        key->next = cell->key;
        cell->key = key;
        pk_map_put(&cache->keys, hash, key);
    }
    if (key->user_count != user_count)
        key->user = pk_realloc(key->user, user_count * sizeof *user);
    if (user_count)
        memcpy(key->user, user, user_count * sizeof *user);
    key->user_count = user_count;
    key->kind = kind;
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
