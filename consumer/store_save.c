/* SPDX-License-Identifier: Apache-2.0 */
/* Writing: one batch's changes as one pipeline. */
#include "quarantine_limit.h"
#include "store_inner.h"

#include <stdio.h>
#include <stdlib.h>

/* Rows per statement: the server inserts one part while we write the next. */
enum { PART = 4096 };
enum { QUARANTINE_BYTES = 8 << 20 };

static void send_hashes(struct store *store, enum statement statement, const struct pk_hash *hash, size_t count)
{
    if (count == 0)
        return;
    wire_reset(&store->params);
    struct wire_param *param = wire_array(&store->params, WIRE_UUID);
    for (size_t i = 0; i < count; i++)
        wire_add_uuid(param, hash[i]);
    store_send(store, statement);
}

/* ---- cells and keys ---- */

static void save_guards(struct store *store, const struct changes *changes)
{
    if (changes->guard.len == 0)
        return;
    wire_reset(&store->params);
    struct wire_param *cell = wire_array(&store->params, WIRE_INT8), *version = wire_array(&store->params, WIRE_INT8);
    for (size_t i = 0; i < changes->guard.len; i++) {
        wire_add_int8(cell, changes->guard.ptr[i].cell);
        wire_add_int8(version, (int64_t)changes->guard.ptr[i].version);
    }
    wire_int8(&store->params, (int64_t)changes->token);
    store_send(store, STATEMENT_GUARD);
}

static void save_cells(struct store *store, const struct changes *changes)
{
    if (changes->new_cell.len == 0)
        return;
    wire_reset(&store->params);
    struct wire_param *cell = wire_array(&store->params, WIRE_INT8);
    for (size_t i = 0; i < changes->new_cell.len; i++)
        wire_add_int8(cell, changes->new_cell.ptr[i]);
    wire_int8(&store->params, (int64_t)changes->token);
    store_send(store, STATEMENT_ADD_CELLS);
}

static void save_keys(struct store *store, const struct changes *changes)
{
    for (size_t from = 0; from < changes->key.len; from += PART) {
        struct wire_params *params = &store->params;
        wire_reset(params);
        struct wire_param *hash = wire_array(params, WIRE_UUID), *kind = wire_array(params, WIRE_INT2),
                          *name_space = wire_array(params, WIRE_INT4), *cell = wire_array(params, WIRE_INT8),
                          *owner = wire_array(params, WIRE_UUID), *flags = wire_array(params, WIRE_INT4),
                          *first_at = wire_array(params, WIRE_TIMESTAMPTZ), *customer = wire_array(params, WIRE_UUID),
                          *value = wire_array(params, WIRE_TEXT);
        for (size_t i = from; i < PK_MIN(from + PART, changes->key.len); i++) {
            const struct change_key *key = &changes->key.ptr[i];
            wire_add_uuid(hash, key->hash);
            wire_add_int2(kind, key->kind);
            store_write_sym(store, name_space, key->name_space);
            wire_add_int8(cell, key->cell);
            wire_add_hash(owner, key->owner);
            wire_add_int4(flags, (int32_t)key->flags);
            wire_add_time(first_at, key->first_at_us);
            wire_add_hash(customer, key->customer);
            wire_add_text(value, key->value);
        }
        store_send(store, STATEMENT_ADD_KEYS);
    }
}

static void save_key_states(struct store *store, const struct changes *changes)
{
    for (size_t from = 0; from < changes->key_state.len; from += PART) {
        wire_reset(&store->params);
        struct wire_param *hash = wire_array(&store->params, WIRE_UUID), *flags = wire_array(&store->params, WIRE_INT4),
                          *first_at = wire_array(&store->params, WIRE_TIMESTAMPTZ),
                          *customer = wire_array(&store->params, WIRE_UUID);
        for (size_t i = from; i < PK_MIN(from + PART, changes->key_state.len); i++) {
            const struct change_key_state *state = &changes->key_state.ptr[i];
            wire_add_uuid(hash, state->hash);
            wire_add_int4(flags, (int32_t)state->flags);
            wire_add_time(first_at, state->first_at_us);
            wire_add_hash(customer, state->customer);
        }
        store_send(store, STATEMENT_SET_KEYS);
    }
}

static void save_values(struct store *store, const struct changes *changes)
{
    for (size_t from = 0; from < changes->value.len; from += PART) {
        wire_reset(&store->params);
        struct wire_param *hash = wire_array(&store->params, WIRE_UUID), *value = wire_array(&store->params, WIRE_TEXT);
        for (size_t i = from; i < PK_MIN(from + PART, changes->value.len); i++) {
            wire_add_uuid(hash, changes->value.ptr[i].hash);
            wire_add_text(value, changes->value.ptr[i].value);
        }
        store_send(store, STATEMENT_SET_VALUES);
    }
}

/* ---- meetings ---- */

/* The members of all rows are one array, cut at first and last. */
static void add_meetings(struct store *store, const struct change_meeting *row, size_t count)
{
    struct wire_params *params = &store->params;
    wire_reset(params);
    struct wire_param *member = wire_array(params, WIRE_UUID), *name_space = wire_array(params, WIRE_INT4),
                      *person = wire_array(params, WIRE_UUID), *id = wire_array(params, WIRE_UUID),
                      *at = wire_array(params, WIRE_TIMESTAMPTZ), *sequence = wire_array(params, WIRE_INT8),
                      *source = wire_array(params, WIRE_INT4), *event = wire_array(params, WIRE_TEXT),
                      *first = wire_array(params, WIRE_INT4), *last = wire_array(params, WIRE_INT4);
    for (size_t i = 0; i < count; i++) {
        const struct store_meeting *meeting = row[i].meeting;
        wire_add_uuid(person, row[i].person);
        wire_add_uuid(id, meeting->id);
        wire_add_time(at, meeting->first_at_us);
        wire_add_int8(sequence, meeting->first_sequence);
        wire_add_int4(source, store_id(store, meeting->first_source));
        wire_add_text(event, meeting->first_event_id);
        wire_add_int4(first, (int32_t)member->count + 1);
        wire_add_int4(last, (int32_t)(member->count + meeting->count));
        for (uint32_t k = 0; k < meeting->count; k++) {
            wire_add_uuid(member, meeting->person[k]);
            wire_add_int4(name_space, store_id(store, meeting->name_space[k]));
        }
    }
    store_send(store, STATEMENT_ADD_MEETINGS);
}

static void set_meetings(struct store *store, const struct change_meeting *row, size_t count)
{
    struct wire_params *params = &store->params;
    wire_reset(params);
    struct wire_param *person = wire_array(params, WIRE_UUID), *id = wire_array(params, WIRE_UUID),
                      *at = wire_array(params, WIRE_TIMESTAMPTZ), *sequence = wire_array(params, WIRE_INT8),
                      *source = wire_array(params, WIRE_INT4), *event = wire_array(params, WIRE_TEXT);
    for (size_t i = 0; i < count; i++) {
        const struct store_meeting *meeting = row[i].meeting;
        wire_add_uuid(person, row[i].person);
        wire_add_uuid(id, meeting->id);
        wire_add_time(at, meeting->first_at_us);
        wire_add_int8(sequence, meeting->first_sequence);
        wire_add_int4(source, store_id(store, meeting->first_source));
        wire_add_text(event, meeting->first_event_id);
    }
    store_send(store, STATEMENT_SET_MEETINGS);
}

static void remove_meetings(struct store *store, const struct change_meeting *row, size_t count)
{
    wire_reset(&store->params);
    struct wire_param *person = wire_array(&store->params, WIRE_UUID), *id = wire_array(&store->params, WIRE_UUID);
    for (size_t i = 0; i < count; i++) {
        wire_add_uuid(person, row[i].person);
        wire_add_uuid(id, row[i].meeting->id);
    }
    store_send(store, STATEMENT_REMOVE_MEETINGS);
}

static void save_meetings(struct store *store, const struct changes *changes)
{
    for (size_t i = 0; i < changes->meeting_gone.len; i += PART)
        remove_meetings(store, changes->meeting_gone.ptr + i, PK_MIN(changes->meeting_gone.len - i, (size_t)PART));
    for (size_t i = 0; i < changes->meeting_first.len; i += PART)
        set_meetings(store, changes->meeting_first.ptr + i, PK_MIN(changes->meeting_first.len - i, (size_t)PART));
    for (size_t i = 0; i < changes->meeting_new.len; i += PART)
        add_meetings(store, changes->meeting_new.ptr + i, PK_MIN(changes->meeting_new.len - i, (size_t)PART));
}

/* ---- decisions ---- */

static void restore_decisions(struct store *store, const struct changes *changes)
{
    struct wire_params *params = &store->params;
    wire_reset(params);
    struct wire_param *kind = wire_array(params, WIRE_INT2), *a = wire_array(params, WIRE_UUID),
                      *b = wire_array(params, WIRE_UUID), *by = wire_array(params, WIRE_TEXT),
                      *note = wire_array(params, WIRE_TEXT);
    for (size_t i = 0; i < changes->decision.len; i++) {
        const struct change_decision *decision = &changes->decision.ptr[i];
        if (!decision->restore)
            continue;
        wire_add_int2(kind, decision->kind);
        wire_add_uuid(a, decision->a);
        wire_add_hash(b, decision->b);
        wire_add_text(by, decision->by);
        wire_add_text(note, decision->note);
    }
    if (kind->count > 0)
        store_send(store, STATEMENT_RESTORE_DECISIONS);
}

static void add_decisions(struct store *store, const struct changes *changes)
{
    struct wire_params *params = &store->params;
    wire_reset(params);
    struct wire_param *kind = wire_array(params, WIRE_INT2), *a = wire_array(params, WIRE_UUID),
                      *b = wire_array(params, WIRE_UUID), *kind_a = wire_array(params, WIRE_INT2),
                      *kind_b = wire_array(params, WIRE_INT2), *name_space_a = wire_array(params, WIRE_INT4),
                      *name_space_b = wire_array(params, WIRE_INT4), *by = wire_array(params, WIRE_TEXT),
                      *note = wire_array(params, WIRE_TEXT);
    for (size_t i = 0; i < changes->decision.len; i++) {
        const struct change_decision *decision = &changes->decision.ptr[i];
        if (decision->restore)
            continue;
        wire_add_int2(kind, decision->kind);
        wire_add_uuid(a, decision->a);
        wire_add_hash(b, decision->b);
        wire_add_int2(kind_a, decision->kind_a);
        store_write_sym(store, name_space_a, decision->name_space_a);
        if (decision->kind == DECIDE_APART) {
            wire_add_int2(kind_b, decision->kind_b);
            store_write_sym(store, name_space_b, decision->name_space_b);
        } else {
            wire_add_null(kind_b);
            wire_add_null(name_space_b);
        }
        wire_add_text(by, decision->by.ptr ? decision->by : PK_STR(""));
        wire_add_text(note, decision->note);
    }
    if (kind->count > 0)
        store_send(store, STATEMENT_ADD_DECISIONS);
}

/* ---- customers ---- */

static void save_sightings(struct store *store, const struct changes *changes)
{
    if (changes->sighting.len == 0)
        return;
    wire_reset(&store->params);
    struct wire_param *key = wire_array(&store->params, WIRE_UUID), *customer = wire_array(&store->params, WIRE_UUID);
    for (size_t i = 0; i < changes->sighting.len; i++) {
        wire_add_uuid(key, changes->sighting.ptr[i].key);
        wire_add_uuid(customer, changes->sighting.ptr[i].customer);
    }
    store_send(store, STATEMENT_ADD_SIGHTINGS);
}

static struct wire_param *add_purchase_arrays(struct store *store) /* three */
{
    struct wire_param *purchases = wire_array(&store->params, WIRE_INT4);
    wire_array(&store->params, WIRE_TIMESTAMPTZ);
    wire_array(&store->params, WIRE_TIMESTAMPTZ);
    return purchases;
}

static void add_purchases(struct wire_param *param, const struct change_customer *customer)
{
    wire_add_int4(&param[0], (int32_t)customer->purchases);
    wire_add_time(&param[1], customer->first_purchase_at_us);
    wire_add_time(&param[2], customer->last_purchase_at_us);
}

static void save_customers(struct store *store, const struct changes *changes)
{
    for (size_t from = 0; from < changes->customer.len; from += PART) {
        wire_reset(&store->params);
        struct wire_param *id = wire_array(&store->params, WIRE_UUID), *kind = wire_array(&store->params, WIRE_INT2),
                          *name_space = wire_array(&store->params, WIRE_INT4), *purchases = add_purchase_arrays(store);
        for (size_t i = from; i < PK_MIN(from + PART, changes->customer.len); i++) {
            wire_add_uuid(id, changes->customer.ptr[i].id);
            wire_add_int2(kind, changes->customer.ptr[i].kind);
            store_write_sym(store, name_space, changes->customer.ptr[i].name_space);
            add_purchases(purchases, &changes->customer.ptr[i]);
        }
        store_send(store, STATEMENT_ADD_CUSTOMERS);
    }
}

static void save_purchases(struct store *store, const struct changes *changes)
{
    for (size_t from = 0; from < changes->customer_purchases.len; from += PART) {
        wire_reset(&store->params);
        struct wire_param *id = wire_array(&store->params, WIRE_UUID), *purchases = add_purchase_arrays(store);
        for (size_t i = from; i < PK_MIN(from + PART, changes->customer_purchases.len); i++) {
            wire_add_uuid(id, changes->customer_purchases.ptr[i].id);
            add_purchases(purchases, &changes->customer_purchases.ptr[i]);
        }
        store_send(store, STATEMENT_SET_PURCHASES);
    }
}

/* ---- sealing ---- */

static void save_carries(struct store *store, const struct changes *changes)
{
    struct wire_params *params = &store->params;
    wire_reset(params);
    struct wire_param *id = wire_array(params, WIRE_UUID), *events = wire_array(params, WIRE_INT8),
                      *purchases = wire_array(params, WIRE_INT4), *first = wire_array(params, WIRE_TIMESTAMPTZ),
                      *last = wire_array(params, WIRE_TIMESTAMPTZ), *kind = wire_array(params, WIRE_INT2);
    for (size_t i = 0; i < changes->carry.len; i++) {
        const struct carry *carry = &changes->carry.ptr[i].carry;
        wire_add_uuid(id, changes->carry.ptr[i].customer);
        wire_add_int8(events, carry->events);
        wire_add_int4(purchases, (int32_t)carry->purchases);
        wire_add_time(first, carry->purchases ? carry->first_purchase_at_us : PK_NO_TIME);
        wire_add_time(last, carry->purchases ? carry->last_purchase_at_us : PK_NO_TIME);
        if (carry->events)
            wire_add_int2(kind, carry->kind);
        else
            wire_add_null(kind);
    }
    if (id->count > 0)
        store_send(store, STATEMENT_SET_CARRIES);
}

static void save_sealed_times(struct store *store, const struct changes *changes)
{
    wire_reset(&store->params);
    struct wire_param *hash = wire_array(&store->params, WIRE_UUID), *at = wire_array(&store->params, WIRE_TIMESTAMPTZ);
    for (size_t i = 0; i < changes->sealed_at.len; i++) {
        wire_add_uuid(hash, changes->sealed_at.ptr[i].hash);
        wire_add_time(at, changes->sealed_at.ptr[i].sealed_at_us);
    }
    if (hash->count > 0)
        store_send(store, STATEMENT_SEAL_IDENTIFIERS);
}

static void save_sealed_meetings(struct store *store, const struct changes *changes)
{
    wire_reset(&store->params);
    struct wire_param *person = wire_array(&store->params, WIRE_UUID), *id = wire_array(&store->params, WIRE_UUID);
    for (size_t i = 0; i < changes->meeting_sealed.len; i++) {
        wire_add_uuid(person, changes->meeting_sealed.ptr[i].person);
        wire_add_uuid(id, changes->meeting_sealed.ptr[i].meeting->id);
    }
    if (person->count > 0)
        store_send(store, STATEMENT_SEAL_MEETINGS);
}

/* ---- interactions ---- */

static void remove_facts(struct store *store, const struct changes *changes)
{
    if (changes->replaced.len == 0)
        return;
    wire_reset(&store->params);
    struct wire_param *at = wire_array(&store->params, WIRE_TIMESTAMPTZ), *hash = wire_array(&store->params, WIRE_UUID),
                      *content = wire_array(&store->params, WIRE_INT8);
    for (size_t i = 0; i < changes->replaced.len; i++) {
        const struct fact *fact = changes->replaced.ptr[i];
        wire_add_time(at, fact->at_us);
        wire_add_uuid(hash, fact->event_hash);
        wire_add_int8(content, (int64_t)fact->content_hash);
    }
    store_send(store, STATEMENT_REMOVE_FACTS);
}

static void field_sym(const struct store *store, struct wire_param *param, sym_t sym)
{
    if (sym)
        wire_field_int4(param, store_id(store, sym));
    else
        wire_field_null(param, WIRE_INT4);
}

static void field_time(struct wire_param *param, int64_t us)
{
    if (us == PK_NO_TIME)
        wire_field_null(param, WIRE_TIMESTAMPTZ);
    else
        wire_field_int8(param, WIRE_TIMESTAMPTZ, us - WIRE_EPOCH_US);
}

static void add_promise(const struct store *store, struct wire_param *param, const struct fact *fact)
{
    if (!fact->has_promise) {
        wire_add_null(param);
        return;
    }
    size_t row = wire_open_row(param, 7);
    wire_field_uuid(param, fact->promise.id);
    field_time(param, fact->promise.due_from_us);
    field_time(param, fact->promise.due_to_us);
    field_sym(store, param, fact->promise.kind);
    field_sym(store, param, fact->promise.brand);
    field_sym(store, param, fact->promise.unit);
    field_sym(store, param, fact->promise.role);
    wire_close_row(param, row);
}

static void add_target(const struct store *store, struct wire_param *param, const struct fact *fact)
{
    if (!fact->has_handoff) {
        wire_add_null(param);
        return;
    }
    size_t row = wire_open_row(param, 3);
    field_sym(store, param, fact->to_brand);
    field_sym(store, param, fact->to_unit);
    field_sym(store, param, fact->to_role);
    wire_close_row(param, row);
}

static void add_rating(const struct store *store, struct wire_param *param, const struct fact *fact)
{
    if (!fact->has_rating) {
        wire_add_null(param);
        return;
    }
    size_t row = wire_open_row(param, 4);
    field_sym(store, param, fact->rating.scale);
    wire_field_float8(param, fact->rating.score);
    wire_field_float8(param, fact->rating.min);
    wire_field_float8(param, fact->rating.max);
    wire_close_row(param, row);
}

static void add_money(const struct store *store, struct wire_param *param, const struct fact *fact)
{
    if (!fact->has_money) {
        wire_add_null(param);
        return;
    }
    size_t row = wire_open_row(param, 3);
    wire_field_int8(param, WIRE_INT8, fact->money.amount_minor);
    field_sym(store, param, fact->money.currency);
    field_sym(store, param, fact->money.kind);
    wire_close_row(param, row);
}

#define WRITE_OWNER(store, param, value)                                                                              \
    (pk_hash_zero(f->customer) ? wire_add_null(param) : wire_add_int2(param, (int)(value)))

/* In the order of add_facts_sql (store.c). */
static void save_facts(struct store *store, struct fact *const *fact, size_t count)
{
    struct wire_params *params = &store->params;
    wire_reset(params);
    struct wire_param *hash = wire_array(params, WIRE_UUID), *name_space = wire_array(params, WIRE_INT4);
    struct wire_param *column = &params->param[params->count];
#define X(kind, name, member) wire_array(params, ARRAY_##kind);
#define P(kind, name, member)
#define W(kind, name, member) X(kind, name, member)
#include "store_interaction.def"
    struct wire_param *journey = wire_array(params, WIRE_UUID), *first = wire_array(params, WIRE_INT4),
                      *last = wire_array(params, WIRE_INT4), *promise = wire_array(params, store->promise_type),
                      *target = wire_array(params, store->target_type), *rating = wire_array(params, store->rating_type),
                      *money = wire_array(params, store->money_type);

    for (size_t i = 0; i < count; i++) {
        const struct fact *f = fact[i];
        struct wire_param *c = column;
#define X(kind, name, member) WRITE_##kind(store, c, f->member), c++;
#define P(kind, name, member)
#define W(kind, name, member) X(kind, name, member)
#include "store_interaction.def"
        if (f->journey)
            wire_add_uuid(journey, f->journey->id);
        else
            wire_add_null(journey);
        if (f->identifier_count > 0) {
            wire_add_int4(first, (int32_t)hash->count + 1);
            wire_add_int4(last, (int32_t)(hash->count + f->identifier_count));
        } else {
            wire_add_null(first);
            wire_add_null(last);
        }
        for (uint32_t k = 0; k < f->identifier_count; k++) {
            wire_add_uuid(hash, f->identifier[k].hash);
            wire_add_int4(name_space, f->identifier[k].name_space ? store_id(store, f->identifier[k].name_space) : 0);
        }
        add_promise(store, promise, f);
        add_target(store, target, f);
        add_rating(store, rating, f);
        add_money(store, money, f);
    }
    store_send(store, STATEMENT_ADD_FACTS);
}

static void save_moves(struct store *store, const struct changes *changes)
{
    for (size_t from = 0; from < changes->move.len; from += PART) {
        wire_reset(&store->params);
        struct wire_param *at = wire_array(&store->params, WIRE_TIMESTAMPTZ), *hash = wire_array(&store->params, WIRE_UUID),
                          *journey = wire_array(&store->params, WIRE_UUID), *customer = wire_array(&store->params, WIRE_UUID),
                          *kind = wire_array(&store->params, WIRE_INT2), *sighted = wire_array(&store->params, WIRE_UUID);
        for (size_t i = from; i < PK_MIN(from + PART, changes->move.len); i++) {
            const struct change_move *move = &changes->move.ptr[i];
            wire_add_time(at, move->at_us);
            wire_add_uuid(hash, move->event_hash);
            wire_add_hash(journey, move->journey);
            wire_add_hash(customer, move->customer);
            if (pk_hash_zero(move->customer))
                wire_add_null(kind);
            else
                wire_add_int2(kind, move->customer_kind);
            wire_add_hash(sighted, move->sighted);
        }
        store_send(store, STATEMENT_MOVE_FACTS);
    }
}

/* The newest times per partition, for bi.freshness. */
static void save_times(struct store *store, const struct changes *changes)
{
    if (changes->fact.len == 0 || changes->spans == 0)
        return;
    wire_reset(&store->params);
    struct wire_param *topic = wire_array(&store->params, WIRE_INT4), *partition = wire_array(&store->params, WIRE_INT4),
                      *at = wire_array(&store->params, WIRE_TIMESTAMPTZ),
                      *received = wire_array(&store->params, WIRE_TIMESTAMPTZ);
    for (size_t s = 0; s < changes->spans; s++) {
        const struct store_position *position = &changes->span[s].at;
        int64_t at_us = PK_NO_TIME, received_us = PK_NO_TIME;
        for (size_t i = 0; i < changes->fact.len; i++) {
            const struct fact *fact = changes->fact.ptr[i];
            if (fact->partition == position->partition && fact->topic_name == position->topic) {
                at_us = PK_MAX(at_us, fact->at_us);
                received_us = PK_MAX(received_us, fact->received_at_us);
            }
        }
        if (at_us == PK_NO_TIME)
            continue;
        wire_add_int4(topic, store_id(store, position->topic));
        wire_add_int4(partition, position->partition);
        wire_add_time(at, at_us);
        wire_add_time(received, received_us);
    }
    if (topic->count > 0)
        store_send(store, STATEMENT_NOTE_TIMES);
}

/* ---- journeys and obligations ---- */

static void add_symbols(const struct store *store, struct wire_param *param, struct sym_list list)
{
    for (uint32_t i = 0; i < list.count; i++)
        wire_add_int4(param, store_id(store, list.sym[i]));
}

/* Rows that are new are inserted plainly: ON CONFLICT would search the index for them twice. The cells protect
 * both kinds, so their order does not matter. */

/* In the order of add_journeys_sql (store.c): the lists of all journeys are one array, cut at a, b, c and d.
 * Sends at most PART of those that are new, or of the others; returns where to go on. */
static size_t save_journeys_part(struct store *store, const struct changes *changes, size_t i, bool is_new)
{
    struct wire_params *params = &store->params;
    wire_reset(params);
    struct wire_param *symbol = wire_array(params, WIRE_INT4), *column = &params->param[params->count];
#define X(kind, name, member) wire_array(params, ARRAY_##kind);
#define L(name, member)
#include "store_journey.def"
    struct wire_param *cut = &params->param[params->count];
    for (int k = 0; k < 4; k++)
        wire_array(params, WIRE_INT4);

    for (; i < changes->journey.len && cut->count < PART; i++) {
        const struct journey *j = changes->journey.ptr[i];
        struct wire_param *c = column, *at = cut;
        if (is_new != !j->old)
            continue;
#define X(kind, name, member) WRITE_##kind(store, c, j->member), c++;
#define L(name, member) wire_add_int4(at++, (int32_t)symbol->count), add_symbols(store, symbol, j->member);
#include "store_journey.def"
        wire_add_int4(at, (int32_t)symbol->count);
    }
    if (cut->count > 0)
        store_send(store, is_new ? STATEMENT_NEW_JOURNEYS : STATEMENT_PUT_JOURNEYS);
    return i;
}

#define WRITE_AMOUNT(store, param, value) (o->has_money ? wire_add_int8(param, value) : wire_add_null(param))

static size_t save_obligations_part(struct store *store, const struct changes *changes, size_t i, bool is_new)
{
    struct wire_params *params = &store->params;
    wire_reset(params);
#define X(kind, name, member) wire_array(params, ARRAY_##kind);
#include "store_obligation.def"
    for (; i < changes->obligation.len && params->param->count < PART; i++) {
        const struct obligation *o = changes->obligation.ptr[i];
        struct wire_param *c = params->param;
        if (is_new != !o->old)
            continue;
#define X(kind, name, member) WRITE_##kind(store, c, o->member), c++;
#include "store_obligation.def"
    }
    if (params->param->count > 0)
        store_send(store, is_new ? STATEMENT_NEW_OBLIGATIONS : STATEMENT_PUT_OBLIGATIONS);
    return i;
}

static void save_journeys(struct store *store, const struct changes *changes)
{
    for (int is_new = 0; is_new < 2; is_new++)
        for (size_t i = 0; i < changes->journey.len;)
            i = save_journeys_part(store, changes, i, is_new);
}

static void save_obligations(struct store *store, const struct changes *changes)
{
    for (int is_new = 0; is_new < 2; is_new++)
        for (size_t i = 0; i < changes->obligation.len;)
            i = save_obligations_part(store, changes, i, is_new);
}

/* ---- courses ---- */

static sym_t path_sym(struct store *store, const struct course *course) /* 0 = empty */
{
    char text[COURSE_TEXT];
    size_t len = course_path_text(course, text);
    return len ? symbol_of(store->symbols, (struct pk_str){text, len}) : 0;
}

static void intern_paths(struct store *store, const struct change_course *row, size_t count)
{
    for (size_t i = 0; i < count; i++)
        path_sym(store, row[i].course);
}

/* In the order of add_courses_sql (store.c). Few at a time: the server walks an array with nulls from its first element to
 * wherever it is cut. */
static void save_courses(struct store *store, enum statement statement, const struct change_course *row, size_t count)
{
    struct wire_params *params = &store->params;
    wire_reset(params);
    struct wire_param *reached = wire_array(params, WIRE_TIMESTAMPTZ), *failures = wire_array(params, WIRE_INT4);
    struct wire_param *column = &params->param[params->count];
    reached->cut = true;
#define X(kind, name, value) wire_array(params, ARRAY_##kind);
#include "store_course.def"
    struct wire_param *first = wire_array(params, WIRE_INT4), *last = wire_array(params, WIRE_INT4);
    for (size_t i = 0; i < count; i++) {
        const struct journey *j = row[i].journey;
        const struct course *c = row[i].course;
        const struct rules_definition *d = &store->rules->definition[c->definition];
        struct wire_param *at = column;
        sym_t sym = path_sym(store, c);
        int32_t path = sym ? store_id(store, sym) : 0;
#define X(kind, name, value) WRITE_##kind(store, at, value), at++;
#include "store_course.def"
        wire_add_int4(first, (int32_t)reached->count + 1);
        for (size_t k = 0; k < d->milestone_count; k++) {
            wire_add_time(reached, c->reached_at_us[k]);
            wire_add_int4(failures, (int32_t)c->failures[k]);
        }
        wire_add_int4(last, (int32_t)reached->count);
    }
    store_send(store, statement);
}

static void drop_courses(struct store *store, const struct changes *changes)
{
    if (changes->course_gone.len == 0)
        return;
    wire_reset(&store->params);
    struct wire_param *journey = wire_array(&store->params, WIRE_UUID), *definition = wire_array(&store->params, WIRE_INT4);
    for (size_t i = 0; i < changes->course_gone.len; i++) {
        wire_add_uuid(journey, changes->course_gone.ptr[i].journey);
        wire_add_int4(definition, store_id(store, store->rules->definition[changes->course_gone.ptr[i].definition].id));
    }
    store_send(store, STATEMENT_DROP_COURSES);
}

static void save_all_courses(struct store *store, const struct changes *changes)
{
    enum { COURSES = 256 };
    drop_courses(store, changes);
    for (size_t i = 0; i < changes->course_new.len; i += COURSES)
        save_courses(store, STATEMENT_NEW_COURSES, changes->course_new.ptr + i, PK_MIN(changes->course_new.len - i, (size_t)COURSES));
    for (size_t i = 0; i < changes->course.len; i += COURSES)
        save_courses(store, STATEMENT_PUT_COURSES, changes->course.ptr + i, PK_MIN(changes->course.len - i, (size_t)COURSES));
}

/* ---- aggregates ---- */

static int32_t dim_value(const struct store *store, const struct aggregate_table *table, uint32_t dim, int32_t value)
{
    if (!(table->symbols >> dim & 1) || value == 0)
        return value;
    return store_id(store, (sym_t)value);
}

/* In the order of add_aggregate_sql (store.c). All rows are of one table. */
static void save_buckets(struct store *store, int32_t slot, int sign, const struct change_aggregate *row, size_t count)
{
    const struct aggregate_table *table = &aggregate_tables[row->table];
    struct wire_params *params = &store->params;
    wire_reset(params);
    struct wire_param *time = wire_array(params, WIRE_TIMESTAMPTZ), *dim = &params->param[params->count];
    for (uint32_t k = 0; k < table->dims; k++)
        wire_array(params, WIRE_INT4);
    wire_int4(params, slot);
    struct wire_param *counter = &params->param[params->count];
    for (uint32_t k = 0; k < table->counts; k++)
        wire_array(params, WIRE_INT8);
    for (size_t i = 0; i < count; i++) {
        wire_add_end(time, row[i].at_us == PK_NO_TIME ? INT64_MAX : row[i].at_us); /* infinity = none */
        for (uint32_t k = 0; k < table->dims; k++)
            wire_add_int4(&dim[k], dim_value(store, table, k, row[i].dim[k]));
        for (uint32_t k = 0; k < table->counts; k++)
            wire_add_int8(&counter[k], sign * row[i].count[k]);
    }
    store_send(store, (enum statement)(STATEMENT_ADD_AGGREGATE + (int)row->table));
}

static void save_aggregates(struct store *store, const struct changes *changes)
{
    for (size_t from = 0, to; from < changes->aggregate.len; from = to) {
        const struct change_aggregate *row = changes->aggregate.ptr;
        for (to = from + 1; to < changes->aggregate.len && to - from < PART && row[to].table == row[from].table;)
            to++;
        save_buckets(store, changes->slot, +1, row + from, to - from);
        if (changes->seal)
            save_buckets(store, SEALED_SLOT, -1, row + from, to - from);
    }
}

/* ---- quarantine ---- */

static void add_hex(struct pk_buf *json, const void *ptr, size_t len)
{
    static const char digit[] = "0123456789abcdef";
    const uint8_t *byte = ptr;
    pk_buf_reserve(json, 2 * len + 1);
    for (size_t i = 0; i < len; i++)
        pk_buf_add(json, (char[]){digit[byte[i] >> 4], digit[byte[i] & 15]}, 2);
}

static void add_json_text(struct pk_buf *json, struct pk_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '"' || c == '\\')
            pk_buf_printf(json, "\\%c", c);
        else if (c < 0x20)
            pk_buf_printf(json, "\\u%04x", c);
        else
            pk_buf_add(json, &c, 1);
    }
}

/* [{"name": .., "value_hex": ..}]; a name that is not UTF-8 is name_hex. */
static void headers_json(const struct record_headers *headers, struct pk_buf *json)
{
    pk_buf_reset(json);
    pk_buf_text(json, "[");
    for (size_t i = 0; i < headers->count; i++) {
        const struct record_header *header = &headers->header[i];
        bool text = pk_utf8_valid(header->name.ptr, header->name.len);
        pk_buf_printf(json, "%s{\"name%s\": \"", i ? ", " : "", text ? "" : "_hex");
        if (text)
            add_json_text(json, header->name);
        else
            add_hex(json, header->name.ptr, header->name.len);
        pk_buf_text(json, header->value.ptr ? "\", \"value_hex\": \"" : "\", \"value_hex\": null}");
        if (header->value.ptr) {
            add_hex(json, header->value.ptr, header->value.len);
            pk_buf_text(json, "\"}");
        }
    }
    pk_buf_text(json, "]");
}

static size_t save_quarantine_part(struct store *store, int32_t slot, const struct change_quarantine *row, size_t count)
{
    struct pk_buf json PK_AUTO(pk_buf_done) = {0};
    struct wire_params *params = &store->params;
    wire_reset(params);
    struct wire_param *topic = wire_array(params, WIRE_INT4), *partition = wire_array(params, WIRE_INT4),
                      *offset = wire_array(params, WIRE_INT8), *reason = wire_array(params, WIRE_TEXT),
                      *detail = wire_array(params, WIRE_TEXT), *received = wire_array(params, WIRE_TIMESTAMPTZ),
                      *key = wire_array(params, WIRE_BYTEA), *value = wire_array(params, WIRE_BYTEA),
                      *headers = wire_array(params, WIRE_JSONB), *source = wire_array(params, WIRE_INT4),
                      *value_bytes = wire_array(params, WIRE_INT4), *bytes = wire_array(params, WIRE_INT4),
                      *whole = wire_array(params, WIRE_BOOL);
    size_t i = 0;
    for (; i < count && key->len + value->len + headers->len < QUARANTINE_BYTES; i++) {
        wire_add_int4(topic, store_id(store, row[i].topic));
        wire_add_int4(partition, row[i].partition);
        wire_add_int8(offset, row[i].offset);
        wire_add_text(reason, pk_str(reject_name(row[i].reason)));
        wire_add_clean_text(detail, row[i].detail.ptr ? row[i].detail : PK_STR(""));
        wire_add_time(received, row[i].received_at_us);
        wire_add_bytes(key, row[i].key.ptr, row[i].key.len);
        wire_add_bytes(value, row[i].value.ptr, row[i].value.len);
        if (row[i].headers && row[i].headers->count > 0) {
            headers_json(row[i].headers, &json);
            wire_add_jsonb(headers, (struct pk_str){json.ptr, json.len});
        } else {
            wire_add_null(headers);
        }
        store_write_sym(store, source, row[i].source);
        if (row[i].value.ptr || row[i].value_bytes)
            wire_add_int4(value_bytes, (int32_t)(row[i].value.ptr ? row[i].value.len : row[i].value_bytes));
        else
            wire_add_null(value_bytes);
        wire_add_int4(bytes, (int32_t)quarantine_bytes(&row[i]));
        wire_add_bool(whole, !row[i].partial);
    }
    wire_int4(params, slot);
    store_send(store, STATEMENT_ADD_QUARANTINE);
    return i;
}

static void save_excess(struct store *store, const struct changes *changes)
{
    if (changes->excess.len == 0)
        return;
    struct wire_params *params = &store->params;
    wire_reset(params);
    struct wire_param *topic = wire_array(params, WIRE_INT4), *partition = wire_array(params, WIRE_INT4),
                      *reason = wire_array(params, WIRE_TEXT), *source = wire_array(params, WIRE_INT4),
                      *records = wire_array(params, WIRE_INT8), *bytes = wire_array(params, WIRE_INT8),
                      *first = wire_array(params, WIRE_INT8), *last = wire_array(params, WIRE_INT8);
    for (size_t i = 0; i < changes->excess.len; i++) {
        const struct change_excess *row = &changes->excess.ptr[i];
        wire_add_int4(topic, store_id(store, row->topic));
        wire_add_int4(partition, row->partition);
        wire_add_text(reason, pk_str(reject_name(row->reason)));
        wire_add_int4(source, row->source ? store_id(store, row->source) : 0);
        wire_add_int8(records, row->records);
        wire_add_int8(bytes, row->bytes);
        wire_add_int8(first, row->first_offset);
        wire_add_int8(last, row->last_offset);
    }
    wire_int4(params, changes->slot);
    store_send(store, STATEMENT_ADD_EXCESS);
}

/* ---- the whole ---- */

static void save_seal(struct store *store, const struct changes *changes)
{
    send_hashes(store, STATEMENT_SEAL_JOURNEYS, changes->journey_sealed.ptr, changes->journey_sealed.len);
    send_hashes(store, STATEMENT_SEAL_OBLIGATIONS, changes->obligation_sealed.ptr, changes->obligation_sealed.len);
    save_sealed_meetings(store, changes);
    store_save_sealed(store, changes);
}

static void save_all(struct store *store, const struct changes *changes)
{
    save_guards(store, changes);
    save_cells(store, changes);
    save_keys(store, changes);
    remove_facts(store, changes);
    for (size_t i = 0; i < changes->fact.len; i += PART)
        save_facts(store, changes->fact.ptr + i, PK_MIN(changes->fact.len - i, (size_t)PART));
    STORE_CRASH_POINT(store, among_statements);
    save_moves(store, changes);
    save_key_states(store, changes);
    save_values(store, changes);
    save_meetings(store, changes);
    restore_decisions(store, changes);
    add_decisions(store, changes);
    save_sightings(store, changes);
    send_hashes(store, STATEMENT_DROP_CUSTOMERS, changes->customer_gone.ptr, changes->customer_gone.len);
    save_customers(store, changes);
    save_purchases(store, changes);
    save_carries(store, changes);
    save_sealed_times(store, changes);
    send_hashes(store, STATEMENT_DROP_JOURNEYS, changes->journey_gone.ptr, changes->journey_gone.len);
    save_journeys(store, changes);
    send_hashes(store, STATEMENT_DROP_OBLIGATIONS, changes->obligation_gone.ptr, changes->obligation_gone.len);
    save_obligations(store, changes);
    save_all_courses(store, changes);
    save_aggregates(store, changes);
    for (size_t i = 0; i < changes->quarantine.len;)
        i += save_quarantine_part(store, changes->slot, changes->quarantine.ptr + i, changes->quarantine.len - i);
    save_excess(store, changes);
    save_times(store, changes);
    if (changes->forgetting)
        store_save_forgetting(store, changes);
    if (changes->seal)
        save_seal(store, changes);
}

enum pk_status store_save_send(struct store *store, enum store_mode mode, const struct changes *changes,
                               struct pk_err *err)
{
    enum pk_status status = store_ready(store, err);
    if (status != PK_OK)
        return status;
    if (store->tx != (mode == STORE_SNAPSHOT ? TX_NONE : TX_WRITE))
        return pk_fail(err, PK_STOP, "a save in the wrong transaction (this is a defect)");
    if (!store->rules && changes->course_new.len + changes->course.len + changes->course_gone.len > 0)
        return pk_fail(err, PK_STOP, "courses are saved before store_check_rules (this is a defect)");
    intern_paths(store, changes->course_new.ptr, changes->course_new.len);
    intern_paths(store, changes->course.ptr, changes->course.len);
    if ((status = store_ensure_dictionary(store, err)) != PK_OK)
        return status;

    if (mode == STORE_SNAPSHOT) {
        store_send_plain(store, STATEMENT_BEGIN_WRITE);
        STORE_CRASH_POINT(store, before_fence);
        store_add_fence(store, changes->span, changes->spans, false);
        STORE_CRASH_POINT(store, after_fence);
    }
    save_all(store, changes);
    STORE_CRASH_POINT(store, before_commit);
    if (mode == STORE_LOCKED)
        STORE_CRASH_POINT(store, locked_before_commit);
    if (mode == STORE_ALONE)
        STORE_CRASH_POINT(store, alone_before_commit);
    store_send_plain(store, STATEMENT_COMMIT);
    store_send_mark(store);
    STORE_CRASH_POINT(store, commit_sent);
    store->saving = true;
    store_save_pump(store);
    return PK_OK;
}

bool store_save_pump(struct store *store)
{
    if (!store->conn || !store->saving || store->send_failed)
        return false;
    if (PQflush(store->conn) < 0 || !PQconsumeInput(store->conn))
        store->send_failed = true;
    return !store->send_failed && PQisBusy(store->conn);
}

enum pk_status store_save_finish(struct store *store, struct pk_err *err)
{
    if (!store->conn)
        return pk_fail(err, PK_LOST, "there is no connection to PostgreSQL");
    if (!store->saving)
        return pk_fail(err, PK_STOP, "there is no save to finish (this is a defect)");
    store->saving = false;
    store->tx = TX_NONE;
    store->finishing = true;
    enum pk_status status = store_read_results(store, NULL, err);
    store->finishing = false;
    if (status == PK_OK)
        store->unsure.len = 0;
    return status;
}
