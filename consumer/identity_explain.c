/* SPDX-License-Identifier: Apache-2.0 */
#include "identity_explain.h"

#include "time_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct text {
    const struct explain *explain;
    struct pk_arena *arena;
    struct pk_buf *out;

    /* of a person that may be linked */
    const struct identity_person *asked;
    struct identity_person **member; /* of its customer, the strongest first */
    size_t members;
    struct pk_map near; /* members, and who stood in one event with one: hash -> the person */
    bool digits;        /* an identifier was written by the first digits of its hash */
};

/* ---- words ---- */

void explain_add_text(struct pk_buf *out, struct pk_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool high_control = c == 0xc2 && i + 1 < text.len && (unsigned char)text.ptr[i + 1] < 0xa0;
        pk_buf_add(out, c < 0x20 || c == 0x7f || high_control ? "?" : &text.ptr[i], 1);
        i += high_control;
    }
}

static void add_digits(struct pk_buf *out, struct pk_hash hash)
{
    pk_buf_printf(out, "%08" PRIx32, pk_get_be32(hash.byte));
}

static void add_uuid(struct pk_buf *out, struct pk_hash hash)
{
    for (int i = 0; i < 16; i++)
        pk_buf_printf(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", hash.byte[i]);
}

void explain_add_name(struct pk_buf *out, const struct explain_name *name)
{
    explain_add_text(out, name->name_space);
    pk_buf_text(out, name->value.ptr ? ":" : " ");
    if (name->value.ptr)
        explain_add_text(out, name->value);
    else
        add_digits(out, name->hash);
}

void explain_add_time(struct pk_buf *out, int64_t at_us)
{
    char iso[28];
    time_format_iso(at_us, iso);
    if (iso[10] == 'T')
        pk_buf_printf(out, "%.10s %.8sZ", iso, iso + 11);
    else
        pk_buf_text(out, iso);
}

static void add_duration(struct pk_buf *out, int64_t us)
{
    static const struct {
        int64_t us;
        const char *name;
    } unit[] = {{PK_DAY_US, "d"}, {PK_HOUR_US, "h"}, {60 * PK_SECOND_US, "m"}, {PK_SECOND_US, "s"}, {1000, "ms"}};
    size_t before = out->len;
    for (size_t i = 0; i < PK_COUNT(unit); i++) {
        if (us >= unit[i].us)
            pk_buf_printf(out, "%" PRId64 "%s", us / unit[i].us, unit[i].name);
        us %= unit[i].us;
    }
    if (out->len == before)
        pk_buf_text(out, "0");
}

static void add_count(struct pk_buf *out, int64_t count, const char *one, const char *many)
{
    pk_buf_printf(out, "%" PRId64 " %s", count, count == 1 ? one : many);
}

static const struct explain_name *name_of(const struct text *t, struct pk_hash hash)
{
    static const struct explain_name nobody;
    const struct explain_name *name = pk_map_get(&t->explain->name, hash);
    return name ? name : &nobody;
}

static void put_name(struct text *t, const struct explain_name *name)
{
    explain_add_name(t->out, name);
    t->digits |= !name->value.ptr;
}

static void put_person(struct text *t, const struct identity_person *person)
{
    put_name(t, name_of(t, person->hash));
}

/* "customer 1f2e3d4c (email:aino@example.com)": by what the customer is known. */
static void put_customer(struct text *t, const struct explain_name *customer)
{
    pk_buf_text(t->out, "customer ");
    add_digits(t->out, customer->hash);
    t->digits = true;
    pk_buf_text(t->out, " (");
    explain_add_text(t->out, customer->name_space);
    if (customer->value.ptr) {
        pk_buf_text(t->out, ":");
        explain_add_text(t->out, customer->value);
    }
    pk_buf_text(t->out, ")");
}

static void put_event(struct text *t, const struct identity_event *event, const struct explain_event *more)
{
    explain_add_time(t->out, event->at_us);
    if (more && more->type.ptr) {
        pk_buf_text(t->out, "  ");
        explain_add_text(t->out, more->type);
        if (more->channel.ptr) {
            pk_buf_text(t->out, ", ");
            explain_add_text(t->out, more->channel);
        }
    }
    pk_buf_text(t->out, "  (");
    explain_add_text(t->out, symbol_text(t->explain->symbols, event->source));
    pk_buf_text(t->out, ", event ");
    explain_add_text(t->out, event->event_id);
    pk_buf_text(t->out, ")");
}

static void put_rest(struct text *t, int64_t left)
{
    if (left > 0)
        pk_buf_printf(t->out, "  and %" PRId64 " more (--limit)\n", left);
}

/* ---- decisions ---- */

void explain_add_decision(struct pk_buf *out, const struct explain_decision *decision)
{
    explain_add_name(out, decision->a);
    if (decision->kind == DECIDE_APART) {
        pk_buf_text(out, " and ");
        explain_add_name(out, decision->b);
        pk_buf_text(out, " are kept apart");
    } else {
        pk_buf_text(out, decision->kind == DECIDE_BLOCK ? " is blocked" : " is unlinked");
    }
    pk_buf_text(out, ", by ");
    explain_add_text(out, decision->by);
    pk_buf_text(out, " (");
    explain_add_time(out, decision->at_us);
    if (decision->note.len) {
        pk_buf_text(out, ": ");
        explain_add_text(out, decision->note);
    }
    pk_buf_text(out, ")");
}

static bool concerns(const struct text *t, const struct explain_decision *decision)
{
    if (!t->asked) /* nobody is a member then */
        return decision->a == t->explain->asked || decision->b == t->explain->asked;
    return pk_map_get(&t->near, decision->a->hash) || (decision->b && pk_map_get(&t->near, decision->b->hash));
}

static void put_decisions(struct text *t)
{
    size_t count = 0;
    for (size_t i = 0; i < t->explain->decisions; i++) {
        const struct explain_decision *decision = &t->explain->decision[i];
        if (!concerns(t, decision))
            continue;
        if (count++ == 0)
            pk_buf_text(t->out, "\nDecisions in force (identity restore takes them back)\n");
        pk_buf_text(t->out, "  ");
        explain_add_decision(t->out, decision);
        t->digits |= !decision->a->value.ptr || (decision->b && !decision->b->value.ptr);
        pk_buf_text(t->out, "\n");
    }
}

static const struct explain_decision *decision_on(const struct text *t, enum decision_kind kind, struct pk_hash a,
                                                  const struct pk_hash *b)
{
    for (size_t i = 0; i < t->explain->decisions; i++) {
        const struct explain_decision *d = &t->explain->decision[i];
        if (d->kind != kind)
            continue;
        if (!b ? pk_hash_eq(d->a->hash, a)
               : (pk_hash_eq(d->a->hash, a) && pk_hash_eq(d->b->hash, *b)) ||
                     (pk_hash_eq(d->a->hash, *b) && pk_hash_eq(d->b->hash, a)))
            return d;
    }
    return NULL;
}

/* ---- one customer ---- */

static int by_strength(const void *left, const void *right)
{
    const struct identity_person *a = *(struct identity_person *const *)left,
                                 *b = *(struct identity_person *const *)right;
    if (a->rules->priority != b->rules->priority)
        return a->rules->priority < b->rules->priority ? -1 : 1;
    if (a->first_at_us != b->first_at_us)
        return a->first_at_us < b->first_at_us ? -1 : 1;
    return pk_hash_cmp(a->hash, b->hash);
}

static bool is_member(const struct text *t, const struct identity_person *person)
{
    return pk_hash_eq(person->customer, t->asked->customer);
}

static bool has_member(const struct text *t, const struct identity_meeting *meeting)
{
    for (uint32_t k = 0; k < meeting->count; k++)
        if (is_member(t, meeting->person[k]))
            return true;
    return false;
}

static void find_members(struct text *t)
{
    const struct identity *identity = &t->explain->identity;
    t->member = PK_NEW_ARRAY(t->arena, struct identity_person *, identity->persons);
    for (size_t i = 0; i < identity->persons; i++)
        if (pk_hash_eq(identity->person[i]->hash, t->explain->asked->hash))
            t->asked = identity->person[i];
    for (size_t i = 0; i < identity->persons; i++)
        if (is_member(t, identity->person[i])) {
            t->member[t->members++] = identity->person[i];
            pk_map_put(&t->near, identity->person[i]->hash, identity->person[i]);
        }
    qsort(t->member, t->members, sizeof *t->member, by_strength);
    for (size_t i = 0; i < identity->meetings; i++)
        for (uint32_t k = 0; has_member(t, identity->meeting[i]) && k < identity->meeting[i]->count; k++)
            pk_map_put(&t->near, identity->meeting[i]->person[k]->hash, identity->meeting[i]->person[k]);
}

static void put_headline(struct text *t)
{
    const struct explain_name *asked = t->explain->asked, *first = name_of(t, t->asked->customer);
    put_name(t, asked);
    if (t->members == 1)
        pk_buf_text(t->out, " is the only identifier of its customer.\nThe customer's id is its hash, ");
    else
        pk_buf_printf(t->out, " is one of %zu identifiers of one customer.\nThe customer's id is ", t->members);
    add_uuid(t->out, t->asked->customer);
    if (t->members > 1) {
        pk_buf_text(t->out, ", after the strongest of them: ");
        put_name(t, first);
    }
    pk_buf_text(t->out, ".\n");
    if (!pk_hash_eq(asked->customer, t->asked->customer)) {
        pk_buf_text(t->out, "The table polku.identifier says otherwise (");
        add_uuid(t->out, asked->customer);
        pk_buf_text(t->out, "): somebody changed the tables, or this is a defect; a rebuild puts it right.\n");
    }
}

static void put_members(struct text *t)
{
    size_t shown = PK_MIN(t->members, t->explain->limit);
    pk_buf_text(t->out, "\nIts identifiers, the strongest first\n  priority  first seen            identifier\n");
    for (size_t i = 0; i < shown; i++) {
        const struct identity_person *member = t->member[i];
        pk_buf_printf(t->out, "  %8d  ", member->rules->priority);
        explain_add_time(t->out, member->first_at_us);
        pk_buf_text(t->out, "  ");
        put_person(t, member);
        if (member->rules->unique)
            pk_buf_text(t->out, "  (two values are two people)");
        if (member == t->asked && t->members > 1)
            pk_buf_text(t->out, "  <- asked for");
        pk_buf_text(t->out, "\n");
    }
    put_rest(t, (int64_t)(t->members - shown));
}

/* ---- why ---- */

static uint32_t *set_of(uint32_t *set, uint32_t place)
{
    while (set[place] != place)
        place = set[place] = set[set[place]];
    return &set[place];
}

static void put_pair(struct text *t, const struct identity_link *link)
{
    put_person(t, link->a);
    pk_buf_text(t->out, "  -  ");
    put_person(t, link->b);
}

/* ---- where the list of reasons is cut: the shortest chain to the strongest ---- */

/* Of each person the link by which it is reached first from `from`, breadth first; by place. */
static const struct identity_link **reach(struct text *t, const struct identity_person *from)
{
    const struct identity *identity = &t->explain->identity;
    const struct identity_link **by = PK_NEW_ARRAY(t->arena, const struct identity_link *, identity->persons);
    const struct identity_link **link = PK_NEW_ARRAY(t->arena, const struct identity_link *, 2 * identity->links);
    size_t *end = PK_NEW_ARRAY(t->arena, size_t, identity->persons + 1);
    const struct identity_person **line = PK_NEW_ARRAY(t->arena, const struct identity_person *, identity->persons);
    for (size_t i = 0; i < identity->links; i++)
        end[identity->link[i].a->place + 1]++, end[identity->link[i].b->place + 1]++;
    for (size_t i = 1; i <= identity->persons; i++)
        end[i] += end[i - 1];
    for (size_t i = 0; i < identity->links; i++) {
        link[end[identity->link[i].a->place]++] = &identity->link[i]; /* begins become ends */
        link[end[identity->link[i].b->place]++] = &identity->link[i];
    }
    size_t read = 0, written = 0;
    line[written++] = from;
    while (read < written) {
        const struct identity_person *person = line[read++];
        for (size_t i = person->place ? end[person->place - 1] : 0; i < end[person->place]; i++) {
            const struct identity_person *next = link[i]->a == person ? link[i]->b : link[i]->a;
            if (link[i]->refused != LINK_MADE || next == from || by[next->place])
                continue;
            by[next->place] = link[i];
            line[written++] = next;
        }
    }
    return by;
}

static void put_chain(struct text *t)
{
    const struct identity_person *first = pk_map_get(&t->near, t->asked->customer), *at = t->asked;
    if (!first || first == at)
        return;
    const struct identity_link **by = reach(t, first);
    size_t count = 0;
    pk_buf_text(t->out, "\nThe shortest way from ");
    put_person(t, at);
    pk_buf_text(t->out, " to the strongest\n");
    while (at != first) {
        const struct identity_link *link = by[at->place];
        if (count++ < t->explain->limit) {
            pk_buf_text(t->out, "  ");
            put_pair(t, link);
            pk_buf_text(t->out, "\n     ");
            put_event(t, &link->first, &t->explain->event[link - t->explain->identity.link]);
            pk_buf_text(t->out, "\n");
        }
        at = link->a == at ? link->b : link->a;
    }
    put_rest(t, (int64_t)count - (int64_t)PK_MIN(count, t->explain->limit));
}

/* The links that joined sets, told again in their order. */
static void put_links(struct text *t)
{
    const struct identity *identity = &t->explain->identity;
    uint32_t *set = PK_NEW_ARRAY(t->arena, uint32_t, identity->persons);
    for (uint32_t i = 0; i < identity->persons; i++)
        set[i] = i;
    size_t joined = 0, again = 0;
    for (size_t i = 0; i < identity->links; i++) {
        const struct identity_link *link = &identity->link[i];
        if (link->refused != LINK_MADE || !is_member(t, link->a))
            continue;
        uint32_t *a = set_of(set, link->a->place), *b = set_of(set, link->b->place);
        if (a == b) {
            again++;
            continue;
        }
        *b = *a;
        if (joined++ == 0)
            pk_buf_text(
                t->out,
                "\nWhy they are one: each pair stood in one event, the surest first; with the first such event\n");
        if (joined > t->explain->limit)
            continue;
        pk_buf_printf(t->out, "  %zu. ", joined);
        put_pair(t, link);
        pk_buf_text(t->out, "\n     ");
        put_event(t, &link->first, &t->explain->event[i]);
        pk_buf_text(t->out, "\n");
    }
    put_rest(t, (int64_t)joined - (int64_t)PK_MIN(joined, t->explain->limit));
    if (again) {
        pk_buf_text(t->out, "  ");
        add_count(t->out, (int64_t)again, "further pair says", "further pairs say");
        pk_buf_text(t->out, " the same again.\n");
    }
    if (joined > t->explain->limit)
        put_chain(t);
}

/* ---- why not ---- */

static size_t size_of(const struct text *t, struct pk_hash customer)
{
    size_t count = 0;
    for (size_t i = 0; i < t->explain->identity.persons; i++)
        count += pk_hash_eq(t->explain->identity.person[i]->customer, customer);
    return count;
}

static void put_reason(struct text *t, const struct identity_link *link)
{
    const struct identity_person *ours = link->because_a, *theirs = link->because_b;
    if (link->refused == LINK_UNIQUE) {
        put_person(t, ours);
        pk_buf_text(t->out, " and ");
        put_person(t, theirs);
        pk_buf_text(t->out, " are two values of ");
        explain_add_text(t->out, symbol_text(t->explain->symbols, ours->name_space));
        pk_buf_text(t->out, ", so two people");
        return;
    }
    const struct explain_decision *decision = decision_on(t, DECIDE_APART, ours->hash, &theirs->hash);
    put_person(t, ours);
    pk_buf_text(t->out, " and ");
    put_person(t, theirs);
    pk_buf_text(t->out, " are kept apart by a decision");
    if (!decision)
        return;
    pk_buf_text(t->out, " of ");
    explain_add_text(t->out, decision->by);
    pk_buf_text(t->out, ", ");
    explain_add_time(t->out, decision->at_us);
}

static void put_refused(struct text *t)
{
    const struct identity *identity = &t->explain->identity;
    size_t count = 0;
    for (size_t i = 0; i < identity->links; i++) {
        const struct identity_link *link = &identity->link[i];
        if (link->refused == LINK_MADE || link->refused == LINK_OVERSIZE ||
            is_member(t, link->a) == is_member(t, link->b))
            continue;
        if (count++ == 0)
            pk_buf_text(t->out, "\nRefused: these stood in one event too, but would make two customers one\n");
        if (count > t->explain->limit)
            continue;
        const struct identity_person *other = is_member(t, link->a) ? link->b : link->a;
        pk_buf_text(t->out, "  ");
        put_pair(t, link);
        pk_buf_text(t->out, "\n     ");
        put_event(t, &link->first, &t->explain->event[i]);
        pk_buf_text(t->out, "\n     Why not: ");
        put_reason(t, link);
        pk_buf_text(t->out, ".\n     ");
        put_person(t, other);
        pk_buf_text(t->out, " is of ");
        put_customer(t, name_of(t, other->customer));
        pk_buf_text(t->out, ", with ");
        add_count(t->out, (int64_t)size_of(t, other->customer), "identifier", "identifiers");
        pk_buf_text(t->out, ".\n");
    }
    put_rest(t, (int64_t)count - (int64_t)PK_MIN(count, t->explain->limit));
}

static bool two_people(const struct identity_meeting *meeting, const struct identity_person **ret_a,
                       const struct identity_person **ret_b)
{
    for (uint32_t i = 1; i < meeting->count; i++)
        for (uint32_t k = 0; k < i; k++) {
            const struct identity_person *a = meeting->person[k], *b = meeting->person[i];
            if (a->rules->unique && a->name_space == b->name_space && !a->blocked && !b->blocked) {
                *ret_a = a;
                *ret_b = b;
                return true;
            }
        }
    return false;
}

static void put_contradictory(struct text *t)
{
    const struct identity *identity = &t->explain->identity;
    size_t count = 0;
    for (size_t i = 0; i < identity->meetings; i++) {
        const struct identity_meeting *meeting = identity->meeting[i];
        const struct identity_person *a, *b;
        if (!has_member(t, meeting) || !two_people(meeting, &a, &b))
            continue;
        if (count++ == 0)
            pk_buf_text(t->out, "\nContradictory: such an event names two people, and links nobody\n");
        if (count > t->explain->limit)
            continue;
        pk_buf_text(t->out, "  ");
        for (uint32_t k = 0; k < meeting->count; k++) {
            pk_buf_text(t->out, k ? ", " : "");
            put_person(t, meeting->person[k]);
        }
        pk_buf_text(t->out, "\n     ");
        put_event(t, &meeting->first, NULL);
        pk_buf_text(t->out, "\n     Why: ");
        put_person(t, a);
        pk_buf_text(t->out, " and ");
        put_person(t, b);
        pk_buf_text(t->out, " are two values of ");
        explain_add_text(t->out, symbol_text(t->explain->symbols, a->name_space));
        pk_buf_text(t->out, ".\n");
    }
    put_rest(t, (int64_t)count - (int64_t)PK_MIN(count, t->explain->limit));
}

/* ---- shared ---- */

/* "met 3 different garage/customer_id (at most 1), 7 identifiers in all" */
static void put_sharing(struct text *t, const struct explain_shared *shared)
{
    const struct rules_namespace *rules = shared->name->rules;
    if (shared->name_space.ptr) {
        pk_buf_printf(t->out, "stood with %" PRId64 " different values of ", shared->met);
        explain_add_text(t->out, shared->name_space);
        pk_buf_printf(t->out, " (one person's own: at most %" PRIu32 "), ", rules->max_people);
        pk_buf_printf(t->out, "with %" PRId64 " identifiers in all", shared->met_in_all);
    } else {
        pk_buf_printf(t->out, "stood with %" PRId64 " other identifiers (one person's own: at most %" PRIu32 ")",
                      shared->met_in_all, rules->max_links);
    }
}

static void put_shared(struct text *t)
{
    const struct explain *explain = t->explain;
    for (size_t i = 0; i < PK_MIN(explain->shared_count, explain->limit); i++) {
        if (i == 0)
            pk_buf_text(
                t->out,
                "\nShared: these stood in one event with it too, but belong to several people and join nobody\n");
        pk_buf_text(t->out, "  ");
        put_name(t, explain->shared[i].name);
        pk_buf_text(t->out, "\n     ");
        put_sharing(t, &explain->shared[i]);
        pk_buf_text(t->out, "\n");
    }
    put_rest(t, (int64_t)explain->shared_count - (int64_t)PK_MIN(explain->shared_count, explain->limit));
}

/* ---- identifiers that are not of one customer ---- */

static const char *state_of(const struct explain_name *name)
{
    return name->flags & KEY_BLOCKED     ? "blocked"
           : name->flags & KEY_IS_SHARED ? "shared"
           : name->flags & KEY_ALONE     ? "unlinked"
                                         : NULL;
}

static void put_met(struct text *t)
{
    const struct explain *explain = t->explain;
    for (size_t i = 0; i < explain->met_count; i++) {
        const struct explain_name *name = explain->met[i].name;
        if (i == 0)
            pk_buf_printf(
                t->out, "\nIdentifiers of persons that stood in one event with it (%" PRId64 "), with the first time\n",
                explain->met_in_all);
        pk_buf_text(t->out, "  ");
        explain_add_time(t->out, explain->met[i].first_at_us);
        pk_buf_text(t->out, "  ");
        put_name(t, name);
        if (state_of(name)) {
            pk_buf_printf(t->out, ", %s", state_of(name));
        } else if (!pk_hash_zero(name->customer)) {
            pk_buf_text(t->out, ", of ");
            put_customer(t, name_of(t, name->customer));
        }
        pk_buf_text(t->out, "\n");
    }
    put_rest(t, explain->met_in_all - (int64_t)explain->met_count);
}

static void put_stretch(struct text *t, const struct explain_stretch *stretch)
{
    pk_buf_text(t->out, "  ");
    explain_add_time(t->out, stretch->from_us);
    pk_buf_text(t->out, " .. ");
    explain_add_time(t->out, stretch->to_us);
    pk_buf_text(t->out, "  ");
    if (!stretch->customer) {
        pk_buf_text(t->out, "of no customer: ");
        add_count(t->out, stretch->own + stretch->borrowed + stretch->anonymous, "event\n", "events\n");
        return;
    }
    if (stretch->anonymous) {
        pk_buf_text(t->out, "nobody known: ");
        add_count(t->out, stretch->anonymous, "event", "events");
    } else {
        put_customer(t, stretch->customer);
        pk_buf_text(t->out, ": ");
        if (stretch->own)
            add_count(t->out, stretch->own, "event names it", "events name it");
        if (stretch->borrowed) {
            pk_buf_text(t->out, stretch->own ? ", " : "");
            add_count(t->out, stretch->borrowed, "was given to it", "were given to it");
        }
    }
    pk_buf_text(t->out, "\n");
}

static void put_stretches(struct text *t)
{
    const struct explain *explain = t->explain;
    for (size_t i = 0; i < explain->stretches; i++) {
        if (i == 0)
            pk_buf_text(t->out, "\nWhose the events were that carry it, the newest first\n");
        put_stretch(t, &explain->stretch[i]);
    }
    put_rest(t, explain->stretches_in_all - (int64_t)explain->stretches);
}

static void put_borrowing(struct text *t, int64_t lookback_us, int64_t lookahead_us)
{
    pk_buf_text(t->out, "An event that names no person belongs to the customer who was seen with it last, up to ");
    add_duration(t->out, lookback_us);
    pk_buf_text(t->out, " before");
    if (lookahead_us > 0) {
        pk_buf_text(t->out, ", else first, up to ");
        add_duration(t->out, lookahead_us);
        pk_buf_text(t->out, " after");
    }
    pk_buf_text(t->out, ".\n");
}

static void put_thing(struct text *t)
{
    const struct explain_name *asked = t->explain->asked;
    put_name(t, asked);
    if (asked->kind == KEY_CASE) {
        pk_buf_text(t->out, " is a case: it joins nobody.\n");
        put_borrowing(t, t->explain->rules->case_gap_us, t->explain->rules->case_gap_us);
        return;
    }
    pk_buf_text(t->out, asked->rules->class_ == RULES_KIOSK
                            ? " is a device in public: people use it one after another, it joins nobody.\n"
                            : " is a device: people may use it one after another, it joins nobody.\n");
    put_borrowing(t, asked->rules->lookback_us, asked->rules->lookahead_us);
}

static void put_shared_person(struct text *t)
{
    const struct explain_name *asked = t->explain->asked;
    put_name(t, asked);
    pk_buf_text(t->out, " is shared: it belongs to several people, and joins nobody.\n");
    for (size_t i = 0; i < t->explain->shared_count; i++)
        if (t->explain->shared[i].name == asked) {
            pk_buf_text(t->out, "It ");
            put_sharing(t, &t->explain->shared[i]);
            pk_buf_text(t->out, ".\n");
        }
    put_borrowing(t, asked->rules->lookback_us, asked->rules->lookahead_us);
}

static void put_alone(struct text *t)
{
    const struct explain_name *asked = t->explain->asked;
    put_name(t, asked);
    if (asked->flags & KEY_ALONE) {
        const struct explain_decision *decision = decision_on(t, DECIDE_UNLINK, asked->hash, NULL);
        pk_buf_text(t->out, " is unlinked by a decision");
        if (decision) {
            pk_buf_text(t->out, " of ");
            explain_add_text(t->out, decision->by);
        }
        pk_buf_text(t->out, ": whatever it stood with, it is a customer alone.\n");
    } else {
        pk_buf_printf(t->out,
                      " is set aside: more than %" PRIu32
                      " identifiers hang together with it (max_component), and so many are no\n"
                      "one person. Until what glues them is blocked or unlinked, each of them is a customer alone.\n",
                      t->explain->rules->max_component);
    }
    pk_buf_text(t->out, "The customer's id is its hash, ");
    add_uuid(t->out, asked->hash);
    pk_buf_text(t->out, ".\n");
}

static void put_blocked(struct text *t)
{
    put_name(t, t->explain->asked);
    pk_buf_text(t->out, " is blocked by a decision: events are taken as if it did not stand in them.\n");
}

static void put_unseen(struct text *t)
{
    put_name(t, t->explain->asked);
    pk_buf_text(t->out, " is not known: no event carries it.\n");
}

/* ---- the whole ---- */

static void put_words(struct text *t)
{
    pk_buf_text(t->out, "\nWords: identifiers of persons that stand in one event are one customer; of several the one "
                        "with the smallest\n"
                        "priority is the strongest. ");
    if (t->digits)
        pk_buf_text(t->out,
                    "Eight digits are the beginning of an identifier's hash: its value is not stored. They can\n"
                    "be given in place of NAMESPACE:VALUE. ");
    pk_buf_text(t->out, "All times are UTC.\n");
}

static void put_one_customer(struct text *t)
{
    put_headline(t);
    put_members(t);
    put_links(t);
    put_refused(t);
    put_contradictory(t);
    put_shared(t);
}

void explain_print(const struct explain *explain, struct pk_arena *arena, struct pk_buf *out)
{
    struct text text = {.explain = explain, .arena = arena, .out = out};
    const struct explain_name *asked = explain->asked;
    if (explain->identity.persons) {
        find_members(&text);
        put_one_customer(&text);
    } else if (asked->flags & KEY_BLOCKED) {
        put_blocked(&text);
    } else if (!asked->known || (asked->kind == KEY_PERSON && asked->first_at_us == PK_NO_TIME)) {
        put_unseen(&text);
    } else if (asked->kind != KEY_PERSON) {
        put_thing(&text);
    } else if (asked->flags & KEY_IS_SHARED) {
        put_shared_person(&text);
    } else {
        put_alone(&text);
    }
    put_stretches(&text);
    put_met(&text);
    put_decisions(&text);
    put_words(&text);
    pk_map_done(&text.near);
}
