/* SPDX-License-Identifier: Apache-2.0 */
#include "nearest.h"

enum { LONGEST = 64 };

unsigned nearest_distance(struct pk_str a, struct pk_str b)
{
    if (a.len > LONGEST || b.len > LONGEST)
        return LONGEST;
    unsigned row[3][LONGEST + 1]; /* two rows back (for swaps), one back, this one */
    for (size_t j = 0; j <= b.len; j++)
        row[0][j] = (unsigned)j;
    for (size_t i = 1; i <= a.len; i++) {
        unsigned *now = row[i % 3], *before = row[(i + 2) % 3], *two_before = row[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= b.len; j++) {
            unsigned best = before[j - 1] + (a.ptr[i - 1] != b.ptr[j - 1]);
            best = PK_MIN(best, before[j] + 1);
            best = PK_MIN(best, now[j - 1] + 1);
            if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1])
                best = PK_MIN(best, two_before[j - 2] + 1);
            now[j] = best;
        }
    }
    return row[a.len % 3][b.len];
}

const char *nearest_name(struct pk_str name, const char *const known[], size_t count)
{
    const char *nearest = NULL;
    unsigned least = LONGEST;
    for (size_t i = 0; i < count; i++) {
        unsigned distance = nearest_distance(name, pk_str(known[i]));
        if (distance < least)
            least = distance, nearest = known[i];
    }
    return nearest && least <= 1 + strlen(nearest) / 3 ? nearest : NULL;
}
