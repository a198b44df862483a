/* SPDX-License-Identifier: Apache-2.0 */
/* changes.h - what one batch will change in the database, as plain rows.
 *
 * Pure. Filled by workset.c, written by the store. */
#ifndef POLKU_CHANGES_H
#define POLKU_CHANGES_H

#include "journey.h"
#include "obligation.h"

struct store_position {
    sym_t topic;
    int32_t partition;
    int64_t next_offset; /* first offset that is not yet in the database */
    int64_t epoch;
    int32_t slot; /* this partition's slot number in the aggregates */
};

struct store_span { /* one partition's share of the batch */
    struct store_position at; /* as claimed */
    int64_t next_offset;      /* where it will stand */
};

/* identifier.flags in SQL */
enum key_flag {
    KEY_IS_SHARED = 1,   /* persons: docs/semantics.md 3.2 */
    KEY_IS_OVERSIZE = 2, /* persons: its component is set aside */
    KEY_LENDS = 4,       /* some event that borrows, or did, carries it (never taken back) */
    KEY_BLOCKED = 8,     /* decisions that are in force */
    KEY_ALONE = 16,
    KEY_APART = 32,      /* decisions keep it apart from others */
    KEY_UNIQUE = 64,     /* persons: its namespace is unique (for views) */
    KEY_FORGOTTEN = 128, /* polku.forgotten has rows about it: docs/semantics.md 3.7 (never taken back) */
    KEY_SEALED = 256,    /* obligations: it is a sealed one, which nothing opens again: docs/semantics.md 3.8 */
    KEY_DECISIONS = KEY_BLOCKED | KEY_ALONE | KEY_APART,
};

/* A key that exists, as loaded. */
struct store_key {
    struct pk_hash hash;
    enum key_kind kind;
    sym_t name_space;   /* 0 for cases and obligations */
    uint32_t flags;     /* enum key_flag */
    int64_t first_at_us;     /* persons: of all events that carry it; PK_NO_TIME = none */
    int64_t sealed_at_us;    /* of those that are sealed */
    struct pk_hash customer; /* persons that are not shared or blocked; else zero */
    int64_t cell;
    uint64_t version; /* of the cell, in the same snapshot */
    const struct pk_hash *user; /* customers with events that carry it; a superset, distinct;
                                 * zero = events without a customer */
    uint32_t user_count;
    const struct pk_hash *apart; /* persons that a decision keeps apart from it */
    uint32_t apart_count;
};

struct store_meeting { /* see identity.h */
    struct pk_hash id;
    struct pk_hash *person; /* by (priority, position) */
    sym_t *name_space;
    uint32_t count;
    int64_t first_at_us, first_sequence;
    sym_t first_source;
    struct pk_str first_event_id;
    bool sealed; /* its first event is: it stays, whatever becomes of others */
};

struct store_carry {
    struct pk_hash customer;
    struct carry carry;
};

struct store_window { /* a name and a time, both ends inclusive; INT64_MIN, INT64_MAX = without end */
    struct pk_hash name;
    int64_t from_us, to_us;
};

struct change_guard { /* a used cell and the version it was read with */
    int64_t cell;
    uint64_t version;
};
struct change_key {
    struct pk_hash hash;
    enum key_kind kind;
    sym_t name_space; /* 0 for cases and obligations */
    int64_t cell;
    struct pk_hash owner;
    uint32_t flags;
    int64_t first_at_us;
    struct pk_hash customer; /* as in store_key */
    struct pk_str value;     /* `store: clear`, else null */
};
struct change_key_state { /* of a key that exists */
    struct pk_hash hash;
    uint32_t flags;
    int64_t first_at_us;
    struct pk_hash customer;
};
struct change_meeting { /* one row for each of its persons: the one named is `person` */
    struct pk_hash person;
    const struct store_meeting *meeting;
};
struct change_value { /* `store: clear`, of a person that no event carried: a forgetting may have taken it away */
    struct pk_hash hash;
    struct pk_str value;
};
enum decision_kind { DECIDE_BLOCK, DECIDE_UNLINK, DECIDE_APART };
struct change_decision { /* by a person, through a command; docs/semantics.md 3.6 */
    enum decision_kind kind;
    bool restore; /* takes back the one of the same kind and hashes that is in force */
    struct pk_hash a, b;           /* b: APART only, and then a < b */
    enum key_kind kind_a, kind_b;  /* person, or of a block device */
    sym_t name_space_a, name_space_b;
    struct pk_str value_a, value_b; /* normalised, where the namespace says `store: clear` and it is known; else null */
    struct pk_str by, note; /* who, why */
};
struct change_forgotten { /* a name whose events are forgotten, or (event_hash not zero) one single event that carries it */
    struct pk_hash name;
    enum key_kind kind;
    sym_t name_space; /* 0 for cases */
    struct pk_hash event_hash;
    int64_t at_us; /* of a single event */
};
struct change_record { /* a row of quarantine */
    sym_t topic;
    int32_t partition;
    int64_t offset;
    struct pk_str reason;
};
struct change_forgetting { /* by a person, through a command; docs/semantics.md 3.7 */
    int64_t until_us; /* T */
    bool anonymise;
    const struct change_forgotten *name;   /* F */
    size_t names;
    const struct change_forgotten *event;  /* X */
    size_t events;
    const struct change_record *record;    /* to delete from quarantine */
    size_t records;
    const struct change_decision *restore; /* decisions in force that name F, to be taken back */
    size_t restores;
    struct pk_hash receipt; /* random */
    struct pk_str by, note; /* who, why */
};
struct forget_counts { /* what became of stored rows */
    uint64_t events, stripped; /* deleted or anonymised; only names taken out */
    uint64_t journeys, obligations;
};
struct change_sighting {
    struct pk_hash key, customer;
};
struct change_customer {
    struct pk_hash id;
    enum key_kind kind;
    sym_t name_space;
    uint32_t purchases;
    int64_t first_purchase_at_us, last_purchase_at_us; /* PK_NO_TIME = none */
};
struct change_sealed_at { /* of a person: time of its first sealed event */
    struct pk_hash hash;
    int64_t sealed_at_us;
};
struct seal_counts {
    uint64_t events, journeys, obligations;
};
struct change_course {
    const struct journey *journey;
    const struct course *course;
};
struct change_course_gone {
    struct pk_hash journey;
    uint32_t definition; /* index in rules->definition */
};
struct change_move { /* a stored event that now belongs to another journey or customer (zero = none) */
    int64_t at_us;
    struct pk_hash event_hash, journey, customer, sighted;
    enum key_kind customer_kind;
};
enum aggregate {
#define TABLE(name) AGGREGATE_##name,
#include "aggregate.def"
    AGGREGATE_COUNT
};
enum { AGGREGATE_DIMS = 8, AGGREGATE_COUNTS = 20 }; /* most of one table */
struct change_aggregate { /* difference of one bucket */
    enum aggregate table;
    int64_t at_us; /* start of the hour or day; PK_NO_TIME = none (stored as infinity) */
    int32_t dim[AGGREGATE_DIMS]; /* in the order of aggregate.def; symbols or numbers */
    const int64_t *count; /* likewise */
};
struct record_header {
    struct pk_str name;
    struct pk_bytes value; /* ptr NULL = null */
};
struct record_headers {
    const struct record_header *header;
    size_t count;
};
struct change_quarantine {
    sym_t topic;
    int32_t partition;
    int64_t offset;
    enum reject_reason reason;
    sym_t source; /* publisher; 0 = not known */
    struct pk_str detail;
    int64_t received_at_us;
    struct pk_bytes key, value; /* ptr NULL = null; both NULL for a displaced duplicate of an earlier batch */
    const struct record_headers *headers;
    bool partial;       /* something of the record is not kept: it is to be read again in Kafka */
    size_t value_bytes; /* where `value` is left out for its size */
};
struct change_excess { /* bad records that are only counted: quarantine_limit.h */
    sym_t topic;
    int32_t partition;
    enum reject_reason reason;
    sym_t source; /* 0 = not known */
    int64_t records, bytes, first_offset, last_offset;
};

/* All that one batch changes. Arrays are sorted by the caller in the order in which rows are locked:
 * guards by cell, keys by hash, meetings by (person, id), facts by (at_us, event_hash), journeys and obligations by id,
 * buckets by all key members. */
struct changes {
    const struct store_span *span;
    size_t spans;
    int32_t slot; /* of the lowest partition in the batch */
    PK_VEC(struct change_guard) guard;
    uint64_t token; /* the new version of every guarded and new cell */
    PK_VEC(int64_t) new_cell;
    PK_VEC(struct change_key) key;
    PK_VEC(struct change_key_state) key_state;
    PK_VEC(struct change_value) value;           /* where none is stored */
    PK_VEC(struct change_meeting) meeting_new;   /* to insert */
    PK_VEC(struct change_meeting) meeting_first; /* its first event is another one now */
    PK_VEC(struct change_meeting) meeting_gone;
    PK_VEC(struct change_decision) decision;
    const struct change_forgetting *forgetting; /* NULL = none; then nothing is put into quarantine for what is replaced */
    struct forget_counts forgot;
    PK_VEC(struct pk_hash) forgotten_person; /* those of forgotten events: their values go if no other event carries them */
    PK_VEC(struct pk_hash) forgotten_key; /* of obligations and crossings that only forgotten events may have had */
    PK_VEC(struct change_sighting) sighting;
    PK_VEC(struct change_customer) customer;          /* to insert */
    PK_VEC(struct change_customer) customer_purchases; /* to update: the purchases alone */
    PK_VEC(struct pk_hash) customer_gone;
    PK_VEC(struct fact *) replaced; /* stored events to delete first: a copy with a smaller hash won, or they are sealed */
    PK_VEC(struct fact *) fact;     /* to insert, journey from fact->journey */
    PK_VEC(struct change_move) move;
    PK_VEC(struct journey *) journey; /* insert where `old` is NULL, else update; likewise obligations */
    PK_VEC(struct pk_hash) journey_gone;
    PK_VEC(struct obligation *) obligation;
    PK_VEC(struct pk_hash) obligation_gone;
    PK_VEC(struct change_course) course_new; /* by (journey, definition) */
    PK_VEC(struct change_course) course;     /* to update */
    PK_VEC(struct change_course_gone) course_gone;
    PK_VEC(struct change_aggregate) aggregate; /* by table, time, dimensions */
    PK_VEC(struct change_quarantine) quarantine;
    PK_VEC(struct change_excess) excess; /* each partition, publisher and reason once */

    /* Sealing (docs/semantics.md 3.8). `aggregate` is what the events had told: it is kept in SEALED_SLOT as well. */
    bool seal;
    struct seal_counts sealed;
    PK_VEC(struct pk_hash) journey_sealed; /* those that stay as they are from now on, by id; likewise obligations */
    PK_VEC(struct pk_hash) obligation_sealed;
    PK_VEC(struct store_carry) carry; /* of customers whose rows exist or are inserted here: the whole, by customer */
    PK_VEC(struct change_sealed_at) sealed_at; /* by hash */
    PK_VEC(struct change_meeting) meeting_sealed;
};
enum { SEALED_SLOT = -1 }; /* of aggregates: no writer has it */

void changes_reset(struct changes *changes); /* memory kept */
void changes_done(struct changes *changes);

#endif
