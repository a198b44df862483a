/* SPDX-License-Identifier: Apache-2.0 */
#include "rules.h"
#include "event.h"
#include "nearest.h"
#include "yaml.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_FILE_BYTES = 16 << 20 };
#define MAX_DURATION_US (36525 * PK_DAY_US) /* a century: added to any time of an event it is a time still */

/* The first error stays in `status`, and every later read does nothing: so reading needs no nest of checks. */
struct reader {
    struct yaml_file file;
    struct symbols *symbols;
    struct pk_arena *arena;
    struct pk_err *err;
    enum pk_status status;
    PK_VEC(const struct yaml_node *) types; /* every type that a match names, for the vocabulary */
};

#define FAIL(reader, node, ...)                                                                                      \
    ((reader)->status == PK_OK ? (void)((reader)->status = yaml_fail(&(reader)->file, node, (reader)->err, __VA_ARGS__)) \
                               : (void)0)

/* ---- scalars ---- */

static void only(struct reader *reader, const struct yaml_node *map, const char *const known[])
{
    if (reader->status == PK_OK)
        reader->status = yaml_only(&reader->file, map, known, reader->err);
}

static void read_text(struct reader *reader, const struct yaml_node *node, struct pk_str *value)
{
    if (reader->status == PK_OK)
        reader->status = yaml_text(&reader->file, node, value, reader->err);
}

static void read_bool(struct reader *reader, const struct yaml_node *node, bool *value)
{
    if (reader->status == PK_OK)
        reader->status = yaml_bool(&reader->file, node, value, reader->err);
}

static void read_int(struct reader *reader, const struct yaml_node *node, int64_t min, int64_t max, int64_t *value)
{
    if (reader->status == PK_OK)
        reader->status = yaml_int(&reader->file, node, min, max, value, reader->err);
}

static void read_duration(struct reader *reader, const struct yaml_node *node, int64_t *value_us)
{
    if (reader->status == PK_OK)
        reader->status = yaml_duration(&reader->file, node, value_us, reader->err);
    if (reader->status == PK_OK && node && *value_us > MAX_DURATION_US)
        FAIL(reader, node, "'%.100s' is longer than 36525d", node->text.ptr);
}

static void read_time(struct reader *reader, const struct yaml_node *node, int64_t *value_us)
{
    if (reader->status == PK_OK)
        reader->status = yaml_time(&reader->file, node, value_us, reader->err);
}

/* One of `count` names; *ret_index is left alone if the key is absent. */
static void read_choice(struct reader *reader, const struct yaml_node *node, const char *what,
                        const char *const name[], size_t count, int *ret_index)
{
    struct pk_str text = {0};
    read_text(reader, node, &text);
    if (reader->status != PK_OK || !node)
        return;
    for (size_t i = 0; i < count; i++)
        if (pk_str_eq(text, pk_str(name[i]))) {
            *ret_index = (int)i;
            return;
        }
    char known[200];
    size_t used = 0;
    for (size_t i = 0; i < count && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", name[i]);
    FAIL(reader, node, "unknown %s '%.100s'; use one of: %s", what, text.ptr, known);
}

static bool is_name(struct pk_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!letter && (i == 0 || (c != '.' && c != '_' && c != '-')))
            return false;
    }
    return text.len > 0 && text.len <= EVENT_MAX_NAME;
}

static sym_t read_name(struct reader *reader, const struct yaml_node *node, const char *what)
{
    struct pk_str text = {0};
    read_text(reader, node, &text);
    if (reader->status != PK_OK)
        return 0;
    if (!is_name(text)) {
        FAIL(reader, node, "%s '%.100s' is not a name: use a-z, 0-9, '.', '_' and '-'", what, text.ptr);
        return 0;
    }
    return symbol_of(reader->symbols, text);
}

/* ---- lists ---- */

/* A list, or one value without the brackets. `one` is where that value is put. */
static const struct yaml_node *const *values_of(struct reader *reader, const struct yaml_node *node,
                                                const struct yaml_node **one, size_t *ret_count)
{
    *ret_count = 0;
    if (!node || reader->status != PK_OK)
        return NULL;
    if (node->kind != YAML_SEQUENCE) {
        *one = node;
        *ret_count = 1;
        return one;
    }
    if (node->count == 0)
        FAIL(reader, node, "an empty list matches nothing; name a value or leave the key out");
    *ret_count = node->count;
    return (const struct yaml_node *const *)node->item;
}

static size_t items_of(struct reader *reader, const struct yaml_node *node, const char *what)
{
    if (!node || reader->status != PK_OK)
        return 0;
    if (node->kind != YAML_SEQUENCE) {
        FAIL(reader, node, "%s must be a list: write each entry on a line of its own after '- '", what);
        return 0;
    }
    return node->count;
}

static struct rules_texts read_names(struct reader *reader, const struct yaml_node *node, const char *what)
{
    const struct yaml_node *one;
    size_t count;
    const struct yaml_node *const *value = values_of(reader, node, &one, &count);
    sym_t *sym = PK_NEW_ARRAY(reader->arena, sym_t, count);
    for (size_t i = 0; i < count; i++)
        sym[i] = read_name(reader, value[i], what);
    return (struct rules_texts){sym, count};
}

static uint8_t read_mask(struct reader *reader, const struct yaml_node *node, const char *what,
                         const char *const name[], size_t names)
{
    const struct yaml_node *one;
    size_t count;
    const struct yaml_node *const *value = values_of(reader, node, &one, &count);
    unsigned mask = 0;
    for (size_t i = 0; i < count; i++) {
        int index = 0;
        read_choice(reader, value[i], what, name, names, &index);
        mask |= 1u << index;
    }
    return (uint8_t)mask;
}

/* ---- matches ---- */

static struct rules_type read_type(struct reader *reader, const struct yaml_node *node)
{
    struct pk_str text = {0};
    read_text(reader, node, &text);
    if (reader->status != PK_OK)
        return (struct rules_type){0};
    bool any_ending = text.len > 2 && memcmp(text.ptr + text.len - 2, ".*", 2) == 0;
    struct pk_str stem = {text.ptr, text.len - any_ending};
    if (!is_name(stem)) {
        FAIL(reader, node, "'%.100s' is not a type: write it as contact.inbound, or contact.* for any ending", text.ptr);
        return (struct rules_type){0};
    }
    *pk_vec_push(&reader->types) = node;
    return (struct rules_type){stem, any_ending};
}

static struct rules_match read_match(struct reader *reader, const struct yaml_node *node)
{
    static const char *const known[] = {"type", "outcome", "reason", "channel", "direction", "actor", NULL};
    static const char *const direction[] = {"INBOUND", "OUTBOUND", "INTERNAL", "PUBLIC", "UNKNOWN"};
    static const char *const actor[] = {"CUSTOMER", "HUMAN", "BOT", "SYSTEM", "UNKNOWN"};
    struct rules_match match = {0};
    only(reader, node, known);
    if (reader->status != PK_OK)
        return match;
    if (node->count == 0)
        FAIL(reader, node, "a match that names nothing would hold for every event; name a type");

    const struct yaml_node *one;
    size_t count;
    const struct yaml_node *const *value = values_of(reader, yaml_get(node, "type"), &one, &count);
    struct rules_type *type = PK_NEW_ARRAY(reader->arena, struct rules_type, count);
    for (size_t i = 0; i < count; i++)
        type[i] = read_type(reader, value[i]);
    match.type = type;
    match.type_count = count;
    match.outcome = read_names(reader, yaml_get(node, "outcome"), "outcome");
    match.reason = read_names(reader, yaml_get(node, "reason"), "reason");
    match.channel = read_names(reader, yaml_get(node, "channel"), "channel");
    match.direction_mask =
        read_mask(reader, yaml_get(node, "direction"), "direction", direction, PK_COUNT(direction));
    match.actor_mask = read_mask(reader, yaml_get(node, "actor"), "actor", actor, PK_COUNT(actor));
    return match;
}

static struct rules_match_list read_matches(struct reader *reader, const struct yaml_node *node, const char *what)
{
    size_t count = items_of(reader, node, what);
    struct rules_match *match = PK_NEW_ARRAY(reader->arena, struct rules_match, count);
    for (size_t i = 0; i < count && reader->status == PK_OK; i++)
        match[i] = read_match(reader, node->item[i]);
    return (struct rules_match_list){match, count};
}

/* ---- identity ---- */

enum { MAX_LIMIT = 1000000 }; /* of people, links and components: beyond it a limit guards nothing */

struct values { /* text in ASCII lower case */
    const struct pk_str *ptr;
    size_t count;
};

static struct values read_blocked(struct reader *reader, const struct yaml_node *node, const char *what)
{
    size_t count = items_of(reader, node, what);
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
    only(reader, node, known);
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
    size_t count = items_of(reader, node, "namespaces");
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

static void read_identity(struct reader *reader, const struct yaml_node *node, struct rules *rules)
{
    static const char *const known[] = {"phone_country", "blocked_values", "namespaces", "max_component", NULL};
    int64_t component = rules->max_component;
    only(reader, node, known);
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

static struct pk_hash hash_of_hashing(const struct rules *rules, struct pk_arena *arena)
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

/* ---- journeys and facts ---- */

static const struct {
    const char *section, *name;
} trait_place[TRAIT_COUNT] = {
#define X(id, in_section, in_name, help) [TRAIT_##id] = {in_section, in_name},
#include "trait.def"
#undef X
};

/* `known` gets the traits of a section behind its own `count` keys. */
static void add_traits(const char *section, const char *known[], size_t count)
{
    for (size_t i = 0; i < TRAIT_COUNT; i++)
        if (strcmp(trait_place[i].section, section) == 0)
            known[count++] = trait_place[i].name;
    known[count] = NULL;
}

static void read_traits(struct reader *reader, const struct yaml_node *node, const char *section, struct rules *rules)
{
    for (size_t i = 0; i < TRAIT_COUNT; i++)
        if (strcmp(trait_place[i].section, section) == 0)
            rules->trait[i] = read_matches(reader, yaml_get(node, trait_place[i].name), trait_place[i].name);
}

static void read_journeys(struct reader *reader, const struct yaml_node *node, struct rules *rules)
{
    const char *known[6 + TRAIT_COUNT] = {"gap", "reopen_gap", "case_gap", "max_span", "max_events"};
    add_traits("journeys", known, 5);
    only(reader, node, known);
    read_duration(reader, yaml_get(node, "gap"), &rules->gap_us);
    read_duration(reader, yaml_get(node, "reopen_gap"), &rules->reopen_gap_us);
    read_duration(reader, yaml_get(node, "case_gap"), &rules->case_gap_us);
    read_duration(reader, yaml_get(node, "max_span"), &rules->max_span_us);
    read_int(reader, yaml_get(node, "max_events"), 1, 1000000000, &rules->max_events);
    read_traits(reader, node, "journeys", rules);
}

static void read_facts(struct reader *reader, const struct yaml_node *node, struct rules *rules)
{
    const char *known[1 + TRAIT_COUNT] = {0};
    add_traits("facts", known, 0);
    only(reader, node, known);
    read_traits(reader, node, "facts", rules);
}

/* ---- obligations ---- */

/* A date alone is a whole day: valid_to includes it to its last microsecond. */
static void read_valid_to(struct reader *reader, const struct yaml_node *node, int64_t *value_us)
{
    read_time(reader, node, value_us);
    if (reader->status == PK_OK && node && node->text.len == strlen("2000-01-01"))
        *value_us += PK_DAY_US - 1;
}

static struct rules_kind read_kind(struct reader *reader, const struct yaml_node *node)
{
    static const char *const known[] = {"kind",   "opens", "attempts", "fulfils",    "rejects",  "withdraws", "within",
                                        "across", "label", "consume",  "valid_from", "valid_to", NULL};
    static const char *const label[] = {[LABEL_NONE] = "none",
                                        [LABEL_ATTEMPTED_NOT_REACHED] = "attempted_not_reached",
                                        [LABEL_REPLIED_NOT_ANSWERED] = "replied_not_answered"};
    static const char *const consume[] = {"one", "all"};
    struct rules_kind kind = {.within_us = PK_NO_TIME, .valid_from_us = INT64_MIN, .valid_to_us = INT64_MAX};
    int chosen_label = LABEL_NONE, chosen_consume = 0;
    only(reader, node, known);
    if (reader->status == PK_OK && !yaml_get(node, "kind"))
        FAIL(reader, node, "an obligation needs its name; add 'kind:'");
    if (reader->status == PK_OK)
        kind.kind = read_name(reader, yaml_get(node, "kind"), "kind");
    kind.opens = read_matches(reader, yaml_get(node, "opens"), "opens");
    kind.attempts = read_matches(reader, yaml_get(node, "attempts"), "attempts");
    kind.fulfils = read_matches(reader, yaml_get(node, "fulfils"), "fulfils");
    kind.rejects = read_matches(reader, yaml_get(node, "rejects"), "rejects");
    kind.withdraws = read_matches(reader, yaml_get(node, "withdraws"), "withdraws");
    read_duration(reader, yaml_get(node, "within"), &kind.within_us);
    read_bool(reader, yaml_get(node, "across"), &kind.across);
    read_choice(reader, yaml_get(node, "label"), "label", label, PK_COUNT(label), &chosen_label);
    read_choice(reader, yaml_get(node, "consume"), "value of consume", consume, PK_COUNT(consume), &chosen_consume);
    read_time(reader, yaml_get(node, "valid_from"), &kind.valid_from_us);
    read_valid_to(reader, yaml_get(node, "valid_to"), &kind.valid_to_us);
    kind.label = (enum rules_label)chosen_label;
    kind.consume_all = chosen_consume == 1;
    if (reader->status == PK_OK && kind.valid_from_us > kind.valid_to_us)
        FAIL(reader, yaml_get(node, "valid_to"), "valid_to lies before valid_from; no event could open this kind");
    if (reader->status == PK_OK && kind.opens.count + kind.attempts.count + kind.fulfils.count + kind.rejects.count +
                                           kind.withdraws.count == 0)
        FAIL(reader, node, "nothing opens, attempts, fulfils, rejects or withdraws this kind; add one of them");
    return kind;
}

static void read_kinds(struct reader *reader, const struct yaml_node *node, struct rules *rules)
{
    size_t count = items_of(reader, node, "kinds");
    if (count > RULES_MAX_KINDS) {
        FAIL(reader, node, "%zu kinds, at most %d", count, RULES_MAX_KINDS);
        return;
    }
    struct rules_kind *kind = PK_NEW_ARRAY(reader->arena, struct rules_kind, count);
    for (size_t i = 0; i < count && reader->status == PK_OK; i++) {
        kind[i] = read_kind(reader, node->item[i]);
        rules->any_across |= kind[i].across;
    }
    rules->kind = kind;
    rules->kind_count = count;
}

static void read_obligations(struct reader *reader, const struct yaml_node *node, struct rules *rules)
{
    static const char *const known[] = {"skew", "kinds", NULL};
    only(reader, node, known);
    read_duration(reader, yaml_get(node, "skew"), &rules->skew_us);
    read_kinds(reader, yaml_get(node, "kinds"), rules);
}

/* ---- the file ---- */

static void read_horizon(struct reader *reader, const struct yaml_node *node, struct rules *rules)
{
    read_time(reader, node, &rules->horizon_us);
    if (reader->status == PK_OK && (rules->horizon_us < EVENT_MIN_TIME_US || rules->horizon_us >= EVENT_MAX_TIME_US))
        FAIL(reader, node, "horizon must lie in 1990-01-01 .. 2199-12-31");
}

static void read_own_types(struct reader *reader, const struct yaml_node *node)
{
    size_t count = items_of(reader, node, "types");
    for (size_t i = 0; i < count && reader->status == PK_OK; i++) {
        struct pk_str text = {0};
        read_text(reader, node->item[i], &text);
        if (reader->status == PK_OK && !is_name(text))
            FAIL(reader, node->item[i], "'%.100s' is not a type: write it as parcel.lost", text.ptr);
    }
}

static void read_rules(struct reader *reader, struct rules *rules)
{
    static const char *const known[] = {"version", "horizon", "identity", "journeys", "facts", "obligations", "types", NULL};
    const struct yaml_node *root = reader->file.root;
    int64_t version = 0;
    if (!root) {
        FAIL(reader, NULL, "the file is empty; start from deploy/polku.yaml");
        return;
    }
    only(reader, root, known);
    if (reader->status == PK_OK && !yaml_get(root, "version"))
        FAIL(reader, root, "no version; add 'version: %d'", RULES_VERSION);
    read_int(reader, yaml_get(root, "version"), 0, INT64_MAX, &version);
    if (reader->status == PK_OK && version != RULES_VERSION)
        FAIL(reader, yaml_get(root, "version"), "version %lld; this program reads version %d", (long long)version,
             RULES_VERSION);
    if (reader->status == PK_OK && !yaml_get(root, "identity"))
        FAIL(reader, root, "no identity; say under 'identity: namespaces:' what identifies a customer");
    read_horizon(reader, yaml_get(root, "horizon"), rules);
    read_identity(reader, yaml_get(root, "identity"), rules);
    read_journeys(reader, yaml_get(root, "journeys"), rules);
    read_facts(reader, yaml_get(root, "facts"), rules);
    read_obligations(reader, yaml_get(root, "obligations"), rules);
    read_own_types(reader, yaml_get(root, "types"));
}

/* ---- the vocabulary ---- */

static bool type_fits(struct pk_str wanted, bool any_ending, struct pk_str known)
{
    return any_ending ? known.len >= wanted.len && memcmp(known.ptr, wanted.ptr, wanted.len) == 0
                      : pk_str_eq(wanted, known);
}

/* promise.* is part of the program: docs/semantics.md 5. */
static bool type_known(struct pk_str type, const struct yaml_node *vocabulary, const struct yaml_node *own)
{
    bool any_ending = type.ptr[type.len - 1] == '*';
    type.len -= any_ending;
    for (size_t i = 0; i < vocabulary->count; i++)
        if (type_fits(type, any_ending, vocabulary->key[i]))
            return true;
    for (size_t i = 0; own && i < own->count; i++)
        if (type_fits(type, any_ending, own->item[i]->text))
            return true;
    return false;
}

static const char *nearest_type(struct pk_str type, const struct yaml_node *vocabulary, struct pk_arena *arena)
{
    const char **name = PK_NEW_ARRAY(arena, const char *, vocabulary->count);
    for (size_t i = 0; i < vocabulary->count; i++)
        name[i] = vocabulary->key[i].ptr;
    return nearest_name(type, name, vocabulary->count);
}

static void check_vocabulary(struct reader *reader, const char *path, struct rules_warnings *warnings)
{
    struct yaml_file file;
    if (reader->status != PK_OK)
        return;
    reader->status = yaml_load(path, reader->arena, &file, reader->err);
    if (reader->status != PK_OK)
        return;
    const struct yaml_node *vocabulary = yaml_get(file.root, "types");
    if (!vocabulary || vocabulary->kind != YAML_MAPPING) {
        reader->status = yaml_fail(&file, vocabulary, reader->err, "no 'types:' with lines of 'type: sentence'");
        return;
    }
    const struct yaml_node *own = yaml_get(reader->file.root, "types");
    for (size_t i = 0; i < reader->types.len; i++) {
        const struct yaml_node *node = reader->types.ptr[i];
        if (type_known(node->text, vocabulary, own))
            continue;
        const char *nearest = nearest_type(node->text, vocabulary, reader->arena);
        char text[400];
        int len = snprintf(text, sizeof text, "type '%s' is not in the vocabulary; %s%s%s", node->text.ptr,
                           nearest ? "did you mean '" : "add it to 'types:' of the rules if it is your own",
                           nearest ? nearest : "", nearest ? "'?" : "");
        *pk_vec_push(&warnings->list) = (struct rules_warning){
            node->line, pk_arena_str(reader->arena, (struct pk_str){text, (size_t)PK_MIN(len, (int)sizeof text - 1)})};
    }
}

/* ---- loading ---- */

static void file_done(FILE **file)
{
    if (*file)
        fclose(*file);
}

static enum pk_status read_bytes(const char *path, struct pk_buf *ret_text, struct pk_err *err)
{
    FILE *in PK_AUTO(file_done) = fopen(path, "rb");
    if (!in)
        return pk_fail(err, PK_REJECT, "%s: cannot be opened: %s", path, strerror(errno));
    size_t got;
    do {
        pk_buf_reserve(ret_text, 1 << 16);
        got = fread(ret_text->ptr + ret_text->len, 1, 1 << 16, in);
        ret_text->len += got;
        if (ret_text->len > MAX_FILE_BYTES)
            return pk_fail(err, PK_REJECT, "%s: larger than %d MiB", path, MAX_FILE_BYTES >> 20);
    } while (got > 0);
    if (ferror(in))
        return pk_fail(err, PK_REJECT, "%s: cannot be read: %s", path, strerror(errno));
    return PK_OK;
}

enum pk_status rules_load(const char *path, const char *vocabulary_path, struct symbols *symbols,
                          struct pk_arena *arena, struct rules *ret_rules, struct rules_warnings *ret_warnings,
                          struct pk_err *err)
{
    struct pk_buf text PK_AUTO(pk_buf_done) = {0};
    struct reader reader = {.symbols = symbols, .arena = arena, .err = err};
    struct rules rules = {
        .horizon_us = EVENT_MIN_TIME_US,
        .gap_us = 7 * PK_DAY_US,
        .reopen_gap_us = 3 * PK_DAY_US,
        .case_gap_us = 90 * PK_DAY_US,
        .max_span_us = 365 * PK_DAY_US,
        .skew_us = 5 * PK_SECOND_US,
        .max_events = 20000,
        .max_component = 1000,
    };
    reader.status = read_bytes(path, &text, err);
    if (reader.status == PK_OK)
        reader.status = yaml_parse(path, (struct pk_str){text.ptr, text.len}, arena, &reader.file, err);
    if (reader.status == PK_OK) {
        crypto_generichash(rules.file_hash.byte, sizeof rules.file_hash, (const uint8_t *)text.ptr, text.len, NULL, 0);
        read_rules(&reader, &rules);
    }
    struct rules_warnings warnings = {0};
    if (vocabulary_path)
        check_vocabulary(&reader, vocabulary_path, &warnings);
    pk_vec_done(&reader.types);
    if (reader.status != PK_OK || !ret_warnings)
        pk_vec_done(&warnings.list);
    if (reader.status == PK_OK) {
        rules.hashing_hash = hash_of_hashing(&rules, arena);
        *ret_rules = rules;
        if (ret_warnings)
            *ret_warnings = warnings;
    }
    return reader.status;
}
