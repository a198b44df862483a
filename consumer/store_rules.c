/* SPDX-License-Identifier: Apache-2.0 */
/* What the rows are derived with: compared at start; with the first rows written, and with it what SQL needs of the rules. */
#include "store_inner.h"

/* ---- once, by whoever comes first ---- */

/* A list of symbols as text, cut out of that of all calendars. */
static void add_owners(struct store *store, struct wire_param *text, struct wire_param *first, struct wire_param *last,
                       const sym_t *sym, size_t count)
{
    if (count == 0) {
        wire_add_null(first);
        wire_add_null(last);
        return;
    }
    wire_add_int4(first, (int32_t)text->count + 1);
    for (size_t i = 0; i < count; i++)
        wire_add_text(text, symbol_text(store->symbols, sym[i]));
    wire_add_int4(last, (int32_t)text->count);
}

static void send_calendars(struct store *store, const struct rules *rules)
{
    struct wire_params *params = &store->params;
    wire_reset(params);
    struct wire_param *brand = wire_array(params, WIRE_TEXT), *unit = wire_array(params, WIRE_TEXT),
                      *id = wire_array(params, WIRE_INT4), *name = wire_array(params, WIRE_TEXT),
                      *zone = wire_array(params, WIRE_TEXT), *brand_first = wire_array(params, WIRE_INT4),
                      *brand_last = wire_array(params, WIRE_INT4), *unit_first = wire_array(params, WIRE_INT4),
                      *unit_last = wire_array(params, WIRE_INT4);
    for (size_t i = 0; i < rules->calendar_count; i++) {
        const struct calendar *calendar = &rules->calendar[i];
        wire_add_int4(id, (int32_t)i + 1);
        wire_add_text(name, calendar->name);
        wire_add_text(zone, calendar->zone);
        add_owners(store, brand, brand_first, brand_last, calendar->brand, calendar->brands);
        add_owners(store, unit, unit_first, unit_last, calendar->unit, calendar->units);
    }
    store_send(store, STATEMENT_CALENDARS_STORE);
}

static void send_open_times(struct store *store, int32_t calendar_id, const struct calendar_open *open, size_t count)
{
    struct wire_params *params = &store->params;
    wire_reset(params);
    struct wire_param *id = wire_array(params, WIRE_INT4), *from = wire_array(params, WIRE_TIMESTAMPTZ),
                      *to = wire_array(params, WIRE_TIMESTAMPTZ), *before = wire_array(params, WIRE_INT8);
    for (size_t i = 0; i < count; i++) {
        wire_add_int4(id, calendar_id);
        wire_add_time(from, open[i].from_us);
        wire_add_time(to, open[i].to_us);
        wire_add_int8(before, open[i].before_us);
    }
    store_send(store, STATEMENT_OPENS_STORE);
}

static void send_kinds(struct store *store, const struct rules *rules)
{
    struct wire_params *params = &store->params;
    wire_reset(params);
    struct wire_param *place = wire_array(params, WIRE_INT4), *kind = wire_array(params, WIRE_INT4),
                      *within = wire_array(params, WIRE_INT8), *business = wire_array(params, WIRE_BOOL),
                      *across = wire_array(params, WIRE_BOOL), *handoff = wire_array(params, WIRE_BOOL),
                      *from = wire_array(params, WIRE_TIMESTAMPTZ), *to = wire_array(params, WIRE_TIMESTAMPTZ);
    for (size_t i = 0; i < rules->kind_count; i++) {
        const struct rules_kind *rule = &rules->kind[i];
        wire_add_int4(place, (int32_t)i + 1);
        wire_add_int4(kind, store_id(store, rule->kind));
        if (rule->within_us == PK_NO_TIME)
            wire_add_null(within);
        else
            wire_add_int8(within, rule->within_us);
        wire_add_bool(business, rule->business);
        wire_add_bool(across, rule->across);
        wire_add_bool(handoff, rule->handoff);
        wire_add_end(from, rule->valid_from_us);
        wire_add_end(to, rule->valid_to_us);
    }
    store_send(store, STATEMENT_KINDS_STORE);
}

static void send_definitions(struct store *store, const struct rules *rules)
{
    struct wire_params *params = &store->params;
    wire_reset(params);
    struct wire_param *id = wire_array(params, WIRE_INT4), *goal = wire_array(params, WIRE_INT4),
                      *window = wire_array(params, WIRE_INT8);
    for (size_t i = 0; i < rules->definition_count; i++) {
        wire_add_int4(id, store_id(store, rules->definition[i].id));
        wire_add_int4(goal, (int32_t)rules->definition[i].goal + 1);
        wire_add_int8(window, rules->definition[i].window_us);
    }
    store_send(store, STATEMENT_DEFINITIONS_STORE);
}

static void send_milestones(struct store *store, const struct rules *rules)
{
    struct wire_params *params = &store->params;
    wire_reset(params);
    struct wire_param *id = wire_array(params, WIRE_INT4), *number = wire_array(params, WIRE_INT4),
                      *name = wire_array(params, WIRE_TEXT), *optional = wire_array(params, WIRE_BOOL),
                      *critical = wire_array(params, WIRE_BOOL);
    for (size_t i = 0; i < rules->definition_count; i++)
        for (size_t k = 0; k < rules->definition[i].milestone_count; k++) {
            const struct rules_milestone *milestone = &rules->definition[i].milestone[k];
            wire_add_int4(id, store_id(store, rules->definition[i].id));
            wire_add_int4(number, (int32_t)k + 1);
            wire_add_text(name, milestone->name);
            wire_add_bool(optional, milestone->optional);
            wire_add_bool(critical, milestone->critical);
        }
    store_send(store, STATEMENT_MILESTONES_STORE);
}

static void send_contents(struct store *store, const struct rules *rules)
{
    enum { PART = 16384 };
    send_calendars(store, rules);
    for (size_t i = 0; i < rules->calendar_count; i++) {
        const struct calendar *calendar = &rules->calendar[i];
        for (size_t k = 0; k < calendar->opens; k += PART)
            send_open_times(store, (int32_t)i + 1, calendar->open + k, PK_MIN(calendar->opens - k, (size_t)PART));
    }
    send_kinds(store, rules);
    send_definitions(store, rules);
    send_milestones(store, rules);
}

/* Waits for another process that is at the same; then there is nothing left to do. */
static enum pk_status store_rules(struct store *store, const struct rules *rules, struct pk_hash key_check,
                                  struct pk_err *err)
{
    enum pk_status status = store_ensure_dictionary(store, err);
    if (status != PK_OK)
        return status;
    PGresult *result[2];
    store_send_plain(store, STATEMENT_BEGIN_WRITE);
    wire_reset(&store->params);
    wire_uuid(&store->params, rules->file_hash);
    wire_int4(&store->params, DERIVATION_VERSION);
    wire_uuid(&store->params, key_check);
    wire_uuid(&store->params, rules->hashing_hash);
    wire_int8(&store->params, rules->repeat_window_us);
    wire_int4(&store->params, rules->effort.id ? store_id(store, rules->effort.id) : 0);
    store_send(store, STATEMENT_RULES_STORE);
    if ((status = store_collect(store, result, err)) != PK_OK)
        return status;
    bool first = !strcmp(PQcmdTuples(result[1]), "1");
    PQclear(result[0]);
    PQclear(result[1]);
    store->tx = TX_WRITE;
    if (first)
        send_contents(store, rules);
    STORE_CRASH_POINT(store, rules_sent);
    store_send_plain(store, STATEMENT_COMMIT);
    status = store_collect(store, NULL, err);
    CRASH_POINT(rules_stored);
    store->tx = TX_NONE;
    return status;
}

/* ---- at start ---- */

struct stored { /* no row: nothing was derived yet */
    bool any;
    struct pk_hash rules, key_check, hashing;
    int version;
};

static enum pk_status read_stored(struct store *store, struct stored *ret, struct pk_err *err)
{
    PGresult *result;
    store_send_plain(store, STATEMENT_RULES_READ);
    enum pk_status status = store_collect(store, &result, err);
    if (status != PK_OK)
        return status;
    *ret = (struct stored){.any = PQntuples(result) > 0};
    if (ret->any) {
        ret->rules = wire_get_hash(result, 0, 0);
        ret->version = wire_get_int4(result, 0, 1);
        ret->key_check = wire_get_hash(result, 0, 2);
        ret->hashing = wire_get_hash(result, 0, 3); /* zero: a database made before it was kept */
    }
    PQclear(result);
    return PK_OK;
}

enum { TRIES = 20 }; /* each as long as the lock timeout */

enum pk_status store_check_rules(struct store *store, const struct rules *rules, struct pk_hash key_check,
                                 struct pk_err *err)
{
    struct stored stored = {0};
    enum pk_status status = store_ready(store, err);
    if (status == PK_OK)
        status = read_stored(store, &stored, err);
    for (int tries = 0; status == PK_OK && !stored.any; tries++) {
        status = store_rules(store, rules, key_check, err);
        if (status == PK_OK || (status == PK_STALE && tries < TRIES)) /* stale: another process is at it still */
            status = read_stored(store, &stored, err);
    }
    if (status != PK_OK)
        return status;
    if (!pk_hash_eq(stored.key_check, key_check))
        return pk_fail(err, PK_STOP, "the database was derived with another hash key: give the key with which it was begun");
    if (!pk_hash_zero(stored.hashing) && !pk_hash_eq(stored.hashing, rules->hashing_hash))
        return pk_fail(err, PK_STOP, "the rules file hashes identifiers in another way than the database was derived with "
                                     "(normalisers, blocked values or the country): give the former file, or run "
                                     "polku-consumer rebuild --from-kafka");
    if (stored.version != DERIVATION_VERSION)
        return pk_fail(err, PK_STOP, "the database was derived by version %d of the derivation, this program has %d: "
                                     "run polku-consumer rebuild", stored.version, DERIVATION_VERSION);
    if (!pk_hash_eq(stored.rules, rules->file_hash))
        return pk_fail(err, PK_STOP, "the database was derived with another rules file: give that file, or run polku-consumer "
                                     "rebuild");
    store->rules = rules;
    return PK_OK;
}
