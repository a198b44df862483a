/* SPDX-License-Identifier: Apache-2.0 */
/* log.h - one line per fact: a fixed sentence and key=value pairs; text on a terminal, JSON otherwise.
 *
 * Goes to standard error. Never pass raw identifiers. Only the outermost layer of a program logs
 * (main, commands, pipeline); everything else returns a status and a text. Thread-safe. */
#ifndef POLKU_LOG_H
#define POLKU_LOG_H

#include "pk.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_AUTO, LOG_TEXT, LOG_JSON };

/* From here on at most so many lines of one sentence a minute, then one line that says how many were left out, also at the end. 0 = as
 * many as come; what was left out until now is told. Errors are never left out. It is for programs that run for long: a command says all it has to. */
void log_at_most(int lines_per_minute);

void log_setup(enum log_level level, enum log_format format, const char *program);
/* log_write(LOG_INFO, "batch committed", "records=%d tries=%d", 12, 1): the pairs are "key=value"
 * separated by single spaces; a value with a space is written as key="..." by the caller. */
void log_write(enum log_level level, const char *sentence, const char *pairs, ...)
    __attribute__((format(printf, 3, 4)));

#endif
