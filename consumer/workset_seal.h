/* SPDX-License-Identifier: Apache-2.0 */
/* workset_seal.h - stored events are sealed: they go, and what was told by them stays (docs/semantics.md 3.8).
 *
 * Pure. A workset without facts derives everything again without them, as if they were forgotten, but for who is who and what
 * counts for good (struct carry). It is accepted if nothing then changes but what goes with them; else nothing is sealed, and
 * who is to blame is told. */
#ifndef POLKU_WORKSET_SEAL_H
#define POLKU_WORKSET_SEAL_H

#include "workset.h"

struct seal_customer {
    struct pk_hash id;
    int64_t until_us; /* later events are not sealed, nor are earlier ones that journeys and obligations hold together with them */
    uint64_t events;  /* of them are */
    bool refused;     /* rows that stay would change */
};
struct seal_nameless { /* an event without a customer */
    struct fact *wanted; /* the caller's, who keeps it from try to try: at_us and event_hash */
    struct fact *fact;   /* as loaded */
    bool refused;
};
struct seal { /* customers, or events without one */
    int64_t before_us; /* R */
    struct seal_customer *customer;
    size_t customers;
    struct seal_nameless *nameless;
    size_t nameless_count;
};

/* Before the first workset_need, in a batch without facts: seals what it may of these customers, of whom everything was loaded,
 * and of these events. `seal` is borrowed; events is set. */
void workset_seal(struct workset *ws, struct seal *seal, const struct ws_need *loaded, struct fact *fact, size_t facts,
                  struct journey *journey, size_t journeys, struct obligation *obligation, size_t obligations,
                  const struct store_carry *carry, size_t carries);
/* After workset_save: true if it may be done, and `changes` then say so. False: `refused` is set of at least one, and `changes`
 * are void. */
bool workset_accepts_seal(struct workset *ws, struct seal *seal, struct changes *changes);

#endif
