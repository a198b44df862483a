/* SPDX-License-Identifier: Apache-2.0 */
/* workset.h - what one try of one batch uses: its facts, their keys, cells and customers.
 *
 * Pure: it says what it needs (workset_need), the caller loads that and puts it in, until nothing is
 * missing; then workset_save derives and fills the changes. The cells that it holds at the end are the
 * *used cells* of docs/protocol.md: everything read or written is protected by one of them.
 *
 * It works in three steps, each of which may ask for more: whom the identifiers mean (workset_identity.c), whose each
 * event is (workset_newest.c, else workset_owner.c), and what that changes for the customers (workset.c, workset_save.c). */
#ifndef POLKU_WORKSET_H
#define POLKU_WORKSET_H

#include "cache.h"
#include "forget.h"
#include "identity.h"

struct ws_cell {
    int64_t id; /* of a new cell: given by workset_save's caller */
    uint64_t version;
    bool is_new;
};

struct ws_meeting { /* identity.h */
    struct store_meeting row; /* its first event as it is now */
    struct ws_key **person;
    struct identity_meeting solved;
    struct identity_event stored_first; /* in_database */
    struct ws_key *recounted; /* through which of its persons it is counted again */
    bool in_database, gone;
};

struct ws_trace { /* the events that carry a name, as far as they matter */
    bool wanted;                        /* want_ says what must be known, have_ what is */
    int64_t want_from_us, want_to_us;
    bool loaded;
    int64_t have_from_us, have_to_us;
    struct store_window asked[2];
    unsigned asked_count;
    struct ws_fact **stored;
    uint32_t stored_count, stored_cap;
    struct ws_fact **line; /* those and the batch's own, in event order; made when looked at */
    struct ws_fact **sighting_before, **sighting_after; /* nearest to each of the line, itself included; NULL = none */
    uint32_t line_count;
    bool line_made;
};

struct ws_key {
    struct pk_hash hash;
    enum key_kind kind;
    sym_t name_space;
    bool looked_up, in_database;
    bool nameless_asked;      /* for events without a customer that name it */
    bool couples;             /* those who met here may influence each other's rows */
    bool named;               /* met by an event of this batch that was derived already */
    struct ws_cell *cell;     /* NULL until known */
    struct pk_hash *user;     /* customers met with it, stored ones first; zero = events without a customer */
    uint32_t user_count, user_cap, stored_users;
    struct pk_map user_index; /* user -> its place + 1; used once there are many */

    /* persons, devices, cases */
    const struct rules_namespace *rules; /* NULL for a case */
    struct pk_str value;                 /* `store: clear` */
    uint32_t flags, stored_flags;        /* enum key_flag */
    struct ws_fact **ours;               /* facts of this batch that carry it */
    uint32_t ours_count, ours_cap;
    struct ws_trace trace;
    bool traced;
    bool decided;                        /* a decision on it is made in this batch */
    bool forgotten;                      /* a forgetting that names it is, for single events or altogether */
    bool let_go;                         /* altogether: it is in F */
    bool unsealed;                       /* obligations: the sealed one is forgotten, so others may open it again */
    bool flipped;                        /* shared or blocked is not what it was: all its events are owned anew */
    struct cache_newest newest;          /* of the events that carry it, those of this batch included as they are gone through */
    bool newest_known, newest_started;
    bool tangled;                        /* traces are needed: see workset_newest.c */
    bool touched;                        /* stored events that carry it are owned anew, or gone */

    /* persons */
    int64_t first_at_us, stored_first_at_us, sealed_at_us;
    struct pk_hash customer, stored_customer;
    const struct cache_meeting *known_meeting; /* in the cache */
    uint32_t known_meetings;
    struct ws_meeting **meeting;         /* all of them once `met`, and new ones */
    uint32_t meeting_count, meeting_cap;
    bool pulled, met;                    /* pulled: its component is solved again */
    bool recheck, recount;               /* its sharing, and its meetings themselves, are counted again */
    bool spread_recheck;                 /* those whom it met are too */
    struct pk_hash *apart;               /* decisions in force */
    uint32_t apart_count, apart_cap;
    struct identity_person person;
};

struct ws_customer {
    struct pk_hash id;
    enum key_kind kind;
    struct ws_key *key;
    const struct customer *state; /* from the cache; NULL = not known */
    struct ws_fact **fact;        /* of this batch, in event order */
    uint32_t fact_count, fact_cap;
    bool slow, coupled, loaded, appended;
    bool regrouped;               /* persons of it belong to somebody else now */
    struct derivation *derivation; /* fast path, once appended */
    struct customer *result;       /* slow path */
    struct group_result *result_group;
    struct ws_fact **stored; /* loaded; whose they were */
    uint32_t stored_count, stored_cap;
    struct carry carry_was, carry; /* loaded; as it is now */
    struct ws_customer *parent; /* union-find over customers that influence each other */
};

struct ws_fact {
    struct fact *fact;
    struct ws_customer *customer; /* of a batch's own; NULL = none */
    bool stored;                  /* loaded, not of this batch */
    bool dropped;    /* a duplicate; not part of the batch any more */
    bool displaced;  /* stored, and loses against one of this batch */
    bool checked;    /* the database was asked whether it has the event */
    bool dirty;      /* tells something new about who is who */
    bool owned_anew; /* stored, and whose it is is asked again */
    bool evaluated;  /* it borrows, and from whom is asked (again) */
    bool spread;     /* what it changes as a sighting was followed up */
    bool quick;      /* it borrows, and from whom was known without traces */
    bool had_sighting; /* it borrows, and from one before it */
    bool gone;       /* displaced, and that was followed up */
    bool weighed;    /* stored, and what a forgetting makes of it was decided */
    bool moved;      /* stored, and belongs to somebody else now */
    bool of_customer;            /* stored, and in its customer's list */
    struct ws_key **person;      /* as fact->person */
    struct ws_key *own;          /* own person, NULL = it borrows */
    bool own_known;
    struct ws_fact *winner;      /* of a displaced one: the copy of this batch; NULL = it is deleted */
    struct ws_meeting *meeting;  /* of two or more persons; NULL until known */
    bool meeting_known;          /* to the cache, and this event is not its first */
    uint8_t key_count;           /* 0 of a stored one until they matter */
    struct ws_key **key;         /* those of the fact, with their role; persons, devices and case first */
    uint8_t *role, names;        /* names: so many of key are persons, devices, case */
};

enum ws_need_kind { NEED_NOTHING, NEED_KEYS, NEED_MEETINGS, NEED_SEEN, NEED_CUSTOMERS, NEED_NAMELESS, NEED_EVENTS,
                    NEED_FORGOTTEN };
struct ws_need {
    enum ws_need_kind kind;
    struct pk_hash *hash;        /* KEYS, MEETINGS (persons), CUSTOMERS, NAMELESS (values of relates_to), FORGOTTEN */
    struct pk_hash *meeting;     /* MEETINGS: NULL = all of each person, else only (hash[i], meeting[i]) */
    struct store_window *window; /* SEEN */
    struct fact **fact;          /* EVENTS; FORGOTTEN: of this batch, fact[i] carries the name hash[i] */
    size_t count;
};

struct workset {
    const struct meaning *meaning;
    struct pk_arena *arena;
    struct cache *cache; /* NULL: nothing is taken from it (locked tries, and alone) */
    bool check_all;      /* ask first for every event whether it is stored */
    struct ws_fact *fact;
    size_t facts;
    struct ws_fact *watched; /* names only */
    size_t watched_count;
    const struct change_decision *decision;
    size_t decisions;
    const struct change_forgetting *forgetting;
    struct forget_counts forgot;
    bool sealing, sealed_asked;
    const struct pk_hash *sealed_journey, *sealed_obligation; /* that are forgotten */
    size_t sealed_journeys, sealed_obligations;
    const struct pk_hash *resolve; /* persons */
    size_t resolves;
    struct pk_map keys, cells, customers;
    struct pk_map stored;   /* (time, event) -> ws_fact of the database */
    struct pk_map meetings; /* id -> ws_meeting */
    PK_VEC(struct ws_key *) key_list;
    size_t keys_asked; /* of key_list */
    PK_VEC(struct ws_meeting *) meeting_list;
    PK_VEC(struct ws_key *) pulled; /* keys whose component is solved again */
    PK_VEC(struct ws_key *) traced; /* keys with a trace */
    PK_VEC(struct ws_key *) tangled;
    PK_VEC(struct ws_fact *) owned_anew, evaluated, spreading, moved; /* spreading: changed as sightings */
    PK_VEC(struct ws_cell *) cell_list;
    PK_VEC(struct ws_customer *) customer_list;
    PK_VEC(struct ws_fact *) displaced;  /* stored copies that lose against one of this batch */
    PK_VEC(struct fact *) lost;          /* facts of this batch that lose against a stored copy */
    PK_VEC(struct fact *) nameless;      /* stored events without a customer that name obligations */
    PK_VEC(struct journey *) journeys;   /* loaded */
    PK_VEC(struct obligation *) obligations;
    PK_VEC(struct group_result *) groups;
    bool decisions_taken, news_taken, ours_owned;
    bool unsolved;            /* something was pulled or met since */
    bool identified;          /* the first step is done */
    bool settled;             /* the second too: every fact has its customer */
    bool contradicted;        /* see workset_need */
    bool forgotten_asked;
    bool tombstones;          /* some key is KEY_FORGOTTEN, and its rows were not asked for yet */
    bool altered;             /* facts of this batch turned out to be forgotten: the caller begins anew with what they are now */
    uint64_t fast, slow; /* facts derived either way, for the counters */
};

/* `fact` in event order and without duplicates of one identity; borrowed, their results are set. */
void workset_begin(struct workset *ws, const struct meaning *meaning, struct pk_arena *arena, struct cache *cache,
                   bool check_all, struct fact **fact, size_t count);
/* Before the first workset_need: copies that lost against one of `fact`. Nothing is derived from them; whether they are
 * forgotten is asked all the same, for what is forgotten is not set aside. */
void workset_watch(struct workset *ws, struct fact **fact, size_t count);
/* Before the first workset_need: decisions to make in this batch (which then has no facts). Borrowed. */
void workset_decide(struct workset *ws, const struct change_decision *decision, size_t count);
/* Likewise, in a batch without facts: what becomes of the stored events that carry a name of F up to T, or are in X (`stored`,
 * as loaded, in any order, perhaps repeated). Those that stay without some of their names become facts of the batch, of which
 * the caller fills in what is only written. Borrowed. */
void workset_forget(struct workset *ws, const struct change_forgetting *forgetting, struct fact *stored, size_t count);
/* Likewise: the sealed rows of customers in F, which go too. Borrowed. */
void workset_forget_sealed(struct workset *ws, const struct pk_hash *journey, size_t journeys, const struct pk_hash *obligation,
                           size_t obligations);
/* Likewise, in a batch without facts: who these persons are is worked out from their meetings, whatever is stored. */
void workset_resolve(struct workset *ws, const struct pk_hash *person, size_t count);
/* What must be loaded next. PK_STALE if the cache and the database contradict each other, or if without
 * check_all a copy of an event turns up that has another content: then a try that checks all is needed. */
enum pk_status workset_need(struct workset *ws, struct ws_need *ret, struct pk_err *err);

/* `key`: those of need->hash that exist; the others do not. */
enum pk_status workset_put_keys(struct workset *ws, const struct ws_need *need, const struct store_key *key,
                                size_t count, struct pk_err *err);
/* Loaded rows must live as long as the arena; their names and traits are filled in here. */
void workset_put_meetings(struct workset *ws, const struct ws_need *need, struct store_meeting *meeting, size_t count);
void workset_put_seen(struct workset *ws, const struct ws_need *need, struct fact *fact, size_t facts);
void workset_put_customers(struct workset *ws, const struct ws_need *need, struct fact *fact, size_t facts,
                           struct journey *journey, size_t journeys, struct obligation *obligation,
                           size_t obligations, const struct store_carry *carry, size_t carries);
void workset_put_nameless(struct workset *ws, struct fact *fact, size_t facts);
void workset_put_events(struct workset *ws, const struct ws_need *need, struct fact *fact, size_t facts);
/* The caller has applied (forget_apply) what is forgotten. `altered`: some fact is not what it was; the workset is then void. */
void workset_put_forgotten(struct workset *ws, bool altered);

/* How many new cells the batch makes: known once nothing is needed. */
size_t workset_new_cells(struct workset *ws);
/* Derives what is left to derive and fills everything of `changes` but spans, slot, token and the
 * quarantine of rejected records (that of duplicates it adds). `new_cell` has workset_new_cells ids. */
void workset_save(struct workset *ws, const int64_t *new_cell, struct metrics *metrics, struct changes *changes);
/* After the commit: the cache takes over what is known now. */
void workset_publish(struct workset *ws, struct cache *cache, uint64_t token);
void workset_done(struct workset *ws);

#endif
