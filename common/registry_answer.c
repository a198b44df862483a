/* SPDX-License-Identifier: Apache-2.0 */
#include "registry_answer.h"
#include "json_text.h"

static void json_done(json_t **json)
{
    json_decref(*json);
}

static json_t *read_object(struct pk_str answer)
{
    json_error_t where;
    json_t *json = json_read(answer, 0, &where);
    if (json && !json_is_object(json)) {
        json_decref(json);
        return NULL;
    }
    return json;
}

/* Of foreign text: one line, no quotes, no controls. */
static void add_plain(struct pk_buf *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        char plain = c == '"' ? '\'' : c < 0x20 || c == 0x7f || c == '\\' ? ' ' : (char)c;
        pk_buf_add(out, &plain, 1);
    }
}

enum pk_status registry_read_schema(struct pk_str answer, struct pk_buf *ret_schema, struct pk_err *err)
{
    json_t *json PK_AUTO(json_done) = read_object(answer);
    const json_t *schema = json_object_get(json, "schema"), *kind = json_object_get(json, "schemaType");
    if (!json_is_string(schema))
        return pk_fail(err, PK_RETRY, "the answer holds no schema; is it a schema registry?");
    if (json_is_string(kind) && strcmp(json_string_value(kind), "AVRO") != 0)
        return pk_fail(err, PK_REJECT, "it is a schema of the kind %.40s, not AVRO", json_string_value(kind));
    if (json_array_size(json_object_get(json, "references")) > 0)
        return pk_fail(err, PK_REJECT, "it refers to other schemas (references), which are not followed; register it whole");
    pk_buf_add(ret_schema, json_string_value(schema), json_string_length(schema));
    return PK_OK;
}

enum pk_status registry_read_id(struct pk_str answer, uint32_t *ret_id, struct pk_err *err)
{
    json_t *json PK_AUTO(json_done) = read_object(answer);
    const json_t *id = json_object_get(json, "id");
    if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > UINT32_MAX)
        return pk_fail(err, PK_RETRY, "the answer holds no id; is it a schema registry?");
    *ret_id = (uint32_t)json_integer_value(id);
    return PK_OK;
}

enum pk_status registry_read_verdict(struct pk_str answer, bool *ret_compatible, struct pk_buf *ret_why, struct pk_err *err)
{
    json_t *json PK_AUTO(json_done) = read_object(answer);
    const json_t *compatible = json_object_get(json, "is_compatible"), *messages = json_object_get(json, "messages");
    if (!json_is_boolean(compatible))
        return pk_fail(err, PK_RETRY, "the answer is no verdict; is it a schema registry?");
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *message = json_array_get(messages, i);
        if (!json_is_string(message))
            continue;
        if (ret_why->len)
            pk_buf_text(ret_why, "; ");
        add_plain(ret_why, json_string_value(message), json_string_length(message));
    }
    *ret_compatible = json_is_true(compatible);
    return PK_OK;
}

bool registry_read_error(struct pk_str answer, int *ret_code, struct pk_buf *ret_message)
{
    json_t *json PK_AUTO(json_done) = read_object(answer);
    const json_t *code = json_object_get(json, "error_code"), *message = json_object_get(json, "message");
    if (!json_is_integer(code) || json_integer_value(code) < 0 || json_integer_value(code) > 99999)
        return false;
    *ret_code = (int)json_integer_value(code);
    if (json_is_string(message))
        add_plain(ret_message, json_string_value(message), json_string_length(message));
    return true;
}
