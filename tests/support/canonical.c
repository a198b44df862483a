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
    put_sym(r, f->topic);
    put_sym(r, f->cause);
    put_text(r, f->product);
    put_text(r, f->location);
    put_sym(r, f->stage);
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
    put_int(r, (int32_t)f->traits);
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
        put_int(r, customer->purchases);
        put_time(r, customer->first_purchase_at_us);
        put_time(r, customer->last_purchase_at_us);
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

/* What the first columns do not have. */
static void put_journey_facts(struct canonical_rows *r, const struct journey *j)
{
    const uint32_t count[] = {j->fallbacks, j->repeats,   j->handoffs_rejected, j->handoffs_returned, j->deflections,
                              j->transfers, j->misroutes, j->proactive,         j->thanks,            j->reopened,
                              j->owners,    j->people,    j->effort,            j->people_until_decision};
    const int64_t time[] = {j->first_terminal_at_us, j->last_terminal_at_us, j->decided_at_us,
                            j->ownerless_since_us,   j->queue_since_us,      j->touch_since_us};
    const int64_t length[] = {j->ownerless_us, j->orphan_us, j->queue_us, j->touch_us};
    put_sym(r, j->entry_brand);
    put_sym(r, j->entry_unit);
    put_sym(r, j->terminal_outcome);
    put_sym(r, j->stage);
    for (size_t i = 0; i < PK_COUNT(count); i++)
        put_int(r, count[i]);
    put_sym(r, j->owner.brand);
    put_sym(r, j->owner.unit);
    for (size_t i = 0; i < PK_COUNT(time); i++)
        put_time(r, time[i]);
    for (size_t i = 0; i < PK_COUNT(length); i++)
        put_int(r, length[i]);
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
        put_journey_facts(r, j);
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
        put_sym(r, o->from_brand);
        put_sym(r, o->from_unit);
        put_int(r, o->cycle);
        put_bool(r, o->handoff);
        if (o->has_money)
            put_int(r, o->amount_minor);
        else
            put_null(r);
        put_sym(r, o->currency);
        end_row(r, start);
    }
}

/* ---- courses ---- */

static void put_milestones(struct canonical_rows *r, const struct course *course)
{
    size_t count = r->meaning->rules->definition[course->definition].milestone_count;
    struct pk_buf json = {0};
    pk_buf_text(&json, "[");
    for (size_t i = 0; i < count; i++) {
        pk_buf_text(&json, i ? "," : "");
        if (course->reached_at_us[i] == PK_NO_TIME)
            pk_buf_text(&json, "null");
        else
            pk_buf_printf(&json, "%" PRId64, course->reached_at_us[i]);
    }
    put_json(r, &json);
    pk_buf_text(&json, "[");
    for (size_t i = 0; i < count; i++)
        pk_buf_printf(&json, "%s%" PRIu32, i ? "," : "", course->failures[i]);
    put_json(r, &json);
}

static void course_rows(const struct canonical_table *table, struct canonical_rows *r)
{
    (void)table;
    PK_MAP_EACH(&r->store->courses, e)
    {
        const struct memory_course *row = e->value;
        const struct course *course = &row->course;
        char path[COURSE_TEXT];
        size_t start = r->text.len, len = course_path_text(course, path);
        put_id(r, row->journey);
        put_sym(r, r->meaning->rules->definition[course->definition].id);
        put_id(r, row->customer);
        put_time(r, course->start_at_us);
        put_time(r, course->goal_at_us);
        put_text(r, (struct pk_str){path, len});
        put_int(r, course->steps);
        put_int(r, course->furthest);
        put_int(r, course->violations);
        put_int(r, course_skipped(course, r->meaning->rules));
        put_milestones(r, course);
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

/* ---- aggregates: slots are summed; buckets that came and went are no rows ---- */

static void aggregate_rows(const struct canonical_table *table, struct canonical_rows *r)
{
    enum aggregate which = 0;
    while (strcmp(aggregate_tables[which].name, table->name) != 0)
        which++;
    const struct aggregate_table *columns = &aggregate_tables[which];
    struct pk_arena arena = {0};
    size_t count;
    const struct change_aggregate *sum = memory_sums(r->store, which, &arena, &count);
    for (size_t i = 0; i < count; i++) {
        size_t start = r->text.len;
        put_time(r, sum[i].at_us);
        for (uint32_t d = 0; d < columns->dims; d++) {
            if (columns->symbols >> d & 1)
                put_sym(r, (sym_t)sum[i].dim[d]);
            else
                put_int(r, sum[i].dim[d]);
        }
        for (uint32_t c = 0; c < columns->counts; c++)
            put_int(r, sum[i].count[c]);
        end_row(r, start);
    }
    pk_arena_done(&arena);
}

const struct canonical_table canonical_tables[CANONICAL_TABLES] = {
    {"interaction",
     "occurred_at\tevent_hash\tsource\tevent_id\tsequence\tcontent_hash\tcustomer\tcustomer_kind\tjourney\ttype\tchannel\t"
     "direction\tactor\tsensitivity\tbrand\tunit\toutcome\treason\ttopic\tcause\tproduct\tlocation\tstage\tcase\tstaff\t"
     "relates\tidentifiers\tidentifier_namespaces\tpromise\tpromise_kind\tpromise_due_from\tpromise_due_to\tpromise_brand\t"
     "promise_unit\tpromise_role\thandoff\tto_brand\tto_unit\tto_role\trating_scale\trating_score\trating_min\trating_max\t"
     "money_amount_minor\tmoney_currency\tmoney_kind\tattributes\ttraits",
     interaction_rows},
    {"customer", "customer\tkind\tnamespace\tpurchases\tfirst_purchase_at\tlast_purchase_at", customer_rows},
    {"identifier", "identifier\tnamespace\tshared\toversize\tcustomer\tfirst_at", identifier_rows},
    {"identity_link", "a\tb\tfirst_at\tsource\tevent_id\trefused", identity_link_rows},
    {"journey",
     "journey\tcustomer\tcase\tcontinues\tcrowd\tfirst_at\tlast_at\tevents\tentry_channel\tlast_channel\tchannels\tbrands\t"
     "units\tcontacts\tswitches\thandoffs_offered\thandoffs_accepted\tunanswered\trefusals\tfirst_inbound_at\t"
     "first_human_reply_at\tresolved\tlast_type\tlast_outcome\tentry_brand\tentry_unit\tterminal_outcome\tstage\t"
     "fallbacks\trepeats\thandoffs_rejected\thandoffs_returned\tdeflections\ttransfers\tmisroutes\tproactive\tthanks\t"
     "reopened\towners\tpeople\teffort\tpeople_until_decision\towner_brand\towner_unit\tfirst_terminal_at\t"
     "last_terminal_at\tdecided_at\townerless_since\tqueue_since\ttouch_since\townerless_us\torphan_us\tqueue_us\t"
     "touch_us",
     journey_rows},
    {"obligation",
     "obligation\tkind\tcustomer\tjourney\tcase\tbrand\tunit\trole\texplicit\tlabel\topened_at\topened_by\tdue_from\t"
     "first_due_to\tdue_to\tchanged_at\tattempts\tfirst_attempt_at\tlast_attempt_at\tfulfilled_at\tfulfilled_by\t"
     "rejected_at\twithdrawn_at\tfrom_brand\tfrom_unit\tcycle\thandoff\tamount_minor\tcurrency",
     obligation_rows},
    {"obligation_state", "obligation\tstate\toverdue\tearly\tno_deadline\tno_owner\tbroken\tslack", state_rows},
    {"course",
     "journey_id\tdefinition\tcustomer_id\tstart_at\tgoal_at\tpath\tsteps\tfurthest\tviolations\tskipped\treached_at\t"
     "failures",
     course_rows},
#define TABLE(table) {#table, NULL, aggregate_rows},
#include "aggregate.def"
};

/* Of an aggregate: as in aggregate.def, without "_id". */
static void aggregate_columns(const char *name, struct pk_buf *out)
{
    enum aggregate which = 0;
    while (strcmp(aggregate_tables[which].name, name) != 0)
        which++;
    const struct aggregate_table *columns = &aggregate_tables[which];
    pk_buf_text(out, columns->time);
    for (uint32_t d = 0; d < columns->dims; d++) {
        size_t len = strlen(columns->dim[d]);
        bool id = len > 3 && strcmp(columns->dim[d] + len - 3, "_id") == 0;
        pk_buf_printf(out, "\t%.*s", (int)(id ? len - 3 : len), columns->dim[d]);
    }
    for (uint32_t c = 0; c < columns->counts; c++)
        pk_buf_printf(out, "\t%s", columns->count[c]);
}

void canonical_columns(const struct canonical_table *table, struct pk_buf *out)
{
    if (table->columns)
        pk_buf_text(out, table->columns);
    else
        aggregate_columns(table->name, out);
}

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
