/* SPDX-License-Identifier: Apache-2.0 */
/* schema_set.h - which plan decodes a frame: schemas by Confluent id and by fingerprint.
 *
 * Every *.avsc of a folder and of its subfolder `versions` is known by its fingerprint; a file of ids
 * (`1: interaction.avsc`) gives them Confluent ids. The schema that is built into the program is always known by its
 * fingerprint. An id that no file gives is asked of a registry, if there is one; what it says is remembered. Schemas of
 * the registry have no fingerprint here: which record can be read must not depend on which came before it.
 *
 * Not thread-safe: a set learns while it looks up. */
#ifndef POLKU_SCHEMA_SET_H
#define POLKU_SCHEMA_SET_H

#include "avro_plan.h"
#include "registry.h"
#include "wire.h"

struct schema_set;

/* `folder` NULL: the built-in schema only, under its fingerprint and the id 1. `ids_path` NULL: the
 * file ids.yaml in the folder, if it is there. PK_REJECT with a sentence that names the file, and the
 * field where a schema cannot be read as an event. */
enum pk_status schema_set_open(const char *folder, const char *ids_path, struct schema_set **ret_set,
                               struct pk_err *err);
void schema_set_close(struct schema_set *set); /* NULL is fine */

/* From now on ids come from here too; without a folder, from here only. The set owns the registry then.
 *
 * An id that the registry does not know may have been registered a moment ago, at another node of it: it is PK_RETRY until
 * it was asked for in vain for `grace_us`, then PK_REJECT. A flood of invented ids must not become a flood of such waits: they
 * get at most six graces at once, and a tenth of the time that passes; beyond that the registry's word counts at once.
 * What it did not know is asked again after half a minute. */
void schema_set_use_registry(struct schema_set *set, struct registry *registry, int64_t grace_us);

/* What is waited for is shown there (registry_watch); how often the registry was asked. Without a registry: nothing, zeros. */
void schema_set_watch(struct schema_set *set, struct pulse *pulse);
struct registry_counters schema_set_counters(const struct schema_set *set);

/* PK_REJECT if no such schema is known, or if events cannot be read from it; PK_RETRY if that cannot be said now (the
 * registry is away, or the id is new). The plan lives as long as the set. */
enum pk_status schema_set_find(struct schema_set *set, const struct wire_frame *frame,
                               const struct avro_plan **ret_plan, struct pk_err *err);

#endif
