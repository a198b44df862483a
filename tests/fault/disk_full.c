/* SPDX-License-Identifier: Apache-2.0 */
/* A full disk for one PostgreSQL, preloaded into it: while the file that POLKU_DISK_FULL names exists, no file under
 * .../base/ grows any more. What is written within a file's size goes through, as on a disk that is really full. */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))

static int is_full(int fd, off_t end)
{
    const char *flag = getenv("POLKU_DISK_FULL");
    if (!flag || access(flag, F_OK) != 0)
        return 0;
    char link[64], path[1024];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    struct stat file;
    if (len < 0 || fstat(fd, &file) != 0 || !S_ISREG(file.st_mode))
        return 0;
    path[len] = '\0';
    return strstr(path, "/base/") && end > file.st_size;
}

/* The C library's own function of that name. */
static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

PUBLIC ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset);
PUBLIC ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    static ssize_t (*next)(int, const void *, size_t, off_t);
    if (is_full(fd, offset + (off_t)size)) {
        errno = ENOSPC;
        return -1;
    }
    if (!next)
        *(void **)&next = real("pwrite");
    return next(fd, bytes, size, offset);
}

PUBLIC ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t offset);
PUBLIC ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t offset)
{
    return pwrite(fd, bytes, size, offset);
}

PUBLIC ssize_t pwritev(int fd, const struct iovec *part, int count, off_t offset);
PUBLIC ssize_t pwritev(int fd, const struct iovec *part, int count, off_t offset)
{
    static ssize_t (*next)(int, const struct iovec *, int, off_t);
    off_t end = offset;
    for (int i = 0; i < count; i++)
        end += (off_t)part[i].iov_len;
    if (is_full(fd, end)) {
        errno = ENOSPC;
        return -1;
    }
    if (!next)
        *(void **)&next = real("pwritev");
    return next(fd, part, count, offset);
}

PUBLIC ssize_t pwritev64(int fd, const struct iovec *part, int count, off_t offset);
PUBLIC ssize_t pwritev64(int fd, const struct iovec *part, int count, off_t offset)
{
    return pwritev(fd, part, count, offset);
}
