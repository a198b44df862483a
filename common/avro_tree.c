/* SPDX-License-Identifier: Apache-2.0 */
#include "avro_tree.h"
#include "json_text.h"

#include <inttypes.h>
#include <stdlib.h>

enum { MAX_SCHEMA_BYTES = 1 << 20, MAX_DEPTH = 64, MAX_NODES = 20000 };

static const char *const kind_name[] = {"null",   "boolean", "int",  "long",  "float", "double", "bytes",
                                        "string", "record",  "enum", "fixed", "array", "map",    "union"};

const char *tree_kind_name(enum tree_kind kind)
{
    return (size_t)kind < PK_COUNT(kind_name) ? kind_name[kind] : "?";
}

struct pk_str tree_short_name(struct pk_str full_name)
{
    size_t start = full_name.len;
    while (start > 0 && full_name.ptr[start - 1] != '.')
        start--;
    return full_name.ptr ? (struct pk_str){full_name.ptr + start, full_name.len - start} : full_name;
}

/* ---- parsing ---- */

struct parser {
    struct avro_tree *tree;
    PK_VEC(struct tree_node *) named;
    struct pk_err *err;
};

struct scope { /* where in the schema we are */
    struct pk_str name_space;
    const char *path; /* the innermost named thing, for errors */
    int depth;
};

static enum pk_status parse_type(struct parser *parser, const json_t *json, struct scope scope,
                                 const struct tree_node **ret_node);

static bool is_plain_name(struct pk_str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return name.len > 0;
}

static bool is_dotted_name(struct pk_str name)
{
    const char *dot;
    while ((dot = memchr(name.ptr, '.', name.len))) {
        if (!is_plain_name((struct pk_str){name.ptr, (size_t)(dot - name.ptr)}))
            return false;
        name.len -= (size_t)(dot + 1 - name.ptr);
        name.ptr = dot + 1;
    }
    return is_plain_name(name);
}

static int by_name(const void *a, const void *b)
{
    return pk_str_cmp(*(const struct pk_str *)a, *(const struct pk_str *)b);
}

/* A name that stands twice in the list, absent if there is none. Lists of a registry's schemas may be long. */
static struct pk_str find_twice(const struct pk_str *name, size_t count)
{
    struct pk_str *sorted = pk_alloc(count * sizeof *sorted), twice = {0};
    if (count)
        memcpy(sorted, name, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, by_name);
    for (size_t i = 1; i < count && !twice.ptr; i++)
        if (pk_str_eq(sorted[i - 1], sorted[i]))
            twice = sorted[i];
    free(sorted);
    return twice;
}

/* The text of a member, absent if there is none or it is no text. */
static struct pk_str text_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) ? (struct pk_str){json_string_value(value), json_string_length(value)}
                                 : (struct pk_str){0};
}

static struct pk_str namespace_of(struct pk_str full_name)
{
    size_t tail = tree_short_name(full_name).len;
    return (struct pk_str){full_name.ptr, full_name.len > tail ? full_name.len - tail - 1 : 0};
}

static struct pk_str full_name(struct parser *parser, struct pk_str name, struct pk_str name_space)
{
    if (memchr(name.ptr, '.', name.len) || name_space.len == 0)
        return pk_arena_str(&parser->tree->arena, name);
    struct pk_buf buf PK_AUTO(pk_buf_done) = {0};
    pk_buf_add(&buf, name_space.ptr, name_space.len);
    pk_buf_text(&buf, ".");
    pk_buf_add(&buf, name.ptr, name.len);
    return pk_arena_str(&parser->tree->arena, (struct pk_str){buf.ptr, buf.len});
}

static const struct tree_node *find_named(const struct parser *parser, struct pk_str name)
{
    for (size_t i = 0; i < parser->named.len; i++)
        if (pk_str_eq(parser->named.ptr[i]->name, name))
            return parser->named.ptr[i];
    return NULL;
}

static struct tree_node *new_node(struct parser *parser, enum tree_kind kind)
{
    struct tree_node *node = PK_NEW(&parser->tree->arena, struct tree_node);
    node->kind = kind;
    node->index = parser->tree->node_count++;
    return node;
}

static int primitive_kind(struct pk_str name)
{
    for (int kind = TREE_NULL; kind <= TREE_STRING; kind++)
        if (pk_str_eq(name, pk_str(kind_name[kind])))
            return kind;
    return -1;
}

static enum pk_status parse_reference(struct parser *parser, struct pk_str name, struct scope scope,
                                      const struct tree_node **ret_node)
{
    int kind = primitive_kind(name);
    if (kind >= 0) {
        *ret_node = new_node(parser, (enum tree_kind)kind);
        return PK_OK;
    }
    *ret_node = find_named(parser, full_name(parser, name, scope.name_space));
    if (!*ret_node)
        *ret_node = find_named(parser, name);
    if (!*ret_node)
        return pk_fail(parser->err, PK_REJECT, "%s: the type '%.100s' is not known", scope.path, name.ptr);
    return PK_OK;
}

static enum pk_status parse_union(struct parser *parser, const json_t *json, struct scope scope,
                                  const struct tree_node **ret_node)
{
    struct tree_node *node = new_node(parser, TREE_UNION);
    node->count = json_array_size(json);
    node->branch = PK_NEW_ARRAY(&parser->tree->arena, const struct tree_node *, node->count);
    for (size_t i = 0; i < node->count; i++) {
        enum pk_status status = parse_type(parser, json_array_get(json, i), scope, &node->branch[i]);
        if (status != PK_OK)
            return status;
        const struct tree_node *branch = node->branch[i];
        if (branch->kind == TREE_UNION)
            return pk_fail(parser->err, PK_REJECT, "%s: a union directly within a union", scope.path);
        for (size_t k = 0; k < i; k++)
            if (node->branch[k]->kind == branch->kind && pk_str_eq(node->branch[k]->name, branch->name))
                return pk_fail(parser->err, PK_REJECT, "%s: a union with two branches of one type", scope.path);
    }
    *ret_node = node;
    return PK_OK;
}

static enum pk_status parse_names(struct parser *parser, const json_t *array, const char *path, struct pk_str **ret_name,
                                  size_t *ret_count)
{
    size_t count = json_array_size(array);
    struct pk_str *name = PK_NEW_ARRAY(&parser->tree->arena, struct pk_str, count);
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(array, i);
        if (!json_is_string(item) || !is_dotted_name(pk_str(json_string_value(item))))
            return pk_fail(parser->err, PK_REJECT, "%s: entry %zu of a list of names is not a name", path, i + 1);
        name[i] = pk_str(json_string_value(item));
    }
    *ret_name = name;
    *ret_count = count;
    return PK_OK;
}

static enum pk_status parse_fields(struct parser *parser, const json_t *json, struct scope scope, struct tree_node *node)
{
    const json_t *fields = json_object_get(json, "fields");
    if (!json_is_array(fields))
        return pk_fail(parser->err, PK_REJECT, "%s: a record without fields", scope.path);
    node->count = json_array_size(fields);
    node->field = PK_NEW_ARRAY(&parser->tree->arena, struct tree_field, node->count);
    for (size_t i = 0; i < node->count; i++) {
        struct tree_field *field = &node->field[i];
        const json_t *item = json_array_get(fields, i);
        field->name = text_of(item, "name");
        if (!field->name.ptr || !is_plain_name(field->name))
            return pk_fail(parser->err, PK_REJECT, "%s: field %zu has no proper name", scope.path, i + 1);
        for (size_t k = 0; k < i; k++)
            if (pk_str_eq(node->field[k].name, field->name))
                return pk_fail(parser->err, PK_REJECT, "%s: two fields named '%.100s'", scope.path, field->name.ptr);
        const json_t *type = json_object_get(item, "type");
        if (!type)
            return pk_fail(parser->err, PK_REJECT, "%s: the field '%.100s' has no type", scope.path, field->name.ptr);
        struct scope inner = {scope.name_space, field->name.ptr, scope.depth};
        enum pk_status status = parse_type(parser, type, inner, &field->type);
        if (status == PK_OK)
            status = parse_names(parser, json_object_get(item, "aliases"), field->name.ptr, &field->alias,
                                 &field->alias_count);
        if (status != PK_OK)
            return status;
        field->fallback = json_object_get(item, "default");
    }
    return PK_OK;
}

static enum pk_status parse_symbols(struct parser *parser, const json_t *json, struct scope scope,
                                    struct tree_node *node)
{
    const json_t *symbols = json_object_get(json, "symbols");
    if (!json_is_array(symbols) || json_array_size(symbols) == 0)
        return pk_fail(parser->err, PK_REJECT, "%s: an enum without symbols", scope.path);
    enum pk_status status = parse_names(parser, symbols, scope.path, &node->symbol, &node->count);
    struct pk_str twice = status == PK_OK ? find_twice(node->symbol, node->count) : (struct pk_str){0};
    if (twice.ptr)
        return pk_fail(parser->err, PK_REJECT, "%s: the symbol '%.100s' twice", scope.path, twice.ptr);
    node->fallback_symbol = text_of(json, "default");
    return status;
}

static enum pk_status parse_named(struct parser *parser, enum tree_kind kind, const json_t *json, struct scope scope,
                                  const struct tree_node **ret_node)
{
    struct pk_str name = text_of(json, "name"), name_space = text_of(json, "namespace");
    if (!name.ptr || !is_dotted_name(name) || (name_space.len > 0 && !is_dotted_name(name_space)))
        return pk_fail(parser->err, PK_REJECT, "%s: %s without a proper name", scope.path, kind_name[kind]);
    struct tree_node *node = new_node(parser, kind);
    node->name = full_name(parser, name, name_space.ptr ? name_space : scope.name_space);
    node->logical = text_of(json, "logicalType");
    if (find_named(parser, node->name))
        return pk_fail(parser->err, PK_REJECT, "%s: the type '%.100s' is defined twice", scope.path, node->name.ptr);
    *pk_vec_push(&parser->named) = node; /* before the fields, which may refer to it */
    struct scope inner = {namespace_of(node->name), node->name.ptr, scope.depth};
    *ret_node = node;
    if (kind == TREE_RECORD)
        return parse_fields(parser, json, inner, node);
    if (kind == TREE_ENUM)
        return parse_symbols(parser, json, inner, node);
    const json_t *size = json_object_get(json, "size");
    if (!json_is_integer(size) || json_integer_value(size) < 0 || json_integer_value(size) > INT32_MAX)
        return pk_fail(parser->err, PK_REJECT, "%s: fixed without a proper size", inner.path);
    node->size = (uint32_t)json_integer_value(size);
    return PK_OK;
}

static enum pk_status parse_list(struct parser *parser, enum tree_kind kind, const json_t *json, struct scope scope,
                                 const struct tree_node **ret_node)
{
    const json_t *items = json_object_get(json, kind == TREE_ARRAY ? "items" : "values");
    if (!items)
        return pk_fail(parser->err, PK_REJECT, "%s: %s without the type of its entries", scope.path, kind_name[kind]);
    struct tree_node *node = new_node(parser, kind);
    node->count = 1;
    node->branch = PK_NEW_ARRAY(&parser->tree->arena, const struct tree_node *, 1);
    *ret_node = node;
    return parse_type(parser, items, scope, &node->branch[0]);
}

static enum pk_status parse_object(struct parser *parser, const json_t *json, struct scope scope,
                                   const struct tree_node **ret_node)
{
    const json_t *type = json_object_get(json, "type");
    if (json_is_object(type) || json_is_array(type))
        return parse_type(parser, type, scope, ret_node);
    struct pk_str name = text_of(json, "type");
    if (!name.ptr)
        return pk_fail(parser->err, PK_REJECT, "%s: a type without a name", scope.path);
    for (int kind = TREE_RECORD; kind <= TREE_FIXED; kind++)
        if (pk_str_eq(name, pk_str(kind_name[kind])))
            return parse_named(parser, (enum tree_kind)kind, json, scope, ret_node);
    for (int kind = TREE_ARRAY; kind <= TREE_MAP; kind++)
        if (pk_str_eq(name, pk_str(kind_name[kind])))
            return parse_list(parser, (enum tree_kind)kind, json, scope, ret_node);
    int kind = primitive_kind(name);
    if (kind < 0)
        return parse_reference(parser, name, scope, ret_node);
    struct tree_node *node = new_node(parser, (enum tree_kind)kind);
    node->logical = text_of(json, "logicalType");
    *ret_node = node;
    return PK_OK;
}

static enum pk_status parse_type(struct parser *parser, const json_t *json, struct scope scope,
                                 const struct tree_node **ret_node)
{
    if (++scope.depth > MAX_DEPTH)
        return pk_fail(parser->err, PK_REJECT, "%s: nested too deeply", scope.path);
    if (parser->tree->node_count > MAX_NODES)
        return pk_fail(parser->err, PK_REJECT, "%s: the schema has too many types", scope.path);
    if (json_is_string(json))
        return parse_reference(parser, pk_str(json_string_value(json)), scope, ret_node);
    if (json_is_array(json))
        return parse_union(parser, json, scope, ret_node);
    if (json_is_object(json))
        return parse_object(parser, json, scope, ret_node);
    return pk_fail(parser->err, PK_REJECT, "%s: a type must be a name, an object or a list", scope.path);
}

/* ---- Parsing Canonical Form ---- */

static void write_canonical(struct pk_buf *out, const struct tree_node *node, bool *defined)
{
    if (node->kind <= TREE_STRING) {
        pk_buf_printf(out, "\"%s\"", kind_name[node->kind]);
        return;
    }
    if (node->kind == TREE_UNION) {
        pk_buf_text(out, "[");
        for (size_t i = 0; i < node->count; i++) {
            pk_buf_text(out, i ? "," : "");
            write_canonical(out, node->branch[i], defined);
        }
        pk_buf_text(out, "]");
        return;
    }
    if (node->kind == TREE_ARRAY || node->kind == TREE_MAP) {
        pk_buf_text(out, node->kind == TREE_ARRAY ? "{\"type\":\"array\",\"items\":" : "{\"type\":\"map\",\"values\":");
        write_canonical(out, node->branch[0], defined);
        pk_buf_text(out, "}");
        return;
    }
    if (defined[node->index]) {
        pk_buf_printf(out, "\"%s\"", node->name.ptr);
        return;
    }
    defined[node->index] = true;
    pk_buf_printf(out, "{\"name\":\"%s\",\"type\":\"%s\"", node->name.ptr, kind_name[node->kind]);
    if (node->kind == TREE_FIXED)
        pk_buf_printf(out, ",\"size\":%" PRIu32, node->size);
    if (node->kind == TREE_ENUM) {
        pk_buf_text(out, ",\"symbols\":[");
        for (size_t i = 0; i < node->count; i++)
            pk_buf_printf(out, "%s\"%s\"", i ? "," : "", node->symbol[i].ptr);
        pk_buf_text(out, "]");
    }
    if (node->kind == TREE_RECORD) {
        pk_buf_text(out, ",\"fields\":[");
        for (size_t i = 0; i < node->count; i++) {
            pk_buf_printf(out, "%s{\"name\":\"%s\",\"type\":", i ? "," : "", node->field[i].name.ptr);
            write_canonical(out, node->field[i].type, defined);
            pk_buf_text(out, "}");
        }
        pk_buf_text(out, "]");
    }
    pk_buf_text(out, "}");
}

uint64_t avro_fingerprint(const void *bytes, size_t len)
{
    static const uint64_t empty = UINT64_C(0xc15d213aa4d7a795);
    uint64_t fingerprint = empty;
    for (size_t i = 0; i < len; i++) {
        uint64_t row = (fingerprint ^ ((const uint8_t *)bytes)[i]) & 0xff;
        for (int bit = 0; bit < 8; bit++) /* schemas are few and small: no table to get wrong */
            row = (row >> 1) ^ (empty & -(row & 1));
        fingerprint = (fingerprint >> 8) ^ row;
    }
    return fingerprint;
}

enum pk_status avro_tree_parse(struct pk_str text, struct avro_tree *ret_tree, struct pk_err *err)
{
    if (text.len > MAX_SCHEMA_BYTES)
        return pk_fail(err, PK_REJECT, "the schema has %zu bytes, at most %d", text.len, MAX_SCHEMA_BYTES);
    json_error_t where;
    json_t *json = json_read(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &where);
    if (!json)
        return pk_fail(err, PK_REJECT, "line %d of the schema: %s", where.line, where.text);

    struct avro_tree tree = {.json = json};
    struct parser parser = {.tree = &tree, .err = err};
    const struct tree_node *root = NULL;
    enum pk_status status = parse_type(&parser, json, (struct scope){.path = "the schema"}, &root);
    pk_vec_done(&parser.named);
    if (status != PK_OK) {
        avro_tree_done(&tree);
        return status;
    }
    struct pk_buf canonical PK_AUTO(pk_buf_done) = {0};
    write_canonical(&canonical, root, PK_NEW_ARRAY(&tree.arena, bool, tree.node_count));
    tree.root = root;
    tree.canonical = pk_arena_str(&tree.arena, (struct pk_str){canonical.ptr, canonical.len});
    tree.fingerprint = avro_fingerprint(canonical.ptr, canonical.len);
    *ret_tree = tree;
    return PK_OK;
}

void avro_tree_done(struct avro_tree *tree)
{
    json_decref(tree->json);
    pk_arena_done(&tree->arena);
    *tree = (struct avro_tree){0};
}
