/* SPDX-License-Identifier: Apache-2.0 */
/* subject.h - the schema of our events in a schema registry, under the subject `<topic>-value`. */
#ifndef POLKU_SUBJECT_H
#define POLKU_SUBJECT_H

#include "producer_options.h"

/* The id to frame events with. Looked up first, which needs no right to write; registered if it is not there and
 * --auto-register allows it. PK_REJECT: refused, with the registry's reasons; PK_RETRY: the registry is out of reach. */
enum pk_status subject_schema_id(const struct producer_options *options, uint32_t *ret_id, struct pk_err *err);

/* Would the registry take it, or has it already? Changes nothing there. */
enum pk_status subject_check(const struct producer_options *options, struct pk_err *err);

#endif
