/* SPDX-License-Identifier: Apache-2.0 */
/* Single cases for the derivation in batches that chance would hardly meet, and sizes that must not hurt. */
#include "derive_check.h"

#include <criterion/criterion.h>
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

struct told { /* an event in short; `who` is namespace and value */
    const char *source, *id, *type, *name_space, *value, *relates_to;
    int at_s;
};

static struct fact *fact_of(struct told told)
{
    struct event_identifier *identifier = PK_NEW(&arena, struct event_identifier);
    *identifier = (struct event_identifier){pk_str(told.name_space), pk_str(told.value)};
    struct event event = {
        .event_id = pk_str(told.id),
        .source = pk_str(told.source),
        .occurred_at_us = INT64_C(1710115200000000) + told.at_s * PK_SECOND_US,
        .type = pk_str(told.type),
        .channel = PK_STR("phone"),
        .brand = PK_STR("Ahola"),
        .identifier = identifier,
        .identifier_count = 1,
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
