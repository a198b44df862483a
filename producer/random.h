/* SPDX-License-Identifier: Apache-2.0 */
/* random.h - numbers that a seed decides: the same seed gives the same numbers on every machine. */
#ifndef POLKU_RANDOM_H
#define POLKU_RANDOM_H

#include <stdint.h>

struct random {
    uint64_t state;
};

/* splitmix64 */
static inline uint64_t random_next(struct random *r)
{
    uint64_t z = r->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* 0 .. below - 1 */
static inline uint64_t random_below(struct random *r, uint64_t below)
{
    return (uint64_t)(((unsigned __int128)random_next(r) * below) >> 64);
}

/* 0 <= x < 1 */
static inline double random_unit(struct random *r)
{
    return (double)(random_next(r) >> 11) * 0x1p-53;
}

#endif
