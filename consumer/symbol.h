/* SPDX-License-Identifier: Apache-2.0 */
/* symbol.h - repeated text (types, channels, brands, ...) as small numbers, equal text = equal number.
 *
 * Pure. Numbers are of this process only; the store maps them to the ids of the dictionary table.
 * Symbols are never forgotten: only vocabulary-like text is interned, never identifiers or free text. */
#ifndef POLKU_SYMBOL_H
#define POLKU_SYMBOL_H

#include "pk.h"

typedef uint32_t sym_t; /* 0 = null */

struct symbols {
    PK_VEC(struct pk_str) text; /* by symbol; [0] is null */
    struct symbols_slot *slot;
    size_t cap;
    struct pk_arena arena;
};

void symbols_init(struct symbols *symbols);
void symbols_done(struct symbols *symbols);
sym_t symbol_of(struct symbols *symbols, struct pk_str text); /* 0 for null text; interns what is new */
sym_t symbol_find(const struct symbols *symbols, struct pk_str text); /* 0 if it is not there */
static inline struct pk_str symbol_text(const struct symbols *symbols, sym_t sym)
{
    return symbols->text.ptr[sym];
}
static inline size_t symbols_count(const struct symbols *symbols) /* symbols are 1 .. count - 1 */
{
    return symbols->text.len;
}

#endif
