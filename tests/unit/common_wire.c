/* SPDX-License-Identifier: Apache-2.0 */
/* Frames, fingerprints, and which schema a frame names. */
#include "avro_tree.h"
#include "event_avro.h"
#include "event_json.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BYTES(literal) ((struct pk_bytes){(const uint8_t *)"" literal, sizeof(literal) - 1})

Test(wire, a_confluent_frame_is_read)
{
    struct wire_frame frame;
    struct pk_err err;
    cr_assert_eq(wire_parse(BYTES("\0\0\1\2\3body"), &frame, &err), PK_OK);
    cr_assert_eq(frame.kind, WIRE_CONFLUENT);
    cr_assert_eq(frame.schema_id, 0x010203);
    cr_assert_eq(frame.body.len, 4);
    cr_assert_eq(memcmp(frame.body.ptr, "body", 4), 0);
}

Test(wire, a_single_object_frame_is_read)
{
    struct wire_frame frame;
    struct pk_err err;
    cr_assert_eq(wire_parse(BYTES("\xC3\x01\x8f\x5c\x39\x3f\x1a\xd5\x75\x72"), &frame, &err), PK_OK);
    cr_assert_eq(frame.kind, WIRE_SINGLE_OBJECT);
    cr_assert_eq(frame.fingerprint, UINT64_C(0x7275d51a3f395c8f), "little-endian");
    cr_assert_eq(frame.body.len, 0);
}

Test(wire, what_is_no_frame_is_refused)
{
    static const struct {
        struct pk_bytes payload;
        const char *part_of_text;
    } bad[] = {
        {{NULL, 0}, "empty"},         {BYTES("\0\0\0\1"), "the frame alone needs 5"},
        {BYTES("{\"a\":1}"), "0x7b"}, {BYTES("\xC3\x01\1\2\3\4\5\6\7"), "the frame alone needs 10"},
        {BYTES("\xC3\x02\1\2\3\4\5\6\7\1body"), "version 0x02"}, {BYTES("\x01\0\0\0\1x"), "0x01"},
    };
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        struct wire_frame frame = {.schema_id = 7};
        struct pk_err err = {0};
        cr_assert_eq(wire_parse(bad[i].payload, &frame, &err), PK_REJECT);
        cr_assert(strstr(err.text, bad[i].part_of_text), "%s", err.text);
        cr_assert_eq(frame.schema_id, 7, "outputs stay untouched on failure");
    }
}

Test(wire, what_is_written_is_read_back)
{
    struct pk_buf out = {0};
    struct wire_frame frame;
    wire_add_confluent(&out, UINT32_MAX), pk_buf_text(&out, "x");
    cr_assert_eq(wire_parse((struct pk_bytes){(uint8_t *)out.ptr, out.len}, &frame, NULL), PK_OK);
    cr_assert(frame.kind == WIRE_CONFLUENT && frame.schema_id == UINT32_MAX && frame.body.len == 1);
    pk_buf_reset(&out);
    wire_add_single_object(&out, UINT64_C(0x0102030405060708)), pk_buf_text(&out, "xy");
    cr_assert_eq(wire_parse((struct pk_bytes){(uint8_t *)out.ptr, out.len}, &frame, NULL), PK_OK);
    cr_assert(frame.kind == WIRE_SINGLE_OBJECT && frame.fingerprint == UINT64_C(0x0102030405060708) && frame.body.len == 2);
    pk_buf_done(&out);
}

/* ---- Parsing Canonical Form and fingerprints: the cases of Avro's own schema-tests.txt ---- */

Test(fingerprint, agrees_with_the_cases_of_the_avro_project)
{
    static const struct {
        const char *schema, *canonical;
        int64_t fingerprint; /* 0 = not given there */
    } cases[] = {
        {"\"null\"", "\"null\"", INT64_C(7195948357588979594)},
        {"{\"type\":\"null\"}", "\"null\"", 0},
        {"\"boolean\"", "\"boolean\"", INT64_C(-6970731678124411036)},
        {"\"int\"", "\"int\"", INT64_C(0x7275d51a3f395c8f)},
        {"\"long\"", "\"long\"", INT64_C(-3434872931120570953)},
        {"\"float\"", "\"float\"", INT64_C(5583340709985441680)},
        {"\"double\"", "\"double\"", INT64_C(-8181574048448539266)},
        {"\"bytes\"", "\"bytes\"", INT64_C(5746618253357095269)},
        {"\"string\"", "\"string\"", INT64_C(-8142146995180207161)},
        {"[  ]", "[]", INT64_C(-1241056759729112623)},
        {"[ \"int\"  ]", "[\"int\"]", INT64_C(-5232228896498058493)},
        {"[ \"int\" , {\"type\":\"boolean\"} ]", "[\"int\",\"boolean\"]", INT64_C(5392556393470105090)},
        {"{\"fields\":[], \"type\":\"record\", \"name\":\"foo\"}", "{\"name\":\"foo\",\"type\":\"record\",\"fields\":[]}",
         INT64_C(-4824392279771201922)},
        {"{\"fields\":[], \"type\":\"record\", \"name\":\"foo\", \"namespace\":\"x.y\"}",
         "{\"name\":\"x.y.foo\",\"type\":\"record\",\"fields\":[]}", INT64_C(5916914534497305771)},
        {"{\"fields\":[], \"type\":\"record\", \"name\":\"a.b.foo\", \"namespace\":\"x.y\"}",
         "{\"name\":\"a.b.foo\",\"type\":\"record\",\"fields\":[]}", INT64_C(-4616218487480524110)},
        {"{\"fields\":[], \"type\":\"record\", \"name\":\"foo\", \"doc\":\"foo\", \"aliases\":[\"foo\",\"bar\"]}",
         "{\"name\":\"foo\",\"type\":\"record\",\"fields\":[]}", INT64_C(-4824392279771201922)},
        {"{\"fields\":[{\"type\":{\"type\":\"boolean\"}, \"name\":\"f1\"}], \"type\":\"record\", \"name\":\"foo\"}",
         "{\"name\":\"foo\",\"type\":\"record\",\"fields\":[{\"name\":\"f1\",\"type\":\"boolean\"}]}",
         INT64_C(7843277075252814651)},
        {"{ \"fields\":[{\"type\":\"boolean\", \"aliases\":[], \"name\":\"f1\", \"default\":\"true\"},\n"
         "{\"order\":\"descending\",\"name\":\"f2\",\"doc\":\"Hello\",\"type\":\"int\"}],\"type\":\"record\", \"name\":\"foo\"}",
         "{\"name\":\"foo\",\"type\":\"record\",\"fields\":[{\"name\":\"f1\",\"type\":\"boolean\"},{\"name\":\"f2\",\"type\":"
         "\"int\"}]}", INT64_C(-4860222112080293046)},
        {"{\"type\":\"enum\", \"name\":\"foo\", \"symbols\":[\"A1\"]}",
         "{\"name\":\"foo\",\"type\":\"enum\",\"symbols\":[\"A1\"]}", INT64_C(-6342190197741309591)},
        {"{\"namespace\":\"x.y.z\", \"type\":\"enum\", \"name\":\"foo\", \"doc\":\"foo bar\", \"symbols\":[\"A1\", \"A2\"]}",
         "{\"name\":\"x.y.z.foo\",\"type\":\"enum\",\"symbols\":[\"A1\",\"A2\"]}", INT64_C(-4448647247586288245)},
        {"{\"name\":\"foo\",\"type\":\"fixed\",\"size\":15}", "{\"name\":\"foo\",\"type\":\"fixed\",\"size\":15}",
         INT64_C(1756455273707447556)},
        {"{\"namespace\":\"x.y.z\", \"type\":\"fixed\", \"name\":\"foo\", \"doc\":\"foo bar\", \"size\":32}",
         "{\"name\":\"x.y.z.foo\",\"type\":\"fixed\",\"size\":32}", INT64_C(-3064184465700546786)},
        {"{ \"items\":{\"type\":\"null\"}, \"type\":\"array\"}", "{\"type\":\"array\",\"items\":\"null\"}",
         INT64_C(-589620603366471059)},
        {"{ \"values\":\"string\", \"type\":\"map\"}", "{\"type\":\"map\",\"values\":\"string\"}",
         INT64_C(-8732877298790414990)},
        {"{\"name\":\"PigValue\",\"type\":\"record\",\n\"fields\":[{\"name\":\"value\", \"type\":[\"null\", \"int\", \"long\", "
         "\"PigValue\"]}]}",
         "{\"name\":\"PigValue\",\"type\":\"record\",\"fields\":[{\"name\":\"value\",\"type\":[\"null\",\"int\",\"long\","
         "\"PigValue\"]}]}", INT64_C(-1759257747318642341)},
        /* our own: a nested name takes the enclosing namespace, an empty one ends it */
        {"{\"name\":\"R\",\"namespace\":\"n\",\"type\":\"record\",\"fields\":[{\"name\":\"a\",\"type\":{\"name\":\"E\",\"type\":"
         "\"enum\",\"symbols\":[\"X\"]}},{\"name\":\"b\",\"type\":\"E\"},{\"name\":\"c\",\"type\":{\"name\":\"F\",\"namespace\":\"\","
         "\"type\":\"fixed\",\"size\":1}}]}",
         "{\"name\":\"n.R\",\"type\":\"record\",\"fields\":[{\"name\":\"a\",\"type\":{\"name\":\"n.E\",\"type\":\"enum\","
         "\"symbols\":[\"X\"]}},{\"name\":\"b\",\"type\":\"n.E\"},{\"name\":\"c\",\"type\":{\"name\":\"F\",\"type\":\"fixed\","
         "\"size\":1}}]}", 0},
    };
    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        struct avro_tree tree;
        struct pk_err err = {0};
        cr_assert_eq(avro_tree_parse(pk_str(cases[i].schema), &tree, &err), PK_OK, "%s: %s", cases[i].schema, err.text);
        cr_assert_str_eq(tree.canonical.ptr, cases[i].canonical);
        if (cases[i].fingerprint)
            cr_assert_eq((int64_t)tree.fingerprint, cases[i].fingerprint, "%s: %016" PRIx64, cases[i].schema, tree.fingerprint);
        avro_tree_done(&tree);
    }
    cr_assert_eq(avro_fingerprint("", 0), UINT64_C(0xc15d213aa4d7a795));
}

Test(fingerprint, what_is_no_schema_is_refused)
{
    static const char *const bad[] = {
        "", "{", "1", "null", "\"nothing\"", "{}", "{\"type\":\"record\"}", "{\"type\":\"record\",\"name\":\"a\"}",
        "{\"type\":\"record\",\"name\":\"1a\",\"fields\":[]}", "{\"type\":\"enum\",\"name\":\"a\",\"symbols\":[]}",
        "{\"type\":\"enum\",\"name\":\"a\",\"symbols\":[\"A\",\"A\"]}", "{\"type\":\"fixed\",\"name\":\"a\",\"size\":-1}",
        "{\"type\":\"array\"}", "[[\"int\"],\"null\"]", "[\"int\",\"int\"]",
        "{\"type\":\"record\",\"name\":\"a\",\"fields\":[{\"name\":\"x\",\"type\":\"int\"},{\"name\":\"x\",\"type\":\"int\"}]}",
        "{\"type\":\"record\",\"name\":\"a\",\"fields\":[{\"name\":\"x\"}]}",
        "[{\"type\":\"fixed\",\"name\":\"a\",\"size\":1},{\"type\":\"fixed\",\"name\":\"a\",\"size\":1}]",
        "{\"type\":\"fixed\",\"name\":\"a\",\"size\":1,\"size\":2}",
    };
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        struct avro_tree tree;
        struct pk_err err = {0};
        cr_assert_eq(avro_tree_parse(pk_str(bad[i]), &tree, &err), PK_REJECT, "%s", bad[i]);
        cr_assert(err.text[0]);
    }
    struct pk_buf deep = {0};
    for (int i = 0; i < 1000; i++)
        pk_buf_text(&deep, "{\"type\":\"array\",\"items\":");
    pk_buf_text(&deep, "\"int\"");
    for (int i = 0; i < 1000; i++)
        pk_buf_text(&deep, "}");
    struct avro_tree tree;
    cr_assert_eq(avro_tree_parse(pk_str(deep.ptr), &tree, NULL), PK_REJECT);
    pk_buf_done(&deep);
}

/* ---- the set ---- */

static struct schema_set *open_set(const char *folder, const char *ids)
{
    struct schema_set *schemas;
    struct pk_err err = {0};
    cr_assert_eq(schema_set_open(folder, ids, &schemas, &err), PK_OK, "%s", err.text);
    return schemas;
}

Test(schema_set, knows_ours_by_id_and_by_fingerprint_with_and_without_files)
{
    const char *const folder[] = {NULL, POLKU_SOURCE_DIR "/schemas"};
    for (size_t i = 0; i < PK_COUNT(folder); i++) {
        struct schema_set *schemas = open_set(folder[i], NULL);
        const struct avro_plan *by_id, *by_fingerprint;
        struct wire_frame id = {.kind = WIRE_CONFLUENT, .schema_id = 1},
                          fingerprint = {.kind = WIRE_SINGLE_OBJECT, .fingerprint = event_schema_fingerprint()};
        cr_assert_eq(schema_set_find(schemas, &id, &by_id, NULL), PK_OK);
        cr_assert_eq(schema_set_find(schemas, &fingerprint, &by_fingerprint, NULL), PK_OK);
        cr_assert_eq(avro_plan_fingerprint(by_id), avro_plan_fingerprint(by_fingerprint));
        id.schema_id = 2, fingerprint.fingerprint++;
        struct pk_err err = {0};
        cr_assert_eq(schema_set_find(schemas, &id, &by_id, &err), PK_REJECT);
        cr_assert(strstr(err.text, "id 2"), "%s", err.text);
        cr_assert_eq(schema_set_find(schemas, &fingerprint, &by_id, &err), PK_REJECT);
        schema_set_close(schemas);
    }
    schema_set_close(NULL);
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *out = fopen(path, "wb");
    cr_assert_not_null(out, "%s", path);
    fputs(text, out);
    fclose(out);
}

Test(schema_set, reads_a_folder_its_versions_and_its_ids)
{
    static const char other[] =
        "{\"type\":\"record\",\"name\":\"Interaction\",\"fields\":[{\"name\":\"brand\",\"type\":\"string\"},{\"name\":"
        "\"event_id\",\"type\":\"string\"},{\"name\":\"source\",\"type\":\"string\"},{\"name\":\"type\",\"type\":\"string\"},"
        "{\"name\":\"channel\",\"type\":\"string\"},{\"name\":\"occurred_at\",\"type\":\"long\"}]}";
    char folder[] = "/tmp/polku-test-XXXXXX", versions[64], path[64];
    cr_assert_not_null(mkdtemp(folder));
    snprintf(versions, sizeof versions, "%s/versions", folder);
    cr_assert_eq(mkdir(versions, 0700), 0);
    write_file(folder, "notes.txt", "no schema");
    write_file(versions, "partner.avsc", other);
    write_file(folder, "ids.yaml", "7: versions/partner.avsc\n4294967295: versions/partner.avsc\n");
    struct schema_set *schemas = open_set(folder, NULL);
    const struct avro_plan *plan;
    struct wire_frame frame = {.kind = WIRE_CONFLUENT, .schema_id = UINT32_MAX};
    cr_assert_eq(schema_set_find(schemas, &frame, &plan, NULL), PK_OK);
    schema_set_close(schemas);

    struct pk_err err = {0};
    write_file(folder, "ids.yaml", "7: versions/partner.avsc\n8: nothing.avsc\n");
    cr_assert_eq(schema_set_open(folder, NULL, &schemas, &err), PK_REJECT);
    cr_assert(strstr(err.text, "ids.yaml:2:") && strstr(err.text, "nothing.avsc"), "%s", err.text);
    write_file(folder, "ids.yaml", "one: versions/partner.avsc\n");
    cr_assert_eq(schema_set_open(folder, NULL, &schemas, &err), PK_REJECT);
    write_file(folder, "order.avsc", "{\"type\":\"record\",\"name\":\"Order\",\"fields\":[]}");
    cr_assert_eq(schema_set_open(folder, NULL, &schemas, &err), PK_REJECT);
    cr_assert(strstr(err.text, "order.avsc: "), "%s", err.text);
    cr_assert_eq(schema_set_open("/nowhere/at/all", NULL, &schemas, &err), PK_REJECT);
    cr_assert_eq(schema_set_open(NULL, "/nowhere/ids.yaml", &schemas, &err), PK_REJECT);

    static const char *const made[] = {"notes.txt", "versions/partner.avsc", "ids.yaml", "order.avsc", "versions", ""};
    for (size_t i = 0; i < PK_COUNT(made); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, made[i]);
        cr_assert_eq(remove(path), 0, "%s", path);
    }
}

Test(schema_set, a_payload_is_refused_with_the_reason_of_the_first_thing_wrong)
{
    struct schema_set *schemas = open_set(NULL, NULL);
    struct pk_arena arena = {0};
    struct event event;
    struct pk_err err;
    enum reject_reason reason = REJECT_COUNT;
    uint8_t *large = pk_alloc(EVENT_MAX_BYTES + 1);
    cr_assert_eq(event_decode(schemas, BYTES("\x07hello"), &arena, &event, &reason, &err), PK_REJECT);
    cr_assert_eq(reason, REJECT_BAD_FRAME);
    cr_assert_eq(event_decode(schemas, BYTES("\0\0\0\0\x09hello"), &arena, &event, &reason, &err), PK_REJECT);
    cr_assert_eq(reason, REJECT_UNKNOWN_SCHEMA);
    cr_assert_eq(event_decode(schemas, BYTES("\0\0\0\0\1hello"), &arena, &event, &reason, &err), PK_REJECT);
    cr_assert_eq(reason, REJECT_UNDECODABLE);
    cr_assert_eq(event_decode(schemas, (struct pk_bytes){large, EVENT_MAX_BYTES + 1}, &arena, &event, &reason, &err), PK_REJECT);
    cr_assert_eq(reason, REJECT_TOO_LARGE);
    cr_assert_eq(event_decode(schemas, (struct pk_bytes){NULL, 0}, &arena, &event, &reason, &err), PK_REJECT);
    cr_assert_eq(reason, REJECT_BAD_FRAME);
    free(large);
    pk_arena_done(&arena);
    schema_set_close(schemas);
}
