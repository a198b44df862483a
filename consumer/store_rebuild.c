/* SPDX-License-Identifier: Apache-2.0 */
/* Tables beside those in use, made from the catalog: what the tables in use have, the new ones get. */
#include "store_rebuild_inner.h"
#include "store_rebuild_kafka.h"
#include "store_retain.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define LOCK_WRITERS "482905713525" /* K */
#define LOCK_MIGRATE "482905713526"

/* Tables of schema polku that no rebuild touches. */
#define KEPT "'{dictionary,decision,forgetting,forgotten,former_key,quarantine,quarantine_excess,quarantine_size,retention,rules_state,schema_migration,stream_position}'"
/* The derived ones, partitions included, as pg_class c. */
#define DERIVED "c.relnamespace = 'polku'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> ALL (" KEPT ")"

/* ---- statements as text ---- */

static void send_text(struct store *store, const char *sql)
{
    const char *value[WIRE_MAX_PARAMS];
    int len[WIRE_MAX_PARAMS], format[WIRE_MAX_PARAMS];
    wire_finish(&store->params, value, len, format);
    *pk_vec_push(&store->sent) = STATEMENT_QUERY;
    if (!PQsendQueryParams(store->conn, sql, store->params.count, NULL, value, len, format, 1))
        store->send_failed = true;
}

static enum pk_status say_what(enum pk_status status, const char *what, struct pk_err *err)
{
    if (status == PK_OK || !err)
        return status;
    char why[sizeof err->text];
    memcpy(why, err->text, sizeof why);
    return pk_fail(err, status, "%s: %.450s", what, why);
}

/* Runs one statement with the parameters in store->params; `ret_result` may be NULL. */
static enum pk_status ask(struct store *store, const char *what, const char *sql, PGresult **ret_result, struct pk_err *err)
{
    enum pk_status status = store_ready(store, err);
    if (status != PK_OK)
        return status;
    send_text(store, sql);
    return say_what(store_collect(store, ret_result, err), what, err);
}

static enum pk_status run(struct store *store, const char *what, const char *sql, struct pk_err *err)
{
    wire_reset(&store->params);
    return ask(store, what, sql, NULL, err);
}

enum pk_status store_rebuild_ask(struct store *store, const char *what, const char *sql, PGresult **ret_result,
                                 struct pk_err *err)
{
    return ask(store, what, sql, ret_result, err);
}

enum pk_status store_rebuild_run(struct store *store, const char *what, const char *sql, struct pk_err *err)
{
    return run(store, what, sql, err);
}

static void take_text(const PGresult *result, char *ret, size_t size)
{
    struct pk_str text = wire_get_text(result, 0, 0);
    snprintf(ret, size, "%.*s", PK_STR_ARG(text));
}

/* A query that gives one text. */
static enum pk_status ask_text(struct store *store, const char *what, const char *sql, char *ret, size_t size,
                               struct pk_err *err)
{
    PGresult *result;
    wire_reset(&store->params);
    enum pk_status status = ask(store, what, sql, &result, err);
    if (status != PK_OK)
        return status;
    take_text(result, ret, size);
    PQclear(result);
    return PK_OK;
}

static enum pk_status ask_bool(struct store *store, const char *what, const char *sql, bool *ret, struct pk_err *err)
{
    PGresult *result;
    wire_reset(&store->params);
    enum pk_status status = ask(store, what, sql, &result, err);
    if (status != PK_OK)
        return status;
    *ret = wire_get_bool(result, 0, 0);
    PQclear(result);
    return PK_OK;
}

/* A store's session finds rows by key only (store.c); what asks the catalog, or counts, must not be planned so. */
static enum pk_status plan_freely(struct store *store, bool freely, struct pk_err *err)
{
    static const char on[] = "SELECT set_config(s, 'on', false) FROM unnest('{enable_seqscan,enable_hashjoin,enable_mergejoin}'::text[]) s",
                      off[] = "SELECT set_config(s, 'off', false) FROM unnest('{enable_seqscan,enable_hashjoin,enable_mergejoin}'::text[]) s";
    return run(store, "set up the planner", freely ? on : off, err);
}

/* ---- may it be done? ---- */

enum pk_status store_rebuild_lock(struct store *old, struct pk_err *err)
{
    bool got;
    enum pk_status status = ask_bool(old, "look for another rebuild", "SELECT pg_try_advisory_lock(" LOCK_MIGRATE ")", &got, err);
    if (status == PK_OK && !got)
        return pk_fail(err, PK_STOP, "another rebuild or a migration of this database is at work: let it come to its end");
    return status == PK_OK ? plan_freely(old, true, err) : status;
}

/* The first reason why this user cannot do it; empty = none. Dependents: plain views are made again, indexes and
 * constraints of the tables too; anything else would be lost. */
static const char obstacle_sql[] =
    "WITH t AS (SELECT c.oid, c.relname, c.relowner, c.reltype FROM pg_class c WHERE " DERIVED "), "
    "v AS (SELECT DISTINCT w.oid, w.relowner, w.relkind, t.relname FROM t "
    " JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid AND d.classid = 'pg_rewrite'::regclass "
    " JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class w ON w.oid = r.ev_class), "
    "o AS (SELECT 'pg_class'::regclass AS class, oid, relname FROM t UNION ALL SELECT 'pg_type'::regclass, y.oid, t.relname"
    " FROM t JOIN pg_type y ON t.reltype IN (y.oid, y.typelem)) "
    "SELECT coalesce("
    "(SELECT format('%s may not make schemas in this database: run it as the user of migrate', current_user) "
    " WHERE NOT has_database_privilege(current_database(), 'CREATE')), "
    "(SELECT format('the table polku.%s belongs to %s, and %s is not a member: run it as the user of migrate',"
    " t.relname, t.relowner::regrole, current_user) FROM t WHERE NOT pg_has_role(t.relowner, 'USAGE') LIMIT 1), "
    "(SELECT format('the view %s reads polku.%s and belongs to %s, of whom %s is not a member', v.oid::regclass, v.relname,"
    " v.relowner::regrole, current_user) FROM v WHERE v.relkind = 'v' AND NOT pg_has_role(v.relowner, 'USAGE') LIMIT 1), "
    "(SELECT format('the materialized view %s reads polku.%s: drop it, and make it again afterwards, of views of schema bi',"
    " v.oid::regclass, v.relname) FROM v WHERE v.relkind <> 'v' LIMIT 1), "
    "(SELECT format('%s depends on polku.%s and would be lost: drop it, and make it again afterwards',"
    " pg_describe_object(d.classid, d.objid, d.objsubid), o.relname) FROM o JOIN pg_depend d ON d.refclassid = o.class AND d.refobjid = o.oid"
    " WHERE d.classid NOT IN ('pg_class'::regclass, 'pg_type'::regclass, 'pg_attrdef'::regclass, 'pg_rewrite'::regclass)"
    " AND NOT (d.classid = 'pg_constraint'::regclass AND EXISTS (SELECT FROM pg_constraint k WHERE k.oid = d.objid AND k.conrelid IN (SELECT oid FROM t)))"
    " LIMIT 1), "
    "(SELECT format('a column of %s has a type of polku.%s', d.objid::regclass, o.relname) FROM o JOIN pg_depend d"
    " ON d.refclassid = o.class AND d.refobjid = o.oid WHERE o.class = 'pg_type'::regclass AND d.classid = 'pg_class'::regclass LIMIT 1), "
    "'')";

static enum pk_status check_state(const PGresult *result, const struct rules *rules, struct pk_hash key_check, bool may_rehash,
                                  struct rebuild_state *ret, struct pk_err *err)
{
    if (PQntuples(result) == 0) {
        *ret = (struct rebuild_state){.empty = true};
        return PK_OK;
    }
    struct pk_hash hashing = wire_get_hash(result, 0, 3), key = wire_get_hash(result, 0, 2);
    bool same_key = pk_hash_eq(key, key_check), same_hashing = pk_hash_zero(hashing) || pk_hash_eq(hashing, rules->hashing_hash);
    if (!same_key && !may_rehash)
        return pk_fail(err, PK_STOP, "the database was derived with another hash key: give the key with which it was begun; "
                                     "another one needs the events themselves: rebuild --from-kafka");
    if (!same_hashing && !may_rehash)
        return pk_fail(err, PK_STOP, "the rules file hashes identifiers in another way than the database was derived with "
                                     "(namespaces, normalisers, blocked values or the country); the tables hold hashes only: "
                                     "the events must be read again: rebuild --from-kafka");
    *ret = (struct rebuild_state){
        .same = wire_get_int4(result, 0, 1) == DERIVATION_VERSION &&
                pk_hash_eq(wire_get_hash(result, 0, 0), rules->file_hash),
        .hashing_known = !pk_hash_zero(hashing),
        .rehashed = !same_key || !same_hashing,
        .key_check = key,
        .hashing = hashing,
    };
    return PK_OK;
}

enum pk_status store_rebuild_check(struct store *old, const struct rules *rules, struct pk_hash key_check, bool may_rehash,
                                   struct rebuild_state *ret, struct pk_err *err)
{
    PGresult *result;
    wire_reset(&old->params);
    enum pk_status status = ask(old, "read the hash of the rules",
                                "SELECT rules_hash, derivation_version, key_check, hashing_hash FROM polku.rules_state",
                                &result, err);
    if (status != PK_OK)
        return status;
    status = check_state(result, rules, key_check, may_rehash, ret, err);
    PQclear(result);
    char obstacle[400] = "";
    if (status == PK_OK)
        status = ask_text(old, "look for what depends on the tables", obstacle_sql, obstacle, sizeof obstacle, err);
    if (status == PK_OK && obstacle[0])
        return pk_fail(err, PK_STOP, "%s", obstacle);
    return status;
}

enum pk_status store_rebuild_count(struct store *old, int64_t *ret_events, struct pk_err *err)
{
    PGresult *result;
    wire_reset(&old->params);
    enum pk_status status = ask(old, "count the events", "SELECT count(*) FROM polku.interaction", &result, err);
    if (status != PK_OK)
        return status;
    *ret_events = wire_get_int8(result, 0, 0);
    PQclear(result);
    return PK_OK;
}

/* ---- the tables beside ---- */

/* LIKE does not know of storage parameters, and names indexes itself. Partitions get the indexes of their parent when they
 * are attached, as in polku.ensure_months. Decisions and the state of the rules are made beside too, for the committer; they are
 * dropped at the swap. */
static const char make_sql[] =
    "DO $make$ "
    "DECLARE t record; i record; "
    "BEGIN "
    " CREATE SCHEMA " REBUILD_SCHEMA "; "
    " COMMENT ON SCHEMA " REBUILD_SCHEMA " IS 'Tables that polku-consumer fills beside those in use; what an interrupted one leaves, the next one drops.'; "
    " FOR t IN SELECT c.oid, c.relname, pg_get_partkeydef(c.oid) AS part_key, c.reloptions FROM pg_class c"
    "  WHERE (" DERIVED " OR c.oid IN ('polku.decision'::regclass, 'polku.rules_state'::regclass)) AND NOT c.relispartition LOOP "
    "  EXECUTE format('CREATE TABLE " REBUILD_SCHEMA ".%1$I (LIKE polku.%1$I INCLUDING DEFAULTS INCLUDING CONSTRAINTS"
    "   INCLUDING IDENTITY INCLUDING GENERATED INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING COMMENTS)', t.relname)"
    "   || coalesce(' PARTITION BY ' || t.part_key, '') || coalesce(' WITH (' || array_to_string(t.reloptions, ', ') || ')', ''); "
    "  FOR i IN SELECT k.conname, pg_get_constraintdef(k.oid) AS text FROM pg_constraint k"
    "   WHERE k.conrelid = t.oid AND k.contype IN ('p', 'u', 'x') ORDER BY k.oid LOOP "
    "   EXECUTE format('ALTER TABLE " REBUILD_SCHEMA ".%I ADD CONSTRAINT %I %s', t.relname, i.conname, i.text); "
    "  END LOOP; "
    "  FOR i IN SELECT pg_get_indexdef(x.indexrelid) AS text FROM pg_index x WHERE x.indrelid = t.oid"
    "   AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.indexrelid AND k.conrelid = t.oid) ORDER BY x.indexrelid LOOP "
    "   EXECUTE regexp_replace(i.text, ' ON (ONLY )?polku\\.', ' ON " REBUILD_SCHEMA ".'); "
    "  END LOOP; "
    "  EXECUTE format('COMMENT ON TABLE " REBUILD_SCHEMA ".%I IS %L', t.relname, obj_description(t.oid, 'pg_class')); "
    " END LOOP; "
    " FOR t IN SELECT c.relname, string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum) AS columns"
    "  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
    "  WHERE c.relnamespace = 'polku'::regnamespace AND c.relkind = 'c' GROUP BY c.relname LOOP "
    "  EXECUTE format('CREATE TYPE " REBUILD_SCHEMA ".%I AS (%s)', t.relname, t.columns); "
    " END LOOP; "
    " FOR t IN SELECT pg_get_functiondef(p.oid) AS text FROM pg_proc p WHERE p.pronamespace = 'polku'::regnamespace"
    "  AND p.prolang = (SELECT l.oid FROM pg_language l WHERE l.lanname = 'plpgsql') AND p.proname NOT IN ('claim', 'fence', 'intern', 'retain', 'drop_months') LOOP "
    "  EXECUTE regexp_replace(t.text, '\\mpolku\\.', '" REBUILD_SCHEMA ".', 'g'); "
    " END LOOP; "
    "END $make$";

/* Months, then owners and rights, that the tables in use have and the new ones lack. */
static const char months_sql[] =
    "DO $months$ "
    "DECLARE t record; i record; "
    "BEGIN "
    " FOR t IN SELECT c.oid, c.relname, parent.relname AS parent, pg_get_expr(c.relpartbound, c.oid) AS bound, c.reloptions"
    "  FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid JOIN pg_class parent ON parent.oid = h.inhparent"
    "  WHERE " DERIVED " AND parent.relnamespace = 'polku'::regnamespace"
    "  AND to_regclass(format('" REBUILD_SCHEMA ".%I', c.relname)) IS NULL ORDER BY c.relname LOOP "
    "  EXECUTE format('CREATE TABLE " REBUILD_SCHEMA ".%1$I (LIKE polku.%1$I INCLUDING DEFAULTS INCLUDING CONSTRAINTS"
    "   INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING COMMENTS)', t.relname)"
    "   || coalesce(' WITH (' || array_to_string(t.reloptions, ', ') || ')', ''); "
    "  EXECUTE format('ALTER TABLE " REBUILD_SCHEMA ".%I ATTACH PARTITION " REBUILD_SCHEMA ".%I %s', t.parent, t.relname, t.bound); "
    "  EXECUTE format('COMMENT ON TABLE " REBUILD_SCHEMA ".%I IS %L', t.relname, obj_description(t.oid, 'pg_class')); "
    " END LOOP; "
    "END $months$";
static const char rights_sql[] =
    "DO $rights$ "
    "DECLARE t record; i record; "
    "BEGIN "
    " SELECT n.nspowner INTO t FROM pg_namespace n WHERE n.nspname = 'polku'; "
    " IF t.nspowner <> (SELECT n.nspowner FROM pg_namespace n WHERE n.nspname = '" REBUILD_SCHEMA "') THEN "
    "  EXECUTE format('ALTER SCHEMA " REBUILD_SCHEMA " OWNER TO %s', t.nspowner::regrole); "
    " END IF; "
    " FOR t IN SELECT c.oid, c.relname, c.relowner, c.relowner <> n.relowner AS given, c.relacl FROM pg_class c"
    "  JOIN pg_class n ON n.relname = c.relname AND n.relnamespace = '" REBUILD_SCHEMA "'::regnamespace"
    "  WHERE " DERIVED " AND (c.relowner <> n.relowner OR c.relacl IS DISTINCT FROM n.relacl) LOOP "
    "  IF t.given THEN "
    "   EXECUTE format('ALTER TABLE " REBUILD_SCHEMA ".%I OWNER TO %s', t.relname, t.relowner::regrole); "
    "  END IF; "
    "  FOR i IN SELECT a.privilege_type AS may, '' AS part, a.grantee, a.is_grantable FROM aclexplode(t.relacl) a WHERE a.grantee <> t.relowner"
    "   UNION ALL SELECT a.privilege_type, format(' (%I)', k.attname), a.grantee, a.is_grantable"
    "   FROM pg_attribute k CROSS JOIN LATERAL aclexplode(k.attacl) a WHERE k.attrelid = t.oid AND k.attacl IS NOT NULL LOOP "
    "   EXECUTE format('GRANT %s%s ON " REBUILD_SCHEMA ".%I TO %s%s', i.may, i.part, t.relname,"
    "    CASE i.grantee WHEN 0 THEN 'PUBLIC' ELSE i.grantee::regrole::text END, CASE WHEN i.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END); "
    "  END LOOP; "
    " END LOOP; "
    "END $rights$";

/* The session that fills them may still be at a statement when its client is gone; it has K until it ends. Without
 * waiting for that, each of the two would want what the other has. */
enum pk_status store_rebuild_drop(struct store *old, struct pk_err *err)
{
    enum pk_status status =
        run(old, "wait for whoever fills the new tables", "SELECT pg_advisory_lock(" LOCK_WRITERS ")", err);
    if (status != PK_OK)
        return status;
    status = run(old, "drop the new tables", "DROP SCHEMA IF EXISTS " REBUILD_SCHEMA " CASCADE", err);
    struct pk_err ignored = {0};
    if (status != PK_LOST)
        run(old, "let consumers go on", "SELECT pg_advisory_unlock(" LOCK_WRITERS ")", &ignored);
    return status;
}

enum pk_status store_rebuild_make(struct store *old, struct pk_err *err)
{
    enum pk_status status = store_rebuild_drop(old, err);
    if (status == PK_OK)
        status = run(old, "make the new tables", make_sql, err);
    if (status == PK_OK)
        status = store_rebuild_months(old, err);
    return status == PK_OK ? plan_freely(old, false, err) : status;
}

enum pk_status store_rebuild_months(struct store *shadow, struct pk_err *err)
{
    enum pk_status status = run(shadow, "make the new tables' months", months_sql, err);
    return status == PK_OK ? run(shadow, "give the new tables to their owners", rights_sql, err) : status;
}

/* A text that names REBUILD_SCHEMA, for another one. */
static enum pk_status run_in(struct store *store, const char *schema, const char *what, const char *sql, struct pk_err *err)
{
    struct pk_buf text PK_AUTO(pk_buf_done) = {0};
    const char *at;
    while ((at = strstr(sql, REBUILD_SCHEMA))) {
        pk_buf_add(&text, sql, (size_t)(at - sql));
        pk_buf_text(&text, schema);
        sql = at + strlen(REBUILD_SCHEMA);
    }
    pk_buf_text(&text, sql);
    return run(store, what, text.ptr, err);
}

enum pk_status store_rebuild_make_in(struct store *old, const char *schema, struct pk_err *err)
{
    enum pk_status status = plan_freely(old, true, err);
    if (status == PK_OK)
        status = run_in(old, schema, "make the tables", make_sql, err);
    if (status == PK_OK)
        status = run_in(old, schema, "make the tables' months", months_sql, err);
    return status == PK_OK ? plan_freely(old, false, err) : status;
}

/* ---- decisions ---- */

static const char decisions_sql[] =
    "SELECT kind, a, b, a_kind, b_kind, a_namespace_id, b_namespace_id, decided_by, note FROM polku.decision"
    " WHERE restored_at IS NULL ORDER BY decision_id";

enum pk_status store_rebuild_decisions(struct store *old, struct pk_arena *arena, struct rebuild_decisions *ret,
                                       struct pk_err *err)
{
    PGresult *result;
    enum pk_status status = store_read_dictionary(old, err); /* what the last batches added */
    wire_reset(&old->params);
    if (status == PK_OK)
        status = ask(old, "read the decisions", decisions_sql, &result, err);
    if (status != PK_OK)
        return status;
    size_t count = (size_t)PQntuples(result);
    struct rebuild_decisions decisions = {PK_NEW_ARRAY(arena, struct change_decision, count + 1), count};
    for (size_t i = 0; i < count; i++) {
        int row = (int)i;
        decisions.decision[i] = (struct change_decision){
            .kind = (enum decision_kind)wire_get_int2(result, row, 0),
            .a = wire_get_hash(result, row, 1),
            .b = wire_get_hash(result, row, 2),
            .kind_a = (enum key_kind)wire_get_int2(result, row, 3),
            .kind_b = (enum key_kind)wire_get_int2(result, row, 4),
            .name_space_a = store_sym(old, wire_get_int4(result, row, 5)),
            .name_space_b = store_sym(old, wire_get_int4(result, row, 6)),
            .by = pk_arena_str(arena, wire_get_text(result, row, 7)),
            .note = pk_arena_str(arena, wire_get_text(result, row, 8)),
        };
    }
    PQclear(result);
    *ret = decisions;
    return PK_OK;
}

/* ---- events ---- */

/* By the primary key, from where the page before ended: no snapshot is held from page to page, so that the new tables' dead
 * rows can be cleaned away. The comparison of rows finds the place in the index; the one of times leaves months out. */
static void page_sql(struct pk_buf *sql, bool older)
{
    pk_buf_text(sql, "SELECT ");
#define X(kind, column, member) pk_buf_text(sql, "i." #column ", ");
#define P(kind, column, member) X(kind, column, member)
#define R(kind, column, member) pk_buf_text(sql, "i." #column ", "); /* not by X: NULL is a macro of C */
#define W(kind, column, member) X(kind, column, member)
#include "store_interaction.def"
    pk_buf_text(sql,
                "i.identifiers, i.identifier_namespaces, CASE WHEN i.identifier_namespaces && $4::int[] THEN"
                " ARRAY(SELECT coalesce(k.value, '') FROM unnest(i.identifiers, i.identifier_namespaces) WITH ORDINALITY"
                " AS n (hash, namespace_id, place)"
                " LEFT JOIN polku.identifier k ON k.hash = n.hash AND n.namespace_id = ANY ($4::int[]) ORDER BY n.place) END"
                " FROM polku.interaction i WHERE i.occurred_at >= $1::timestamptz"
                " AND (i.occurred_at, i.event_hash) > ($1::timestamptz, $2::uuid)");
    pk_buf_text(sql, older ? " AND " REBUILD_OLDER_ALONE : "");
    pk_buf_text(sql, " ORDER BY i.occurred_at, i.event_hash LIMIT $3::int");
}

void store_rebuild_send_page(struct store *old, const struct rebuild_page *page)
{
    struct pk_buf sql PK_AUTO(pk_buf_done) = {0};
    struct wire_params *params = &old->params;
    if (!old->conn)
        return; /* shows when the page is read */
    page_sql(&sql, page->older);
    wire_reset(params);
    if (page->after_us == INT64_MIN)
        wire_int8(params, INT64_MIN); /* -infinity */
    else
        wire_time(params, page->after_us);
    wire_uuid(params, page->after);
    wire_int4(params, page->count);
    struct wire_param *clear = wire_array(params, WIRE_INT4);
    for (size_t i = 0; i < page->clears; i++)
        wire_add_int4(clear, store_id(old, page->clear[i]));
    send_text(old, sql.ptr);
    store_send_mark(old);
    PQflush(old->conn);
}

#define READ_JSON(store, arena, result, row, column) read_json(arena, result, row, column)

static struct pk_str read_json(struct pk_arena *arena, const PGresult *result, int row, int column)
{
    struct pk_str text = wire_get_text(result, row, column);
    if (!text.ptr)
        return text;
    return pk_arena_str(arena, (struct pk_str){text.ptr + 1, text.len - 1}); /* behind the version of the format */
}

static void read_identifiers(struct store *store, struct pk_arena *arena, const PGresult *result, int row, int column,
                             struct fact *fact)
{
    struct wire_list hash = wire_get_list(result, row, column), name_space = wire_get_list(result, row, column + 1),
                     value = wire_get_list(result, row, column + 2);
    uint32_t count = PK_MIN(PK_MIN(hash.count, name_space.count), (uint32_t)FACT_MAX_IDENTIFIERS);
    struct fact_identifier *identifier = count ? PK_NEW_ARRAY(arena, struct fact_identifier, count) : NULL;
    const uint8_t *text = value.ptr;
    for (uint32_t i = 0; i < count; i++) {
        memcpy(identifier[i].hash.byte, hash.ptr + 20 * (size_t)i + 4, 16);
        identifier[i].name_space = store_sym(store, (int32_t)pk_get_be32(name_space.ptr + 8 * (size_t)i + 4));
        if (i >= value.count)
            continue;
        uint32_t len = pk_get_be32(text);
        if (len > 0)
            identifier[i].value = pk_arena_str(arena, (struct pk_str){(const char *)text + 4, len});
        text += 4 + len;
    }
    fact->identifier = identifier;
    fact->identifier_count = (uint8_t)count;
}

static void read_fact(struct store *store, struct pk_arena *arena, const PGresult *result, int row, struct fact *fact)
{
    int column = 0;
#define X(kind, name, member) fact->member = READ_##kind(store, arena, result, row, column), column++;
#define P(kind, name, member) X(kind, name, member)
#define R(kind, name, member) X(kind, name, member)
#define W(kind, name, member) X(kind, name, member)
#include "store_interaction.def"
    fact->traits = 0; /* of the rules of then */
    fact->customer = fact->sighted = (struct pk_hash){0}; /* derived anew */
    fact->customer_kind = KEY_PERSON;
    fact->has_promise = !pk_hash_zero(fact->promise.id);
    read_identifiers(store, arena, result, row, column, fact);
}

enum pk_status store_rebuild_read_page(struct store *old, struct pk_arena *arena, struct store_facts *ret,
                                       struct pk_err *err)
{
    PGresult *result;
    enum pk_status status = store_ready(old, err);
    if (status == PK_OK)
        status = say_what(store_read_results(old, &result, err), "read events", err);
    if (status != PK_OK)
        return status;
    size_t count = (size_t)PQntuples(result);
    struct store_facts facts = {PK_NEW_ARRAY(arena, struct fact, count + 1), count};
    for (size_t i = 0; i < count; i++)
        read_fact(old, arena, result, (int)i, &facts.fact[i]);
    PQclear(result);
    if (old->unknown_id)
        return pk_fail(err, PK_STOP, "a row holds an id that polku.dictionary lacks: somebody changed the tables");
    *ret = facts;
    return PK_OK;
}

/* ---- alone ---- */

enum pk_status store_rebuild_hold(struct store *shadow, struct pk_err *err)
{
    return run(shadow, "wait for the consumers' batches", "SELECT pg_advisory_lock(" LOCK_WRITERS ")", err);
}

enum pk_status store_rebuild_begin_fill(struct store *shadow, const struct rules *rules, struct pk_err *err)
{
    enum pk_status status = run(shadow, "begin the filling", "SET synchronous_commit = off", err);
    if (status == PK_OK)
        status = store_rebuild_bury(shadow, rules, err);
    return status == PK_OK ? store_rebuild_constants(shadow, rules, err) : status;
}

static void add_namespaces(struct store *shadow, const struct rules *rules, bool persons)
{
    struct wire_param *id = wire_array(&shadow->params, WIRE_INT4);
    for (sym_t sym = 1; sym < symbols_count(shadow->symbols); sym++) {
        const struct rules_namespace *found = fact_namespace(rules, symbol_text(shadow->symbols, sym));
        if (found && (found->class_ == RULES_PERSON) == persons)
            wire_add_int4(id, store_id(shadow, sym));
    }
}

/* `sql` names the schema as @; with the parameters in store->params. */
static enum pk_status ask_in(struct store *shadow, const char *what, const char *sql, PGresult **ret_result, struct pk_err *err)
{
    struct pk_buf text PK_AUTO(pk_buf_done) = {0};
    for (const char *at = sql; *at; at++)
        if (*at == '@')
            pk_buf_text(&text, shadow->config.schema);
        else
            pk_buf_add(&text, at, 1);
    return ask(shadow, what, text.ptr, ret_result, err);
}

/* Names that are forgotten are keys from the start, as the forgetting left them; cells of the tables in use are cells here too
 * (ids are given out once for all schemas). */
enum pk_status store_rebuild_bury(struct store *shadow, const struct rules *rules, struct pk_err *err)
{
    static const char sql[] =
        "WITH k AS (SELECT DISTINCT ON (i.hash) i.hash, i.namespace_id, i.cell_id,"
        " CASE WHEN i.kind IN (0, 1) AND i.namespace_id = ANY ($1::int[]) THEN 0"
        " WHEN i.kind IN (0, 1) AND i.namespace_id = ANY ($2::int[]) THEN 1 ELSE i.kind END AS kind"
        " FROM polku.forgotten f JOIN polku.identifier i ON i.hash = f.name), "
        "c AS (INSERT INTO @.guard_cell (cell_id, version)"
        " SELECT DISTINCT k.cell_id, ('x' || translate(left(gen_random_uuid()::text, 18), '-', ''))::bit(64)::bigint FROM k"
        " ON CONFLICT DO NOTHING) "
        "INSERT INTO @.identifier (hash, kind, namespace_id, cell_id, flags)"
        " SELECT k.hash, k.kind, k.namespace_id, k.cell_id, 128 FROM k ON CONFLICT DO NOTHING";
    enum pk_status status = store_ensure_dictionary(shadow, err);
    if (status != PK_OK)
        return status;
    wire_reset(&shadow->params);
    add_namespaces(shadow, rules, true);
    add_namespaces(shadow, rules, false);
    return ask_in(shadow, "keep forgotten what is forgotten", sql, NULL, err);
}

/* ---- what sealed events left ---- */

/* In two lists: those of the rules that are persons', and their priorities. */
static void add_priorities(struct store *shadow, const struct rules *rules)
{
    struct wire_param *id = wire_array(&shadow->params, WIRE_INT4), *priority = wire_array(&shadow->params, WIRE_INT4);
    for (sym_t sym = 1; sym < symbols_count(shadow->symbols); sym++) {
        const struct rules_namespace *found = fact_namespace(rules, symbol_text(shadow->symbols, sym));
        if (!found || found->class_ != RULES_PERSON)
            continue;
        wire_add_int4(id, store_id(shadow, sym));
        wire_add_int4(priority, (int32_t)found->priority);
    }
}

static void add_clear_namespaces(struct store *shadow, const struct rules *rules)
{
    struct wire_param *id = wire_array(&shadow->params, WIRE_INT4);
    for (sym_t sym = 1; sym < symbols_count(shadow->symbols); sym++) {
        const struct rules_namespace *found = fact_namespace(rules, symbol_text(shadow->symbols, sym));
        if (found && found->store_clear)
            wire_add_int4(id, store_id(shadow, sym));
    }
}

/* The events that would say otherwise are gone. */
static enum pk_status check_sealed_persons(struct store *shadow, const struct rules *rules, struct pk_err *err)
{
    static const char sql[] =
        "SELECT coalesce((SELECT d.text FROM polku.identifier i JOIN polku.dictionary d ON d.id = i.namespace_id"
        " WHERE i.sealed_at IS NOT NULL AND i.namespace_id <> ALL ($1::int[]) LIMIT 1), '')";
    PGresult *result;
    wire_reset(&shadow->params);
    add_namespaces(shadow, rules, true);
    enum pk_status status = ask(shadow, "look at sealed identifiers", sql, &result, err);
    if (status != PK_OK)
        return status;
    char name[200];
    take_text(result, name, sizeof name);
    PQclear(result);
    return !name[0] ? PK_OK : pk_fail(err, PK_STOP, "events of the past are sealed (retain), and these rules give %s another class: who is who "
                                      "could not be told again", name);
}

struct member {
    struct pk_hash hash;
    sym_t name_space;
    int priority;
};

/* By priority; those of one namespace stay in the order in which they stood in the event. */
static uint32_t read_members(struct store *shadow, const struct rules *rules, const PGresult *result, int row, struct member *ret)
{
    struct wire_list hash = wire_get_list(result, row, 1), name_space = wire_get_list(result, row, 2);
    uint32_t count = PK_MIN(hash.count, (uint32_t)FACT_MAX_IDENTIFIERS);
    for (uint32_t i = 0; i < count; i++) {
        struct member member = {.name_space = store_sym(shadow, (int32_t)pk_get_be32(name_space.ptr + 8 * (size_t)i + 4))};
        uint32_t at = i;
        memcpy(member.hash.byte, hash.ptr + 20 * (size_t)i + 4, 16);
        member.priority = fact_namespace(rules, symbol_text(shadow->symbols, member.name_space))->priority;
        for (; at > 0 && ret[at - 1].priority > member.priority; at--)
            ret[at] = ret[at - 1];
        ret[at] = member;
    }
    return count;
}

static struct pk_hash meeting_of(const struct member *member, uint32_t count)
{
    struct fact_name name[FACT_MAX_IDENTIFIERS];
    for (uint32_t i = 0; i < count; i++)
        name[i] = (struct fact_name){.hash = member[i].hash};
    return fact_meeting(&(struct fact){.person_count = (uint8_t)count, .person = name});
}

static enum pk_status put_in_order(struct store *shadow, const struct rules *rules, const PGresult *result, struct pk_err *err)
{
    static const char sql[] =
        "UPDATE @.identity_meeting m SET meeting_id = u.id, members = ($1::uuid[])[u.first : u.last],"
        " member_namespaces = ($2::int[])[u.first : u.last]"
        " FROM (SELECT unnest($3::uuid[]) AS old, unnest($4::uuid[]) AS id, unnest($5::int[]) AS first, unnest($6::int[]) AS last) u"
        " WHERE m.identifier = ANY (($1::uuid[])[u.first : u.last]) AND m.meeting_id = u.old";
    wire_reset(&shadow->params);
    struct wire_param *hash = wire_array(&shadow->params, WIRE_UUID), *name_space = wire_array(&shadow->params, WIRE_INT4),
                      *old = wire_array(&shadow->params, WIRE_UUID), *id = wire_array(&shadow->params, WIRE_UUID),
                      *first = wire_array(&shadow->params, WIRE_INT4), *last = wire_array(&shadow->params, WIRE_INT4);
    for (int row = 0; row < PQntuples(result); row++) {
        struct member member[FACT_MAX_IDENTIFIERS];
        uint32_t count = read_members(shadow, rules, result, row, member);
        wire_add_uuid(old, wire_get_hash(result, row, 0));
        wire_add_uuid(id, meeting_of(member, count));
        wire_add_int4(first, (int32_t)hash->count + 1);
        wire_add_int4(last, (int32_t)(hash->count + count));
        for (uint32_t i = 0; i < count; i++) {
            wire_add_uuid(hash, member[i].hash);
            wire_add_int4(name_space, store_id(shadow, member[i].name_space));
        }
    }
    return ask_in(shadow, "order the persons of sealed events", sql, NULL, err);
}

/* Sealed meetings whose persons these rules order in another way. */
static enum pk_status order_meetings(struct store *shadow, const struct rules *rules, struct pk_err *err)
{
    static const char sql[] =
        "SELECT DISTINCT ON (m.meeting_id) m.meeting_id, m.members, m.member_namespaces FROM @.identity_meeting m"
        " WHERE EXISTS (SELECT FROM (SELECT r.priority, lag(r.priority) OVER (ORDER BY x.place) AS before"
        " FROM unnest(m.member_namespaces) WITH ORDINALITY x (id, place)"
        " JOIN (SELECT unnest($1::int[]) AS id, unnest($2::int[]) AS priority) r ON r.id = x.id) p WHERE p.before > p.priority) LIMIT 4096";
    enum pk_status status = PK_OK;
    for (int rows = 1; rows > 0 && status == PK_OK;) {
        PGresult *result;
        wire_reset(&shadow->params);
        add_priorities(shadow, rules);
        status = ask_in(shadow, "look at the persons of sealed events", sql, &result, err);
        if (status != PK_OK)
            return status;
        rows = PQntuples(result);
        if (rows > 0)
            status = put_in_order(shadow, rules, result, err);
        PQclear(result);
    }
    return status;
}

/* Persons are nobody's yet (refill_identity). Whatever else they were met with, events tell. */
static enum pk_status copy_sealed_keys(struct store *shadow, const struct rules *rules, struct pk_err *err)
{
    static const char sql[] =
        "WITH k AS (SELECT i.* FROM polku.identifier i WHERE i.sealed_at IS NOT NULL OR i.flags & 256 <> 0"
        " OR EXISTS (SELECT FROM polku.customer c WHERE c.customer_id = i.hash AND c.sealed_events > 0)), "
        "c AS (INSERT INTO @.guard_cell (cell_id, version)"
        " SELECT DISTINCT k.cell_id, ('x' || translate(left(gen_random_uuid()::text, 18), '-', ''))::bit(64)::bigint FROM k"
        " ON CONFLICT DO NOTHING) "
        "INSERT INTO @.identifier AS n (hash, kind, namespace_id, cell_id, owner_id, flags, first_at, sealed_at, value)"
        " SELECT k.hash, CASE WHEN k.kind IN (0, 1) AND k.namespace_id = ANY ($1::int[]) THEN 0"
        " WHEN k.kind IN (0, 1) AND k.namespace_id = ANY ($2::int[]) THEN 1 ELSE k.kind END, k.namespace_id, k.cell_id, k.owner_id,"
        " k.flags & 256, k.sealed_at, k.sealed_at, CASE WHEN k.namespace_id = ANY ($3::int[]) THEN k.value END FROM k"
        " ON CONFLICT (hash) DO UPDATE SET owner_id = excluded.owner_id, first_at = excluded.first_at, sealed_at = excluded.sealed_at,"
        " value = excluded.value";
    wire_reset(&shadow->params);
    add_namespaces(shadow, rules, true);
    add_namespaces(shadow, rules, false);
    add_clear_namespaces(shadow, rules);
    return ask_in(shadow, "keep what sealed events told of identifiers", sql, NULL, err);
}

enum pk_status store_rebuild_constants(struct store *shadow, const struct rules *rules, struct pk_err *err)
{
    static const char rows[] =
        "DO $constants$ "
        "DECLARE t record; "
        "BEGIN "
        " INSERT INTO @.journey SELECT * FROM polku.journey j WHERE j.sealed; "
        " INSERT INTO @.course SELECT c.* FROM polku.course c JOIN polku.journey j ON j.journey_id = c.journey_id AND j.sealed; "
        " INSERT INTO @.obligation SELECT * FROM polku.obligation o WHERE o.sealed; "
        " INSERT INTO @.identity_meeting SELECT * FROM polku.identity_meeting m WHERE m.sealed; "
        " INSERT INTO @.customer SELECT * FROM polku.customer c WHERE c.sealed_events > 0; "
        " UPDATE @.customer SET kind = sealed_kind, purchases = sealed_purchases, first_purchase_at = sealed_first_purchase_at,"
        "  last_purchase_at = sealed_last_purchase_at; "
        " FOR t IN SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'slot'"
        "  WHERE " DERIVED " LOOP "
        "  EXECUTE format('INSERT INTO @.%1$I SELECT * FROM polku.%1$I s WHERE s.slot = -1', t.relname); "
        " END LOOP; "
        "END $constants$";
    int64_t before_us;
    enum pk_status status = store_retained(shadow, &before_us, err);
    if (status != PK_OK || before_us == PK_NO_TIME)
        return status;
    status = check_sealed_persons(shadow, rules, err);
    wire_reset(&shadow->params);
    if (status == PK_OK)
        status = ask_in(shadow, "keep what is sealed", rows, NULL, err);
    if (status == PK_OK)
        status = order_meetings(shadow, rules, err);
    return status == PK_OK ? copy_sealed_keys(shadow, rules, err) : status;
}

enum pk_status store_rebuild_sealed_persons(struct store *shadow, struct pk_hash after, size_t limit, struct pk_arena *arena,
                                            struct pk_hash **ret, size_t *ret_count, struct pk_err *err)
{
    char sql[200];
    PGresult *result;
    snprintf(sql, sizeof sql, "SELECT i.hash FROM %s.identifier i WHERE i.sealed_at IS NOT NULL AND i.hash > $1 ORDER BY 1 LIMIT %zu",
             shadow->config.schema, limit);
    wire_reset(&shadow->params);
    wire_uuid(&shadow->params, after);
    enum pk_status status = ask(shadow, "list sealed identifiers", sql, &result, err);
    if (status != PK_OK)
        return status;
    *ret_count = (size_t)PQntuples(result);
    *ret = PK_NEW_ARRAY(arena, struct pk_hash, *ret_count + 1);
    for (size_t i = 0; i < *ret_count; i++)
        (*ret)[i] = wire_get_hash(result, (int)i, 0);
    PQclear(result);
    return PK_OK;
}

enum pk_status store_rebuild_values(struct store *shadow, const sym_t *clear, size_t clears, struct pk_err *err)
{
    static const char sql[] =
        "UPDATE " REBUILD_SCHEMA ".identifier n SET value = o.value"
        " FROM " REBUILD_SCHEMA ".decision d CROSS JOIN LATERAL unnest(ARRAY[d.a, d.b]) x (hash) JOIN polku.identifier o ON o.hash = x.hash"
        " WHERE n.hash = x.hash AND n.value IS NULL AND o.value IS NOT NULL AND n.namespace_id = ANY ($1::int[])";
    wire_reset(&shadow->params);
    struct wire_param *id = wire_array(&shadow->params, WIRE_INT4);
    for (size_t i = 0; i < clears; i++)
        wire_add_int4(id, store_id(shadow, clear[i]));
    return ask(shadow, "keep the values of identifiers", sql, NULL, err);
}

/* ---- the swap ---- */

static const char finish_sql[] =
    "DO $finish$ "
    "DECLARE t record; "
    "BEGIN "
    " FOR t IN SELECT c.relname FROM pg_class c WHERE " DERIVED " AND NOT c.relispartition LOOP "
    "  EXECUTE format('ANALYZE " REBUILD_SCHEMA ".%I', t.relname); "
    " END LOOP; "
    "END $finish$";

/* A transaction is told by its virtual id; whoever has one now may hold a snapshot that lacks what was committed last. */
static const char note_older_sql[] =
    "CREATE TABLE " REBUILD_SCHEMA ".older_transaction AS "
    "SELECT l.virtualxid FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid AND a.datname = current_database() "
    "WHERE l.locktype = 'virtualxid' AND l.granted AND l.mode = 'ExclusiveLock' AND l.pid <> pg_backend_pid()";
/* A consumer that waits for K has a snapshot for that statement only: what it reads then, it reads with a new one. */
static const char older_sql[] =
    "SELECT coalesce(string_agg(a.pid::text, ','), '') FROM " REBUILD_SCHEMA ".older_transaction o "
    "JOIN pg_locks l ON l.locktype = 'virtualxid' AND l.mode = 'ExclusiveLock' AND l.virtualxid = o.virtualxid AND l.granted "
    "JOIN pg_stat_activity a ON a.pid = l.pid WHERE a.backend_xmin IS NOT NULL AND NOT EXISTS (SELECT FROM pg_locks k"
    " WHERE k.pid = l.pid AND NOT k.granted AND k.locktype = 'advisory' AND k.classid = (" LOCK_WRITERS " >> 32)::oid"
    " AND k.objid = (" LOCK_WRITERS " & 4294967295)::oid AND k.objsubid = 1)";

enum pk_status store_rebuild_analyse(struct store *shadow, struct pk_err *err)
{
    return run(shadow, "analyse the new tables", finish_sql, err);
}

enum pk_status store_rebuild_finish(struct store *shadow, struct pk_err *err)
{
    enum pk_status status = plan_freely(shadow, true, err);
    if (status == PK_OK) /* what comes is waited for on the disk, and with it all before */
        status = run(shadow, "end the filling", "SET synchronous_commit = on", err);
    return status == PK_OK ? store_rebuild_note_older(shadow, err) : status;
}

enum pk_status store_rebuild_note_older(struct store *shadow, struct pk_err *err)
{
    enum pk_status status = run(shadow, "note who reads", "DROP TABLE IF EXISTS " REBUILD_SCHEMA ".older_transaction", err);
    return status == PK_OK ? run(shadow, "note who reads", note_older_sql, err) : status;
}

enum pk_status store_rebuild_older(struct store *shadow, char *ret_pids, size_t size, struct pk_err *err)
{
    return ask_text(shadow, "look who reads", older_sql, ret_pids, size, err);
}

/* Views that name a derived table, as pg_class v. */
#define VIEWS                                                                                                        \
    "v.relkind = 'v' AND EXISTS (SELECT FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass"    \
    " AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass JOIN pg_class c ON c.oid = d.refobjid"             \
    " WHERE r.ev_class = v.oid AND " DERIVED ")"

enum pk_status store_rebuild_readers(struct store *store, char *ret_pids, size_t size, struct pk_err *err)
{
    static const char sql[] =
        "SELECT coalesce(string_agg(DISTINCT l.pid::text, ','), '') FROM pg_locks l WHERE l.locktype = 'relation' AND l.granted"
        " AND l.database = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database()) AND l.pid <> pg_backend_pid()"
        " AND l.relation IN (SELECT c.oid FROM pg_class c WHERE " DERIVED " UNION ALL SELECT v.oid FROM pg_class v WHERE " VIEWS ")";
    return ask_text(store, "look who reads", sql, ret_pids, size, err);
}

/* First what no reader notices: it keeps autovacuum away (and ends it where it is at work). */
static const char lock_first_sql[] =
    "DO $lock$ "
    "BEGIN "
    " EXECUTE (SELECT 'LOCK TABLE ' || string_agg(format('%I.%I', s.name, c.relname), ', ' ORDER BY c.relname) || ' IN SHARE UPDATE EXCLUSIVE MODE'"
    "  FROM pg_class c CROSS JOIN (VALUES ('polku'), ('" REBUILD_SCHEMA "')) s (name) WHERE " DERIVED " AND NOT c.relispartition); "
    "END $lock$";
/* Views before tables, so that nobody who waits has found a table by an old view. LOCK would lock a view's tables with it;
 * giving a view to its owner locks the view alone, and changes nothing. */
static const char locks_sql[] =
    "SELECT x.name, x.command FROM ("
    "SELECT v.oid::regclass::text AS name, format('ALTER VIEW %s OWNER TO %s', v.oid::regclass, v.relowner::regrole) AS command, 1 AS step"
    " FROM pg_class v WHERE " VIEWS
    " UNION ALL SELECT c.oid::regclass::text, format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', c.oid::regclass), 2"
    " FROM pg_class c WHERE " DERIVED " AND NOT c.relispartition) x "
    "ORDER BY array_position($1::text[], x.name), x.step, x.name";

/* Definitions are taken while they name the old tables as those of polku, and given back when the new ones are there. */
static const char swap_sql[] =
    "DO $swap$ "
    "DECLARE views text[]; view text; t record; "
    "BEGIN "
    " SELECT array_agg(format('CREATE OR REPLACE VIEW %s%s AS %s', v.oid::regclass,"
    "   ' WITH (' || array_to_string(v.reloptions, ', ') || ')', pg_get_viewdef(v.oid)) ORDER BY v.oid)"
    "  INTO views FROM pg_class v WHERE " VIEWS "; "
    " CREATE SCHEMA " REBUILD_SCHEMA "_old; "
    " FOR t IN SELECT c.relname FROM pg_class c WHERE " DERIVED " LOOP "
    "  EXECUTE format('ALTER TABLE polku.%I SET SCHEMA " REBUILD_SCHEMA "_old', t.relname); "
    " END LOOP; "
    " FOR t IN SELECT c.relname FROM pg_class c WHERE c.relnamespace = '" REBUILD_SCHEMA "_old'::regnamespace AND c.relkind IN ('r', 'p') LOOP "
    "  EXECUTE format('ALTER TABLE " REBUILD_SCHEMA ".%I SET SCHEMA polku', t.relname); "
    " END LOOP; "
    " FOREACH view IN ARRAY views LOOP "
    "  EXECUTE view; "
    " END LOOP; "
    " FOR t IN SELECT c.relname FROM pg_class c WHERE c.relnamespace = '" REBUILD_SCHEMA "_old'::regnamespace AND c.relkind IN ('r', 'p')"
    "  AND NOT c.relispartition LOOP "
    "  EXECUTE format('DROP TABLE " REBUILD_SCHEMA "_old.%I', t.relname); "
    " END LOOP; "
    " DROP SCHEMA " REBUILD_SCHEMA "_old; "
    " DROP SCHEMA " REBUILD_SCHEMA " CASCADE; "
    "END $swap$";

/* As a consumer would have done; the record can be read again at its offset. */
static const char too_late_sql[] =
    "WITH record AS (INSERT INTO polku.quarantine (topic_id, partition, kafka_offset, reason, detail, received_at, source_id, bytes, whole)"
    " SELECT i.kafka_topic_id, i.kafka_partition, i.kafka_offset, 'too_late',"
    " 'occurred_at lies before the horizon of the rules; left out by a rebuild', i.received_at, i.source_id, 100, false"
    " FROM polku.interaction i WHERE i.occurred_at < $1::timestamptz ON CONFLICT DO NOTHING RETURNING bytes)"
    " INSERT INTO polku.quarantine_size AS s (records, bytes, slot) SELECT count(*), coalesce(sum(r.bytes), 0), 0 FROM record r"
    " ON CONFLICT (slot) DO UPDATE SET records = s.records + excluded.records, bytes = s.bytes + excluded.bytes";
static const char state_sql[] =
    "UPDATE polku.rules_state SET rules_hash = $1, derivation_version = $2, hashing_hash = $3, repeat_window_us = $4,"
    " effort_id = (SELECT d.text FROM polku.dictionary d WHERE d.id = $5), stored_at = clock_timestamp()";

static enum pk_status change_state(struct store *shadow, const struct rules *rules, struct pk_err *err)
{
    wire_reset(&shadow->params);
    wire_uuid(&shadow->params, rules->file_hash);
    wire_int4(&shadow->params, DERIVATION_VERSION);
    wire_uuid(&shadow->params, rules->hashing_hash);
    wire_int8(&shadow->params, rules->repeat_window_us);
    wire_int4(&shadow->params, rules->effort.id ? store_id(shadow, rules->effort.id) : 0);
    enum pk_status status = ask(shadow, "store the hash of the rules", state_sql, NULL, err);
    if (status == PK_OK)
        status = run(shadow, "end the claims", "UPDATE polku.stream_position SET epoch = epoch + 1", err);
    return status;
}

static enum pk_status move_too_late(struct store *shadow, const struct rules *rules, struct pk_err *err)
{
    wire_reset(&shadow->params);
    wire_time(&shadow->params, rules->horizon_us);
    return ask(shadow, "quarantine events before the horizon", too_late_sql, NULL, err);
}

static void lock_first_next_time(struct rebuild_order *order, struct pk_str name)
{
    size_t at = 0;
    while (at < order->count && !pk_str_eq(pk_str(order->name[at]), name))
        at++;
    if (at == order->count && order->count < PK_COUNT(order->name))
        order->count++;
    at = PK_MIN(at, order->count - 1);
    memmove(order->name[1], order->name[0], at * sizeof order->name[0]);
    snprintf(order->name[0], sizeof order->name[0], "%.*s", PK_STR_ARG(name));
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static enum pk_status lock_within(struct store *shadow, struct pk_str command, int64_t ms, struct pk_err *err)
{
    char sql[512];
    snprintf(sql, sizeof sql, "SET LOCAL lock_timeout = %" PRId64, PK_MAX(ms, INT64_C(1)));
    enum pk_status status = run(shadow, "limit the wait", sql, err);
    snprintf(sql, sizeof sql, "%.*s", PK_STR_ARG(command));
    return status == PK_OK ? run(shadow, "wait for readers", sql, err) : status;
}

static enum pk_status lock_everything(struct store *shadow, struct rebuild_order *order, int64_t patience_ms,
                                      struct pk_err *err)
{
    PGresult *result;
    wire_reset(&shadow->params);
    struct wire_param *name = wire_array(&shadow->params, WIRE_TEXT);
    for (size_t i = 0; i < order->count; i++)
        wire_add_text(name, pk_str(order->name[i]));
    enum pk_status status = ask(shadow, "list what is swapped", locks_sql, &result, err);
    if (status != PK_OK)
        return status;
    int64_t until_ms = 0;
    for (int row = 0; row < PQntuples(result) && status == PK_OK; row++) {
        status = lock_within(shadow, wire_get_text(result, row, 1), row ? until_ms - now_ms() : patience_ms, err);
        if (row == 0)
            until_ms = now_ms() + REBUILD_HOLD_MS;
        if (status == PK_STALE)
            lock_first_next_time(order, wire_get_text(result, row, 0));
    }
    PQclear(result);
    return status;
}

enum pk_status store_rebuild_swap(struct store *shadow, const struct rebuild_change *change, struct rebuild_order *order,
                                  int64_t patience_ms, struct pk_err *err)
{
    enum pk_status status = run(shadow, "begin the swap", "BEGIN", err);
    if (status == PK_OK)
        status = run(shadow, "wait for autovacuum", lock_first_sql, err);
    if (status == PK_OK && change->from_kafka)
        status = store_rebuild_swap_quarantine(shadow, err);
    if (status == PK_OK)
        status = move_too_late(shadow, change->rules, err);
    if (status == PK_OK)
        status = lock_everything(shadow, order, patience_ms, err);
    if (status == PK_OK)
        status = store_rebuild_months(shadow, err);
    if (status == PK_OK && change->from_kafka)
        status = store_rebuild_swap_times(shadow, err);
    if (status == PK_OK && change->from_kafka)
        status = store_rebuild_swap_key(shadow, change, err);
    if (status == PK_OK)
        status = run(shadow, "swap the tables", swap_sql, err);
    if (status == PK_OK)
        status = change_state(shadow, change->rules, err);
    CRASH_POINT(rebuild_in_swap);
    if (status == PK_OK)
        status = run(shadow, "commit the swap", "COMMIT", err);
    if (status == PK_OK)
        CRASH_POINT(rebuild_swapped);
    if (status != PK_OK)
        store_rollback(shadow);
    return status;
}

enum pk_status store_rebuild_swapped(struct store *old, bool *ret, struct pk_err *err)
{
    enum pk_status status = store_rebuild_hold(old, err); /* so the session of the swap is gone */
    if (status == PK_OK)
        status = ask_bool(old, "look whether the tables are swapped", "SELECT to_regnamespace('" REBUILD_SCHEMA "') IS NULL", ret, err);
    return status;
}
