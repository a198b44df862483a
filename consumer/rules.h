/* SPDX-License-Identifier: Apache-2.0 */
/* rules.h - polku.yaml as a struct: what identifies a customer, what a journey is, what was owed.
 *
 * docs/semantics.md defines every word. Loaded once at start, never changed; everything lives in the
 * caller's arena. Text that events are compared with is interned in the caller's symbols. */
#ifndef POLKU_RULES_H
#define POLKU_RULES_H

#include "calendar.h"

enum {
    RULES_VERSION = 1,    /* the `version:` that this program reads */
    DERIVATION_VERSION = 3, /* raised whenever derive() changes what it gives for the same events and rules */
    RULES_MAX_KINDS = 64, /* entries under obligations.kinds: a mask has one bit for each */
    RULES_MAX_DEFINITIONS = 16,
    RULES_MAX_MILESTONES = 24, /* of one definition */
};

/* A list of text values; empty = the match does not name this field. */
struct rules_texts {
    const sym_t *sym;
    size_t count;
};

struct rules_type { /* "contact.inbound", or "contact." with any_ending for "contact.*" */
    struct pk_str text;
    bool any_ending;
};

struct rules_match { /* all that are named must hold */
    const struct rules_type *type;
    size_t type_count;
    struct rules_texts outcome, reason, channel;
    uint8_t direction_mask, actor_mask; /* bit per enum value of event.h; 0 = not named */
};

struct rules_match_list { /* one match is enough; empty = never */
    const struct rules_match *match;
    size_t count;
};

enum rules_class { RULES_PERSON, RULES_DEVICE, RULES_KIOSK }; /* a kiosk is a device with other defaults, whose cell nobody joins */
enum rules_normaliser { RULES_NONE, RULES_EMAIL, RULES_PHONE };

struct rules_namespace {
    struct pk_str name; /* "email", "garage/customer_id", or what follows "*" + "/" with any_issuer */
    bool any_issuer;
    enum rules_class class_;
    int priority; /* distinct; smaller is stronger */
    bool unique;  /* two values of one full namespace are two people */
    bool store_clear; /* the normalised value is kept beside its hash (identifier.value) */
    enum rules_normaliser normalise;
    const struct pk_str *blocked; /* beside rules.blocked; in ASCII lower case */
    size_t blocked_count;
    uint32_t max_people; /* persons; UINT32_MAX = no limit */
    uint32_t max_links;  /* persons */
    int64_t lookback_us, lookahead_us; /* of sightings; persons: shared_lookback, both */
};

enum trait {
#define X(id, section, name, help) TRAIT_##id,
#include "trait.def"
#undef X
    TRAIT_COUNT
};
#define TRAIT(id) (UINT32_C(1) << TRAIT_##id)

enum rules_label { LABEL_NONE, LABEL_ATTEMPTED_NOT_REACHED, LABEL_REPLIED_NOT_ANSWERED };

struct rules_kind {
    sym_t kind;
    struct rules_match_list opens, attempts, fulfils, rejects, withdraws;
    int64_t within_us;                  /* PK_NO_TIME: opened without a due time */
    int64_t valid_from_us, valid_to_us; /* inclusive; INT64_MIN / INT64_MAX if not given */
    bool across, consume_all;
    bool business; /* `within` is business time */
    bool handoff;  /* it is a hand-off: bi.handoff, handoff_hourly */
    enum rules_label label;
};

struct rules_milestone {
    struct pk_str name;
    struct rules_match_list on, fails;
    bool optional, critical;
};
struct rules_definition { /* docs/semantics.md 9 */
    sym_t id; /* "name/version" */
    const struct rules_milestone *milestone; /* in the assumed order */
    size_t milestone_count;
    size_t goal; /* index of a milestone */
    int64_t window_us;
};

/* X(member): counts of a journey that have a weight under `effort`. */
#define RULES_EFFORTS(X)                                                                                             \
    X(contacts) X(switches) X(fallbacks) X(repeats) X(unanswered) X(refusals) X(deflections) X(transfers) X(misroutes) \
    X(handoffs_offered) X(handoffs_returned) X(reopened)
struct rules_effort {
    sym_t id; /* names this definition of effort; "effort-1" by default */
#define X(member) int32_t member; /* 0..1000 */
    RULES_EFFORTS(X)
#undef X
};

struct rules {
    struct pk_hash file_hash; /* BLAKE2b-128 of the file's bytes and of the open times of its calendars, unkeyed: other
                               * clock changes in the machine's zone files are other rules */
    struct pk_hash hashing_hash; /* of all that decides what identifiers hash to: normalisers, blocked values, country.
                                  * Where it changes, a rebuild from stored hashes cannot do; the events are read again */
    int64_t horizon_us;
    struct pk_str phone_country; /* digits, without "+" */
    const struct pk_str *blocked; /* in ASCII lower case */
    size_t blocked_count;
    const struct rules_namespace *name_space;
    size_t namespace_count;
    uint32_t max_component; /* persons joined by links; more are set aside */
    int64_t gap_us, reopen_gap_us, case_gap_us, max_span_us, skew_us;
    int64_t max_events;
    struct rules_match_list trait[TRAIT_COUNT];
    const struct rules_kind *kind; /* in the order of the file */
    size_t kind_count;
    int64_t repeat_window_us; /* facts.repeat_window */
    struct rules_effort effort;
    const struct calendar *calendar; /* calendar.h; in the order of the file */
    size_t calendar_count;
    const struct rules_definition *definition;
    size_t definition_count;
    bool any_across; /* some kind has `across: true`: a case may then tie several customers together */
};

struct rules_warning {
    int line;
    struct pk_str text;
};
struct rules_warnings {
    PK_VEC(struct rules_warning) list;
};

/* Reads and checks the whole file. PK_REJECT with "FILE:LINE: what, what to do" for the first error.
 * With `vocabulary_path` (schemas/vocabulary.yaml) not NULL, types of the rules that neither it nor the
 * rules' own `types:` list knows become warnings. `ret_warnings` may be NULL. */
enum pk_status rules_load(const char *path, const char *vocabulary_path, struct symbols *symbols,
                          struct pk_arena *arena, struct rules *ret_rules, struct rules_warnings *ret_warnings,
                          struct pk_err *err);

#endif
