/* SPDX-License-Identifier: Apache-2.0 */
#include "pk.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const char *pk_status_name(enum pk_status status)
{
    static const char *const name[] = {"ok", "retry", "reject", "stale", "fenced", "lost", "stop"};
    return (size_t)status < PK_COUNT(name) ? name[status] : "?";
}

/* Bytes of the character at p, 0 if it is none; NUL is none. */
static size_t utf8_char(const uint8_t *p, const uint8_t *end)
{
    if (*p < 0x80)
        return *p != 0;
    size_t bytes = *p >= 0xF0 ? 4 : *p >= 0xE0 ? 3 : 2;
    if (*p < 0xC2 || *p > 0xF4 || (size_t)(end - p) < bytes)
        return 0;
    uint8_t low = *p == 0xE0 ? 0xA0 : *p == 0xF0 ? 0x90 : 0x80;
    uint8_t high = *p == 0xED ? 0x9F : *p == 0xF4 ? 0x8F : 0xBF;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < bytes; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return bytes;
}

/* A sentence quotes what others wrote and is cut where its room ends, maybe within a character. It may become a row of
 * PostgreSQL, which takes UTF-8 only: what is none becomes a question mark. */
static void make_utf8(char *text)
{
    uint8_t *end = (uint8_t *)text + strlen(text);
    for (uint8_t *p = (uint8_t *)text; p < end;) {
        size_t bytes = utf8_char(p, end);
        if (bytes == 0)
            *p = '?';
        p += bytes ? bytes : 1;
    }
}

enum pk_status pk_fail(struct pk_err *err, enum pk_status status, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
        make_utf8(err->text);
    }
    return status;
}

int pk_str_cmp(struct pk_str a, struct pk_str b)
{
    if (!a.ptr || !b.ptr)
        return (a.ptr != NULL) - (b.ptr != NULL);
    int order = memcmp(a.ptr, b.ptr, PK_MIN(a.len, b.len));
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

bool pk_utf8_valid(const void *text, size_t len)
{
    const uint8_t *p = text, *end = p + len;
    while (p < end) {
        uint64_t word; /* eight ASCII bytes at a time, none of them NUL: nearly all text is that */
        while (end - p >= 8 && (memcpy(&word, p, 8), (word & 0x8080808080808080u) == 0) &&
               ((word - 0x0101010101010101u) & ~word & 0x8080808080808080u) == 0)
            p += 8;
        if (p == end)
            break;
        size_t bytes = utf8_char(p, end);
        if (bytes == 0)
            return false;
        p += bytes;
    }
    return true;
}

/* ---- memory ---- */

void pk_out_of_memory(size_t bytes)
{
    /* What runs at exit() may want memory, or meet threads of libraries that are still at work. */
    fprintf(stderr, "out of memory: %zu bytes\n", bytes);
    _exit(70);
}

void *pk_alloc(size_t bytes)
{
    void *ptr = calloc(1, bytes ? bytes : 1);
    if (!ptr)
        pk_out_of_memory(bytes);
    return ptr;
}

void *pk_realloc(void *old, size_t bytes)
{
    void *ptr = realloc(old, bytes ? bytes : 1);
    if (!ptr)
        pk_out_of_memory(bytes);
    return ptr;
}

char *pk_strdup(const char *text)
{
    size_t len = strlen(text) + 1;
    return memcpy(pk_alloc(len), text, len);
}

struct pk_arena_chunk {
    struct pk_arena_chunk *next;
    size_t cap, used;
    _Alignas(16) uint8_t data[];
};

void *pk_arena_alloc(struct pk_arena *arena, size_t bytes)
{
    enum { FIRST_CHUNK = 64 << 10, LARGEST_CHUNK = 8 << 20 };
    size_t need = (bytes + 15) & ~(size_t)15;
    struct pk_arena_chunk *chunk = arena->chunk;
    if (!chunk || chunk->cap - chunk->used < need) {
        size_t cap = chunk ? PK_MIN(chunk->cap * 2, (size_t)LARGEST_CHUNK) : (size_t)FIRST_CHUNK;
        cap = PK_MAX(cap, need);
        chunk = malloc(sizeof *chunk + cap);
        if (!chunk)
            pk_out_of_memory(cap);
        *chunk = (struct pk_arena_chunk){.next = arena->chunk, .cap = cap};
        arena->chunk = chunk;
        arena->held += cap;
    }
    void *ptr = chunk->data + chunk->used;
    chunk->used += need;
    arena->used += need;
    return ptr;
}

void *pk_arena_zero(struct pk_arena *arena, size_t bytes)
{
    return memset(pk_arena_alloc(arena, bytes), 0, bytes);
}

void *pk_arena_copy(struct pk_arena *arena, const void *ptr, size_t bytes)
{
    void *copy = pk_arena_alloc(arena, bytes);
    if (bytes)
        memcpy(copy, ptr, bytes);
    return copy;
}

void *pk_arena_grow(struct pk_arena *arena, const void *ptr, uint32_t count, size_t size, uint32_t *cap)
{
    *cap = count ? count * 2 : 4;
    void *grown = pk_arena_alloc(arena, *cap * size);
    if (count)
        memcpy(grown, ptr, count * size);
    return grown;
}

struct pk_str pk_arena_str(struct pk_arena *arena, struct pk_str s)
{
    if (!s.ptr)
        return s;
    char *copy = pk_arena_alloc(arena, s.len + 1);
    memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return (struct pk_str){copy, s.len};
}

/* Several chunks become one of their total size, so that the next round finds its room in one piece. */
void pk_arena_reset(struct pk_arena *arena)
{
    struct pk_arena_chunk *chunk = arena->chunk;
    size_t total = arena->held;
    arena->used = 0;
    if (chunk && !chunk->next && (!arena->keep_bytes || total <= arena->keep_bytes)) {
        chunk->used = 0;
        return;
    }
    pk_arena_done(arena);
    if (total && arena->keep_bytes) {
        total = PK_MIN(total, arena->keep_bytes);
        chunk = malloc(sizeof *chunk + total);
        if (!chunk)
            pk_out_of_memory(total);
        *chunk = (struct pk_arena_chunk){.cap = total};
        arena->chunk = chunk;
        arena->held = total;
    }
}

void pk_arena_done(struct pk_arena *arena)
{
    for (struct pk_arena_chunk *chunk = arena->chunk, *next; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    arena->chunk = NULL;
    arena->used = arena->held = 0;
}

void pk_buf_reserve(struct pk_buf *buf, size_t more)
{
    if (buf->cap - buf->len > more)
        return;
    size_t cap = PK_MAX(buf->cap * 2, buf->len + more + 1);
    buf->ptr = pk_realloc(buf->ptr, cap);
    buf->cap = cap;
}

void pk_buf_add(struct pk_buf *buf, const void *ptr, size_t len)
{
    pk_buf_reserve(buf, len);
    if (len)
        memcpy(buf->ptr + buf->len, ptr, len);
    buf->len += len;
    buf->ptr[buf->len] = '\0';
}

void pk_buf_text(struct pk_buf *buf, const char *text)
{
    pk_buf_add(buf, text, strlen(text));
}

void pk_buf_printf(struct pk_buf *buf, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len > 0) {
        pk_buf_reserve(buf, (size_t)len);
        vsnprintf(buf->ptr + buf->len, (size_t)len + 1, format, again);
        buf->len += (size_t)len;
    }
    va_end(again);
}

void pk_buf_reset(struct pk_buf *buf)
{
    buf->len = 0;
    if (buf->ptr)
        buf->ptr[0] = '\0';
}

void pk_buf_done(struct pk_buf *buf)
{
    free(buf->ptr);
    *buf = (struct pk_buf){0};
}

/* ---- map ---- */

static size_t bucket(const struct pk_map *map, struct pk_hash key)
{
    uint64_t mix = (pk_get_be64(key.byte) * UINT64_C(0x9E3779B97F4A7C15)) ^ pk_get_be64(key.byte + 8);
    mix = (mix ^ mix >> 32) * UINT64_C(0xD6E8FEB86659FD93);
    return (size_t)(mix ^ mix >> 32) & (map->cap - 1);
}

void *pk_map_get(const struct pk_map *map, struct pk_hash key)
{
    if (map->cap == 0)
        return NULL;
    for (size_t i = bucket(map, key); map->entry[i].value; i = (i + 1) & (map->cap - 1))
        if (pk_hash_eq(map->entry[i].key, key))
            return map->entry[i].value;
    return NULL;
}

static void grow(struct pk_map *map)
{
    struct pk_map old = *map;
    map->cap = old.cap ? old.cap * 2 : 64;
    map->entry = pk_alloc(map->cap * sizeof *map->entry);
    map->count = 0;
    PK_MAP_EACH(&old, e) pk_map_put(map, e->key, e->value);
    free(old.entry);
}

void pk_map_put(struct pk_map *map, struct pk_hash key, void *value)
{
    if (map->count * 3 >= map->cap * 2)
        grow(map);
    size_t i = bucket(map, key);
    while (map->entry[i].value && !pk_hash_eq(map->entry[i].key, key))
        i = (i + 1) & (map->cap - 1);
    map->count += map->entry[i].value == NULL;
    map->entry[i] = (struct pk_map_entry){key, value};
}

/* Closes the gap by moving later entries of the same run back, so there are no tombstones. */
void pk_map_remove(struct pk_map *map, struct pk_hash key)
{
    if (map->cap == 0)
        return;
    size_t mask = map->cap - 1, hole = bucket(map, key);
    while (map->entry[hole].value && !pk_hash_eq(map->entry[hole].key, key))
        hole = (hole + 1) & mask;
    if (!map->entry[hole].value)
        return;
    map->count--;
    for (size_t i = (hole + 1) & mask; map->entry[i].value; i = (i + 1) & mask) {
        size_t home = bucket(map, map->entry[i].key);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            map->entry[hole] = map->entry[i];
            hole = i;
        }
    }
    map->entry[hole].value = NULL;
}

void pk_map_clear(struct pk_map *map)
{
    if (map->cap)
        memset(map->entry, 0, map->cap * sizeof *map->entry);
    map->count = 0;
}

void pk_map_done(struct pk_map *map)
{
    free(map->entry);
    *map = (struct pk_map){0};
}
