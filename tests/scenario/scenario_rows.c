/* SPDX-License-Identifier: Apache-2.0 */
/* Expectations of courses and aggregates: they look at the canonical rows, as the comparison with the oracle does. */
#include "canonical.h"
#include "scenario.h"
#include "time_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIELDS = 32 };

struct row {
    struct pk_str field[FIELDS];
    size_t count;
};
struct rows {
    struct pk_buf text;
    size_t at;
};

#define DIFFER(...) return pk_fail(err, PK_REJECT, __VA_ARGS__)

/* ---- rows ---- */

static enum pk_status rows_open(struct scenario *s, const struct memory_store *store, struct pk_str table,
                                struct rows *ret, struct pk_err *err)
{
    *ret = (struct rows){0};
    for (size_t i = 0; i < CANONICAL_TABLES; i++)
        if (pk_str_eq(table, pk_str(canonical_tables[i].name))) {
            canonical_print(&canonical_tables[i], store, &s->meaning, PK_NO_TIME, &ret->text);
            return PK_OK;
        }
    DIFFER("there is no table '%.*s'", PK_STR_ARG(table));
}

static bool rows_next(struct rows *rows, struct row *ret)
{
    *ret = (struct row){0};
    if (rows->at == rows->text.len)
        return false;
    const char *from = rows->text.ptr + rows->at, *end = memchr(from, '\n', rows->text.len - rows->at);
    rows->at = (size_t)(end + 1 - rows->text.ptr);
    while (ret->count < FIELDS) {
        const char *tab = memchr(from, '\t', (size_t)(end - from)), *stop = tab ? tab : end;
        ret->field[ret->count++] = (struct pk_str){from, (size_t)(stop - from)};
        if (!tab)
            break;
        from = tab + 1;
    }
    return true;
}

static int64_t number_of(struct pk_str field)
{
    return pk_str_eq(field, PK_STR("\\N")) ? PK_NO_TIME : strtoll(field.ptr, NULL, 10);
}

static bool is_uuid(struct pk_str field, struct pk_hash hash)
{
    char text[40];
    uint64_t high = pk_get_be64(hash.byte), low = pk_get_be64(hash.byte + 8);
    int len = snprintf(text, sizeof text, "%08" PRIx64 "-%04" PRIx64 "-%04" PRIx64 "-%04" PRIx64 "-%012" PRIx64, high >> 32,
                       high >> 16 & 0xffff, high & 0xffff, low >> 48, low & UINT64_C(0xffffffffffff));
    return pk_str_eq(field, (struct pk_str){text, (size_t)len});
}

/* The member with this index of [1,null,2]. */
static int64_t member_of(struct pk_str list, size_t index)
{
    const char *at = list.ptr + 1, *end = list.ptr + list.len;
    for (size_t i = 0; i < index && at; i++) {
        at = memchr(at, ',', (size_t)(end - at));
        at = at ? at + 1 : NULL;
    }
    while (at && at < end && *at == ' ')
        at++;
    return !at || *at == 'n' ? PK_NO_TIME : strtoll(at, NULL, 10);
}

/* ---- values ---- */

static int64_t last_time(const struct scenario *s)
{
    int64_t last_us = 0;
    for (size_t i = 0; i < s->events.len; i++)
        last_us = PK_MAX(last_us, s->events.ptr[i].event.occurred_at_us);
    return last_us;
}

static enum pk_status next_number(struct words *words, const char *what, int64_t *ret, struct pk_err *err)
{
    struct pk_str word = words_next(words);
    char *end = NULL;
    long long number = word.ptr ? strtoll(word.ptr, &end, 10) : 0;
    if (!end || *end || end == word.ptr)
        DIFFER("'%s' needs a number", what);
    *ret = number;
    return PK_OK;
}

static enum pk_status next_time(const struct scenario *s, struct words *words, int64_t *ret_us, struct pk_err *err)
{
    *ret_us = PK_NO_TIME;
    return words_take(words, "none") ? PK_OK : scenario_time(s, words_next(words), last_time(s), ret_us, err);
}

static enum pk_status expect_number(struct words *words, const char *what, int64_t found, struct pk_err *err)
{
    int64_t wanted;
    if (next_number(words, what, &wanted, err) != PK_OK)
        return PK_REJECT;
    if (wanted != found)
        DIFFER("%s is %" PRId64 ", expected %" PRId64, what, found, wanted);
    return PK_OK;
}

static enum pk_status expect_time(const struct scenario *s, struct words *words, const char *what, int64_t found_us,
                                  struct pk_err *err)
{
    int64_t wanted_us;
    char found[28] = "none";
    if (next_time(s, words, &wanted_us, err) != PK_OK)
        return PK_REJECT;
    if (found_us != PK_NO_TIME)
        time_format_iso(found_us, found);
    if (wanted_us != found_us)
        DIFFER("%s is %s, expected another time", what, found);
    return PK_OK;
}

/* ---- courses ---- */

enum { COURSE_JOURNEY, COURSE_DEFINITION, COURSE_CUSTOMER, COURSE_START, COURSE_GOAL, COURSE_WAY, COURSE_STEPS,
       COURSE_FURTHEST, COURSE_VIOLATIONS, COURSE_SKIPPED, COURSE_REACHED, COURSE_FAILURES, COURSE_FIELDS };

static const struct rules_definition *definition_named(const struct scenario *s, struct pk_str name)
{
    for (size_t i = 0; i < s->rules.definition_count; i++)
        if (pk_str_eq(name, symbol_text(&s->symbols, s->rules.definition[i].id)))
            return &s->rules.definition[i];
    return NULL;
}

/* The milestone's index; milestone_count if there is none of that name. */
static size_t next_milestone(const struct rules_definition *definition, struct words *words)
{
    struct pk_str name = words_next(words);
    size_t i = 0;
    while (i < definition->milestone_count && !pk_str_eq(name, definition->milestone[i].name))
        i++;
    return i;
}

static enum pk_status expect_path(struct words *words, struct pk_str found, struct pk_err *err)
{
    struct pk_str wanted = words_next(words);
    if (pk_str_eq(wanted, PK_STR("none")))
        wanted = PK_STR("");
    if (!wanted.ptr || !pk_str_eq(wanted, found))
        DIFFER("its path is '%.*s', expected '%.*s'", PK_STR_ARG(found), PK_STR_ARG(wanted));
    return PK_OK;
}

static enum pk_status expect_of_course(struct scenario *s, struct words *words, const struct rules_definition *definition,
                                       const struct row *row, struct pk_err *err)
{
    static const struct {
        const char *name;
        size_t field;
    } numbers[] = {{"steps", COURSE_STEPS}, {"furthest", COURSE_FURTHEST}, {"violations", COURSE_VIOLATIONS},
                   {"skipped", COURSE_SKIPPED}};
    bool wanted = !words_take(words, "not");
    struct pk_str word = words_next(words);
    for (size_t i = 0; i < PK_COUNT(numbers); i++)
        if (pk_str_eq(word, pk_str(numbers[i].name)))
            return expect_number(words, numbers[i].name, number_of(row->field[numbers[i].field]), err);
    if (pk_str_eq(word, PK_STR("start")))
        return expect_time(s, words, "start", number_of(row->field[COURSE_START]), err);
    if (pk_str_eq(word, PK_STR("goal")))
        return expect_time(s, words, "goal", number_of(row->field[COURSE_GOAL]), err);
    if (pk_str_eq(word, PK_STR("path")))
        return expect_path(words, row->field[COURSE_WAY], err);
    if (pk_str_eq(word, PK_STR("conformant"))) {
        bool found = number_of(row->field[COURSE_VIOLATIONS]) == 0 && number_of(row->field[COURSE_SKIPPED]) == 0;
        return found == wanted ? PK_OK : pk_fail(err, PK_REJECT, "it is %sconformant", found ? "" : "not ");
    }
    bool reached = pk_str_eq(word, PK_STR("reached"));
    if (!reached && !pk_str_eq(word, PK_STR("failures")))
        DIFFER("'%.*s' is nothing that a course has", PK_STR_ARG(word));
    size_t milestone = next_milestone(definition, words);
    if (milestone == definition->milestone_count)
        DIFFER("'%.*s' needs a milestone of the definition", PK_STR_ARG(word));
    if (reached)
        return expect_time(s, words, "reached", member_of(row->field[COURSE_REACHED], milestone), err);
    return expect_number(words, "failures", member_of(row->field[COURSE_FAILURES], milestone), err);
}

enum pk_status rows_check_course(struct scenario *s, const struct memory_store *store, struct pk_hash customer,
                                 struct pk_hash journey, struct pk_str name, int64_t wanted, struct words *words,
                                 struct pk_err *err)
{
    const struct rules_definition *definition = definition_named(s, name);
    if (!definition)
        DIFFER("the rules have no definition '%.*s'; say its version too, as in order_to_delivery/1", PK_STR_ARG(name));
    struct rows rows;
    struct row row;
    int64_t found = 0;
    enum pk_status status = rows_open(s, store, PK_STR("course"), &rows, err);
    while (status == PK_OK && rows_next(&rows, &row)) {
        if (row.count != COURSE_FIELDS || !pk_str_eq(row.field[COURSE_DEFINITION], name) ||
            (!pk_hash_zero(customer) && !is_uuid(row.field[COURSE_CUSTOMER], customer)) ||
            (!pk_hash_zero(journey) && !is_uuid(row.field[COURSE_JOURNEY], journey)))
            continue;
        found++;
        for (struct words again = *words; status == PK_OK && again.next < again.count;)
            status = expect_of_course(s, &again, definition, &row, err);
    }
    pk_buf_done(&rows.text);
    if (status == PK_OK && (wanted < 0 ? found == 0 : found != wanted))
        DIFFER("%" PRId64 " courses of %.*s are meant, expected %s%" PRId64, found, PK_STR_ARG(name),
               wanted < 0 ? "at least " : "", wanted < 0 ? 1 : wanted);
    return status;
}

/* ---- aggregates ---- */

/* "brand" and "from-milestone" mean brand_id and from_milestone, "wait" means wait_us. */
static bool is_column(struct pk_str word, const char *column)
{
    size_t i = 0;
    while (i < word.len && column[i] && (word.ptr[i] == column[i] || (word.ptr[i] == '-' && column[i] == '_')))
        i++;
    const char *rest = column + i;
    return word.len && i == word.len && (!*rest || strcmp(rest, "_id") == 0 || strcmp(rest, "_us") == 0);
}

struct choice { /* buckets that are meant: field 0 is the time, then the dimensions; ptr NULL = any */
    struct pk_str field[1 + AGGREGATE_DIMS];
};

static enum pk_status choose_time(struct scenario *s, const struct aggregate_table *table, struct words *words,
                                  struct choice *choice, struct pk_err *err)
{
    int64_t at_us;
    char text[24] = "\\N";
    if (next_time(s, words, &at_us, err) != PK_OK)
        return PK_REJECT;
    if (at_us != PK_NO_TIME)
        snprintf(text, sizeof text, "%" PRId64, strstr(table->time, "day") ? day_of(at_us) : hour_of(at_us));
    choice->field[0] = pk_arena_str(&s->arena, pk_str(text));
    return PK_OK;
}

static enum pk_status choose(struct scenario *s, const struct aggregate_table *table, struct words *words,
                             struct choice *ret, struct pk_err *err)
{
    *ret = (struct choice){0};
    while (words->next < words->count) {
        if (words_take(words, "at")) {
            if (choose_time(s, table, words, ret, err) != PK_OK)
                return PK_REJECT;
            continue;
        }
        uint32_t dim = 0;
        while (dim < table->dims && !is_column(words->word[words->next], table->dim[dim]))
            dim++;
        if (dim == table->dims)
            return PK_OK;
        words->next++;
        struct pk_str value = words_next(words);
        ret->field[1 + dim] = pk_str_eq(value, PK_STR("none")) ? PK_STR("\\N") : value;
        if (!value.ptr)
            DIFFER("'%s' needs a value, or none", table->dim[dim]);
    }
    return PK_OK;
}

/* How many buckets are meant, and the sums of their counts. */
static enum pk_status sum_up(struct scenario *s, const struct memory_store *store, const struct aggregate_table *table,
                             const struct choice *choice, int64_t *ret_found, int64_t sum[AGGREGATE_COUNTS],
                             struct pk_err *err)
{
    struct rows rows;
    struct row row;
    enum pk_status status = rows_open(s, store, pk_str(table->name), &rows, err);
    while (status == PK_OK && rows_next(&rows, &row)) {
        bool meant = row.count == 1 + table->dims + table->counts;
        for (uint32_t i = 0; i <= table->dims && meant; i++)
            meant = !choice->field[i].ptr || pk_str_eq(choice->field[i], row.field[i]);
        for (uint32_t i = 0; i < table->counts && meant; i++)
            sum[i] += number_of(row.field[1 + table->dims + i]);
        *ret_found += meant;
    }
    pk_buf_done(&rows.text);
    return status;
}

static enum pk_status expect_sum(const struct aggregate_table *table, const int64_t *sum, struct words *words,
                                 struct pk_err *err)
{
    struct pk_str word = words_next(words), value = words_next(words);
    uint32_t i = 0;
    while (i < table->counts && !is_column(word, table->count[i]))
        i++;
    if (i == table->counts || !value.ptr)
        DIFFER("'%.*s' is no count of %s, or its value is missing", PK_STR_ARG(word), table->name);
    char *end;
    int64_t wanted = strtoll(value.ptr, &end, 10);
    if (*end && time_parse_duration(value, &wanted, err) != PK_OK)
        return PK_REJECT;
    if (wanted != sum[i])
        DIFFER("%s of %s is %" PRId64 ", expected %" PRId64, table->count[i], table->name, sum[i], wanted);
    return PK_OK;
}

enum pk_status rows_check_aggregate(struct scenario *s, const struct memory_store *store, int64_t wanted,
                                    struct words *words, struct pk_err *err)
{
    struct pk_str name = words_next(words);
    const struct aggregate_table *table = NULL;
    for (size_t i = 0; i < AGGREGATE_COUNT; i++)
        if (pk_str_eq(name, pk_str(aggregate_tables[i].name)))
            table = &aggregate_tables[i];
    if (!table)
        DIFFER("there is no aggregate '%.*s'", PK_STR_ARG(name));
    struct choice choice;
    int64_t found = 0, sum[AGGREGATE_COUNTS] = {0};
    if (choose(s, table, words, &choice, err) != PK_OK || sum_up(s, store, table, &choice, &found, sum, err) != PK_OK)
        return PK_REJECT;
    if (wanted < 0 ? found == 0 : found != wanted)
        DIFFER("%" PRId64 " buckets of %s are meant, expected %s%" PRId64, found, table->name,
               wanted < 0 ? "at least " : "", wanted < 0 ? 1 : wanted);
    while (words->next < words->count)
        if (expect_sum(table, sum, words, err) != PK_OK)
            return PK_REJECT;
    return PK_OK;
}
