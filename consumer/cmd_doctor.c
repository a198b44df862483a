/* SPDX-License-Identifier: Apache-2.0 */
/* doctor: looks at everything that `run` needs, and says what is wrong and what to do. Changes nothing, joins no group. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "consumer_store.h"
#include "doctor.h"
#include "event_avro.h"
#include "registry.h"

enum { PATIENCE_SECONDS = 10 };

struct visit {
    const struct consumer_options *options;
    struct intake_config intake;
    struct consumer_inputs inputs;
    struct doctor_wants wants;
    struct doctor_report report;
    struct look_database database;
    PK_VEC(const char *) topic;
    struct pk_arena arena;
};

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * PK_SECOND_US + now.tv_nsec / 1000;
}

/* ---- our own files ---- */

static void look_at_rules(struct visit *v)
{
    struct pk_err err = {0};
    const char *file = v->options->rules;
    struct consumer_inputs *inputs = &v->inputs;
    if (consumer_load_rules(v->options, inputs, &err) != PK_OK) {
        doctor_find(&v->report, DOCTOR_RULES, DOCTOR_FAIL, file, "correct it; polku-consumer check-config shows what it says", "%s", err.text);
        return;
    }
    store_look_uuid(inputs->rules.file_hash, v->wants.rules_hash);
    for (size_t i = 0; i < inputs->warnings.list.len; i++)
        doctor_find(&v->report, DOCTOR_RULES, DOCTOR_WARN, file, "correct it, or leave it if it is meant so", "line %d: %.*s",
                    inputs->warnings.list.ptr[i].line, PK_STR_ARG(inputs->warnings.list.ptr[i].text));
    if (inputs->warnings.list.len == 0)
        doctor_find(&v->report, DOCTOR_RULES, DOCTOR_OK, file, "", "can be read, nothing to warn of");
}

static void look_at_key(struct visit *v)
{
    struct pk_err err = {0};
    const struct pk_str check = PK_STR("polku hash key check");
    if (!v->options->hash_key) {
        doctor_find(&v->report, DOCTOR_KEY, DOCTOR_FAIL, "", "give --hash-key-file, see docs/security.md", "there is no hash key: run needs one");
    } else if (consumer_read_key(v->options->hash_key, &v->inputs.hasher, &err) != PK_OK) {
        doctor_find(&v->report, DOCTOR_KEY, DOCTOR_FAIL, "", "see docs/security.md", "%s", err.text);
    } else {
        store_look_uuid(fact_hash(&v->inputs.hasher, &check, 1), v->wants.key_check);
        doctor_find(&v->report, DOCTOR_KEY, DOCTOR_OK, "", "", "can be read");
    }
}

static void look_at_files(struct visit *v)
{
    struct pk_err err = {0};
    const char *exposed = v->options->rest.exposed;
    doctor_find(&v->report, DOCTOR_SECRETS, exposed ? DOCTOR_WARN : DOCTOR_OK, exposed ? exposed : "", "chmod o= FILE", "%s",
                exposed ? "every user of this machine may read it" : "no file with a secret is everybody's to read");
    look_at_rules(v);
    const char *folder = v->options->schemas ? v->options->schemas : "";
    if (schema_set_open(v->options->schemas, NULL, &v->inputs.schemas, &err) != PK_OK)
        doctor_find(&v->report, DOCTOR_SCHEMAS, DOCTOR_FAIL, folder, "correct --schemas", "%s", err.text);
    else
        doctor_find(&v->report, DOCTOR_SCHEMAS, DOCTOR_OK, folder, "", "%s", *folder ? "can be read" : "the built-in schema");
    look_at_key(v);
}

/* ---- the registry ---- */

/* Whatever it says of the first topic's subject, it answered. */
static void look_at_registry(struct visit *v)
{
    uint32_t id;
    char subject[300];
    struct pk_err err = {0};
    struct registry *registry;
    if (!v->options->registry_url || !v->options->registry_url[0])
        return;
    if (consumer_open_registry(v->options, &registry, &err) != PK_OK) {
        doctor_find(&v->report, DOCTOR_REGISTRY, DOCTOR_FAIL, "", "correct the options of the registry", "%s", err.text);
        return;
    }
    enum pk_status status = PK_OK;
    for (size_t i = 0; i < v->topic.len && status != PK_RETRY; i++) {
        bool unknown = false;
        snprintf(subject, sizeof subject, "%s-value", v->topic.ptr[i]);
        status = registry_look_up(registry, subject, event_schema_json(), &id, &unknown, &err);
        if (status == PK_RETRY)
            doctor_find(&v->report, DOCTOR_REGISTRY, DOCTOR_FAIL, "", "see to the registry; known ids are read from --registry-cache meanwhile", "%s", err.text);
        else if (i == 0)
            doctor_find(&v->report, DOCTOR_REGISTRY, DOCTOR_OK, "", "", "it answers");
        if (status == PK_OK)
            doctor_find(&v->report, DOCTOR_REGISTRY_SCHEMA, DOCTOR_OK, subject, "", "our newest schema is registered, id %" PRIu32, id);
        else if (status == PK_REJECT)
            doctor_find(&v->report, DOCTOR_REGISTRY_SCHEMA, DOCTOR_WARN, subject, "polku-producer registers it with its first event; for other publishers register "
                        "schemas/interaction.avsc", "%s", unknown ? "our newest schema is not registered there" : err.text);
    }
    registry_close(registry);
}

/* ---- Kafka ---- */

static void look_at_topics(struct visit *v)
{
    struct pk_err err = {0};
    size_t count = v->topic.len;
    struct look_topic *topic = pk_alloc((count + 1) * sizeof *topic);
    for (size_t i = 0; i < count; i++)
        topic[i].name = v->topic.ptr[i];
    if (intake_look_topics(&v->intake, topic, count, PATIENCE_SECONDS * PK_SECOND_US, &err) != PK_OK)
        for (size_t i = 0; i < count; i++)
            snprintf(topic[i].why, sizeof topic[i].why, "%.199s", err.text);
    for (size_t i = 0; i < count && !consumer_stop; i++) {
        struct look_partitions partitions = {.topic = v->topic.ptr[i]};
        if (intake_look_partitions(&v->intake, &partitions, PATIENCE_SECONDS * PK_SECOND_US, &err) != PK_OK) {
            partitions.answer = LOOK_FAILED;
            snprintf(partitions.why, sizeof partitions.why, "%.199s", err.text);
        }
        doctor_judge_partitions(&partitions, &v->wants, now_us(), &v->report);
        doctor_judge_topic(&topic[i], &partitions, &v->report);
        doctor_judge_positions(&partitions, &v->database, &v->report);
        intake_look_partitions_done(&partitions);
    }
    free(topic);
}

static void look_at_kafka(struct visit *v)
{
    struct pk_err err = {0};
    struct look_kafka kafka = {0};
    struct look_group group;
    const char *todo = "correct --brokers and the options kafka.*, or start the brokers";
    if (intake_look_brokers(&v->intake, PATIENCE_SECONDS * PK_SECOND_US, &kafka, &err) != PK_OK) {
        doctor_find(&v->report, DOCTOR_BROKERS, DOCTOR_FAIL, v->options->brokers, todo, "nobody answers: %s", err.text);
        return;
    }
    doctor_find(&v->report, DOCTOR_BROKERS, DOCTOR_OK, v->options->brokers, "", "%d broker%s", kafka.brokers, kafka.brokers == 1 ? "" : "s");
    look_at_topics(v);
    if (intake_look_group(&v->intake, PATIENCE_SECONDS * PK_SECOND_US, &group, &err) != PK_OK)
        snprintf(group.why, sizeof group.why, "%.199s", err.text);
    doctor_judge_group(&group, &v->wants, &v->report);
    intake_look_group_done(&group);
}

/* ---- the command ---- */

static void read_topics(struct visit *v)
{
    for (const char *at = v->options->topic; *at;) {
        at += strspn(at, ", ");
        size_t len = strcspn(at, ", ");
        if (len > 0)
            *pk_vec_push(&v->topic) = pk_arena_str(&v->arena, (struct pk_str){at, len}).ptr;
        at += len;
    }
}

static void visit_all(struct visit *v)
{
    symbols_init(&v->inputs.symbols);
    read_topics(v);
    look_at_files(v);
    look_at_registry(v);
    store_look(v->options->database, &v->database);
    look_at_kafka(v);
    doctor_judge_database(&v->database, &v->wants, &v->report);
}

static int by_check(const void *left, const void *right)
{
    const struct doctor_finding *a = left, *b = right;
    return a->check != b->check ? (a->check > b->check) - (a->check < b->check) : strcmp(a->about, b->about);
}

static void print(struct visit *v)
{
    struct pk_buf out PK_AUTO(pk_buf_done) = {0};
    if (v->report.finding.len)
        qsort(v->report.finding.ptr, v->report.finding.len, sizeof *v->report.finding.ptr, by_check);
    (v->options->json ? doctor_json : doctor_print)(&v->report, &out);
    fputs(out.ptr, stdout);
}

static int print_checks(void)
{
    struct pk_buf out PK_AUTO(pk_buf_done) = {0};
    doctor_markdown(&out);
    fputs(out.ptr, stdout);
    return CONSUMER_OK;
}

int consumer_doctor(const struct consumer_options *options)
{
    struct visit v = {
        .options = options,
        .intake = consumer_intake_config(options),
        .wants = {.max_ahead_us = options->max_ahead, .schema = STORE_SCHEMA, .derivation = DERIVATION_VERSION},
    };
    struct pk_err err = {0};
    if (options->rest.rest.len == 1 && strcmp(options->rest.rest.ptr[0], "checks") == 0)
        return print_checks();
    enum pk_status status = options->rest.rest.len ? pk_fail(&err, PK_REJECT, "doctor takes nothing, or checks: polku-consumer doctor --help")
                                                   : intake_check(&v.intake, &err);
    if (status != PK_OK)
        return consumer_end("nothing was looked at", status, &err);
    v.wants.instance_id = v.intake.instance_id;
    visit_all(&v);
    print(&v);
    bool failed = doctor_count(&v.report, DOCTOR_FAIL) > 0;
    store_look_done(&v.database);
    consumer_inputs_done(&v.inputs);
    pk_vec_done(&v.report.finding);
    pk_vec_done(&v.topic);
    pk_arena_done(&v.arena);
    return failed ? CONSUMER_STOPPED : CONSUMER_OK;
}
