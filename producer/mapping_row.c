/* SPDX-License-Identifier: Apache-2.0 */
/* One row becomes its events, as the mapping says. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "mapping_plan.h"
#include "time_pattern.h"

#define FIELD(key) {NULL, #key, offsetof(struct event, key)}
#define PART(part, key) {#part, #key, offsetof(struct event, part.key)}
const struct plan_text plan_text[PLAN_TEXTS] = {
    FIELD(event_id),
    FIELD(source),
    FIELD(type),
    FIELD(channel),
    FIELD(brand),
    FIELD(unit),
    FIELD(staff),
    FIELD(case_id),
    FIELD(relates_to),
    FIELD(topic),
    FIELD(cause),
    FIELD(product),
    FIELD(location),
    FIELD(stage),
    FIELD(outcome),
    FIELD(reason),
    PART(obligation, id),
    PART(obligation, kind),
    PART(obligation, brand),
    PART(obligation, unit),
    PART(obligation, role),
    PART(handoff, to_brand),
    PART(handoff, to_unit),
    PART(handoff, to_role),
    PART(rating, scale),
    PART(money, currency),
    PART(money, kind),
};
/* What the row under work is known by. */
struct work {
    const struct row *current, *previous;
    struct pk_arena *arena;
};

static enum pk_status text_of(const struct work *w, const struct template *t, struct pk_str *ret, struct pk_err *err)
{
    return template_value(t, w->current, w->previous, w->arena, ret, err);
}

/* ---- conditions ---- */

static enum pk_status holds(const struct work *w, const struct condition *c, bool *ret, struct pk_err *err);

static enum pk_status holds_children(const struct work *w, const struct condition *c, bool *ret, struct pk_err *err)
{
    bool any = c->kind == CONDITION_ANY, result = !any;
    for (size_t i = 0; i < c->count && result != any; i++) {
        enum pk_status status = holds(w, c->child[i], &result, err);
        if (status != PK_OK)
            return status;
    }
    *ret = c->kind == CONDITION_NOT ? !result : result;
    return PK_OK;
}

static enum pk_status holds(const struct work *w, const struct condition *c, bool *ret, struct pk_err *err)
{
    struct pk_str value, before;
    enum pk_status status = PK_OK;
    switch (c->kind) {
    case CONDITION_ALL:
    case CONDITION_ANY:
    case CONDITION_NOT:
        return holds_children(w, c, ret, err);
    case CONDITION_FIRST:
        *ret = w->previous == NULL;
        return PK_OK;
    case CONDITION_PRESENT:
    case CONDITION_IN:
    case CONDITION_CHANGED:
        status = reference_value(c->reference, w->current, w->previous, w->arena, &value, err);
        break;
    }
    if (status != PK_OK)
        return status;
    if (c->kind == CONDITION_PRESENT) {
        *ret = value.len > 0;
        return PK_OK;
    }
    if (c->kind == CONDITION_IN) {
        *ret = false;
        for (size_t i = 0; i < c->count && !*ret; i++)
            *ret = pk_str_eq(c->word[i], value);
        return PK_OK;
    }
    *ret = false;
    if (!w->previous)
        return PK_OK;
    status = reference_value(c->before, w->current, w->previous, w->arena, &before, err);
    if (status == PK_OK)
        *ret = !pk_str_eq(value, before);
    return status;
}

enum pk_status plan_let(const struct mapping *m, struct row *current, const struct row *previous,
                        struct pk_arena *arena, struct pk_err *err)
{
    const struct work w = {current, previous, arena};
    for (size_t i = 0; i < m->names.let_count; i++) {
        const struct let_plan *let = &m->let[i];
        current->let[i] = (struct pk_str){NULL, 0};
        for (size_t k = 0; k < let->count; k++) {
            bool chosen = true;
            struct pk_err why;
            enum pk_status status = let->choice[k].when ? holds(&w, let->choice[k].when, &chosen, &why) : PK_OK;
            if (status == PK_OK && chosen)
                status = text_of(&w, let->choice[k].value, &current->let[i], &why);
            if (status != PK_OK)
                return pk_fail(err, status, "let '%.*s': %.400s", PK_STR_ARG(m->names.let[i]), why.text);
            if (chosen)
                break;
        }
    }
    return PK_OK;
}

/* ---- values that are not text ---- */

static bool better(int pick, int64_t a, int64_t b)
{
    return pick == MOMENT_LATEST ? a > b : pick == MOMENT_EARLIEST ? a < b : false;
}

enum pk_status plan_moment(const struct moment *moment, const struct row *current, const struct row *previous,
                           struct pk_arena *arena, int64_t *ret_us, struct pk_err *err)
{
    int64_t best = PK_NO_TIME;
    for (size_t i = 0; i < moment->count; i++) {
        struct pk_str text;
        int64_t us;
        enum pk_status status = template_value(moment->text[i], current, previous, arena, &text, err);
        if (status != PK_OK)
            return status;
        if (!text.ptr)
            continue;
        status = time_pattern_parse(moment->format, text, moment->zone, moment->end_of_day, &us, err);
        if (status != PK_OK)
            return status;
        if (best == PK_NO_TIME || better(moment->pick, us, best))
            best = us;
        if (moment->pick == MOMENT_FIRST)
            break;
    }
    if (best != PK_NO_TIME && __builtin_add_overflow(best, moment->add_us, &best))
        return pk_fail(err, PK_REJECT, "beyond all calendars");
    *ret_us = best;
    return PK_OK;
}

static int symbol(const char *const name[], int count, struct pk_str text)
{
    for (int i = 0; i < count; i++)
        if (pk_str_eq(text, pk_str(name[i])))
            return i;
    return -1;
}

int plan_direction(struct pk_str text)
{
    static const char *const name[] = {"INBOUND", "OUTBOUND", "INTERNAL", "PUBLIC", "UNKNOWN"};
    return symbol(name, PK_COUNT(name), text);
}

int plan_actor(struct pk_str text)
{
    static const char *const name[] = {"CUSTOMER", "HUMAN", "BOT", "SYSTEM", "UNKNOWN"};
    return symbol(name, PK_COUNT(name), text);
}

int plan_sensitivity(struct pk_str text)
{
    static const char *const name[] = {"NORMAL", "SENSITIVE"};
    return symbol(name, PK_COUNT(name), text);
}

bool plan_minor_units(struct pk_str text, int64_t decimals, int64_t *ret_minor)
{
    int64_t value = 0, after = -1; /* digits after the point; -1 before it */
    size_t i = text.len && (text.ptr[0] == '-' || text.ptr[0] == '+'), digits = 0;
    bool minus = text.len && text.ptr[0] == '-';
    for (; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '.' && after < 0) {
            after = 0;
            continue;
        }
        if (c < '0' || c > '9')
            return false;
        digits++;
        if (after >= decimals && c != '0')
            return false; /* finer than the currency: not ours to round */
        if (after >= decimals)
            continue;
        after += after >= 0;
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, c - '0', &value))
            return false;
    }
    for (after = PK_MAX(after, 0); after < decimals; after++)
        if (__builtin_mul_overflow(value, 10, &value))
            return false;
    *ret_minor = minus ? -value : value;
    return digits > 0;
}

static enum pk_status whole_number(const struct work *w, const struct template *t, const char *field, bool *ret_given,
                                   int64_t *ret_number, struct pk_err *err)
{
    struct pk_str text = {NULL, 0};
    enum pk_status status = t ? text_of(w, t, &text, err) : PK_OK;
    *ret_given = status == PK_OK && text.ptr;
    if (*ret_given && !plan_minor_units(text, 0, ret_number))
        return pk_fail(err, PK_REJECT, "%s is not a whole number", field);
    return status;
}

static enum pk_status real_number(const struct work *w, const struct template *t, const char *field, bool *ret_given,
                                  double *ret_number, struct pk_err *err)
{
    struct pk_str text = {NULL, 0};
    enum pk_status status = t ? text_of(w, t, &text, err) : PK_OK;
    *ret_given = status == PK_OK && text.ptr;
    if (!*ret_given)
        return status;
    char copy[64], *end;
    if (text.len >= sizeof copy)
        return pk_fail(err, PK_REJECT, "%s is not a number", field);
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    double number = strtod(copy, &end);
    if (end == copy || *end || !isfinite(number))
        return pk_fail(err, PK_REJECT, "%s is not a number", field);
    *ret_number = number;
    return PK_OK;
}

static enum pk_status enum_of(const struct work *w, const struct template *t, int (*number)(struct pk_str),
                              const char *field, int fallback, int *ret, struct pk_err *err)
{
    struct pk_str text = {NULL, 0};
    enum pk_status status = t ? text_of(w, t, &text, err) : PK_OK;
    if (status != PK_OK)
        return status;
    *ret = text.ptr ? number(text) : fallback;
    return *ret < 0 ? pk_fail(err, PK_REJECT, "%s is none of the known symbols", field) : PK_OK;
}

/* ---- events ---- */

static enum pk_status fill_texts(const struct work *w, const struct event_plan *plan, struct event *event,
                                 struct pk_err *err)
{
    for (size_t i = 0; i < PLAN_TEXTS; i++) {
        struct pk_err why;
        struct pk_str *to = (struct pk_str *)((char *)event + plan_text[i].offset);
        if (plan->text[i] && text_of(w, plan->text[i], to, &why) != PK_OK)
            return pk_fail(err, PK_REJECT, "%s: %.400s", plan_text[i].key, why.text);
    }
    event->has_obligation = event->obligation.id.ptr != NULL;
    event->has_handoff = event->handoff.to_brand.ptr || event->handoff.to_unit.ptr || event->handoff.to_role.ptr;
    return PK_OK;
}

static enum pk_status fill_times(const struct work *w, const struct event_plan *plan, struct event *event,
                                 struct pk_err *err)
{
    const struct {
        const char *field;
        const struct moment *moment;
        int64_t *to;
    } part[] = {
        {"occurred_at", &plan->occurred_at, &event->occurred_at_us},
        {"obligation.due_from", &plan->due_from, &event->obligation.due_from_us},
        {"obligation.due_to", &plan->due_to, &event->obligation.due_to_us},
    };
    for (size_t i = 0; i < PK_COUNT(part); i++) {
        struct pk_err why;
        if (plan_moment(part[i].moment, w->current, w->previous, w->arena, part[i].to, &why) != PK_OK)
            return pk_fail(err, PK_REJECT, "%s: %.400s", part[i].field, why.text);
    }
    if (event->occurred_at_us == PK_NO_TIME)
        return pk_fail(err, PK_REJECT, "occurred_at is empty");
    return PK_OK;
}

static enum pk_status fill_symbols(const struct work *w, const struct event_plan *plan, struct event *event,
                                   struct pk_err *err)
{
    int direction = 0, actor = 0, sensitivity = 0;
    enum pk_status status = enum_of(w, plan->direction, plan_direction, "direction", EVENT_DIRECTION_UNKNOWN,
                                    &direction, err);
    if (status == PK_OK)
        status = enum_of(w, plan->actor, plan_actor, "actor", EVENT_ACTOR_UNKNOWN, &actor, err);
    if (status == PK_OK)
        status = enum_of(w, plan->sensitivity, plan_sensitivity, "sensitivity", EVENT_NORMAL, &sensitivity, err);
    event->direction = (enum event_direction)direction;
    event->actor = (enum event_actor)actor;
    event->sensitivity = (enum event_sensitivity)sensitivity;
    return status;
}

static enum pk_status fill_rating(const struct work *w, const struct event_plan *plan, struct event *event,
                                  struct pk_err *err)
{
    bool given;
    enum pk_status status = real_number(w, plan->score, "rating.score", &event->has_rating, &event->rating.score, err);
    if (status == PK_OK)
        status = real_number(w, plan->min, "rating.min", &given, &event->rating.min, err);
    if (status == PK_OK)
        status = real_number(w, plan->max, "rating.max", &given, &event->rating.max, err);
    return status;
}

static enum pk_status fill_money(const struct work *w, const struct event_plan *plan, struct event *event,
                                 struct pk_err *err)
{
    if (plan->amount_minor)
        return whole_number(w, plan->amount_minor, "money.amount_minor", &event->has_money, &event->money.amount_minor,
                            err);
    struct pk_str text = {NULL, 0};
    enum pk_status status = plan->amount ? text_of(w, plan->amount, &text, err) : PK_OK;
    event->has_money = status == PK_OK && text.ptr;
    if (event->has_money && !plan_minor_units(text, plan->decimals, &event->money.amount_minor))
        return pk_fail(err, PK_REJECT, "money.amount is not a number with at most %d decimals", (int)plan->decimals);
    return status;
}

/* Identifiers and attributes without a value are left out. */
static enum pk_status fill_lists(const struct work *w, const struct event_plan *plan, struct event *event,
                                 struct pk_err *err)
{
    struct event_identifier *identifier = PK_NEW_ARRAY(w->arena, struct event_identifier, plan->identifier.len);
    struct event_attribute *attribute = PK_NEW_ARRAY(w->arena, struct event_attribute, plan->attribute.len);
    struct pk_err why;
    for (size_t i = 0; i < plan->identifier.len; i++) {
        const struct named_text *from = &plan->identifier.ptr[i];
        struct event_identifier *to = &identifier[event->identifier_count];
        if (text_of(w, from->text, &to->value, &why) != PK_OK)
            return pk_fail(err, PK_REJECT, "identifier %.*s: %.300s", PK_STR_ARG(from->name), why.text);
        to->name_space = from->name;
        event->identifier_count += to->value.ptr != NULL;
    }
    for (size_t i = 0; i < plan->attribute.len; i++) {
        const struct named_text *from = &plan->attribute.ptr[i];
        struct event_attribute *to = &attribute[event->attribute_count];
        if (text_of(w, from->text, &to->value, &why) != PK_OK)
            return pk_fail(err, PK_REJECT, "attribute %.*s: %.300s", PK_STR_ARG(from->name), why.text);
        to->key = from->name;
        event->attribute_count += to->value.ptr != NULL;
    }
    event->identifier = identifier;
    event->attribute = attribute;
    return PK_OK;
}

/* Events of one moment keep the order of rows in a group and of templates in the file. */
static enum pk_status fill_sequence(const struct work *w, const struct mapping *m, const struct event_plan *plan,
                                    struct event *event, struct pk_err *err)
{
    bool given;
    enum pk_status status = whole_number(w, plan->sequence, "sequence", &given, &event->sequence, err);
    if (status == PK_OK && !given) {
        int64_t number = plan - m->event + 1;
        event->sequence = (m->grouped ? (int64_t)w->current->group_number * (MAPPING_MAX_EVENTS + 1) : 0) + number;
    }
    return status;
}

static enum pk_status fill_event(const struct work *w, const struct mapping *m, const struct event_plan *plan,
                                 struct event *event, struct pk_err *err)
{
    *event = (struct event){.obligation.due_from_us = PK_NO_TIME, .obligation.due_to_us = PK_NO_TIME};
    enum pk_status status = fill_texts(w, plan, event, err);
    if (status == PK_OK)
        status = fill_times(w, plan, event, err);
    if (status == PK_OK)
        status = fill_symbols(w, plan, event, err);
    if (status == PK_OK)
        status = fill_sequence(w, m, plan, event, err);
    if (status == PK_OK)
        status = fill_rating(w, plan, event, err);
    if (status == PK_OK)
        status = fill_money(w, plan, event, err);
    if (status == PK_OK)
        status = fill_lists(w, plan, event, err);
    if (!event->has_obligation)
        event->obligation = (struct event_obligation){.due_from_us = PK_NO_TIME, .due_to_us = PK_NO_TIME};
    if (!event->has_rating)
        event->rating = (struct event_rating){0};
    if (!event->has_money)
        event->money = (struct event_money){0};
    return status;
}

enum pk_status plan_events(const struct mapping *m, const struct row *current, const struct row *previous,
                           struct pk_arena *arena, struct mapped_row *ret_row, struct pk_err *err)
{
    const struct work w = {current, previous, arena};
    struct event *event = PK_NEW_ARRAY(arena, struct event, m->event_count);
    size_t count = 0;
    for (size_t i = 0; i < m->event_count; i++) {
        const struct event_plan *plan = &m->event[i];
        struct pk_err why;
        bool wanted = true;
        enum pk_status status = plan->when ? holds(&w, plan->when, &wanted, &why) : PK_OK;
        if (status == PK_OK && wanted)
            status = fill_event(&w, m, plan, &event[count], &why);
        if (status != PK_OK)
            return pk_fail(err, status, "event '%.*s' (%s:%d): %.380s", PK_STR_ARG(plan->name), m->file.path,
                           plan->node->line, why.text);
        count += wanted;
    }
    ret_row->event = event;
    ret_row->count = count;
    return PK_OK;
}
