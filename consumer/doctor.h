/* SPDX-License-Identifier: Apache-2.0 */
/* doctor.h - verdicts over what was found out about Kafka, PostgreSQL and our own files, and what to do about each.
 *
 * Pure: facts in, findings out; who asks is cmd_doctor.c. OK: as it should be. WARN: it works, and one day it will not, or something is
 * lost then. FAIL: `run` stops or waits, or what it commits may be lost. A fact that is not known is no OK: it is told as WARN, or by
 * the check that failed to get it. No text holds a secret. */
#ifndef POLKU_DOCTOR_H
#define POLKU_DOCTOR_H

#include "intake_look.h"
#include "store_look.h"

enum doctor_check {
#define X(name, id, help) DOCTOR_##name,
#include "doctor.def"
#undef X
    DOCTOR_CHECK_COUNT
};
enum doctor_verdict { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL };

struct doctor_finding {
    enum doctor_check check;
    enum doctor_verdict verdict;
    char about[260];         /* a topic, a file; "" = there is one of it only */
    char text[600], todo[400]; /* todo: "" where there is nothing to do */
};
struct doctor_report {
    PK_VEC(struct doctor_finding) finding;
};

const char *doctor_check_id(enum doctor_check check);
const char *doctor_verdict_name(enum doctor_verdict verdict); /* "OK", "WARN", "FAIL" */

void doctor_find(struct doctor_report *report, enum doctor_check check, enum doctor_verdict verdict, const char *about, const char *todo,
                 const char *text, ...) __attribute__((format(printf, 6, 7)));
size_t doctor_count(const struct doctor_report *report, enum doctor_verdict verdict);

struct doctor_wants { /* what the options ask for */
    int64_t max_ahead_us;
    const char *instance_id; /* NULL = none */
    int schema;              /* of the program */
    int derivation;
    char rules_hash[40], key_check[40]; /* "" = not known: the file could not be read */
};

void doctor_judge_topic(const struct look_topic *topic, const struct look_partitions *partitions, struct doctor_report *report);
void doctor_judge_partitions(const struct look_partitions *partitions, const struct doctor_wants *wants, int64_t now_us,
                             struct doctor_report *report);
void doctor_judge_positions(const struct look_partitions *partitions, const struct look_database *database, struct doctor_report *report);
void doctor_judge_group(const struct look_group *group, const struct doctor_wants *wants, struct doctor_report *report);
void doctor_judge_database(const struct look_database *database, const struct doctor_wants *wants, struct doctor_report *report);

/* The checks as a table in Markdown; findings as lines, or as JSON. */
void doctor_markdown(struct pk_buf *out);
void doctor_print(const struct doctor_report *report, struct pk_buf *out);
void doctor_json(const struct doctor_report *report, struct pk_buf *out);

#endif
