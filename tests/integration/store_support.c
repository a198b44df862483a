/* SPDX-License-Identifier: Apache-2.0 */
#include "store_support.h"

#include <criterion/criterion.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "cmd_migrate.h"
#include "metric.h"

/* ---- database ---- */

static const char *server(void)
{
    const char *conninfo = getenv("POLKU_TEST_DATABASE");
    if (!conninfo || !*conninfo) {
        fprintf(stderr, "SKIPPED: POLKU_TEST_DATABASE is not set, nothing was tested against PostgreSQL\n");
        cr_skip_test("POLKU_TEST_DATABASE is not set");
    }
    return conninfo;
}

static void on_server(const char *sql)
{
    PGconn *conn = PQconnectdb(server());
    cr_assert_eq(PQstatus(conn), CONNECTION_OK, "%s", PQerrorMessage(conn));
    PGresult *result = PQexec(conn, sql);
    cr_assert_eq(PQresultStatus(result), PGRES_COMMAND_OK, "%s", PQerrorMessage(conn));
    PQclear(result);
    PQfinish(conn);
}

void support_init(struct support *s, bool migrated)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *s = (struct support){.random = (uint64_t)now.tv_nsec ^ ((uint64_t)getpid() << 32)};
    const char *seed = getenv("POLKU_TEST_SEED");
    if (seed)
        s->random = strtoull(seed, NULL, 10);
    const char *conninfo = server();
    fprintf(stderr, "seed: POLKU_TEST_SEED=%llu\n", (unsigned long long)s->random);
    snprintf(s->name, sizeof s->name, "polku_test_%d_%lld_%ld", getpid(), (long long)now.tv_sec, now.tv_nsec);
    snprintf(s->conninfo, sizeof s->conninfo, "%s dbname=%s", conninfo, s->name);
    char sql[128];
    snprintf(sql, sizeof sql, "CREATE DATABASE %s TEMPLATE template0", s->name);
    on_server(sql);
    symbols_init(&s->symbols);
    struct pk_err err = {0};
    if (migrated)
        cr_assert_eq(migrate_run(s->conninfo, POLKU_SOURCE_DIR "/sql", NULL, NULL, &err), PK_OK, "%s", err.text);
}

void support_done(struct support *s)
{
    char sql[128];
    snprintf(sql, sizeof sql, "DROP DATABASE IF EXISTS %s WITH (FORCE)", s->name);
    on_server(sql);
    symbols_done(&s->symbols);
    pk_arena_done(&s->arena);
    changes_done(&s->changes);
}

struct store *support_open(struct support *s, struct symbols *symbols)
{
    return support_open_as(s, symbols, &(struct store_config){0});
}

struct store *support_open_as(struct support *s, struct symbols *symbols, const struct store_config *more)
{
    const struct store_config config = {
        .schema = more->schema,
        .step = more->step,
        .step_context = more->step_context,
        .conninfo = s->conninfo,
        .statement_timeout_us = 20 * PK_SECOND_US,
        .lock_timeout_us = 3 * PK_SECOND_US,
        .idle_timeout_us = 60 * PK_SECOND_US,
        .application_name = "polku test",
    };
    struct store *store = NULL;
    struct pk_err err = {0};
    cr_assert_eq(store_open(&config, symbols, &store, &err), PK_OK, "%s", err.text);
    return store;
}

const char *support_sql(struct support *s, const char *format, ...)
{
    static char value[8192];
    char text[16384];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);

    PGconn *conn = PQconnectdb(s->conninfo);
    cr_assert_eq(PQstatus(conn), CONNECTION_OK, "%s", PQerrorMessage(conn));
    PGresult *result = PQexec(conn, "SET timezone = 'UTC'; SET client_min_messages = warning");
    PQclear(result);
    result = PQexec(conn, text);
    ExecStatusType state = PQresultStatus(result);
    cr_assert(state == PGRES_TUPLES_OK || state == PGRES_COMMAND_OK, "%s: %s", text, PQerrorMessage(conn));
    snprintf(value, sizeof value, "%s", PQntuples(result) ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    PQfinish(conn);
    return value;
}

/* ---- rows ---- */

uint64_t support_random(struct support *s, uint64_t below) /* splitmix64 */
{
    uint64_t x = s->random += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    x ^= x >> 31;
    return below ? x % below : x;
}

struct pk_hash support_hash(struct support *s)
{
    struct pk_hash hash;
    pk_put_be64(hash.byte, support_random(s, 0));
    pk_put_be64(hash.byte + 8, support_random(s, 0) | 1);
    return hash;
}

static bool some(struct support *s) /* two of three */
{
    return support_random(s, 3) > 0;
}

static struct pk_hash some_hash(struct support *s)
{
    return some(s) ? support_hash(s) : (struct pk_hash){0};
}

sym_t support_sym(struct support *s, const char *text)
{
    return symbol_of(&s->symbols, pk_str(text));
}

static sym_t any_sym(struct support *s)
{
    static const char *const text[] = {"a", "phone", "chat", "contact.inbound", "brand with space", "Käyttäjä", "päivä",
                                       "日本語", "🙂", "quote'd", "back\\slash", "{1,2}", "NULL", "", "%s"};
    size_t i = support_random(s, PK_COUNT(text) + 1);
    if (i < PK_COUNT(text))
        return support_sym(s, text[i]);
    char longest[EVENT_MAX_NAME + 1];
    memset(longest, 'x', EVENT_MAX_NAME);
    longest[EVENT_MAX_NAME] = '\0';
    return support_sym(s, longest);
}

static sym_t some_sym(struct support *s)
{
    return some(s) ? any_sym(s) : 0;
}

static struct pk_str some_text(struct support *s)
{
    static const char *const text[] = {"", "late delivery", "Wo ist mein Paket?", "ääkköset ÅÄÖ", "日本語\ttab\nline", "'\"\\{},null", "🙂🙃"};
    if (!some(s))
        return (struct pk_str){0};
    size_t i = support_random(s, PK_COUNT(text) + 1);
    if (i < PK_COUNT(text))
        return pk_str(text[i]);
    char *longest = pk_arena_alloc(&s->arena, EVENT_MAX_TEXT);
    memset(longest, 'y', EVENT_MAX_TEXT);
    return (struct pk_str){longest, EVENT_MAX_TEXT};
}

static int64_t any_time(struct support *s)
{
    static const int64_t edge[] = {EVENT_MIN_TIME_US, EVENT_MAX_TIME_US - 1, INT64_C(946684800000000), INT64_C(946684799999999)};
    size_t i = support_random(s, 12);
    return i < PK_COUNT(edge) ? edge[i] : INT64_C(1709251200000000) + (int64_t)support_random(s, (uint64_t)(60 * PK_DAY_US));
}

static int64_t some_time(struct support *s)
{
    return some(s) ? any_time(s) : PK_NO_TIME;
}

static int64_t any_int8(struct support *s)
{
    static const int64_t edge[] = {INT64_MIN, INT64_MAX, 0, -1, 1};
    size_t i = support_random(s, 8);
    return i < PK_COUNT(edge) ? edge[i] : (int64_t)support_random(s, 0);
}

void support_uuid(struct pk_hash hash, char out[37])
{
    const uint8_t *b = hash.byte;
    snprintf(out, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3], b[4], b[5],
             b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

struct fact *support_plain_fact(struct support *s, struct pk_hash customer, int64_t at_us)
{
    struct fact *f = PK_NEW(&s->arena, struct fact);
    *f = (struct fact){
        .at_us = at_us,
        .source = support_sym(s, "shop"),
        .event_id = PK_STR("1"),
        .event_hash = support_hash(s),
        .content_hash = support_random(s, 0),
        .customer = customer,
        .type = support_sym(s, "contact.inbound"),
        .channel = support_sym(s, "phone"),
        .brand = support_sym(s, "Aurora"),
        .promise = {.due_from_us = PK_NO_TIME, .due_to_us = PK_NO_TIME},
        .topic_name = support_sym(s, "test"),
        .received_at_us = at_us,
    };
    return f;
}

struct fact *support_fact(struct support *s, struct pk_hash customer)
{
    struct fact *f = support_plain_fact(s, customer, any_time(s));
    f->sequence = any_int8(s);
    f->content_hash = (uint64_t)any_int8(s);
    f->source = any_sym(s);
    char *id = pk_arena_alloc(&s->arena, EVENT_MAX_ID);
    memset(id, 'i', EVENT_MAX_ID);
    f->event_id = some(s) ? PK_STR("tapahtuma-ä/1") : (struct pk_str){id, 1 + support_random(s, EVENT_MAX_ID)};
    static const enum key_kind kind[] = {KEY_PERSON, KEY_DEVICE, KEY_CASE, KEY_SHARED};
    f->customer_kind = pk_hash_zero(customer) ? KEY_PERSON : kind[support_random(s, PK_COUNT(kind))];
    f->sighted = some_hash(s);
    f->case_key = some_hash(s);
    f->relates = some_hash(s);
    f->type = any_sym(s);
    f->channel = some_sym(s);
    f->brand = some_sym(s);
    f->unit = some_sym(s);
    f->outcome = some_sym(s);
    f->reason = some_sym(s);
    f->direction = (uint8_t)support_random(s, 5);
    f->actor = (uint8_t)support_random(s, 5);
    f->sensitivity = (uint8_t)support_random(s, 2);
    f->has_promise = some(s);
    if (f->has_promise)
        f->promise = (struct fact_promise){.id = support_hash(s), .kind = any_sym(s), .due_from_us = some_time(s), .due_to_us = some_time(s),
                                           .brand = some_sym(s), .unit = some_sym(s), .role = some_sym(s)};
    f->has_handoff = some(s);
    if (f->has_handoff)
        f->to_brand = some_sym(s), f->to_unit = some_sym(s), f->to_role = some_sym(s);
    f->partition = (int32_t)support_random(s, INT32_MAX);
    f->offset = (int64_t)support_random(s, INT64_MAX);
    f->received_at_us = some_time(s);
    if (some(s)) {
        f->journey = PK_NEW(&s->arena, struct journey);
        f->journey->id = support_hash(s);
    }

    f->identifier_count = some(s) ? (uint8_t)support_random(s, FACT_MAX_IDENTIFIERS + 1) : 0;
    struct fact_identifier *identifier = PK_NEW_ARRAY(&s->arena, struct fact_identifier, f->identifier_count + 1);
    for (uint32_t i = 0; i < f->identifier_count; i++)
        identifier[i] = (struct fact_identifier){.hash = some_hash(s), .name_space = any_sym(s)};
    f->identifier = identifier;
    f->staff = some_hash(s);
    f->traits = (uint32_t)support_random(s, UINT32_C(1) << TRAIT_COUNT);
    f->topic = some_sym(s);
    f->cause = some_sym(s);
    f->stage = some_sym(s);
    f->product = some_text(s);
    f->location = some_text(s);
    f->has_rating = some(s);
    if (f->has_rating) {
        static const double score[] = {0, -0.1, 9.5, 1e300, -1e-300, 1.0 / 3};
        f->rating.scale = any_sym(s);
        f->rating.score = score[support_random(s, PK_COUNT(score))];
        f->rating.min = score[support_random(s, PK_COUNT(score))];
        f->rating.max = score[support_random(s, PK_COUNT(score))];
    }
    f->has_money = some(s);
    if (f->has_money) {
        f->money.amount_minor = some(s) ? EVENT_MAX_AMOUNT : -EVENT_MAX_AMOUNT;
        f->money.currency = any_sym(s);
        f->money.kind = some_sym(s);
    }
    if (some(s))
        f->attributes = PK_STR("{\"ä\": \"日本語 \\u0001 \\\"q\\\"\", \"b\": \"\"}");
    return f;
}

static struct sym_list any_list(struct support *s)
{
    struct sym_list list = {.count = (uint32_t)support_random(s, 5)};
    list.cap = list.count;
    list.sym = PK_NEW_ARRAY(&s->arena, sym_t, list.count + 1);
    for (uint32_t i = 0; i < list.count; i++)
        list.sym[i] = any_sym(s);
    return list;
}

static uint32_t any_count(struct support *s)
{
    return some(s) ? (uint32_t)support_random(s, 10) : INT32_MAX;
}

struct journey *support_journey(struct support *s, struct pk_hash customer)
{
    struct journey *j = PK_NEW(&s->arena, struct journey);
    *j = (struct journey){
        .id = support_hash(s),
        .customer = customer,
        .case_key = some_hash(s),
        .continues = some_hash(s),
        .first_at_us = any_time(s),
        .last_at_us = any_time(s),
        .entry_channel = some_sym(s),
        .last_channel = some_sym(s),
        .last_type = some_sym(s),
        .last_outcome = some_sym(s),
        .entry_brand = some_sym(s),
        .entry_unit = some_sym(s),
        .terminal_outcome = some_sym(s),
        .stage = some_sym(s),
#define X(member) .member = any_count(s),
        JOURNEY_COUNTS(X)
#undef X
        .people_until_decision = any_count(s),
        .owner = {some_sym(s), some_sym(s)},
        .first_terminal_at_us = some_time(s),
        .last_terminal_at_us = some_time(s),
        .decided_at_us = some_time(s),
        .ownerless_since_us = some_time(s),
        .queue_since_us = some_time(s),
        .touch_since_us = some_time(s),
        .ownerless_us = any_int8(s),
        .orphan_us = any_int8(s),
        .queue_us = any_int8(s),
        .touch_us = any_int8(s),
        .first_inbound_at_us = some_time(s),
        .first_human_reply_at_us = some_time(s),
        .resolved = some(s),
        .crowd = some(s),
        .channels = any_list(s),
        .brands = any_list(s),
        .units = any_list(s),
    };
    return j;
}

/* ---- rules ---- */

static const sym_t *syms(struct support *s, size_t count)
{
    sym_t *sym = PK_NEW_ARRAY(&s->arena, sym_t, count);
    for (size_t i = 0; i < count; i++)
        sym[i] = any_sym(s);
    return sym;
}

static const struct rules_milestone *milestones(struct support *s, size_t count)
{
    struct rules_milestone *milestone = PK_NEW_ARRAY(&s->arena, struct rules_milestone, count);
    for (size_t i = 0; i < count; i++)
        milestone[i] = (struct rules_milestone){.name = PK_STR("tilattu 'ä'"), .optional = some(s), .critical = some(s)};
    return milestone;
}

static const struct calendar_open *opens(struct support *s, size_t count)
{
    struct calendar_open *open = PK_NEW_ARRAY(&s->arena, struct calendar_open, count);
    for (size_t i = 0; i < count; i++) /* 8 hours of each day */
        open[i] = (struct calendar_open){EVENT_MIN_TIME_US + (int64_t)i * PK_DAY_US,
                                         EVENT_MIN_TIME_US + (int64_t)i * PK_DAY_US + 8 * PK_HOUR_US, (int64_t)i * 8 * PK_HOUR_US};
    return open;
}

void support_rules(struct support *s, struct store *store)
{
    enum { OPENS = 20000 };
    struct calendar *calendar = PK_NEW_ARRAY(&s->arena, struct calendar, 2);
    calendar[0] = (struct calendar){.name = PK_STR("shops"), .zone = PK_STR("Europe/Helsinki"), .brand = syms(s, 2), .brands = 2,
                                    .unit = syms(s, 3), .units = 3, .open = opens(s, OPENS), .opens = OPENS};
    calendar[1] = (struct calendar){.name = PK_STR("others"), .zone = PK_STR("UTC"), .open = opens(s, 1), .opens = 1};
    struct rules_kind *kind = PK_NEW_ARRAY(&s->arena, struct rules_kind, 3);
    for (size_t i = 0; i < 3; i++)
        kind[i] = (struct rules_kind){.kind = support_sym(s, i < 2 ? "callback" : "handoff"), .within_us = i ? PK_HOUR_US : PK_NO_TIME,
                                      .valid_from_us = i ? EVENT_MIN_TIME_US : INT64_MIN, .valid_to_us = i == 1 ? PK_DAY_US : INT64_MAX,
                                      .business = i == 1, .across = i == 2, .handoff = i == 2};
    struct rules_definition *definition = PK_NEW_ARRAY(&s->arena, struct rules_definition, 2);
    definition[0] = (struct rules_definition){support_sym(s, "order/1"), milestones(s, 3), 3, 2, 7 * PK_DAY_US};
    definition[1] = (struct rules_definition){support_sym(s, "order/2"), milestones(s, RULES_MAX_MILESTONES), RULES_MAX_MILESTONES, 0, 1};
    s->rules = (struct rules){.file_hash = support_hash(s), .hashing_hash = support_hash(s), .repeat_window_us = PK_DAY_US,
                              .effort = {.id = support_sym(s, "effort-ä")}, .calendar = calendar, .calendar_count = 2,
                              .kind = kind, .kind_count = 3, .definition = definition, .definition_count = 2};
    struct pk_err err = {0};
    cr_assert_eq(store_check_rules(store, &s->rules, s->rules.file_hash, &err), PK_OK, "%s", err.text);
}

struct course *support_course(struct support *s, uint32_t definition)
{
    struct course *c = PK_NEW(&s->arena, struct course);
    size_t count = s->rules.definition[definition].milestone_count;
    *c = (struct course){
        .definition = definition,
        .start_at_us = any_time(s),
        .goal_at_us = some_time(s),
        .steps = (uint32_t)support_random(s, COURSE_PATH + 5),
        .violations = any_count(s),
        .furthest = (uint32_t)support_random(s, count + 1),
    };
    for (size_t i = 0; i < PK_MIN(c->steps, (uint32_t)COURSE_PATH); i++)
        c->path[i] = (uint8_t)(1 + support_random(s, count));
    bool none = support_random(s, 3) == 0; /* an array of nothing but nulls */
    for (size_t i = 0; i < RULES_MAX_MILESTONES; i++) {
        c->reached_at_us[i] = i < count && !none ? some_time(s) : PK_NO_TIME;
        c->failures[i] = i < count ? any_count(s) : 0;
    }
    return c;
}

struct change_aggregate support_bucket(struct support *s, enum aggregate table, int64_t at_us, int64_t count)
{
    int64_t *counts = PK_NEW_ARRAY(&s->arena, int64_t, AGGREGATE_COUNTS);
    for (size_t i = 0; i < AGGREGATE_COUNTS; i++)
        counts[i] = count;
    return (struct change_aggregate){.table = table, .at_us = at_us, .count = counts};
}

struct obligation *support_obligation(struct support *s, struct pk_hash customer)
{
    struct obligation *o = PK_NEW(&s->arena, struct obligation);
    *o = (struct obligation){
        .id = support_hash(s),
        .customer = customer,
        .journey = some_hash(s),
        .case_key = some_hash(s),
        .kind = any_sym(s),
        .explicit_ = some(s),
        .label = (enum rules_label)support_random(s, 3),
        .brand = some_sym(s),
        .unit = some_sym(s),
        .role = some_sym(s),
        .from_brand = some_sym(s),
        .from_unit = some_sym(s),
        .cycle = any_count(s),
        .handoff = some(s),
        .opened_at_us = any_time(s),
        .opened_by = support_hash(s),
        .due_from_us = some_time(s),
        .first_due_to_us = some_time(s),
        .due_to_us = some_time(s),
        .changed_at_us = some_time(s),
        .attempts = any_count(s),
        .first_attempt_at_us = some_time(s),
        .last_attempt_at_us = some_time(s),
        .fulfilled_at_us = some_time(s),
        .rejected_at_us = some_time(s),
        .withdrawn_at_us = some_time(s),
        .fulfilled_by = some_hash(s),
    };
    o->has_money = some(s);
    if (o->has_money)
        o->amount_minor = any_int8(s), o->currency = some_sym(s);
    return o;
}

/* ---- saving ---- */

void support_claim(struct support *s, struct store *store)
{
    struct pk_err err = {0};
    struct store_position position = {.topic = support_sym(s, "test"), .partition = 0, .next_offset = 0};
    cr_assert_eq(store_claim(store, &position, 1, &err), PK_OK, "%s", err.text);
    s->span = (struct store_span){position, position.next_offset + 1};
}

static int by_time(const void *a, const void *b)
{
    const struct fact *x = *(struct fact *const *)a, *y = *(struct fact *const *)b;
    if (x->at_us != y->at_us)
        return x->at_us < y->at_us ? -1 : 1;
    return pk_hash_cmp(x->event_hash, y->event_hash);
}

enum pk_status support_save(struct support *s, struct store *store, struct pk_err *err)
{
    struct changes *c = &s->changes;
    c->span = &s->span;
    c->spans = 1;
    c->slot = s->span.at.slot;
    c->token = support_random(s, 0);
    if (c->fact.len > 0)
        qsort(c->fact.ptr, c->fact.len, sizeof *c->fact.ptr, by_time);
    int64_t *at = PK_NEW_ARRAY(&s->arena, int64_t, c->fact.len + 1);
    for (size_t i = 0; i < c->fact.len; i++)
        at[i] = c->fact.ptr[i]->at_us;
    enum pk_status status = store_ensure_months(store, at, c->fact.len, err);
    if (status == PK_OK)
        status = store_ensure_dictionary(store, err);
    if (status == PK_OK)
        status = store_save_send(store, STORE_SNAPSHOT, c, err);
    if (status == PK_OK)
        status = store_save_finish(store, err);
    if (status == PK_OK) {
        s->span.at.next_offset = s->span.next_offset++;
        changes_reset(c);
    }
    return status;
}
