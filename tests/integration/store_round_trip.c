/* SPDX-License-Identifier: Apache-2.0 */
/* What is saved is what is loaded: every column of every table, with nulls, Unicode and extremes. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include "metric.h"
#include "store_support.h"

static struct support s;
static struct store *store;
static struct pk_err err;

static void init(void)
{
    support_init(&s, true);
    store = support_open(&s, &s.symbols);
    support_claim(&s, store);
}

static void done(void)
{
    store_close(store);
    support_done(&s);
}

TestSuite(store_round_trip, .init = init, .fini = done);

#define OK(call) cr_assert_eq((call), PK_OK, "%s", err.text)

static void same_time(int64_t a, int64_t b, const char *what)
{
    cr_assert_eq(a, b, "%s: %lld and %lld", what, (long long)a, (long long)b);
}

static void same_hash(struct pk_hash a, struct pk_hash b, const char *what)
{
    cr_assert(pk_hash_eq(a, b), "%s differs", what);
}

#define SAME(member) cr_assert_eq(a->member, b->member, #member " differs")
#define SAME_HASH(member) same_hash(a->member, b->member, #member)
#define SAME_TIME(member) same_time(a->member, b->member, #member)

static void same_fact(const struct fact *a, const struct fact *b)
{
    SAME_TIME(at_us);
    SAME(sequence);
    SAME(source);
    cr_assert(pk_str_eq(a->event_id, b->event_id));
    SAME_HASH(event_hash);
    SAME(content_hash);
    SAME_HASH(customer);
    SAME(customer_kind);
    SAME_HASH(sighted);
    same_hash(b->customer, b->stored_customer, "stored_customer");
    same_hash(b->sighted, b->stored_sighted, "stored_sighted");
    cr_assert_eq(b->customer_kind, b->stored_kind);
    SAME(identifier_count);
    for (uint32_t i = 0; i < a->identifier_count; i++) {
        same_hash(a->identifier[i].hash, b->identifier[i].hash, "an identifier");
        cr_assert_eq(a->identifier[i].name_space, b->identifier[i].name_space);
    }
    SAME_HASH(case_key);
    SAME_HASH(relates);
    SAME(type); SAME(channel); SAME(brand); SAME(unit); SAME(outcome); SAME(reason);
    SAME(direction); SAME(actor); SAME(sensitivity);
    SAME(has_promise); SAME(has_handoff);
    SAME_HASH(promise.id);
    SAME(promise.kind);
    SAME_TIME(promise.due_from_us);
    SAME_TIME(promise.due_to_us);
    SAME(promise.brand); SAME(promise.unit); SAME(promise.role);
    SAME(to_brand); SAME(to_unit); SAME(to_role);
    SAME(traits); SAME(topic); SAME(cause); SAME(stage);
    SAME_HASH(staff);
    SAME(has_rating); SAME(rating.scale); SAME(rating.score); SAME(rating.min); SAME(rating.max);
    SAME(has_money); SAME(money.amount_minor); SAME(money.currency); SAME(money.kind);
    SAME(topic_name); SAME(partition); SAME(offset);
    SAME_TIME(received_at_us);
    cr_assert(b->stored);
    same_hash(a->journey ? a->journey->id : (struct pk_hash){0}, b->stored_journey, "stored_journey");
}

static void same_list(const struct sym_list *a, const struct sym_list *b)
{
    cr_assert_eq(a->count, b->count);
    for (uint32_t i = 0; i < a->count; i++)
        cr_assert_eq(a->sym[i], b->sym[i]);
}

static void same_journey(const struct journey *a, const struct journey *b)
{
    SAME_HASH(id); SAME_HASH(customer); SAME_HASH(case_key); SAME_HASH(continues);
    SAME_TIME(first_at_us); SAME_TIME(last_at_us); SAME_TIME(first_inbound_at_us); SAME_TIME(first_human_reply_at_us);
    SAME(entry_channel); SAME(last_channel); SAME(last_type); SAME(last_outcome);
    SAME(entry_brand); SAME(entry_unit); SAME(terminal_outcome); SAME(stage); SAME(owner.brand); SAME(owner.unit);
#define X(member) SAME(member);
    JOURNEY_COUNTS(X)
#undef X
    SAME(people_until_decision);
    SAME_TIME(first_terminal_at_us); SAME_TIME(last_terminal_at_us); SAME_TIME(decided_at_us);
    SAME_TIME(ownerless_since_us); SAME_TIME(queue_since_us); SAME_TIME(touch_since_us);
    SAME(ownerless_us); SAME(orphan_us); SAME(queue_us); SAME(touch_us);
    SAME(resolved); SAME(crowd);
    same_list(&a->channels, &b->channels); same_list(&a->brands, &b->brands); same_list(&a->units, &b->units);
}

static void same_obligation(const struct obligation *a, const struct obligation *b)
{
    SAME_HASH(id); SAME_HASH(customer); SAME_HASH(journey); SAME_HASH(case_key); SAME_HASH(opened_by); SAME_HASH(fulfilled_by);
    SAME(kind); SAME(explicit_); SAME(label); SAME(brand); SAME(unit); SAME(role); SAME(attempts);
    SAME(from_brand); SAME(from_unit); SAME(cycle); SAME(handoff); SAME(has_money); SAME(amount_minor); SAME(currency);
    SAME_TIME(opened_at_us); SAME_TIME(due_from_us); SAME_TIME(first_due_to_us); SAME_TIME(due_to_us); SAME_TIME(changed_at_us);
    SAME_TIME(first_attempt_at_us); SAME_TIME(last_attempt_at_us);
    SAME_TIME(fulfilled_at_us); SAME_TIME(rejected_at_us); SAME_TIME(withdrawn_at_us);
}

static const struct fact *find_fact(const struct store_facts *facts, struct pk_hash hash)
{
    for (size_t i = 0; i < facts->count; i++)
        if (pk_hash_eq(facts->fact[i].event_hash, hash))
            return &facts->fact[i];
    cr_assert_fail("an event was not loaded");
    return NULL;
}

static void add_text(struct pk_buf *buf, const char *name, struct pk_str text)
{
    pk_buf_printf(buf, "%s=%s%.*s|", name, text.ptr ? "" : "null", PK_STR_ARG(text));
}

/* Some members as one text, under the names of their columns; must equal that of `written_sql`. */
static void written_text(const struct fact *f, struct pk_buf *buf)
{
    char uuid[37] = "null";
    pk_buf_reset(buf);
    if (!pk_hash_zero(f->staff))
        support_uuid(f->staff, uuid);
    pk_buf_printf(buf, "staff=%s|traits=%" PRIu32 "|", uuid, f->traits);
    add_text(buf, "topic", symbol_text(&s.symbols, f->topic));
    add_text(buf, "cause", symbol_text(&s.symbols, f->cause));
    add_text(buf, "product", f->product);
    add_text(buf, "location", f->location);
    add_text(buf, "stage", symbol_text(&s.symbols, f->stage));
    add_text(buf, "scale", symbol_text(&s.symbols, f->rating.scale));
    pk_buf_printf(buf, "rated=%d|", f->has_rating);
    add_text(buf, "currency", symbol_text(&s.symbols, f->money.currency));
    add_text(buf, "kind", symbol_text(&s.symbols, f->money.kind));
    if (f->has_money)
        pk_buf_printf(buf, "amount=%lld|", (long long)f->money.amount_minor);
    else
        pk_buf_text(buf, "amount=null|");
    pk_buf_printf(buf, "attributes=%d|identifiers=", f->attributes.ptr != NULL);
    for (uint32_t i = 0; i < f->identifier_count; i++) {
        support_uuid(f->identifier[i].hash, uuid);
        pk_buf_printf(buf, "%s:%.*s;", uuid, PK_STR_ARG(symbol_text(&s.symbols, f->identifier[i].name_space)));
    }
}

#define WORD(column) "coalesce((SELECT d.text FROM polku.dictionary d WHERE d.id = " column "), 'null')"
static const char written_sql[] =
    "SELECT format('staff=%%s|traits=%%s|topic=%%s|cause=%%s|product=%%s|location=%%s|stage=%%s|scale=%%s|rated=%%s|currency=%%s|kind=%%s|"
    "amount=%%s|attributes=%%s|identifiers=', coalesce(i.staff::text, 'null'), i.traits, " WORD("i.topic_id") ", " WORD("i.cause_id") ","
    " coalesce(i.product, 'null'), coalesce(i.location, 'null'), " WORD("i.stage_id") ", " WORD("i.rating_scale_id") ","
    " (i.rating_score IS NOT NULL)::int, " WORD("i.money_currency_id") ", " WORD("i.money_kind_id") ","
    " coalesce(i.money_amount_minor::text, 'null'), (i.attributes IS NOT NULL)::int)"
    " || coalesce((SELECT string_agg(id || ':' || " WORD("i.identifier_namespaces[n]") " || ';', '' ORDER BY n)"
    "              FROM unnest(i.identifiers) WITH ORDINALITY u (id, n)), '')"
    " FROM polku.interaction i WHERE i.event_hash = '%s'";

Test(store_round_trip, every_member_of_an_event_is_kept)
{
    enum { EVENTS = 300 };
    struct fact *fact[EVENTS];
    const struct pk_hash customer[2] = {support_hash(&s), {{0}}};
    struct pk_hash *relates = PK_NEW_ARRAY(&s.arena, struct pk_hash, EVENTS);
    size_t relating = 0;
    for (int i = 0; i < EVENTS; i++) {
        fact[i] = support_fact(&s, customer[i % 2]);
        *pk_vec_push(&s.changes.fact) = fact[i];
        if (i % 2 && !pk_hash_zero(fact[i]->relates))
            relates[relating++] = fact[i]->relates;
    }
    OK(support_save(&s, store, &err));

    struct store_facts own, nameless, all;
    struct store_journeys journeys;
    struct store_obligations obligations;
    OK(store_begin(store, STORE_SNAPSHOT, NULL, 0, NULL, 0, &err));
    OK(store_load_customers(store, &customer[0], 1, &s.arena, &own, &journeys, &obligations, NULL, &err));
    OK(store_load_nameless(store, relates, relating, &s.arena, &nameless, &err));
    OK(store_find_events(store, fact, EVENTS, &s.arena, &all, &err));
    OK(store_end_read(store, &err));
    cr_assert_eq(own.count, EVENTS / 2);
    cr_assert_eq(nameless.count, relating);
    cr_assert_eq(all.count, EVENTS);
    for (int i = 0; i < EVENTS; i++)
        same_fact(fact[i], find_fact(&all, fact[i]->event_hash));
    for (int i = 0; i < EVENTS; i += 2)
        same_fact(fact[i], find_fact(&own, fact[i]->event_hash));

    struct pk_buf expected PK_AUTO(pk_buf_done) = {0};
    for (int i = 0; i < 40; i++) {
        char uuid[37];
        support_uuid(fact[i]->event_hash, uuid);
        written_text(fact[i], &expected);
        cr_assert_str_eq(support_sql(&s, written_sql, uuid), expected.ptr);
        if (fact[i]->has_rating) {
            char text[100];
            snprintf(text, sizeof text, "%.17g %.17g %.17g", fact[i]->rating.score, fact[i]->rating.min, fact[i]->rating.max);
            cr_assert_str_eq(support_sql(&s, "SET extra_float_digits = 0; SELECT (rating_score = split_part('%s', ' ', 1)::float8"
                                             " AND rating_min = split_part('%s', ' ', 2)::float8 AND rating_max = split_part('%s', ' ', 3)::float8)"
                                             " FROM polku.interaction WHERE event_hash = '%s'", text, text, text, uuid), "t");
        }
    }
    cr_assert_str_eq(support_sql(&s, "SELECT bool_and(attributes = '{\"ä\": \"日本語 \\u0001 \\\"q\\\"\", \"b\": \"\"}'::jsonb)"
                                     " FROM polku.interaction WHERE attributes IS NOT NULL"), "t");
    cr_assert_str_eq(support_sql(&s, "SELECT count(*) FROM polku.interaction WHERE (customer_id IS NULL) <> (customer_kind IS NULL)"), "0");
}

Test(store_round_trip, every_member_of_journeys_and_obligations_is_kept_and_updated)
{
    enum { ROWS = 60 };
    const struct pk_hash customer = support_hash(&s);
    struct journey *journey[ROWS];
    struct obligation *obligation[ROWS];
    for (int round = 0; round < 2; round++) { /* the second updates what the first inserted */
        for (int i = 0; i < ROWS; i++) {
            struct journey *j = support_journey(&s, customer);
            struct obligation *o = support_obligation(&s, customer);
            if (round) {
                j->id = journey[i]->id, o->id = obligation[i]->id;
                j->old = journey[i], o->old = obligation[i];
            }
            *pk_vec_push(&s.changes.journey) = journey[i] = j;
            *pk_vec_push(&s.changes.obligation) = obligation[i] = o;
        }
        OK(support_save(&s, store, &err));
    }

    struct store_facts facts;
    struct store_journeys journeys;
    struct store_obligations obligations;
    OK(store_begin(store, STORE_SNAPSHOT, NULL, 0, NULL, 0, &err));
    OK(store_load_customers(store, &customer, 1, &s.arena, &facts, &journeys, &obligations, NULL, &err));
    OK(store_end_read(store, &err));
    cr_assert_eq(journeys.count, ROWS);
    cr_assert_eq(obligations.count, ROWS);
    for (int i = 0; i < ROWS; i++)
        for (size_t k = 0; k < ROWS; k++) {
            if (pk_hash_eq(journeys.journey[k].id, journey[i]->id))
                same_journey(journey[i], &journeys.journey[k]);
            if (pk_hash_eq(obligations.obligation[k].id, obligation[i]->id))
                same_obligation(obligation[i], &obligations.obligation[k]);
        }

    for (int i = 0; i < ROWS; i++) {
        *pk_vec_push(&s.changes.journey_gone) = journey[i]->id;
        *pk_vec_push(&s.changes.obligation_gone) = obligation[i]->id;
    }
    OK(support_save(&s, store, &err));
    cr_assert_str_eq(support_sql(&s, "SELECT (SELECT count(*) FROM polku.journey) + (SELECT count(*) FROM polku.obligation)"), "0");
}

Test(store_round_trip, keys_come_back_with_cell_version_and_customers)
{
    struct pk_hash key[3], customer[4];
    int64_t cell;
    for (int i = 0; i < 3; i++)
        key[i] = support_hash(&s);
    for (int i = 0; i < 4; i++)
        customer[i] = support_hash(&s);
    OK(store_new_cell(store, &cell, &err));
    *pk_vec_push(&s.changes.new_cell) = cell;
    *pk_vec_push(&s.changes.key) = (struct change_key){
        key[0], KEY_PERSON, support_sym(&s, "email"), cell, customer[0], KEY_LENDS | KEY_UNIQUE, EVENT_MIN_TIME_US, customer[2], PK_STR("ä@b")};
    *pk_vec_push(&s.changes.key) = (struct change_key){key[1], KEY_OBLIGATION, 0, cell, .first_at_us = PK_NO_TIME};
    for (int i = 1; i < 4; i++)
        *pk_vec_push(&s.changes.sighting) = (struct change_sighting){key[1], customer[i]};
    *pk_vec_push(&s.changes.customer) = (struct change_customer){customer[0], KEY_PERSON, support_sym(&s, "email")};
    *pk_vec_push(&s.changes.customer) = (struct change_customer){customer[1], KEY_CASE, 0};
    OK(support_save(&s, store, &err));
    uint64_t token = s.changes.token;

    struct store_keys keys;
    OK(store_begin(store, STORE_SNAPSHOT, NULL, 0, NULL, 0, &err));
    OK(store_load_keys(store, key, 3, &s.arena, &keys, &err));
    OK(store_end_read(store, &err));
    cr_assert_eq(keys.count, 2, "the third is not there");
    for (size_t i = 0; i < 2; i++) {
        const struct store_key *k = &keys.key[i];
        bool first = pk_hash_eq(k->hash, key[0]);
        cr_assert_eq(k->cell, cell);
        cr_assert_eq(k->version, token);
        cr_assert_eq(k->kind, first ? KEY_PERSON : KEY_OBLIGATION);
        cr_assert_eq(k->name_space, first ? support_sym(&s, "email") : 0);
        cr_assert_eq(k->flags, first ? KEY_LENDS | KEY_UNIQUE : 0);
        same_time(k->first_at_us, first ? EVENT_MIN_TIME_US : PK_NO_TIME, "first_at_us");
        same_hash(k->customer, first ? customer[2] : (struct pk_hash){0}, "customer");
        cr_assert_eq(k->apart_count, 0);
        cr_assert_eq(k->user_count, first ? 1 : 4);
        for (uint32_t c = 0; c < k->user_count; c++)
            cr_assert(first ? pk_hash_eq(k->user[c], customer[0])
                            : pk_hash_zero(k->user[c]) || pk_hash_eq(k->user[c], customer[1]) || pk_hash_eq(k->user[c], customer[2]) ||
                                  pk_hash_eq(k->user[c], customer[3]));
    }
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(concat_ws(' ', kind, namespace), ', ' ORDER BY kind) FROM bi.customer"), "case, person email");

    *pk_vec_push(&s.changes.sighting) = (struct change_sighting){key[1], customer[1]};
    *pk_vec_push(&s.changes.customer_gone) = customer[1];
    OK(support_save(&s, store, &err));
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(kind, ', ') FROM bi.customer"), "person");
}

Test(store_round_trip, events_move_between_journeys_and_a_displaced_copy_is_replaced)
{
    const struct pk_hash customer = support_hash(&s);
    struct fact *fact = support_plain_fact(&s, customer, INT64_C(1709251200000000));
    *pk_vec_push(&s.changes.fact) = fact;
    OK(support_save(&s, store, &err));

    const struct pk_hash journey = support_hash(&s);
    *pk_vec_push(&s.changes.move) = (struct change_move){fact->at_us, fact->event_hash, journey, customer};
    OK(support_save(&s, store, &err));
    char uuid[37];
    support_uuid(journey, uuid);
    cr_assert_str_eq(support_sql(&s, "SELECT journey_id FROM polku.interaction"), uuid);

    *pk_vec_push(&s.changes.move) = (struct change_move){fact->at_us, fact->event_hash, .customer = customer};
    OK(support_save(&s, store, &err));
    cr_assert_str_eq(support_sql(&s, "SELECT journey_id FROM polku.interaction"), "");

    struct fact winner = *fact;
    winner.content_hash = fact->content_hash / 2;
    winner.channel = support_sym(&s, "chat");
    *pk_vec_push(&s.changes.replaced) = fact;
    *pk_vec_push(&s.changes.fact) = &winner;
    OK(support_save(&s, store, &err));
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(channel, ',') FROM bi.interaction"), "chat");

    *pk_vec_push(&s.changes.replaced) = fact; /* not what is there any more */
    *pk_vec_push(&s.changes.fact) = fact;
    cr_assert_eq(support_save(&s, store, &err), PK_STALE, "%s", err.text);
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(channel, ',') FROM bi.interaction"), "chat");
}

static const struct course *find_course(const struct store_journeys *journeys, const struct change_course *row)
{
    for (size_t i = 0; i < journeys->count; i++) {
        const struct courses *courses = &journeys->journey[i].strand.courses;
        for (uint32_t k = 0; k < courses->count && pk_hash_eq(journeys->journey[i].id, row->journey->id); k++)
            if (courses->course[k].definition == row->course->definition)
                return &courses->course[k];
    }
    return NULL;
}

static void same_course(const struct course *a, const struct course *b)
{
    cr_assert_not_null(b, "a course was not loaded");
    SAME_TIME(start_at_us); SAME_TIME(goal_at_us);
    SAME(steps); SAME(violations); SAME(furthest);
    for (size_t i = 0; i < COURSE_PATH; i++)
        SAME(path[i]);
    for (size_t i = 0; i < RULES_MAX_MILESTONES; i++) {
        SAME_TIME(reached_at_us[i]);
        SAME(failures[i]);
    }
}

Test(store_round_trip, every_member_of_a_course_is_kept_and_updated)
{
    enum { JOURNEYS = 300 }; /* courses do not fit into one statement */
    const struct pk_hash customer = support_hash(&s);
    struct change_course row[JOURNEYS][2];
    support_rules(&s, store);
    for (int i = 0; i < JOURNEYS; i++) {
        struct journey *journey = support_journey(&s, customer);
        *pk_vec_push(&s.changes.journey) = journey;
        for (uint32_t d = 0; d < 2; d++)
            *pk_vec_push(&s.changes.course_new) = row[i][d] = (struct change_course){journey, support_course(&s, d)};
    }
    OK(support_save(&s, store, &err));
    for (int i = 0; i < JOURNEYS; i += 2)
        for (uint32_t d = 0; d < 2; d++)
            *pk_vec_push(&s.changes.course) = row[i][d] = (struct change_course){row[i][d].journey, support_course(&s, d)};
    OK(support_save(&s, store, &err));

    struct store_facts facts;
    struct store_journeys journeys;
    struct store_obligations obligations;
    OK(store_begin(store, STORE_SNAPSHOT, NULL, 0, NULL, 0, &err));
    OK(store_load_customers(store, &customer, 1, &s.arena, &facts, &journeys, &obligations, NULL, &err));
    OK(store_end_read(store, &err));
    cr_assert_eq(journeys.count, JOURNEYS);
    for (size_t i = 0; i < JOURNEYS; i++) {
        cr_assert_eq(journeys.journey[i].strand.courses.count, 2);
        cr_assert_lt(journeys.journey[i].strand.courses.course[0].definition, journeys.journey[i].strand.courses.course[1].definition);
        for (uint32_t d = 0; d < 2; d++)
            same_course(row[i][d].course, find_course(&journeys, &row[i][d]));
    }
    char journey[37], path[COURSE_TEXT], expected[200];
    for (int i = 0; i < 20; i++) {
        support_uuid(row[i][1].journey->id, journey);
        size_t len = course_path_text(row[i][1].course, path);
        snprintf(expected, sizeof expected, "order/2 %.*s %u 24 24", (int)len, path, (unsigned)course_skipped(row[i][1].course, &s.rules));
        cr_assert_str_eq(support_sql(&s, "SELECT concat(d.text, ' ', p.text, ' ', c.skipped, ' ', cardinality(c.reached_at), ' ', cardinality(c.failures))"
                                         " FROM polku.course c JOIN polku.dictionary d ON d.id = c.definition_id LEFT JOIN polku.dictionary p ON p.id = c.path_id"
                                         " WHERE c.journey_id = '%s' AND d.text = 'order/2'", journey), expected);
    }
    cr_assert_str_eq(support_sql(&s, "SELECT count(*) FROM polku.course WHERE (steps = 0) <> (path_id = 0)"), "0");

    for (int i = 0; i < JOURNEYS; i++)
        *pk_vec_push(&s.changes.course_gone) = (struct change_course_gone){row[i][0].journey->id, 0};
    OK(support_save(&s, store, &err));
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(DISTINCT d.text, ' ') || count(*) FROM polku.course c JOIN polku.dictionary d ON d.id = definition_id"),
                     "order/2300");
}

Test(store_round_trip, words_that_a_derivation_makes_last_as_long_as_its_transaction)
{
    const struct pk_hash customer = support_hash(&s);
    struct pk_err why;
    support_rules(&s, store);
    OK(store_ensure_dictionary(store, &err));
    struct course *course = support_course(&s, 0);
    course->steps = 2, course->path[0] = 2, course->path[1] = 1;
    memset(course->path + 2, 0, sizeof course->path - 2);
    for (int stale = 1; stale >= 0; stale--) { /* the first is refused by its guard, after the path has got its id */
        struct changes *c = &s.changes;
        OK(store_begin(store, STORE_LOCKED, &s.span, 1, NULL, 0, &err));
        *pk_vec_push(&c->course_new) = (struct change_course){support_journey(&s, customer), course};
        if (stale)
            *pk_vec_push(&c->guard) = (struct change_guard){4711, 1};
        c->span = &s.span, c->spans = 1, c->token = 1;
        OK(store_save_send(store, STORE_LOCKED, c, &err));
        cr_assert_eq(store_save_finish(store, &why), stale ? PK_STALE : PK_OK, "%s", why.text);
        cr_assert_str_eq(support_sql(&s, "SELECT count(*) FROM polku.dictionary WHERE text = '2>1'"), stale ? "0" : "1");
        changes_reset(c);
    }
    cr_assert_str_eq(support_sql(&s, "SELECT text FROM polku.course JOIN polku.dictionary ON id = path_id"), "2>1");
}

Test(store_round_trip, purchases_of_a_customer_are_inserted_and_change)
{
    const struct pk_hash customer[2] = {support_hash(&s), support_hash(&s)};
    struct change_customer row = {customer[0], KEY_PERSON, support_sym(&s, "email"), 3, 0, PK_HOUR_US};
    *pk_vec_push(&s.changes.customer) = row;
    *pk_vec_push(&s.changes.customer) = (struct change_customer){customer[1], KEY_DEVICE, support_sym(&s, "cookie"), 0, PK_NO_TIME, PK_NO_TIME};
    OK(support_save(&s, store, &err));
    static const char sql[] = "SELECT string_agg(concat_ws(' ', kind, purchases, first_purchase_at, last_purchase_at), ', ' ORDER BY kind) FROM polku.customer";
    cr_assert_str_eq(support_sql(&s, sql), "0 3 1970-01-01 00:00:00+00 1970-01-01 01:00:00+00, 1 0");

    row = (struct change_customer){.id = customer[1], .purchases = 1, .first_purchase_at_us = PK_HOUR_US, .last_purchase_at_us = PK_HOUR_US};
    *pk_vec_push(&s.changes.customer_purchases) = row;
    row = (struct change_customer){.id = customer[0], .first_purchase_at_us = PK_NO_TIME, .last_purchase_at_us = PK_NO_TIME};
    *pk_vec_push(&s.changes.customer_purchases) = row;
    OK(support_save(&s, store, &err));
    cr_assert_str_eq(support_sql(&s, sql), "0 0, 1 1 1970-01-01 01:00:00+00 1970-01-01 01:00:00+00");

    row.id = support_hash(&s);
    *pk_vec_push(&s.changes.customer_purchases) = row;
    cr_assert_eq(support_save(&s, store, &err), PK_STOP, "a customer that is not there");
}

/* ---- aggregates ---- */

/* The sums of a table's counts over all slots, as one text. */
static const char *sums(const struct aggregate_table *table)
{
    struct pk_buf sql PK_AUTO(pk_buf_done) = {0};
    pk_buf_text(&sql, "SELECT concat_ws(' ', count(*)");
    for (uint32_t i = 0; i < table->counts; i++)
        pk_buf_printf(&sql, ", sum(%s)", table->count[i]);
    pk_buf_printf(&sql, ") FROM polku.%s", table->name);
    return support_sql(&s, "%s", sql.ptr);
}

static void expect_sums(const struct aggregate_table *table, int rows, int first, int step)
{
    char expected[400];
    int len = snprintf(expected, sizeof expected, "%d", rows);
    for (uint32_t i = 0; i < table->counts; i++)
        len += snprintf(expected + len, sizeof expected - (size_t)len, " %d", first + step * (int)i);
    cr_assert_str_eq(sums(table), expected, "%s", table->name);
}

/* A bucket with another value in every dimension and count. */
static struct change_aggregate wide_bucket(enum aggregate table, int64_t at_us, int sign)
{
    struct change_aggregate row = support_bucket(&s, table, at_us, 0);
    char name[8];
    for (uint32_t i = 0; i < aggregate_tables[table].dims; i++) {
        snprintf(name, sizeof name, "d%u", i);
        row.dim[i] = aggregate_tables[table].symbols >> i & 1 ? (int32_t)support_sym(&s, name) : -5 - (int32_t)i;
    }
    for (uint32_t i = 0; i < aggregate_tables[table].counts; i++)
        ((int64_t *)row.count)[i] = sign * (int64_t)(10 + i);
    return row;
}

Test(store_round_trip, aggregates_add_up_over_slots)
{
    for (enum aggregate t = 0; t < AGGREGATE_COUNT; t++) {
        *pk_vec_push(&s.changes.aggregate) = support_bucket(&s, t, PK_NO_TIME, 1);
        *pk_vec_push(&s.changes.aggregate) = wide_bucket(t, 400000 * PK_HOUR_US, 1);
    }
    OK(support_save(&s, store, &err));
    for (enum aggregate t = 0; t < AGGREGATE_COUNT; t++) {
        const struct aggregate_table *table = &aggregate_tables[t];
        expect_sums(table, 2, 11, 1);
        *pk_vec_push(&s.changes.aggregate) = wide_bucket(t, 400000 * PK_HOUR_US, 1);
        struct pk_buf sql PK_AUTO(pk_buf_done) = {0}, expected PK_AUTO(pk_buf_done) = {0};
        pk_buf_printf(&sql, "SELECT concat_ws(' ', %s", table->time);
        pk_buf_text(&expected, "2015-08-19 16:00:00+00");
        for (uint32_t i = 0; i < table->dims; i++) {
            bool word = table->symbols >> i & 1;
            pk_buf_printf(&sql, word ? ", (SELECT text FROM polku.dictionary WHERE id = %s)" : ", %s", table->dim[i]);
            pk_buf_printf(&expected, word ? " d%d" : " %d", word ? (int)i : -5 - (int)i);
        }
        pk_buf_printf(&sql, ", slot) FROM polku.%s WHERE isfinite(%s)", table->name, table->time);
        pk_buf_printf(&expected, " %d", s.span.at.slot);
        cr_assert_str_eq(support_sql(&s, "%s", sql.ptr), expected.ptr, "%s", table->name);
        cr_assert_str_eq(support_sql(&s, "SELECT count(*) FROM polku.%s WHERE %s = 'infinity'", table->name, table->time), "1");
    }
    OK(support_save(&s, store, &err)); /* onto what is there */
    for (enum aggregate t = 0; t < AGGREGATE_COUNT; t++)
        expect_sums(&aggregate_tables[t], 2, 21, 2);

    s.span.at.slot += 1000; /* another writer takes it all away again */
    for (int i = 0; i < 2; i++) {
        for (enum aggregate t = 0; t < AGGREGATE_COUNT; t++)
            *pk_vec_push(&s.changes.aggregate) = wide_bucket(t, 400000 * PK_HOUR_US, -1);
        OK(support_save(&s, store, &err));
    }
    for (enum aggregate t = 0; t < AGGREGATE_COUNT; t++)
        expect_sums(&aggregate_tables[t], 3, 1, 0);
    cr_assert_str_eq(support_sql(&s, "SELECT min(interactions) FROM polku.interaction_hourly"), "-20");
}

Test(store_round_trip, many_buckets_of_one_table_travel_in_parts)
{
    enum { BUCKETS = 10000 };
    for (int i = 0; i < BUCKETS; i++)
        *pk_vec_push(&s.changes.aggregate) = support_bucket(&s, AGGREGATE_rating_hourly, i * PK_HOUR_US, 2);
    OK(support_save(&s, store, &err));
    cr_assert_str_eq(support_sql(&s, "SELECT count(*) || ' ' || sum(ratings) FROM polku.rating_hourly"), "10000 20000");
}

/* ---- rules ---- */

Test(store_round_trip, what_sql_needs_of_the_rules_is_written_with_them_once)
{
    struct symbols others;
    symbols_init(&others);
    struct store *second = support_open(&s, &others);
    support_rules(&s, store);
    OK(store_check_rules(store, &s.rules, s.rules.file_hash, &err));
    struct rules theirs = {.file_hash = s.rules.file_hash, .hashing_hash = s.rules.hashing_hash};
    OK(store_check_rules(second, &theirs, s.rules.file_hash, &err));
    store_close(second);
    symbols_done(&others);

    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(concat_ws(' ', calendar_id, name, zone, cardinality(brands), cardinality(units)), ', ' ORDER BY calendar_id) FROM polku.calendar"),
                     "1 shops Europe/Helsinki 2 3, 2 others UTC 0 0");
    cr_assert(pk_str_eq(symbol_text(&s.symbols, s.rules.calendar[0].unit[2]), pk_str(support_sql(&s, "SELECT units[3] FROM polku.calendar WHERE calendar_id = 1"))));
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(concat_ws(' ', calendar_id, n, from_at, to_at, before), ', ' ORDER BY calendar_id) FROM (SELECT calendar_id, count(*) AS n,"
                                     " min(from_at) AS from_at, max(to_at) AS to_at, max(before_us) / 3600000000 AS before FROM polku.calendar_open GROUP BY 1) o"),
                     "1 20000 1990-01-01 00:00:00+00 2044-10-03 08:00:00+00 159992, 2 1 1990-01-01 00:00:00+00 1990-01-01 08:00:00+00 0");
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(concat_ws(' ', place, text, within_us, business, across, handoff, valid_from, valid_to), ', ' ORDER BY place)"
                                     " FROM polku.kind JOIN polku.dictionary ON id = kind_id"),
                     "1 callback f f f -infinity infinity, 2 callback 3600000000 t f f 1990-01-01 00:00:00+00 1970-01-02 00:00:00+00,"
                     " 3 handoff 3600000000 f t t 1990-01-01 00:00:00+00 infinity");
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(concat_ws(' ', text, goal, window_us, (SELECT concat_ws(' ', count(*), min(milestone), max(milestone), min(name))"
                                     " FROM polku.milestone m WHERE m.definition_id = d.definition_id)), ', ' ORDER BY text)"
                                     " FROM polku.definition d JOIN polku.dictionary ON id = d.definition_id"),
                     "order/1 3 604800000000 3 1 3 tilattu 'ä', order/2 1 1 24 1 24 tilattu 'ä'");
    cr_assert_str_eq(support_sql(&s, "SELECT concat_ws(' ', effort_id, repeat_window_us) FROM polku.rules_state"), "effort-ä 86400000000");
}

Test(store_round_trip, quarantine_keeps_the_record_byte_by_byte)
{
    static const uint8_t value[] = {0, 1, 0xff, '\'', 0x80};
    const struct record_header header[] = {
        {PK_STR("träce\"\\\n"), {(const uint8_t *)"\x00\xff", 2}},
        {PK_STR("empty"), {(const uint8_t *)"", 0}},
        {PK_STR("null"), {NULL, 0}},
        {{"\xff\xfe", 2}, {value, 1}},
    };
    const struct record_headers headers = {header, PK_COUNT(header)};
    const struct change_quarantine row = {
        .topic = support_sym(&s, "test"),
        .partition = 7,
        .offset = INT64_MAX,
        .reason = REJECT_UNDECODABLE,
        .detail = {"a \xff byte", 8},
        .received_at_us = PK_NO_TIME,
        .value = {value, sizeof value},
        .headers = &headers,
    };
    struct change_quarantine other = row;
    other.offset = 1;
    other.key = (struct pk_bytes){(const uint8_t *)"", 0};
    other.value = (struct pk_bytes){0};
    other.headers = NULL;
    other.reason = REJECT_CONFLICTING_DUPLICATE;
    other.received_at_us = 0;
    for (int i = 0; i < 2; i++) { /* the second time changes nothing */
        *pk_vec_push(&s.changes.quarantine) = row;
        *pk_vec_push(&s.changes.quarantine) = other;
        OK(support_save(&s, store, &err));
    }
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(concat_ws('|', topic, partition, kafka_offset, reason, detail, value_bytes), ' ' ORDER BY kafka_offset)"
                                     " FROM bi.quarantine"),
                     "test|7|1|conflicting_duplicate|a ? byte test|7|9223372036854775807|undecodable|a ? byte|5");
    cr_assert_str_eq(support_sql(&s, "SELECT concat_ws('|', encode(value, 'hex'), key IS NULL, headers) FROM polku.quarantine WHERE kafka_offset > 1"),
                     "0001ff2780|t|[{\"name\": \"träce\\\"\\\\\\n\", \"value_hex\": \"00ff\"}, {\"name\": \"empty\", \"value_hex\": \"\"},"
                     " {\"name\": \"null\", \"value_hex\": null}, {\"name_hex\": \"fffe\", \"value_hex\": \"00\"}]");
    cr_assert_str_eq(support_sql(&s, "SELECT concat_ws('|', key = '', value IS NULL, headers IS NULL, received_at) FROM polku.quarantine WHERE kafka_offset = 1"),
                     "t|t|t|1970-01-01 00:00:00+00");
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(reason || records, ' ' ORDER BY reason) FROM bi.quarantine_by_reason"),
                     "conflicting_duplicate1 undecodable1");
}

Test(store_round_trip, text_that_another_process_added_is_understood)
{
    struct symbols others;
    symbols_init(&others);
    struct store *reader = support_open(&s, &others);
    const struct pk_hash customer = support_hash(&s);
    struct fact *fact = support_plain_fact(&s, customer, INT64_C(1709251200000000));
    fact->channel = support_sym(&s, "semaphore");
    *pk_vec_push(&s.changes.fact) = fact;
    OK(support_save(&s, store, &err));

    struct store_facts facts;
    struct store_journeys journeys;
    struct store_obligations obligations;
    OK(store_begin(reader, STORE_SNAPSHOT, NULL, 0, NULL, 0, &err));
    OK(store_load_customers(reader, &customer, 1, &s.arena, &facts, &journeys, &obligations, NULL, &err));
    OK(store_end_read(reader, &err));
    cr_assert_eq(facts.count, 1);
    cr_assert(pk_str_eq(symbol_text(&others, facts.fact[0].channel), PK_STR("semaphore")));
    OK(store_ensure_dictionary(reader, &err));
    store_close(reader);
    symbols_done(&others);
}
