/* SPDX-License-Identifier: Apache-2.0 */
/* schema_set.h - which plan decodes a frame: schemas by Confluent id and by fingerprint.
 *
 * Today the schemas are files. Every *.avsc of a folder and of its subfolder `versions` is known by its
 * fingerprint; a file of ids (`1: interaction.avsc`) gives them Confluent ids. The schema that is built
 * into the program is always known by its fingerprint. Not thread-safe: a set may learn while it looks up. */
#ifndef POLKU_SCHEMA_SET_H
#define POLKU_SCHEMA_SET_H

#include "avro_plan.h"
#include "wire.h"

struct schema_set;

/* `folder` NULL: the built-in schema only, under its fingerprint and the id 1. `ids_path` NULL: the
 * file ids.yaml in the folder, if it is there. PK_REJECT with a sentence that names the file, and the
 * field where a schema cannot be read as an event. */
enum pk_status schema_set_open(const char *folder, const char *ids_path, struct schema_set **ret_set,
                               struct pk_err *err);
void schema_set_close(struct schema_set *set); /* NULL is fine */

/* PK_REJECT if no such schema is known; PK_RETRY if that cannot be said now (a registry is away).
 * The plan lives as long as the set. */
enum pk_status schema_set_find(struct schema_set *set, const struct wire_frame *frame,
                               const struct avro_plan **ret_plan, struct pk_err *err);

#endif
