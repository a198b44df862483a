/* SPDX-License-Identifier: Apache-2.0 */
#include "store_retain.h"
#include "store_inner.h"

/* One statement, answered. */
static enum pk_status ask(struct store *store, enum statement statement, PGresult **ret_result, struct pk_err *err)
{
    store_send(store, statement);
    return store_collect(store, ret_result, err);
}

enum pk_status store_retained(struct store *store, int64_t *ret_before_us, struct pk_err *err)
{
    enum pk_status status = store_ready(store, err);
    PGresult *result;
    wire_reset(&store->params);
    if (status != PK_OK || (status = ask(store, STATEMENT_RETAINED, &result, err)) != PK_OK)
        return status;
    *ret_before_us = wire_get_time(result, 0, 0);
    PQclear(result);
    return PK_OK;
}

static enum pk_status ask_free(struct store *store, enum statement statement, const char *otherwise, struct pk_err *err)
{
    enum pk_status status = store_ready(store, err);
    PGresult *result;
    wire_reset(&store->params);
    if (status != PK_OK || (status = ask(store, statement, &result, err)) != PK_OK)
        return status;
    bool got = wire_get_bool(result, 0, 0);
    PQclear(result);
    return got ? PK_OK : pk_fail(err, PK_REJECT, "%s", otherwise);
}

enum pk_status store_retain_lock(struct store *store, struct pk_err *err)
{
    return ask_free(store, STATEMENT_RETAIN_LOCK, "another retain of this database is at work: let it come to its end", err);
}

enum pk_status store_retain_free(struct store *store, struct pk_err *err)
{
    return ask_free(store, STATEMENT_RETAIN_FREE, "a rebuild, verify or migration of this database is at work: let it come to its end, "
                    "then run this again", err);
}

static void decide(struct store *store, int64_t before_us, struct pk_str by, struct pk_str note)
{
    wire_reset(&store->params);
    wire_time(&store->params, before_us);
    struct wire_param *words = wire_array(&store->params, WIRE_TEXT);
    wire_add_text(words, by);
    wire_add_text(words, note);
    store_send(store, STATEMENT_RETAIN);
}

enum pk_status store_retain_decide(struct store *store, int64_t before_us, struct pk_str by, struct pk_str note, struct pk_err *err)
{
    PGresult *result;
    enum pk_status status = store_begin(store, STORE_ALONE, NULL, 0, NULL, 0, err);
    if (status == PK_OK && (status = store_retain_free(store, err)) != PK_OK)
        store_rollback(store);
    if (status != PK_OK)
        return status;
    decide(store, before_us, by, note);
    if ((status = store_collect(store, &result, err)) != PK_OK)
        return status;
    bool later = PQgetisnull(result, 0, 0);
    PQclear(result);
    if (later) {
        store_rollback(store);
        return pk_fail(err, PK_REJECT, "a retention of a later month is decided already: what is before it is refused for good");
    }
    store_send_plain(store, STATEMENT_COMMIT);
    status = store_collect(store, NULL, err);
    store->tx = TX_NONE;
    return status;
}

enum pk_status store_retain_customers(struct store *store, int64_t before_us, struct pk_hash after, size_t limit,
                                      struct pk_arena *arena, struct retain_customer **ret, size_t *ret_count, bool *ret_more,
                                      struct pk_err *err)
{
    enum pk_status status = store_ready(store, err);
    PGresult *result;
    if (status != PK_OK)
        return status;
    wire_reset(&store->params);
    wire_uuid(&store->params, after);
    wire_time(&store->params, before_us);
    wire_int8(&store->params, (int64_t)limit);
    if ((status = ask(store, STATEMENT_RETAIN_CUSTOMERS, &result, err)) != PK_OK)
        return status;
    size_t count = (size_t)PQntuples(result);
    uint64_t events = 0;
    *ret = PK_NEW_ARRAY(arena, struct retain_customer, count + 1);
    for (size_t i = 0; i < count; i++) {
        (*ret)[i] = (struct retain_customer){wire_get_hash(result, (int)i, 0), (uint64_t)wire_get_int8(result, (int)i, 1)};
        events += (*ret)[i].events;
    }
    *ret_more = events >= limit;
    *ret_count = *ret_more && count > 1 ? count - 1 : count; /* the last one may have more */
    PQclear(result);
    return PK_OK;
}

enum pk_status store_retain_nameless(struct store *store, int64_t before_us, const struct fact *after, size_t limit,
                                     struct pk_arena *arena, struct store_facts *ret, struct pk_err *err)
{
    enum pk_status status = store_ready(store, err);
    PGresult *result;
    if (status != PK_OK)
        return status;
    wire_reset(&store->params);
    wire_time(&store->params, after->at_us);
    wire_time(&store->params, before_us);
    wire_uuid(&store->params, after->event_hash);
    wire_int8(&store->params, (int64_t)limit);
    if ((status = ask(store, STATEMENT_RETAIN_NAMELESS, &result, err)) != PK_OK)
        return status;
    size_t count = (size_t)PQntuples(result);
    *ret = (struct store_facts){PK_NEW_ARRAY(arena, struct fact, count + 1), count};
    for (size_t i = 0; i < count; i++) {
        ret->fact[i].at_us = wire_get_time(result, (int)i, 0);
        ret->fact[i].event_hash = wire_get_hash(result, (int)i, 1);
    }
    PQclear(result);
    return PK_OK;
}

enum pk_status store_retain_finish(struct store *store, int64_t before_us, uint64_t kept, struct pk_err *err)
{
    enum pk_status status = store_ready(store, err);
    if (status != PK_OK)
        return status;
    wire_reset(&store->params);
    wire_time(&store->params, before_us);
    wire_int8(&store->params, (int64_t)kept);
    return ask(store, STATEMENT_RETAIN_FINISH, NULL, err);
}

enum pk_status store_retain_drop_months(struct store *store, struct pk_arena *arena, struct pk_str *ret_text, struct pk_err *err)
{
    enum pk_status status = store_ready(store, err);
    PGresult *result;
    wire_reset(&store->params);
    if (status != PK_OK || (status = ask(store, STATEMENT_DROP_MONTHS, &result, err)) != PK_OK)
        return status;
    *ret_text = pk_arena_str(arena, wire_get_text(result, 0, 0));
    PQclear(result);
    return PK_OK;
}

void store_save_sealed(struct store *store, const struct changes *changes)
{
    wire_reset(&store->params);
    wire_int8(&store->params, (int64_t)changes->sealed.events);
    wire_int8(&store->params, (int64_t)changes->sealed.journeys);
    wire_int8(&store->params, (int64_t)changes->sealed.obligations);
    store_send(store, STATEMENT_RETAIN_COUNT);
}
