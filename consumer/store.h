/* SPDX-License-Identifier: Apache-2.0 */
/* store.h - PostgreSQL: claim, load, save. The only part of the consumer that meets libpq.
 *
 * One connection, one transaction at a time. SQLSTATE becomes a status (store_status in store.c):
 *   PK_STALE  a guard or a counted insert did not match (PK002, PK003, PK004), 40001, 40P01, 55P03: load and derive again
 *   PK_FENCED PK001: the position is not where we left it: drop the claim
 *   PK_LOST   the connection broke; whether the last COMMIT happened is unknown: reconnect, claim, look
 *   PK_RETRY  53xxx, 57014, 57P03 and the like: pause, back off, the same again
 *   PK_STOP   anything else: our own bug or a schema that does not fit; the text has SQLSTATE and message
 * After any status but PK_OK the transaction is rolled back (or the connection gone).
 *
 * Rows are loaded into the caller's arena. Arrays given to a call are only borrowed. */
#ifndef POLKU_STORE_H
#define POLKU_STORE_H

#include "changes.h"
#include "forget.h"
#include "pulse.h"

#include <signal.h>

enum { STORE_SCHEMA = 10 }; /* number of the newest file in sql/migrations that this program needs */

struct store;

struct store_config {
    const char *conninfo;          /* libpq, of store_conninfo(): it may hold the password */
    int64_t statement_timeout_us, lock_timeout_us, idle_timeout_us;
    const char *application_name;
    const volatile sig_atomic_t *stop; /* once it is set, an answer is waited for 2 s more in all, then PK_LOST; may be NULL */
    const char *schema; /* a plain lower-case name; NULL = "polku". Another one (a rebuild) holds everything but what store.c:
                         * shared_names lists, which is in polku for all */
    bool read_write; /* a server that takes no writes (a standby) is none: the next host of the conninfo is tried, then PK_RETRY */
    bool own_quarantine; /* what is set aside goes to `schema` too, not to polku */
    struct pulse *pulse; /* shown what is waited for; may be NULL */
    bool sole_writer; /* the caller sees to it that no other store writes to `schema`: what moves no position takes no lock K,
                       * neither shared nor exclusive */

    /* For tests that interleave several stores; may be NULL. Called before each statement is sent, with what it is for, and
     * then each is answered before the next is sent; what it gave is told where it always is (an error of a pipeline's
     * statement at its end). Called with NULL again and again while PostgreSQL has been at a statement for 20 ms or longer: it
     * waits for a lock that another store must give up. */
    void (*step)(void *context, const char *what);
    void *step_context;
};

/* Connects, prepares statements, reads the dictionary, checks the migration version.
 * `symbols` is shared with the facts that are saved and loaded. */
enum pk_status store_open(const struct store_config *config, struct symbols *symbols, struct store **ret_store,
                          struct pk_err *err);
enum pk_status store_reopen(struct store *store, struct pk_err *err); /* after PK_LOST */
void store_close(struct store *store);

/* Compares what the rows were derived with: a check value of the hash key (H of a fixed text), the rules and the
 * derivation's version; in an empty database stores them, with what SQL needs of the rules. PK_STOP with what to do if they
 * differ: the events read again from Kafka (another key, other hashing), or a rebuild. `rules` is borrowed from then on:
 * courses are loaded and saved by their definitions. */
enum pk_status store_check_rules(struct store *store, const struct rules *rules, struct pk_hash key_check,
                                 struct pk_err *err);

/* ---- positions ---- */

/* Claims partitions: epoch + 1, in one transaction, sorted. Fills next_offset (as stored, or the given
 * one where the partition is new), epoch and slot. */
enum pk_status store_claim(struct store *store, struct store_position *position, size_t count, struct pk_err *err);
/* As they are stored now; epoch 0 where the database does not know the partition. One short statement, outside of a
 * transaction; if it is not answered within 15 s the connection counts as lost. */
enum pk_status store_read_positions(struct store *store, struct store_position *position, size_t count, struct pk_err *err);
/* Moves partitions to `next_offset`, epoch + 1, in one transaction, new ones included. `position` comes back as it stood
 * before: epoch 0 where the partition is new. PK_STALE: a consumer holds them in a batch, nothing was changed. */
enum pk_status store_set_positions(struct store *store, struct store_position *position, const int64_t *next_offset,
                                   size_t count, struct pk_err *err);

/* ---- loading ---- */

enum store_mode {
    STORE_SNAPSHOT, /* try 1: one REPEATABLE READ READ ONLY transaction */
    STORE_LOCKED,   /* tries 2 to 4: K shared, fence, cells locked, then loads in later statements */
    STORE_ALONE,    /* try 5: the same with K exclusive */
};

/* Begins the transaction of `mode`. LOCKED and ALONE fence `span` and lock `cell` in order, ignoring cells that are gone. */
enum pk_status store_begin(struct store *store, enum store_mode mode, const struct store_span *span, size_t spans,
                           const int64_t *cell, size_t cells, struct pk_err *err);
/* FOR NO KEY UPDATE SKIP LOCKED; PK_STALE (and rolled back) unless all of them were obtained. LOCKED and ALONE only. */
enum pk_status store_lock_more(struct store *store, const int64_t *cell, size_t cells, struct pk_err *err);
enum pk_status store_end_read(struct store *store, struct pk_err *err); /* ends a SNAPSHOT */
void store_rollback(struct store *store);

struct store_keys {
    struct store_key *key;
    size_t count;
};
struct store_facts {
    struct fact *fact; /* in no particular order; person and device are not set */
    size_t count;
};
struct store_journeys {
    struct journey *journey;
    size_t count;
};
struct store_obligations {
    struct obligation *obligation;
    size_t count;
};

struct store_meetings {
    struct store_meeting *meeting;
    size_t count;
};
struct store_carries {
    struct store_carry *carry;
    size_t count;
};

/* Keys that exist among `hash`, with their cells' versions and all their customers. One round trip. */
enum pk_status store_load_keys(struct store *store, const struct pk_hash *hash, size_t count, struct pk_arena *arena,
                               struct store_keys *ret, struct pk_err *err);
/* Everything of these customers: their events, journeys with their courses, and obligations, but for those that are sealed;
 * and what sealed events left to them (`ret_carries` may be NULL). One round trip. */
enum pk_status store_load_customers(struct store *store, const struct pk_hash *customer, size_t count,
                                    struct pk_arena *arena, struct store_facts *ret_facts,
                                    struct store_journeys *ret_journeys, struct store_obligations *ret_obligations,
                                    struct store_carries *ret_carries, struct pk_err *err);
/* Meetings of these persons, each once: all of them, or where `meeting` is not NULL only (hash[i], meeting[i]). */
enum pk_status store_load_meetings(struct store *store, const struct pk_hash *hash, const struct pk_hash *meeting,
                                   size_t count, struct pk_arena *arena, struct store_meetings *ret, struct pk_err *err);
/* The events that carry a name (as a person, device or case) within its window, each once. Found through the
 * customers of the name. */
enum pk_status store_load_seen(struct store *store, const struct store_window *window, size_t count,
                               struct pk_arena *arena, struct store_facts *ret, struct pk_err *err);
/* Events without a customer whose relates_to is among `hash`. */
enum pk_status store_load_nameless(struct store *store, const struct pk_hash *relates, size_t count,
                                   struct pk_arena *arena, struct store_facts *ret, struct pk_err *err);
/* The stored events among (at_us, event_hash) of `fact`. */
enum pk_status store_find_events(struct store *store, struct fact *const *fact, size_t count, struct pk_arena *arena,
                                 struct store_facts *ret, struct pk_err *err);

struct store_forgotten {
    struct forgotten row;
    size_t place; /* index in `fact` */
};
/* What is forgotten about the names name[i] of fact[i], by place. */
enum pk_status store_load_forgotten(struct store *store, const struct pk_hash *name, struct fact *const *fact, size_t count,
                                    struct pk_arena *arena, struct store_forgotten **ret, size_t *ret_count,
                                    struct pk_err *err);
/* The sealed rows of these customers. */
enum pk_status store_load_sealed(struct store *store, const struct pk_hash *customer, size_t count, struct pk_arena *arena,
                                 struct pk_hash **ret_journey, size_t *ret_journeys, struct pk_hash **ret_obligation,
                                 size_t *ret_obligations, struct pk_err *err);
/* Fills in product, location and attributes of stored events, which no other load does. */
enum pk_status store_load_written(struct store *store, struct fact *const *fact, size_t count, struct pk_arena *arena,
                                  struct pk_err *err);

/* ---- before a batch: each a short transaction of its own, sorted; call outside store_begin ---- */

/* Makes the monthly partitions that are missing. */
enum pk_status store_ensure_months(struct store *store, const int64_t *at_us, size_t count, struct pk_err *err);
/* Gives every symbol that has none yet its id in the dictionary. store_save_send does so too, for words that the derivation
 * made (paths of courses, measures); within a transaction that locked its cells they are the last that it may wait for. */
enum pk_status store_ensure_dictionary(struct store *store, struct pk_err *err);
/* A cell id never given out before (a block of the sequence is fetched at a time). */
enum pk_status store_new_cell(struct store *store, int64_t *ret_cell, struct pk_err *err);

/* ---- saving ---- */

/* Sends everything as one libpq pipeline ending in COMMIT and returns without waiting for the results (new words are waited
 * for first). After a SNAPSHOT try (already ended) it begins with BEGIN, K shared and the fence; after LOCKED or ALONE it
 * goes on in the open transaction. `changes` must stay until store_save_finish. */
enum pk_status store_save_send(struct store *store, enum store_mode mode, const struct changes *changes,
                               struct pk_err *err);
/* Moves bytes without blocking; call now and then between send and finish. True while the server has not answered. */
bool store_save_pump(struct store *store);
/* Waits for the COMMIT's result. PK_OK means committed, and nothing else does. */
enum pk_status store_save_finish(struct store *store, struct pk_err *err);

struct store_counters {
    uint64_t connects, failed_connects, round_trips;
};
struct store_counters store_counters(const struct store *store);

/* The last error says that the batch was too much: PostgreSQL ended a statement for its time (57014) or for want of memory
 * (53200), or a transaction for its silence (25P03). Fewer records may do. */
bool store_wants_less(const struct store *store);

/* The last error says that PostgreSQL has no room on its disk (53100): it may get some, and nothing of ours helps. */
bool store_lacks_room(const struct store *store);

/* For `status` and tests: runs one read-only query, text results, row by row. */
enum pk_status store_query(struct store *store, const char *sql,
                           void (*row)(void *context, int columns, const char *const value[]), void *context,
                           struct pk_err *err);

#endif
