/* SPDX-License-Identifier: Apache-2.0 */
/* libraries.h - which versions of the libraries of common/ run with the program, for --version. */
#ifndef POLKU_LIBRARIES_H
#define POLKU_LIBRARIES_H

#include "pk.h"

/* "libcurl 7.88.1, jansson 2.14, ...": of those that tell it, what runs; of avro-c what it was built with. */
void libraries_text(struct pk_buf *out);

#endif
