/* SPDX-License-Identifier: Apache-2.0 */
/* fact.h - an event as the derivation sees it: identifiers hashed, repeated text interned.
 *
 * Nothing behind this point knows a raw identifier. A fact is built from an event (fact_from_event)
 * or loaded from the table interaction by the store, which then fills the members above the line
 * "only written" in any case and leaves those below it empty. */
#ifndef POLKU_FACT_H
#define POLKU_FACT_H

#include "event.h"
#include "rules.h"

struct matcher;

/* identifier.kind and customer.kind in SQL. OBLIGATION: what relates_to may name. CROSSING: a case through which
 * customers may influence each other's obligations (rules `across`). SHARED: only of customers. */
enum key_kind { KEY_PERSON, KEY_DEVICE, KEY_CASE, KEY_OBLIGATION, KEY_CROSSING, KEY_SHARED };

/* The hash under which a name is a key. One value may be an identifier and also name an obligation (an event of
 * source "phone" with a number as its id), and a case is a key in two roles: inverted bytes keep them apart. The same
 * function leads back. */
static inline struct pk_hash fact_key(struct pk_hash name, enum key_kind kind)
{
    if (kind == KEY_OBLIGATION)
        name.byte[15] = (uint8_t)~name.byte[15];
    else if (kind == KEY_CROSSING)
        name.byte[0] = (uint8_t)~name.byte[0];
    return name;
}

struct fact_identifier {
    struct pk_hash hash; /* zero if blocked or of an unknown namespace */
    sym_t name_space;    /* the full name as the event wrote it */
    struct pk_str value; /* normalised; only where the namespace says `store: clear`, and not of a loaded fact */
};

struct fact_name { /* an identifier that takes part in identity */
    struct pk_hash hash;
    sym_t name_space;
    const struct rules_namespace *rules;
    struct pk_str value; /* as above */
};
enum { FACT_MAX_IDENTIFIERS = 16 };

struct fact_promise { /* the explicit obligation record */
    struct pk_hash id; /* the ledger id, H(source 0 id) */
    sym_t kind;
    int64_t due_from_us, due_to_us;
    sym_t brand, unit, role;
};

struct fact {
    int64_t at_us, sequence;
    sym_t source;
    struct pk_str event_id;
    struct pk_hash event_hash; /* H(source 0 event_id); with at_us the identity of the event */
    uint64_t content_hash;
    struct pk_hash case_key, relates; /* zero = none */
    const struct fact_identifier *identifier; /* as in the event */
    uint8_t identifier_count;
    uint8_t person_count, device_count;
    const struct fact_name *person; /* distinct, not blocked, by (priority, position); then the devices likewise */
    const struct fact_name *device;
    sym_t type, channel, brand, unit, outcome, reason;
    uint8_t direction, actor, sensitivity;
    bool has_promise, has_handoff;
    uint32_t traits; /* bits of TRAIT(...) */
    struct fact_promise promise;
    sym_t to_brand, to_unit, to_role;
    sym_t topic, cause, stage;
    struct pk_hash staff; /* zero = none */
    bool has_rating, has_money;
    struct {
        sym_t scale;
        double score, min, max;
    } rating;
    struct {
        int64_t amount_minor;
        sym_t currency, kind;
    } money;

    bool forgotten; /* docs/semantics.md 3.7: it is no event */
    bool retained;  /* 3.8: nor is this, it is too old; `forgotten` says so too */
    bool promise_sealed; /* 3.8: what its record names is sealed: it opens nothing */

    /* what the database holds of it */
    bool stored;
    struct pk_hash stored_journey;  /* zero = none */
    struct pk_hash stored_customer; /* zero = none */
    struct pk_hash stored_sighted;  /* see `sighted` */
    enum key_kind stored_kind;      /* of the customer */

    /* what the workset and derive decided (docs/semantics.md 3.4); of a loaded fact at first: as stored */
    struct pk_hash customer; /* zero = none */
    enum key_kind customer_kind;
    struct pk_hash sighted; /* an event that borrows: own person of the winning sighting; zero = its own, or anonymous */
    struct journey *journey; /* NULL = none; lives as long as the derivation's arena */
    uint32_t order;          /* its place in event order among the facts that are derived together */

    /* where it came from (of a stored fact: as stored) */
    sym_t topic_name;
    int32_t partition;
    int64_t offset;
    int64_t received_at_us; /* the record's Kafka timestamp, PK_NO_TIME if none */

    /* ---- only written ---- */
    struct pk_str product, location;
    struct pk_str attributes; /* JSON object text, ptr NULL if there are none */
    struct pk_bytes record_key, record_value; /* the Kafka record, for quarantine if this copy loses */
    const struct record_headers *record_headers;
};

struct fact_hasher { /* the hash key; 16..64 bytes, from --hash-key-file */
    uint8_t key[64];
    size_t key_len;
};

/* H(parts[0] 0x00 parts[1] 0x00 ...), keyed BLAKE2b-128. */
struct pk_hash fact_hash(const struct fact_hasher *hasher, const struct pk_str *part, size_t count);

/* What making facts needs. Made once, borrows what it is given, not thread-safe. */
struct fact_maker {
    const struct rules *rules;
    const struct fact_hasher *hasher;
    struct symbols *symbols;
    struct matcher *matcher; /* match.h; of the same rules and symbols */

    struct pk_buf scratch;      /* memory kept from event to event */
    struct fact_memo *memo;     /* hashes of values met lately: a hash costs more than all the rest of a fact */
    sym_t case_id, staff;       /* the reserved namespaces */
    PK_VEC(int32_t) name_space; /* by symbol: 0 = not looked up yet, -1 = unknown, else 1 + index */
};
void fact_maker_init(struct fact_maker *maker, const struct rules *rules, const struct fact_hasher *hasher,
                     struct symbols *symbols, struct matcher *matcher);
void fact_maker_done(struct fact_maker *maker);

/* Normalises, drops blocked values, hashes, resolves relates_to, computes traits. Whose event it is stays open.
 * `event` is valid (event_validate). Text of the fact lives in `arena` or borrows from the event. Where
 * the record came from (topic_name, partition, offset, received_at_us, record_*) is left to the caller. */
void fact_from_event(struct fact_maker *maker, const struct event *event, struct pk_arena *arena,
                     struct fact *ret_fact);

/* Fills person and device from identifier, for facts loaded from the database. Values are of `arena`. */
void fact_take_names(struct fact_maker *maker, struct pk_arena *arena, struct fact *fact);
/* A name for the set of persons of a fact with two or more: the id of its meeting (identity.h). */
struct pk_hash fact_meeting(const struct fact *fact);

/* The namespace of the rules under which an identifier counts; NULL = unknown. */
const struct rules_namespace *fact_namespace(const struct rules *rules, struct pk_str name);

/* One value of a namespace (NULL = a reserved one) through trim, blocked, normaliser, blocked; false = blocked.
 * `ret_value` lives in `arena` or borrows from `value`. */
bool fact_normalise(struct pk_str value, const struct rules_namespace *name_space, const struct rules *rules,
                    struct pk_arena *arena, struct pk_str *ret_value);

/* Event order: at, sequence, source text, event id. */
int fact_cmp(const struct symbols *symbols, const struct fact *a, const struct fact *b);

#endif
