/* SPDX-License-Identifier: Apache-2.0 */
/* An option file, and arguments one a line behind it: every type of option, refused by name of the source. */
#include "fuzz.h"
#include "options.h"

struct values {
    const char *text, *secret;
    int64_t number, bytes, duration;
    bool flag;
};
static const struct option option[] = {
    {"text", "*", OPTION_TEXT, "x", 0, 0, offsetof(struct values, text), "T", "help"},
    {"number", "run", OPTION_INT, "5", -3, 100, offsetof(struct values, number), "N", "help"},
    {"bytes", "run", OPTION_BYTES, "1MiB", 1, 0, offsetof(struct values, bytes), "SIZE", "help"},
    {"duration", "run", OPTION_DURATION, "5s", 0, 0, offsetof(struct values, duration), "D", "help"},
    {"flag", "run", OPTION_BOOL, "false", 0, 0, offsetof(struct values, flag), NULL, "help"},
    {"secret", "run", OPTION_SECRET_FILE, NULL, 0, 0, offsetof(struct values, secret), "FILE", "help"},
    {"brokers", "run", OPTION_TEXT, "b", 0, 0, offsetof(struct values, text), "B", "help"},
};
static const struct option_set set = {option, PK_COUNT(option), "fuzz", "POLKU_FUZZ_"};

enum { MAX_ARGUMENTS = 20 };

static int split(char *text, char *argv[MAX_ARGUMENTS])
{
    int argc = 0;
    for (char *line = text; line && argc < MAX_ARGUMENTS; argc++) {
        argv[argc] = line;
        line = strchr(line, '\n');
        if (line)
            *line++ = '\0';
    }
    return argc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pk_str rest = {(const char *)data, size}, file = fuzz_part(&rest);
    struct pk_arena arena PK_AUTO(pk_arena_done) = {0};
    if (memmem(data, size, "/dev/", 5)) /* a secret's file may be any */
        return 0;
    char *argv[MAX_ARGUMENTS + 2] = {"--config", (char *)fuzz_file(0, file)};
    int argc = 2 + (rest.len ? split((char *)pk_arena_str(&arena, rest).ptr, argv + 2) : 0);
    struct values values = {0};
    struct options_result result = {0};
    struct pk_err err = {0};
    enum pk_status status = options_parse(&set, "run", argc, argv, &arena, &values, &result, &err);
    if (status != PK_OK) {
        fuzz_sentence(&err);
    } else if (!result.help) {
        FUZZ_MUST(values.number >= -3 && values.number <= 100, "a number beyond its limits");
        FUZZ_MUST(values.bytes >= 1 && values.duration >= 0, "a size or time beyond its limits");
        FUZZ_MUST(values.text, "an option without its default");
    }
    if (status == PK_OK) {
        pk_vec_done(&result.kafka);
        pk_vec_done(&result.rest);
    }
    return 0;
}
