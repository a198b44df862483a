/* SPDX-License-Identifier: Apache-2.0 */
/* Identity in the tables: keys and their customers, meetings, events of a name, moves, decisions, views; stores that
 * are stepped, and stores of another schema. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include "store_support.h"

#define AT INT64_C(1709251200000000) /* 2024-03-01 */

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

TestSuite(store_identity, .init = init, .fini = done);

#define OK(call) cr_assert_eq((call), PK_OK, "%s", err.text)
#define GIVES(status, call)                                                                                          \
    do {                                                                                                             \
        enum pk_status got = (call);                                                                                 \
        cr_assert_eq(got, status, "%s: %s", pk_status_name(got), err.text);                                          \
    } while (0)

static const struct pk_hash nobody;

static struct change_key key(struct pk_hash hash, enum key_kind kind, struct pk_hash owner, uint32_t flags, struct pk_hash customer)
{
    return (struct change_key){.hash = hash, .kind = kind, .name_space = kind == KEY_PERSON ? support_sym(&s, "email") : 0, .cell = 1,
                               .owner = owner, .flags = flags, .first_at_us = PK_NO_TIME, .customer = customer};
}

/* A guard cell with id 1, for all keys. */
static void add_cell(void)
{
    *pk_vec_push(&s.changes.new_cell) = 1;
    OK(support_save(&s, store, &err));
}

static void begin(void)
{
    OK(store_begin(store, STORE_SNAPSHOT, NULL, 0, NULL, 0, &err));
}

/* ---- keys ---- */

static bool among(const struct pk_hash *hash, size_t count, struct pk_hash one)
{
    for (size_t i = 0; i < count; i++)
        if (pk_hash_eq(hash[i], one))
            return true;
    return false;
}

static struct store_key load_key(struct pk_hash hash)
{
    struct store_keys keys;
    begin();
    OK(store_load_keys(store, &hash, 1, &s.arena, &keys, &err));
    OK(store_end_read(store, &err));
    cr_assert_eq(keys.count, 1);
    return keys.key[0];
}

Test(store_identity, users_of_a_key_are_the_customers_that_were_written)
{
    const struct pk_hash device = support_hash(&s), a = support_hash(&s), b = support_hash(&s), c = support_hash(&s),
                         cookie = support_hash(&s);
    add_cell();
    *pk_vec_push(&s.changes.key) = key(device, KEY_DEVICE, a, 0, nobody);
    *pk_vec_push(&s.changes.key) = key(a, KEY_PERSON, a, KEY_UNIQUE, a);
    *pk_vec_push(&s.changes.key) = key(b, KEY_PERSON, b, 0, a);
    *pk_vec_push(&s.changes.key) = key(c, KEY_PERSON, c, 0, c);
    *pk_vec_push(&s.changes.sighting) = (struct change_sighting){device, b};
    *pk_vec_push(&s.changes.sighting) = (struct change_sighting){device, c};
    *pk_vec_push(&s.changes.sighting) = (struct change_sighting){device, cookie};
    *pk_vec_push(&s.changes.sighting) = (struct change_sighting){device, nobody};
    OK(support_save(&s, store, &err));

    struct store_key row = load_key(device);
    cr_assert_eq(row.user_count, 5, "whoever is one now: their events were written under their names");
    cr_assert(among(row.user, 5, a) && among(row.user, 5, b) && among(row.user, 5, c) && among(row.user, 5, cookie) &&
              among(row.user, 5, nobody));
    cr_assert_eq(row.kind, KEY_DEVICE);

    *pk_vec_push(&s.changes.key_state) = (struct change_key_state){a, KEY_UNIQUE | KEY_LENDS, AT, c};
    *pk_vec_push(&s.changes.key_state) = (struct change_key_state){b, 0, AT + 1, b};
    *pk_vec_push(&s.changes.key_state) = (struct change_key_state){device, KEY_LENDS, PK_NO_TIME, nobody};
    OK(support_save(&s, store, &err));
    row = load_key(device);
    cr_assert_eq(row.user_count, 5);
    cr_assert_eq(row.flags, KEY_LENDS);
    row = load_key(a);
    cr_assert_eq(row.flags, KEY_UNIQUE | KEY_LENDS);
    cr_assert_eq(row.first_at_us, AT);
    cr_assert(pk_hash_eq(row.customer, c));
    cr_assert_eq(row.user_count, 1);
    cr_assert(pk_hash_eq(row.user[0], a));

    *pk_vec_push(&s.changes.key_state) = (struct change_key_state){a, KEY_IS_SHARED, AT, nobody}; /* then it is called a again */
    OK(support_save(&s, store, &err));
    row = load_key(device);
    cr_assert(among(row.user, row.user_count, a));
    cr_assert(pk_hash_zero(load_key(a).customer));

    *pk_vec_push(&s.changes.key_state) = (struct change_key_state){support_hash(&s), 0, AT, nobody};
    GIVES(PK_STOP, support_save(&s, store, &err)); /* nobody may change a key that is not there */
}

/* ---- decisions ---- */

static void decide(enum decision_kind kind, bool restore, struct pk_hash a, struct pk_hash b)
{
    *pk_vec_push(&s.changes.decision) = (struct change_decision){
        .kind = kind, .restore = restore, .a = a, .b = b, .kind_a = KEY_PERSON, .kind_b = KEY_DEVICE, .name_space_a = support_sym(&s, "email"),
        .name_space_b = support_sym(&s, "cookie"), .by = PK_STR("Päivi"), .note = restore ? PK_STR("a mistake") : (struct pk_str){0}};
}

Test(store_identity, decisions_are_in_force_until_they_are_restored)
{
    struct pk_hash a = support_hash(&s), b = support_hash(&s);
    if (pk_hash_cmp(a, b) > 0) {
        struct pk_hash swap = a;
        a = b, b = swap;
    }
    add_cell();
    *pk_vec_push(&s.changes.key) = key(a, KEY_PERSON, a, KEY_APART, a);
    *pk_vec_push(&s.changes.key) = key(b, KEY_PERSON, b, KEY_APART, b);
    decide(DECIDE_APART, false, a, b);
    decide(DECIDE_BLOCK, false, a, nobody);
    decide(DECIDE_UNLINK, false, a, nobody);
    OK(support_save(&s, store, &err));
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(concat_ws('|', d.kind, a_kind, coalesce(b_kind::text, '-'), x.text, coalesce(y.text, '-'), decided_by,"
                                     " note IS NULL, restored_at IS NULL), ' ' ORDER BY d.kind) FROM polku.decision d"
                                     " LEFT JOIN polku.dictionary x ON x.id = a_namespace_id LEFT JOIN polku.dictionary y ON y.id = b_namespace_id"),
                     "0|0|-|email|-|Päivi|t|t 1|0|-|email|-|Päivi|t|t 2|0|1|email|cookie|Päivi|t|t");
    struct store_key row = load_key(a);
    cr_assert_eq(row.apart_count, 1);
    cr_assert(pk_hash_eq(row.apart[0], b));
    row = load_key(b);
    cr_assert_eq(row.apart_count, 1);
    cr_assert(pk_hash_eq(row.apart[0], a));

    decide(DECIDE_BLOCK, false, a, nobody);
    GIVES(PK_STALE, support_save(&s, store, &err)); /* once is enough */
    changes_reset(&s.changes);

    for (int round = 0; round < 2; round++) {
        decide(DECIDE_APART, true, a, b);
        decide(DECIDE_BLOCK, true, a, nobody);
        OK(support_save(&s, store, &err));
        cr_assert_eq(load_key(a).apart_count, 0);
        decide(DECIDE_BLOCK, true, a, nobody);
        GIVES(PK_STALE, support_save(&s, store, &err));
        cr_assert(strstr(err.text, "PK002"), "%s", err.text);
        changes_reset(&s.changes);
        decide(DECIDE_APART, false, a, b); /* again */
        decide(DECIDE_BLOCK, false, a, nobody);
        OK(support_save(&s, store, &err));
    }
    cr_assert_str_eq(support_sql(&s, "SELECT concat_ws(' ', count(*), count(*) FILTER (WHERE restored_at IS NULL), count(*) FILTER (WHERE restored_by = 'Päivi'"
                                     " AND restored_note = 'a mistake')) FROM polku.decision"),
                     "7 3 4");
}

/* ---- meetings ---- */

static struct store_meeting *meeting(uint32_t count)
{
    struct store_meeting *m = PK_NEW(&s.arena, struct store_meeting);
    *m = (struct store_meeting){
        .id = support_hash(&s),
        .person = PK_NEW_ARRAY(&s.arena, struct pk_hash, count),
        .name_space = PK_NEW_ARRAY(&s.arena, sym_t, count),
        .count = count,
        .first_at_us = AT + (int64_t)support_random(&s, PK_DAY_US),
        .first_sequence = support_random(&s, 2) ? INT64_MIN : INT64_MAX,
        .first_source = support_sym(&s, "shop"),
        .first_event_id = PK_STR("tapahtuma-ä/1"),
    };
    for (uint32_t i = 0; i < count; i++) {
        m->person[i] = support_hash(&s);
        m->name_space[i] = support_sym(&s, i % 2 ? "email" : "garage/customer_id");
    }
    return m;
}

static void same_meeting(const struct store_meeting *a, const struct store_meeting *b)
{
    cr_assert(pk_hash_eq(a->id, b->id));
    cr_assert_eq(a->count, b->count);
    for (uint32_t i = 0; i < a->count; i++) {
        cr_assert(pk_hash_eq(a->person[i], b->person[i]));
        cr_assert_eq(a->name_space[i], b->name_space[i]);
    }
    cr_assert_eq(a->first_at_us, b->first_at_us);
    cr_assert_eq(a->first_sequence, b->first_sequence);
    cr_assert_eq(a->first_source, b->first_source);
    cr_assert(pk_str_eq(a->first_event_id, b->first_event_id));
}

static struct store_meetings load_meetings(const struct pk_hash *hash, const struct pk_hash *id, size_t count)
{
    struct store_meetings ret;
    begin();
    OK(store_load_meetings(store, hash, id, count, &s.arena, &ret, &err));
    OK(store_end_read(store, &err));
    return ret;
}

Test(store_identity, meetings_are_added_changed_and_removed_person_by_person)
{
    enum { MEETINGS = 3000 }; /* more than one statement takes */
    struct store_meeting *m[MEETINGS];
    for (int i = 0; i < MEETINGS; i++) {
        m[i] = meeting(2 + (uint32_t)i % 3);
        if (i > 0 && i % 10)
            m[i]->person[0] = m[i - 1]->person[0]; /* ten meetings of one person */
        for (uint32_t k = 0; k < m[i]->count; k++)
            *pk_vec_push(&s.changes.meeting_new) = (struct change_meeting){m[i]->person[k], m[i]};
    }
    OK(support_save(&s, store, &err));

    struct store_meetings found = load_meetings(m[0]->person, NULL, 1);
    cr_assert_eq(found.count, 10);
    found = load_meetings((const struct pk_hash[]){m[0]->person[0], m[0]->person[1], m[25]->person[1]}, NULL, 3);
    cr_assert_eq(found.count, 11, "each once");
    for (size_t i = 0; i < found.count; i++)
        for (int k = 0; k < MEETINGS; k++)
            if (pk_hash_eq(found.meeting[i].id, m[k]->id))
                same_meeting(m[k], &found.meeting[i]);
    found = load_meetings((const struct pk_hash[]){m[7]->person[0], m[7]->person[1], m[8]->person[1]},
                          (const struct pk_hash[]){m[7]->id, m[7]->id, m[7]->id}, 3);
    cr_assert_eq(found.count, 1);
    same_meeting(m[7], &found.meeting[0]);
    cr_assert_eq(load_meetings(NULL, NULL, 0).count, 0);

    for (int i = 0; i < MEETINGS; i++) {
        m[i]->first_at_us = AT - i;
        m[i]->first_sequence = i;
        m[i]->first_source = support_sym(&s, "web");
        m[i]->first_event_id = PK_STR("earlier");
        for (uint32_t k = 0; k < m[i]->count; k++)
            *pk_vec_push(&s.changes.meeting_first) = (struct change_meeting){m[i]->person[k], m[i]};
    }
    OK(support_save(&s, store, &err));
    for (int i = 0; i < MEETINGS; i += 500)
        for (uint32_t k = 0; k < m[i]->count; k++) {
            found = load_meetings(&m[i]->person[k], &m[i]->id, 1);
            cr_assert_eq(found.count, 1);
            same_meeting(m[i], &found.meeting[0]);
        }

    for (int i = 0; i < MEETINGS; i += 2)
        for (uint32_t k = 0; k < m[i]->count; k++)
            *pk_vec_push(&s.changes.meeting_gone) = (struct change_meeting){m[i]->person[k], m[i]};
    OK(support_save(&s, store, &err));
    cr_assert_eq(load_meetings(m[0]->person, NULL, 1).count, 5);

    *pk_vec_push(&s.changes.meeting_new) = (struct change_meeting){m[1]->person[0], m[1]};
    GIVES(PK_STALE, support_save(&s, store, &err));
    changes_reset(&s.changes);
    *pk_vec_push(&s.changes.meeting_gone) = (struct change_meeting){m[0]->person[0], m[0]};
    GIVES(PK_STOP, support_save(&s, store, &err));
    changes_reset(&s.changes);
    *pk_vec_push(&s.changes.meeting_first) = (struct change_meeting){m[0]->person[0], m[0]};
    GIVES(PK_STOP, support_save(&s, store, &err));
}

/* ---- events of a name, moves ---- */

static struct fact *event(struct pk_hash customer, int64_t at_us, struct pk_hash name, struct pk_hash case_key)
{
    struct fact *f = support_plain_fact(&s, customer, at_us);
    struct fact_identifier *identifier = PK_NEW_ARRAY(&s.arena, struct fact_identifier, 2);
    identifier[1] = (struct fact_identifier){.hash = name, .name_space = support_sym(&s, "cookie")};
    f->identifier = identifier;
    f->identifier_count = pk_hash_zero(name) ? 0 : 2; /* the first one is blocked */
    f->case_key = case_key;
    *pk_vec_push(&s.changes.fact) = f;
    return f;
}

static size_t seen(struct pk_hash name, int64_t from_us, int64_t to_us)
{
    const struct store_window window = {name, from_us, to_us};
    struct store_facts facts;
    begin();
    OK(store_load_seen(store, &window, 1, &s.arena, &facts, &err));
    OK(store_end_read(store, &err));
    for (size_t i = 0; i < facts.count; i++) {
        const struct fact *f = &facts.fact[i];
        cr_assert(f->stored && (pk_hash_eq(f->case_key, name) || (f->identifier_count == 2 && pk_hash_eq(f->identifier[1].hash, name))));
    }
    return facts.count;
}

static void move(const struct fact *fact, struct pk_hash journey, struct pk_hash customer, enum key_kind kind, struct pk_hash sighted)
{
    *pk_vec_push(&s.changes.move) = (struct change_move){fact->at_us, fact->event_hash, journey, customer, sighted, kind};
}

Test(store_identity, events_of_a_name_are_found_within_its_window)
{
    const struct pk_hash device = support_hash(&s), case_key = support_hash(&s), a = support_hash(&s), b = support_hash(&s);
    add_cell();
    *pk_vec_push(&s.changes.key) = key(device, KEY_DEVICE, device, 0, nobody);
    *pk_vec_push(&s.changes.key) = key(case_key, KEY_CASE, a, 0, nobody);
    *pk_vec_push(&s.changes.key) = key(a, KEY_PERSON, a, 0, a);
    *pk_vec_push(&s.changes.key) = key(b, KEY_PERSON, b, 0, b);
    *pk_vec_push(&s.changes.sighting) = (struct change_sighting){device, a};
    struct fact *f[] = {
        event(device, AT, device, nobody),          event(a, AT + 10, device, case_key),        event(a, AT + 20, device, nobody),
        event(a, AT + 30, nobody, case_key),        event(a, AT + 40, support_hash(&s), nobody), event(b, AT + 15, device, nobody),
        event(a, EVENT_MIN_TIME_US, device, nobody), event(a, EVENT_MAX_TIME_US - 1, device, nobody),
    };
    OK(support_save(&s, store, &err));

    cr_assert_eq(seen(device, AT, AT + 20), 3, "both ends count; b is no user of the device");
    cr_assert_eq(seen(device, AT + 1, AT + 19), 1);
    cr_assert_eq(seen(device, AT + 21, AT + 20), 0);
    cr_assert_eq(seen(device, INT64_MIN, AT), 2);
    cr_assert_eq(seen(device, AT + 20, INT64_MAX), 2);
    cr_assert_eq(seen(device, INT64_MIN, INT64_MAX), 5);
    cr_assert_eq(seen(device, INT64_MIN, EVENT_MIN_TIME_US), 1);
    cr_assert_eq(seen(device, INT64_MIN + 5, EVENT_MIN_TIME_US - 1), 0);
    cr_assert_eq(seen(device, EVENT_MAX_TIME_US - 1, INT64_MAX - 5), 1);
    cr_assert_eq(seen(case_key, INT64_MIN, INT64_MAX), 2);
    cr_assert_eq(seen(a, INT64_MIN, INT64_MAX), 0, "nobody carries it");
    cr_assert_eq(seen(support_hash(&s), INT64_MIN, INT64_MAX), 0);

    const struct store_window both[] = {{device, AT, AT + 20}, {case_key, AT, AT + 30}, {device, AT + 10, AT + 20}};
    struct store_facts facts;
    begin();
    OK(store_load_seen(store, both, 3, &s.arena, &facts, &err));
    OK(store_end_read(store, &err));
    cr_assert_eq(facts.count, 4, "each once");
    OK(store_load_seen(store, both, 0, &s.arena, &facts, &err));
    cr_assert_eq(facts.count, 0);

    /* a becomes b: what moves tells its names so */
    *pk_vec_push(&s.changes.sighting) = (struct change_sighting){case_key, b};
    *pk_vec_push(&s.changes.sighting) = (struct change_sighting){device, b};
    *pk_vec_push(&s.changes.key_state) = (struct change_key_state){a, 0, EVENT_MIN_TIME_US, b};
    for (size_t i = 1; i < 8; i++)
        if (i != 5)
            move(f[i], nobody, b, KEY_PERSON, nobody);
    OK(support_save(&s, store, &err));
    cr_assert_eq(seen(device, AT, AT + 20), 4, "b's own is found too");
    cr_assert_eq(seen(case_key, INT64_MIN, INT64_MAX), 2);

    /* the device is blocked: its anonymous event is nobody's, and found nevertheless */
    *pk_vec_push(&s.changes.sighting) = (struct change_sighting){device, nobody};
    move(f[0], nobody, nobody, KEY_PERSON, nobody);
    OK(support_save(&s, store, &err));
    cr_assert_eq(seen(device, AT, AT), 1);
    cr_assert_eq(seen(device, AT, AT + 20), 4);
}

Test(store_identity, events_move_between_customers)
{
    const struct pk_hash device = support_hash(&s), person = support_hash(&s), journey = support_hash(&s);
    struct fact *f = event(device, AT, device, nobody);
    f->customer_kind = KEY_DEVICE;
    struct fact *other = event(device, AT + 1, device, nobody);
    other->customer_kind = KEY_DEVICE;
    OK(support_save(&s, store, &err));

    struct store_facts facts;
    struct fact *const wanted[] = {f};
    const struct {
        struct pk_hash journey, customer, sighted;
        enum key_kind kind;
    } step[] = {{journey, person, person, KEY_PERSON}, {nobody, device, nobody, KEY_SHARED}, {nobody, nobody, nobody, KEY_PERSON},
                {journey, device, person, KEY_CASE}};
    for (size_t i = 0; i < PK_COUNT(step); i++) {
        move(f, step[i].journey, step[i].customer, step[i].kind, step[i].sighted);
        OK(support_save(&s, store, &err));
        begin();
        OK(store_find_events(store, wanted, 1, &s.arena, &facts, &err));
        OK(store_end_read(store, &err));
        cr_assert_eq(facts.count, 1);
        cr_assert(pk_hash_eq(facts.fact->stored_journey, step[i].journey));
        cr_assert(pk_hash_eq(facts.fact->stored_customer, step[i].customer) && pk_hash_eq(facts.fact->customer, step[i].customer));
        cr_assert(pk_hash_eq(facts.fact->stored_sighted, step[i].sighted) && pk_hash_eq(facts.fact->sighted, step[i].sighted));
        cr_assert_eq(facts.fact->stored_kind, step[i].kind);
    }
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(concat_ws(' ', customer_kind, sighted_id IS NULL), ', ' ORDER BY occurred_at) FROM bi.interaction"),
                     "case f, device t");
    move(f, nobody, device, KEY_SHARED, nobody);
    move(other, nobody, nobody, KEY_PERSON, nobody);
    OK(support_save(&s, store, &err));
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(coalesce(customer_kind, 'none'), ', ' ORDER BY occurred_at) FROM bi.interaction"), "shared, none");
}

/* Plans are made when the tables are empty, and kept; as in store_commit. */
Test(store_identity, rows_are_found_by_key_however_the_tables_have_grown)
{
    enum { ROWS = 20000 };
    const struct store_config hasty = {.conninfo = s.conninfo, .statement_timeout_us = 3 * PK_SECOND_US};
    store_close(store);
    OK(store_open(&hasty, &s.symbols, &store, &err));
    support_claim(&s, store);
    add_cell();
    for (int round = 0; round < 2; round++) { /* the first makes the plans */
        size_t rows = round ? ROWS : 1;
        struct pk_hash *person = PK_NEW_ARRAY(&s.arena, struct pk_hash, ROWS), *id = PK_NEW_ARRAY(&s.arena, struct pk_hash, ROWS);
        struct store_window *window = PK_NEW_ARRAY(&s.arena, struct store_window, ROWS);
        struct store_meeting **m = PK_NEW_ARRAY(&s.arena, struct store_meeting *, ROWS);
        struct fact *sample = event(nobody, AT, support_hash(&s), nobody);
        s.changes.fact.len = 0;
        for (size_t i = 0; i < rows; i++) {
            m[i] = meeting(2);
            person[i] = m[i]->person[0];
            id[i] = m[i]->id;
            struct fact *f = PK_NEW(&s.arena, struct fact);
            *f = *sample;
            f->at_us += (int64_t)i * PK_SECOND_US;
            f->event_hash = support_hash(&s);
            f->customer = m[i]->person[1];
            f->case_key = person[i];
            *pk_vec_push(&s.changes.fact) = f;
            for (int k = 0; k < 2; k++)
                *pk_vec_push(&s.changes.key) = key(m[i]->person[k], KEY_PERSON, m[i]->person[1], 0, m[i]->person[1]);
            *pk_vec_push(&s.changes.meeting_new) = (struct change_meeting){person[i], m[i]};
            window[i] = (struct store_window){person[i], f->at_us, f->at_us};
        }
        OK(support_save(&s, store, &err));

        struct store_keys keys;
        struct store_meetings meetings;
        struct store_facts facts;
        begin();
        OK(store_load_keys(store, person, rows, &s.arena, &keys, &err));
        cr_assert_eq(keys.count, rows);
        OK(store_load_meetings(store, person, NULL, rows, &s.arena, &meetings, &err));
        cr_assert_eq(meetings.count, rows);
        OK(store_load_meetings(store, person, id, rows, &s.arena, &meetings, &err));
        cr_assert_eq(meetings.count, rows);
        OK(store_load_seen(store, window, rows, &s.arena, &facts, &err));
        cr_assert_eq(facts.count, rows);
        OK(store_end_read(store, &err));

        for (size_t i = 0; i < rows; i++) {
            *pk_vec_push(&s.changes.key_state) = (struct change_key_state){person[i], 0, AT, person[i]};
            if (i % 2)
                *pk_vec_push(&s.changes.meeting_first) = (struct change_meeting){person[i], m[i]};
            else
                *pk_vec_push(&s.changes.meeting_gone) = (struct change_meeting){person[i], m[i]};
        }
        OK(support_save(&s, store, &err));
    }
}

/* ---- views ---- */

/* Identifiers are called by their value: hash = md5(value), so their order by hash is that of the digests. */
static const char population[] =
    "CREATE FUNCTION h(name text) RETURNS uuid LANGUAGE sql AS 'SELECT md5(name)::uuid';"
    "SELECT polku.intern(ARRAY['loyalty', 'email', 'phone', 'a/card', 'b/card', 'shop', 'web']);"
    "CREATE FUNCTION d(name text) RETURNS int LANGUAGE sql AS 'SELECT id FROM polku.dictionary WHERE text = name';"
    "CREATE FUNCTION person(name text, namespace text, flags int, customer text) RETURNS void LANGUAGE sql AS $$"
    " INSERT INTO polku.identifier (cell_id, kind, hash, namespace_id, flags, customer_id, value, first_at)"
    " VALUES (1, 0, h(name), d(namespace), flags, h(customer), name, '2024-01-01') $$;"
    "CREATE FUNCTION meet(names text[], at timestamptz, sequence int, source text, event_id text) RETURNS void LANGUAGE sql AS $$"
    " INSERT INTO polku.identity_meeting (identifier, meeting_id, members, member_namespaces, first_at, first_sequence, first_source_id, first_event_id)"
    " SELECT h(n), md5(names::text)::uuid, ARRAY(SELECT h(m) FROM unnest(names) m),"
    " ARRAY(SELECT (SELECT namespace_id FROM polku.identifier WHERE value = m) FROM unnest(names) m), at, sequence, d(source), event_id FROM unnest(names) n $$;"
    "SELECT person('L1', 'loyalty', 64, 'L1'), person('e1', 'email', 0, 'L1'), person('p1', 'phone', 4, 'L1'),"
    " person('L2', 'loyalty', 64, 'L2'), person('e2', 'email', 0, 'L2'), person('sh', 'phone', 1, NULL), person('al', 'email', 16, 'al'),"
    " person('bl', 'email', 8, NULL), person('o1', 'email', 2, 'o1'), person('o2', 'phone', 2, 'o2'),"
    " person('x1', 'email', 32, 'x1'), person('x2', 'phone', 0, 'y2'), person('y2', 'loyalty', 96, 'y2'),"
    " person('s1', 'email', 0, 's1'), person('s2', 'email', 0, 's1'), person('c1', 'a/card', 0, 'c1'), person('c2', 'b/card', 0, 'c1'),"
    " person('lone', 'email', 0, 'lone');"
    "SELECT meet('{L1,e1}', '2024-01-02', 0, 'shop', '2'),"
    " meet('{L1,e1,sh}', '2024-01-01', 0, 'shop', '1')," /* the first event of L1 - e1; sh links nobody */
    " meet('{e1,p1}', '2024-01-03', 7, 'web', '3'),"
    " meet('{L1,bl,p1}', '2024-01-03', 7, 'shop', '9')," /* bl is as if it were not there; shop is before web */
    " meet('{L2,e1}', '2024-01-04', 0, 'shop', '4'),"    /* refused */
    " meet('{L1,L2,e2}', '2024-01-01', 0, 'shop', '5')," /* contradictory */
    " meet('{L2,e2}', '2024-01-06', 0, 'shop', '6'),"
    " meet('{L1,al}', '2024-01-01', 0, 'shop', '7'),"
    " meet('{al,e2,sh}', '2024-01-01', 0, 'shop', '8')," /* the strongest is e2, alone with itself */
    " meet('{o1,o2}', '2024-01-01', 0, 'shop', '10'),"
    " meet('{x1,x2}', '2024-01-01', 0, 'shop', '11'),"
    " meet('{y2,x2}', '2024-01-01', 1, 'shop', '11b'),"
    " meet('{s1,s2}', '2024-01-02', 0, 'shop', '12'), meet('{s2,s1}', '2024-01-01', 0, 'shop', '13'),"
    " meet('{c1,c2}', '2024-01-01', 0, 'shop', '14'), meet('{c2,c1}', '2024-01-02', 0, 'shop', '15');"
    "INSERT INTO polku.decision (kind, a, b, a_kind, b_kind, a_namespace_id, b_namespace_id, decided_by)"
    " SELECT 2, least(h('x1'), h('y2')), greatest(h('x1'), h('y2')), 0, 0, 1, 1, 'test';"
    "INSERT INTO polku.customer (customer_id, kind, namespace_id) SELECT h(v), k, d(n) FROM (VALUES ('L1', 0, 'loyalty'), ('sh', 5, 'phone'),"
    " ('tablet', 1, NULL)) t (v, k, n)";

#define LINKS(columns, filter)                                                                                       \
    "SELECT string_agg(concat_ws(' ', " columns "), ', ' ORDER BY event_id COLLATE \"C\", b_value) FROM bi.identity_link WHERE " filter

Test(store_identity, links_conflicts_and_redirects_follow_from_meetings)
{
    support_sql(&s, "%s", population);
    /* Equal priority: told from the smaller hash, whoever stood first in the event. */
    cr_assert_str_eq(support_sql(&s, "SELECT (h('s1') < h('s2')) || ' ' || (h('c2') < h('c1'))"), "true true");
    cr_assert_str_eq(support_sql(&s, LINKS("event_id || ':', a_value, b_value, coalesce(refused, '-')", "true")),
                     "1: L1 e1 -, 10: o1 o2 oversize, 11: x1 x2 apart, 11b: y2 x2 -, 13: s1 s2 -, 14: c2 c1 -, 3: e1 p1 -, 4: L2 e1 unique, 6: L2 e2 -, 9: L1 p1 -");
    cr_assert_str_eq(support_sql(&s, LINKS("a_namespace, b_namespace, first_at::date, source", "customer_a = h('L1')")),
                     "loyalty email 2024-01-01 shop, email phone 2024-01-03 web, loyalty phone 2024-01-03 shop");
    cr_assert_str_eq(support_sql(&s, LINKS("a_value, b_value", "a = h('s2') OR b = h('s2')")), "s1 s2");
    cr_assert_str_eq(support_sql(&s, LINKS("a_value, b_value", "b = h('e1')")), "L1 e1, L2 e1");
    cr_assert_str_eq(support_sql(&s, LINKS("a_value, b_value", "customer_b = h('L1')")), "L1 e1, e1 p1, L2 e1, L1 p1");

    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(concat_ws(' ', a_value, b_value, event_id, refused, (SELECT value FROM polku.identifier WHERE hash = customer_a),"
                                     " (SELECT value FROM polku.identifier WHERE hash = customer_b), coalesce(namespace, '-'), because_a_value, because_b_value,"
                                     " because_a = h(because_a_value), because_b = h(because_b_value)), ', ' ORDER BY event_id) FROM bi.identity_conflict"),
                     "o1 o2 10 oversize o1 o2 -, x1 x2 11 apart x1 y2 - x1 y2 t t, L2 e1 4 unique L2 L1 loyalty L2 L1 t t");
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(concat_ws(' ', value, namespace, (SELECT value FROM polku.identifier WHERE hash = r.customer_id), event_id, source,"
                                     " first_at::date, identifier = h(value)), ', ' ORDER BY value) FROM bi.customer_redirect r"),
                     "c2 b/card c1 14 shop 2024-01-01 t, e1 email L1 1 shop 2024-01-01 t, e2 email L2 6 shop 2024-01-06 t, p1 phone L1 9 shop 2024-01-03 t,"
                     " s2 email s1 13 shop 2024-01-01 t, x2 phone y2 11b shop 2024-01-01 t");
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(concat_ws(' ', value, namespace, people, first_at::date), ', ') FROM bi.identity_shared"), "sh phone 4 2024-01-01");
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(concat_ws(' ', value, namespace, customer_id = h(value), first_at::date), ', ' ORDER BY value) FROM bi.identity_oversize"),
                     "o1 email t 2024-01-01, o2 phone t 2024-01-01");
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(concat_ws(' ', kind, value, namespace, identifiers), ', ' ORDER BY kind) FROM bi.customer"),
                     "device 1, person L1 loyalty 3, shared sh phone 1");

    /* the decision is taken back; values that are not stored clear are not shown */
    support_sql(&s, "UPDATE polku.decision SET restored_at = now(); UPDATE polku.identifier SET value = NULL, customer_id = h('y2') WHERE value = 'x1'");
    cr_assert_str_eq(support_sql(&s, "SELECT concat_ws(' ', coalesce(a_value, 'null'), coalesce(refused, 'made')) FROM bi.identity_link WHERE a = h('x1')"), "null made");
}

Test(store_identity, a_customer_is_looked_up_in_the_views_by_key)
{
    support_sql(&s, "SELECT polku.intern(ARRAY['email', 'phone', 'shop'])");
    support_sql(&s, "INSERT INTO polku.identifier (cell_id, kind, hash, namespace_id, flags, customer_id, first_at)"
                    " SELECT 1, 0, md5(v || n)::uuid, CASE v WHEN 'e' THEN 1 ELSE 2 END, 0, md5('e' || n)::uuid, now()"
                    " FROM generate_series(1, 30000) n, unnest(ARRAY['e', 'p']) v");
    support_sql(&s, "INSERT INTO polku.identity_meeting SELECT now(), 0, 3, m, md5(n::text)::uuid, members, '{1,2}', '1'"
                    " FROM (SELECT n, ARRAY[md5('e' || n)::uuid, md5('p' || n)::uuid] AS members FROM generate_series(1, 30000) n) t, unnest(members) m");
    static const char *const query[] = {
        "SELECT count(*) FROM bi.identity_link WHERE customer_a = md5('e7')::uuid",
        "SELECT count(*) FROM bi.identity_link WHERE a = md5('e7')::uuid",
        "SELECT count(*) + 1 FROM bi.identity_conflict WHERE customer_a = md5('e7')::uuid",
        "SELECT count(*) FROM bi.customer_redirect WHERE customer_id = md5('e7')::uuid",
        "SELECT count(*) FROM bi.customer_redirect WHERE identifier = md5('p7')::uuid",
    };
    for (int analysed = 0; analysed < 2; analysed++) {
        for (size_t i = 0; i < PK_COUNT(query); i++) {
            cr_assert_str_eq(support_sql(&s, "%s", query[i]), "1", "%s", query[i]);
            cr_assert_str_eq(support_sql(&s,
                                         "CREATE OR REPLACE FUNCTION plan(q text) RETURNS text LANGUAGE plpgsql AS $$ DECLARE r text; t text := ''; BEGIN"
                                         " FOR r IN EXECUTE 'EXPLAIN ' || q LOOP t := t || r || E'\\n'; END LOOP; RETURN t; END $$;"
                                         " SELECT CASE WHEN plan($q$%s$q$) ~ 'Seq Scan on (identifier|identity_meeting)' THEN plan($q$%s$q$) END",
                                         query[i], query[i]),
                             "", "%s", query[i]);
        }
        support_sql(&s, "ANALYZE");
    }
}

/* ---- stepping ---- */

struct watch {
    char said[4096];
    int waits;
    struct store *holder; /* gives up its locks when somebody waits */
};

static void watch(void *context, const char *what)
{
    struct watch *w = context;
    if (what) {
        strcat(strcat(w->said, what), ";");
        return;
    }
    if (w->holder && ++w->waits == 3)
        store_rollback(w->holder);
}

Test(store_identity, a_stepped_store_tells_each_statement_and_waits_for_it)
{
    struct watch w = {.holder = store};
    struct store *stepped = support_open_as(&s, &s.symbols, &(struct store_config){.step = watch, .step_context = &w});
    cr_assert_eq(w.said[0] != '\0', true, "reading the dictionary");
    int64_t cell;
    OK(store_new_cell(store, &cell, &err));
    *pk_vec_push(&s.changes.new_cell) = cell;
    OK(support_save(&s, store, &err));
    uint64_t token = s.changes.token;

    struct fact *f = support_plain_fact(&s, support_hash(&s), AT);
    OK(store_ensure_months(stepped, &f->at_us, 1, &err));
    OK(store_ensure_dictionary(stepped, &err));
    struct changes *c = &s.changes;
    c->span = &s.span;
    c->spans = 1;
    c->token = 5;
    *pk_vec_push(&c->guard) = (struct change_guard){cell, token};
    *pk_vec_push(&c->fact) = f;
    OK(store_begin(store, STORE_LOCKED, NULL, 0, &cell, 1, &err));
    w.said[0] = '\0';
    w.waits = 0; /* opening may have been slow */
    OK(store_save_send(stepped, STORE_SNAPSHOT, c, &err));
    cr_assert_str_eq(w.said, "begin;fence;guard;save interactions;save the newest times;commit;");
    cr_assert_geq(w.waits, 3, "the guard waited for the lock");
    cr_assert_str_eq(support_sql(&s, "SELECT count(*) FROM polku.interaction"), "1", "committed before the results are read");
    OK(store_save_finish(stepped, &err));
    s.span.at.next_offset = s.span.next_offset++;

    w.said[0] = '\0'; /* the same again: the guard fails, the rest is skipped, and the end says so */
    OK(store_save_send(stepped, STORE_SNAPSHOT, c, &err));
    cr_assert_str_eq(w.said, "begin;fence;guard;save interactions;save the newest times;commit;");
    GIVES(PK_STALE, store_save_finish(stepped, &err));
    cr_assert(strstr(err.text, "guard: "), "%s", err.text);

    struct store_facts facts;
    struct store_journeys journeys;
    struct store_obligations obligations;
    OK(store_begin(stepped, STORE_SNAPSHOT, NULL, 0, NULL, 0, &err));
    OK(store_load_customers(stepped, &f->customer, 1, &s.arena, &facts, &journeys, &obligations, NULL, &err));
    cr_assert_eq(facts.count, 1);
    OK(store_end_read(stepped, &err));

    w.holder = NULL;
    support_sql(&s, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()");
    GIVES(PK_LOST, store_begin(stepped, STORE_LOCKED, NULL, 0, &cell, 1, &err));
    OK(store_reopen(stepped, &err));
    OK(store_begin(stepped, STORE_LOCKED, NULL, 0, &cell, 1, &err));
    store_rollback(stepped);
    store_close(stepped);
}

/* ---- another schema ---- */

static const char shadow[] =
    "CREATE SCHEMA shadow;"
    "DO $$ DECLARE r record; BEGIN"
    " FOR r IN SELECT relname, relkind FROM pg_class WHERE relnamespace = 'polku'::regnamespace AND relkind IN ('r', 'p') AND relname NOT IN"
    "  ('dictionary', 'stream_position', 'quarantine', 'quarantine_excess', 'quarantine_size', 'schema_migration') AND NOT relispartition LOOP"
    "  EXECUTE format('CREATE TABLE shadow.%1$I (LIKE polku.%1$I INCLUDING ALL) %2$s', r.relname,"
    "   CASE r.relkind WHEN 'p' THEN 'PARTITION BY RANGE (occurred_at)' ELSE '' END);"
    " END LOOP;"
    " FOR r IN SELECT t.typname, string_agg(format('%I %s', a.attname, format_type(a.atttypid, NULL)), ', ' ORDER BY a.attnum) AS columns"
    "  FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid AND c.relkind = 'c' JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
    "  WHERE t.typnamespace = 'polku'::regnamespace GROUP BY t.typname LOOP"
    "  EXECUTE format('CREATE TYPE shadow.%I AS (%s)', r.typname, r.columns);"
    " END LOOP;"
    " FOR r IN SELECT pg_get_functiondef(oid) AS text FROM pg_proc WHERE pronamespace = 'polku'::regnamespace"
    "  AND proname NOT IN ('fence', 'claim', 'intern', 'as_of') LOOP"
    "  EXECUTE replace(r.text, 'polku.', 'shadow.');"
    " END LOOP; END $$";

Test(store_identity, a_store_of_another_schema_shares_what_arrived)
{
    support_sql(&s, "%s", shadow);
    struct store *other = support_open_as(&s, &s.symbols, &(struct store_config){.schema = "shadow"});
    struct pk_hash a = support_hash(&s), b = support_hash(&s);
    if (pk_hash_cmp(a, b) > 0) {
        struct pk_hash swap = a;
        a = b, b = swap;
    }
    struct changes *c = &s.changes;
    struct fact *f = support_fact(&s, a);
    f->identifier_count = 0;
    f->case_key = b;
    f->has_promise = true;
    f->promise = (struct fact_promise){.id = b, .kind = f->type, .due_from_us = PK_NO_TIME, .due_to_us = PK_NO_TIME};
    struct store_meeting *m = meeting(2);
    OK(store_new_cell(other, &(int64_t){0}, &err));
    *pk_vec_push(&c->new_cell) = 1;
    *pk_vec_push(&c->key) = key(a, KEY_PERSON, a, KEY_APART, a);
    *pk_vec_push(&c->key) = key(b, KEY_CASE, a, KEY_APART, nobody);
    *pk_vec_push(&c->fact) = f;
    *pk_vec_push(&c->meeting_new) = (struct change_meeting){m->person[0], m};
    *pk_vec_push(&c->sighting) = (struct change_sighting){b, a};
    *pk_vec_push(&c->customer) = (struct change_customer){a, KEY_PERSON, support_sym(&s, "email")};
    *pk_vec_push(&c->journey) = support_journey(&s, a);
    *pk_vec_push(&c->obligation) = support_obligation(&s, a);
    for (enum aggregate t = 0; t < AGGREGATE_COUNT; t++)
        *pk_vec_push(&c->aggregate) = support_bucket(&s, t, 0, 1);
    *pk_vec_push(&c->quarantine) = (struct change_quarantine){.topic = support_sym(&s, "test")};
    decide(DECIDE_APART, false, a, b);
    OK(support_save(&s, other, &err));
    uint64_t token = c->token;
    *pk_vec_push(&c->guard) = (struct change_guard){1, token};
    *pk_vec_push(&c->key_state) = (struct change_key_state){a, KEY_APART, AT, a};
    *pk_vec_push(&c->meeting_first) = (struct change_meeting){m->person[0], m};
    move(f, a, a, KEY_PERSON, nobody);
    OK(support_save(&s, other, &err));

    struct store_keys keys;
    struct store_facts facts;
    struct store_journeys journeys;
    struct store_obligations obligations;
    struct store_meetings meetings;
    OK(store_begin(other, STORE_SNAPSHOT, NULL, 0, NULL, 0, &err));
    OK(store_load_keys(other, &a, 1, &s.arena, &keys, &err));
    cr_assert_eq(keys.count, 1);
    cr_assert_eq(keys.key->apart_count, 1);
    OK(store_load_customers(other, &a, 1, &s.arena, &facts, &journeys, &obligations, NULL, &err));
    cr_assert(facts.count == 1 && journeys.count == 1 && obligations.count == 1);
    OK(store_load_seen(other, &(struct store_window){b, INT64_MIN, INT64_MAX}, 1, &s.arena, &facts, &err));
    cr_assert_eq(facts.count, 1);
    OK(store_load_meetings(other, m->person, NULL, 1, &s.arena, &meetings, &err));
    cr_assert_eq(meetings.count, 1);
    OK(store_end_read(other, &err));
    store_close(other);

    cr_assert_str_eq(support_sql(&s, "SELECT (SELECT count(*) FROM polku.interaction) + (SELECT count(*) FROM polku.identifier) + (SELECT count(*) FROM polku.guard_cell)"
                                     " + (SELECT count(*) FROM polku.identity_meeting) + (SELECT count(*) FROM polku.sighting) + (SELECT count(*) FROM polku.customer)"
                                     " + (SELECT count(*) FROM polku.journey) + (SELECT count(*) FROM polku.obligation) + (SELECT count(*) FROM polku.interaction_hourly)"
                                     " + (SELECT count(*) FROM polku.obligation_hourly)"),
                     "0");
    cr_assert_str_eq(support_sql(&s, "SELECT (SELECT count(*) FROM polku.quarantine) || ' ' || (SELECT count(*) FROM polku.decision) || ' ' || (SELECT next_offset FROM polku.stream_position)"),
                     "1 0 2");
    cr_assert_str_eq(support_sql(&s, "SELECT (SELECT count(*) FROM shadow.interaction_hourly) || ' ' || (SELECT count(*) FROM shadow.obligation_hourly)"), "1 1");
}
