/* SPDX-License-Identifier: Apache-2.0 */
/* store_look.h - what PostgreSQL says of itself, for `doctor`: version, settings, rights, clock, what the tables were derived with.
 *
 * Reads only, over a connection of its own, and as far as it comes: each part says itself whether it is known. */
#ifndef POLKU_STORE_LOOK_H
#define POLKU_STORE_LOOK_H

#include "pk.h"

#define LOOK_PARAMETERS(X)                                                                                                 \
    X(FSYNC, "fsync")                                                                                                      \
    X(FULL_PAGE_WRITES, "full_page_writes")                                                                                \
    X(SYNCHRONOUS_COMMIT, "synchronous_commit")                                                                            \
    X(AUTOVACUUM, "autovacuum")                                                                                            \
    X(TRACK_COUNTS, "track_counts")                                                                                        \
    X(READ_ONLY, "default_transaction_read_only")                                                                          \
    X(STATEMENT_TIMEOUT, "statement_timeout")         /* ms */                                                             \
    X(TRANSACTION_TIMEOUT, "transaction_timeout")     /* ms; "" before PostgreSQL 17 */                                    \
    X(IDLE_SESSION_TIMEOUT, "idle_session_timeout")   /* ms */                                                             \
    X(MAX_CONNECTIONS, "max_connections")                                                                                  \
    X(RESERVED_CONNECTIONS, "superuser_reserved_connections")                                                              \
    X(WORK_MEM, "work_mem")                           /* KiB */                                                            \
    X(SHARED_BUFFERS, "shared_buffers")               /* 8 KiB */                                                          \
    X(MAX_WAL_SIZE, "max_wal_size")                   /* MiB */                                                            \
    X(CHECKPOINT_TIMEOUT, "checkpoint_timeout")       /* s */

enum look_parameter {
#define X(id, name) LOOK_PG_##id,
    LOOK_PARAMETERS(X)
#undef X
    LOOK_PARAMETER_COUNT
};

struct look_place {
    char topic[256];
    int32_t partition;
    int64_t next_offset;
};

struct look_database {
    bool reached;
    char why[440];       /* not: what libpq says; later: the first question that failed */
    int version;         /* 150004 */
    bool standby, pooled; /* pooled: the backend that answers is not the one that was connected to */
    char encoding[32];
    char parameter[LOOK_PARAMETER_COUNT][64]; /* in the unit of pg_settings; "": not known */
    int64_t connections; /* in use, of all databases */
    int64_t ahead_us, unsure_us; /* its clock against ours, and how much of that the round trip may be */
    char user[64];
    bool superuser, owner, makes_roles, makes_databases;
    bool schema_known;
    int schema, oldest_program; /* schema 0: no tables */
    bool rights_known;
    char lacking[200];   /* "INSERT on polku.interaction": the first right that is missing, "" = none */
    bool begun;          /* something was derived: these are known */
    char rules_hash[40], key_check[40], hashing[40]; /* as uuid; hashing "" = not known */
    int derivation;
    PK_VEC(struct look_place) place; /* stored positions */
};

/* `conninfo` is of store_conninfo(): it may hold the password, which stands in nothing that is filled here. */
void store_look(const char *conninfo, struct look_database *ret);
void store_look_done(struct look_database *look);
/* A hash as it is stored: 8-4-4-4-12 digits. */
void store_look_uuid(struct pk_hash hash, char ret[40]);

#endif
