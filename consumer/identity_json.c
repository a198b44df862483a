/* SPDX-License-Identifier: Apache-2.0 */
/* What explain_print tells, for programs. */
#include "identity_explain.h"

#include "time_text.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static json_t *text_of(struct pk_str text)
{
    json_t *made = text.ptr ? json_stringn(text.ptr, text.len) : NULL;
    return made ? made : json_null();
}

static json_t *uuid_of(struct pk_hash hash)
{
    char text[37], *at = text;
    for (int i = 0; i < 16; i++)
        at += snprintf(at, 4, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", hash.byte[i]);
    return pk_hash_zero(hash) ? json_null() : json_string(text);
}

static json_t *time_of(int64_t at_us)
{
    char text[28];
    time_format_iso(at_us, text);
    return at_us == PK_NO_TIME ? json_null() : json_string(text);
}

static json_t *name_of(const struct explain_name *name)
{
    return json_pack("{s:o, s:o, s:o}", "hash", uuid_of(name->hash), "namespace", text_of(name->name_space), "value",
                     text_of(name->value));
}

static json_t *person_of(const struct explain *explain, const struct identity_person *person)
{
    return name_of(pk_map_get(&explain->name, person->hash));
}

static const char *state_of(const struct explain_name *asked)
{
    return asked->flags & KEY_BLOCKED         ? "blocked"
           : !asked->known                    ? "unknown"
           : asked->kind == KEY_CASE          ? "case"
           : asked->kind == KEY_DEVICE        ? "device"
           : asked->first_at_us == PK_NO_TIME ? "unknown"
           : asked->flags & KEY_IS_SHARED     ? "shared"
           : asked->flags & KEY_ALONE         ? "unlinked"
           : asked->flags & KEY_IS_OVERSIZE   ? "oversize"
                                              : "customer";
}

/* ---- lists ---- */

static json_t *identifiers_of(const struct explain *explain, struct pk_hash customer)
{
    json_t *list = json_array();
    for (size_t i = 0; i < explain->identity.persons; i++) {
        const struct identity_person *person = explain->identity.person[i];
        if (pk_hash_zero(customer) || !pk_hash_eq(person->customer, customer))
            continue;
        json_t *one = person_of(explain, person);
        json_object_set_new(one, "priority", json_integer(person->rules->priority));
        json_object_set_new(one, "first_at", time_of(person->first_at_us));
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *links_of(const struct explain *explain, struct pk_hash customer)
{
    static const char *const refused[] = {
        [LINK_UNIQUE] = "unique", [LINK_APART] = "apart", [LINK_OVERSIZE] = "oversize"};
    json_t *list = json_array();
    for (size_t i = 0; i < explain->identity.links; i++) {
        const struct identity_link *link = &explain->identity.link[i];
        if (!pk_hash_eq(link->a->customer, customer) && !pk_hash_eq(link->b->customer, customer))
            continue;
        json_t *one = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s?}", "a", person_of(explain, link->a), "b",
                                person_of(explain, link->b), "first_at", time_of(link->first.at_us), "source",
                                text_of(symbol_text(explain->symbols, link->first.source)), "event_id",
                                text_of(link->first.event_id), "type", text_of(explain->event[i].type), "channel",
                                text_of(explain->event[i].channel), "refused", refused[link->refused]);
        if (link->because_a)
            json_object_set_new(
                one, "because",
                json_pack("[o, o]", person_of(explain, link->because_a), person_of(explain, link->because_b)));
        if (link->refused != LINK_MADE)
            json_object_set_new(one, "customers",
                                json_pack("[o, o]", uuid_of(link->a->customer), uuid_of(link->b->customer)));
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *shared_of(const struct explain *explain)
{
    json_t *list = json_array();
    for (size_t i = 0; i < explain->shared_count; i++) {
        const struct explain_shared *shared = &explain->shared[i];
        json_t *one = name_of(shared->name);
        json_object_set_new(one, "met_of", text_of(shared->name_space));
        json_object_set_new(one, "met", json_integer(shared->name_space.ptr ? shared->met : shared->met_in_all));
        json_object_set_new(one, "met_in_all", json_integer(shared->met_in_all));
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *decisions_of(const struct explain *explain)
{
    static const char *const kind[] = {[DECIDE_BLOCK] = "block", [DECIDE_UNLINK] = "unlink", [DECIDE_APART] = "apart"};
    json_t *list = json_array();
    for (size_t i = 0; i < explain->decisions; i++) {
        const struct explain_decision *decision = &explain->decision[i];
        json_array_append_new(
            list, json_pack("{s:I, s:s, s:o, s:o, s:o, s:o, s:o}", "decision_id", (json_int_t)decision->id, "kind",
                            kind[decision->kind], "a", name_of(decision->a), "b",
                            decision->b ? name_of(decision->b) : json_null(), "decided_at", time_of(decision->at_us),
                            "decided_by", text_of(decision->by), "note", text_of(decision->note)));
    }
    return list;
}

static json_t *met_of(const struct explain *explain)
{
    json_t *list = json_array();
    for (size_t i = 0; i < explain->met_count; i++) {
        json_t *one = name_of(explain->met[i].name);
        json_object_set_new(one, "first_at", time_of(explain->met[i].first_at_us));
        json_object_set_new(one, "customer", uuid_of(explain->met[i].name->customer));
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *stretches_of(const struct explain *explain)
{
    json_t *list = json_array();
    for (size_t i = 0; i < explain->stretches; i++) {
        const struct explain_stretch *stretch = &explain->stretch[i];
        json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:I, s:I, s:I}", "customer",
                                              stretch->customer ? uuid_of(stretch->customer->hash) : json_null(),
                                              "from", time_of(stretch->from_us), "to", time_of(stretch->to_us), "own",
                                              (json_int_t)stretch->own, "borrowed", (json_int_t)stretch->borrowed,
                                              "anonymous", (json_int_t)stretch->anonymous));
    }
    return list;
}

void explain_json(const struct explain *explain, struct pk_buf *out)
{
    struct pk_hash customer = explain->asked->customer;
    for (size_t i = 0; i < explain->identity.persons; i++)
        if (pk_hash_eq(explain->identity.person[i]->hash, explain->asked->hash))
            customer = explain->identity.person[i]->customer;
    json_t *all = json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:I}", "asked", name_of(explain->asked),
                            "state", state_of(explain->asked), "customer", uuid_of(customer), "identifiers",
                            identifiers_of(explain, customer), "links", links_of(explain, customer), "shared",
                            shared_of(explain), "decisions", decisions_of(explain), "stood_with", met_of(explain),
                            "stood_with_in_all", (json_int_t)explain->met_in_all, "stretches", stretches_of(explain),
                            "stretches_in_all", (json_int_t)explain->stretches_in_all);
    char *text = json_dumps(all, JSON_INDENT(2));
    if (text)
        pk_buf_text(out, text);
    pk_buf_text(out, "\n");
    free(text);
    json_decref(all);
}
