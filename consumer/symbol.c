/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol.h"

#include <stdlib.h>

struct symbols_slot {
    uint32_t hash;
    sym_t sym; /* 0 = free */
};

/* FNV-1a: short keys, few collisions, and nobody outside chooses more than a vocabulary. */
static uint32_t text_hash(struct pk_str text)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (uint8_t)text.ptr[i]) * 16777619u;
    return hash;
}

void symbols_init(struct symbols *symbols)
{
    *symbols = (struct symbols){.cap = 1024};
    symbols->slot = pk_alloc(symbols->cap * sizeof *symbols->slot);
    *pk_vec_push(&symbols->text) = (struct pk_str){0};
}

void symbols_done(struct symbols *symbols)
{
    free(symbols->slot);
    pk_vec_done(&symbols->text);
    pk_arena_done(&symbols->arena);
    *symbols = (struct symbols){0};
}

static void grow(struct symbols *symbols)
{
    struct symbols_slot *old = symbols->slot;
    size_t old_cap = symbols->cap;
    symbols->cap *= 2;
    symbols->slot = pk_alloc(symbols->cap * sizeof *symbols->slot);
    for (size_t i = 0; i < old_cap; i++) {
        if (!old[i].sym)
            continue;
        size_t at = old[i].hash & (symbols->cap - 1);
        while (symbols->slot[at].sym)
            at = (at + 1) & (symbols->cap - 1);
        symbols->slot[at] = old[i];
    }
    free(old);
}

sym_t symbol_find(const struct symbols *symbols, struct pk_str text)
{
    if (!text.ptr)
        return 0;
    uint32_t hash = text_hash(text);
    for (size_t at = hash & (symbols->cap - 1); symbols->slot[at].sym; at = (at + 1) & (symbols->cap - 1))
        if (symbols->slot[at].hash == hash && pk_str_eq(symbols->text.ptr[symbols->slot[at].sym], text))
            return symbols->slot[at].sym;
    return 0;
}

sym_t symbol_of(struct symbols *symbols, struct pk_str text)
{
    if (!text.ptr)
        return 0;
    uint32_t hash = text_hash(text);
    size_t at = hash & (symbols->cap - 1);
    for (; symbols->slot[at].sym; at = (at + 1) & (symbols->cap - 1))
        if (symbols->slot[at].hash == hash && pk_str_eq(symbols->text.ptr[symbols->slot[at].sym], text))
            return symbols->slot[at].sym;
    sym_t sym = (sym_t)symbols->text.len;
    *pk_vec_push(&symbols->text) = pk_arena_str(&symbols->arena, text);
    symbols->slot[at] = (struct symbols_slot){hash, sym};
    if (symbols->text.len * 2 > symbols->cap)
        grow(symbols);
    return sym;
}
