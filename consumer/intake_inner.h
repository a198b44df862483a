/* SPDX-License-Identifier: Apache-2.0 */
/* intake_inner.h - what intake.c and replay.c share of Kafka's client. Only for them. */
#ifndef POLKU_INTAKE_INNER_H
#define POLKU_INTAKE_INNER_H

#include <librdkafka/rdkafka.h>

#include "intake.h"

/* A client that joins no group: with what intake decides and the caller's properties. It says nothing by itself. */
enum pk_status intake_reader_client(const struct intake_config *config, rd_kafka_t **ret_rk, struct pk_err *err);
/* The same, which keeps in `reason` what went wrong last with a broker, and what may help; it lives as long as the client, and changes
 * in rd_kafka_poll() only. */
enum { INTAKE_REASON_BYTES = 500 };
enum pk_status intake_asking_client(const struct intake_config *config, char reason[INTAKE_REASON_BYTES], rd_kafka_t **ret_rk,
                                    struct pk_err *err);
/* The record takes the message; intake_record_done() gives it back. */
void intake_fill(struct intake_record *record, uint32_t index, const char *topic, rd_kafka_message_t *message);

#endif
