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
 * copies. Memory is that of the journeys under way. */
#ifndef POLKU_SIMULATE_H
#define POLKU_SIMULATE_H

#include "event.h"

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
};

struct simulated { /* one published event, and what its system does not know */
    const struct event *event; /* good until the next call */
    int64_t published_at_us;
    uint64_t person, need;
    const char *script;
    bool duplicate;         /* the second copy of an event */
    const char *promise;    /* kind of the promise that the event opens, NULL if none */
    int64_t kept_at_us;     /* when it was really kept; PK_NO_TIME: never */
};

struct simulation;

void simulation_open(const struct simulation_config *config, struct simulation **ret_simulation);
bool simulation_next(struct simulation *simulation, struct simulated *ret_simulated); /* false: all is told */
void simulation_close(struct simulation *simulation);

#endif
