/* SPDX-License-Identifier: Apache-2.0 */
/* consumer_commands.h - what polku-consumer can be asked to do. Commands log or print; they return an exit code. */
#ifndef POLKU_CONSUMER_COMMANDS_H
#define POLKU_CONSUMER_COMMANDS_H

#include <signal.h>

#include "consumer_options.h"

enum consumer_exit {
    CONSUMER_OK = 0,
    CONSUMER_STOPPED = 1, /* an operator is needed; the last line says why. verify: also if something differs */
    CONSUMER_USAGE = 2,   /* wrong options, rules, schemas or key; nothing was done */
    CONSUMER_BEHIND = 3,  /* status --wait: the time was over first */
};

extern volatile sig_atomic_t consumer_stop;         /* set by SIGINT and SIGTERM */
extern volatile sig_atomic_t consumer_leave_within; /* seconds after that the process ends in any case; 0 = never */

/* One line of the log: what failed, and why. */
void consumer_log_failure(const char *sentence, const struct pk_err *err);

int consumer_run(const struct consumer_options *options);
int consumer_migrate(const struct consumer_options *options);
int consumer_status(const struct consumer_options *options);
int consumer_metrics(const struct consumer_options *options);
int consumer_health(const struct consumer_options *options);
int consumer_doctor(const struct consumer_options *options);
int consumer_check_config(const struct consumer_options *options);
int consumer_rebuild(const struct consumer_options *options);
int consumer_verify(const struct consumer_options *options);
int consumer_position(const struct consumer_options *options);
int consumer_forget(const struct consumer_options *options);
int consumer_retain(const struct consumer_options *options);
int consumer_identity(const struct consumer_options *options);
int consumer_quarantine(const struct consumer_options *options);
int consumer_requeue(const struct consumer_options *options);
int consumer_version(void); /* the program's and its libraries' */

#endif
