/* SPDX-License-Identifier: Apache-2.0 */
/* feed.h - events from the files that a user names: JSON Lines, or CSV through a mapping.
 *
 * A JSON object may also be written over several lines; then it begins in the first column and what is
 * inside does not. */
#ifndef POLKU_FEED_H
#define POLKU_FEED_H

#include "event.h"
#include "input.h"

struct feed;

struct feed_record { /* one line or row, and its events */
    size_t file;   /* place in the list of files, for feed_file_name() */
    uint64_t line;
    struct pk_str raw;
    const char *reason; /* if broken: malformed or unmapped */
    size_t count;
    struct event *event;
};

/* No files: standard input. `mapping` NULL: JSON Lines. A folder as mapping: each *.yaml in it but polku.yaml reads the
 * input that its `file:` names, in the folder that is the only file. PK_REJECT: usage or mapping. */
enum pk_status feed_open(const char *const file[], size_t count, const char *mapping, struct feed **ret_feed,
                         struct pk_err *err);
void feed_close(struct feed *feed); /* NULL is fine */

/* Events live until the next call. INPUT_FAILED: a file or its mapping cannot be used, the text names it. */
enum input_result feed_next(struct feed *feed, struct feed_record *ret_record, struct pk_err *err);
const char *feed_file_name(const struct feed *feed, size_t file);

#endif
