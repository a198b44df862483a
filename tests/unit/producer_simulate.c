/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "event_json.h"
#include "framer.h"
#include "lookup.h"
#include "simulate_truth.h"

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

/* Every option of before `live` and its like, and what really happened: what --truth writes. */
Test(simulate, the_bytes_of_all_the_first_options_are_known)
{
    struct simulation_config config = base;
    config.duplicate_rate = 0.1;
    config.late_rate = 0.2;
    config.lateness_us = 6 * PK_HOUR_US;
    config.anonymous = 0.3;
    struct simulation *simulation;
    struct simulated s;
    struct pk_buf text = {0};
    simulation_open(&config, &simulation);
    while (simulation_next(simulation, &s)) {
        event_to_json(s.event, &text);
        simulate_truth(&s, &text);
    }
    simulation_close(simulation);
    struct pk_hash hash = lookup_hash((struct pk_str){text.ptr, text.len});
    cr_assert_eq(pk_get_be64(hash.byte), UINT64_C(0x02c1792fc9a531f2), "it is 0x%016lx", (unsigned long)pk_get_be64(hash.byte));
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

/* ---- pace ---- */

Test(pace, nothing_adds_up_over_hours)
{
    struct pace pace = {.micro_rate = 3000000};
    cr_assert_eq(pace_due_us(&pace, 0), 0);
    cr_assert_eq(pace_due_us(&pace, 1), 333333);
    cr_assert_eq(pace_due_us(&pace, UINT64_C(3) * 3600 * 1000), 1000 * PK_HOUR_US);
    pace.micro_rate = 7;
    cr_assert_eq(pace_due_us(&pace, 7), INT64_C(1000000000000));
}

Test(pace, bursts_are_as_strong_long_and_frequent_as_asked)
{
    struct pace pace = {.micro_rate = 100 * 1000000, .burst_milli = 5000, .every_us = 10 * PK_SECOND_US, .for_us = 2 * PK_SECOND_US};
    size_t in_second[30] = {0};
    int64_t before = -1;
    for (uint64_t i = 0; i < 3 * 1800; i++) {
        int64_t due = pace_due_us(&pace, i);
        cr_assert_gt(due, before);
        before = due;
        in_second[due / PK_SECOND_US]++;
    }
    for (size_t i = 0; i < 30; i++)
        cr_assert_eq(in_second[i], i % 10 < 8 ? 100 : 500, "second %zu: %zu", i, in_second[i]);
    cr_assert_eq(pace_due_us(&pace, UINT64_C(1800) * 360 * 24), 24 * PK_HOUR_US);
}

/* ---- live ---- */

#define DEMO POLKU_SOURCE_DIR "/deploy/demo"
#define NOW INT64_C(1795000000000000)
static const struct simulation_config live = {
    .seed = 7, .people = 2000, .start_us = START, .needs = 0.2, .late_rate = 0.1, .lateness_us = 30 * PK_SECOND_US, .duplicate_rate = 0.05,
    .live = true, .live_from_us = NOW, .live_for_us = 300 * PK_SECOND_US, .pace = {.micro_rate = 100 * 1000000}};

Test(live, events_happen_now_at_the_rate_copies_included)
{
    struct simulation *simulation;
    struct simulated s;
    size_t count = 0, late = 0, copies = 0, in_second[300] = {0};
    int64_t before = NOW;
    simulation_open(&live, &simulation);
    for (; simulation_next(simulation, &s); count++) {
        struct pk_err err;
        enum reject_reason reason;
        cr_assert_eq(event_validate(s.event, &(struct event_limits){0}, s.published_at_us, &reason, &err), PK_OK, "%s", err.text);
        cr_assert_geq(s.published_at_us, before);
        before = s.published_at_us;
        int64_t delay = s.published_at_us - s.event->occurred_at_us;
        cr_assert(delay >= 0 && delay <= 90 * PK_SECOND_US);
        cr_assert(s.late || s.duplicate || delay == 0);
        late += s.late && !s.duplicate;
        copies += s.duplicate;
        in_second[(s.published_at_us - NOW) / PK_SECOND_US]++;
    }
    simulation_close(simulation);
    cr_assert_float_eq((double)count, 30000, 300, "%zu", count);
    cr_assert_float_eq((double)late / (double)count, 0.1 / 1.05, 0.01);
    cr_assert_float_eq((double)copies / (double)count, 0.05 / 1.05, 0.005);
    for (size_t i = 60; i < 300; i++)
        cr_assert(in_second[i] > 70 && in_second[i] < 130, "second %zu: %zu", i, in_second[i]);
}

Test(live, without_a_rate_a_day_is_a_day)
{
    struct simulation_config config = live;
    config.pace.micro_rate = 0;
    config.people = 20000;
    struct simulation *simulation;
    simulation_open(&config, &simulation);
    cr_assert_float_eq(simulation_speed(simulation), 1, 0.001);
    simulation_close(simulation);
    config.pace.micro_rate = 100 * 1000000;
    simulation_open(&config, &simulation);
    double faster = simulation_speed(simulation);
    simulation_close(simulation);
    cr_assert(faster > 300 && faster < 700, "%f", faster);
}

/* ---- ground truth ---- */

struct known { /* by reference of an event */
    struct pk_buf bytes;
    char reference[80];
    bool promise, kept, kept_here;
};

static void reference_of(const struct event *e, char *buf, size_t size)
{
    snprintf(buf, size, "%.*s/%.*s", PK_STR_ARG(e->source), PK_STR_ARG(e->event_id));
}

static struct known *find(struct known *known, size_t count, const char *reference)
{
    for (size_t i = count; i-- > 0;)
        if (strcmp(known[i].reference, reference) == 0)
            return &known[i];
    return NULL;
}

/* A second copy has the bytes of the first; who keeps a promise keeps one that is told to be kept, and once only. */
Test(live, copies_are_copies_and_promises_are_kept_as_told)
{
    struct simulation_config config = live;
    config.live_for_us = 60 * PK_SECOND_US;
    struct simulation *simulation;
    struct simulated s;
    static struct known known[8000];
    size_t count = 0, copies = 0, kept = 0, keepers = 0;
    simulation_open(&config, &simulation);
    while (simulation_next(simulation, &s)) {
        struct pk_buf bytes = {0};
        char reference[80];
        event_to_json(s.event, &bytes);
        reference_of(s.event, reference, sizeof reference);
        struct known *first = find(known, count, reference);
        cr_assert_eq(first != NULL, s.duplicate, "%s", reference);
        if (first) {
            copies++;
            cr_assert(first->bytes.len == bytes.len && memcmp(first->bytes.ptr, bytes.ptr, bytes.len) == 0);
            pk_buf_done(&bytes);
            continue;
        }
        cr_assert_lt(count, PK_COUNT(known));
        struct known *now = &known[count++];
        *now = (struct known){.bytes = bytes, .promise = s.promise, .kept = s.kept};
        memcpy(now->reference, reference, sizeof reference);
        kept += s.kept;
        snprintf(reference, sizeof reference, "%.*s", PK_STR_ARG(s.keeps));
        struct known *opener = s.keeps.ptr ? find(known, count, reference) : NULL;
        if (opener) { /* the opener may be late */
            cr_assert(opener->promise && opener->kept && !opener->kept_here, "%s", reference);
            opener->kept_here = true;
            keepers++;
        }
    }
    simulation_close(simulation);
    cr_assert_gt(copies, 100);
    cr_assert(keepers > kept / 2 && keepers <= kept, "%zu of %zu", keepers, kept);
    for (size_t i = 0; i < count; i++)
        pk_buf_done(&known[i].bytes);
}

Test(truth, every_event_has_a_line_that_names_it)
{
    struct simulation *simulation;
    struct simulated s;
    struct pk_buf line = {0};
    simulation_open(&live, &simulation);
    for (int i = 0; i < 2000 && simulation_next(simulation, &s); i++) {
        char reference[80], wanted[120];
        reference_of(s.event, reference, sizeof reference);
        snprintf(wanted, sizeof wanted, "{\"event\": \"%s\", ", reference);
        pk_buf_reset(&line);
        simulate_truth(&s, &line);
        pk_buf_add(&line, "", 1);
        cr_assert_eq(strncmp(line.ptr, wanted, strlen(wanted)), 0, "%s", line.ptr);
        cr_assert_eq(strstr(line.ptr, "\"promise\"") != NULL, s.promise != NULL);
        cr_assert_eq(strstr(line.ptr, "\"kept\": true") != NULL, s.promise && s.kept);
        cr_assert_eq(strstr(line.ptr, "\"copied\"") != NULL, s.duplicate);
    }
    simulation_close(simulation);
    pk_buf_done(&line);
}

/* ---- stories ---- */

static struct stories demo_stories(void)
{
    struct stories stories;
    struct pk_err err = {0};
    cr_assert_eq(stories_open(DEMO "/s0.jsonl," DEMO "/s1.jsonl," DEMO "/s2.jsonl," DEMO "/s3.jsonl," DEMO "/s4.jsonl", &stories, &err),
                 PK_OK, "%s", err.text);
    return stories;
}

Test(stories, whoever_shares_an_identifier_is_one_person)
{
    struct stories stories = demo_stories();
    static const uint32_t events[] = {66, 33, 32, 26, 44};
    for (uint32_t i = 0; i < stories.count; i++) {
        const struct story *story = &stories.story[i];
        cr_assert_eq(story->count, events[i]);
        for (uint32_t k = 0; k < story->count; k++) {
            const struct story_event *e = &story->event[k];
            cr_assert(e->member < (int)story->people && (e->member >= 0 || e->event.identifier_count == 0));
            cr_assert(e->after_us >= 0 && e->after_us <= STORY_LONGEST_US);
        }
    }
    cr_assert_eq(stories.story[0].people, 8); /* seven numbers and an address; the car is driven by one of them */
    cr_assert_str_eq(stories.story[3].name, "s3");
    stories_close(&stories);
}

Test(stories, a_share_of_journeys_are_tellings_each_with_people_of_its_own)
{
    struct stories stories = demo_stories();
    struct simulation_config config = base;
    config.stories = &stories;
    config.story_share = 0.1;
    config.people = 4000;
    struct simulation *simulation;
    struct simulated s;
    static uint32_t told[20000]; /* events by need */
    static bool is_story[20000];
    struct event_limits limits = {.max_ahead_us = 0};
    simulation_open(&config, &simulation);
    while (simulation_next(simulation, &s)) {
        struct pk_err err;
        enum reject_reason reason;
        char end[24];
        int len = snprintf(end, sizeof end, "-n%lu", (unsigned long)s.need);
        cr_assert_eq(event_validate(s.event, &limits, s.published_at_us, &reason, &err), PK_OK, "%s", err.text);
        cr_assert_lt(s.need, PK_COUNT(told));
        told[s.need]++;
        is_story[s.need] = s.of_story;
        struct pk_str id = s.event->event_id;
        cr_assert(!s.of_story || memcmp(id.ptr + id.len - (size_t)len, end, (size_t)len) == 0);
        for (uint32_t i = 0; s.of_story && i < s.event->identifier_count; i++) {
            struct pk_str value = s.event->identifier[i].value;
            cr_assert(memmem(value.ptr, value.len, end, (size_t)len) || memcmp(value.ptr, "+999 ", 5) == 0, "%.*s", PK_STR_ARG(value));
        }
    }
    simulation_close(simulation);
    size_t needs = 0, tellings = 0;
    for (size_t i = 0; i < PK_COUNT(told); i++) {
        needs += told[i] > 0;
        tellings += told[i] && is_story[i];
        cr_assert(!is_story[i] || told[i] == 66 || told[i] == 33 || told[i] == 32 || told[i] == 26 || told[i] == 44, "%u", told[i]);
    }
    cr_assert_float_eq((double)tellings / (double)needs, 0.1, 0.015, "%zu of %zu", tellings, needs);
    stories_close(&stories);
}

Test(stories, a_wrong_file_is_named_with_its_line)
{
    struct stories stories;
    struct pk_err err = {0};
    cr_assert_eq(stories_open(DEMO "/show.sql", &stories, &err), PK_REJECT);
    cr_assert(strstr(err.text, "show.sql:1: "), "%s", err.text);
    stories_close(&stories);
    cr_assert_eq(stories_open(DEMO "/none.jsonl", &stories, &err), PK_REJECT);
    cr_assert(strstr(err.text, "none.jsonl: No such file"), "%s", err.text);
    stories_close(&stories);
}
