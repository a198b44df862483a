/* SPDX-License-Identifier: Apache-2.0 */
#include "rules.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct symbols symbols;
static struct pk_arena arena;
static struct rules rules;
static struct rules_warnings warnings;
static struct pk_err err;

static void set_up(void)
{
    symbols_init(&symbols);
}
static void tear_down(void)
{
    symbols_done(&symbols);
    pk_arena_done(&arena);
    pk_vec_done(&warnings.list);
}
TestSuite(rules, .init = set_up, .fini = tear_down);

static void write_file(char path[64], const char *text)
{
    strcpy(path, "/tmp/polku-rules-XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static enum pk_status load(const char *text, const char *vocabulary)
{
    char path[64], words[64];
    write_file(path, text);
    if (vocabulary)
        write_file(words, vocabulary);
    enum pk_status status = rules_load(path, vocabulary ? words : NULL, &symbols, &arena, &rules, &warnings, &err);
    unlink(path);
    if (vocabulary)
        unlink(words);
    return status;
}

/* The error stands on `line` and says `what`. */
static void refuses(const char *text, int line, const char *what)
{
    char place[32];
    snprintf(place, sizeof place, ":%d: ", line);
    cr_assert_eq(load(text, NULL), PK_REJECT, "accepted:\n%s", text);
    cr_assert(strstr(err.text, place), "not on line %d: %s", line, err.text);
    cr_assert(strstr(err.text, what), "does not say '%s': %s", what, err.text);
}

#define HEAD "version: 1\nidentity: {namespaces: [{name: login, class: person, priority: 1}]}\n" /* lines 1..2 */

static const struct rules_kind *kind_of(const char *name)
{
    for (size_t i = 0; i < rules.kind_count; i++)
        if (pk_str_eq(symbol_text(&symbols, rules.kind[i].kind), pk_str(name)))
            return &rules.kind[i];
    cr_assert_fail("no kind %s", name);
    return NULL;
}

Test(rules, reads_the_default_file)
{
    cr_assert_eq(rules_load(POLKU_SOURCE_DIR "/deploy/polku.yaml", NULL, &symbols, &arena, &rules, NULL, &err), PK_OK,
                 "%s", err.text);
    cr_assert_eq(rules.namespace_count, 10);
    cr_assert(rules.name_space[1].any_issuer);
    cr_assert(pk_str_eq(rules.name_space[1].name, PK_STR("customer_id")));
    cr_assert(rules.name_space[1].unique);
    cr_assert_eq(rules.name_space[5].normalise, RULES_PHONE);
    cr_assert_eq(rules.name_space[5].max_people, 1);
    cr_assert_eq(rules.name_space[6].class_, RULES_DEVICE);
    cr_assert_eq(rules.name_space[6].lookback_us, 400 * PK_DAY_US);
    cr_assert_eq(rules.name_space[9].class_, RULES_KIOSK);
    cr_assert_eq(rules.name_space[9].lookahead_us, 0);
    cr_assert_eq(rules.max_component, 1000);
    for (size_t i = 0; i < rules.namespace_count; i++)
        cr_assert_not(rules.name_space[i].store_clear, "nothing stays in the clear unasked");
    cr_assert(pk_str_eq(rules.phone_country, PK_STR("358")));
    cr_assert_eq(rules.gap_us, 7 * PK_DAY_US);
    cr_assert_eq(rules.max_events, 20000);
    cr_assert_geq(rules.trait[TRAIT_HUMAN_REPLY].count, 1);
    cr_assert_neq(rules.trait[TRAIT_HUMAN_REPLY].match[0].direction_mask, 0);
    cr_assert_geq(rules.kind_count, 10);
    cr_assert(rules.any_across);
    cr_assert_eq(kind_of("callback")->label, LABEL_ATTEMPTED_NOT_REACHED);
    cr_assert_eq(kind_of("callback")->within_us, 24 * PK_HOUR_US);
    cr_assert(kind_of("feedback")->consume_all);
    cr_assert_not(pk_hash_zero(rules.file_hash));
}

Test(rules, reads_those_of_the_public_sets)
{
    cr_assert_eq(rules_load(POLKU_SOURCE_DIR "/deploy/mappings/bpi2013/polku.yaml", NULL, &symbols, &arena, &rules, NULL, &err),
                 PK_OK, "%s", err.text);
    cr_assert_eq(rules_load(POLKU_SOURCE_DIR "/deploy/mappings/olist/polku.yaml", NULL, &symbols, &arena, &rules, NULL, &err),
                 PK_OK, "%s", err.text);
    cr_assert_eq(rules.namespace_count, 2);
    cr_assert(rules.name_space[0].unique, "who it is");
    cr_assert_not(rules.name_space[1].unique, "one of each of the person's orders");
    cr_assert_lt(rules.name_space[0].priority, rules.name_space[1].priority);
}

Test(rules, what_is_left_out_has_the_documented_value)
{
    cr_assert_eq(load(HEAD, NULL), PK_OK, "%s", err.text);
    cr_assert_eq(rules.reopen_gap_us, 3 * PK_DAY_US);
    cr_assert_eq(rules.case_gap_us, 90 * PK_DAY_US);
    cr_assert_eq(rules.max_span_us, 365 * PK_DAY_US);
    cr_assert_eq(rules.skew_us, 5 * PK_SECOND_US);
    cr_assert_eq(rules.horizon_us, INT64_C(631152000000000));
    cr_assert_eq(rules.kind_count, 0);
    cr_assert_not(rules.any_across);
    cr_assert_eq(rules.max_component, 1000);
    cr_assert_eq(rules.repeat_window_us, 7 * PK_DAY_US);
    cr_assert_eq(rules.effort.id, symbol_of(&symbols, PK_STR("effort-1")));
    cr_assert_eq(rules.effort.contacts, 0);
    cr_assert_eq(rules.calendar_count, 0);
    cr_assert_eq(rules.definition_count, 0);
}

#define SPACES(list) "version: 1\nidentity:\n  namespaces:\n" list /* the list begins on line 4 */

Test(rules, namespaces_have_the_documented_limits)
{
    cr_assert_eq(load(SPACES("    - {name: a, class: person, priority: 1}\n"
                             "    - {name: b, class: person, priority: 2, unique: true}\n"
                             "    - {name: c, class: device, priority: 3}\n"
                             "    - {name: d, class: kiosk, priority: 4}\n"), NULL), PK_OK, "%s", err.text);
    const struct rules_namespace *space = rules.name_space;
    cr_assert_eq(space[0].max_people, 1);
    cr_assert_eq(space[1].max_people, UINT32_MAX, "of a unique namespace: no limit");
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(space[i].max_links, 50);
        cr_assert_eq(space[i].lookback_us, 7 * PK_DAY_US);
        cr_assert_eq(space[i].lookahead_us, 7 * PK_DAY_US);
    }
    cr_assert_eq(space[2].lookback_us, 30 * PK_DAY_US);
    cr_assert_eq(space[2].lookahead_us, 30 * PK_DAY_US);
    cr_assert_eq(space[3].class_, RULES_KIOSK);
    cr_assert_eq(space[3].lookback_us, PK_HOUR_US / 2);
    cr_assert_eq(space[3].lookahead_us, 0);
    for (int i = 0; i < 4; i++) {
        cr_assert_not(space[i].store_clear);
        cr_assert_eq(space[i].blocked_count, 0);
    }
}

Test(rules, namespaces_have_the_limits_they_name)
{
    cr_assert_eq(load(SPACES("    - {name: a, class: person, priority: 1, max_people: 3, max_links: 9, shared_lookback: 1d12h,\n"
                             "       blocked: [ABC, 112], store: clear}\n"
                             "    - {name: b, class: person, priority: 2, unique: true, max_people: 2, store: hash}\n"
                             "    - {name: c, class: device, priority: 3, lookback: 2h}\n"
                             "    - {name: d, class: device, priority: 4, lookback: 2h, lookahead: 0}\n"
                             "    - {name: e, class: kiosk, priority: 5, lookback: 5m, lookahead: 10s}\n"
                             "    - {name: f, class: kiosk, priority: 6, lookback: 5m}\n"
                             "  max_component: 2\n"), NULL), PK_OK, "%s", err.text);
    const struct rules_namespace *space = rules.name_space;
    cr_assert_eq(space[0].max_people, 3);
    cr_assert_eq(space[0].max_links, 9);
    cr_assert_eq(space[0].lookback_us, 36 * PK_HOUR_US);
    cr_assert_eq(space[0].lookahead_us, 36 * PK_HOUR_US);
    cr_assert(space[0].store_clear);
    cr_assert_eq(space[0].blocked_count, 2);
    cr_assert(pk_str_eq(space[0].blocked[0], PK_STR("abc")));
    cr_assert(pk_str_eq(space[0].blocked[1], PK_STR("112")));
    cr_assert_eq(space[1].max_people, 2);
    cr_assert_not(space[1].store_clear);
    cr_assert_eq(space[2].lookahead_us, 2 * PK_HOUR_US, "as lookback");
    cr_assert_eq(space[3].lookahead_us, 0);
    cr_assert_eq(space[4].lookback_us, 300 * PK_SECOND_US);
    cr_assert_eq(space[4].lookahead_us, 10 * PK_SECOND_US);
    cr_assert_eq(space[5].lookahead_us, 0, "of a kiosk it stays none");
    cr_assert_eq(rules.max_component, 2);
}

static struct pk_hash hashing_of(const char *identity)
{
    char text[1000];
    snprintf(text, sizeof text, "version: 1\nidentity:\n%s", identity);
    cr_assert_eq(load(text, NULL), PK_OK, "%s", err.text);
    cr_assert_not(pk_hash_zero(rules.hashing_hash));
    return rules.hashing_hash;
}

Test(rules, the_hash_of_hashing_changes_only_with_what_identifiers_hash_to)
{
    struct pk_hash before = hashing_of("  phone_country: \"358\"\n  blocked_values: [none, guest]\n  namespaces:\n"
                                       "    - {name: email, class: person, priority: 1, normalise: email, blocked: [a, b]}\n"
                                       "    - {name: \"*/login\", class: person, priority: 2}\n");
    static const char *const same[] = {
        /* order, repetitions, classes, limits */
        "  blocked_values: [GUEST, none, guest]\n  phone_country: \"358\"\n  max_component: 9\n  namespaces:\n"
        "    - {name: \"*/login\", class: device, priority: 1, lookback: 1h}\n"
        "    - {name: email, class: person, priority: 7, unique: true, normalise: email, blocked: [b, a], max_people: 4,\n"
        "       max_links: 3, shared_lookback: 1h, store: clear}\n",
    };
    static const char *const other[] = {
        /* country, blocked values, normaliser, own blocked values, issuer, name, one more, one less */
        "  phone_country: \"46\"\n  blocked_values: [none, guest]\n  namespaces:\n"
        "    - {name: email, class: person, priority: 1, normalise: email, blocked: [a, b]}\n"
        "    - {name: \"*/login\", class: person, priority: 2}\n",
        "  phone_country: \"358\"\n  blocked_values: [none]\n  namespaces:\n"
        "    - {name: email, class: person, priority: 1, normalise: email, blocked: [a, b]}\n"
        "    - {name: \"*/login\", class: person, priority: 2}\n",
        "  phone_country: \"358\"\n  blocked_values: [none, guest]\n  namespaces:\n"
        "    - {name: email, class: person, priority: 1, blocked: [a, b]}\n"
        "    - {name: \"*/login\", class: person, priority: 2}\n",
        "  phone_country: \"358\"\n  blocked_values: [none, guest]\n  namespaces:\n"
        "    - {name: email, class: person, priority: 1, normalise: email, blocked: [\"a 1:b\"]}\n"
        "    - {name: \"*/login\", class: person, priority: 2}\n",
        "  phone_country: \"358\"\n  blocked_values: [none, guest]\n  namespaces:\n"
        "    - {name: email, class: person, priority: 1, normalise: email, blocked: [a, b]}\n"
        "    - {name: login, class: person, priority: 2}\n",
        "  phone_country: \"358\"\n  blocked_values: [none, guest]\n  namespaces:\n"
        "    - {name: mail, class: person, priority: 1, normalise: email, blocked: [a, b]}\n"
        "    - {name: \"*/login\", class: person, priority: 2}\n",
        "  phone_country: \"358\"\n  blocked_values: [none, guest]\n  namespaces:\n"
        "    - {name: email, class: person, priority: 1, normalise: email, blocked: [a, b]}\n"
        "    - {name: \"*/login\", class: person, priority: 2}\n    - {name: login, class: person, priority: 3}\n",
        "  phone_country: \"358\"\n  blocked_values: [none, guest]\n  namespaces:\n"
        "    - {name: email, class: person, priority: 1, normalise: email, blocked: [a, b]}\n",
    };
    for (size_t i = 0; i < PK_COUNT(same); i++)
        cr_expect(pk_hash_eq(before, hashing_of(same[i])), "%s", same[i]);
    for (size_t i = 0; i < PK_COUNT(other); i++)
        cr_expect_not(pk_hash_eq(before, hashing_of(other[i])), "%s", other[i]);
}

Test(rules, the_hash_of_the_file_changes_with_any_byte)
{
    cr_assert_eq(load(HEAD, NULL), PK_OK);
    struct pk_hash before = rules.file_hash;
    cr_assert_eq(load(HEAD "# a comment\n", NULL), PK_OK);
    cr_assert_not(pk_hash_eq(before, rules.file_hash));
}

Test(rules, a_value_and_a_list_of_one_are_the_same)
{
    cr_assert_eq(load(HEAD "facts:\n  contact:\n    - {type: a.b, channel: [web], actor: BOT}\n"
                           "    - {type: [a.*], direction: [INBOUND, UNKNOWN]}\n", NULL), PK_OK, "%s", err.text);
    const struct rules_match *match = rules.trait[TRAIT_CONTACT].match;
    cr_assert_eq(rules.trait[TRAIT_CONTACT].count, 2);
    cr_assert_eq(match[0].type_count, 1);
    cr_assert_not(match[0].type[0].any_ending);
    cr_assert_eq(match[0].channel.count, 1);
    cr_assert_eq(match[0].channel.sym[0], symbol_of(&symbols, PK_STR("web")));
    cr_assert_eq(match[0].actor_mask, 1 << 2);
    cr_assert(match[1].type[0].any_ending);
    cr_assert(pk_str_eq(match[1].type[0].text, PK_STR("a.")));
    cr_assert_eq(match[1].direction_mask, 1 << 0 | 1 << 4);
}

Test(rules, blocked_values_are_compared_in_lower_case)
{
    cr_assert_eq(load("version: 1\nidentity:\n  blocked_values: [N/A, \"null\"]\n"
                      "  namespaces: [{name: login, class: person, priority: 1}]\n", NULL), PK_OK, "%s", err.text);
    cr_assert_eq(rules.blocked_count, 2);
    cr_assert(pk_str_eq(rules.blocked[0], PK_STR("n/a")));
}

Test(rules, one_kind_may_follow_itself_in_time)
{
    cr_assert_eq(load(HEAD "obligations:\n  kinds:\n"
                           "    - {kind: call, opens: [{type: a.b}], valid_to: 2023-12-31}\n"
                           "    - {kind: call, opens: [{type: a.b}], valid_from: 2024-01-01, within: 1h}\n", NULL),
                 PK_OK, "%s", err.text);
    cr_assert_eq(rules.kind[0].valid_from_us, INT64_MIN);
    cr_assert_eq(rules.kind[0].valid_to_us, rules.kind[1].valid_from_us - 1, "a date as valid_to is a whole day");
    cr_assert_eq(rules.kind[0].within_us, PK_NO_TIME);
    cr_assert_eq(rules.kind[1].valid_to_us, INT64_MAX);
}

Test(rules, one_kind_may_have_entries_for_the_same_time) /* the first whose `opens` matches counts */
{
    cr_assert_eq(load(HEAD "obligations:\n  kinds:\n"
                           "    - {kind: delivery, opens: [{type: a.b, channel: web}], within: 2d}\n"
                           "    - {kind: delivery, opens: [{type: a.b}], within: 14d}\n", NULL),
                 PK_OK, "%s", err.text);
    cr_assert_eq(rules.kind_count, 2);
}

Test(rules, every_trait_has_a_list_in_its_section)
{
    struct pk_buf text PK_AUTO(pk_buf_done) = {0};
    pk_buf_text(&text, HEAD);
    static const char *const section[] = {"journeys", "facts"};
    for (size_t i = 0; i < PK_COUNT(section); i++) {
        pk_buf_printf(&text, "%s:\n", section[i]);
#define X(id, in, name, help)                                                                                        \
    if (strcmp(in, section[i]) == 0)                                                                                 \
        pk_buf_printf(&text, "  %s: [{type: %s.%s}]\n", name, in, name);
#include "trait.def"
#undef X
    }
    cr_assert_eq(load(text.ptr, NULL), PK_OK, "%s", err.text);
    cr_assert_eq(TRAIT_COUNT, 30);
    for (size_t i = 0; i < TRAIT_COUNT; i++)
        cr_expect_eq(rules.trait[i].count, 1, "bit %zu", i);
}

Test(rules, facts_have_a_repeat_window_and_weights_of_effort)
{
    cr_assert_eq(load(HEAD "facts:\n  repeat_window: 30d\n  effort: {id: effort-2, contacts: 1, handoffs_returned: 1000, reopened: 0}\n",
                      NULL), PK_OK, "%s", err.text);
    cr_assert_eq(rules.repeat_window_us, 30 * PK_DAY_US);
    cr_assert_eq(rules.effort.id, symbol_of(&symbols, PK_STR("effort-2")));
    cr_assert_eq(rules.effort.contacts, 1);
    cr_assert_eq(rules.effort.handoffs_returned, 1000);
    cr_assert_eq(rules.effort.switches, 0);
}

Test(rules, kinds_run_in_wall_time_unless_they_say_business)
{
    cr_assert_eq(load(HEAD "obligations:\n  kinds:\n"
                           "    - {kind: a, opens: [{type: a.b}], within: 8h}\n"
                           "    - {kind: b, opens: [{type: a.b}], within: 8h, time: wall, handoff: false}\n"
                           "    - {kind: c, opens: [{type: a.b}], within: 8h, time: business, handoff: true}\n", NULL),
                 PK_OK, "%s", err.text);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(rules.kind[i].business, i == 2);
        cr_assert_eq(rules.kind[i].handoff, i == 2);
    }
}

#define WAY HEAD "definitions:\n" /* the list begins on line 4 */

Test(rules, definitions_have_milestones_a_goal_and_a_window)
{
    cr_assert_eq(load(WAY "  - name: delivery\n    version: 3\n    window: 30d\n    goal: delivered\n    milestones:\n"
                          "      - {name: ordered, on: [{type: order.placed}]}\n"
                          "      - {name: delivered, on: [{type: order.delivered}], fails: [{type: delivery.late}], critical: true}\n"
                          "      - {name: paid, on: [{type: payment.*}, {type: a.b, channel: web}], optional: true}\n"
                          "  - {name: delivery, window: 1h, milestones: [{name: ordered, on: [{type: a.b}]}]}\n", NULL),
                 PK_OK, "%s", err.text);
    cr_assert_eq(rules.definition_count, 2);
    const struct rules_definition *first = &rules.definition[0], *second = &rules.definition[1];
    cr_assert(pk_str_eq(symbol_text(&symbols, first->id), PK_STR("delivery/3")));
    cr_assert(pk_str_eq(symbol_text(&symbols, second->id), PK_STR("delivery/1")));
    cr_assert_eq(first->window_us, 30 * PK_DAY_US);
    cr_assert_eq(first->milestone_count, 3);
    cr_assert_eq(first->goal, 1);
    cr_assert_eq(second->goal, 0, "the last");
    cr_assert(pk_str_eq(first->milestone[1].name, PK_STR("delivered")));
    cr_assert_eq(first->milestone[1].fails.count, 1);
    cr_assert_eq(first->milestone[2].on.count, 2);
    cr_assert(first->milestone[1].critical && !first->milestone[1].optional);
    cr_assert(first->milestone[2].optional && !first->milestone[2].critical);
}

/* A definition with `milestones` milestones, or as many definitions with one. */
static enum pk_status load_many(int definitions, int milestones)
{
    struct pk_buf text PK_AUTO(pk_buf_done) = {0};
    pk_buf_text(&text, WAY);
    for (int i = 0; i < definitions; i++) {
        pk_buf_printf(&text, "  - name: d%d\n    window: 1d\n    milestones:\n", i);
        for (int k = 0; k < milestones; k++)
            pk_buf_printf(&text, "      - {name: m%d, on: [{type: a.b}]}\n", k);
    }
    return load(text.ptr, NULL);
}

Test(rules, definitions_and_milestones_have_a_limit)
{
    cr_assert_eq(load_many(RULES_MAX_DEFINITIONS, 1), PK_OK, "%s", err.text);
    cr_assert_eq(load_many(RULES_MAX_DEFINITIONS + 1, 1), PK_REJECT);
    cr_assert(strstr(err.text, ":68: 17 definitions, at most 16"), "%s", err.text);
    cr_assert_eq(load_many(1, RULES_MAX_MILESTONES), PK_OK, "%s", err.text);
    cr_assert_eq(load_many(1, RULES_MAX_MILESTONES + 1), PK_REJECT);
    cr_assert(strstr(err.text, ":31: 25 milestones, at most 24"), "%s", err.text);
}

#define ONE "  - name: d\n    window: 1d\n    milestones:\n" /* milestones begin on line 7 */

Test(rules, errors_of_definitions_name_their_line)
{
    static const struct {
        const char *text;
        int line;
        const char *what;
    } wrong[] = {
        {"  {name: d}\n", 4, "must be a list"},
        {"  - {window: 1d, milestones: []}\n", 4, "add 'name:'"},
        {"  - {name: d, milestones: []}\n", 4, "add 'window:'"},
        {"  - {name: d, window: 1d}\n", 4, "add 'milestones:'"},
        {"  - {name: d, window: 1d, milestones: []}\n", 4, "without milestones"},
        {"  - {name: D e, window: 1d, milestones: []}\n", 4, "not a name"},
        {"  - {name: d, window: 1d, version: 0, milestones: []}\n", 4, "between 1 and"},
        {"  - name: d\n    window: soon\n    milestones: []\n", 5, "soon"},
        {"  - name: d\n    windo: 1d\n", 5, "did you mean 'window'"},
        {ONE "      - {name: m}\n", 7, "add 'name:' and 'on:'"},
        {ONE "      - {on: [{type: a.b}]}\n", 7, "add 'name:' and 'on:'"},
        {ONE "      - name: m\n        on: []\n", 8, "empty 'on'"},
        {ONE "      - name: m\n        on: {type: a.b}\n", 8, "must be a list"},
        {ONE "      - name: m\n        on: [{}]\n", 8, "every event"},
        {ONE "      - {name: m, on: [{type: a.b}], optional: perhaps}\n", 7, "true or false"},
        {ONE "      - {name: m, on: [{type: a.b}], fail: []}\n", 7, "did you mean 'fails'"},
        {ONE "      - {name: m, on: [{type: a.b}]}\n      - {name: m, on: [{type: a.c}]}\n", 8, "twice (first on line 7)"},
        {ONE "      - {name: shipped, on: [{type: a.b}]}\n    goal: shiped\n", 8, "did you mean 'shipped'"},
        {ONE "      - {name: m, on: [{type: a.b}]}\n    goal: delivered\n", 8, "name one of them"},
        {ONE "      - {name: m, on: [{type: a.b}]}\n  - {name: d, window: 2d, version: 1, milestones: [{name: m, on: [{type: a.b}]}]}\n",
         8, "definition 'd/1' is given twice (first on line 4)"},
    };
    for (size_t i = 0; i < PK_COUNT(wrong); i++) {
        char text[1000];
        snprintf(text, sizeof text, WAY "%s", wrong[i].text);
        refuses(text, wrong[i].line, wrong[i].what);
    }
}

Test(rules, types_of_milestones_are_looked_up_too)
{
    cr_assert_eq(load(WAY ONE "      - {name: m, on: [{type: contact.inbound}], fails: [{type: ghost.seen}]}\n",
                      "types:\n  contact.inbound: the customer turns to the organisation\n"), PK_OK, "%s", err.text);
    cr_assert_eq(warnings.list.len, 1);
    cr_assert_eq(warnings.list.ptr[0].line, 7);
}

Test(rules, every_error_names_its_line)
{
    refuses("", 1, "empty");
    refuses("identity: {}\n", 1, "version");
    refuses("version: 2\n", 1, "reads version 1");
    refuses("version: 1\n", 1, "no identity");
    refuses("version: 1\nidentity:\n  namespaces: []\n", 3, "no event has a customer");
    refuses(HEAD "journies: {}\n", 3, "did you mean 'journeys'");
    refuses(HEAD "horizon: 1970-01-01\n", 3, "1990-01-01");
    refuses(HEAD "journeys:\n  gap: soon\n", 4, "soon");
    refuses(HEAD "journeys:\n  gap: [7d]\n", 4, "list");
    refuses(HEAD "journeys:\n  max_events: 0\n", 4, "between");
    refuses(HEAD "journeys:\n  contact: []\n", 4, "unknown key 'contact'");
    refuses(HEAD "facts:\n  passive: []\n", 4, "unknown key 'passive'");
    refuses(HEAD "facts:\n  contact: {type: a.b}\n", 4, "must be a list");
    refuses(HEAD "facts:\n  contact:\n    - {}\n", 5, "every event");
    refuses(HEAD "facts:\n  contact:\n    - {type: []}\n", 5, "empty list");
    refuses(HEAD "facts:\n  contact:\n    - {type: \"*\"}\n", 5, "not a type");
    refuses(HEAD "facts:\n  contact:\n    - {typ: a.b}\n", 5, "did you mean 'type'");
    refuses(HEAD "facts:\n  contact:\n    - {channel: Web Site}\n", 5, "not a name");
    refuses(HEAD "facts:\n  contact:\n    - {actor: ROBOT}\n", 5, "CUSTOMER, HUMAN, BOT");
    refuses(HEAD "facts:\n  contact:\n    - type: a.b\n      direction: inbound\n", 6, "INBOUND");
    refuses(HEAD "obligations:\n  kinds:\n    - {opens: [{type: a.b}]}\n", 5, "add 'kind:'");
    refuses(HEAD "obligations:\n  kinds:\n    - {kind: call}\n", 5, "nothing opens");
    refuses(HEAD "obligations:\n  kinds:\n    - {kind: call, opens: [{type: a.b}], consume: some}\n", 5, "one, all");
    refuses(HEAD "obligations:\n  kinds:\n    - {kind: call, opens: [{type: a.b}], label: late}\n", 5, "unknown label");
    refuses(HEAD "obligations:\n  kinds:\n    - {kind: call, opens: [{type: a.b}], valid_from: 2024-02-02, valid_to: 2024-02-01}\n",
            5, "before valid_from");
    refuses(HEAD "obligations:\n  kinds:\n    - kind: call\n      opens: [{type: a.b}]\n      time: business\n", 7, "add 'within:'");
    refuses(HEAD "obligations:\n  kinds:\n    - {kind: call, opens: [{type: a.b}], within: 1d, time: office}\n", 5, "wall, business");
    refuses(HEAD "obligations:\n  kinds:\n    - {kind: call, opens: [{type: a.b}], handoff: 2}\n", 5, "true or false");
    refuses(HEAD "facts:\n  repeat_window: 31d\n", 4, "longer than 30d");
    refuses(HEAD "facts:\n  effort: 3\n", 4, "mapping");
    refuses(HEAD "facts:\n  effort:\n    contacts: 1001\n", 5, "between 0 and 1000");
    refuses(HEAD "facts:\n  effort:\n    contact: 1\n", 5, "did you mean 'contacts'");
    refuses(HEAD "facts:\n  effort:\n    id: Effort One\n", 5, "not a name");
    refuses(HEAD "types: [Bad Type]\n", 3, "not a type");
}

Test(rules, namespaces_are_checked)
{
    refuses(SPACES("    - {name: a, class: person}\n"), 4, "add 'priority:'");
    refuses(SPACES("    - {name: a, class: human, priority: 1}\n"), 4, "unknown class 'human'; use one of: person, device, kiosk");
    refuses(SPACES("    - {name: a, class: person, priority: 1}\n    - {name: b, class: device, priority: 1}\n"), 5,
            "priority 1 is taken by the namespace on line 4");
    refuses(SPACES("    - {name: a, class: person, priority: 1}\n    - {name: a, class: device, priority: 2}\n"), 5, "twice");
    refuses(SPACES("    - {name: case_id, class: device, priority: 1}\n"), 4, "reserved");
    refuses(SPACES("    - {name: staff, class: device, priority: 1}\n"), 4, "reserved");
    refuses(SPACES("    - {name: A b, class: device, priority: 1}\n"), 4, "not a namespace");
    refuses(SPACES("    - {name: a, class: device, priority: 1, unique: true}\n"), 4, "class person");
    refuses(SPACES("    - {name: phone, class: person, priority: 1, normalise: phone}\n"), 4, "phone_country");
    refuses(SPACES("    - {name: a, class: person, priority: 1, normalise: upper}\n"), 4, "none, email, phone");
    refuses(SPACES("    - {name: a, class: kiosk, priority: 1, unique: true}\n"), 4, "class person");
    refuses(SPACES("    - name: a\n      class: person\n      priority: 1\n      lookback: 1d\n"), 7, "a person has shared_lookback");
    refuses(SPACES("    - name: a\n      class: person\n      priority: 1\n      lookahead: 1d\n"), 7, "a person has shared_lookback");
    refuses(SPACES("    - name: a\n      class: device\n      priority: 1\n      max_people: 1\n"), 7, "max_people is not for this class");
    refuses(SPACES("    - name: a\n      class: kiosk\n      priority: 1\n      max_links: 1\n"), 7, "max_links is not for this class");
    refuses(SPACES("    - name: a\n      class: device\n      priority: 1\n      shared_lookback: 1d\n"), 7, "lookback and lookahead");
    refuses(SPACES("    - name: a\n      class: person\n      priority: 1\n      max_people: 0\n"), 7, "between 1 and");
    refuses(SPACES("    - name: a\n      class: person\n      priority: 1\n      max_links: -1\n"), 7, "between 1 and");
    refuses(SPACES("    - name: a\n      class: person\n      priority: 1\n      max_people: many\n"), 7, "whole number");
    refuses(SPACES("    - name: a\n      class: device\n      priority: 1\n      lookback: -1d\n"), 7, "-1d");
    refuses(SPACES("    - name: a\n      class: device\n      priority: 1\n      lookback: 30\n"), 7, "without a unit");
    refuses(SPACES("    - name: a\n      class: device\n      priority: 1\n      lookahead: 40000d\n"), 7, "longer than 36525d");
    refuses(SPACES("    - name: a\n      class: person\n      priority: 1\n      store: plain\n"), 7, "unknown value of store 'plain'; use one of: hash, clear");
    refuses(SPACES("    - name: a\n      class: person\n      priority: 1\n      blocked: none\n"), 7, "must be a list");
    refuses(SPACES("    - name: a\n      class: person\n      priority: 1\n      blocked:\n        - ok\n        - [x]\n"), 9, "must be text");
    refuses(SPACES("    - name: a\n      class: person\n      priority: 1\n      blocked: [\"\"]\n"), 7, "always blocked");
    refuses(SPACES("    - name: a\n      class: person\n      priority: 1\n      max_peopel: 1\n"), 7, "did you mean 'max_people'");
    refuses("version: 1\nidentity:\n  max_component: 1\n", 3, "between 2 and");
    refuses("version: 1\nidentity:\n  phone_country: +358\n", 3, "without '+'");
    refuses("version: 1\nidentity:\n  blocked_values: [null]\n", 3, "no value");
}

Test(rules, unknown_types_are_warnings_with_their_line)
{
    const char *text = HEAD "types: [parcel.lost]\n"
                            "facts:\n  contact:\n    - type: [contact.inbound, contact.inbond, parcel.lost, contact.*]\n"
                            "    - type: ghost.*\n";
    cr_assert_eq(load(text, "types:\n  contact.inbound: the customer turns to the organisation\n"), PK_OK, "%s", err.text);
    cr_assert_eq(warnings.list.len, 2);
    cr_assert_eq(warnings.list.ptr[0].line, 6);
    cr_assert(strstr(warnings.list.ptr[0].text.ptr, "did you mean 'contact.inbound'"), "%s", warnings.list.ptr[0].text.ptr);
    cr_assert_eq(warnings.list.ptr[1].line, 7);
    cr_assert(strstr(warnings.list.ptr[1].text.ptr, "ghost.*"));
}

Test(rules, a_missing_file_is_named)
{
    cr_assert_eq(rules_load("/nonexistent/polku.yaml", NULL, &symbols, &arena, &rules, NULL, &err), PK_REJECT);
    cr_assert(strstr(err.text, "/nonexistent/polku.yaml"));
}
