/* SPDX-License-Identifier: Apache-2.0 */
/* Expected hashes were computed with Python: hashlib.blake2b(b"\0".join(parts), key=bytes(range(32)),
 * digest_size=16). */
#include "event_avro.h"
#include "match.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct symbols symbols;
static struct pk_arena arena;
static struct rules rules;
static struct matcher matcher;
static struct fact_hasher hasher = {.key_len = 32};
static struct fact_maker maker;

static void set_up(void)
{
    struct pk_err err = {0};
    symbols_init(&symbols);
    cr_assert_eq(rules_load(POLKU_SOURCE_DIR "/deploy/polku.yaml", NULL, &symbols, &arena, &rules, NULL, &err), PK_OK,
                 "%s", err.text);
    matcher_init(&matcher, &rules, &symbols);
    for (uint8_t i = 0; i < 32; i++)
        hasher.key[i] = i;
    fact_maker_init(&maker, &rules, &hasher, &symbols, &matcher);
}
static void tear_down(void)
{
    fact_maker_done(&maker);
    matcher_done(&matcher);
    symbols_done(&symbols);
    pk_arena_done(&arena);
}
TestSuite(fact, .init = set_up, .fini = tear_down);

static const char *hex(struct pk_hash hash)
{
    static char text[4][33];
    static int turn;
    char *out = text[turn++ % 4];
    for (int i = 0; i < 16; i++)
        snprintf(out + 2 * i, 3, "%02x", hash.byte[i]);
    return out;
}

static struct event plain_event(void)
{
    return (struct event){
        .event_id = PK_STR("e-1"),
        .source = PK_STR("web"),
        .occurred_at_us = INT64_C(1442829600000000),
        .type = PK_STR("contact.inbound"),
        .channel = PK_STR("web"),
        .direction = EVENT_DIRECTION_UNKNOWN,
        .actor = EVENT_ACTOR_UNKNOWN,
        .brand = PK_STR("acme"),
        .obligation = {.due_from_us = PK_NO_TIME, .due_to_us = PK_NO_TIME},
    };
}

static struct fact make(const struct event *event)
{
    struct fact fact;
    fact_from_event(&maker, event, &arena, &fact);
    return fact;
}

static const char *normal(const char *value, enum rules_normaliser normaliser)
{
    struct pk_str ret;
    if (!fact_normalise(pk_str(value), normaliser, &rules, &arena, &ret))
        return "blocked";
    return pk_arena_str(&arena, ret).ptr;
}

Test(fact, phones_become_digits_with_the_country)
{
    static const struct {
        const char *from, *to;
    } vector[] = {
        {"+358 40 123 4567", "358401234567"},
        {"+358 (0)40 123 4567", "358401234567"},
        {"00358401234567", "358401234567"},
        {"040-123 4567", "358401234567"},
        {"401234567", "358401234567"},
        {"(+358) 40 1234567", "358401234567"},
        {"tel:+358401234567", "358401234567"},
        {"0040 721 000 000", "40721000000"},
        {"00 (0) 44 20", "4420"},
        {"0 0 44 20", "4420"},
        {"040+123", "35840123"},
        {"+0040", "0040"},
        {"\t 040 1 \r\n", "358401"},
        {"0a", "358"},
        {"(0)", "blocked"},
        {"extension", "blocked"},
        {"00", "blocked"},
        {"+000 000", "blocked"},
        {"", "blocked"},
        {" ", "blocked"},
        {"Unknown", "blocked"},
        {"123456789", "blocked"},
        {"+123456789", "blocked"},
    };
    for (size_t i = 0; i < PK_COUNT(vector); i++)
        cr_expect_str_eq(normal(vector[i].from, RULES_PHONE), vector[i].to, "'%s'", vector[i].from);
}

Test(fact, other_values_keep_their_form)
{
    cr_expect_str_eq(normal("  Aino@Example.COM\n", RULES_EMAIL), "aino@example.com");
    cr_expect_str_eq(normal("\xc3\x84ino@Example.com", RULES_EMAIL), "\xc3\x84ino@example.com", "ASCII only");
    cr_expect_str_eq(normal("NoReply@example.com", RULES_EMAIL), "blocked");
    cr_expect_str_eq(normal(" C-7 ", RULES_NONE), "C-7");
    cr_expect_str_eq(normal("a b", RULES_NONE), "a b");
    cr_expect_str_eq(normal("00000000-0000-0000-0000-000000000000", RULES_NONE), "blocked");
    cr_expect_str_eq(normal("00:00:00:00", RULES_NONE), "blocked");
    cr_expect_str_eq(normal("0.0 +0", RULES_NONE), "blocked");
    cr_expect_str_eq(normal("-:", RULES_NONE), "-:", "no zero in it");
    cr_expect_str_eq(normal("0001", RULES_NONE), "0001");
    cr_expect_str_eq(normal("[Object object]", RULES_NONE), "blocked");
    cr_expect_str_eq(normal("nonesuch", RULES_NONE), "nonesuch");
}

Test(fact, hashes_are_keyed_blake2b_of_the_parts_with_nul_between)
{
    const struct pk_str opened[] = {PK_STR("web"), PK_STR("e-1"), PK_STR("1442829600000000"), PK_STR("callback")};
    cr_expect_str_eq(hex(fact_hash(&hasher, opened, 4)), "c2543800fab6eab9179e4f4b68139f92");
    char many[2000];
    memset(many, 'x', sizeof many);
    const struct pk_str large[] = {PK_STR("web"), {many, sizeof many}};
    cr_expect_str_eq(hex(fact_hash(&hasher, large, 2)), "36b78f34b59fc55cddeb0259530bef5a");
}

Test(fact, identifiers_are_hashed_under_their_full_namespace)
{
    struct event event = plain_event();
    const struct event_identifier identifier[] = {
        {PK_STR("cookie"), PK_STR("k1")},
        {PK_STR("phone"), PK_STR("040 123 4567")},
        {PK_STR("email"), PK_STR("Aino@Example.com")},
        {PK_STR("garage/customer_id"), PK_STR(" C-7")},
        {PK_STR("unheard_of"), PK_STR("x")},
        {PK_STR("garage/login"), PK_STR("guest")},
    };
    event.identifier = identifier;
    event.identifier_count = PK_COUNT(identifier);
    event.case_id = PK_STR(" acme/L-17 ");
    event.staff = PK_STR("s9");
    struct fact fact = make(&event);
    cr_assert_eq(fact.identifier_count, 6);
    cr_expect_str_eq(hex(fact.event_hash), "71e935ccc8556a66cd00bf5fa5d5bd26");
    cr_expect_str_eq(hex(fact.identifier[1].hash), "a738fca0221392aa335ca69b82a02192");
    cr_expect_str_eq(hex(fact.identifier[2].hash), "378b79a3b048071a027f341c1b0d69a0");
    cr_expect_str_eq(hex(fact.identifier[3].hash), "cd69f0f6ddba72e37895635c10c3d22a");
    cr_expect(pk_hash_zero(fact.identifier[4].hash), "unknown namespace");
    cr_expect(pk_hash_zero(fact.identifier[5].hash), "blocked");
    cr_expect(pk_str_eq(symbol_text(&symbols, fact.identifier[4].name_space), PK_STR("unheard_of")));
    cr_expect_str_eq(hex(fact.case_key), "25b092d36493d45e3e856a70b0ed5a9c");
    cr_expect_str_eq(hex(fact.staff), "c4ac3c02a81266b20713d089af3f10ba");
    cr_expect(pk_hash_eq(fact.customer, fact.identifier[3].hash), "the strongest person");
    cr_expect_eq(fact.customer_kind, KEY_PERSON);
    cr_expect(pk_str_eq(symbol_text(&symbols, fact.customer_namespace), PK_STR("garage/customer_id")));
    cr_expect_eq(fact.traits, TRAIT(CONTACT));
}

Test(fact, the_customer_is_person_then_device_then_case_then_nobody)
{
    struct event event = plain_event();
    const struct event_identifier device[] = {{PK_STR("kiosk"), PK_STR("k")}, {PK_STR("vehicle"), PK_STR("ABC-1")},
                                              {PK_STR("vehicle"), PK_STR("ABC-2")}, {PK_STR("email"), PK_STR("none")}};
    event.identifier = device;
    event.identifier_count = 4;
    event.case_id = PK_STR("acme/1");
    struct fact fact = make(&event);
    cr_assert_eq(fact.customer_kind, KEY_DEVICE);
    cr_assert(pk_hash_eq(fact.customer, fact.identifier[1].hash), "of equal priority the first");

    event.identifier_count = 0;
    fact = make(&event);
    cr_assert_eq(fact.customer_kind, KEY_CASE);
    cr_assert(pk_hash_eq(fact.customer, fact.case_key));
    cr_assert(pk_str_eq(symbol_text(&symbols, fact.customer_namespace), PK_STR("case_id")));

    event.case_id = PK_STR("n/a");
    fact = make(&event);
    cr_assert(pk_hash_zero(fact.case_key));
    cr_assert(pk_hash_zero(fact.customer));
    cr_assert_eq(fact.customer_namespace, 0);
}

Test(fact, relates_to_is_a_ledger_id_or_names_a_source)
{
    struct event event = plain_event();
    event.relates_to = PK_STR("web/e-1");
    cr_expect_str_eq(hex(make(&event).relates), "71e935ccc8556a66cd00bf5fa5d5bd26", "the event's hash");
    event.has_obligation = true;
    event.obligation.id = PK_STR("e-1");
    event.obligation.kind = PK_STR("callback");
    struct fact fact = make(&event);
    cr_expect(pk_hash_eq(fact.relates, fact.promise.id), "the promise's ledger id");
    event.relates_to = PK_STR("71E935CC-c855-6a66-cd00-bf5fa5d5bd26");
    cr_expect_str_eq(hex(make(&event).relates), "71e935ccc8556a66cd00bf5fa5d5bd26");
    event.relates_to = PK_STR("71e935ccc8556a66cd00bf5fa5d5bd26");
    cr_expect_str_eq(hex(make(&event).relates), "71e935ccc8556a66cd00bf5fa5d5bd26");
    event.relates_to = PK_STR("71e935ccc8556a66cd00bf5fa5d5bd2");
    cr_expect(pk_hash_zero(make(&event).relates));
    event.relates_to = PK_STR("web/a/b");
    fact = make(&event);
    cr_expect(pk_hash_eq(fact.relates, fact_hash(&hasher, (struct pk_str[]){PK_STR("web"), PK_STR("a/b")}, 2)));
}

Test(fact, attributes_are_json_with_keys_as_bytes_and_the_last_of_equals)
{
    struct event event = plain_event();
    cr_assert_null(make(&event).attributes.ptr);
    const struct event_attribute attribute[] = {
        {PK_STR("b"), PK_STR("1")}, {PK_STR("B"), PK_STR("say \"\\\"")}, {PK_STR("a"), PK_STR("x\ty\x01")},
        {PK_STR("b"), PK_STR("2")}, {PK_STR("\xc3\xa4"), PK_STR("\xe2\x82\xac")},
    };
    event.attribute = attribute;
    event.attribute_count = PK_COUNT(attribute);
    cr_assert_str_eq(make(&event).attributes.ptr, "{\"B\":\"say \\\"\\\\\\\"\",\"a\":\"x\\u0009y\\u0001\",\"b\":\"2\","
                                                  "\"\xc3\xa4\":\"\xe2\x82\xac\"}");
}

Test(fact, content_of_equal_events_hashes_equally_whatever_the_order_of_attributes)
{
    struct event one = plain_event(), two = plain_event();
    const struct event_attribute ab[] = {{PK_STR("a"), PK_STR("1")}, {PK_STR("b"), PK_STR("2")}};
    const struct event_attribute ba[] = {{PK_STR("b"), PK_STR("2")}, {PK_STR("a"), PK_STR("1")}};
    one.attribute = ab, two.attribute = ba;
    one.attribute_count = two.attribute_count = 2;
    cr_assert_eq(make(&one).content_hash, make(&two).content_hash);
    two.outcome = PK_STR("ok");
    cr_assert_neq(make(&one).content_hash, make(&two).content_hash);

    struct pk_buf canonical PK_AUTO(pk_buf_done) = {0};
    event_encode_canonical(&one, &canonical);
    struct pk_hash hash = fact_hash(&hasher, &(struct pk_str){canonical.ptr, canonical.len}, 1);
    cr_assert_eq(make(&one).content_hash, pk_get_be64(hash.byte));
}

Test(fact, event_order_is_time_sequence_source_id)
{
    struct event event = plain_event();
    struct fact a = make(&event), b = make(&event);
    cr_assert_eq(fact_cmp(&symbols, &a, &b), 0);
    event.event_id = PK_STR("e-10");
    b = make(&event);
    cr_assert_lt(fact_cmp(&symbols, &a, &b), 0);
    event.source = PK_STR("app");
    b = make(&event);
    cr_assert_gt(fact_cmp(&symbols, &a, &b), 0);
    event.sequence = 1;
    b = make(&event);
    cr_assert_lt(fact_cmp(&symbols, &a, &b), 0);
    event.occurred_at_us--;
    b = make(&event);
    cr_assert_gt(fact_cmp(&symbols, &a, &b), 0);
}

Test(fact, every_part_arrives)
{
    struct event event = plain_event();
    event.unit = PK_STR("desk");
    event.has_obligation = event.has_handoff = event.has_rating = event.has_money = true;
    event.obligation = (struct event_obligation){PK_STR("p1"), PK_STR("callback"), 5, 6, PK_STR("b"), PK_STR("u"), {0}};
    event.handoff = (struct event_handoff){{0}, PK_STR("lab"), PK_STR("nurse")};
    event.rating = (struct event_rating){PK_STR("nps"), 3, 0, 10};
    event.money = (struct event_money){-250, PK_STR("EUR"), PK_STR("refund")};
    event.topic = PK_STR("t");
    struct fact fact = make(&event);
    cr_assert(fact.has_promise && fact.has_handoff && fact.has_rating && fact.has_money);
    cr_assert_eq(fact.promise.due_from_us, 5);
    cr_assert_eq(fact.promise.due_to_us, 6);
    cr_assert_eq(fact.promise.unit, symbol_of(&symbols, PK_STR("u")));
    cr_assert_eq(fact.promise.role, 0);
    cr_assert_eq(fact.to_brand, 0);
    cr_assert_eq(fact.to_role, symbol_of(&symbols, PK_STR("nurse")));
    cr_assert_eq(fact.rating.score, 3);
    cr_assert_eq(fact.money.amount_minor, -250);
    cr_assert(pk_str_eq(fact.topic, PK_STR("t")));
    cr_assert_eq(fact.received_at_us, PK_NO_TIME);
}

Test(fact, remembered_values_are_those_of_their_namespace)
{
    static const char *const name[] = {"email", "phone", "garage/login", "bank/login"};
    unsigned seed = 7;
    for (int i = 0; i < 50000; i++) {
        char value[64];
        int len = snprintf(value, sizeof value, "%s%u%.*s", i % 3 ? "User" : "040", rand_r(&seed) % 3000,
                           (int)(rand_r(&seed) % 50 / 49 * 45), "@a.very.long.domain.name.that.fills.the.slot.example");
        const struct event_identifier identifier[] = {{pk_str(name[rand_r(&seed) % 4]), {value, (size_t)len}}};
        struct event event = plain_event();
        event.identifier = identifier;
        event.identifier_count = 1;
        struct fact fact = make(&event);
        const struct rules_namespace *space = fact_namespace(&rules, identifier->name_space);
        struct pk_str parts[2] = {identifier->name_space};
        struct pk_hash expected = {0};
        if (fact_normalise(identifier->value, space->normalise, &rules, &arena, &parts[1]))
            expected = fact_hash(&hasher, parts, 2);
        cr_assert(pk_hash_eq(fact.identifier[0].hash, expected), "'%s' under %s", value, identifier->name_space.ptr);
    }
}
