/* SPDX-License-Identifier: Apache-2.0 */
/* The plan decoder against avro-c (avro_peer.h), on bodies by hand, and the golden bytes. POLKU_SEED=n repeats a run. */
#include "avro_peer.h"
#include "avro_tree.h"
#include "event_avro.h"
#include "event_json.h"
#include "event_slot.h"
#include "nearest.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- what lives as long as a test ---- */

static struct pk_arena test_arena;
static PK_VEC(void *) kept;

static void forget_all(void)
{
    for (size_t i = 0; i < kept.len; i++)
        free(kept.ptr[i]);
    pk_vec_done(&kept);
    pk_arena_done(&test_arena);
}

TestSuite(decode, .fini = forget_all);

/* Bytes in memory of exactly their size, so that the sanitizer sees any read beyond them. */
static struct pk_bytes exact_copy(const void *bytes, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    memcpy(copy, bytes, len);
    return (struct pk_bytes){copy, len};
}

static struct pk_bytes kept_copy(const struct pk_buf *buf)
{
    struct pk_bytes copy = exact_copy(buf->ptr, buf->len);
    *pk_vec_push(&kept) = (void *)copy.ptr;
    return copy;
}

static struct chance chance;

static void seed(const char *what)
{
    const char *text = getenv("POLKU_SEED");
    chance.state = text ? strtoull(text, NULL, 10) : 20150921;
    fprintf(stderr, "%s: POLKU_SEED=%" PRIu64 "\n", what, chance.state);
}

Test(decode, agrees_with_avro_c_on_events_of_many_writers)
{
    enum { EVENTS = 2500 };
    seed("decode against avro-c");
    struct pk_arena arena = {.keep_bytes = 1 << 20};
    size_t read = 0, refused = 0;
    for (size_t w = 0; w < PEER_WRITERS; w++) {
        struct peer *peer = peer_open(w);
        for (int i = 0; i < EVENTS; i++) {
            struct event event;
            struct pk_err err = {0};
            enum reject_reason reason;
            peer_random(peer, &chance);
            struct pk_bytes body = exact_copy(peer->buf, peer->len);
            pk_arena_reset(&arena);
            if (avro_plan_decode(peer->plan, body, &arena, &event, &reason, &err) == PK_OK) {
                const char *where = NULL;
                enum peer_verdict verdict = peer_compare(peer, &event, &where);
                cr_assert_eq(verdict, PEER_SAME, "%s, event %d: field %s (%d)", peer->name, i, where, verdict);
                read++;
            } else {
                cr_assert(peer_is_unreadable(peer), "%s, event %d: %s", peer->name, i, err.text);
                cr_assert_eq(reason, REJECT_UNDECODABLE);
                refused++;
            }
            free((void *)body.ptr);
        }
        peer_close(peer);
    }
    fprintf(stderr, "decode against avro-c: %zu events equal, %zu rightly refused\n", read, refused);
    cr_assert_geq(read, 20000);
    pk_arena_done(&arena);
}

Test(decode, writes_the_same_canonical_bytes_as_avro_c_when_keys_are_sorted)
{
    seed("canonical form");
    struct peer *peer = peer_open(0);
    struct event_encoder *encoder;
    struct pk_arena arena = {.keep_bytes = 1 << 20};
    struct pk_buf canonical = {0}, through_avro = {0}, again = {0};
    struct pk_err err = {0};
    cr_assert_eq(event_encoder_open(&encoder, &err), PK_OK, "%s", err.text);
    for (int i = 0; i < 3000; i++) {
        struct event event, back;
        enum reject_reason reason;
        peer_random(peer, &chance);
        pk_arena_reset(&arena), pk_buf_reset(&canonical), pk_buf_reset(&through_avro), pk_buf_reset(&again);
        cr_assert_eq(avro_plan_decode(peer->plan, (struct pk_bytes){peer->buf, peer->len}, &arena, &event, &reason,
                                      &err), PK_OK);
        event_encode_canonical(&event, &canonical);
        cr_assert_eq(avro_plan_decode(peer->plan, (struct pk_bytes){(uint8_t *)canonical.ptr, canonical.len}, &arena,
                                      &back, &reason, &err), PK_OK, "%s", err.text);
        for (uint32_t k = 1; k < back.attribute_count; k++)
            cr_assert_lt(pk_str_cmp(back.attribute[k - 1].key, back.attribute[k].key), 0);
        cr_assert_eq(event_encode_avro(encoder, &back, &through_avro, &err), PK_OK, "%s", err.text);
        cr_assert(canonical.len == through_avro.len && memcmp(canonical.ptr, through_avro.ptr, canonical.len) == 0);
        event_encode_canonical(&back, &again);
        cr_assert(canonical.len == again.len && memcmp(canonical.ptr, again.ptr, again.len) == 0);
    }
    event_encoder_close(encoder);
    peer_close(peer);
    pk_arena_done(&arena);
    pk_buf_done(&canonical), pk_buf_done(&through_avro), pk_buf_done(&again);
}

Test(decode, refuses_every_truncation)
{
    seed("truncations");
    struct pk_arena arena = {.keep_bytes = 1 << 20};
    for (size_t w = 0; w < PEER_WRITERS; w++) {
        struct peer *peer = peer_open(w);
        for (int i = 0; i < 15; i++) {
            peer_random(peer, &chance);
            for (size_t len = 0; len < peer->len; len++) {
                struct event event;
                struct pk_err err = {0};
                enum reject_reason reason;
                struct pk_bytes body = exact_copy(peer->buf, len);
                pk_arena_reset(&arena);
                cr_assert_eq(avro_plan_decode(peer->plan, body, &arena, &event, &reason, &err), PK_REJECT);
                cr_assert(reason == REJECT_UNDECODABLE, "%zu of %zu: %s", len, peer->len, err.text);
                free((void *)body.ptr);
            }
        }
        peer_close(peer);
    }
    pk_arena_done(&arena);
}

Test(decode, survives_flipped_bits_and_random_bytes)
{
    seed("bit flips");
    struct pk_arena arena = {.keep_bytes = 1 << 20};
    struct event_limits limits = {300 * PK_SECOND_US};
    for (size_t w = 0; w < PEER_WRITERS; w++) {
        struct peer *peer = peer_open(w);
        for (int i = 0; i < 2000; i++) {
            struct event event;
            struct pk_err err = {0};
            enum reject_reason reason;
            peer_random(peer, &chance);
            for (size_t flips = 1 + chance_below(&chance, 4); flips && peer->len; flips--)
                peer->buf[chance_below(&chance, (unsigned)peer->len)] ^= (uint8_t)(1u << chance_below(&chance, 8));
            if (i % 10 == 0)
                for (size_t k = 0; k < peer->len; k++)
                    peer->buf[k] = (uint8_t)chance_next(&chance);
            struct pk_bytes body = exact_copy(peer->buf, peer->len);
            pk_arena_reset(&arena);
            if (avro_plan_decode(peer->plan, body, &arena, &event, &reason, &err) == PK_OK) {
                struct pk_buf out = {0};
                (void)event_validate(&event, &limits, PK_NO_TIME, &reason, &err);
                event_encode_canonical(&event, &out); /* reads every byte of every text */
                pk_buf_done(&out);
            }
            free((void *)body.ptr);
        }
        peer_close(peer);
    }
    pk_arena_done(&arena);
}

/* ---- bodies by hand ---- */

static void put_long(struct pk_buf *out, int64_t value)
{
    uint64_t raw = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
    for (; raw >= 0x80; raw >>= 7)
        pk_buf_add(out, &(uint8_t){(uint8_t)(raw | 0x80)}, 1);
    pk_buf_add(out, &(uint8_t){(uint8_t)raw}, 1);
}

static void put_text(struct pk_buf *out, const char *text)
{
    put_long(out, (int64_t)strlen(text));
    pk_buf_text(out, text);
}

/* Up to the lists: what stands before `identifiers`, and what stands between them and `attributes`. */
static void put_head(struct pk_buf *out)
{
    put_text(out, "e1"), put_text(out, "s"), put_long(out, 1442854500000000), put_long(out, 0);
    put_text(out, "contact.inbound"), put_text(out, "phone"), put_long(out, 0), put_long(out, 0);
    put_text(out, "b"), put_long(out, 0);
}

static void put_middle(struct pk_buf *out)
{
    for (int i = 0; i < 14; i++)
        put_long(out, 0); /* null */
    put_long(out, 0);     /* NORMAL */
}

static enum pk_status decode_by_hand(const struct pk_buf *body, struct event *ret_event, enum reject_reason *ret_reason,
                                     struct pk_err *err)
{
    struct avro_plan *plan;
    cr_assert_eq(avro_plan_compile((struct pk_str){0}, event_schema_json(), &plan, err), PK_OK);
    enum pk_status status = avro_plan_decode(plan, kept_copy(body), &test_arena, ret_event, ret_reason, err);
    avro_plan_free(plan);
    return status;
}

Test(decode, reads_blocks_with_sizes_and_several_blocks)
{
    struct pk_buf body PK_AUTO(pk_buf_done) = {0};
    struct pk_buf entries PK_AUTO(pk_buf_done) = {0};
    struct event event;
    struct pk_err err = {0};
    enum reject_reason reason;
    put_head(&body);
    put_text(&entries, "phone"), put_text(&entries, "1"), put_text(&entries, "email"), put_text(&entries, "2");
    put_long(&body, -2), put_long(&body, (int64_t)entries.len), pk_buf_add(&body, entries.ptr, entries.len);
    put_long(&body, 1), put_text(&body, "cookie"), put_text(&body, "3");
    put_long(&body, 1), put_text(&body, "kiosk"), put_text(&body, "4");
    put_long(&body, 0);
    put_middle(&body);
    put_long(&body, 1), put_text(&body, "k"), put_text(&body, "old");
    put_long(&body, -1), put_long(&body, 6), put_text(&body, "k"), put_text(&body, "new");
    put_long(&body, 0);
    cr_assert_eq(decode_by_hand(&body, &event, &reason, &err), PK_OK, "%s", err.text);
    cr_assert_eq(event.identifier_count, 4);
    cr_assert(pk_str_eq(event.identifier[1].name_space, PK_STR("email")));
    cr_assert(pk_str_eq(event.identifier[3].value, PK_STR("4")));
    cr_assert_eq(event.attribute_count, 2);
    struct pk_buf json PK_AUTO(pk_buf_done) = {0};
    event_to_json(&event, &json);
    cr_assert(strstr(json.ptr, "\"attributes\":{\"k\":\"new\"}"), "the last of equal keys stays: %s", json.ptr);
}

static void expect_refusal(const struct pk_buf *body, enum reject_reason wanted, const char *part_of_text)
{
    struct event event = {.sequence = 77};
    struct pk_err err = {0};
    enum reject_reason reason = REJECT_COUNT;
    cr_assert_eq(decode_by_hand(body, &event, &reason, &err), PK_REJECT);
    cr_assert_eq(reason, wanted, "%s: %s", reject_name(reason), err.text);
    cr_assert(strstr(err.text, part_of_text), "%s", err.text);
    cr_assert_eq(event.sequence, 77, "outputs stay untouched on failure");
}

Test(decode, refuses_lengths_and_counts_that_cannot_be)
{
    static const int64_t bad[] = {-1, 1000, INT64_MAX, INT64_MIN, INT64_C(1) << 60, -(INT64_C(1) << 60)};
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        struct pk_buf text PK_AUTO(pk_buf_done) = {0};
        struct pk_buf identifiers PK_AUTO(pk_buf_done) = {0};
        struct pk_buf attributes PK_AUTO(pk_buf_done) = {0};
        struct pk_buf size PK_AUTO(pk_buf_done) = {0};
        put_long(&text, bad[i]), pk_buf_text(&text, "e1");
        expect_refusal(&text, REJECT_UNDECODABLE, "field event_id");
        put_head(&identifiers), put_long(&identifiers, bad[i]), put_text(&identifiers, "phone");
        expect_refusal(&identifiers, REJECT_UNDECODABLE, "field identifiers");
        put_head(&attributes), put_long(&attributes, 0), put_middle(&attributes), put_long(&attributes, bad[i]);
        expect_refusal(&attributes, REJECT_UNDECODABLE, "field attributes");
        put_head(&size), put_long(&size, -1), put_long(&size, bad[i]), put_text(&size, "a"), put_text(&size, "b");
        expect_refusal(&size, REJECT_UNDECODABLE, "field identifiers");
    }
}

Test(decode, refuses_a_number_of_more_than_64_bits_and_a_branch_that_is_not_there)
{
    struct pk_buf number PK_AUTO(pk_buf_done) = {0};
    struct pk_buf branch PK_AUTO(pk_buf_done) = {0};
    struct pk_buf symbol PK_AUTO(pk_buf_done) = {0};
    put_text(&number, "e1"), put_text(&number, "s");
    pk_buf_add(&number, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10);
    expect_refusal(&number, REJECT_UNDECODABLE, "field occurred_at");
    put_text(&branch, "e1"), put_text(&branch, "s"), put_long(&branch, 1), put_long(&branch, 1), put_text(&branch, "t");
    put_text(&branch, "c"), put_long(&branch, 0), put_long(&branch, 0), put_text(&branch, "b"), put_long(&branch, 2);
    expect_refusal(&branch, REJECT_UNDECODABLE, "field unit");
    put_text(&symbol, "e1"), put_text(&symbol, "s"), put_long(&symbol, 1), put_long(&symbol, 1), put_text(&symbol, "t");
    put_text(&symbol, "c"), put_long(&symbol, 5);
    expect_refusal(&symbol, REJECT_UNDECODABLE, "field direction");
}

Test(decode, refuses_bytes_behind_the_last_field)
{
    struct pk_buf body PK_AUTO(pk_buf_done) = {0};
    put_head(&body), put_long(&body, 0), put_middle(&body), put_long(&body, 0);
    struct event event;
    struct pk_err err = {0};
    enum reject_reason reason;
    cr_assert_eq(decode_by_hand(&body, &event, &reason, &err), PK_OK, "%s", err.text);
    put_long(&body, 0);
    expect_refusal(&body, REJECT_UNDECODABLE, "left over");
}

Test(decode, says_too_large_for_more_list_entries_than_an_event_may_have)
{
    struct pk_buf identifiers PK_AUTO(pk_buf_done) = {0};
    struct pk_buf attributes PK_AUTO(pk_buf_done) = {0};
    put_head(&identifiers), put_long(&identifiers, 10);
    for (int i = 0; i < 17; i++) {
        if (i == 10)
            put_long(&identifiers, 7);
        put_text(&identifiers, "phone"), put_text(&identifiers, "1");
    }
    expect_refusal(&identifiers, REJECT_TOO_LARGE, "identifiers");
    put_head(&attributes), put_long(&attributes, 0), put_middle(&attributes), put_long(&attributes, 65);
    for (int i = 0; i < 65; i++)
        put_text(&attributes, "k"), put_text(&attributes, "v");
    expect_refusal(&attributes, REJECT_TOO_LARGE, "attributes");
}

/* ---- other writers' schemas by hand ---- */

#define MINIMAL "{\"name\":\"event_id\",\"type\":\"string\"},{\"name\":\"source\",\"type\":\"string\"}," \
                "{\"name\":\"type\",\"type\":\"string\"},{\"name\":\"channel\",\"type\":\"string\"}," \
                "{\"name\":\"brand\",\"type\":\"string\"}"
#define AT ",{\"name\":\"occurred_at\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}}"
#define SCHEMA(fields) "{\"type\":\"record\",\"name\":\"Interaction\",\"fields\":[" fields "]}"

static void put_minimal(struct pk_buf *out)
{
    put_text(out, "e1"), put_text(out, "s"), put_text(out, "t"), put_text(out, "c"), put_text(out, "b");
}

static struct avro_plan *plan_of(const char *reader, const char *writer)
{
    struct avro_plan *plan;
    struct pk_err err = {0};
    cr_assert_eq(avro_plan_compile(pk_str(reader), pk_str(writer), &plan, &err), PK_OK, "%s", err.text);
    return plan;
}

static enum pk_status decode_with(const struct avro_plan *plan, const struct pk_buf *body, struct event *ret_event,
                                  struct pk_err *err)
{
    enum reject_reason reason;
    return avro_plan_decode(plan, kept_copy(body), &test_arena, ret_event, &reason, err);
}

Test(decode, refuses_a_writer_whose_field_is_missing_or_of_another_type_and_names_it)
{
    static const struct {
        const char *schema, *part_of_text;
    } bad[] = {
        {SCHEMA(MINIMAL), "'occurred_at'"},
        {SCHEMA(MINIMAL AT ",{\"name\":\"sequence\",\"type\":\"string\"}"), "'sequence' is string"},
        {SCHEMA(MINIMAL AT ",{\"name\":\"sequence\",\"type\":\"double\"}"), "'sequence' is double"},
        {SCHEMA(MINIMAL AT ",{\"name\":\"unit\",\"type\":[\"null\",\"long\"]}"), "'unit' is long"},
        {SCHEMA(MINIMAL AT ",{\"name\":\"identifiers\",\"type\":{\"type\":\"array\",\"items\":\"string\"}}"),
         "'identifiers' is array"},
        {SCHEMA(MINIMAL AT ",{\"name\":\"money\",\"type\":{\"type\":\"record\",\"name\":\"M\",\"fields\":["
                           "{\"name\":\"currency\",\"type\":\"string\"},{\"name\":\"kind\",\"type\":\"string\"}]}}"),
         "'money.amount_minor'"},
        {SCHEMA(MINIMAL ",{\"name\":\"occurred_at\",\"type\":{\"type\":\"int\",\"logicalType\":\"date\"}}"),
         "'occurred_at' is int (date)"},
        {SCHEMA(MINIMAL ",{\"name\":\"occurred_at\",\"type\":{\"type\":\"long\",\"logicalType\":\"local-timestamp-micros\"}}"),
         "local-timestamp-micros"},
        {"{\"type\":\"record\",\"name\":\"Order\",\"fields\":[" MINIMAL AT "]}", "Order"},
        {"\"string\"", "string"},
        {"{", "line 1"},
        {"{\"type\":\"record\",\"name\":\"Interaction\",\"fields\":[{\"name\":\"a\",\"type\":\"Nowhere\"}]}", "Nowhere"},
    };
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        struct avro_plan *plan = NULL;
        struct pk_err err = {0};
        cr_assert_eq(avro_plan_compile((struct pk_str){0}, pk_str(bad[i].schema), &plan, &err), PK_REJECT);
        cr_assert(strstr(err.text, bad[i].part_of_text), "%s", err.text);
        cr_assert_null(plan);
    }
}

Test(decode, finds_a_field_by_an_alias_of_our_schema_and_fills_our_defaults)
{
    json_t *ours = peer_our_schema();
    json_object_set_new(peer_field(ours, "brand", NULL), "aliases", json_loads("[\"company\",\"org\"]", 0, NULL));
    json_object_set_new(peer_field(ours, "sequence", NULL), "default", json_integer(42));
    json_object_set_new(peer_field(ours, "stage", NULL), "type", json_loads("[\"string\",\"null\"]", 0, NULL));
    json_object_set_new(peer_field(ours, "stage", NULL), "default", json_string("use"));
    json_object_set_new(peer_field(ours, "actor", NULL), "default", json_string("BOT"));
    char *reader = json_dumps(ours, 0);
    struct avro_plan *plan = plan_of(reader, SCHEMA("{\"name\":\"org\",\"type\":\"string\"},"
        "{\"name\":\"event_id\",\"type\":\"string\"},{\"name\":\"source\",\"type\":\"string\"},"
        "{\"name\":\"type\",\"type\":\"string\"},{\"name\":\"channel\",\"type\":\"string\"}" AT));
    struct pk_buf body PK_AUTO(pk_buf_done) = {0};
    struct event event;
    struct pk_err err = {0};
    put_minimal(&body), put_long(&body, 5);
    cr_assert_eq(decode_with(plan, &body, &event, &err), PK_OK, "%s", err.text);
    cr_assert(pk_str_eq(event.brand, PK_STR("e1")));
    cr_assert_eq(event.sequence, 42);
    cr_assert_eq(event.actor, EVENT_BOT);
    cr_assert_eq(event.direction, EVENT_DIRECTION_UNKNOWN);
    cr_assert(pk_str_eq(event.stage, PK_STR("use")));
    cr_assert_null(event.unit.ptr);
    avro_plan_free(plan);
    free(reader);
    json_decref(ours);
}

Test(decode, bounds_the_work_of_entries_that_take_no_bytes)
{
    struct avro_plan *plan = plan_of(NULL, SCHEMA(MINIMAL AT ",{\"name\":\"x\",\"type\":{\"type\":\"array\",\"items\":\"null\"}}"));
    struct event event;
    struct pk_err err = {0};
    struct pk_buf few PK_AUTO(pk_buf_done) = {0};
    struct pk_buf many PK_AUTO(pk_buf_done) = {0};
    put_minimal(&few), put_long(&few, 5), put_long(&few, 1000), put_long(&few, 0);
    cr_assert_eq(decode_with(plan, &few, &event, &err), PK_OK, "%s", err.text);
    put_minimal(&many), put_long(&many, 5), put_long(&many, INT64_C(1) << 60), put_long(&many, 0);
    cr_assert_eq(decode_with(plan, &many, &event, &err), PK_REJECT);
    cr_assert(strstr(err.text, "field x"), "%s", err.text);
    avro_plan_free(plan);
}

Test(decode, bounds_the_depth_of_recursive_fields)
{
    struct avro_plan *plan = plan_of(NULL, SCHEMA(MINIMAL AT ",{\"name\":\"x\",\"type\":{\"type\":\"record\",\"name\":\"N\","
        "\"fields\":[{\"name\":\"next\",\"type\":[\"null\",\"N\"]}]}}"));
    for (int depth = 10; depth <= 100000; depth *= 100) {
        struct event event;
        struct pk_err err = {0};
        struct pk_buf body PK_AUTO(pk_buf_done) = {0};
        put_minimal(&body), put_long(&body, 5);
        for (int i = 0; i < depth; i++)
            put_long(&body, 1);
        put_long(&body, 0);
        cr_assert_eq(decode_with(plan, &body, &event, &err), depth == 10 ? PK_OK : PK_REJECT, "%s", err.text);
    }
    avro_plan_free(plan);
}

/* Types that name each other twice would be 2^30 operations if they were written out. */
Test(decode, compiles_a_schema_of_types_that_multiply_in_little_room)
{
    struct pk_buf schema PK_AUTO(pk_buf_done) = {0};
    pk_buf_text(&schema, "{\"type\":\"record\",\"name\":\"Interaction\",\"fields\":[" MINIMAL AT
                         ",{\"name\":\"x\",\"type\":{\"type\":\"record\",\"name\":\"L0\",\"fields\":[");
    for (int i = 1; i <= 30; i++)
        pk_buf_printf(&schema, "{\"name\":\"a\",\"type\":{\"type\":\"record\",\"name\":\"L%d\",\"fields\":[", i);
    pk_buf_text(&schema, "{\"name\":\"leaf\",\"type\":\"null\"}");
    for (int i = 30; i >= 1; i--)
        pk_buf_printf(&schema, "]}},{\"name\":\"b\",\"type\":\"L%d\"}", i);
    pk_buf_text(&schema, "]}}]}");
    struct avro_plan *plan = plan_of(NULL, schema.ptr);
    struct event event;
    struct pk_err err = {0};
    struct pk_buf body PK_AUTO(pk_buf_done) = {0};
    put_minimal(&body), put_long(&body, 5);
    cr_assert_eq(decode_with(plan, &body, &event, &err), PK_OK, "%s", err.text);
    avro_plan_free(plan);
}

/* A schema may come from a registry: the work for it must not grow with the square of its size. */
Test(decode, compiles_a_schema_of_very_many_fields_and_symbols_in_little_time)
{
    struct pk_buf schema PK_AUTO(pk_buf_done) = {0};
    pk_buf_text(&schema, "{\"type\":\"record\",\"name\":\"Interaction\",\"fields\":[" MINIMAL AT);
    for (int i = 0; i < 10000; i++)
        pk_buf_printf(&schema, ",{\"name\":\"x%d\",\"type\":\"int\"}", i);
    pk_buf_text(&schema, ",{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"S\"");
    for (int i = 0; i < 60000; i++)
        pk_buf_printf(&schema, ",\"s%d\"", i);
    pk_buf_text(&schema, "]}}]}");
    clock_t start = clock();
    avro_plan_free(plan_of(NULL, schema.ptr));
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    cr_assert_lt(seconds, 6, "%.1f s", seconds);
}

Test(decode, reads_a_branch_that_is_written_in_more_bytes_than_it_needs)
{
    static const char optional[] = ",{\"name\":\"topic\",\"type\":[\"null\",\"string\"]}"
                                   ",{\"name\":\"cause\",\"type\":[\"null\",\"string\"]}"
                                   ",{\"name\":\"unit\",\"type\":[\"string\",\"null\"]}]}";
    struct pk_buf schema PK_AUTO(pk_buf_done) = {0}, body PK_AUTO(pk_buf_done) = {0};
    pk_buf_text(&schema, "{\"type\":\"record\",\"name\":\"Interaction\",\"fields\":[" MINIMAL AT);
    pk_buf_text(&schema, optional);
    struct avro_plan *plan = plan_of(NULL, schema.ptr);
    struct event event;
    struct pk_err err = {0};
    put_minimal(&body), put_long(&body, 5);
    pk_buf_add(&body, "\x80\x00\x82\x80\x00\x02!\x82\x00", 9);
    cr_assert_eq(decode_with(plan, &body, &event, &err), PK_OK, "%s", err.text);
    cr_assert(!event.topic.ptr && !event.unit.ptr && pk_str_eq(event.cause, PK_STR("!")));
    avro_plan_free(plan);
}

/* ---- files of the repository ---- */

static char *read_file(const char *folder, const char *name, size_t *ret_len)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/schemas/%s/%s", POLKU_SOURCE_DIR, folder, name);
    FILE *in = fopen(path, "rb");
    cr_assert_not_null(in, "%s: %s", path, strerror(errno));
    char *text = pk_alloc(1 << 16);
    *ret_len = fread(text, 1, (1 << 16) - 1, in);
    fclose(in);
    return text;
}

/* Calls `each` with every *.json of a folder below schemas/. */
static size_t each_json(const char *folder, void (*each)(const char *folder, const char *name, const struct event *event))
{
    char path[1024];
    snprintf(path, sizeof path, "%s/schemas/%s", POLKU_SOURCE_DIR, folder);
    DIR *dir = opendir(path);
    cr_assert_not_null(dir, "%s", path);
    size_t count = 0;
    struct pk_arena arena = {0};
    for (struct dirent *entry; (entry = readdir(dir));) {
        const char *dot = strrchr(entry->d_name, '.');
        if (!dot || strcmp(dot, ".json") != 0)
            continue;
        size_t len;
        char *text = read_file(folder, entry->d_name, &len);
        struct event event;
        struct pk_err err = {0};
        cr_assert_eq(event_from_json((struct pk_str){text, len}, &arena, &event, &err), PK_OK, "%s: %s", entry->d_name,
                     err.text);
        each(folder, entry->d_name, &event);
        free(text);
        count++;
    }
    closedir(dir);
    pk_arena_done(&arena);
    return count;
}

static void check_golden(const char *folder, const char *name, const struct event *event)
{
    char avro_name[256];
    snprintf(avro_name, sizeof avro_name, "%.*s.avro", (int)(strrchr(name, '.') - name), name);
    size_t len;
    char *golden = read_file(folder, avro_name, &len);
    struct pk_buf canonical = {0}, json = {0}, json_back = {0};
    event_encode_canonical(event, &canonical);
    cr_assert(canonical.len == len && memcmp(canonical.ptr, golden, len) == 0, "%s", name);

    struct schema_set *schemas;
    struct pk_arena arena = {0};
    struct pk_err err = {0};
    struct event back;
    enum reject_reason reason;
    struct pk_buf payload = {0};
    cr_assert_eq(schema_set_open(POLKU_SOURCE_DIR "/schemas", NULL, &schemas, &err), PK_OK, "%s", err.text);
    wire_add_confluent(&payload, 1), pk_buf_add(&payload, golden, len);
    cr_assert_eq(event_decode(schemas, (struct pk_bytes){(uint8_t *)payload.ptr, payload.len}, &arena, &back, &reason,
                              &err), PK_OK, "%s: %s", name, err.text);
    event_to_json(event, &json), event_to_json(&back, &json_back);
    cr_assert_str_eq(json.ptr, json_back.ptr);
    schema_set_close(schemas);
    pk_arena_done(&arena);
    free(golden);
    pk_buf_done(&canonical), pk_buf_done(&json), pk_buf_done(&json_back), pk_buf_done(&payload);
}

Test(golden, bytes_of_version_1_are_written_and_read)
{
    cr_assert_geq(each_json("golden/v1", check_golden), 3);
    size_t len;
    char *golden = read_file("golden/v1", "fingerprint", &len), mine[20];
    snprintf(mine, sizeof mine, "%016" PRIx64 "\n", event_schema_fingerprint());
    cr_assert_str_eq(golden, mine, "interaction.avsc was changed after it was published");
    free(golden);
}

static void check_example(const char *folder, const char *name, const struct event *event)
{
    (void)folder;
    char wanted[128];
    struct pk_err err = {0};
    enum reject_reason reason;
    snprintf(wanted, sizeof wanted, "%.*s.json", PK_STR_ARG(event->channel));
    cr_assert_str_eq(name, wanted, "an example is named after its channel");
    cr_assert_eq(event_validate(event, &(struct event_limits){0}, PK_NO_TIME, &reason, &err), PK_OK, "%s: %s", name,
                 err.text);
}

Test(golden, examples_are_valid_events_named_after_their_channel)
{
    cr_assert_geq(each_json("examples", check_example), 16);
}

/* struct event, its table and the schema say the same. */
static void check_slots(const struct tree_node *record, const struct event_slot slot[], size_t count)
{
    cr_assert_eq(record->count, count, "%s", record->name.ptr);
    for (size_t i = 0; i < count; i++) {
        const struct tree_field *field = &record->field[i];
        const struct tree_node *type = field->type;
        cr_assert(pk_str_eq(field->name, pk_str(slot[i].name)), "%s", slot[i].name);
        cr_assert_eq(slot[i].required, field->fallback == NULL, "%s", slot[i].name);
        cr_assert_eq(slot[i].nullable, type->kind == TREE_UNION, "%s", slot[i].name);
        if (type->kind == TREE_UNION)
            type = type->branch[1];
        static const enum tree_kind kind[] = {
            [SLOT_TEXT] = TREE_STRING, [SLOT_LONG] = TREE_LONG, [SLOT_TIME] = TREE_LONG, [SLOT_DOUBLE] = TREE_DOUBLE,
            [SLOT_ENUM] = TREE_ENUM, [SLOT_RECORD] = TREE_RECORD, [SLOT_IDENTIFIERS] = TREE_ARRAY,
            [SLOT_ATTRIBUTES] = TREE_MAP,
        };
        cr_assert_eq(type->kind, kind[slot[i].kind], "%s", slot[i].name);
        cr_assert_eq(slot[i].kind == SLOT_TIME, pk_str_eq(type->logical, PK_STR("timestamp-micros")));
        if (slot[i].kind == SLOT_RECORD)
            check_slots(type, slot[i].part, slot[i].count);
        if (slot[i].kind == SLOT_IDENTIFIERS)
            check_slots(type->branch[0], event_identifier_slot, 2);
        for (size_t k = 0; slot[i].kind == SLOT_ENUM && k < slot[i].count; k++)
            cr_assert(pk_str_eq(type->symbol[k], pk_str(slot[i].symbol[k])));
        if (slot[i].kind == SLOT_ENUM) {
            cr_assert_eq(type->count, slot[i].count);
            cr_assert_str_eq(json_string_value(field->fallback), slot[i].symbol[slot[i].fallback]);
        }
    }
}

Test(golden, the_struct_and_the_schema_have_the_same_fields_in_the_same_order)
{
    struct avro_tree tree;
    struct pk_err err = {0};
    cr_assert_eq(avro_tree_parse(event_schema_json(), &tree, &err), PK_OK, "%s", err.text);
    cr_assert_str_eq(tree.root->name.ptr, "polku.Interaction");
    check_slots(tree.root, event_slot, event_slot_count);
    avro_tree_done(&tree);
}
