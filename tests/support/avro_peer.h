/* SPDX-License-Identifier: Apache-2.0 */
/* avro_peer.h - avro-c beside our decoder: schemas of ten writers, random events in them, and whether both read the
 * same from one body. What cannot happen (avro-c refuses its own bytes, a field is not there) ends the program. */
#ifndef POLKU_AVRO_PEER_H
#define POLKU_AVRO_PEER_H

#include "avro_plan.h"
#include "chance.h"

#include <avro.h>

struct json_t; /* jansson */

enum { PEER_WRITERS = 10 };

struct peer {
    const char *name; /* what is different about this writer */
    char *json;       /* its schema */
    struct json_t *tree; /* the same */
    struct avro_plan *plan;
    avro_schema_t schema;
    avro_value_iface_t *iface;
    avro_value_t written, read;
    uint8_t buf[1 << 17]; /* of peer_random */
    size_t len;
};

struct peer *peer_open(size_t writer); /* 0 is our own schema */
void peer_close(struct peer *peer);

/* Random bytes of the writer's schema into buf, and avro-c's own reading of them into `read`. */
void peer_random(struct peer *peer, struct chance *chance);
/* avro-c's reading of a body into `read`; false if it refuses or leaves bytes over. avro-c leaks on cut input and takes
 * lengths as they come: only for bodies that are known to be whole. */
bool peer_read(struct peer *peer, struct pk_bytes body);

enum peer_verdict {
    PEER_SAME,
    PEER_DIFFERS,
    PEER_UNREADABLE, /* holds a branch or a moment that no event can have */
};
/* Our event against `read`; *ret_where names the field that differs. */
enum peer_verdict peer_compare(struct peer *peer, const struct event *event, const char **ret_where);
/* Is any branch or overflow in `read` that we cannot read? Asked only after a refusal. */
bool peer_is_unreadable(const struct peer *peer);

/* Our schema as JSON, the caller's; a field of a record of it. */
struct json_t *peer_our_schema(void);
struct json_t *peer_field(struct json_t *record, const char *name, size_t *ret_index);

#endif
