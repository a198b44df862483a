/* SPDX-License-Identifier: Apache-2.0 */
/* What is saved is what is loaded: every column of every table, with nulls, Unicode and extremes. */
#include <criterion/criterion.h>
#include <stdio.h>
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
    SAME(events); SAME(contacts); SAME(switches); SAME(handoffs_offered); SAME(handoffs_accepted); SAME(unanswered); SAME(refusals);
    SAME(resolved); SAME(crowd);
    same_list(&a->channels, &b->channels); same_list(&a->brands, &b->brands); same_list(&a->units, &b->units);
}

static void same_obligation(const struct obligation *a, const struct obligation *b)
{
    SAME_HASH(id); SAME_HASH(customer); SAME_HASH(journey); SAME_HASH(case_key); SAME_HASH(opened_by); SAME_HASH(fulfilled_by);
    SAME(kind); SAME(explicit_); SAME(label); SAME(brand); SAME(unit); SAME(role); SAME(attempts);
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

/* The members that are only written, as one text; must equal that of `written_sql`. */
static void written_text(const struct fact *f, struct pk_buf *buf)
{
    char uuid[37] = "null";
    pk_buf_reset(buf);
    if (!pk_hash_zero(f->staff))
        support_uuid(f->staff, uuid);
    pk_buf_printf(buf, "staff=%s|", uuid);
    add_text(buf, "topic", f->topic);
    add_text(buf, "cause", f->cause);
    add_text(buf, "product", f->product);
    add_text(buf, "location", f->location);
    add_text(buf, "stage", f->stage);
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

static const char written_sql[] =
    "SELECT format('staff=%%s|topic=%%s|cause=%%s|product=%%s|location=%%s|stage=%%s|scale=%%s|rated=%%s|currency=%%s|kind=%%s|amount=%%s|"
    "attributes=%%s|identifiers=', coalesce(i.staff::text, 'null'), coalesce(i.topic, 'null'), coalesce(i.cause, 'null'),"
    " coalesce(i.product, 'null'), coalesce(i.location, 'null'), coalesce(i.stage, 'null'), coalesce(b.rating_scale, 'null'),"
    " (i.rating_score IS NOT NULL)::int, coalesce(b.money_currency, 'null'), coalesce(b.money_kind, 'null'),"
    " coalesce(i.money_amount_minor::text, 'null'), (i.attributes IS NOT NULL)::int)"
    " || coalesce((SELECT string_agg(id || ':' || b.identifier_namespaces[n] || ';', '' ORDER BY n)"
    "              FROM unnest(i.identifiers) WITH ORDINALITY u (id, n)), '')"
    " FROM polku.interaction i JOIN bi.interaction b USING (occurred_at, event_hash) WHERE i.event_hash = '%s'";

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
    OK(store_load_customers(store, &customer[0], 1, &s.arena, &own, &journeys, &obligations, &err));
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
    OK(store_load_customers(store, &customer, 1, &s.arena, &facts, &journeys, &obligations, &err));
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

Test(store_round_trip, aggregates_add_up_over_slots)
{
    const sym_t brand = support_sym(&s, "Aurora"), type = support_sym(&s, "contact.inbound"), kind = support_sym(&s, "callback");
    const struct change_interactions up = {3600 * PK_SECOND_US * 400000, brand, 0, type, 0, 5, 2};
    struct change_interactions down = up;
    down.interactions = -5;
    down.contacts = -2;
    struct change_obligations opened = {kind, brand, 0, PK_NO_TIME, 1, 0, 0, 0, 0, 0, 0};
    struct change_obligations late = {kind, brand, 0, PK_HOUR_US * 400000, 7, 1, 2, 3, 4, 5, 6};

    *pk_vec_push(&s.changes.interactions) = up;
    *pk_vec_push(&s.changes.obligations) = opened;
    *pk_vec_push(&s.changes.obligations) = late;
    OK(support_save(&s, store, &err));
    *pk_vec_push(&s.changes.interactions) = up;
    OK(support_save(&s, store, &err));
    cr_assert_str_eq(support_sql(&s, "SELECT concat_ws(' ', brand, type, interactions, contacts) FROM bi.interaction_hourly"),
                     "Aurora contact.inbound 10 4");
    cr_assert_str_eq(support_sql(&s, "SELECT count(*) FROM polku.interaction_hourly"), "1");
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(concat_ws(' ', due_hour, kind, opened, kept, kept_late_in_window, late, attempted,"
                                     " rejected, withdrawn), ', ' ORDER BY due_hour) FROM bi.obligation_hourly"),
                     "2015-08-19 16:00:00+00 callback 7 1 2 3 4 5 6, callback 1 0 0 0 0 0 0");

    s.span.at.slot += 1000; /* another writer takes it all away again */
    for (int i = 0; i < 2; i++) {
        *pk_vec_push(&s.changes.interactions) = down;
        OK(support_save(&s, store, &err));
    }
    cr_assert_str_eq(support_sql(&s, "SELECT count(*) FROM polku.interaction_hourly"), "2");
    cr_assert_str_eq(support_sql(&s, "SELECT count(*) FROM bi.interaction_hourly"), "0");
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
    OK(store_load_customers(reader, &customer, 1, &s.arena, &facts, &journeys, &obligations, &err));
    OK(store_end_read(reader, &err));
    cr_assert_eq(facts.count, 1);
    cr_assert(pk_str_eq(symbol_text(&others, facts.fact[0].channel), PK_STR("semaphore")));
    OK(store_ensure_dictionary(reader, &err));
    store_close(reader);
    symbols_done(&others);
}
