/* SPDX-License-Identifier: Apache-2.0 */
/* Which bad records become rows and which are only counted: together always all of them. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "quarantine_limit.h"

static struct changes changes;
static struct quarantine_limit limit;

static void add(int count, enum reject_reason reason, size_t bytes)
{
    static const uint8_t value[2 << 20];
    for (int i = 0; i < count; i++) {
        int64_t offset = (int64_t)changes.quarantine.len;
        *pk_vec_push(&changes.quarantine) = (struct change_quarantine){
            .topic = 1, .partition = 3, .offset = 100 + offset, .reason = reason, .value = {value, bytes}};
    }
}

static void apply_and_commit(void)
{
    quarantine_limit_apply(&limit, &changes);
    quarantine_limit_committed(&limit);
}

Test(quarantine_limit, counts_what_exceeds_the_rate_with_its_offsets)
{
    quarantine_limit_init(&limit, 1000, INT64_MAX);
    add(1500, REJECT_BAD_FRAME, 10);
    apply_and_commit();
    cr_assert_eq(changes.quarantine.len, 930, "%zu: the common rows and those of one reason", changes.quarantine.len);
    cr_assert_eq(changes.excess.len, 1);
    const struct change_excess *excess = &changes.excess.ptr[0];
    cr_assert_eq(excess->records, 570);
    cr_assert_eq(excess->bytes, 5700);
    cr_assert_eq(excess->first_offset, 100 + 930);
    cr_assert_eq(excess->last_offset, 100 + 1499);
    cr_assert_eq(limit.counted, 570);
    cr_assert_not(limit.by_space);
    changes_done(&changes);
}

Test(quarantine_limit, a_small_rate_is_given_whole)
{
    static const int rate[] = {1, 10, 99};
    for (size_t i = 0; i < PK_COUNT(rate); i++) {
        quarantine_limit_init(&limit, rate[i], INT64_MAX);
        changes_reset(&changes);
        add(200, REJECT_BAD_FRAME, 10);
        apply_and_commit();
        cr_expect_eq(changes.quarantine.len, (size_t)rate[i], "%zu rows of %d a minute", changes.quarantine.len, rate[i]);
    }
    changes_done(&changes);
}

Test(quarantine_limit, a_flood_of_one_reason_leaves_room_for_another)
{
    quarantine_limit_init(&limit, 1000, INT64_MAX);
    add(5000, REJECT_BAD_FRAME, 10);
    add(3, REJECT_UNKNOWN_SCHEMA, 10);
    apply_and_commit();
    cr_assert_eq(changes.quarantine.len, 933);
    cr_assert_eq(changes.excess.len, 1);
    changes_done(&changes);
}

Test(quarantine_limit, a_batch_that_is_tried_again_spends_once)
{
    quarantine_limit_init(&limit, 100, INT64_MAX);
    for (int tries = 0; tries < 5; tries++) {
        changes_reset(&changes);
        add(60, REJECT_INVALID, 10);
        quarantine_limit_apply(&limit, &changes);
        cr_assert_eq(changes.quarantine.len, 60, "try %d", tries);
    }
    quarantine_limit_committed(&limit);
    changes_reset(&changes);
    add(60, REJECT_INVALID, 10);
    apply_and_commit();
    cr_assert_eq(changes.quarantine.len, 93 - 60);
    changes_done(&changes);
}

Test(quarantine_limit, time_brings_rows_again_but_no_more_than_a_minute_of_them)
{
    quarantine_limit_init(&limit, 600, INT64_MAX);
    quarantine_limit_tick(&limit, PK_SECOND_US);
    add(10000, REJECT_INVALID, 10);
    apply_and_commit();
    size_t most = changes.quarantine.len;
    quarantine_limit_tick(&limit, 31 * PK_SECOND_US);
    changes_reset(&changes);
    add(10000, REJECT_INVALID, 10);
    apply_and_commit();
    cr_assert_eq(changes.quarantine.len, most / 2, "%zu of %zu in half a minute", changes.quarantine.len, most);
    quarantine_limit_tick(&limit, PK_DAY_US);
    changes_reset(&changes);
    add(10000, REJECT_INVALID, 10);
    apply_and_commit();
    cr_assert_eq(changes.quarantine.len, most);
    changes_done(&changes);
}

Test(quarantine_limit, space_ends_before_the_rate_does)
{
    quarantine_limit_init(&limit, 1000, 10 * 1100);
    limit.now.bytes = 5 * 1100; /* as read from the database */
    add(8, REJECT_INVALID, 1000);
    apply_and_commit();
    cr_assert_eq(changes.quarantine.len, 5);
    cr_assert_eq(changes.excess.ptr[0].records, 3);
    cr_assert(limit.by_space);
    changes_done(&changes);
}

Test(quarantine_limit, of_a_record_beyond_its_limit_the_place_alone_is_kept)
{
    quarantine_limit_init(&limit, 1000, INT64_MAX);
    add(1, REJECT_TOO_LARGE, (1 << 20) + 1);
    add(1, REJECT_TOO_LARGE, 1 << 20);
    apply_and_commit();
    cr_assert_eq(changes.quarantine.len, 2);
    cr_assert(changes.quarantine.ptr[0].partial);
    cr_assert_null(changes.quarantine.ptr[0].value.ptr);
    cr_assert_eq(changes.quarantine.ptr[0].value_bytes, (1 << 20) + 1);
    cr_assert_not(changes.quarantine.ptr[1].partial);
    cr_assert_not_null(changes.quarantine.ptr[1].value.ptr);
    changes_done(&changes);
}
