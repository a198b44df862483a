/* SPDX-License-Identifier: Apache-2.0 */
/* The text of `identity explain`, from worlds made by hand. Whole texts of usual cases are in
 * tests/integration/identity_commands.py. */
#include "identity_explain.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- a small world ---- */

enum { NUMBER, MAIL, PHONE, SPACES };
enum { MAX = 300 };
static struct rules_namespace space[SPACES] = {
    {.name = PK_STR("number"), .priority = 10, .unique = true, .max_people = UINT32_MAX, .max_links = 50},
    {.name = PK_STR("mail"), .priority = 20, .max_people = 1, .max_links = 50},
    {.name = PK_STR("phone"),
     .priority = 30,
     .max_people = 1,
     .max_links = 50,
     .lookback_us = 7 * PK_DAY_US,
     .lookahead_us = 7 * PK_DAY_US},
};
static struct rules_namespace kiosk = {
    .name = PK_STR("kiosk"), .class_ = RULES_KIOSK, .lookback_us = 90 * 60 * PK_SECOND_US};
static struct rules rules = {
    .name_space = space, .namespace_count = SPACES, .max_component = 1000, .case_gap_us = 36 * PK_HOUR_US + 1500000};
static struct symbols symbols;
static struct pk_arena arena;
static struct pk_buf out;
static struct explain explain;
static struct explain_name name[MAX];
static struct identity_person people[MAX], *person[MAX];
static struct identity_meeting meetings[MAX], *meeting[MAX];
static struct identity_apart aparts[MAX];
static struct explain_decision decisions[MAX];
static struct explain_event events[MAX];
static size_t names;

static void set_up(void)
{
    symbols_init(&symbols);
    explain = (struct explain){.rules = &rules,
                               .symbols = &symbols,
                               .limit = 50,
                               .decision = decisions,
                               .event = events,
                               .identity = {.person = person, .meeting = meeting, .apart = aparts}};
}
static void tear_down(void)
{
    pk_map_done(&explain.name);
    pk_buf_done(&out);
    pk_arena_done(&arena);
    symbols_done(&symbols);
}
TestSuite(identity_explain, .init = set_up, .fini = tear_down);

/* "phone:ab": the value, here hexadecimal digits, makes the hash; it is not shown unless shown() says so. */
static struct explain_name *called(const char *text)
{
    const char *colon = strchr(text, ':');
    struct explain_name made = {.name_space = {text, (size_t)(colon - text)}, .first_at_us = PK_NO_TIME, .known = true};
    memset(made.hash.byte, (int)strtol(colon + 1, NULL, 16), 4);
    made.hash.byte[15] = (uint8_t)text[0];
    struct explain_name *known = pk_map_get(&explain.name, made.hash);
    if (known)
        return known;
    for (int i = 0; i < SPACES; i++)
        if (pk_str_eq(space[i].name, made.name_space))
            made.rules = &space[i];
    name[names] = made;
    pk_map_put(&explain.name, made.hash, &name[names]);
    return &name[names++];
}

static struct identity_person *who(const char *text)
{
    const struct explain_name *known = called(text);
    for (size_t i = 0; i < explain.identity.persons; i++)
        if (pk_hash_eq(person[i]->hash, known->hash))
            return person[i];
    struct identity_person *made = &people[explain.identity.persons];
    *made = (struct identity_person){.hash = known->hash,
                                     .name_space = symbol_of(&symbols, known->name_space),
                                     .rules = known->rules,
                                     .first_at_us = PK_NO_TIME};
    return person[explain.identity.persons++] = made;
}

static void event(int64_t second, const char *text)
{
    struct identity_person *together[16];
    uint32_t count = 0;
    char *copy = pk_strdup(text), *rest = copy, *one;
    while ((one = strsep(&rest, " "))) {
        struct identity_person *made = who(pk_arena_str(&arena, pk_str(one)).ptr);
        if (made->first_at_us == PK_NO_TIME || second * PK_SECOND_US < made->first_at_us)
            made->first_at_us = second * PK_SECOND_US;
        together[count++] = made;
    }
    free(copy);
    struct identity_meeting *made = &meetings[explain.identity.meetings];
    *made = (struct identity_meeting){
        .count = count,
        .first = {second * PK_SECOND_US, 0, symbol_of(&symbols, PK_STR("till")), PK_STR("e\n1")},
        .person = pk_arena_copy(&arena, together, count * sizeof *together)};
    if (count > 1)
        meeting[explain.identity.meetings++] = made;
}

static void decided(enum decision_kind kind, const char *a, const char *b)
{
    decisions[explain.decisions++] = (struct explain_decision){.kind = kind,
                                                               .a = called(a),
                                                               .b = b ? called(b) : NULL,
                                                               .at_us = PK_DAY_US,
                                                               .by = PK_STR("maija"),
                                                               .note = PK_STR("typed\x1b[31m wrong")};
    if (kind == DECIDE_APART)
        aparts[explain.identity.aparts++] = (struct identity_apart){who(a), who(b)};
}

static const char *text_of(const char *asked)
{
    identity_solve(&rules, &symbols, &arena, &explain.identity);
    explain.asked = called(asked);
    for (size_t i = 0; i < explain.identity.persons; i++)
        called(asked)->customer =
            pk_hash_eq(person[i]->hash, called(asked)->hash) ? person[i]->customer : called(asked)->customer;
    pk_buf_reset(&out);
    explain_print(&explain, &arena, &out);
    return out.ptr;
}
static const char *other(const char *asked) /* that no component is told of */
{
    explain.identity.persons = explain.identity.meetings = explain.identity.aparts = 0;
    return text_of(asked);
}

static void holds(const char *text, const char *part)
{
    cr_expect(strstr(text, part), "'%s' is not in:\n%s", part, text);
}
static void lacks(const char *text, const char *part)
{
    cr_expect_not(strstr(text, part), "'%s' is in:\n%s", part, text);
}

/* ---- one customer ---- */

Test(identity_explain, somebody_alone_is_told_in_few_lines)
{
    event(0, "mail:a1");
    cr_assert_str_eq(
        text_of("mail:a1"),
        "mail a1a1a1a1 is the only identifier of its customer.\n"
        "The customer's id is its hash, a1a1a1a1-0000-0000-0000-00000000006d.\n"
        "\n"
        "Its identifiers, the strongest first\n"
        "  priority  first seen            identifier\n"
        "        20  1970-01-01 00:00:00Z  mail a1a1a1a1\n"
        "\n"
        "Words: identifiers of persons that stand in one event are one customer; of several the one with the smallest\n"
        "priority is the strongest. Eight digits are the beginning of an identifier's hash: its value is not stored. "
        "They "
        "can\nbe given in place of NAMESPACE:VALUE. All times are UTC.\n");
}

Test(identity_explain, a_value_is_shown_where_it_is_given_and_nowhere_else)
{
    event(0, "mail:a1 phone:b1");
    called("mail:a1")->value = PK_STR("a@example.com");
    const char *text = text_of("mail:a1");
    holds(text, "mail:a@example.com is one of 2 identifiers");
    holds(text, "1. mail:a@example.com  -  phone b1b1b1b1\n");
    called("phone:b1")->value = PK_STR("35840");
    lacks(text_of("mail:a1"), "Eight digits");
}

Test(identity_explain, only_links_that_join_are_reasons)
{
    event(1, "number:1 mail:a1");
    event(2, "number:1 phone:b1");
    event(3, "mail:a1 phone:b1");
    const char *text = text_of("phone:b1");
    holds(text, "1. number 01010101  -  mail a1a1a1a1\n     1970-01-01 00:00:01Z  (till, event e?1)\n");
    holds(text, "2. number 01010101  -  phone b1b1b1b1\n");
    lacks(text, "3. ");
    holds(text, "  1 further pair says the same again.\n");
}

Test(identity_explain, a_refused_link_names_the_two_people)
{
    event(1, "number:1 mail:a1");
    event(2, "number:2 phone:b1");
    event(3, "mail:a1 phone:b1");
    const char *text = text_of("mail:a1");
    holds(text, "Refused: these stood in one event too");
    holds(text, "mail a1a1a1a1  -  phone b1b1b1b1\n     1970-01-01 00:00:03Z  (till, event e?1)\n"
                "     Why not: number 01010101 and number 02020202 are two values of number, so two people.\n"
                "     phone b1b1b1b1 is of customer 02020202 (number), with 2 identifiers.\n");
}

Test(identity_explain, a_refused_link_names_the_decision)
{
    event(1, "mail:a1 phone:b1");
    decided(DECIDE_APART, "mail:a1", "phone:b1");
    const char *text = text_of("phone:b1");
    holds(text, "phone b1b1b1b1 is the only identifier of its customer.");
    holds(text,
          "Why not: mail a1a1a1a1 and phone b1b1b1b1 are kept apart by a decision of maija, 1970-01-02 00:00:00Z.\n");
    holds(text,
          "Decisions in force (identity restore takes them back)\n"
          "  mail a1a1a1a1 and phone b1b1b1b1 are kept apart, by maija (1970-01-02 00:00:00Z: typed?[31m wrong)\n");
}

Test(identity_explain, decisions_about_others_are_not_told)
{
    event(1, "mail:a1");
    event(1, "mail:a2");
    decided(DECIDE_UNLINK, "mail:a2", NULL);
    lacks(text_of("mail:a1"), "Decisions");
}

Test(identity_explain, a_contradictory_event_is_told)
{
    event(1, "number:1 number:2 mail:a1");
    const char *text = text_of("mail:a1");
    holds(text, "the only identifier of its customer");
    holds(text, "  number 01010101, number 02020202, mail a1a1a1a1\n     1970-01-01 00:00:01Z  (till, event e?1)\n"
                "     Why: number 01010101 and number 02020202 are two values of number.\n");
}

Test(identity_explain, lists_are_cut_and_say_so)
{
    for (int i = 1; i <= 9; i++) {
        char text[40];
        snprintf(text, sizeof text, "number:1 mail:%02x", 0x10 + i);
        event(i, text);
    }
    explain.limit = 3;
    const char *text = text_of("number:1");
    holds(text, "is one of 10 identifiers");
    holds(text, "mail 12121212\n  and 7 more (--limit)\n");
    holds(
        text,
        "3. number 01010101  -  mail 13131313\n     1970-01-01 00:00:03Z  (till, event e?1)\n  and 6 more (--limit)\n");
}

Test(identity_explain, a_list_that_is_cut_is_followed_by_the_shortest_way)
{
    event(1, "mail:a1 phone:b1");
    event(2, "mail:a2 phone:b1");
    event(3, "mail:a2 phone:b2");
    event(4, "mail:a3 phone:b2");
    event(5, "mail:a1 phone:b2");
    explain.limit = 2;
    const char *text = text_of("mail:a3");
    holds(text, "  and 2 more (--limit)\n  1 further pair says the same again.\n\n"
                "The shortest way from mail a3a3a3a3 to the strongest\n"
                "  mail a3a3a3a3  -  phone b2b2b2b2\n     1970-01-01 00:00:04Z  (till, event e?1)\n"
                "  mail a1a1a1a1  -  phone b2b2b2b2\n     1970-01-01 00:00:05Z  (till, event e?1)\n");
    explain.limit = 50;
    lacks(text_of("mail:a3"), "shortest");
}

Test(identity_explain, tables_that_say_otherwise_are_told)
{
    event(1, "mail:a1");
    text_of("mail:a1");
    called("mail:a1")->customer = called("mail:a2")->hash;
    pk_buf_reset(&out);
    explain_print(&explain, &arena, &out);
    holds(out.ptr, "polku.identifier says otherwise (a2a2a2a2-");
}

Test(identity_explain, why_somebody_is_shared)
{
    event(1, "number:1 phone:b1");
    event(2, "number:2 phone:b1");
    const struct explain_shared shared[] = {{called("phone:b1"), PK_STR("number"), 2, 3},
                                            {called("mail:a1"), {0}, 0, 51}};
    explain.shared = shared;
    explain.shared_count = 2;
    const char *text = text_of("number:1");
    holds(text, "  phone b1b1b1b1\n     stood with 2 different values of number (one person's own: at most 1), "
                "with 3 identifiers in all\n");
    holds(text, "  mail a1a1a1a1\n     stood with 51 other identifiers (one person's own: at most 50)\n");
    called("phone:b1")->flags = KEY_IS_SHARED;
    called("phone:b1")->first_at_us = 1;
    text = other("phone:b1");
    holds(text, "phone b1b1b1b1 is shared: it belongs to several people, and joins nobody.\nIt stood with 2 different");
    holds(text, "up to 7d before, else first, up to 7d after.\n");
}

/* ---- the others ---- */

Test(identity_explain, what_nobody_has_seen)
{
    called("mail:a1")->known = false;
    holds(other("mail:a1"), "mail a1a1a1a1 is not known: no event carries it.\n");
    called("mail:a1")->known = true;
    holds(other("mail:a1"), "is not known");
    called("mail:a1")->flags = KEY_BLOCKED;
    decided(DECIDE_BLOCK, "mail:a1", NULL);
    holds(other("mail:a1"), "is blocked by a decision: events are taken as if it did not stand in them.\n");
    holds(out.ptr, "  mail a1a1a1a1 is blocked, by maija (");
}

Test(identity_explain, who_is_unlinked_or_set_aside)
{
    const struct explain_met met[] = {{called("phone:b1"), PK_DAY_US}, {called("phone:b2"), PK_DAY_US}};
    called("phone:b1")->flags = KEY_IS_SHARED;
    called("phone:b2")->customer = called("number:1")->hash;
    explain.met = met;
    explain.met_count = 2;
    explain.met_in_all = 7;
    called("mail:a1")->first_at_us = 0;
    called("mail:a1")->flags = KEY_IS_OVERSIZE;
    holds(other("mail:a1"), "is set aside: more than 1000 identifiers hang together with it (max_component)");
    called("mail:a1")->flags = KEY_ALONE;
    decided(DECIDE_UNLINK, "mail:a1", NULL);
    const char *text = other("mail:a1");
    holds(text, "mail a1a1a1a1 is unlinked by a decision of maija: whatever it stood with, it is a customer alone.\n");
    holds(text, "(7), with the first time\n  1970-01-02 00:00:00Z  phone b1b1b1b1, shared\n"
                "  1970-01-02 00:00:00Z  phone b2b2b2b2, of customer 01010101 (number)\n  and 5 more (--limit)\n");
}

Test(identity_explain, whose_a_device_was_when)
{
    struct explain_name *box = called("kiosk:c1"), *the_case = called("case_id:d1");
    box->kind = KEY_DEVICE;
    box->rules = &kiosk;
    the_case->kind = KEY_CASE;
    const struct explain_stretch stretch[] = {
        {called("mail:a1"), PK_DAY_US, PK_DAY_US + PK_SECOND_US, 1, 2, 0},
        {called("mail:a1"), 0, 0, 0, 1, 0},
        {box, 0, 0, 0, 0, 4},
        {NULL, 0, 0, 0, 0, 1},
    };
    explain.stretch = stretch;
    explain.stretches = explain.stretches_in_all = 4;
    const char *text = other("kiosk:c1");
    holds(text,
          "kiosk c1c1c1c1 is a device in public: people use it one after another, it joins nobody.\n"
          "An event that names no person belongs to the customer who was seen with it last, up to 1h30m before.\n");
    holds(text, "  1970-01-02 00:00:00Z .. 1970-01-02 00:00:01Z  customer a1a1a1a1 (mail): 1 event names it, 2 were "
                "given to it\n");
    holds(text, "  customer a1a1a1a1 (mail): 1 was given to it\n");
    holds(text, "  nobody known: 4 events\n");
    holds(text, "  of no customer: 1 event\n");
    holds(other("case_id:d1"), "case_id d1d1d1d1 is a case: it joins nobody.\n");
    holds(out.ptr, "up to 1d12h1s500ms before, else first, up to 1d12h1s500ms after.\n");
}
