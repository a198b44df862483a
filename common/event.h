/* SPDX-License-Identifier: Apache-2.0 */
/* event.h - one customer interaction as its publisher wrote it, and the test that it may be believed.
 *
 * The fields are those of schemas/interaction.avsc, which documents them. Text is borrowed from the
 * payload (zero copy) or from the arena of whoever filled the event; optional text that is absent has
 * ptr NULL. */
#ifndef POLKU_EVENT_H
#define POLKU_EVENT_H

#include "pk.h"

/* In the order of the symbols in interaction.avsc; UNKNOWN is last and the default there. */
enum event_direction { EVENT_INBOUND, EVENT_OUTBOUND, EVENT_INTERNAL, EVENT_PUBLIC, EVENT_DIRECTION_UNKNOWN };
enum event_actor { EVENT_CUSTOMER, EVENT_HUMAN, EVENT_BOT, EVENT_SYSTEM, EVENT_ACTOR_UNKNOWN };
enum event_sensitivity { EVENT_NORMAL, EVENT_SENSITIVE };

enum {
    EVENT_MAX_IDENTIFIERS = 16,
    EVENT_MAX_ATTRIBUTES = 64,
    EVENT_MAX_ID = 128,          /* bytes of event_id, source, obligation.id */
    EVENT_MAX_NAME = 128,        /* bytes of type, channel, brand, unit, namespace and other vocabulary */
    EVENT_MAX_TEXT = 512,        /* bytes of identifier values, case_id, relates_to, topic, cause, product, ... */
    EVENT_MAX_ATTRIBUTE = 4096,  /* bytes of one attribute value */
    EVENT_MAX_BYTES = 64 << 10,  /* bytes of one encoded event; larger is too_large */
};
#define EVENT_MIN_TIME_US INT64_C(631152000000000)  /* 1990-01-01, inclusive */
#define EVENT_MAX_TIME_US INT64_C(7258118400000000) /* 2200-01-01, exclusive */
#define EVENT_MAX_AMOUNT INT64_C(1000000000000000)  /* of money.amount_minor, either sign, inclusive */

struct event_identifier {
    struct pk_str name_space, value;
};
struct event_attribute {
    struct pk_str key, value;
};
struct event_obligation { /* an explicit promise */
    struct pk_str id, kind;
    int64_t due_from_us, due_to_us; /* PK_NO_TIME if none */
    struct pk_str brand, unit, role;
};
struct event_handoff {
    struct pk_str to_brand, to_unit, to_role;
};
struct event_rating {
    struct pk_str scale;
    double score, min, max;
};
struct event_money {
    int64_t amount_minor; /* in the smallest unit of the currency */
    struct pk_str currency, kind;
};

struct event {
    struct pk_str event_id, source;
    int64_t occurred_at_us;
    int64_t sequence;
    struct pk_str type, channel;
    enum event_direction direction;
    enum event_actor actor;
    enum event_sensitivity sensitivity;
    bool has_obligation, has_handoff, has_rating, has_money;
    struct pk_str brand, unit;
    uint32_t identifier_count, attribute_count;
    const struct event_identifier *identifier;
    const struct event_attribute *attribute; /* as written, not sorted */
    struct pk_str staff, case_id, relates_to;
    struct pk_str topic, cause, product, location, stage, outcome, reason;
    struct event_obligation obligation;
    struct event_handoff handoff;
    struct event_rating rating;
    struct event_money money;
};

/* Why a record became a row of quarantine. Names are those of the table's `reason`. */
enum reject_reason {
#define X(id, name, help) REJECT_##id,
#include "reject.def"
#undef X
    REJECT_COUNT
};
const char *reject_name(enum reject_reason reason);

struct event_limits {
    int64_t max_ahead_us; /* how far occurred_at may lie after the record's Kafka timestamp */
};

/* Checks limits, times, UTF-8, vocabulary form (not membership) and cross-field rules.
 * `recorded_at_us` is the record's Kafka timestamp, PK_NO_TIME if it has none.
 * PK_REJECT with *ret_reason (invalid, too_large or future) and a sentence naming the field; the
 * sentence never quotes an identifier's value. */
enum pk_status event_validate(const struct event *event, const struct event_limits *limits, int64_t recorded_at_us,
                              enum reject_reason *ret_reason, struct pk_err *err);

#endif
