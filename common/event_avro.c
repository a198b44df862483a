/* SPDX-License-Identifier: Apache-2.0 */
#include "event_avro.h"
#include "avro_tree.h"
#include "event_slot.h"

#include <avro.h>
#include <stdlib.h>

extern const unsigned char event_schema_bytes[]; /* generated from schemas/interaction.avsc */
extern const size_t event_schema_size;

struct pk_str event_schema_json(void)
{
    return (struct pk_str){(const char *)event_schema_bytes, event_schema_size};
}

uint64_t event_schema_fingerprint(void)
{
    static uint64_t known;
    uint64_t fingerprint = __atomic_load_n(&known, __ATOMIC_RELAXED);
    struct avro_tree tree;
    if (fingerprint == 0 && avro_tree_parse(event_schema_json(), &tree, NULL) == PK_OK) {
        fingerprint = tree.fingerprint;
        avro_tree_done(&tree);
        __atomic_store_n(&known, fingerprint, __ATOMIC_RELAXED);
    }
    return fingerprint;
}

/* ---- the canonical form, by hand ----
 * Written in the order of the schema's fields; a test holds it against avro-c's bytes. */

static uint8_t *put_long(uint8_t *at, int64_t value)
{
    uint64_t raw = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
    for (; raw >= 0x80; raw >>= 7)
        *at++ = (uint8_t)(raw | 0x80);
    *at++ = (uint8_t)raw;
    return at;
}

static uint8_t *put_double(uint8_t *at, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    for (int i = 0; i < 8; i++, bits >>= 8)
        *at++ = (uint8_t)bits;
    return at;
}

static uint8_t *put_text(uint8_t *at, struct pk_str text)
{
    at = put_long(at, (int64_t)text.len);
    if (text.len)
        memcpy(at, text.ptr, text.len);
    return at + text.len;
}

/* Of a union of null and something: the branch, then the value. */
static uint8_t *put_optional(uint8_t *at, struct pk_str text)
{
    *at++ = text.ptr ? 2 : 0;
    return text.ptr ? put_text(at, text) : at;
}

static uint8_t *put_optional_time(uint8_t *at, int64_t time_us)
{
    *at++ = time_us == PK_NO_TIME ? 0 : 2;
    return time_us == PK_NO_TIME ? at : put_long(at, time_us);
}

static uint8_t *put_identifiers(uint8_t *at, const struct event *event)
{
    if (event->identifier_count > 0) {
        at = put_long(at, event->identifier_count);
        for (uint32_t i = 0; i < event->identifier_count; i++) {
            at = put_text(at, event->identifier[i].name_space);
            at = put_text(at, event->identifier[i].value);
        }
    }
    *at++ = 0;
    return at;
}

/* Sorted by insertion, which is the fastest for the handful that there are; of equal keys the later replaces. */
static uint32_t sort_attributes(const struct event *event, const struct event_attribute *sorted[EVENT_MAX_ATTRIBUTES])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < event->attribute_count && i < EVENT_MAX_ATTRIBUTES; i++) {
        const struct event_attribute *attribute = &event->attribute[i];
        uint32_t place = count;
        while (place > 0 && pk_str_cmp(sorted[place - 1]->key, attribute->key) > 0)
            place--;
        if (place > 0 && pk_str_eq(sorted[place - 1]->key, attribute->key)) {
            sorted[place - 1] = attribute;
            continue;
        }
        memmove(&sorted[place + 1], &sorted[place], (count - place) * sizeof *sorted);
        sorted[place] = attribute;
        count++;
    }
    return count;
}

static uint8_t *put_attributes(uint8_t *at, const struct event_attribute *const sorted[], uint32_t count)
{
    if (count > 0) {
        at = put_long(at, count);
        for (uint32_t i = 0; i < count; i++) {
            at = put_text(at, sorted[i]->key);
            at = put_text(at, sorted[i]->value);
        }
    }
    *at++ = 0;
    return at;
}

static uint8_t *put_parts(uint8_t *at, const struct event *event)
{
    *at++ = event->has_obligation ? 2 : 0;
    if (event->has_obligation) {
        const struct event_obligation *obligation = &event->obligation;
        at = put_text(at, obligation->id);
        at = put_text(at, obligation->kind);
        at = put_optional_time(at, obligation->due_from_us);
        at = put_optional_time(at, obligation->due_to_us);
        at = put_optional(at, obligation->brand);
        at = put_optional(at, obligation->unit);
        at = put_optional(at, obligation->role);
    }
    *at++ = event->has_handoff ? 2 : 0;
    if (event->has_handoff) {
        at = put_optional(at, event->handoff.to_brand);
        at = put_optional(at, event->handoff.to_unit);
        at = put_optional(at, event->handoff.to_role);
    }
    *at++ = event->has_rating ? 2 : 0;
    if (event->has_rating) {
        at = put_text(at, event->rating.scale);
        at = put_double(at, event->rating.score);
        at = put_double(at, event->rating.min);
        at = put_double(at, event->rating.max);
    }
    *at++ = event->has_money ? 2 : 0;
    if (event->has_money) {
        at = put_long(at, event->money.amount_minor);
        at = put_text(at, event->money.currency);
        at = put_text(at, event->money.kind);
    }
    return at;
}

/* At most: every length and number takes 10 bytes, every text its own. */
static size_t most_bytes(const struct event *event, const struct event_attribute *const sorted[], uint32_t count)
{
    const struct pk_str text[] = {
        event->event_id,           event->source,           event->type,
        event->channel,            event->brand,            event->unit,
        event->staff,              event->case_id,          event->relates_to,
        event->topic,              event->cause,            event->product,
        event->location,           event->stage,            event->outcome,
        event->reason,             event->obligation.id,    event->obligation.kind,
        event->obligation.brand,   event->obligation.unit,  event->obligation.role,
        event->handoff.to_brand,   event->handoff.to_unit,  event->handoff.to_role,
        event->rating.scale,       event->money.currency,   event->money.kind,
    };
    size_t bytes = 1024;
    for (size_t i = 0; i < PK_COUNT(text); i++)
        bytes += text[i].len;
    for (uint32_t i = 0; i < event->identifier_count; i++)
        bytes += event->identifier[i].name_space.len + event->identifier[i].value.len + 20;
    for (uint32_t i = 0; i < count; i++)
        bytes += sorted[i]->key.len + sorted[i]->value.len + 20;
    return bytes;
}

void event_encode_canonical(const struct event *event, struct pk_buf *out)
{
    const struct event_attribute *sorted[EVENT_MAX_ATTRIBUTES];
    uint32_t attributes = sort_attributes(event, sorted);
    pk_buf_reserve(out, most_bytes(event, sorted, attributes));
    uint8_t *at = (uint8_t *)out->ptr + out->len;
    at = put_text(at, event->event_id);
    at = put_text(at, event->source);
    at = put_long(at, event->occurred_at_us);
    at = put_long(at, event->sequence);
    at = put_text(at, event->type);
    at = put_text(at, event->channel);
    at = put_long(at, event->direction);
    at = put_long(at, event->actor);
    at = put_text(at, event->brand);
    at = put_optional(at, event->unit);
    at = put_identifiers(at, event);
    const struct pk_str optional[] = {event->staff,   event->case_id,  event->relates_to, event->topic,   event->cause,
                                      event->product, event->location, event->stage,      event->outcome, event->reason};
    for (size_t i = 0; i < PK_COUNT(optional); i++)
        at = put_optional(at, optional[i]);
    at = put_parts(at, event);
    at = put_long(at, event->sensitivity);
    at = put_attributes(at, sorted, attributes);
    out->len = (size_t)(at - (uint8_t *)out->ptr);
    out->ptr[out->len] = '\0';
}

/* ---- through avro-c ---- */

struct event_encoder {
    avro_schema_t schema;
    avro_value_iface_t *iface;
    avro_value_t value;
    avro_writer_t writer;
    char *buf; /* what avro-c writes into: it cannot grow by itself */
    size_t cap;
};

static enum pk_status avro_fail(struct pk_err *err, const char *field)
{
    return pk_fail(err, PK_STOP, "avro-c refuses the field '%s': %s", field, avro_strerror());
}

#ifndef POLKU_LIBRARY /* in somebody else's program avro-c is theirs */
/* avro-c does not survive a NULL; out of memory ends the process here as everywhere. */
static void *avro_alloc(void *unused, void *ptr, size_t old_bytes, size_t bytes)
{
    (void)unused, (void)old_bytes;
    if (bytes > 0)
        return pk_realloc(ptr, bytes);
    free(ptr);
    return NULL;
}
#endif

enum pk_status event_encoder_open(struct event_encoder **ret_encoder, struct pk_err *err)
{
#ifndef POLKU_LIBRARY
    avro_set_allocator(avro_alloc, NULL);
#endif
    struct event_encoder *encoder = pk_alloc(sizeof *encoder);
    struct pk_str json = event_schema_json();
    if (avro_schema_from_json_length(json.ptr, json.len, &encoder->schema) != 0 ||
        !(encoder->iface = avro_generic_class_from_schema(encoder->schema)) ||
        avro_generic_value_new(encoder->iface, &encoder->value) != 0) {
        event_encoder_close(encoder);
        return pk_fail(err, PK_STOP, "avro-c cannot use the built-in schema: %s", avro_strerror());
    }
    encoder->cap = 4096;
    encoder->buf = pk_alloc(encoder->cap);
    encoder->writer = avro_writer_memory(encoder->buf, (int64_t)encoder->cap);
    *ret_encoder = encoder;
    return PK_OK;
}

void event_encoder_close(struct event_encoder *encoder)
{
    if (!encoder)
        return;
    if (encoder->writer)
        avro_writer_free(encoder->writer);
    if (encoder->value.iface)
        avro_value_decref(&encoder->value);
    if (encoder->iface)
        avro_value_iface_decref(encoder->iface);
    if (encoder->schema)
        avro_schema_decref(encoder->schema);
    free(encoder->buf);
    free(encoder);
}

/* avro-c counts and copies a terminator, which our views lack. */
static int set_text(avro_value_t *value, struct pk_str text)
{
    char small[1024], *copy = text.len < sizeof small ? small : pk_alloc(text.len + 1);
    if (text.len)
        memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    int failed = avro_value_set_string_len(value, copy, text.len + 1);
    if (copy != small)
        free(copy);
    return failed;
}

/* The entry of a map under a key; the same entry again for the same key. */
static int add_entry(avro_value_t *map, struct pk_str key, avro_value_t *ret_entry)
{
    char small[1024], *copy = key.len < sizeof small ? small : pk_alloc(key.len + 1);
    memcpy(copy, key.ptr, key.len);
    copy[key.len] = '\0';
    int failed = avro_value_add(map, copy, ret_entry, NULL, NULL);
    if (copy != small)
        free(copy);
    return failed;
}

static int set_slots(avro_value_t *record, const struct event_slot slot[], size_t count, const char *base,
                     const char **ret_field);

static int set_list(avro_value_t *list, const struct event_slot *slot, const struct event *event)
{
    const char *field;
    bool identifiers = slot->kind == SLOT_IDENTIFIERS;
    uint32_t count = identifiers ? event->identifier_count : event->attribute_count;
    for (uint32_t i = 0; i < count; i++) {
        avro_value_t entry;
        if (identifiers) {
            if (avro_value_append(list, &entry, NULL) != 0 ||
                set_slots(&entry, event_identifier_slot, PK_COUNT(event_identifier_slot),
                          (const char *)&event->identifier[i], &field) != 0)
                return -1;
            continue;
        }
        if (add_entry(list, event->attribute[i].key, &entry) != 0 || set_text(&entry, event->attribute[i].value) != 0)
            return -1;
    }
    return 0;
}

static bool is_present(const struct event_slot *slot, const char *base)
{
    const char *member = base + slot->offset;
    switch (slot->kind) {
    case SLOT_TEXT:
        return ((const struct pk_str *)member)->ptr != NULL;
    case SLOT_TIME:
        return *(const int64_t *)member != PK_NO_TIME;
    case SLOT_RECORD:
        return *(const bool *)(base + slot->present);
    default:
        return true;
    }
}

static int set_value(avro_value_t *value, const struct event_slot *slot, const char *base, const char **ret_field)
{
    const char *member = base + slot->offset;
    switch (slot->kind) {
    case SLOT_TEXT:
        return set_text(value, *(const struct pk_str *)member);
    case SLOT_LONG:
    case SLOT_TIME:
        return avro_value_set_long(value, *(const int64_t *)member);
    case SLOT_DOUBLE:
        return avro_value_set_double(value, *(const double *)member);
    case SLOT_ENUM:
        return avro_value_set_enum(value, *(const int *)member);
    case SLOT_RECORD:
        return set_slots(value, slot->part, slot->count, base, ret_field);
    case SLOT_IDENTIFIERS:
    case SLOT_ATTRIBUTES:
        return set_list(value, slot, (const struct event *)base);
    }
    return -1;
}

static int set_slots(avro_value_t *record, const struct event_slot slot[], size_t count, const char *base,
                     const char **ret_field)
{
    for (size_t i = 0; i < count; i++) {
        avro_value_t field, branch;
        *ret_field = slot[i].name;
        int failed = avro_value_get_by_name(record, slot[i].name, &field, NULL);
        if (failed)
            return failed;
        branch = field;
        bool present = is_present(&slot[i], base);
        if (slot[i].nullable)
            failed = avro_value_set_branch(&field, present, &branch);
        if (!failed && present)
            failed = set_value(&branch, &slot[i], base, ret_field);
        else if (!failed && slot[i].nullable)
            failed = avro_value_set_null(&branch);
        if (failed)
            return failed;
    }
    return 0;
}

enum pk_status event_encode_avro(struct event_encoder *encoder, const struct event *event, struct pk_buf *out,
                                 struct pk_err *err)
{
    const char *field = "";
    if (avro_value_reset(&encoder->value) != 0 ||
        set_slots(&encoder->value, event_slot, event_slot_count, (const char *)event, &field) != 0)
        return avro_fail(err, field);
    size_t size;
    if (avro_value_sizeof(&encoder->value, &size) != 0)
        return avro_fail(err, "size");
    if (size > encoder->cap) {
        encoder->cap = size * 2;
        encoder->buf = pk_realloc(encoder->buf, encoder->cap);
    }
    avro_writer_memory_set_dest(encoder->writer, encoder->buf, (int64_t)encoder->cap);
    if (avro_value_write(encoder->writer, &encoder->value) != 0)
        return avro_fail(err, "all");
    pk_buf_add(out, encoder->buf, (size_t)avro_writer_tell(encoder->writer));
    return PK_OK;
}
