/* SPDX-License-Identifier: Apache-2.0 */
/* input.h - a file or standard input, read in large pieces, with the number of the current line.
 *
 * What a pipe has is given at once, however little it is: `tail -f FILE | polku-producer send` publishes each line as it
 * comes. While nothing comes, the function of input_when_idle() is called.
 *
 * The unread bytes are data[start..end); a reader looks at them, asks for more with input_fill() and
 * moves on with input_skip(), which counts lines. Line ends are LF, CR LF or a lone CR. Pointers into
 * data are good until the next input_fill(). */
#ifndef POLKU_INPUT_H
#define POLKU_INPUT_H

#include "pk.h"

enum { INPUT_MAX_RECORD = 1 << 20 }; /* bytes of one line or CSV row; longer ones are rejected */

struct input {
    const char *name; /* for messages; "(standard input)" for "-" */
    int fd;
    char *data;
    size_t start, end, cap;
    uint64_t line; /* number of the line that data[start] is on, from 1 */
    bool at_end;   /* the file has no bytes behind `end` */
};

/* `idle` is called several times a second while a pipe, socket or terminal has nothing to read; false: reading gives up,
 * with PK_STOP. For the whole process; NULL: reading waits. */
void input_when_idle(bool (*idle)(void *context), void *context);

/* "-" is standard input. A UTF-8 byte order mark at the beginning is skipped. PK_STOP if unreadable. */
enum pk_status input_open(struct input *input, const char *path, struct pk_err *err);
void input_close(struct input *input);

/* Reads more behind `end`. At the end of the file: PK_OK with at_end set. PK_STOP on a read error. */
enum pk_status input_fill(struct input *input, struct pk_err *err);
void input_skip(struct input *input, size_t bytes);

enum input_result {
    INPUT_RECORD, /* *ret_... is filled */
    INPUT_END,
    INPUT_BROKEN, /* this record cannot be read; the next call goes on behind it */
    INPUT_FAILED, /* the file cannot be read any further */
};

/* The next line without its end; lines of spaces only are passed over. *ret_line is its number.
 * A line that is longer than INPUT_MAX_RECORD is INPUT_BROKEN, *ret_text its first bytes. */
enum input_result input_line(struct input *input, struct pk_str *ret_text, uint64_t *ret_line, struct pk_err *err);

/* The first byte of what comes next, -1 at the end of the file or if it cannot be read. */
int input_peek(struct input *input);

#endif
