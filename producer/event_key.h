/* SPDX-License-Identifier: Apache-2.0 */
/* event_key.h - the message key of an event: its strongest identifier.
 *
 * Polku is correct for any key and fast for a good one: events of one customer should mostly meet on one
 * partition. The list of namespaces is that of the persons in deploy/polku.yaml, strongest first. */
#ifndef POLKU_EVENT_KEY_H
#define POLKU_EVENT_KEY_H

#include "event.h"

struct event_key_order {
    size_t count;
    struct pk_str *name_space; /* "*" + "/name" stands for any issuer */
};

#define EVENT_KEY_DEFAULT "national_id,*/customer_id,*/loyalty_id,*/login,email,phone"

/* `list` is separated by commas. PK_REJECT if an entry is empty. */
enum pk_status event_key_order_parse(const char *list, struct pk_arena *arena, struct event_key_order *ret_order,
                                     struct pk_err *err);

/* Appends the key: "namespace:value" of the identifier that is first by (place in the order, position in
 * the event), else of the first identifier, else "case_id:" and the case, else "event_id:" and the id. */
void event_key(const struct event *event, const struct event_key_order *order, struct pk_buf *out);

#endif
