/* SPDX-License-Identifier: Apache-2.0 */
/* intake.h - Kafka in: one group member, polled by one thread, that starts where it is told to.
 *
 * Offsets are the caller's: Kafka's committed offsets are written for lag tools and never read. All
 * callbacks run inside intake_poll() on the calling thread.
 *
 * Written for librdkafka 2.0.2 (Debian 12), whose known faults it keeps out of: eager assignment only;
 * no seek, no pause: to rewind, to pause and to resume is always to assign anew with given offsets;
 * every offset is compared with the expected one, so nothing is delivered twice within one
 * assignment, and what an earlier assignment had still queued is never taken for the new one's. */
#ifndef POLKU_INTAKE_H
#define POLKU_INTAKE_H

#include "log.h"
#include "options.h"
#include "pk.h"

struct intake;

enum intake_start { INTAKE_EARLIEST, INTAKE_LATEST, INTAKE_ERROR }; /* of partitions that nobody knows yet */

struct intake_config {
    const char *brokers;
    const char *topics; /* comma-separated */
    const char *group;
    const char *client_id;
    const char *instance_id;    /* static membership; NULL = none */
    enum intake_start start;
    int64_t queue_bytes;        /* what may wait in librdkafka, fetches under way included (each broker has one) */
    const struct kafka_property *property; /* passed through; those that intake decides are refused */
    size_t properties;
};

struct intake_partition {
    const char *topic; /* lives as long as the intake */
    int32_t partition;
    int64_t offset;    /* the first to deliver */
};

/* Statuses: PK_OK; PK_RETRY, PK_LOST, PK_FENCED or PK_STALE: nothing is fetched and the callback is
 * called again later, with growing pauses; anything else comes out of intake_poll. */
struct intake_handler {
    void *context;
    /* These partitions are ours. `offset` holds where `start` points to (the first or the end offset in
     * Kafka; -1 for INTAKE_ERROR), for partitions that nobody knows yet; the callback puts in where to
     * begin. Called again after intake_reclaim(). The order of the array is `index` of the records. */
    enum pk_status (*assigned)(void *context, struct intake_partition *partition, size_t count, struct pk_err *err);
    /* They are not ours any more. `lost`: others may have them already. Never called by intake_close(). */
    void (*revoked)(void *context, const struct intake_partition *partition, size_t count, bool lost);
    /* Something an operator wants to see, for the log: `pairs` is detail="..", with facility=.. before it where librdkafka's own log
     * says so. Already limited in rate. */
    void (*note)(void *context, enum log_level level, const char *sentence, const char *pairs);
    /* What librdkafka tells of itself, every five seconds, unless kafka.statistics.interval.ms says otherwise; to be freed by
     * the callee. NULL: it is not asked. */
    void (*statistics)(void *context, char *json);
};

/* Would intake_open() take these properties? Connects to nobody. */
enum pk_status intake_check(const struct intake_config *config, struct pk_err *err);
/* Connects in the background and joins the group. PK_REJECT: a property that does not exist or that
 * intake decides itself. PK_RETRY: the machine has no thread for it just now, or its clock was set meanwhile. */
enum pk_status intake_open(const struct intake_config *config, const struct intake_handler *handler,
                           struct intake **ret_intake, struct pk_err *err);
/* Leaves the group (a static member stays in it) and frees everything. False if librdkafka did not
 * come to an end within the time: then only _exit() is left. */
bool intake_close(struct intake *intake, int64_t timeout_us);

struct intake_record {
    uint32_t index;     /* of the partition in the last `assigned` */
    const char *topic;
    int32_t partition;
    int64_t offset;
    int64_t at_us;      /* the record's Kafka timestamp; PK_NO_TIME if it has none, or one after 2199 */
    struct pk_bytes key, value; /* ptr NULL = null */
    void *message;      /* NULL: no record came */
};

/* PK_OK with a record, or without one (ret->message NULL): nothing came in time, or only news about
 * partitions. PK_STOP: the client is of no use any more, the text says why. A callback's status
 * otherwise. `timeout_us` 0 does not wait. */
enum pk_status intake_poll(struct intake *intake, int64_t timeout_us, struct intake_record *ret, struct pk_err *err);
/* After PK_STOP of intake_poll: Kafka gave our place as a static member away. A new intake may get it back. */
bool intake_is_fenced(const struct intake *intake);
void intake_record_done(struct intake_record *record);
/* The header number `i`; false if there are no more. A value may be null. */
bool intake_record_header(const struct intake_record *record, size_t i, struct pk_str *ret_name,
                          struct pk_bytes *ret_value);

/* The next offset after everything that was polled, including what has no record (transaction markers,
 * compacted ones), where that is known already. -1 if the partition is not assigned. */
int64_t intake_position(const struct intake *intake, const char *topic, int32_t partition);

/* Deliver again from these offsets; other partitions go on. */
enum pk_status intake_rewind(struct intake *intake, const struct intake_partition *partition, size_t count,
                             struct pk_err *err);
/* Stop fetching, and call `assigned` again (not before `delay_us`) until it succeeds. */
enum pk_status intake_reclaim(struct intake *intake, int64_t delay_us, struct pk_err *err);
/* While the database is away: go on polling (records do not come), so that the group keeps us. */
enum pk_status intake_pause(struct intake *intake, struct pk_err *err);
enum pk_status intake_resume(struct intake *intake, struct pk_err *err);

/* Tells Kafka how far we are, for lag tools only; does not wait, failures are notes. */
void intake_commit(struct intake *intake, const struct intake_partition *partition, size_t count);

/* The group has given us our partitions, perhaps none, and has not taken them back. */
bool intake_joined(const struct intake *intake, size_t *ret_partitions);
/* We have partitions, and all that each of them held when last looked at was polled. */
bool intake_at_end(const struct intake *intake);

struct intake_counters {
    uint64_t records;      /* delivered */
    uint64_t dropped;      /* offsets below the expected one, or left over from an earlier assignment */
    uint64_t assignments;  /* given to librdkafka, rewinds and resumes included */
};
struct intake_counters intake_counters(const struct intake *intake);

/* ---- for `status` and `position`: what Kafka holds, without joining the group ---- */

struct intake_watermark {
    const char *topic; /* lives as long as the probe */
    int32_t partition;
    int64_t low, high; /* first offset, and the one after the last (that read_committed may see) */
};
struct intake_watermarks {
    PK_VEC(struct intake_watermark) list;
};
struct intake_probe;
enum pk_status intake_probe_open(const struct intake_config *config, struct intake_probe **ret_probe, struct pk_err *err);
/* All partitions of the topics, in order. PK_RETRY if the brokers do not answer. */
enum pk_status intake_probe_read(struct intake_probe *probe, int64_t timeout_us, struct intake_watermarks *ret,
                                 struct pk_err *err);
/* The first offset whose record is not earlier than the time, by the timestamps that Kafka has; the end if there is none. */
enum pk_status intake_probe_at(struct intake_probe *probe, const struct intake_watermark *mark, int64_t at_us,
                               int64_t timeout_us, int64_t *ret_offset, struct pk_err *err);
void intake_probe_close(struct intake_probe *probe);

#endif
