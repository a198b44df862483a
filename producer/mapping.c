/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the mapping file. Each reader of a part takes its node and says FILE:LINE if it is wrong. */
#include "mapping.h"

#include <stdio.h>
#include <stdlib.h>

#include "mapping_plan.h"
#include "time_pattern.h"

static enum pk_status want(const struct mapping *m, const struct yaml_node *node, enum yaml_kind kind, const char *what,
                           struct pk_err *err)
{
    static const char *const name[] = {[YAML_SCALAR] = "a text", [YAML_SEQUENCE] = "a list", [YAML_MAPPING] = "a mapping"};
    if (node->kind == kind)
        return PK_OK;
    return yaml_fail(&m->file, node, err, "%s must be %s", what, name[kind]);
}

/* ---- conditions ---- */

static enum pk_status read_condition(struct mapping *m, const struct yaml_node *node, struct condition **ret,
                                     struct pk_err *err);

static struct condition *new_condition(struct mapping *m, int kind, size_t children)
{
    struct condition *c = PK_NEW(m->arena, struct condition);
    c->kind = kind;
    c->child = PK_NEW_ARRAY(m->arena, struct condition *, children);
    return c;
}

static enum pk_status need_group(struct mapping *m, const struct yaml_node *node, struct pk_err *err)
{
    if (!m->names.allow_previous)
        return yaml_fail(&m->file, node, err, "the previous row is not known here");
    m->names.uses_group = true;
    return PK_OK;
}

static enum pk_status read_present(struct mapping *m, const struct yaml_node *node, struct condition **ret,
                                   struct pk_err *err)
{
    size_t count = node->kind == YAML_SEQUENCE ? node->count : 1;
    struct condition *all = new_condition(m, CONDITION_ALL, count);
    for (size_t i = 0; i < count; i++) {
        const struct yaml_node *item = node->kind == YAML_SEQUENCE ? node->item[i] : node;
        struct condition *c = all->child[all->count++] = new_condition(m, CONDITION_PRESENT, 0);
        enum pk_status status = want(m, item, YAML_SCALAR, "a column to test", err);
        if (status == PK_OK)
            status = reference_parse(&m->names, item, item->text, &c->reference, err);
        if (status != PK_OK)
            return status;
    }
    *ret = all;
    return PK_OK;
}

static enum pk_status read_words(struct mapping *m, const struct yaml_node *node, struct condition *c, struct pk_err *err)
{
    size_t count = node->kind == YAML_SEQUENCE ? node->count : 1;
    c->word = PK_NEW_ARRAY(m->arena, struct pk_str, count);
    for (size_t i = 0; i < count; i++) {
        const struct yaml_node *item = node->kind == YAML_SEQUENCE ? node->item[i] : node;
        enum pk_status status = want(m, item, YAML_SCALAR, "a value to compare with", err);
        if (status != PK_OK)
            return status;
        c->word[c->count++] = item->text;
    }
    return PK_OK;
}

static enum pk_status read_is(struct mapping *m, const struct yaml_node *node, struct condition **ret,
                              struct pk_err *err)
{
    enum pk_status status = want(m, node, YAML_MAPPING, "is (column: value, or column: [values])", err);
    if (status != PK_OK)
        return status;
    struct condition *all = new_condition(m, CONDITION_ALL, node->count);
    for (size_t i = 0; i < node->count && status == PK_OK; i++) {
        struct condition *c = all->child[all->count++] = new_condition(m, CONDITION_IN, 0);
        status = reference_parse(&m->names, node->item[i], node->key[i], &c->reference, err);
        if (status == PK_OK)
            status = read_words(m, node->item[i], c, err);
    }
    *ret = all;
    return status;
}

static enum pk_status read_changed(struct mapping *m, const struct yaml_node *node, struct condition **ret,
                                   struct pk_err *err)
{
    enum pk_status status = want(m, node, YAML_SCALAR, "changed", err);
    if (status == PK_OK)
        status = need_group(m, node, err);
    struct condition *c = new_condition(m, CONDITION_CHANGED, 0);
    if (status == PK_OK)
        status = reference_parse(&m->names, node, node->text, &c->reference, err);
    if (status == PK_OK)
        status = reference_parse(&m->names, node, node->text, &c->before, err);
    if (status == PK_OK)
        c->before->previous = true, c->before->lets_visible = c->before->lookups_visible = UINT32_MAX;
    *ret = c;
    return status;
}

static enum pk_status read_first(struct mapping *m, const struct yaml_node *node, struct condition **ret,
                                 struct pk_err *err)
{
    bool first = true;
    enum pk_status status = yaml_bool(&m->file, node, &first, err);
    if (status == PK_OK)
        status = need_group(m, node, err);
    struct condition *c = new_condition(m, CONDITION_FIRST, 0);
    *ret = c;
    if (!first) {
        *ret = new_condition(m, CONDITION_NOT, 1);
        (*ret)->child[(*ret)->count++] = c;
    }
    return status;
}

static enum pk_status read_children(struct mapping *m, const struct yaml_node *node, int kind, struct condition **ret,
                                    struct pk_err *err)
{
    size_t count = node->kind == YAML_SEQUENCE ? node->count : 1;
    struct condition *c = new_condition(m, kind, count);
    enum pk_status status = PK_OK;
    for (size_t i = 0; i < count && status == PK_OK; i++)
        status = read_condition(m, node->kind == YAML_SEQUENCE ? node->item[i] : node, &c->child[c->count++], err);
    *ret = c;
    return status;
}

static enum pk_status read_test(struct mapping *m, struct pk_str key, const struct yaml_node *node,
                                struct condition **ret, struct pk_err *err)
{
    if (pk_str_eq(key, PK_STR("present")))
        return read_present(m, node, ret, err);
    if (pk_str_eq(key, PK_STR("is")))
        return read_is(m, node, ret, err);
    if (pk_str_eq(key, PK_STR("changed")))
        return read_changed(m, node, ret, err);
    if (pk_str_eq(key, PK_STR("first")))
        return read_first(m, node, ret, err);
    if (pk_str_eq(key, PK_STR("any")))
        return read_children(m, node, CONDITION_ANY, ret, err);
    return read_children(m, node, CONDITION_NOT, ret, err);
}

/* A mapping of tests that must all hold, or a list of such mappings. */
static enum pk_status read_condition(struct mapping *m, const struct yaml_node *node, struct condition **ret,
                                     struct pk_err *err)
{
    static const char *const known[] = {"present", "is", "changed", "first", "any", "not", NULL};
    if (node->kind == YAML_SEQUENCE)
        return read_children(m, node, CONDITION_ALL, ret, err);
    enum pk_status status = want(m, node, YAML_MAPPING, "a condition", err);
    if (status == PK_OK)
        status = yaml_only(&m->file, node, known, err);
    struct condition *all = new_condition(m, CONDITION_ALL, node->count);
    for (size_t i = 0; i < node->count && status == PK_OK; i++)
        status = read_test(m, node->key[i], node->item[i], &all->child[all->count++], err);
    *ret = all;
    return status;
}

/* ---- values ---- */

static enum pk_status read_template(struct mapping *m, const struct yaml_node *node, struct template **ret,
                                    struct pk_err *err)
{
    return node ? template_parse(&m->names, node, ret, err) : PK_OK;
}

static enum pk_status read_zone(struct mapping *m, const struct yaml_node *node, const struct zone **ret,
                                struct pk_err *err)
{
    if (!node)
        return PK_OK;
    struct pk_str name;
    struct pk_err why;
    enum pk_status status = yaml_text(&m->file, node, &name, err);
    if (status == PK_OK && zone_open(name, m->arena, ret, &why) != PK_OK)
        return yaml_fail(&m->file, node, err, "%s", why.text);
    return status;
}

static enum pk_status read_format(struct mapping *m, const struct yaml_node *node, struct pk_str *format,
                                  struct pk_err *err)
{
    struct pk_err why;
    enum pk_status status = yaml_text(&m->file, node, format, err);
    if (status == PK_OK && node && time_pattern_check(*format, &why) != PK_OK)
        return yaml_fail(&m->file, node, err, "%s", why.text);
    return status;
}

/* The one of value, first, earliest, latest that is there. */
static const struct yaml_node *moment_source(const struct yaml_node *node, struct moment *moment)
{
    static const struct { const char *key; int pick; } source[] = {
        {"value", MOMENT_FIRST}, {"first", MOMENT_FIRST}, {"earliest", MOMENT_EARLIEST}, {"latest", MOMENT_LATEST}};
    const struct yaml_node *found = NULL;
    for (size_t i = 0; i < PK_COUNT(source); i++) {
        const struct yaml_node *here = yaml_get(node, source[i].key);
        if (here && found)
            return NULL;
        if (here)
            found = here, moment->pick = source[i].pick;
    }
    return found;
}

static enum pk_status read_moment(struct mapping *m, const struct yaml_node *node, struct moment *ret,
                                  struct pk_err *err)
{
    static const char *const known[] = {"value", "first", "earliest", "latest", "format", "zone", "end_of_day", "add", NULL};
    if (!node)
        return PK_OK;
    struct moment moment = {.node = node, .format = m->format, .zone = m->zone};
    const struct yaml_node *source = node;
    enum pk_status status = PK_OK;
    if (node->kind == YAML_MAPPING) {
        status = yaml_only(&m->file, node, known, err);
        if (status == PK_OK && !(source = moment_source(node, &moment)))
            return yaml_fail(&m->file, node, err, "a time needs exactly one of value, first, earliest, latest");
        if (status == PK_OK)
            status = read_format(m, yaml_get(node, "format"), &moment.format, err);
        if (status == PK_OK)
            status = read_zone(m, yaml_get(node, "zone"), &moment.zone, err);
        if (status == PK_OK)
            status = yaml_bool(&m->file, yaml_get(node, "end_of_day"), &moment.end_of_day, err);
        if (status == PK_OK)
            status = yaml_duration(&m->file, yaml_get(node, "add"), &moment.add_us, err);
    }
    size_t count = source->kind == YAML_SEQUENCE ? source->count : 1;
    moment.text = PK_NEW_ARRAY(m->arena, struct template *, count);
    for (size_t i = 0; i < count && status == PK_OK; i++)
        status = read_template(m, source->kind == YAML_SEQUENCE ? source->item[i] : source, &moment.text[moment.count++],
                               err);
    if (status == PK_OK)
        *ret = moment;
    return status;
}

static enum pk_status read_symbol(struct mapping *m, const struct yaml_node *node, int (*symbol)(struct pk_str),
                                  const char *known, struct template **ret, struct pk_err *err)
{
    enum pk_status status = read_template(m, node, ret, err);
    bool constant = status == PK_OK && node && (*ret)->count == 1 && !(*ret)->part[0].reference;
    if (constant && symbol((*ret)->part[0].text) < 0)
        return yaml_fail(&m->file, node, err, "'%.*s' is none of %s", PK_STR_ARG(node->text), known);
    return status;
}

/* ---- events ---- */

/* Replaces the entry of the same name that the defaults gave. */
static void put_named(struct named_text *list, size_t count, struct pk_str name, struct template *text, bool *ret_done)
{
    for (size_t i = 0; i < count; i++)
        if (pk_str_eq(list[i].name, name)) {
            list[i].text = text;
            *ret_done = true;
        }
}

/* namespace: template, or namespace: [templates] for several values. */
static enum pk_status read_identifiers(struct mapping *m, const struct yaml_node *node, struct event_plan *plan,
                                       struct pk_err *err)
{
    if (!node)
        return PK_OK;
    enum pk_status status = want(m, node, YAML_MAPPING, "identifiers (namespace: value)", err);
    for (size_t i = 0; status == PK_OK && i < node->count; i++) {
        const struct yaml_node *value = node->item[i];
        size_t count = value->kind == YAML_SEQUENCE ? value->count : 1;
        for (size_t k = 0; status == PK_OK && k < count; k++) {
            struct template *text = NULL;
            bool done = false;
            status = read_template(m, value->kind == YAML_SEQUENCE ? value->item[k] : value, &text, err);
            if (status == PK_OK && value->kind == YAML_SCALAR)
                put_named(plan->identifier.ptr, plan->identifier.len, node->key[i], text, &done);
            if (status == PK_OK && !done)
                *pk_vec_push(&plan->identifier) = (struct named_text){node->key[i], text};
        }
    }
    return status;
}

static enum pk_status read_attributes(struct mapping *m, const struct yaml_node *node, struct event_plan *plan,
                                      struct pk_err *err)
{
    if (!node)
        return PK_OK;
    enum pk_status status = want(m, node, YAML_MAPPING, "attributes", err);
    for (size_t i = 0; status == PK_OK && i < node->count; i++) {
        struct template *text = NULL;
        bool done = false;
        status = read_template(m, node->item[i], &text, err);
        if (status == PK_OK)
            put_named(plan->attribute.ptr, plan->attribute.len, node->key[i], text, &done);
        if (status == PK_OK && !done)
            *pk_vec_push(&plan->attribute) = (struct named_text){node->key[i], text};
    }
    return status;
}

static enum pk_status read_texts(struct mapping *m, const struct yaml_node *node, struct event_plan *plan,
                                 struct pk_err *err)
{
    enum pk_status status = PK_OK;
    for (size_t i = 0; i < PLAN_TEXTS && status == PK_OK; i++) {
        const struct yaml_node *from = plan_text[i].part ? yaml_get(node, plan_text[i].part) : node;
        status = read_template(m, yaml_get(from, plan_text[i].key), &plan->text[i], err);
    }
    return status;
}

static enum pk_status read_obligation(struct mapping *m, const struct yaml_node *node, struct event_plan *plan,
                                      struct pk_err *err)
{
    static const char *const known[] = {"id", "kind", "due_from", "due_to", "brand", "unit", "role", NULL};
    if (!node)
        return PK_OK;
    enum pk_status status = want(m, node, YAML_MAPPING, "obligation", err);
    if (status == PK_OK)
        status = yaml_only(&m->file, node, known, err);
    if (status == PK_OK)
        status = read_moment(m, yaml_get(node, "due_from"), &plan->due_from, err);
    if (status == PK_OK)
        status = read_moment(m, yaml_get(node, "due_to"), &plan->due_to, err);
    return status;
}

static enum pk_status read_handoff(struct mapping *m, const struct yaml_node *node, struct event_plan *plan,
                                   struct pk_err *err)
{
    static const char *const known[] = {"to_brand", "to_unit", "to_role", NULL};
    (void)plan;
    if (!node)
        return PK_OK;
    enum pk_status status = want(m, node, YAML_MAPPING, "handoff", err);
    return status == PK_OK ? yaml_only(&m->file, node, known, err) : status;
}

static enum pk_status read_rating(struct mapping *m, const struct yaml_node *node, struct event_plan *plan,
                                  struct pk_err *err)
{
    static const char *const known[] = {"scale", "score", "min", "max", NULL};
    if (!node)
        return PK_OK;
    enum pk_status status = want(m, node, YAML_MAPPING, "rating", err);
    if (status == PK_OK)
        status = yaml_only(&m->file, node, known, err);
    if (status == PK_OK)
        status = read_template(m, yaml_get(node, "score"), &plan->score, err);
    if (status == PK_OK)
        status = read_template(m, yaml_get(node, "min"), &plan->min, err);
    if (status == PK_OK)
        status = read_template(m, yaml_get(node, "max"), &plan->max, err);
    return status;
}

static enum pk_status read_money(struct mapping *m, const struct yaml_node *node, struct event_plan *plan,
                                 struct pk_err *err)
{
    static const char *const known[] = {"amount", "amount_minor", "decimals", "currency", "kind", NULL};
    if (!node)
        return PK_OK;
    enum pk_status status = want(m, node, YAML_MAPPING, "money", err);
    if (status == PK_OK)
        status = yaml_only(&m->file, node, known, err);
    if (status == PK_OK && yaml_get(node, "amount") && yaml_get(node, "amount_minor"))
        return yaml_fail(&m->file, node, err, "money has either amount or amount_minor");
    if (status == PK_OK)
        status = read_template(m, yaml_get(node, "amount"), &plan->amount, err);
    if (status == PK_OK)
        status = read_template(m, yaml_get(node, "amount_minor"), &plan->amount_minor, err);
    if (status == PK_OK)
        status = yaml_int(&m->file, yaml_get(node, "decimals"), 0, MAPPING_MAX_MONEY_DECIMALS, &plan->decimals, err);
    return status;
}

static enum pk_status read_symbols(struct mapping *m, const struct yaml_node *node, struct event_plan *plan,
                                   struct pk_err *err)
{
    enum pk_status status = read_symbol(m, yaml_get(node, "direction"), plan_direction,
                                        "INBOUND, OUTBOUND, INTERNAL, PUBLIC, UNKNOWN", &plan->direction, err);
    if (status == PK_OK)
        status = read_symbol(m, yaml_get(node, "actor"), plan_actor, "CUSTOMER, HUMAN, BOT, SYSTEM, UNKNOWN",
                             &plan->actor, err);
    if (status == PK_OK)
        status = read_symbol(m, yaml_get(node, "sensitivity"), plan_sensitivity, "NORMAL, SENSITIVE",
                             &plan->sensitivity, err);
    return status;
}

static enum pk_status read_event(struct mapping *m, const struct yaml_node *node, struct event_plan *plan,
                                 struct pk_err *err)
{
    static const char *const known[] = {
        "name",       "when",    "event_id", "source",  "occurred_at", "sequence",   "type",    "channel", "direction",
        "actor",      "brand",   "unit",     "staff",   "case_id",     "relates_to", "topic",   "cause",   "product",
        "location",   "stage",   "outcome",  "reason",  "identifiers", "obligation", "handoff", "rating",  "money",
        "sensitivity", "attributes", NULL};
    enum pk_status status = want(m, node, YAML_MAPPING, "an event", err);
    if (status == PK_OK)
        status = yaml_only(&m->file, node, known, err);
    plan->node = node;
    const struct yaml_node *when = yaml_get(node, "when");
    if (status == PK_OK && when)
        status = read_condition(m, when, &plan->when, err);
    if (status == PK_OK)
        status = read_moment(m, yaml_get(node, "occurred_at"), &plan->occurred_at, err);
    if (status == PK_OK)
        status = read_template(m, yaml_get(node, "sequence"), &plan->sequence, err);
    if (status == PK_OK)
        status = read_symbols(m, node, plan, err);
    if (status == PK_OK)
        status = read_obligation(m, yaml_get(node, "obligation"), plan, err);
    if (status == PK_OK)
        status = read_handoff(m, yaml_get(node, "handoff"), plan, err);
    if (status == PK_OK)
        status = read_rating(m, yaml_get(node, "rating"), plan, err);
    if (status == PK_OK)
        status = read_money(m, yaml_get(node, "money"), plan, err);
    if (status == PK_OK)
        status = read_texts(m, node, plan, err);
    if (status == PK_OK)
        status = read_identifiers(m, yaml_get(node, "identifiers"), plan, err);
    if (status == PK_OK)
        status = read_attributes(m, yaml_get(node, "attributes"), plan, err);
    if (status == PK_OK)
        status = yaml_text(&m->file, yaml_get(node, "name"), &plan->name, err);
    return status;
}

static void copy_lists(struct event_plan *plan, const struct event_plan *from)
{
    plan->identifier.ptr = NULL, plan->identifier.len = plan->identifier.cap = 0;
    plan->attribute.ptr = NULL, plan->attribute.len = plan->attribute.cap = 0;
    for (size_t i = 0; i < from->identifier.len; i++)
        *pk_vec_push(&plan->identifier) = from->identifier.ptr[i];
    for (size_t i = 0; i < from->attribute.len; i++)
        *pk_vec_push(&plan->attribute) = from->attribute.ptr[i];
}

static enum pk_status need(const struct mapping *m, const struct event_plan *plan, bool given, const char *field,
                           struct pk_err *err)
{
    return given ? PK_OK : yaml_fail(&m->file, plan->node, err, "event '%.*s' has no %s, here or in defaults",
                                     PK_STR_ARG(plan->name), field);
}

static enum pk_status check_event(const struct mapping *m, const struct event_plan *plan, struct pk_err *err)
{
    static const char *const required[] = {"event_id", "source", "type", "channel", "brand"};
    enum pk_status status = need(m, plan, plan->occurred_at.count > 0, "occurred_at", err);
    for (size_t i = 0; i < PLAN_TEXTS && status == PK_OK; i++)
        for (size_t k = 0; k < PK_COUNT(required) && status == PK_OK; k++)
            if (!plan_text[i].part && strcmp(plan_text[i].key, required[k]) == 0)
                status = need(m, plan, plan->text[i] != NULL, required[k], err);
    return status;
}

static enum pk_status read_events(struct mapping *m, const struct yaml_node *root, struct pk_err *err)
{
    m->defaults.decimals = 2;
    const struct yaml_node *defaults = yaml_get(root, "defaults"), *events = yaml_get(root, "events");
    enum pk_status status = defaults ? read_event(m, defaults, &m->defaults, err) : PK_OK;
    if (status != PK_OK)
        return status;
    if (yaml_get(defaults, "when"))
        return yaml_fail(&m->file, yaml_get(defaults, "when"), err, "defaults have no condition; give each event its own");
    if (!events || events->kind != YAML_SEQUENCE || events->count == 0)
        return yaml_fail(&m->file, events ? events : root, err, "`events` must be a list of one event or more");
    if (events->count > MAPPING_MAX_EVENTS)
        return yaml_fail(&m->file, events, err, "at most %d events", MAPPING_MAX_EVENTS);
    m->event = PK_NEW_ARRAY(m->arena, struct event_plan, events->count);
    for (size_t i = 0; i < events->count && status == PK_OK; i++) {
        struct event_plan *plan = &m->event[m->event_count++];
        *plan = m->defaults;
        char *name = pk_arena_alloc(m->arena, 24);
        plan->name = (struct pk_str){name, (size_t)snprintf(name, 24, "%zu", i + 1)};
        copy_lists(plan, &m->defaults);
        status = read_event(m, events->item[i], plan, err);
        if (status == PK_OK)
            status = check_event(m, plan, err);
    }
    return status;
}

/* ---- the rest of the file ---- */

static enum pk_status read_tables(struct mapping *m, const struct yaml_node *node, struct pk_err *err)
{
    if (!node)
        return PK_OK;
    enum pk_status status = want(m, node, YAML_MAPPING, "tables", err);
    if (status != PK_OK)
        return status;
    m->names.table = PK_NEW_ARRAY(m->arena, struct table, node->count);
    m->names.table_count = node->count;
    for (size_t i = 0; i < node->count && status == PK_OK; i++) {
        const struct yaml_node *words = node->item[i];
        status = want(m, words, YAML_MAPPING, "a table (word: other word)", err);
        struct table *table = &m->names.table[i];
        *table = (struct table){.name = node->key[i]};
        table->from = PK_NEW_ARRAY(m->arena, struct pk_str, words->count);
        table->to = PK_NEW_ARRAY(m->arena, struct pk_str, words->count);
        for (size_t k = 0; status == PK_OK && k < words->count; k++) {
            status = want(m, words->item[k], YAML_SCALAR, "a word of a table", err);
            if (pk_str_eq(words->key[k], PK_STR("*"))) {
                table->has_other = true;
                table->other = words->item[k]->text;
                continue;
            }
            table->from[table->count] = words->key[k];
            table->to[table->count++] = words->item[k]->text;
        }
    }
    return status;
}

static enum pk_status read_separator(struct mapping *m, const struct yaml_node *node, char *separator,
                                     struct pk_err *err)
{
    struct pk_str text = {separator, 1};
    enum pk_status status = yaml_text(&m->file, node, &text, err);
    if (status != PK_OK)
        return status;
    if (pk_str_eq(text, PK_STR("tab")))
        text = PK_STR("\t");
    if (text.len != 1 || text.ptr[0] == '"' || text.ptr[0] == '\n' || text.ptr[0] == '\r')
        return yaml_fail(&m->file, node, err, "separator must be one character, or tab");
    *separator = text.ptr[0];
    return PK_OK;
}

static enum pk_status read_lookup_words(struct mapping *m, const struct yaml_node *node, struct lookup *lookup,
                                        struct pk_err *err)
{
    struct pk_str missing = PK_STR("reject"), several = PK_STR("reject");
    enum pk_status status = yaml_text(&m->file, yaml_get(node, "missing"), &missing, err);
    if (status == PK_OK)
        status = yaml_text(&m->file, yaml_get(node, "several"), &several, err);
    if (status != PK_OK)
        return status;
    lookup->missing_is_empty = pk_str_eq(missing, PK_STR("empty"));
    if (!lookup->missing_is_empty && !pk_str_eq(missing, PK_STR("reject")))
        return yaml_fail(&m->file, yaml_get(node, "missing"), err, "missing must be reject or empty");
    lookup->several = pk_str_eq(several, PK_STR("first")) ? LOOKUP_FIRST
                      : pk_str_eq(several, PK_STR("last")) ? LOOKUP_LAST
                                                           : LOOKUP_UNIQUE;
    if (lookup->several == LOOKUP_UNIQUE && !pk_str_eq(several, PK_STR("reject")))
        return yaml_fail(&m->file, yaml_get(node, "several"), err, "several must be reject, first or last");
    return PK_OK;
}

static enum pk_status read_lookup(struct mapping *m, const struct yaml_node *node, struct lookup *lookup,
                                  struct pk_err *err)
{
    static const char *const known[] = {"file", "key", "match", "separator", "missing", "several", NULL};
    enum pk_status status = want(m, node, YAML_MAPPING, "a lookup", err);
    if (status == PK_OK)
        status = yaml_only(&m->file, node, known, err);
    if (status != PK_OK)
        return status;
    if (!yaml_get(node, "file") || !yaml_get(node, "key") || !yaml_get(node, "match"))
        return yaml_fail(&m->file, node, err, "lookup '%.*s' needs file, key and match", PK_STR_ARG(lookup->name));
    lookup->line = node->line;
    lookup->separator = ',';
    status = yaml_text(&m->file, yaml_get(node, "file"), &lookup->file, err);
    if (status == PK_OK)
        status = yaml_text(&m->file, yaml_get(node, "key"), &lookup->key, err);
    if (status == PK_OK)
        status = read_separator(m, yaml_get(node, "separator"), &lookup->separator, err);
    if (status == PK_OK)
        status = read_lookup_words(m, node, lookup, err);
    if (status == PK_OK)
        status = read_template(m, yaml_get(node, "match"), &lookup->match, err);
    return status;
}

static enum pk_status read_lookups(struct mapping *m, const struct yaml_node *node, struct pk_err *err)
{
    if (!node)
        return PK_OK;
    enum pk_status status = want(m, node, YAML_MAPPING, "lookups", err);
    if (status != PK_OK)
        return status;
    m->names.lookup = PK_NEW_ARRAY(m->arena, struct lookup, node->count);
    m->names.lookup_count = node->count;
    for (size_t i = 0; i < node->count && status == PK_OK; i++) {
        m->names.lookup[i].name = node->key[i];
        m->names.lookups_visible = (uint32_t)i;
        status = read_lookup(m, node->item[i], &m->names.lookup[i], err);
    }
    m->names.lookups_visible = (uint32_t)node->count;
    return status;
}

static enum pk_status read_let_choice(struct mapping *m, const struct yaml_node *node, struct condition **ret_when,
                                      struct template **ret_value, struct pk_err *err)
{
    static const char *const known[] = {"when", "value", NULL};
    if (node->kind == YAML_SCALAR)
        return read_template(m, node, ret_value, err);
    enum pk_status status = want(m, node, YAML_MAPPING, "a choice of a let", err);
    if (status == PK_OK)
        status = yaml_only(&m->file, node, known, err);
    if (status == PK_OK && !yaml_get(node, "value"))
        return yaml_fail(&m->file, node, err, "a choice of a let needs a value");
    if (status == PK_OK && yaml_get(node, "when"))
        status = read_condition(m, yaml_get(node, "when"), ret_when, err);
    if (status == PK_OK)
        status = read_template(m, yaml_get(node, "value"), ret_value, err);
    return status;
}

static enum pk_status read_lets(struct mapping *m, const struct yaml_node *node, struct pk_err *err)
{
    if (!node)
        return PK_OK;
    enum pk_status status = want(m, node, YAML_MAPPING, "let", err);
    if (status != PK_OK)
        return status;
    m->let = PK_NEW_ARRAY(m->arena, struct let_plan, node->count);
    m->names.let = node->key;
    m->names.let_count = node->count;
    for (size_t i = 0; i < node->count && status == PK_OK; i++) {
        const struct yaml_node *choices = node->item[i];
        struct let_plan *let = &m->let[i];
        size_t count = choices->kind == YAML_SEQUENCE ? choices->count : 1;
        let->choice = pk_arena_zero(m->arena, count * sizeof *let->choice);
        m->names.lets_visible = (uint32_t)i;
        for (size_t k = 0; k < count && status == PK_OK; k++, let->count++)
            status = read_let_choice(m, choices->kind == YAML_SEQUENCE ? choices->item[k] : choices,
                                     &let->choice[k].when, &let->choice[k].value, err);
    }
    m->names.lets_visible = (uint32_t)node->count;
    return status;
}

static enum pk_status read_order(struct mapping *m, const struct yaml_node *root, struct pk_err *err)
{
    enum pk_status status = read_template(m, yaml_get(root, "group"), &m->group, err);
    if (status == PK_OK)
        status = read_moment(m, yaml_get(root, "sort"), &m->sort, err);
    return status;
}

static enum pk_status read_root(struct mapping *m, struct pk_err *err)
{
    static const char *const known[] = {"file",   "separator", "zone", "time_format", "tables", "lookups",
                                        "group",  "sort",      "let",  "defaults",    "events", NULL};
    const struct yaml_node *root = m->file.root;
    if (!root || root->kind != YAML_MAPPING)
        return pk_fail(err, PK_REJECT, "%s:1: a mapping file is a YAML mapping with `events`", m->file.path);
    m->separator = ',';
    m->format = PK_STR("iso");
    m->names.file = &m->file;
    enum pk_status status = yaml_only(&m->file, root, known, err);
    if (status == PK_OK)
        status = yaml_text(&m->file, yaml_get(root, "file"), &m->input_file, err);
    if (status == PK_OK)
        status = read_separator(m, yaml_get(root, "separator"), &m->separator, err);
    if (status == PK_OK)
        status = read_zone(m, yaml_get(root, "zone"), &m->zone, err);
    if (status == PK_OK)
        status = read_format(m, yaml_get(root, "time_format"), &m->format, err);
    if (status == PK_OK)
        status = read_tables(m, yaml_get(root, "tables"), err);
    if (status == PK_OK)
        status = read_order(m, root, err);
    if (status == PK_OK)
        status = read_lookups(m, yaml_get(root, "lookups"), err);
    m->names.allow_previous = true;
    if (status == PK_OK)
        status = read_lets(m, yaml_get(root, "let"), err);
    if (status == PK_OK)
        status = read_events(m, root, err);
    m->grouped = m->group || m->names.uses_group;
    return status;
}

static enum pk_status read_mapping(struct mapping *m, struct pk_arena *arena, enum pk_status loaded,
                                   struct mapping **ret_mapping, struct pk_err *err)
{
    m->arena = arena;
    enum pk_status status = loaded == PK_OK ? read_root(m, err) : loaded;
    if (status != PK_OK)
        mapping_done(m);
    else
        *ret_mapping = m;
    return status;
}

enum pk_status mapping_load(const char *path, struct pk_arena *arena, struct mapping **ret_mapping, struct pk_err *err)
{
    struct mapping *m = PK_NEW(arena, struct mapping);
    return read_mapping(m, arena, yaml_load(path, arena, &m->file, err), ret_mapping, err);
}

enum pk_status mapping_parse(const char *name, struct pk_str text, struct pk_arena *arena, struct mapping **ret_mapping,
                             struct pk_err *err)
{
    struct mapping *m = PK_NEW(arena, struct mapping);
    return read_mapping(m, arena, yaml_parse(name, text, arena, &m->file, err), ret_mapping, err);
}

static void plan_done(struct event_plan *plan)
{
    pk_vec_done(&plan->identifier);
    pk_vec_done(&plan->attribute);
}

void mapping_done(struct mapping *m)
{
    if (!m)
        return;
    plan_done(&m->defaults);
    for (size_t i = 0; i < m->event_count; i++)
        plan_done(&m->event[i]);
    for (size_t i = 0; i < m->names.lookup_count; i++)
        lookup_done(&m->names.lookup[i]);
    pk_vec_done(&m->names.reference);
}

struct pk_str mapping_file(const struct mapping *m)
{
    return m->input_file;
}
