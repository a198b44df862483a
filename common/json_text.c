/* SPDX-License-Identifier: Apache-2.0 */
#include "json_text.h"

#include <stdlib.h>

#ifndef POLKU_LIBRARY /* in somebody else's program jansson is theirs */
static void *alloc(size_t bytes)
{
    return pk_realloc(NULL, bytes);
}
#endif

json_t *json_read(struct pk_str text, size_t flags, json_error_t *ret_where)
{
#ifndef POLKU_LIBRARY
    json_set_alloc_funcs(alloc, free);
#endif
    return json_loadb(text.ptr ? text.ptr : "", text.len, flags, ret_where);
}
