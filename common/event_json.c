/* SPDX-License-Identifier: Apache-2.0 */
#include "event_json.h"
#include "event_slot.h"
#include "json_text.h"
#include "nearest.h"
#include "time_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { MAX_FIELDS = 32 };

/* ---- reading ---- */

struct reader {
    struct pk_arena *arena;
    struct event *event;
    struct pk_err *err;
    const char *within; /* "obligation." or "" */
};

static enum pk_status read_object(struct reader *reader, const json_t *object, const struct event_slot slot[],
                                  size_t count, char *base);

static const char *kind_of(const json_t *json)
{
    static const char *const name[] = {"an object", "a list",   "text", "a whole number", "a number with decimals",
                                       "true",      "false", "null"};
    return name[json_typeof(json)];
}

static enum pk_status wrong(const struct reader *reader, const char *field, const json_t *json, const char *wanted)
{
    return pk_fail(reader->err, PK_REJECT, "%s%s must be %s, not %s", reader->within, field, wanted, kind_of(json));
}

static struct pk_str copy_text(const struct reader *reader, const json_t *json)
{
    return pk_arena_str(reader->arena, (struct pk_str){json_string_value(json), json_string_length(json)});
}

static enum pk_status read_time(const struct reader *reader, const struct event_slot *slot, const json_t *json,
                                int64_t *ret_us)
{
    struct pk_err why;
    if (json_is_integer(json)) {
        *ret_us = json_integer_value(json);
        return PK_OK;
    }
    if (!json_is_string(json))
        return wrong(reader, slot->name, json, "a time, ISO 8601 with a zone, or microseconds");
    if (time_parse_iso(pk_str(json_string_value(json)), false, ret_us, &why) != PK_OK)
        return pk_fail(reader->err, PK_REJECT, "%s%s is %.400s", reader->within, slot->name, why.text);
    return PK_OK;
}

static enum pk_status read_enum(const struct reader *reader, const struct event_slot *slot, const json_t *json,
                                int *ret_value)
{
    if (!json_is_string(json))
        return wrong(reader, slot->name, json, "a symbol");
    for (size_t i = 0; i < slot->count; i++)
        if (strcmp(slot->symbol[i], json_string_value(json)) == 0) {
            *ret_value = (int)i;
            return PK_OK;
        }
    struct pk_buf all PK_AUTO(pk_buf_done) = {0};
    for (size_t i = 0; i < slot->count; i++)
        pk_buf_printf(&all, "%s%s", i ? ", " : "", slot->symbol[i]);
    return pk_fail(reader->err, PK_REJECT, "%s%s is none of %s", reader->within, slot->name, all.ptr);
}

static enum pk_status read_identifiers(struct reader *reader, const json_t *json)
{
    if (!json_is_array(json))
        return wrong(reader, "identifiers", json, "a list of {namespace, value}");
    size_t count = json_array_size(json);
    if (count > EVENT_MAX_IDENTIFIERS)
        return pk_fail(reader->err, PK_REJECT, "identifiers has %zu entries, at most %d", count, EVENT_MAX_IDENTIFIERS);
    struct event_identifier *entry = PK_NEW_ARRAY(reader->arena, struct event_identifier, count);
    for (size_t i = 0; i < count; i++) {
        char within[40];
        snprintf(within, sizeof within, "identifiers[%zu].", i);
        struct reader inner = *reader;
        inner.within = within;
        const json_t *item = json_array_get(json, i);
        if (!json_is_object(item))
            return pk_fail(reader->err, PK_REJECT, "identifiers[%zu] must be {namespace, value}, not %s", i, kind_of(item));
        enum pk_status status = read_object(&inner, item, event_identifier_slot, PK_COUNT(event_identifier_slot),
                                            (char *)&entry[i]);
        if (status != PK_OK)
            return status;
    }
    reader->event->identifier = entry;
    reader->event->identifier_count = (uint32_t)count;
    return PK_OK;
}

static enum pk_status read_attributes(struct reader *reader, const json_t *json)
{
    if (!json_is_object(json))
        return wrong(reader, "attributes", json, "an object of texts");
    size_t count = json_object_size(json), i = 0;
    if (count > EVENT_MAX_ATTRIBUTES)
        return pk_fail(reader->err, PK_REJECT, "attributes has %zu entries, at most %d", count, EVENT_MAX_ATTRIBUTES);
    struct event_attribute *entry = PK_NEW_ARRAY(reader->arena, struct event_attribute, count);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)json, key, value)
    {
        if (json_is_null(value))
            continue; /* absent, like everywhere */
        if (!json_is_string(value))
            return pk_fail(reader->err, PK_REJECT, "attributes.%.100s must be text, not %s", key, kind_of(value));
        entry[i++] = (struct event_attribute){pk_arena_str(reader->arena, pk_str(key)), copy_text(reader, value)};
    }
    reader->event->attribute = entry;
    reader->event->attribute_count = (uint32_t)i;
    return PK_OK;
}

static enum pk_status read_slot(struct reader *reader, const struct event_slot *slot, const json_t *json, char *base)
{
    char *member = base + slot->offset;
    switch (slot->kind) {
    case SLOT_TEXT:
        if (!json_is_string(json))
            return wrong(reader, slot->name, json, "text");
        *(struct pk_str *)member = copy_text(reader, json);
        return PK_OK;
    case SLOT_LONG:
        if (!json_is_integer(json))
            return wrong(reader, slot->name, json, "a whole number");
        *(int64_t *)member = json_integer_value(json);
        return PK_OK;
    case SLOT_TIME:
        return read_time(reader, slot, json, (int64_t *)member);
    case SLOT_DOUBLE:
        if (!json_is_number(json))
            return wrong(reader, slot->name, json, "a number");
        *(double *)member = json_number_value(json);
        return PK_OK;
    case SLOT_ENUM:
        return read_enum(reader, slot, json, (int *)member);
    case SLOT_RECORD: {
        if (!json_is_object(json))
            return wrong(reader, slot->name, json, "an object");
        char within[40];
        snprintf(within, sizeof within, "%s.", slot->name);
        struct reader inner = *reader;
        inner.within = within;
        *(bool *)(base + slot->present) = true;
        return read_object(&inner, json, slot->part, slot->count, base);
    }
    case SLOT_IDENTIFIERS:
        return read_identifiers(reader, json);
    case SLOT_ATTRIBUTES:
        return read_attributes(reader, json);
    }
    return PK_OK;
}

static void blank(const struct event_slot slot[], size_t count, char *base)
{
    for (size_t i = 0; i < count; i++) {
        if (slot[i].kind == SLOT_TIME && slot[i].nullable)
            *(int64_t *)(base + slot[i].offset) = PK_NO_TIME;
        if (slot[i].kind == SLOT_ENUM)
            *(int *)(base + slot[i].offset) = slot[i].fallback;
        if (slot[i].kind == SLOT_RECORD)
            blank(slot[i].part, slot[i].count, base);
    }
}

static enum pk_status unknown_field(const struct reader *reader, const char *key, const struct event_slot slot[],
                                    size_t count)
{
    const char *known[MAX_FIELDS];
    for (size_t i = 0; i < count && i < MAX_FIELDS; i++)
        known[i] = slot[i].name;
    const char *nearest = nearest_name(pk_str(key), known, PK_MIN(count, (size_t)MAX_FIELDS));
    return pk_fail(reader->err, PK_REJECT, "unknown field '%s%.100s'%s%s%s", reader->within, key,
                   nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

static enum pk_status read_object(struct reader *reader, const json_t *object, const struct event_slot slot[],
                                  size_t count, char *base)
{
    bool seen[MAX_FIELDS] = {0};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        size_t i = 0;
        while (i < count && strcmp(slot[i].name, key) != 0)
            i++;
        if (i == count)
            return unknown_field(reader, key, slot, count);
        if (json_is_null(value))
            continue;
        seen[i] = true;
        enum pk_status status = read_slot(reader, &slot[i], value, base);
        if (status != PK_OK)
            return status;
    }
    for (size_t i = 0; i < count; i++)
        if (slot[i].required && !seen[i])
            return pk_fail(reader->err, PK_REJECT, "%s%s is missing", reader->within, slot[i].name);
    return PK_OK;
}

enum pk_status event_from_json_value(const struct json_t *object, struct pk_arena *arena, struct event *ret_event,
                                     struct pk_err *err)
{
    struct event event = {0};
    struct reader reader = {arena, &event, err, ""};
    if (!json_is_object(object))
        return pk_fail(err, PK_REJECT, "an event must be a JSON object, not %s", object ? kind_of(object) : "nothing");
    blank(event_slot, event_slot_count, (char *)&event);
    enum pk_status status = read_object(&reader, object, event_slot, event_slot_count, (char *)&event);
    if (status == PK_OK)
        *ret_event = event;
    return status;
}

enum pk_status event_from_json(struct pk_str text, struct pk_arena *arena, struct event *ret_event,
                               struct pk_err *err)
{
    json_error_t where;
    json_t *json = json_read(text, JSON_REJECT_DUPLICATES, &where);
    if (!json) {
        /* jansson quotes what stands there, which may be a customer's data: keep what went wrong only */
        char *near = strstr(where.text, " near ");
        if (near)
            *near = '\0';
        return pk_fail(err, PK_REJECT, "not JSON at line %d, column %d: %s", where.line, where.column, where.text);
    }
    enum pk_status status = event_from_json_value(json, arena, ret_event, err);
    json_decref(json);
    return status;
}

/* ---- writing ---- */

static void put_text(struct pk_buf *out, struct pk_str text)
{
    pk_buf_text(out, "\"");
    for (size_t i = 0, from = 0; i <= text.len; i++) {
        unsigned char c = i < text.len ? (unsigned char)text.ptr[i] : '"';
        if (c != '"' && c != '\\' && c >= 0x20)
            continue;
        pk_buf_add(out, text.ptr + from, i - from);
        from = i + 1;
        if (i == text.len)
            break;
        if (c == '\n')
            pk_buf_text(out, "\\n");
        else if (c == '\t')
            pk_buf_text(out, "\\t");
        else if (c < 0x20)
            pk_buf_printf(out, "\\u%04x", c);
        else
            pk_buf_printf(out, "\\%c", c);
    }
    pk_buf_text(out, "\"");
}

/* The shortest text that reads back as the same number. */
static void put_double(struct pk_buf *out, double value)
{
    char text[40];
    if (!isfinite(value)) {
        pk_buf_text(out, "null"); /* JSON has no such number, and no valid event either */
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        double back;
        if (sscanf(text, "%lf", &back) == 1 && back == value)
            break;
    }
    pk_buf_text(out, text);
}

static void put_object(struct pk_buf *out, const struct event_slot slot[], size_t count, const char *base);

static void put_identifiers(struct pk_buf *out, const struct event *event)
{
    for (uint32_t i = 0; i < event->identifier_count; i++) {
        pk_buf_text(out, i ? "," : "[");
        put_object(out, event_identifier_slot, PK_COUNT(event_identifier_slot), (const char *)&event->identifier[i]);
    }
    pk_buf_text(out, "]");
}

/* JSON has one value for a key: the last one, as in the canonical form. */
static void put_attributes(struct pk_buf *out, const struct event *event)
{
    const char *before = "{";
    for (uint32_t i = 0; i < event->attribute_count; i++) {
        bool replaced = false;
        for (uint32_t k = i + 1; k < event->attribute_count && !replaced; k++)
            replaced = pk_str_eq(event->attribute[i].key, event->attribute[k].key);
        if (replaced)
            continue;
        pk_buf_text(out, before);
        before = ",";
        put_text(out, event->attribute[i].key);
        pk_buf_text(out, ":");
        put_text(out, event->attribute[i].value);
    }
    pk_buf_text(out, "}");
}

static bool is_written(const struct event_slot *slot, const char *base)
{
    const char *member = base + slot->offset;
    switch (slot->kind) {
    case SLOT_TEXT:
        return ((const struct pk_str *)member)->ptr != NULL;
    case SLOT_TIME:
        return !slot->nullable || *(const int64_t *)member != PK_NO_TIME;
    case SLOT_LONG:
        return slot->required || *(const int64_t *)member != 0;
    case SLOT_DOUBLE:
        return slot->required || *(const double *)member != 0;
    case SLOT_ENUM:
        return *(const int *)member != slot->fallback;
    case SLOT_RECORD:
        return *(const bool *)(base + slot->present);
    case SLOT_IDENTIFIERS:
        return ((const struct event *)base)->identifier_count > 0;
    case SLOT_ATTRIBUTES:
        return ((const struct event *)base)->attribute_count > 0;
    }
    return true;
}

static void put_time(struct pk_buf *out, int64_t us)
{
    char text[28];
    time_format_iso(us, text);
    if (text[4] == '-')
        pk_buf_printf(out, "\"%s\"", text);
    else
        pk_buf_printf(out, "%" PRId64, us); /* out of the calendar */
}

static void put_value(struct pk_buf *out, const struct event_slot *slot, const char *base)
{
    const char *member = base + slot->offset;
    switch (slot->kind) {
    case SLOT_TEXT:
        put_text(out, *(const struct pk_str *)member);
        break;
    case SLOT_LONG:
        pk_buf_printf(out, "%" PRId64, *(const int64_t *)member);
        break;
    case SLOT_TIME:
        put_time(out, *(const int64_t *)member);
        break;
    case SLOT_DOUBLE:
        put_double(out, *(const double *)member);
        break;
    case SLOT_ENUM:
        put_text(out, pk_str(slot->symbol[*(const unsigned *)member % slot->count]));
        break;
    case SLOT_RECORD:
        put_object(out, slot->part, slot->count, base);
        break;
    case SLOT_IDENTIFIERS:
        put_identifiers(out, (const struct event *)base);
        break;
    case SLOT_ATTRIBUTES:
        put_attributes(out, (const struct event *)base);
        break;
    }
}

static void put_object(struct pk_buf *out, const struct event_slot slot[], size_t count, const char *base)
{
    const char *before = "{";
    for (size_t i = 0; i < count; i++) {
        if (!is_written(&slot[i], base))
            continue;
        pk_buf_printf(out, "%s\"%s\":", before, slot[i].name);
        before = ",";
        put_value(out, &slot[i], base);
    }
    if (*before == '{')
        pk_buf_text(out, "{");
    pk_buf_text(out, "}");
}

void event_to_json(const struct event *event, struct pk_buf *out)
{
    put_object(out, event_slot, event_slot_count, (const char *)event);
}
