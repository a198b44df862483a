/* SPDX-License-Identifier: Apache-2.0 */
/* producer_options.h - the options of polku-producer, from producer_options.def. */
#ifndef POLKU_PRODUCER_OPTIONS_H
#define POLKU_PRODUCER_OPTIONS_H

#include "event_key.h"
#include "options.h"

struct producer_options {
#define X(member, ctype, name, commands, kind, fallback, min, max, value_name, help) ctype member;
#include "producer_options.def"
#undef X
    struct options_result rest;
};

extern const struct option_set producer_option_set;

/* "0" .. "1" */
enum pk_status producer_share(const char *name, const char *text, double *ret_share, struct pk_err *err);
/* The place of `text` among `count` words; PK_REJECT lists them. */
enum pk_status producer_word(const char *name, const char *text, const char *const words[], size_t count,
                             size_t *ret_index, struct pk_err *err);

#endif
