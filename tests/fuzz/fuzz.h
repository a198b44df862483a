/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz.h - what fuzz targets share. A target is one file, fuzz_NAME.c, with LLVMFuzzerTestOneInput.
 *
 * clang links it with libFuzzer (preset fuzz, tests/fuzz/run); gcc links it with replay.c, which gives it every file
 * of tests/fuzz/corpus/NAME in each normal test run. What a target finds ends the program with a sentence. */
#ifndef POLKU_FUZZ_H
#define POLKU_FUZZ_H

#include "pk.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);                                        /* optional */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed); /* optional, libFuzzer only */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);                      /* libFuzzer's own */

#define FUZZ_MUST(holds, ...)                                                                                        \
    do {                                                                                                             \
        if (!(holds)) {                                                                                              \
            fprintf(stderr, "finding: " __VA_ARGS__);                                                                \
            fprintf(stderr, " (%s:%d: %s)\n", __FILE__, __LINE__, #holds);                                           \
            abort();                                                                                                 \
        }                                                                                                            \
    } while (0)

/* An error must be a sentence: something, ended within its room, and UTF-8, for it may become a row of quarantine. */
void fuzz_sentence(const struct pk_err *err);

/* Files in memory under fixed paths, for what is read from a file. There are FUZZ_FILES of them; the path of file N is
 * FUZZ_FOLDER "/" and 900 + N, so that an input may name its neighbours. */
enum { FUZZ_FILES = 3 };
#define FUZZ_FOLDER "/proc/self/fd"
const char *fuzz_file(int number, struct pk_str text);

/* Cuts the text before the next line "====" off *rest; all of it if there is none. */
struct pk_str fuzz_part(struct pk_str *rest);

/* The bytes as text in memory of exactly their size, so that a sanitizer sees any read beyond them. */
struct pk_str fuzz_exact(struct pk_str text);
void fuzz_free(struct pk_str text);

#endif
