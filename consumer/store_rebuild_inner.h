/* SPDX-License-Identifier: Apache-2.0 */
/* store_rebuild_inner.h - what store_rebuild.c and store_rebuild_kafka.c share. Only for them. */
#ifndef POLKU_STORE_REBUILD_INNER_H
#define POLKU_STORE_REBUILD_INNER_H

#include "store_inner.h"

/* Runs one statement with the parameters in store->params; `what` begins the text of an error; `ret_result` may be NULL. */
enum pk_status store_rebuild_ask(struct store *store, const char *what, const char *sql, PGresult **ret_result,
                                 struct pk_err *err);
enum pk_status store_rebuild_run(struct store *store, const char *what, const char *sql, struct pk_err *err);

/* Records before it are no events; those that are stored are taken from the tables. */
#define REBUILD_RETAINED "i.occurred_at < coalesce((SELECT max(r.before) FROM polku.retention r), '-infinity')"
/* Events of polku.interaction i that lie before what Kafka holds, and were not met again in it. */
#define REBUILD_OLDER                                                                                                 \
    "NOT EXISTS (SELECT FROM " REBUILD_SCHEMA ".kafka_span s WHERE s.topic_id = i.kafka_topic_id"                     \
    " AND s.partition = i.kafka_partition AND i.kafka_offset >= s.first_offset)"
#define REBUILD_OLDER_ALONE                                                                                           \
    "(" REBUILD_RETAINED " OR " REBUILD_OLDER " AND NOT EXISTS (SELECT FROM " REBUILD_SCHEMA ".copy c"                \
    " WHERE c.occurred_at = i.occurred_at AND c.event_hash = i.event_hash))"

#endif
