/* SPDX-License-Identifier: Apache-2.0 */
/* simulate.h - seeded channel systems: people with needs, and the events that their journeys leave.
 *
 * Five invented organisations serve the people over a dozen channels: orders with delivery promises, tickets
 * that are paid and sometimes not issued, calls back that reach or do not reach, questions that are replied
 * to or answered, feedback, complaints, service, hand-offs between teams and companies, newsletters. The
 * scripts are rows in simulate_script.def.
 *
 * Everything is decided by the configuration, with whole numbers only: the same seed gives the same bytes on
 * every machine. Events come in the order of publication, which is that of time but for late ones and second
 * copies. Memory is that of the journeys under way.
 *
 * Live: the invented world sets only the order of events and what they are. Event after event happens at the pace, from `live_from_us`
 * on; promised times shrink (or stretch) as the days of that world do. Lateness is that of the clock on the wall. */
#ifndef POLKU_SIMULATE_H
#define POLKU_SIMULATE_H

#include "pace.h"
#include "simulate_story.h"

struct simulation_config {
    uint64_t seed;
    uint64_t people;
    int64_t start_us; /* midnight of the first day */
    int64_t days;     /* on which journeys begin; they end when they end. 0: for ever */
    double needs;     /* journeys that a person begins in a day, on average */
    double anonymous; /* share of web, app and chat events with a cookie or device only */
    double duplicate_rate;
    double late_rate; /* share of events published late, by up to lateness_us */
    int64_t lateness_us;
    const struct stories *stories; /* NULL: none */
    double story_share;            /* of needs that are a telling of a story */
    bool live;
    int64_t live_from_us, live_for_us; /* tells nothing that would be published later; 0: for ever */
    struct pace pace;                  /* of live; micro_rate 0: as fast as the days of the invented world pass */
};

struct simulated { /* one published event, and what its system does not know */
    const struct event *event; /* good until the next call */
    int64_t published_at_us;
    uint64_t person, need;
    const char *script;     /* or the name of the story */
    bool of_story;          /* then `member` is who, instead of `person` */
    int16_t member;
    bool late, duplicate;   /* the second copy of an event */
    const char *promise;    /* kind of the promise that the event opens, NULL if none */
    bool kept;              /* it is kept, if the run goes on for so long */
    int64_t kept_at_us;     /* when it was really kept; PK_NO_TIME: never. Live: only the keeping event knows */
    bool live;
    struct pk_str keeps;    /* live: "source/id" of the event whose promise this one keeps; good until the next call */
};

struct simulation;

void simulation_open(const struct simulation_config *config, struct simulation **ret_simulation);
bool simulation_next(struct simulation *simulation, struct simulated *ret_simulated); /* false: all is told */
double simulation_speed(const struct simulation *simulation); /* live: days of the invented world in a day */
void simulation_close(struct simulation *simulation);

#endif
