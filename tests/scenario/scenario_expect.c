/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"
#include "identity_batch.h"
#include "obligation_state.h"
#include "time_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct check {
    struct scenario *scenario;
    const struct memory_store *store;
    struct words words;
    int64_t as_of_us;
    struct pk_err *err; /* without FILE:LINE */
};

#define DIFFER(...) return pk_fail(c->err, PK_REJECT, __VA_ARGS__)

/* ---- small parts ---- */

/* The customer of an identifier, or of the anonymous events of a device, a shared person, a case. */
static struct pk_hash customer_named(const struct check *c, struct pk_str who)
{
    struct fact_name name;
    enum key_kind kind;
    if (!scenario_name(c->scenario, who, &name, &kind))
        return (struct pk_hash){{0}};
    const struct memory_key *key = pk_map_get(&c->store->keys, name.hash);
    return key && !pk_hash_zero(key->customer) ? key->customer : name.hash;
}

static struct pk_hash hash_of(const struct scenario *s, struct pk_str a, struct pk_str b)
{
    return fact_hash(&s->hasher, (struct pk_str[]){a, b}, 2);
}

static const struct fact *stored_event(const struct check *c, struct pk_str name)
{
    const struct event *event = name.ptr ? scenario_event(c->scenario, name) : NULL;
    return event ? memory_find_fact(c->store, event->occurred_at_us,
                                    hash_of(c->scenario, event->source, event->event_id))
                 : NULL;
}

static int64_t last_time(const struct scenario *s)
{
    int64_t last_us = 0;
    for (size_t i = 0; i < s->events.len; i++)
        last_us = PK_MAX(last_us, s->events.ptr[i].event.occurred_at_us);
    return last_us;
}

static enum pk_status check_number(struct check *c, const char *what, int64_t found)
{
    struct pk_str word = words_next(&c->words);
    char *end = NULL;
    long long wanted = word.ptr ? strtoll(word.ptr, &end, 10) : 0;
    if (!end || *end || end == word.ptr)
        DIFFER("'%s' needs a number", what);
    if (wanted != found)
        DIFFER("%s is %" PRId64 ", expected %lld", what, found, wanted);
    return PK_OK;
}

static enum pk_status check_time(struct check *c, const char *what, int64_t found_us)
{
    struct pk_str word = words_next(&c->words);
    int64_t wanted_us = PK_NO_TIME;
    char found[28] = "none";
    if (found_us != PK_NO_TIME)
        time_format_iso(found_us, found);
    if (!pk_str_eq(word, PK_STR("none")) &&
        scenario_time(c->scenario, word, last_time(c->scenario), &wanted_us, c->err) != PK_OK)
        return PK_REJECT;
    if (wanted_us != found_us)
        DIFFER("%s is %s, expected %.*s", what, found, PK_STR_ARG(word));
    return PK_OK;
}

static enum pk_status check_text(struct check *c, const char *what, sym_t found)
{
    struct pk_str word = words_next(&c->words);
    struct pk_str text = found ? symbol_text(&c->scenario->symbols, found) : PK_STR("none");
    if (!word.ptr || !pk_str_eq(word, text))
        DIFFER("%s is '%.*s', expected '%.*s'", what, PK_STR_ARG(text), PK_STR_ARG(word));
    return PK_OK;
}

static enum pk_status check_flag(struct check *c, const char *what, bool found, bool wanted)
{
    if (found != wanted)
        DIFFER("it is %s%s", found ? "" : "not ", what);
    return PK_OK;
}

/* ---- obligations ---- */

static bool is_state(struct pk_str word)
{
    static const char *const states[] = {"withdrawn", "rejected", "late", "kept_late_in_window", "kept",
                                         "attempted_not_reached", "replied_not_answered", "overdue", "open"};
    for (size_t i = 0; i < PK_COUNT(states); i++)
        if (pk_str_eq(word, pk_str(states[i])))
            return true;
    return false;
}

static enum pk_status check_position(struct check *c, const struct obligation_state *state)
{
    struct pk_str word = words_next(&c->words);
    double found;
    if (!word.ptr || !obligation_position(state, &found))
        DIFFER("it has no position in a window");
    const char *dot = memchr(word.ptr, '.', word.len);
    double half = 0.5;
    for (const char *at = dot ? dot + 1 : word.ptr + word.len; at < word.ptr + word.len; at++)
        half /= 10;
    if (fabs(found - strtod(word.ptr, NULL)) > half)
        DIFFER("position is %.4f, expected %.*s", found, PK_STR_ARG(word));
    return PK_OK;
}

static enum pk_status check_slack(struct check *c, const struct obligation_state *state)
{
    struct pk_str word = words_next(&c->words);
    bool negative = word.len && word.ptr[0] == '-';
    int64_t wanted_us;
    if (!word.ptr || time_parse_duration((struct pk_str){word.ptr + negative, word.len - negative}, &wanted_us, c->err) != PK_OK)
        return PK_REJECT;
    if (state->fulfilled_at_us == PK_NO_TIME || state->due_to_us == PK_NO_TIME)
        DIFFER("it has no slack");
    int64_t found_us = state->due_to_us - state->fulfilled_at_us;
    if (found_us != (negative ? -wanted_us : wanted_us))
        DIFFER("slack is %.3f s, expected %.*s", (double)found_us / 1e6, PK_STR_ARG(word));
    return PK_OK;
}

static enum pk_status check_obligation_word(struct check *c, struct pk_str word, bool wanted, const struct obligation *o,
                                            const struct obligation_state *state)
{
    const struct {
        const char *name;
        bool found;
    } flags[] = {{"overdue", state->overdue},         {"broken", state->broken},     {"early", state->early},
                 {"no_deadline", state->no_deadline}, {"no_owner", state->no_owner}, {"explicit", o->explicit_}};
    for (size_t i = 0; i < PK_COUNT(flags); i++)
        if (pk_str_eq(word, pk_str(flags[i].name)))
            return check_flag(c, flags[i].name, flags[i].found, wanted);
    const struct {
        const char *name;
        int64_t at_us;
    } times[] = {{"opened", o->opened_at_us},          {"due-from", o->due_from_us},
                 {"due", state->due_to_us},            {"first-due", o->first_due_to_us},
                 {"changed", o->changed_at_us},        {"first-attempt", o->first_attempt_at_us},
                 {"last-attempt", o->last_attempt_at_us}, {"fulfilled", state->fulfilled_at_us},
                 {"rejected-at", o->rejected_at_us},   {"withdrawn-at", o->withdrawn_at_us}};
    for (size_t i = 0; i < PK_COUNT(times); i++)
        if (pk_str_eq(word, pk_str(times[i].name)))
            return check_time(c, times[i].name, times[i].at_us);
    if (pk_str_eq(word, PK_STR("position")))
        return check_position(c, state);
    if (pk_str_eq(word, PK_STR("slack")))
        return check_slack(c, state);
    if (pk_str_eq(word, PK_STR("attempts")))
        return check_number(c, "attempts", o->attempts);
    if (pk_str_eq(word, PK_STR("brand")))
        return check_text(c, "brand", o->brand);
    if (pk_str_eq(word, PK_STR("unit")))
        return check_text(c, "unit", o->unit);
    if (pk_str_eq(word, PK_STR("role")))
        return check_text(c, "role", o->role);
    if (pk_str_eq(word, PK_STR("fulfilled-by"))) {
        const struct fact *fact = stored_event(c, words_next(&c->words));
        if (!fact || !pk_hash_eq(fact->event_hash, o->fulfilled_by))
            DIFFER("another event fulfilled it, or none");
        return PK_OK;
    }
    DIFFER("'%.*s' is nothing that an obligation has", PK_STR_ARG(word));
}

struct selection { /* which obligations are meant; zero = any */
    struct pk_hash customer, case_key, id, opened_by;
};

/* Selectors come first: of WHO, case X, named SOURCE/ID, by EVENT. */
static enum pk_status read_selection(struct check *c, struct selection *ret)
{
    *ret = (struct selection){0};
    for (;;) {
        if (words_take(&c->words, "of")) {
            ret->customer = customer_named(c, words_next(&c->words));
            if (pk_hash_zero(ret->customer))
                DIFFER("'of' needs an identifier that the rules know, such as phone:+358401");
        } else if (words_take(&c->words, "case")) {
            ret->case_key = hash_of(c->scenario, PK_STR("case_id"), words_next(&c->words));
        } else if (words_take(&c->words, "named")) {
            struct pk_str name = words_next(&c->words);
            const char *slash = name.len ? memchr(name.ptr, '/', name.len) : NULL;
            size_t source = slash ? (size_t)(slash - name.ptr) : 0;
            if (!slash)
                ret->id = hash_of(c->scenario, c->scenario->source, name);
            else
                ret->id = hash_of(c->scenario, (struct pk_str){name.ptr, source},
                                  (struct pk_str){slash + 1, name.len - source - 1});
        } else if (words_take(&c->words, "by")) {
            const struct fact *fact = stored_event(c, words_next(&c->words));
            if (!fact)
                DIFFER("'by' needs an event");
            ret->opened_by = fact->event_hash;
        } else {
            return PK_OK;
        }
    }
}

static bool is_meant(struct pk_hash wanted, struct pk_hash found)
{
    return pk_hash_zero(wanted) || pk_hash_eq(wanted, found);
}

static enum pk_status check_one(struct check *c, const struct obligation *o)
{
    struct obligation_state state = obligation_state(o, c->as_of_us);
    bool state_said = false;
    while (c->words.next < c->words.count) {
        bool wanted = !words_take(&c->words, "not");
        struct pk_str word = words_next(&c->words);
        if (!state_said && wanted && is_state(word)) {
            state_said = true;
            if (!pk_str_eq(word, pk_str(state.state)))
                DIFFER("it is %s, expected %.*s", state.state, PK_STR_ARG(word));
        } else if (check_obligation_word(c, word, wanted, o, &state) != PK_OK) {
            return PK_REJECT;
        }
    }
    return PK_OK;
}

static enum pk_status check_obligations(struct check *c, int64_t wanted)
{
    struct pk_str kind = words_next(&c->words);
    struct selection selection;
    if (!kind.ptr || read_selection(c, &selection) != PK_OK)
        return kind.ptr ? PK_REJECT : pk_fail(c->err, PK_REJECT, "of what kind?");
    if (wanted == 0 && c->words.next < c->words.count)
        DIFFER("'no obligation' takes of, case, named and by, but nothing that an obligation is");
    int64_t found = 0;
    PK_MAP_EACH(&c->store->obligations, e)
    {
        const struct obligation *o = e->value;
        if (!pk_str_eq(symbol_text(&c->scenario->symbols, o->kind), kind) || !obligation_state(o, c->as_of_us).opened ||
            !is_meant(selection.customer, o->customer) || !is_meant(selection.case_key, o->case_key) ||
            !is_meant(selection.id, o->id) || !is_meant(selection.opened_by, o->opened_by))
            continue;
        found++;
        struct check again = *c;
        if (wanted != 0 && check_one(&again, o) != PK_OK)
            return PK_REJECT;
    }
    if (wanted < 0 ? found == 0 : found != wanted)
        DIFFER("%" PRId64 " obligations of kind %.*s are meant, expected %s%" PRId64, found, PK_STR_ARG(kind),
               wanted < 0 ? "at least " : "", wanted < 0 ? 1 : wanted);
    return PK_OK;
}

/* ---- journeys ---- */

static enum pk_status check_channels(struct check *c, const struct journey *j)
{
    struct pk_str word = words_next(&c->words);
    uint32_t named = 0;
    for (size_t from = 0; from < word.len;) {
        const char *comma = memchr(word.ptr + from, ',', word.len - from);
        size_t len = comma ? (size_t)(comma - word.ptr) - from : word.len - from;
        bool found = false;
        for (uint32_t i = 0; i < j->channels.count; i++)
            found |= pk_str_eq(symbol_text(&c->scenario->symbols, j->channels.sym[i]),
                               (struct pk_str){word.ptr + from, len});
        if (!found)
            DIFFER("the journey did not use %.*s", (int)len, word.ptr + from);
        named++;
        from += len + 1;
    }
    if (named != j->channels.count)
        DIFFER("the journey used %u channels, expected %.*s", j->channels.count, PK_STR_ARG(word));
    return PK_OK;
}

static enum pk_status check_continues(struct check *c, const struct journey *j)
{
    struct pk_str word = words_next(&c->words);
    const struct fact *fact = stored_event(c, word);
    struct pk_hash wanted = fact ? fact->stored_journey : (struct pk_hash){0};
    if (!fact && !pk_str_eq(word, PK_STR("nothing")))
        DIFFER("'continues' needs an event, or nothing");
    if (!pk_hash_eq(wanted, j->continues))
        DIFFER("it continues another journey, or none");
    return PK_OK;
}

static enum pk_status check_case(struct check *c, const struct journey *j)
{
    struct pk_str word = words_next(&c->words);
    struct pk_hash wanted = {0};
    if (!pk_str_eq(word, PK_STR("none")))
        wanted = hash_of(c->scenario, PK_STR("case_id"), word);
    if (!pk_hash_eq(wanted, j->case_key))
        DIFFER("its case is another one than %.*s", PK_STR_ARG(word));
    return PK_OK;
}

/* Words have dashes where members have underscores. */
static bool is_member(struct pk_str word, const char *name)
{
    size_t i = 0;
    while (i < word.len && name[i] && word.ptr[i] == (name[i] == '_' ? '-' : name[i]))
        i++;
    return word.len && i == word.len && !name[i];
}

static enum pk_status check_span(struct check *c, const char *what, int64_t found_us)
{
    struct pk_str word = words_next(&c->words);
    int64_t wanted_us = 0;
    if (!word.ptr || (!pk_str_eq(word, PK_STR("0")) && time_parse_duration(word, &wanted_us, c->err) != PK_OK))
        DIFFER("'%s' needs a duration", what);
    if (wanted_us != found_us)
        DIFFER("%s is %.3f s, expected %.*s", what, (double)found_us / 1e6, PK_STR_ARG(word));
    return PK_OK;
}

static enum pk_status check_journey_word(struct check *c, struct pk_str word, bool wanted, const struct journey *j)
{
#define X(member) {#member, j->member},
    const struct {
        const char *name;
        int64_t found;
    } numbers[] = {JOURNEY_COUNTS(X){"channels", j->channels.count},
                   {"brands", j->brands.count},
                   {"units", j->units.count},
                   {"people_until_decision", j->people_until_decision}};
#undef X
    for (size_t i = 0; i < PK_COUNT(numbers); i++)
        if (is_member(word, numbers[i].name))
            return check_number(c, numbers[i].name, numbers[i].found);
    const struct {
        const char *name;
        int64_t found_us;
    } spans[] = {{"ownerless", j->ownerless_us}, {"orphan", j->orphan_us}, {"queue", j->queue_us}, {"touch", j->touch_us}};
    for (size_t i = 0; i < PK_COUNT(spans); i++)
        if (is_member(word, spans[i].name))
            return check_span(c, spans[i].name, spans[i].found_us);
    const struct {
        const char *name;
        int64_t at_us;
    } times[] = {{"first", j->first_at_us},
                 {"last", j->last_at_us},
                 {"first_inbound", j->first_inbound_at_us},
                 {"first_human_reply", j->first_human_reply_at_us},
                 {"first_terminal", j->first_terminal_at_us},
                 {"last_terminal", j->last_terminal_at_us},
                 {"decided", j->decided_at_us},
                 {"ownerless_since", j->ownerless_since_us},
                 {"queue_since", j->queue_since_us},
                 {"touch_since", j->touch_since_us}};
    for (size_t i = 0; i < PK_COUNT(times); i++)
        if (is_member(word, times[i].name))
            return check_time(c, times[i].name, times[i].at_us);
    const struct {
        const char *name;
        sym_t found;
    } texts[] = {{"entry", j->entry_channel},
                 {"entry_brand", j->entry_brand},
                 {"entry_unit", j->entry_unit},
                 {"last_channel", j->last_channel},
                 {"last_type", j->last_type},
                 {"last_outcome", j->last_outcome},
                 {"terminal_outcome", j->terminal_outcome},
                 {"stage", j->stage},
                 {"owner", j->owner.unit},
                 {"owner_brand", j->owner.brand}};
    for (size_t i = 0; i < PK_COUNT(texts); i++)
        if (is_member(word, texts[i].name))
            return check_text(c, texts[i].name, texts[i].found);
    if (pk_str_eq(word, PK_STR("resolved")))
        return check_flag(c, "resolved", j->resolved, wanted);
    if (pk_str_eq(word, PK_STR("crowd")))
        return check_flag(c, "a crowd's", j->crowd, wanted);
    if (pk_str_eq(word, PK_STR("via")))
        return check_channels(c, j);
    if (pk_str_eq(word, PK_STR("continues")))
        return check_continues(c, j);
    if (pk_str_eq(word, PK_STR("case")))
        return check_case(c, j);
    DIFFER("'%.*s' is nothing that a journey has", PK_STR_ARG(word));
}

static int compare_first(const void *left, const void *right)
{
    const struct journey *a = *(struct journey *const *)left, *b = *(struct journey *const *)right;
    return pk_hash_cmp(a->id, b->id); /* an id begins with the time of the first event */
}

/* journey of WHO [number N | with EVENT] ... */
static enum pk_status check_journeys(struct check *c, int64_t wanted)
{
    struct pk_hash customer = {0};
    if (words_take(&c->words, "of"))
        customer = customer_named(c, words_next(&c->words));
    if (pk_hash_zero(customer))
        DIFFER("whose? say of and an identifier that the rules know, such as phone:+358401");
    struct journey **found = pk_alloc((c->store->journeys.count + 1) * sizeof *found);
    int64_t count = 0, which = 1;
    PK_MAP_EACH(&c->store->journeys, e)
    if (pk_hash_eq(((struct journey *)e->value)->customer, customer))
        found[count++] = e->value;
    qsort(found, (size_t)count, sizeof *found, compare_first);
    const struct journey *journey = NULL;
    if (words_take(&c->words, "with")) {
        const struct fact *fact = stored_event(c, words_next(&c->words));
        for (int64_t i = 0; i < count && fact; i++)
            if (pk_hash_eq(found[i]->id, fact->stored_journey))
                journey = found[i];
    } else {
        bool numbered = words_take(&c->words, "number");
        if (numbered)
            which = strtoll(words_next(&c->words).ptr, NULL, 10);
        if (which >= 1 && which <= count && (numbered || count == 1))
            journey = found[which - 1];
    }
    free(found);
    if (wanted >= 0 && count != wanted)
        DIFFER("the customer has %" PRId64 " journeys, expected %" PRId64, count, wanted);
    if (wanted >= 0 && c->words.next == c->words.count)
        return PK_OK;
    if (!journey)
        DIFFER("the customer has %" PRId64 " journeys: say which, with number N or with EVENT", count);
    while (c->words.next < c->words.count) {
        bool yes = !words_take(&c->words, "not");
        if (check_journey_word(c, words_next(&c->words), yes, journey) != PK_OK)
            return PK_REJECT;
    }
    return PK_OK;
}

/* course NAME/VERSION [of WHO] [with EVENT] ... */
static enum pk_status check_course(struct check *c, int64_t wanted)
{
    struct pk_str name = words_next(&c->words);
    struct pk_hash customer = {0}, journey = {0};
    if (words_take(&c->words, "of")) {
        customer = customer_named(c, words_next(&c->words));
        if (pk_hash_zero(customer))
            DIFFER("'of' needs an identifier that the rules know, such as phone:+358401");
    }
    if (words_take(&c->words, "with")) {
        const struct fact *fact = stored_event(c, words_next(&c->words));
        if (!fact || pk_hash_zero(fact->stored_journey))
            DIFFER("'with' needs an event that is in a journey");
        journey = fact->stored_journey;
    }
    return rows_check_course(c->scenario, c->store, customer, journey, name, wanted, &c->words, c->err);
}

/* customer's purchases: purchases of WHO N [first TIME] [last TIME] */
static enum pk_status check_purchases(struct check *c)
{
    struct pk_hash id = {0};
    if (words_take(&c->words, "of"))
        id = customer_named(c, words_next(&c->words));
    const struct change_customer *customer = pk_map_get(&c->store->customers, id);
    if (pk_hash_zero(id) || !customer)
        DIFFER("whose? say of and an identifier of a customer");
    enum pk_status status = check_number(c, "purchases", customer->purchases);
    if (status == PK_OK && words_take(&c->words, "first"))
        status = check_time(c, "first", customer->first_purchase_at_us);
    if (status == PK_OK && words_take(&c->words, "last"))
        status = check_time(c, "last", customer->last_purchase_at_us);
    return status;
}

/* ---- events: EVENT joins EVENT | starts | stays outside | is of WHO | borrows from WHO | stays anonymous ---- */

static enum pk_status check_event(struct check *c)
{
    struct pk_str name = words_next(&c->words);
    const struct fact *fact = stored_event(c, name);
    if (!fact)
        DIFFER("there is no event %.*s", PK_STR_ARG(name));
    if (words_take(&c->words, "joins")) {
        const struct fact *other = stored_event(c, words_next(&c->words));
        if (!other || pk_hash_zero(fact->stored_journey) || !pk_hash_eq(fact->stored_journey, other->stored_journey))
            DIFFER("%.*s is not in the journey of that event", PK_STR_ARG(name));
    } else if (words_take(&c->words, "starts")) {
        const struct journey *journey = pk_map_get(&c->store->journeys, fact->stored_journey);
        if (!journey || memcmp(journey->id.byte + 8, fact->event_hash.byte, 8) != 0)
            DIFFER("%.*s does not start a journey", PK_STR_ARG(name));
    } else if (words_take(&c->words, "of")) {
        bool nobody = words_take(&c->words, "nobody");
        struct pk_hash wanted = nobody ? (struct pk_hash){{0}} : customer_named(c, words_next(&c->words));
        if (!nobody && pk_hash_zero(wanted))
            DIFFER("'of' needs an identifier that the rules know, or nobody");
        if (!pk_hash_eq(wanted, fact->customer))
            DIFFER("%.*s belongs to somebody else", PK_STR_ARG(name));
    } else if (words_take(&c->words, "borrows")) {
        struct fact_name from = {{{0}}};
        enum key_kind kind;
        if (!scenario_name(c->scenario, words_next(&c->words), &from, &kind) || kind != KEY_PERSON)
            DIFFER("'borrows' needs a person that the rules know");
        if (!pk_hash_eq(from.hash, fact->sighted))
            DIFFER("%.*s does not borrow from a sighting of that person", PK_STR_ARG(name));
    } else if (words_take(&c->words, "stays") && words_take(&c->words, "anonymous")) {
        if (pk_hash_zero(fact->customer) || fact->customer_kind == KEY_PERSON)
            DIFFER("%.*s is not anonymous", PK_STR_ARG(name));
    } else if (words_take(&c->words, "outside")) {
        if (!pk_hash_zero(fact->stored_journey))
            DIFFER("%.*s is in a journey", PK_STR_ARG(name));
    } else {
        DIFFER("an event joins EVENT, starts, is of WHO or of nobody, borrows WHO, stays anonymous or stays outside");
    }
    return PK_OK;
}

/* ---- identity: one customer WHO WHO ... | apart WHO WHO ... | WHO is WHO | shared WHO | oversize WHO | link WHO WHO ---- */

static enum pk_status next_key(struct check *c, const struct memory_key **ret)
{
    struct fact_name name;
    enum key_kind kind;
    struct pk_str who = words_next(&c->words);
    if (!scenario_name(c->scenario, who, &name, &kind))
        DIFFER("'%.*s' is no identifier that the rules know", PK_STR_ARG(who));
    *ret = pk_map_get(&c->store->keys, name.hash);
    if (!*ret)
        DIFFER("%.*s was never met", PK_STR_ARG(who));
    return PK_OK;
}

static enum pk_status check_together(struct check *c, bool together)
{
    enum { MOST = SCENARIO_WORDS };
    const struct memory_key *key[MOST];
    size_t count = 0;
    while (c->words.next < c->words.count)
        if (next_key(c, &key[count++]) != PK_OK)
            return PK_REJECT;
    if (count < 2)
        DIFFER("say two identifiers or more");
    for (size_t i = 0; i < count; i++) {
        if (pk_hash_zero(key[i]->customer))
            DIFFER("number %zu of them is nobody's", i + 1);
        for (size_t k = 0; k < i; k++)
            if (pk_hash_eq(key[i]->customer, key[k]->customer) != together)
                DIFFER("numbers %zu and %zu of them are %s", k + 1, i + 1, together ? "two customers" : "one customer");
    }
    return PK_OK;
}

static enum pk_status check_key_flag(struct check *c, const char *what, uint32_t flag, bool wanted)
{
    const struct memory_key *key;
    return next_key(c, &key) == PK_OK ? check_flag(c, what, key->flags & flag, wanted) : PK_REJECT;
}

/* customer of WHO is WHO: its id is the hash of the second */
static enum pk_status check_customer_id(struct check *c)
{
    const struct memory_key *of, *is;
    if (!words_take(&c->words, "of") || next_key(c, &of) != PK_OK || !words_take(&c->words, "is") || next_key(c, &is) != PK_OK)
        DIFFER("customer of WHO is WHO");
    if (!pk_hash_eq(of->customer, is->hash))
        DIFFER("the customer is called after another identifier");
    return PK_OK;
}

/* link WHO WHO [made | unique | apart | oversize] [by EVENT]; a link that is refused is one of the last three */
static enum pk_status check_link(struct check *c, bool wanted)
{
    static const char *const names[] = {"made", "unique", "apart", "oversize"};
    const struct memory_key *a, *b;
    if (next_key(c, &a) != PK_OK || next_key(c, &b) != PK_OK)
        return PK_REJECT;
    struct identity_batch batch;
    identity_batch_init(&batch, &c->scenario->meaning);
    identity_batch_take_store(&batch, c->store);
    const struct identity_link *found = NULL;
    for (size_t i = 0; i < batch.identity.links; i++) {
        const struct identity_link *link = &batch.identity.link[i];
        if ((pk_hash_eq(link->a->hash, a->hash) && pk_hash_eq(link->b->hash, b->hash)) ||
            (pk_hash_eq(link->a->hash, b->hash) && pk_hash_eq(link->b->hash, a->hash)))
            found = link;
    }
    enum pk_status status = PK_OK;
    if (!found != !wanted)
        status = pk_fail(c->err, PK_REJECT, found ? "there is such a link" : "there is no such link");
    while (status == PK_OK && found && c->words.next < c->words.count) {
        struct pk_str word = words_next(&c->words);
        if (pk_str_eq(word, PK_STR("by"))) {
            const struct fact *fact = stored_event(c, words_next(&c->words));
            if (!fact || fact->at_us != found->first.at_us || !pk_str_eq(fact->event_id, found->first.event_id))
                status = pk_fail(c->err, PK_REJECT, "another event makes it first: %.*s", PK_STR_ARG(found->first.event_id));
        } else if (!pk_str_eq(word, pk_str(names[found->refused]))) {
            status = pk_fail(c->err, PK_REJECT, "the link is %s, expected %.*s", names[found->refused], PK_STR_ARG(word));
        }
    }
    identity_batch_done(&batch);
    return status;
}

static bool check_identity(struct check *c, int64_t wanted, enum pk_status *ret)
{
    bool yes = !words_take(&c->words, "not");
    if (words_take(&c->words, "one"))
        *ret = words_take(&c->words, "customer") ? check_together(c, true)
                                                 : pk_fail(c->err, PK_REJECT, "one customer WHO WHO ...");
    else if (words_take(&c->words, "apart"))
        *ret = check_together(c, false);
    else if (words_take(&c->words, "customer"))
        *ret = check_customer_id(c);
    else if (words_take(&c->words, "customers"))
        *ret = wanted == (int64_t)c->store->customers.count
                   ? PK_OK
                   : pk_fail(c->err, PK_REJECT, "there are %zu customers", c->store->customers.count);
    else if (words_take(&c->words, "shared"))
        *ret = check_key_flag(c, "shared", KEY_IS_SHARED, yes);
    else if (words_take(&c->words, "oversize"))
        *ret = check_key_flag(c, "oversize", KEY_IS_OVERSIZE, yes);
    else if (words_take(&c->words, "link"))
        *ret = check_link(c, wanted != 0);
    else
        return false;
    return true;
}

/* ---- all ---- */

static enum pk_status check_any(struct check *c)
{
    int64_t wanted = -1;
    if (words_take(&c->words, "no")) {
        wanted = 0;
    } else if (c->words.next < c->words.count) {
        char *end;
        long long number = strtoll(c->words.word[c->words.next].ptr, &end, 10);
        if (*end == '\0') {
            wanted = number;
            c->words.next++;
        }
    }
    if (words_take(&c->words, "obligation") || words_take(&c->words, "obligations"))
        return check_obligations(c, wanted);
    if (words_take(&c->words, "journey") || words_take(&c->words, "journeys"))
        return check_journeys(c, wanted);
    if (words_take(&c->words, "course") || words_take(&c->words, "courses"))
        return check_course(c, wanted);
    if (words_take(&c->words, "aggregate") || words_take(&c->words, "aggregates"))
        return rows_check_aggregate(c->scenario, c->store, wanted, &c->words, c->err);
    if (words_take(&c->words, "purchases"))
        return check_purchases(c);
    if (words_take(&c->words, "event"))
        return check_event(c);
    if (words_take(&c->words, "interactions"))
        return check_number(c, "interactions", (int64_t)c->store->facts.count);
    if (words_take(&c->words, "quarantined"))
        return check_number(c, "quarantined", (int64_t)c->store->quarantine.len);
    enum pk_status status;
    if (check_identity(c, wanted, &status))
        return status;
    DIFFER("expect obligation, journey, course, aggregate, purchases, event, one customer, apart, customer, customers, "
           "shared, oversize, link, interactions or quarantined");
}

enum pk_status scenario_check(struct scenario *s, const struct memory_store *store, const struct expectation *expectation,
                              struct pk_err *err)
{
    struct pk_err why = {0};
    struct check check = {.scenario = s,
                          .store = store,
                          .words = expectation->words,
                          .as_of_us = expectation->as_of_us == PK_NO_TIME ? last_time(s) : expectation->as_of_us,
                          .err = &why};
    if (check_any(&check) == PK_OK)
        return PK_OK;
    return scenario_fail(s, expectation->line, err, "%s", why.text);
}
