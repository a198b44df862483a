/* SPDX-License-Identifier: Apache-2.0 */
#include "crash_point.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[CRASH_POINT_COUNT] = {
#define X(name, help) [CRASH_##name] = #name,
#include "crash_point.def"
};

static struct {
    bool read;
    enum crash_point point; /* CRASH_POINT_COUNT: none */
    long left;
} wish;

static void read_wish(void)
{
    const char *text = getenv("POLKU_CRASH_POINT"), *colon = text ? strchr(text, ':') : NULL;
    wish.read = true;
    wish.point = CRASH_POINT_COUNT;
    if (!text || !text[0])
        return;
    for (enum crash_point p = 0; p < CRASH_POINT_COUNT && colon; p++)
        if (strlen(names[p]) == (size_t)(colon - text) && !strncmp(names[p], text, strlen(names[p])))
            wish.point = p;
    wish.left = colon ? strtol(colon + 1, NULL, 10) : 0;
    if (wish.point == CRASH_POINT_COUNT || wish.left < 1) {
        fprintf(stderr, "POLKU_CRASH_POINT=%s: wanted NAME:N, a name of crash_point.def and a number from 1\n", text);
        exit(2);
    }
}

bool crash_point_reached(enum crash_point point)
{
    if (!wish.read)
        read_wish();
    return point == wish.point && --wish.left == 0;
}

_Noreturn void crash_point_stop(enum crash_point point)
{
    fprintf(stderr, "crash point %s\n", names[point]);
    for (;;)
        raise(SIGKILL);
}
