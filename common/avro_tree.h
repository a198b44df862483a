/* SPDX-License-Identifier: Apache-2.0 */
/* avro_tree.h - an Avro schema as a tree, its Parsing Canonical Form and its fingerprint.
 *
 * Read from the schema's JSON, because avro-c's schema keeps neither defaults, aliases nor logical types,
 * and all three decide how bytes become an event. Names are resolved: a reference is a pointer to the
 * same node, so a recursive schema is a graph with cycles. */
#ifndef POLKU_AVRO_TREE_H
#define POLKU_AVRO_TREE_H

#include "pk.h"

struct json_t; /* jansson */

enum tree_kind {
    TREE_NULL,
    TREE_BOOLEAN,
    TREE_INT,
    TREE_LONG,
    TREE_FLOAT,
    TREE_DOUBLE,
    TREE_BYTES,
    TREE_STRING, /* the primitives, in the order of tree_kind_name() */
    TREE_RECORD,
    TREE_ENUM,
    TREE_FIXED,
    TREE_ARRAY,
    TREE_MAP,
    TREE_UNION,
};

struct tree_field {
    struct pk_str name;
    const struct tree_node *type;
    const struct json_t *fallback; /* its default, NULL if it has none; lives as long as the tree */
    size_t alias_count;
    struct pk_str *alias;
};

struct tree_node {
    enum tree_kind kind;
    uint32_t index;          /* from 0 to node_count - 1, for tables beside the tree */
    struct pk_str name;      /* record, enum, fixed: full name; otherwise absent */
    struct pk_str logical;   /* logicalType, absent if none */
    size_t count;            /* fields, symbols, branches */
    struct tree_field *field;           /* record */
    struct pk_str *symbol;              /* enum */
    struct pk_str fallback_symbol;      /* enum: its default, absent if none */
    const struct tree_node **branch;    /* union; array and map: branch[0] is the items' type */
    uint32_t size;                      /* fixed: bytes */
};

struct avro_tree {
    struct pk_arena arena;
    struct json_t *json;
    const struct tree_node *root;
    uint32_t node_count;
    struct pk_str canonical; /* Parsing Canonical Form */
    uint64_t fingerprint;    /* CRC-64-AVRO of it */
};

/* PK_REJECT with a sentence that says where the schema is wrong. */
enum pk_status avro_tree_parse(struct pk_str json, struct avro_tree *ret_tree, struct pk_err *err);
void avro_tree_done(struct avro_tree *tree);

const char *tree_kind_name(enum tree_kind kind);
struct pk_str tree_short_name(struct pk_str full_name); /* without the namespace */
uint64_t avro_fingerprint(const void *bytes, size_t len); /* CRC-64-AVRO (Rabin) */

#endif
