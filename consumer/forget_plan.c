/* SPDX-License-Identifier: Apache-2.0 */
#include "forget_plan.h"

#include <stdlib.h>

struct planner {
    const struct explain_source *source;
    struct fact_maker *maker;
    struct pk_arena *arena;
    struct forget_plan *plan;
    struct pk_map names; /* of F */
    struct change_forgotten *name;
    uint32_t name_count, name_cap;
    struct change_forgotten *single;
    uint32_t single_count, single_cap;
    struct change_decision *restore;
    uint32_t restore_count, restore_cap;
    struct pk_hash *found; /* what a query told */
    uint32_t found_count, found_cap;
    int found_kind;
    bool free; /* no rebuild is at work */
};

/* ---- queries ---- */

static struct pk_hash hash_of(const char *uuid)
{
    struct pk_hash hash = {{0}};
    unsigned digits = 0;
    for (; uuid && *uuid && digits < 32; uuid++) {
        int c = *uuid;
        int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (value >= 0) {
            hash.byte[digits / 2] = (uint8_t)(hash.byte[digits / 2] << 4 | value);
            digits++;
        }
    }
    return hash;
}

static void add_hash(struct pk_buf *sql, struct pk_hash hash)
{
    pk_buf_text(sql, "'");
    for (int i = 0; i < 16; i++)
        pk_buf_printf(sql, "%02x", hash.byte[i]);
    pk_buf_text(sql, "'::uuid");
}

/* $ is the hash, @ the names so far. */
static enum pk_status ask(struct planner *p, const char *text, struct pk_hash hash,
                          void (*row)(void *, int, const char *const[]), struct pk_err *err)
{
    struct pk_buf sql PK_AUTO(pk_buf_done) = {0};
    for (; *text; text++)
        if (*text == '$') {
            add_hash(&sql, hash);
        } else if (*text == '@') {
            pk_buf_text(&sql, "ARRAY[");
            for (uint32_t i = 0; i < p->name_count; i++) {
                pk_buf_text(&sql, i ? "," : "");
                add_hash(&sql, p->name[i].name);
            }
            pk_buf_text(&sql, "]::uuid[]");
        } else {
            pk_buf_add(&sql, text, 1);
        }
    return store_query(p->source->store, sql.ptr, row, p, err);
}

static sym_t symbol_of_text(const struct planner *p, const char *text)
{
    return text && *text ? symbol_of(p->source->symbols, pk_str(text)) : 0;
}

static void add_name(struct planner *p, struct pk_hash hash, enum key_kind kind, sym_t name_space)
{
    if (pk_map_get(&p->names, hash))
        return;
    pk_map_put(&p->names, hash, p);
    *PK_PUSH(p->arena, p, name) =
        (struct change_forgotten){.name = hash, .kind = kind, .name_space = kind == KEY_CASE ? 0 : name_space};
    if (kind == KEY_PERSON)
        p->plan->persons++;
    else if (kind == KEY_DEVICE)
        p->plan->devices++;
    else
        p->plan->cases++;
}

/* ---- the customer ---- */

static void take_found(void *context, int columns, const char *const value[])
{
    (void)columns;
    struct planner *p = context;
    *PK_PUSH(p->arena, p, found) = hash_of(value[0]);
    p->found_kind = value[1] ? atoi(value[1]) : -1;
}

/* Customers with events that carry it. */
static const char customers_sql[] =
    "SELECT DISTINCT e.customer_id, e.customer_kind FROM (SELECT k.owner_id AS id FROM polku.identifier k WHERE k.hash = $"
    " UNION SELECT s.customer_id FROM polku.sighting s WHERE s.key = $) u CROSS JOIN LATERAL (SELECT i.customer_id, i.customer_kind"
    " FROM polku.interaction i WHERE i.customer_id = u.id AND i.customer_id IS NOT NULL"
    " AND ($ = ANY (i.identifiers) OR i.case_key = $) LIMIT 1) e";

static enum pk_status find_by_events(struct planner *p, struct forget_subject *subject, struct pk_err *err)
{
    const struct explain_name *name = &subject->name;
    const char *what = name->kind == KEY_DEVICE ? "device" : "case";
    if (name->rules && name->rules->class_ == RULES_KIOSK)
        return pk_fail(err, PK_REJECT, "a kiosk is everybody's, so it says nobody: name an identifier of the customer who is to be "
                                       "forgotten");
    enum pk_status status = ask(p, customers_sql, name->hash, take_found, err);
    if (status != PK_OK)
        return status;
    if (p->found_count > 1)
        return pk_fail(err, PK_REJECT,
                       "%u customers have events at this %s, so it says nobody: name an identifier of the one who is to "
                       "be forgotten; what that one did at the %s is forgotten too",
                       p->found_count, what, what);
    subject->already = p->found_count == 0 && (name->flags & KEY_FORGOTTEN);
    if (p->found_count == 1 && p->found_kind == KEY_SHARED)
        return pk_fail(err, PK_REJECT, "the events at this %s are of an identifier that several customers share", what);
    if (p->found_count == 1)
        subject->customer = p->found[0];
    return PK_OK;
}

/* Its events are other identifiers', who may be anybody. */
static enum pk_status check_blocked(struct planner *p, const struct explain_name *name, struct pk_err *err)
{
    enum pk_status status = ask(p, customers_sql, name->hash, take_found, err);
    if (status != PK_OK || p->found_count == 0)
        return status;
    return pk_fail(err, PK_REJECT,
                   "a decision blocks this identifier, so it says nobody, and events of %u customers carry it: name another "
                   "identifier of the one who is to be forgotten, or take the decision back (identity restore)",
                   p->found_count);
}

static enum pk_status find_customer(struct planner *p, struct forget_subject *subject, struct pk_err *err)
{
    const struct explain_name *name = &subject->name;
    subject->unknown = !name->known;
    if (!name->known)
        return PK_OK;
    if (name->kind != KEY_PERSON)
        return find_by_events(p, subject, err);
    if (name->flags & KEY_BLOCKED)
        return check_blocked(p, name, err);
    if (name->flags & KEY_IS_SHARED)
        return pk_fail(err, PK_REJECT,
                       "several customers share this identifier, so it says nobody: name another one of the customer who "
                       "is to be forgotten; `identity explain` shows whom it was met with");
    subject->already = name->first_at_us == PK_NO_TIME && (name->flags & KEY_FORGOTTEN);
    if (name->first_at_us != PK_NO_TIME)
        subject->customer = name->customer;
    return PK_OK;
}

/* ---- its names ---- */

static void take_name(void *context, int columns, const char *const value[])
{
    (void)columns;
    struct planner *p = context;
    enum key_kind kind = (enum key_kind)atoi(value[1]);
    const struct rules_namespace *rules =
        kind == KEY_CASE ? NULL : fact_namespace(p->source->rules, pk_str(value[2] ? value[2] : ""));
    bool others = *value[3] == 't';
    if (others || (rules && rules->class_ == RULES_KIOSK))
        p->plan->kept++;
    else if (kind == KEY_CASE || rules)
        add_name(p, hash_of(value[0]), kind, symbol_of_text(p, value[2]));
}

static const char persons_sql[] =
    "SELECT i.hash, i.kind, d.text, 'f' FROM (SELECT * FROM polku.identifier k WHERE k.hash = $ AND k.customer_id = k.hash"
    " UNION ALL SELECT * FROM polku.identifier k WHERE k.customer_id = $ AND k.customer_id <> k.hash) i"
    " LEFT JOIN polku.dictionary d ON d.id = i.namespace_id WHERE i.kind = 0 AND i.first_at IS NOT NULL";
/* Devices and cases of its events; those at which another person, or a shared one, was seen have a `t`. (Whom they were ever met
 * with is more than that: also who was this customer for a while. Of whom events are sealed, it is all that is known.) */
static const char places_sql[] =
    "SELECT k.hash, k.kind, d.text, EXISTS (SELECT FROM (SELECT k.owner_id AS id UNION ALL"
    " SELECT s.customer_id FROM polku.sighting s WHERE s.key = k.hash) u"
    " JOIN polku.customer c ON c.customer_id = u.id WHERE c.kind IN (0, 5) AND c.customer_id <> $"
    " AND c.customer_id <> ALL (@) AND (c.sealed_events > 0 OR EXISTS (SELECT FROM polku.interaction e WHERE e.customer_id = c.customer_id"
    " AND e.customer_id IS NOT NULL AND (k.hash = ANY (e.identifiers) OR e.case_key = k.hash))))"
    " FROM (SELECT DISTINCT unnest(i.identifiers || i.case_key) AS hash FROM polku.interaction i"
    " WHERE i.customer_id = $ AND i.customer_id IS NOT NULL) n"
    " JOIN polku.identifier k ON k.hash = n.hash AND k.kind IN (1, 2) LEFT JOIN polku.dictionary d ON d.id = k.namespace_id";

static enum pk_status find_names(struct planner *p, const struct forget_subject *subject, struct pk_err *err)
{
    enum pk_status status = PK_OK;
    if (!pk_hash_zero(subject->customer))
        status = ask(p, persons_sql, subject->customer, take_name, err);
    if (status == PK_OK && !pk_hash_zero(subject->customer))
        status = ask(p, places_sql, subject->customer, take_name, err);
    /* The one that was named, whatever is known of it: but a place of several says nobody. */
    const struct explain_name *name = &subject->name;
    if (status == PK_OK && (pk_hash_zero(subject->customer) || name->kind == KEY_PERSON))
        add_name(p, name->hash, name->kind, symbol_of(p->source->symbols, name->name_space));
    return status;
}

/* ---- its events that no name of it forgets ---- */

static bool is_forgotten(const struct planner *p, const struct fact *fact)
{
    if (fact->person_count)
        return pk_map_get(&p->names, fact->person[0].hash) != NULL;
    for (unsigned i = 0; i < fact->device_count; i++)
        if (pk_map_get(&p->names, fact->device[i].hash))
            return true;
    return !pk_hash_zero(fact->case_key) && pk_map_get(&p->names, fact->case_key);
}

static void add_single(struct planner *p, const struct fact *fact)
{
    const struct fact_name *name = fact->device_count ? &fact->device[0] : fact->person_count ? &fact->person[0] : NULL;
    struct change_forgotten row = {.event_hash = fact->event_hash, .at_us = fact->at_us};
    row.kind = fact->device_count ? KEY_DEVICE : name ? KEY_PERSON : KEY_CASE;
    row.name = name ? name->hash : fact->case_key;
    row.name_space = name ? name->name_space : 0;
    if (!pk_hash_zero(row.name))
        *PK_PUSH(p->arena, p, single) = row;
}

static enum pk_status find_events(struct planner *p, const struct forget_subject *subject, int64_t *until_us,
                                  struct pk_err *err)
{
    struct store_facts facts = {0};
    struct store_journeys journeys;
    struct store_obligations obligations;
    if (pk_hash_zero(subject->customer))
        return PK_OK;
    enum pk_status status =
        store_load_customers(p->source->store, &subject->customer, 1, p->arena, &facts, &journeys, &obligations, NULL, err);
    if (status != PK_OK)
        return status;
    p->plan->event = PK_NEW_ARRAY(p->arena, struct pk_hash, facts.count + 1);
    p->plan->events = facts.count;
    for (size_t i = 0; i < facts.count; i++) {
        struct fact *fact = &facts.fact[i];
        fact_take_names(p->maker, p->arena, fact);
        p->plan->event[i] = fact->event_hash;
        *until_us = PK_MAX(*until_us, fact->at_us);
        if (!is_forgotten(p, fact))
            add_single(p, fact);
    }
    return PK_OK;
}

/* ---- decisions about its names ---- */

static void take_decision(void *context, int columns, const char *const value[])
{
    (void)columns;
    struct planner *p = context;
    *PK_PUSH(p->arena, p, restore) = (struct change_decision){
        .kind = (enum decision_kind)atoi(value[0]),
        .restore = true,
        .a = hash_of(value[1]),
        .b = hash_of(value[2]),
        .kind_a = (enum key_kind)atoi(value[3]),
        .kind_b = (enum key_kind)atoi(value[4] ? value[4] : "0"),
        .name_space_a = symbol_of_text(p, value[5]),
        .name_space_b = symbol_of_text(p, value[6]),
        .by = PK_STR("forget"),
    };
}

static const char decisions_sql[] =
    "SELECT d.kind, d.a, d.b, d.a_kind, d.b_kind, a.text, b.text FROM polku.decision d"
    " LEFT JOIN polku.dictionary a ON a.id = d.a_namespace_id LEFT JOIN polku.dictionary b ON b.id = d.b_namespace_id"
    " WHERE d.restored_at IS NULL AND (d.a = ANY (@) OR d.b = ANY (@))";

/* ---- the whole ---- */

static void take_free(void *context, int columns, const char *const value[])
{
    (void)columns;
    ((struct planner *)context)->free = *value[0] == 't';
}

/* What a rebuild has derived already would bring everything back: it and we exclude each other. */
static enum pk_status check_rebuild(struct planner *p, struct pk_err *err)
{
    enum pk_status status = ask(p, "SELECT pg_try_advisory_xact_lock_shared(482905713526)", (struct pk_hash){{0}}, take_free, err);
    if (status == PK_OK && !p->free)
        return pk_fail(err, PK_REJECT, "a rebuild, a verify or a migration of this database is at work: let it come to its end");
    return status;
}

static int by_name(const void *left, const void *right)
{
    const struct change_forgotten *a = left, *b = right;
    int order = pk_hash_cmp(a->name, b->name);
    return order ? order : pk_hash_cmp(a->event_hash, b->event_hash);
}

int forget_plan_compare(const void *left, const void *right)
{
    return memcmp(left, right, sizeof(struct pk_hash));
}

static void finish(struct planner *p, bool anonymise, int64_t until_us, struct forget_plan *plan)
{
    if (p->name_count > 1)
        qsort(p->name, p->name_count, sizeof *p->name, by_name);
    if (plan->events > 1)
        qsort(plan->event, plan->events, sizeof *plan->event, forget_plan_compare);
    if (p->single_count > 1)
        qsort(p->single, p->single_count, sizeof *p->single, by_name);
    plan->forgetting = (struct change_forgetting){
        .until_us = until_us,
        .anonymise = anonymise,
        .name = p->name,
        .names = p->name_count,
        .event = p->single,
        .events = p->single_count,
        .restore = p->restore,
        .restores = p->restore_count,
    };
}

enum pk_status forget_plan_make(const struct explain_source *source, struct fact_maker *maker, const char *text,
                                bool anonymise, int64_t now_us, bool exclusive, struct pk_arena *arena,
                                struct forget_plan *ret, struct pk_err *err)
{
    struct forget_plan plan = {0};
    struct planner p = {.source = source, .maker = maker, .arena = arena, .plan = &plan};
    struct forget_subject *subject = &plan.subject;
    int64_t until_us = now_us;
    bool blocked = false;
    enum pk_status status = exclusive ? check_rebuild(&p, err) : PK_OK;
    if (status == PK_OK)
        status = explain_find(source, text, &subject->name, &blocked, err);
    if (status == PK_OK && blocked)
        status = pk_fail(err, PK_REJECT, "this value of %.*s says nobody: the rules block it, so events are taken as if it did "
                                         "not stand in them", PK_STR_ARG(subject->name.name_space));
    if (status == PK_OK)
        status = find_customer(&p, subject, err);
    if (status == PK_OK)
        status = find_names(&p, subject, err);
    if (status == PK_OK)
        status = find_events(&p, subject, &until_us, err);
    if (status == PK_OK)
        status = ask(&p, decisions_sql, (struct pk_hash){{0}}, take_decision, err);
    finish(&p, anonymise, until_us, &plan);
    pk_map_done(&p.names);
    if (status == PK_OK)
        *ret = plan;
    return status;
}

bool forget_plan_names(const struct forget_plan *plan, struct pk_hash hash)
{
    const struct change_forgotten wanted = {.name = hash};
    const struct change_forgetting *f = &plan->forgetting;
    return f->names && bsearch(&wanted, f->name, f->names, sizeof wanted, by_name);
}

bool forget_plan_same(const struct forget_plan *a, const struct forget_plan *b)
{
    const struct change_forgetting *x = &a->forgetting, *y = &b->forgetting;
    bool same = x->names == y->names;
    for (size_t i = 0; same && i < x->names; i++)
        same = pk_hash_eq(x->name[i].name, y->name[i].name);
    return same;
}
