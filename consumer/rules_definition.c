/* SPDX-License-Identifier: Apache-2.0 */
/* Definitions that journeys are held against: docs/semantics.md 9. */
#include "rules_inner.h"

#include "nearest.h"

enum { MAX_DEFINITION_VERSION = 1000000 };

static struct rules_milestone read_milestone(struct reader *reader, const struct yaml_node *node)
{
    static const char *const known[] = {"name", "on", "fails", "optional", "critical", NULL};
    struct rules_milestone milestone = {0};
    read_keys(reader, node, known);
    if (reader->status == PK_OK && (!yaml_get(node, "name") || !yaml_get(node, "on")))
        FAIL(reader, node, "a milestone needs its name and the events that reach it; add 'name:' and 'on:'");
    if (reader->status != PK_OK)
        return milestone;
    milestone.name = symbol_text(reader->symbols, read_name(reader, yaml_get(node, "name"), "milestone"));
    milestone.on = read_matches(reader, yaml_get(node, "on"), "on");
    milestone.fails = read_matches(reader, yaml_get(node, "fails"), "fails");
    read_bool(reader, yaml_get(node, "optional"), &milestone.optional);
    read_bool(reader, yaml_get(node, "critical"), &milestone.critical);
    if (milestone.on.count == 0)
        FAIL(reader, yaml_get(node, "on"), "an empty 'on' is never reached; name the events that reach this milestone");
    return milestone;
}

static void read_milestones(struct reader *reader, const struct yaml_node *node, struct rules_definition *definition)
{
    size_t count = read_items(reader, node, "milestones");
    if (reader->status == PK_OK && count == 0)
        FAIL(reader, node, "a definition without milestones; name at least one");
    if (count > RULES_MAX_MILESTONES) {
        FAIL(reader, node->item[RULES_MAX_MILESTONES], "%zu milestones, at most %d", count, RULES_MAX_MILESTONES);
        return;
    }
    struct rules_milestone *milestone = PK_NEW_ARRAY(reader->arena, struct rules_milestone, count);
    for (size_t i = 0; i < count && reader->status == PK_OK; i++) {
        milestone[i] = read_milestone(reader, node->item[i]);
        for (size_t k = 0; k < i; k++)
            if (pk_str_eq(milestone[k].name, milestone[i].name))
                FAIL(reader, node->item[i], "milestone '%s' is given twice (first on line %d); rename or remove one",
                     milestone[i].name.ptr, node->item[k]->line);
    }
    definition->milestone = milestone;
    definition->milestone_count = count;
}

static void read_goal(struct reader *reader, const struct yaml_node *node, struct rules_definition *definition)
{
    struct pk_str goal = {0};
    const char *name[RULES_MAX_MILESTONES];
    read_text(reader, node, &goal);
    if (reader->status != PK_OK)
        return;
    definition->goal = definition->milestone_count - 1;
    if (!node)
        return;
    for (size_t i = 0; i < definition->milestone_count; i++) {
        name[i] = definition->milestone[i].name.ptr;
        if (pk_str_eq(goal, definition->milestone[i].name)) {
            definition->goal = i;
            return;
        }
    }
    const char *nearest = nearest_name(goal, name, definition->milestone_count);
    FAIL(reader, node, "goal '%.100s' is none of the milestones; %s%s%s", goal.ptr,
         nearest ? "did you mean '" : "name one of them", nearest ? nearest : "", nearest ? "'?" : "");
}

static sym_t definition_id(struct reader *reader, const struct yaml_node *node)
{
    int64_t version = 1;
    sym_t name = read_name(reader, yaml_get(node, "name"), "definition");
    read_int(reader, yaml_get(node, "version"), 1, MAX_DEFINITION_VERSION, &version);
    if (reader->status != PK_OK)
        return 0;
    struct pk_buf id PK_AUTO(pk_buf_done) = {0};
    pk_buf_printf(&id, "%.*s/%d", PK_STR_ARG(symbol_text(reader->symbols, name)), (int)version);
    return symbol_of(reader->symbols, (struct pk_str){id.ptr, id.len});
}

static struct rules_definition read_definition(struct reader *reader, const struct yaml_node *node)
{
    static const char *const known[] = {"name", "window", "milestones", "version", "goal", NULL};
    struct rules_definition definition = {0};
    read_keys(reader, node, known);
    for (size_t i = 0; i < 3; i++)
        if (reader->status == PK_OK && !yaml_get(node, known[i]))
            FAIL(reader, node, "a definition needs name, window and milestones; add '%s:'", known[i]);
    if (reader->status != PK_OK)
        return definition;
    definition.id = definition_id(reader, node);
    read_duration(reader, yaml_get(node, "window"), &definition.window_us);
    read_milestones(reader, yaml_get(node, "milestones"), &definition);
    read_goal(reader, yaml_get(node, "goal"), &definition);
    return definition;
}

void read_definitions(struct reader *reader, const struct yaml_node *node, struct rules *rules)
{
    size_t count = read_items(reader, node, "definitions");
    if (count > RULES_MAX_DEFINITIONS) {
        FAIL(reader, node->item[RULES_MAX_DEFINITIONS], "%zu definitions, at most %d", count, RULES_MAX_DEFINITIONS);
        return;
    }
    struct rules_definition *definition = PK_NEW_ARRAY(reader->arena, struct rules_definition, count);
    for (size_t i = 0; i < count && reader->status == PK_OK; i++) {
        definition[i] = read_definition(reader, node->item[i]);
        for (size_t k = 0; k < i; k++)
            if (definition[k].id == definition[i].id)
                FAIL(reader, node->item[i],
                     "definition '%s' is given twice (first on line %d); raise the version of what changed",
                     symbol_text(reader->symbols, definition[i].id).ptr, node->item[k]->line);
    }
    rules->definition = definition;
    rules->definition_count = count;
}
