/* SPDX-License-Identifier: Apache-2.0 */
#include "forget.h"

#include <stdlib.h>

static int by_forgetting(const void *left, const void *right)
{
    const struct forgotten *a = left, *b = right;
    return (a->forgetting > b->forgetting) - (a->forgetting < b->forgetting);
}

static bool is_device(const struct fact *fact, struct pk_hash name)
{
    for (unsigned i = 0; i < fact->device_count; i++)
        if (pk_hash_eq(fact->device[i].hash, name))
            return true;
    return false;
}

/* The event itself, not only the name in it. */
static bool forgets(const struct forgotten *row, const struct fact *fact)
{
    if (row->single)
        return row->until_us == fact->at_us;
    if (fact->at_us > row->until_us)
        return false;
    if (fact->person_count)
        return pk_hash_eq(fact->person[0].hash, row->name);
    return pk_hash_eq(fact->case_key, row->name) || is_device(fact, row->name);
}

static bool is_struck(const struct fact *fact, struct pk_hash name, const struct forgotten *row, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!row[i].single && fact->at_us <= row[i].until_us && pk_hash_eq(row[i].name, name))
            return true;
    return false;
}

static const struct fact_name *keep_names(const struct fact *fact, const struct fact_name *name, uint8_t *count,
                                          const struct forgotten *row, size_t rows, struct pk_arena *arena)
{
    struct fact_name *kept = PK_NEW_ARRAY(arena, struct fact_name, *count + 1u);
    uint8_t used = 0;
    for (unsigned i = 0; i < *count; i++)
        if (!is_struck(fact, name[i].hash, row, rows))
            kept[used++] = name[i];
    *count = used;
    return kept;
}

static bool strip(struct fact *fact, const struct forgotten *row, size_t rows, struct pk_arena *arena)
{
    struct fact_identifier *kept = PK_NEW_ARRAY(arena, struct fact_identifier, fact->identifier_count + 1u);
    unsigned used = 0;
    for (unsigned i = 0; i < fact->identifier_count; i++)
        if (pk_hash_zero(fact->identifier[i].hash) || !is_struck(fact, fact->identifier[i].hash, row, rows))
            kept[used++] = fact->identifier[i];
    bool case_gone = !pk_hash_zero(fact->case_key) && is_struck(fact, fact->case_key, row, rows);
    if (used == fact->identifier_count && !case_gone)
        return false;
    fact->person = keep_names(fact, fact->person, &fact->person_count, row, rows, arena);
    fact->device = keep_names(fact, fact->device, &fact->device_count, row, rows, arena);
    fact->identifier = kept;
    fact->identifier_count = (uint8_t)used;
    if (case_gone)
        fact->case_key = (struct pk_hash){{0}};
    return true;
}

static void anonymise(struct fact *fact)
{
    fact->identifier = NULL;
    fact->person = fact->device = NULL;
    fact->identifier_count = fact->person_count = fact->device_count = 0;
    fact->case_key = fact->relates = fact->staff = (struct pk_hash){{0}};
    fact->has_promise = fact->has_handoff = false;
    fact->promise = (struct fact_promise){.due_from_us = PK_NO_TIME, .due_to_us = PK_NO_TIME};
    fact->to_brand = fact->to_unit = fact->to_role = 0;
    fact->product = fact->location = fact->attributes = (struct pk_str){0};
}

static void let_go_of_record(struct fact *fact)
{
    fact->record_key = fact->record_value = (struct pk_bytes){0};
    fact->record_headers = NULL;
}

enum forget_outcome forget_apply(struct fact *fact, struct forgotten *row, size_t count, struct pk_arena *arena)
{
    if (count > 1)
        qsort(row, count, sizeof *row, by_forgetting);
    for (size_t i = 0; i < count; i++) {
        if (!forgets(&row[i], fact))
            continue;
        fact->forgotten = !row[i].anonymise;
        let_go_of_record(fact);
        if (row[i].anonymise)
            anonymise(fact);
        return row[i].anonymise ? FORGET_ANONYMISED : FORGET_DELETED;
    }
    if (!strip(fact, row, count, arena))
        return FORGET_NOTHING;
    let_go_of_record(fact);
    return FORGET_STRIPPED;
}
