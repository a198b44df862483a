/* SPDX-License-Identifier: Apache-2.0 */
#include "match.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>
#include <stdlib.h>

static struct symbols symbols;
static struct pk_arena arena;
static struct rules rules;
static struct matcher matcher;

static void load(const char *text)
{
    char path[] = "/tmp/polku-match-XXXXXX";
    struct pk_err err = {0};
    int fd = mkstemp(path);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    enum pk_status status = rules_load(path, NULL, &symbols, &arena, &rules, NULL, &err);
    unlink(path);
    cr_assert_eq(status, PK_OK, "%s", err.text);
    matcher_init(&matcher, &rules, &symbols);
}

#define HEAD "version: 1\nidentity: {namespaces: [{name: login, class: person, priority: 1}]}\n"

static void set_up(void)
{
    symbols_init(&symbols);
    load(HEAD
         "journeys:\n"
         "  passive: [{type: newsletter.sent}]\n"
         "facts:\n"
         "  contact: [{type: [contact.*, visit.started]}]\n"
         "  refusal: [{type: request.refused}, {outcome: [refused, deflected]}]\n"
         "  human_reply: [{direction: OUTBOUND, actor: HUMAN}]\n"
         "obligations:\n"
         "  kinds:\n"
         "    - {kind: callback, opens: [{type: callback.booked}], attempts: [{type: callback.attempted}],\n"
         "       fulfils: [{type: callback.reached}, {type: callback.attempted, outcome: ok}],\n"
         "       rejects: [{type: callback.reached, reason: wrong}], withdraws: [{type: callback.withdrawn}],\n"
         "       valid_to: 2023-12-31}\n"
         "    - {kind: callback, opens: [{type: callback.booked}], valid_from: 2024-01-01}\n"
         "    - {kind: note, opens: [{type: [callback.booked, note.asked]}]}\n"
         "definitions:\n"
         "  - name: delivery\n"
         "    window: 30d\n"
         "    milestones:\n"
         "      - {name: ordered, on: [{type: order.placed}], fails: [{type: order.*, outcome: refused}]}\n"
         "      - {name: shipped, on: [{type: [order.shipped, order.placed], channel: web}], fails: [{type: delivery.late}]}\n"
         "      - {name: delivered, on: [{type: order.delivered}], fails: [{type: delivery.late}, {type: order.lost}]}\n"
         "  - {name: paid, window: 1d, milestones: [{name: paid, on: [{type: order.delivered}]}]}\n");
}
static void tear_down(void)
{
    matcher_done(&matcher);
    symbols_done(&symbols);
    pk_arena_done(&arena);
}
TestSuite(match, .init = set_up, .fini = tear_down);

static sym_t sym(const char *text)
{
    return symbol_of(&symbols, pk_str(text));
}

static struct fact fact_of(const char *type)
{
    return (struct fact){.type = sym(type),
                         .at_us = INT64_C(1700000000000000), /* 2023-11-14 */
                         .direction = EVENT_DIRECTION_UNKNOWN,
                         .actor = EVENT_ACTOR_UNKNOWN};
}

Test(match, a_type_holds_exactly_or_by_its_beginning)
{
    struct fact fact = fact_of("contact.inbound");
    cr_assert_eq(match_traits(&matcher, &fact), TRAIT(CONTACT));
    fact = fact_of("contact.");
    cr_assert_eq(match_traits(&matcher, &fact), TRAIT(CONTACT));
    fact = fact_of("contact");
    cr_assert_eq(match_traits(&matcher, &fact), 0);
    fact = fact_of("visit.started.again");
    cr_assert_eq(match_traits(&matcher, &fact), 0);
    fact = fact_of("newsletter.sent");
    cr_assert_eq(match_traits(&matcher, &fact), TRAIT(PASSIVE));
}

Test(match, all_named_fields_must_hold_and_absent_text_equals_nothing)
{
    struct fact fact = fact_of("answer.given");
    cr_assert_eq(match_traits(&matcher, &fact), 0);
    fact.outcome = sym("deflected");
    cr_assert_eq(match_traits(&matcher, &fact), TRAIT(REFUSAL));
    fact.outcome = sym("ok");
    fact.direction = EVENT_OUTBOUND;
    cr_assert_eq(match_traits(&matcher, &fact), 0);
    fact.actor = EVENT_HUMAN;
    cr_assert_eq(match_traits(&matcher, &fact), TRAIT(HUMAN_REPLY));
}

Test(match, a_kind_opens_by_its_first_valid_entry)
{
    struct fact fact = fact_of("callback.booked");
    cr_assert_eq(match_opens(&matcher, &fact), 1 << 0 | 1 << 2);
    fact.at_us = INT64_C(1704067199999999); /* the last microsecond of 2023 */
    cr_assert_eq(match_opens(&matcher, &fact), 1 << 0 | 1 << 2);
    fact.at_us++;
    cr_assert_eq(match_opens(&matcher, &fact), 1 << 1 | 1 << 2);
    fact.has_promise = true;
    fact.promise.kind = sym("callback");
    cr_assert_eq(match_opens(&matcher, &fact), 1 << 2, "an explicit record replaces the rule of its kind");
}

Test(match, attempts_come_beside_at_most_one_closing)
{
    const struct rules_kind *callback = &rules.kind[0];
    struct fact fact = fact_of("callback.attempted");
    cr_assert_eq(match_acts(&matcher, &fact, callback), ACT_ATTEMPT);
    fact.outcome = sym("ok");
    cr_assert_eq(match_acts(&matcher, &fact, callback), ACT_ATTEMPT | ACT_FULFIL);
    fact = fact_of("callback.reached");
    fact.reason = sym("wrong");
    cr_assert_eq(match_acts(&matcher, &fact, callback), ACT_FULFIL, "fulfils is tested before rejects");
    cr_assert_eq(match_acting(&matcher, &fact), 1 << 0);
    cr_assert_eq(match_acts(&matcher, &fact, NULL), 0);
    fact = fact_of("unheard.of");
    cr_assert_eq(match_acting(&matcher, &fact), 0);
}

Test(match, promise_types_act_on_anything_but_only_by_relates_to)
{
    struct fact fact = fact_of("promise.kept");
    cr_assert_eq(match_generic(&matcher, &fact), 0);
    cr_assert_eq(match_acting(&matcher, &fact), 0);
    fact.relates.byte[0] = 1;
    cr_assert_eq(match_generic(&matcher, &fact), ACT_FULFIL);
    cr_assert_eq(match_acting(&matcher, &fact), 7);
    cr_assert_eq(match_acts(&matcher, &fact, NULL), ACT_FULFIL);
    cr_assert_eq(match_acts(&matcher, &fact, &rules.kind[2]), ACT_FULFIL);
    fact.type = sym("promise.attempted");
    cr_assert_eq(match_acts(&matcher, &fact, NULL), ACT_ATTEMPT);
    fact.type = sym("promise.rejected");
    cr_assert_eq(match_acts(&matcher, &fact, NULL), ACT_REJECT);
    fact.type = sym("promise.withdrawn");
    cr_assert_eq(match_acts(&matcher, &fact, NULL), ACT_WITHDRAW);
}

Test(match, an_event_reaches_the_first_milestone_and_fails_all)
{
    uint32_t fails = 99;
    struct fact fact = fact_of("order.placed");
    fact.channel = sym("web");
    cr_assert_eq(match_reaches(&matcher, &fact, 0, &fails), 1, "the second would hold too");
    cr_assert_eq(fails, 0);
    fact.outcome = sym("refused");
    cr_assert_eq(match_reaches(&matcher, &fact, 0, &fails), 1);
    cr_assert_eq(fails, 1 << 0, "one event may reach and fail a milestone");
    fact = fact_of("order.shipped");
    fails = 99;
    cr_assert_eq(match_reaches(&matcher, &fact, 0, &fails), 0, "on another channel");
    cr_assert_eq(fails, 0);
    fact = fact_of("delivery.late");
    cr_assert_eq(match_reaches(&matcher, &fact, 0, &fails), 0);
    cr_assert_eq(fails, 1 << 1 | 1 << 2);
    fact = fact_of("order.delivered");
    cr_assert_eq(match_reaches(&matcher, &fact, 0, &fails), 3);
    cr_assert_eq(match_reaches(&matcher, &fact, 1, &fails), 1, "each definition by itself");
}

Test(match, definitions_care_for_few_types)
{
    static const char *const yes[] = {"order.placed", "order.anything", "delivery.late"};
    static const char *const no[] = {"contact.inbound", "order", "newsletter.sent"};
    for (size_t i = 0; i < PK_COUNT(yes); i++) {
        struct fact fact = fact_of(yes[i]);
        cr_expect(match_courses(&matcher, &fact), "%s", yes[i]);
    }
    for (size_t i = 0; i < PK_COUNT(no); i++) {
        struct fact fact = fact_of(no[i]);
        uint32_t fails = 99;
        cr_expect_not(match_courses(&matcher, &fact), "%s", no[i]);
        cr_expect_eq(match_reaches(&matcher, &fact, 0, &fails), 0);
        cr_expect_eq(fails, 0);
    }
}
