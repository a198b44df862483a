/* SPDX-License-Identifier: Apache-2.0 */
/* workset_inner.h - what the files of the workset share. Only for them. */
#ifndef POLKU_WORKSET_INNER_H
#define POLKU_WORKSET_INNER_H

#include "workset.h"

enum role {
    ROLE_PERSON,
    ROLE_DEVICE,
    ROLE_CASE,
    ROLE_CROSSING,
    ROLE_RELATES,
    ROLE_PROMISE,
    ROLE_OPENING,
};

/* Entries are made on first use. */
struct ws_key *ws_key_of(struct workset *ws, struct pk_hash hash, enum key_kind kind);
struct ws_customer *ws_customer_of(struct workset *ws, struct pk_hash id, enum key_kind kind);
/* The entry of a loaded row; the same for a row that was loaded before. */
struct ws_fact *ws_stored(struct workset *ws, struct fact *fact);
/* The keys of a fact become part of the workset: of its persons only, or all of them. */
void ws_take_persons(struct workset *ws, struct ws_fact *entry);
void ws_take_keys(struct workset *ws, struct ws_fact *entry);
void ws_add_user(struct workset *ws, struct ws_key *key, struct pk_hash user);
/* The facts of the batch, in event order. */
void ws_take_facts(struct workset *ws, struct fact **fact, size_t count);
/* A stored event goes away; `winner` is the fact of this batch that takes its place, or NULL. */
void ws_displace(struct workset *ws, struct fact *stored, struct ws_fact *winner);
void ws_join(struct ws_customer *a, struct ws_customer *b); /* into one group; both go the slow path */
struct ws_customer *ws_root(struct ws_customer *customer);
void ws_sort_changes(struct changes *changes); /* as changes.h says */
int ws_compare_stored(const void *left, const void *right); /* struct fact *: by the table's key */
/* Is this user of a key a person of another customer now? All its events are that one's then, who is a user too. */
bool ws_is_former(const struct workset *ws, struct pk_hash user);

static inline struct identity_event ws_event_of(const struct fact *fact)
{
    return (struct identity_event){fact->at_us, fact->sequence, fact->source, fact->event_id};
}
static inline struct identity_event ws_first_of(const struct ws_meeting *meeting)
{
    return (struct identity_event){meeting->row.first_at_us, meeting->row.first_sequence, meeting->row.first_source,
                                   meeting->row.first_event_id};
}
static inline bool ws_is_person(const struct ws_key *key)
{
    return key->rules && key->rules->class_ == RULES_PERSON;
}
/* Was the stored fact a sighting, with an own person? */
static inline bool ws_was_own(const struct fact *fact)
{
    return fact->stored_kind == KEY_PERSON && !pk_hash_zero(fact->stored_customer) && pk_hash_zero(fact->stored_sighted);
}

/* ---- workset_identity.c: whom the identifiers mean ---- */

/* True if something must be loaded first: then *ret says what, or nothing if keys were added. Once it is false, flags and
 * customer of every person are right. */
bool ws_identify(struct workset *ws, struct ws_need *ret);
/* A stored event of these persons goes away: their meetings are counted again. */
void ws_recount(struct workset *ws, struct ws_fact *gone);
void ws_recount_person(struct workset *ws, struct ws_key *key);
void ws_save_identity(struct workset *ws, struct changes *changes);

/* ---- workset_forget.c: what is forgotten ---- */

/* The names of the forgetting get their flag. */
void ws_take_forgetting(struct workset *ws);
void ws_save_forgetting(struct workset *ws, struct changes *changes);
/* What is left to say of a person of the forgetting whom no event carries any more: nothing. */
void ws_bury(struct ws_key *key);

/* ---- workset_seal.c ---- */

/* Once: the meetings of events that are sealed. */
bool ws_need_sealed_meetings(struct workset *ws, struct ws_need *ret);

/* ---- workset_owner.c: whose each event is ---- */

/* Likewise; once it is false, customer, customer_kind and sighted of every fact are right. */
bool ws_own(struct workset *ws, struct ws_need *ret);
/* `from_us`..`to_us` of this name must be known. */
void ws_want_trace(struct workset *ws, struct ws_key *key, int64_t from_us, int64_t to_us);
bool ws_need_traces(struct workset *ws, struct ws_need *ret);

/* Does this name count for an event without own person, and for sightings? */
bool ws_lends(const struct ws_key *key, uint8_t role);
int64_t ws_lookback(const struct workset *ws, const struct ws_key *key);
int64_t ws_lookahead(const struct workset *ws, const struct ws_key *key);
bool ws_borrows(const struct ws_fact *entry);
/* Of a stored event that was not asked anew; NULL also if its persons are not known here. */
struct ws_key *ws_own_person(const struct ws_fact *entry);
void ws_make_line(struct workset *ws, struct ws_key *key);
void ws_belong_to_name(const struct ws_fact *entry); /* it is anonymous */

/* ---- workset_newest.c: whose it is where the newest events of its names are known ---- */

/* Sets `quick` and the answer of events that borrow, and `tangled` of names for which traces are needed. */
void ws_follow_newest(struct workset *ws);
/* What is known of a name once the batch is committed; false: nothing. */
bool ws_newest_after(struct workset *ws, struct ws_key *key, struct cache_newest *ret);

#endif
