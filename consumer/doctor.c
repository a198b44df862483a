/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor.h"
#include "event.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *id, *help;
} check_of[] = {
#define X(name, id, help) {id, help},
#include "doctor.def"
#undef X
};

const char *doctor_check_id(enum doctor_check check)
{
    return check_of[check].id;
}

const char *doctor_verdict_name(enum doctor_verdict verdict)
{
    static const char *const name[] = {"OK", "WARN", "FAIL"};
    return name[verdict];
}

void doctor_find(struct doctor_report *report, enum doctor_check check, enum doctor_verdict verdict, const char *about, const char *todo,
                 const char *text, ...)
{
    struct doctor_finding *finding = pk_vec_push(&report->finding);
    *finding = (struct doctor_finding){.check = check, .verdict = verdict};
    snprintf(finding->about, sizeof finding->about, "%s", about);
    snprintf(finding->todo, sizeof finding->todo, "%s", verdict == DOCTOR_OK ? "" : todo);
    va_list args;
    va_start(args, text);
    vsnprintf(finding->text, sizeof finding->text, text, args);
    va_end(args);
}

size_t doctor_count(const struct doctor_report *report, enum doctor_verdict verdict)
{
    size_t count = 0;
    for (size_t i = 0; i < report->finding.len; i++)
        count += report->finding.ptr[i].verdict == verdict;
    return count;
}

/* ---- a topic: its settings ---- */

enum {
    HOUR_MS = 3600000,
    DAY_MS = 24 * HOUR_MS,
    SHORT_RETENTION_DAYS = 7, /* a weekend, a holiday, and the time to notice */
    OVERHEAD_BYTES = 16 << 10, /* of a record beside its event: key, headers, batch */
};

static int64_t setting(const struct look_topic *topic, enum look_setting which)
{
    return topic->setting[which][0] ? atoll(topic->setting[which]) : -1;
}

static void judge_cleanup(const struct look_topic *topic, struct doctor_report *report)
{
    const char *policy = topic->setting[LOOK_CLEANUP_POLICY];
    bool compacts = intake_look_compacts(policy);
    doctor_find(report, DOCTOR_CLEANUP, compacts ? DOCTOR_WARN : DOCTOR_OK, topic->name,
                "set cleanup.policy=delete; what was dropped already only its publishers have", compacts
                ? "cleanup.policy=%s: of a key, here a customer, Kafka keeps the newest record only, so events vanish, also before they are read; "
                  "rebuild --from-kafka refuses it" : "cleanup.policy=%s", policy);
}

static void judge_retention(const struct look_topic *topic, struct doctor_report *report)
{
    int64_t ms = setting(topic, LOOK_RETENTION_MS), bytes = setting(topic, LOOK_RETENTION_BYTES);
    static const char todo[] = "raise retention.ms to seven days or more: consumers that are down for longer lose events, and so does a failover "
                               "to a standby that is further behind";
    if (!strstr(topic->setting[LOOK_CLEANUP_POLICY], "delete") || (ms < 0 && bytes < 0))
        doctor_find(report, DOCTOR_RETENTION, DOCTOR_OK, topic->name, "", "records are kept for ever");
    else if (ms >= 0 && ms < INT64_C(1) * SHORT_RETENTION_DAYS * DAY_MS)
        doctor_find(report, DOCTOR_RETENTION, DOCTOR_WARN, topic->name, todo, "records are kept for %.1f h only", (double)ms / HOUR_MS);
    else if (bytes >= 0)
        doctor_find(report, DOCTOR_RETENTION, DOCTOR_WARN, topic->name, "set retention.bytes=-1 and give the disks room, or watch how many days it is",
                    "retention.bytes=%" PRId64 ": a busy day ends retention before its time", bytes);
    else
        doctor_find(report, DOCTOR_RETENTION, DOCTOR_OK, topic->name, "", "records are kept for %.0f days; a rebuild --from-kafka takes what is older "
                    "from the tables (--keep-older)", (double)ms / DAY_MS);
}

static void judge_min_insync(const struct look_topic *topic, const struct look_partitions *partitions, struct doctor_report *report)
{
    int64_t least = setting(topic, LOOK_MIN_INSYNC_REPLICAS);
    int replicas = partitions->replicas;
    if (replicas < 2)
        return; /* topic.replicas has said it */
    if (least < 2)
        doctor_find(report, DOCTOR_MIN_INSYNC, DOCTOR_WARN, topic->name, "set min.insync.replicas=2 with three replicas",
                    "min.insync.replicas=%" PRId64 ": what a publisher was told to be stored may be on one broker only, and go with it", least);
    else
        doctor_find(report, DOCTOR_MIN_INSYNC, least >= replicas ? DOCTOR_WARN : DOCTOR_OK, topic->name,
                    "one replica more than min.insync.replicas lets a broker be away",
                    least >= replicas ? "min.insync.replicas=%" PRId64 " of %d replicas: nobody can publish while one broker is away"
                                      : "min.insync.replicas=%" PRId64 " of %d replicas", least, replicas);
}

static void judge_size_and_time(const struct look_topic *topic, struct doctor_report *report)
{
    int64_t bytes = setting(topic, LOOK_MAX_MESSAGE_BYTES), wanted = EVENT_MAX_BYTES + OVERHEAD_BYTES;
    bool small = bytes >= 0 && bytes < wanted, appended = strcmp(topic->setting[LOOK_TIMESTAMP_TYPE], "LogAppendTime") == 0;
    doctor_find(report, DOCTOR_MESSAGE_BYTES, small ? DOCTOR_WARN : DOCTOR_OK, topic->name, "set max.message.bytes to 1048588, its default",
                small ? "max.message.bytes=%" PRId64 ": brokers refuse a large event, which may have %d bytes" : "max.message.bytes=%" PRId64 ", an event has up to %d",
                bytes, EVENT_MAX_BYTES);
    doctor_find(report, DOCTOR_TIMESTAMPS, DOCTOR_OK, topic->name, "", "%s: events are judged late or ahead by %s", topic->setting[LOOK_TIMESTAMP_TYPE],
                appended ? "the broker's clock, and a requeued record loses its time" : "their publisher's clock");
}

void doctor_judge_topic(const struct look_topic *topic, const struct look_partitions *partitions, struct doctor_report *report)
{
    if (topic->answer == LOOK_NO_TOPIC || partitions->answer != LOOK_TOLD)
        return; /* topic.exists says so */
    if (topic->answer != LOOK_TOLD) {
        doctor_find(report, DOCTOR_SETTINGS, DOCTOR_WARN, topic->name, "allow this user DescribeConfigs on the topic, for this command and for rebuild "
                    "--from-kafka", "its settings %s be read, so nothing is known of retention and compaction: %s",
                    topic->answer == LOOK_DENIED ? "may not" : "cannot", topic->why);
        return;
    }
    doctor_find(report, DOCTOR_SETTINGS, DOCTOR_OK, topic->name, "", "its settings can be read");
    judge_cleanup(topic, report);
    judge_retention(topic, report);
    judge_min_insync(topic, partitions, report);
    judge_size_and_time(topic, report);
}

/* ---- a topic: its partitions ---- */

static void judge_replicas(const struct look_partitions *look, struct doctor_report *report)
{
    if (look->leaderless)
        doctor_find(report, DOCTOR_LEADERS, DOCTOR_FAIL, look->topic, "start the brokers that have them", "%d of %d partitions have no leader: nothing is read "
                    "from them", look->leaderless, look->partitions);
    else
        doctor_find(report, DOCTOR_LEADERS, DOCTOR_OK, look->topic, "", "all partitions have a leader");
    if (look->replicas < 2)
        doctor_find(report, DOCTOR_REPLICAS, DOCTOR_WARN, look->topic, "give it three replicas (kafka-reassign-partitions)",
                    "replication factor %d: what is on a broker's disk is nowhere else, and goes with it", look->replicas);
    else if (look->behind)
        doctor_find(report, DOCTOR_REPLICAS, DOCTOR_WARN, look->topic, "see to the brokers that are away or slow", "%d replicas each, and in %d partitions one does "
                    "not keep up", look->replicas, look->behind);
    else
        doctor_find(report, DOCTOR_REPLICAS, DOCTOR_OK, look->topic, "", "%d replicas each, all keep up", look->replicas);
}

static void judge_newest(const struct look_partitions *look, const struct doctor_wants *wants, int64_t now_us, struct doctor_report *report)
{
    if (look->newest_at_us == PK_NO_TIME)
        return;
    double ahead_s = (double)(look->newest_at_us - now_us) / 1e6;
    if (ahead_s > (double)wants->max_ahead_us / 1e6)
        doctor_find(report, DOCTOR_KAFKA_CLOCK, DOCTOR_WARN, look->topic, "see to the clocks (NTP) of the publishers, the brokers and this host",
                    "the newest record lies %.0f s in the future of this host's clock", ahead_s);
    else
        doctor_find(report, DOCTOR_KAFKA_CLOCK, DOCTOR_OK, look->topic, "", ahead_s > 1 ? "the newest record is %.0f s ahead of this host's clock, less than max-ahead"
                    : "the newest record is %.0f s old", ahead_s > 1 ? ahead_s : -ahead_s);
}

void doctor_judge_partitions(const struct look_partitions *look, const struct doctor_wants *wants, int64_t now_us, struct doctor_report *report)
{
    switch (look->answer) {
    case LOOK_TOLD:
        break;
    case LOOK_NO_TOPIC:
        doctor_find(report, DOCTOR_TOPIC, DOCTOR_FAIL, look->topic, "make it, with as many partitions as there will ever be consumers, or correct --topic",
                    "Kafka has no such topic, or this user may not see it");
        return;
    case LOOK_DENIED:
        doctor_find(report, DOCTOR_TOPIC, DOCTOR_FAIL, look->topic, "allow this user Read on the topic", "this user may not see it: %s", look->why);
        return;
    case LOOK_FAILED:
        doctor_find(report, DOCTOR_TOPIC, DOCTOR_FAIL, look->topic, "see to the brokers, and run it again", "Kafka says nothing of it: %s", look->why);
        return;
    }
    doctor_find(report, DOCTOR_TOPIC, DOCTOR_OK, look->topic, "", "%d partition%s", look->partitions, look->partitions == 1 ? "" : "s");
    judge_replicas(look, report);
    int64_t records = 0;
    for (size_t i = 0; i < look->mark.len; i++)
        records += look->mark.ptr[i].high - look->mark.ptr[i].low;
    if (look->denied)
        doctor_find(report, DOCTOR_READ, DOCTOR_FAIL, look->topic, "allow this user Read on the topic", "its records may not be read: %s", look->why);
    else if (look->read)
        doctor_find(report, DOCTOR_READ, DOCTOR_OK, look->topic, "", "its newest records can be read");
    else if (records)
        doctor_find(report, DOCTOR_READ, DOCTOR_WARN, look->topic, "run it again; look at the brokers", "its newest records did not come in time%s%s",
                    *look->why ? ": " : "", look->why);
    judge_newest(look, wants, now_us, report);
}

void doctor_judge_positions(const struct look_partitions *look, const struct look_database *database, struct doctor_report *report)
{
    size_t known = 0, wrong = 0;
    for (size_t i = 0; i < database->place.len; i++)
        for (size_t m = 0; m < look->mark.len; m++) {
            const struct look_place *place = &database->place.ptr[i];
            const struct intake_watermark *mark = &look->mark.ptr[m];
            if (strcmp(place->topic, look->topic) != 0 || place->partition != mark->partition)
                continue;
            known++;
            if (place->next_offset < mark->low && wrong++ == 0)
                doctor_find(report, DOCTOR_POSITION, DOCTOR_FAIL, look->topic, "see docs/operations.md, an offset that Kafka does not hold; polku-consumer position set",
                            "partition %" PRId32 " was read to offset %" PRId64 ", and Kafka holds nothing before %" PRId64 ": what lay between is gone, and "
                            "consumers stop", place->partition, place->next_offset, mark->low);
            else if (place->next_offset > mark->high && wrong++ == 0)
                doctor_find(report, DOCTOR_POSITION, DOCTOR_FAIL, look->topic, "was the topic made anew? then: polku-consumer position set; or Kafka lost its end",
                            "partition %" PRId32 " was read to offset %" PRId64 ", and Kafka ends at %" PRId64, place->partition, place->next_offset, mark->high);
        }
    if (known > 0 && wrong == 0)
        doctor_find(report, DOCTOR_POSITION, DOCTOR_OK, look->topic, "", "Kafka holds what comes after the stored positions of %zu partitions", known);
}

/* ---- the group ---- */

static void judge_instance(const struct look_group *group, const char *instance, struct doctor_report *report)
{
    for (size_t i = 0; i < group->member.len; i++)
        if (strcmp(group->member.ptr[i].instance, instance) == 0) {
            doctor_find(report, DOCTOR_INSTANCE, DOCTOR_WARN, instance, "if that is not the consumer which is to run with these options, give each its own --instance-id",
                        "a member with this --instance-id is in the group, client %s at %s", group->member.ptr[i].client, group->member.ptr[i].host);
            return;
        }
    doctor_find(report, DOCTOR_INSTANCE, DOCTOR_OK, instance, "", "no member has this --instance-id");
}

void doctor_judge_group(const struct look_group *group, const struct doctor_wants *wants, struct doctor_report *report)
{
    if (group->answer == LOOK_DENIED) {
        doctor_find(report, DOCTOR_GROUP, DOCTOR_FAIL, "", "allow this user Read on the group", "this user may not use the consumer group: %s", group->why);
        return;
    }
    if (group->answer != LOOK_TOLD) {
        doctor_find(report, DOCTOR_GROUP, DOCTOR_WARN, "", "run it again; look at the brokers", "Kafka says nothing of the group: %s", group->why);
        return;
    }
    if (group->member.len > 0 && group->assignor[0] && strcmp(group->assignor, "range") != 0)
        doctor_find(report, DOCTOR_GROUP, DOCTOR_FAIL, "", "another program uses this group: give consumers a --group of their own", "its %zu members assign partitions by "
                    "%s, and ours could not join them", group->member.len, group->assignor);
    else
        doctor_find(report, DOCTOR_GROUP, DOCTOR_OK, "", "", "%zu member%s, state %s", group->member.len, group->member.len == 1 ? "" : "s",
                    group->state);
    if (wants->instance_id)
        judge_instance(group, wants->instance_id, report);
}

/* ---- PostgreSQL ---- */

static const char *parameter(const struct look_database *db, enum look_parameter which)
{
    return db->parameter[which];
}

static bool is_off(const struct look_database *db, enum look_parameter which)
{
    return strcmp(db->parameter[which], "off") == 0;
}

static int64_t amount(const struct look_database *db, enum look_parameter which)
{
    return atoll(db->parameter[which]);
}

static void judge_server(const struct look_database *db, struct doctor_report *report)
{
    doctor_find(report, DOCTOR_VERSION, db->version < 150000 ? DOCTOR_FAIL : DOCTOR_OK, "", "use PostgreSQL 15 or newer",
                db->version < 150000 ? "PostgreSQL %d is too old" : "PostgreSQL %d", db->version / 10000);
    bool closed = db->standby || strcmp(parameter(db, LOOK_PG_READ_ONLY), "on") == 0;
    doctor_find(report, DOCTOR_WRITABLE, closed ? DOCTOR_FAIL : DOCTOR_OK, "",
                db->standby ? "name the primary in --database, beside the standby" : "set default_transaction_read_only = off for this user and database",
                "%s", db->standby ? "it is a standby" : closed ? "default_transaction_read_only is on" : "it takes writes");
    doctor_find(report, DOCTOR_POOLER, db->pooled ? DOCTOR_WARN : DOCTOR_OK, "", "connect to PostgreSQL itself, or pool by session (pool_mode = session)",
                "%s", db->pooled ? "a pooler stands between: prepared statements, settings and locks of a session need one session" : "no pooler stands between");
    bool utf8 = strcmp(db->encoding, "UTF8") == 0;
    doctor_find(report, DOCTOR_ENCODING, utf8 ? DOCTOR_OK : DOCTOR_FAIL, "", "make the database anew: CREATE DATABASE .. ENCODING 'UTF8' TEMPLATE template0",
                "%s%s", db->encoding, utf8 ? "" : ": not every event can be stored in it");
}

static void judge_schema(const struct look_database *db, const struct doctor_wants *wants, struct doctor_report *report)
{
    if (!db->schema_known)
        doctor_find(report, DOCTOR_SCHEMA, DOCTOR_FAIL, "", "GRANT polku_writer TO the user", "which tables there are cannot be read: %s", db->why);
    else if (db->schema == 0)
        doctor_find(report, DOCTOR_SCHEMA, DOCTOR_FAIL, "", "run polku-consumer migrate", "the database has no tables of ours");
    else if (db->schema < wants->schema)
        doctor_find(report, DOCTOR_SCHEMA, DOCTOR_FAIL, "", "run polku-consumer migrate", "the tables have number %d, this program needs %d", db->schema, wants->schema);
    else if (db->oldest_program > wants->schema)
        doctor_find(report, DOCTOR_SCHEMA, DOCTOR_FAIL, "", "install the newer program", "the tables have number %d and need a program that knows %d, this one knows %d",
                    db->schema, db->oldest_program, wants->schema);
    else
        doctor_find(report, DOCTOR_SCHEMA, DOCTOR_OK, "", "", "the tables have number %d", db->schema);
}

static void judge_user(const struct look_database *db, struct doctor_report *report)
{
    if (db->rights_known)
        doctor_find(report, DOCTOR_RIGHTS, db->lacking[0] ? DOCTOR_FAIL : DOCTOR_OK, db->user, "GRANT polku_writer TO the user; if it has that, run polku-consumer migrate again",
                    "%s%s", db->lacking[0] ? "it lacks " : "it may do what a consumer does", db->lacking);
    bool more = db->superuser || db->owner || db->makes_roles || db->makes_databases;
    doctor_find(report, DOCTOR_NO_MORE, more ? DOCTOR_WARN : DOCTOR_OK, db->user, "make a user with polku_writer only for consumers, and keep this one for migrate and rebuild",
                "it %s", db->superuser ? "is a superuser" : db->owner ? "owns the tables, or may become their owner" : db->makes_roles ? "may make roles"
                : db->makes_databases ? "may make databases" : "may do no more than a consumer needs");
}

static void judge_durability(const struct look_database *db, struct doctor_report *report)
{
    bool torn = is_off(db, LOOK_PG_FSYNC) || is_off(db, LOOK_PG_FULL_PAGE_WRITES);
    if (torn)
        doctor_find(report, DOCTOR_DURABLE, DOCTOR_FAIL, "", "set fsync and full_page_writes to on", "%s is off: after a crash of the machine the database may be "
                    "broken beyond repair", is_off(db, LOOK_PG_FSYNC) ? "fsync" : "full_page_writes");
    else
        doctor_find(report, DOCTOR_DURABLE, is_off(db, LOOK_PG_SYNCHRONOUS_COMMIT) ? DOCTOR_WARN : DOCTOR_OK, "", "set synchronous_commit to on",
                    is_off(db, LOOK_PG_SYNCHRONOUS_COMMIT) ? "synchronous_commit is %s: after a crash the last moments are read again from Kafka, but decisions about "
                    "identity and forgettings are gone" : "fsync and full_page_writes are on, synchronous_commit is %s", parameter(db, LOOK_PG_SYNCHRONOUS_COMMIT));
}

static void judge_timeouts(const struct look_database *db, struct doctor_report *report)
{
    enum { LONG_MS = 120000 };
    int64_t statement = amount(db, LOOK_PG_STATEMENT_TIMEOUT), transaction = amount(db, LOOK_PG_TRANSACTION_TIMEOUT),
            idle = amount(db, LOOK_PG_IDLE_SESSION_TIMEOUT);
    static const char todo[] = "ALTER ROLE .. SET it to 0 for the users of Polku";
    if (transaction > 0 && transaction < LONG_MS)
        doctor_find(report, DOCTOR_TIMEOUTS, DOCTOR_WARN, "", todo, "transaction_timeout is %" PRId64 " ms: it ends batches, rebuild and verify that take longer", transaction);
    else if (idle > 0)
        doctor_find(report, DOCTOR_TIMEOUTS, DOCTOR_WARN, "", todo, "idle_session_timeout is %" PRId64 " ms: a consumer with nothing to read loses its connection and makes a new one", idle);
    else if (statement > 0)
        doctor_find(report, DOCTOR_TIMEOUTS, DOCTOR_WARN, "", todo, "statement_timeout is %" PRId64 " ms: run sets its own (--statement-timeout), but migrate and verify are ended by it", statement);
    else
        doctor_find(report, DOCTOR_TIMEOUTS, DOCTOR_OK, "", "", "none that ends what takes longer");
}

static void judge_room(const struct look_database *db, struct doctor_report *report)
{
    int64_t most = amount(db, LOOK_PG_MAX_CONNECTIONS) - amount(db, LOOK_PG_RESERVED_CONNECTIONS), left = most - db->connections;
    enum { FEW = 5, SMALL_WORK_KIB = 4096, SMALL_BUFFERS = 16384, SMALL_WAL_MIB = 1024, SHORT_CHECKPOINT_S = 300 };
    if (most > 0)
        doctor_find(report, DOCTOR_CONNECTIONS, left < FEW ? DOCTOR_WARN : DOCTOR_OK, "", "raise max_connections, or end what is not used: each consumer takes one connection, rebuild and verify up to three",
                    "%" PRId64 " of %" PRId64 " connections are left", PK_MAX(left, INT64_C(0)), most);
    bool little = amount(db, LOOK_PG_WORK_MEM) < SMALL_WORK_KIB || amount(db, LOOK_PG_SHARED_BUFFERS) < SMALL_BUFFERS;
    doctor_find(report, DOCTOR_MEMORY, little ? DOCTOR_WARN : DOCTOR_OK, "", "shared_buffers a quarter of the memory, work_mem 4MB or more",
                "work_mem is %" PRId64 " kB, shared_buffers %" PRId64 " MB", amount(db, LOOK_PG_WORK_MEM), amount(db, LOOK_PG_SHARED_BUFFERS) / 128);
    bool often = amount(db, LOOK_PG_MAX_WAL_SIZE) < SMALL_WAL_MIB || amount(db, LOOK_PG_CHECKPOINT_TIMEOUT) < SHORT_CHECKPOINT_S;
    doctor_find(report, DOCTOR_WAL, often ? DOCTOR_WARN : DOCTOR_OK, "", "set max_wal_size to 4GB or more and checkpoint_timeout to 15min: a checkpoint makes every page be written whole again",
                "max_wal_size is %" PRId64 " MB, checkpoint_timeout %" PRId64 " s", amount(db, LOOK_PG_MAX_WAL_SIZE), amount(db, LOOK_PG_CHECKPOINT_TIMEOUT));
    bool still = is_off(db, LOOK_PG_AUTOVACUUM) || is_off(db, LOOK_PG_TRACK_COUNTS);
    doctor_find(report, DOCTOR_AUTOVACUUM, still ? DOCTOR_WARN : DOCTOR_OK, "", "set autovacuum and track_counts to on", "%s",
                still ? "autovacuum does not work: aggregates are changed with every batch, and grow without end" : "it is on");
}

static void judge_clock(const struct look_database *db, struct doctor_report *report)
{
    enum { MUCH_US = 5000000 };
    int64_t away_us = db->ahead_us < 0 ? -db->ahead_us : db->ahead_us;
    bool much = away_us > MUCH_US + db->unsure_us;
    doctor_find(report, DOCTOR_CLOCK, much ? DOCTOR_WARN : DOCTOR_OK, "", "see to the clocks (NTP) of both hosts: states as of now are told by PostgreSQL's clock, what comes too early by ours",
                "PostgreSQL's clock is %.1f s %s ours", (double)away_us / 1e6, db->ahead_us < 0 ? "behind" : "ahead of");
}

static void judge_sameness(const struct look_database *db, const struct doctor_wants *wants, struct doctor_report *report)
{
    if (!db->begun)
        return;
    bool rules = strcmp(db->rules_hash, wants->rules_hash) == 0;
    if (wants->rules_hash[0] && (!rules || db->derivation != wants->derivation))
        doctor_find(report, DOCTOR_SAME_RULES, DOCTOR_FAIL, "", "give it the rules of before, or run polku-consumer rebuild", "%s", rules
                    ? "the tables were derived by another version of this program: consumers stop" : "the tables were derived with another rules file: consumers stop");
    else if (wants->rules_hash[0])
        doctor_find(report, DOCTOR_SAME_RULES, DOCTOR_OK, "", "", "the tables were derived with these rules");
    bool key = strcmp(db->key_check, wants->key_check) == 0;
    if (wants->key_check[0])
        doctor_find(report, DOCTOR_SAME_KEY, key ? DOCTOR_OK : DOCTOR_FAIL, "", "give it the key of before; another key is docs/rebuild.md, another hash key", "%s",
                    key ? "the tables were hashed with this key" : "the tables were hashed with another key: consumers stop");
}

void doctor_judge_database(const struct look_database *db, const struct doctor_wants *wants, struct doctor_report *report)
{
    if (!db->reached) {
        doctor_find(report, DOCTOR_SERVER, DOCTOR_FAIL, "", "correct --database and --database-password-file, or start it", "no connection: %s", db->why);
        return;
    }
    doctor_find(report, DOCTOR_SERVER, DOCTOR_OK, "", "", "it takes the connection, of user %s", db->user);
    judge_server(db, report);
    judge_schema(db, wants, report);
    judge_user(db, report);
    judge_durability(db, report);
    judge_timeouts(db, report);
    judge_room(db, report);
    judge_clock(db, report);
    judge_sameness(db, wants, report);
}

/* ---- telling ---- */

void doctor_markdown(struct pk_buf *out)
{
    pk_buf_text(out, "| check | holds when |\n|---|---|\n");
    for (size_t i = 0; i < PK_COUNT(check_of); i++)
        pk_buf_printf(out, "| `%s` | %s |\n", check_of[i].id, check_of[i].help);
}

void doctor_print(const struct doctor_report *report, struct pk_buf *out)
{
    for (size_t i = 0; i < report->finding.len; i++) {
        const struct doctor_finding *finding = &report->finding.ptr[i];
        size_t from = out->len;
        pk_buf_printf(out, "%-4s  %-22s %s%s%s%s%s", doctor_verdict_name(finding->verdict), doctor_check_id(finding->check), finding->about,
                      *finding->about ? ": " : "", finding->text, *finding->todo ? ". To do: " : "", finding->todo);
        for (size_t c = from; c < out->len; c++)
            if ((unsigned char)out->ptr[c] < 0x20)
                out->ptr[c] = ' '; /* what servers say is one line, and nothing that a terminal obeys */
        pk_buf_text(out, "\n");
    }
    pk_buf_printf(out, "%zu OK, %zu WARN, %zu FAIL\n", doctor_count(report, DOCTOR_OK), doctor_count(report, DOCTOR_WARN), doctor_count(report, DOCTOR_FAIL));
}

static void add_json(struct pk_buf *out, const char *key, const char *value)
{
    pk_buf_printf(out, "\"%s\": \"", key);
    bool utf8 = pk_utf8_valid(value, strlen(value));
    for (; *value; value++) {
        unsigned char c = (unsigned char)*value;
        if (c == '"' || c == '\\')
            pk_buf_printf(out, "\\%c", c);
        else if (c < 0x20)
            pk_buf_text(out, " ");
        else
            pk_buf_add(out, c >= 0x80 && !utf8 ? "?" : value, 1);
    }
    pk_buf_text(out, "\"");
}

void doctor_json(const struct doctor_report *report, struct pk_buf *out)
{
    pk_buf_text(out, "[");
    for (size_t i = 0; i < report->finding.len; i++) {
        const struct doctor_finding *finding = &report->finding.ptr[i];
        pk_buf_text(out, i ? ",\n {" : "\n {");
        add_json(out, "check", doctor_check_id(finding->check));
        pk_buf_text(out, ", ");
        add_json(out, "verdict", doctor_verdict_name(finding->verdict));
        pk_buf_text(out, ", ");
        add_json(out, "about", finding->about);
        pk_buf_text(out, ", ");
        add_json(out, "text", finding->text);
        pk_buf_text(out, ", ");
        add_json(out, "todo", finding->todo);
        pk_buf_text(out, "}");
    }
    pk_buf_text(out, "\n]\n");
}
