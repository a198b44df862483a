/* SPDX-License-Identifier: Apache-2.0 */
/* chance.h - pseudo-random numbers of a seed, the same on every machine (splitmix64). */
#ifndef POLKU_CHANCE_H
#define POLKU_CHANCE_H

#include <stdbool.h>
#include <stdint.h>

struct chance {
    uint64_t state;
};

static inline uint64_t chance_next(struct chance *chance)
{
    uint64_t z = chance->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}
static inline unsigned chance_below(struct chance *chance, unsigned limit) /* 0 .. limit - 1 */
{
    return limit ? (unsigned)(chance_next(chance) >> 11) % limit : 0;
}
static inline bool chance_in(struct chance *chance, unsigned percent)
{
    return chance_below(chance, 100) < percent;
}
#define CHANCE_OF(chance, array) ((array)[chance_below((chance), (unsigned)(sizeof(array) / sizeof((array)[0])))])

#endif
