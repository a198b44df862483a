/* SPDX-License-Identifier: Apache-2.0 */
/* crash_point.h - named places where a test build stops as if by kill -9.
 *
 * CRASH_POINT(name) is nothing, but for a check of the name, unless POLKU_CRASH_POINTS is defined: polku-consumer-crash is
 * the only program for which it is. There the environment variable POLKU_CRASH_POINT=name:N makes the N-th passage of that
 * point raise SIGKILL, after one line on standard error. Pure files have no such points: what they do is undone by any
 * crash. */
#ifndef POLKU_CRASH_POINT_H
#define POLKU_CRASH_POINT_H

#include <stdbool.h>

enum crash_point {
#define X(name, help) CRASH_##name,
#include "crash_point.def"
    CRASH_POINT_COUNT
};

#ifdef POLKU_CRASH_POINTS
/* Counts a passage; true: this is the one to stop at. */
bool crash_point_reached(enum crash_point point);
_Noreturn void crash_point_stop(enum crash_point point);
struct store;
void store_flush(struct store *store); /* of store.c: returns when PostgreSQL has everything that was sent */

/* `before` is done first, at the fatal passage only. */
#define CRASH_POINT_AFTER(name, before)                                                                                \
    do {                                                                                                               \
        if (crash_point_reached(CRASH_##name)) {                                                                       \
            before;                                                                                                    \
            crash_point_stop(CRASH_##name);                                                                            \
        }                                                                                                              \
    } while (0)
#else
#define CRASH_POINT_AFTER(name, before) ((void)CRASH_##name)
#endif

#define CRASH_POINT(name) CRASH_POINT_AFTER(name, (void)0)
#define STORE_CRASH_POINT(store, name) CRASH_POINT_AFTER(name, store_flush(store))

#endif
