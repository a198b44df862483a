/* SPDX-License-Identifier: Apache-2.0 */
/* registry.h - a schema registry over HTTP: Confluent's API, as Confluent, Karapace, Apicurio and Redpanda speak it.
 *
 * The only place that meets libcurl. Each call asks and waits, at most `timeout_us` at each address; addresses are tried in
 * turn, beginning with the one that answered last. What the registry said is PK_OK or PK_REJECT. PK_RETRY: it said
 * nothing that counts (no connection, time over, 401, 403, 404 from something that is no registry, 429, 5xx, an answer that cannot be
 * read), so nothing about a schema follows.
 *
 * Bounds: TLS 1.2 at least, certificate and name always checked; at most three redirects, never from https to http, and
 * the password goes to no other host; an answer of more than 8 MiB is not taken. Not thread-safe. */
#ifndef POLKU_REGISTRY_H
#define POLKU_REGISTRY_H

#include "pulse.h"

struct registry;

struct registry_config {       /* texts are borrowed as long as the registry is open; NULL or "" = none */
    const char *urls;          /* "https://one:8081,https://two:8081/base" */
    const char *user, *password;
    const char *ca;            /* PEM file of the authorities to trust; NULL: the system's */
    const char *certificate, *key; /* PEM files, for a registry that asks its clients for one */
    int64_t timeout_us;        /* of one request at one address, connecting included */
    const char *cache;         /* folder that keeps schemas by id over restarts; made if need be */
};

struct registry_counters {
    uint64_t answered, failed; /* requests; failed: PK_RETRY */
};

/* Connects to nobody. PK_REJECT with a sentence: a URL, a file or the folder cannot be used. */
enum pk_status registry_open(const struct registry_config *config, struct registry **ret_registry, struct pk_err *err);
void registry_close(struct registry *registry); /* NULL is fine */
/* From now on shows there what it waits for; NULL = nowhere. */
void registry_watch(struct registry *registry, struct pulse *pulse);
struct registry_counters registry_counters(const struct registry *registry);

/* Appends the schema's JSON: from the cache, else from the registry. Ids never change their meaning, so what the cache
 * holds is not asked for again. PK_REJECT: there is no such id (*ret_unknown), or its schema is none that we read. */
enum pk_status registry_schema(struct registry *registry, uint32_t id, struct pk_buf *ret_schema, bool *ret_unknown,
                               struct pk_err *err);
/* The cached copy turned out to be broken: ask anew next time. */
void registry_forget(struct registry *registry, uint32_t id);

/* The id under which the subject has exactly this schema. PK_REJECT with *ret_unknown: it has it not. */
enum pk_status registry_look_up(struct registry *registry, const char *subject, struct pk_str schema, uint32_t *ret_id,
                                bool *ret_unknown, struct pk_err *err);
/* Makes it a version of the subject, or finds that it is one. PK_REJECT: refused; the sentence has the registry's reasons. */
enum pk_status registry_register(struct registry *registry, const char *subject, struct pk_str schema, uint32_t *ret_id,
                                 struct pk_err *err);
/* Would it be taken? PK_OK also if the subject has no version yet. PK_REJECT with the reasons. Changes nothing. */
enum pk_status registry_check(struct registry *registry, const char *subject, struct pk_str schema, struct pk_err *err);

#endif
