/* SPDX-License-Identifier: Apache-2.0 */
/* outlet.h - where a command's events go: Kafka, JSON Lines on a stream, or nowhere (checked only).
 *
 * Events are staged one by one, which checks and encodes them, and then committed or discarded together,
 * so that a row of several events is all or nothing. With an order other than as they come, committed events
 * are held in memory until outlet_close(). Keeps the rate, shows progress, counts. One thread. */
#ifndef POLKU_OUTLET_H
#define POLKU_OUTLET_H

#include <signal.h>
#include <stdio.h>

#include "framer.h"
#include "pace.h"
#include "producer_options.h"

enum outlet_kind { OUTLET_KAFKA, OUTLET_JSON, OUTLET_NOWHERE };

struct outlet;

/* Called for an event that was accepted and given up later. */
typedef void outlet_lost(void *context, uint64_t token, const char *error);

struct outlet_report {
    uint64_t events;    /* committed */
    uint64_t written;   /* delivered, printed or checked */
    uint64_t lost;      /* given up */
    uint64_t bytes;     /* of payloads or JSON */
    int64_t elapsed_us;
    char first_loss[256];
};

/* Writes a progress line of the command's own. */
typedef void outlet_progress_line(void *context, const struct outlet_report *so_far, char *buf, size_t size);

struct outlet_config {
    enum outlet_kind kind;
    const struct producer_options *options;
    bool canonical; /* encode by our own encoder: see framer.h */
    FILE *stream;   /* OUTLET_JSON */
    outlet_lost *lost;
    outlet_progress_line *line; /* NULL: the usual one */
    void *context;
    const struct pace *pace; /* NULL: --rate */
    const volatile sig_atomic_t *stop; /* not 0: come to an end soon; may be NULL */
};

/* PK_REJECT: wrong options. PK_RETRY: no broker answers. */
enum pk_status outlet_open(const struct outlet_config *config, struct outlet **ret_outlet, struct pk_err *err);

/* PK_REJECT with *ret_reason: this event is refused. */
enum pk_status outlet_stage(struct outlet *outlet, const struct event *event, enum reject_reason *ret_reason,
                            struct pk_err *err);
void outlet_discard(struct outlet *outlet);
/* `token` comes back if one of the events is lost. PK_STOP or PK_RETRY: the outlet can take no more. */
enum pk_status outlet_commit(struct outlet *outlet, uint64_t token, struct pk_err *err);

/* For the progress line: lines read and rejected so far. */
void outlet_progress(struct outlet *outlet, uint64_t lines, uint64_t rejected);
uint64_t outlet_events(const struct outlet *outlet); /* committed so far */
/* For a pause in what comes: takes receipts, tells what was lost, writes out what is buffered for the stream. */
void outlet_idle(struct outlet *outlet);

/* Waits until that moment of CLOCK_MONOTONIC, or until it has to stop; idle meanwhile. */
void outlet_wait_until(struct outlet *outlet, int64_t at_us);

/* Writes what is held, waits for deliveries, frees. `status` of what went before: if not PK_OK nothing
 * held is written. */
enum pk_status outlet_close(struct outlet *outlet, enum pk_status status, struct outlet_report *ret_report,
                            struct pk_err *err);

#endif
