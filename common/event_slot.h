/* SPDX-License-Identifier: Apache-2.0 */
/* event_slot.h - the members of struct event as a table: which field of the schema lives where.
 *
 * The plan, the JSON codec and the avro-c encoder are driven by it; a test holds it against
 * schemas/interaction.avsc. Used within common/ only. */
#ifndef POLKU_EVENT_SLOT_H
#define POLKU_EVENT_SLOT_H

#include "event.h"

enum slot_kind { SLOT_TEXT, SLOT_LONG, SLOT_TIME, SLOT_DOUBLE, SLOT_ENUM, SLOT_RECORD, SLOT_IDENTIFIERS, SLOT_ATTRIBUTES };

struct event_slot {
    const char *name;
    enum slot_kind kind;
    bool nullable;  /* absent is a value: text with ptr NULL, PK_NO_TIME, `present` false */
    bool required;  /* the schema has no default */
    uint16_t offset;  /* in struct event */
    uint16_t present; /* RECORD: of its bool */
    int fallback;     /* ENUM: default value */
    const char *const *symbol;      /* ENUM: names in the order of the C enum */
    const struct event_slot *part;  /* RECORD: its fields */
    size_t count;                   /* of symbols or parts */
};

extern const struct event_slot event_slot[];
extern const size_t event_slot_count;
extern const struct event_slot event_identifier_slot[2]; /* offsets in struct event_identifier */

#endif
