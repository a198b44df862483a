/* SPDX-License-Identifier: Apache-2.0 */
/* Is it alive, is it ready; the text of metrics; what librdkafka tells; the board; the endpoint's address. */
#include "health_board.h"
#include "health_http.h"
#include "health_rules.h"
#include "kafka_statistics.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#define S PK_SECOND_US

/* ---- rules ---- */

enum { NOW_SECONDS = 100000 };
static const int64_t now = NOW_SECONDS * S;

static struct health_state busy(void) /* reading two partitions, all well */
{
    return (struct health_state){
        .live_after_us = 300 * S, .phase = PULSE_WAIT, .phase_since_us = now - S / 10, .beat_us = now - S / 10, .connected = true,
        .joined = true, .claimed = true, .partitions = 2, .read_us = now - S, .kafka_known = true, .brokers_up = 1,
        .served = 2, .queue_empty = true, .fetched_us = now - S,
    };
}

static bool alive(struct health_state state)
{
    return health_live(&state, now).good;
}

static bool ready(struct health_state state)
{
    return health_ready(&state, now).good;
}

static const char *why_not_ready(struct health_state state)
{
    static struct health_verdict verdict;
    verdict = health_ready(&state, now);
    return verdict.good ? "it is ready" : verdict.text;
}

Test(health, who_reads_is_alive_and_ready)
{
    cr_assert(alive(busy()) && ready(busy()));
}

Test(health, who_has_no_partition_is_ready)
{
    struct health_state state = busy();
    state.partitions = 0;
    state.claimed = false;
    state.read_us = state.fetched_us = 0;
    cr_assert(alive(state) && ready(state));
}

Test(health, an_idle_consumer_stays_alive_however_long_nothing_comes)
{
    struct health_state state = busy();
    state.read_us = now - 90000 * S;
    cr_assert(alive(state) && ready(state), "it still asks its brokers");
}

Test(health, a_thread_that_stopped_is_not_alive)
{
    static const enum pulse_phase at[] = {PULSE_WAIT, PULSE_DECODE, PULSE_DERIVE, PULSE_LOAD, PULSE_COMMIT};
    for (size_t i = 0; i < PK_COUNT(at); i++) {
        struct health_state state = busy();
        state.phase = at[i];
        state.phase_since_us = state.beat_us = now - 299 * S;
        cr_assert(alive(state), "a long step");
        state.phase_since_us = state.beat_us = now - 301 * S;
        cr_assert_not(alive(state));
        cr_assert_not(ready(state));
    }
}

Test(health, calls_that_end_by_themselves_are_alive)
{
    static const enum pulse_phase at[] = {PULSE_CONNECT, PULSE_REGISTRY, PULSE_PAUSE};
    for (size_t i = 0; i < PK_COUNT(at); i++) {
        struct health_state state = busy();
        state.phase = at[i];
        state.phase_since_us = state.beat_us = now - 4000 * S;
        cr_assert(alive(state));
    }
}

Test(health, waiting_for_postgresql_is_alive_and_not_ready)
{
    struct health_state state = busy();
    state.phase = PULSE_COMMIT;
    state.phase_since_us = now - 5 * S;
    cr_assert(ready(state), "some seconds are usual");
    state.phase_since_us = now - 9000 * S; /* it looks up every now and then: beat_us is fresh */
    state.lag = 70000;
    state.lag_since_us = state.read_us = state.fetched_us = now - 9000 * S;
    cr_assert(alive(state), "the next one would wait too");
    cr_assert_str_eq(why_not_ready(state), "PostgreSQL has not answered for 9000 s");
    state = busy();
    state.connected = state.claimed = false;
    state.lag = 70000;
    state.lag_since_us = state.read_us = now - 9000 * S;
    cr_assert(alive(state) && !ready(state));
}

Test(health, lag_that_nothing_comes_of_is_not_alive)
{
    struct health_state state = busy();
    state.lag = 5;
    state.lag_since_us = now - 301 * S;
    cr_assert(alive(state), "a record came a second ago");
    state.read_us = now - 301 * S;
    cr_assert_not(alive(state));
    state.lag_since_us = now - 2 * S;
    cr_assert(alive(state), "it was idle until just now");
}

Test(health, lag_is_nobodys_fault_while_kafka_or_the_registry_is_away)
{
    struct health_state state = busy();
    state.lag = 5;
    state.lag_since_us = state.read_us = state.fetched_us = now - 9000 * S;
    cr_assert_not(alive(state));
    state.served = 0;
    cr_assert(alive(state) && ready(state), "other brokers answer, none of those that have our partitions does");
    state.brokers_up = 0;
    cr_assert(alive(state) && !ready(state), "Kafka is away");
    state.brokers_up = 1;
    state.served = 2;
    state.schema_wait = true;
    cr_assert(alive(state) && !ready(state), "the registry is");
    state.schema_wait = false;
    state.kafka_known = false;
    cr_assert(alive(state), "Kafka's client has told nothing yet");
}

Test(health, a_client_that_asks_no_broker_is_not_alive)
{
    struct health_state state = busy();
    state.read_us = state.fetched_us = now - 301 * S;
    cr_assert_not(alive(state));
    state.queue_empty = false;
    cr_assert(alive(state), "it need not ask: what it fetched is not read yet");
}

Test(health, whoever_is_not_in_the_group_or_has_not_claimed_is_not_ready)
{
    struct health_state state = busy();
    state.joined = state.claimed = false;
    state.partitions = 0;
    cr_assert(alive(state));
    cr_assert_str_eq(why_not_ready(state), "not in the group yet, or a rebalance is under way");
    state = busy();
    state.claimed = false;
    cr_assert_str_eq(why_not_ready(state), "2 partitions are ours, and not claimed in PostgreSQL yet");
    state = busy();
    state.leaving = true;
    cr_assert(alive(state) && !ready(state));
}

/* ---- text ---- */

static bool has(const struct pk_buf *text, const char *line)
{
    return strstr(text->ptr, line) != NULL;
}

Test(metrics, buckets_are_cumulative_and_end_with_infinity)
{
    struct figures *figures = pk_alloc(sizeof *figures);
    struct pk_buf text PK_AUTO(pk_buf_done) = {0};
    histogram_add(&figures->batch_seconds, BOUNDS_BATCH, 0);
    histogram_add(&figures->batch_seconds, BOUNDS_BATCH, 5000); /* a bound belongs to its bucket */
    histogram_add(&figures->batch_seconds, BOUNDS_BATCH, 5001);
    histogram_add(&figures->batch_seconds, BOUNDS_BATCH, 2500000);
    histogram_add(&figures->batch_seconds, BOUNDS_BATCH, 601 * S); /* beyond all bounds */
    metrics_text(figures, NULL, 0, &text);
    cr_assert(has(&text, "# TYPE polku_batch_seconds histogram\n"
                         "polku_batch_seconds_bucket{le=\"0.005\"} 2\n"
                         "polku_batch_seconds_bucket{le=\"0.01\"} 3\n"));
    cr_assert(has(&text, "polku_batch_seconds_bucket{le=\"1\"} 3\npolku_batch_seconds_bucket{le=\"2.5\"} 4\n"));
    cr_assert(has(&text, "polku_batch_seconds_bucket{le=\"600\"} 4\npolku_batch_seconds_bucket{le=\"+Inf\"} 5\n"
                         "polku_batch_seconds_sum 603.510001\npolku_batch_seconds_count 5\n"));
    free(figures);
}

/* Half a million events of a year ago. */
Test(metrics, sums_are_larger_than_64_bits_of_microseconds)
{
    struct figures *figures = pk_alloc(sizeof *figures);
    struct pk_buf text PK_AUTO(pk_buf_done) = {0};
    for (int i = 0; i < 500000; i++)
        histogram_add(&figures->event_age, BOUNDS_AGE, 365 * PK_DAY_US);
    metrics_text(figures, NULL, 0, &text);
    cr_assert(has(&text, "\npolku_event_age_seconds_sum 15768000000000.000000\n"));
    free(figures);
}

Test(metrics, units_labels_and_what_is_not_known)
{
    struct figures *figures = pk_alloc(sizeof *figures);
    struct pk_buf text PK_AUTO(pk_buf_done) = {0};
    figures->phases[PULSE_COMMIT] = 1500000;
    figures->quarantine_rows[REJECT_TOO_LATE] = 7;
    figures->committed_at[0] = FIGURE_NONE;
    metrics_text(figures, NULL, 0, &text);
    cr_assert(has(&text, "\npolku_phase_seconds_total{phase=\"commit\"} 1.500000\n"));
    cr_assert(has(&text, "\npolku_quarantined_records_total{reason=\"too_late\"} 7\n"));
    cr_assert(has(&text, "\npolku_conflicts_total{try=\"5\"} 0\n"), "all words from the start, or rates miss the first");
    cr_assert_not(has(&text, "\npolku_last_commit_timestamp_seconds"));
    cr_assert_eq(text.ptr[text.len - 1], '\n');
    free(figures);
}

Test(metrics, label_values_are_escaped)
{
    struct figures *figures = pk_alloc(sizeof *figures);
    struct figure_partition partition = {.topic = "a\"b\\c\nd", .partition = 11, .lag = 3, .end = FIGURE_NONE};
    struct pk_buf text PK_AUTO(pk_buf_done) = {0};
    strcpy(figures->version, "1\"2");
    figures->schema = 9;
    metrics_text(figures, &partition, 1, &text);
    cr_assert(has(&text, "polku_partition_lag_records{topic=\"a\\\"b\\\\c\\nd\",partition=\"11\"} 3\n"));
    cr_assert_not(has(&text, "\npolku_partition_end{"));
    cr_assert(has(&text, "polku_build_info{version=\"1\\\"2\",schema=\"9\",rules=\"\"} 1\n"));
    free(figures);
}

/* Samples of the text, without comments. */
static size_t samples(const char *text)
{
    size_t count = 0;
    for (const char *at = text; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
        count += *at != '#';
    return count;
}

Test(metrics, there_are_as_many_series_as_the_page_says)
{
    struct figures *figures = pk_alloc(sizeof *figures);
    struct figure_partition partition[7] = {{.topic = "t"}};
    size_t fixed, by_partition;
    struct pk_buf text PK_AUTO(pk_buf_done) = {0};
    metrics_count(&fixed, &by_partition);
    metrics_text(figures, partition, 7, &text);
    cr_assert_eq(samples(text.ptr), fixed + 7 * by_partition);
    free(figures);
}

/* ---- what librdkafka tells ---- */

static const char statistics[] =
    "{\"brokers\":{"
    "\"k1:9092/1\":{\"nodeid\":1,\"source\":\"learned\",\"state\":\"UP\",\"txerrs\":1,\"rxerrs\":2,\"req_timeouts\":4,"
    "\"rtt\":{\"avg\":500000,\"cnt\":9},\"req\":{\"Fetch\":17}},"
    "\"k2:9092/2\":{\"nodeid\":2,\"source\":\"learned\",\"state\":\"TRY_CONNECT\",\"req\":{\"Fetch\":3}},"
    "\"k1:9092/bootstrap\":{\"nodeid\":-1,\"source\":\"configured\",\"state\":\"UP\"},"
    "\"GroupCoordinator\":{\"nodeid\":1,\"source\":\"logical\",\"state\":\"UP\",\"rtt\":{\"avg\":1200,\"cnt\":2}}},"
    "\"topics\":{\"t\":{\"partitions\":{"
    "\"0\":{\"partition\":0,\"broker\":1,\"fetchq_cnt\":5,\"fetchq_size\":1000,\"ls_offset\":40,\"hi_offset\":44},"
    "\"1\":{\"partition\":1,\"broker\":2,\"fetchq_cnt\":0,\"fetchq_size\":0,\"ls_offset\":-1,\"hi_offset\":-1001},"
    "\"-1\":{\"partition\":-1}}}},\"cgrp\":{\"rebalance_cnt\":6}}";

Test(kafka_statistics, are_read_as_far_as_they_matter)
{
    struct kafka_statistics got = {0};
    cr_assert(kafka_statistics_read(statistics, &got));
    cr_assert_eq(got.brokers_up, 1, "neither the bootstrap address nor the coordinator's connection is one more");
    cr_assert_eq(got.brokers_down, 1);
    cr_assert_eq(got.round_trip_us, 1200);
    cr_assert_eq(got.errors, 3);
    cr_assert_eq(got.timeouts, 4);
    cr_assert_eq(got.fetches, 20);
    cr_assert_eq(got.rebalances, 6);
    cr_assert_eq(got.queue_records, 5);
    cr_assert_eq(got.queue_bytes, 1000);
    const struct kafka_partition *at = kafka_statistics_find(&got, "t", 0);
    cr_assert(at && at->served && at->end == 40, "up to the last stable offset");
    at = kafka_statistics_find(&got, "t", 1);
    cr_assert(at && !at->served && at->end < 0);
    cr_assert_null(kafka_statistics_find(&got, "t", -1));
    cr_assert_not(kafka_statistics_read("{\"brokers\":", &got));
    cr_assert_not(kafka_statistics_read("[]", &got));
    cr_assert_eq(got.fetches, 20, "what cannot be read changes nothing");
    kafka_statistics_done(&got);
}

/* Brokers end what is idle: who has no partition keeps the connection for the group alone. */
Test(kafka_statistics, a_broker_that_only_the_group_is_reached_by_is_up)
{
    struct kafka_statistics got = {0};
    cr_assert(kafka_statistics_read(
        "{\"brokers\":{\"k1:9092/1\":{\"nodeid\":1,\"source\":\"learned\",\"state\":\"INIT\"},"
        "\"k2:9092/2\":{\"nodeid\":2,\"source\":\"learned\",\"state\":\"INIT\"},"
        "\"GroupCoordinator\":{\"nodeid\":1,\"source\":\"logical\",\"state\":\"UP\"}},"
        "\"topics\":{\"t\":{\"partitions\":{\"0\":{\"partition\":0,\"broker\":-1,\"leader\":2}}}}}", &got));
    cr_assert_eq(got.brokers_up, 1);
    cr_assert_eq(got.brokers_down, 1);
    cr_assert_not(kafka_statistics_find(&got, "t", 0)->served);
    kafka_statistics_done(&got);
    cr_assert(kafka_statistics_read(
        "{\"brokers\":{\"k2:9092/2\":{\"nodeid\":2,\"source\":\"learned\",\"state\":\"UP\"}},"
        "\"topics\":{\"t\":{\"partitions\":{\"0\":{\"partition\":0,\"broker\":-1,\"leader\":2}}}}}", &got));
    cr_assert(kafka_statistics_find(&got, "t", 0)->served, "its leader is there, whether the client asks it or not");
    kafka_statistics_done(&got);
}

/* ---- the board ---- */

static const struct health_flags all_well = {.connected = true, .joined = true, .claimed = true, .partitions = 1};

static unsigned ask(struct health_board *board, const char *path, struct pk_buf *body)
{
    const char *type;
    pk_buf_reset(body);
    return health_board_answer(board, path, body, &type);
}

Test(board, answers_from_what_was_posted)
{
    struct health_board_config config = {.live_after_us = 300 * S, .version = "9", .rules = "ab", .schema = 4};
    struct health_board *board = health_board_open(&config);
    struct figures *figures = pk_alloc(sizeof *figures);
    struct figure_partition partition = {.topic = "t", .partition = 0, .claimed = 1, .position = 30};
    struct pk_buf body PK_AUTO(pk_buf_done) = {0};
    cr_assert_eq(ask(board, "/livez", &body), 200);
    cr_assert_eq(ask(board, "/readyz", &body), 503, "nothing is connected yet");
    cr_assert_eq(ask(board, "/metrics", &body), 200);
    cr_assert_not(has(&body, "\npolku_kafka_brokers{"), "not told yet");

    struct health_flags flags = all_well;
    flags.read_us = pulse_clock_us();
    health_board_show(board, &flags);
    figures->batches[0] = 3;
    health_board_post(board, figures, &partition, 1);
    health_board_statistics(board, strdup(statistics));
    cr_assert_eq(ask(board, "/readyz", &body), 200);
    cr_assert_eq(ask(board, "/metrics", &body), 200);
    cr_assert(has(&body, "\npolku_build_info{version=\"9\",schema=\"4\",rules=\"ab\"} 1\n"));
    cr_assert(has(&body, "\npolku_alive 1\n"));
    cr_assert(has(&body, "\npolku_ready 1\n"));
    cr_assert(has(&body, "\npolku_batches_total 3\n"));
    cr_assert(has(&body, "\npolku_partition_lag_records{topic=\"t\",partition=\"0\"} 10\n"));
    partition.position = 41; /* newer than the statistics */
    health_board_post(board, figures, &partition, 1);
    cr_assert_eq(ask(board, "/metrics", &body), 200);
    cr_assert(has(&body, "\npolku_partition_lag_records{topic=\"t\",partition=\"0\"} 0\n"));
    cr_assert_eq(ask(board, "/elsewhere", &body), 404);
    free(figures);
    health_board_close(board);
}

Test(board, what_nobody_takes_is_freed)
{
    struct health_board *board = health_board_open(&(struct health_board_config){.version = "", .rules = ""});
    health_board_statistics(board, strdup("{}"));
    health_board_statistics(board, strdup("{}"));
    health_board_statistics(NULL, strdup("{}"));
    health_board_show(NULL, &all_well);
    cr_assert_null(health_board_pulse(NULL));
    health_board_close(board);
}

static double figure(const struct pk_buf *text, const char *name)
{
    const char *at = strstr(text->ptr, name);
    cr_assert_not_null(at);
    return strtod(at + strlen(name), NULL);
}

Test(board, time_of_phases_never_goes_back)
{
    struct health_board *board = health_board_open(&(struct health_board_config){.version = "", .rules = ""});
    struct pulse *pulse = health_board_pulse(board);
    struct pk_buf body PK_AUTO(pk_buf_done) = {0};
    static const char name[] = "\npolku_phase_seconds_total{phase=\"connect\"} ";
    pulse_enter(pulse, PULSE_CONNECT);
    pulse->since_us -= 15 * S;
    pulse->spent_us[PULSE_CONNECT] = 15 * S; /* as the reader finds it that looked at the phase before, and at the sum after its end */
    ask(board, "/metrics", &body);
    double told = figure(&body, name);
    cr_assert_geq(told, 30);
    pulse->since_us = pulse_clock_us();
    pulse_enter(pulse, PULSE_WAIT);
    ask(board, "/metrics", &body);
    cr_assert_geq(figure(&body, name), told);
    health_board_close(board);
}

Test(pulse, adds_up_the_time_of_each_phase)
{
    struct pulse pulse = {0};
    pulse_start(&pulse, PULSE_DERIVE);
    cr_assert_eq(pulse_enter(&pulse, PULSE_COMMIT), PULSE_DERIVE);
    int64_t from_us = pulse_clock_us();
    while (pulse_clock_us() - from_us < 2000)
        ;
    cr_assert_eq(pulse_enter(&pulse, PULSE_DERIVE), PULSE_COMMIT);
    cr_assert_geq(pulse.spent_us[PULSE_COMMIT], 2000);
    cr_assert_eq(pulse_enter(NULL, PULSE_LOAD), PULSE_LOAD);
    pulse_beat(NULL);
}

/* ---- the address ---- */

Test(endpoint, takes_an_address_with_a_port)
{
    static const char *const good[] = {"127.0.0.1:9464", "0.0.0.0:9464", "[::]:9464", "[::1]:0", "localhost:65535"};
    static const char *const bad[] = {"9464", ":9464", "localhost", "localhost:", "localhost:x", "localhost:65536", "::1:9464",
                                      "localhost:1x", "[]:1", ""};
    struct pk_err err;
    for (size_t i = 0; i < PK_COUNT(good); i++)
        cr_assert_eq(health_http_check(good[i], &err), PK_OK, "%s", good[i]);
    for (size_t i = 0; i < PK_COUNT(bad); i++)
        cr_assert_eq(health_http_check(bad[i], &err), PK_REJECT, "%s", bad[i]);
}

Test(endpoint, says_that_a_port_is_taken)
{
    struct health_board *board = health_board_open(&(struct health_board_config){.version = "", .rules = ""});
    struct health_http *first = NULL, *second = NULL;
    struct pk_err err;
    cr_assert_eq(health_http_open("127.0.0.1:0", board, &first, &err), PK_OK, "%s", err.text);
    char address[32];
    snprintf(address, sizeof address, "127.0.0.1:%u", health_http_port(first));
    cr_assert_eq(health_http_open(address, board, &second, &err), PK_STOP);
    cr_assert(strstr(err.text, "another program listens there already"), "%s", err.text);
    cr_assert_null(second);
    health_http_close(first);
    cr_assert_eq(health_http_open(address, board, &second, &err), PK_OK, "free again: %s", err.text);
    health_http_close(second);
    health_board_close(board);
}

static int dial(unsigned port, const char *from)
{
    struct sockaddr_in mine = {.sin_family = AF_INET}, at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, from, &mine.sin_addr);
    inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&mine, sizeof mine), 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

Test(endpoint, connections_of_one_address_that_say_nothing_keep_no_probe_out)
{
    struct health_board *board = health_board_open(&(struct health_board_config){.live_after_us = 300 * S, .version = "", .rules = ""});
    struct health_http *http = NULL;
    struct pk_err err;
    int fd[20];
    char address[32], text[300];
    cr_assert_eq(health_http_open("127.0.0.1:0", board, &http, &err), PK_OK, "%s", err.text);
    for (size_t i = 0; i < PK_COUNT(fd); i++)
        fd[i] = dial(health_http_port(http), "127.0.0.2");
    snprintf(address, sizeof address, "127.0.0.1:%u", health_http_port(http));
    cr_assert_eq(health_http_ask(address, "/livez", text, sizeof text, &err), PK_OK, "%s", err.text);
    cr_assert_str_eq(text, "alive: deriving, making rows of it, and whatever else is work of our own\n");
    health_http_close(http); /* does not wait for them */
    for (size_t i = 0; i < PK_COUNT(fd); i++)
        close(fd[i]);
    health_board_close(board);
}
