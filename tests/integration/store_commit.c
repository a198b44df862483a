/* SPDX-License-Identifier: Apache-2.0 */
/* The commit protocol on a real server: fence, guards, counted inserts, locks, lost connections. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
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

TestSuite(store_commit, .init = init, .fini = done);

#define OK(call) cr_assert_eq((call), PK_OK, "%s", err.text)
#define GIVES(status, call)                                                                                          \
    do {                                                                                                             \
        enum pk_status got = (call);                                                                                 \
        cr_assert_eq(got, status, "%s: %s", pk_status_name(got), err.text);                                          \
    } while (0)

static int count(const char *table)
{
    return atoi(support_sql(&s, "SELECT count(*) FROM polku.%s", table));
}

static void add_fact(void)
{
    *pk_vec_push(&s.changes.fact) = support_plain_fact(&s, support_hash(&s), AT);
}

static int64_t new_cell(void)
{
    int64_t cell;
    OK(store_new_cell(store, &cell, &err));
    *pk_vec_push(&s.changes.new_cell) = cell;
    OK(support_save(&s, store, &err));
    return cell;
}

static const char *cell_version(int64_t cell)
{
    return support_sql(&s, "SELECT version FROM polku.guard_cell WHERE cell_id = %lld", (long long)cell);
}

static void begin(struct store *who, enum store_mode mode, const int64_t *cell, size_t cells)
{
    OK(store_begin(who, mode, NULL, 0, cell, cells, &err));
}

/* Until the server says so; not longer than 10 s. */
static void wait_for(const char *condition)
{
    for (int i = 0; i < 1000; i++) {
        if (!strcmp(support_sql(&s, "SELECT %s", condition), "t"))
            return;
        nanosleep(&(struct timespec){0, 10 * 1000 * 1000}, NULL);
    }
    cr_assert_fail("waited in vain for %s", condition);
}

/* ---- positions ---- */

Test(store_commit, a_claim_counts_and_keeps_offset_and_slot)
{
    struct store_position again = {.topic = support_sym(&s, "test"), .partition = 0, .next_offset = 999};
    OK(store_claim(store, &again, 1, &err));
    cr_assert_eq(again.next_offset, 0, "the stored offset counts, not the given one");
    cr_assert_eq(again.epoch, s.span.at.epoch + 1);
    cr_assert_eq(again.slot, s.span.at.slot);

    struct store_position two[2] = {{.topic = support_sym(&s, "other"), .partition = 3, .next_offset = 42}, again};
    OK(store_claim(store, two, 2, &err));
    cr_assert_eq(two[0].next_offset, 42);
    cr_assert_eq(two[0].epoch, 1);
    cr_assert_neq(two[0].slot, two[1].slot);
    cr_assert_eq(two[1].epoch, s.span.at.epoch + 2);
}

Test(store_commit, the_position_moves_with_the_rows)
{
    add_fact();
    OK(support_save(&s, store, &err));
    cr_assert_str_eq(support_sql(&s, "SELECT concat_ws(' ', topic, partition, next_offset, newest_occurred_at, newest_received_at, moved_at > now() - interval '1 min')"
                                     " FROM bi.freshness"),
                     "test 0 1 2024-03-01 00:00:00+00 2024-03-01 00:00:00+00 t");
    OK(support_save(&s, store, &err)); /* a batch without events moves it too */
    cr_assert_str_eq(support_sql(&s, "SELECT next_offset FROM bi.freshness"), "2");
}

Test(store_commit, an_old_claim_writes_nothing)
{
    struct store *other = support_open(&s, &s.symbols);
    struct store_position theirs = s.span.at;
    OK(store_claim(other, &theirs, 1, &err));

    add_fact();
    GIVES(PK_FENCED, support_save(&s, store, &err));
    cr_assert_eq(count("interaction"), 0);
    GIVES(PK_FENCED, store_begin(store, STORE_LOCKED, &s.span, 1, NULL, 0, &err));

    s.span.at = theirs;
    OK(support_save(&s, other, &err));
    cr_assert_eq(count("interaction"), 1);
    store_close(other);
}

Test(store_commit, another_offset_than_the_stored_one_writes_nothing)
{
    s.span.at.next_offset = 5;
    s.span.next_offset = 6;
    add_fact();
    GIVES(PK_FENCED, support_save(&s, store, &err));
    cr_assert_eq(count("interaction"), 0);
    cr_assert_str_eq(support_sql(&s, "SELECT next_offset FROM polku.stream_position"), "0");
}

Test(store_commit, one_wrong_position_of_several_holds_all_back)
{
    struct store_position second = {.topic = support_sym(&s, "test"), .partition = 1, .next_offset = 0};
    OK(store_claim(store, &second, 1, &err));
    struct store_span span[2] = {s.span, {second, 1}};
    span[1].at.epoch++;
    struct changes *c = &s.changes;
    c->span = span;
    c->spans = 2;
    OK(store_save_send(store, STORE_SNAPSHOT, c, &err));
    GIVES(PK_FENCED, store_save_finish(store, &err));
    cr_assert_str_eq(support_sql(&s, "SELECT max(next_offset) FROM polku.stream_position"), "0");
}

/* ---- guards and counts ---- */

Test(store_commit, a_guard_compares_and_replaces_versions)
{
    int64_t cell[2] = {new_cell(), new_cell()};
    char text[2][32];
    uint64_t version[2];
    for (int i = 0; i < 2; i++) {
        snprintf(text[i], sizeof text[i], "%s", cell_version(cell[i]));
        version[i] = (uint64_t)strtoll(text[i], NULL, 10);
    }
    for (int i = 0; i < 2; i++)
        *pk_vec_push(&s.changes.guard) = (struct change_guard){cell[i], version[i] + (uint64_t)i};
    add_fact();
    GIVES(PK_STALE, support_save(&s, store, &err));
    cr_assert_eq(count("interaction"), 0);
    cr_assert_str_eq(cell_version(cell[0]), text[0], "rolled back as a whole");

    s.changes.guard.ptr[1].version = version[1];
    OK(support_save(&s, store, &err));
    cr_assert_eq((uint64_t)strtoll(cell_version(cell[0]), NULL, 10), s.changes.token);
    cr_assert_eq((uint64_t)strtoll(cell_version(cell[1]), NULL, 10), s.changes.token);
}

Test(store_commit, a_cell_that_is_gone_is_a_failed_guard)
{
    *pk_vec_push(&s.changes.guard) = (struct change_guard){77, 1};
    GIVES(PK_STALE, support_save(&s, store, &err));
}

Test(store_commit, a_cell_an_identifier_and_an_event_are_inserted_only_once)
{
    int64_t cell = new_cell();
    *pk_vec_push(&s.changes.new_cell) = cell;
    GIVES(PK_STALE, support_save(&s, store, &err));
    changes_reset(&s.changes);

    struct change_key known = {support_hash(&s), KEY_CASE, 0, cell, {{0}}}, unknown = {support_hash(&s), KEY_CASE, 0, cell, {{0}}};
    *pk_vec_push(&s.changes.key) = known;
    OK(support_save(&s, store, &err));
    *pk_vec_push(&s.changes.key) = unknown;
    *pk_vec_push(&s.changes.key) = known;
    GIVES(PK_STALE, support_save(&s, store, &err));
    cr_assert_eq(count("identifier"), 1);
    changes_reset(&s.changes);

    struct fact *fact = support_plain_fact(&s, (struct pk_hash){{0}}, AT);
    *pk_vec_push(&s.changes.fact) = fact;
    OK(support_save(&s, store, &err));
    *pk_vec_push(&s.changes.fact) = fact;
    add_fact();
    GIVES(PK_STALE, support_save(&s, store, &err));
    cr_assert_eq(count("interaction"), 1);
}

Test(store_commit, a_month_that_was_dropped_is_made_again)
{
    add_fact();
    OK(support_save(&s, store, &err));
    support_sql(&s, "DROP TABLE polku.interaction_2024_03");
    add_fact();
    GIVES(PK_RETRY, support_save(&s, store, &err));
    OK(support_save(&s, store, &err));
    cr_assert_eq(count("interaction"), 1);
}

Test(store_commit, a_save_larger_than_all_buffers_goes_through)
{
    enum { EVENTS = 20000 };
    const struct pk_hash customer = support_hash(&s);
    struct fact *all = PK_NEW_ARRAY(&s.arena, struct fact, EVENTS);
    struct fact *first = support_plain_fact(&s, customer, AT);
    for (int i = 0; i < EVENTS; i++) {
        all[i] = *first;
        all[i].at_us += i;
        all[i].product = PK_STR("a topic that makes rows longer, so that sockets fill while the server works");
        *pk_vec_push(&s.changes.fact) = &all[i];
        *pk_vec_push(&s.changes.quarantine) = (struct change_quarantine){
            .topic = first->topic_name, .offset = i, .reason = REJECT_INVALID, .detail = PK_STR("x"), .received_at_us = PK_NO_TIME,
            .value = {(const uint8_t *)all[i].product.ptr, all[i].product.len}};
    }
    OK(support_save(&s, store, &err));
    cr_assert_eq(count("interaction"), EVENTS);
    cr_assert_eq(count("quarantine"), EVENTS);

    struct store_facts facts;
    struct store_journeys journeys;
    struct store_obligations obligations;
    begin(store, STORE_SNAPSHOT, NULL, 0);
    OK(store_load_customers(store, &customer, 1, &s.arena, &facts, &journeys, &obligations, NULL, &err));
    OK(store_end_read(store, &err));
    cr_assert_eq(facts.count, EVENTS);
}

/* Plans are made when the tables are empty, and kept. One that read a table from end to end, or compared all rows
 * with all, would need 400 million steps here and run into the timeout. */
Test(store_commit, rows_are_found_by_key_however_the_tables_have_grown)
{
    enum { ROWS = 20000 };
    const struct store_config hasty = {.conninfo = s.conninfo, .statement_timeout_us = 3 * PK_SECOND_US};
    struct store *quick;
    OK(store_open(&hasty, &s.symbols, &quick, &err));
    support_claim(&s, quick);
    struct fact *all = PK_NEW_ARRAY(&s.arena, struct fact, ROWS), **fact = PK_NEW_ARRAY(&s.arena, struct fact *, ROWS);
    struct pk_hash *hash = PK_NEW_ARRAY(&s.arena, struct pk_hash, ROWS);
    uint64_t token = 0;
    for (int round = 0; round < 2; round++) { /* the first makes the plans */
        int rows = round ? ROWS : 1;
        struct change_guard *guard = PK_NEW_ARRAY(&s.arena, struct change_guard, ROWS);
        struct fact *sample = support_plain_fact(&s, (struct pk_hash){{0}}, AT);
        for (int i = 0; i < rows; i++) {
            fact[i] = &all[i];
            all[i] = *sample;
            all[i].at_us += i * PK_SECOND_US + round;
            all[i].event_hash = hash[i] = all[i].relates = support_hash(&s);
            *pk_vec_push(&s.changes.fact) = fact[i];
            OK(store_new_cell(quick, &guard[i].cell, &err));
            *pk_vec_push(&s.changes.new_cell) = guard[i].cell;
            *pk_vec_push(&s.changes.key) = (struct change_key){hash[i], KEY_CASE, 0, guard[i].cell, hash[i], .first_at_us = PK_NO_TIME};
        }
        OK(support_save(&s, quick, &err));
        token = s.changes.token;

        struct store_facts found;
        struct store_keys keys;
        OK(store_begin(quick, STORE_SNAPSHOT, NULL, 0, NULL, 0, &err));
        OK(store_find_events(quick, fact, (size_t)rows, &s.arena, &found, &err));
        cr_assert_eq(found.count, (size_t)rows);
        OK(store_load_nameless(quick, hash, (size_t)rows, &s.arena, &found, &err));
        cr_assert_eq(found.count, (size_t)rows);
        OK(store_load_keys(quick, hash, (size_t)rows, &s.arena, &keys, &err));
        cr_assert_eq(keys.count, (size_t)rows);
        OK(store_end_read(quick, &err));

        for (int i = 0; i < rows; i++) {
            *pk_vec_push(&s.changes.guard) = (struct change_guard){guard[i].cell, token};
            *pk_vec_push(&s.changes.move) = (struct change_move){fact[i]->at_us, hash[i], hash[i], .sighted = hash[i]};
            if (i % 2 == 0) {
                *pk_vec_push(&s.changes.replaced) = fact[i];
                *pk_vec_push(&s.changes.fact) = fact[i];
            }
        }
        OK(support_save(&s, quick, &err));
    }
    cr_assert_eq(count("interaction"), ROWS + 1);
    store_close(quick);
}

Test(store_commit, text_without_an_id_gets_one_before_its_row_is_written)
{
    OK(store_ensure_dictionary(store, &err));
    struct fact *fact = support_plain_fact(&s, support_hash(&s), AT);
    OK(store_ensure_months(store, &fact->at_us, 1, &err));
    fact->unit = support_sym(&s, "a unit never heard of");
    *pk_vec_push(&s.changes.fact) = fact;
    OK(store_save_send(store, STORE_SNAPSHOT, &s.changes, &err));
    OK(store_save_finish(store, &err));
    cr_assert_str_eq(support_sql(&s, "SELECT text FROM polku.interaction JOIN polku.dictionary ON id = unit_id"), "a unit never heard of");
}

/* ---- locked tries ---- */

Test(store_commit, a_locked_try_fences_loads_and_saves_in_one_transaction)
{
    int64_t cell = new_cell();
    struct pk_hash key = support_hash(&s);
    *pk_vec_push(&s.changes.key) = (struct change_key){key, KEY_PERSON, 0, cell, .first_at_us = PK_NO_TIME};
    OK(support_save(&s, store, &err));

    const int64_t known[] = {cell, 123456}; /* one that is gone is ignored */
    for (enum store_mode mode = STORE_LOCKED; mode <= STORE_ALONE; mode++) {
        OK(store_begin(store, mode, &s.span, 1, known, 2, &err));
        struct store_keys keys;
        OK(store_load_keys(store, &key, 1, &s.arena, &keys, &err));
        cr_assert_eq(keys.count, 1);
        add_fact();
        s.changes.span = &s.span;
        s.changes.spans = 1;
        s.changes.token = support_random(&s, 0);
        *pk_vec_push(&s.changes.guard) = (struct change_guard){cell, keys.key[0].version};
        const int64_t at_us = AT;
        if (mode == STORE_LOCKED) {
            store_rollback(store); /* months are made outside: begin again */
            OK(store_ensure_months(store, &at_us, 1, &err));
            OK(store_ensure_dictionary(store, &err));
            OK(store_begin(store, mode, &s.span, 1, known, 2, &err));
        }
        OK(store_save_send(store, mode, &s.changes, &err));
        OK(store_save_finish(store, &err));
        changes_reset(&s.changes);
        s.span.at.next_offset = s.span.next_offset++;
    }
    cr_assert_eq(count("interaction"), 2);
    cr_assert_str_eq(support_sql(&s, "SELECT next_offset FROM bi.freshness"), "4");
}

Test(store_commit, further_cells_are_locked_without_waiting)
{
    int64_t cell[3] = {new_cell(), new_cell(), new_cell()};
    struct store *other = support_open(&s, &s.symbols);
    begin(store, STORE_LOCKED, &cell[0], 1);
    begin(other, STORE_LOCKED, &cell[1], 1);
    OK(store_lock_more(other, &cell[2], 1, &err));
    GIVES(PK_STALE, store_lock_more(store, &cell[1], 2, &err)); /* both are the other's */
    begin(store, STORE_LOCKED, &cell[0], 1);                    /* rolled back, so it may begin again */
    store_rollback(other);
    OK(store_lock_more(store, &cell[1], 2, &err));
    const int64_t gone = 99;
    GIVES(PK_STALE, store_lock_more(store, &gone, 1, &err));
    store_close(other);
}

Test(store_commit, alone_waits_for_every_writer)
{
    struct store *other = support_open(&s, &s.symbols);
    begin(store, STORE_LOCKED, NULL, 0);
    GIVES(PK_STALE, store_begin(other, STORE_ALONE, NULL, 0, NULL, 0, &err)); /* lock_timeout */
    store_rollback(store);
    begin(other, STORE_ALONE, NULL, 0);
    GIVES(PK_STALE, store_begin(store, STORE_LOCKED, NULL, 0, NULL, 0, &err));
    store_close(other);
}

Test(store_commit, a_snapshot_does_not_see_what_was_committed_after_its_first_load)
{
    struct store *other = support_open(&s, &s.symbols);
    const struct pk_hash customer = support_hash(&s);
    struct store_facts facts;
    struct store_journeys journeys;
    struct store_obligations obligations;
    begin(other, STORE_SNAPSHOT, NULL, 0);
    OK(store_load_customers(other, &customer, 1, &s.arena, &facts, &journeys, &obligations, NULL, &err));
    *pk_vec_push(&s.changes.fact) = support_plain_fact(&s, customer, AT);
    OK(support_save(&s, store, &err));
    OK(store_load_customers(other, &customer, 1, &s.arena, &facts, &journeys, &obligations, NULL, &err));
    cr_assert_eq(facts.count, 0);
    OK(store_end_read(other, &err));
    begin(other, STORE_SNAPSHOT, NULL, 0);
    OK(store_load_customers(other, &customer, 1, &s.arena, &facts, &journeys, &obligations, NULL, &err));
    cr_assert_eq(facts.count, 1);
    OK(store_end_read(other, &err));
    store_close(other);
}

/* ---- trouble ---- */

Test(store_commit, a_connection_that_breaks_during_a_save_is_lost_and_can_be_opened_again)
{
    int64_t cell = new_cell();
    uint64_t version = (uint64_t)strtoll(cell_version(cell), NULL, 10);
    struct store *holder = support_open(&s, &s.symbols);
    begin(holder, STORE_LOCKED, &cell, 1);

    *pk_vec_push(&s.changes.guard) = (struct change_guard){cell, version};
    add_fact();
    const int64_t at_us = AT;
    OK(store_ensure_months(store, &at_us, 1, &err));
    OK(store_ensure_dictionary(store, &err));
    s.changes.span = &s.span;
    s.changes.spans = 1;
    OK(store_save_send(store, STORE_SNAPSHOT, &s.changes, &err));
    wait_for("EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')");
    store_save_pump(store);
    support_sql(&s, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'");
    GIVES(PK_LOST, store_save_finish(store, &err));
    GIVES(PK_LOST, store_begin(store, STORE_SNAPSHOT, NULL, 0, NULL, 0, &err));
    store_rollback(holder);
    cr_assert_eq(count("interaction"), 0);

    OK(store_reopen(store, &err));
    struct store_position position = s.span.at;
    OK(store_claim(store, &position, 1, &err));
    cr_assert_eq(position.next_offset, s.span.at.next_offset, "nothing was committed");
    s.span.at = position;
    OK(support_save(&s, store, &err));
    cr_assert_eq(count("interaction"), 1);
    store_close(holder);
}

Test(store_commit, a_connection_that_broke_between_batches_is_lost_too)
{
    support_sql(&s, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'polku test'");
    wait_for("NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'polku test')");
    GIVES(PK_LOST, support_save(&s, store, &err));
    OK(store_reopen(store, &err));
    support_claim(&s, store);
    OK(support_save(&s, store, &err));
}

Test(store_commit, calls_during_a_save_are_refused)
{
    s.changes.span = &s.span;
    s.changes.spans = 1;
    OK(store_save_send(store, STORE_SNAPSHOT, &s.changes, &err));
    GIVES(PK_STOP, store_begin(store, STORE_SNAPSHOT, NULL, 0, NULL, 0, &err));
    OK(store_save_finish(store, &err));
    GIVES(PK_STOP, store_save_finish(store, &err));
}

static void take(void *context, int columns, const char *const value[])
{
    cr_assert_eq(columns, 2);
    cr_assert_null(value[1]);
    strcat(context, value[0]);
}

Test(store_commit, a_slow_statement_is_retried_and_a_wrong_one_stops)
{
    char text[16] = "";
    OK(store_query(store, "SELECT g::text, NULL FROM generate_series(1, 3) g", take, text, &err));
    cr_assert_str_eq(text, "123");
    GIVES(PK_STOP, store_query(store, "SELECT nonsense", take, text, &err));
    cr_assert(strstr(err.text, "42703"), "%s", err.text);

    const struct store_config hasty = {.conninfo = s.conninfo, .statement_timeout_us = 300000};
    struct store *other;
    OK(store_open(&hasty, &s.symbols, &other, &err));
    GIVES(PK_RETRY, store_query(other, "SELECT pg_sleep(30)::text, NULL", take, text, &err));
    OK(store_query(other, "SELECT '4', NULL", take, text, &err));
    cr_assert_str_eq(text, "1234");
    store_close(other);
}

Test(store_commit, no_server_is_retried_and_a_wrong_conninfo_stops)
{
    struct store *other = NULL;
    struct store_config config = {.conninfo = "host=127.0.0.1 port=1 dbname=none user=nobody connect_timeout=2"};
    GIVES(PK_RETRY, store_open(&config, &s.symbols, &other, &err));
    cr_assert_not(strchr(err.text, '\n'));
    config.conninfo = "hoost=127.0.0.1";
    GIVES(PK_STOP, store_open(&config, &s.symbols, &other, &err));
    cr_assert_null(other);
}

Test(store_commit, other_rules_another_key_or_another_derivation_stop)
{
    struct rules rules = {.file_hash = support_hash(&s), .hashing_hash = support_hash(&s)};
    const struct pk_hash key = support_hash(&s), hashing = rules.hashing_hash;
    OK(store_check_rules(store, &rules, key, &err));
    OK(store_check_rules(store, &rules, key, &err));
    GIVES(PK_STOP, store_check_rules(store, &rules, support_hash(&s), &err));
    cr_assert(strstr(err.text, "hash key"), "%s", err.text);
    rules.file_hash = support_hash(&s);
    GIVES(PK_STOP, store_check_rules(store, &rules, key, &err));
    cr_assert(strstr(err.text, "rules file") && strstr(err.text, "polku-consumer rebuild"), "%s", err.text);
    rules.hashing_hash = support_hash(&s);
    GIVES(PK_STOP, store_check_rules(store, &rules, key, &err));
    cr_assert(strstr(err.text, "polku-consumer rebuild --from-kafka"), "%s", err.text);
    rules.hashing_hash = hashing;
    support_sql(&s, "UPDATE polku.rules_state SET derivation_version = 0");
    GIVES(PK_STOP, store_check_rules(store, &rules, key, &err));
    cr_assert(strstr(err.text, "version 0") && strstr(err.text, "polku-consumer rebuild"), "%s", err.text);
}
