/* SPDX-License-Identifier: Apache-2.0 */
/* identity.h - which identifiers are one customer: sharing, links, components, customers.
 *
 * Pure: docs/semantics.md 3.1 to 3.3 and 3.6, for whole components at once. What decides it is small: every
 * distinct set of persons that stood in one event (a *meeting*) with its first event, and every person's first
 * time. So a component is solved again in microseconds, however many events it has. */
#ifndef POLKU_IDENTITY_H
#define POLKU_IDENTITY_H

#include "fact.h"

struct identity_person {
    struct pk_hash hash;
    sym_t name_space;
    const struct rules_namespace *rules;
    int64_t first_at_us; /* of all events that carry it; PK_NO_TIME = none does */
    bool blocked;        /* decision: as if no event carried it */
    bool alone;          /* decision: makes no links */
    bool known_shared;   /* it is shared, and not all its meetings are given: taken as it is */

    /* ---- results ---- */
    bool shared, oversize;
    struct pk_hash customer; /* zero if shared or blocked */

    /* ---- the solver's own ---- */
    struct identity_person *component, *set; /* union-find */
    struct identity_person *next;            /* in its set */
    uint32_t size, place;
};

struct identity_event { /* enough of an event for event order, and to name it */
    int64_t at_us, sequence;
    sym_t source;
    struct pk_str event_id;
};

struct identity_meeting { /* one distinct set of two or more persons of one event */
    struct pk_hash id;    /* fact_meeting() */
    struct identity_person **person; /* by (priority, position); of equal priority in the position of the event */
    uint32_t count;
    struct identity_event first;
};

struct identity_apart { /* decision: never one customer */
    struct identity_person *a, *b;
};

enum identity_refusal { LINK_MADE, LINK_UNIQUE, LINK_APART, LINK_OVERSIZE };

struct identity_link {
    struct identity_person *a, *b; /* a has the smaller (priority, hash) */
    struct identity_event first;
    enum identity_refusal refused;
    struct identity_person *because_a, *because_b; /* refused: the two persons that must not be one customer */
};

struct identity {
    struct identity_person **person;
    size_t persons;
    struct identity_meeting **meeting;
    size_t meetings;
    const struct identity_apart *apart;
    size_t aparts;

    /* ---- results, in the arena ---- */
    struct identity_link *link; /* in Kruskal order */
    size_t links;
};

/* Every meeting of every person that is neither known_shared nor blocked must be given, and every person of a meeting
 * must be among `person`. Two meetings may hold the same persons in another order of equal priorities. */
void identity_solve(const struct rules *rules, const struct symbols *symbols, struct pk_arena *arena,
                    struct identity *identity);

/* Event order. */
int identity_event_cmp(const struct symbols *symbols, const struct identity_event *a, const struct identity_event *b);

#endif
