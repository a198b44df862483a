/* SPDX-License-Identifier: Apache-2.0 */
/* The kit: arena, buffer, map, text. */
#include "nearest.h"
#include "pk.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t rng(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

Test(kit, fail_sets_the_text_and_returns_the_status)
{
    struct pk_err err;
    cr_assert_eq(pk_fail(&err, PK_RETRY, "%d of %s", 3, "x"), PK_RETRY);
    cr_assert_str_eq(err.text, "3 of x");
    cr_assert_eq(pk_fail(NULL, PK_STOP, "nobody reads this"), PK_STOP);
    cr_assert_str_eq(pk_status_name(PK_FENCED), "fenced");
    cr_assert_str_eq(pk_status_name((enum pk_status)99), "?");
}

Test(kit, a_sentence_is_utf8_whatever_it_quotes_and_wherever_it_is_cut)
{
    struct pk_err err;
    pk_fail(&err, PK_REJECT, "a \xff b \xe4\xba c %s", "京");
    cr_assert_str_eq(err.text, "a ? b ?? c 京");
    char text[600];
    for (size_t i = 0; i + 3 < sizeof text; i += 3)
        memcpy(text + i, "京", 4);
    for (int before = 0; before < 3; before++) {
        pk_fail(&err, PK_REJECT, "%.*s%s", before, "xx", text);
        cr_assert(pk_utf8_valid(err.text, strlen(err.text)), "%d: %s", before, err.text);
        cr_assert_eq(strlen(err.text), sizeof err.text - 1);
    }
}

Test(kit, text_compares_as_bytes_and_null_comes_first)
{
    cr_assert_lt(pk_str_cmp(PK_STR("a"), PK_STR("b")), 0);
    cr_assert_lt(pk_str_cmp(PK_STR("a"), PK_STR("aa")), 0);
    cr_assert_gt(pk_str_cmp(PK_STR("ä"), PK_STR("z")), 0, "unsigned bytes, as COLLATE \"C\"");
    cr_assert_lt(pk_str_cmp((struct pk_str){0}, PK_STR("")), 0);
    cr_assert_eq(pk_str_cmp((struct pk_str){0}, (struct pk_str){0}), 0);
    cr_assert(!pk_str_eq((struct pk_str){0}, PK_STR("")), "null is not empty");
    cr_assert(pk_str_eq(PK_STR("x"), pk_str("x")));
}

Test(kit, utf8_is_checked_as_postgresql_does)
{
    static const char *const good[] = {"", "a", "abcdefgh", "abcdefghi", "ä", "京", "🧪", "abcdefgä", "\x7f",
                                       "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf", "12345678ääää12345678"};
    static const struct pk_str bad[] = {
        PK_STR("\0"),           PK_STR("abcdefgh\0"),     PK_STR("abc\0efgh"),        PK_STR("\x80"),
        PK_STR("\xc3"),         PK_STR("\xc0\x80"),       PK_STR("\xc1\xbf"),         PK_STR("\xe0\x80\x80"),
        PK_STR("\xe0\x9f\xbf"), PK_STR("\xed\xa0\x80"),   PK_STR("\xf0\x8f\xbf\xbf"), PK_STR("\xf4\x90\x80\x80"),
        PK_STR("\xf5\x80\x80\x80"), PK_STR("abcdefgh\xff"), PK_STR("\xe4\xba"),        PK_STR("\xc3\x28"),
    };
    for (size_t i = 0; i < PK_COUNT(good); i++)
        cr_assert(pk_utf8_valid(good[i], strlen(good[i])), "%zu", i);
    for (size_t i = 0; i < PK_COUNT(bad); i++)
        cr_assert(!pk_utf8_valid(bad[i].ptr, bad[i].len), "%zu", i);
}

Test(kit, arena_memory_is_aligned_its_own_and_stays_until_reset)
{
    struct pk_arena arena = {.keep_bytes = 1 << 20};
    uint64_t state = 1;
    for (int round = 0; round < 5; round++) {
        enum { PIECES = 400 };
        uint8_t *piece[PIECES];
        size_t size[PIECES], total = 0;
        for (size_t i = 0; i < PIECES; i++) {
            size[i] = rng(&state) % 3000;
            piece[i] = pk_arena_alloc(&arena, size[i]);
            cr_assert_eq((uintptr_t)piece[i] % 16, 0);
            memset(piece[i], (int)(i & 0xff), size[i]);
            total += size[i];
        }
        for (size_t i = 0; i < PIECES; i++)
            for (size_t k = 0; k < size[i]; k++)
                cr_assert_eq(piece[i][k], i & 0xff);
        cr_assert_geq(arena.used, total);
        cr_assert_geq(arena.held, arena.used);
        pk_arena_reset(&arena);
        cr_assert_eq(arena.used, 0);
        cr_assert_leq(arena.held, 1 << 20, "no more is kept than allowed");
    }
    size_t held = arena.held;
    pk_arena_alloc(&arena, held / 2);
    cr_assert_eq(arena.held, held, "a steady batch takes nothing from malloc");
    struct pk_str text = pk_arena_str(&arena, (struct pk_str){"abcd", 3});
    cr_assert_str_eq(text.ptr, "abc");
    cr_assert_null(pk_arena_str(&arena, (struct pk_str){0}).ptr);
    int *zero = PK_NEW_ARRAY(&arena, int, 100);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(zero[i], 0);
    pk_arena_done(&arena);
    cr_assert_eq(arena.held, 0);
}

Test(kit, arena_gives_back_a_single_burst)
{
    struct pk_arena arena = {.keep_bytes = 100 << 10};
    pk_arena_alloc(&arena, 4 << 20);
    pk_arena_reset(&arena);
    cr_assert_leq(arena.held, 100 << 10);
    pk_arena_done(&arena);
}

Test(kit, buffer_grows_and_ends_with_a_terminator)
{
    struct pk_buf buf = {0};
    for (int i = 0; i < 1000; i++)
        pk_buf_printf(&buf, "%d,", i);
    pk_buf_text(&buf, "end");
    pk_buf_add(&buf, "\0x", 2);
    cr_assert_eq(buf.ptr[buf.len], '\0');
    cr_assert_eq(strncmp(buf.ptr, "0,1,2,", 6), 0);
    cr_assert_str_eq(buf.ptr + buf.len - 5, "end");
    pk_buf_reset(&buf);
    cr_assert_eq(buf.len, 0);
    cr_assert_str_eq(buf.ptr, "");
    pk_buf_done(&buf);
    cr_assert_null(buf.ptr);
}

Test(kit, vector_keeps_what_was_pushed)
{
    PK_VEC(int) numbers = {0};
    for (int i = 0; i < 1000; i++)
        *pk_vec_push(&numbers) = i;
    cr_assert_eq(numbers.len, 1000);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(numbers.ptr[i], i);
    pk_vec_done(&numbers);
    cr_assert_eq(numbers.len, 0);
}

/* Keys from a small set whose buckets collide, so that runs wrap around and removal closes gaps. */
Test(kit, map_agrees_with_a_plain_table_under_random_puts_and_removes)
{
    enum { KEYS = 400, STEPS = 200000 };
    uint64_t state = 7;
    static int value[KEYS];
    bool there[KEYS] = {0};
    struct pk_hash key[KEYS];
    for (size_t i = 0; i < KEYS; i++) {
        pk_put_be64(key[i].byte, i % 13);
        pk_put_be64(key[i].byte + 8, i % 3 ? i % 37 * 11 : UINT64_MAX - i % 5);
        key[i].byte[0] = (uint8_t)i, key[i].byte[1] = (uint8_t)(i >> 8);
    }
    struct pk_map map = {0};
    size_t count = 0;
    for (int step = 0; step < STEPS; step++) {
        size_t i = rng(&state) % KEYS;
        bool put = rng(&state) % 100 < (step / 20000 % 2 ? 30 : 60);
        if (put) {
            pk_map_put(&map, key[i], &value[i]);
            count += !there[i];
        } else {
            pk_map_remove(&map, key[i]);
            count -= there[i];
        }
        there[i] = put;
        cr_assert_eq(map.count, count);
        size_t probe = rng(&state) % KEYS;
        cr_assert_eq(pk_map_get(&map, key[probe]), there[probe] ? &value[probe] : NULL);
    }
    size_t seen = 0;
    PK_MAP_EACH(&map, e) seen++;
    cr_assert_eq(seen, count);
    for (size_t i = 0; i < KEYS; i++)
        cr_assert_eq(pk_map_get(&map, key[i]), there[i] ? &value[i] : NULL);
    pk_map_clear(&map);
    cr_assert_null(pk_map_get(&map, key[0]));
    pk_map_done(&map);
    pk_map_remove(&map, key[0]);
    cr_assert_null(pk_map_get(&map, key[0]), "an empty map has nothing");
}

Test(kit, map_put_replaces_the_value_of_a_key)
{
    struct pk_map map = {0};
    int one = 1, two = 2;
    pk_map_put(&map, (struct pk_hash){{1}}, &one);
    pk_map_put(&map, (struct pk_hash){{1}}, &two);
    cr_assert_eq(map.count, 1);
    cr_assert_eq(pk_map_get(&map, (struct pk_hash){{1}}), &two);
    pk_map_done(&map);
}

Test(kit, the_nearest_name_is_the_one_that_was_meant)
{
    static const char *const known[] = {"event_id", "source", "occurred_at", "channel", "case_id"};
    cr_assert_str_eq(nearest_name(PK_STR("chanel"), known, 5), "channel");
    cr_assert_str_eq(nearest_name(PK_STR("ocurred_at"), known, 5), "occurred_at");
    cr_assert_str_eq(nearest_name(PK_STR("evnet_id"), known, 5), "event_id");
    cr_assert_null(nearest_name(PK_STR("temperature"), known, 5));
    cr_assert_eq(nearest_distance(PK_STR("ab"), PK_STR("ba")), 1, "swapped neighbours are one slip");
    cr_assert_eq(nearest_distance(PK_STR(""), PK_STR("abc")), 3);
}
