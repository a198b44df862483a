/* SPDX-License-Identifier: Apache-2.0 */
/* A database made before the ledger: migrated with its rows, then refused, then rebuilt. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "cmd_migrate.h"
#include "rebuild.h"
#include "store_support.h"

static struct support s;
static struct pk_err err;
static char dir[64];
static const struct fact_hasher hasher = {.key = "sixteen bytes ok", .key_len = 16};
static const volatile sig_atomic_t go_on;

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

TestSuite(store_upgrade, .init = init, .fini = done);

#define OK(call) cr_assert_eq((call), PK_OK, "%s", err.text)

/* Migrations 1 to 4 and the rights of then. */
static void migrate_to_4(void)
{
    char command[512];
    snprintf(command, sizeof command, "cd %s && mkdir migrations && cp %s/sql/migrations/000[1-4]_* migrations && : > roles.sql", dir,
             POLKU_SOURCE_DIR);
    cr_assert_eq(system(command), 0);
    OK(migrate_run(s.conninfo, dir, NULL, NULL, &err));
}

static const char rules_text[] =
    "version: 1\n"
    "identity:\n"
    "  phone_country: \"358\"\n"
    "  namespaces:\n"
    "    - {name: email, class: person, priority: 10, normalise: email}\n"
    "journeys:\n"
    "  gap: 14d\n"
    "facts:\n"
    "  contact: [{type: \"contact.*\"}]\n"
    "  purchase: [{type: order.placed}]\n"
    "calendars:\n"
    "  - name: all\n"
    "    zone: Europe/Helsinki\n"
    "    hours: {mon-fri: \"08:00-16:00\"}\n"
    "definitions:\n"
    "  - name: order\n"
    "    window: 7d\n"
    "    milestones:\n"
    "      - {name: asked, on: [{type: contact.inbound}]}\n"
    "      - {name: placed, on: [{type: order.placed}]}\n"
    "obligations:\n"
    "  kinds:\n"
    "    - {kind: delivery, opens: [{type: order.placed}], within: 8h, time: business}\n";

static void load_rules(struct rules *rules)
{
    char path[100];
    snprintf(path, sizeof path, "%s/rules.yaml", dir);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(rules_text, file);
    cr_assert_eq(fclose(file), 0);
    OK(rules_load(path, NULL, &s.symbols, &s.arena, rules, NULL, &err));
}

static struct pk_hash hash_of(const char *name_space, const char *value)
{
    const struct pk_str part[] = {pk_str(name_space), pk_str(value)};
    return fact_hash(&hasher, part, 2);
}

/* As a consumer of then left it: a question about a delay, another one, an order. */
static void add_rows_of_then(const struct rules *rules)
{
    const struct pk_str check = PK_STR("polku hash key check");
    char person[37], key[37], hashing[37], event[3][37];
    support_uuid(hash_of("email", "a@b.fi"), person);
    support_uuid(fact_hash(&hasher, &check, 1), key);
    support_uuid(rules->hashing_hash, hashing);
    for (int i = 0; i < 3; i++) {
        char id[8];
        snprintf(id, sizeof id, "%d", i);
        support_uuid(hash_of("shop", id), event[i]);
    }
    support_sql(&s, "SELECT polku.intern(ARRAY['shop', 'contact.inbound', 'order.placed', 'email', 'Aurora', 'phone', 'events']);"
                    "SELECT polku.ensure_months(ARRAY['2024-03-01', '2024-04-01']::date[]);"
                    "CREATE FUNCTION w(t text) RETURNS integer LANGUAGE sql AS 'SELECT id FROM polku.dictionary WHERE text = t';"
                    "INSERT INTO polku.interaction (occurred_at, sequence, content_hash, kafka_offset, kafka_topic_id, kafka_partition, source_id, type_id,"
                    " channel_id, brand_id, customer_kind, customer_id, direction, actor, sensitivity, handoff, event_hash, event_id, identifiers,"
                    " identifier_namespaces, topic, cause, stage, rating_scale_id, rating_score, rating_min, rating_max, money_amount_minor, money_currency_id)"
                    " SELECT t, 0, n, n, w('events'), 0, w('shop'), w(type), w('phone'), w('Aurora'), 0, '%1$s', 0, 0, 0, false, h, n::text,"
                    " '{%1$s}', ARRAY[w('email')], topic, cause, 'renewal', w('email'), 9.5, 0, 10, 1999, w('shop')"
                    " FROM (VALUES (0, '2024-03-30 10:00+00'::timestamptz, '%2$s'::uuid, 'contact.inbound', 'delay', NULL),"
                    " (1, '2024-03-31 10:00+00', '%3$s', 'contact.inbound', 'delay', 'late delivery'),"
                    " (2, '2024-04-01 10:00+00', '%4$s', 'order.placed', NULL, NULL)) AS v (n, t, h, type, topic, cause);"
                    "INSERT INTO polku.customer VALUES (w('email'), 0, '%1$s');"
                    "INSERT INTO polku.stream_position (next_offset, epoch, claimed_at, topic_id, partition, slot) VALUES (3, 1, now(), w('events'), 0, 1);"
                    "INSERT INTO polku.rules_state (derivation_version, rules_hash, key_check, hashing_hash) VALUES (2, '%1$s', '%5$s', '%6$s');"
                    "DROP FUNCTION w(text)",
                person, event[0], event[1], event[2], key, hashing);
}

static void quiet(void *context, const char *sentence, const char *detail)
{
    (void)context, (void)sentence, (void)detail;
}

static void quiet_progress(void *context, int64_t events, int64_t total, const struct commit_counters *counters)
{
    (void)context, (void)events, (void)total, (void)counters;
}

static enum pk_status rebuild(const struct rules *rules)
{
    const struct rebuild_config config = {
        .store = {.conninfo = s.conninfo, .lock_timeout_us = 5 * PK_SECOND_US, .application_name = "polku test"},
        .rules = rules,
        .hasher = &hasher,
        .symbols = &s.symbols,
        .batch_records = 1000,
        .cache_bytes = 16 << 20,
        .handler = {NULL, quiet, quiet, quiet_progress},
    };
    return rebuild_run(&config, &go_on, &err);
}

static void expect_words(void)
{
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(concat_ws(' ', event_id, (SELECT text FROM polku.dictionary WHERE id = topic_id),"
                                     " (SELECT text FROM polku.dictionary WHERE id = cause_id), (SELECT text FROM polku.dictionary WHERE id = stage_id),"
                                     " rating_score, money_amount_minor), ', ' ORDER BY event_id) FROM polku.interaction"),
                     "0 delay renewal 9.5 1999, 1 delay late delivery renewal 9.5 1999, 2 renewal 9.5 1999");
}

static void refuse(const struct rules *rules)
{
    const struct pk_str check = PK_STR("polku hash key check");
    struct store *store = support_open(&s, &s.symbols);
    cr_assert_eq(store_check_rules(store, rules, fact_hash(&hasher, &check, 1), &err), PK_STOP);
    cr_assert(strstr(err.text, "polku-consumer rebuild"), "%s", err.text);
    store_close(store);
}

Test(store_upgrade, a_database_of_before_keeps_its_rows_and_a_rebuild_fills_the_ledger, .timeout = 120)
{
    struct rules rules;
    migrate_to_4();
    load_rules(&rules);
    add_rows_of_then(&rules);
    OK(migrate_run(s.conninfo, POLKU_SOURCE_DIR "/sql", NULL, NULL, &err));
    expect_words();
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(DISTINCT concat(attname, attnum), ' ') FROM pg_attribute WHERE attname = 'topic_id'"
                                     " AND attrelid IN (SELECT 'polku.interaction'::regclass UNION SELECT inhrelid FROM pg_inherits)"),
                     support_sql(&s, "SELECT 'topic_id' || attnum FROM pg_attribute WHERE attname = 'topic_id' AND attrelid = 'polku.interaction'::regclass"),
                     "old months and new ones are alike");
    refuse(&rules);

    support_sql(&s, "CREATE VIEW public.mine AS SELECT type, topic FROM bi.interaction; CREATE VIEW public.courses AS SELECT * FROM polku.course;"
                    "COMMENT ON VIEW public.courses IS 'kept'");
    OK(rebuild(&rules));
    expect_words();
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(traits::text, ' ' ORDER BY event_id) FROM polku.interaction"), "4 4 4194304");
    cr_assert_str_eq(support_sql(&s, "SELECT concat_ws(' ', count(*), sum(events), sum(contacts), sum(repeats)) FROM polku.journey"), "1 3 2 0");
    cr_assert_str_eq(support_sql(&s, "SELECT concat_ws(' ', purchases, first_purchase_at, last_purchase_at) FROM polku.customer"),
                     "1 2024-04-01 10:00:00+00 2024-04-01 10:00:00+00");
    cr_assert_str_eq(support_sql(&s, "SELECT concat_ws(' ', (SELECT text FROM polku.dictionary WHERE id = path_id), reached_at, failures, skipped, goal_at) FROM public.courses"),
                     "1>2 {\"2024-03-30 10:00:00+00\",\"2024-04-01 10:00:00+00\"} {0,0} 0 2024-04-01 10:00:00+00");
    /* 13:00 of a Monday in Helsinki, open until 16:00: five hours are left for Tuesday */
    cr_assert_str_eq(support_sql(&s, "SELECT concat_ws(' ', due_to, amount_minor, cycle) FROM polku.obligation"), "2024-04-02 10:00:00+00 1999 1");
    cr_assert_str_eq(support_sql(&s, "SELECT concat_ws(' ', (SELECT sum(interactions) FROM polku.interaction_hourly), (SELECT sum(interactions) FROM polku.need_hourly),"
                                     " (SELECT sum(amount_minor) FROM polku.money_hourly), (SELECT sum(journeys) FROM polku.journey_daily),"
                                     " (SELECT sum(opened) FROM polku.obligation_hourly), (SELECT sum(courses) FROM polku.path_daily), (SELECT count(*) > 7000 FROM polku.calendar_open),"
                                     " (SELECT count(*) FROM polku.kind), (SELECT count(*) FROM polku.milestone))"), "3 3 5997 1 1 1 t 1 2");
    cr_assert_str_eq(support_sql(&s, "SELECT derivation_version = %d AND repeat_window_us > 0 AND effort_id <> '' FROM polku.rules_state", DERIVATION_VERSION), "t");
    cr_assert_str_eq(support_sql(&s, "SELECT count(*) || ' ' || obj_description('public.courses'::regclass) FROM public.mine"), "3 kept");
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(c.oid::regclass || '.' || a.attname, ' ') FROM pg_class c"
                                     " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
                                     " WHERE c.relnamespace = 'polku'::regnamespace AND c.relkind IN ('r', 'p')"
                                     " AND coalesce(col_description(c.oid, a.attnum), '') = ''"), "", "comments survive");
    cr_assert_str_eq(support_sql(&s, "SELECT string_agg(reloptions[1], ' ' ORDER BY reloptions) FROM pg_class WHERE oid IN ('polku.course'::regclass, 'polku.path_daily'::regclass)"),
                     "fillfactor=70 fillfactor=80");
    cr_assert_str_eq(support_sql(&s, "SELECT count(*) FROM pg_indexes WHERE schemaname = 'polku' AND indexdef LIKE '%%1065353216%%'"), "3");

    OK(rebuild(&rules)); /* and again, from what it made itself */
    expect_words();
    cr_assert_str_eq(support_sql(&s, "SELECT concat_ws(' ', count(*), (SELECT sum(interactions) FROM polku.interaction_hourly)) FROM public.courses"), "1 3");
    cr_assert_str_eq(support_sql(&s, "SELECT to_regnamespace('polku_rebuild') IS NULL"), "t");
}

Test(store_upgrade, what_others_built_on_the_views_stops_the_migration_by_name)
{
    migrate_to_4();
    support_sql(&s, "CREATE VIEW public.mine AS SELECT brand FROM bi.interaction_hourly; CREATE VIEW public.topics AS SELECT topic FROM polku.interaction;"
                    "CREATE VIEW public.theirs AS SELECT events FROM polku.journey");
    cr_assert_eq(migrate_run(s.conninfo, POLKU_SOURCE_DIR "/sql", NULL, NULL, &err), PK_STOP);
    cr_assert(strstr(err.text, "view public.mine, view public.topics;"), "%s", err.text);
    cr_assert_str_eq(support_sql(&s, "SELECT max(number) FROM polku.schema_migration"), "4");
    support_sql(&s, "DROP VIEW public.mine; DROP VIEW public.topics");
    OK(migrate_run(s.conninfo, POLKU_SOURCE_DIR "/sql", NULL, NULL, &err));
    cr_assert_str_eq(support_sql(&s, "SELECT count(*) FROM public.theirs"), "0", "what needs nothing that changes stays");
}
