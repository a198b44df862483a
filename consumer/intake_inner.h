/* SPDX-License-Identifier: Apache-2.0 */
/* intake_inner.h - what intake.c and replay.c share of Kafka's client. Only for them. */
#ifndef POLKU_INTAKE_INNER_H
#define POLKU_INTAKE_INNER_H

#include <librdkafka/rdkafka.h>

#include "intake.h"

/* A client that joins no group: with what intake decides and the caller's properties. It says nothing by itself. */
enum pk_status intake_reader_client(const struct intake_config *config, rd_kafka_t **ret_rk, struct pk_err *err);
/* The record takes the message; intake_record_done() gives it back. */
void intake_fill(struct intake_record *record, uint32_t index, const char *topic, rd_kafka_message_t *message);

#endif
