/* SPDX-License-Identifier: Apache-2.0 */
#include "quarantine_limit.h"

#include <stdlib.h>

enum { ROW_BYTES = 100, SHARES = 100 };

/* Rows a minute of one reason alone, and of whatever comes. */
static double own_rows(const struct quarantine_limit *limit)
{
    return limit->rows_per_minute < SHARES ? 0 : (double)limit->rows_per_minute / SHARES;
}

static double common_rows(const struct quarantine_limit *limit)
{
    return (double)limit->rows_per_minute - REJECT_COUNT * own_rows(limit);
}

void quarantine_limit_init(struct quarantine_limit *limit, int64_t rows_per_minute, int64_t most_bytes)
{
    *limit = (struct quarantine_limit){.rows_per_minute = rows_per_minute, .most_bytes = most_bytes};
    limit->now.common = common_rows(limit);
    for (int i = 0; i < REJECT_COUNT; i++)
        limit->now.own[i] = own_rows(limit);
    limit->next = limit->now;
}

void quarantine_limit_tick(struct quarantine_limit *limit, int64_t now_us)
{
    double minutes = limit->ticked_us ? (double)(now_us - limit->ticked_us) / (60.0 * PK_SECOND_US) : 0;
    double own = own_rows(limit), common = common_rows(limit);
    limit->ticked_us = now_us;
    limit->now.common = PK_MIN(limit->now.common + common * minutes, common);
    for (int i = 0; i < REJECT_COUNT; i++)
        limit->now.own[i] = PK_MIN(limit->now.own[i] + own * minutes, own);
}

static size_t record_bytes(const struct change_quarantine *row)
{
    size_t bytes = row->key.len + row->value.len;
    for (size_t i = 0; row->headers && i < row->headers->count; i++)
        bytes += row->headers->header[i].name.len + row->headers->header[i].value.len;
    return bytes;
}

size_t quarantine_bytes(const struct change_quarantine *row)
{
    return ROW_BYTES + record_bytes(row);
}

static void cut(struct change_quarantine *row)
{
    if (record_bytes(row) <= QUARANTINE_MOST_BYTES)
        return;
    row->partial = true;
    row->value_bytes = row->value.len;
    row->key = row->value = (struct pk_bytes){0};
    row->headers = NULL;
}

/* May it be stored? Then it is taken off. */
static bool take(struct quarantine_limit *limit, const struct change_quarantine *row)
{
    int64_t bytes = (int64_t)quarantine_bytes(row);
    double *common = &limit->next.common, *from = *common >= 1 ? common : &limit->next.own[row->reason];
    limit->by_space = limit->next.bytes + bytes > limit->most_bytes;
    if (limit->by_space || *from < 1)
        return false;
    *from -= 1;
    limit->next.bytes += bytes;
    return true;
}

static void count(struct changes *changes, const struct change_quarantine *row, size_t bytes)
{
    struct change_excess *same = NULL;
    for (size_t i = changes->excess.len; i-- > 0 && !same;) {
        struct change_excess *at = &changes->excess.ptr[i];
        if (at->topic == row->topic && at->partition == row->partition && at->source == row->source && at->reason == row->reason)
            same = at;
    }
    if (!same) {
        same = pk_vec_push(&changes->excess);
        *same = (struct change_excess){.topic = row->topic, .partition = row->partition, .source = row->source,
                                       .reason = row->reason, .first_offset = row->offset, .last_offset = row->offset};
    }
    same->records++;
    same->bytes += (int64_t)bytes;
    same->first_offset = PK_MIN(same->first_offset, row->offset);
    same->last_offset = PK_MAX(same->last_offset, row->offset);
}

void quarantine_limit_apply(struct quarantine_limit *limit, struct changes *changes)
{
    size_t kept = 0;
    limit->next = limit->now;
    limit->counting = 0;
    for (size_t i = 0; i < changes->quarantine.len; i++) {
        struct change_quarantine row = changes->quarantine.ptr[i];
        size_t bytes = record_bytes(&row);
        cut(&row);
        if (take(limit, &row)) {
            changes->quarantine.ptr[kept++] = row;
        } else {
            count(changes, &row, bytes);
            limit->counting++;
        }
    }
    changes->quarantine.len = kept;
}

void quarantine_limit_committed(struct quarantine_limit *limit)
{
    limit->now = limit->next;
    limit->counted += limit->counting;
    limit->counting = 0;
}
