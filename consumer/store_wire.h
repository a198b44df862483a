/* SPDX-License-Identifier: Apache-2.0 */
/* store_wire.h - PostgreSQL's binary format: arrays as parameters, values out of results.
 *
 * Only for store*.c. A parameter is a buffer that is filled value by value; its memory is kept for the
 * next statement. Null stands for what our structs have no value for: symbol 0, the zero hash,
 * PK_NO_TIME, text with ptr NULL. An array of nothing but nulls travels as an empty one: unnest() in step with
 * the others gives nulls for it, and the server neither reads nor walks it. */
#ifndef POLKU_STORE_WIRE_H
#define POLKU_STORE_WIRE_H

#include <libpq-fe.h>
#include "pk.h"

enum wire_type { /* what an array holds; the names are those of SQL */
    WIRE_BOOL = 16,
    WIRE_BYTEA = 17,
    WIRE_INT8 = 20,
    WIRE_INT2 = 21,
    WIRE_INT4 = 23,
    WIRE_TEXT = 25,
    WIRE_FLOAT8 = 701,
    WIRE_DATE = 1082,
    WIRE_TIMESTAMPTZ = 1184,
    WIRE_UUID = 2950,
    WIRE_JSONB = 3802,
};

enum { WIRE_MAX_PARAMS = 64 };
#define WIRE_EPOCH_US INT64_C(946684800000000) /* PostgreSQL counts from 2000-01-01 */

struct wire_param {
    uint8_t *ptr;
    size_t len, cap;
    uint32_t type, count, nulls; /* nulls: those among count */
    bool array, cut; /* cut: it is sliced, so nothing but nulls is no empty array */
};

struct wire_params {
    struct wire_param param[WIRE_MAX_PARAMS];
    int count;
};

void wire_reset(struct wire_params *params);
void wire_done(struct wire_params *params);
struct wire_param *wire_array(struct wire_params *params, uint32_t type); /* adds an empty array */
void wire_int8(struct wire_params *params, int64_t value);                /* these add one value */
void wire_int4(struct wire_params *params, int32_t value);
void wire_bool(struct wire_params *params, bool value);
void wire_time(struct wire_params *params, int64_t us);
void wire_uuid(struct wire_params *params, struct pk_hash value);
/* Makes the arrays' heads; then ret_value, ret_len and ret_format (WIRE_MAX_PARAMS each) suit libpq. */
void wire_finish(struct wire_params *params, const char **ret_value, int *ret_len, int *ret_format);

/* ---- elements of arrays ---- */

void wire_grow(struct wire_param *param, size_t more);
static inline uint8_t *wire_room(struct wire_param *param, size_t bytes)
{
    if (param->cap - param->len < bytes)
        wire_grow(param, bytes);
    uint8_t *room = param->ptr + param->len;
    param->len += bytes;
    return room;
}
static inline void wire_add_null(struct wire_param *param)
{
    pk_put_be32(wire_room(param, 4), UINT32_MAX);
    param->nulls++;
    param->count++;
}
static inline void wire_add_int8(struct wire_param *param, int64_t value)
{
    uint8_t *p = wire_room(param, 12);
    pk_put_be32(p, 8);
    pk_put_be64(p + 4, (uint64_t)value);
    param->count++;
}
static inline void wire_add_int4(struct wire_param *param, int32_t value)
{
    uint8_t *p = wire_room(param, 8);
    pk_put_be32(p, 4);
    pk_put_be32(p + 4, (uint32_t)value);
    param->count++;
}
static inline void wire_add_int2(struct wire_param *param, int value)
{
    uint8_t *p = wire_room(param, 6);
    pk_put_be32(p, 2);
    p[4] = (uint8_t)(value >> 8), p[5] = (uint8_t)value;
    param->count++;
}
static inline void wire_add_bool(struct wire_param *param, bool value)
{
    uint8_t *p = wire_room(param, 5);
    pk_put_be32(p, 1);
    p[4] = value;
    param->count++;
}
static inline void wire_add_uuid(struct wire_param *param, struct pk_hash value)
{
    uint8_t *p = wire_room(param, 20);
    pk_put_be32(p, 16);
    memcpy(p + 4, value.byte, 16);
    param->count++;
}
static inline void wire_add_hash(struct wire_param *param, struct pk_hash value)
{
    if (pk_hash_zero(value))
        wire_add_null(param);
    else
        wire_add_uuid(param, value);
}
static inline void wire_add_time(struct wire_param *param, int64_t us)
{
    if (us == PK_NO_TIME)
        wire_add_null(param);
    else
        wire_add_int8(param, us - WIRE_EPOCH_US);
}
/* With -infinity and infinity as INT64_MIN and INT64_MAX. */
static inline void wire_add_end(struct wire_param *param, int64_t us)
{
    if (us == INT64_MIN || us == INT64_MAX)
        wire_add_int8(param, us);
    else
        wire_add_int8(param, us - WIRE_EPOCH_US);
}
static inline void wire_add_bytes(struct wire_param *param, const void *ptr, size_t len)
{
    if (!ptr) {
        wire_add_null(param);
        return;
    }
    uint8_t *p = wire_room(param, 4 + len);
    pk_put_be32(p, (uint32_t)len);
    memcpy(p + 4, ptr, len);
    param->count++;
}
static inline void wire_add_text(struct wire_param *param, struct pk_str text)
{
    wire_add_bytes(param, text.ptr, text.len);
}
void wire_add_jsonb(struct wire_param *param, struct pk_str json);
/* UTF-8 for certain: bytes that are none become '?'. */
void wire_add_clean_text(struct wire_param *param, struct pk_str text);

/* A composite element: wire_open_row, one wire_field_* per column, wire_close_row. */
size_t wire_open_row(struct wire_param *param, uint32_t fields);
void wire_close_row(struct wire_param *param, size_t row);
void wire_field_null(struct wire_param *param, enum wire_type type);
void wire_field_int8(struct wire_param *param, enum wire_type type, int64_t value);
void wire_field_int4(struct wire_param *param, int32_t value);
void wire_field_float8(struct wire_param *param, double value);
void wire_field_uuid(struct wire_param *param, struct pk_hash value);

/* ---- values of results ---- */

static inline const uint8_t *wire_cell(const PGresult *result, int row, int column)
{
    return (const uint8_t *)PQgetvalue(result, row, column);
}
static inline int64_t wire_get_int8(const PGresult *result, int row, int column) /* null = 0 */
{
    return PQgetisnull(result, row, column) ? 0 : (int64_t)pk_get_be64(wire_cell(result, row, column));
}
static inline double wire_get_float8(const PGresult *result, int row, int column) /* null = 0 */
{
    int64_t bits = wire_get_int8(result, row, column);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
static inline int32_t wire_get_int4(const PGresult *result, int row, int column) /* null = 0 */
{
    return PQgetisnull(result, row, column) ? 0 : (int32_t)pk_get_be32(wire_cell(result, row, column));
}
static inline int wire_get_int2(const PGresult *result, int row, int column) /* null = 0 */
{
    const uint8_t *p = wire_cell(result, row, column);
    return PQgetisnull(result, row, column) ? 0 : (int16_t)((unsigned)p[0] << 8 | p[1]);
}
static inline bool wire_get_bool(const PGresult *result, int row, int column)
{
    return !PQgetisnull(result, row, column) && wire_cell(result, row, column)[0];
}
static inline int64_t wire_get_time(const PGresult *result, int row, int column)
{
    return PQgetisnull(result, row, column) ? PK_NO_TIME : wire_get_int8(result, row, column) + WIRE_EPOCH_US;
}
static inline struct pk_hash wire_get_hash(const PGresult *result, int row, int column)
{
    struct pk_hash hash = {0};
    if (!PQgetisnull(result, row, column))
        memcpy(hash.byte, wire_cell(result, row, column), 16);
    return hash;
}
static inline struct pk_str wire_get_text(const PGresult *result, int row, int column) /* lives as long as result */
{
    if (PQgetisnull(result, row, column))
        return (struct pk_str){0};
    return (struct pk_str){PQgetvalue(result, row, column), (size_t)PQgetlength(result, row, column)};
}

struct wire_list { /* an array without nulls and with fixed-size elements */
    const uint8_t *ptr; /* the first element's length word */
    uint32_t count;
};
struct wire_list wire_get_list(const PGresult *result, int row, int column);

#endif
