/* SPDX-License-Identifier: Apache-2.0 */
/* mapping.h - a mapping file (YAML): how the rows of a CSV file become events. README.md is its reference.
 *
 * A mapping is loaded once, without looking at any input; a wrong key, template, condition, zone or
 * constant is an error that names FILE:LINE. A reader then opens one CSV file with it: columns are found
 * by name, lookups loaded, and each row gives the events whose conditions hold. A row is all or nothing: if
 * one of its events cannot be made, none is. Not thread-safe; one reader per mapping at a time. */
#ifndef POLKU_MAPPING_H
#define POLKU_MAPPING_H

#include "event.h"
#include "input.h"

struct mapping;
struct mapping_reader;

/* Memory but for loaded lookups lives in `arena`. */
enum pk_status mapping_load(const char *path, struct pk_arena *arena, struct mapping **ret_mapping,
                            struct pk_err *err);
enum pk_status mapping_parse(const char *name, struct pk_str text, struct pk_arena *arena,
                             struct mapping **ret_mapping, struct pk_err *err);
void mapping_done(struct mapping *mapping);
struct pk_str mapping_file(const struct mapping *mapping); /* `file:`, the input it is for; null if not said */

struct mapped_row {
    uint64_t line;
    struct pk_str raw;
    size_t count;
    struct event *event;
};

/* `path` "-" is standard input. Lookups are looked for in the folder of the input. With `sort:` the
 * whole file is read now. */
enum pk_status mapping_open(struct mapping *mapping, const char *path, struct mapping_reader **ret_reader,
                            struct pk_err *err);
/* Events live in `arena` and in the reader until the next call. INPUT_BROKEN: line and raw say which row,
 * the sentence names the event's template and field and quotes no value. */
enum input_result mapping_next(struct mapping_reader *reader, struct pk_arena *arena, struct mapped_row *ret_row,
                               struct pk_err *err);
void mapping_close(struct mapping_reader *reader); /* NULL is fine */

#endif
