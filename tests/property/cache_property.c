/* SPDX-License-Identifier: Apache-2.0 */
/* The cache against a plain list that remembers everything: what it holds is right, its bytes add up, its
 * budget is kept. POLKU_SEED=n repeats. */
#include "cache.h"
#include "chance.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>

enum { CELLS = 12, KEYS = 40, USERS = 5, MEETINGS = 3 };

struct want_key { /* the newest content that was put */
    int64_t cell; /* 0 = never put, or its cell was dropped */
    uint32_t users;
    struct pk_hash user[USERS];
    uint8_t state_mark; /* 0 = no state */
    enum key_kind kind;
    uint32_t flags, meetings;
    bool has_newest;
    struct cache_newest newest;
    int64_t first_at_us;
    struct pk_hash customer;
    struct cache_meeting meeting[MEETINGS];
};
struct model {
    struct want_key key[KEYS];
    uint64_t version[CELLS + 1]; /* 0 = not held */
};

static struct pk_hash name(unsigned kind, unsigned number)
{
    struct pk_hash hash;
    struct chance mix = {(uint64_t)kind << 32 | number};
    pk_put_be64(hash.byte, chance_next(&mix));
    pk_put_be64(hash.byte + 8, chance_next(&mix));
    return hash;
}

/* A state that is only looked at by its first byte. */
static struct customer *state(uint8_t mark, size_t bytes)
{
    struct customer *customer = pk_alloc(PK_MAX(bytes, sizeof *customer));
    customer->id.byte[0] = mark;
    return customer;
}

static void forget_cell(struct model *model, int64_t cell)
{
    model->version[cell] = 0;
    for (unsigned k = 0; k < KEYS; k++)
        if (model->key[k].cell == cell)
            model->key[k] = (struct want_key){0};
}

static void put_random_key(struct chance *chance, struct cache *cache, struct model *model, int64_t cell)
{
    unsigned k = chance_below(chance, KEYS / CELLS) * CELLS + (unsigned)cell - 1; /* a key stays in its cell */
    struct want_key *want = &model->key[k];
    bool keep = chance_in(chance, 30);
    uint32_t users = chance_below(chance, USERS + 1);
    size_t bytes = sizeof(struct customer) + chance_below(chance, 2000);
    uint8_t mark = chance_in(chance, 60) ? (uint8_t)(1 + chance_below(chance, 255)) : 0;
    struct pk_hash user[USERS];
    for (uint32_t u = 0; u < users; u++)
        user[u] = name(2, chance_below(chance, 1000));
    struct want_key now = {
        .cell = cell,
        .users = users,
        .state_mark = keep ? want->state_mark : mark,
        .kind = (enum key_kind)chance_below(chance, 4),
        .flags = chance_below(chance, 128),
        .meetings = chance_below(chance, MEETINGS + 1),
        .first_at_us = (int64_t)chance_below(chance, 1000),
        .customer = name(3, chance_below(chance, 1000)),
    };
    memcpy(now.user, user, users * sizeof *user);
    now.has_newest = chance_in(chance, 50);
    now.newest = (struct cache_newest){.at_us = (int64_t)chance_below(chance, 1000), .own = name(5, k)};
    for (uint32_t m = 0; m < now.meetings; m++)
        now.meeting[m] = (struct cache_meeting){name(4, chance_below(chance, 1000)), (int64_t)m};
    const struct cache_key key = {
        .hash = name(1, k),
        .kind = now.kind,
        .flags = now.flags,
        .first_at_us = now.first_at_us,
        .customer = now.customer,
        .user = user,
        .user_count = users,
        .meeting = now.meeting,
        .meeting_count = now.meetings,
        .newest = now.has_newest ? &now.newest : NULL,
    };
    cache_put_key(cache, cache_cell(cache, cell), &key, keep, keep || !mark ? NULL : state(mark, bytes),
                  keep || !mark ? 0 : bytes);
    *want = now;
}

static size_t bytes_of_cells(const struct cache *cache, size_t *ret_cells)
{
    size_t bytes = 0;
    *ret_cells = 0;
    const struct cache_cell *newer = NULL;
    for (const struct cache_cell *cell = cache->newest; cell; newer = cell, cell = cell->older) {
        cr_assert_eq(cell->newer, newer, "the list by use is broken");
        bytes += cell->bytes;
        ++*ret_cells;
    }
    cr_assert_eq(cache->oldest, newer, "the end of the list is wrong");
    return bytes;
}

static void check(struct cache *cache, struct model *model, uint64_t seed)
{
    size_t cells, held = 0, keys = 0;
    cr_assert_eq(bytes_of_cells(cache, &cells), cache->bytes, "seed %" PRIu64 ": bytes do not add up", seed);
    cr_assert_lt(cache->bytes, SIZE_MAX / 2, "seed %" PRIu64 ": bytes below zero", seed);
    for (int64_t id = 1; id <= CELLS; id++) {
        const struct cache_cell *cell = cache_cell(cache, id);
        if (!cell) /* evicted, or never there */
            forget_cell(model, id);
        held += cell != NULL;
        cr_assert(!cell || cell->version == model->version[id], "seed %" PRIu64, seed);
    }
    cr_assert_eq(held, cells);
    cr_assert_eq(cache->cells.count, cells);
    for (unsigned k = 0; k < KEYS; k++) {
        const struct want_key *want = &model->key[k];
        const struct cache_key *key = cache_find(cache, name(1, k));
        cr_assert_eq(key != NULL, want->cell != 0, "seed %" PRIu64 ": key %u", seed, k);
        if (!key)
            continue;
        keys++;
        cr_assert_eq(key->cell, cache_cell(cache, want->cell));
        cr_assert_eq(key->kind, want->kind);
        cr_assert_eq(key->flags, want->flags);
        cr_assert_eq(key->first_at_us, want->first_at_us);
        cr_assert(pk_hash_eq(key->customer, want->customer));
        cr_assert_eq(key->meeting_count, want->meetings);
        for (uint32_t m = 0; m < want->meetings; m++)
            cr_assert(pk_hash_eq(key->meeting[m].id, want->meeting[m].id) &&
                      key->meeting[m].first_at_us == want->meeting[m].first_at_us);
        cr_assert_eq(key->newest != NULL, want->has_newest);
        cr_assert(!key->newest || memcmp(key->newest, &want->newest, sizeof want->newest) == 0);
        cr_assert_eq(key->user_count, want->users);
        cr_assert(want->users == 0 || memcmp(key->user, want->user, want->users * sizeof *want->user) == 0);
        cr_assert_eq(key->state ? key->state->id.byte[0] : 0, want->state_mark, "seed %" PRIu64 ": state", seed);
    }
    cr_assert_eq(cache->keys.count, keys);
}

Test(cache, holds_what_was_put_and_keeps_its_budget, .timeout = 120)
{
    const char *text = getenv("POLKU_SEED");
    uint64_t first = text && *text ? strtoull(text, NULL, 0) : 1, last = text && *text ? first : 60;
    for (uint64_t seed = first; seed <= last; seed++) {
        struct chance chance = {seed};
        struct model model = {0};
        struct cache cache;
        size_t budget = chance_in(&chance, 20) ? 0 : 500 + chance_below(&chance, 40000);
        cache_init(&cache, budget);
        for (int step = 0; step < 300; step++) {
            int64_t cell = 1 + chance_below(&chance, CELLS);
            switch (chance_below(&chance, 11)) {
            case 0:
                cache_drop(&cache, cell);
                forget_cell(&model, cell);
                break;
            case 1:
                cache_evict(&cache);
                cr_assert(cache.bytes <= budget, "seed %" PRIu64 ": over budget", seed);
                break;
            case 2:
                if (chance_in(&chance, 5)) {
                    cache_clear(&cache);
                    cr_assert_eq(cache.bytes, 0, "seed %" PRIu64, seed);
                    for (int64_t id = 1; id <= CELLS; id++)
                        forget_cell(&model, id);
                }
                break;
            default:
                model.version[cell] = chance_next(&chance) | 1;
                cr_assert_eq(cache_put_cell(&cache, cell, model.version[cell]), cache_cell(&cache, cell));
                cr_assert_eq(cache.newest, cache_cell(&cache, cell), "just used");
                for (unsigned i = chance_below(&chance, 4); i > 0; i--)
                    put_random_key(&chance, &cache, &model, cell);
            }
            check(&cache, &model, seed);
        }
        cache_done(&cache);
        cr_assert_eq(cache.bytes, 0);
    }
}

Test(cache, forgets_the_cells_that_were_not_used_for_longest)
{
    struct cache cache;
    cache_init(&cache, SIZE_MAX);
    for (int64_t id = 1; id <= 4; id++) {
        struct cache_cell *cell = cache_put_cell(&cache, id, 7);
        cache_put_key(&cache, cell, &(struct cache_key){.hash = name(1, (unsigned)id)}, false, NULL, 0);
    }
    cache_put_cell(&cache, 1, 8);
    cache.budget = cache.bytes - 1;
    cache_evict(&cache);
    cr_assert_null(cache_cell(&cache, 2), "the oldest");
    cr_assert_null(cache_find(&cache, name(1, 2)), "with its keys");
    cr_assert_not_null(cache_cell(&cache, 1), "used again");
    cr_assert_eq(cache.evicted, 1);
    cache_done(&cache);
}
