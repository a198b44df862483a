/* SPDX-License-Identifier: Apache-2.0 */
/* health_http.h - /livez, /readyz and /metrics over HTTP, in a thread of its own. The only place that meets libmicrohttpd.
 *
 * No TLS, no password: what it tells is figures, topics and states, nothing of customers or publishers. At most 16
 * connections at once, 8 of one address, so that nobody alone keeps a probe out; each closed after 10 s of silence. */
#ifndef POLKU_HEALTH_HTTP_H
#define POLKU_HEALTH_HTTP_H

#include "health_board.h"

struct health_http;

/* Is it HOST:PORT, with a port of 0 (any that is free) to 65535? PK_REJECT with a sentence. */
enum pk_status health_http_check(const char *address, struct pk_err *err);
/* Answers from `board`, which must live longer. PK_REJECT: no such address; PK_STOP: it is taken, or not ours to take. */
enum pk_status health_http_open(const char *address, struct health_board *board, struct health_http **ret_http,
                                struct pk_err *err);
unsigned health_http_port(const struct health_http *http);
void health_http_close(struct health_http *http); /* NULL is fine */

/* Asks the consumer at `address`, of this machine where it listens at all addresses. PK_OK: it says yes; PK_RETRY: it says no;
 * ret_text has its words, in both cases. PK_LOST: nobody answers within 5 s. PK_REJECT: no such address. */
enum pk_status health_http_ask(const char *address, const char *path, char *ret_text, size_t text_size, struct pk_err *err);

#endif
