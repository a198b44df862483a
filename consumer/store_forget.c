/* SPDX-License-Identifier: Apache-2.0 */
/* Forgettings: what is forgotten about names, and what one changes beside the rows of every batch. */
#include "store_inner.h"

/* ---- loading ---- */

enum pk_status store_load_forgotten(struct store *store, const struct pk_hash *name, struct fact *const *fact, size_t count,
                                    struct pk_arena *arena, struct store_forgotten **ret, size_t *ret_count,
                                    struct pk_err *err)
{
    enum pk_status status = store_begin_load(store, err);
    if (status != PK_OK)
        return status;
    PGresult *result;
    wire_reset(&store->params);
    struct wire_param *place = wire_array(&store->params, WIRE_INT4), *hash = wire_array(&store->params, WIRE_UUID),
                      *event = wire_array(&store->params, WIRE_UUID);
    for (size_t i = 0; i < count; i++) {
        wire_add_int4(place, (int32_t)i);
        wire_add_uuid(hash, name[i]);
        wire_add_uuid(event, fact[i]->event_hash);
    }
    store_send(store, STATEMENT_LOAD_FORGOTTEN);
    if ((status = store_end_load(store, &result, 1, err)) != PK_OK)
        return status;
    size_t rows = (size_t)PQntuples(result);
    struct store_forgotten *found = PK_NEW_ARRAY(arena, struct store_forgotten, rows + 1);
    for (size_t i = 0; i < rows; i++) {
        int row = (int)i;
        found[i] = (struct store_forgotten){
            .place = (size_t)wire_get_int4(result, row, 0),
            .row = {.name = wire_get_hash(result, row, 1),
                    .until_us = wire_get_time(result, row, 2),
                    .forgetting = wire_get_int8(result, row, 3),
                    .single = wire_get_bool(result, row, 4),
                    .anonymise = wire_get_bool(result, row, 5)},
        };
    }
    PQclear(result);
    *ret = found;
    *ret_count = rows;
    return PK_OK;
}

static struct pk_str copy_json(struct pk_arena *arena, struct pk_str text)
{
    if (!text.ptr)
        return text;
    return pk_arena_str(arena, (struct pk_str){text.ptr + 1, text.len - 1}); /* behind the version of the format */
}

enum pk_status store_load_written(struct store *store, struct fact *const *fact, size_t count, struct pk_arena *arena,
                                  struct pk_err *err)
{
    if (count == 0)
        return PK_OK;
    enum pk_status status = store_begin_load(store, err);
    if (status != PK_OK)
        return status;
    PGresult *result;
    wire_reset(&store->params);
    struct wire_param *place = wire_array(&store->params, WIRE_INT4), *at = wire_array(&store->params, WIRE_TIMESTAMPTZ),
                      *hash = wire_array(&store->params, WIRE_UUID);
    for (size_t i = 0; i < count; i++) {
        wire_add_int4(place, (int32_t)i);
        wire_add_time(at, fact[i]->at_us);
        wire_add_uuid(hash, fact[i]->event_hash);
    }
    store_send(store, STATEMENT_LOAD_WRITTEN);
    if ((status = store_end_load(store, &result, 1, err)) != PK_OK)
        return status;
    for (int row = 0; row < PQntuples(result); row++) {
        struct fact *into = fact[wire_get_int4(result, row, 0)];
        into->product = pk_arena_str(arena, wire_get_text(result, row, 1));
        into->location = pk_arena_str(arena, wire_get_text(result, row, 2));
        into->attributes = copy_json(arena, wire_get_text(result, row, 3));
    }
    PQclear(result);
    return PK_OK;
}

enum pk_status store_load_sealed(struct store *store, const struct pk_hash *customer, size_t count, struct pk_arena *arena,
                                 struct pk_hash **ret_journey, size_t *ret_journeys, struct pk_hash **ret_obligation,
                                 size_t *ret_obligations, struct pk_err *err)
{
    PGresult *result;
    *ret_journeys = *ret_obligations = 0;
    enum pk_status status = count ? store_begin_load(store, err) : PK_OK;
    if (status != PK_OK || count == 0)
        return status;
    wire_reset(&store->params);
    struct wire_param *id = wire_array(&store->params, WIRE_UUID);
    for (size_t i = 0; i < count; i++)
        wire_add_uuid(id, customer[i]);
    store_send(store, STATEMENT_LOAD_SEALED);
    if ((status = store_end_load(store, &result, 1, err)) != PK_OK)
        return status;
    int rows = PQntuples(result);
    *ret_journey = PK_NEW_ARRAY(arena, struct pk_hash, (size_t)rows + 1);
    *ret_obligation = PK_NEW_ARRAY(arena, struct pk_hash, (size_t)rows + 1);
    for (int row = 0; row < rows; row++)
        if (wire_get_bool(result, row, 0))
            (*ret_journey)[(*ret_journeys)++] = wire_get_hash(result, row, 1);
        else
            (*ret_obligation)[(*ret_obligations)++] = wire_get_hash(result, row, 1);
    PQclear(result);
    return PK_OK;
}

/* ---- saving ---- */

static void add_names(struct wire_param *param, const struct change_forgetting *f)
{
    for (size_t i = 0; i < f->names; i++)
        wire_add_uuid(param, f->name[i].name);
}

static void forget_decisions(struct store *store, const struct change_forgetting *f)
{
    if (f->names == 0)
        return;
    wire_reset(&store->params);
    add_names(wire_array(&store->params, WIRE_UUID), f);
    store_send(store, STATEMENT_FORGET_DECISIONS);
    wire_reset(&store->params); /* of sealed rows of others the name goes alone */
    add_names(wire_array(&store->params, WIRE_UUID), f);
    store_send(store, STATEMENT_FORGET_CASES);
}

static void forget_records(struct store *store, const struct change_forgetting *f)
{
    if (f->records == 0)
        return;
    struct wire_params *params = &store->params;
    wire_reset(params);
    struct wire_param *topic = wire_array(params, WIRE_INT4), *partition = wire_array(params, WIRE_INT4),
                      *offset = wire_array(params, WIRE_INT8), *reason = wire_array(params, WIRE_TEXT);
    for (size_t i = 0; i < f->records; i++) {
        wire_add_int4(topic, store_id(store, f->record[i].topic));
        wire_add_int4(partition, f->record[i].partition);
        wire_add_int8(offset, f->record[i].offset);
        wire_add_text(reason, f->record[i].reason);
    }
    store_send(store, STATEMENT_FORGET_RECORDS);
}

/* Persons beside the forgotten ones that stood in their events alone. */
static void forget_values(struct store *store, const struct changes *changes)
{
    if (changes->forgotten_person.len == 0)
        return;
    wire_reset(&store->params);
    struct wire_param *person = wire_array(&store->params, WIRE_UUID);
    for (size_t i = 0; i < changes->forgotten_person.len; i++)
        wire_add_uuid(person, changes->forgotten_person.ptr[i]);
    store_send(store, STATEMENT_FORGET_VALUES);
}

static void forget_keys(struct store *store, const struct changes *changes)
{
    wire_reset(&store->params);
    add_names(wire_array(&store->params, WIRE_UUID), changes->forgetting);
    struct wire_param *key = wire_array(&store->params, WIRE_UUID), *name = wire_array(&store->params, WIRE_UUID);
    for (size_t i = 0; i < changes->forgotten_key.len; i++) {
        wire_add_uuid(key, changes->forgotten_key.ptr[i]);
        wire_add_uuid(name, fact_key(changes->forgotten_key.ptr[i], KEY_OBLIGATION));
    }
    wire_int8(&store->params, (int64_t)changes->token);
    store_send(store, STATEMENT_FORGET_KEYS);
}

static void add_forgetting(struct store *store, const struct changes *changes)
{
    const struct change_forgetting *f = changes->forgetting;
    struct wire_params *params = &store->params;
    wire_reset(params);
    wire_time(params, f->until_us);
    wire_bool(params, f->anonymise);
    wire_int4(params, (int32_t)f->names);
    wire_int8(params, (int64_t)changes->forgot.events);
    wire_int8(params, (int64_t)changes->forgot.journeys);
    wire_int8(params, (int64_t)changes->forgot.obligations);
    wire_int8(params, (int64_t)f->records);
    wire_uuid(params, f->receipt);
    struct wire_param *words = wire_array(params, WIRE_TEXT), *name = wire_array(params, WIRE_UUID),
                      *event = wire_array(params, WIRE_UUID), *at = wire_array(params, WIRE_TIMESTAMPTZ);
    wire_add_text(words, f->by.ptr ? f->by : PK_STR(""));
    wire_add_text(words, f->note);
    for (size_t i = 0; i < f->names + f->events; i++) {
        const struct change_forgotten *row = i < f->names ? &f->name[i] : &f->event[i - f->names];
        wire_add_uuid(name, row->name);
        wire_add_hash(event, row->event_hash);
        wire_add_time(at, i < f->names ? PK_NO_TIME : row->at_us);
    }
    store_send(store, STATEMENT_ADD_FORGETTING);
}

static void forget_courses(struct store *store, const struct changes *changes)
{
    if (changes->journey_gone.len == 0)
        return;
    wire_reset(&store->params);
    struct wire_param *journey = wire_array(&store->params, WIRE_UUID);
    for (size_t i = 0; i < changes->journey_gone.len; i++)
        wire_add_uuid(journey, changes->journey_gone.ptr[i]);
    store_send(store, STATEMENT_FORGET_COURSES);
}

void store_save_forgetting(struct store *store, const struct changes *changes)
{
    forget_courses(store, changes);
    forget_decisions(store, changes->forgetting);
    forget_records(store, changes->forgetting);
    forget_values(store, changes);
    forget_keys(store, changes);
    add_forgetting(store, changes);
}
