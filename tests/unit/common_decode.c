/* SPDX-License-Identifier: Apache-2.0 */
/* The plan decoder against avro-c: bytes that avro-c wrote with v1 and with schemas of other writers are
 * read by both, and every field must agree. POLKU_SEED=n repeats a run. */
#include "avro_plan.h"
#include "avro_tree.h"
#include "event_avro.h"
#include "event_json.h"
#include "event_slot.h"
#include "nearest.h"

#include <avro.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

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

/* ---- chance ---- */

static uint64_t rng_state;

static uint64_t rng(void)
{
    uint64_t z = rng_state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static size_t below(size_t n)
{
    return (size_t)(rng() % n);
}

static void seed(const char *what)
{
    const char *text = getenv("POLKU_SEED");
    rng_state = text ? strtoull(text, NULL, 10) : 20150921;
    fprintf(stderr, "%s: POLKU_SEED=%" PRIu64 "\n", what, rng_state);
}

/* ---- writers' schemas, made from ours ---- */

static json_t *our_schema(void)
{
    struct pk_str json = event_schema_json();
    return json_loadb(json.ptr, json.len, 0, NULL);
}

static json_t *field_of(json_t *record, const char *name, size_t *ret_index)
{
    json_t *fields = json_object_get(record, "fields"), *field;
    size_t i;
    json_array_foreach(fields, i, field)
    {
        if (strcmp(json_string_value(json_object_get(field, "name")), name) == 0) {
            if (ret_index)
                *ret_index = i;
            return field;
        }
    }
    cr_assert_fail("no field %s", name);
    return NULL;
}

/* "rating.score" = the field of the record within the union. */
static json_t *field_at(json_t *schema, const char *path)
{
    char head[64];
    const char *dot = strchr(path, '.');
    if (!dot)
        return field_of(schema, path, NULL);
    snprintf(head, sizeof head, "%.*s", (int)(dot - path), path);
    json_t *type = json_object_get(field_of(schema, head, NULL), "type");
    return field_of(json_is_array(type) ? json_array_get(type, 1) : json_object_get(type, "items"), dot + 1, NULL);
}

static void retype(json_t *schema, const char *path, const char *type)
{
    json_t *field = field_at(schema, path);
    json_object_set_new(field, "type", json_loads(type, JSON_DECODE_ANY, NULL));
    json_object_del(field, "default");
}

static void add_fields(json_t *schema)
{
    static const char *const extra[] = {
        "{\"name\":\"x1\",\"type\":\"null\"}",
        "{\"name\":\"x2\",\"type\":\"boolean\"}",
        "{\"name\":\"x3\",\"type\":\"int\"}",
        "{\"name\":\"x4\",\"type\":\"float\"}",
        "{\"name\":\"x5\",\"type\":\"double\"}",
        "{\"name\":\"x6\",\"type\":\"bytes\"}",
        "{\"name\":\"x7\",\"type\":{\"type\":\"fixed\",\"name\":\"F7\",\"size\":7}}",
        "{\"name\":\"x8\",\"type\":{\"type\":\"enum\",\"name\":\"E8\",\"symbols\":[\"A\",\"B\"]}}",
        "{\"name\":\"x9\",\"type\":{\"type\":\"record\",\"name\":\"R9\",\"fields\":[{\"name\":\"a\",\"type\":"
        "\"string\"},{\"name\":\"b\",\"type\":[\"null\",\"long\"]}]}}",
        "{\"name\":\"x10\",\"type\":{\"type\":\"array\",\"items\":\"R9\"}}",
        "{\"name\":\"x11\",\"type\":{\"type\":\"map\",\"values\":{\"type\":\"array\",\"items\":\"int\"}}}",
        "{\"name\":\"x12\",\"type\":[\"null\",\"string\",\"int\",\"R9\",{\"type\":\"map\",\"values\":\"bytes\"}]}",
        "{\"name\":\"x13\",\"type\":{\"type\":\"record\",\"name\":\"Node\",\"fields\":[{\"name\":\"v\",\"type\":"
        "\"long\"},{\"name\":\"next\",\"type\":[\"null\",\"Node\"]}]}}",
        "{\"name\":\"x14\",\"type\":{\"type\":\"array\",\"items\":\"null\"}}",
        "{\"name\":\"x15\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":[\"null\",\"F7\",\"E8\"]}}}",
        "{\"name\":\"x16\",\"type\":{\"type\":\"record\",\"name\":\"Empty\",\"fields\":[]}}",
    };
    json_t *fields = json_object_get(schema, "fields");
    for (size_t i = 0; i < PK_COUNT(extra); i++) /* in order, for the references, but anywhere */
        json_array_insert_new(fields, PK_MIN(2 * i, json_array_size(fields)), json_loads(extra[i], 0, NULL));
}

static void reverse_fields(json_t *schema)
{
    json_t *fields = json_object_get(schema, "fields"), *reversed = json_array();
    for (size_t i = json_array_size(fields); i-- > 0;)
        json_array_append(reversed, json_array_get(fields, i));
    json_object_set_new(schema, "fields", reversed);
}

static void promote(json_t *schema)
{
    retype(schema, "sequence", "\"int\"");
    retype(schema, "money.amount_minor", "\"int\"");
    retype(schema, "rating.score", "\"float\"");
    retype(schema, "rating.min", "\"int\"");
    retype(schema, "rating.max", "\"long\"");
    retype(schema, "event_id", "\"bytes\"");
    retype(schema, "topic", "[\"null\",\"bytes\"]");
    retype(schema, "identifiers.value", "\"bytes\"");
    retype(schema, "attributes", "{\"type\":\"map\",\"values\":\"bytes\"}");
    retype(schema, "occurred_at", "{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}");
    retype(schema, "obligation.due_to", "[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-nanos\"}]");
    retype(schema, "obligation.due_from", "[\"null\",\"long\"]");
}

static void drop_fields(json_t *schema)
{
    static const char *const dropped[] = {"unit",      "sequence", "direction", "identifiers", "staff",
                                          "handoff",   "rating",   "reason",    "sensitivity", "attributes"};
    for (size_t i = 0; i < PK_COUNT(dropped); i++) {
        size_t index = 0;
        field_of(schema, dropped[i], &index);
        json_array_remove(json_object_get(schema, "fields"), index);
    }
    json_t *obligation = json_array_get(json_object_get(field_of(schema, "obligation", NULL), "type"), 1);
    size_t index = 0;
    field_of(obligation, "due_from", &index);
    json_array_remove(json_object_get(obligation, "fields"), index);
}

static void other_symbols(json_t *schema)
{
    retype(schema, "direction", "{\"type\":\"enum\",\"name\":\"D\",\"symbols\":[\"UNKNOWN\",\"SIDEWAYS\",\"PUBLIC\","
                                "\"OUTBOUND\",\"INBOUND\"]}");
    retype(schema, "actor", "[\"null\",{\"type\":\"enum\",\"name\":\"A\",\"symbols\":[\"ROBOT\",\"BOT\",\"HUMAN\"]}]");
    retype(schema, "sensitivity", "{\"type\":\"enum\",\"name\":\"S\",\"symbols\":[\"TOP_SECRET\",\"NORMAL\"]}");
}

static void other_unions(json_t *schema)
{
    retype(schema, "unit", "[\"string\",\"null\"]");
    retype(schema, "topic", "\"string\"");
    retype(schema, "cause", "[\"long\",\"null\",\"string\",\"boolean\"]");
    retype(schema, "brand", "[\"null\",\"string\"]");
    retype(schema, "sequence", "[\"null\",\"long\",\"int\"]");
    retype(schema, "occurred_at", "[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}]");
    retype(schema, "product", "\"null\"");
    retype(schema, "attributes", "[\"null\",{\"type\":\"map\",\"values\":[\"null\",\"string\"]}]");
    retype(schema, "rating.score", "[\"null\",\"double\"]");
    json_t *handoff = field_of(schema, "handoff", NULL), *type = json_object_get(handoff, "type");
    json_object_set(handoff, "type", json_array_get(type, 1)); /* always there */
    json_object_del(handoff, "default");
    json_t *money = json_object_get(field_of(schema, "money", NULL), "type");
    json_array_append_new(money, json_string("null"));
    json_array_remove(money, 0);
    json_object_del(field_of(schema, "money", NULL), "default");
}

static const struct writer {
    const char *name;
    void (*change[6])(json_t *schema);
} writers[] = {
    {"v1", {NULL}},
    {"extra fields", {add_fields}},
    {"reordered", {reverse_fields}},
    {"promoted", {promote}},
    {"fields missing", {drop_fields}},
    {"other symbols", {other_symbols}},
    {"other unions", {other_unions}},
    {"promoted and extra", {promote, add_fields}},
    {"symbols, missing, extra", {other_symbols, drop_fields, add_fields}},
    {"unions, symbols, extra", {other_unions, other_symbols, add_fields}},
};

static char *writer_json(const struct writer *writer)
{
    json_t *schema = our_schema();
    for (size_t i = 0; writer->change[i]; i++)
        writer->change[i](schema);
    char *text = json_dumps(schema, JSON_COMPACT);
    json_decref(schema);
    return text;
}

/* ---- random values of any schema, through avro-c ---- */

static void random_text(char *out, size_t *ret_len)
{
    static const char *const piece[] = {"a", "Z", "0", " ", "ä", "京", "🧪", "\"", "/", "callback.reached"};
    size_t pieces = below(20) ? below(8) : below(60);
    *ret_len = 0;
    for (size_t i = 0; i < pieces; i++) {
        const char *text = piece[below(PK_COUNT(piece))];
        memcpy(out + *ret_len, text, strlen(text));
        *ret_len += strlen(text);
    }
    out[*ret_len] = '\0';
}

static int64_t random_long(void)
{
    int64_t number = (int64_t)rng();
    return number >> below(64);
}

static void must(int failed)
{
    if (failed)
        cr_assert_fail("avro-c: %s", avro_strerror());
}

static void random_value(avro_value_t *value, int depth)
{
    char text[2000];
    size_t len, count;
    avro_value_t child;
    switch (avro_value_get_type(value)) {
    case AVRO_NULL:
        must(avro_value_set_null(value));
        break;
    case AVRO_BOOLEAN:
        must(avro_value_set_boolean(value, (int)below(2)));
        break;
    case AVRO_INT32:
        must(avro_value_set_int(value, (int32_t)random_long()));
        break;
    case AVRO_INT64:
        must(avro_value_set_long(value, below(50) ? random_long() / 2048 : random_long()));
        break;
    case AVRO_FLOAT:
        must(avro_value_set_float(value, (float)random_long() / 8));
        break;
    case AVRO_DOUBLE:
        must(avro_value_set_double(value, (double)random_long() / 8));
        break;
    case AVRO_STRING:
        random_text(text, &len);
        must(avro_value_set_string_len(value, text, len + 1));
        break;
    case AVRO_BYTES:
        random_text(text, &len);
        must(avro_value_set_bytes(value, text, len));
        break;
    case AVRO_FIXED:
        must(avro_value_set_fixed(value, "fixed size", (size_t)avro_schema_fixed_size(avro_value_get_schema(value))));
        break;
    case AVRO_ENUM:
        count = (size_t)avro_schema_enum_number_of_symbols(avro_value_get_schema(value));
        must(avro_value_set_enum(value, (int)below(count)));
        break;
    case AVRO_ARRAY:
        count = depth > 6 ? 0 : below(8) ? below(3) : below(EVENT_MAX_IDENTIFIERS + 1);
        for (size_t i = 0; i < count; i++) {
            must(avro_value_append(value, &child, NULL));
            random_value(&child, depth + 1);
        }
        break;
    case AVRO_MAP:
        count = depth > 6 ? 0 : below(8) ? below(4) : below(EVENT_MAX_ATTRIBUTES + 1);
        for (size_t i = 0; i < count; i++) {
            random_text(text, &len);
            must(avro_value_add(value, text, &child, NULL, NULL));
            random_value(&child, depth + 1);
        }
        break;
    case AVRO_UNION:
        count = avro_schema_union_size(avro_value_get_schema(value));
        must(avro_value_set_branch(value, depth > 6 ? 0 : (int)below(count), &child));
        random_value(&child, depth + 1);
        break;
    case AVRO_RECORD:
        must(avro_value_get_size(value, &count));
        for (size_t i = 0; i < count; i++) {
            must(avro_value_get_by_index(value, i, &child, NULL));
            random_value(&child, depth + 1);
        }
        break;
    default:
        cr_assert_fail("unexpected type");
    }
}

struct codec {
    avro_schema_t schema;
    avro_value_iface_t *iface;
    avro_value_t written, read;
    struct avro_plan *plan;
    char *json;
    uint8_t buf[1 << 17];
    size_t len;
};

static struct codec *codec_open(const struct writer *writer)
{
    struct codec *codec = pk_alloc(sizeof *codec);
    struct pk_err err = {0};
    codec->json = writer_json(writer);
    if (avro_schema_from_json_length(codec->json, strlen(codec->json), &codec->schema))
        cr_assert_fail("%s: avro-c: %s\n%s", writer->name, avro_strerror(), codec->json);
    codec->iface = avro_generic_class_from_schema(codec->schema);
    must(avro_generic_value_new(codec->iface, &codec->written));
    must(avro_generic_value_new(codec->iface, &codec->read));
    cr_assert_eq(avro_plan_compile((struct pk_str){0}, pk_str(codec->json), &codec->plan, &err), PK_OK, "%s: %s",
                 writer->name, err.text);
    return codec;
}

static void codec_close(struct codec *codec)
{
    avro_value_decref(&codec->written);
    avro_value_decref(&codec->read);
    avro_value_iface_decref(codec->iface);
    avro_schema_decref(codec->schema);
    avro_plan_free(codec->plan);
    free(codec->json);
    free(codec);
}

/* Random bytes of the writer's schema, and avro-c's own reading of them. */
static void codec_random(struct codec *codec)
{
    must(avro_value_reset(&codec->written));
    random_value(&codec->written, 0);
    avro_writer_t out = avro_writer_memory((const char *)codec->buf, sizeof codec->buf);
    must(avro_value_write(out, &codec->written));
    codec->len = (size_t)avro_writer_tell(out);
    avro_writer_free(out);
    avro_reader_t in = avro_reader_memory((const char *)codec->buf, (int64_t)codec->len);
    must(avro_value_reset(&codec->read));
    must(avro_value_read(in, &codec->read));
    avro_reader_free(in);
}

/* ---- comparing ---- */

static const char *where_differs;

/* Follows unions; false if it ends at null. *ret_bad if the branch is none that we can read. */
static bool resolve(avro_value_t value, avro_value_t *ret, avro_type_t wanted, bool *ret_bad)
{
    *ret_bad = false;
    while (avro_value_get_type(&value) == AVRO_UNION) {
        avro_value_t branch;
        must(avro_value_get_current_branch(&value, &branch));
        value = branch;
    }
    avro_type_t type = avro_value_get_type(&value);
    if (type == AVRO_NULL)
        return false;
    bool number = type == AVRO_INT64 || type == AVRO_INT32;
    bool fits = type == wanted || (wanted == AVRO_STRING && type == AVRO_BYTES) || (wanted == AVRO_INT64 && number) ||
                (wanted == AVRO_DOUBLE && (number || type == AVRO_FLOAT));
    *ret_bad = !fits;
    *ret = value;
    return true;
}

static struct pk_str text_of(avro_value_t *value)
{
    const char *text;
    const void *bytes;
    size_t len;
    if (avro_value_get_type(value) == AVRO_STRING) {
        must(avro_value_get_string(value, &text, &len));
        return (struct pk_str){text, len - 1};
    }
    must(avro_value_get_bytes(value, &bytes, &len));
    return (struct pk_str){bytes, len};
}

static int64_t long_of(avro_value_t *value)
{
    int64_t number;
    int32_t small;
    if (avro_value_get_type(value) == AVRO_INT64) {
        must(avro_value_get_long(value, &number));
        return number;
    }
    must(avro_value_get_int(value, &small));
    return small;
}

static double double_of(avro_value_t *value)
{
    double real;
    float small;
    if (avro_value_get_type(value) == AVRO_DOUBLE)
        must(avro_value_get_double(value, &real));
    else if (avro_value_get_type(value) == AVRO_FLOAT)
        must(avro_value_get_float(value, &small)), real = (double)small;
    else
        real = (double)long_of(value);
    return real;
}

enum verdict { SAME, DIFFERS, UNREADABLE };

static enum verdict same(bool equal, const char *name)
{
    where_differs = equal ? where_differs : name;
    return equal ? SAME : DIFFERS;
}

static enum verdict compare_record(avro_value_t *record, const struct event_slot slot[], size_t count, const char *base,
                                   json_t *schema);

/* The logical type is not in avro-c's schema: the test knows which fields it changed. */
static enum verdict compare_time(const struct event_slot *slot, int64_t written, int64_t read, json_t *schema)
{
    json_t *field = schema ? field_of(schema, slot->name, NULL) : NULL;
    char *text = json_dumps(json_object_get(field, "type"), JSON_ENCODE_ANY);
    int64_t wanted = written;
    bool overflow = false;
    if (strstr(text, "timestamp-millis"))
        overflow = __builtin_mul_overflow(written, 1000, &wanted);
    if (strstr(text, "timestamp-nanos"))
        wanted = (int64_t)(((__int128)written - (((__int128)written % 1000 + 1000) % 1000)) / 1000);
    free(text);
    if (wanted == PK_NO_TIME)
        wanted++;
    return overflow ? UNREADABLE : same(read == wanted, slot->name);
}

static enum verdict compare_identifiers(avro_value_t *list, const struct event *event)
{
    size_t count;
    must(avro_value_get_size(list, &count));
    if (count != event->identifier_count)
        return same(false, "identifiers");
    for (size_t i = 0; i < count; i++) {
        avro_value_t entry;
        must(avro_value_get_by_index(list, i, &entry, NULL));
        enum verdict verdict =
            compare_record(&entry, event_identifier_slot, 2, (const char *)&event->identifier[i], NULL);
        if (verdict != SAME)
            return verdict;
    }
    return SAME;
}

/* avro-c's map keeps the order in which the entries were written. */
static enum verdict compare_attributes(avro_value_t *map, const struct event *event)
{
    size_t count, have = 0;
    must(avro_value_get_size(map, &count));
    for (size_t i = 0; i < count; i++) {
        avro_value_t entry, text;
        const char *key;
        bool bad;
        must(avro_value_get_by_index(map, i, &entry, &key));
        if (!resolve(entry, &text, AVRO_STRING, &bad))
            continue;
        if (have >= event->attribute_count || !pk_str_eq(event->attribute[have].key, pk_str(key)) ||
            !pk_str_eq(event->attribute[have].value, text_of(&text)))
            return same(false, "attributes");
        have++;
    }
    return same(have == event->attribute_count, "attributes");
}

static enum verdict compare_slot(avro_value_t *written, const struct event_slot *slot, const char *base, json_t *schema)
{
    static const avro_type_t wanted[] = {
        [SLOT_TEXT] = AVRO_STRING, [SLOT_LONG] = AVRO_INT64,   [SLOT_TIME] = AVRO_INT64,   [SLOT_DOUBLE] = AVRO_DOUBLE,
        [SLOT_ENUM] = AVRO_ENUM,   [SLOT_RECORD] = AVRO_RECORD, [SLOT_IDENTIFIERS] = AVRO_ARRAY, [SLOT_ATTRIBUTES] = AVRO_MAP,
    };
    const char *member = base + slot->offset;
    avro_value_t value;
    bool bad = false, there = written && resolve(*written, &value, wanted[slot->kind], &bad);
    if (bad)
        return UNREADABLE;
    switch (slot->kind) {
    case SLOT_TEXT:
        return same(pk_str_eq(*(const struct pk_str *)member, there ? text_of(&value) : (struct pk_str){0}), slot->name);
    case SLOT_LONG:
        return same(*(const int64_t *)member == (there ? long_of(&value) : 0), slot->name);
    case SLOT_TIME:
        if (!there)
            return same(*(const int64_t *)member == PK_NO_TIME, slot->name);
        return compare_time(slot, long_of(&value), *(const int64_t *)member, schema);
    case SLOT_DOUBLE: {
        double real = there ? double_of(&value) : 0;
        return same(memcmp(member, &real, sizeof real) == 0, slot->name);
    }
    case SLOT_ENUM: {
        int index = 0, mine = slot->fallback;
        if (there) {
            must(avro_value_get_enum(&value, &index));
            const char *symbol = avro_schema_enum_get(avro_value_get_schema(&value), index);
            mine = strcmp(slot->name, "sensitivity") == 0 ? EVENT_SENSITIVE : slot->fallback;
            for (size_t i = 0; i < slot->count; i++)
                if (strcmp(symbol, slot->symbol[i]) == 0)
                    mine = (int)i;
        }
        return same(*(const int *)member == mine, slot->name);
    }
    case SLOT_RECORD: {
        if (*(const bool *)(base + slot->present) != there)
            return same(false, slot->name);
        if (!there)
            return SAME;
        json_t *type = json_object_get(field_of(schema, slot->name, NULL), "type");
        if (json_is_array(type))
            type = json_array_get(type, json_is_object(json_array_get(type, 0)) ? 0 : 1);
        return compare_record(&value, slot->part, slot->count, base, type);
    }
    case SLOT_IDENTIFIERS:
        return there ? compare_identifiers(&value, (const struct event *)base)
                     : same(((const struct event *)base)->identifier_count == 0, slot->name);
    case SLOT_ATTRIBUTES:
        return there ? compare_attributes(&value, (const struct event *)base)
                     : same(((const struct event *)base)->attribute_count == 0, slot->name);
    }
    return DIFFERS;
}

static enum verdict compare_record(avro_value_t *record, const struct event_slot slot[], size_t count, const char *base,
                                   json_t *schema)
{
    for (size_t i = 0; i < count; i++) {
        avro_value_t field;
        bool there = avro_value_get_by_name(record, slot[i].name, &field, NULL) == 0;
        enum verdict verdict = compare_slot(there ? &field : NULL, &slot[i], base, schema);
        if (verdict != SAME)
            return verdict;
    }
    return SAME;
}

/* Is any branch or overflow in it that we cannot read? Asked only after a refusal. */
static bool is_unreadable(const struct codec *codec, json_t *schema)
{
    bool bad, there;
    for (size_t i = 0; i < event_slot_count; i++) {
        avro_value_t field, value;
        if (avro_value_get_by_name(&codec->read, event_slot[i].name, &field, NULL) != 0)
            continue;
        if (event_slot[i].kind == SLOT_TEXT && (resolve(field, &value, AVRO_STRING, &bad), bad))
            return true;
        if (event_slot[i].kind != SLOT_TIME)
            continue;
        there = resolve(field, &value, AVRO_INT64, &bad);
        if (there && compare_time(&event_slot[i], long_of(&value), 0, schema) == UNREADABLE)
            return true;
    }
    return false;
}

Test(decode, agrees_with_avro_c_on_events_of_many_writers)
{
    enum { EVENTS = 2500 };
    seed("decode against avro-c");
    struct pk_arena arena = {.keep_bytes = 1 << 20};
    size_t read = 0, refused = 0;
    for (size_t w = 0; w < PK_COUNT(writers); w++) {
        struct codec *codec = codec_open(&writers[w]);
        json_t *schema = json_loads(codec->json, 0, NULL);
        for (int i = 0; i < EVENTS; i++) {
            struct event event;
            struct pk_err err = {0};
            enum reject_reason reason;
            codec_random(codec);
            struct pk_bytes body = exact_copy(codec->buf, codec->len);
            pk_arena_reset(&arena);
            if (avro_plan_decode(codec->plan, body, &arena, &event, &reason, &err) == PK_OK) {
                enum verdict verdict =
                    compare_record(&codec->read, event_slot, event_slot_count, (const char *)&event, schema);
                cr_assert_eq(verdict, SAME, "%s, event %d: field %s (%d)", writers[w].name, i, where_differs, verdict);
                read++;
            } else {
                cr_assert(is_unreadable(codec, schema), "%s, event %d: %s", writers[w].name, i, err.text);
                cr_assert_eq(reason, REJECT_UNDECODABLE);
                refused++;
            }
            free((void *)body.ptr);
        }
        json_decref(schema);
        codec_close(codec);
    }
    fprintf(stderr, "decode against avro-c: %zu events equal, %zu rightly refused\n", read, refused);
    cr_assert_geq(read, 20000);
    pk_arena_done(&arena);
}

Test(decode, writes_the_same_canonical_bytes_as_avro_c_when_keys_are_sorted)
{
    seed("canonical form");
    struct codec *codec = codec_open(&writers[0]);
    struct event_encoder *encoder;
    struct pk_arena arena = {.keep_bytes = 1 << 20};
    struct pk_buf canonical = {0}, through_avro = {0}, again = {0};
    struct pk_err err = {0};
    cr_assert_eq(event_encoder_open(&encoder, &err), PK_OK, "%s", err.text);
    for (int i = 0; i < 3000; i++) {
        struct event event, back;
        enum reject_reason reason;
        codec_random(codec);
        pk_arena_reset(&arena), pk_buf_reset(&canonical), pk_buf_reset(&through_avro), pk_buf_reset(&again);
        cr_assert_eq(avro_plan_decode(codec->plan, (struct pk_bytes){codec->buf, codec->len}, &arena, &event, &reason,
                                      &err), PK_OK);
        event_encode_canonical(&event, &canonical);
        cr_assert_eq(avro_plan_decode(codec->plan, (struct pk_bytes){(uint8_t *)canonical.ptr, canonical.len}, &arena,
                                      &back, &reason, &err), PK_OK, "%s", err.text);
        for (uint32_t k = 1; k < back.attribute_count; k++)
            cr_assert_lt(pk_str_cmp(back.attribute[k - 1].key, back.attribute[k].key), 0);
        cr_assert_eq(event_encode_avro(encoder, &back, &through_avro, &err), PK_OK, "%s", err.text);
        cr_assert(canonical.len == through_avro.len && memcmp(canonical.ptr, through_avro.ptr, canonical.len) == 0);
        event_encode_canonical(&back, &again);
        cr_assert(canonical.len == again.len && memcmp(canonical.ptr, again.ptr, again.len) == 0);
    }
    event_encoder_close(encoder);
    codec_close(codec);
    pk_arena_done(&arena);
    pk_buf_done(&canonical), pk_buf_done(&through_avro), pk_buf_done(&again);
}

Test(decode, refuses_every_truncation)
{
    seed("truncations");
    struct pk_arena arena = {.keep_bytes = 1 << 20};
    for (size_t w = 0; w < PK_COUNT(writers); w++) {
        struct codec *codec = codec_open(&writers[w]);
        for (int i = 0; i < 15; i++) {
            codec_random(codec);
            for (size_t len = 0; len < codec->len; len++) {
                struct event event;
                struct pk_err err = {0};
                enum reject_reason reason;
                struct pk_bytes body = exact_copy(codec->buf, len);
                pk_arena_reset(&arena);
                cr_assert_eq(avro_plan_decode(codec->plan, body, &arena, &event, &reason, &err), PK_REJECT);
                cr_assert(reason == REJECT_UNDECODABLE, "%zu of %zu: %s", len, codec->len, err.text);
                free((void *)body.ptr);
            }
        }
        codec_close(codec);
    }
    pk_arena_done(&arena);
}

Test(decode, survives_flipped_bits_and_random_bytes)
{
    seed("bit flips");
    struct pk_arena arena = {.keep_bytes = 1 << 20};
    struct event_limits limits = {300 * PK_SECOND_US};
    for (size_t w = 0; w < PK_COUNT(writers); w++) {
        struct codec *codec = codec_open(&writers[w]);
        for (int i = 0; i < 2000; i++) {
            struct event event;
            struct pk_err err = {0};
            enum reject_reason reason;
            codec_random(codec);
            for (size_t flips = 1 + below(4); flips && codec->len; flips--)
                codec->buf[below(codec->len)] ^= (uint8_t)(1u << below(8));
            if (i % 10 == 0)
                for (size_t k = 0; k < codec->len; k++)
                    codec->buf[k] = (uint8_t)rng();
            struct pk_bytes body = exact_copy(codec->buf, codec->len);
            pk_arena_reset(&arena);
            if (avro_plan_decode(codec->plan, body, &arena, &event, &reason, &err) == PK_OK) {
                struct pk_buf out = {0};
                (void)event_validate(&event, &limits, PK_NO_TIME, &reason, &err);
                event_encode_canonical(&event, &out); /* reads every byte of every text */
                pk_buf_done(&out);
            }
            free((void *)body.ptr);
        }
        codec_close(codec);
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
    json_t *ours = our_schema();
    json_object_set_new(field_of(ours, "brand", NULL), "aliases", json_loads("[\"company\",\"org\"]", 0, NULL));
    json_object_set_new(field_of(ours, "sequence", NULL), "default", json_integer(42));
    json_object_set_new(field_of(ours, "stage", NULL), "type", json_loads("[\"string\",\"null\"]", 0, NULL));
    json_object_set_new(field_of(ours, "stage", NULL), "default", json_string("use"));
    json_object_set_new(field_of(ours, "actor", NULL), "default", json_string("BOT"));
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
