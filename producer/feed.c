/* SPDX-License-Identifier: Apache-2.0 */
#include "feed.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "event_json.h"
#include "mapping.h"

struct source {
    const char *path;
    struct mapping *mapping; /* NULL: JSON Lines */
};

struct feed {
    struct pk_arena arena; /* sources and mappings */
    PK_VEC(struct source) source;
    PK_VEC(struct mapping *) mapping; /* to be freed */
    size_t next;             /* source to be opened next */
    bool is_open;
    struct input input;      /* of the current source without a mapping */
    struct pk_buf object;    /* lines of the current object, if it has several */
    struct mapping_reader *reader;
    struct pk_arena scratch; /* of the current record */
};

/* ---- which files ---- */

static enum pk_status add_mapping(struct feed *feed, const char *path, struct mapping **ret, struct pk_err *err)
{
    enum pk_status status = mapping_load(path, &feed->arena, ret, err);
    if (status == PK_OK)
        *pk_vec_push(&feed->mapping) = *ret;
    return status;
}

static const char *join(struct pk_arena *arena, const char *folder, struct pk_str name)
{
    size_t size = strlen(folder) + name.len + 2;
    char *path = pk_arena_alloc(arena, size);
    snprintf(path, size, "%s/%.*s", folder, PK_STR_ARG(name));
    return path;
}

/* polku.yaml is the consumer's rules for the same data, which may lie beside the mappings. */
static int is_mapping(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".yaml") == 0 &&
           strcmp(entry->d_name, "polku.yaml") != 0;
}

static enum pk_status add_folder(struct feed *feed, const char *folder, const char *data, struct pk_err *err)
{
    struct dirent **entry = NULL;
    int count = scandir(folder, &entry, is_mapping, alphasort);
    enum pk_status status = PK_OK;
    if (count <= 0)
        status = pk_fail(err, PK_REJECT, "%s holds no mapping (*.yaml)", folder);
    for (int i = 0; i < count; i++) {
        const char *path = join(&feed->arena, folder, pk_str(entry[i]->d_name));
        struct mapping *mapping;
        if (status == PK_OK)
            status = add_mapping(feed, path, &mapping, err);
        if (status == PK_OK && !mapping_file(mapping).ptr)
            status = pk_fail(err, PK_REJECT, "%s:1: say which input it is for (`file: NAME.csv`)", path);
        if (status == PK_OK)
            *pk_vec_push(&feed->source) = (struct source){join(&feed->arena, data, mapping_file(mapping)), mapping};
        free(entry[i]);
    }
    free(entry);
    return status;
}

static enum pk_status add_sources(struct feed *feed, const char *const file[], size_t count, const char *mapping_path,
                                  struct pk_err *err)
{
    struct stat info;
    if (mapping_path && stat(mapping_path, &info) != 0)
        return pk_fail(err, PK_REJECT, "%s: %s", mapping_path, strerror(errno));
    if (mapping_path && S_ISDIR(info.st_mode)) {
        if (count != 1)
            return pk_fail(err, PK_REJECT, "--mapping is a folder: give one folder with the input files");
        return add_folder(feed, mapping_path, file[0], err);
    }
    struct mapping *mapping = NULL;
    enum pk_status status = mapping_path ? add_mapping(feed, mapping_path, &mapping, err) : PK_OK;
    for (size_t i = 0; i < count && status == PK_OK; i++)
        *pk_vec_push(&feed->source) = (struct source){pk_arena_str(&feed->arena, pk_str(file[i])).ptr, mapping};
    if (status == PK_OK && count == 0)
        *pk_vec_push(&feed->source) = (struct source){"-", mapping};
    return status;
}

enum pk_status feed_open(const char *const file[], size_t count, const char *mapping, struct feed **ret_feed,
                         struct pk_err *err)
{
    struct feed *feed = pk_alloc(sizeof *feed);
    feed->scratch.keep_bytes = 4 << 20;
    enum pk_status status = add_sources(feed, file, count, mapping, err);
    if (status != PK_OK)
        feed_close(feed);
    else
        *ret_feed = feed;
    return status;
}

static void close_source(struct feed *feed)
{
    mapping_close(feed->reader);
    feed->reader = NULL;
    if (feed->input.data)
        input_close(&feed->input);
    feed->is_open = false;
}

void feed_close(struct feed *feed)
{
    if (!feed)
        return;
    close_source(feed);
    for (size_t i = 0; i < feed->mapping.len; i++)
        mapping_done(feed->mapping.ptr[i]);
    pk_vec_done(&feed->mapping);
    pk_vec_done(&feed->source);
    pk_arena_done(&feed->scratch);
    pk_arena_done(&feed->arena);
    pk_buf_done(&feed->object);
    free(feed);
}

const char *feed_file_name(const struct feed *feed, size_t file)
{
    const char *path = feed->source.ptr[file].path;
    return strcmp(path, "-") == 0 ? "(standard input)" : path;
}

/* ---- records ---- */

/* Braces that are open behind the text; -1 if a string is, which cannot go on in the next line. */
static int open_braces(struct pk_str text, int open)
{
    bool string = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (string && c == '\\')
            i++;
        else if (c == '"')
            string = !string;
        else if (!string)
            open += (c == '{') - (c == '}');
    }
    return string ? -1 : open;
}

/* An object that is written over several lines. One that begins in the first column ends the one before
 * it, so that a missing brace costs only its own object. */
static enum input_result gather(struct feed *feed, int open, struct pk_str *text, struct pk_err *err)
{
    pk_buf_reset(&feed->object);
    pk_buf_add(&feed->object, text->ptr, text->len);
    while (open > 0 && feed->object.len < INPUT_MAX_RECORD && input_peek(&feed->input) != '{') {
        struct pk_str more;
        uint64_t line;
        enum input_result result = input_line(&feed->input, &more, &line, err);
        if (result == INPUT_END)
            break;
        if (result != INPUT_RECORD)
            return result;
        pk_buf_add(&feed->object, "\n", 1);
        pk_buf_add(&feed->object, more.ptr, more.len);
        open = open_braces(more, open);
    }
    *text = (struct pk_str){feed->object.ptr, feed->object.len};
    return INPUT_RECORD;
}

static enum input_result next_object(struct feed *feed, struct feed_record *ret, struct pk_err *err)
{
    enum input_result result = input_line(&feed->input, &ret->raw, &ret->line, err);
    ret->reason = "malformed";
    int open = result == INPUT_RECORD ? open_braces(ret->raw, 0) : 0;
    if (open > 0)
        result = gather(feed, open, &ret->raw, err);
    if (result != INPUT_RECORD)
        return result;
    struct event *event = PK_NEW(&feed->scratch, struct event);
    if (event_from_json(ret->raw, &feed->scratch, event, err) != PK_OK)
        return INPUT_BROKEN;
    ret->event = event;
    ret->count = 1;
    return INPUT_RECORD;
}

static enum input_result next_row(struct feed *feed, struct feed_record *ret, struct pk_err *err)
{
    struct mapped_row row;
    enum input_result result = mapping_next(feed->reader, &feed->scratch, &row, err);
    if (result == INPUT_RECORD || result == INPUT_BROKEN) {
        ret->line = row.line;
        ret->raw = row.raw;
        ret->reason = "unmapped";
        ret->count = row.count;
        ret->event = row.event;
    }
    return result;
}

enum input_result feed_next(struct feed *feed, struct feed_record *ret_record, struct pk_err *err)
{
    pk_arena_reset(&feed->scratch);
    for (;;) {
        if (!feed->is_open) {
            if (feed->next == feed->source.len)
                return INPUT_END;
            const struct source *source = &feed->source.ptr[feed->next++];
            enum pk_status status = source->mapping ? mapping_open(source->mapping, source->path, &feed->reader, err)
                                                    : input_open(&feed->input, source->path, err);
            if (status != PK_OK)
                return INPUT_FAILED;
            feed->is_open = true;
        }
        struct feed_record record = {.file = feed->next - 1};
        enum input_result result = feed->reader ? next_row(feed, &record, err) : next_object(feed, &record, err);
        if (result != INPUT_END) {
            *ret_record = record;
            return result;
        }
        close_source(feed);
    }
}
