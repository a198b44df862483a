/* SPDX-License-Identifier: Apache-2.0 */
#include "store_support.h"

#include <criterion/criterion.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "cmd_migrate.h"

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
    f->topic = some_text(s);
    f->cause = some_text(s);
    f->product = some_text(s);
    f->location = some_text(s);
    f->stage = some_text(s);
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
        .events = any_count(s),
        .contacts = any_count(s),
        .switches = any_count(s),
        .handoffs_offered = any_count(s),
        .handoffs_accepted = any_count(s),
        .unanswered = any_count(s),
        .refusals = any_count(s),
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
