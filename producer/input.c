/* SPDX-License-Identifier: Apache-2.0 */
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum { READ_BYTES = 256 << 10, SHOWN_OF_BROKEN = 4096, IDLE_STEP_MS = 200 };

static bool (*idle)(void *context);
static void *idle_context;

void input_when_idle(bool (*function)(void *context), void *context)
{
    idle = function;
    idle_context = context;
}

enum pk_status input_open(struct input *input, const char *path, struct pk_err *err)
{
    bool standard = strcmp(path, "-") == 0;
    *input = (struct input){.name = standard ? "(standard input)" : path, .line = 1};
    input->fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (input->fd < 0)
        return pk_fail(err, PK_STOP, "%s: %s", path, strerror(errno));

    enum pk_status status = PK_OK;
    while (status == PK_OK && input->end < 3 && !input->at_end)
        status = input_fill(input, err);
    if (status == PK_OK && input->end >= 3 && memcmp(input->data, "\xEF\xBB\xBF", 3) == 0)
        input->start = 3;
    if (status != PK_OK)
        input_close(input);
    return status;
}

void input_close(struct input *input)
{
    if (input->fd > STDIN_FILENO)
        close(input->fd);
    free(input->data);
    *input = (struct input){0};
}

/* Waits until there is something to read, or the end. Files always have it. */
static enum pk_status await(const struct input *input, struct pk_err *err)
{
    struct pollfd ready = {.fd = input->fd, .events = POLLIN};
    for (;;) {
        int count = poll(&ready, 1, idle ? IDLE_STEP_MS : -1);
        if (count > 0)
            return PK_OK;
        if (count < 0 && errno != EINTR)
            return pk_fail(err, PK_STOP, "%s: %s", input->name, strerror(errno));
        if (idle && !idle(idle_context))
            return pk_fail(err, PK_STOP, "%s: reading was given up", input->name);
    }
}

enum pk_status input_fill(struct input *input, struct pk_err *err)
{
    if (input->start > 0) {
        memmove(input->data, input->data + input->start, input->end - input->start);
        input->end -= input->start;
        input->start = 0;
    }
    if (input->cap - input->end < READ_BYTES) {
        input->cap = PK_MAX(input->cap * 2, (size_t)2 * READ_BYTES);
        input->data = pk_realloc(input->data, input->cap);
    }
    ssize_t got;
    do {
        enum pk_status status = await(input, err);
        if (status != PK_OK)
            return status;
        got = read(input->fd, input->data + input->end, READ_BYTES);
    } while (got < 0 && (errno == EINTR || errno == EAGAIN));
    if (got < 0)
        return pk_fail(err, PK_STOP, "%s: %s", input->name, strerror(errno));
    input->end += (size_t)got;
    input->at_end = got == 0;
    return PK_OK;
}

void input_skip(struct input *input, size_t bytes)
{
    const char *p = input->data + input->start, *end = p + bytes;
    for (; p < end; p++)
        if (*p == '\n' || (*p == '\r' && (p + 1 == input->data + input->end || p[1] != '\n')))
            input->line++;
    input->start += bytes;
}

/* Sets *ret_len to the bytes before the line's end and *ret_with_end to those including it. */
static enum pk_status find_line(struct input *input, size_t *ret_len, size_t *ret_with_end, struct pk_err *err)
{
    size_t at = 0;
    for (;;) {
        for (; input->start + at < input->end; at++) {
            char c = input->data[input->start + at];
            if (c == '\n') {
                *ret_len = at, *ret_with_end = at + 1;
                return PK_OK;
            }
            if (c == '\r') {
                if (input->start + at + 1 == input->end && !input->at_end)
                    break; /* the LF of this CR may be in the next piece */
                bool pair = input->start + at + 1 < input->end && input->data[input->start + at + 1] == '\n';
                *ret_len = at, *ret_with_end = at + 1 + pair;
                return PK_OK;
            }
            if (at > INPUT_MAX_RECORD) {
                *ret_len = at, *ret_with_end = 0;
                return PK_OK;
            }
        }
        if (input->at_end) {
            *ret_len = *ret_with_end = at;
            return PK_OK;
        }
        enum pk_status status = input_fill(input, err);
        if (status != PK_OK)
            return status;
    }
}

/* Passes over the rest of a line that does not fit; the bytes read so far become *ret_text. */
static enum input_result skip_long_line(struct input *input, struct pk_str *ret_text, struct pk_err *err)
{
    static _Thread_local char shown[SHOWN_OF_BROKEN];
    memcpy(shown, input->data + input->start, sizeof shown);
    size_t len, with_end;
    do {
        input_skip(input, PK_MIN((size_t)INPUT_MAX_RECORD, input->end - input->start));
        if (find_line(input, &len, &with_end, err) != PK_OK)
            return INPUT_FAILED;
    } while (with_end == 0 && !(input->at_end && len == 0));
    input_skip(input, with_end);
    *ret_text = (struct pk_str){shown, sizeof shown};
    pk_fail(err, PK_REJECT, "the line is longer than %d bytes", INPUT_MAX_RECORD);
    return INPUT_BROKEN;
}

static bool only_space(const char *text, size_t len)
{
    while (len && (*text == ' ' || *text == '\t'))
        text++, len--;
    return len == 0;
}

enum input_result input_line(struct input *input, struct pk_str *ret_text, uint64_t *ret_line, struct pk_err *err)
{
    for (;;) {
        size_t len, with_end;
        if (find_line(input, &len, &with_end, err) != PK_OK)
            return INPUT_FAILED;
        if (with_end == 0 && input->at_end && len == 0)
            return INPUT_END;
        uint64_t line = input->line;
        if (with_end == 0) {
            *ret_line = line;
            return skip_long_line(input, ret_text, err);
        }
        const char *text = input->data + input->start;
        input_skip(input, with_end);
        if (only_space(text, len))
            continue;
        *ret_text = (struct pk_str){text, len};
        *ret_line = line;
        return INPUT_RECORD;
    }
}

int input_peek(struct input *input)
{
    while (input->start == input->end && !input->at_end)
        if (input_fill(input, NULL) != PK_OK)
            return -1;
    return input->start < input->end ? (unsigned char)input->data[input->start] : -1;
}
