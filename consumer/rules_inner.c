/* SPDX-License-Identifier: Apache-2.0 */
#include "rules_inner.h"

#include "event.h"

#include <stdio.h>

#define MAX_DURATION_US (36525 * PK_DAY_US) /* a century: added to any time of an event it is a time still */

/* ---- scalars ---- */

void read_keys(struct reader *reader, const struct yaml_node *map, const char *const known[])
{
    if (reader->status == PK_OK)
        reader->status = yaml_only(&reader->file, map, known, reader->err);
}

void read_text(struct reader *reader, const struct yaml_node *node, struct pk_str *value)
{
    if (reader->status == PK_OK)
        reader->status = yaml_text(&reader->file, node, value, reader->err);
}

void read_bool(struct reader *reader, const struct yaml_node *node, bool *value)
{
    if (reader->status == PK_OK)
        reader->status = yaml_bool(&reader->file, node, value, reader->err);
}

void read_int(struct reader *reader, const struct yaml_node *node, int64_t min, int64_t max, int64_t *value)
{
    if (reader->status == PK_OK)
        reader->status = yaml_int(&reader->file, node, min, max, value, reader->err);
}

void read_duration(struct reader *reader, const struct yaml_node *node, int64_t *value_us)
{
    if (reader->status == PK_OK)
        reader->status = yaml_duration(&reader->file, node, value_us, reader->err);
    if (reader->status == PK_OK && node && *value_us > MAX_DURATION_US)
        FAIL(reader, node, "'%.100s' is longer than 36525d", node->text.ptr);
}

void read_time(struct reader *reader, const struct yaml_node *node, int64_t *value_us)
{
    if (reader->status == PK_OK)
        reader->status = yaml_time(&reader->file, node, value_us, reader->err);
}

/* One of `count` names; *ret_index is left alone if the key is absent. */
void read_choice(struct reader *reader, const struct yaml_node *node, const char *what,
                 const char *const name[], size_t count, int *ret_index)
{
    struct pk_str text = {0};
    read_text(reader, node, &text);
    if (reader->status != PK_OK || !node)
        return;
    for (size_t i = 0; i < count; i++)
        if (pk_str_eq(text, pk_str(name[i]))) {
            *ret_index = (int)i;
            return;
        }
    char known[200];
    size_t used = 0;
    for (size_t i = 0; i < count && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", name[i]);
    FAIL(reader, node, "unknown %s '%.100s'; use one of: %s", what, text.ptr, known);
}

bool is_name(struct pk_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!letter && (i == 0 || (c != '.' && c != '_' && c != '-')))
            return false;
    }
    return text.len > 0 && text.len <= EVENT_MAX_NAME;
}

sym_t read_name(struct reader *reader, const struct yaml_node *node, const char *what)
{
    struct pk_str text = {0};
    read_text(reader, node, &text);
    if (reader->status != PK_OK)
        return 0;
    if (!is_name(text)) {
        FAIL(reader, node, "%s '%.100s' is not a name: use a-z, 0-9, '.', '_' and '-'", what, text.ptr);
        return 0;
    }
    return symbol_of(reader->symbols, text);
}

/* ---- lists ---- */

/* A list, or one value without the brackets. `one` is where that value is put. */
const struct yaml_node *const *read_values(struct reader *reader, const struct yaml_node *node,
                                           const struct yaml_node **one, size_t *ret_count)
{
    *ret_count = 0;
    if (!node || reader->status != PK_OK)
        return NULL;
    if (node->kind != YAML_SEQUENCE) {
        *one = node;
        *ret_count = 1;
        return one;
    }
    if (node->count == 0)
        FAIL(reader, node, "an empty list matches nothing; name a value or leave the key out");
    *ret_count = node->count;
    return (const struct yaml_node *const *)node->item;
}

size_t read_items(struct reader *reader, const struct yaml_node *node, const char *what)
{
    if (!node || reader->status != PK_OK)
        return 0;
    if (node->kind != YAML_SEQUENCE) {
        FAIL(reader, node, "%s must be a list: write each entry on a line of its own after '- '", what);
        return 0;
    }
    return node->count;
}

struct rules_texts read_names(struct reader *reader, const struct yaml_node *node, const char *what)
{
    const struct yaml_node *one;
    size_t count;
    const struct yaml_node *const *value = read_values(reader, node, &one, &count);
    sym_t *sym = PK_NEW_ARRAY(reader->arena, sym_t, count);
    for (size_t i = 0; i < count; i++)
        sym[i] = read_name(reader, value[i], what);
    return (struct rules_texts){sym, count};
}

static uint8_t read_mask(struct reader *reader, const struct yaml_node *node, const char *what,
                         const char *const name[], size_t names)
{
    const struct yaml_node *one;
    size_t count;
    const struct yaml_node *const *value = read_values(reader, node, &one, &count);
    unsigned mask = 0;
    for (size_t i = 0; i < count; i++) {
        int index = 0;
        read_choice(reader, value[i], what, name, names, &index);
        mask |= 1u << index;
    }
    return (uint8_t)mask;
}

/* ---- matches ---- */

static struct rules_type read_type(struct reader *reader, const struct yaml_node *node)
{
    struct pk_str text = {0};
    read_text(reader, node, &text);
    if (reader->status != PK_OK)
        return (struct rules_type){0};
    bool any_ending = text.len > 2 && memcmp(text.ptr + text.len - 2, ".*", 2) == 0;
    struct pk_str stem = {text.ptr, text.len - any_ending};
    if (!is_name(stem)) {
        FAIL(reader, node, "'%.100s' is not a type: write it as contact.inbound, or contact.* for any ending", text.ptr);
        return (struct rules_type){0};
    }
    *pk_vec_push(&reader->types) = node;
    return (struct rules_type){stem, any_ending};
}

static struct rules_match read_match(struct reader *reader, const struct yaml_node *node)
{
    static const char *const known[] = {"type", "outcome", "reason", "channel", "direction", "actor", NULL};
    static const char *const direction[] = {"INBOUND", "OUTBOUND", "INTERNAL", "PUBLIC", "UNKNOWN"};
    static const char *const actor[] = {"CUSTOMER", "HUMAN", "BOT", "SYSTEM", "UNKNOWN"};
    struct rules_match match = {0};
    read_keys(reader, node, known);
    if (reader->status != PK_OK)
        return match;
    if (node->count == 0)
        FAIL(reader, node, "a match that names nothing would hold for every event; name a type");

    const struct yaml_node *one;
    size_t count;
    const struct yaml_node *const *value = read_values(reader, yaml_get(node, "type"), &one, &count);
    struct rules_type *type = PK_NEW_ARRAY(reader->arena, struct rules_type, count);
    for (size_t i = 0; i < count; i++)
        type[i] = read_type(reader, value[i]);
    match.type = type;
    match.type_count = count;
    match.outcome = read_names(reader, yaml_get(node, "outcome"), "outcome");
    match.reason = read_names(reader, yaml_get(node, "reason"), "reason");
    match.channel = read_names(reader, yaml_get(node, "channel"), "channel");
    match.direction_mask =
        read_mask(reader, yaml_get(node, "direction"), "direction", direction, PK_COUNT(direction));
    match.actor_mask = read_mask(reader, yaml_get(node, "actor"), "actor", actor, PK_COUNT(actor));
    return match;
}

struct rules_match_list read_matches(struct reader *reader, const struct yaml_node *node, const char *what)
{
    size_t count = read_items(reader, node, what);
    struct rules_match *match = PK_NEW_ARRAY(reader->arena, struct rules_match, count);
    for (size_t i = 0; i < count && reader->status == PK_OK; i++)
        match[i] = read_match(reader, node->item[i]);
    return (struct rules_match_list){match, count};
}
