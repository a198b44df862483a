/* SPDX-License-Identifier: Apache-2.0 */
#include "subject.h"

#include <inttypes.h>
#include <stdio.h>

#include "event_avro.h"
#include "log.h"
#include "registry.h"

struct subject {
    struct registry *registry;
    char name[300];
};

static enum pk_status open_subject(const struct producer_options *options, struct subject *subject, struct pk_err *err)
{
    const struct registry_config config = {
        .urls = options->registry_url,
        .user = options->registry_user,
        .password = options->registry_password,
        .ca = options->registry_ca,
        .certificate = options->registry_certificate,
        .key = options->registry_key,
        .timeout_us = options->registry_timeout,
    };
    snprintf(subject->name, sizeof subject->name, "%.250s-value", options->topic);
    return registry_open(&config, &subject->registry, err);
}

static enum pk_status not_there(const struct subject *subject, struct pk_err *err)
{
    return pk_fail(err, PK_REJECT, "the schema registry does not have our schema under the subject %s, and --auto-register is "
                   "false: register schemas/interaction.avsc there", subject->name);
}

static enum pk_status find_id(const struct subject *subject, bool may_register, uint32_t *ret_id, struct pk_err *err)
{
    bool unknown;
    enum pk_status status = registry_look_up(subject->registry, subject->name, event_schema_json(), ret_id, &unknown, err);
    if (status != PK_REJECT || !unknown)
        return status;
    if (!may_register)
        return not_there(subject, err);
    status = registry_register(subject->registry, subject->name, event_schema_json(), ret_id, err);
    if (status == PK_OK)
        log_write(LOG_INFO, "schema registered", "subject=%s id=%" PRIu32, subject->name, *ret_id);
    return status;
}

enum pk_status subject_schema_id(const struct producer_options *options, uint32_t *ret_id, struct pk_err *err)
{
    struct subject subject;
    enum pk_status status = open_subject(options, &subject, err);
    if (status != PK_OK)
        return status;
    status = find_id(&subject, options->auto_register, ret_id, err);
    registry_close(subject.registry);
    return status;
}

enum pk_status subject_check(const struct producer_options *options, struct pk_err *err)
{
    struct subject subject;
    enum pk_status status = open_subject(options, &subject, err);
    if (status != PK_OK)
        return status;
    uint32_t id;
    bool unknown;
    status = registry_look_up(subject.registry, subject.name, event_schema_json(), &id, &unknown, err);
    if (status == PK_OK)
        log_write(LOG_INFO, "schema is registered", "subject=%s id=%" PRIu32, subject.name, id);
    if (status == PK_REJECT && unknown) {
        status = options->auto_register ? registry_check(subject.registry, subject.name, event_schema_json(), err)
                                        : not_there(&subject, err);
        if (status == PK_OK)
            log_write(LOG_INFO, "schema would be registered", "subject=%s", subject.name);
    }
    registry_close(subject.registry);
    return status;
}
