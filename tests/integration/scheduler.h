/* SPDX-License-Identifier: Apache-2.0 */
/* scheduler.h - a schedule: real committers on one database, one statement at a time, in an order drawn from a seed.
 *
 * Every worker is a thread with its own process' worth of things: symbols, rules, cache, connection. Exactly one
 * thread runs at any moment: it gives its turn back before each statement (store_config.step), so nothing here needs
 * a lock, and two statements are at work at once only where one waits for a lock. A seed gives the same schedule again, but for what PostgreSQL decides when one COMMIT wakes two that wait. */
#ifndef POLKU_SCHEDULER_H
#define POLKU_SCHEDULER_H

#include "chance.h"
#include "commit.h"
#include "hostile.h"

#include <libpq-fe.h>
#include <pthread.h>

enum { MOST_WORKERS = 4, MOST_PARTITIONS = 4, MOST_EVENTS = 40, MOST_DELIVERIES = 2 * MOST_EVENTS, COPIES = 3 };

struct actor { /* what one process has */
    struct symbols symbols;
    struct pk_arena arena;
    struct rules file_rules;
    struct store *store;

    /* of one schedule */
    struct rules rules;
    struct rules_kind kind[RULES_MAX_KINDS];
    struct rules_namespace name_space[HOSTILE_NAMESPACES];
    struct matcher matcher;
    struct fact_maker maker;
    struct meaning meaning;
};
void actor_init(struct actor *actor, const char *conninfo, const struct store_config *step); /* connects */
void actor_done(struct actor *actor);
void actor_begin(struct actor *actor, uint64_t seed); /* a schedule; the same rules for all of the same seed */
void actor_end(struct actor *actor);

enum life { IDLE, AT_STATEMENT, WAITING, ENDED };

struct worker {
    struct sim *sim;
    unsigned number;
    bool is_command; /* makes decisions, reads no partitions */
    struct actor actor;
    struct committer committer;
    struct batch batch;
    size_t cache_bytes;
    unsigned weight;

    pthread_t thread;
    pthread_cond_t turn;
    enum life life;
    const char *what;       /* the statement that comes next */
    bool wait_counted;
    bool crash;             /* told to, at its next statement */
    bool crashed;           /* its connection was left behind: start anew */
    bool commits;           /* a COMMIT was sent since the tables were compared */
    bool void_claim;        /* when it was sent, somebody else had claimed a partition of it ... */
    uint64_t void_batches;  /* ... and so many batches were committed */
    uint64_t parts, tries_before; /* committed so far; tries that had failed before the present part */
    unsigned unlucky;       /* so many tries of a part are made to fail */
    int dying_pid;          /* backend whose reply was lost */

    bool connected;
    bool thinks[MOST_PARTITIONS]; /* which partitions it takes for its own */
    bool claim_wanted;
    struct store_position position[MOST_PARTITIONS];
    size_t positions;
    unsigned era;           /* of the database, when it claimed */
};

struct counters {
    uint64_t schedules, statements, compared, batches, waits, crashes, lost, failovers, back, rebalances, zombies,
        fenced, decisions, restores, spoilt, deadlocks, others, retries[5];
    unsigned most_tries;
};

struct ghost { /* a connection whose client is gone; the server does not know yet */
    int fd, pid;
};

struct sim {
    struct counters *counters;
    uint64_t seed;
    struct chance chance;
    PGconn *sql;
    struct pk_buf log;
    pthread_mutex_t lock;
    pthread_cond_t back;
    int turn; /* number of a worker; -1: the scheduler */
    bool running, over;
    struct pk_err violation; /* text "" = none */

    struct worker worker[MOST_WORKERS + 1];
    unsigned workers; /* without the command, which comes after them */
    unsigned partitions;
    struct event event[MOST_DELIVERIES];
    size_t events;
    const struct event *stream[MOST_PARTITIONS][MOST_DELIVERIES];
    int64_t length[MOST_PARTITIONS];
    unsigned most; /* events of one partition in a batch */

    unsigned assigned[MOST_PARTITIONS]; /* the truth; the workers may not know yet */
    int claimed[MOST_PARTITIONS];       /* who claimed last; -1 nobody */
    int64_t acked[MOST_PARTITIONS];     /* committed, and known to be */
    unsigned era;
    unsigned unlucky;   /* percent of the batches */
    int faults;         /* left to happen */
    unsigned decisions; /* likewise */
    PK_VEC(struct ghost) ghosts;
};

#define SAY(sim, ...) pk_buf_printf(&(sim)->log, __VA_ARGS__)
void sim_violate(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- workers ---- */

void worker_init(struct worker *worker, struct sim *sim, unsigned number, bool is_command, const char *conninfo);
void worker_done(struct worker *worker);
void worker_begin(struct worker *worker, uint64_t seed); /* a schedule: starts the thread */
void worker_end(struct worker *worker);
bool worker_has_work(const struct worker *worker);
/* Lets it go on until it gives its turn back. */
void worker_run(struct worker *worker);
int worker_pid(const struct worker *worker); /* of its backend */
bool worker_is_blocked(const struct worker *worker); /* PostgreSQL says that somebody else must move first */
void wait_gone(struct sim *sim, int pid);            /* until the backend has ended */

#endif
