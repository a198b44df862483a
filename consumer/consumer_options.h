/* SPDX-License-Identifier: Apache-2.0 */
/* consumer_options.h - the options of polku-consumer, from consumer_options.def, and what follows from them. */
#ifndef POLKU_CONSUMER_OPTIONS_H
#define POLKU_CONSUMER_OPTIONS_H

#include "fact.h"
#include "intake.h"
#include "options.h"
#include "registry.h"
#include "rules.h"
#include "schema_set.h"

/* `database` holds the password of `database_password` too: it is for libpq, never for a sentence. */
struct consumer_options {
#define X(member, ctype, name, commands, kind, fallback, min, max, value_name, help) ctype member;
#include "consumer_options.def"
#undef X
    enum intake_start start;      /* of `from` */
    enum log_level level;         /* of log_level */
    enum log_format format;       /* of log_format */
    struct options_result rest;   /* kafka.*, positional arguments, whether help was asked for */
};

extern const struct option_set consumer_option_set;

/* Parses, checks words and limits across options. PK_REJECT with a sentence. The caller frees
 * ret->rest.kafka and ret->rest.rest. */
enum pk_status consumer_options_parse(const char *command, int argc, char *const argv[], struct pk_arena *arena,
                                      struct consumer_options *ret, struct pk_err *err);

struct intake_config consumer_intake_config(const struct consumer_options *options);

/* The folder of schemas and the registry, whichever are given. Connects to nobody. The options live as long as the set. */
enum pk_status consumer_open_schemas(const struct consumer_options *options, struct schema_set **ret, struct pk_err *err);

/* The registry of the options, which must name one. */
enum pk_status consumer_open_registry(const struct consumer_options *options, struct registry **ret, struct pk_err *err);

/* Everything that `run` derives with, read from the files of the options. */
struct consumer_inputs {
    struct symbols symbols;
    struct pk_arena arena;
    struct rules rules;
    struct rules_warnings warnings;
    struct schema_set *schemas;
    struct fact_hasher hasher;
};
/* PK_REJECT names the file. `hash key` is wanted unless `optional_key`. Warnings about the rules are
 * filled where the folder of schemas has a vocabulary. */
enum pk_status consumer_inputs_load(const struct consumer_options *options, bool optional_key,
                                    struct consumer_inputs *ret, struct pk_err *err);
void consumer_inputs_done(struct consumer_inputs *inputs); /* wipes the key */

/* The rules and their warnings alone, with symbols that were begun. */
enum pk_status consumer_load_rules(const struct consumer_options *options, struct consumer_inputs *inputs, struct pk_err *err);

/* 32..128 hexadecimal digits, spaces and line ends between them are ignored. Never quotes the text. */
enum pk_status consumer_read_key(const char *text, struct fact_hasher *ret, struct pk_err *err);

#endif
