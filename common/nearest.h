/* SPDX-License-Identifier: Apache-2.0 */
/* nearest.h - "did you mean": the known name that is closest to a mistyped one. */
#ifndef POLKU_NEAREST_H
#define POLKU_NEAREST_H

#include "pk.h"

/* Edits (insert, delete, replace, swap of neighbours) between two names; names beyond 64 bytes are far. */
unsigned nearest_distance(struct pk_str a, struct pk_str b);
/* The closest of `count` names, NULL if none is close enough to be meant (at most a third of its length). */
const char *nearest_name(struct pk_str name, const char *const known[], size_t count);

#endif
