/* SPDX-License-Identifier: Apache-2.0 */
/* Single cases for the derivation in batches that chance would hardly meet, and sizes that must not hurt. */
#include "derive_check.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum { MAX_FACTS = 512 };

static struct symbols symbols;
static struct pk_arena arena;
static struct rules rules;
static const struct fact_hasher hasher = {.key = "sixteen bytes ok", .key_len = 16};
static struct matcher matcher;
static struct fact_maker maker;
static struct meaning meaning;
static struct memory_store store;
static struct memory_worker worker[2];
static const struct fact *master[MAX_FACTS];
static size_t masters;
static struct pk_err err;

static void set_up(void)
{
    symbols_init(&symbols);
    cr_assert_eq(rules_load(POLKU_SOURCE_DIR "/deploy/polku.yaml", NULL, &symbols, &arena, &rules, NULL, &err), PK_OK,
                 "%s", err.text);
    matcher_init(&matcher, &rules, &symbols);
    fact_maker_init(&maker, &rules, &hasher, &symbols, &matcher);
    meaning = (struct meaning){&rules, &matcher, &symbols, &hasher, &maker};
    memory_store_init(&store);
    for (int i = 0; i < 2; i++)
        memory_worker_init(&worker[i], &store, &meaning, 64 << 20, symbol_of(&symbols, PK_STR("events")), i);
}

static void tear_down(void)
{
    for (int i = 0; i < 2; i++)
        memory_worker_done(&worker[i]);
    memory_store_done(&store);
    fact_maker_done(&maker);
    matcher_done(&matcher);
    symbols_done(&symbols);
    pk_arena_done(&arena);
}
TestSuite(derive_cases, .init = set_up, .fini = tear_down, .timeout = 120);

static struct pk_str numbered(const char *text, unsigned number)
{
    char line[64];
    int len = snprintf(line, sizeof line, "%s%u", text, number);
    return pk_arena_str(&arena, (struct pk_str){line, (size_t)len});
}

struct told { /* an event in short; whom it is about is namespace and value, once or twice */
    const char *source, *id, *type, *name_space, *value, *relates_to;
    int at_s;
    const char *name_space_2, *value_2;
};

static struct fact *fact_of(struct told told)
{
    struct event_identifier *identifier = PK_NEW_ARRAY(&arena, struct event_identifier, 2);
    identifier[0] = (struct event_identifier){pk_str(told.name_space), pk_str(told.value)};
    if (told.name_space_2)
        identifier[1] = (struct event_identifier){pk_str(told.name_space_2), pk_str(told.value_2)};
    struct event event = {
        .event_id = pk_str(told.id),
        .source = pk_str(told.source),
        .occurred_at_us = INT64_C(1710115200000000) + told.at_s * PK_SECOND_US,
        .type = pk_str(told.type),
        .channel = PK_STR("phone"),
        .brand = PK_STR("Ahola"),
        .identifier = identifier,
        .identifier_count = told.name_space_2 ? 2 : 1,
    };
    if (told.relates_to)
        event.relates_to = pk_str(told.relates_to);
    struct fact *fact = PK_NEW(&arena, struct fact);
    fact_from_event(&maker, &event, &arena, fact);
    return fact;
}

/* One batch; then all is as one derivation of everything has it. */
static void tell_all(struct memory_worker *to, const struct told *told, size_t count)
{
    struct fact *fact[MAX_FACTS];
    for (size_t i = 0; i < count; i++) {
        fact[i] = fact_of(told[i]);
        fact[i]->topic_name = to->at.topic;
        fact[i]->partition = to->at.partition;
        fact[i]->offset = to->at.next_offset + (int64_t)i;
        master[masters++] = derive_check_copy(&arena, fact[i]);
    }
    cr_assert_eq(memory_batch(to, fact, count, &err), PK_OK, "%s", err.text);
    cr_assert_eq(derive_check(&store, &meaning, master, masters, NULL, 0, &err), PK_OK, "after %s: %s", told[count - 1].id,
                 err.text);
}

static void tell(struct memory_worker *to, struct told told)
{
    tell_all(to, &told, 1);
}

Test(derive_cases, a_name_may_hash_like_the_identifier_of_somebody)
{
    tell(&worker[0], (struct told){"web", "1", "contact.inbound", "cookie", "D1", NULL, 0});
    tell(&worker[0], (struct told){"cookie", "D1", "callback.booked", "phone", "0401", NULL, 60});
    tell(&worker[0], (struct told){"crm", "3", "callback.reached", "phone", "0402", "cookie/D1", 120});
    tell(&worker[1], (struct told){"crm", "4", "contact.inbound", "cookie", "D1", NULL, 180});
    cr_assert_eq(store.obligations.count, 1);
    PK_MAP_EACH(&store.obligations, e)
        cr_assert_neq(((const struct obligation *)e->value)->fulfilled_at_us, PK_NO_TIME);
}

/* `from`..`to` customers, each with an event that names what crm/0 opened. */
static void relate(struct memory_worker *to, unsigned from, unsigned until)
{
    struct told told[MAX_FACTS];
    for (unsigned i = from; i < until; i++)
        told[i - from] = (struct told){"crm", numbered("r", i).ptr, "promise.attempted", "phone", numbered("0400", i).ptr,
                                       "crm/0", 60 + (int)i};
    tell_all(to, told, until - from);
}

Test(derive_cases, a_name_may_have_very_many_users)
{
    relate(&worker[0], 0, 20);
    tell(&worker[0], (struct told){"crm", "0", "callback.booked", "phone", "0401", NULL, 0});
    relate(&worker[1], 10, 70); /* the first ten again: their users are taken back */
    relate(&worker[0], 0, 100);
    PK_MAP_EACH(&store.keys, e)
    {
        const struct memory_key *key = e->value;
        for (uint32_t i = 0; i < key->also_count; i++) {
            cr_assert_not(pk_hash_eq(key->also[i], key->owner));
            for (uint32_t k = 0; k < i; k++)
                cr_assert_not(pk_hash_eq(key->also[i], key->also[k]), "a user is there twice");
        }
    }
    PK_MAP_EACH(&store.obligations, e)
        cr_assert_eq(((const struct obligation *)e->value)->attempts, 100);
}

/* A case that a publisher gives to everybody. */
Test(derive_cases, a_case_of_everybody_makes_no_group_of_them)
{
    struct fact *fact[MAX_FACTS];
    for (unsigned i = 0; i < 300; i++) {
        fact[i] = fact_of((struct told){"crm", numbered("e", i).ptr, "contact.inbound", "phone",
                                        numbered("0400", i).ptr, NULL, (int)i});
        fact[i]->case_key = fact_hash(&hasher, &PK_STR("case"), 1);
        fact[i]->topic_name = worker[0].at.topic;
        fact[i]->partition = worker[0].at.partition;
        master[masters++] = derive_check_copy(&arena, fact[i]);
    }
    for (unsigned i = 0; i < 300; i += 100)
        cr_assert_eq(memory_batch(&worker[0], fact + i, 100, &err), PK_OK, "%s", err.text);
    cr_assert_eq(derive_check(&store, &meaning, master, masters, NULL, 0, &err), PK_OK, "%s", err.text);
    cr_assert_eq(worker[0].fast, 300);
    cr_assert_eq(worker[0].slow, 0);
}

/* ---- figures that a reader can check by hand ---- */

static int64_t sum_of(enum aggregate table, const char *measure, int32_t clock, unsigned count)
{
    int64_t sum = 0;
    size_t rows;
    const struct change_aggregate *row = memory_sums(&store, table, &arena, &rows);
    for (size_t i = 0; i < rows; i++)
        if (!measure || (pk_str_eq(symbol_text(&symbols, (sym_t)row[i].dim[0]), pk_str(measure)) && row[i].dim[1] == clock))
            sum += row[i].count[count];
    return sum;
}

/* Asked for, missed, asked for again, missed, reached: in one batch and event by event. */
static const struct told missed_calls[] = {
    {"crm", "1", "callback.requested", "phone", "0401", NULL, 0, NULL, NULL},
    {"crm", "2", "callback.unreached", "phone", "0401", NULL, 60, NULL, NULL},
    {"crm", "3", "callback.requested", "phone", "0401", NULL, 120, NULL, NULL},
    {"crm", "4", "callback.unreached", "phone", "0401", NULL, 180, NULL, NULL},
    {"crm", "5", "callback.requested", "phone", "0401", NULL, 240, NULL, NULL},
    {"crm", "6", "callback.reached", "phone", "0401", NULL, 300, NULL, NULL},
};

static void check_missed_calls(void)
{
    uint32_t cycles = 0;
    PK_MAP_EACH(&store.obligations, e)
        cycles |= 1u << ((const struct obligation *)e->value)->cycle;
    cr_assert_eq(cycles, 1u << 1 | 1u << 2 | 1u << 3);
    cr_assert_eq(sum_of(AGGREGATE_obligation_hourly, NULL, 0, 7), 2, "two were asked for again");
    cr_assert_eq(sum_of(AGGREGATE_duration_hourly, "kept.callback", 0, 0), 3);
    cr_assert_eq(sum_of(AGGREGATE_duration_hourly, "kept.callback", 0, 1), (300 + 180 + 60) * PK_SECOND_US);
}

Test(derive_cases, a_call_that_is_asked_for_again_is_the_next_cycle)
{
    for (size_t i = 0; i < PK_COUNT(missed_calls); i++)
        tell(&worker[0], missed_calls[i]);
    cr_assert_eq(worker[0].slow, 0, "all of it appended");
    check_missed_calls();
}

Test(derive_cases, cycles_do_not_depend_on_the_order_of_arrival)
{
    for (size_t i = PK_COUNT(missed_calls); i-- > 0;)
        tell(&worker[i % 2], missed_calls[i]);
    check_missed_calls();
}

/* The slots of two writers: what one added the other takes back. */
Test(derive_cases, a_late_event_takes_back_what_another_writer_counted)
{
    tell(&worker[0], (struct told){"crm", "1", "contact.inbound", "phone", "0401", NULL, 0, NULL, NULL});
    tell(&worker[0], (struct told){"crm", "3", "contact.inbound", "phone", "0401", NULL, 600, NULL, NULL});
    cr_assert_eq(sum_of(AGGREGATE_transition_hourly, NULL, 0, 1), 600 * PK_SECOND_US);
    tell(&worker[1], (struct told){"crm", "2", "contact.inbound", "phone", "0401", NULL, 200, NULL, NULL});
    cr_assert_eq(sum_of(AGGREGATE_transition_hourly, NULL, 0, 0), 2);
    cr_assert_eq(sum_of(AGGREGATE_transition_hourly, NULL, 0, 1), 600 * PK_SECOND_US);
    bool negative = false;
    for (size_t i = 0; i < store.bucket.len; i++)
        negative |= store.bucket.ptr[i].row.table == AGGREGATE_journey_daily && store.bucket.ptr[i].slot == worker[1].at.slot &&
                    store.bucket.ptr[i].count[0] < 0;
    cr_assert_not(negative, "the journey is the same one");
}

/* ---- buckets ---- */

Test(derive_cases, the_buckets_of_durations_are_right_within_six_percent)
{
    cr_assert_eq(duration_bucket(-5), 0);
    cr_assert_eq(duration_bucket(7999), 7);
    cr_assert_eq(duration_bucket(8000), 8);
    int32_t last = 0;
    for (int64_t ms = 8; ms < INT64_C(1) << 50; ms += 1 + ms / 50) {
        int32_t bucket = duration_bucket(ms * 1000 + 999);
        int64_t begin = (int64_t)(8 + bucket % 8) << (bucket / 8 - 1), end = (int64_t)(9 + bucket % 8) << (bucket / 8 - 1);
        cr_assert(begin <= ms && ms < end, "%" PRId64 " ms in bucket %" PRId32, ms, bucket);
        cr_assert_leq((end - begin) * 16, 2 * begin, "the middle is at most 1/16 away");
        cr_assert(bucket == last || bucket == last + 1 || last == 0);
        last = bucket;
    }
}

Test(derive_cases, a_sum_that_comes_back_to_zero_is_not_written)
{
    struct metrics metrics;
    struct changes changes = {0};
    metrics_init(&metrics, &rules, &symbols);
    const int32_t dim[] = {1, 2, 3, 4};
    const int64_t count[] = {1, 1};
    metrics_add(&metrics, AGGREGATE_need_hourly, -1, dim, count, +1);
    metrics_add(&metrics, AGGREGATE_need_hourly, -PK_HOUR_US, dim, count, -1);
    metrics_add(&metrics, AGGREGATE_need_hourly, 0, dim, count, +1);
    metrics_collect(&metrics, &changes);
    cr_assert_eq(changes.aggregate.len, 1);
    cr_assert_eq(changes.aggregate.ptr[0].at_us, 0);
    changes_done(&changes);
    metrics_done(&metrics);
}

/* ---- identity in sizes that must not hurt ---- */

static const struct memory_key *key_of(const char *name_space, const char *value)
{
    const struct pk_str part[] = {pk_str(name_space), pk_str(value)};
    return pk_map_get(&store.keys, fact_hash(&hasher, part, PK_COUNT(part)));
}

/* Batches of `size` events; checked once, at the end. */
static void tell_many(struct memory_worker *to, struct fact **fact, unsigned count, unsigned size)
{
    for (unsigned i = 0; i < count; i++) {
        fact[i]->topic_name = to->at.topic;
        fact[i]->partition = to->at.partition;
        master[masters++] = derive_check_copy(&arena, fact[i]);
    }
    for (unsigned i = 0; i < count; i += size)
        cr_assert_eq(memory_batch(to, fact + i, PK_MIN(size, count - i), &err), PK_OK, "%s", err.text);
    cr_assert_eq(derive_check(&store, &meaning, master, masters, NULL, 0, &err), PK_OK, "%s", err.text);
}

/* A shop's own number in everybody's record. */
Test(derive_cases, a_phone_of_everybody_is_shared_and_joins_nobody)
{
    struct fact *fact[MAX_FACTS];
    for (unsigned i = 0; i < 300; i++)
        fact[i] = fact_of((struct told){.source = "crm", .id = numbered("e", i).ptr, .type = "contact.inbound",
                                        .name_space = "phone", .value = "0401234567", .at_s = (int)i,
                                        .name_space_2 = "email", .value_2 = numbered("p", i).ptr});
    tell_many(&worker[0], fact, 300, 30);
    cr_assert(key_of("phone", "358401234567")->flags & KEY_IS_SHARED);
    cr_assert_eq(store.customers.count, 300);
    cr_assert_lt(worker[0].slow, 300, "once it is shared it concerns nobody: %" PRIu64, worker[0].slow);
}

/* A chain e-mail, phone, e-mail, phone ...: one customer up to max_component, and then none. */
Test(derive_cases, a_chain_without_end_is_set_aside)
{
    struct fact *fact[MAX_FACTS];
    rules.max_component = 300;
    for (unsigned i = 0; i < 400; i++)
        fact[i] = fact_of((struct told){.source = "crm", .id = numbered("e", i).ptr, .type = "contact.inbound",
                                        .name_space = "email", .value = numbered("p", (i + 1) / 2).ptr, .at_s = (int)i,
                                        .name_space_2 = "phone", .value_2 = numbered("04000", 1000 + i / 2).ptr});
    tell_many(&worker[0], fact, 290, 29);
    cr_assert_eq(store.customers.count, 1);
    tell_many(&worker[1], fact + 290, 110, 11);
    cr_assert_gt(store.customers.count, 200);
    cr_assert(key_of("email", "p0")->flags & KEY_IS_OVERSIZE);
}

/* Everybody logs in at the kiosk in the hall; now and then somebody just looks. */
Test(derive_cases, a_kiosk_of_everybody_makes_no_group_of_them)
{
    struct fact *fact[MAX_FACTS];
    for (unsigned i = 0; i < 300; i++)
        fact[i] = fact_of((struct told){.source = "hall", .id = numbered("e", i).ptr, .type = "contact.inbound",
                                        .name_space = "kiosk", .value = "hall", .at_s = (int)i * 60,
                                        .name_space_2 = i % 20 == 19 ? NULL : "shop/customer_id",
                                        .value_2 = numbered("C-", i).ptr});
    tell_many(&worker[0], fact, 300, 20);
    cr_assert_eq(store.customers.count, 285);
    cr_assert_gt(worker[0].fast, 250);
}

/* The address that joins two customers with a history takes all of it along, and back when it is taken out. */
Test(derive_cases, a_merge_of_long_histories_and_back)
{
    struct fact *fact[MAX_FACTS];
    for (unsigned i = 0; i < 200; i++)
        fact[i] = fact_of((struct told){.source = "crm", .id = numbered("e", i).ptr, .type = "contact.inbound",
                                        .name_space = i % 2 ? "phone" : "email",
                                        .value = i % 2 ? "0401234567" : "p@example.org", .at_s = (int)i * 3600});
    tell_many(&worker[0], fact, 200, 50);
    cr_assert_eq(store.customers.count, 2);
    fact[0] = fact_of((struct told){.source = "crm", .id = "joins", .type = "contact.inbound", .name_space = "phone",
                                    .value = "0401234567", .name_space_2 = "email", .value_2 = "p@example.org"});
    tell_many(&worker[1], fact, 1, 1);
    cr_assert_eq(store.customers.count, 1);

    struct memory_worker command;
    memory_worker_init(&command, &store, &meaning, 0, worker[0].at.topic, 9);
    const struct memory_key *phone = key_of("phone", "358401234567");
    const struct change_decision unlink = {.kind = DECIDE_UNLINK, .a = phone->hash, .kind_a = KEY_PERSON,
                                           .name_space_a = phone->name_space, .by = PK_STR("test")};
    cr_assert_eq(memory_decide(&command, &unlink, 1, &err), PK_OK, "%s", err.text);
    cr_assert_eq(derive_check(&store, &meaning, master, masters, &unlink, 1, &err), PK_OK, "%s", err.text);
    cr_assert_eq(store.customers.count, 2);
    memory_worker_done(&command);
}

/* ---- a locked try reads before everything is locked ---- */

static void another_takes_the_event(enum ws_need_kind loaded)
{
    if (loaded != NEED_EVENTS)
        return;
    worker[1].between = NULL;
    tell(&worker[0], (struct told){"crm", "3", "contact.inbound", "crm/customer_id", "C-0", NULL, 40, "email", "a@x.fi"});
}

Test(derive_cases, a_row_that_was_read_before_its_customer_was_locked_is_noticed)
{
    tell(&worker[0], (struct told){"crm", "1", "contact.inbound", "email", "a@x.fi", NULL, 100});
    struct fact *copy;
    unsigned number = 0;
    do /* the same event of somebody else, and it wins */
        copy = fact_of((struct told){"crm", "1", "contact.inbound", "phone", numbered("+35840", ++number).ptr, NULL, 100});
    while (copy->content_hash > master[0]->content_hash);
    copy->topic_name = worker[1].at.topic;
    copy->partition = worker[1].at.partition;

    cr_assert_eq(memory_begin(&worker[1], &copy, 1, &err), PK_OK, "%s", err.text);
    tell(&worker[0],
         (struct told){"web", "2", "contact.inbound", "phone", numbered("+35840", number).ptr, NULL, 50}); /* a second try */
    worker[1].between = another_takes_the_event;
    cr_assert_eq(memory_finish(&worker[1], &err), PK_STOP, "a second try has no third here");
    cr_assert_null(worker[1].between);
    master[masters++] = derive_check_copy(&arena, copy);
    cr_assert_eq(memory_batch(&worker[1], &copy, 1, &err), PK_OK, "%s", err.text);
    cr_assert_eq(derive_check(&store, &meaning, master, masters, NULL, 0, &err), PK_OK, "%s", err.text);
}
