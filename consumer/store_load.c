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
enum pk_status store_begin_load(struct store *store, struct pk_err *err)
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
enum pk_status store_end_load(struct store *store, PGresult **ret_result, size_t count, struct pk_err *err)
{
    PGresult *result[6];
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

static struct pk_hash *read_hashes(struct pk_arena *arena, const PGresult *result, int row, int column, uint32_t *ret_count)
{
    struct wire_list list = wire_get_list(result, row, column);
    struct pk_hash *hash = list.count ? PK_NEW_ARRAY(arena, struct pk_hash, list.count) : NULL;
    for (uint32_t i = 0; i < list.count; i++)
        memcpy(hash[i].byte, list.ptr + 20 * (size_t)i + 4, 16);
    *ret_count = list.count;
    return hash;
}

static void read_identifiers(struct store *store, struct pk_arena *arena, const PGresult *result, int row, int column,
                             struct fact *fact)
{
    struct wire_list hash = wire_get_list(result, row, column), name_space = wire_get_list(result, row, column + 1);
    uint32_t count = PK_MIN(PK_MIN(hash.count, name_space.count), (uint32_t)FACT_MAX_IDENTIFIERS);
    struct fact_identifier *identifier = count ? PK_NEW_ARRAY(arena, struct fact_identifier, count) : NULL;
    for (uint32_t i = 0; i < count; i++) {
        memcpy(identifier[i].hash.byte, hash.ptr + 20 * (size_t)i + 4, 16);
        identifier[i].name_space = store_sym(store, (int32_t)pk_get_be32(name_space.ptr + 8 * (size_t)i + 4));
    }
    fact->identifier = identifier;
    fact->identifier_count = (uint8_t)count;
}

static void read_fact(struct store *store, struct pk_arena *arena, const PGresult *result, int row, struct fact *fact)
{
    int column = 0;
#define X(kind, name, member) fact->member = READ_##kind(store, arena, result, row, column), column++;
#define P(kind, name, member) X(kind, name, member)
#define R(kind, name, member) X(kind, name, member)
#define W(kind, name, member)
#include "store_interaction.def"
    fact->has_promise = !pk_hash_zero(fact->promise.id);
    fact->stored = true;
    fact->stored_journey = wire_get_hash(result, row, column);
    fact->stored_customer = fact->customer;
    fact->stored_kind = fact->customer_kind;
    fact->stored_sighted = fact->sighted;
    read_identifiers(store, arena, result, row, column + 1, fact);
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

/* From "1>2>4", or of more steps than it names "1>2>4>...". */
static void read_path(struct pk_str text, uint8_t path[COURSE_PATH])
{
    size_t step = 0;
    for (size_t i = 0; i < text.len && step < COURSE_PATH; i++)
        if (text.ptr[i] >= '0' && text.ptr[i] <= '9')
            path[step] = (uint8_t)(path[step] * 10 + (text.ptr[i] - '0'));
        else if (text.ptr[i] == '>')
            step++;
}

/* An array with nulls. */
static void read_times(const PGresult *result, int row, int column, int64_t ret[RULES_MAX_MILESTONES])
{
    struct wire_list list = wire_get_list(result, row, column);
    const uint8_t *p = list.ptr;
    for (uint32_t i = 0; i < RULES_MAX_MILESTONES; i++) {
        ret[i] = PK_NO_TIME;
        if (i >= list.count)
            continue;
        bool null = pk_get_be32(p) == UINT32_MAX;
        if (!null)
            ret[i] = (int64_t)pk_get_be64(p + 4) + WIRE_EPOCH_US;
        p += null ? 4 : 12;
    }
}

/* In the order of LOAD_COURSES. */
static void read_course(struct store *store, const PGresult *result, int row, uint32_t definition, struct course *course)
{
    *course = (struct course){
        .definition = definition,
        .start_at_us = wire_get_time(result, row, 3),
        .goal_at_us = wire_get_time(result, row, 4),
        .steps = (uint32_t)wire_get_int4(result, row, 5),
        .violations = (uint32_t)wire_get_int4(result, row, 6),
        .furthest = (uint32_t)wire_get_int4(result, row, 7),
    };
    read_path(symbol_text(store->symbols, store_sym(store, wire_get_int4(result, row, 2))), course->path);
    read_times(result, row, 8, course->reached_at_us);
    struct wire_list failures = wire_get_list(result, row, 9);
    for (uint32_t i = 0; i < PK_MIN(failures.count, (uint32_t)RULES_MAX_MILESTONES); i++)
        course->failures[i] = pk_get_be32(failures.ptr + 8 * (size_t)i + 4);
}

/* Index in the rules; false if they lack it, which the rules of the rows do not. */
static bool find_definition(const struct store *store, sym_t id, uint32_t *ret)
{
    for (size_t i = 0; store->rules && id && i < store->rules->definition_count; i++)
        if (store->rules->definition[i].id == id) {
            *ret = (uint32_t)i;
            return true;
        }
    return false;
}

/* Those of one journey by definition, in the order of the rules. */
static void add_course(struct courses *courses, struct course *course, struct pk_arena *arena)
{
    if (courses->count == courses->cap) {
        struct course *more = PK_NEW_ARRAY(arena, struct course, courses->cap + 2);
        if (courses->count)
            memcpy(more, courses->course, courses->count * sizeof *more);
        courses->course = more;
        courses->cap += 2;
    }
    uint32_t at = courses->count++;
    for (; at > 0 && courses->course[at - 1].definition > course->definition; at--)
        courses->course[at] = courses->course[at - 1];
    courses->course[at] = *course;
}

/* Attaches them to their journeys. Without a lock the two may be read at different moments, so a course may lack its journey;
 * the guard will tell. */
static void read_courses(struct store *store, struct pk_arena *arena, const PGresult *result, struct store_journeys *journeys)
{
    struct pk_map by_id = {0};
    int rows = PQntuples(result);
    for (size_t i = 0; rows > 0 && i < journeys->count; i++)
        pk_map_put(&by_id, journeys->journey[i].id, &journeys->journey[i]);
    for (int row = 0; row < rows; row++) {
        struct course course;
        uint32_t definition;
        struct journey *journey = pk_map_get(&by_id, wire_get_hash(result, row, 0));
        if (!find_definition(store, store_sym(store, wire_get_int4(result, row, 1)), &definition) || !journey)
            continue;
        read_course(store, result, row, definition, &course);
        add_course(&journey->strand.courses, &course, arena);
    }
    pk_map_done(&by_id);
}

#define READ_AMOUNT(store, arena, result, row, column)                                                                    (obligation->has_money = !PQgetisnull(result, row, column), wire_get_int8(result, row, column))

static void read_obligation(struct store *store, struct pk_arena *arena, const PGresult *result, int row,
                            struct obligation *obligation)
{
    (void)arena;
    int column = 0;
#define X(kind, name, member) obligation->member = READ_##kind(store, arena, result, row, column), column++;
#include "store_obligation.def"
}

static struct store_keys read_keys(struct store *store, struct pk_arena *arena, const PGresult *result)
{
    size_t count = (size_t)PQntuples(result);
    struct store_keys keys = {PK_NEW_ARRAY(arena, struct store_key, count), count};
    for (size_t i = 0; i < count; i++) {
        struct store_key *key = &keys.key[i];
        int row = (int)i;
        *key = (struct store_key){
            .hash = wire_get_hash(result, row, 0),
            .kind = (enum key_kind)wire_get_int2(result, row, 1),
            .name_space = store_sym(store, wire_get_int4(result, row, 2)),
            .flags = (uint32_t)wire_get_int4(result, row, 3),
            .first_at_us = wire_get_time(result, row, 4),
            .customer = wire_get_hash(result, row, 5),
            .cell = wire_get_int8(result, row, 6),
            .version = (uint64_t)wire_get_int8(result, row, 7),
            .sealed_at_us = wire_get_time(result, row, 10),
        };
        key->user = read_hashes(arena, result, row, 8, &key->user_count);
        key->apart = read_hashes(arena, result, row, 9, &key->apart_count);
    }
    return keys;
}

static struct store_meetings read_meetings(struct store *store, struct pk_arena *arena, const PGresult *result)
{
    size_t count = (size_t)PQntuples(result);
    struct store_meetings meetings = {PK_NEW_ARRAY(arena, struct store_meeting, count), count};
    for (size_t i = 0; i < count; i++) {
        struct store_meeting *meeting = &meetings.meeting[i];
        int row = (int)i;
        *meeting = (struct store_meeting){
            .id = wire_get_hash(result, row, 0),
            .name_space = read_symbols(store, arena, result, row, 2).sym,
            .first_at_us = wire_get_time(result, row, 3),
            .first_sequence = wire_get_int8(result, row, 4),
            .first_source = store_sym(store, wire_get_int4(result, row, 5)),
            .first_event_id = pk_arena_str(arena, wire_get_text(result, row, 6)),
            .sealed = wire_get_bool(result, row, 7),
        };
        meeting->person = read_hashes(arena, result, row, 1, &meeting->count);
    }
    return meetings;
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

static struct store_carries read_carries(struct pk_arena *arena, const PGresult *result)
{
    size_t count = (size_t)PQntuples(result);
    struct store_carries carries = {PK_NEW_ARRAY(arena, struct store_carry, count), count};
    for (int row = 0; row < (int)count; row++)
        carries.carry[row] = (struct store_carry){
            wire_get_hash(result, row, 0),
            {
                .events = (uint32_t)wire_get_int8(result, row, 1),
                .purchases = (uint32_t)wire_get_int4(result, row, 2),
                .first_purchase_at_us = wire_get_time(result, row, 3),
                .last_purchase_at_us = wire_get_time(result, row, 4),
                .kind = (uint8_t)wire_get_int2(result, row, 5),
            },
        };
    return carries;
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
    enum pk_status status = store_begin_load(store, err);
    if (status != PK_OK)
        return status;
    PGresult *result;
    send_hashes(store, STATEMENT_LOAD_KEYS, hash, count);
    if ((status = store_end_load(store, &result, 1, err)) != PK_OK)
        return status;

    struct store_keys keys;
    bool again = false;
    do {
        keys = read_keys(store, arena, result);
        status = check_symbols(store, &again, err);
    } while (status == PK_OK && again);
    PQclear(result);
    if (status == PK_OK)
        *ret = keys;
    return status;
}

enum pk_status store_load_meetings(struct store *store, const struct pk_hash *hash, const struct pk_hash *meeting,
                                   size_t count, struct pk_arena *arena, struct store_meetings *ret, struct pk_err *err)
{
    if (count == 0) {
        *ret = (struct store_meetings){0};
        return PK_OK;
    }
    enum pk_status status = store_begin_load(store, err);
    if (status != PK_OK)
        return status;
    if (meeting) {
        wire_reset(&store->params);
        struct wire_param *identifier = wire_array(&store->params, WIRE_UUID), *id = wire_array(&store->params, WIRE_UUID);
        for (size_t i = 0; i < count; i++) {
            wire_add_uuid(identifier, hash[i]);
            wire_add_uuid(id, meeting[i]);
        }
        store_send(store, STATEMENT_FIND_MEETINGS);
    } else {
        send_hashes(store, STATEMENT_LOAD_MEETINGS, hash, count);
    }
    PGresult *result;
    if ((status = store_end_load(store, &result, 1, err)) != PK_OK)
        return status;

    struct store_meetings meetings;
    bool again = false;
    do {
        meetings = read_meetings(store, arena, result);
        status = check_symbols(store, &again, err);
    } while (status == PK_OK && again);
    PQclear(result);
    if (status == PK_OK)
        *ret = meetings;
    return status;
}

enum pk_status store_load_customers(struct store *store, const struct pk_hash *customer, size_t count,
                                    struct pk_arena *arena, struct store_facts *ret_facts,
                                    struct store_journeys *ret_journeys, struct store_obligations *ret_obligations,
                                    struct store_carries *ret_carries, struct pk_err *err)
{
    enum pk_status status = store_begin_load(store, err);
    if (status != PK_OK)
        return status;
    PGresult *result[5];
    send_hashes(store, STATEMENT_LOAD_FACTS, customer, count);
    send_hashes(store, STATEMENT_LOAD_JOURNEYS, customer, count);
    send_hashes(store, STATEMENT_LOAD_OBLIGATIONS, customer, count);
    send_hashes(store, STATEMENT_LOAD_COURSES, customer, count);
    send_hashes(store, STATEMENT_LOAD_CARRIES, customer, count);
    if ((status = store_end_load(store, result, 5, err)) != PK_OK)
        return status;

    struct store_facts facts;
    struct store_journeys journeys;
    struct store_obligations obligations;
    bool again = false;
    do {
        facts = read_facts(store, arena, result[0]);
        journeys = read_journeys(store, arena, result[1]);
        obligations = read_obligations(store, arena, result[2]);
        read_courses(store, arena, result[3], &journeys);
        status = check_symbols(store, &again, err);
    } while (status == PK_OK && again);
    struct store_carries carries = read_carries(arena, result[4]);
    clear_results(result, 5);
    if (status == PK_OK && ret_carries)
        *ret_carries = carries;
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
    enum pk_status status = store_end_load(store, &result, 1, err);
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

/* Events lie within EVENT_MIN_TIME_US and EVENT_MAX_TIME_US: beyond them an end is without end. */
static void add_end(struct wire_param *param, int64_t us)
{
    if (us < EVENT_MIN_TIME_US || us >= EVENT_MAX_TIME_US)
        wire_add_int8(param, us < EVENT_MIN_TIME_US ? INT64_MIN : INT64_MAX); /* -infinity, infinity */
    else
        wire_add_time(param, us);
}

enum pk_status store_load_seen(struct store *store, const struct store_window *window, size_t count,
                               struct pk_arena *arena, struct store_facts *ret, struct pk_err *err)
{
    if (count == 0) {
        *ret = (struct store_facts){0};
        return PK_OK;
    }
    enum pk_status status = store_begin_load(store, err);
    if (status != PK_OK)
        return status;
    wire_reset(&store->params);
    struct wire_param *name = wire_array(&store->params, WIRE_UUID), *from = wire_array(&store->params, WIRE_TIMESTAMPTZ),
                      *to = wire_array(&store->params, WIRE_TIMESTAMPTZ);
    for (size_t i = 0; i < count; i++) {
        wire_add_uuid(name, window[i].name);
        add_end(from, window[i].from_us);
        add_end(to, window[i].to_us);
    }
    store_send(store, STATEMENT_LOAD_SEEN);
    return load_facts(store, arena, ret, err);
}

enum pk_status store_load_nameless(struct store *store, const struct pk_hash *relates, size_t count,
                                   struct pk_arena *arena, struct store_facts *ret, struct pk_err *err)
{
    enum pk_status status = store_begin_load(store, err);
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
    enum pk_status status = store_begin_load(store, err);
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
