/* SPDX-License-Identifier: Apache-2.0 */
#include "avro_plan.h"
#include "avro_tree.h"
#include "event_avro.h"
#include "event_slot.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

/* A plan is a row of operations. Some take their operands from the tables `target` and `list`. */
enum op_code {
    OP_END,
    /* into a member of the event (or of the list entry at hand) */
    OP_TEXT,
    OP_NULLABLE_TEXT, /* union of null and text; arg = index of the null branch */
    OP_NULLABLE_TEXTS, /* count of them, one behind the other in the body and in the event */
    OP_LONG,
    OP_INT,
    OP_TIME,           /* arg = enum time_unit */
    OP_DOUBLE,
    OP_FLOAT,
    OP_LONG_TO_DOUBLE,
    OP_INT_TO_DOUBLE,
    OP_ENUM,           /* arg = first entry in `target`: values by the writer's index; count = symbols */
    OP_IDENTIFIERS,    /* arg = entry of `list` */
    OP_ATTRIBUTES,     /* arg = entry of `list` */
    OP_PRESENT,
    OP_NO_TEXT,
    OP_NO_TIME,
    /* control */
    OP_UNION,          /* arg = first entry in `target`: operations by branch; count = branches */
    OP_JUMP,           /* arg = operation */
    OP_WRONG_BRANCH,
    OP_CALL,           /* arg = operation; returns at its OP_END */
    /* over what only the writer has */
    OP_SKIP_BOOLEAN,
    OP_SKIP_INT,
    OP_SKIP_LONG,
    OP_SKIP_BYTES,
    OP_SKIP_FIXED,     /* arg = bytes */
    OP_SKIP_ENUM,      /* arg = symbols */
    OP_SKIP_LIST,      /* arg = entry of `list` */
};

enum time_unit { TIME_MICROS, TIME_MILLIS, TIME_NANOS, TIME_MICROS_INT };

struct op {
    uint8_t code;
    uint16_t offset;
    uint16_t count;
    uint32_t arg;
};

struct list {
    uint32_t program;   /* operations of one entry, up to OP_END */
    uint32_t min_bytes; /* of one entry; 0 = every entry is empty */
    bool map;           /* every entry begins with a text key */
    bool plain;         /* IDENTIFIERS: namespace and value, nothing else; ATTRIBUTES: values are text */
};

struct avro_plan {
    struct pk_arena arena; /* field names, texts of defaults */
    uint64_t fingerprint;
    struct event blank;    /* what an event is before its first byte: our defaults */
    const struct op *op;
    const char *const *field; /* of each operation, for messages */
    const uint32_t *target;
    const struct list *list;
};

enum { MAX_OPS = 100000, MAX_CALLS = 48, MAX_EMPTY_ENTRIES = 1 << 16, ENOUGH_BYTES = 1 << 20 };
#define NO_PROGRAM UINT32_MAX

/* ---- compiling ---- */

struct compiler {
    struct avro_plan *plan;
    const struct avro_tree *writer, *reader;
    struct pk_err *err;
    const char *field;     /* being compiled */
    PK_VEC(struct op) op;
    PK_VEC(const char *) name;
    PK_VEC(uint32_t) target;
    PK_VEC(struct list) list;
    PK_VEC(const struct tree_node *) pending; /* types with a program of their own, in order of first use */
    uint32_t *program;   /* by index of the writer's type: its place in `pending` plus 1, 0 = none */
    uint32_t *min_bytes; /* by index of the writer's type: plus 1, 0 = not known yet */
};

static uint32_t emit(struct compiler *c, enum op_code code, uint16_t offset, uint16_t count, uint32_t arg)
{
    *pk_vec_push(&c->op) = (struct op){.code = (uint8_t)code, .offset = offset, .count = count, .arg = arg};
    *pk_vec_push(&c->name) = c->field;
    return (uint32_t)c->op.len - 1;
}

/* The least number of bytes that a value takes; 0 means that it never takes any. */
static uint32_t min_bytes(struct compiler *c, const struct tree_node *node)
{
    uint32_t *known = &c->min_bytes[node->index];
    if (*known)
        return *known - 1;
    uint32_t bytes = 1;
    switch (node->kind) {
    case TREE_NULL:
        bytes = 0;
        break;
    case TREE_FLOAT:
        bytes = 4;
        break;
    case TREE_DOUBLE:
        bytes = 8;
        break;
    case TREE_FIXED:
        bytes = node->size;
        break;
    case TREE_RECORD:
        *known = 1 + 1; /* a record within itself never ends; anything above 0 will do for it */
        bytes = 0;
        for (size_t i = 0; i < node->count; i++) {
            bytes += min_bytes(c, node->field[i].type);
            bytes = PK_MIN(bytes, (uint32_t)ENOUGH_BYTES);
        }
        break;
    default:
        break;
    }
    bytes = PK_MIN(bytes, (uint32_t)ENOUGH_BYTES);
    *known = bytes + 1;
    return bytes;
}

/* A type that gets a program of its own; the number is its place in `pending` until all are compiled. */
static uint32_t own_program(struct compiler *c, const struct tree_node *node)
{
    uint32_t *place = &c->program[node->index];
    if (!*place) {
        *pk_vec_push(&c->pending) = node;
        *place = (uint32_t)c->pending.len;
    }
    return *place - 1;
}

static uint32_t add_list(struct compiler *c, const struct tree_node *node)
{
    const struct tree_node *entry = node->branch[0];
    bool map = node->kind == TREE_MAP;
    *pk_vec_push(&c->list) =
        (struct list){.program = NO_PROGRAM, .min_bytes = min_bytes(c, entry) + map, .map = map};
    return (uint32_t)c->list.len - 1;
}

static uint32_t add_targets(struct compiler *c, size_t count)
{
    uint32_t first = (uint32_t)c->target.len;
    for (size_t i = 0; i < count; i++)
        *pk_vec_push(&c->target) = 0;
    return first;
}

/* ---- compiling: over what only the writer has ---- */

static void skip(struct compiler *c, const struct tree_node *node)
{
    static const uint8_t simple[] = {
        [TREE_BOOLEAN] = OP_SKIP_BOOLEAN, [TREE_INT] = OP_SKIP_INT,     [TREE_LONG] = OP_SKIP_LONG,
        [TREE_BYTES] = OP_SKIP_BYTES,     [TREE_STRING] = OP_SKIP_BYTES,
    };
    if (min_bytes(c, node) == 0)
        return;
    switch (node->kind) {
    case TREE_NULL:
        break;
    case TREE_BOOLEAN:
    case TREE_INT:
    case TREE_LONG:
    case TREE_BYTES:
    case TREE_STRING:
        emit(c, simple[node->kind], 0, 0, 0);
        break;
    case TREE_FLOAT:
        emit(c, OP_SKIP_FIXED, 0, 0, 4);
        break;
    case TREE_DOUBLE:
        emit(c, OP_SKIP_FIXED, 0, 0, 8);
        break;
    case TREE_FIXED:
        emit(c, OP_SKIP_FIXED, 0, 0, node->size);
        break;
    case TREE_ENUM:
        emit(c, OP_SKIP_ENUM, 0, 0, (uint32_t)node->count);
        break;
    case TREE_RECORD:
        emit(c, OP_CALL, 0, 0, own_program(c, node));
        break;
    case TREE_ARRAY:
    case TREE_MAP: {
        uint32_t list = add_list(c, node);
        c->list.ptr[list].program = own_program(c, node->branch[0]);
        emit(c, OP_SKIP_LIST, 0, 0, list);
        break;
    }
    case TREE_UNION: {
        uint32_t first = add_targets(c, node->count);
        emit(c, OP_UNION, 0, (uint16_t)node->count, first);
        uint32_t *jump = pk_alloc(node->count * sizeof *jump);
        for (size_t i = 0; i < node->count; i++) {
            c->target.ptr[first + i] = (uint32_t)c->op.len;
            skip(c, node->branch[i]);
            jump[i] = emit(c, OP_JUMP, 0, 0, 0);
        }
        for (size_t i = 0; i < node->count; i++)
            c->op.ptr[jump[i]].arg = (uint32_t)c->op.len;
        free(jump);
        break;
    }
    }
}

/* ---- compiling: into the event ---- */

static enum pk_status read_value(struct compiler *c, const struct tree_node *writer, const struct tree_node *reader,
                                 const struct event_slot *slot);
static enum pk_status read_record(struct compiler *c, const struct tree_node *writer, const struct tree_node *reader,
                                  const struct event_slot slot[], size_t count);

static enum pk_status mismatch(struct compiler *c, const struct tree_node *writer, const char *wanted)
{
    return pk_fail(c->err, PK_REJECT, "the writer's field '%s' is %s, which cannot be read as %s", c->field,
                   tree_kind_name(writer->kind), wanted);
}

static enum pk_status read_text(struct compiler *c, const struct tree_node *writer, const struct event_slot *slot)
{
    if (writer->kind != TREE_STRING && writer->kind != TREE_BYTES)
        return mismatch(c, writer, "text");
    if (pk_str_eq(writer->logical, PK_STR("decimal")))
        return pk_fail(c->err, PK_REJECT, "the writer's field '%s' is a decimal number, which cannot be read as text",
                       c->field);
    emit(c, OP_TEXT, slot->offset, 0, 0);
    return PK_OK;
}

static enum pk_status read_time(struct compiler *c, const struct tree_node *writer, const struct event_slot *slot)
{
    static const struct {
        const char *logical;
        enum tree_kind kind;
        enum time_unit unit;
    } known[] = {
        {"timestamp-micros", TREE_LONG, TIME_MICROS},
        {"timestamp-millis", TREE_LONG, TIME_MILLIS},
        {"timestamp-nanos", TREE_LONG, TIME_NANOS},
        {NULL, TREE_LONG, TIME_MICROS},
        {NULL, TREE_INT, TIME_MICROS_INT},
    };
    for (size_t i = 0; i < PK_COUNT(known); i++)
        if (writer->kind == known[i].kind && pk_str_eq(writer->logical, pk_str(known[i].logical))) {
            emit(c, OP_TIME, slot->offset, 0, known[i].unit);
            return PK_OK;
        }
    if (writer->logical.ptr)
        return pk_fail(c->err, PK_REJECT, "the writer's field '%s' is %s (%.60s), which cannot be read as a time",
                       c->field, tree_kind_name(writer->kind), writer->logical.ptr);
    return mismatch(c, writer, "a time");
}

static enum pk_status read_number(struct compiler *c, const struct tree_node *writer, const struct event_slot *slot)
{
    bool real = slot->kind == SLOT_DOUBLE;
    if (writer->kind == TREE_LONG)
        emit(c, real ? OP_LONG_TO_DOUBLE : OP_LONG, slot->offset, 0, 0);
    else if (writer->kind == TREE_INT)
        emit(c, real ? OP_INT_TO_DOUBLE : OP_INT, slot->offset, 0, 0);
    else if (real && writer->kind == TREE_DOUBLE)
        emit(c, OP_DOUBLE, slot->offset, 0, 0);
    else if (real && writer->kind == TREE_FLOAT)
        emit(c, OP_FLOAT, slot->offset, 0, 0);
    else
        return mismatch(c, writer, real ? "a number" : "a whole number");
    return PK_OK;
}

static int symbol_value(const struct event_slot *slot, struct pk_str symbol)
{
    for (size_t i = 0; i < slot->count; i++)
        if (pk_str_eq(symbol, pk_str(slot->symbol[i])))
            return (int)i;
    return -1;
}

static enum pk_status read_enum(struct compiler *c, const struct tree_node *writer, const struct tree_node *reader,
                                const struct event_slot *slot)
{
    if (writer->kind != TREE_ENUM)
        return mismatch(c, writer, "one of our symbols");
    if (writer->count > UINT16_MAX)
        return pk_fail(c->err, PK_REJECT, "the writer's field '%s' has too many symbols", c->field);
    int unknown = symbol_value(slot, reader->fallback_symbol);
    uint32_t first = add_targets(c, writer->count);
    for (size_t i = 0; i < writer->count; i++) {
        int value = symbol_value(slot, writer->symbol[i]);
        c->target.ptr[first + i] = (uint32_t)(value >= 0 ? value : unknown >= 0 ? unknown : slot->fallback);
    }
    emit(c, OP_ENUM, slot->offset, (uint16_t)writer->count, first);
    return PK_OK;
}

/* The program of one entry stands in the row itself, jumped over. */
static enum pk_status read_identifiers(struct compiler *c, const struct tree_node *writer,
                                       const struct tree_node *reader)
{
    if (writer->kind != TREE_ARRAY || writer->branch[0]->kind != TREE_RECORD)
        return mismatch(c, writer, "a list of identifiers");
    uint32_t list = add_list(c, writer);
    emit(c, OP_IDENTIFIERS, 0, 0, list);
    uint32_t jump = emit(c, OP_JUMP, 0, 0, 0), program = (uint32_t)c->op.len;
    enum pk_status status = read_record(c, writer->branch[0], reader->branch[0], event_identifier_slot,
                                        PK_COUNT(event_identifier_slot));
    emit(c, OP_END, 0, 0, 0);
    const struct op *op = c->op.ptr + program;
    c->list.ptr[list].program = program;
    c->list.ptr[list].plain = c->op.len - program == 3 && op[0].code == OP_TEXT && op[1].code == OP_TEXT &&
                              op[0].offset == offsetof(struct event_identifier, name_space) &&
                              op[1].offset == offsetof(struct event_identifier, value);
    c->op.ptr[jump].arg = (uint32_t)c->op.len;
    return status;
}

static enum pk_status read_attributes(struct compiler *c, const struct tree_node *writer)
{
    static const struct event_slot value = {"attributes", SLOT_TEXT, .nullable = true,
                                            .offset = offsetof(struct event_attribute, value)};
    if (writer->kind != TREE_MAP)
        return mismatch(c, writer, "a map of text");
    uint32_t list = add_list(c, writer);
    emit(c, OP_ATTRIBUTES, 0, 0, list);
    uint32_t jump = emit(c, OP_JUMP, 0, 0, 0), program = (uint32_t)c->op.len;
    enum pk_status status = read_value(c, writer->branch[0], NULL, &value);
    emit(c, OP_END, 0, 0, 0);
    c->list.ptr[list].program = program;
    c->list.ptr[list].plain = c->op.len - program == 2 && c->op.ptr[program].code == OP_TEXT;
    c->op.ptr[jump].arg = (uint32_t)c->op.len;
    return status;
}

static bool is_text(const struct tree_node *node)
{
    return (node->kind == TREE_STRING || node->kind == TREE_BYTES) && !pk_str_eq(node->logical, PK_STR("decimal"));
}

/* Each branch that we can read gets its own operations, each other one is an error when it occurs. */
static enum pk_status read_union(struct compiler *c, const struct tree_node *writer, const struct tree_node *reader,
                                 const struct event_slot *slot)
{
    for (uint32_t null = 0; null < 2 && writer->count == 2 && slot->kind == SLOT_TEXT; null++)
        if (writer->branch[null]->kind == TREE_NULL && is_text(writer->branch[1 - null])) {
            emit(c, OP_NULLABLE_TEXT, slot->offset, 0, null);
            return PK_OK;
        }
    if (writer->count > UINT16_MAX)
        return pk_fail(c->err, PK_REJECT, "the writer's field '%s' has too many branches", c->field);
    uint32_t first = add_targets(c, writer->count);
    emit(c, OP_UNION, 0, (uint16_t)writer->count, first);
    uint32_t *jump = pk_alloc(writer->count * sizeof *jump);
    struct pk_err why = {0}, *err = c->err;
    bool readable = writer->count == 0;
    for (size_t i = 0; i < writer->count; i++) {
        size_t start = c->op.len;
        c->target.ptr[first + i] = (uint32_t)start;
        bool null = writer->branch[i]->kind == TREE_NULL;
        if (null && slot->kind == SLOT_TEXT) {
            emit(c, OP_NO_TEXT, slot->offset, 0, 0);
        } else if (null && slot->kind == SLOT_TIME) {
            emit(c, OP_NO_TIME, slot->offset, 0, 0);
        } else if (!null) {
            c->err = &why;
            if (read_value(c, writer->branch[i], reader, slot) == PK_OK) {
                readable = true;
            } else {
                c->op.len = c->name.len = start;
                emit(c, OP_WRONG_BRANCH, 0, 0, 0);
            }
            c->err = err;
        }
        jump[i] = emit(c, OP_JUMP, 0, 0, 0);
    }
    for (size_t i = 0; i < writer->count; i++)
        c->op.ptr[jump[i]].arg = (uint32_t)c->op.len;
    free(jump);
    return readable ? PK_OK : pk_fail(err, PK_REJECT, "%s", why.text[0] ? why.text : "a union of null alone");
}

static enum pk_status read_value(struct compiler *c, const struct tree_node *writer, const struct tree_node *reader,
                                 const struct event_slot *slot)
{
    if (writer->kind == TREE_UNION)
        return read_union(c, writer, reader, slot);
    if (writer->kind == TREE_NULL && slot->nullable)
        return PK_OK; /* the blank event has it */
    switch (slot->kind) {
    case SLOT_TEXT:
        return read_text(c, writer, slot);
    case SLOT_TIME:
        return read_time(c, writer, slot);
    case SLOT_LONG:
    case SLOT_DOUBLE:
        return read_number(c, writer, slot);
    case SLOT_ENUM:
        return read_enum(c, writer, reader, slot);
    case SLOT_IDENTIFIERS:
        return read_identifiers(c, writer, reader);
    case SLOT_ATTRIBUTES:
        return read_attributes(c, writer);
    case SLOT_RECORD:
        if (writer->kind != TREE_RECORD)
            return mismatch(c, writer, "a record");
        emit(c, OP_PRESENT, slot->present, 0, 0);
        return read_record(c, writer, reader, slot->part, slot->count);
    }
    return PK_OK;
}

static const struct tree_node *without_null(const struct tree_node *node)
{
    for (size_t i = 0; node->kind == TREE_UNION && i < node->count; i++)
        if (node->branch[i]->kind != TREE_NULL)
            return node->branch[i];
    return node;
}

static const struct tree_field *find_field(const struct tree_node *record, struct pk_str name)
{
    for (size_t i = 0; i < record->count; i++)
        if (pk_str_eq(record->field[i].name, name))
            return &record->field[i];
    return NULL;
}

/* The writer's field for one of ours: by name, else by the first of our aliases that the writer has. */
static const struct tree_field *find_written(const struct tree_node *writer, const struct tree_field *ours)
{
    const struct tree_field *field = find_field(writer, ours->name);
    for (size_t i = 0; i < ours->alias_count && !field; i++)
        field = find_field(writer, ours->alias[i]);
    return field;
}

/* Which of the writer's fields goes into each slot; looked up once, for a writer may have thousands of fields. */
struct written {
    const struct tree_field *ours, *theirs; /* theirs NULL: our default */
};

static enum pk_status find_all_written(struct compiler *c, const struct tree_node *writer, const struct tree_node *reader,
                                       const struct event_slot slot[], size_t count, struct written *written)
{
    for (size_t i = 0; i < count; i++) {
        const struct tree_field *ours = find_field(reader, pk_str(slot[i].name));
        if (!ours)
            return pk_fail(c->err, PK_REJECT, "our schema lacks the field '%s'", slot[i].name);
        written[i] = (struct written){ours, find_written(writer, ours)};
        if (!ours->fallback && !written[i].theirs)
            return pk_fail(c->err, PK_REJECT, "the writer's schema lacks the field '%s%s%s', which has no default",
                           c->field ? c->field : "", c->field ? "." : "", slot[i].name);
    }
    return PK_OK;
}

static enum pk_status read_field(struct compiler *c, const struct tree_field *field, const struct event_slot slot[],
                                 size_t count, const struct written *written)
{
    for (size_t i = 0; i < count; i++)
        if (written[i].theirs == field)
            return read_value(c, field->type, without_null(written[i].ours->type), &slot[i]);
    skip(c, field->type);
    return PK_OK;
}

static enum pk_status read_record(struct compiler *c, const struct tree_node *writer, const struct tree_node *reader,
                                  const struct event_slot slot[], size_t count)
{
    const char *outer = c->field;
    struct written *written = PK_NEW_ARRAY(&c->plan->arena, struct written, count);
    enum pk_status status = find_all_written(c, writer, reader, slot, count, written);
    for (size_t i = 0; i < writer->count && status == PK_OK; i++) {
        const struct tree_field *field = &writer->field[i];
        struct pk_buf path PK_AUTO(pk_buf_done) = {0};
        pk_buf_printf(&path, "%s%s%s", outer ? outer : "", outer ? "." : "", field->name.ptr);
        c->field = pk_arena_str(&c->plan->arena, (struct pk_str){path.ptr, path.len}).ptr;
        status = read_field(c, field, slot, count, written);
        if (status == PK_OK && c->op.len > MAX_OPS)
            status = pk_fail(c->err, PK_REJECT, "the writer's schema is too large at the field '%s'", c->field);
    }
    c->field = outer;
    return status;
}

/* ---- compiling: defaults ---- */

static enum pk_status default_value(struct compiler *c, const struct event_slot *slot, const json_t *fallback)
{
    char *member = (char *)&c->plan->blank + slot->offset;
    bool null = json_is_null(fallback);
    switch (slot->kind) {
    case SLOT_TEXT:
        if (json_is_string(fallback))
            *(struct pk_str *)member = pk_arena_str(&c->plan->arena, pk_str(json_string_value(fallback)));
        else if (!null)
            break;
        return PK_OK;
    case SLOT_TIME:
        *(int64_t *)member = null ? PK_NO_TIME : json_integer_value(fallback);
        if (!null && !json_is_integer(fallback))
            break;
        return PK_OK;
    case SLOT_LONG:
        *(int64_t *)member = json_integer_value(fallback);
        if (!json_is_integer(fallback))
            break;
        return PK_OK;
    case SLOT_DOUBLE:
        *(double *)member = json_number_value(fallback);
        if (!json_is_number(fallback))
            break;
        return PK_OK;
    case SLOT_ENUM: {
        int value = symbol_value(slot, pk_str(json_string_value(fallback)));
        if (value < 0)
            break;
        memcpy(member, &value, sizeof value);
        return PK_OK;
    }
    case SLOT_RECORD:
        if (!null)
            break;
        return PK_OK;
    case SLOT_IDENTIFIERS:
    case SLOT_ATTRIBUTES:
        if (json_array_size(fallback) + json_object_size(fallback) > 0)
            break;
        return PK_OK;
    }
    return pk_fail(c->err, PK_REJECT, "the default of our field '%s' is not understood", slot->name);
}

static enum pk_status read_defaults(struct compiler *c, const struct tree_node *reader, const struct event_slot slot[],
                                    size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct tree_field *ours = find_field(reader, pk_str(slot[i].name));
        if (!ours)
            return pk_fail(c->err, PK_REJECT, "our schema lacks the field '%s'", slot[i].name);
        enum pk_status status = ours->fallback ? default_value(c, &slot[i], ours->fallback) : PK_OK;
        const struct tree_node *type = without_null(ours->type);
        if (status == PK_OK && slot[i].kind == SLOT_RECORD)
            status = type->kind == TREE_RECORD
                         ? read_defaults(c, type, slot[i].part, slot[i].count)
                         : pk_fail(c->err, PK_REJECT, "our field '%s' is not a record", slot[i].name);
        if (status == PK_OK && slot[i].kind == SLOT_IDENTIFIERS &&
            (type->kind != TREE_ARRAY || type->branch[0]->kind != TREE_RECORD))
            status = pk_fail(c->err, PK_REJECT, "our field '%s' is not a list of records", slot[i].name);
        if (status != PK_OK)
            return status;
    }
    return PK_OK;
}

/* ---- compiling: the whole ---- */

static void compile_pending(struct compiler *c)
{
    PK_VEC(uint32_t) start = {0};
    c->field = "a field that only the writer has";
    for (size_t i = 0; i < c->pending.len && c->op.len <= MAX_OPS; i++) {
        const struct tree_node *node = c->pending.ptr[i];
        *pk_vec_push(&start) = (uint32_t)c->op.len;
        if (node->kind == TREE_RECORD)
            for (size_t k = 0; k < node->count; k++)
                skip(c, node->field[k].type);
        else
            skip(c, node);
        emit(c, OP_END, 0, 0, 0);
    }
    for (size_t i = 0; i < c->op.len; i++) {
        struct op *op = &c->op.ptr[i];
        if (op->code == OP_CALL && op->arg < start.len)
            op->arg = start.ptr[op->arg];
        if (op->code == OP_SKIP_LIST && c->list.ptr[op->arg].program < start.len)
            c->list.ptr[op->arg].program = start.ptr[c->list.ptr[op->arg].program];
    }
    pk_vec_done(&start);
}

static enum pk_status compile(struct compiler *c)
{
    const struct tree_node *writer = c->writer->root, *reader = c->reader->root;
    if (reader->kind != TREE_RECORD)
        return pk_fail(c->err, PK_REJECT, "our schema is not a record");
    if (writer->kind != TREE_RECORD ||
        !pk_str_eq(tree_short_name(writer->name), tree_short_name(reader->name)))
        return pk_fail(c->err, PK_REJECT, "the writer's schema is %s %.100s, not the record %.100s",
                       tree_kind_name(writer->kind), writer->name.ptr ? writer->name.ptr : "", reader->name.ptr);
    enum pk_status status = read_defaults(c, reader, event_slot, event_slot_count);
    if (status == PK_OK)
        status = read_record(c, writer, reader, event_slot, event_slot_count);
    if (status != PK_OK)
        return status;
    emit(c, OP_END, 0, 0, 0);
    compile_pending(c);
    if (c->op.len > MAX_OPS)
        return pk_fail(c->err, PK_REJECT, "the writer's schema is too large");
    return PK_OK;
}

/* A run of optional texts is most of an event. Its operations stay where they are, for messages and for
 * whoever jumps between them; the first one does the work of all. */
static void join_runs(struct compiler *c)
{
    for (size_t i = 0, count; i < c->op.len; i += count) {
        struct op *op = &c->op.ptr[i];
        for (count = 1; op->code == OP_NULLABLE_TEXT && i + count < c->op.len; count++) {
            const struct op *next = op + count;
            if (next->code != OP_NULLABLE_TEXT || next->arg != op->arg ||
                next->offset != op->offset + count * sizeof(struct pk_str))
                break;
        }
        if (count > 1) {
            op->code = OP_NULLABLE_TEXTS;
            op->count = (uint16_t)count;
        }
    }
}

static void finish(struct compiler *c)
{
    join_runs(c);
    struct avro_plan *plan = c->plan;
    plan->op = pk_arena_copy(&plan->arena, c->op.ptr, c->op.len * sizeof *c->op.ptr);
    plan->field = pk_arena_copy(&plan->arena, c->name.ptr, c->name.len * sizeof *c->name.ptr);
    plan->target = pk_arena_copy(&plan->arena, c->target.ptr, c->target.len * sizeof *c->target.ptr);
    plan->list = pk_arena_copy(&plan->arena, c->list.ptr, c->list.len * sizeof *c->list.ptr);
    plan->fingerprint = c->writer->fingerprint;
}

enum pk_status avro_plan_compile(struct pk_str reader_json, struct pk_str writer_json, struct avro_plan **ret_plan,
                                 struct pk_err *err)
{
    struct avro_tree writer PK_AUTO(avro_tree_done) = {0}, reader PK_AUTO(avro_tree_done) = {0};
    enum pk_status status = avro_tree_parse(writer_json, &writer, err);
    if (status == PK_OK)
        status = avro_tree_parse(reader_json.ptr ? reader_json : event_schema_json(), &reader, err);
    if (status != PK_OK)
        return status;
    struct avro_plan *plan = pk_alloc(sizeof *plan);
    struct compiler compiler = {.plan = plan, .writer = &writer, .reader = &reader, .err = err};
    compiler.program = pk_alloc(writer.node_count * sizeof *compiler.program);
    compiler.min_bytes = pk_alloc(writer.node_count * sizeof *compiler.min_bytes);
    status = compile(&compiler);
    if (status == PK_OK)
        finish(&compiler);
    free(compiler.program);
    free(compiler.min_bytes);
    pk_vec_done(&compiler.op);
    pk_vec_done(&compiler.name);
    pk_vec_done(&compiler.target);
    pk_vec_done(&compiler.list);
    pk_vec_done(&compiler.pending);
    if (status != PK_OK) {
        avro_plan_free(plan);
        return status;
    }
    *ret_plan = plan;
    return PK_OK;
}

void avro_plan_free(struct avro_plan *plan)
{
    if (!plan)
        return;
    pk_arena_done(&plan->arena);
    free(plan);
}

uint64_t avro_plan_fingerprint(const struct avro_plan *plan)
{
    return plan->fingerprint;
}

/* ---- decoding ----
 * `at` is kept in a local variable (a register) and written back around calls. Every read checks
 * against `end` first; a length is compared with what is left, never added to a pointer unchecked. */

struct decoder {
    const struct avro_plan *plan;
    const uint8_t *start, *at, *end;
    struct pk_arena *arena;
    struct event *event;
    int calls;
    /* of the failure: */
    const char *problem, *field;
    bool too_large;
};

static __attribute__((cold, noinline)) bool fail(struct decoder *d, const struct op *op, const uint8_t *at, const char *problem)
{
    if (!d->problem) {
        d->problem = problem;
        d->field = d->plan->field[op - d->plan->op];
        d->at = at;
    }
    return false;
}

static const uint8_t *long_varint(const uint8_t *at, const uint8_t *end, uint64_t *ret)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (at == end)
            return NULL;
        uint8_t byte = *at++;
        if (shift == 63 && byte > 1)
            return NULL;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret = value;
            return at;
        }
    }
    return NULL;
}

/* NULL if it is cut short or longer than 64 bits. */
static inline const uint8_t *varint(const uint8_t *at, const uint8_t *end, uint64_t *ret)
{
    if (__builtin_expect(at < end && *at < 0x80, 1)) {
        *ret = *at;
        return at + 1;
    }
    return long_varint(at, end, ret);
}

static inline int64_t zigzag(uint64_t raw)
{
    return (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
}

/* The branch of a union of two: 0 or 1, in one byte by all writers that we know, in more by right. */
static inline const uint8_t *branch_of_two(const uint8_t *at, const uint8_t *end, uint64_t *ret)
{
    uint64_t raw;
    at = varint(at, end, &raw);
    if (!at || raw & ~UINT64_C(2))
        return NULL;
    *ret = raw >> 1;
    return at;
}

/* A length and that many bytes; NULL if they are not there. */
static inline const uint8_t *text(const uint8_t *at, const uint8_t *end, struct pk_str *ret)
{
    uint64_t raw;
    at = varint(at, end, &raw);
    if (!at || (raw & 1) || raw >> 1 > (uint64_t)(end - at))
        return NULL;
    *ret = (struct pk_str){(const char *)at, (size_t)(raw >> 1)};
    return at + (raw >> 1);
}

/* The head of a block: how many entries (0 = the list ends) and where it must end if it says so.
 * An entry takes at least min_bytes, so the count is bounded by what is left. */
static bool block(struct decoder *d, const struct op *op, uint32_t min_bytes, uint64_t *ret_count,
                  const uint8_t **ret_block_end)
{
    uint64_t raw;
    const uint8_t *at = varint(d->at, d->end, &raw), *block_end = NULL;
    if (!at)
        return fail(d, op, d->at, "a block count is cut short or malformed");
    int64_t count = zigzag(raw);
    if (count < 0) {
        if (count == INT64_MIN)
            return fail(d, op, at, "a block count is out of range");
        count = -count;
        const uint8_t *size_at = at;
        at = varint(at, d->end, &raw);
        if (!at || (raw & 1) || raw >> 1 > (uint64_t)(d->end - at))
            return fail(d, op, size_at, "a block's size is more than what is left");
        block_end = at + (raw >> 1);
    }
    if (min_bytes ? (uint64_t)count > (uint64_t)(d->end - at) / min_bytes : count > MAX_EMPTY_ENTRIES)
        return fail(d, op, at, "a block has more entries than there are bytes left");
    d->at = at;
    *ret_count = (uint64_t)count;
    *ret_block_end = block_end;
    return true;
}

static bool block_ends(struct decoder *d, const struct op *op, const uint8_t *block_end)
{
    return !block_end || d->at == block_end || fail(d, op, d->at, "a block's size is not that of its entries");
}

static bool run(struct decoder *d, uint32_t program, char *base);

/* A block that says its size is jumped over as a whole: that is what the size is for. */
static bool skip_list(struct decoder *d, const struct op *op)
{
    const struct list *list = &d->plan->list[op->arg];
    for (;;) {
        uint64_t count;
        const uint8_t *block_end;
        if (!block(d, op, list->min_bytes, &count, &block_end))
            return false;
        if (count == 0)
            return block_ends(d, op, block_end);
        if (block_end) {
            d->at = block_end;
            continue;
        }
        for (; count && list->min_bytes; count--) {
            struct pk_str key;
            if (list->map) {
                const uint8_t *at = text(d->at, d->end, &key);
                if (!at)
                    return fail(d, op, d->at, "a map's key is longer than what is left");
                d->at = at;
            }
            if (!run(d, list->program, (char *)d->event))
                return false;
        }
    }
}

/* Room for `more` entries behind `have`; the first block nearly always is the only one. */
static void *grow_list(struct decoder *d, void *old, size_t have, size_t more, size_t max, size_t size)
{
    size_t room = have ? max : more;
    void *list = pk_arena_alloc(d->arena, room * size);
    if (have)
        memcpy(list, old, have * size);
    return list;
}

static bool read_identifier_list(struct decoder *d, const struct op *op)
{
    const struct list *list = &d->plan->list[op->arg];
    struct event_identifier *entry = NULL;
    size_t have = 0, blocks = 0;
    for (;;) {
        uint64_t count;
        const uint8_t *block_end;
        if (!block(d, op, list->min_bytes, &count, &block_end))
            return false;
        if (count == 0) {
            d->event->identifier = entry;
            d->event->identifier_count = (uint32_t)have;
            return block_ends(d, op, block_end);
        }
        if (have + count > EVENT_MAX_IDENTIFIERS) {
            d->too_large = true;
            return fail(d, op, d->at, "more identifiers than an event may have");
        }
        if (blocks++ < 2)
            entry = grow_list(d, entry, have, count, EVENT_MAX_IDENTIFIERS, sizeof *entry);
        for (; count; count--, have++) {
            if (list->plain) {
                const uint8_t *at = text(d->at, d->end, &entry[have].name_space);
                at = at ? text(at, d->end, &entry[have].value) : NULL;
                if (!at)
                    return fail(d, op, d->at, "a text is longer than what is left");
                d->at = at;
                continue;
            }
            entry[have] = (struct event_identifier){0};
            if (!run(d, list->program, (char *)&entry[have]))
                return false;
        }
        if (!block_ends(d, op, block_end))
            return false;
    }
}

static bool read_attribute_list(struct decoder *d, const struct op *op)
{
    const struct list *list = &d->plan->list[op->arg];
    struct event_attribute *entry = NULL;
    size_t have = 0, seen = 0, blocks = 0;
    for (;;) {
        uint64_t count;
        const uint8_t *block_end;
        if (!block(d, op, list->min_bytes, &count, &block_end))
            return false;
        if (count == 0) {
            d->event->attribute = entry;
            d->event->attribute_count = (uint32_t)have;
            return block_ends(d, op, block_end);
        }
        if (seen + count > EVENT_MAX_ATTRIBUTES) {
            d->too_large = true;
            return fail(d, op, d->at, "more attributes than an event may have");
        }
        if (blocks++ < 2)
            entry = grow_list(d, entry, seen, count, EVENT_MAX_ATTRIBUTES, sizeof *entry);
        for (; count; count--, seen++) {
            entry[have] = (struct event_attribute){0};
            const uint8_t *at = text(d->at, d->end, &entry[have].key);
            if (at && list->plain)
                at = text(at, d->end, &entry[have].value);
            if (!at)
                return fail(d, op, d->at, "a text is longer than what is left");
            d->at = at;
            if (!list->plain && !run(d, list->program, (char *)&entry[have]))
                return false;
            have += entry[have].value.ptr != NULL; /* a null value is no attribute */
        }
        if (!block_ends(d, op, block_end))
            return false;
    }
}

/* A moment as its writer counts it; the greatest negative number is ours for "none". */
static bool to_micros(int64_t value, enum time_unit unit, int64_t *ret_us)
{
    int64_t us = value;
    if (unit == TIME_MICROS_INT && value != (int32_t)value)
        return false;
    if (unit == TIME_MILLIS && __builtin_mul_overflow(value, 1000, &us))
        return false;
    if (unit == TIME_NANOS)
        us = value / 1000 - (value % 1000 < 0);
    *ret_us = us == PK_NO_TIME ? us + 1 : us;
    return true;
}

static uint64_t get_le(const uint8_t *at, int bytes)
{
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; i--)
        value = value << 8 | at[i];
    return value;
}

static bool run(struct decoder *d, uint32_t program, char *base)
{
    static const char cut[] = "the body ends within it", no_number[] = "a number is cut short or malformed",
                      out_of_range[] = "a number is out of range", no_text[] = "a text is longer than what is left",
                      no_branch[] = "a union has no such branch", no_symbol[] = "an enum has no such symbol";
    if (d->calls >= MAX_CALLS)
        return fail(d, &d->plan->op[program], d->at, "nested too deeply");
    d->calls++;
    const struct op *op = d->plan->op + program;
    const uint8_t *at = d->at, *next;
    const uint8_t *const end = d->end;
    uint64_t raw;
    for (;; op++) {
        char *member = base + op->offset;
        switch ((enum op_code)op->code) {
        case OP_END:
            d->at = at;
            d->calls--;
            return true;

        case OP_NULLABLE_TEXTS: {
            struct pk_str *into = (struct pk_str *)member;
            const struct op *last = op + op->count - 1;
            const uint64_t null = op->arg;
            for (;; op++, into++) {
                if (at == end)
                    return fail(d, op, at, cut);
                next = branch_of_two(at, end, &raw);
                if (!next)
                    return fail(d, op, at, no_branch);
                at = next;
                if (raw == null) {
                    *into = (struct pk_str){0};
                } else {
                    next = text(at, end, into);
                    if (!next)
                        return fail(d, op, at, no_text);
                    at = next;
                }
                if (op == last)
                    break;
            }
            break;
        }
        case OP_NULLABLE_TEXT:
            if (at == end)
                return fail(d, op, at, cut);
            next = branch_of_two(at, end, &raw);
            if (!next)
                return fail(d, op, at, no_branch);
            at = next;
            if (raw == op->arg) {
                *(struct pk_str *)member = (struct pk_str){0};
                break;
            }
            /* fall through */
        case OP_TEXT:
            next = text(at, end, (struct pk_str *)member);
            if (!next)
                return fail(d, op, at, no_text);
            at = next;
            break;
        case OP_NO_TEXT:
            *(struct pk_str *)member = (struct pk_str){0};
            break;

        case OP_LONG:
            next = varint(at, end, &raw);
            if (!next)
                return fail(d, op, at, no_number);
            *(int64_t *)member = zigzag(raw);
            at = next;
            break;
        case OP_TIME:
            next = varint(at, end, &raw);
            if (!next)
                return fail(d, op, at, no_number);
            if (!to_micros(zigzag(raw), op->arg, (int64_t *)member))
                return fail(d, op, at, out_of_range);
            at = next;
            break;
        case OP_INT:
        case OP_LONG_TO_DOUBLE:
        case OP_INT_TO_DOUBLE:
            next = varint(at, end, &raw);
            if (!next)
                return fail(d, op, at, no_number);
            if (op->code != OP_LONG_TO_DOUBLE && raw > UINT32_MAX)
                return fail(d, op, at, out_of_range);
            if (op->code == OP_INT)
                *(int64_t *)member = zigzag(raw);
            else
                *(double *)member = (double)zigzag(raw);
            at = next;
            break;
        case OP_NO_TIME:
            *(int64_t *)member = PK_NO_TIME;
            break;

        case OP_DOUBLE:
            if (end - at < 8)
                return fail(d, op, at, cut);
            raw = get_le(at, 8);
            memcpy(member, &raw, 8);
            at += 8;
            break;
        case OP_FLOAT: {
            if (end - at < 4)
                return fail(d, op, at, cut);
            uint32_t bits = (uint32_t)get_le(at, 4);
            float real;
            memcpy(&real, &bits, 4);
            *(double *)member = (double)real;
            at += 4;
            break;
        }
        case OP_ENUM:
            next = varint(at, end, &raw);
            if (!next || raw & 1 || raw >> 1 >= op->count)
                return fail(d, op, at, no_symbol);
            memcpy(member, &d->plan->target[op->arg + (raw >> 1)], sizeof(uint32_t));
            at = next;
            break;
        case OP_PRESENT:
            *(bool *)member = true;
            break;

        case OP_IDENTIFIERS:
        case OP_ATTRIBUTES:
        case OP_SKIP_LIST:
            d->at = at;
            if (!(op->code == OP_SKIP_LIST     ? skip_list(d, op)
                  : op->code == OP_IDENTIFIERS ? read_identifier_list(d, op)
                                               : read_attribute_list(d, op)))
                return false;
            at = d->at;
            break;

        case OP_UNION:
            next = varint(at, end, &raw);
            if (!next || raw & 1 || raw >> 1 >= op->count)
                return fail(d, op, at, no_branch);
            at = next;
            op = d->plan->op + d->plan->target[op->arg + (raw >> 1)] - 1;
            break;
        case OP_JUMP:
            op = d->plan->op + op->arg - 1;
            break;
        case OP_WRONG_BRANCH:
            return fail(d, op, at, "a union's branch is of a type that is not readable here");
        case OP_CALL:
            d->at = at;
            if (!run(d, op->arg, base))
                return false;
            at = d->at;
            break;

        case OP_SKIP_BOOLEAN:
            if (at == end || *at > 1)
                return fail(d, op, at, "a boolean is neither 0 nor 1");
            at++;
            break;
        case OP_SKIP_INT:
        case OP_SKIP_LONG:
            next = varint(at, end, &raw);
            if (!next)
                return fail(d, op, at, no_number);
            if (op->code == OP_SKIP_INT && raw > UINT32_MAX)
                return fail(d, op, at, out_of_range);
            at = next;
            break;
        case OP_SKIP_ENUM:
            next = varint(at, end, &raw);
            if (!next || raw & 1 || raw >> 1 >= op->arg)
                return fail(d, op, at, no_symbol);
            at = next;
            break;
        case OP_SKIP_BYTES: {
            struct pk_str skipped;
            next = text(at, end, &skipped);
            if (!next)
                return fail(d, op, at, no_text);
            at = next;
            break;
        }
        case OP_SKIP_FIXED:
            if ((uint64_t)(end - at) < op->arg)
                return fail(d, op, at, cut);
            at += op->arg;
            break;
        }
    }
}

enum pk_status avro_plan_decode(const struct avro_plan *plan, struct pk_bytes body, struct pk_arena *arena,
                                struct event *ret_event, enum reject_reason *ret_reason, struct pk_err *err)
{
    static const uint8_t nothing[1];
    const uint8_t *start = body.ptr ? body.ptr : nothing;
    struct event event = plan->blank;
    struct decoder d = {.plan = plan, .start = start, .at = start, .end = start + body.len, .arena = arena,
                        .event = &event};
    bool decoded = run(&d, 0, (char *)&event);
    if (decoded && d.at != d.end)
        d.problem = "bytes are left over behind the last field";
    if (d.problem) {
        *ret_reason = d.too_large ? REJECT_TOO_LARGE : REJECT_UNDECODABLE;
        return pk_fail(err, PK_REJECT, "byte %zu of %zu%s%s: %s", (size_t)(d.at - d.start), body.len,
                       d.field ? ", field " : "", d.field ? d.field : "", d.problem);
    }
    *ret_event = event;
    return PK_OK;
}
