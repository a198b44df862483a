/* SPDX-License-Identifier: Apache-2.0 */
/* rules_inner.h - what the parts of the rules reader share; rules.h is what others see.
 *
 * The first error stays in `status`, and every later read does nothing: so reading needs no nest of checks. A reader whose
 * node is NULL (the key is absent) leaves the value as it is: the caller's default. */
#ifndef POLKU_RULES_INNER_H
#define POLKU_RULES_INNER_H

#include "rules.h"
#include "yaml.h"

struct reader {
    struct yaml_file file;
    struct symbols *symbols;
    struct pk_arena *arena;
    struct pk_err *err;
    enum pk_status status;
    PK_VEC(const struct yaml_node *) types; /* every type that a match names, for the vocabulary */
};

/* Does nothing after the first error. */
#define FAIL(reader, node, ...)                                                                                      \
    ((reader)->status == PK_OK ? (void)((reader)->status = yaml_fail(&(reader)->file, node, (reader)->err, __VA_ARGS__)) \
                               : (void)0)

/* ---- scalars ---- */

void read_keys(struct reader *reader, const struct yaml_node *map, const char *const known[]); /* refuses others */
void read_text(struct reader *reader, const struct yaml_node *node, struct pk_str *value);
void read_bool(struct reader *reader, const struct yaml_node *node, bool *value);
void read_int(struct reader *reader, const struct yaml_node *node, int64_t min, int64_t max, int64_t *value);
void read_duration(struct reader *reader, const struct yaml_node *node, int64_t *value_us); /* at most a century */
void read_time(struct reader *reader, const struct yaml_node *node, int64_t *value_us);
/* One of `count` names; `what` is what they are, for the error. */
void read_choice(struct reader *reader, const struct yaml_node *node, const char *what, const char *const name[],
                 size_t count, int *ret_index);
/* a-z, 0-9, and behind the first also '.', '_' and '-'. */
bool is_name(struct pk_str text);
sym_t read_name(struct reader *reader, const struct yaml_node *node, const char *what);

/* ---- lists ---- */

/* The entries of a list of values, or one value without the brackets: `one` is where that is put. An empty list is an error. */
const struct yaml_node *const *read_values(struct reader *reader, const struct yaml_node *node,
                                           const struct yaml_node **one, size_t *ret_count);
/* How many entries a list has, each of which is a node->item; 0 after an error. */
size_t read_items(struct reader *reader, const struct yaml_node *node, const char *what);
struct rules_texts read_names(struct reader *reader, const struct yaml_node *node, const char *what);
struct rules_match_list read_matches(struct reader *reader, const struct yaml_node *node, const char *what);

/* ---- sections ---- */

void read_identity(struct reader *reader, const struct yaml_node *node, struct rules *rules);
void read_calendars(struct reader *reader, const struct yaml_node *node, struct rules *rules);
void read_definitions(struct reader *reader, const struct yaml_node *node, struct rules *rules);
struct pk_hash rules_hash_of_hashing(const struct rules *rules, struct pk_arena *arena);

#endif
