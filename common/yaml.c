/* SPDX-License-Identifier: Apache-2.0 */
#include "yaml.h"
#include "nearest.h"
#include "time_text.h"

#include <errno.h>
#include <libyaml.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_DEPTH = 32, MAX_FILE_BYTES = 16 << 20 };

struct loader {
    struct yaml_file *file;
    yaml_parser_t parser;
    struct pk_err *err;
};

static enum pk_status fail_at(const struct yaml_file *file, int line, struct pk_err *err, const char *text)
{
    return pk_fail(err, PK_REJECT, "%s:%d: %s", file->path, line, text);
}

enum pk_status yaml_fail(const struct yaml_file *file, const struct yaml_node *node, struct pk_err *err,
                         const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return fail_at(file, node ? node->line : 1, err, text);
}

static enum pk_status next_event(struct loader *loader, yaml_event_t *event)
{
    if (yaml_parser_parse(&loader->parser, event))
        return PK_OK;
    const yaml_parser_t *parser = &loader->parser;
    if (parser->error == YAML_MEMORY_ERROR)
        pk_out_of_memory(0); /* libyaml does not say how much */
    bool reader = parser->error == YAML_READER_ERROR;
    char text[400];
    snprintf(text, sizeof text, "not YAML: %s%s%s", parser->problem ? parser->problem : "cannot be read",
             parser->context ? " " : "", parser->context ? parser->context : "");
    memset(event, 0, sizeof *event);
    return fail_at(loader->file, reader ? 1 : (int)parser->problem_mark.line + 1, loader->err, text);
}

static enum pk_status load_node(struct loader *loader, const yaml_event_t *event, int depth,
                                struct yaml_node **ret_node);

/* Our trees are plain: no anchors, aliases or tags to follow while reading a rules file. */
static enum pk_status refuse_fancy(struct loader *loader, int line, const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor)
        return fail_at(loader->file, line, loader->err, "anchors (&) are not supported; write it out");
    if (tag)
        return fail_at(loader->file, line, loader->err, "tags (!) are not supported; leave it out");
    return PK_OK;
}

static struct pk_str scalar_text(struct loader *loader, const yaml_event_t *event)
{
    return pk_arena_str(loader->file->arena, (struct pk_str){(const char *)event->data.scalar.value,
                                                             event->data.scalar.length});
}

static enum pk_status load_scalar(struct loader *loader, const yaml_event_t *event, struct yaml_node *node)
{
    enum pk_status status = refuse_fancy(loader, node->line, event->data.scalar.anchor, event->data.scalar.tag);
    if (status != PK_OK)
        return status;
    if (!pk_utf8_valid(event->data.scalar.value, event->data.scalar.length))
        return fail_at(loader->file, node->line, loader->err, "text holds a NUL character");
    node->kind = YAML_SCALAR;
    node->text = scalar_text(loader, event);
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return PK_OK;
}

typedef PK_VEC(struct yaml_node *) node_vec;
typedef PK_VEC(struct pk_str) key_vec;
typedef PK_VEC(int) line_vec;

static enum pk_status load_sequence(struct loader *loader, int depth, struct yaml_node *node)
{
    node_vec items = {0};
    enum pk_status status;
    for (;;) {
        yaml_event_t event;
        if ((status = next_event(loader, &event)) != PK_OK)
            break;
        bool end = event.type == YAML_SEQUENCE_END_EVENT;
        struct yaml_node *item = NULL;
        if (!end)
            status = load_node(loader, &event, depth + 1, &item);
        yaml_event_delete(&event);
        if (status != PK_OK || end)
            break;
        *pk_vec_push(&items) = item;
    }
    node->kind = YAML_SEQUENCE;
    node->count = items.len;
    node->item = pk_arena_copy(loader->file->arena, items.ptr, items.len * sizeof *items.ptr);
    pk_vec_done(&items);
    return status;
}

static enum pk_status load_key(struct loader *loader, const yaml_event_t *event, const key_vec *keys,
                               struct pk_str *ret_key)
{
    int line = (int)event->start_mark.line + 1;
    char text[200];
    if (event->type != YAML_SCALAR_EVENT)
        return fail_at(loader->file, line, loader->err, "a key must be plain text");
    enum pk_status status = refuse_fancy(loader, line, event->data.scalar.anchor, event->data.scalar.tag);
    if (status != PK_OK)
        return status;
    struct pk_str key = scalar_text(loader, event);
    if (pk_str_eq(key, PK_STR("<<")))
        return fail_at(loader->file, line, loader->err, "merge keys (<<) are not supported; write it out");
    for (size_t i = 0; i < keys->len; i++)
        if (pk_str_eq(keys->ptr[i], key)) {
            snprintf(text, sizeof text, "'%.100s' is given twice in this mapping", key.ptr);
            return fail_at(loader->file, line, loader->err, text);
        }
    *ret_key = key;
    return PK_OK;
}

static enum pk_status load_mapping(struct loader *loader, int depth, struct yaml_node *node)
{
    node_vec items = {0};
    key_vec keys = {0};
    line_vec lines = {0};
    enum pk_status status;
    for (;;) {
        yaml_event_t event;
        if ((status = next_event(loader, &event)) != PK_OK)
            break;
        bool end = event.type == YAML_MAPPING_END_EVENT;
        struct pk_str key;
        if (!end)
            status = load_key(loader, &event, &keys, &key);
        int line = (int)event.start_mark.line + 1;
        yaml_event_delete(&event);
        if (status != PK_OK || end)
            break;
        struct yaml_node *value = NULL;
        if ((status = next_event(loader, &event)) != PK_OK)
            break;
        status = load_node(loader, &event, depth + 1, &value);
        yaml_event_delete(&event);
        if (status != PK_OK)
            break;
        *pk_vec_push(&keys) = key;
        *pk_vec_push(&lines) = line;
        *pk_vec_push(&items) = value;
    }
    struct pk_arena *arena = loader->file->arena;
    node->kind = YAML_MAPPING;
    node->count = items.len;
    node->item = pk_arena_copy(arena, items.ptr, items.len * sizeof *items.ptr);
    node->key = pk_arena_copy(arena, keys.ptr, keys.len * sizeof *keys.ptr);
    node->key_line = pk_arena_copy(arena, lines.ptr, lines.len * sizeof *lines.ptr);
    pk_vec_done(&items);
    pk_vec_done(&keys);
    pk_vec_done(&lines);
    return status;
}

static enum pk_status load_node(struct loader *loader, const yaml_event_t *event, int depth,
                                struct yaml_node **ret_node)
{
    struct yaml_node *node = PK_NEW(loader->file->arena, struct yaml_node);
    node->line = (int)event->start_mark.line + 1;
    if (depth > MAX_DEPTH)
        return fail_at(loader->file, node->line, loader->err, "nested too deeply");
    enum pk_status status;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        status = load_scalar(loader, event, node);
        break;
    case YAML_SEQUENCE_START_EVENT:
        status = refuse_fancy(loader, node->line, event->data.sequence_start.anchor, event->data.sequence_start.tag);
        if (status == PK_OK)
            status = load_sequence(loader, depth, node);
        break;
    case YAML_MAPPING_START_EVENT:
        status = refuse_fancy(loader, node->line, event->data.mapping_start.anchor, event->data.mapping_start.tag);
        if (status == PK_OK)
            status = load_mapping(loader, depth, node);
        break;
    case YAML_ALIAS_EVENT:
        return fail_at(loader->file, node->line, loader->err, "aliases (*) are not supported; write it out");
    default:
        return fail_at(loader->file, node->line, loader->err, "unexpected structure");
    }
    if (status == PK_OK)
        *ret_node = node;
    return status;
}

static enum pk_status load_stream(struct loader *loader)
{
    bool done = false;
    int documents = 0;
    while (!done) {
        yaml_event_t event;
        enum pk_status status = next_event(loader, &event);
        if (status != PK_OK)
            return status;
        switch (event.type) {
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            break;
        case YAML_DOCUMENT_START_EVENT:
            if (++documents > 1)
                status = fail_at(loader->file, (int)event.start_mark.line + 1, loader->err,
                                 "a second document (---); one file holds one");
            break;
        case YAML_STREAM_END_EVENT:
            done = true;
            break;
        default:
            status = load_node(loader, &event, 0, &loader->file->root);
        }
        yaml_event_delete(&event);
        if (status != PK_OK)
            return status;
    }
    struct yaml_node *root = loader->file->root;
    if (root && root->kind == YAML_SCALAR && !root->quoted && root->text.len == 0)
        loader->file->root = NULL; /* only comments */
    return PK_OK;
}

enum pk_status yaml_parse(const char *name, struct pk_str text, struct pk_arena *arena, struct yaml_file *ret_file,
                          struct pk_err *err)
{
    struct yaml_file file = {.path = pk_arena_str(arena, pk_str(name)).ptr, .arena = arena};
    struct loader loader = {.file = &file, .err = err};
    if (!yaml_parser_initialize(&loader.parser))
        pk_out_of_memory(sizeof loader.parser);
    yaml_parser_set_encoding(&loader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&loader.parser, (const unsigned char *)(text.ptr ? text.ptr : ""), text.len);
    enum pk_status status = load_stream(&loader);
    yaml_parser_delete(&loader.parser);
    if (status == PK_OK)
        *ret_file = file;
    return status;
}

static void file_done(FILE **file)
{
    if (*file)
        fclose(*file);
}

enum pk_status yaml_load(const char *path, struct pk_arena *arena, struct yaml_file *ret_file, struct pk_err *err)
{
    FILE *in PK_AUTO(file_done) = fopen(path, "rb");
    if (!in)
        return pk_fail(err, PK_REJECT, "%s: cannot be opened: %s", path, strerror(errno));
    struct pk_buf text PK_AUTO(pk_buf_done) = {0};
    size_t got;
    do {
        pk_buf_reserve(&text, 1 << 16);
        got = fread(text.ptr + text.len, 1, 1 << 16, in);
        text.len += got;
        if (text.len > MAX_FILE_BYTES)
            return pk_fail(err, PK_REJECT, "%s: larger than %d MiB", path, MAX_FILE_BYTES >> 20);
    } while (got > 0);
    if (ferror(in))
        return pk_fail(err, PK_REJECT, "%s: cannot be read: %s", path, strerror(errno));
    return yaml_parse(path, (struct pk_str){text.ptr, text.len}, arena, ret_file, err);
}

const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key)
{
    if (!map || map->kind != YAML_MAPPING)
        return NULL;
    for (size_t i = 0; i < map->count; i++)
        if (pk_str_eq(map->key[i], pk_str(key)))
            return map->item[i];
    return NULL;
}

enum pk_status yaml_only(const struct yaml_file *file, const struct yaml_node *map, const char *const known[],
                         struct pk_err *err)
{
    if (!map)
        return PK_OK;
    if (map->kind != YAML_MAPPING)
        return yaml_fail(file, map, err, "must be a mapping (key: value)");
    size_t count = 0;
    while (known[count])
        count++;
    for (size_t i = 0; i < map->count; i++) {
        bool found = false;
        for (size_t k = 0; k < count && !found; k++)
            found = pk_str_eq(map->key[i], pk_str(known[k]));
        if (found)
            continue;
        const char *nearest = nearest_name(map->key[i], known, count);
        const struct yaml_node where = {.line = map->key_line[i]};
        return yaml_fail(file, &where, err, "unknown key '%.100s'%s%s%s", map->key[i].ptr,
                         nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
    }
    return PK_OK;
}

/* ---- typed scalars ---- */

static enum pk_status need_scalar(const struct yaml_file *file, const struct yaml_node *node, const char *wanted,
                                  struct pk_err *err)
{
    if (node->kind != YAML_SCALAR)
        return yaml_fail(file, node, err, "must be %s, not a %s", wanted,
                         node->kind == YAML_SEQUENCE ? "list" : "mapping");
    if (!node->quoted && (node->text.len == 0 || pk_str_eq(node->text, PK_STR("~")) ||
                          pk_str_eq(node->text, PK_STR("null"))))
        return yaml_fail(file, node, err, "must be %s, but there is no value", wanted);
    return PK_OK;
}

enum pk_status yaml_text(const struct yaml_file *file, const struct yaml_node *node, struct pk_str *value,
                         struct pk_err *err)
{
    if (!node)
        return PK_OK;
    enum pk_status status = need_scalar(file, node, "text", err);
    if (status == PK_OK)
        *value = node->text;
    return status;
}

enum pk_status yaml_bool(const struct yaml_file *file, const struct yaml_node *node, bool *value, struct pk_err *err)
{
    if (!node)
        return PK_OK;
    enum pk_status status = need_scalar(file, node, "true or false", err);
    if (status != PK_OK)
        return status;
    bool yes = pk_str_eq(node->text, PK_STR("true")) || pk_str_eq(node->text, PK_STR("yes"));
    bool no = pk_str_eq(node->text, PK_STR("false")) || pk_str_eq(node->text, PK_STR("no"));
    if (node->quoted || (!yes && !no))
        return yaml_fail(file, node, err, "must be true or false, not '%.100s'", node->text.ptr);
    *value = yes;
    return PK_OK;
}

enum pk_status yaml_int(const struct yaml_file *file, const struct yaml_node *node, int64_t min, int64_t max,
                        int64_t *value, struct pk_err *err)
{
    if (!node)
        return PK_OK;
    enum pk_status status = need_scalar(file, node, "a whole number", err);
    if (status != PK_OK)
        return status;
    const char *text = node->text.ptr, *digits = text + (*text == '-' || *text == '+');
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (node->quoted || *digits < '0' || *digits > '9' || *end != '\0')
        return yaml_fail(file, node, err, "must be a whole number, not '%.100s'", text);
    if (errno == ERANGE || number < min || number > max)
        return yaml_fail(file, node, err, "must be between %lld and %lld, not %.100s", (long long)min, (long long)max,
                         text);
    *value = number;
    return PK_OK;
}

enum pk_status yaml_duration(const struct yaml_file *file, const struct yaml_node *node, int64_t *value_us,
                             struct pk_err *err)
{
    if (!node)
        return PK_OK;
    struct pk_err why;
    enum pk_status status = need_scalar(file, node, "a duration such as 90d or 5s", err);
    if (status == PK_OK && time_parse_duration(node->text, value_us, &why) != PK_OK)
        return yaml_fail(file, node, err, "'%.100s' is %s", node->text.ptr, why.text);
    return status;
}

enum pk_status yaml_time(const struct yaml_file *file, const struct yaml_node *node, int64_t *value_us,
                         struct pk_err *err)
{
    if (!node)
        return PK_OK;
    struct pk_err why;
    enum pk_status status = need_scalar(file, node, "a date or time", err);
    if (status == PK_OK && time_parse_iso(node->text, true, value_us, &why) != PK_OK)
        return yaml_fail(file, node, err, "'%.100s' is %s", node->text.ptr, why.text);
    return status;
}
