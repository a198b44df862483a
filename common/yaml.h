/* SPDX-License-Identifier: Apache-2.0 */
/* yaml.h - a YAML file as a tree whose every node knows its line, for rules and mapping files.
 *
 * A thin layer over libyaml: mappings, sequences, scalars; aliases and merge keys are refused (a rules
 * file is read by people), duplicate keys are errors. All memory lives in the given arena. Every error
 * reads "FILE:LINE: what, and what to do". */
#ifndef POLKU_YAML_H
#define POLKU_YAML_H

#include "pk.h"

enum yaml_kind { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };

struct yaml_node {
    enum yaml_kind kind;
    int line; /* from 1 */
    struct pk_str text;      /* scalar: its text, terminated */
    bool quoted;             /* scalar: written in quotes (then never null, bool or number) */
    size_t count;            /* items of a sequence, pairs of a mapping */
    struct yaml_node **item; /* sequence items, or mapping values */
    struct pk_str *key;      /* mapping keys */
    int *key_line;
};

struct yaml_file {
    const char *path;
    struct pk_arena *arena;
    struct yaml_node *root; /* NULL for an empty file */
};

enum pk_status yaml_load(const char *path, struct pk_arena *arena, struct yaml_file *ret_file, struct pk_err *err);
enum pk_status yaml_parse(const char *name, struct pk_str text, struct pk_arena *arena, struct yaml_file *ret_file,
                          struct pk_err *err);

/* "FILE:LINE: ..." with PK_REJECT. */
enum pk_status yaml_fail(const struct yaml_file *file, const struct yaml_node *node, struct pk_err *err,
                         const char *format, ...) __attribute__((format(printf, 4, 5)));

/* NULL if the mapping has no such key (or `map` is NULL). */
const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);

/* Refuses keys of a mapping that are not in the NULL-terminated list; names the nearest known one. */
enum pk_status yaml_only(const struct yaml_file *file, const struct yaml_node *map, const char *const known[],
                         struct pk_err *err);

/* Typed readers of a scalar; `node` NULL leaves *value as it is (the caller's default) and returns OK. */
enum pk_status yaml_text(const struct yaml_file *, const struct yaml_node *, struct pk_str *value, struct pk_err *);
enum pk_status yaml_bool(const struct yaml_file *, const struct yaml_node *, bool *value, struct pk_err *);
enum pk_status yaml_int(const struct yaml_file *, const struct yaml_node *, int64_t min, int64_t max, int64_t *value,
                        struct pk_err *);
/* "90d", "7 d", "24h", "30m", "5s", "1d12h"; microseconds; never negative. */
enum pk_status yaml_duration(const struct yaml_file *, const struct yaml_node *, int64_t *value_us, struct pk_err *);
/* ISO 8601 date or time with zone; a bare date is its UTC midnight. */
enum pk_status yaml_time(const struct yaml_file *, const struct yaml_node *, int64_t *value_us, struct pk_err *);

#endif
