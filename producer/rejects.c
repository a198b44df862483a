/* SPDX-License-Identifier: Apache-2.0 */
#include "rejects.h"

#include <errno.h>
#include <inttypes.h>

enum pk_status rejects_open(struct rejects *rejects, const char *path, struct pk_err *err)
{
    *rejects = (struct rejects){0};
    if (path && !(rejects->stream = fopen(path, "w")))
        return pk_fail(err, PK_REJECT, "--rejects: %s: %s", path, strerror(errno));
    if (path)
        setvbuf(rejects->stream, NULL, _IOLBF, 0); /* whoever follows the file sees each line when it is rejected */
    return PK_OK;
}

static size_t character(const char *at, const char *end)
{
    unsigned char c = (unsigned char)*at;
    size_t len = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    return c && (size_t)(end - at) >= len && pk_utf8_valid(at, len) ? len : 0;
}

static void put_text(FILE *out, struct pk_str text)
{
    fputc('"', out);
    for (const char *at = text.ptr, *end = at + text.len; at < end;) {
        size_t len = character(at, end);
        if (len == 0) {
            fputs(*at ? "\\ufffd" : "\\u0000", out);
            at++;
        } else if (*at == '"' || *at == '\\') {
            fprintf(out, "\\%c", *at++);
        } else if ((unsigned char)*at < 0x20) {
            fprintf(out, "\\u%04x", *at++);
        } else {
            fwrite(at, 1, len, out);
            at += len;
        }
    }
    fputc('"', out);
}

void rejects_add(struct rejects *rejects, const char *file, uint64_t line, const char *reason, const char *error,
                 struct pk_str text)
{
    rejects->count++;
    if (!rejects->stream)
        return;
    fputs("{\"file\": ", rejects->stream);
    put_text(rejects->stream, pk_str(file));
    fprintf(rejects->stream, ", \"line\": %" PRIu64 ", \"reason\": \"%s\", \"error\": ", line, reason);
    put_text(rejects->stream, pk_str(error));
    if (text.ptr) {
        fputs(", \"text\": ", rejects->stream);
        put_text(rejects->stream, text);
    }
    fputs("}\n", rejects->stream);
}

enum pk_status rejects_close(struct rejects *rejects, struct pk_err *err)
{
    if (!rejects->stream)
        return PK_OK;
    bool failed = ferror(rejects->stream);
    failed = fclose(rejects->stream) != 0 || failed;
    rejects->stream = NULL;
    return failed ? pk_fail(err, PK_STOP, "--rejects: cannot write: %s", strerror(errno)) : PK_OK;
}
