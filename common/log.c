/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"
#include "log_limit.h"
#include "time_text.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static struct {
    enum log_level level;
    bool json;
    const char *program;
} setup = {LOG_INFO, false, "polku"};

static pthread_mutex_t limit_lock = PTHREAD_MUTEX_INITIALIZER;
static struct log_limit limit;

static const char *const level_name[] = {"debug", "info", "warn", "error"};

void log_setup(enum log_level level, enum log_format format, const char *program)
{
    setup.level = level;
    setup.json = format == LOG_JSON || (format == LOG_AUTO && !isatty(STDERR_FILENO));
    setup.program = program;
}

static void json_text(struct pk_buf *out, const char *text, size_t len)
{
    bool utf8 = pk_utf8_valid(text, len);
    pk_buf_text(out, "\"");
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            pk_buf_printf(out, "\\%c", c);
        else if (c < 0x20)
            pk_buf_printf(out, "\\u%04x", c);
        else if (c >= 0x80 && !utf8)
            pk_buf_text(out, "?");
        else
            pk_buf_add(out, &text[i], 1);
    }
    pk_buf_text(out, "\"");
}

/* -?(0|[1-9][0-9]*)(.[0-9]+)?: what JSON takes as a number and no identifier loses anything by. */
static bool is_number(const char *text, size_t len)
{
    size_t i = len > 0 && text[0] == '-', start = i;
    while (i < len && text[i] >= '0' && text[i] <= '9')
        i++;
    if (i == start || i - start > 15 || (text[start] == '0' && i - start > 1))
        return false;
    if (i == len)
        return true;
    size_t point = i++;
    while (i < len && text[i] >= '0' && text[i] <= '9')
        i++;
    return text[point] == '.' && i == len && i > point + 1;
}

/* At a quote: does the value end here? At the text's end, or before the next key. Values may hold quotes. */
static bool closes(const char *quote)
{
    if (quote[1] == '\0')
        return true;
    size_t key = strspn(quote + 2, "abcdefghijklmnopqrstuvwxyz0123456789_.");
    return quote[1] == ' ' && key > 0 && quote[2 + key] == '=';
}

/* The next key=value or key="value with spaces". */
static bool next_pair(const char **at, struct pk_str *key, struct pk_str *value)
{
    while (**at == ' ')
        ++*at;
    const char *equals = strchr(*at, '=');
    if (!equals)
        return false;
    *key = (struct pk_str){*at, (size_t)(equals - *at)};
    const char *start = equals + 1, *end;
    if (*start == '"') {
        end = ++start;
        while (*end && !(*end == '"' && closes(end)))
            end++;
        *at = *end ? end + 1 : end;
    } else {
        end = start + strcspn(start, " ");
        *at = end;
    }
    *value = (struct pk_str){start, (size_t)(end - start)};
    return true;
}

static void format_json(struct pk_buf *out, const char *now, const char *level, const char *sentence,
                        const char *pairs)
{
    struct pk_str key, value;
    pk_buf_printf(out, "{\"time\":\"%s\",\"level\":\"%s\",\"program\":", now, level);
    json_text(out, setup.program, strlen(setup.program));
    pk_buf_text(out, ",\"message\":");
    json_text(out, sentence, strlen(sentence));
    while (next_pair(&pairs, &key, &value)) {
        pk_buf_text(out, ",");
        json_text(out, key.ptr, key.len);
        pk_buf_text(out, ":");
        if (is_number(value.ptr, value.len))
            pk_buf_add(out, value.ptr, value.len);
        else
            json_text(out, value.ptr, value.len);
    }
    pk_buf_text(out, "}\n");
}

static void format_text(struct pk_buf *out, const char *now, const char *level, const char *sentence,
                        const char *pairs)
{
    pk_buf_printf(out, "%.10s %.12s %-5s %s%s%s", now, now + 11, level, sentence, *pairs ? "  " : "", pairs);
    for (size_t i = 0; i < out->len; i++)
        if ((unsigned char)out->ptr[i] < 0x20)
            out->ptr[i] = ' '; /* one line per fact, and no escape sequences for the terminal */
    pk_buf_text(out, "\n");
}

/* One line, whatever the limit says. */
static void write_line(enum log_level level, const char *sentence, const char *text)
{
    char now[28];
    struct timespec clock;
    clock_gettime(CLOCK_REALTIME, &clock);
    time_format_iso(clock.tv_sec * PK_SECOND_US + clock.tv_nsec / 1000, now);
    struct pk_buf line PK_AUTO(pk_buf_done) = {0};
    (setup.json ? format_json : format_text)(&line, now, level_name[level], sentence, text);
    /* One write per line, so that lines of several threads and processes do not mix. */
    size_t done = 0;
    while (done < line.len) {
        ssize_t wrote = write(STDERR_FILENO, line.ptr + done, line.len - done);
        if (wrote < 0 && errno != EINTR)
            return;
        done += wrote > 0 ? (size_t)wrote : 0;
    }
}

static int64_t clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * PK_SECOND_US + now.tv_nsec / 1000;
}

/* What was left out in minutes that are over; `all`: and in those that are not. */
static void tell_left_out(bool all)
{
    struct log_limit_slot over;
    char text[400];
    for (;;) {
        pthread_mutex_lock(&limit_lock);
        bool found = log_limit_over(&limit, clock_us(), all, &over);
        pthread_mutex_unlock(&limit_lock);
        if (!found)
            return;
        snprintf(text, sizeof text, "lines=%" PRIu64 " sentence=\"%.300s\"", over.left_out, over.sentence);
        write_line((enum log_level)over.level, "lines were left out", text);
    }
}

static void end_limit(void)
{
    log_at_most(0);
}

void log_at_most(int lines_per_minute)
{
    static bool ends;
    if (lines_per_minute == 0)
        tell_left_out(true);
    else if (!ends)
        ends = atexit(end_limit) == 0;
    pthread_mutex_lock(&limit_lock);
    limit.per_minute = lines_per_minute;
    pthread_mutex_unlock(&limit_lock);
}

void log_write(enum log_level level, const char *sentence, const char *pairs, ...)
{
    if (level < setup.level)
        return;
    tell_left_out(false);
    pthread_mutex_lock(&limit_lock);
    bool taken = level >= LOG_ERROR || log_limit_take(&limit, sentence, (int)level, clock_us());
    pthread_mutex_unlock(&limit_lock);
    if (!taken)
        return;
    char text[4096];
    va_list args;
    va_start(args, pairs);
    vsnprintf(text, sizeof text, pairs ? pairs : "", args);
    va_end(args);
    write_line(level, sentence, text);
}
