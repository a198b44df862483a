/* SPDX-License-Identifier: Apache-2.0 */
#include "event_key.h"

enum pk_status event_key_order_parse(const char *list, struct pk_arena *arena, struct event_key_order *ret_order,
                                     struct pk_err *err)
{
    struct event_key_order order = {0};
    struct pk_str rest = pk_arena_str(arena, pk_str(list));
    order.name_space = PK_NEW_ARRAY(arena, struct pk_str, rest.len + 1);
    while (rest.len) {
        const char *comma = memchr(rest.ptr, ',', rest.len);
        struct pk_str name = {rest.ptr, comma ? (size_t)(comma - rest.ptr) : rest.len};
        size_t used = name.len + (comma != NULL);
        while (name.len && name.ptr[0] == ' ')
            name.ptr++, name.len--;
        while (name.len && name.ptr[name.len - 1] == ' ')
            name.len--;
        if (name.len == 0 || (comma && used == rest.len))
            return pk_fail(err, PK_REJECT, "the list of key namespaces has an empty entry");
        order.name_space[order.count++] = name;
        rest.ptr += used, rest.len -= used;
    }
    *ret_order = order;
    return PK_OK;
}

static bool covers(struct pk_str pattern, struct pk_str name)
{
    if (pattern.len < 2 || pattern.ptr[0] != '*' || pattern.ptr[1] != '/')
        return pk_str_eq(pattern, name);
    const char *slash = memchr(name.ptr, '/', name.len);
    struct pk_str local = {slash, slash ? name.len - (size_t)(slash - name.ptr) : 0};
    return pk_str_eq((struct pk_str){pattern.ptr + 1, pattern.len - 1}, local);
}

static void add(struct pk_buf *out, struct pk_str name, struct pk_str value)
{
    pk_buf_add(out, name.ptr, name.len);
    pk_buf_add(out, ":", 1);
    pk_buf_add(out, value.ptr, value.len);
}

void event_key(const struct event *event, const struct event_key_order *order, struct pk_buf *out)
{
    const struct event_identifier *strongest = event->identifier_count ? &event->identifier[0] : NULL;
    for (size_t i = 0; i < order->count; i++)
        for (uint32_t k = 0; k < event->identifier_count; k++)
            if (covers(order->name_space[i], event->identifier[k].name_space)) {
                strongest = &event->identifier[k];
                goto found;
            }
found:
    if (strongest)
        add(out, strongest->name_space, strongest->value);
    else if (event->case_id.len)
        add(out, PK_STR("case_id"), event->case_id);
    else
        add(out, PK_STR("event_id"), event->event_id);
}
