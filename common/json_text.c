/* SPDX-License-Identifier: Apache-2.0 */
#include "json_text.h"

#include <stdlib.h>

static void *alloc(size_t bytes)
{
    return pk_realloc(NULL, bytes);
}

json_t *json_read(struct pk_str text, size_t flags, json_error_t *ret_where)
{
    json_set_alloc_funcs(alloc, free);
    return json_loadb(text.ptr ? text.ptr : "", text.len, flags, ret_where);
}
