/* SPDX-License-Identifier: Apache-2.0 */
#include "consumer_options.h"
#include "health_http.h"
#include "installed.h"
#include "store_conninfo.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct option option[] = {
#define X(member, ctype, name, commands, kind, fallback, min, max, value_name, help)                                   \
    {name, commands, OPTION_##kind, fallback, min, max, offsetof(struct consumer_options, member), value_name, help},
#include "consumer_options.def"
#undef X
};

const struct option_set consumer_option_set = {option, PK_COUNT(option), "polku-consumer", "POLKU_"};

static enum pk_status word(const char *name, const char *text, const char *const words[], size_t count, int *ret_index,
                           struct pk_err *err)
{
    struct pk_buf known PK_AUTO(pk_buf_done) = {0};
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, words[i]) == 0) {
            *ret_index = (int)i;
            return PK_OK;
        }
        pk_buf_printf(&known, "%s%s", i ? ", " : "", words[i]);
    }
    return pk_fail(err, PK_REJECT, "--%s: '%.100s' is none of %s", name, text, known.ptr);
}

static enum pk_status read_words(struct consumer_options *options, struct pk_err *err)
{
    static const char *const from[] = {"earliest", "latest", "error"};
    static const char *const level[] = {"debug", "info", "warn", "error"}, *const format[] = {"auto", "text", "json"};
    int start = 0, log_level = 0, log_format = 0;
    enum pk_status status = word("from", options->from, from, PK_COUNT(from), &start, err);
    if (status == PK_OK)
        status = word("log-level", options->log_level, level, PK_COUNT(level), &log_level, err);
    if (status == PK_OK)
        status = word("log-format", options->log_format, format, PK_COUNT(format), &log_format, err);
    options->start = (enum intake_start)start;
    options->level = (enum log_level)log_level;
    options->format = (enum log_format)log_format;
    return status;
}

static bool takes_arguments(const char *command)
{
    static const char *const those[] = {"identity", "forget", "position", "quarantine", "doctor", "health"};
    for (size_t i = 0; i < PK_COUNT(those); i++)
        if (strcmp(command, those[i]) == 0)
            return true;
    return false;
}

static enum pk_status check_together(const char *command, const struct consumer_options *options, struct pk_err *err)
{
    if (options->retry_min > options->retry_max)
        return pk_fail(err, PK_REJECT, "--retry-min is longer than --retry-max");
    if (options->topic[strspn(options->topic, ", ")] == '\0')
        return pk_fail(err, PK_REJECT, "--topic names no topic");
    if (options->http && options->http[0] && health_http_check(options->http, err) != PK_OK)
        return PK_REJECT;
    if (options->group[0] == '\0')
        return pk_fail(err, PK_REJECT, "--group is empty");
    if (strcmp(command, "rebuild") == 0 && !options->from_kafka &&
        (options->accept_unknown_cleanup || options->keep_older || options->drop_decisions || options->former_hash_key || options->former_rules))
        return pk_fail(err, PK_REJECT, "%s belongs to --from-kafka", options->accept_unknown_cleanup ? "--accept-unknown-cleanup"
                       : options->keep_older ? "--keep-older"
                       : options->drop_decisions ? "--drop-decisions" : options->former_hash_key ? "--former-hash-key-file" : "--former-rules");
    if (options->rest.rest.len > 0 && !takes_arguments(command))
        return pk_fail(err, PK_REJECT, "argument '%.100s' is not expected", options->rest.rest.ptr[0]);
    return PK_OK;
}

enum pk_status consumer_options_parse(const char *command, int argc, char *const argv[], struct pk_arena *arena,
                                      struct consumer_options *ret, struct pk_err *err)
{
    struct consumer_options options = {0};
    enum pk_status status =
        options_parse(&consumer_option_set, command, argc, argv, arena, &options, &options.rest, err);
    if (status != PK_OK)
        return status;
    if (!options.rest.help) {
        status = read_words(&options, err);
        if (status == PK_OK)
            status = check_together(command, &options, err);
        if (status == PK_OK)
            status = store_conninfo(options.database, options.database_password, arena, &options.database, err);
    }
    if (!options.sql)
        options.sql = installed_path("sql", arena);
    if (!options.sql)
        options.sql = "sql";
    if (status == PK_OK) {
        *ret = options;
        return PK_OK;
    }
    pk_vec_done(&options.rest.kafka);
    pk_vec_done(&options.rest.rest);
    return status;
}

struct intake_config consumer_intake_config(const struct consumer_options *options)
{
    return (struct intake_config){
        .brokers = options->brokers,
        .topics = options->topic,
        .group = options->group,
        .client_id = options->client_id,
        .instance_id = options->instance_id && options->instance_id[0] ? options->instance_id : NULL,
        .start = options->start,
        .queue_bytes = options->queue_bytes,
        .property = options->rest.kafka.ptr,
        .properties = options->rest.kafka.len,
    };
}

/* ---- inputs ---- */

enum pk_status consumer_read_key(const char *text, struct fact_hasher *ret, struct pk_err *err)
{
    struct fact_hasher hasher = {0};
    size_t digits = 0;
    for (; *text; text++) {
        if (isspace((unsigned char)*text))
            continue;
        if (!isxdigit((unsigned char)*text))
            return pk_fail(err, PK_REJECT, "the hash key holds something else than hexadecimal digits");
        if (digits == 2 * sizeof hasher.key)
            return pk_fail(err, PK_REJECT, "the hash key is longer than %zu bytes", sizeof hasher.key);
        int value = *text <= '9' ? *text - '0' : (*text | 0x20) - 'a' + 10;
        hasher.key[digits / 2] = (uint8_t)(hasher.key[digits / 2] << 4 | value);
        digits++;
    }
    if (digits % 2 || digits < 32)
        return pk_fail(err, PK_REJECT, "the hash key has %zu hexadecimal digits; it needs 32 to 128, an even number: "
                       "od -An -N32 -tx1 /dev/urandom", digits);
    hasher.key_len = digits / 2;
    *ret = hasher;
    return PK_OK;
}

static enum pk_status load_key(const struct consumer_options *options, bool optional, struct fact_hasher *ret,
                               struct pk_err *err)
{
    if (options->hash_key)
        return consumer_read_key(options->hash_key, ret, err);
    if (optional)
        return PK_OK;
    return pk_fail(err, PK_REJECT, "--hash-key-file is missing: a file with 16 to 64 random bytes in hexadecimal; make it "
                                   "once with: od -An -N32 -tx1 /dev/urandom | tr -d ' \\n' >FILE");
}

enum pk_status consumer_load_rules(const struct consumer_options *options, struct consumer_inputs *inputs, struct pk_err *err)
{
    char vocabulary[4096] = "";
    if (options->schemas)
        snprintf(vocabulary, sizeof vocabulary, "%s/vocabulary.yaml", options->schemas);
    bool known = vocabulary[0] && access(vocabulary, R_OK) == 0;
    return rules_load(options->rules, known ? vocabulary : NULL, &inputs->symbols, &inputs->arena, &inputs->rules,
                      &inputs->warnings, err);
}

enum pk_status consumer_open_registry(const struct consumer_options *options, struct registry **ret, struct pk_err *err)
{
    const struct registry_config config = {
        .urls = options->registry_url,
        .user = options->registry_user,
        .password = options->registry_password,
        .ca = options->registry_ca,
        .certificate = options->registry_certificate,
        .key = options->registry_key,
        .timeout_us = options->registry_timeout,
        .cache = options->registry_cache,
    };
    return registry_open(&config, ret, err);
}

enum pk_status consumer_open_schemas(const struct consumer_options *options, struct schema_set **ret, struct pk_err *err)
{
    struct registry *registry = NULL;
    struct schema_set *set;
    enum pk_status status = schema_set_open(options->schemas, NULL, &set, err);
    if (status != PK_OK)
        return status;
    if (options->registry_url && options->registry_url[0]) {
        status = consumer_open_registry(options, &registry, err);
        if (status != PK_OK) {
            schema_set_close(set);
            return status;
        }
        schema_set_use_registry(set, registry, options->registry_grace);
    }
    *ret = set;
    return PK_OK;
}

enum pk_status consumer_inputs_load(const struct consumer_options *options, bool optional_key,
                                    struct consumer_inputs *ret, struct pk_err *err)
{
    *ret = (struct consumer_inputs){0};
    symbols_init(&ret->symbols);
    enum pk_status status = consumer_load_rules(options, ret, err);
    if (status == PK_OK)
        status = consumer_open_schemas(options, &ret->schemas, err);
    if (status == PK_OK)
        status = load_key(options, optional_key, &ret->hasher, err);
    if (status != PK_OK)
        consumer_inputs_done(ret);
    return status;
}

void consumer_inputs_done(struct consumer_inputs *inputs)
{
    schema_set_close(inputs->schemas);
    pk_vec_done(&inputs->warnings.list);
    pk_arena_done(&inputs->arena);
    symbols_done(&inputs->symbols);
    explicit_bzero(&inputs->hasher, sizeof inputs->hasher);
    inputs->schemas = NULL;
}
