/* SPDX-License-Identifier: Apache-2.0 */
/* producer_commands.h - what polku-producer can be asked to do. Commands log; they return an exit code. */
#ifndef POLKU_PRODUCER_COMMANDS_H
#define POLKU_PRODUCER_COMMANDS_H

#include <signal.h>

#include "producer_options.h"

enum producer_exit {
    PRODUCER_OK = 0,
    PRODUCER_USAGE = 1,       /* options, mapping, files: nothing or not everything was read */
    PRODUCER_REJECTED = 2,    /* some lines were rejected, the rest was delivered */
    PRODUCER_UNDELIVERED = 3, /* some events were not delivered, or no broker or registry answered */
    PRODUCER_INTERRUPTED = 4, /* SIGINT or SIGTERM; what was sent before it was delivered */
};

extern volatile sig_atomic_t producer_stop; /* set by the signal handler */

int producer_send(const struct producer_options *options);
int producer_check(const struct producer_options *options);
int producer_simulate(const struct producer_options *options);

#endif
