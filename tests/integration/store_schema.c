/* SPDX-License-Identifier: Apache-2.0 */
/* Migrations, rights, comments, and the states of bi.obligation at every boundary. */
#include <criterion/criterion.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "cmd_migrate.h"
#include "store_support.h"

static struct support s;
static struct pk_err err;
static char dir[64];

static void init(void)
{
    support_init(&s, false);
    snprintf(dir, sizeof dir, "/tmp/polku-sql-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
}

static void done(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
    support_done(&s);
}

TestSuite(store_schema, .init = init, .fini = done);

#define OK(call) cr_assert_eq((call), PK_OK, "%s", err.text)

static enum pk_status migrate(const char *sql_dir)
{
    return migrate_run(s.conninfo, sql_dir, NULL, NULL, &err);
}

#define SQL POLKU_SOURCE_DIR "/sql"

/* A copy of sql/ in `dir`, then a shell command in it. */
static void copy_sql(const char *command)
{
    char text[512];
    snprintf(text, sizeof text, "cd %s && cp -r %s/migrations %s/roles.sql . && %s", dir, SQL, SQL, command);
    cr_assert_eq(system(text), 0);
}

/* ---- migrations ---- */

Test(store_schema, migrating_again_changes_nothing)
{
    OK(migrate(SQL));
    char first[64];
    snprintf(first, sizeof first, "%s", support_sql(&s, "SELECT max(applied_at) FROM polku.schema_migration"));
    OK(migrate(SQL));
    cr_assert_str_eq(support_sql(&s, "SELECT max(applied_at) FROM polku.schema_migration"), first);
    cr_assert_eq(atoi(support_sql(&s, "SELECT max(number) FROM polku.schema_migration")), STORE_SCHEMA,
                 "STORE_SCHEMA in store.h is the number of the newest file");
}

static void *migrate_thread(void *status)
{
    *(enum pk_status *)status = migrate_run(s.conninfo, SQL, NULL, NULL, NULL);
    return NULL;
}

Test(store_schema, two_may_migrate_at_once)
{
    enum pk_status status[2];
    pthread_t thread[2];
    for (int i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&thread[i], NULL, migrate_thread, &status[i]), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(thread[i], NULL);
        cr_assert_eq(status[i], PK_OK);
    }
}

Test(store_schema, a_file_that_changed_after_it_was_applied_is_refused)
{
    OK(migrate(SQL));
    copy_sql("echo '-- changed' >> migrations/0002_functions.sql");
    cr_assert_eq(migrate(dir), PK_STOP);
    cr_assert(strstr(err.text, "0002_functions.sql was changed"), "%s", err.text);
}

Test(store_schema, gaps_and_doubles_in_the_numbers_are_refused)
{
    copy_sql("mv migrations/0002_functions.sql migrations/0012_functions.sql");
    cr_assert_eq(migrate(dir), PK_STOP);
    cr_assert(strstr(err.text, "0003_views.sql: number 0002"), "%s", err.text);
    copy_sql("rm migrations/0012* && cp migrations/0001_tables.sql migrations/0001_too.sql");
    cr_assert_eq(migrate(dir), PK_STOP);
    cr_assert_eq(migrate("/nonexistent"), PK_STOP);
}

/* What comes after the newest file. */
static void copy_sql_with_next(const char *sql)
{
    char text[256];
    snprintf(text, sizeof text, "printf '%s' > migrations/%04d_broken.sql", sql, STORE_SCHEMA + 1);
    copy_sql(text);
}

Test(store_schema, a_migration_applies_as_a_whole_or_not_at_all)
{
    char wanted[64];
    copy_sql_with_next("CREATE TABLE polku.half (a int);\\nSELECT 1/0;\\n");
    cr_assert_eq(migrate(dir), PK_STOP);
    cr_assert(strstr(err.text, "_broken.sql: division by zero"), "%s", err.text);
    snprintf(wanted, sizeof wanted, "%d true", STORE_SCHEMA);
    cr_assert_str_eq(support_sql(&s, "SELECT max(number) || ' ' || (to_regclass('polku.half') IS NULL) FROM polku.schema_migration"), wanted);

    copy_sql_with_next("CREATE TABLE polku.half (a int); COMMIT;\\n");
    cr_assert_eq(migrate(dir), PK_STOP);
    cr_assert(strstr(err.text, "must not contain COMMIT"), "%s", err.text);
}

Test(store_schema, a_database_made_before_identity_keeps_its_rows_and_is_to_be_rebuilt)
{
    copy_sql("rm migrations/000[4-9]* migrations/001* && : > roles.sql"); /* the roles of then */
    OK(migrate(dir));
    support_sql(&s, "SELECT polku.intern(ARRAY['shop', 'contact.inbound', 'email']); SELECT polku.ensure_months(ARRAY['2024-03-01']::date[]);"
                    "INSERT INTO polku.interaction (occurred_at, sequence, content_hash, kafka_offset, kafka_topic_id, kafka_partition, source_id, type_id,"
                    " customer_kind, customer_id, direction, actor, sensitivity, handoff, event_hash, event_id, identifiers, identifier_namespaces)"
                    " VALUES ('2024-03-01', 0, 0, 0, 1, 0, 1, 2, 0, '%032d', 0, 0, 0, false, '%032d', '1', '{%032d}', '{3}');"
                    "INSERT INTO polku.guard_cell VALUES (1, 7); INSERT INTO polku.customer VALUES (3, 0, '%032d');"
                    "INSERT INTO polku.identifier (cell_id, namespace_id, kind, hash, owner_id) VALUES (1, 3, 0, '%032d', '%032d');"
                    "INSERT INTO polku.rules_state (derivation_version, rules_hash, key_check) VALUES (1, '%032d', '%032d')",
                5, 6, 5, 5, 5, 5, 8, 9);
    OK(migrate(SQL));
    cr_assert_str_eq(support_sql(&s, "SELECT concat_ws(' ', (SELECT customer_kind FROM bi.interaction), (SELECT kind || identifiers FROM bi.customer),"
                                     " (SELECT flags || ' ' || (customer_id IS NULL) FROM polku.identifier),"
                                     " col_description('polku.interaction_2024_03'::regclass, (SELECT attnum FROM pg_attribute"
                                     " WHERE attrelid = 'polku.interaction_2024_03'::regclass AND attname = 'sighted_id')) <> '')"),
                     "person person1 0 true t");

    struct store *store = support_open(&s, &s.symbols);
    struct pk_hash five = {{0}}, eight = {{0}}, nine = {{0}};
    five.byte[15] = 5, eight.byte[15] = 8, nine.byte[15] = 9;
    struct rules rules = {.file_hash = eight, .hashing_hash = nine};
    cr_assert_eq(store_check_rules(store, &rules, nine, &err), PK_STOP);
    cr_assert(strstr(err.text, "polku-consumer rebuild"), "%s", err.text);
    struct store_keys keys;
    struct store_facts facts;
    OK(store_begin(store, STORE_SNAPSHOT, NULL, 0, NULL, 0, &err));
    OK(store_load_keys(store, &five, 1, &s.arena, &keys, &err));
    cr_assert_eq(keys.count, 1);
    cr_assert_eq(keys.key->first_at_us, PK_NO_TIME);
    OK(store_load_seen(store, &(struct store_window){five, INT64_MIN, INT64_MAX}, 1, &s.arena, &facts, &err));
    cr_assert_eq(facts.count, 1);
    OK(store_end_read(store, &err));
    store_close(store);
}

Test(store_schema, a_consumer_and_a_database_of_different_numbers_do_not_meet)
{
    const struct store_config config = {.conninfo = s.conninfo};
    struct store *store = NULL;
    cr_assert_eq(store_open(&config, &s.symbols, &store, &err), PK_STOP);
    cr_assert(strstr(err.text, "polku-consumer migrate"), "%s", err.text);
    OK(migrate(SQL));
    OK(store_open(&config, &s.symbols, &store, &err));
    store_close(store);

    support_sql(&s, "INSERT INTO polku.schema_migration (number, name, checksum) VALUES (%d, 'next', 'x')", STORE_SCHEMA + 1);
    cr_assert_eq(store_open(&config, &s.symbols, &store, &err), PK_STOP);
    cr_assert(strstr(err.text, "newer program"), "%s", err.text);
    cr_assert_eq(migrate(SQL), PK_STOP);
    cr_assert(strstr(err.text, "newer program"), "%s", err.text);

    support_sql(&s, "UPDATE polku.schema_migration SET oldest_program = %d WHERE number = %d", STORE_SCHEMA, STORE_SCHEMA + 1);
    OK(store_open(&config, &s.symbols, &store, &err));
    store_close(store);
    support_sql(&s, "DELETE FROM polku.schema_migration WHERE number >= %d", STORE_SCHEMA);
    cr_assert_eq(store_open(&config, &s.symbols, &store, &err), PK_STOP);
    cr_assert(strstr(err.text, "polku-consumer migrate"), "%s", err.text);
}

Test(store_schema, everything_has_a_comment)
{
    OK(migrate(SQL));
    cr_assert_str_eq(support_sql(&s, "SELECT polku.ensure_months(ARRAY['2024-03-31', '2024-02-01', '2024-03-01']::date[])"), "2");
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(c.oid::regclass || '.' || a.attname, ' ') FROM pg_class c"
                                     " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
                                     " WHERE c.relnamespace IN ('polku'::regnamespace, 'bi'::regnamespace) AND c.relkind IN ('r', 'p', 'v')"
                                     " AND coalesce(col_description(c.oid, a.attnum), '') = ''"), "");
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(c.oid::regclass::text, ' ') FROM pg_class c"
                                     " WHERE c.relnamespace IN ('polku'::regnamespace, 'bi'::regnamespace) AND c.relkind IN ('r', 'p', 'v')"
                                     " AND coalesce(obj_description(c.oid), '') = ''"), "");
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(p.oid::regproc::text, ' ') FROM pg_proc p"
                                     " WHERE p.pronamespace IN ('polku'::regnamespace, 'bi'::regnamespace)"
                                     " AND coalesce(obj_description(p.oid), '') = ''"), "");
}

Test(store_schema, a_month_is_cut_at_its_utc_bounds)
{
    OK(migrate(SQL));
    support_sql(&s, "SET timezone = 'America/New_York'; SELECT polku.ensure_months(ARRAY['2024-03-31']::date[])");
    cr_assert_str_eq(support_sql(&s, "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = 'interaction_2024_03'"),
                     "FOR VALUES FROM ('2024-03-01 00:00:00+00') TO ('2024-04-01 00:00:00+00')");
}

/* ---- rights ---- */

/* SQLSTATE of the statement as that role; "" if it worked. */
static const char *state_as(const char *role, const char *sql)
{
    static char state[6];
    char conninfo[1200];
    snprintf(conninfo, sizeof conninfo, "%s options='-c role=%s'", s.conninfo, role);
    PGconn *conn = PQconnectdb(conninfo);
    cr_assert_eq(PQstatus(conn), CONNECTION_OK, "%s", PQerrorMessage(conn));
    PGresult *result = PQexec(conn, sql);
    const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    snprintf(state, sizeof state, "%s", code ? code : "");
    PQclear(result);
    PQfinish(conn);
    return state;
}

#define DENIED "42501"

Test(store_schema, a_reader_reads_bi_and_nothing_else)
{
    OK(migrate(SQL));
    char views[8192];
    snprintf(views, sizeof views, "%s", support_sql(&s, "SELECT string_agg(viewname, ' ' ORDER BY viewname) FROM pg_views WHERE schemaname = 'bi'"));
    cr_assert(strstr(views, "interaction") && strstr(views, "customer_redirect"), "%s", views);
    for (char *rest = views, *view; (view = strtok_r(rest, " ", &rest));) {
        char sql[200];
        snprintf(sql, sizeof sql, "SET polku.as_of = '2024-01-01'; SELECT * FROM bi.%s LIMIT 1", view);
        cr_expect_str_eq(state_as("polku_reader", sql), "", "%s", view);
    }
    cr_assert_str_eq(state_as("polku_reader", "SELECT * FROM polku.interaction"), DENIED);
    cr_assert_str_eq(state_as("polku_reader", "SELECT * FROM polku.quarantine"), DENIED);
    cr_assert_str_eq(state_as("polku_reader", "DELETE FROM polku.quarantine"), DENIED);
    cr_assert_str_eq(state_as("polku_reader", "SELECT polku.ensure_months(ARRAY['2024-01-01']::date[])"), DENIED);
}

Test(store_schema, a_writer_does_what_the_consumer_needs_and_owns_nothing)
{
    OK(migrate(SQL));
    size_t len = strlen(s.conninfo);
    snprintf(s.conninfo + len, sizeof s.conninfo - len, " options='-c role=polku_writer'");
    struct store *store = support_open(&s, &s.symbols);
    s.conninfo[len] = '\0';
    support_rules(&s, store);
    const struct pk_hash customer = support_hash(&s);
    int64_t cell;
    support_claim(&s, store);
    sym_t name_space[] = {support_sym(&s, "email"), support_sym(&s, "email")};
    struct pk_hash person[] = {customer, support_hash(&s)};
    const struct store_meeting meeting = {.id = support_hash(&s), .person = person, .name_space = name_space, .count = 2,
                                          .first_source = name_space[0], .first_event_id = PK_STR("1")};
    OK(store_new_cell(store, &cell, &err));
    struct changes *c = &s.changes;
    struct change_course course = {0};
    struct pk_hash buyer = {{0}};
    for (int round = 0; round < 2; round++) {
        struct fact *fact = support_fact(&s, customer);
        if (round == 0) {
            *pk_vec_push(&c->new_cell) = cell;
            *pk_vec_push(&c->key) = (struct change_key){customer, KEY_PERSON, support_sym(&s, "email"), cell, customer, .first_at_us = PK_NO_TIME};
        } else {
            *pk_vec_push(&c->guard) = (struct change_guard){cell, c->token};
            *pk_vec_push(&c->move) = (struct change_move){fact->at_us, fact->event_hash, customer, customer};
            *pk_vec_push(&c->journey_gone) = customer;
            *pk_vec_push(&c->obligation_gone) = customer;
            *pk_vec_push(&c->customer_gone) = customer;
            *pk_vec_push(&c->key_state) = (struct change_key_state){customer, KEY_IS_SHARED, PK_NO_TIME, {{0}}};
            *pk_vec_push(&c->meeting_first) = (struct change_meeting){customer, &meeting};
            *pk_vec_push(&c->meeting_gone) = (struct change_meeting){meeting.id, &meeting};
        }
        *pk_vec_push(&c->meeting_new) = (struct change_meeting){round ? s.rules.file_hash : customer, &meeting};
        if (!round)
            *pk_vec_push(&c->meeting_new) = (struct change_meeting){meeting.id, &meeting};
        *pk_vec_push(&c->decision) = (struct change_decision){.kind = DECIDE_BLOCK, .restore = round, .a = customer, .by = PK_STR("test")};
        *pk_vec_push(&c->fact) = fact;
        *pk_vec_push(&c->sighting) = (struct change_sighting){customer, support_hash(&s)};
        const struct pk_hash next = support_hash(&s);
        *pk_vec_push(&c->customer) = (struct change_customer){next, KEY_PERSON, support_sym(&s, "email"), 1, 0, 0};
        *pk_vec_push(&c->journey) = support_journey(&s, customer);
        *pk_vec_push(&c->obligation) = support_obligation(&s, customer);
        for (enum aggregate t = 0; t < AGGREGATE_COUNT; t++)
            *pk_vec_push(&c->aggregate) = support_bucket(&s, t, 0, 1);
        if (round == 0) {
            course = (struct change_course){c->journey.ptr[0], support_course(&s, 0)};
            *pk_vec_push(&c->course_new) = course;
        } else {
            *pk_vec_push(&c->course) = course;
            *pk_vec_push(&c->course_gone) = (struct change_course_gone){customer, 1};
            *pk_vec_push(&c->customer_purchases) = (struct change_customer){.id = buyer, .first_purchase_at_us = PK_NO_TIME, .last_purchase_at_us = PK_NO_TIME};
        }
        *pk_vec_push(&c->quarantine) = (struct change_quarantine){.topic = support_sym(&s, "test"), .offset = round};
        OK(support_save(&s, store, &err));
        buyer = next;
    }
    const int64_t known = cell;
    struct store_keys keys;
    OK(store_begin(store, STORE_ALONE, NULL, 0, &known, 1, &err));
    OK(store_lock_more(store, &known, 1, &err));
    OK(store_load_keys(store, &customer, 1, &s.arena, &keys, &err));
    struct store_meetings meetings;
    OK(store_load_meetings(store, &customer, NULL, 1, &s.arena, &meetings, &err));
    cr_assert_eq(meetings.count, 1);
    struct store_facts facts;
    OK(store_load_seen(store, &(struct store_window){customer, INT64_MIN, INT64_MAX}, 1, &s.arena, &facts, &err));
    store_rollback(store);
    store_close(store);

    cr_assert_str_eq(state_as("polku_writer", "DELETE FROM polku.stream_position"), DENIED);
    cr_assert_str_eq(state_as("polku_writer", "DELETE FROM polku.forgotten"), DENIED);
    cr_assert_str_eq(state_as("polku_writer", "CREATE TABLE polku.x (a int)"), DENIED);
    cr_assert_str_eq(state_as("polku_writer", "DROP TABLE polku.journey"), DENIED);
    cr_assert_str_eq(state_as("polku_writer", "INSERT INTO polku.schema_migration VALUES (9, 'x', 'x')"), DENIED);
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(DISTINCT pg_get_userbyid(relowner), ' ') FROM pg_class"
                                     " WHERE relnamespace IN ('polku'::regnamespace, 'bi'::regnamespace)"), "polku_owner");
}

static void keep_note(void *context, const char *sentence)
{
    strncat(context, sentence, 2000);
}

Test(store_schema, without_the_right_to_create_roles_migrate_warns_and_goes_on)
{
    char user[80], notes[16384] = "";
    snprintf(user, sizeof user, "%s_plain", s.name);
    support_sql(&s, "CREATE ROLE %s LOGIN; ALTER DATABASE %s OWNER TO %s", user, s.name, user);
    copy_sql("sed -i 's/polku_\\(owner\\|writer\\|reader\\)/absent_\\1/g' roles.sql");
    char conninfo[1200];
    snprintf(conninfo, sizeof conninfo, "%s options='-c role=%s'", s.conninfo, user);
    enum pk_status status = migrate_run(conninfo, dir, keep_note, notes, &err);
    support_sql(&s, "REASSIGN OWNED BY %s TO CURRENT_USER; DROP OWNED BY %s; DROP ROLE %s", user, user, user);
    cr_assert_eq(status, PK_OK, "%s", err.text);
    cr_assert(strstr(notes, "role absent_reader is missing"), "%s", notes);
    cr_assert_str_eq(support_sql(&s, "SELECT count(*) FROM bi.journey"), "0");
}

/* ---- views ---- */

struct expected {
    const char *members, *values; /* of the obligation; opened at 10:00 */
    const char *as_of, *state, *flags;
};

/* flags: c closed, o overdue, b broken, e early, d no deadline, w no owner */
static const struct expected expected[] = {
    {"", "", "2024-03-01 09:59:59.999999", "", ""},
    {"", "", "2024-03-01 10:00", "open", "dw"},
    {", due_to", ", '2024-03-01 12:00'", "2024-03-01 12:00", "open", "w"},
    {", due_to, unit_id", ", '2024-03-01 12:00', 1", "2024-03-01 12:00:00.000001", "overdue", "ob"},
    {", due_to, role_id", ", '2024-03-01 12:00', 1", "2024-03-01 12:00:00.000001", "overdue", "ob"},
    {", fulfilled_at", ", '2024-03-01 11:00'", "2024-03-01 10:59:59.999999", "open", "dw"},
    {", fulfilled_at", ", '2024-03-01 11:00'", "2024-03-01 11:00", "kept", "cdw"},
    {", due_to, fulfilled_at", ", '2024-03-01 12:00', '2024-03-01 12:00'", "2024-03-02", "kept", "cw"},
    {", due_to, fulfilled_at", ", '2024-03-01 12:00', '2024-03-01 12:00:00.000001'", "2024-03-02", "late", "cbw"},
    {", due_to, fulfilled_at", ", '2024-03-01 12:00', '2024-03-01 14:00'", "2024-03-01 13:00", "overdue", "obw"},
    /* a window of 100 minutes: nine tenths are 90 */
    {", due_from, due_to, fulfilled_at", ", '2024-03-01 11:00', '2024-03-01 12:40', '2024-03-01 12:30'", "2024-03-02", "kept", "cw"},
    {", due_from, due_to, fulfilled_at", ", '2024-03-01 11:00', '2024-03-01 12:40', '2024-03-01 12:30:00.000001'", "2024-03-02",
     "kept_late_in_window", "cw"},
    {", due_from, due_to, fulfilled_at", ", '2024-03-01 11:00', '2024-03-01 12:40', '2024-03-01 12:40:00.000001'", "2024-03-02", "late", "cbw"},
    {", due_from, due_to, fulfilled_at", ", '2024-03-01 11:00', '2024-03-01 11:00', '2024-03-01 11:00'", "2024-03-02", "kept", "cw"},
    {", due_from, due_to, fulfilled_at", ", '2024-03-01 11:00', '2024-03-01 12:40', '2024-03-01 10:59'", "2024-03-02", "kept", "cew"},
    {", due_from, fulfilled_at", ", '2024-03-01 11:00', '2024-03-01 15:00'", "2024-03-02", "kept", "cdw"},
    {", label, first_attempt_at, attempts", ", 1, '2024-03-01 11:00', 1", "2024-03-01 10:59:59.999999", "open", "dw"},
    {", label, first_attempt_at, attempts", ", 1, '2024-03-01 11:00', 1", "2024-03-01 11:00", "attempted_not_reached", "dw"},
    {", label, first_attempt_at, attempts, due_to", ", 2, '2024-03-01 11:00', 1, '2024-03-01 12:00'", "2024-03-01 13:00", "replied_not_answered",
     "obw"},
    {", first_attempt_at, attempts, due_to", ", '2024-03-01 11:00', 1, '2024-03-01 12:00'", "2024-03-01 13:00", "overdue", "obw"},
    {", label, first_attempt_at, attempts, fulfilled_at", ", 1, '2024-03-01 11:00', 1, '2024-03-01 11:30'", "2024-03-01 11:30", "kept", "cdw"},
    {", due_to, rejected_at", ", '2024-03-01 12:00', '2024-03-01 13:00'", "2024-03-01 12:59", "overdue", "obw"},
    {", due_to, rejected_at", ", '2024-03-01 12:00', '2024-03-01 13:00'", "2024-03-01 13:00", "rejected", "cw"},
    {", due_to, withdrawn_at", ", '2024-03-01 12:00', '2024-03-01 13:00'", "2024-03-01 13:00", "withdrawn", "cw"},
    {", due_to, withdrawn_at", ", '2024-03-01 12:00', '2024-03-01 13:00'", "2024-03-01 12:00", "open", "w"},
    /* moved from 12:00 to 15:00 at 13:00 */
    {", first_due_to, due_to, changed_at", ", '2024-03-01 12:00', '2024-03-01 15:00', '2024-03-01 13:00'", "2024-03-01 12:59:59.999999", "overdue",
     "obw"},
    {", first_due_to, due_to, changed_at", ", '2024-03-01 12:00', '2024-03-01 15:00', '2024-03-01 13:00'", "2024-03-01 13:00", "open", "w"},
    {", first_due_to, due_to, changed_at, fulfilled_at", ", '2024-03-01 12:00', '2024-03-01 15:00', '2024-03-01 13:00', '2024-03-01 14:00'",
     "2024-03-02", "kept", "cw"},
    /* an act by relates_to may precede the opening */
    {", fulfilled_at", ", '2024-03-01 09:00'", "2024-03-01 10:00", "kept", "cdw"},
};

Test(store_schema, the_state_of_an_obligation_follows_the_moment)
{
    OK(migrate(SQL));
    support_sql(&s, "SELECT polku.intern(ARRAY['callback'])");
    for (size_t i = 0; i < PK_COUNT(expected); i++) {
        const struct expected *e = &expected[i];
        char members[256];
        snprintf(members, sizeof members, "%s%s%s", e->members, strstr(e->members, "label") ? "" : ", label",
                 strstr(e->members, "attempts") ? "" : ", attempts");
        support_sql(&s, "TRUNCATE polku.obligation; INSERT INTO polku.obligation (obligation_id, customer_id, journey_id, opened_by, opened_at,"
                        " explicit, kind_id, brand_id%s) VALUES (gen_random_uuid(), '%032d', '%032d', gen_random_uuid(), '2024-03-01 10:00', false, 1, 1"
                        "%s%s%s)",
                    members, 1, 2, e->values, strstr(e->members, "label") ? "" : ", 0", strstr(e->members, "attempts") ? "" : ", 0");
        cr_expect_str_eq(support_sql(&s, "SET polku.as_of = '%s'; SELECT state FROM bi.obligation", e->as_of), e->state, "row %zu: %s as of %s", i,
                         e->values, e->as_of);
        cr_expect_str_eq(support_sql(&s, "SET polku.as_of = '%s'; SELECT CASE WHEN closed THEN 'c' ELSE '' END || CASE WHEN overdue THEN 'o' ELSE '' END"
                                         " || CASE WHEN broken THEN 'b' ELSE '' END || CASE WHEN early THEN 'e' ELSE '' END"
                                         " || CASE WHEN no_deadline THEN 'd' ELSE '' END || CASE WHEN no_owner THEN 'w' ELSE '' END"
                                         " FROM bi.obligation", e->as_of),
                         e->flags, "row %zu: %s as of %s", i, e->values, e->as_of);
        cr_expect_str_eq(support_sql(&s, "SET polku.as_of = '%s'; SELECT (bool_and(closed IS NOT NULL AND overdue IS NOT NULL AND broken IS NOT NULL AND early IS NOT NULL)"
                                         " OR count(*) = 0) FROM bi.obligation", e->as_of), "t", "flags are never null (row %zu)", i);
    }
}

Test(store_schema, a_callback_at_the_end_of_its_window_has_position_and_slack)
{
    OK(migrate(SQL));
    support_sql(&s, "SELECT polku.intern(ARRAY['callback', 'Aurora'])");
    support_sql(&s, "INSERT INTO polku.obligation (obligation_id, customer_id, journey_id, opened_by, opened_at, explicit, kind_id, brand_id, label, attempts,"
                    " due_from, due_to, first_due_to, fulfilled_at) VALUES (gen_random_uuid(), '%032d', '%032d', gen_random_uuid(), '2015-09-21 10:05', true,"
                    " 2, 1, 1, 0, '2015-09-21 11:00', '2015-09-21 18:00', '2015-09-21 18:00', '2015-09-21 17:55')", 1, 2);
    support_sql(&s, "INSERT INTO polku.journey (journey_id, customer_id, first_at, last_at, events, contacts, switches, handoffs_offered,"
                    " handoffs_accepted, unanswered, refusals, resolved, crowd, channels, brands, units, first_inbound_at, first_human_reply_at)"
                    " VALUES ('%032d', '%032d', '2015-09-21 10:00', '2015-09-21 17:55', 3, 2, 0, 0, 0, 0, 0, true, false, '{2,1}', '{1}', '{}',"
                    " '2015-09-21 10:00', '2015-09-21 17:55')", 2, 1);
    cr_assert_str_eq(support_sql(&s, "SELECT concat_ws(' ', state, round(position::numeric, 3), slack, open_for, kind, brand) FROM bi.obligation"),
                     "kept_late_in_window 0.988 00:05:00 07:50:00 callback Aurora");
    cr_assert_str_eq(support_sql(&s, "SELECT concat_ws(' ', duration, first_human_reply_after, channels, channel_count, brands, units, obligations_opened,"
                                     " obligations_open, obligations_broken) FROM bi.journey"),
                     "07:55:00 07:55:00 {callback,Aurora} 2 {Aurora} {} 1 0 0");
    cr_assert_str_eq(support_sql(&s, "SELECT obligations #>> '{callback,kept_late_in_window}' FROM bi.journey"), "1");
    cr_assert_str_eq(support_sql(&s, "SET polku.as_of = '2015-09-21 12:00'; SELECT concat_ws(' ', obligations_opened, obligations_open,"
                                     " obligations #>> '{callback,open}', obligations #>> '{callback,kept_late_in_window}') FROM bi.journey"),
                     "1 1 1 0");
    cr_assert_str_eq(support_sql(&s, "SET polku.as_of = '2015-09-21 10:00'; SELECT concat_ws(' ', obligations_opened, obligations IS NULL) FROM bi.journey"),
                     "0 t");
}

Test(store_schema, sensitive_events_hide_what_they_are_about)
{
    OK(migrate(SQL));
    struct store *store = support_open(&s, &s.symbols);
    support_claim(&s, store);
    for (int sensitivity = EVENT_NORMAL; sensitivity <= EVENT_SENSITIVE; sensitivity++) {
        struct fact *fact = support_plain_fact(&s, support_hash(&s), INT64_C(1709251200000000));
        fact->sensitivity = (uint8_t)sensitivity;
        fact->topic = fact->cause = support_sym(&s, "secret");
        fact->product = PK_STR("secret");
        fact->stage = support_sym(&s, "renewal");
        fact->reason = support_sym(&s, "secret");
        fact->attributes = PK_STR("{\"a\": \"secret\"}");
        *pk_vec_push(&s.changes.fact) = fact;
    }
    OK(support_save(&s, store, &err));
    store_close(store);
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(concat_ws(' ', sensitive, stage, topic, cause, product, reason, attributes), '; ' ORDER BY sensitive)"
                                     " FROM bi.interaction"),
                     "f renewal secret secret secret secret {\"a\": \"secret\"}; t renewal");
    cr_assert_str_eq(support_sql(&s, "SELECT concat_ws(' ', direction, actor, customer_kind, kafka_topic) FROM bi.interaction LIMIT 1"),
                     "INBOUND CUSTOMER person test");
}
