/* SPDX-License-Identifier: Apache-2.0 */
#include "avro_peer.h"
#include "event_avro.h"
#include "event_slot.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define broken(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), abort())

static size_t below(struct chance *chance, size_t n)
{
    return (size_t)(chance_next(chance) % n);
}

/* ---- writers' schemas, made from ours ---- */

json_t *peer_our_schema(void)
{
    struct pk_str json = event_schema_json();
    return json_loadb(json.ptr, json.len, 0, NULL);
}

json_t *peer_field(json_t *record, const char *name, size_t *ret_index)
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
    broken("no field %s", name);
}

/* "rating.score" = the field of the record within the union. */
static json_t *field_at(json_t *schema, const char *path)
{
    char head[64];
    const char *dot = strchr(path, '.');
    if (!dot)
        return peer_field(schema, path, NULL);
    snprintf(head, sizeof head, "%.*s", (int)(dot - path), path);
    json_t *type = json_object_get(peer_field(schema, head, NULL), "type");
    return peer_field(json_is_array(type) ? json_array_get(type, 1) : json_object_get(type, "items"), dot + 1, NULL);
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
        peer_field(schema, dropped[i], &index);
        json_array_remove(json_object_get(schema, "fields"), index);
    }
    json_t *obligation = json_array_get(json_object_get(peer_field(schema, "obligation", NULL), "type"), 1);
    size_t index = 0;
    peer_field(obligation, "due_from", &index);
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
    json_t *handoff = peer_field(schema, "handoff", NULL), *type = json_object_get(handoff, "type");
    json_object_set(handoff, "type", json_array_get(type, 1)); /* always there */
    json_object_del(handoff, "default");
    json_t *money = json_object_get(peer_field(schema, "money", NULL), "type");
    json_array_append_new(money, json_string("null"));
    json_array_remove(money, 0);
    json_object_del(peer_field(schema, "money", NULL), "default");
}

static const struct writer {
    const char *name;
    void (*change[6])(json_t *schema);
} writers[PEER_WRITERS] = {
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
    json_t *schema = peer_our_schema();
    for (size_t i = 0; writer->change[i]; i++)
        writer->change[i](schema);
    char *text = json_dumps(schema, JSON_COMPACT);
    json_decref(schema);
    return text;
}

/* ---- random values of any schema, through avro-c ---- */

static void random_text(struct chance *chance, char *out, size_t *ret_len)
{
    static const char *const piece[] = {"a", "Z", "0", " ", "ä", "京", "🧪", "\"", "/", "callback.reached"};
    size_t pieces = below(chance, 20) ? below(chance, 8) : below(chance, 60);
    *ret_len = 0;
    for (size_t i = 0; i < pieces; i++) {
        const char *text = piece[below(chance, PK_COUNT(piece))];
        memcpy(out + *ret_len, text, strlen(text));
        *ret_len += strlen(text);
    }
    out[*ret_len] = '\0';
}

static int64_t random_long(struct chance *chance)
{
    int64_t number = (int64_t)chance_next(chance);
    return number >> below(chance, 64);
}

static void must(int failed)
{
    if (failed)
        broken("avro-c: %s", avro_strerror());
}

static void random_value(struct chance *chance, avro_value_t *value, int depth)
{
    char text[2000];
    size_t len, count;
    avro_value_t child;
    switch (avro_value_get_type(value)) {
    case AVRO_NULL:
        must(avro_value_set_null(value));
        break;
    case AVRO_BOOLEAN:
        must(avro_value_set_boolean(value, (int)below(chance, 2)));
        break;
    case AVRO_INT32:
        must(avro_value_set_int(value, (int32_t)random_long(chance)));
        break;
    case AVRO_INT64:
        must(avro_value_set_long(value, below(chance, 50) ? random_long(chance) / 2048 : random_long(chance)));
        break;
    case AVRO_FLOAT:
        must(avro_value_set_float(value, (float)random_long(chance) / 8));
        break;
    case AVRO_DOUBLE:
        must(avro_value_set_double(value, (double)random_long(chance) / 8));
        break;
    case AVRO_STRING:
        random_text(chance, text, &len);
        must(avro_value_set_string_len(value, text, len + 1));
        break;
    case AVRO_BYTES:
        random_text(chance, text, &len);
        must(avro_value_set_bytes(value, text, len));
        break;
    case AVRO_FIXED:
        must(avro_value_set_fixed(value, "fixed size", (size_t)avro_schema_fixed_size(avro_value_get_schema(value))));
        break;
    case AVRO_ENUM:
        count = (size_t)avro_schema_enum_number_of_symbols(avro_value_get_schema(value));
        must(avro_value_set_enum(value, (int)below(chance, count)));
        break;
    case AVRO_ARRAY:
        count = depth > 6 ? 0 : below(chance, 8) ? below(chance, 3) : below(chance, EVENT_MAX_IDENTIFIERS + 1);
        for (size_t i = 0; i < count; i++) {
            must(avro_value_append(value, &child, NULL));
            random_value(chance, &child, depth + 1);
        }
        break;
    case AVRO_MAP:
        count = depth > 6 ? 0 : below(chance, 8) ? below(chance, 4) : below(chance, EVENT_MAX_ATTRIBUTES + 1);
        for (size_t i = 0; i < count; i++) {
            random_text(chance, text, &len);
            must(avro_value_add(value, text, &child, NULL, NULL));
            random_value(chance, &child, depth + 1);
        }
        break;
    case AVRO_UNION:
        count = avro_schema_union_size(avro_value_get_schema(value));
        must(avro_value_set_branch(value, depth > 6 ? 0 : (int)below(chance, count), &child));
        random_value(chance, &child, depth + 1);
        break;
    case AVRO_RECORD:
        must(avro_value_get_size(value, &count));
        for (size_t i = 0; i < count; i++) {
            must(avro_value_get_by_index(value, i, &child, NULL));
            random_value(chance, &child, depth + 1);
        }
        break;
    default:
        broken("unexpected type");
    }
}

struct peer *peer_open(size_t writer)
{
    struct peer *peer = pk_alloc(sizeof *peer);
    struct pk_err err = {0};
    peer->name = writers[writer].name;
    peer->json = writer_json(&writers[writer]);
    peer->tree = json_loads(peer->json, 0, NULL);
    if (avro_schema_from_json_length(peer->json, strlen(peer->json), &peer->schema))
        broken("%s: avro-c: %s\n%s", peer->name, avro_strerror(), peer->json);
    peer->iface = avro_generic_class_from_schema(peer->schema);
    must(avro_generic_value_new(peer->iface, &peer->written));
    must(avro_generic_value_new(peer->iface, &peer->read));
    if (avro_plan_compile((struct pk_str){0}, pk_str(peer->json), &peer->plan, &err) != PK_OK)
        broken("%s: %s", peer->name, err.text);
    return peer;
}

void peer_close(struct peer *peer)
{
    avro_value_decref(&peer->written);
    avro_value_decref(&peer->read);
    avro_value_iface_decref(peer->iface);
    avro_schema_decref(peer->schema);
    avro_plan_free(peer->plan);
    json_decref(peer->tree);
    free(peer->json);
    free(peer);
}

bool peer_read(struct peer *peer, struct pk_bytes body)
{
    avro_reader_t in = avro_reader_memory((const char *)body.ptr, (int64_t)body.len);
    must(avro_value_reset(&peer->read));
    bool all = avro_value_read(in, &peer->read) == 0;
    char more;
    all = all && avro_read(in, &more, 1) != 0;
    avro_reader_free(in);
    return all;
}

void peer_random(struct peer *peer, struct chance *chance)
{
    must(avro_value_reset(&peer->written));
    random_value(chance, &peer->written, 0);
    avro_writer_t out = avro_writer_memory((const char *)peer->buf, sizeof peer->buf);
    must(avro_value_write(out, &peer->written));
    peer->len = (size_t)avro_writer_tell(out);
    avro_writer_free(out);
    if (!peer_read(peer, (struct pk_bytes){peer->buf, peer->len}))
        broken("%s: avro-c does not read what it wrote: %s", peer->name, avro_strerror());
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

static enum peer_verdict same(bool equal, const char *name)
{
    where_differs = equal ? where_differs : name;
    return equal ? PEER_SAME : PEER_DIFFERS;
}

static enum peer_verdict compare_record(avro_value_t *record, const struct event_slot slot[], size_t count, const char *base,
                                   json_t *schema);

/* The logical type is not in avro-c's schema: the test knows which fields it changed. */
static enum peer_verdict compare_time(const struct event_slot *slot, int64_t written, int64_t read, json_t *schema)
{
    json_t *field = schema ? peer_field(schema, slot->name, NULL) : NULL;
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
    return overflow ? PEER_UNREADABLE : same(read == wanted, slot->name);
}

static enum peer_verdict compare_identifiers(avro_value_t *list, const struct event *event)
{
    size_t count;
    must(avro_value_get_size(list, &count));
    if (count != event->identifier_count)
        return same(false, "identifiers");
    for (size_t i = 0; i < count; i++) {
        avro_value_t entry;
        must(avro_value_get_by_index(list, i, &entry, NULL));
        enum peer_verdict verdict =
            compare_record(&entry, event_identifier_slot, 2, (const char *)&event->identifier[i], NULL);
        if (verdict != PEER_SAME)
            return verdict;
    }
    return PEER_SAME;
}

/* avro-c's map keeps the order in which the entries were written. */
static enum peer_verdict compare_attributes(avro_value_t *map, const struct event *event)
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

static enum peer_verdict compare_slot(avro_value_t *written, const struct event_slot *slot, const char *base, json_t *schema)
{
    static const avro_type_t wanted[] = {
        [SLOT_TEXT] = AVRO_STRING, [SLOT_LONG] = AVRO_INT64,   [SLOT_TIME] = AVRO_INT64,   [SLOT_DOUBLE] = AVRO_DOUBLE,
        [SLOT_ENUM] = AVRO_ENUM,   [SLOT_RECORD] = AVRO_RECORD, [SLOT_IDENTIFIERS] = AVRO_ARRAY, [SLOT_ATTRIBUTES] = AVRO_MAP,
    };
    const char *member = base + slot->offset;
    avro_value_t value;
    bool bad = false, there = written && resolve(*written, &value, wanted[slot->kind], &bad);
    if (bad)
        return PEER_UNREADABLE;
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
            return PEER_SAME;
        json_t *type = json_object_get(peer_field(schema, slot->name, NULL), "type");
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
    return PEER_DIFFERS;
}

static enum peer_verdict compare_record(avro_value_t *record, const struct event_slot slot[], size_t count, const char *base,
                                   json_t *schema)
{
    for (size_t i = 0; i < count; i++) {
        avro_value_t field;
        bool there = avro_value_get_by_name(record, slot[i].name, &field, NULL) == 0;
        enum peer_verdict verdict = compare_slot(there ? &field : NULL, &slot[i], base, schema);
        if (verdict != PEER_SAME)
            return verdict;
    }
    return PEER_SAME;
}

enum peer_verdict peer_compare(struct peer *peer, const struct event *event, const char **ret_where)
{
    where_differs = "";
    enum peer_verdict verdict =
        compare_record(&peer->read, event_slot, event_slot_count, (const char *)event, peer->tree);
    *ret_where = where_differs;
    return verdict;
}

bool peer_is_unreadable(const struct peer *peer)
{
    bool bad, there;
    for (size_t i = 0; i < event_slot_count; i++) {
        avro_value_t field, value;
        if (avro_value_get_by_name(&peer->read, event_slot[i].name, &field, NULL) != 0)
            continue;
        if (event_slot[i].kind == SLOT_TEXT && (resolve(field, &value, AVRO_STRING, &bad), bad))
            return true;
        if (event_slot[i].kind != SLOT_TIME)
            continue;
        there = resolve(field, &value, AVRO_INT64, &bad);
        if (there && compare_time(&event_slot[i], long_of(&value), 0, peer->tree) == PEER_UNREADABLE)
            return true;
    }
    return false;
}
