/* SPDX-License-Identifier: Apache-2.0 */
#include "store_wire.h"

#include <stdlib.h>

enum { ARRAY_HEAD = 20 }; /* dimensions, has nulls, type, length, first index: 4 bytes each */

void wire_reset(struct wire_params *params)
{
    params->count = 0;
}

void wire_done(struct wire_params *params)
{
    for (int i = 0; i < WIRE_MAX_PARAMS; i++)
        free(params->param[i].ptr);
    *params = (struct wire_params){0};
}

void wire_grow(struct wire_param *param, size_t more)
{
    size_t cap = PK_MAX(param->cap * 2, param->len + more);
    param->cap = PK_MAX(cap, (size_t)256);
    param->ptr = pk_realloc(param->ptr, param->cap);
}

static struct wire_param *wire_next(struct wire_params *params, uint32_t type, bool array)
{
    struct wire_param *param = &params->param[params->count++];
    param->len = 0;
    param->count = 0;
    param->type = type;
    param->array = array;
    param->nulls = 0;
    param->cut = false;
    return param;
}

struct wire_param *wire_array(struct wire_params *params, uint32_t type)
{
    struct wire_param *param = wire_next(params, type, true);
    wire_room(param, ARRAY_HEAD);
    return param;
}

void wire_int8(struct wire_params *params, int64_t value)
{
    pk_put_be64(wire_room(wire_next(params, WIRE_INT8, false), 8), (uint64_t)value);
}

void wire_int4(struct wire_params *params, int32_t value)
{
    pk_put_be32(wire_room(wire_next(params, WIRE_INT4, false), 4), (uint32_t)value);
}

void wire_bool(struct wire_params *params, bool value)
{
    *wire_room(wire_next(params, WIRE_BOOL, false), 1) = value;
}

void wire_time(struct wire_params *params, int64_t us)
{
    wire_int8(params, us - WIRE_EPOCH_US);
}

void wire_uuid(struct wire_params *params, struct pk_hash value)
{
    memcpy(wire_room(wire_next(params, WIRE_UUID, false), 16), value.byte, 16);
}

void wire_finish(struct wire_params *params, const char **ret_value, int *ret_len, int *ret_format)
{
    for (int i = 0; i < params->count; i++) {
        struct wire_param *param = &params->param[i];
        if (param->array) {
            pk_put_be32(param->ptr, 1);
            pk_put_be32(param->ptr + 4, param->nulls > 0);
            pk_put_be32(param->ptr + 8, param->type);
            pk_put_be32(param->ptr + 12, param->count);
            pk_put_be32(param->ptr + 16, 1);
            if (param->nulls == param->count && !(param->cut && param->count > 0)) { /* an empty array has no dimensions */
                pk_put_be32(param->ptr, 0);
                param->len = 12;
            }
        }
        ret_value[i] = (const char *)param->ptr;
        ret_len[i] = (int)param->len;
        ret_format[i] = 1;
    }
}

void wire_add_jsonb(struct wire_param *param, struct pk_str json)
{
    if (!json.ptr) {
        wire_add_null(param);
        return;
    }
    uint8_t *p = wire_room(param, 5 + json.len);
    pk_put_be32(p, (uint32_t)json.len + 1);
    p[4] = 1; /* version of the format */
    memcpy(p + 5, json.ptr, json.len);
    param->count++;
}

void wire_add_clean_text(struct wire_param *param, struct pk_str text)
{
    if (!text.ptr || pk_utf8_valid(text.ptr, text.len)) {
        wire_add_text(param, text);
        return;
    }
    uint8_t *p = wire_room(param, 4 + text.len);
    pk_put_be32(p, (uint32_t)text.len);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        p[4 + i] = c != 0 && c < 0x80 ? c : '?';
    }
    param->count++;
}

size_t wire_open_row(struct wire_param *param, uint32_t fields)
{
    size_t row = param->len;
    uint8_t *p = wire_room(param, 8);
    pk_put_be32(p + 4, fields);
    return row;
}

void wire_close_row(struct wire_param *param, size_t row)
{
    pk_put_be32(param->ptr + row, (uint32_t)(param->len - row - 4));
    param->count++;
}

void wire_field_null(struct wire_param *param, enum wire_type type)
{
    uint8_t *p = wire_room(param, 8);
    pk_put_be32(p, type);
    pk_put_be32(p + 4, UINT32_MAX);
}

void wire_field_int8(struct wire_param *param, enum wire_type type, int64_t value)
{
    uint8_t *p = wire_room(param, 16);
    pk_put_be32(p, type);
    pk_put_be32(p + 4, 8);
    pk_put_be64(p + 8, (uint64_t)value);
}

void wire_field_int4(struct wire_param *param, int32_t value)
{
    uint8_t *p = wire_room(param, 12);
    pk_put_be32(p, WIRE_INT4);
    pk_put_be32(p + 4, 4);
    pk_put_be32(p + 8, (uint32_t)value);
}

void wire_field_float8(struct wire_param *param, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, 8);
    wire_field_int8(param, WIRE_FLOAT8, (int64_t)bits);
}

void wire_field_uuid(struct wire_param *param, struct pk_hash value)
{
    uint8_t *p = wire_room(param, 24);
    pk_put_be32(p, WIRE_UUID);
    pk_put_be32(p + 4, 16);
    memcpy(p + 8, value.byte, 16);
}

struct wire_list wire_get_list(const PGresult *result, int row, int column)
{
    if (PQgetisnull(result, row, column) || PQgetlength(result, row, column) < ARRAY_HEAD)
        return (struct wire_list){0};
    const uint8_t *p = wire_cell(result, row, column);
    return (struct wire_list){p + ARRAY_HEAD, pk_get_be32(p + 12)};
}
