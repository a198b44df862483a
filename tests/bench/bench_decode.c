/* SPDX-License-Identifier: Apache-2.0 */
/* How long an event takes from Avro bytes to struct event: the plan decoder beside avro-c's generic
 * reader, on the same bytes, in the same run. bench_decode [seed] [events] */
#include "avro_plan.h"
#include "event_avro.h"

#include <avro.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 7, MAX_EVENT = 2048 };

static uint64_t rng_state;

static uint64_t rng(void)
{
    uint64_t z = rng_state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static struct pk_str text(struct pk_arena *arena, const char *format, uint64_t number)
{
    char buf[128];
    snprintf(buf, sizeof buf, "%s%" PRIu64, format, number);
    return pk_arena_str(arena, pk_str(buf));
}

enum size { SMALL, USUAL, RICH, SIZES };
static const char *const size_name[] = {"small", "usual", "rich"};

/* What channel systems send: `usual` is about 200 bytes. */
static struct event sample(struct pk_arena *arena, enum size size)
{
    static const char *const type[] = {"contact.inbound", "callback.attempted", "order.delivered", "question.asked"};
    static const char *const channel[] = {"phone", "web", "email", "store"};
    struct event event = {
        .event_id = text(arena, "evt-", rng() % 1000000000),
        .source = PK_STR("crm-north"),
        .occurred_at_us = INT64_C(1442854500000000) + (int64_t)(rng() % 1000000000000),
        .sequence = (int64_t)(rng() % 100),
        .type = pk_str(type[rng() % 4]),
        .channel = pk_str(channel[rng() % 4]),
        .actor = EVENT_HUMAN,
        .brand = PK_STR("Terveyskulma"),
        .obligation = {.due_from_us = PK_NO_TIME, .due_to_us = PK_NO_TIME},
    };
    struct event_identifier *identifier = PK_NEW_ARRAY(arena, struct event_identifier, 3);
    event.identifier = identifier;
    identifier[event.identifier_count++] = (struct event_identifier){PK_STR("phone"), text(arena, "+35840", rng() % 10000000)};
    if (size == SMALL)
        return event;
    identifier[event.identifier_count++] =
        (struct event_identifier){PK_STR("terveyskulma/customer_id"), text(arena, "P-", rng() % 1000000)};
    event.unit = PK_STR("ajanvaraus");
    event.staff = text(arena, "agent-", rng() % 100);
    event.case_id = text(arena, "terveyskulma/L-2015-", rng() % 100000);
    event.topic = PK_STR("laboratory result");
    event.stage = PK_STR("service");
    event.outcome = PK_STR("ok");
    struct event_attribute *attribute = PK_NEW_ARRAY(arena, struct event_attribute, 4);
    event.attribute = attribute;
    attribute[event.attribute_count++] = (struct event_attribute){PK_STR("line"), text(arena, "", rng() % 20)};
    if (size == USUAL)
        return event;
    identifier[event.identifier_count++] = (struct event_identifier){PK_STR("email"), text(arena, "asiakas@example.fi", rng() % 999)};
    attribute[event.attribute_count++] = (struct event_attribute){PK_STR("language"), PK_STR("fi")};
    attribute[event.attribute_count++] = (struct event_attribute){PK_STR("note"), PK_STR("asks for the result that was promised")};
    event.relates_to = text(arena, "crm-north/evt-", rng() % 1000000000);
    event.cause = PK_STR("result missing");
    event.product = PK_STR("blood count");
    event.location = PK_STR("Tampere");
    event.reason = PK_STR("no_access");
    event.has_obligation = event.has_rating = event.has_money = true;
    event.obligation = (struct event_obligation){.id = text(arena, "cb-", rng() % 100000), .kind = PK_STR("callback"),
        .due_from_us = event.occurred_at_us, .due_to_us = event.occurred_at_us + PK_HOUR_US, .role = PK_STR("duty doctor")};
    event.rating = (struct event_rating){PK_STR("csat"), 4, 1, 5};
    event.money = (struct event_money){1990, PK_STR("EUR"), PK_STR("fee")};
    return event;
}

struct body {
    size_t offset, len;
};

struct set {
    struct pk_buf bytes;
    struct body *body;
    size_t count;
};

static double best(double a, double b)
{
    return a < b ? a : b;
}

static void check(int failed, const char *what)
{
    if (!failed)
        return;
    fprintf(stderr, "bench_decode: %s: %s\n", what, avro_strerror());
    exit(1);
}

static double time_plan(const struct set *set, const struct avro_plan *plan, bool validate, struct pk_arena *arena)
{
    const struct event_limits limits = {300 * PK_SECOND_US};
    enum reject_reason reason;
    struct pk_err err;
    struct event event;
    double start = now_ns();
    for (size_t i = 0; i < set->count; i++) {
        struct pk_bytes body = {(const uint8_t *)set->bytes.ptr + set->body[i].offset, set->body[i].len};
        if (i % 1000 == 0)
            pk_arena_reset(arena);
        check(avro_plan_decode(plan, body, arena, &event, &reason, &err), "decode");
        if (validate)
            check(event_validate(&event, &limits, PK_NO_TIME, &reason, &err), "validate");
    }
    return (now_ns() - start) / (double)set->count;
}

static double time_avro_c(const struct set *set, avro_value_t *value)
{
    avro_reader_t reader = avro_reader_memory(set->bytes.ptr, (int64_t)set->bytes.len);
    double start = now_ns();
    for (size_t i = 0; i < set->count; i++) {
        avro_reader_memory_set_source(reader, set->bytes.ptr + set->body[i].offset, (int64_t)set->body[i].len);
        check(avro_value_reset(value), "reset");
        check(avro_value_read(reader, value), "read");
    }
    double ns = (now_ns() - start) / (double)set->count;
    avro_reader_free(reader);
    return ns;
}

static double time_canonical(const struct set *set, const struct avro_plan *plan, double decode_ns, struct pk_arena *arena)
{
    struct pk_buf out PK_AUTO(pk_buf_done) = {0};
    enum reject_reason reason;
    struct pk_err err;
    struct event event;
    double start = now_ns();
    for (size_t i = 0; i < set->count; i++) {
        struct pk_bytes body = {(const uint8_t *)set->bytes.ptr + set->body[i].offset, set->body[i].len};
        if (i % 1000 == 0)
            pk_arena_reset(arena);
        check(avro_plan_decode(plan, body, arena, &event, &reason, &err), "decode");
        pk_buf_reset(&out);
        event_encode_canonical(&event, &out);
    }
    return (now_ns() - start) / (double)set->count - decode_ns;
}

int main(int argc, char *argv[])
{
    rng_state = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    size_t events = argc > 2 ? strtoul(argv[2], NULL, 10) : 50000;
    struct pk_err err;
    struct avro_plan *plan;
    avro_schema_t schema;
    avro_value_t value;
    struct pk_str json = event_schema_json();
    if (events == 0 || avro_plan_compile((struct pk_str){0}, json, &plan, &err) != PK_OK) {
        fprintf(stderr, "usage: bench_decode [seed] [events]\n");
        return 2;
    }
    check(avro_schema_from_json_length(json.ptr, json.len, &schema), "schema");
    avro_value_iface_t *iface = avro_generic_class_from_schema(schema);
    check(avro_generic_value_new(iface, &value), "value");

    printf("decode, seed %" PRIu64 ", %zu events of each size, best of %d rounds, ns per event\n\n", rng_state, events, ROUNDS);
    printf("| events | bytes | plan | avro-c | avro-c / plan | plan + validate | canonical form |\n|---|---|---|---|---|---|---|\n");
    struct pk_arena arena = {.keep_bytes = 8 << 20}, samples = {.keep_bytes = 8 << 20};
    for (enum size size = SMALL; size < SIZES; size++) {
        struct set set = {.body = pk_alloc(events * sizeof *set.body), .count = events};
        for (size_t i = 0; i < events; i++) {
            pk_arena_reset(&samples);
            struct event event = sample(&samples, size);
            set.body[i].offset = set.bytes.len;
            event_encode_canonical(&event, &set.bytes);
            set.body[i].len = set.bytes.len - set.body[i].offset;
        }
        double plan_ns = 1e18, avro_ns = 1e18, valid_ns = 1e18, canonical_ns = 1e18;
        for (int round = 0; round < ROUNDS; round++) {
            plan_ns = best(plan_ns, time_plan(&set, plan, false, &arena));
            avro_ns = best(avro_ns, time_avro_c(&set, &value));
            valid_ns = best(valid_ns, time_plan(&set, plan, true, &arena));
        }
        for (int round = 0; round < ROUNDS; round++)
            canonical_ns = best(canonical_ns, time_canonical(&set, plan, plan_ns, &arena));
        printf("| %s | %.0f | %.0f | %.0f | %.1f | %.0f | %.0f |\n", size_name[size], (double)set.bytes.len / (double)events,
               plan_ns, avro_ns, avro_ns / plan_ns, valid_ns, canonical_ns);
        free(set.body);
        pk_buf_done(&set.bytes);
    }
    pk_arena_done(&arena);
    pk_arena_done(&samples);
    avro_value_decref(&value);
    avro_value_iface_decref(iface);
    avro_schema_decref(schema);
    avro_plan_free(plan);
    return 0;
}
