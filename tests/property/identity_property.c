/* SPDX-License-Identifier: Apache-2.0 */
/* identity_solve against a slow reference that was written from docs/semantics.md 3, and against itself in worlds
 * that must agree: other orders, one event more, a decision made and taken back.
 *
 * POLKU_SEED=n repeats one case, POLKU_CASES=n says how many (default 20000). */
#include "chance.h"
#include "identity.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PERSONS = 12, EVENTS = 24, TOGETHER = 5, APARTS = 4, LINKS = PERSONS * PERSONS, SPACES = 5, NAMES = 6 };

/* ---- a world: persons and events, as the page speaks of them ---- */

struct someone {
    struct pk_hash hash;
    sym_t name_space;
    const struct rules_namespace *rules;
    bool blocked, alone, known_shared;
};
struct happening {
    struct identity_event event;
    unsigned count, who[TOGETHER]; /* by position; distinct */
};
struct world {
    struct rules rules;
    struct rules_namespace space[SPACES];
    unsigned persons, events, aparts;
    struct someone person[PERSONS];
    struct happening event[EVENTS + 1];
    unsigned apart[APARTS][2];
};

static struct symbols symbols;

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static struct pk_hash random_hash(struct chance *chance)
{
    struct pk_hash hash;
    pk_put_be64(hash.byte, chance_next(chance));
    pk_put_be64(hash.byte + 8, chance_next(chance));
    return hash;
}

static void make_rules(struct chance *chance, struct world *world)
{
    static const uint32_t people[] = {1, 1, 1, 2, 3, UINT32_MAX}, links[] = {1, 2, 3, 4, 50, 50, UINT32_MAX};
    static const uint32_t components[] = {1, 2, 3, 4, 6, 1000, 1000, 1000, 1000};
    static const int priorities[][SPACES] = {{1, 2, 3, 4, 5}, {3, 1, 5, 2, 4}, {-7, 90, 0, 12, 11}};
    const int *priority = CHANCE_OF(chance, priorities);
    for (unsigned i = 0; i < SPACES; i++)
        world->space[i] = (struct rules_namespace){
            .class_ = RULES_PERSON,
            .priority = priority[i],
            .unique = i < 2 || (i == 2 && chance_in(chance, 20)),
            .max_people = i < 2 && chance_in(chance, 70) ? UINT32_MAX : CHANCE_OF(chance, people),
            .max_links = CHANCE_OF(chance, links),
        };
    world->rules = (struct rules){.name_space = world->space,
                                  .namespace_count = SPACES,
                                  .max_component = CHANCE_OF(chance, components)};
}

static void make_event(struct chance *chance, struct world *world)
{
    static const unsigned counts[] = {1, 2, 2, 2, 2, 3, 3, 4, TOGETHER};
    static const char *const sources[] = {"web", "call", "shop"};
    struct happening *new = &world->event[world->events++];
    *new = (struct happening){.event = {.at_us = chance_below(chance, 12), .sequence = chance_below(chance, 2)}};
    new->event.source = symbol_of(&symbols, pk_str(CHANCE_OF(chance, sources)));
    /* The id makes events of one time and source distinct; its order is not the order of making. */
    static const char ids[] = "qwertzuiopasdfghjklyxcvbnm";
    new->event.event_id = (struct pk_str){&ids[world->events - 1], 1};
    for (unsigned wanted = CHANCE_OF(chance, counts); wanted > 0; wanted--) {
        unsigned who = chance_below(chance, world->persons);
        bool there = false;
        for (unsigned i = 0; i < new->count; i++)
            there |= new->who[i] == who;
        if (!there)
            new->who[new->count++] = who;
    }
}

static void make_world(struct chance *chance, struct world *world)
{
    static const struct {
        const char *text;
        unsigned space;
    } names[NAMES] = {{"club/number", 0}, {"garage/id", 1}, {"shop/id", 1}, {"mail", 2}, {"phone", 3}, {"cookie", 4}};
    *world = (struct world){.persons = 2 + chance_below(chance, PERSONS - 1)};
    make_rules(chance, world);
    unsigned decided = chance_in(chance, 30) ? 12 : 0, kinds = 2 + chance_below(chance, NAMES - 1);
    for (unsigned i = 0; i < world->persons; i++) {
        unsigned name = (chance_below(chance, kinds) + kinds) % NAMES;
        world->person[i] = (struct someone){.hash = random_hash(chance),
                                            .name_space = symbol_of(&symbols, pk_str(names[name].text)),
                                            .rules = &world->space[names[name].space],
                                            .blocked = chance_in(chance, decided),
                                            .alone = chance_in(chance, decided)};
    }
    unsigned events = 1 + chance_below(chance, EVENTS);
    while (world->events < events)
        make_event(chance, world);
    for (unsigned i = 0; i < APARTS && decided; i++) {
        unsigned a = chance_below(chance, world->persons), b = chance_below(chance, world->persons);
        if (a != b && chance_in(chance, 50)) {
            world->apart[world->aparts][0] = a;
            world->apart[world->aparts++][1] = b;
        }
    }
}

/* ---- an answer ---- */

struct answer_link {
    unsigned a, b;
    struct identity_event first;
    enum identity_refusal refused;
    int because_a, because_b; /* -1 = none */
};
struct answer {
    bool shared[PERSONS], oversize[PERSONS];
    struct pk_hash customer[PERSONS];
    bool together[PERSONS][PERSONS]; /* in one component */
    unsigned links;
    struct answer_link link[LINKS];
};

/* ---- the reference: every sentence of the page as a loop ---- */

static bool earlier(const struct identity_event *a, const struct identity_event *b)
{
    if (a->at_us != b->at_us)
        return a->at_us < b->at_us;
    if (a->sequence != b->sequence)
        return a->sequence < b->sequence;
    int source = pk_str_cmp(symbol_text(&symbols, a->source), symbol_text(&symbols, b->source));
    return source ? source < 0 : pk_str_cmp(a->event_id, b->event_id) < 0;
}

/* The persons of an event: distinct, not blocked, by (priority, position). */
static unsigned persons_of(const struct world *world, const struct happening *event, bool with_blocked,
                           unsigned ret[TOGETHER])
{
    unsigned count = 0;
    for (unsigned i = 0; i < event->count; i++) {
        if (world->person[event->who[i]].blocked && !with_blocked)
            continue;
        int priority = world->person[event->who[i]].rules->priority;
        unsigned at = count++;
        for (; at > 0 && world->person[ret[at - 1]].rules->priority > priority; at--)
            ret[at] = ret[at - 1];
        ret[at] = event->who[i];
    }
    return count;
}

static bool same_unique(const struct world *world, unsigned a, unsigned b)
{
    return a != b && world->person[a].rules->unique && world->person[a].name_space == world->person[b].name_space;
}

static bool is_contradictory(const struct world *world, const unsigned *who, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        for (unsigned j = 0; j < count; j++)
            if (same_unique(world, who[i], who[j]))
                return true;
    return false;
}

static bool is_shared(const struct world *world, bool meets[PERSONS][PERSONS], unsigned x)
{
    uint32_t all = 0;
    for (unsigned y = 0; y < world->persons; y++) {
        if (!meets[x][y])
            continue;
        all++;
        uint32_t same = 1;
        for (unsigned z = 0; z < world->persons; z++)
            same += meets[x][z] && same_unique(world, y, z);
        if (world->person[y].rules->unique && same > world->person[x].rules->max_people)
            return true;
    }
    return all > world->person[x].rules->max_links;
}

static bool lighter(const struct world *world, unsigned a, unsigned b)
{
    const struct someone *x = &world->person[a], *y = &world->person[b];
    if (x->rules->priority != y->rules->priority)
        return x->rules->priority < y->rules->priority;
    return pk_hash_cmp(x->hash, y->hash) < 0;
}

static bool tried_before(const struct world *world, const struct answer_link *x, const struct answer_link *y)
{
    int xa = world->person[x->a].rules->priority, ya = world->person[y->a].rules->priority;
    int xb = world->person[x->b].rules->priority, yb = world->person[y->b].rules->priority;
    if (xa != ya)
        return xa < ya;
    if (xb != yb)
        return xb < yb;
    if (earlier(&x->first, &y->first) || earlier(&y->first, &x->first))
        return earlier(&x->first, &y->first);
    int order = pk_hash_cmp(world->person[x->a].hash, world->person[y->a].hash);
    return order ? order < 0 : pk_hash_cmp(world->person[x->b].hash, world->person[y->b].hash) < 0;
}

static void reference_link(const struct world *world, struct answer *answer, unsigned a, unsigned b,
                           const struct identity_event *event)
{
    if (lighter(world, b, a)) {
        unsigned swap = a;
        a = b;
        b = swap;
    }
    for (unsigned i = 0; i < answer->links; i++)
        if (answer->link[i].a == a && answer->link[i].b == b) {
            if (earlier(event, &answer->link[i].first))
                answer->link[i].first = *event;
            return;
        }
    answer->link[answer->links++] = (struct answer_link){a, b, *event, LINK_MADE, -1, -1};
}

static void reference_links(const struct world *world, struct answer *answer)
{
    for (unsigned e = 0; e < world->events; e++) {
        unsigned who[TOGETHER], count = persons_of(world, &world->event[e], false, who), left = 0;
        if (is_contradictory(world, who, count))
            continue;
        for (unsigned i = 0; i < count; i++)
            if (!answer->shared[who[i]] && !world->person[who[i]].alone)
                who[left++] = who[i];
        for (unsigned i = 1; i < left; i++)
            reference_link(world, answer, who[0], who[i], &world->event[e].event);
    }
    for (unsigned i = 1; i < answer->links; i++)
        for (unsigned j = i; j > 0 && tried_before(world, &answer->link[j], &answer->link[j - 1]); j--) {
            struct answer_link swap = answer->link[j];
            answer->link[j] = answer->link[j - 1];
            answer->link[j - 1] = swap;
        }
}

static bool kept_apart(const struct world *world, unsigned a, unsigned b)
{
    for (unsigned i = 0; i < world->aparts; i++) {
        const unsigned *end = world->apart[i];
        if ((end[0] == a && end[1] == b) || (end[0] == b && end[1] == a))
            return true;
    }
    return false;
}

/* Why the sets of a link must not be joined: of all pairs that forbid it the one with the smallest hashes. */
static void reference_refusal(const struct world *world, const unsigned *set, struct answer_link *link)
{
    for (int why = LINK_UNIQUE; why <= LINK_APART && link->refused == LINK_MADE; why++)
        for (unsigned x = 0; x < world->persons; x++)
            for (unsigned y = 0; y < world->persons; y++) {
                if (set[x] != set[link->a] || set[y] != set[link->b])
                    continue;
                if (why == LINK_UNIQUE ? !same_unique(world, x, y) : !kept_apart(world, x, y))
                    continue;
                if (link->refused != LINK_MADE) {
                    int order = pk_hash_cmp(world->person[x].hash, world->person[link->because_a].hash);
                    if (!order)
                        order = pk_hash_cmp(world->person[y].hash, world->person[link->because_b].hash);
                    if (order > 0)
                        continue;
                }
                link->refused = (enum identity_refusal)why;
                link->because_a = (int)x;
                link->because_b = (int)y;
            }
}

static void components_of(unsigned persons, const struct answer *answer, bool together[PERSONS][PERSONS])
{
    memset(together, 0, sizeof(bool[PERSONS][PERSONS]));
    for (unsigned i = 0; i < persons; i++)
        together[i][i] = true;
    for (unsigned i = 0; i < answer->links; i++)
        together[answer->link[i].a][answer->link[i].b] = together[answer->link[i].b][answer->link[i].a] = true;
    for (unsigned k = 0; k < persons; k++)
        for (unsigned i = 0; i < persons; i++)
            for (unsigned j = 0; j < persons; j++)
                together[i][j] |= together[i][k] && together[k][j];
}

static int64_t first_at(const struct world *world, unsigned x)
{
    int64_t first = PK_NO_TIME;
    for (unsigned e = 0; e < world->events; e++)
        for (unsigned i = 0; i < world->event[e].count; i++)
            if (world->event[e].who[i] == x && (first == PK_NO_TIME || world->event[e].event.at_us < first))
                first = world->event[e].event.at_us;
    return first;
}

static void reference_customers(const struct world *world, struct answer *answer, const unsigned *set)
{
    for (unsigned x = 0; x < world->persons; x++) {
        unsigned best = x;
        for (unsigned y = 0; y < world->persons; y++) {
            if (set[y] != set[x])
                continue;
            int old = world->person[best].rules->priority, new = world->person[y].rules->priority;
            if (new < old || (new == old && (first_at(world, y) < first_at(world, best) ||
                                             (first_at(world, y) == first_at(world, best) && lighter(world, y, best)))))
                best = y;
        }
        if (!world->person[x].blocked && !answer->shared[x] && first_at(world, x) != PK_NO_TIME)
            answer->customer[x] = world->person[best].hash;
    }
}

static void reference(const struct world *world, struct answer *answer)
{
    *answer = (struct answer){0};
    bool meets[PERSONS][PERSONS] = {{false}};
    for (unsigned e = 0; e < world->events; e++) {
        unsigned who[TOGETHER], count = persons_of(world, &world->event[e], false, who);
        for (unsigned i = 0; i < count && !is_contradictory(world, who, count); i++)
            for (unsigned j = 0; j < count; j++)
                meets[who[i]][who[j]] |= i != j;
    }
    for (unsigned x = 0; x < world->persons; x++)
        answer->shared[x] = !world->person[x].blocked && (world->person[x].known_shared || is_shared(world, meets, x));
    reference_links(world, answer);
    components_of(world->persons, answer, answer->together);
    for (unsigned x = 0; x < world->persons; x++) {
        uint32_t size = 0;
        for (unsigned y = 0; y < world->persons; y++)
            size += answer->together[x][y];
        answer->oversize[x] = !world->person[x].blocked && !answer->shared[x] && size > world->rules.max_component;
    }
    unsigned set[PERSONS];
    for (unsigned x = 0; x < world->persons; x++)
        set[x] = x;
    for (unsigned i = 0; i < answer->links; i++) {
        struct answer_link *link = &answer->link[i];
        if (answer->oversize[link->a]) {
            link->refused = LINK_OVERSIZE;
            continue;
        }
        if (set[link->a] != set[link->b])
            reference_refusal(world, set, link);
        unsigned from = set[link->b], to = set[link->a];
        for (unsigned x = 0; x < world->persons && link->refused == LINK_MADE; x++)
            set[x] = set[x] == from ? to : set[x];
    }
    reference_customers(world, answer, set);
}

/* ---- the solver, given the same world as meetings ---- */

struct built {
    struct pk_arena arena;
    struct identity_person person[PERSONS], *in_order[PERSONS];
    struct identity_meeting meeting[EVENTS + 1], *meetings[EVENTS + 1];
    struct identity_apart apart[APARTS];
    struct identity identity;
};

static void add_meeting(const struct world *world, struct built *built, const struct happening *event, bool sparse)
{
    unsigned who[TOGETHER], count = persons_of(world, event, true, who), needed = 0;
    for (unsigned i = 0; i < count; i++)
        needed += !world->person[who[i]].known_shared && !world->person[who[i]].blocked;
    if (count < 2 || (sparse && needed == 0))
        return;
    for (size_t m = 0; m < built->identity.meetings; m++) {
        struct identity_meeting *meeting = &built->meeting[m];
        bool same = meeting->count == count;
        for (unsigned i = 0; same && i < count; i++)
            same = meeting->person[i] == &built->person[who[i]];
        if (same) {
            if (earlier(&event->event, &meeting->first))
                meeting->first = event->event;
            return;
        }
    }
    struct identity_meeting *meeting = &built->meeting[built->identity.meetings++];
    *meeting = (struct identity_meeting){.count = count, .first = event->event};
    meeting->person = PK_NEW_ARRAY(&built->arena, struct identity_person *, count);
    for (unsigned i = 0; i < count; i++)
        meeting->person[i] = &built->person[who[i]];
}

/* `sparse`: without the meetings that need not be given. `shuffle` NULL: in the order of making. */
static void build(const struct world *world, bool sparse, struct chance *shuffle, struct built *built)
{
    *built = (struct built){0};
    built->identity = (struct identity){.person = built->in_order,
                                        .persons = world->persons,
                                        .meeting = built->meetings,
                                        .apart = built->apart,
                                        .aparts = world->aparts};
    for (unsigned i = 0; i < world->persons; i++) {
        const struct someone *who = &world->person[i];
        built->person[i] = (struct identity_person){.hash = who->hash,
                                                    .name_space = who->name_space,
                                                    .rules = who->rules,
                                                    .first_at_us = first_at(world, i),
                                                    .blocked = who->blocked,
                                                    .alone = who->alone,
                                                    .known_shared = who->known_shared};
        built->in_order[i] = &built->person[i];
    }
    for (unsigned i = 0; i < world->events; i++)
        add_meeting(world, built, &world->event[i], sparse);
    for (unsigned i = 0; i < built->identity.meetings; i++)
        built->meetings[i] = &built->meeting[i];
    for (unsigned i = 0; i < world->aparts; i++)
        built->apart[i] = (struct identity_apart){.a = &built->person[world->apart[i][0]],
                                                  .b = &built->person[world->apart[i][1]]};
    for (size_t i = world->persons; shuffle && i > 1; i--) {
        unsigned j = chance_below(shuffle, (unsigned)i);
        struct identity_person *swap = built->in_order[i - 1];
        built->in_order[i - 1] = built->in_order[j];
        built->in_order[j] = swap;
    }
    for (size_t i = built->identity.meetings; shuffle && i > 1; i--) {
        unsigned j = chance_below(shuffle, (unsigned)i);
        struct identity_meeting *swap = built->meetings[i - 1];
        built->meetings[i - 1] = built->meetings[j];
        built->meetings[j] = swap;
    }
}

static int index_of(const struct built *built, const struct identity_person *person)
{
    return person ? (int)(person - built->person) : -1;
}

static void solve_built(const struct world *world, struct built *built, struct answer *answer)
{
    *answer = (struct answer){0};
    identity_solve(&world->rules, &symbols, &built->arena, &built->identity);
    for (unsigned i = 0; i < world->persons; i++) {
        answer->shared[i] = built->person[i].shared;
        answer->oversize[i] = built->person[i].oversize;
        answer->customer[i] = built->person[i].customer;
        for (unsigned j = 0; j < world->persons; j++)
            answer->together[i][j] = built->person[i].component == built->person[j].component;
    }
    for (size_t i = 0; i < built->identity.links; i++) {
        const struct identity_link *link = &built->identity.link[i];
        answer->link[answer->links++] = (struct answer_link){
            (unsigned)index_of(built, link->a),    (unsigned)index_of(built, link->b),    link->first, link->refused,
            index_of(built, link->because_a), index_of(built, link->because_b),
        };
    }
}

static void solve(const struct world *world, bool sparse, struct chance *shuffle, struct answer *answer)
{
    struct built built;
    build(world, sparse, shuffle, &built);
    solve_built(world, &built, answer);
    pk_arena_done(&built.arena);
}

/* ---- comparing ---- */

enum { NOBODY = PERSONS };

static bool same_persons(const struct world *world, const struct answer *a, const struct answer *b, unsigned except)
{
    for (unsigned i = 0; i < world->persons; i++)
        if (i != except && (a->shared[i] != b->shared[i] || a->oversize[i] != b->oversize[i] ||
                            !pk_hash_eq(a->customer[i], b->customer[i])))
            return false;
    return true;
}

static bool same_links(const struct answer *a, const struct answer *b)
{
    if (a->links != b->links)
        return false;
    for (unsigned i = 0; i < a->links; i++) {
        const struct answer_link *x = &a->link[i], *y = &b->link[i];
        if (x->a != y->a || x->b != y->b || earlier(&x->first, &y->first) || earlier(&y->first, &x->first) ||
            x->refused != y->refused || x->because_a != y->because_a || x->because_b != y->because_b)
            return false;
    }
    return true;
}

static bool same(const struct world *world, const struct answer *a, const struct answer *b)
{
    return same_persons(world, a, b, NOBODY) && same_links(a, b) &&
           memcmp(a->together, b->together, sizeof a->together) == 0;
}

static bool one_customer(const struct answer *answer, unsigned a, unsigned b)
{
    return !pk_hash_zero(answer->customer[a]) && pk_hash_eq(answer->customer[a], answer->customer[b]);
}

#define HOLDS(condition, what)                                                                                       \
    do {                                                                                                             \
        if (!(condition))                                                                                            \
            return what;                                                                                             \
    } while (0)

/* ---- what holds in every world; NULL = all of it ---- */

static const char *check_invariants(const struct world *world, const struct answer *answer)
{
    for (unsigned i = 0; i < world->persons; i++)
        for (unsigned j = 0; j < i; j++) {
            HOLDS(!one_customer(answer, i, j) || !same_unique(world, i, j), "two of a unique namespace are one");
            HOLDS(!one_customer(answer, i, j) || !kept_apart(world, i, j), "one customer of two kept apart");
            HOLDS(!one_customer(answer, i, j) || answer->together[i][j], "a customer beyond its component");
        }
    bool together[PERSONS][PERSONS];
    components_of(world->persons, answer, together);
    for (unsigned i = 0; i < world->persons; i++)
        for (unsigned j = 0; j < world->persons; j++)
            HOLDS(together[i][j] == answer->together[i][j], "components are not what links connect");
    for (unsigned i = 0; i < answer->links; i++) {
        const struct answer_link *link = &answer->link[i];
        HOLDS((link->refused == LINK_MADE) == one_customer(answer, link->a, link->b), "refused but joined, or not");
        if (link->refused != LINK_UNIQUE && link->refused != LINK_APART)
            continue;
        unsigned a = (unsigned)link->because_a, b = (unsigned)link->because_b;
        HOLDS(one_customer(answer, a, link->a) && one_customer(answer, b, link->b), "the reason stands elsewhere");
        HOLDS(link->refused == LINK_UNIQUE ? same_unique(world, a, b) : kept_apart(world, a, b), "no reason to refuse");
    }
    return NULL;
}

static const char *check_one_more(struct chance *chance, const struct world *world, const struct answer *before)
{
    struct world more = *world;
    struct answer after;
    make_event(chance, &more);
    solve(&more, false, chance, &after);
    for (unsigned i = 0; i < world->persons; i++)
        HOLDS(!before->shared[i] || after.shared[i], "one event more, and a person is not shared any more");
    return NULL;
}

/* What is known to be shared may come without its meetings. */
static const char *check_known(struct chance *chance, const struct world *world, const struct answer *before)
{
    struct world known = *world;
    struct answer after;
    for (unsigned i = 0; i < world->persons; i++)
        known.person[i].known_shared = before->shared[i] && chance_in(chance, 70);
    solve(&known, true, chance, &after);
    HOLDS(same(world, before, &after), "known to be shared is not as found to be shared");
    return NULL;
}

/* Removes x from all events; its place in the world stays. */
static void never_carried(struct world *world, unsigned x)
{
    for (unsigned e = 0; e < world->events; e++) {
        struct happening *event = &world->event[e];
        unsigned left = 0;
        for (unsigned i = 0; i < event->count; i++)
            if (event->who[i] != x)
                event->who[left++] = event->who[i];
        event->count = left;
    }
}

static const char *check_decisions(struct chance *chance, const struct world *world, const struct answer *before)
{
    unsigned x = chance_below(chance, world->persons);
    struct world decided = *world, other = *world;
    struct answer after, otherwise;

    decided.person[x].blocked = true;
    never_carried(&other, x);
    solve(&decided, false, chance, &after);
    solve(&other, false, chance, &otherwise);
    HOLDS(same_persons(world, &after, &otherwise, x) && same_links(&after, &otherwise), "blocked is not never carried");

    decided = other = *world;
    decided.person[x].alone = true;
    other.person[x].known_shared = true; /* makes no links either, and others meet it all the same */
    solve(&decided, false, chance, &after);
    solve(&other, false, chance, &otherwise);
    HOLDS(same_persons(world, &after, &otherwise, x) && same_links(&after, &otherwise), "alone is not never linked");
    HOLDS(pk_hash_zero(after.customer[x]) || pk_hash_eq(after.customer[x], world->person[x].hash), "alone, but joined");
    HOLDS(after.shared[x] == before->shared[x], "alone changes whether it is shared");
    return NULL;
}

/* The same structs again and again: nothing stays of a decision that was taken back. */
static const char *check_restore(struct chance *chance, const struct world *world, const struct answer *before)
{
    struct built built;
    struct answer answer;
    const char *wrong = NULL;
    unsigned x = chance_below(chance, world->persons), y = chance_below(chance, world->persons);
    build(world, false, chance, &built);
    struct identity_apart more[APARTS + 1] = {{&built.person[x], &built.person[y]}};
    memcpy(more + 1, built.apart, sizeof built.apart);
    struct identity_person *person = &built.person[x], was = *person;
    for (unsigned round = 0; round < 3 && !wrong; round++) {
        person->blocked = was.blocked || round == 0;
        person->alone = was.alone || round == 1;
        if (round == 2 && x != y) {
            built.identity.apart = more;
            built.identity.aparts++;
        }
        solve_built(world, &built, &answer);
        if (round == 2 && x != y && one_customer(&answer, x, y))
            wrong = "one customer of two kept apart";
        person->blocked = was.blocked;
        person->alone = was.alone;
        built.identity.apart = built.apart;
        built.identity.aparts = world->aparts;
        solve_built(world, &built, &answer);
        if (!same(world, before, &answer))
            wrong = "a decision taken back leaves a trace";
    }
    pk_arena_done(&built.arena);
    return wrong;
}

/* An event merges x and y; then they are kept apart: as if that event had never been. */
static const char *check_unlink(struct chance *chance, const struct world *world, const struct answer *before,
                                uint64_t *ret_merged)
{
    unsigned x = chance_below(chance, world->persons), y = chance_below(chance, world->persons);
    if (world->aparts == APARTS || pk_hash_zero(before->customer[x]) || pk_hash_zero(before->customer[y]) ||
        one_customer(before, x, y))
        return NULL;
    struct world merged = *world;
    struct answer after;
    struct happening *event = &merged.event[merged.events++];
    *event = (struct happening){.event = {.at_us = 1000, .event_id = PK_STR("last")}, .count = 2, .who = {x, y}};
    solve(&merged, false, chance, &after);
    *ret_merged += one_customer(&after, x, y);
    merged.apart[merged.aparts][0] = y;
    merged.apart[merged.aparts++][1] = x;
    solve(&merged, false, chance, &after);
    if (memcmp(after.shared, before->shared, sizeof after.shared) != 0 ||
        memcmp(after.oversize, before->oversize, sizeof after.oversize) != 0)
        return NULL; /* the event still counts for sharing and for the size of the component */
    HOLDS(same_persons(world, before, &after, NOBODY), "merge, then unlink, is not never merged");
    return NULL;
}

/* ---- cases ---- */

struct covered {
    uint64_t shared, unique, apart, oversize, made, merged;
};

static const char *check_case(uint64_t seed, struct covered *covered)
{
    struct chance chance = {seed};
    struct world world;
    struct answer wanted, got, again;
    make_world(&chance, &world);
    reference(&world, &wanted);
    solve(&world, false, NULL, &got);
    HOLDS(same_persons(&world, &wanted, &got, NOBODY), "persons differ from the reference");
    HOLDS(same_links(&wanted, &got), "links differ from the reference");
    HOLDS(same(&world, &wanted, &got), "components differ from the reference");
    solve(&world, false, &chance, &again);
    HOLDS(same(&world, &got, &again), "another order of persons and meetings gives another answer");
    const char *wrong = check_invariants(&world, &got);
    wrong = wrong ? wrong : check_one_more(&chance, &world, &got);
    wrong = wrong ? wrong : check_known(&chance, &world, &got);
    wrong = wrong ? wrong : check_decisions(&chance, &world, &got);
    wrong = wrong ? wrong : check_restore(&chance, &world, &got);
    wrong = wrong ? wrong : check_unlink(&chance, &world, &got, &covered->merged);
    for (unsigned i = 0; i < world.persons; i++)
        covered->shared += got.shared[i];
    for (unsigned i = 0; i < got.links; i++) {
        enum identity_refusal why = got.link[i].refused;
        *(why == LINK_MADE     ? &covered->made
          : why == LINK_UNIQUE ? &covered->unique
          : why == LINK_APART  ? &covered->apart
                               : &covered->oversize) += 1;
    }
    return wrong;
}

static void set_up(void)
{
    symbols_init(&symbols);
}
static void tear_down(void)
{
    symbols_done(&symbols);
}
TestSuite(identity_property, .init = set_up, .fini = tear_down);

Test(identity_property, the_solver_says_what_the_page_says)
{
    uint64_t seed = number_from("POLKU_SEED", 0), cases = seed ? 1 : number_from("POLKU_CASES", 20000);
    struct covered covered = {0};
    for (uint64_t i = 0; i < cases; i++) {
        uint64_t this = seed ? seed : i + 1;
        const char *wrong = check_case(this, &covered);
        cr_assert_null(wrong, "POLKU_SEED=%" PRIu64 ": %s", this, wrong);
    }
    fprintf(stderr,
            "identity_property: %" PRIu64 " cases; %" PRIu64 " shared persons, %" PRIu64 " links made, refused %" PRIu64
            " unique, %" PRIu64 " apart, %" PRIu64 " oversize; %" PRIu64 " merged to be unlinked\n",
            cases, covered.shared, covered.made, covered.unique, covered.apart, covered.oversize, covered.merged);
    if (cases >= 1000)
        cr_expect(covered.shared && covered.made && covered.unique && covered.apart && covered.oversize &&
                      covered.merged,
                  "the cases miss something");
}

/* ---- giants ---- */

enum { GIANT = 100000 };

struct giant {
    struct pk_arena arena;
    struct rules rules;
    struct rules_namespace space[3];
    struct chance chance;
    struct identity identity;
    double seconds; /* of the processor, for the last solving */
};

static void giant_init(struct giant *giant, size_t meetings)
{
    *giant = (struct giant){.rules = {.max_component = UINT32_MAX}};
    for (int i = 0; i < 3; i++)
        giant->space[i] = (struct rules_namespace){
            .priority = i, .unique = i == 0, .max_people = i ? 1 : UINT32_MAX, .max_links = UINT32_MAX};
    giant->identity.person = PK_NEW_ARRAY(&giant->arena, struct identity_person *, GIANT);
    giant->identity.meeting = PK_NEW_ARRAY(&giant->arena, struct identity_meeting *, meetings);
}

static void giant_person(struct giant *giant, int space)
{
    static const char *const names[] = {"number", "mail", "phone"};
    struct identity_person *person = PK_NEW(&giant->arena, struct identity_person);
    *person = (struct identity_person){.hash = random_hash(&giant->chance),
                                       .name_space = symbol_of(&symbols, pk_str(names[space])),
                                       .rules = &giant->space[space],
                                       .first_at_us = (int64_t)giant->identity.persons};
    giant->identity.person[giant->identity.persons++] = person;
}

static void giant_meeting(struct giant *giant, size_t a, size_t b)
{
    struct identity_person *x = giant->identity.person[a], *y = giant->identity.person[b];
    bool turned = x->rules->priority > y->rules->priority;
    struct identity_meeting *meeting = PK_NEW(&giant->arena, struct identity_meeting);
    meeting->person = PK_NEW_ARRAY(&giant->arena, struct identity_person *, 2);
    meeting->person[turned] = x;
    meeting->person[!turned] = y;
    meeting->count = 2;
    meeting->first = (struct identity_event){.at_us = (int64_t)chance_below(&giant->chance, 1000000),
                                             .sequence = (int64_t)giant->identity.meetings};
    giant->identity.meeting[giant->identity.meetings++] = meeting;
}

static size_t giant_solve(struct giant *giant, const char *what)
{
    struct pk_arena arena = {0};
    clock_t begin = clock();
    identity_solve(&giant->rules, &symbols, &arena, &giant->identity);
    giant->seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    size_t customers = 0, refused = 0;
    for (size_t i = 0; i < giant->identity.persons; i++)
        customers += pk_hash_eq(giant->identity.person[i]->customer, giant->identity.person[i]->hash);
    for (size_t i = 0; i < giant->identity.links; i++)
        refused += giant->identity.link[i].refused != LINK_MADE;
    fprintf(stderr,
            "identity_property: %s: %zu persons, %zu meetings, %zu links, %zu refused, %zu customers: %.3f s, %zu MB\n",
            what, giant->identity.persons, giant->identity.meetings, giant->identity.links, refused, customers,
            giant->seconds, arena.held >> 20);
    cr_expect_lt(giant->seconds, 5.0, "%s", what);
    pk_arena_done(&arena);
    return customers;
}

Test(identity_property, a_chain_of_a_hundred_thousand_persons)
{
    struct giant giant;
    giant_init(&giant, GIANT);
    for (size_t i = 0; i < GIANT; i++)
        giant_person(&giant, i % 2 ? 1 : 2);
    for (size_t i = 1; i < GIANT; i++)
        giant_meeting(&giant, i - 1, i);
    cr_expect_eq(giant_solve(&giant, "chain"), 1);
    giant.rules.max_component = 1000;
    cr_expect_eq(giant_solve(&giant, "oversize chain"), GIANT);
    cr_expect(giant.identity.person[GIANT / 2]->oversize);
    pk_arena_done(&giant.arena);
}

Test(identity_property, a_chain_with_thousands_of_numbers)
{
    struct giant giant;
    giant_init(&giant, GIANT);
    for (size_t i = 0; i < GIANT; i++)
        giant_person(&giant, i % 10 == 0 ? 0 : i % 10 == 5 ? 2 : 1);
    for (size_t i = 1; i < GIANT; i++)
        giant_meeting(&giant, i - 1, i);
    cr_expect_eq(giant_solve(&giant, "chain of numbers"), GIANT / 10, "as many as there are numbers");
    pk_arena_done(&giant.arena);
}

Test(identity_property, two_large_customers_with_as_many_refused_links)
{
    struct giant giant;
    giant_init(&giant, 2 * GIANT);
    for (size_t i = 0; i < GIANT; i++)
        giant_person(&giant, i < 2 ? 0 : i % 2 ? 1 : 2);
    for (size_t i = 2; i < GIANT; i++)
        giant_meeting(&giant, i % 2, i);
    for (size_t i = 3; i < GIANT; i++)
        giant_meeting(&giant, i - 1, i);
    cr_expect_eq(giant_solve(&giant, "two large"), 2);
    pk_arena_done(&giant.arena);
}

Test(identity_property, a_phone_that_everybody_uses)
{
    struct giant giant;
    giant_init(&giant, GIANT);
    for (size_t i = 0; i < GIANT; i++)
        giant_person(&giant, i ? i % 2 : 2);
    for (size_t i = 1; i < GIANT; i++)
        giant_meeting(&giant, 0, i);
    cr_expect_eq(giant_solve(&giant, "shared phone"), GIANT - 1);
    giant.space[2].max_people = UINT32_MAX;
    cr_expect_eq(giant_solve(&giant, "phone of all"), GIANT / 2 - 1, "each number alone, but one with all the rest");
    pk_arena_done(&giant.arena);
}
