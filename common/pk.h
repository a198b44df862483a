/* SPDX-License-Identifier: Apache-2.0 */
/* pk.h - the kit: status and error text, views of bytes and text, arena, growing buffer, hash map.
 *
 * Linked by both programs; knows no Kafka, no PostgreSQL, no Avro.
 *
 * Conventions of the whole code base: `ret_` marks outputs, written only on success; times are
 * int64_t microseconds UTC and end in `_us`; a status says what the caller should do, the error's
 * text says why. */
#ifndef POLKU_PK_H
#define POLKU_PK_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* ---- status and error ---- */

enum pk_status {
    PK_OK = 0,
    PK_RETRY,  /* nothing changed; the same call may work later (broker, database, registry away) */
    PK_REJECT, /* this record or input will never be accepted */
    PK_STALE,  /* another process changed what this was derived from: load again, derive again */
    PK_FENCED, /* the partition is someone else's now: drop the claim */
    PK_LOST,   /* the connection broke, the outcome is unknown: connect, claim, look where it stands */
    PK_STOP,   /* an operator is needed; going on would make it worse */
};

const char *pk_status_name(enum pk_status status);

struct pk_err {
    char text[512]; /* a sentence in UTF-8: what, where, what to do; never a raw identifier of a customer */
};

/* Sets the text and returns `status`, so that a check reads `return pk_fail(err, PK_REJECT, ...)`.
 * `err` may be NULL. */
enum pk_status pk_fail(struct pk_err *err, enum pk_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- views ---- */

struct pk_bytes { /* bytes of a payload; borrowed, no terminator */
    const uint8_t *ptr;
    size_t len;
};

struct pk_str { /* UTF-8 text; borrowed, no terminator; ptr NULL = null (absent) */
    const char *ptr;
    size_t len;
};

#define PK_STR(literal) ((struct pk_str){"" literal, sizeof(literal) - 1})
#define PK_STR_ARG(s) (int)(s).len, (s).ptr ? (s).ptr : "" /* for "%.*s" */

static inline struct pk_str pk_str(const char *text)
{
    return (struct pk_str){text, text ? strlen(text) : 0};
}
static inline bool pk_str_eq(struct pk_str a, struct pk_str b)
{
    return a.len == b.len && (a.ptr == NULL) == (b.ptr == NULL) && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
int pk_str_cmp(struct pk_str a, struct pk_str b); /* as bytes, like COLLATE "C"; null sorts first */
bool pk_utf8_valid(const void *text, size_t len); /* also refuses NUL, which PostgreSQL cannot store */

#define PK_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PK_AUTO(done) __attribute__((cleanup(done)))

/* Each argument is evaluated once. Not for constant expressions. */
#define PK_MIN(a, b) ({ __auto_type min_a = (a); __auto_type min_b = (b); min_a < min_b ? min_a : min_b; })
#define PK_MAX(a, b) ({ __auto_type max_a = (a); __auto_type max_b = (b); max_a > max_b ? max_a : max_b; })

#define PK_SECOND_US INT64_C(1000000)
#define PK_HOUR_US (3600 * PK_SECOND_US)
#define PK_DAY_US (24 * PK_HOUR_US)
#define PK_NO_TIME INT64_MIN /* "no such time"; PostgreSQL null */

/* ---- big-endian and hash values ---- */

static inline uint32_t pk_get_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline uint64_t pk_get_be64(const uint8_t *p)
{
    return (uint64_t)pk_get_be32(p) << 32 | pk_get_be32(p + 4);
}
static inline void pk_put_be32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24), p[1] = (uint8_t)(v >> 16), p[2] = (uint8_t)(v >> 8), p[3] = (uint8_t)v;
}
static inline void pk_put_be64(uint8_t *p, uint64_t v)
{
    pk_put_be32(p, (uint32_t)(v >> 32)), pk_put_be32(p + 4, (uint32_t)v);
}

struct pk_hash { /* 128 bits: an identifier, a customer, an event, an obligation, a journey; a uuid in SQL */
    uint8_t byte[16];
};
static inline bool pk_hash_eq(struct pk_hash a, struct pk_hash b)
{
    return memcmp(a.byte, b.byte, 16) == 0;
}
static inline int pk_hash_cmp(struct pk_hash a, struct pk_hash b)
{
    return memcmp(a.byte, b.byte, 16);
}
static inline struct pk_hash pk_hash_of(int64_t number) /* a key for maps, spread over the bits */
{
    struct pk_hash key = {{0}};
    pk_put_be64(key.byte + 8, (uint64_t)number * UINT64_C(0x9E3779B97F4A7C15));
    return key;
}
static inline bool pk_hash_zero(struct pk_hash a) /* all zero = none; a real hash never is, in practice */
{
    return pk_get_be64(a.byte) == 0 && pk_get_be64(a.byte + 8) == 0;
}

/* ---- memory ----
 * Out of memory ends the process with a message (exit code 70): no caller can go on sensibly, and a
 * restart loses nothing. */

void pk_out_of_memory(size_t bytes) __attribute__((noreturn, cold)); /* for those who ask malloc themselves */
void *pk_alloc(size_t bytes); /* zeroed */
void *pk_realloc(void *ptr, size_t bytes);
char *pk_strdup(const char *text);

/* An arena hands out memory that is freed all at once. Chunks are kept for the next round up to
 * `keep_bytes`, so a steady batch allocates nothing. Not thread-safe. */
struct pk_arena {
    struct pk_arena_chunk *chunk; /* newest first */
    size_t used;                  /* bytes handed out since the last reset */
    size_t held;                  /* bytes held from malloc */
    size_t keep_bytes;
};
void *pk_arena_alloc(struct pk_arena *arena, size_t bytes); /* 16-byte aligned, not zeroed */
void *pk_arena_zero(struct pk_arena *arena, size_t bytes);
void *pk_arena_copy(struct pk_arena *arena, const void *ptr, size_t bytes);
struct pk_str pk_arena_str(struct pk_arena *arena, struct pk_str s); /* a copy, with a terminator behind it */
void pk_arena_reset(struct pk_arena *arena);
void pk_arena_done(struct pk_arena *arena);
#define PK_NEW(arena, type) ((type *)pk_arena_zero((arena), sizeof(type)))
#define PK_NEW_ARRAY(arena, type, n) ((type *)pk_arena_zero((arena), sizeof(type) * (n)))

/* A buffer that grows. Always has a terminator behind `len` once something was added. */
struct pk_buf {
    char *ptr;
    size_t len, cap;
};
void pk_buf_reserve(struct pk_buf *buf, size_t more);
void pk_buf_add(struct pk_buf *buf, const void *ptr, size_t len);
void pk_buf_text(struct pk_buf *buf, const char *text);
void pk_buf_printf(struct pk_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void pk_buf_reset(struct pk_buf *buf); /* len = 0, memory kept */
void pk_buf_done(struct pk_buf *buf);

/* A growing array in malloc memory: PK_VEC(struct row) rows = {0}; *pk_vec_push(&rows) = row; */
#define PK_VEC(type)                                                                                                 \
    struct {                                                                                                         \
        type *ptr;                                                                                                   \
        size_t len, cap;                                                                                             \
    }
#define pk_vec_push(v)                                                                                               \
    ((v)->len == (v)->cap                                                                                            \
         ? ((v)->cap = (v)->cap ? (v)->cap * 2 : 16, (v)->ptr = pk_realloc((v)->ptr, (v)->cap * sizeof *(v)->ptr))   \
         : (v)->ptr,                                                                                                 \
     &(v)->ptr[(v)->len++])
#define pk_vec_done(v) (free((v)->ptr), (v)->ptr = NULL, (v)->len = (v)->cap = 0)

/* The same in an arena, for a pair of members `x` and `x_count`, `x_cap`:
 * *PK_PUSH(arena, list, item) = value; (old room stays in the arena until it is reset) */
#define PK_PUSH(arena, owner, member)                                                                                \
    (((owner)->member##_count == (owner)->member##_cap)                                                              \
         ? ((owner)->member = pk_arena_grow((arena), (owner)->member, (owner)->member##_count,                       \
                                            sizeof *(owner)->member, &(owner)->member##_cap))                        \
         : (owner)->member,                                                                                          \
     &(owner)->member[(owner)->member##_count++])
void *pk_arena_grow(struct pk_arena *arena, const void *ptr, uint32_t count, size_t size, uint32_t *cap);

/* ---- a map from 128-bit hash to pointer ----
 * Open addressing. Most keys are keyed BLAKE2b, but the first half of a journey's id is a time and a publisher may
 * name any uuid (those of one machine's version 1 share their second half), so both halves are mixed into the
 * bucket. Values are borrowed and never NULL. */
struct pk_map {
    struct pk_map_entry *entry;
    size_t count, cap; /* cap is a power of two or 0; count includes no deleted entries */
};
struct pk_map_entry {
    struct pk_hash key;
    void *value;
};
void *pk_map_get(const struct pk_map *map, struct pk_hash key); /* NULL if absent */
void pk_map_put(struct pk_map *map, struct pk_hash key, void *value);
void pk_map_remove(struct pk_map *map, struct pk_hash key);
void pk_map_clear(struct pk_map *map); /* memory kept */
void pk_map_done(struct pk_map *map);
#define PK_MAP_EACH(map, e)                                                                                          \
    for (struct pk_map_entry *e = (map)->entry; e && e < (map)->entry + (map)->cap; e++)                             \
        if (e->value)

#endif
