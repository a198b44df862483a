/* SPDX-License-Identifier: Apache-2.0 */
/* manual.h - man page and shell completion of a program, from its table of commands and its table of options: the same
 * that give --help. Whether an argument is one of few words is read from how help writes it: "show|set", and FILE and DIR are
 * completed as such. */
#ifndef POLKU_MANUAL_H
#define POLKU_MANUAL_H

#include "options.h"

struct manual_command {
    const char *name, *help;
    const char *arguments; /* as help writes them: "show|set [PLACE...]"; NULL or "" = none */
    const char *more;      /* paragraphs for its own help; lines of two spaces, words, two spaces, text are a list. May be NULL */
};

struct manual {
    const struct option_set *options;
    const struct manual_command *command;
    size_t count;
    const char *version;
    const char *title;      /* one line, without the program's name */
    const char *about;      /* paragraphs, separated by empty lines */
    const char *exit_codes; /* as help writes them */
    const char *see;        /* "polku.yaml(5), polku-producer(1)" */
};

/* man(7), for section 1. */
void manual_page(const struct manual *manual, struct pk_buf *out);
/* A script for bash; zsh reads it by bashcompinit. */
void manual_completion(const struct manual *manual, struct pk_buf *out);

#endif
