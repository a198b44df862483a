/* SPDX-License-Identifier: Apache-2.0 */
/* What a registry's answers say, what it is opened with, and that nothing follows from its silence. The conversation with a real
 * one is tests/registry. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "event_avro.h"
#include "registry_answer.h"

/* ---- answers ---- */

Test(registry_answer, gives_the_schema)
{
    struct pk_buf schema = {0};
    cr_assert_eq(registry_read_schema(pk_str("{\"schema\": \"\\\"string\\\"\", \"references\": []}"), &schema, NULL), PK_OK);
    cr_assert_str_eq(schema.ptr, "\"string\"");
    pk_buf_done(&schema);
}

Test(registry_answer, refuses_other_kinds_and_references_for_good)
{
    static const char *const answer[] = {
        "{\"schema\": \"syntax\", \"schemaType\": \"PROTOBUF\"}",
        "{\"schema\": \"\\\"a.B\\\"\", \"schemaType\": \"AVRO\", \"references\": [{\"name\": \"a.B\", \"subject\": \"b\", \"version\": 1}]}",
    };
    static const char *const word[] = {"PROTOBUF", "references"};
    for (size_t i = 0; i < PK_COUNT(answer); i++) {
        struct pk_buf schema = {0};
        struct pk_err err = {0};
        cr_assert_eq(registry_read_schema(pk_str(answer[i]), &schema, &err), PK_REJECT);
        cr_assert(strstr(err.text, word[i]), "%s", err.text);
        cr_assert_eq(schema.len, 0);
        pk_buf_done(&schema);
    }
}

Test(registry_answer, draws_no_conclusion_from_what_is_no_answer)
{
    static const char *const answer[] = {"", "<html>", "[]", "{}", "{\"schema\": 7}", "{\"schema\": \"a\\u0000b\"}", "{\"id\": -1}",
                                         "{\"id\": 4294967296}", "{\"id\": \"1\"}", "{\"is_compatible\": \"yes\"}", "null", "{\"schema\""};
    for (size_t i = 0; i < PK_COUNT(answer); i++) {
        struct pk_buf text = {0};
        uint32_t id = 7;
        bool compatible = true;
        int code = 7;
        cr_assert_eq(registry_read_schema(pk_str(answer[i]), &text, NULL), PK_RETRY, "%s", answer[i]);
        cr_assert_eq(registry_read_id(pk_str(answer[i]), &id, NULL), PK_RETRY, "%s", answer[i]);
        cr_assert_eq(registry_read_verdict(pk_str(answer[i]), &compatible, &text, NULL), PK_RETRY, "%s", answer[i]);
        cr_assert_not(registry_read_error(pk_str(answer[i]), &code, &text), "%s", answer[i]);
        cr_assert(id == 7 && compatible && code == 7, "outputs stay untouched on failure");
        pk_buf_done(&text);
    }
}

Test(registry_answer, messages_are_one_line_for_a_log)
{
    struct pk_buf text = {0};
    bool compatible = true;
    int code = 0;
    cr_assert(registry_read_error(pk_str("{\"error_code\": 40403, \"message\": \"Schema \\\"x\\\"\\nnot found\"}"), &code, &text));
    cr_assert_eq(code, REGISTRY_NO_SCHEMA);
    cr_assert_str_eq(text.ptr, "Schema 'x' not found");
    pk_buf_reset(&text);
    cr_assert_eq(registry_read_verdict(pk_str("{\"is_compatible\": false, \"messages\": [\"one\", 2, \"three\"]}"), &compatible,
                                       &text, NULL), PK_OK);
    cr_assert_not(compatible);
    cr_assert_str_eq(text.ptr, "one; three");
    pk_buf_done(&text);
}

/* ---- opening ---- */

Test(registry, says_what_it_cannot_be_opened_with)
{
    static const struct {
        struct registry_config config;
        const char *word;
    } wrong[] = {
        {{.urls = ""}, "none is given"},
        {{.urls = " , "}, "none is given"},
        {{.urls = "http://ok:1,ftp://no"}, "ftp://no"},
        {{.urls = "registry:8081"}, "registry:8081"},
        {{.urls = "http://a:1?x=1"}, "behind the path"},
        {{.urls = "http://a:1", .password = "opensesame"}, "its user is not"},
        {{.urls = "http://a:1", .certificate = "/dev/null"}, "together"},
        {{.urls = "https://a:1", .ca = "/nowhere/ca.pem"}, "/nowhere/ca.pem"},
        {{.urls = "https://a:1", .cache = "/nowhere/at/all"}, "/nowhere/at/all"},
    };
    for (size_t i = 0; i < PK_COUNT(wrong); i++) {
        struct registry *registry = NULL;
        struct pk_err err = {0};
        cr_assert_eq(registry_open(&wrong[i].config, &registry, &err), PK_REJECT, "%zu", i);
        cr_assert(strstr(err.text, wrong[i].word), "%s", err.text);
        cr_assert_null(registry);
    }
    registry_close(NULL);
}

Test(registry, never_repeats_a_password_that_stands_in_a_url)
{
    /* Also where what stands in the password makes the rest no URL. */
    static const char *const urls[] = {
        "http://me:opensesame@a:1",      "http://me:opensesame/x@a:1",    "https://me:opensesame#x@a:1",
        "https://b:1,http://me:opensesame,x@a:1", "http://me:opensesame x@a:1", "me:opensesame@a:1",
        "ftp://me:opensesame@a:1",       "http://me:opensesame@a:99999",  "http://me:opensesame@a:1?x=1",
    };
    for (size_t i = 0; i < PK_COUNT(urls); i++) {
        struct registry *registry;
        struct pk_err err = {0};
        cr_assert_eq(registry_open(&(struct registry_config){.urls = urls[i]}, &registry, &err), PK_REJECT, "%s", urls[i]);
        cr_expect(strstr(err.text, "registry URL") && !strstr(err.text, "opensesame"), "%s: %s", urls[i], err.text);
    }
}

/* OpenSSL would ask the terminal for it, in the middle of the stream, without end. */
Test(registry, a_key_with_a_passphrase_is_refused)
{
    static const char *const key[] = {
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIFHDBO\n-----END ENCRYPTED PRIVATE KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMIIF\n-----END RSA PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nMIIFHDBO\n-----END PRIVATE KEY-----\n",
    };
    for (size_t i = 0; i < PK_COUNT(key); i++) {
        char path[] = "/tmp/polku-key-XXXXXX";
        struct registry *registry = NULL;
        struct pk_err err = {0};
        int file = mkstemp(path);
        cr_assert_eq(write(file, key[i], strlen(key[i])), (ssize_t)strlen(key[i]));
        close(file);
        enum pk_status status =
            registry_open(&(struct registry_config){.urls = "https://a:1", .certificate = path, .key = path}, &registry, &err);
        unlink(path);
        cr_expect_eq(status, i < 2 ? PK_REJECT : PK_OK, "%zu: %s", i, err.text);
        cr_expect(i == 2 || (strstr(err.text, path) && strstr(err.text, "passphrase")), "%s", err.text);
        registry_close(registry);
    }
}

/* ---- silence ---- */

/* Nobody listens on port 9 of this machine. */
static struct schema_set *open_set(const char *folder, const char *cache)
{
    struct schema_set *schemas;
    struct registry *registry;
    struct pk_err err = {0};
    const struct registry_config config = {.urls = "http://127.0.0.1:9/", .timeout_us = PK_SECOND_US, .cache = cache};
    cr_assert_eq(schema_set_open(folder, NULL, &schemas, &err), PK_OK, "%s", err.text);
    cr_assert_eq(registry_open(&config, &registry, &err), PK_OK, "%s", err.text);
    schema_set_use_registry(schemas, registry, 0);
    return schemas;
}

Test(schema_set, an_id_is_neither_known_nor_unknown_while_the_registry_is_away)
{
    struct schema_set *schemas = open_set(NULL, NULL);
    const struct avro_plan *plan = NULL;
    struct pk_err err = {0};
    struct wire_frame frame = {.kind = WIRE_CONFLUENT, .schema_id = 1};
    for (int i = 0; i < 3; i++)
        cr_assert_eq(schema_set_find(schemas, &frame, &plan, &err), PK_RETRY);
    cr_assert(strstr(err.text, "id 1") && strstr(err.text, "http://127.0.0.1:9 "), "%s", err.text);
    cr_assert_null(plan);
    frame = (struct wire_frame){.kind = WIRE_SINGLE_OBJECT, .fingerprint = event_schema_fingerprint()};
    cr_assert_eq(schema_set_find(schemas, &frame, &plan, NULL), PK_OK, "fingerprints are no business of the registry");
    schema_set_close(schemas);
}

Test(schema_set, a_file_gives_an_id_before_the_registry)
{
    struct schema_set *schemas = open_set(POLKU_SOURCE_DIR "/schemas", NULL);
    const struct avro_plan *plan;
    struct wire_frame frame = {.kind = WIRE_CONFLUENT, .schema_id = 1};
    cr_assert_eq(schema_set_find(schemas, &frame, &plan, NULL), PK_OK);
    frame.schema_id = 2;
    cr_assert_eq(schema_set_find(schemas, &frame, &plan, NULL), PK_RETRY);
    schema_set_close(schemas);
}

static void put(const char *folder, const char *name, struct pk_str text)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *out = fopen(path, "wb");
    cr_assert_not_null(out, "%s", path);
    cr_assert_eq(fwrite(text.ptr, 1, text.len, out), text.len);
    fclose(out);
}

Test(schema_set, the_cache_answers_for_the_registry_and_a_damaged_copy_does_not)
{
    char folder[] = "/tmp/polku-test-XXXXXX", own[300] = "", command[400];
    cr_assert_not_null(mkdtemp(folder));
    schema_set_close(open_set(NULL, folder)); /* makes the folder of this registry */
    snprintf(command, sizeof command, "ls %s", folder);
    FILE *list = popen(command, "r");
    char name[64] = "";
    cr_assert_eq(fscanf(list, "%63s", name), 1);
    pclose(list);
    snprintf(own, sizeof own, "%s/%s", folder, name);
    put(own, "5.avsc", event_schema_json());
    put(own, "6.avsc", (struct pk_str){event_schema_json().ptr, 100});

    struct schema_set *schemas = open_set(NULL, folder);
    const struct avro_plan *plan;
    struct wire_frame frame = {.kind = WIRE_CONFLUENT, .schema_id = 5};
    cr_assert_eq(schema_set_find(schemas, &frame, &plan, NULL), PK_OK);
    cr_assert_eq(avro_plan_fingerprint(plan), event_schema_fingerprint());
    frame.schema_id = 6;
    for (int i = 0; i < 2; i++)
        cr_assert_eq(schema_set_find(schemas, &frame, &plan, NULL), PK_RETRY);
    schema_set_close(schemas);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    cr_assert_eq(system(command), 0);
}
