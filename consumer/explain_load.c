/* SPDX-License-Identifier: Apache-2.0 */
#include "explain_load.h"

#include "nearest.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- hashes as text ---- */

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Digits with dashes anywhere; the rest of `ret` is filled with `rest`. -1: something else. */
static int read_digits(const char *text, uint8_t rest, struct pk_hash *ret)
{
    int digits = 0;
    memset(ret->byte, rest, sizeof ret->byte);
    for (; *text; text++) {
        int value = digit_of(*text);
        if (*text == '-')
            continue;
        if (value < 0 || digits == 32)
            return -1;
        uint8_t *byte = &ret->byte[digits / 2];
        *byte = digits % 2 ? (uint8_t)((*byte & 0xf0) | value) : (uint8_t)(value << 4 | (rest & 0x0f));
        digits++;
    }
    return digits;
}

static struct pk_hash hash_of(const char *uuid)
{
    struct pk_hash hash = {{0}};
    if (uuid)
        read_digits(uuid, 0, &hash);
    return hash;
}

static void add_hash(struct pk_buf *sql, struct pk_hash hash)
{
    for (int i = 0; i < 16; i++)
        pk_buf_printf(sql, "%02x", hash.byte[i]);
}

/* '{...}'::uuid[] */
static void add_hashes(struct pk_buf *sql, const struct pk_hash *hash, size_t count)
{
    pk_buf_text(sql, "'{");
    for (size_t i = 0; i < count; i++) {
        pk_buf_text(sql, i ? "," : "");
        add_hash(sql, hash[i]);
    }
    pk_buf_text(sql, "}'::uuid[]");
}

/* Replaces each $ in `sql` by the hash. */
static void add_sql(struct pk_buf *out, const char *sql, struct pk_hash hash)
{
    for (; *sql; sql++)
        if (*sql == '$')
            pk_buf_text(out, "'"), add_hash(out, hash), pk_buf_text(out, "'::uuid");
        else
            pk_buf_add(out, sql, 1);
}

static struct pk_str copy_text(const struct explain_source *source, const char *text)
{
    return text ? pk_arena_str(source->arena, pk_str(text)) : (struct pk_str){0};
}

enum pk_status explain_begin(const struct explain_source *source, struct pk_err *err)
{
    struct store_keys none; /* the snapshot is taken with the first load */
    enum pk_status status = store_begin(source->store, STORE_SNAPSHOT, NULL, 0, NULL, 0, err);
    if (status == PK_OK)
        status = store_load_keys(source->store, NULL, 0, source->arena, &none, err);
    return status;
}

/* ---- names ---- */

struct loaded { /* what the map of names holds; `name` comes first */
    struct explain_name name;
    struct identity_person person;
    const struct pk_hash *apart;
    uint32_t apart_count;
    sym_t name_space;
    bool is_person, expanded; /* is in identity.person; its meetings are wanted */
};

static struct loaded *loaded_of(const struct explain *explain, struct pk_hash hash)
{
    return pk_map_get(&explain->name, hash);
}

static void fill(const struct explain_source *source, struct loaded *loaded, const struct store_key *key)
{
    struct explain_name *name = &loaded->name;
    name->hash = key->hash;
    name->kind = key->kind;
    name->flags = key->flags;
    name->first_at_us = key->first_at_us;
    name->customer = key->customer;
    name->known = true;
    name->name_space = key->kind == KEY_CASE ? PK_STR("case_id") : symbol_text(source->symbols, key->name_space);
    name->rules = key->kind == KEY_CASE ? NULL : fact_namespace(source->rules, name->name_space);
    loaded->name_space = key->name_space;
    loaded->apart = key->apart;
    loaded->apart_count = key->apart_count;
}

struct value_reader {
    const struct explain_source *source;
    struct explain *explain;
};

static void take_value(void *context, int columns, const char *const value[])
{
    (void)columns;
    struct value_reader *reader = context;
    struct loaded *loaded = loaded_of(reader->explain, hash_of(value[0]));
    if (loaded && !loaded->name.value.ptr)
        loaded->name.value = copy_text(reader->source, value[1]);
}

static enum pk_status load_values(const struct explain_source *source, const struct pk_hash *hash, size_t count,
                                  struct explain *explain, struct pk_err *err)
{
    struct pk_buf sql PK_AUTO(pk_buf_done) = {0};
    struct value_reader reader = {source, explain};
    pk_buf_text(&sql, "SELECT hash, value FROM polku.identifier WHERE value IS NOT NULL AND hash = ANY (");
    add_hashes(&sql, hash, count);
    pk_buf_text(&sql, ")");
    return store_query(source->store, sql.ptr, take_value, &reader, err);
}

enum pk_status explain_load_names(const struct explain_source *source, const struct pk_hash *hash, size_t count,
                                  struct explain *ret, struct pk_err *err)
{
    struct pk_hash *missing = PK_NEW_ARRAY(source->arena, struct pk_hash, count + 1);
    size_t misses = 0;
    for (size_t i = 0; i < count; i++)
        if (!pk_hash_zero(hash[i]) && !loaded_of(ret, hash[i]))
            missing[misses++] = hash[i];
    if (misses == 0)
        return PK_OK;
    struct store_keys keys;
    enum pk_status status = store_load_keys(source->store, missing, misses, source->arena, &keys, err);
    if (status != PK_OK)
        return status;
    for (size_t i = 0; i < keys.count; i++) {
        if (keys.key[i].kind > KEY_CASE)
            continue;
        struct loaded *loaded = PK_NEW(source->arena, struct loaded);
        fill(source, loaded, &keys.key[i]);
        if (loaded->name.kind == KEY_CASE || loaded->name.rules)
            pk_map_put(&ret->name, loaded->name.hash, loaded);
    }
    return load_values(source, missing, misses, ret, err);
}

/* ---- from text ---- */

static enum pk_status unknown_namespace(const struct rules *rules, const char *text, struct pk_err *err)
{
    struct pk_buf known PK_AUTO(pk_buf_done) = {0};
    const char **name = pk_alloc((rules->namespace_count + 1) * sizeof *name);
    struct pk_str given = {text, strcspn(text, ":")};
    for (size_t i = 0; i < rules->namespace_count; i++) {
        const struct rules_namespace *space = &rules->name_space[i];
        name[i] = space->name.ptr;
        pk_buf_printf(&known, "%s%.*s, ", space->any_issuer ? "ISSUER/" : "", PK_STR_ARG(space->name));
    }
    const char *slash = memchr(given.ptr, '/', given.len);
    struct pk_str last = slash ? (struct pk_str){slash + 1, given.len - (size_t)(slash + 1 - given.ptr)} : given;
    const char *near = nearest_name(given, name, rules->namespace_count);
    if (!near)
        near = nearest_name(last, name, rules->namespace_count);
    enum pk_status status = pk_fail(
        err, PK_REJECT, "the rules know no namespace '%.*s'%s%.100s%s: write NAMESPACE:VALUE, with one of %scase_id",
        (int)PK_MIN(given.len, (size_t)100), given.ptr, near ? ", did you mean '" : "", near ? near : "",
        near ? "'" : "", known.ptr ? known.ptr : "");
    free(name);
    return status;
}

static enum pk_status find_value(const struct explain_source *source, const char *text, struct explain_name *ret_name,
                                 bool *ret_blocked, struct pk_err *err)
{
    struct explain_name name = {.kind = KEY_PERSON, .first_at_us = PK_NO_TIME};
    const char *colon = text;
    while ((colon = strchr(colon, ':'))) { /* no name holds one, but nobody forbids it */
        name.name_space = (struct pk_str){text, (size_t)(colon - text)};
        if (pk_str_eq(name.name_space, PK_STR("case_id")))
            name.kind = KEY_CASE;
        else if (name.name_space.len < 2 || memcmp(text, "*/", 2) != 0)
            name.rules = fact_namespace(source->rules, name.name_space);
        if (name.kind == KEY_CASE || name.rules)
            break;
        colon++;
    }
    if (!colon)
        return unknown_namespace(source->rules, text, err);
    if (name.rules && name.rules->class_ != RULES_PERSON)
        name.kind = KEY_DEVICE;
    name.name_space = pk_arena_str(source->arena, name.name_space);
    if (!pk_utf8_valid(colon + 1, strlen(colon + 1)))
        return pk_fail(err, PK_REJECT, "the value is not UTF-8");
    *ret_blocked = !fact_normalise(pk_str(colon + 1), name.rules, source->rules, source->arena, &name.value);
    if (*ret_blocked) {
        *ret_name = name;
        return PK_OK;
    }
    name.value = pk_arena_str(source->arena, name.value);
    name.hash = fact_hash(source->hasher, (struct pk_str[]){name.name_space, name.value}, 2);
    *ret_name = name;
    return PK_OK;
}

struct hash_reader {
    struct pk_hash hash;
    int count;
};

static void take_hash(void *context, int columns, const char *const value[])
{
    (void)columns;
    struct hash_reader *reader = context;
    reader->hash = hash_of(value[0]);
    reader->count++;
}

static enum pk_status find_digits(const struct explain_source *source, const char *text, struct explain_name *ret_name,
                                  struct pk_err *err)
{
    struct pk_hash from, to;
    int digits = read_digits(text, 0x00, &from);
    read_digits(text, 0xff, &to);
    if (digits < 8)
        return pk_fail(err, PK_REJECT, "'%.100s' is neither NAMESPACE:VALUE nor a hash (8 to 32 hexadecimal digits)",
                       text);
    struct pk_buf sql PK_AUTO(pk_buf_done) = {0};
    struct hash_reader reader = {.count = 0};
    pk_buf_text(&sql, "SELECT hash FROM polku.identifier WHERE kind <= 2 AND hash BETWEEN ");
    add_sql(&sql, "$ AND ", from);
    add_sql(&sql, "$ LIMIT 2", to);
    enum pk_status status = store_query(source->store, sql.ptr, take_hash, &reader, err);
    if (status != PK_OK)
        return status;
    if (reader.count != 1)
        return pk_fail(err, PK_REJECT,
                       reader.count ? "several identifiers' hashes begin with %.100s: give more digits"
                                    : "no identifier has the hash %.100s",
                       text);
    *ret_name = (struct explain_name){.hash = reader.hash};
    return PK_OK;
}

enum pk_status explain_find(const struct explain_source *source, const char *text, struct explain_name *ret_name,
                            bool *ret_blocked, struct pk_err *err)
{
    struct explain_name name = {0};
    *ret_blocked = false;
    enum pk_status status =
        strchr(text, ':') ? find_value(source, text, &name, ret_blocked, err) : find_digits(source, text, &name, err);
    if (status != PK_OK || *ret_blocked) {
        *ret_name = name;
        return status;
    }
    struct explain one = {0};
    status = explain_load_names(source, &name.hash, 1, &one, err);
    const struct loaded *loaded = loaded_of(&one, name.hash);
    if (status == PK_OK && loaded) {
        struct pk_str value = name.value;
        name = loaded->name;
        if (value.ptr)
            name.value = value;
    } else if (status == PK_OK && !name.name_space.ptr) {
        status = pk_fail(err, PK_REJECT, "the rules do not know the namespace of %.100s any more", text);
    }
    explain_done(&one);
    if (status == PK_OK)
        *ret_name = name;
    return status;
}

/* ---- decisions ---- */

struct decision_reader {
    const struct explain_source *source;
    struct row {
        struct explain_decision decision;
        struct pk_hash a, b;
    } * row;
    uint32_t row_count, row_cap;
};

static void take_decision(void *context, int columns, const char *const value[])
{
    (void)columns;
    struct decision_reader *reader = context;
    *PK_PUSH(reader->source->arena, reader, row) = (struct row){
        .decision = {.id = atoll(value[0]),
                     .at_us = atoll(value[1]),
                     .kind = (enum decision_kind)atoi(value[2]),
                     .by = copy_text(reader->source, value[5]),
                     .note = copy_text(reader->source, value[6])},
        .a = hash_of(value[3]),
        .b = hash_of(value[4]),
    };
}

enum pk_status explain_load_decisions(const struct explain_source *source, struct explain *explain, struct pk_err *err)
{
    struct pk_buf sql PK_AUTO(pk_buf_done) = {0};
    struct decision_reader reader = {.source = source};
    struct pk_hash *hash = PK_NEW_ARRAY(source->arena, struct pk_hash, explain->name.count + 1);
    size_t count = 0;
    PK_MAP_EACH(&explain->name, e)
    hash[count++] = e->key;
    pk_buf_text(&sql, "SELECT d.decision_id, (extract(epoch FROM d.decided_at) * 1000000)::bigint, d.kind, d.a, d.b, "
                      "d.decided_by, d.note FROM polku.decision d, (SELECT ");
    add_hashes(&sql, hash, count);
    pk_buf_text(&sql, " AS list) k WHERE d.restored_at IS NULL AND (d.a = ANY (k.list) OR d.b = ANY (k.list)) "
                      "ORDER BY d.decision_id");
    enum pk_status status = store_query(source->store, sql.ptr, take_decision, &reader, err);
    hash = PK_NEW_ARRAY(source->arena, struct pk_hash, 2 * (size_t)reader.row_count + 1);
    for (uint32_t i = 0; i < reader.row_count; i++) {
        hash[2 * i] = reader.row[i].a;
        hash[2 * i + 1] = reader.row[i].b;
    }
    if (status == PK_OK)
        status = explain_load_names(source, hash, 2 * (size_t)reader.row_count, explain, err);
    if (status != PK_OK)
        return status;
    struct explain_decision *decision = PK_NEW_ARRAY(source->arena, struct explain_decision, reader.row_count);
    explain->decisions = 0;
    for (uint32_t i = 0; i < reader.row_count; i++) {
        const struct loaded *a = loaded_of(explain, reader.row[i].a), *b = loaded_of(explain, reader.row[i].b);
        if (!a || (reader.row[i].decision.kind == DECIDE_APART && !b))
            continue;
        struct explain_decision *made = &decision[explain->decisions++];
        *made = reader.row[i].decision;
        made->a = &a->name;
        made->b = b ? &b->name : NULL;
    }
    explain->decision = decision;
    return PK_OK;
}

/* ---- a component ---- */

struct component {
    const struct explain_source *source;
    struct explain *explain;
    struct pk_map seen; /* meetings by id */
    PK_VEC(struct identity_person *) person;
    PK_VEC(struct identity_meeting *) meeting;
    PK_VEC(struct pk_hash) edge; /* persons whose meetings are to be loaded */
    size_t expanded;
};

static bool links(const struct explain_name *name)
{
    return !(name->flags & (KEY_IS_SHARED | KEY_BLOCKED | KEY_ALONE));
}

static struct identity_person *person_of(struct component *c, struct loaded *loaded)
{
    if (!loaded->is_person) {
        loaded->is_person = true;
        loaded->person = (struct identity_person){
            .hash = loaded->name.hash,
            .name_space = loaded->name_space,
            .rules = loaded->name.rules,
            .first_at_us = loaded->name.first_at_us,
            .blocked = loaded->name.flags & KEY_BLOCKED,
            .alone = loaded->name.flags & KEY_ALONE,
            .known_shared = loaded->name.flags & KEY_IS_SHARED,
        };
        *pk_vec_push(&c->person) = &loaded->person;
    }
    return &loaded->person;
}

static void expand(struct component *c, struct loaded *loaded)
{
    if (loaded->expanded || !links(&loaded->name))
        return;
    loaded->expanded = true;
    c->expanded++;
    *pk_vec_push(&c->edge) = loaded->name.hash;
}

static bool contradictory(const struct identity_meeting *meeting)
{
    for (uint32_t i = 1; i < meeting->count; i++)
        for (uint32_t k = 0; k < i; k++) {
            const struct identity_person *a = meeting->person[i], *b = meeting->person[k];
            if (a->rules->unique && a->name_space == b->name_space && !a->blocked && !b->blocked)
                return true;
        }
    return false;
}

static enum pk_status take_meeting(struct component *c, const struct store_meeting *row, struct pk_err *err)
{
    if (pk_map_get(&c->seen, row->id))
        return PK_OK;
    struct identity_meeting *meeting = PK_NEW(c->source->arena, struct identity_meeting);
    *meeting = (struct identity_meeting){
        .id = row->id,
        .count = row->count,
        .person = PK_NEW_ARRAY(c->source->arena, struct identity_person *, row->count),
        .first = {row->first_at_us, row->first_sequence, row->first_source, row->first_event_id},
    };
    for (uint32_t i = 0; i < row->count; i++) {
        struct loaded *loaded = loaded_of(c->explain, row->person[i]);
        if (!loaded)
            return pk_fail(err, PK_STOP,
                           "a meeting names an identifier that the tables lack: somebody changed the tables, or "
                           "this is a defect");
        meeting->person[i] = person_of(c, loaded);
    }
    pk_map_put(&c->seen, row->id, meeting);
    *pk_vec_push(&c->meeting) = meeting;
    for (uint32_t i = 0; i < row->count && !contradictory(meeting); i++)
        expand(c, loaded_of(c->explain, row->person[i]));
    return PK_OK;
}

/* The component is not oversize, so this comes to an end. Of persons that only stood beside it not all meetings are
 * loaded, and what the solver says of them is not told. */
static enum pk_status load_component(struct component *c, struct pk_err *err)
{
    const struct explain_source *source = c->source;
    enum pk_status status = PK_OK;
    while (status == PK_OK && c->edge.len) {
        if (c->expanded > c->explain->rules->max_component)
            return pk_fail(err, PK_STOP,
                           "more identifiers hang together than the tables say: somebody changed the tables, or "
                           "this is a defect");
        struct store_meetings meetings;
        status = store_load_meetings(source->store, c->edge.ptr, NULL, c->edge.len, source->arena, &meetings, err);
        c->edge.len = 0;
        PK_VEC(struct pk_hash) person = {0};
        for (size_t i = 0; status == PK_OK && i < meetings.count; i++)
            for (uint32_t p = 0; p < meetings.meeting[i].count; p++)
                *pk_vec_push(&person) = meetings.meeting[i].person[p];
        if (status == PK_OK)
            status = explain_load_names(source, person.ptr, person.len, c->explain, err);
        pk_vec_done(&person);
        for (size_t i = 0; status == PK_OK && i < meetings.count; i++)
            status = take_meeting(c, &meetings.meeting[i], err);
    }
    return status;
}

static void take_aparts(struct component *c, struct identity *identity)
{
    size_t most = 0;
    PK_MAP_EACH(&c->explain->name, e)
    most += ((struct loaded *)e->value)->apart_count;
    struct identity_apart *apart = PK_NEW_ARRAY(c->source->arena, struct identity_apart, most);
    PK_MAP_EACH(&c->explain->name, e)
    {
        struct loaded *a = e->value;
        for (uint32_t i = 0; a->is_person && i < a->apart_count; i++) {
            struct loaded *b = loaded_of(c->explain, a->apart[i]);
            if (b && b->is_person && pk_hash_cmp(a->name.hash, b->name.hash) < 0)
                apart[identity->aparts++] = (struct identity_apart){&a->person, &b->person};
        }
    }
    identity->apart = apart;
}

static void solve(struct component *c)
{
    const struct explain_source *source = c->source;
    struct identity *identity = &c->explain->identity;
    *identity = (struct identity){
        .person = pk_arena_copy(source->arena, c->person.ptr, c->person.len * sizeof *c->person.ptr),
        .persons = c->person.len,
        .meeting = c->meeting.len
                       ? pk_arena_copy(source->arena, c->meeting.ptr, c->meeting.len * sizeof *c->meeting.ptr)
                       : NULL,
        .meetings = c->meeting.len,
    };
    take_aparts(c, identity);
    identity_solve(source->rules, source->symbols, source->arena, identity);
}

/* ---- the first events of links ---- */

static struct pk_hash event_hash(const struct explain_source *source, const struct identity_event *event)
{
    return fact_hash(source->hasher, (struct pk_str[]){symbol_text(source->symbols, event->source), event->event_id},
                     2);
}

static enum pk_status load_events(const struct explain_source *source, struct explain *explain, struct pk_err *err)
{
    const struct identity *identity = &explain->identity;
    struct explain_event *event = PK_NEW_ARRAY(source->arena, struct explain_event, identity->links);
    struct fact *wanted = PK_NEW_ARRAY(source->arena, struct fact, identity->links);
    struct fact **list = PK_NEW_ARRAY(source->arena, struct fact *, identity->links);
    struct store_facts found;
    for (size_t i = 0; i < identity->links; i++) {
        wanted[i].at_us = identity->link[i].first.at_us;
        wanted[i].event_hash = event_hash(source, &identity->link[i].first);
        list[i] = &wanted[i];
    }
    enum pk_status status = store_find_events(source->store, list, identity->links, source->arena, &found, err);
    if (status != PK_OK)
        return status;
    struct pk_map by_hash = {0};
    for (size_t i = 0; i < found.count; i++)
        pk_map_put(&by_hash, found.fact[i].event_hash, &found.fact[i]);
    for (size_t i = 0; i < identity->links; i++) {
        const struct fact *fact = pk_map_get(&by_hash, wanted[i].event_hash);
        if (fact)
            event[i] = (struct explain_event){symbol_text(source->symbols, fact->type),
                                              symbol_text(source->symbols, fact->channel)};
    }
    pk_map_done(&by_hash);
    explain->event = event;
    return PK_OK;
}

/* ---- shared ---- */

struct sharing {
    const struct explain_source *source;
    struct explain *explain;
    struct explain_shared *shared;
    size_t count;
};

static void take_sharing(void *context, int columns, const char *const value[])
{
    (void)columns;
    struct sharing *sharing = context;
    struct pk_hash hash = hash_of(value[0]);
    struct pk_str name = pk_str(value[1] ? value[1] : "");
    int64_t met = atoll(value[2]);
    for (size_t i = 0; i < sharing->count; i++) {
        struct explain_shared *shared = &sharing->shared[i];
        if (!pk_hash_eq(shared->name->hash, hash))
            continue;
        const struct rules_namespace *rules = fact_namespace(sharing->source->rules, name);
        shared->met_in_all += met;
        if (rules && rules->unique && met > shared->name->rules->max_people && met > shared->met) {
            shared->name_space = pk_arena_str(sharing->source->arena, name);
            shared->met = met;
        }
    }
}

static enum pk_status load_sharing(const struct explain_source *source, struct explain *explain,
                                   struct explain_shared *shared, size_t count, struct pk_err *err)
{
    explain->shared = shared;
    explain->shared_count = count;
    if (count == 0)
        return PK_OK;
    struct pk_buf sql PK_AUTO(pk_buf_done) = {0};
    struct sharing sharing = {source, explain, shared, PK_MIN(count, explain->limit)};
    struct pk_hash *hash = PK_NEW_ARRAY(source->arena, struct pk_hash, sharing.count + 1);
    for (size_t i = 0; i < sharing.count; i++)
        hash[i] = shared[i].name->hash;
    pk_buf_text(&sql,
                "SELECT m.identifier, (SELECT d.text FROM polku.dictionary d WHERE d.id = x.namespace_id), "
                "count(DISTINCT x.hash) FROM polku.identity_meeting_led m "
                "CROSS JOIN LATERAL unnest(m.members, m.member_namespaces) AS x (hash, namespace_id) "
                "WHERE NOT m.contradictory AND x.hash <> m.identifier "
                "AND (SELECT k.flags & 8 FROM polku.identifier k WHERE k.hash = x.hash) = 0 AND m.identifier = ANY (");
    add_hashes(&sql, hash, sharing.count);
    pk_buf_text(&sql, ") GROUP BY m.identifier, x.namespace_id ORDER BY 1, 2");
    return store_query(source->store, sql.ptr, take_sharing, &sharing, err);
}

static int by_hash(const void *left, const void *right)
{
    const struct explain_shared *a = left, *b = right;
    int order = pk_str_cmp(a->name->name_space, b->name->name_space);
    return order ? order : pk_hash_cmp(a->name->hash, b->name->hash);
}

/* Those that stood in one event with a member of the customer. */
static enum pk_status load_shared_beside(const struct explain_source *source, struct explain *explain,
                                         struct pk_err *err)
{
    const struct identity *identity = &explain->identity;
    struct explain_shared *shared = PK_NEW_ARRAY(source->arena, struct explain_shared, identity->persons);
    struct pk_map taken = {0};
    struct pk_hash customer = loaded_of(explain, explain->asked->hash)->person.customer;
    size_t count = 0;
    for (size_t i = 0; i < identity->meetings; i++) {
        const struct identity_meeting *meeting = identity->meeting[i];
        bool ours = false;
        for (uint32_t k = 0; k < meeting->count; k++)
            ours |= pk_hash_eq(meeting->person[k]->customer, customer);
        for (uint32_t k = 0; ours && k < meeting->count; k++) {
            const struct identity_person *person = meeting->person[k];
            if (!person->shared || pk_map_get(&taken, person->hash))
                continue;
            pk_map_put(&taken, person->hash, explain);
            shared[count++] = (struct explain_shared){.name = &loaded_of(explain, person->hash)->name};
        }
    }
    pk_map_done(&taken);
    qsort(shared, count, sizeof *shared, by_hash);
    return load_sharing(source, explain, shared, count, err);
}

/* ---- whom it met, whose it was ---- */

struct list_reader {
    const struct explain_source *source;
    struct explain *explain;
    struct met_row {
        struct pk_hash hash;
        int64_t first_at_us;
    } * met;
    uint32_t met_count, met_cap;
    struct stretch_row {
        struct pk_hash customer;
        struct explain_stretch stretch;
    } * stretch;
    uint32_t stretch_count, stretch_cap;
};

static const char met_sql[] =
    "SELECT x.hash, (extract(epoch FROM min(m.first_at)) * 1000000)::bigint, count(*) OVER () "
    "FROM polku.identity_meeting m CROSS JOIN LATERAL unnest(m.members) AS x (hash) "
    "WHERE m.identifier = $ AND x.hash <> m.identifier GROUP BY x.hash ORDER BY min(m.first_at), x.hash LIMIT ";

static void take_met(void *context, int columns, const char *const value[])
{
    (void)columns;
    struct list_reader *reader = context;
    *PK_PUSH(reader->source->arena, reader, met) = (struct met_row){hash_of(value[0]), atoll(value[1])};
    reader->explain->met_in_all = atoll(value[2]);
}

static enum pk_status load_met(const struct explain_source *source, struct explain *explain, struct pk_err *err)
{
    struct pk_buf sql PK_AUTO(pk_buf_done) = {0};
    struct list_reader reader = {.source = source, .explain = explain};
    add_sql(&sql, met_sql, explain->asked->hash);
    pk_buf_printf(&sql, "%zu", explain->limit);
    enum pk_status status = store_query(source->store, sql.ptr, take_met, &reader, err);
    struct pk_hash *hash = PK_NEW_ARRAY(source->arena, struct pk_hash, reader.met_count + 1);
    for (uint32_t i = 0; i < reader.met_count; i++)
        hash[i] = reader.met[i].hash;
    if (status == PK_OK)
        status = explain_load_names(source, hash, reader.met_count, explain, err);
    for (uint32_t i = 0; status == PK_OK && i < reader.met_count; i++) {
        const struct loaded *loaded = loaded_of(explain, hash[i]);
        hash[i] = loaded ? loaded->name.customer : (struct pk_hash){{0}};
    }
    if (status == PK_OK)
        status = explain_load_names(source, hash, reader.met_count, explain, err);
    if (status != PK_OK)
        return status;
    struct explain_met *met = PK_NEW_ARRAY(source->arena, struct explain_met, reader.met_count);
    for (uint32_t i = 0; i < reader.met_count; i++)
        if (loaded_of(explain, reader.met[i].hash))
            met[explain->met_count++] =
                (struct explain_met){&loaded_of(explain, reader.met[i].hash)->name, reader.met[i].first_at_us};
    explain->met = met;
    return PK_OK;
}

/* As store_load_seen finds events, but counted where they are. */
static const char stretches_sql[] =
    "WITH place AS (SELECT DISTINCT coalesce((SELECT r.customer_id FROM polku.identifier r WHERE r.hash = u.id), u.id) "
    "AS id "
    "FROM (SELECT coalesce(k.owner_id, '00000000-0000-0000-0000-000000000000') AS id FROM polku.identifier k WHERE "
    "k.hash = $ "
    "UNION ALL SELECT s.customer_id FROM polku.sighting s WHERE s.key = $) u), "
    "event AS (SELECT i.* FROM place c CROSS JOIN LATERAL ("
    "SELECT i.occurred_at, i.sequence, i.source_id, i.event_id, i.customer_id, i.customer_kind, i.sighted_id "
    "FROM polku.interaction i WHERE i.customer_id = c.id AND i.customer_id IS NOT NULL "
    "AND (i.identifiers @> ARRAY[$] OR i.case_key = $) UNION ALL "
    "SELECT i.occurred_at, i.sequence, i.source_id, i.event_id, i.customer_id, i.customer_kind, i.sighted_id "
    "FROM polku.interaction i WHERE c.id = '00000000-0000-0000-0000-000000000000' AND i.customer_id IS NULL "
    "AND (i.identifiers IS NOT NULL OR i.case_key IS NOT NULL) AND (i.identifiers @> ARRAY[$] OR i.case_key = $) "
    "OFFSET 0) i), "
    "line AS (SELECT e.*, row_number() OVER (ORDER BY e.occurred_at, e.sequence, "
    "(SELECT d.text FROM polku.dictionary d WHERE d.id = e.source_id) COLLATE \"C\", e.event_id) AS place FROM event "
    "e), "
    "change AS (SELECT l.*, (l.customer_id IS DISTINCT FROM lag(l.customer_id) OVER (ORDER BY l.place))::int AS other "
    "FROM line l), "
    "stretch AS (SELECT c.*, sum(c.other) OVER (ORDER BY c.place) AS number FROM change c) "
    "SELECT s.customer_id, (extract(epoch FROM min(s.occurred_at)) * 1000000)::bigint, "
    "(extract(epoch FROM max(s.occurred_at)) * 1000000)::bigint, "
    "count(*) FILTER (WHERE s.sighted_id IS NULL AND s.customer_kind IS NOT DISTINCT FROM 0), "
    "count(*) FILTER (WHERE s.sighted_id IS NOT NULL), "
    "count(*) FILTER (WHERE s.sighted_id IS NULL AND s.customer_kind IS DISTINCT FROM 0), count(*) OVER () "
    "FROM stretch s GROUP BY s.number, s.customer_id ORDER BY max(s.place) DESC LIMIT ";

static void take_stretch(void *context, int columns, const char *const value[])
{
    (void)columns;
    struct list_reader *reader = context;
    *PK_PUSH(reader->source->arena, reader, stretch) = (struct stretch_row){
        hash_of(value[0]),
        {.from_us = atoll(value[1]),
         .to_us = atoll(value[2]),
         .own = atoll(value[3]),
         .borrowed = atoll(value[4]),
         .anonymous = atoll(value[5])},
    };
    reader->explain->stretches_in_all = atoll(value[6]);
}

static enum pk_status load_stretches(const struct explain_source *source, struct explain *explain, struct pk_err *err)
{
    struct pk_buf sql PK_AUTO(pk_buf_done) = {0};
    struct list_reader reader = {.source = source, .explain = explain};
    add_sql(&sql, stretches_sql, explain->asked->hash);
    pk_buf_printf(&sql, "%zu", explain->limit);
    enum pk_status status = store_query(source->store, sql.ptr, take_stretch, &reader, err);
    struct pk_hash *hash = PK_NEW_ARRAY(source->arena, struct pk_hash, reader.stretch_count + 1);
    for (uint32_t i = 0; i < reader.stretch_count; i++)
        hash[i] = reader.stretch[i].customer;
    if (status == PK_OK)
        status = explain_load_names(source, hash, reader.stretch_count, explain, err);
    if (status != PK_OK)
        return status;
    struct explain_stretch *stretch = PK_NEW_ARRAY(source->arena, struct explain_stretch, reader.stretch_count);
    for (uint32_t i = 0; i < reader.stretch_count; i++) {
        const struct loaded *customer = loaded_of(explain, hash[i]);
        stretch[i] = reader.stretch[i].stretch;
        stretch[i].customer = customer ? &customer->name : NULL;
    }
    explain->stretch = stretch;
    explain->stretches = reader.stretch_count;
    return PK_OK;
}

/* ---- the whole ---- */

static enum pk_status load_person(const struct explain_source *source, struct explain *explain, struct pk_err *err)
{
    struct component component = {.source = source, .explain = explain};
    struct loaded *asked = loaded_of(explain, explain->asked->hash);
    person_of(&component, asked);
    expand(&component, asked);
    enum pk_status status = load_component(&component, err);
    if (status == PK_OK)
        solve(&component);
    pk_map_done(&component.seen);
    pk_vec_done(&component.person);
    pk_vec_done(&component.meeting);
    pk_vec_done(&component.edge);
    if (status == PK_OK)
        status = load_events(source, explain, err);
    if (status == PK_OK)
        status = load_shared_beside(source, explain, err);
    return status;
}

static enum pk_status load_other(const struct explain_source *source, struct explain *explain, struct pk_err *err)
{
    const struct explain_name *asked = explain->asked;
    struct explain_shared *shared = PK_NEW(source->arena, struct explain_shared);
    bool blocked = asked->flags & KEY_BLOCKED, is_shared = !blocked && (asked->flags & KEY_IS_SHARED);
    enum pk_status status = PK_OK;
    shared->name = asked;
    if (is_shared)
        status = load_sharing(source, explain, shared, 1, err);
    if (status == PK_OK && !blocked && (asked->kind != KEY_PERSON || is_shared))
        status = load_stretches(source, explain, err);
    if (status == PK_OK && asked->kind == KEY_PERSON)
        status = load_met(source, explain, err);
    return status;
}

enum pk_status explain_load(const struct explain_source *source, const struct explain_name *asked, size_t limit,
                            struct explain *ret, struct pk_err *err)
{
    struct explain explain = {.rules = source->rules, .symbols = source->symbols, .limit = limit, .asked = asked};
    struct loaded *loaded = NULL;
    enum pk_status status = explain_load_names(source, &asked->hash, 1, &explain, err);
    if (status == PK_OK && (loaded = loaded_of(&explain, asked->hash))) {
        if (asked->value.ptr)
            loaded->name.value = asked->value;
        explain.asked = &loaded->name;
    }
    if (status == PK_OK && loaded) {
        bool person = explain.asked->kind == KEY_PERSON && explain.asked->first_at_us != PK_NO_TIME;
        bool component = person && links(explain.asked) && !(explain.asked->flags & KEY_IS_OVERSIZE);
        status = component ? load_person(source, &explain, err) : load_other(source, &explain, err);
    }
    if (status == PK_OK && loaded)
        status = explain_load_decisions(source, &explain, err);
    if (status == PK_OK)
        *ret = explain;
    else
        explain_done(&explain);
    return status;
}

void explain_done(struct explain *explain)
{
    pk_map_done(&explain->name);
}
