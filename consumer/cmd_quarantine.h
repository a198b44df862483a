/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_quarantine.h - what the commands quarantine and requeue share. */
#ifndef POLKU_CMD_QUARANTINE_H
#define POLKU_CMD_QUARANTINE_H

#include "consumer_store.h"
#include "republish.h"
#include "store_quarantine.h"

/* From --reason, --publisher, --of-topic, --since, --until, --older-than, --requeued. PK_REJECT with what is wrong. */
enum pk_status quarantine_filter_of(const struct consumer_options *options, struct quarantine_filter *ret, struct pk_err *err);
/* Leaves out what is set aside from now on. */
void quarantine_until_now(struct quarantine_filter *filter);
struct republish_config quarantine_kafka(const struct consumer_options *options);

#endif
