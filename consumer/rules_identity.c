/* SPDX-License-Identifier: Apache-2.0 */
/* What identifies a customer: docs/semantics.md 2 and 3. */
#include "rules_inner.h"

#include <sodium.h>
#include <stdlib.h>

enum { MAX_LIMIT = 1000000 }; /* of people, links and components: beyond it a limit guards nothing */

struct values { /* text in ASCII lower case */
    const struct pk_str *ptr;
    size_t count;
};

static struct values read_blocked(struct reader *reader, const struct yaml_node *node, const char *what)
{
    size_t count = read_items(reader, node, what);
    struct pk_str *blocked = PK_NEW_ARRAY(reader->arena, struct pk_str, count);
    for (size_t i = 0; i < count && reader->status == PK_OK; i++) {
        struct pk_str text = {0};
        read_text(reader, node->item[i], &text);
        if (reader->status == PK_OK && text.len == 0)
            FAIL(reader, node->item[i], "the empty value is always blocked; leave it out");
        if (reader->status != PK_OK)
            break;
        char *copy = pk_arena_copy(reader->arena, text.ptr, text.len + 1);
        for (size_t k = 0; k < text.len; k++)
            if (copy[k] >= 'A' && copy[k] <= 'Z')
                copy[k] = (char)(copy[k] + 'a' - 'A');
        blocked[i] = (struct pk_str){copy, text.len};
    }
    return (struct values){blocked, count};
}

static void read_phone_country(struct reader *reader, const struct yaml_node *node, struct rules *rules)
{
    read_text(reader, node, &rules->phone_country);
    if (reader->status != PK_OK || !node)
        return;
    struct pk_str text = rules->phone_country;
    if (text.len < 1 || text.len > 4 || text.ptr[0] == '0' || strspn(text.ptr, "0123456789") != text.len)
        FAIL(reader, node, "phone_country '%.20s' must be the digits of a country code, such as \"358\", without '+'",
             text.ptr);
}

static void read_namespace_name(struct reader *reader, const struct yaml_node *node, struct rules_namespace *space)
{
    struct pk_str text = {0};
    read_text(reader, node, &text);
    if (reader->status != PK_OK)
        return;
    const char *slash = memchr(text.ptr, '/', text.len);
    struct pk_str issuer = {text.ptr, slash ? (size_t)(slash - text.ptr) : 0};
    struct pk_str rest = slash ? (struct pk_str){slash + 1, text.len - issuer.len - 1} : text;
    space->any_issuer = slash && pk_str_eq(issuer, PK_STR("*"));
    if (!is_name(rest) || (slash && !space->any_issuer && !is_name(issuer)))
        FAIL(reader, node, "'%.100s' is not a namespace: write it as email, garage/customer_id or */customer_id",
             text.ptr);
    if (pk_str_eq(text, PK_STR("case_id")) || pk_str_eq(text, PK_STR("staff")))
        FAIL(reader, node, "namespace '%s' is reserved for the event's field of that name; leave it out", text.ptr);
    space->name = space->any_issuer ? rest : text;
}

/* Refuses a key that says nothing about this class of identifiers. */
static void not_for(struct reader *reader, const struct yaml_node *node, const char *key, const char *why)
{
    const struct yaml_node *given = yaml_get(node, key);
    if (given)
        FAIL(reader, given, "%s is not for this class: %s", key, why);
}

static void read_person(struct reader *reader, const struct yaml_node *node, struct rules_namespace *space)
{
    int64_t people = space->unique ? UINT32_MAX : 1, links = 50, shared = 7 * PK_DAY_US;
    not_for(reader, node, "lookback", "a person has shared_lookback");
    not_for(reader, node, "lookahead", "a person has shared_lookback, which holds both ways");
    read_int(reader, yaml_get(node, "max_people"), 1, MAX_LIMIT, &people);
    read_int(reader, yaml_get(node, "max_links"), 1, MAX_LIMIT, &links);
    read_duration(reader, yaml_get(node, "shared_lookback"), &shared);
    space->max_people = (uint32_t)people;
    space->max_links = (uint32_t)links;
    space->lookback_us = space->lookahead_us = shared;
}

static void read_device(struct reader *reader, const struct yaml_node *node, struct rules_namespace *space)
{
    bool kiosk = space->class_ == RULES_KIOSK;
    if (space->unique)
        FAIL(reader, yaml_get(node, "unique"), "unique is for class person: two values of it are two people");
    not_for(reader, node, "max_people", "a device joins nobody, however many people use it");
    not_for(reader, node, "max_links", "a device joins nobody, however many people use it");
    not_for(reader, node, "shared_lookback", "a device has lookback and lookahead");
    space->lookback_us = kiosk ? PK_HOUR_US / 2 : 30 * PK_DAY_US;
    read_duration(reader, yaml_get(node, "lookback"), &space->lookback_us);
    space->lookahead_us = kiosk ? 0 : space->lookback_us;
    read_duration(reader, yaml_get(node, "lookahead"), &space->lookahead_us);
}

static struct rules_namespace read_namespace(struct reader *reader, const struct yaml_node *node)
{
    static const char *const known[] = {"name",     "class",     "priority",  "unique",   "normalise",
                                        "blocked",  "store",     "max_people", "max_links", "shared_lookback",
                                        "lookback", "lookahead", NULL};
    static const char *const class_[] = {
        [RULES_PERSON] = "person", [RULES_DEVICE] = "device", [RULES_KIOSK] = "kiosk"};
    static const char *const normaliser[] = {[RULES_NONE] = "none", [RULES_EMAIL] = "email", [RULES_PHONE] = "phone"};
    static const char *const store[] = {"hash", "clear"};
    struct rules_namespace space = {0};
    int chosen = RULES_PERSON, normalise = RULES_NONE, stored = 0;
    int64_t priority = 0;
    read_keys(reader, node, known);
    for (size_t i = 0; i < 3; i++)
        if (reader->status == PK_OK && !yaml_get(node, known[i]))
            FAIL(reader, node, "a namespace needs name, class and priority; add '%s:'", known[i]);
    read_namespace_name(reader, yaml_get(node, "name"), &space);
    read_choice(reader, yaml_get(node, "class"), "class", class_, PK_COUNT(class_), &chosen);
    read_int(reader, yaml_get(node, "priority"), 1, 1000000, &priority);
    read_bool(reader, yaml_get(node, "unique"), &space.unique);
    read_choice(reader, yaml_get(node, "normalise"), "normaliser", normaliser, PK_COUNT(normaliser), &normalise);
    read_choice(reader, yaml_get(node, "store"), "value of store", store, PK_COUNT(store), &stored);
    struct values blocked = read_blocked(reader, yaml_get(node, "blocked"), "blocked");
    space.blocked = blocked.ptr;
    space.blocked_count = blocked.count;
    space.class_ = (enum rules_class)chosen;
    space.priority = (int)priority;
    space.normalise = (enum rules_normaliser)normalise;
    space.store_clear = stored == 1;
    if (space.class_ == RULES_PERSON)
        read_person(reader, node, &space);
    else
        read_device(reader, node, &space);
    return space;
}

static void read_namespaces(struct reader *reader, const struct yaml_node *node, struct rules *rules)
{
    size_t count = read_items(reader, node, "namespaces");
    struct rules_namespace *space = PK_NEW_ARRAY(reader->arena, struct rules_namespace, count);
    for (size_t i = 0; i < count && reader->status == PK_OK; i++) {
        const struct yaml_node *at = node->item[i];
        space[i] = read_namespace(reader, at);
        for (size_t k = 0; k < i && reader->status == PK_OK; k++) {
            if (space[k].any_issuer == space[i].any_issuer && pk_str_eq(space[k].name, space[i].name))
                FAIL(reader, at, "namespace '%s' is given twice (first on line %d); remove one", space[i].name.ptr,
                     node->item[k]->line);
            if (space[k].priority == space[i].priority)
                FAIL(reader, at, "priority %d is taken by the namespace on line %d; every one needs its own",
                     space[i].priority, node->item[k]->line);
        }
        if (reader->status == PK_OK && space[i].normalise == RULES_PHONE && !rules->phone_country.ptr)
            FAIL(reader, at, "normalise: phone needs identity.phone_country; add the country code, such as \"358\"");
    }
    rules->name_space = space;
    rules->namespace_count = count;
}

void read_identity(struct reader *reader, const struct yaml_node *node, struct rules *rules)
{
    static const char *const known[] = {"phone_country", "blocked_values", "namespaces", "max_component", NULL};
    int64_t component = rules->max_component;
    read_keys(reader, node, known);
    read_phone_country(reader, yaml_get(node, "phone_country"), rules);
    struct values blocked = read_blocked(reader, yaml_get(node, "blocked_values"), "blocked_values");
    rules->blocked = blocked.ptr;
    rules->blocked_count = blocked.count;
    read_int(reader, yaml_get(node, "max_component"), 2, MAX_LIMIT, &component);
    rules->max_component = (uint32_t)component;
    read_namespaces(reader, yaml_get(node, "namespaces"), rules);
    if (reader->status == PK_OK && rules->namespace_count == 0)
        FAIL(reader, node, "without identity.namespaces no event has a customer; name at least one");
}

/* ---- what decides a hash ---- */

static int cmp_values(const void *a, const void *b)
{
    return pk_str_cmp(*(const struct pk_str *)a, *(const struct pk_str *)b);
}

static int cmp_namespaces(const void *a, const void *b)
{
    const struct rules_namespace *x = *(const struct rules_namespace *const *)a,
                                 *y = *(const struct rules_namespace *const *)b;
    int order = pk_str_cmp(x->name, y->name);
    return order ? order : x->any_issuer - y->any_issuer;
}

/* With its length before it: no value can look like two. */
static void add_value(struct pk_buf *text, struct pk_str value)
{
    pk_buf_printf(text, " %zu:", value.len);
    pk_buf_add(text, value.ptr, value.len);
}

/* The set of values: neither their order nor a second mention counts. */
static void add_values(struct pk_buf *text, const struct pk_str *value, size_t count, struct pk_arena *arena)
{
    struct pk_str *sorted = pk_arena_copy(arena, value, count * sizeof *value);
    qsort(sorted, count, sizeof *sorted, cmp_values);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || !pk_str_eq(sorted[i], sorted[i - 1]))
            add_value(text, sorted[i]);
    pk_buf_text(text, "\n");
}

struct pk_hash rules_hash_of_hashing(const struct rules *rules, struct pk_arena *arena)
{
    static const char *const normaliser[] = {[RULES_NONE] = "none", [RULES_EMAIL] = "email", [RULES_PHONE] = "phone"};
    struct pk_buf text PK_AUTO(pk_buf_done) = {0};
    const struct rules_namespace **space = PK_NEW_ARRAY(arena, const struct rules_namespace *, rules->namespace_count);
    for (size_t i = 0; i < rules->namespace_count; i++)
        space[i] = &rules->name_space[i];
    qsort(space, rules->namespace_count, sizeof *space, cmp_namespaces);

    pk_buf_text(&text, "phone_country");
    add_value(&text, rules->phone_country);
    pk_buf_text(&text, "\nblocked_values");
    add_values(&text, rules->blocked, rules->blocked_count, arena);
    for (size_t i = 0; i < rules->namespace_count; i++) {
        pk_buf_text(&text, "namespace");
        add_value(&text, space[i]->name);
        pk_buf_printf(&text, " %s %s blocked", space[i]->any_issuer ? "any_issuer" : "full",
                      normaliser[space[i]->normalise]);
        add_values(&text, space[i]->blocked, space[i]->blocked_count, arena);
    }
    struct pk_hash hash;
    crypto_generichash(hash.byte, sizeof hash, (const uint8_t *)text.ptr, text.len, NULL, 0);
    return hash;
}
