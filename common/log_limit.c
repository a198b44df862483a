/* SPDX-License-Identifier: Apache-2.0 */
#include "log_limit.h"

enum { MINUTE_US = 60000000 };

/* A clock that went back ends a minute too. */
static bool is_over(const struct log_limit_slot *slot, int64_t now_us)
{
    return now_us - slot->begun_us >= MINUTE_US || now_us < slot->begun_us;
}

/* Its slot, or one that may be taken: free, or of a minute that is over and has nothing to tell. NULL: there is none. */
static struct log_limit_slot *find_slot(struct log_limit *limit, const char *sentence, int64_t now_us)
{
    struct log_limit_slot *room = NULL;
    for (size_t i = 0; i < PK_COUNT(limit->slot); i++) {
        struct log_limit_slot *slot = &limit->slot[i];
        if (slot->sentence && strcmp(slot->sentence, sentence) == 0)
            return slot;
        if (!room && (!slot->sentence || (is_over(slot, now_us) && slot->left_out == 0)))
            room = slot;
    }
    if (room)
        *room = (struct log_limit_slot){.sentence = sentence, .begun_us = now_us};
    return room;
}

bool log_limit_take(struct log_limit *limit, const char *sentence, int level, int64_t now_us)
{
    struct log_limit_slot *slot = limit->per_minute > 0 ? find_slot(limit, sentence, now_us) : NULL;
    if (!slot)
        return true;
    if (is_over(slot, now_us) && slot->left_out == 0)
        *slot = (struct log_limit_slot){.sentence = sentence, .begun_us = now_us};
    if (slot->lines < limit->per_minute) {
        slot->lines++;
        return true;
    }
    slot->left_out++;
    slot->level = PK_MAX(slot->level, level);
    return false;
}

bool log_limit_over(struct log_limit *limit, int64_t now_us, bool all, struct log_limit_slot *ret)
{
    for (size_t i = 0; i < PK_COUNT(limit->slot); i++) {
        struct log_limit_slot *slot = &limit->slot[i];
        if (!slot->sentence || slot->left_out == 0 || !(all || is_over(slot, now_us)))
            continue;
        *ret = *slot;
        *slot = (struct log_limit_slot){0};
        return true;
    }
    return false;
}
