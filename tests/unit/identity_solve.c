/* SPDX-License-Identifier: Apache-2.0 */
/* docs/semantics.md 3.1 to 3.3 and 3.6, rule by rule, on worlds small enough to draw. */
#include "identity.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* ---- a small world ---- */

enum { NUMBER, LOGIN, MAIL, PHONE, SPACES };
static struct rules_namespace space[SPACES];
static struct rules rules;
static struct symbols symbols;
static struct pk_arena arena;

enum { MAX = 200 };
static struct identity_person people[MAX], *person[MAX];
static struct identity_meeting meetings[MAX], *meeting[MAX];
static struct identity_apart aparts[MAX];
static struct identity world;

static void set_up(void)
{
    symbols_init(&symbols);
    const struct rules_namespace plain = {.class_ = RULES_PERSON, .max_people = UINT32_MAX, .max_links = UINT32_MAX};
    for (int i = 0; i < SPACES; i++) {
        space[i] = plain;
        space[i].priority = 10 * (i + 1);
    }
    space[NUMBER].unique = space[LOGIN].unique = true;
    rules = (struct rules){.name_space = space, .namespace_count = SPACES, .max_component = 1000};
    world = (struct identity){.person = person, .meeting = meeting, .apart = aparts};
}
static void tear_down(void)
{
    pk_arena_done(&arena);
    symbols_done(&symbols);
}
TestSuite(identity, .init = set_up, .fini = tear_down);

/* "number:1" of namespace NUMBER; its hash are the bytes behind the colon, so that a test can choose the order. */
static struct identity_person *who_named(const char *name)
{
    static const char *const spaces[] = {"number", "login", "mail", "phone"};
    const char *colon = strchr(name, ':'), *slash = memchr(name, '/', (size_t)(colon - name));
    const char *last = slash ? slash + 1 : name;
    struct identity_person *found = &people[world.persons];
    *found = (struct identity_person){.first_at_us = PK_NO_TIME};
    found->name_space = symbol_of(&symbols, (struct pk_str){name, (size_t)(colon - name)});
    for (int i = 0; i < SPACES; i++)
        if (strlen(spaces[i]) == (size_t)(colon - last) && memcmp(last, spaces[i], (size_t)(colon - last)) == 0)
            found->rules = &space[i];
    cr_assert(found->rules, "%s", name);
    memcpy(found->hash.byte, colon + 1, strlen(colon + 1));
    for (size_t i = 0; i < world.persons; i++)
        if (person[i]->name_space == found->name_space && pk_hash_eq(person[i]->hash, found->hash))
            return person[i];
    return person[world.persons++] = found;
}

static void carried(struct identity_person *who, int64_t at_us)
{
    if (who->first_at_us == PK_NO_TIME || at_us < who->first_at_us)
        who->first_at_us = at_us;
}

/* An event at `at_us` with these persons, strongest first, separated by one space. */
static void event(int64_t at_us, const char *names)
{
    struct identity_person *together[16];
    uint32_t count = 0;
    char text[200];
    snprintf(text, sizeof text, "%s", names);
    for (char *rest = text, *name; (name = strsep(&rest, " "));)
        carried(together[count++] = who_named(name), at_us);
    if (count < 2)
        return;
    struct identity_meeting *made = &meetings[world.meetings];
    *made = (struct identity_meeting){.count = count, .first = {.at_us = at_us, .event_id = PK_STR("e")}};
    made->person = pk_arena_copy(&arena, together, count * sizeof *together);
    meeting[world.meetings++] = made;
}

static void apart(const char *a, const char *b)
{
    aparts[world.aparts++] = (struct identity_apart){who_named(a), who_named(b)};
}

static void solve(void)
{
    identity_solve(&rules, &symbols, &arena, &world);
}

static bool named(const struct identity_person *who, const char *name)
{
    return who == who_named(name);
}
static bool of(const char *name, const char *customer)
{
    return pk_hash_eq(who_named(name)->customer, who_named(customer)->hash);
}
static bool of_none(const char *name)
{
    return pk_hash_zero(who_named(name)->customer);
}

static const struct identity_link *link_of(const char *a, const char *b)
{
    for (size_t i = 0; i < world.links; i++)
        if (named(world.link[i].a, a) && named(world.link[i].b, b))
            return &world.link[i];
    return NULL;
}
static bool refused(const char *a, const char *b, enum identity_refusal why, const char *because_a,
                    const char *because_b)
{
    const struct identity_link *link = link_of(a, b);
    return link && link->refused == why &&
           (because_a ? named(link->because_a, because_a) && named(link->because_b, because_b)
                      : !link->because_a && !link->because_b);
}
static bool made(const char *a, const char *b)
{
    return refused(a, b, LINK_MADE, NULL, NULL);
}

/* ---- event order ---- */

Test(identity, events_are_ordered_by_time_sequence_source_and_id)
{
    sym_t zebra = symbol_of(&symbols, PK_STR("zebra")), ant = symbol_of(&symbols, PK_STR("ant"));
    const struct identity_event order[] = {
        {1, 9, zebra, PK_STR("z")},   {2, 1, zebra, PK_STR("z")},   {2, 2, ant, PK_STR("b")},
        {2, 2, ant, PK_STR("\xc3")}, {2, 2, zebra, PK_STR("a")},
    };
    for (size_t i = 0; i < PK_COUNT(order); i++)
        for (size_t j = 0; j < PK_COUNT(order); j++) {
            int got = identity_event_cmp(&symbols, &order[i], &order[j]);
            cr_expect_eq((got > 0) - (got < 0), (i > j) - (i < j), "%zu and %zu", i, j);
        }
}

/* ---- customers ---- */

Test(identity, persons_of_one_event_are_one_customer)
{
    event(5, "number:1 mail:a phone:p");
    solve();
    cr_expect(of("number:1", "number:1") && of("mail:a", "number:1") && of("phone:p", "number:1"));
    cr_expect_eq(world.links, 2, "the strongest links each other one, the others not each other");
    cr_expect(made("number:1", "mail:a") && made("number:1", "phone:p"));
}

Test(identity, a_person_without_links_is_a_customer_alone)
{
    event(5, "mail:a");
    event(5, "number:1");
    solve();
    cr_expect(of("mail:a", "mail:a") && of("number:1", "number:1"));
    cr_expect_eq(world.links, 0);
}

Test(identity, a_person_that_no_event_carries_has_no_customer)
{
    event(5, "mail:a");
    who_named("mail:b");
    solve();
    cr_expect(of("mail:a", "mail:a") && of_none("mail:b"));
}

Test(identity, an_empty_world_has_no_links)
{
    solve();
    cr_expect_eq(world.links, 0);
}

Test(identity, the_customer_is_the_strongest_then_the_earliest_then_the_smallest)
{
    event(1, "mail:a phone:p");
    event(9, "login:z mail:a");
    solve();
    cr_expect(of("phone:p", "login:z"), "priority first, however late");
    event(7, "mail:c");
    event(8, "mail:d mail:c");
    event(10, "mail:d mail:b");
    solve();
    cr_expect(of("mail:b", "mail:c"), "of one priority the earliest");
    event(7, "mail:b");
    solve();
    cr_expect(of("mail:c", "mail:b"), "at one time the smallest hash");
}

Test(identity, first_times_count_contradictory_events_too)
{
    event(5, "mail:a mail:b");
    solve();
    cr_expect(of("mail:a", "mail:a"));
    event(1, "login:1 login:2 mail:b");
    solve();
    cr_expect(of("mail:a", "mail:b"));
}

/* ---- contradiction ---- */

Test(identity, two_of_one_unique_namespace_in_one_event_link_nobody)
{
    event(5, "number:1 number:2 mail:a");
    solve();
    cr_expect_eq(world.links, 0);
    cr_expect(of("number:1", "number:1") && of("number:2", "number:2") && of("mail:a", "mail:a"));
}

Test(identity, contradictory_events_do_not_count_for_sharing)
{
    space[MAIL].max_people = 1;
    space[MAIL].max_links = 1;
    event(5, "number:1 number:2 mail:a");
    event(6, "number:1 mail:a");
    solve();
    cr_expect_not(who_named("mail:a")->shared);
    cr_expect(of("mail:a", "number:1"));
}

Test(identity, an_event_stays_contradictory_where_one_of_the_two_is_shared)
{
    space[LOGIN].max_people = 1;
    event(1, "number:1 login:x");
    event(2, "number:2 login:x");
    event(3, "login:x login:y mail:a");
    solve();
    cr_expect(who_named("login:x")->shared);
    cr_expect(of("mail:a", "mail:a") && of("login:y", "login:y"));
}

Test(identity, two_full_namespaces_of_one_rule_do_not_contradict)
{
    event(5, "garage/login:1 shop/login:2");
    solve();
    cr_expect(of("shop/login:2", "garage/login:1"));
    event(6, "shop/login:2 mail:a");
    event(7, "shop/login:3 mail:a");
    solve();
    cr_expect(refused("shop/login:3", "mail:a", LINK_UNIQUE, "shop/login:3", "shop/login:2"));
}

Test(identity, two_of_a_namespace_that_is_not_unique_are_one_customer)
{
    event(5, "mail:b mail:a");
    solve();
    cr_expect(of("mail:a", "mail:a") && of("mail:b", "mail:a"));
    cr_expect(made("mail:a", "mail:b"), "a has the smaller weight, whichever stood first");
}

/* ---- sharing ---- */

Test(identity, shared_if_it_meets_more_than_max_people_of_one_unique_namespace)
{
    space[PHONE].max_people = 2;
    event(1, "number:1 phone:p");
    event(2, "number:2 phone:p");
    event(3, "number:2 phone:p"); /* the same again is no other */
    solve();
    cr_expect_not(who_named("phone:p")->shared);
    event(4, "number:3 phone:p");
    solve();
    cr_expect(who_named("phone:p")->shared);
    cr_expect(of_none("phone:p"));
    cr_expect(of("number:1", "number:1") && of("number:2", "number:2") && of("number:3", "number:3"));
    cr_expect_eq(world.links, 0, "a shared person joins nobody");
}

Test(identity, max_people_counts_each_full_unique_namespace_for_itself)
{
    space[PHONE].max_people = 1;
    event(1, "number:1 login:x phone:p");
    event(2, "garage/login:1 shop/login:2 phone:p");
    event(3, "number:1 mail:a mail:b phone:p"); /* mail is not unique */
    solve();
    cr_expect_not(who_named("phone:p")->shared);
}

Test(identity, shared_if_it_meets_more_than_max_links_persons)
{
    space[PHONE].max_links = 2;
    event(1, "mail:a phone:p");
    event(2, "phone:p phone:q");
    solve();
    cr_expect_not(who_named("phone:p")->shared);
    event(3, "mail:b phone:p");
    solve();
    cr_expect(who_named("phone:p")->shared);
    cr_expect(of("phone:q", "phone:q"), "what met it is not joined by it");
}

Test(identity, a_shared_person_still_counts_for_others)
{
    space[PHONE].max_people = 1;
    space[MAIL].max_links = 2;
    event(1, "number:1 phone:p");
    event(2, "number:2 phone:p");
    event(3, "number:1 mail:a phone:p");
    event(4, "mail:a phone:q");
    solve();
    cr_expect(who_named("phone:p")->shared && who_named("mail:a")->shared);
}

Test(identity, what_is_known_to_be_shared_needs_no_meetings_and_still_counts)
{
    space[MAIL].max_links = 1;
    who_named("phone:p")->known_shared = true;
    event(1, "mail:a phone:p");
    solve();
    cr_expect(who_named("phone:p")->shared && of_none("phone:p"));
    cr_expect(of("mail:a", "mail:a"));
    event(2, "mail:a phone:q");
    solve();
    cr_expect(who_named("mail:a")->shared);
}

Test(identity, the_strongest_that_is_not_shared_links_the_others)
{
    who_named("number:1")->known_shared = true;
    event(1, "number:1 login:x mail:a phone:p");
    solve();
    cr_expect_eq(world.links, 2);
    cr_expect(made("login:x", "mail:a") && made("login:x", "phone:p"));
    cr_expect(of("phone:p", "login:x"));
}

/* ---- links ---- */

Test(identity, a_link_has_the_first_of_the_events_that_make_it)
{
    event(7, "mail:b mail:a phone:p");
    event(5, "mail:a mail:b");
    event(3, "login:x mail:a mail:b"); /* links each to login:x, not to each other */
    solve();
    cr_expect_eq(link_of("mail:a", "mail:b")->first.at_us, 5);
    cr_expect_eq(link_of("mail:b", "phone:p")->first.at_us, 7);
    cr_expect_eq(world.links, 4);
}

Test(identity, links_are_tried_by_priorities_then_event_then_hashes)
{
    event(9, "number:2 login:x");
    event(1, "login:x mail:a");
    event(8, "number:1 mail:a");
    event(8, "number:1 mail:b");
    event(7, "number:3 mail:c");
    solve();
    const char *const order[][2] = {{"number:2", "login:x"}, {"number:3", "mail:c"}, {"number:1", "mail:a"},
                                    {"number:1", "mail:b"},  {"login:x", "mail:a"}};
    cr_assert_eq(world.links, PK_COUNT(order));
    for (size_t i = 0; i < PK_COUNT(order); i++)
        cr_expect(named(world.link[i].a, order[i][0]) && named(world.link[i].b, order[i][1]), "%zu", i);
}

Test(identity, two_values_of_a_unique_namespace_in_one_chain_stay_two_customers)
{
    event(1, "number:2 mail:a");
    event(2, "number:1 mail:a");
    solve();
    cr_expect(of("mail:a", "number:2"), "the earlier link is the stronger one");
    cr_expect(of("number:1", "number:1"));
    cr_expect(made("number:2", "mail:a"));
    cr_expect(refused("number:1", "mail:a", LINK_UNIQUE, "number:1", "number:2"));
}

Test(identity, a_set_that_joined_later_refuses_for_all_its_members)
{
    event(1, "number:1 mail:a");
    event(1, "number:2 mail:b");
    event(2, "mail:b mail:c phone:p");
    event(3, "mail:a phone:p");
    solve();
    cr_expect(of("phone:p", "number:2") && of("mail:c", "number:2"));
    cr_expect(refused("mail:a", "phone:p", LINK_UNIQUE, "number:1", "number:2"));
}

Test(identity, of_several_reasons_the_one_with_the_smallest_hashes_is_named)
{
    event(1, "login:b number:1 mail:a"); /* positions do not matter here: the order of meetings is given */
    event(1, "login:c number:2 mail:b");
    event(2, "mail:a mail:b");
    apart("mail:a", "mail:b");
    solve();
    cr_expect(refused("mail:a", "mail:b", LINK_UNIQUE, "number:1", "number:2"), "unique goes before apart");
}

Test(identity, a_link_within_one_set_is_not_refused)
{
    event(1, "number:1 mail:a");
    event(2, "number:1 phone:p");
    event(3, "mail:a phone:p");
    solve();
    cr_expect_eq(world.links, 3);
    cr_expect(made("mail:a", "phone:p"));
}

Test(identity, a_component_goes_over_refused_links_too)
{
    rules.max_component = 2;
    event(1, "number:1 mail:a");
    event(2, "number:2 mail:a");
    solve();
    cr_expect(who_named("number:1")->oversize && who_named("number:2")->oversize && who_named("mail:a")->oversize);
    rules.max_component = 3;
    solve();
    cr_expect_not(who_named("number:1")->oversize);
    cr_expect_eq(who_named("number:1")->component, who_named("number:2")->component);
    cr_expect_neq(who_named("number:1")->set, who_named("number:2")->set);
}

Test(identity, an_oversize_component_joins_nobody)
{
    rules.max_component = 3;
    event(1, "mail:a mail:b");
    event(2, "mail:b mail:c");
    event(2, "login:x phone:q");
    solve();
    cr_expect(of("mail:c", "mail:a") && !who_named("mail:c")->oversize, "three are not more than three");
    event(3, "mail:c mail:d");
    solve();
    cr_expect(of("mail:a", "mail:a") && of("mail:b", "mail:b") && of("mail:c", "mail:c") && of("mail:d", "mail:d"));
    cr_expect(refused("mail:a", "mail:b", LINK_OVERSIZE, NULL, NULL));
    cr_expect(refused("mail:c", "mail:d", LINK_OVERSIZE, NULL, NULL));
    cr_expect(of("phone:q", "login:x") && !who_named("login:x")->oversize, "the others go on");
}

Test(identity, shared_persons_do_not_count_for_the_size_of_a_component)
{
    rules.max_component = 2;
    who_named("phone:p")->known_shared = true;
    event(1, "mail:a mail:b phone:p");
    solve();
    cr_expect(of("mail:b", "mail:a") && !who_named("phone:p")->oversize);
}

/* ---- decisions ---- */

Test(identity, a_blocked_person_is_as_if_no_event_carried_it)
{
    space[MAIL].max_links = 2;
    event(1, "number:1 number:2 mail:a");
    event(2, "mail:a phone:p");
    who_named("number:1")->blocked = true;
    who_named("number:1")->known_shared = true;
    solve();
    cr_expect(of("mail:a", "number:2") && of("phone:p", "number:2"), "not contradictory any more, nor counted");
    cr_expect(of_none("number:1") && !who_named("number:1")->shared);
    cr_expect_eq(world.links, 2);
}

Test(identity, an_unlinked_person_makes_no_links_and_the_others_link_each_other)
{
    event(1, "number:1 mail:a phone:p");
    event(2, "number:1 login:x");
    who_named("number:1")->alone = true;
    solve();
    cr_expect(of("number:1", "number:1") && of("login:x", "login:x"));
    cr_expect(of("phone:p", "mail:a"));
    cr_expect_eq(world.links, 1);
}

Test(identity, an_unlinked_person_still_meets)
{
    space[PHONE].max_people = 1;
    event(1, "number:1 phone:p");
    event(2, "number:2 phone:p");
    who_named("number:1")->alone = true;
    solve();
    cr_expect(who_named("phone:p")->shared);
    event(3, "phone:p phone:q");
    who_named("phone:p")->alone = true;
    solve();
    cr_expect(who_named("phone:p")->shared);
}

Test(identity, two_that_are_kept_apart_are_never_one_customer)
{
    event(1, "number:1 mail:a");
    event(2, "mail:a phone:p");
    event(3, "phone:p phone:q");
    apart("phone:q", "number:1");
    solve();
    cr_expect(of("phone:p", "number:1") && of("phone:q", "phone:q"));
    cr_expect(refused("phone:p", "phone:q", LINK_APART, "number:1", "phone:q"));
}

Test(identity, apart_of_shared_or_blocked_persons_says_nothing)
{
    event(1, "number:1 mail:a phone:p");
    who_named("phone:p")->known_shared = true;
    who_named("phone:q")->blocked = true;
    apart("number:1", "phone:p");
    apart("phone:q", "mail:a");
    solve();
    cr_expect(of("mail:a", "number:1"));
}

Test(identity, a_decision_that_is_taken_back_leaves_no_trace)
{
    event(1, "number:1 mail:a");
    event(2, "mail:a phone:p");
    apart("mail:a", "number:1");
    who_named("phone:p")->alone = true;
    solve();
    cr_expect(of("mail:a", "mail:a") && of("phone:p", "phone:p"));
    who_named("phone:p")->alone = false;
    who_named("phone:p")->blocked = true;
    solve();
    cr_expect(of_none("phone:p"));
    who_named("phone:p")->blocked = false;
    world.aparts = 0;
    solve();
    cr_expect(of("mail:a", "number:1") && of("phone:p", "number:1"));
    cr_expect(made("number:1", "mail:a") && made("mail:a", "phone:p"));
}
