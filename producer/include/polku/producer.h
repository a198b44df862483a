/* SPDX-License-Identifier: Apache-2.0 */
/* polku/producer.h - publish customer-interaction events to Polku from a channel system.
 *
 * Open a producer once, send events as they happen, close it when the system stops:
 *
 *     struct polku_producer *producer;
 *     struct polku_error error;
 *     struct polku_config config = {
 *         .struct_size = sizeof config, .brokers = "kafka1:9092,kafka2:9092", .topic = "interactions"};
 *     if (polku_producer_open(&config, &producer, &error) != POLKU_OK)
 *         return fail(error.text);
 *
 *     struct polku_identifier who[] = {{"phone", "+358 40 123 4567"}, {"shop/customer_id", "8812"}};
 *     struct polku_event event = {
 *         .struct_size = sizeof event, .event_id = "call-77-1", .source = "callcentre", .brand = "shop",
 *         .occurred_at_us = now_us, .type = "contact.inbound", .channel = "phone",
 *         .direction = POLKU_INBOUND, .actor = POLKU_CUSTOMER, .identifier = who, .identifier_count = 2};
 *     if (polku_producer_send(producer, &event, NULL, &error) == POLKU_INVALID)
 *         complain(error.text);
 *
 *     struct polku_report report = {.struct_size = sizeof report};
 *     if (polku_producer_close(producer, 10000, &report, &error) != POLKU_OK)
 *         complain(error.text);
 *
 * What happens: the event is checked against the limits of the contract, encoded as Avro, framed and put
 * into librdkafka's queue. It is published idempotently with acks=all: kept in order and written once, whatever
 * the network does. The message key is the strongest identifier, so that events of one customer
 * mostly meet on one partition; the message's time is now.
 *
 * The queue is the only thing that grows, and it is bounded: 400,000 events or 256 MiB, whichever comes first (properties
 * queue.buffering.max.messages and queue.buffering.max.kbytes). An event leaves it when it is delivered or, after
 * delivery.timeout.ms (5 minutes), given up, and its callback has run. If it is full, send waits up to queue_wait_ms and then says
 * POLKU_BUSY: nothing is dropped in silence, and whether to wait, to keep the event elsewhere or to drop it is yours.
 *
 * Ownership: every pointer that is passed in is only borrowed for the call; the producer copies what it keeps (`context` and
 * tokens are handed back as they are). Zero-initialise structs and set struct_size: fields that are added later then
 * mean their defaults. Structs without struct_size never change.
 *
 * Threads: all functions but open and close may be called from any number of threads at once. Delivery callbacks
 * run inside polku_producer_send (now and then, and when the queue is full), _poll, _flush and _close, in the thread that
 * called them, with no lock held; they may call _send, _poll and _report of the same producer, not _flush or _close.
 *
 * Processes: a producer has threads, which a fork does not take along. Open it after the last fork; in a child every function
 * answers POLKU_FAILED and leaves the parent's producer alone, close too (its memory goes with the child).
 *
 * Signals: none is caught, blocked or ignored for you, and the producer's own threads take none. No function may be called
 * from a signal handler: set a flag there and close in the main loop. What was accepted and not delivered is lost
 * with the process, so close it, or flush it at the moments that matter.
 *
 * Errors: a status says what to do, error->text says why and names the field (never an identifier's value).
 * `error` may be NULL. Out of memory ends the process. */
#ifndef POLKU_PRODUCER_PUBLIC_H
#define POLKU_PRODUCER_PUBLIC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum polku_status {
    POLKU_OK = 0,
    POLKU_INVALID, /* this event or configuration will never be accepted: correct it */
    POLKU_BUSY,    /* not now: the queue is still full, or not everything is delivered yet; call again */
    POLKU_FAILED,  /* the producer cannot go on: close it, look at the text, open a new one */
};

struct polku_error {
    char text[512];
};

/* ---- the event: fields, limits and vocabulary are described in schemas/interaction.avsc and schemas/README.md ---- */

#define POLKU_NO_TIME INT64_MIN /* no such time, for due_from_us and due_to_us */

enum polku_direction { POLKU_DIRECTION_UNKNOWN = 0, POLKU_INBOUND, POLKU_OUTBOUND, POLKU_INTERNAL, POLKU_PUBLIC };
enum polku_actor { POLKU_ACTOR_UNKNOWN = 0, POLKU_CUSTOMER, POLKU_HUMAN, POLKU_BOT, POLKU_SYSTEM };
enum polku_sensitivity { POLKU_NORMAL = 0, POLKU_SENSITIVE };

struct polku_identifier {
    const char *name_space; /* phone, email, national_id, cookie, ... or issuer/name: "garage/customer_id" */
    const char *value;
};

struct polku_attribute {
    const char *key, *value;
};

struct polku_obligation { /* an explicit promise */
    const char *id, *kind;
    int64_t due_from_us, due_to_us; /* POLKU_NO_TIME if there is none */
    const char *brand, *unit, *role;
};

struct polku_handoff {
    const char *to_brand, *to_unit, *to_role;
};

struct polku_rating {
    const char *scale; /* nps, csat, ces, ... */
    double score, min, max;
};

struct polku_money {
    int64_t amount_minor;
    const char *currency, *kind; /* "EUR", "paid" */
};

/* Texts are UTF-8 with a terminator; NULL means absent. Required: event_id, source, occurred_at_us, type,
 * channel, brand. */
struct polku_event {
    size_t struct_size; /* sizeof(struct polku_event) */
    const char *event_id, *source;
    int64_t occurred_at_us; /* microseconds since 1970 UTC */
    int64_t sequence;       /* orders the source's events of equal time */
    const char *type, *channel;
    enum polku_direction direction;
    enum polku_actor actor;
    enum polku_sensitivity sensitivity;
    const char *brand, *unit;
    const struct polku_identifier *identifier; /* at most 16 */
    size_t identifier_count;
    const char *staff, *case_id, *relates_to;
    const char *topic, *cause, *product, *location, *stage, *outcome, *reason;
    const struct polku_obligation *obligation; /* NULL if there is none; so are the next three */
    const struct polku_handoff *handoff;
    const struct polku_rating *rating;
    const struct polku_money *money;
    const struct polku_attribute *attribute; /* at most 64 */
    size_t attribute_count;
};

/* ---- the producer ---- */

struct polku_producer;

enum polku_frame {
    POLKU_SINGLE_OBJECT = 0, /* Avro single-object encoding: needs no schema registry */
    POLKU_CONFLUENT,         /* the frame of Confluent's serialisers, with schema_id */
};

struct polku_property { /* of librdkafka, without any prefix: {"security.protocol", "ssl"} */
    const char *name, *value;
};

/* Called once for every event that was accepted: error NULL if it is stored by all in-sync brokers, else
 * why it was given up. `token` is what was passed to send. */
typedef void polku_delivered(void *context, void *token, const char *error);
/* A line of librdkafka's log; level as in syslog. May be called from any thread. */
typedef void polku_log(void *context, int level, const char *text);

struct polku_config {
    size_t struct_size; /* sizeof(struct polku_config) */
    const char *brokers, *topic;
    enum polku_frame frame;
    uint32_t schema_id;            /* for POLKU_CONFLUENT */
    const char *key_namespaces;    /* strongest first, separated by commas, "*" stands for an issuer; NULL: the
                                      default, polku_default_key_namespaces() */
    const struct polku_property *property; /* enable.idempotence and acks cannot be changed */
    size_t property_count;
    int64_t max_ahead_us;          /* how far occurred_at may lie in the future; 0: 5 minutes */
    int64_t queue_wait_ms;         /* how long send may wait for room in a full queue; 0: 60 s; -1: not at all */
    polku_delivered *delivered;    /* may be NULL */
    polku_log *log;                /* may be NULL: librdkafka then writes to standard error */
    void *context;                 /* for both */
};

const char *polku_default_key_namespaces(void);
const char *polku_version(void); /* of the library that runs: "0.1.0" */

/* Starts the producer; does not wait for a broker. POLKU_INVALID if the configuration is wrong. */
enum polku_status polku_producer_open(const struct polku_config *config, struct polku_producer **ret_producer,
                                      struct polku_error *error);

/* Checks, encodes and enqueues one event. POLKU_OK means accepted, not yet delivered. POLKU_INVALID: nothing was
 * sent, the text names the field. POLKU_BUSY: the queue stayed full for queue_wait_ms. */
enum polku_status polku_producer_send(struct polku_producer *producer, const struct polku_event *event, void *token,
                                      struct polku_error *error);

/* The same from one JSON object with the schema's field names (schemas/examples). */
enum polku_status polku_producer_send_json(struct polku_producer *producer, const char *text, size_t len, void *token,
                                           struct polku_error *error);

/* Runs delivery callbacks that are due, without waiting. Call it now and then where sending may pause. */
void polku_producer_poll(struct polku_producer *producer);

struct polku_report {
    size_t struct_size; /* sizeof(struct polku_report), set by you */
    uint64_t accepted;  /* events that entered the queue */
    uint64_t delivered; /* of them, stored by the brokers */
    uint64_t failed;    /* of them, given up */
    uint64_t invalid;   /* refused by send: never in the queue */
    char first_failure[256]; /* why the first one was given up; empty if none was */
};

/* accepted = delivered + failed + still in flight, once other threads are still. POLKU_INVALID without struct_size. */
enum polku_status polku_producer_report(const struct polku_producer *producer, struct polku_report *ret_report);

/* Waits until nothing is in flight. POLKU_BUSY if the time is up first. POLKU_FAILED after a fatal error. */
enum polku_status polku_producer_flush(struct polku_producer *producer, int timeout_ms, struct polku_error *error);

/* Flushes, gives up what is left (it counts as failed), frees everything, whatever it answers. POLKU_OK if every accepted
 * event was delivered. `ret_report` may be NULL. NULL is fine for the producer. May take a second longer than timeout_ms. */
enum polku_status polku_producer_close(struct polku_producer *producer, int timeout_ms, struct polku_report *ret_report,
                                       struct polku_error *error);

#ifdef __cplusplus
}
#endif

#endif
