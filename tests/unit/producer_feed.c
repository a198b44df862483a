/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "feed.h"
#include "rejects.h"

static struct feed *feed;
static struct feed_record record;
static struct pk_err err;
static char path[64];

static void open_text(const char *text)
{
    snprintf(path, sizeof path, "/tmp/polku_feed_XXXXXX");
    int fd = mkstemp(path);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    const char *const file[] = {path};
    cr_assert_eq(feed_open(file, 1, NULL, &feed, &err), PK_OK, "%s", err.text);
}

static void clean_up(void)
{
    feed_close(feed);
    unlink(path);
}

TestSuite(feed, .fini = clean_up);

#define EVENT(id) "{\"event_id\": \"" id "\", \"source\": \"s\", \"type\": \"a.b\", \"channel\": \"web\", " \
                  "\"brand\": \"B\", \"occurred_at\": \"2020-01-01T00:00:00Z\"}"

static void event(const char *id, uint64_t line)
{
    cr_assert_eq(feed_next(feed, &record, &err), INPUT_RECORD, "%s", err.text);
    cr_assert(pk_str_eq(record.event->event_id, pk_str(id)), "%.*s", PK_STR_ARG(record.event->event_id));
    cr_assert_eq(record.line, line, "line %lu", (unsigned long)record.line);
}

Test(feed, broken_lines_are_told_with_their_number_and_the_rest_is_read)
{
    open_text(EVENT("1") "\n"
              "not json\n"
              "\n"
              EVENT("2") "\n"
              "{\"event_id\": \"x\", \"sauce\": \"s\"}\n"
              "[1, 2]\n"
              EVENT("3"));
    event("1", 1);
    cr_assert_eq(feed_next(feed, &record, &err), INPUT_BROKEN);
    cr_assert_eq(record.line, 2);
    cr_assert_str_eq(record.reason, "malformed");
    cr_assert(pk_str_eq(record.raw, PK_STR("not json")));
    event("2", 4);
    cr_assert_eq(feed_next(feed, &record, &err), INPUT_BROKEN);
    cr_assert(strstr(err.text, "source"), "the nearest known name: %s", err.text);
    cr_assert_eq(feed_next(feed, &record, &err), INPUT_BROKEN);
    cr_assert_eq(record.line, 6);
    event("3", 7);
    cr_assert_eq(feed_next(feed, &record, &err), INPUT_END);
}

Test(feed, an_object_may_be_written_over_several_lines)
{
    open_text("{\n  \"event_id\": \"1\",\n  \"source\": \"s\", \"type\": \"a.b\",\n\n  \"channel\": \"web\",\n"
              "  \"attributes\": {\n    \"brace\": \"} \\\" {\"\n  },\n"
              "  \"brand\": \"B\", \"occurred_at\": 1577836800000000\n}\n" EVENT("2") "\n");
    event("1", 1);
    cr_assert_eq(record.event->attribute_count, 1);
    event("2", 11);
    cr_assert_eq(feed_next(feed, &record, &err), INPUT_END);
}

Test(feed, an_object_that_is_never_closed_costs_only_itself)
{
    open_text("{\n  \"event_id\": \"1\",\n" EVENT("2") "\n{\"event_id\": \"open\n" EVENT("3") "\n{\n");
    cr_assert_eq(feed_next(feed, &record, &err), INPUT_BROKEN);
    cr_assert_eq(record.line, 1);
    event("2", 3);
    cr_assert_eq(feed_next(feed, &record, &err), INPUT_BROKEN);
    cr_assert_eq(record.line, 4);
    event("3", 5);
    cr_assert_eq(feed_next(feed, &record, &err), INPUT_BROKEN);
    cr_assert_eq(feed_next(feed, &record, &err), INPUT_END);
}

Test(feed, files_and_mappings_that_are_not_there_are_named)
{
    const char *const file[] = {"/nowhere/events.jsonl"};
    cr_assert_eq(feed_open(file, 1, NULL, &feed, &err), PK_OK, "files are opened one after the other");
    cr_assert_eq(feed_next(feed, &record, &err), INPUT_FAILED);
    cr_assert(strstr(err.text, "/nowhere/events.jsonl"), "%s", err.text);
    feed_close(feed);
    feed = NULL;
    cr_assert_eq(feed_open(file, 1, "/nowhere/mapping.yaml", &feed, &err), PK_REJECT);
    cr_assert_eq(feed_open(NULL, 0, "/tmp", &feed, &err), PK_REJECT, "a folder of mappings needs a folder of input");
    cr_assert_null(feed);
}

Test(feed, the_mappings_of_this_repository_are_well_formed)
{
    static const char *const folder[] = {"deploy/mappings/olist", "deploy/mappings/bpi2013"};
    for (size_t i = 0; i < PK_COUNT(folder); i++) {
        char mapping[512];
        const char *const data[] = {"/nowhere"};
        snprintf(mapping, sizeof mapping, "%s/%s", POLKU_SOURCE_DIR, folder[i]);
        cr_assert_eq(feed_open(data, 1, mapping, &feed, &err), PK_OK, "%s", err.text);
        cr_assert_eq(feed_next(feed, &record, &err), INPUT_FAILED);
        feed_close(feed);
        feed = NULL;
    }
}

Test(rejects, are_json_lines_whatever_the_text_holds)
{
    struct rejects rejects;
    snprintf(path, sizeof path, "/tmp/polku_rejects_XXXXXX");
    close(mkstemp(path));
    cr_assert_eq(rejects_open(&rejects, path, &err), PK_OK);
    rejects_add(&rejects, "a\"b", 7, "malformed", "why\n", (struct pk_str){"\xC3\xA4 \xFF \0 \\", 8});
    rejects_add(&rejects, "f", 8, "undelivered", "late", (struct pk_str){NULL, 0});
    cr_assert_eq(rejects.count, 2);
    cr_assert_eq(rejects_close(&rejects, &err), PK_OK);
    char text[512] = {0};
    FILE *file = fopen(path, "r");
    cr_assert_gt(fread(text, 1, sizeof text - 1, file), 0);
    fclose(file);
    cr_assert_str_eq(text, "{\"file\": \"a\\\"b\", \"line\": 7, \"reason\": \"malformed\", \"error\": \"why\\u000a\", "
                           "\"text\": \"\xC3\xA4 \\ufffd \\u0000 \\\\\"}\n"
                           "{\"file\": \"f\", \"line\": 8, \"reason\": \"undelivered\", \"error\": \"late\"}\n");
}

static bool give_up(void *context)
{
    return ++*(int *)context < 2;
}

Test(feed, a_line_in_a_pipe_is_read_before_the_pipe_ends)
{
    int end[2], idle = 0;
    cr_assert_eq(pipe(end), 0);
    snprintf(path, sizeof path, "/dev/fd/%d", end[0]);
    const char *const file[] = {path};
    cr_assert_eq(feed_open(file, 1, NULL, &feed, &err), PK_OK, "%s", err.text);
    cr_assert_eq(write(end[1], EVENT("1") "\n{\"event", strlen(EVENT("1")) + 8), (ssize_t)strlen(EVENT("1")) + 8);
    event("1", 1);
    input_when_idle(give_up, &idle);
    cr_assert_eq(feed_next(feed, &record, &err), INPUT_FAILED, "half a line is none yet");
    cr_assert_eq(idle, 2);
    input_when_idle(NULL, NULL);
    cr_assert_eq(write(end[1], EVENT("2") + 7, strlen(EVENT("2")) - 7), (ssize_t)strlen(EVENT("2")) - 7);
    close(end[1]);
    event("2", 2);
    cr_assert_eq(feed_next(feed, &record, &err), INPUT_END);
    close(end[0]);
}
