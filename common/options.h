/* SPDX-License-Identifier: Apache-2.0 */
/* options.h - defaults < file < environment < arguments, from one table per program.
 *
 * A program lists its options once, in a *_options.def file; parsing, --help, the example file and the
 * page in docs come from that table. Sources, later wins: the default, a file given by --config
 * (`name = value` lines, # comments), environment POLKU_NAME (dashes become underscores, upper case),
 * --name value or --name=value. Unknown names are errors that name the nearest known one.
 * `kafka.*` (file, argument) passes through to librdkafka untouched.
 *
 * Secrets come from files of their own only: a secret option, and a property of librdkafka that is one, is given as
 * `<name>-file` with the name of the file. As a value it is refused, also in the file of options, and the sentence
 * does not repeat it. */
#ifndef POLKU_OPTIONS_H
#define POLKU_OPTIONS_H

#include "pk.h"

enum option_type { OPTION_TEXT, OPTION_INT, OPTION_BYTES, OPTION_DURATION, OPTION_BOOL, OPTION_SECRET_FILE };

struct option {
    const char *name;         /* "batch-records" */
    const char *commands;     /* space-separated commands it belongs to, "*" for all */
    enum option_type type;    /* BYTES: "200MiB"; DURATION: "500ms" */
    const char *fallback;     /* default as text; NULL = none */
    int64_t min, max;         /* INT; BYTES in bytes; DURATION in microseconds; max 0 = unbounded */
    size_t offset;            /* of the member in the program's struct: const char *, int64_t or bool */
    const char *value_name;   /* for help: "N", "FILE", "DURATION", "this|that" if it is one of few words */
    const char *help;
};

struct option_set {
    const struct option *option;
    size_t count;
    const char *program, *env_prefix; /* "POLKU_" */
};

struct kafka_property {
    const char *name, *value; /* without "kafka." */
};

struct options_result {
    PK_VEC(struct kafka_property) kafka;
    PK_VEC(const char *) rest; /* positional arguments in order */
    bool help;                 /* --help or -h was given; the values are not filled then */
    const char *exposed;       /* files of secrets that every user of this machine may read; NULL = none */
};

/* Is this property of librdkafka, without "kafka.", a secret? */
bool options_kafka_secret(const char *name);

/* Fills the program's struct `ret_values`. Text lives in `arena`. PK_REJECT with a sentence that names
 * the source ("argument", "POLKU_X", "FILE:LINE"). argv[0] is the first argument, not the program. */
enum pk_status options_parse(const struct option_set *set, const char *command, int argc, char *const argv[],
                             struct pk_arena *arena, void *ret_values, struct options_result *ret_result,
                             struct pk_err *err);
/* Help for one command, or all options with command NULL; a commented example file. */
void options_help(const struct option_set *set, const char *command, struct pk_buf *out);
void options_example(const struct option_set *set, struct pk_buf *out);
/* A Markdown table for docs/options-<program>.md. */
void options_markdown(const struct option_set *set, struct pk_buf *out);

/* For manual.c: what a user writes, "" for a switch; whether a command has it; "1..1000000" and whether it is a number. */
const char *options_written_name(const struct option *option, char buf[64]);
const char *options_value_name(const struct option *option);
bool options_belongs(const struct option *option, const char *command);
bool options_range(const struct option *option, char out[80]);

#endif
