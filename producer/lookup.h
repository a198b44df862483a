/* SPDX-License-Identifier: Apache-2.0 */
/* lookup.h - another CSV file held in memory and found by a key: how a mapping joins files. */
#ifndef POLKU_LOOKUP_H
#define POLKU_LOOKUP_H

#include "pk.h"

struct template;

struct lookup {
    struct pk_str name, file, key;
    int line; /* in the mapping */
    char separator;
    struct template *match; /* what to look for */
    bool missing_is_empty;  /* else a row without a match is rejected */
    enum { LOOKUP_UNIQUE, LOOKUP_FIRST, LOOKUP_LAST } several;
    /* loaded: */
    struct pk_str *column;
    size_t column_count;
    struct pk_map row; /* hash of the key -> cells */
    struct pk_arena arena;
};

/* Loads the file, relative to `folder`. PK_STOP if unreadable; PK_REJECT names FILE:LINE. Loading
 * again replaces what was loaded. */
enum pk_status lookup_load(struct lookup *lookup, const char *folder, struct pk_err *err);
const struct pk_str *lookup_find(const struct lookup *lookup, struct pk_str key); /* NULL if none */
void lookup_done(struct lookup *lookup);

struct pk_hash lookup_hash(struct pk_str key);

#endif
