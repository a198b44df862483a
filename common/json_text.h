/* SPDX-License-Identifier: Apache-2.0 */
/* json_text.h - text as jansson's tree. Out of memory ends the process here too: a record is never called broken because
 * there was no room to read it. */
#ifndef POLKU_JSON_TEXT_H
#define POLKU_JSON_TEXT_H

#include "pk.h"

#include <jansson.h>

/* NULL with *ret_where filled if it is no JSON; flags are json_loadb's. The caller frees with json_decref. */
json_t *json_read(struct pk_str text, size_t flags, json_error_t *ret_where);

#endif
