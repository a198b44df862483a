/* SPDX-License-Identifier: Apache-2.0 */
/* What forgettings make of one record: docs/semantics.md 3.7. */
#include "forget.h"

#include <criterion/criterion.h>

enum { AINO = 1, EERO, TABLET, CASE };

static struct pk_hash hash(int number)
{
    return (struct pk_hash){{(uint8_t)number}};
}

static struct pk_arena arena;
static struct fact_identifier identifier[3];
static struct fact_name person[2], device[1];

/* At time 100, of Aino and Eero, at the tablet, about the case. */
static struct fact record(void)
{
    for (int i = 0; i < 3; i++)
        identifier[i].hash = hash(AINO + i);
    person[0].hash = hash(AINO);
    person[1].hash = hash(EERO);
    device[0].hash = hash(TABLET);
    return (struct fact){
        .at_us = 100,
        .event_hash = hash(9),
        .content_hash = 7,
        .case_key = hash(CASE),
        .relates = hash(8),
        .staff = hash(8),
        .identifier = identifier,
        .identifier_count = 3,
        .person = person,
        .person_count = 2,
        .device = device,
        .device_count = 1,
        .has_promise = true,
        .has_handoff = true,
        .to_unit = 3,
        .topic = 4,
        .product = PK_STR("p"),
        .location = PK_STR("l"),
        .attributes = PK_STR("{}"),
        .record_key = {(const uint8_t *)"k", 1},
        .record_value = {(const uint8_t *)"v", 1},
    };
}

static struct fact without_persons(void)
{
    struct fact fact = record();
    fact.identifier = identifier + 2;
    fact.identifier_count = 1;
    fact.person_count = 0;
    return fact;
}

static struct forgotten of(int name, int64_t until_us, int64_t forgetting, bool anonymise)
{
    return (struct forgotten){.name = hash(name), .until_us = until_us, .forgetting = forgetting, .anonymise = anonymise};
}

static enum forget_outcome apply(struct fact *fact, struct forgotten row)
{
    return forget_apply(fact, &row, 1, &arena);
}

static void tear_down(void)
{
    pk_arena_done(&arena);
}
TestSuite(forget_record, .fini = tear_down);

Test(forget_record, the_first_person_forgets_it_up_to_and_with_the_time)
{
    struct fact fact = record();
    cr_assert_eq(apply(&fact, of(AINO, 99, 1, false)), FORGET_NOTHING);
    cr_assert_eq(apply(&fact, of(AINO, 100, 1, false)), FORGET_DELETED);
    cr_assert(fact.forgotten);
}

Test(forget_record, another_person_a_device_and_the_case_are_struck_where_there_is_a_person)
{
    struct fact fact = record();
    struct forgotten row[] = {of(EERO, 100, 1, false), of(TABLET, 100, 2, true), of(CASE, 100, 3, false)};
    cr_assert_eq(forget_apply(&fact, row, PK_COUNT(row), &arena), FORGET_STRIPPED);
    cr_assert(!fact.forgotten && forget_left_whole(&fact));
    cr_assert_eq(fact.identifier_count, 1);
    cr_assert(pk_hash_eq(fact.identifier[0].hash, hash(AINO)));
    cr_assert(fact.person_count == 1 && fact.device_count == 0 && pk_hash_zero(fact.case_key));
    cr_assert(fact.has_promise && fact.product.ptr && fact.content_hash == 7, "the rest stays");
    cr_assert_eq(forget_apply(&fact, row, PK_COUNT(row), &arena), FORGET_NOTHING, "once is enough");
}

Test(forget_record, a_device_or_the_case_forgets_it_where_there_is_none)
{
    struct fact fact = without_persons();
    cr_assert_eq(apply(&fact, of(TABLET, 100, 1, false)), FORGET_DELETED);
    fact = without_persons();
    cr_assert_eq(apply(&fact, of(CASE, 100, 1, false)), FORGET_DELETED);
    fact = without_persons();
    cr_assert_eq(apply(&fact, of(EERO, 100, 1, false)), FORGET_NOTHING);
}

Test(forget_record, anonymised_it_names_nobody_and_is_counted_as_it_was)
{
    struct fact fact = record();
    cr_assert_eq(apply(&fact, of(AINO, 100, 1, true)), FORGET_ANONYMISED);
    cr_assert(!fact.forgotten && !forget_left_whole(&fact));
    cr_assert(fact.identifier_count == 0 && fact.person_count == 0 && fact.device_count == 0);
    cr_assert(pk_hash_zero(fact.case_key) && pk_hash_zero(fact.relates) && pk_hash_zero(fact.staff));
    cr_assert(!fact.has_promise && !fact.has_handoff && fact.to_unit == 0);
    cr_assert(!fact.product.ptr && !fact.location.ptr && !fact.attributes.ptr);
    cr_assert(fact.topic == 4 && fact.content_hash == 7, "a redelivery is still one");
}

Test(forget_record, a_record_that_is_not_what_it_was_is_let_go)
{
    struct fact fact = record();
    cr_assert_eq(apply(&fact, of(AINO, 99, 1, false)), FORGET_NOTHING);
    cr_assert(fact.record_key.ptr && fact.record_value.ptr);
    cr_assert_eq(apply(&fact, of(EERO, 100, 1, false)), FORGET_STRIPPED);
    cr_assert(!fact.record_key.ptr && !fact.record_value.ptr, "it names Eero");
    fact = record();
    cr_assert_eq(apply(&fact, of(AINO, 100, 1, true)), FORGET_ANONYMISED);
    cr_assert(!fact.record_key.ptr && !fact.record_value.ptr);
}

Test(forget_record, the_first_forgetting_decides)
{
    struct fact fact = record();
    struct forgotten row[] = {of(AINO, 100, 2, false), of(AINO, 100, 1, true)};
    cr_assert_eq(forget_apply(&fact, row, PK_COUNT(row), &arena), FORGET_ANONYMISED);
    cr_assert(!fact.forgotten);
}

Test(forget_record, a_single_event_is_of_one_time)
{
    struct fact fact = record();
    struct forgotten row = of(TABLET, 101, 1, false);
    row.single = true;
    cr_assert_eq(apply(&fact, row), FORGET_NOTHING, "one event_id at two times is two events");
    row.until_us = 100;
    cr_assert_eq(apply(&fact, row), FORGET_DELETED);
}
