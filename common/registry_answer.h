/* SPDX-License-Identifier: Apache-2.0 */
/* registry_answer.h - what the answers of a schema registry say (Confluent's API, JSON). Text in, words out.
 *
 * An answer may come from anything that listens at the address, so nothing in it is trusted: what does not look like a
 * registry's answer is PK_RETRY, because it says nothing about the schema that was asked for. */
#ifndef POLKU_REGISTRY_ANSWER_H
#define POLKU_REGISTRY_ANSWER_H

#include "pk.h"

/* error_code of the API */
enum { REGISTRY_NO_SUBJECT = 40401, REGISTRY_NO_VERSION = 40402, REGISTRY_NO_SCHEMA = 40403 };

/* {"schema": "..."}: appends the schema's JSON. PK_REJECT: it is a schema of another kind than Avro, or one that refers to
 * other schemas, which this program does not read. */
enum pk_status registry_read_schema(struct pk_str answer, struct pk_buf *ret_schema, struct pk_err *err);

/* {"id": 1} */
enum pk_status registry_read_id(struct pk_str answer, uint32_t *ret_id, struct pk_err *err);

/* {"is_compatible": false, "messages": ["..."]}: `ret_why` gets the messages, one after another, or nothing. */
enum pk_status registry_read_verdict(struct pk_str answer, bool *ret_compatible, struct pk_buf *ret_why, struct pk_err *err);

/* {"error_code": 40403, "message": "..."}: false if it is no such thing. The message becomes one line without
 * characters that would disturb a log. */
bool registry_read_error(struct pk_str answer, int *ret_code, struct pk_buf *ret_message);

#endif
