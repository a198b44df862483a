/* SPDX-License-Identifier: Apache-2.0 */
/* Expected hashes were computed with Python: hashlib.blake2b(b"\0".join(parts), key=bytes(range(32)),
 * digest_size=16). */
#include "event_avro.h"
#include "match.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct symbols symbols;
static struct pk_arena arena;
static struct rules rules;
static struct matcher matcher;
static struct fact_hasher hasher = {.key_len = 32};
static struct fact_maker maker;

static void set_up_with(const char *path)
{
    struct pk_err err = {0};
    symbols_init(&symbols);
    cr_assert_eq(rules_load(path, NULL, &symbols, &arena, &rules, NULL, &err), PK_OK, "%s", err.text);
    matcher_init(&matcher, &rules, &symbols);
    for (uint8_t i = 0; i < 32; i++)
        hasher.key[i] = i;
    fact_maker_init(&maker, &rules, &hasher, &symbols, &matcher);
}
static void set_up(void)
{
    set_up_with(POLKU_SOURCE_DIR "/deploy/polku.yaml");
}
static void tear_down(void)
{
    fact_maker_done(&maker);
    matcher_done(&matcher);
    symbols_done(&symbols);
    pk_arena_done(&arena);
}
TestSuite(fact, .init = set_up, .fini = tear_down);

/* Other rules from here on. */
static void use_namespaces(const char *namespaces)
{
    char path[] = "/tmp/polku-facts-XXXXXX";
    FILE *file = fdopen(mkstemp(path), "w");
    cr_assert(file);
    fprintf(file, "version: 1\nidentity:\n  phone_country: \"358\"\n  blocked_values: [none]\n  namespaces:\n%s", namespaces);
    fclose(file);
    tear_down();
    set_up_with(path);
    unlink(path);
}

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
    const struct rules_namespace space = {.normalise = normaliser};
    struct pk_str ret;
    if (!fact_normalise(pk_str(value), &space, &rules, &arena, &ret))
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
    cr_expect_eq(fact.traits, TRAIT(CONTACT));
    cr_assert_eq(fact.person_count, 3);
    cr_assert_eq(fact.device_count, 1);
    cr_expect(pk_hash_eq(fact.person[0].hash, fact.identifier[3].hash), "the strongest person");
    cr_expect(pk_hash_eq(fact.person[1].hash, fact.identifier[2].hash));
    cr_expect(pk_hash_eq(fact.person[2].hash, fact.identifier[1].hash));
    cr_expect(pk_hash_eq(fact.device[0].hash, fact.identifier[0].hash));
    cr_expect(pk_str_eq(symbol_text(&symbols, fact.person[0].name_space), PK_STR("garage/customer_id")));
    cr_expect_eq(fact.person[0].rules, fact_namespace(&rules, PK_STR("garage/customer_id")));
    cr_expect(pk_hash_zero(fact.customer), "whose event it is stays open");
    cr_expect_null(fact.person[0].value.ptr, "nothing is kept in the clear unasked");
    cr_expect_null(fact.identifier[3].value.ptr);
}

/* "namespace namespace | namespace": persons, devices, by the position of the identifier. */
static const char *places(const struct fact *fact)
{
    static char text[200];
    char *to = text;
    *to = '\0';
    for (int i = 0; i < fact->person_count + fact->device_count; i++) {
        const struct fact_name *name = i < fact->person_count ? &fact->person[i] : &fact->device[i - fact->person_count];
        int at = 0;
        while (!pk_hash_eq(fact->identifier[at].hash, name->hash))
            at++;
        to += sprintf(to, "%s%d ", i == fact->person_count ? "| " : "", at);
    }
    return text;
}

Test(fact, names_are_distinct_and_stand_by_class_then_priority_then_position)
{
    struct event event = plain_event();
    const struct event_identifier identifier[] = {
        {PK_STR("kiosk"), PK_STR("k")},                  /* 0: a kiosk is a device */
        {PK_STR("vehicle"), PK_STR("ABC-1")},            /* 1 */
        {PK_STR("phone"), PK_STR("040 1")},              /* 2 */
        {PK_STR("b/login"), PK_STR("one")},              /* 3: of equal priority the first stays first */
        {PK_STR("a/login"), PK_STR("one")},              /* 4 */
        {PK_STR("phone"), PK_STR("+358 40 1")},          /* 5: the same as 2 */
        {PK_STR("vehicle"), PK_STR("ABC-2")},            /* 6 */
        {PK_STR("email"), PK_STR("none")},               /* 7: blocked */
        {PK_STR("unheard_of"), PK_STR("x")},             /* 8 */
        {PK_STR("national_id"), PK_STR("131052-308U")},  /* 9 */
        {PK_STR("vehicle"), PK_STR(" ABC-1 ")},          /* 10: the same as 1 */
        {PK_STR("a/login"), PK_STR("two")},              /* 11 */
    };
    event.identifier = identifier;
    event.identifier_count = PK_COUNT(identifier);
    struct fact fact = make(&event);
    cr_assert_eq(fact.identifier_count, PK_COUNT(identifier), "as the event wrote them");
    cr_assert_str_eq(places(&fact), "9 3 4 11 2 | 1 6 0 ");
    cr_assert(pk_hash_eq(fact.identifier[5].hash, fact.identifier[2].hash));

    struct fact loaded = {.identifier = fact.identifier, .identifier_count = fact.identifier_count};
    fact_take_names(&maker, &arena, &loaded);
    cr_assert_str_eq(places(&loaded), "9 3 4 11 2 | 1 6 0 ", "of a loaded fact likewise");
    for (int i = 0; i < fact.person_count; i++) {
        cr_assert_eq(loaded.person[i].name_space, fact.person[i].name_space);
        cr_assert_eq(loaded.person[i].rules, fact.person[i].rules);
    }
}

Test(fact, an_event_may_have_sixteen_names_or_none)
{
    struct event event = plain_event();
    struct fact fact = make(&event);
    cr_assert_eq(fact.person_count + fact.device_count, 0);
    cr_assert(pk_hash_zero(fact.case_key));

    struct event_identifier identifier[FACT_MAX_IDENTIFIERS];
    char value[FACT_MAX_IDENTIFIERS][8];
    for (int i = 0; i < FACT_MAX_IDENTIFIERS; i++) {
        snprintf(value[i], sizeof value[i], "v%d", i);
        identifier[i] = (struct event_identifier){i % 2 ? PK_STR("cookie") : PK_STR("a/login"), pk_str(value[i])};
    }
    event.identifier = identifier;
    event.identifier_count = FACT_MAX_IDENTIFIERS;
    fact = make(&event);
    cr_assert_str_eq(places(&fact), "0 2 4 6 8 10 12 14 | 1 3 5 7 9 11 13 15 ");

    const struct event_identifier device[] = {{PK_STR("cookie"), PK_STR("k")}};
    event.identifier = device;
    event.identifier_count = 1;
    event.case_id = PK_STR("n/a");
    fact = make(&event);
    cr_assert_str_eq(places(&fact), "| 0 ");
    cr_assert(pk_hash_zero(fact.case_key), "blocked");
}

Test(fact, a_namespace_blocks_its_own_values_before_and_after_it_normalises)
{
    use_namespaces("    - {name: phone, class: person, priority: 1, normalise: phone, blocked: [\"112\", \"358401\", Desk]}\n"
                   "    - {name: login, class: person, priority: 2}\n");
    struct event event = plain_event();
    const struct event_identifier identifier[] = {
        {PK_STR("phone"), PK_STR(" 112")}, {PK_STR("phone"), PK_STR("040-1")}, {PK_STR("phone"), PK_STR("dESK")},
        {PK_STR("phone"), PK_STR("1123")}, {PK_STR("login"), PK_STR("112")},   {PK_STR("login"), PK_STR("None")},
    };
    event.identifier = identifier;
    event.identifier_count = PK_COUNT(identifier);
    event.case_id = PK_STR("112");
    for (int again = 0; again < 2; again++) { /* the second time from memory */
        struct fact fact = make(&event);
        cr_assert_str_eq(places(&fact), "3 4 ");
        cr_assert_not(pk_hash_zero(fact.case_key), "the list is of its namespace alone");
    }
}

Test(fact, clear_values_are_normalised_and_only_of_namespaces_that_say_so)
{
    use_namespaces("    - {name: phone, class: person, priority: 1, normalise: phone, store: clear}\n"
                   "    - {name: email, class: person, priority: 2, normalise: email, store: clear}\n"
                   "    - {name: login, class: person, priority: 3}\n"
                   "    - {name: vehicle, class: device, priority: 4, store: clear}\n");
    static const char *const clear[] = {"aino@example.com", NULL, "358401", "ABC-1", NULL,
                                        "3581000000000000000000000000000000000000000000", /* longer than a slot's raw value */
                                        "a.very.long.name.that.no.memory.slot.has.room.for@example.com"};
    const struct event_identifier identifier[] = {
        {PK_STR("email"), PK_STR(" Aino@Example.com")}, {PK_STR("login"), PK_STR("aino")},
        {PK_STR("phone"), PK_STR("040 1")},             {PK_STR("vehicle"), PK_STR("ABC-1 ")},
        {PK_STR("phone"), PK_STR("none")},              {PK_STR("phone"), PK_STR("1000000000000000000000000000000000000000000")},
        {PK_STR("email"), PK_STR("A.Very.Long.Name.That.No.Memory.Slot.Has.Room.For@Example.com")},
    };
    cr_assert_eq(identifier[5].value.len, 43);
    struct event event = plain_event();
    event.identifier = identifier;
    event.identifier_count = PK_COUNT(identifier);
    for (int again = 0; again < 2; again++) { /* the second time from memory */
        struct fact fact = make(&event);
        for (size_t i = 0; i < PK_COUNT(identifier); i++)
            cr_expect(pk_str_eq(fact.identifier[i].value, pk_str(clear[i])), "%d, %zu: '%.*s'", again, i,
                      PK_STR_ARG(fact.identifier[i].value));
        cr_assert_str_eq(places(&fact), "2 5 0 6 1 | 3 ");
        cr_assert(pk_str_eq(fact.person[2].value, PK_STR("aino@example.com")));
        cr_assert(pk_str_eq(fact.device[0].value, PK_STR("ABC-1")));
        cr_assert_null(fact.person[4].value.ptr);
    }
}

Test(fact, a_meeting_is_named_by_its_persons_in_order)
{
    struct event event = plain_event();
    const struct event_identifier identifier[] = {{PK_STR("a/login"), PK_STR("one")}, {PK_STR("a/login"), PK_STR("two")},
                                                  {PK_STR("a/login"), PK_STR("three")}, {PK_STR("cookie"), PK_STR("k")}};
    const struct event_identifier turned[] = {identifier[1], identifier[0]};
    event.identifier = identifier;
    event.identifier_count = 4;
    struct fact three = make(&event);
    event.identifier_count = 2;
    struct fact two = make(&event);
    event.identifier = turned;
    struct fact two_turned = make(&event);
    event.identifier_count = 1;
    struct fact one = make(&event);

    cr_assert(pk_hash_zero(fact_meeting(&one)), "nobody is met");
    cr_assert_not(pk_hash_zero(fact_meeting(&two)));
    cr_assert_not(pk_hash_eq(fact_meeting(&two), fact_meeting(&two_turned)));
    cr_assert_not(pk_hash_eq(fact_meeting(&two), fact_meeting(&three)));
    event.identifier = identifier;
    event.identifier_count = 3;
    three.event_id = PK_STR("e-2");
    struct fact without_device = make(&event);
    cr_assert(pk_hash_eq(fact_meeting(&three), fact_meeting(&without_device)), "of the persons alone");
    cr_assert_str_eq(hex(fact_meeting(&two)), "11c56e989aa63c42ffcdcf2970e18d25", "it is stored: it never changes");
}

static int cmp_hashes(const void *a, const void *b)
{
    return pk_hash_cmp(*(const struct pk_hash *)a, *(const struct pk_hash *)b);
}

Test(fact, meetings_of_few_persons_in_every_order_are_different_in_both_halves)
{
    enum { PERSONS = 12, MEETINGS = PERSONS * PERSONS * (PERSONS + 1) };
    struct fact_name person[PERSONS];
    struct pk_hash *seen = pk_alloc(2 * MEETINGS * sizeof *seen);
    size_t count = 0;
    for (unsigned i = 0; i < PERSONS; i++) /* small numbers: the worst there is to mix */
        person[i] = (struct fact_name){.hash = {{[7] = (uint8_t)(i % 4), [15] = (uint8_t)(i / 4)}}};
    for (unsigned i = 0; i < MEETINGS; i++) {
        struct fact_name met[3] = {person[i % PERSONS], person[i / PERSONS % PERSONS]};
        unsigned third = i / PERSONS / PERSONS;
        if (third < PERSONS)
            met[2] = person[third];
        struct fact fact = {.person = met, .person_count = third < PERSONS ? 3 : 2};
        struct pk_hash id = fact_meeting(&fact);
        seen[count] = seen[count + 1] = (struct pk_hash){0};
        memcpy(seen[count++].byte, id.byte, 8);         /* the first half, marked 0 */
        memcpy(seen[count].byte, id.byte + 8, 8);       /* the second half, marked 1 */
        seen[count++].byte[15] = 1;
    }
    qsort(seen, count, sizeof *seen, cmp_hashes);
    for (size_t i = 1; i < count; i++)
        cr_assert_not(pk_hash_eq(seen[i - 1], seen[i]));
    free(seen);
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
    cr_assert_eq(fact.topic, symbol_of(&symbols, PK_STR("t")));
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
        if (fact_normalise(identifier->value, space, &rules, &arena, &parts[1]))
            expected = fact_hash(&hasher, parts, 2);
        cr_assert(pk_hash_eq(fact.identifier[0].hash, expected), "'%s' under %s", value, identifier->name_space.ptr);
    }
}
