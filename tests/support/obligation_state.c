/* SPDX-License-Identifier: Apache-2.0 */
#include "obligation_state.h"

static bool happened(int64_t at_us, int64_t as_of_us)
{
    return at_us != PK_NO_TIME && at_us <= as_of_us;
}

static const char *label_of(enum rules_label label)
{
    switch (label) {
    case LABEL_ATTEMPTED_NOT_REACHED:
        return "attempted_not_reached";
    case LABEL_REPLIED_NOT_ANSWERED:
        return "replied_not_answered";
    case LABEL_NONE:
        break;
    }
    return NULL;
}

static const char *state_of(const struct obligation *o, const struct obligation_state *s, int64_t as_of_us)
{
    bool fulfilled = s->fulfilled_at_us != PK_NO_TIME, due = s->due_to_us != PK_NO_TIME;
    if (happened(o->withdrawn_at_us, as_of_us))
        return "withdrawn";
    if (happened(o->rejected_at_us, as_of_us))
        return "rejected";
    if (fulfilled && due && s->fulfilled_at_us > s->due_to_us)
        return "late";
    if (fulfilled && due && s->due_from_us != PK_NO_TIME &&
        10 * (s->fulfilled_at_us - s->due_from_us) > 9 * (s->due_to_us - s->due_from_us))
        return "kept_late_in_window";
    if (fulfilled)
        return "kept";
    if (label_of(o->label) && happened(o->first_attempt_at_us, as_of_us))
        return label_of(o->label);
    return due && s->due_to_us < as_of_us ? "overdue" : "open";
}

struct obligation_state obligation_state(const struct obligation *o, int64_t as_of_us)
{
    struct obligation_state s = {.fulfilled_at_us = PK_NO_TIME, .due_from_us = PK_NO_TIME, .due_to_us = PK_NO_TIME};
    if (o->opened_at_us > as_of_us)
        return s;
    s.opened = true;
    bool moved = o->changed_at_us == PK_NO_TIME || o->changed_at_us <= as_of_us;
    s.due_to_us = moved ? o->due_to_us : o->first_due_to_us;
    s.due_from_us = o->due_from_us;
    if (happened(o->fulfilled_at_us, as_of_us))
        s.fulfilled_at_us = o->fulfilled_at_us;
    s.state = state_of(o, &s, as_of_us);

    bool fulfilled = s.fulfilled_at_us != PK_NO_TIME;
    bool ended = happened(o->withdrawn_at_us, as_of_us) || happened(o->rejected_at_us, as_of_us);
    bool passed = s.due_to_us != PK_NO_TIME && s.due_to_us < as_of_us;
    s.overdue = passed && !ended && !fulfilled;
    s.broken = passed && !ended && !(fulfilled && s.fulfilled_at_us <= s.due_to_us);
    s.early = fulfilled && s.due_from_us != PK_NO_TIME && s.fulfilled_at_us < s.due_from_us;
    s.no_deadline = s.due_to_us == PK_NO_TIME;
    s.no_owner = !o->unit && !o->role;
    return s;
}

bool obligation_position(const struct obligation_state *s, double *ret_position)
{
    if (s->fulfilled_at_us == PK_NO_TIME || s->due_from_us == PK_NO_TIME || s->due_to_us == PK_NO_TIME ||
        s->due_to_us == s->due_from_us)
        return false;
    *ret_position = (double)(s->fulfilled_at_us - s->due_from_us) / (double)(s->due_to_us - s->due_from_us);
    return true;
}
