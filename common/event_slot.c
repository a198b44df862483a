/* SPDX-License-Identifier: Apache-2.0 */
#include "event_slot.h"

#define AT(member) offsetof(struct event, member)
#define TEXT(field, member) {field, SLOT_TEXT, .required = true, .offset = AT(member)}
#define OPTIONAL(field, member) {field, SLOT_TEXT, .nullable = true, .offset = AT(member)}
#define RECORD(field, flag, parts)                                                                                   \
    {field, SLOT_RECORD, .nullable = true, .present = AT(flag), .part = parts, .count = PK_COUNT(parts)}
#define ENUM(field, member, symbols, value)                                                                          \
    {field, SLOT_ENUM, .offset = AT(member), .symbol = symbols, .count = PK_COUNT(symbols), .fallback = value}

static const char *const direction[] = {"INBOUND", "OUTBOUND", "INTERNAL", "PUBLIC", "UNKNOWN"};
static const char *const actor[] = {"CUSTOMER", "HUMAN", "BOT", "SYSTEM", "UNKNOWN"};
static const char *const sensitivity[] = {"NORMAL", "SENSITIVE"};

static const struct event_slot obligation[] = {
    TEXT("id", obligation.id),
    TEXT("kind", obligation.kind),
    {"due_from", SLOT_TIME, .nullable = true, .offset = AT(obligation.due_from_us)},
    {"due_to", SLOT_TIME, .nullable = true, .offset = AT(obligation.due_to_us)},
    OPTIONAL("brand", obligation.brand),
    OPTIONAL("unit", obligation.unit),
    OPTIONAL("role", obligation.role),
};
static const struct event_slot handoff[] = {
    OPTIONAL("to_brand", handoff.to_brand),
    OPTIONAL("to_unit", handoff.to_unit),
    OPTIONAL("to_role", handoff.to_role),
};
static const struct event_slot rating[] = {
    TEXT("scale", rating.scale),
    {"score", SLOT_DOUBLE, .required = true, .offset = AT(rating.score)},
    {"min", SLOT_DOUBLE, .offset = AT(rating.min)},
    {"max", SLOT_DOUBLE, .offset = AT(rating.max)},
};
static const struct event_slot money[] = {
    {"amount_minor", SLOT_LONG, .required = true, .offset = AT(money.amount_minor)},
    TEXT("currency", money.currency),
    TEXT("kind", money.kind),
};

const struct event_slot event_identifier_slot[2] = {
    {"namespace", SLOT_TEXT, .required = true, .offset = offsetof(struct event_identifier, name_space)},
    {"value", SLOT_TEXT, .required = true, .offset = offsetof(struct event_identifier, value)},
};

const struct event_slot event_slot[] = {
    TEXT("event_id", event_id),
    TEXT("source", source),
    {"occurred_at", SLOT_TIME, .required = true, .offset = AT(occurred_at_us)},
    {"sequence", SLOT_LONG, .offset = AT(sequence)},
    TEXT("type", type),
    TEXT("channel", channel),
    ENUM("direction", direction, direction, EVENT_DIRECTION_UNKNOWN),
    ENUM("actor", actor, actor, EVENT_ACTOR_UNKNOWN),
    TEXT("brand", brand),
    OPTIONAL("unit", unit),
    {"identifiers", SLOT_IDENTIFIERS},
    OPTIONAL("staff", staff),
    OPTIONAL("case_id", case_id),
    OPTIONAL("relates_to", relates_to),
    OPTIONAL("topic", topic),
    OPTIONAL("cause", cause),
    OPTIONAL("product", product),
    OPTIONAL("location", location),
    OPTIONAL("stage", stage),
    OPTIONAL("outcome", outcome),
    OPTIONAL("reason", reason),
    RECORD("obligation", has_obligation, obligation),
    RECORD("handoff", has_handoff, handoff),
    RECORD("rating", has_rating, rating),
    RECORD("money", has_money, money),
    ENUM("sensitivity", sensitivity, sensitivity, EVENT_NORMAL),
    {"attributes", SLOT_ATTRIBUTES},
};
const size_t event_slot_count = PK_COUNT(event_slot);
