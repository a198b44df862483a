/* SPDX-License-Identifier: Apache-2.0 */
/* Reading: begin a transaction, lock cells, load rows into the caller's arena. */
#include "store_inner.h"

/* ---- transactions ---- */

static void send_cells(struct store *store, enum statement statement, const int64_t *cell, size_t cells)
{
    wire_reset(&store->params);
    struct wire_param *param = wire_array(&store->params, WIRE_INT8);
    for (size_t i = 0; i < cells; i++)
        wire_add_int8(param, cell[i]);
    store_send(store, statement);
}

enum pk_status store_begin(struct store *store, enum store_mode mode, const struct store_span *span, size_t spans,
                           const int64_t *cell, size_t cells, struct pk_err *err)
{
    enum pk_status status = store_ready(store, err);
    if (status != PK_OK)
        return status;
    if (store->tx != TX_NONE)
        return pk_fail(err, PK_STOP, "a transaction is open already (this is a defect)");
    if (mode == STORE_SNAPSHOT) {
        store->tx = TX_READ_WANTED;
        return PK_OK;
    }
    store_send_plain(store, STATEMENT_BEGIN_WRITE);
    store_add_fence(store, span, spans, mode == STORE_ALONE);
    if (cells > 0)
        send_cells(store, STATEMENT_LOCK_CELLS, cell, cells);
    if ((status = store_collect(store, NULL, err)) == PK_OK)
        store->tx = TX_WRITE;
    return status;
}

enum pk_status store_lock_more(struct store *store, const int64_t *cell, size_t cells, struct pk_err *err)
{
    enum pk_status status = store_ready(store, err);
    if (status != PK_OK)
        return status;
    if (store->tx != TX_WRITE)
        return pk_fail(err, PK_STOP, "cells are locked outside a transaction that writes (this is a defect)");
    if (cells == 0)
        return PK_OK;
    PGresult *result;
    send_cells(store, STATEMENT_LOCK_MORE, cell, cells);
    if ((status = store_collect(store, &result, err)) != PK_OK)
        return status;
    size_t locked = (size_t)PQntuples(result);
    PQclear(result);
    if (locked == cells)
        return PK_OK;
    store_rollback(store);
    return pk_fail(err, PK_STALE, "%zu of %zu further guard cells are locked by others or gone", cells - locked, cells);
}

enum pk_status store_end_read(struct store *store, struct pk_err *err)
{
    enum pk_status status = store_ready(store, err);
    if (status != PK_OK)
        return status;
    enum store_tx tx = store->tx;
    store->tx = TX_NONE;
    if (tx != TX_READ)
        return PK_OK;
    store_send_plain(store, STATEMENT_COMMIT);
    return store_collect(store, NULL, err);
}

/* Begins the round trip of a load. */
static enum pk_status begin_load(struct store *store, struct pk_err *err)
{
    enum pk_status status = store_ready(store, err);
    if (status != PK_OK)
        return status;
    if (store->tx == TX_NONE)
        return pk_fail(err, PK_STOP, "a load outside a transaction (this is a defect)");
    if (store->tx == TX_READ_WANTED)
        store_send_plain(store, STATEMENT_BEGIN_READ);
    return PK_OK;
}

/* Ends it; `count` results of the loads. */
static enum pk_status end_load(struct store *store, PGresult **ret_result, size_t count, struct pk_err *err)
{
    PGresult *result[5];
    size_t skip = store->tx == TX_READ_WANTED;
    enum pk_status status = store_collect(store, result, err);
    if (status != PK_OK)
        return status;
    if (skip) {
        PQclear(result[0]);
        store->tx = TX_READ;
    }
    memcpy(ret_result, result + skip, count * sizeof *ret_result);
    return PK_OK;
}

static void clear_results(PGresult **result, size_t count)
{
    for (size_t i = 0; i < count; i++)
        PQclear(result[i]);
}

static void send_hashes(struct store *store, enum statement statement, const struct pk_hash *hash, size_t count)
{
    wire_reset(&store->params);
    struct wire_param *param = wire_array(&store->params, WIRE_UUID);
    for (size_t i = 0; i < count; i++)
        wire_add_uuid(param, hash[i]);
    store_send(store, statement);
}

/* ---- rows ---- */

static void read_fact(struct store *store, struct pk_arena *arena, const PGresult *result, int row, struct fact *fact)
{
    int column = 0;
#define X(kind, name, member) fact->member = READ_##kind(store, arena, result, row, column), column++;
#define P(kind, name, member) X(kind, name, member)
#define W(kind, name, member)
#include "store_interaction.def"
    fact->has_promise = !pk_hash_zero(fact->promise.id);
    fact->stored = true;
    fact->stored_journey = wire_get_hash(result, row, column);
}

static struct sym_list read_symbols(struct store *store, struct pk_arena *arena, const PGresult *result, int row, int column)
{
    struct wire_list list = wire_get_list(result, row, column);
    struct sym_list symbols = {PK_NEW_ARRAY(arena, sym_t, list.count), list.count, list.count};
    for (uint32_t i = 0; i < list.count; i++)
        symbols.sym[i] = store_sym(store, (int32_t)pk_get_be32(list.ptr + 8 * (size_t)i + 4));
    return symbols;
}

static void read_journey(struct store *store, struct pk_arena *arena, const PGresult *result, int row,
                         struct journey *journey)
{
    int column = 0;
#define X(kind, name, member) journey->member = READ_##kind(store, arena, result, row, column), column++;
#define L(name, member) journey->member = read_symbols(store, arena, result, row, column), column++;
#include "store_journey.def"
}

static void read_obligation(struct store *store, struct pk_arena *arena, const PGresult *result, int row,
                            struct obligation *obligation)
{
    (void)arena;
    int column = 0;
#define X(kind, name, member) obligation->member = READ_##kind(store, arena, result, row, column), column++;
#include "store_obligation.def"
}

static struct store_facts read_facts(struct store *store, struct pk_arena *arena, const PGresult *result)
{
    size_t count = (size_t)PQntuples(result);
    struct store_facts facts = {PK_NEW_ARRAY(arena, struct fact, count), count};
    for (size_t i = 0; i < count; i++)
        read_fact(store, arena, result, (int)i, &facts.fact[i]);
    return facts;
}

static struct store_journeys read_journeys(struct store *store, struct pk_arena *arena, const PGresult *result)
{
    size_t count = (size_t)PQntuples(result);
    struct store_journeys journeys = {PK_NEW_ARRAY(arena, struct journey, count), count};
    for (size_t i = 0; i < count; i++)
        read_journey(store, arena, result, (int)i, &journeys.journey[i]);
    return journeys;
}

static struct store_obligations read_obligations(struct store *store, struct pk_arena *arena, const PGresult *result)
{
    size_t count = (size_t)PQntuples(result);
    struct store_obligations obligations = {PK_NEW_ARRAY(arena, struct obligation, count), count};
    for (size_t i = 0; i < count; i++)
        read_obligation(store, arena, result, (int)i, &obligations.obligation[i]);
    return obligations;
}

/* After rows were read: PK_OK if every id had its symbol. Else the dictionary is loaded again and *ret_again says
 * to read the rows once more; if they still hold unknown ids, somebody removed rows of the dictionary. */
static enum pk_status check_symbols(struct store *store, bool *again, struct pk_err *err)
{
    if (!store->unknown_id) {
        *again = false;
        return PK_OK;
    }
    store->unknown_id = false;
    if (*again) {
        store_rollback(store);
        return pk_fail(err, PK_STOP, "a row holds an id that polku.dictionary lacks: somebody changed the tables");
    }
    *again = true;
    return store_read_dictionary(store, err);
}

/* ---- loads ---- */

enum pk_status store_load_keys(struct store *store, const struct pk_hash *hash, size_t count, struct pk_arena *arena,
                               struct store_keys *ret, struct pk_err *err)
{
    enum pk_status status = begin_load(store, err);
    if (status != PK_OK)
        return status;
    PGresult *result;
    send_hashes(store, STATEMENT_LOAD_KEYS, hash, count);
    if ((status = end_load(store, &result, 1, err)) != PK_OK)
        return status;

    size_t rows = (size_t)PQntuples(result);
    struct store_keys keys = {PK_NEW_ARRAY(arena, struct store_key, rows), rows};
    for (size_t i = 0; i < rows; i++) {
        int row = (int)i;
        struct wire_list also = wire_get_list(result, row, 5);
        struct pk_hash *customer = also.count ? PK_NEW_ARRAY(arena, struct pk_hash, also.count) : NULL;
        for (uint32_t k = 0; k < also.count; k++)
            memcpy(customer[k].byte, also.ptr + 20 * (size_t)k + 4, 16);
        keys.key[i] = (struct store_key){
            .hash = wire_get_hash(result, row, 0),
            .kind = (enum key_kind)wire_get_int2(result, row, 1),
            .cell = wire_get_int8(result, row, 2),
            .version = (uint64_t)wire_get_int8(result, row, 3),
            .owner = wire_get_hash(result, row, 4),
            .also = customer,
            .also_count = also.count,
        };
    }
    PQclear(result);
    *ret = keys;
    return PK_OK;
}

enum pk_status store_load_customers(struct store *store, const struct pk_hash *customer, size_t count,
                                    struct pk_arena *arena, struct store_facts *ret_facts,
                                    struct store_journeys *ret_journeys, struct store_obligations *ret_obligations,
                                    struct pk_err *err)
{
    enum pk_status status = begin_load(store, err);
    if (status != PK_OK)
        return status;
    PGresult *result[3];
    send_hashes(store, STATEMENT_LOAD_FACTS, customer, count);
    send_hashes(store, STATEMENT_LOAD_JOURNEYS, customer, count);
    send_hashes(store, STATEMENT_LOAD_OBLIGATIONS, customer, count);
    if ((status = end_load(store, result, 3, err)) != PK_OK)
        return status;

    struct store_facts facts;
    struct store_journeys journeys;
    struct store_obligations obligations;
    bool again = false;
    do {
        facts = read_facts(store, arena, result[0]);
        journeys = read_journeys(store, arena, result[1]);
        obligations = read_obligations(store, arena, result[2]);
        status = check_symbols(store, &again, err);
    } while (status == PK_OK && again);
    clear_results(result, 3);
    if (status == PK_OK) {
        *ret_facts = facts;
        *ret_journeys = journeys;
        *ret_obligations = obligations;
    }
    return status;
}

static enum pk_status load_facts(struct store *store, struct pk_arena *arena, struct store_facts *ret, struct pk_err *err)
{
    PGresult *result;
    enum pk_status status = end_load(store, &result, 1, err);
    if (status != PK_OK)
        return status;
    struct store_facts facts;
    bool again = false;
    do {
        facts = read_facts(store, arena, result);
        status = check_symbols(store, &again, err);
    } while (status == PK_OK && again);
    PQclear(result);
    if (status == PK_OK)
        *ret = facts;
    return status;
}

enum pk_status store_load_nameless(struct store *store, const struct pk_hash *relates, size_t count,
                                   struct pk_arena *arena, struct store_facts *ret, struct pk_err *err)
{
    enum pk_status status = begin_load(store, err);
    if (status != PK_OK)
        return status;
    send_hashes(store, STATEMENT_LOAD_NAMELESS, relates, count);
    return load_facts(store, arena, ret, err);
}

enum pk_status store_find_events(struct store *store, struct fact *const *fact, size_t count, struct pk_arena *arena,
                                 struct store_facts *ret, struct pk_err *err)
{
    if (count == 0) {
        *ret = (struct store_facts){0};
        return PK_OK;
    }
    enum pk_status status = begin_load(store, err);
    if (status != PK_OK)
        return status;
    wire_reset(&store->params);
    struct wire_param *at = wire_array(&store->params, WIRE_TIMESTAMPTZ), *hash = wire_array(&store->params, WIRE_UUID);
    for (size_t i = 0; i < count; i++) {
        wire_add_time(at, fact[i]->at_us);
        wire_add_uuid(hash, fact[i]->event_hash);
    }
    store_send(store, STATEMENT_FIND_FACTS);
    return load_facts(store, arena, ret, err);
}
