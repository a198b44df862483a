/* SPDX-License-Identifier: Apache-2.0 */
#include "identity.h"

#include <stdlib.h>

struct apart_end { /* a decision, seen from one of its two persons */
    struct identity_person *other;
    struct apart_end *next;
};

struct seat { /* what only the solver knows of a person, by its place */
    uint32_t space; /* the number of its namespace if that is unique, else 0 */
    uint32_t seen;  /* stamp of the person that met it last */
    bool met;       /* stands in a meeting */
    struct apart_end *apart;

    /* of the root of a set. Watched are those who can forbid a join: persons of unique namespaces, ends of apart. */
    struct identity_person *watch; /* one of them, the others in a ring over `next` */
    uint32_t watched;
    struct identity_person *first; /* gives the customer id */
};

struct solver {
    const struct rules *rules;
    const struct symbols *symbols;
    struct pk_arena *arena;
    struct identity *identity;
    struct seat *seat;
    uint32_t spaces;    /* unique namespaces; their numbers are 1 .. spaces */
    bool *clear;        /* by meeting: not contradictory */
    struct pk_map held; /* (root of a set, space) -> its one person of that namespace */
};

/* ---- orders ---- */

int identity_event_cmp(const struct symbols *symbols, const struct identity_event *a, const struct identity_event *b)
{
    if (a->at_us != b->at_us)
        return a->at_us < b->at_us ? -1 : 1;
    if (a->sequence != b->sequence)
        return a->sequence < b->sequence ? -1 : 1;
    int order = a->source == b->source
                    ? 0
                    : pk_str_cmp(symbol_text(symbols, a->source), symbol_text(symbols, b->source));
    return order ? order : pk_str_cmp(a->event_id, b->event_id);
}

static int priority_cmp(const struct identity_person *a, const struct identity_person *b)
{
    return (a->rules->priority > b->rules->priority) - (a->rules->priority < b->rules->priority);
}

static int weight_cmp(const struct identity_person *a, const struct identity_person *b)
{
    int order = priority_cmp(a, b);
    return order ? order : pk_hash_cmp(a->hash, b->hash);
}

static int link_cmp(const void *left, const void *right, void *symbols)
{
    const struct identity_link *x = left, *y = right;
    int order = priority_cmp(x->a, y->a);
    if (!order)
        order = priority_cmp(x->b, y->b);
    if (!order)
        order = identity_event_cmp(symbols, &x->first, &y->first);
    if (!order)
        order = pk_hash_cmp(x->a->hash, y->a->hash);
    return order ? order : pk_hash_cmp(x->b->hash, y->b->hash);
}

static bool names_before(const struct identity_person *a, const struct identity_person *b)
{
    int order = priority_cmp(a, b);
    if (order)
        return order < 0;
    if (a->first_at_us != b->first_at_us)
        return a->first_at_us < b->first_at_us;
    return pk_hash_cmp(a->hash, b->hash) < 0;
}

static struct pk_hash key_of(uint32_t high, uint32_t low)
{
    struct pk_hash key = {{0}};
    pk_put_be32(key.byte, high);
    pk_put_be32(key.byte + 4, low);
    return key;
}

/* ---- persons and meetings as they come ---- */

static void take_persons(struct solver *solver)
{
    struct pk_map spaces = {0};
    for (size_t i = 0; i < solver->identity->persons; i++) {
        struct identity_person *person = solver->identity->person[i];
        person->place = (uint32_t)i;
        person->shared = person->known_shared && !person->blocked;
        person->oversize = false;
        person->customer = (struct pk_hash){{0}};
        person->component = person->set = person;
        person->next = NULL;
        person->size = 1;
        if (!person->rules->unique || person->blocked)
            continue;
        struct pk_hash key = key_of(0, person->name_space);
        uintptr_t space = (uintptr_t)pk_map_get(&spaces, key);
        if (!space)
            pk_map_put(&spaces, key, (void *)(space = ++solver->spaces));
        solver->seat[i].space = (uint32_t)space;
    }
    pk_map_done(&spaces);
}

static bool contradictory(const struct solver *solver, const struct identity_meeting *meeting)
{
    for (uint32_t i = 1; i < meeting->count; i++)
        for (uint32_t j = 0; j < i; j++) {
            uint32_t space = solver->seat[meeting->person[i]->place].space; /* a blocked person has none */
            if (space && space == solver->seat[meeting->person[j]->place].space)
                return true;
        }
    return false;
}

static void take_meetings(struct solver *solver)
{
    for (size_t i = 0; i < solver->identity->meetings; i++) {
        const struct identity_meeting *meeting = solver->identity->meeting[i];
        for (uint32_t k = 0; k < meeting->count; k++)
            solver->seat[meeting->person[k]->place].met = true;
        solver->clear[i] = !contradictory(solver, meeting);
    }
}

static void take_aparts(struct solver *solver)
{
    for (size_t i = 0; i < solver->identity->aparts; i++) {
        struct identity_person *end[2] = {solver->identity->apart[i].a, solver->identity->apart[i].b};
        for (int k = 0; k < 2; k++) {
            struct seat *seat = &solver->seat[end[k]->place];
            struct apart_end *apart = PK_NEW(solver->arena, struct apart_end);
            *apart = (struct apart_end){end[1 - k], seat->apart};
            seat->apart = apart;
        }
    }
}

/* ---- sharing ---- */

struct tally { /* persons of one unique namespace that the person `stamp` stands for has met */
    uint32_t stamp, count;
};

static bool meets_too_many(struct solver *solver, const struct identity_person *person,
                           struct identity_meeting *const *from, struct identity_meeting *const *to,
                           struct tally *tally)
{
    uint32_t stamp = person->place + 1, met = 0;
    for (; from < to; from++)
        for (uint32_t k = 0; k < (*from)->count; k++) {
            const struct identity_person *other = (*from)->person[k];
            struct seat *seat = &solver->seat[other->place];
            if (other == person || other->blocked || seat->seen == stamp)
                continue;
            seat->seen = stamp;
            if (++met > person->rules->max_links)
                return true;
            struct tally *same = &tally[seat->space];
            if (same->stamp != stamp)
                *same = (struct tally){stamp, 0};
            if (seat->space && ++same->count > person->rules->max_people)
                return true;
        }
    return false;
}

static void find_shared(struct solver *solver)
{
    const struct identity *identity = solver->identity;
    /* Meetings by person, one person's behind another's. */
    size_t *end = PK_NEW_ARRAY(solver->arena, size_t, identity->persons + 1);
    for (size_t i = 0; i < identity->meetings; i++)
        for (uint32_t k = 0; solver->clear[i] && k < identity->meeting[i]->count; k++)
            end[identity->meeting[i]->person[k]->place + 1]++;
    for (size_t i = 1; i <= identity->persons; i++)
        end[i] += end[i - 1];
    struct identity_meeting **of = PK_NEW_ARRAY(solver->arena, struct identity_meeting *, end[identity->persons]);
    for (size_t i = 0; i < identity->meetings; i++)
        for (uint32_t k = 0; solver->clear[i] && k < identity->meeting[i]->count; k++)
            of[end[identity->meeting[i]->person[k]->place]++] = identity->meeting[i]; /* begins become ends */

    struct tally *tally = PK_NEW_ARRAY(solver->arena, struct tally, (size_t)solver->spaces + 1);
    for (size_t i = 0; i < identity->persons; i++) {
        struct identity_person *person = identity->person[i];
        if (!person->blocked && !person->shared)
            person->shared = meets_too_many(solver, person, of + (i ? end[i - 1] : 0), of + end[i], tally);
    }
}

/* ---- links ---- */

static bool takes_part(const struct identity_person *person)
{
    return !person->blocked && !person->shared;
}

static void add_link(struct solver *solver, struct pk_map *known, struct identity_person *a, struct identity_person *b,
                     const struct identity_event *event)
{
    struct identity *identity = solver->identity;
    struct pk_hash key = key_of(PK_MIN(a->place, b->place), PK_MAX(a->place, b->place));
    struct identity_link *link = pk_map_get(known, key);
    if (!link) {
        bool ordered = weight_cmp(a, b) < 0;
        link = &identity->link[identity->links++];
        *link = (struct identity_link){.a = ordered ? a : b, .b = ordered ? b : a, .first = *event};
        pk_map_put(known, key, link);
    } else if (identity_event_cmp(solver->symbols, event, &link->first) < 0) {
        link->first = *event;
    }
}

static void make_links(struct solver *solver)
{
    struct identity *identity = solver->identity;
    size_t most = 0;
    for (size_t i = 0; i < identity->meetings; i++)
        most += solver->clear[i] ? identity->meeting[i]->count : 0;
    identity->link = pk_arena_alloc(solver->arena, most * sizeof *identity->link);
    identity->links = 0;

    struct pk_map known = {0};
    for (size_t i = 0; i < identity->meetings; i++) {
        const struct identity_meeting *meeting = identity->meeting[i];
        struct identity_person *strongest = NULL;
        for (uint32_t k = 0; solver->clear[i] && k < meeting->count; k++) {
            struct identity_person *person = meeting->person[k];
            if (!takes_part(person) || person->alone)
                continue;
            if (strongest)
                add_link(solver, &known, strongest, person, &meeting->first);
            else
                strongest = person;
        }
    }
    pk_map_done(&known);
    if (identity->links)
        qsort_r(identity->link, identity->links, sizeof *identity->link, link_cmp, (void *)solver->symbols);
}

/* ---- components ---- */

static struct identity_person *component_of(struct identity_person *person)
{
    while (person->component != person)
        person = person->component = person->component->component;
    return person;
}

static void find_components(struct solver *solver)
{
    struct identity *identity = solver->identity;
    for (size_t i = 0; i < identity->links; i++) {
        struct identity_person *large = component_of(identity->link[i].a), *small = component_of(identity->link[i].b);
        if (large == small)
            continue;
        if (large->size < small->size) {
            struct identity_person *swap = large;
            large = small;
            small = swap;
        }
        small->component = large;
        large->size += small->size;
    }
    for (size_t i = 0; i < identity->persons; i++) {
        struct identity_person *person = identity->person[i];
        person->component = component_of(person);
        person->oversize = takes_part(person) && person->component->size > solver->rules->max_component;
    }
}

/* ---- customers ---- */

static struct identity_person *set_of(struct identity_person *person)
{
    while (person->set != person)
        person = person->set = person->set->set;
    return person;
}

static void watch(struct solver *solver)
{
    for (size_t i = 0; i < solver->identity->persons; i++) {
        struct identity_person *person = solver->identity->person[i];
        struct seat *seat = &solver->seat[i];
        if (!takes_part(person) || (!seat->space && !seat->apart))
            continue;
        seat->watch = person->next = person;
        seat->watched = 1;
        if (seat->space)
            pk_map_put(&solver->held, key_of(person->place, seat->space), person);
    }
}

/* Of several reasons the one that is named: unique before apart, then the smallest hashes. */
static void refuse(struct identity_link *link, enum identity_refusal why, struct identity_person *a,
                   struct identity_person *b)
{
    if (link->refused != LINK_MADE) {
        int order = (int)why - (int)link->refused;
        if (!order)
            order = pk_hash_cmp(a->hash, link->because_a->hash);
        if (!order)
            order = pk_hash_cmp(b->hash, link->because_b->hash);
        if (order >= 0)
            return;
    }
    link->refused = why;
    link->because_a = a;
    link->because_b = b;
}

/* Goes through the watched persons of the one set that has fewer of them. A set has at most one person of each unique
 * namespace, so a refusal costs no more than there are unique namespaces and ends of decisions, however large the
 * sets are. */
static void check_link(struct solver *solver, struct identity_link *link, struct identity_person *set_a,
                       struct identity_person *set_b)
{
    bool turned = solver->seat[set_a->place].watched > solver->seat[set_b->place].watched;
    struct identity_person *few = turned ? set_b : set_a, *many = turned ? set_a : set_b;
    struct identity_person *person = solver->seat[few->place].watch;
    for (uint32_t i = solver->seat[few->place].watched; i > 0; i--, person = person->next) {
        const struct seat *seat = &solver->seat[person->place];
        struct identity_person *other = NULL;
        if (seat->space)
            other = pk_map_get(&solver->held, key_of(many->place, seat->space));
        if (other)
            refuse(link, LINK_UNIQUE, turned ? other : person, turned ? person : other);
        for (const struct apart_end *apart = seat->apart; apart; apart = apart->next)
            if (set_of(apart->other) == many)
                refuse(link, LINK_APART, turned ? apart->other : person, turned ? person : apart->other);
    }
}

/* The set with more watched persons stays root, so each of them moves at most log n times. What `held` says of a set
 * that has gone is never asked again. */
static void join(struct solver *solver, struct identity_person *root, struct identity_person *gone)
{
    struct seat *seat = &solver->seat[root->place], *leaving = &solver->seat[gone->place];
    if (seat->watched < leaving->watched) {
        join(solver, gone, root);
        return;
    }
    gone->set = root;
    struct identity_person *person = leaving->watch;
    for (uint32_t i = leaving->watched; i > 0; i--, person = person->next)
        if (solver->seat[person->place].space)
            pk_map_put(&solver->held, key_of(root->place, solver->seat[person->place].space), person);
    if (leaving->watched) { /* two rings become one */
        struct identity_person *next = seat->watch->next;
        seat->watch->next = leaving->watch->next;
        leaving->watch->next = next;
    }
    seat->watched += leaving->watched;
}

/* Sets only grow: those of a refused link could meet again only in a set that holds the forbidden pair, which is never
 * made. So a refused link stays one between two customers, and every other link is within one. */
static void make_sets(struct solver *solver)
{
    struct identity *identity = solver->identity;
    if (identity->links)
        watch(solver);
    for (size_t i = 0; i < identity->links; i++) {
        struct identity_link *link = &identity->link[i];
        if (link->a->oversize) {
            link->refused = LINK_OVERSIZE;
            continue;
        }
        struct identity_person *set_a = set_of(link->a), *set_b = set_of(link->b);
        if (set_a == set_b)
            continue;
        check_link(solver, link, set_a, set_b);
        if (link->refused == LINK_MADE)
            join(solver, set_a, set_b);
    }
    pk_map_done(&solver->held);
}

static void name_customers(struct solver *solver)
{
    const struct identity *identity = solver->identity;
    for (size_t i = 0; i < identity->persons; i++) {
        struct identity_person *person = identity->person[i];
        person->set = set_of(person);
        struct seat *root = &solver->seat[person->set->place];
        if (!root->first || names_before(person, root->first))
            root->first = person;
    }
    for (size_t i = 0; i < identity->persons; i++) {
        struct identity_person *person = identity->person[i];
        bool carried = person->first_at_us != PK_NO_TIME || solver->seat[i].met;
        if (carried && takes_part(person))
            person->customer = solver->seat[person->set->place].first->hash;
    }
}

void identity_solve(const struct rules *rules, const struct symbols *symbols, struct pk_arena *arena,
                    struct identity *identity)
{
    struct solver solver = {.rules = rules, .symbols = symbols, .arena = arena, .identity = identity};
    solver.seat = PK_NEW_ARRAY(arena, struct seat, identity->persons);
    solver.clear = PK_NEW_ARRAY(arena, bool, identity->meetings);
    take_persons(&solver);
    take_meetings(&solver);
    take_aparts(&solver);
    find_shared(&solver);
    make_links(&solver);
    find_components(&solver);
    make_sets(&solver);
    name_customers(&solver);
}
