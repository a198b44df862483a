/* SPDX-License-Identifier: Apache-2.0 */
/* polku.yaml: refused with FILE:LINE, or rules that make facts of events. */
#include "fact.h"
#include "fuzz.h"
#include "match.h"

static const struct event_identifier identifier[] = {
    {PK_STR("email"), PK_STR(" Asiakas@Example.fi ")}, {PK_STR("phone"), PK_STR("040 123 4567")},
    {PK_STR("shop/customer_id"), PK_STR("C-1")},       {PK_STR("cookie"), PK_STR("abc")},
    {PK_STR("kiosk"), PK_STR("K1")},
};

static void make_fact(const struct rules *rules, struct symbols *symbols, struct pk_arena *arena)
{
    struct fact_hasher hasher = {.key_len = 16};
    struct matcher matcher;
    struct fact_maker maker;
    matcher_init(&matcher, rules, symbols);
    fact_maker_init(&maker, rules, &hasher, symbols, &matcher);
    struct event event = {
        .event_id = PK_STR("e"), .source = PK_STR("shop"), .occurred_at_us = INT64_C(1442854500000000),
        .type = PK_STR("contact.inbound"), .channel = PK_STR("phone"), .brand = PK_STR("B"), .unit = PK_STR("u"),
        .case_id = PK_STR("shop/1"), .staff = PK_STR("s"), .identifier = identifier,
        .identifier_count = PK_COUNT(identifier), .obligation = {.due_from_us = PK_NO_TIME, .due_to_us = PK_NO_TIME},
    };
    struct fact fact = {0};
    fact_from_event(&maker, &event, arena, &fact);
    (void)match_opens(&matcher, &fact), (void)match_acting(&matcher, &fact);
    (void)match_generic(&matcher, &fact), (void)match_courses(&matcher, &fact);
    fact_maker_done(&maker);
    matcher_done(&matcher);
}

/* Business time of every calendar, around the end of its days and over a year. */
static void use_calendars(const struct rules *rules)
{
    for (size_t i = 0; i < rules->calendar_count; i++) {
        const struct calendar *calendar = &rules->calendar[i];
        int64_t from = INT64_C(1442854500000000), spent = calendar_between(calendar, from, from + 30 * PK_DAY_US);
        FUZZ_MUST(spent >= 0 && spent <= 30 * PK_DAY_US, "30 days have %lld us of business time", (long long)spent);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct symbols symbols;
    struct pk_arena arena PK_AUTO(pk_arena_done) = {0};
    struct rules rules;
    struct rules_warnings warnings = {0};
    struct pk_err err = {0};
    symbols_init(&symbols);
    if (rules_load(fuzz_file(0, (struct pk_str){(const char *)data, size}), POLKU_SOURCE_DIR "/schemas/vocabulary.yaml",
                   &symbols, &arena, &rules, &warnings, &err) == PK_OK) {
        make_fact(&rules, &symbols, &arena);
        use_calendars(&rules);
    } else {
        fuzz_sentence(&err);
    }
    pk_vec_done(&warnings.list);
    symbols_done(&symbols);
    return 0;
}
