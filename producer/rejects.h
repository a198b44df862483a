/* SPDX-License-Identifier: Apache-2.0 */
/* rejects.h - the file of rejected lines: one JSON object a line, so that they can be repaired and sent again. */
#ifndef POLKU_REJECTS_H
#define POLKU_REJECTS_H

#include <stdio.h>

#include "pk.h"

struct rejects {
    FILE *stream; /* NULL: nobody asked for the file */
    uint64_t count;
};

/* `path` NULL: count only. */
enum pk_status rejects_open(struct rejects *rejects, const char *path, struct pk_err *err);
/* `text` is the line as read, ptr NULL if it is not at hand. Bytes that are not UTF-8 become U+FFFD. */
void rejects_add(struct rejects *rejects, const char *file, uint64_t line, const char *reason, const char *error,
                 struct pk_str text);
/* PK_STOP if something could not be written. */
enum pk_status rejects_close(struct rejects *rejects, struct pk_err *err);

#endif
