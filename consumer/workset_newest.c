/* SPDX-License-Identifier: Apache-2.0 */
/* Whose an event is without looking at the past: where the newest events of all its names are known, and it is newer.
 *
 * Events are gone through in event order, each after the newest of its names. A name is *tangled* if some event of the batch
 * does not follow so, or might change from whom a former one borrows; then every event that borrows through it takes the
 * way by traces (workset_owner.c), which makes its other names tangled too. */
#include "workset_inner.h"

static bool knows_newest(const struct ws_key *key)
{
    return key->newest_known || !key->in_database;
}

static void tangle_key(struct workset *ws, struct ws_key *key)
{
    if (!key->tangled)
        *pk_vec_push(&ws->tangled) = key;
    key->tangled = true;
}

static void start(struct workset *ws, struct ws_key *key)
{
    if (key->newest_started)
        return;
    key->newest_started = true;
    if (!knows_newest(key) || key->touched) {
        /* Without borrowers it does not matter what it lends, until one comes. */
        key->newest_known = false;
        if (key->touched || (key->stored_flags & KEY_LENDS))
            tangle_key(ws, key);
    } else if (!key->in_database) {
        key->newest_known = true;
        key->newest = (struct cache_newest){.at_us = INT64_MIN, .sighting_at_us = PK_NO_TIME, .unsighted_at_us = PK_NO_TIME};
    }
}

static bool follows(const struct ws_key *key, const struct fact *fact)
{
    return key->newest_known && !key->tangled && fact->at_us > key->newest.at_us;
}

/* A sighting: it may also be the first after one that borrows, within that one's lookahead. */
static void see(struct workset *ws, const struct ws_fact *entry)
{
    const struct fact *fact = entry->fact;
    for (unsigned k = 0; k < entry->names; k++) {
        struct ws_key *key = entry->key[k];
        if (!ws_lends(key, entry->role[k]))
            continue;
        start(ws, key);
        if (!key->newest_known || key->tangled)
            continue;
        struct cache_newest *newest = &key->newest;
        bool may_lend = newest->unsighted_at_us != PK_NO_TIME &&
                        fact->at_us - newest->unsighted_at_us <= ws_lookahead(ws, key);
        if (!follows(key, fact) || may_lend) {
            tangle_key(ws, key);
            continue;
        }
        newest->at_us = newest->sighting_at_us = fact->at_us;
        newest->sighting = fact->event_hash;
        newest->own = entry->own->hash;
    }
}

static void tangle(struct workset *ws, const struct ws_fact *entry)
{
    for (unsigned k = 0; k < entry->names; k++)
        if (ws_lends(entry->key[k], entry->role[k]))
            tangle_key(ws, entry->key[k]);
}

/* The newest sighting of all names, if that is one. NULL in *ret_best: none. */
static bool best_sighting(struct workset *ws, const struct ws_fact *entry, const struct cache_newest **ret_best)
{
    const struct cache_newest *best = NULL;
    for (unsigned k = 0; k < entry->names; k++) {
        struct ws_key *key = entry->key[k];
        if (!ws_lends(key, entry->role[k]))
            continue;
        start(ws, key);
        if (!follows(key, entry->fact))
            return false;
        const struct cache_newest *newest = &key->newest;
        if (newest->sighting_at_us == PK_NO_TIME || entry->fact->at_us - newest->sighting_at_us > ws_lookback(ws, key))
            continue;
        if (best && best->sighting_at_us == newest->sighting_at_us && !pk_hash_eq(best->sighting, newest->sighting))
            return false; /* event order decides, which is not known here */
        if (!best || newest->sighting_at_us > best->sighting_at_us)
            best = newest;
    }
    *ret_best = best;
    return true;
}

static bool borrow(struct workset *ws, struct ws_fact *entry)
{
    struct fact *fact = entry->fact;
    const struct cache_newest *best = NULL;
    if (!best_sighting(ws, entry, &best))
        return false;
    if (best) {
        fact->sighted = best->own;
        ws_key_of(ws, best->own, KEY_PERSON); /* its customer is looked up */
    } else {
        ws_belong_to_name(entry);
    }
    for (unsigned k = 0; k < entry->names; k++) {
        struct ws_key *key = entry->key[k];
        if (!ws_lends(key, entry->role[k]))
            continue;
        key->newest.at_us = fact->at_us;
        if (!best)
            key->newest.unsighted_at_us = fact->at_us;
    }
    return true;
}

void ws_follow_newest(struct workset *ws)
{
    for (size_t i = 0; i < ws->facts; i++) {
        struct ws_fact *entry = &ws->fact[i];
        if (entry->dropped || entry->names == 0)
            continue;
        if (entry->own)
            see(ws, entry);
        else if (!(entry->quick = borrow(ws, entry)))
            tangle(ws, entry);
    }
    for (size_t i = 0; i < ws->tangled.len; i++) { /* what was decided before a name became tangled; more may follow */
        struct ws_key *key = ws->tangled.ptr[i];
        for (uint32_t f = 0; f < key->ours_count; f++)
            if (key->ours[f]->quick) {
                key->ours[f]->quick = false;
                tangle(ws, key->ours[f]);
            }
    }
}

/* ---- what is known after the commit ---- */

/* From a trace that reaches back far enough and to the end: what came before it can matter to no later event. */
static bool newest_of_trace(struct workset *ws, struct ws_key *key, struct cache_newest *ret)
{
    const struct ws_trace *trace = &key->trace;
    if (!key->traced || !trace->loaded || trace->have_to_us != INT64_MAX)
        return false;
    ws_make_line(ws, key);
    *ret = (struct cache_newest){.at_us = INT64_MIN, .sighting_at_us = PK_NO_TIME, .unsighted_at_us = PK_NO_TIME};
    for (uint32_t i = 0; i < trace->line_count; i++) {
        const struct ws_fact *entry = trace->line[i];
        const struct fact *fact = entry->fact;
        if (!ws_borrows(entry)) {
            const struct ws_key *own = entry->own_known ? entry->own : ws_own_person(entry);
            ret->sighting_at_us = fact->at_us;
            ret->sighting = fact->event_hash;
            ret->own = own ? own->hash : (struct pk_hash){{0}};
        } else if (!entry->had_sighting) { /* of one that was not evaluated it is not known */
            ret->unsighted_at_us = fact->at_us;
        }
        ret->at_us = fact->at_us;
    }
    int64_t reach = PK_MAX(ws_lookback(ws, key), ws_lookahead(ws, key));
    /* A stored sighting whose person was not looked at: nothing is known of this name. */
    return trace->line_count && ret->at_us - reach >= trace->have_from_us &&
           (ret->sighting_at_us == PK_NO_TIME || !pk_hash_zero(ret->own));
}

bool ws_newest_after(struct workset *ws, struct ws_key *key, struct cache_newest *ret)
{
    if ((!key->rules && key->kind != KEY_CASE) || !ws_lends(key, ws_is_person(key) ? ROLE_PERSON : ROLE_DEVICE))
        return false;
    if (!key->newest_known || key->tangled || key->touched)
        return newest_of_trace(ws, key, ret);
    *ret = key->newest;
    return true;
}
