/* SPDX-License-Identifier: Apache-2.0 */
#include "installed.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

const char *installed_path(const char *name, struct pk_arena *arena)
{
    char program[PATH_MAX], path[2 * PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);
    if (len <= 0)
        return NULL;
    program[len] = '\0';
    char *slash = strrchr(program, '/');
    if (!slash)
        return NULL;
    *slash = '\0';
    int wanted = snprintf(path, sizeof path, "%s/" POLKU_DATA_FROM_BIN "/%s", program, name);
    if (wanted >= (int)sizeof path || access(path, R_OK) != 0)
        return NULL;
    return pk_arena_str(arena, pk_str(path)).ptr;
}
