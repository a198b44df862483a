/* SPDX-License-Identifier: Apache-2.0 */
/* Gives a fuzz target every file of its corpus, without libFuzzer: fuzz_replay_NAME FILE-OR-FOLDER... */
#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

int __attribute__((weak)) LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static size_t replay_file(const char *path)
{
    FILE *in = fopen(path, "rb");
    FUZZ_MUST(in, "%s cannot be opened", path);
    struct pk_buf text = {0};
    size_t got;
    do {
        pk_buf_reserve(&text, 1 << 16);
        got = fread(text.ptr + text.len, 1, 1 << 16, in);
        text.len += got;
    } while (got > 0);
    fclose(in);
    struct pk_str exact = fuzz_exact((struct pk_str){text.ptr, text.len});
    pk_buf_done(&text);
    setenv("POLKU_FUZZ_FILE", path, 1); /* for whoever looks at the core of a crash */
    (void)LLVMFuzzerTestOneInput((const uint8_t *)exact.ptr, exact.len);
    fuzz_free(exact);
    return 1;
}

static size_t replay(const char *path)
{
    struct stat about;
    FUZZ_MUST(stat(path, &about) == 0, "%s is not there", path);
    if (!S_ISDIR(about.st_mode))
        return replay_file(path);
    DIR *dir = opendir(path);
    FUZZ_MUST(dir, "%s cannot be opened", path);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char inner[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        count += replay(inner);
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    LLVMFuzzerInitialize(&argc, &argv);
    size_t count = 0;
    for (int i = 1; i < argc; i++)
        count += replay(argv[i]);
    printf("%zu inputs, no finding\n", count);
    return count ? 0 : 1;
}
