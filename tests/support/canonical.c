/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* qsort_r */
#include "canonical.h"
#include "identity_batch.h"
#include "obligation_state.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

/* ---- fields ---- */

static void separate(struct canonical_rows *r)
{
    if (r->text.len && r->text.ptr[r->text.len - 1] != '\0')
        pk_buf_add(&r->text, "\t", 1);
}

static void put_raw(struct canonical_rows *r, const char *text)
{
    separate(r);
    pk_buf_text(&r->text, text);
}

static void put_null(struct canonical_rows *r)
{
    put_raw(r, "\\N");
}

static void put_text(struct canonical_rows *r, struct pk_str text)
{
    static const char special[] = "\\\b\f\n\r\t\v", letter[] = "\\bfnrtv";
    if (!text.ptr) {
        put_null(r);
        return;
    }
    separate(r);
    for (size_t i = 0; i < text.len; i++) {
        const char *found = text.ptr[i] ? strchr(special, text.ptr[i]) : NULL;
        if (found)
            pk_buf_add(&r->text, (char[]){'\\', letter[found - special]}, 2);
        else
            pk_buf_add(&r->text, &text.ptr[i], 1);
    }
}

static void put_sym(struct canonical_rows *r, sym_t sym)
{
    put_text(r, sym ? symbol_text(r->meaning->symbols, sym) : (struct pk_str){0});
}

static void put_int(struct canonical_rows *r, int64_t number)
{
    separate(r);
    pk_buf_printf(&r->text, "%" PRId64, number);
}

static void put_time(struct canonical_rows *r, int64_t at_us)
{
    if (at_us == PK_NO_TIME)
        put_null(r);
    else
        put_int(r, at_us);
}

static void put_bool(struct canonical_rows *r, bool value)
{
    put_raw(r, value ? "t" : "f");
}

static void uuid_text(struct pk_hash id, char out[37])
{
    const uint8_t *b = id.byte;
    snprintf(out, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3],
             b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

static void put_id(struct canonical_rows *r, struct pk_hash id)
{
    char text[37];
    uuid_text(id, text);
    put_raw(r, pk_hash_zero(id) ? "\\N" : text);
}

static void put_double(struct canonical_rows *r, bool there, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    separate(r);
    if (there)
        pk_buf_printf(&r->text, "%016" PRIx64, bits);
    else
        pk_buf_text(&r->text, "\\N");
}

/* ---- JSON fields ---- */

static void json_text(struct pk_buf *out, struct pk_str text)
{
    static const char special[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
    pk_buf_add(out, "\"", 1);
    for (size_t i = 0; i < text.len; i++) {
        const char *found = text.ptr[i] ? strchr(special, text.ptr[i]) : NULL;
        if (found)
            pk_buf_add(out, (char[]){'\\', letter[found - special]}, 2);
        else if ((unsigned char)text.ptr[i] < 0x20)
            pk_buf_printf(out, "\\u%04x", (unsigned char)text.ptr[i]);
        else
            pk_buf_add(out, &text.ptr[i], 1);
    }
    pk_buf_add(out, "\"", 1);
}

static void put_json(struct canonical_rows *r, struct pk_buf *json)
{
    pk_buf_text(json, "]");
    put_text(r, (struct pk_str){json->ptr, json->len});
    pk_buf_done(json);
}

static int compare_syms(const void *left, const void *right, void *symbols)
{
    return pk_str_cmp(symbol_text(symbols, *(const sym_t *)left), symbol_text(symbols, *(const sym_t *)right));
}

static void put_set(struct canonical_rows *r, const struct sym_list *list)
{
    struct pk_buf json = {0};
    sym_t *sorted = pk_alloc((list->count + 1) * sizeof *sorted);
    memcpy(sorted, list->sym, list->count * sizeof *sorted);
    qsort_r(sorted, list->count, sizeof *sorted, compare_syms, (void *)r->meaning->symbols);
    pk_buf_text(&json, "[");
    for (uint32_t i = 0; i < list->count; i++) {
        pk_buf_text(&json, i ? "," : "");
        json_text(&json, symbol_text(r->meaning->symbols, sorted[i]));
    }
    free(sorted);
    put_json(r, &json);
}

static void put_identifiers(struct canonical_rows *r, const struct fact *fact)
{
    struct pk_buf json = {0};
    pk_buf_text(&json, "[");
    for (uint32_t i = 0; i < fact->identifier_count; i++) {
        char text[37];
        uuid_text(fact->identifier[i].hash, text);
        pk_buf_printf(&json, "%s\"%s\"", i ? "," : "", text);
    }
    put_json(r, &json);
    pk_buf_text(&json, "[");
    for (uint32_t i = 0; i < fact->identifier_count; i++) {
        pk_buf_text(&json, i ? "," : "");
        json_text(&json, symbol_text(r->meaning->symbols, fact->identifier[i].name_space));
    }
    put_json(r, &json);
}

/* The fact holds a JSON object in byte order of its keys; the row has an array of pairs. */
static void put_attributes(struct canonical_rows *r, struct pk_str object)
{
    struct pk_buf json = {0};
    json_t *parsed = object.ptr ? json_loadb(object.ptr, object.len, 0, NULL) : NULL;
    const char *key;
    json_t *value;
    bool first = true;
    pk_buf_text(&json, "[");
    json_object_foreach(parsed, key, value)
    {
        pk_buf_text(&json, first ? "[" : ",[");
        json_text(&json, pk_str(key));
        pk_buf_text(&json, ",");
        json_text(&json, (struct pk_str){json_string_value(value), json_string_length(value)});
        pk_buf_text(&json, "]");
        first = false;
    }
    json_decref(parsed);
    put_json(r, &json);
}

static void end_row(struct canonical_rows *r, size_t start)
{
    *pk_vec_push(&r->row) = start;
    pk_buf_add(&r->text, "\0", 1);
}

/* ---- tables ---- */

static const char *const directions[] = {"INBOUND", "OUTBOUND", "INTERNAL", "PUBLIC", "UNKNOWN"};
static const char *const actors[] = {"CUSTOMER", "HUMAN", "BOT", "SYSTEM", "UNKNOWN"};
static const char *const sensitivities[] = {"NORMAL", "SENSITIVE"};
static const char *const key_kinds[] = {"person", "device", "case", "obligation", "crossing", "shared"};

static void put_fact(struct canonical_rows *r, const struct fact *f)
{
    put_int(r, f->at_us);
    put_id(r, f->event_hash);
    put_sym(r, f->source);
    put_text(r, f->event_id);
    put_int(r, f->sequence);
    separate(r);
    pk_buf_printf(&r->text, "%" PRIu64, f->content_hash);
    put_id(r, f->customer);
    put_raw(r, pk_hash_zero(f->customer) ? "\\N" : key_kinds[f->customer_kind]);
    put_id(r, f->stored_journey);
    put_sym(r, f->type);
    put_sym(r, f->channel);
    put_raw(r, directions[f->direction]);
    put_raw(r, actors[f->actor]);
    put_raw(r, sensitivities[f->sensitivity]);
    put_sym(r, f->brand);
    put_sym(r, f->unit);
    put_sym(r, f->outcome);
    put_sym(r, f->reason);
    const struct pk_str text[] = {f->topic, f->cause, f->product, f->location, f->stage};
    for (size_t i = 0; i < PK_COUNT(text); i++)
        put_text(r, text[i]);
    put_id(r, f->case_key);
    put_id(r, f->staff);
    put_id(r, f->relates);
    put_identifiers(r, f);
    put_id(r, f->promise.id);
    put_sym(r, f->promise.kind);
    put_time(r, f->has_promise ? f->promise.due_from_us : PK_NO_TIME);
    put_time(r, f->has_promise ? f->promise.due_to_us : PK_NO_TIME);
    put_sym(r, f->promise.brand);
    put_sym(r, f->promise.unit);
    put_sym(r, f->promise.role);
    put_bool(r, f->has_handoff);
    put_sym(r, f->to_brand);
    put_sym(r, f->to_unit);
    put_sym(r, f->to_role);
    put_sym(r, f->has_rating ? f->rating.scale : 0);
    put_double(r, f->has_rating, f->rating.score);
    put_double(r, f->has_rating, f->rating.min);
    put_double(r, f->has_rating, f->rating.max);
    if (f->has_money)
        put_int(r, f->money.amount_minor);
    else
        put_null(r);
    put_sym(r, f->has_money ? f->money.currency : 0);
    put_sym(r, f->has_money ? f->money.kind : 0);
    put_attributes(r, f->attributes);
}

static void interaction_rows(const struct canonical_table *table, struct canonical_rows *r)
{
    (void)table;
    PK_MAP_EACH(&r->store->facts, e)
    {
        size_t start = r->text.len;
        put_fact(r, e->value);
        end_row(r, start);
    }
}

static void customer_rows(const struct canonical_table *table, struct canonical_rows *r)
{
    (void)table;
    PK_MAP_EACH(&r->store->customers, e)
    {
        const struct change_customer *customer = e->value;
        size_t start = r->text.len;
        put_id(r, customer->id);
        put_raw(r, key_kinds[customer->kind]);
        put_sym(r, customer->name_space);
        end_row(r, start);
    }
}

/* ---- identity: persons that an event carries and no decision blocks; their links, solved from the meetings ---- */

static bool is_carried(const struct memory_key *key)
{
    return key->kind == KEY_PERSON && key->first_at_us != PK_NO_TIME && !(key->flags & KEY_BLOCKED);
}

static void identifier_rows(const struct canonical_table *table, struct canonical_rows *r)
{
    (void)table;
    PK_MAP_EACH(&r->store->keys, e)
    {
        const struct memory_key *key = e->value;
        if (!is_carried(key))
            continue;
        size_t start = r->text.len;
        put_id(r, key->hash);
        put_sym(r, key->name_space);
        put_bool(r, key->flags & KEY_IS_SHARED);
        put_bool(r, key->flags & KEY_IS_OVERSIZE);
        put_id(r, key->customer);
        put_time(r, key->first_at_us);
        end_row(r, start);
    }
}

static void identity_link_rows(const struct canonical_table *table, struct canonical_rows *r)
{
    static const char *const refusals[] = {"made", "unique", "apart", "oversize"};
    (void)table;
    struct identity_batch batch;
    identity_batch_init(&batch, r->meaning);
    identity_batch_take_store(&batch, r->store);
    for (size_t i = 0; i < batch.identity.links; i++) {
        const struct identity_link *link = &batch.identity.link[i];
        size_t start = r->text.len;
        put_id(r, link->a->hash);
        put_id(r, link->b->hash);
        put_time(r, link->first.at_us);
        put_sym(r, link->first.source);
        put_text(r, link->first.event_id);
        put_raw(r, refusals[link->refused]);
        end_row(r, start);
    }
    identity_batch_done(&batch);
}

static void journey_rows(const struct canonical_table *table, struct canonical_rows *r)
{
    (void)table;
    PK_MAP_EACH(&r->store->journeys, e)
    {
        const struct journey *j = e->value;
        size_t start = r->text.len;
        put_id(r, j->id);
        put_id(r, j->customer);
        put_id(r, j->case_key);
        put_id(r, j->continues);
        put_bool(r, j->crowd);
        put_time(r, j->first_at_us);
        put_time(r, j->last_at_us);
        put_int(r, j->events);
        put_sym(r, j->entry_channel);
        put_sym(r, j->last_channel);
        put_set(r, &j->channels);
        put_set(r, &j->brands);
        put_set(r, &j->units);
        const uint32_t count[] = {j->contacts,          j->switches,   j->handoffs_offered,
                                  j->handoffs_accepted, j->unanswered, j->refusals};
        for (size_t i = 0; i < PK_COUNT(count); i++)
            put_int(r, count[i]);
        put_time(r, j->first_inbound_at_us);
        put_time(r, j->first_human_reply_at_us);
        put_bool(r, j->resolved);
        put_sym(r, j->last_type);
        put_sym(r, j->last_outcome);
        end_row(r, start);
    }
}

static void obligation_rows(const struct canonical_table *table, struct canonical_rows *r)
{
    static const char *const labels[] = {"\\N", "attempted_not_reached", "replied_not_answered"};
    (void)table;
    PK_MAP_EACH(&r->store->obligations, e)
    {
        const struct obligation *o = e->value;
        size_t start = r->text.len;
        put_id(r, o->id);
        put_sym(r, o->kind);
        put_id(r, o->customer);
        put_id(r, o->journey);
        put_id(r, o->case_key);
        put_sym(r, o->brand);
        put_sym(r, o->unit);
        put_sym(r, o->role);
        put_bool(r, o->explicit_);
        put_raw(r, labels[o->label]);
        put_time(r, o->opened_at_us);
        put_id(r, o->opened_by);
        put_time(r, o->due_from_us);
        put_time(r, o->first_due_to_us);
        put_time(r, o->due_to_us);
        put_time(r, o->changed_at_us);
        put_int(r, o->attempts);
        put_time(r, o->first_attempt_at_us);
        put_time(r, o->last_attempt_at_us);
        put_time(r, o->fulfilled_at_us);
        put_id(r, o->fulfilled_by);
        put_time(r, o->rejected_at_us);
        put_time(r, o->withdrawn_at_us);
        end_row(r, start);
    }
}

static void state_rows(const struct canonical_table *table, struct canonical_rows *r)
{
    (void)table;
    PK_MAP_EACH(&r->store->obligations, e)
    {
        const struct obligation *o = e->value;
        const struct obligation_state s = obligation_state(o, r->as_of_us);
        if (!s.opened)
            continue;
        size_t start = r->text.len;
        put_id(r, o->id);
        put_raw(r, s.state);
        put_bool(r, s.overdue);
        put_bool(r, s.early);
        put_bool(r, s.no_deadline);
        put_bool(r, s.no_owner);
        put_bool(r, s.broken);
        bool slack = s.fulfilled_at_us != PK_NO_TIME && s.due_to_us != PK_NO_TIME;
        put_time(r, slack ? s.due_to_us - s.fulfilled_at_us : PK_NO_TIME);
        end_row(r, start);
    }
}

/* ---- rollups: slots are summed; buckets that came and went are no rows ---- */

static bool same_interactions(const struct change_interactions *a, const struct change_interactions *b)
{
    return a->hour_us == b->hour_us && a->brand == b->brand && a->channel == b->channel && a->type == b->type &&
           a->outcome == b->outcome;
}

static bool same_obligations(const struct change_obligations *a, const struct change_obligations *b)
{
    return a->kind == b->kind && a->brand == b->brand && a->unit == b->unit && a->due_hour_us == b->due_hour_us;
}

static void interaction_hourly_rows(const struct canonical_table *table, struct canonical_rows *r)
{
    (void)table;
    for (size_t i = 0; i < r->store->interactions.len; i++) {
        struct change_interactions sum = r->store->interactions.ptr[i].row;
        bool first = true;
        for (size_t j = 0; j < r->store->interactions.len && first; j++) {
            const struct change_interactions *other = &r->store->interactions.ptr[j].row;
            if (j == i || !same_interactions(&sum, other))
                continue;
            first = j > i;
            sum.interactions += other->interactions;
            sum.contacts += other->contacts;
        }
        if (!first || (sum.interactions == 0 && sum.contacts == 0))
            continue;
        size_t start = r->text.len;
        put_time(r, sum.hour_us);
        put_sym(r, sum.brand);
        put_sym(r, sum.channel);
        put_sym(r, sum.type);
        put_sym(r, sum.outcome);
        put_int(r, sum.interactions);
        put_int(r, sum.contacts);
        end_row(r, start);
    }
}

static void obligation_hourly_rows(const struct canonical_table *table, struct canonical_rows *r)
{
    (void)table;
    for (size_t i = 0; i < r->store->obligation_sums.len; i++) {
        const struct change_obligations *one = &r->store->obligation_sums.ptr[i].row;
        int64_t sum[7] = {0}, any = 0;
        bool first = true;
        for (size_t j = 0; j < r->store->obligation_sums.len && first; j++) {
            const struct change_obligations *o = &r->store->obligation_sums.ptr[j].row;
            if (!same_obligations(one, o))
                continue;
            first = j >= i;
            const int64_t count[7] = {o->opened,   o->kept,      o->kept_late_in_window, o->late,
                                      o->rejected, o->withdrawn, o->attempted};
            for (size_t k = 0; k < PK_COUNT(sum); k++)
                sum[k] += count[k];
        }
        for (size_t k = 0; k < PK_COUNT(sum); k++)
            any |= sum[k];
        if (!first || !any)
            continue;
        size_t start = r->text.len;
        put_sym(r, one->kind);
        put_sym(r, one->brand);
        put_sym(r, one->unit);
        put_time(r, one->due_hour_us);
        for (size_t k = 0; k < PK_COUNT(sum); k++)
            put_int(r, sum[k]);
        end_row(r, start);
    }
}

const struct canonical_table canonical_tables[CANONICAL_TABLES] = {
    {"interaction",
     "occurred_at\tevent_hash\tsource\tevent_id\tsequence\tcontent_hash\tcustomer\tcustomer_kind\tjourney\ttype\tchannel\t"
     "direction\tactor\tsensitivity\tbrand\tunit\toutcome\treason\ttopic\tcause\tproduct\tlocation\tstage\tcase\tstaff\t"
     "relates\tidentifiers\tidentifier_namespaces\tpromise\tpromise_kind\tpromise_due_from\tpromise_due_to\tpromise_brand\t"
     "promise_unit\tpromise_role\thandoff\tto_brand\tto_unit\tto_role\trating_scale\trating_score\trating_min\trating_max\t"
     "money_amount_minor\tmoney_currency\tmoney_kind\tattributes",
     interaction_rows},
    {"customer", "customer\tkind\tnamespace", customer_rows},
    {"identifier", "identifier\tnamespace\tshared\toversize\tcustomer\tfirst_at", identifier_rows},
    {"identity_link", "a\tb\tfirst_at\tsource\tevent_id\trefused", identity_link_rows},
    {"journey",
     "journey\tcustomer\tcase\tcontinues\tcrowd\tfirst_at\tlast_at\tevents\tentry_channel\tlast_channel\tchannels\tbrands\t"
     "units\tcontacts\tswitches\thandoffs_offered\thandoffs_accepted\tunanswered\trefusals\tfirst_inbound_at\t"
     "first_human_reply_at\tresolved\tlast_type\tlast_outcome",
     journey_rows},
    {"obligation",
     "obligation\tkind\tcustomer\tjourney\tcase\tbrand\tunit\trole\texplicit\tlabel\topened_at\topened_by\tdue_from\t"
     "first_due_to\tdue_to\tchanged_at\tattempts\tfirst_attempt_at\tlast_attempt_at\tfulfilled_at\tfulfilled_by\t"
     "rejected_at\twithdrawn_at",
     obligation_rows},
    {"obligation_state", "obligation\tstate\toverdue\tearly\tno_deadline\tno_owner\tbroken\tslack", state_rows},
    {"interaction_hourly", "hour\tbrand\tchannel\ttype\toutcome\tinteractions\tcontacts", interaction_hourly_rows},
    {"obligation_hourly",
     "kind\tbrand\tunit\tdue_hour\topened\tkept\tkept_late_in_window\tlate\trejected\twithdrawn\tattempted",
     obligation_hourly_rows},
};

static int compare_rows(const void *left, const void *right, void *text)
{
    return strcmp((const char *)text + *(const size_t *)left, (const char *)text + *(const size_t *)right);
}

void canonical_print(const struct canonical_table *table, const struct memory_store *store,
                     const struct meaning *meaning, int64_t as_of_us, struct pk_buf *out)
{
    struct canonical_rows r = {.store = store, .meaning = meaning, .as_of_us = as_of_us};
    table->rows(table, &r);
    if (r.row.len)
        qsort_r(r.row.ptr, r.row.len, sizeof *r.row.ptr, compare_rows, r.text.ptr);
    for (size_t i = 0; i < r.row.len; i++)
        pk_buf_printf(out, "%s\n", r.text.ptr + r.row.ptr[i]);
    pk_vec_done(&r.row);
    pk_buf_done(&r.text);
}
