/* SPDX-License-Identifier: Apache-2.0 */
/* intake_member.h - a member of a consumer group for the tests of intake, with its positions as a database
 * would keep them. A record's value is its offset as text, so every delivery is checked against what
 * was written. */
#ifndef POLKU_INTAKE_MEMBER_H
#define POLKU_INTAKE_MEMBER_H

#include "intake.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_PARTITIONS = 6 };

struct member {
    const char *name;           /* of the static member; NULL = none */
    struct intake *intake;
    const char *topic;
    int64_t *stored;            /* by partition; -1 = unknown */
    bool gaps;                  /* offsets without a record are expected, values are not offsets */
    int64_t next[MAX_PARTITIONS]; /* that must come next */
    bool ours[MAX_PARTITIONS];
    int assigned, revoked, lost;
    int refuse;                 /* so many claims fail with PK_RETRY first */
    uint64_t records;
    char last_note[200];
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static enum pk_status on_assigned(void *context, struct intake_partition *partition, size_t count, struct pk_err *err)
{
    struct member *member = context;
    if (member->refuse-- > 0)
        return pk_fail(err, PK_RETRY, "the database is away");
    member->assigned++;
    for (size_t i = 0; i < count; i++) {
        int64_t stored = member->stored[partition[i].partition];
        if (stored >= 0)
            partition[i].offset = stored;
        member->next[partition[i].partition] = partition[i].offset;
        member->ours[partition[i].partition] = true;
    }
    return PK_OK;
}

static void on_revoked(void *context, const struct intake_partition *partition, size_t count, bool lost)
{
    struct member *member = context;
    member->revoked++;
    member->lost += lost;
    for (size_t i = 0; i < count; i++)
        member->ours[partition[i].partition] = false;
}

static void on_note(void *context, enum log_level level, const char *sentence, const char *detail)
{
    struct member *member = context;
    if (level >= LOG_WARN)
        snprintf(member->last_note, sizeof member->last_note, "%.60s: %.100s", sentence, detail);
}

static void join_with(struct member *member, const struct intake_config *with)
{
    struct intake_handler handler = {member, on_assigned, on_revoked, on_note};
    struct pk_err err = {0};
    cr_assert_eq(intake_open(with, &handler, &member->intake, &err), PK_OK, "%s", err.text);
}

static void leave(struct member *member)
{
    cr_assert(intake_close(member->intake, 10 * PK_SECOND_US));
    member->intake = NULL;
}

/* Polls once; a record must be the one that is next. */
static bool step(struct member *member)
{
    struct intake_record record;
    struct pk_err err = {0};
    enum pk_status status = intake_poll(member->intake, 50000, &record, &err);
    cr_assert_eq(status, PK_OK, "%s: %s", pk_status_name(status), err.text);
    if (!record.message)
        return false;
    int32_t p = record.partition;
    char value[24];
    snprintf(value, sizeof value, "%.*s", (int)record.value.len, (const char *)record.value.ptr);
    cr_assert_str_eq(record.topic, member->topic);
    cr_assert(record.offset == member->next[p] || (member->gaps && record.offset > member->next[p]),
              "partition %d: %" PRId64 " came, %" PRId64 " was next", p, record.offset, member->next[p]);
    cr_assert(member->gaps || atoll(value) == record.offset, "partition %d: '%s' at %" PRId64, p, value, record.offset);
    member->next[p] = record.offset + 1;
    cr_assert_eq(intake_position(member->intake, member->topic, p), record.offset + 1);
    member->records++;
    intake_record_done(&record);
    return true;
}

#define WAIT_FOR(member, condition)                                                                                  \
    for (int64_t until = now_ms() + 40000; !(condition);) {                                                          \
        cr_assert_lt(now_ms(), until, "waited in vain for " #condition "; last note: %s", (member)->last_note);     \
        step(member);                                                                                                \
    }
#define WAIT_FOR_BOTH(a, b, condition)                                                                               \
    for (int64_t until = now_ms() + 40000; !(condition);) {                                                          \
        cr_assert_lt(now_ms(), until, "waited in vain for " #condition "; last notes: %s; %s", (a)->last_note,      \
                     (b)->last_note);                                                                                \
        step(a);                                                                                                     \
        step(b);                                                                                                     \
    }

/* Rewinds, pauses and claims anew at random moments, then reads to the end. */
static inline void disturb(struct member *member, int partitions, int rounds, unsigned seed)
{
    struct pk_err err = {0};
    cr_log_info("seed %u", seed);
    for (int round = 0; round < rounds; round++) {
        for (int steps = rand_r(&seed) % 700; steps > 0 && !intake_at_end(member->intake); steps--)
            step(member);
        int32_t p = rand_r(&seed) % (unsigned)partitions;
        struct intake_partition to = {member->topic, p, member->next[p] - (int64_t)(rand_r(&seed) % 900)};
        switch (rand_r(&seed) % 4) {
        case 0:
        case 1:
            if (to.offset < 0)
                break;
            member->next[p] = to.offset;
            cr_assert_eq(intake_rewind(member->intake, &to, 1, &err), PK_OK, "%s", err.text);
            break;
        case 2:
            cr_assert_eq(intake_pause(member->intake, &err), PK_OK);
            for (int i = rand_r(&seed) % 3; i > 0; i--)
                cr_assert_not(step(member), "a record came while paused");
            cr_assert_eq(intake_resume(member->intake, &err), PK_OK);
            break;
        case 3:
            for (int i = 0; i < partitions; i++)
                member->stored[i] = member->next[i];
            cr_assert_eq(intake_reclaim(member->intake, 0, &err), PK_OK);
        }
    }
    WAIT_FOR(member, intake_at_end(member->intake));
    struct intake_counters counters = intake_counters(member->intake);
    cr_log_info("records %" PRIu64 ", dropped %" PRIu64 ", assignments %" PRIu64, counters.records, counters.dropped,
                counters.assignments);
}

#endif
