/* SPDX-License-Identifier: Apache-2.0 */
/* store_inner.h - what store.c, store_load.c and store_save.c share: the connection, its statements, one
 * round trip at a time. Only for them.
 *
 * The connection is in pipeline mode and non-blocking from its first statement to its end. A round trip is
 * store_send() for each statement, then store_collect(). */
#ifndef POLKU_STORE_INNER_H
#define POLKU_STORE_INNER_H

#include "crash_point.h"
#include "metric.h"
#include "store.h"
#include "store_wire.h"

enum statement {
#define X(id, what, sql) STATEMENT_##id,
#include "store_statement.def"
    STATEMENT_COUNT,
    STATEMENT_ADD_AGGREGATE = STATEMENT_ADD_interaction_hourly, /* + enum aggregate */
};
_Static_assert(STATEMENT_ADD_path_daily - STATEMENT_ADD_AGGREGATE == AGGREGATE_COUNT - 1, "one after the other");

enum store_tx {
    TX_NONE,
    TX_READ_WANTED, /* BEGIN travels with the first load */
    TX_READ,
    TX_WRITE,
};

struct store {
    PGconn *conn; /* NULL after the connection broke */
    struct store_config config;
    struct symbols *symbols;
    const struct rules *rules;  /* as checked; definitions of courses are indexes in them */
    PK_VEC(int32_t) id_of_sym;  /* 0 = not in the dictionary yet */
    size_t known;               /* symbols that have an id */
    PK_VEC(sym_t) sym_of_id;    /* 0 = not known */
    bool unknown_id;            /* a result held an id that sym_of_id lacks */
    PK_VEC(sym_t) unsure;       /* got their ids in the open transaction: they have none if it fails */
    uint32_t promise_type, target_type, rating_type, money_type; /* type OIDs of this database */
    enum store_tx tx;
    bool saving;                /* between store_save_send and store_save_finish */
    bool send_failed;
    bool finishing;             /* what is waited for is the answer to a COMMIT */
    struct store_counters counters;
    PK_VEC(enum statement) sent; /* in this round trip */
    PK_VEC(PGresult *) early;    /* with config.step: answers of those that were sent */
    struct wire_params params;
    int64_t next_cell, end_cell;
    uint8_t month_known[(2200 - 1990) * 12];
    char broken_text[440];
    int64_t leave_at_ms; /* after config.stop was set: nothing is waited for any longer; 0 = not seen yet */
    bool wants_less, lacks_room; /* of the last error */
    int silence_ms; /* no answer for so long: the connection counts as lost; -1 = never */
};

/* Sends a statement with the parameters in store->params. An error shows in store_collect. */
void store_send(struct store *store, enum statement statement);
static inline void store_send_plain(struct store *store, enum statement statement)
{
    wire_reset(&store->params);
    store_send(store, statement);
}
/* Ends the round trip and waits for it. ret_result (as many as were sent, or NULL) are the caller's to clear.
 * If one failed, all are cleared, an open transaction is rolled back, and the status is that of the error. */
enum pk_status store_collect(struct store *store, PGresult **ret_result, struct pk_err *err);
/* The two halves: send the mark without waiting; read all results. */
void store_send_mark(struct store *store);
enum pk_status store_read_results(struct store *store, PGresult **ret_result, struct pk_err *err);

/* The round trip of a load, within a transaction: begin, send, end with `count` results. */
enum pk_status store_begin_load(struct store *store, struct pk_err *err);
enum pk_status store_end_load(struct store *store, PGresult **ret_result, size_t count, struct pk_err *err);
/* store_retain.c: what the decision's row counts. */
void store_save_sealed(struct store *store, const struct changes *changes);
/* store_forget.c: the last of a forgetting's changes. */
void store_save_forgetting(struct store *store, const struct changes *changes);

/* PK_LOST after the connection broke, PK_STOP while a save is under way. */
enum pk_status store_ready(struct store *store, struct pk_err *err);
/* The transaction has failed: symbols that got their ids in it have none. */
void store_forget_unsure(struct store *store);
/* Loads the dictionary again (for ids that another process added). */
enum pk_status store_read_dictionary(struct store *store, struct pk_err *err);
void store_add_fence(struct store *store, const struct store_span *span, size_t spans, bool alone);

static inline int32_t store_id(const struct store *store, sym_t sym) /* store_ensure_dictionary has been called */
{
    return store->id_of_sym.ptr[sym];
}
static inline sym_t store_sym(struct store *store, int32_t id)
{
    if (id > 0 && (size_t)id < store->sym_of_id.len && store->sym_of_id.ptr[id])
        return store->sym_of_id.ptr[id];
    store->unknown_id |= id != 0;
    return 0;
}

/* ---- kinds of columns: SQL type, array type, how to write and read one ---- */

#define SQL_TIME "timestamptz"
#define SQL_UUID "uuid"
#define SQL_HASH "uuid"
#define SQL_INT8 "bigint"
#define SQL_AMOUNT "bigint"
#define SQL_INT4 "int"
#define SQL_SYM "int"
#define SQL_ENUM "smallint"
#define SQL_OWNER "smallint" /* null without a customer */
#define SQL_BOOL "boolean"
#define SQL_TEXT "text"
#define SQL_JSON "jsonb"

#define ARRAY_TIME WIRE_TIMESTAMPTZ
#define ARRAY_UUID WIRE_UUID
#define ARRAY_HASH WIRE_UUID
#define ARRAY_INT8 WIRE_INT8
#define ARRAY_AMOUNT WIRE_INT8
#define ARRAY_INT4 WIRE_INT4
#define ARRAY_SYM WIRE_INT4
#define ARRAY_ENUM WIRE_INT2
#define ARRAY_OWNER WIRE_INT2
#define ARRAY_BOOL WIRE_BOOL
#define ARRAY_TEXT WIRE_TEXT
#define ARRAY_JSON WIRE_JSONB

#define WRITE_TIME(store, param, value) wire_add_time(param, value)
#define WRITE_UUID(store, param, value) wire_add_uuid(param, value)
#define WRITE_HASH(store, param, value) wire_add_hash(param, value)
#define WRITE_INT8(store, param, value) wire_add_int8(param, (int64_t)(value))
#define WRITE_INT4(store, param, value) wire_add_int4(param, (int32_t)(value))
#define WRITE_SYM(store, param, value) store_write_sym(store, param, value)
#define WRITE_ENUM(store, param, value) wire_add_int2(param, (int)(value))
#define WRITE_BOOL(store, param, value) wire_add_bool(param, value)
#define WRITE_TEXT(store, param, value) wire_add_text(param, value)
#define WRITE_JSON(store, param, value) wire_add_jsonb(param, value)

#define READ_TIME(store, arena, result, row, column) wire_get_time(result, row, column)
#define READ_UUID(store, arena, result, row, column) wire_get_hash(result, row, column)
#define READ_HASH(store, arena, result, row, column) wire_get_hash(result, row, column)
#define READ_INT8(store, arena, result, row, column) wire_get_int8(result, row, column)
#define READ_FLOAT8(store, arena, result, row, column) wire_get_float8(result, row, column)
#define READ_INT4(store, arena, result, row, column) wire_get_int4(result, row, column)
#define READ_SYM(store, arena, result, row, column) store_sym(store, wire_get_int4(result, row, column))
#define READ_ENUM(store, arena, result, row, column) wire_get_int2(result, row, column)
#define READ_OWNER READ_ENUM
#define READ_BOOL(store, arena, result, row, column) wire_get_bool(result, row, column)
#define READ_TEXT(store, arena, result, row, column) pk_arena_str(arena, wire_get_text(result, row, column))

static inline void store_write_sym(const struct store *store, struct wire_param *param, sym_t sym)
{
    if (sym)
        wire_add_int4(param, store_id(store, sym));
    else
        wire_add_null(param);
}

#endif
