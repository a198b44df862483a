/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

/* avro-c's values keep pointers at odd addresses; without this each one that lives on is called a leak. */
const char *__lsan_default_options(void);
const char *__lsan_default_options(void)
{
    return "use_unaligned=1";
}

void fuzz_sentence(const struct pk_err *err)
{
    size_t len = strnlen(err->text, sizeof err->text);
    FUZZ_MUST(len > 0, "an error without a sentence");
    FUZZ_MUST(len < sizeof err->text, "a sentence without an end");
    FUZZ_MUST(pk_utf8_valid(err->text, len), "a sentence that PostgreSQL would not take: %s", err->text);
}

static void file_open(int fd)
{
    int made = memfd_create("fuzz", 0);
    FUZZ_MUST(made >= 0 && dup2(made, fd) == fd, "no file in memory");
    close(made);
}

const char *fuzz_file(int number, struct pk_str text)
{
    static bool open[FUZZ_FILES];
    static char path[FUZZ_FILES][32];
    int fd = 900 + number;
    if (!open[number])
        file_open(fd);
    open[number] = true;
    size_t done = 0;
    FUZZ_MUST(ftruncate(fd, 0) == 0, "a file in memory that cannot be cut");
    while (done < text.len) {
        ssize_t wrote = pwrite(fd, text.ptr + done, text.len - done, (off_t)done);
        FUZZ_MUST(wrote > 0, "a file in memory that cannot be written");
        done += (size_t)wrote;
    }
    snprintf(path[number], sizeof path[number], FUZZ_FOLDER "/%d", fd);
    return path[number];
}

struct pk_str fuzz_part(struct pk_str *rest)
{
    static const char mark[] = "\n====\n";
    const char *found = rest->len ? memmem(rest->ptr, rest->len, mark, sizeof mark - 1) : NULL;
    struct pk_str part = {rest->ptr, found ? (size_t)(found - rest->ptr) + 1 : rest->len};
    size_t taken = found ? part.len + sizeof mark - 2 : part.len;
    *rest = (struct pk_str){rest->ptr + taken, rest->len - taken};
    return part;
}

struct pk_str fuzz_exact(struct pk_str text)
{
    char *copy = malloc(text.len ? text.len : 1);
    FUZZ_MUST(copy, "no memory");
    if (text.len)
        memcpy(copy, text.ptr, text.len);
    return (struct pk_str){copy, text.len};
}

void fuzz_free(struct pk_str text)
{
    free((char *)text.ptr);
}
