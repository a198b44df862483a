/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "event_json.h"
#include "framer.h"
#include "lookup.h"
#include "simulate.h"

#define START INT64_C(1736121600000000) /* 2025-01-06 */

static const struct simulation_config base = {.seed = 7, .people = 500, .start_us = START, .days = 5, .needs = 0.5,
                                              .late_rate = 0.05};

/* Everything that a run tells, as text. */
static struct pk_buf run(const struct simulation_config *config, size_t most)
{
    struct simulation *simulation;
    struct simulated s;
    struct pk_buf text = {0};
    simulation_open(config, &simulation);
    for (size_t i = 0; i < most && simulation_next(simulation, &s); i++) {
        event_to_json(s.event, &text);
        pk_buf_printf(&text, " %ld %lu %s\n", (long)s.published_at_us, (unsigned long)s.person, s.script);
    }
    simulation_close(simulation);
    return text;
}

Test(simulate, the_same_seed_gives_the_same_bytes_and_another_seed_others)
{
    struct pk_buf first = run(&base, 4000), again = run(&base, 4000);
    cr_assert_gt(first.len, 100000);
    cr_assert_eq(first.len, again.len);
    cr_assert_eq(memcmp(first.ptr, again.ptr, first.len), 0);
    struct simulation_config other = base;
    other.seed = 8;
    struct pk_buf different = run(&other, 4000);
    cr_assert(different.len != first.len || memcmp(first.ptr, different.ptr, first.len) != 0);
    pk_buf_done(&first);
    pk_buf_done(&again);
    pk_buf_done(&different);
}

/* The bytes of seed 7 on every machine. A change of the scripts changes them: put the new value here. */
Test(simulate, the_bytes_of_a_seed_are_known)
{
    struct pk_buf text = run(&base, 1000);
    struct pk_hash hash = lookup_hash((struct pk_str){text.ptr, text.len});
    cr_assert_eq(pk_get_be64(hash.byte), UINT64_C(0x0ec8d425a462045a), "it is 0x%016lx", (unsigned long)pk_get_be64(hash.byte));
    pk_buf_done(&text);
}

Test(simulate, every_event_is_valid_ordered_and_carries_its_person)
{
    struct simulation *simulation;
    struct simulated s;
    struct event_limits limits = {.max_ahead_us = 0};
    size_t count = 0, promises = 0, kept = 0, channels = 0;
    bool seen[256] = {0};
    int64_t before = INT64_MIN;
    simulation_open(&base, &simulation);
    for (; simulation_next(simulation, &s); count++) {
        struct pk_err err;
        enum reject_reason reason;
        cr_assert_eq(event_validate(s.event, &limits, s.published_at_us, &reason, &err), PK_OK, "%s", err.text);
        cr_assert_geq(s.published_at_us, before);
        before = s.published_at_us;
        cr_assert(pk_str_eq(s.event->identifier[0].name_space, PK_STR("alliance/customer_id")));
        char person[24];
        snprintf(person, sizeof person, "C%lu", (unsigned long)s.person);
        cr_assert(pk_str_eq(s.event->identifier[0].value, pk_str(person)));
        promises += s.promise != NULL;
        kept += s.promise && s.kept_at_us != PK_NO_TIME;
        uint8_t channel = (uint8_t)(s.event->channel.ptr[0] * 31 + s.event->channel.len);
        channels += !seen[channel];
        seen[channel] = true;
    }
    simulation_close(simulation);
    cr_assert_gt(count, 2000);
    cr_assert(kept > promises / 2 && kept < promises, "%zu of %zu promises kept", kept, promises);
    cr_assert_geq(channels, 10);
}

Test(simulate, copies_late_events_and_strangers_come_as_often_as_asked)
{
    struct simulation_config config = base;
    config.duplicate_rate = 0.1;
    config.late_rate = 0.2;
    config.lateness_us = 2 * PK_HOUR_US;
    config.anonymous = 0.5;
    struct simulation *simulation;
    struct simulated s;
    size_t count = 0, copies = 0, late = 0, backwards = 0, cookies = 0, nameless = 0;
    int64_t latest = 0;
    simulation_open(&config, &simulation);
    for (; simulation_next(simulation, &s); count++) {
        copies += s.duplicate;
        late += s.published_at_us > s.event->occurred_at_us;
        cr_assert_leq(s.published_at_us - s.event->occurred_at_us, 4 * PK_HOUR_US);
        backwards += s.event->occurred_at_us < latest;
        latest = PK_MAX(latest, s.event->occurred_at_us);
        bool cookie = pk_str_eq(s.event->channel, PK_STR("web")) || pk_str_eq(s.event->channel, PK_STR("app"));
        cookies += cookie;
        nameless += cookie && s.event->identifier_count == 1;
    }
    simulation_close(simulation);
    cr_assert_float_eq((double)copies / (double)count, 0.1, 0.02);
    cr_assert_float_eq((double)late / (double)count, 0.2 + 0.1 * 0.8, 0.04);
    cr_assert_gt(backwards, count / 20);
    cr_assert_float_eq((double)nameless / (double)cookies, 0.5, 0.05);
}

Test(simulate, both_encoders_write_the_same_bytes)
{
    struct pk_arena arena = {0};
    struct pk_err err;
    struct framer framer;
    struct simulation *simulation;
    struct simulated s;
    struct event_limits limits = {.max_ahead_us = 0};
    enum reject_reason reason;
    cr_assert_eq(framer_open(&framer, WIRE_SINGLE_OBJECT, 0, EVENT_KEY_DEFAULT, &arena, &err), PK_OK);
    simulation_open(&base, &simulation);
    for (int i = 0; i < 2000 && simulation_next(simulation, &s); i++) {
        struct pk_buf avro = {0}, own = {0}, key = {0};
        framer.canonical = false;
        cr_assert_eq(framer_encode(&framer, s.event, &limits, PK_NO_TIME, &avro, &key, &reason, &err), PK_OK);
        framer.canonical = true;
        cr_assert_eq(framer_encode(&framer, s.event, &limits, PK_NO_TIME, &own, &key, &reason, &err), PK_OK);
        cr_assert_eq(avro.len, own.len);
        cr_assert_eq(memcmp(avro.ptr, own.ptr, own.len), 0, "event %d", i);
        pk_buf_done(&avro);
        pk_buf_done(&own);
        pk_buf_done(&key);
    }
    simulation_close(simulation);
    framer_close(&framer);
    pk_arena_done(&arena);
}
