/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

#include "log.h"
#include "log_limit.h"

static const int64_t minute = 60000000;

static int taken(struct log_limit *limit, const char *sentence, int lines, int64_t at_us)
{
    int count = 0;
    for (int i = 0; i < lines; i++)
        count += log_limit_take(limit, sentence, LOG_WARN, at_us);
    return count;
}

Test(log_limit, one_sentence_gets_so_many_lines_a_minute_and_others_their_own)
{
    struct log_limit limit = {.per_minute = 3}, none = {0};
    cr_assert_eq(taken(&limit, "a batch failed", 10, 1000), 3);
    cr_assert_eq(taken(&limit, "progress", 2, 1000), 2);
    cr_assert_eq(taken(&limit, "a batch failed", 1, minute), 0, "the minute begins with its first line");
    cr_assert_eq(taken(&none, "a batch failed", 1000, 1000), 1000, "no limit was set");
}

Test(log_limit, what_was_left_out_is_told_once_when_the_minute_is_over)
{
    struct log_limit limit = {.per_minute = 3};
    struct log_limit_slot over = {0};
    taken(&limit, "a batch failed", 10, 1000);
    cr_assert(!log_limit_over(&limit, 1000 + minute - 1, false, &over), "not before");
    cr_assert(log_limit_over(&limit, 1000 + minute, false, &over));
    cr_assert_str_eq(over.sentence, "a batch failed");
    cr_assert_eq(over.left_out, 7);
    cr_assert_eq(over.level, (int)LOG_WARN);
    cr_assert(!log_limit_over(&limit, 1000 + minute, false, &over), "once");
    cr_assert_eq(taken(&limit, "a batch failed", 10, 1000 + minute), 3, "and the next minute begins");
    cr_assert(log_limit_over(&limit, 1000 + minute, true, &over), "at the end of the program all is told");
    cr_assert_eq(over.left_out, 7);
}

Test(log_limit, a_minute_without_losses_ends_by_itself)
{
    struct log_limit limit = {.per_minute = 3};
    struct log_limit_slot over;
    for (int64_t at = 0; at < 10; at++)
        cr_assert_eq(taken(&limit, "progress", 3, at * minute), 3);
    cr_assert(!log_limit_over(&limit, 10 * minute, true, &over));
    cr_assert_eq(taken(&limit, "progress", 1, 9 * minute - 1), 1, "a clock that went back ends it too");
}

Test(log_limit, more_sentences_than_it_can_count_are_written)
{
    static char sentence[100][20];
    struct log_limit limit = {.per_minute = 1};
    for (int i = 0; i < 100; i++) {
        snprintf(sentence[i], sizeof sentence[i], "sentence %d", i);
        cr_assert_geq(taken(&limit, sentence[i], 2, 1000), 1, "%d", i);
    }
    cr_assert_eq(taken(&limit, sentence[0], 1, 2000), 0, "the first are counted still");
    cr_assert_eq(taken(&limit, "new", 2, 1000 + minute), 2, "what is not told yet keeps its room");
    struct log_limit_slot over;
    while (log_limit_over(&limit, 1000 + minute, false, &over))
        ;
    cr_assert_eq(taken(&limit, "new", 2, 1000 + minute), 1, "what is told gives it");
}

/* What goes to standard error from begin_log() on. */
static FILE *begin_log(int *ret_stderr)
{
    FILE *file = tmpfile();
    fflush(stderr);
    *ret_stderr = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    return file;
}

static void end_log(FILE *file, int before, char *text, size_t size)
{
    dup2(before, STDERR_FILENO);
    close(before);
    rewind(file);
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
}

Test(log, lines_over_the_limit_are_left_out_and_counted)
{
    int before;
    char text[4000];
    log_setup(LOG_INFO, LOG_TEXT, "test");
    FILE *file = begin_log(&before);
    log_at_most(2);
    for (int i = 0; i < 5; i++)
        log_write(LOG_WARN, "a batch failed", "number=%d", i);
    log_write(LOG_INFO, "progress", "records=%d", 1);
    log_at_most(0);
    log_write(LOG_WARN, "a batch failed", "number=%d", 9);
    end_log(file, before, text, sizeof text);
    cr_assert(strstr(text, "number=1\n"), "%s", text);
    cr_assert_null(strstr(text, "number=2\n"), "%s", text);
    cr_assert(strstr(text, "progress  records=1\n"), "other sentences have their own limit: %s", text);
    cr_assert(strstr(text, "warn  lines were left out  lines=3 sentence=\"a batch failed\"\n"), "%s", text);
    cr_assert(strstr(text, "number=9\n"), "without a limit all are written: %s", text);
}

/* "stopped" with the sums, and then, of the same sentence, why. */
Test(log, no_error_is_left_out)
{
    int before;
    char text[4000];
    log_setup(LOG_INFO, LOG_TEXT, "test");
    FILE *file = begin_log(&before);
    log_at_most(1);
    log_write(LOG_INFO, "stopped", "records=%d", 1);
    log_write(LOG_ERROR, "stopped", "reason=\"%s\"", "the rules are others");
    log_at_most(0);
    end_log(file, before, text, sizeof text);
    cr_assert(strstr(text, "the rules are others"), "%s", text);
}

Test(log, a_line_is_one_json_object_with_its_keys_where_no_terminal_reads_it)
{
    int before;
    char text[4000];
    FILE *file = begin_log(&before);
    log_setup(LOG_INFO, LOG_AUTO, "test");
    log_write(LOG_DEBUG, "not of this level", "%s", "");
    log_write(LOG_WARN, "Kafka client", "facility=%s detail=\"%s\"", "FAIL", "says \"no\"\n");
    end_log(file, before, text, sizeof text);
    cr_assert(strstr(text, "\"level\":\"warn\""), "%s", text);
    cr_assert(strstr(text, "\"message\":\"Kafka client\",\"facility\":\"FAIL\",\"detail\":\"says \\\"no\\\"\\u000a\"}\n"), "%s", text);
    cr_assert_null(strstr(text, "not of this level"));
}
