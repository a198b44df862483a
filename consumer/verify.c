/* SPDX-License-Identifier: Apache-2.0 */
#include "verify.h"
#include "metric.h"
#include "store_retain.h"
#include "store_verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- what is asked: sections of sql/verify.sql ---- */

extern const unsigned char verify_sql_bytes[];
extern const size_t verify_sql_size;

enum section_kind { SECTION_DERIVED, SECTION_AGGREGATE, SECTION_FACTS, SECTION_ROWS };
static const char *const kind_names[] = {"derived", "aggregate", "facts", "rows"};

struct section {
    enum section_kind kind;
    char name[48], table[48];
    int keys;
    bool or_more;
    struct pk_str sql, against;
};

struct former { /* events that stayed as a former key hashed them */
    sym_t topic;
    int32_t partition;
    int64_t before;
};

struct verify {
    const struct verify_config *config;
    const volatile sig_atomic_t *stop;
    PK_VEC(struct section) section;
    struct audit *audit, *fresh; /* `audit` has the lock and the snapshot */
    struct store *old, *shadow;
    struct refill refill;
    PK_VEC(struct former) former;
    int64_t retained_us;
    char snapshot[80];
    struct verify_check check; /* the one that is under way */
    int64_t begun_us, differences;
    bool made; /* there are tables to drop */
};

static bool starts_with(struct pk_str line, const char *start, struct pk_str *ret_rest)
{
    size_t len = strlen(start);
    if (line.len < len || memcmp(line.ptr, start, len) != 0)
        return false;
    *ret_rest = (struct pk_str){line.ptr + len, line.len - len};
    return true;
}

/* "journey_counts 1 of journey", "identifier_key 1 or more of identifier", "journey_daily". */
static void read_heading(enum section_kind kind, struct pk_str text, struct section *ret)
{
    char line[160], more[8] = "";
    snprintf(line, sizeof line, "%.*s", PK_STR_ARG(text));
    *ret = (struct section){.kind = kind};
    sscanf(line, "%47s %d", ret->name, &ret->keys);
    ret->or_more = strstr(line, " or more") != NULL;
    snprintf(ret->table, sizeof ret->table, "%s", ret->name);
    const char *of = strstr(line, " of ");
    if (of)
        sscanf(of, " of %47s %7s", ret->table, more);
}

static bool is_heading(struct pk_str line, struct section *ret)
{
    for (size_t i = 0; i < PK_COUNT(kind_names); i++) {
        char start[20];
        struct pk_str rest;
        snprintf(start, sizeof start, "-- %s ", kind_names[i]);
        if (!starts_with(line, start, &rest))
            continue;
        read_heading((enum section_kind)i, rest, ret);
        return true;
    }
    return false;
}

static void read_sections(struct verify *v)
{
    const char *at = (const char *)verify_sql_bytes, *end = at + verify_sql_size;
    struct pk_str *body = NULL, rest;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        struct pk_str line = {at, (size_t)((newline ? newline : end) - at)};
        struct section section;
        at = line.ptr + line.len + 1;
        if (is_heading(line, &section)) {
            struct section *made = pk_vec_push(&v->section);
            *made = section;
            body = &made->sql;
        } else if (body && starts_with(line, "-- against", &rest)) {
            body = &v->section.ptr[v->section.len - 1].against;
        } else if (body) {
            const char *begin = body->ptr ? body->ptr : line.ptr;
            *body = (struct pk_str){begin, (size_t)(line.ptr + line.len - begin)};
        }
    }
}

/* ---- SQL made of it ---- */

/* What one aggregate holds, summed over slots, -1 (what is sealed) included or not; its keys come first. */
static int stored_sql(const struct aggregate_table *table, bool all, struct pk_buf *sql)
{
    pk_buf_printf(sql, "SELECT t.%s", table->time);
    for (uint32_t i = 0; i < table->dims; i++)
        pk_buf_printf(sql, ", t.%s", table->dim[i]);
    for (uint32_t i = 0; i < table->counts; i++)
        pk_buf_printf(sql, ", sum(t.%1$s) AS %1$s", table->count[i]);
    pk_buf_printf(sql, " FROM polku.%s t%s GROUP BY 1", table->name, all ? "" : " WHERE t.slot <> -1");
    for (uint32_t i = 0; i < table->dims; i++)
        pk_buf_printf(sql, ", %u", i + 2);
    for (uint32_t i = 0; i < table->counts; i++)
        pk_buf_printf(sql, "%s sum(t.%s) <> 0", i ? " OR" : " HAVING", table->count[i]);
    return (int)table->dims + 1;
}

static void add_order(struct pk_buf *sql, int keys)
{
    for (int i = 1; i <= keys; i++)
        pk_buf_printf(sql, "%s%d", i == 1 ? "\nORDER BY " : ", ", i);
}

/* The same query over the fresh derivation's tables. */
static void put_fresh(const char *sql, struct pk_buf *ret)
{
    const char *at;
    while ((at = strstr(sql, "polku."))) {
        pk_buf_add(ret, sql, (size_t)(at - sql));
        pk_buf_text(ret, VERIFY_SCHEMA ".");
        sql = at + strlen("polku.");
    }
    pk_buf_text(ret, sql);
}

/* ---- checks ---- */

static int64_t clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * PK_SECOND_US + now.tv_nsec / 1000;
}

static void check_begins(struct verify *v, const char *kind, const char *name)
{
    v->check = (struct verify_check){.kind = kind, .name = name};
    v->begun_us = clock_us();
    v->config->handler.check_begins(v->config->handler.context, kind, name);
}

static void check_done(struct verify *v, int64_t rows, int64_t differences)
{
    v->check.rows = rows;
    v->check.differences = differences;
    v->check.took_us = clock_us() - v->begun_us;
    v->differences += differences;
    v->config->handler.check_done(v->config->handler.context, &v->check);
}

static void tell_difference(void *context, const char *row, const char *what)
{
    struct verify *v = context;
    v->config->handler.difference(v->config->handler.context, v->check.kind, v->check.name, row, what);
}

static enum pk_status compare(struct verify *v, struct audit_compare *with, struct pk_err *err)
{
    struct audit_result result = {0};
    with->stored = with->names = v->audit;
    with->limit = v->config->limit;
    with->teller = (struct audit_teller){v, tell_difference};
    enum pk_status status = audit_run_compare(with, &result, err);
    if (status == PK_OK)
        check_done(v, result.rows, result.differences);
    return status;
}

static enum pk_status check_aggregate(struct verify *v, const struct section *section, struct pk_err *err)
{
    struct pk_buf stored PK_AUTO(pk_buf_done) = {0}, expected PK_AUTO(pk_buf_done) = {0};
    size_t at = 0;
    while (at < AGGREGATE_COUNT && strcmp(aggregate_tables[at].name, section->name) != 0)
        at++;
    if (at == AGGREGATE_COUNT)
        return pk_fail(err, PK_STOP, "sql/verify.sql counts %s, which is no aggregate (this is a defect)", section->name);
    int keys = stored_sql(&aggregate_tables[at], false, &stored);
    add_order(&stored, keys);
    pk_buf_add(&expected, section->sql.ptr, section->sql.len);
    add_order(&expected, keys);
    struct audit_compare with = {.table = section->table, .expected = v->audit, .stored_sql = stored.ptr,
                                 .expected_sql = expected.ptr, .keys = keys};
    return compare(v, &with, err);
}

static enum pk_status check_facts(struct verify *v, const struct section *section, struct pk_err *err)
{
    struct pk_buf stored PK_AUTO(pk_buf_done) = {0}, expected PK_AUTO(pk_buf_done) = {0};
    pk_buf_add(&stored, section->sql.ptr, section->sql.len);
    pk_buf_add(&expected, section->against.ptr, section->against.len);
    struct audit_compare with = {.table = section->table, .expected = v->audit, .stored_sql = stored.ptr,
                                 .expected_sql = expected.ptr, .keys = section->keys};
    return compare(v, &with, err);
}

static enum pk_status check_rows(struct verify *v, const struct section *section, struct pk_err *err)
{
    struct pk_buf sql PK_AUTO(pk_buf_done) = {0}, count PK_AUTO(pk_buf_done) = {0};
    const struct audit_teller teller = {v, tell_difference};
    int64_t rows = 0, differences = 0;
    pk_buf_add(&sql, section->sql.ptr, section->sql.len);
    pk_buf_printf(&count, "SELECT count(*) FROM polku.%s", section->table);
    enum pk_status status = audit_number(v->audit, count.ptr, &rows, err);
    if (status == PK_OK)
        status = audit_run_rows(v->audit, sql.ptr, v->config->limit, &teller, &differences, err);
    if (status == PK_OK)
        check_done(v, rows, differences);
    return status;
}

static enum pk_status check_stored(struct verify *v, struct pk_err *err)
{
    enum pk_status status = PK_OK;
    for (size_t i = 0; i < v->section.len && status == PK_OK; i++) {
        const struct section *section = &v->section.ptr[i];
        if (section->kind == SECTION_DERIVED)
            continue;
        check_begins(v, kind_names[section->kind], section->name);
        status = section->kind == SECTION_AGGREGATE ? check_aggregate(v, section, err)
                 : section->kind == SECTION_FACTS   ? check_facts(v, section, err)
                                                    : check_rows(v, section, err);
    }
    return status;
}

/* ---- the fresh derivation ---- */

static enum pk_status check_derived_query(struct verify *v, const char *table, const char *sql, int keys, bool or_more,
                                          struct pk_err *err)
{
    struct pk_buf fresh PK_AUTO(pk_buf_done) = {0};
    put_fresh(sql, &fresh);
    struct audit_compare with = {.table = table, .expected = v->fresh, .stored_sql = sql, .expected_sql = fresh.ptr,
                                 .keys = keys, .or_more = or_more};
    return compare(v, &with, err);
}

static enum pk_status check_derived(struct verify *v, struct pk_err *err)
{
    struct pk_buf sql PK_AUTO(pk_buf_done) = {0};
    enum pk_status status = audit_begin(v->fresh, NULL, err);
    for (size_t i = 0; i < v->section.len && status == PK_OK; i++) {
        const struct section *section = &v->section.ptr[i];
        if (section->kind != SECTION_DERIVED)
            continue;
        pk_buf_reset(&sql);
        pk_buf_printf(&sql, "%.*s", PK_STR_ARG(section->sql));
        check_begins(v, kind_names[SECTION_DERIVED], section->name);
        status = check_derived_query(v, section->table, sql.ptr, section->keys, section->or_more, err);
    }
    for (size_t i = 0; i < AGGREGATE_COUNT && status == PK_OK; i++) {
        pk_buf_reset(&sql);
        int keys = stored_sql(&aggregate_tables[i], true, &sql);
        add_order(&sql, keys);
        check_begins(v, kind_names[SECTION_DERIVED], aggregate_tables[i].name);
        status = check_derived_query(v, aggregate_tables[i].name, sql.ptr, keys, false, err);
    }
    return status;
}

static bool is_former(const struct verify *v, const struct fact *fact)
{
    if (v->former.len && fact->at_us < v->retained_us) /* taken from the tables, whatever Kafka held of them */
        return true;
    for (size_t i = 0; i < v->former.len; i++)
        if (v->former.ptr[i].topic == fact->topic_name && v->former.ptr[i].partition == fact->partition &&
            fact->offset < v->former.ptr[i].before)
            return true;
    return false;
}

static void add_former(void *context, int columns, const char *const value[])
{
    struct verify *v = context;
    if (columns == 3)
        *pk_vec_push(&v->former) = (struct former){symbol_of(v->config->symbols, pk_str(value[0])), (int32_t)atoi(value[1]),
                                                   strtoll(value[2], NULL, 10)};
}

/* An event is told by the hash of its source and id: that of nothing else. */
static void look_at_event(void *context, const struct fact *fact)
{
    struct verify *v = context;
    const struct pk_str part[] = {symbol_text(v->config->symbols, fact->source), fact->event_id};
    if (pk_hash_eq(fact_hash(v->config->hasher, part, PK_COUNT(part)), fact->event_hash) || is_former(v, fact))
        return;
    char row[64];
    const uint8_t *b = fact->event_hash.byte;
    snprintf(row, sizeof row, "interaction (event_hash %02x%02x%02x%02x-%02x%02x-..)", b[0], b[1], b[2], b[3], b[4], b[5]);
    if (v->check.differences++ < v->config->limit)
        tell_difference(v, row, "event_hash is not the hash of its source and event_id");
}

static void tell_progress(void *context, int64_t done, int64_t total, const struct commit_counters *counters)
{
    const struct verify *v = context;
    v->config->handler.progress(v->config->handler.context, done, total, counters);
}

static void ignore_row(void *context, int columns, const char *const value[])
{
    (void)context, (void)columns, (void)value;
}

/* Before the snapshot: what is made must be seen by everybody, and ids of the rules' words must be known. */
static enum pk_status make_fresh(struct verify *v, struct pk_err *err)
{
    struct store_config config = v->config->store;
    enum pk_status status = audit_check_rights(v->audit, err);
    if (status == PK_OK)
        status = audit_drop(v->audit, err); /* what was left by one that was killed */
    if (status == PK_OK)
        status = store_open(&config, v->config->symbols, &v->old, err);
    if (status != PK_OK)
        return status;
    v->made = true;
    status = store_rebuild_make_in(v->old, VERIFY_SCHEMA, err);
    if (status == PK_OK)
        status = audit_make_unlogged(v->audit, err);
    config.schema = VERIFY_SCHEMA;
    config.sole_writer = true; /* by VERIFY_LOCK; K would make consumers wait */
    if (status == PK_OK)
        status = store_open(&config, v->config->symbols, &v->shadow, err);
    if (status == PK_OK)
        status = store_query(v->shadow, VERIFY_TAKE_LOCK, ignore_row, NULL, err);
    if (status == PK_OK)
        status = store_rebuild_begin_fill(v->shadow, v->config->rules, err);
    if (status == PK_OK)
        status = store_check_rules(v->shadow, v->config->rules, refill_key_check(v->config->hasher), err);
    if (status == PK_OK)
        status = store_retained(v->old, &v->retained_us, err);
    return status == PK_OK ? store_ensure_dictionary(v->old, err) : status;
}

static enum pk_status join_snapshot(struct verify *v, struct pk_err *err)
{
    char sql[160];
    snprintf(sql, sizeof sql, "SET TRANSACTION SNAPSHOT '%s'", v->snapshot);
    enum pk_status status =
        store_query(v->old, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", ignore_row, NULL, err);
    if (status == PK_OK)
        status = store_query(v->old, sql, ignore_row, NULL, err);
    if (status == PK_OK)
        status = store_query(v->old, "SELECT d.text, f.partition, max(f.before_offset) FROM polku.former_key f"
                             " JOIN polku.dictionary d ON d.id = f.topic_id GROUP BY 1, 2", add_former, v, err);
    return status;
}

static enum pk_status derive_fresh(struct verify *v, struct pk_err *err)
{
    int64_t total = 0;
    enum pk_status status = audit_number(v->audit, "SELECT count(*) FROM polku.interaction", &total, err);
    if (status == PK_OK)
        status = join_snapshot(v, err);
    if (status != PK_OK)
        return status;
    check_begins(v, "events", "derived anew");
    status = refill_run(&v->refill, v->old, v->shadow, total, err);
    int64_t misnamed = v->check.differences;
    if (status == PK_OK)
        check_done(v, total, misnamed);
    return status;
}

static enum pk_status check_fresh(struct verify *v, struct pk_err *err)
{
    enum pk_status status = derive_fresh(v, err);
    if (status == PK_OK)
        status = audit_open(v->config->store.conninfo, v->config->store.read_write, v->stop, &v->fresh, err);
    if (status == PK_OK)
        status = audit_analyse(v->fresh, err);
    return status == PK_OK ? check_derived(v, err) : status;
}

/* ---- the whole ---- */

static enum pk_status verify_all(struct verify *v, struct pk_err *err)
{
    bool empty = false;
    enum pk_status status = audit_open(v->config->store.conninfo, v->config->store.read_write, v->stop, &v->audit, err);
    if (status == PK_OK)
        status = audit_lock(v->audit, err);
    if (status == PK_OK)
        status = audit_check_state(v->audit, v->config->rules, refill_key_check(v->config->hasher), &empty, err);
    if (status == PK_OK && empty)
        v->config->handler.say(v->config->handler.context, "nothing was derived yet, there is nothing to verify", "");
    if (status != PK_OK || empty)
        return status;
    if (!v->config->quick)
        status = make_fresh(v, err);
    if (status == PK_OK)
        status = audit_snapshot(v->audit, v->snapshot, sizeof v->snapshot, err);
    if (status == PK_OK)
        status = check_stored(v, err);
    if (status == PK_OK && !v->config->quick)
        status = check_fresh(v, err);
    return status;
}

static void tear_down(struct verify *v)
{
    struct pk_err err = {0};
    refill_done(&v->refill);
    store_close(v->shadow);
    store_close(v->old);
    audit_close(v->fresh);
    if (v->made && audit_drop(v->audit, &err) != PK_OK)
        v->config->handler.warn(v->config->handler.context,
                                "the tables of the fresh derivation stay until the next verify drops them", "schema=" VERIFY_SCHEMA);
    audit_close(v->audit);
    pk_vec_done(&v->former);
    pk_vec_done(&v->section);
}

enum pk_status verify_run(const struct verify_config *config, const volatile sig_atomic_t *stop, int64_t *ret_differences,
                          struct pk_err *err)
{
    struct verify *v = pk_alloc(sizeof *v);
    const struct refill_config refill = {
        .rules = config->rules,
        .hasher = config->hasher,
        .symbols = config->symbols,
        .batch_records = config->batch_records,
        .cache_bytes = config->cache_bytes,
        .context = v,
        .progress = tell_progress,
        .look = look_at_event,
    };
    v->config = config;
    v->stop = stop;
    read_sections(v);
    refill_init(&v->refill, &refill, stop);
    enum pk_status status = verify_all(v, err);
    if (status == PK_LOST || status == PK_FENCED || status == PK_STALE)
        status = PK_RETRY;
    if (status == PK_OK)
        *ret_differences = v->differences;
    tear_down(v);
    free(v);
    return status;
}
