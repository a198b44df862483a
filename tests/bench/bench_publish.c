/* SPDX-License-Identifier: Apache-2.0 */
/* Publishes a seeded workload: bench_publish WORKLOAD SEED EVENTS BROKERS TOPIC
 *
 * Journeys of 3 to 8 events (5.2 on average) that lie close together: ALIVE of them are under way at any moment and each
 * next event belongs to one of them by chance, so that nearly all of a journey meets in one batch. About one
 * obligation per journey, by rule or explicit; two journeys of five have a case; events of about 200 bytes.
 *
 *   new        each journey is a customer's first; 3 days
 *   returning  EVENTS / 33 customers who come back about every nine days; 60 days; 1 % of the events come up to 3 days
 *              late
 *   links      the same, but events carry the customer id alone, or in one journey of six a phone number that nobody
 *              knows yet; every tenth event carries a new link beside it: one third the number of such a journey that is
 *              over, which joins two customers with a history, the others an e-mail address that is new
 *   unlinked   the events of links without what makes the links
 *
 * The cost of one merge. EVENTS / 200 pairs of customers, one known by its id and the other by its phone number:
 *
 *   pairs      each customer has 100 events in 20 journeys; 60 days
 *   singles    one event more of the first of each pair
 *   joins      one event of each pair with both identifiers */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pk.h"
#include "polku/producer.h"
#include "random.h"

enum {
    ALIVE = 300,
    MAX_STEPS = 8,
    LATE_PER_MILLE = 10,
    EVENTS_A_CUSTOMER = 33,
    LINKS_PER_CENT = 10,
    STRAY_ONE_OF = 6,  /* journeys: by a phone number that nobody knows yet */
    JOIN_ONE_OF = 3,   /* links: with such a journey, if there is one */
    PAIR_EVENTS = 100, /* of each of both */
    PAIR_STEPS = 5,    /* in each of their journeys */
};
#define START_US INT64_C(1735689600000000) /* 2025-01-01 */

/* ---- what happens ---- */

struct step {
    const char *type, *channel;
    enum polku_direction direction;
    enum polku_actor actor;
    uint8_t chance;   /* percent */
    bool relates;     /* to the event, or the promise, that opened the obligation */
    bool opens, promises, hands_off;
    const char *outcome, *reason;
};

struct script {
    const char *name;
    bool with_case;
    struct step step[MAX_STEPS];
};

#define IN POLKU_INBOUND, POLKU_CUSTOMER
#define OUT POLKU_OUTBOUND, POLKU_HUMAN
#define MACHINE POLKU_INTERNAL, POLKU_SYSTEM
static const struct script scripts[] = {
    {"order", true, {
        {"page.viewed", "web", IN, 60},
        {"purchase.started", "web", IN, 100},
        {"order.placed", "web", IN, 100, .opens = true},
        {"payment.captured", "web", MACHINE, 95},
        {"notice.sent", "messaging", OUT, 70},
        {"order.delivered", "post", OUT, 90, .outcome = "ok"}}},
    {"handoff", true, {
        {"contact.inbound", "phone", IN, 100},
        {"contact.transferred", "phone", MACHINE, 50},
        {"handoff.offered", "back_office", MACHINE, 100, .opens = true, .hands_off = true},
        {"handoff.accepted", "back_office", MACHINE, 80, .relates = true},
        {"contact.outbound", "phone", OUT, 90},
        {"request.resolved", "back_office", OUT, 85, .outcome = "resolved"}}},
    {"question", false, {
        {"selfservice.failed", "web", IN, 40, .outcome = "failed"},
        {"question.asked", "chat", IN, 100, .opens = true},
        {"reply.sent", "chat", POLKU_OUTBOUND, POLKU_BOT, 90, .relates = true},
        {"contact.inbound", "phone", IN, 60},
        {"reply.sent", "email", OUT, 70, .relates = true},
        {"answer.given", "email", OUT, 80, .relates = true, .outcome = "ok"},
        {"thanks.received", "email", IN, 50}}},
    {"callback", false, {
        {"contact.missed", "phone", IN, 80, .outcome = "unanswered", .reason = "busy"},
        {"callback.requested", "ivr", IN, 100, .opens = true},
        {"callback.attempted", "phone", OUT, 90},
        {"callback.unreached", "phone", OUT, 60, .outcome = "unreached", .reason = "no_answer"},
        {"callback.attempted", "phone", OUT, 70},
        {"callback.reached", "phone", OUT, 80, .outcome = "ok"},
        {"contact.inbound", "phone", IN, 40}}},
    {"promise", false, {
        {"visit.started", "store", IN, 100},
        {"contact.proactive", "store", OUT, 60},
        {"promise.made", "store", OUT, 100, .promises = true},
        {"contact.outbound", "phone", OUT, 80},
        {"promise.kept", "phone", OUT, 75, .relates = true, .outcome = "ok"},
        {"purchase.completed", "store", IN, 60},
        {"visit.ended", "store", IN, 70, .outcome = "ok"}}},
};
static const char *const brands[] = {"Havu Home", "Meri Mobile", "Lumo Energy", "Kaarna Repairs"};
static const char *const units[] = {"customer care", "sales", "billing", "switchboard", "service desk"};
static const char *const topics[] = {"bill", "delivery", "laboratory result", "move of contract", "service time"};

/* ---- the stream ---- */

static const struct workload {
    const char *name;
    int days;
    bool returning, links, unlinked;
    bool pairs, singles, joins;
} workloads[] = {
    {"new", .days = 3},
    {"returning", .days = 60, .returning = true},
    {"links", .days = 60, .returning = true, .links = true},
    {"unlinked", .days = 60, .returning = true, .links = true, .unlinked = true},
    {"pairs", .days = 60, .pairs = true},
    {"singles", .days = 60, .pairs = true, .singles = true},
    {"joins", .days = 60, .pairs = true, .joins = true},
};

struct journey {
    uint64_t number, customer;
    const struct script *script;
    uint8_t step, brand, opened_by; /* opened_by: step + 1, 0 = none yet */
    bool with_case, stray;
};

enum who { WHO_BOTH, WHO_ID, WHO_PHONE }; /* both: the customer id, and the phone number as the second */

struct told { /* one event */
    struct journey journey;
    enum who who;
    uint64_t phone;    /* the number, of WHO_PHONE and WHO_BOTH */
    bool with_email;   /* one that is new */
    int64_t occurred_at_us;
    uint64_t publish_at; /* its place in the stream */
};

struct stream {
    struct random random;
    const struct workload *workload;
    uint64_t customers, events, step_us, journeys, place;
    struct journey alive[ALIVE];
    PK_VEC(struct told) late;      /* heap, the next one first */
    PK_VEC(uint64_t) stray;        /* journeys by phone that are over and belong to nobody yet */
};

static void begin_journey(struct stream *s, struct journey *journey)
{
    *journey = (struct journey){
        .number = s->journeys++,
        .script = &scripts[random_below(&s->random, PK_COUNT(scripts))],
        .brand = (uint8_t)random_below(&s->random, PK_COUNT(brands)),
    };
    journey->customer = s->workload->returning ? random_below(&s->random, s->customers) : journey->number;
    journey->with_case = journey->script->with_case;
    journey->stray = s->workload->links && random_below(&s->random, STRAY_ONE_OF) == 0;
}

static void late_put(struct stream *s, struct told told)
{
    size_t at = s->late.len;
    *pk_vec_push(&s->late) = told;
    for (; at > 0 && s->late.ptr[(at - 1) / 2].publish_at > told.publish_at; at = (at - 1) / 2)
        s->late.ptr[at] = s->late.ptr[(at - 1) / 2];
    s->late.ptr[at] = told;
}

static struct told late_take(struct stream *s)
{
    struct told first = s->late.ptr[0], last = s->late.ptr[--s->late.len];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < s->late.len; at = child) {
        if (child + 1 < s->late.len && s->late.ptr[child + 1].publish_at < s->late.ptr[child].publish_at)
            child++;
        if (last.publish_at <= s->late.ptr[child].publish_at)
            break;
        s->late.ptr[at] = s->late.ptr[child];
    }
    if (s->late.len)
        s->late.ptr[at] = last;
    return first;
}

/* Who an event says that it was: workloads of links. */
static void introduce(struct stream *s, struct told *told)
{
    told->who = told->journey.stray ? WHO_PHONE : WHO_ID;
    told->phone = told->journey.number;
    if (random_below(&s->random, 100) >= LINKS_PER_CENT)
        return;
    if (told->who == WHO_ID && s->stray.len && random_below(&s->random, JOIN_ONE_OF) == 0) {
        size_t at = random_below(&s->random, s->stray.len);
        told->phone = s->stray.ptr[at];
        s->stray.ptr[at] = s->stray.ptr[--s->stray.len];
        told->who = s->workload->unlinked ? WHO_ID : WHO_BOTH;
    } else {
        told->with_email = !s->workload->unlinked;
    }
}

/* The next thing that happens, in order of time. */
static struct told happen(struct stream *s)
{
    for (;;) {
        struct journey *journey = &s->alive[random_below(&s->random, ALIVE)];
        const struct step *step = &journey->script->step[journey->step];
        if (journey->step == MAX_STEPS || !step->type) {
            if (journey->stray)
                *pk_vec_push(&s->stray) = journey->number;
            begin_journey(s, journey);
            continue;
        }
        struct told told = {.journey = *journey, .publish_at = s->place,
                            .occurred_at_us = START_US + (int64_t)(s->place * s->step_us + random_below(&s->random, s->step_us))};
        journey->step++;
        if (random_below(&s->random, 100) >= step->chance)
            continue;
        if (step->opens || step->promises)
            journey->opened_by = journey->step;
        told.phone = journey->customer;
        if (s->workload->links)
            introduce(s, &told);
        return told;
    }
}

static struct told next(struct stream *s)
{
    for (;;) {
        if (s->late.len && s->late.ptr[0].publish_at <= s->place)
            return late_take(s);
        struct told told = happen(s);
        if (!s->workload->returning || random_below(&s->random, 1000) >= LATE_PER_MILLE)
            return told;
        told.publish_at += 1 + random_below(&s->random, (uint64_t)(3 * PK_DAY_US) / s->step_us);
        late_put(s, told);
    }
}

/* Everybody in turn, PAIR_EVENTS times; or one event of every pair after all that. */
static struct told next_of_pair(const struct stream *s)
{
    const struct workload *w = s->workload;
    uint64_t round = s->place / s->customers, customer = s->place % s->customers;
    if (w->singles || w->joins) {
        round = PAIR_EVENTS + w->joins;
        customer = 2 * s->place;
    }
    uint64_t journey = round / PAIR_STEPS;
    struct told told = {
        .journey = {.number = customer * PAIR_EVENTS + journey,
                    .customer = customer,
                    .script = &scripts[journey % PK_COUNT(scripts)],
                    .step = (uint8_t)(round % PAIR_STEPS),
                    .brand = (uint8_t)(customer % PK_COUNT(brands))},
        .who = w->joins ? WHO_BOTH : customer % 2 ? WHO_PHONE : WHO_ID,
        .phone = customer | 1,
        .occurred_at_us = START_US + (int64_t)(round * s->step_us * s->customers + customer * s->step_us),
    };
    for (uint8_t step = 0; step <= told.journey.step; step++)
        if (told.journey.script->step[step].opens || told.journey.script->step[step].promises)
            told.journey.opened_by = (uint8_t)(step + 1);
    return told;
}

/* ---- one event ---- */

struct texts {
    char event_id[32], relates_to[64], promise[32], customer[24], phone[24], email[48], staff[16], case_id[32], line[8];
};

static void tell(const struct told *told, struct polku_producer *producer)
{
    const struct journey *j = &told->journey;
    const struct step *step = &j->script->step[j->step];
    struct texts t;
    snprintf(t.event_id, sizeof t.event_id, "evt-%" PRIu64 "-%u", j->number, j->step);
    snprintf(t.promise, sizeof t.promise, "pr-%" PRIu64, j->number);
    snprintf(t.customer, sizeof t.customer, "C%" PRIu64, j->customer);
    snprintf(t.phone, sizeof t.phone, "+35840%07" PRIu64, told->phone);
    snprintf(t.email, sizeof t.email, "e%" PRIu64 "-%u@example.com", j->number, j->step);
    snprintf(t.staff, sizeof t.staff, "agent-%" PRIu64, j->number * 7 % 400);
    snprintf(t.case_id, sizeof t.case_id, "crm/L-2025-%" PRIu64, j->number);
    snprintf(t.line, sizeof t.line, "%" PRIu64, j->number % 20);
    bool promised = j->opened_by && j->script->step[j->opened_by - 1].promises;
    if (promised)
        snprintf(t.relates_to, sizeof t.relates_to, "crm-north/%s", t.promise);
    else
        snprintf(t.relates_to, sizeof t.relates_to, "crm-north/evt-%" PRIu64 "-%u", j->number, j->opened_by - 1U);

    struct polku_identifier who[3];
    size_t known_by = 0;
    if (told->who != WHO_PHONE)
        who[known_by++] = (struct polku_identifier){"alliance/customer_id", t.customer};
    if (told->who != WHO_ID)
        who[known_by++] = (struct polku_identifier){"phone", t.phone};
    if (told->with_email)
        who[known_by++] = (struct polku_identifier){"email", t.email};
    const struct polku_attribute attribute[] = {{"line", t.line}};
    const struct polku_obligation promise = {.id = t.promise, .kind = "follow_up", .due_from_us = POLKU_NO_TIME,
                                             .due_to_us = told->occurred_at_us + PK_DAY_US};
    const struct polku_handoff handoff = {.to_brand = brands[j->brand], .to_unit = "specialists"};
    const struct polku_event event = {
        .struct_size = sizeof event,
        .event_id = t.event_id,
        .source = "crm-north",
        .occurred_at_us = told->occurred_at_us,
        .sequence = j->step,
        .type = step->type,
        .channel = step->channel,
        .direction = step->direction,
        .actor = step->actor,
        .brand = brands[j->brand],
        .unit = units[j->number % PK_COUNT(units)],
        .identifier = who,
        .identifier_count = known_by,
        .staff = step->actor == POLKU_HUMAN ? t.staff : NULL,
        .case_id = j->with_case ? t.case_id : NULL,
        .relates_to = step->relates ? t.relates_to : NULL,
        .topic = topics[j->number % PK_COUNT(topics)],
        .stage = "service",
        .outcome = step->outcome,
        .reason = step->reason,
        .obligation = step->promises ? &promise : NULL,
        .handoff = step->hands_off ? &handoff : NULL,
        .attribute = attribute,
        .attribute_count = 1,
    };
    struct polku_error error;
    if (polku_producer_send(producer, &event, NULL, &error) != POLKU_OK) {
        fprintf(stderr, "bench_publish: %s\n", error.text);
        exit(1);
    }
}

static const struct workload *workload_named(const char *name)
{
    for (size_t i = 0; i < PK_COUNT(workloads); i++)
        if (strcmp(workloads[i].name, name) == 0)
            return &workloads[i];
    return NULL;
}

int main(int argc, char *argv[])
{
    const struct workload *workload = argc == 6 ? workload_named(argv[1]) : NULL;
    if (!workload) {
        fprintf(stderr, "usage: bench_publish new|returning|links|unlinked|pairs|singles|joins SEED EVENTS BROKERS TOPIC\n");
        return 2;
    }
    struct stream stream = {.random = {strtoull(argv[2], NULL, 10)}, .workload = workload,
                            .events = strtoull(argv[3], NULL, 10)};
    stream.events = PK_MAX(stream.events, UINT64_C(1));
    stream.step_us = (uint64_t)(workload->days * PK_DAY_US) / stream.events + 1;
    if (workload->pairs) {
        uint64_t pairs = PK_MAX(stream.events / (2 * PAIR_EVENTS), UINT64_C(1));
        stream.customers = 2 * pairs;
        stream.events = workload->singles || workload->joins ? pairs : stream.customers * PAIR_EVENTS;
    } else {
        stream.customers = stream.events / EVENTS_A_CUSTOMER + 1;
        for (size_t i = 0; i < ALIVE; i++)
            begin_journey(&stream, &stream.alive[i]);
    }

    const struct polku_property property[] = {{"linger.ms", "20"}, {"queue.buffering.max.messages", "200000"}};
    const struct polku_config config = {.struct_size = sizeof config, .brokers = argv[4], .topic = argv[5],
                                        .property = property, .property_count = PK_COUNT(property)};
    struct polku_producer *producer;
    struct polku_error error;
    if (polku_producer_open(&config, &producer, &error) != POLKU_OK) {
        fprintf(stderr, "bench_publish: %s\n", error.text);
        return 1;
    }
    for (; stream.place < stream.events; stream.place++) {
        struct told told = workload->pairs ? next_of_pair(&stream) : next(&stream);
        tell(&told, producer);
    }
    if (polku_producer_close(producer, 120000, NULL, &error) != POLKU_OK) {
        fprintf(stderr, "bench_publish: %s\n", error.text);
        return 1;
    }
    printf("published=%" PRIu64 " journeys=%" PRIu64 "\n", stream.events, stream.journeys);
    pk_vec_done(&stream.late);
    pk_vec_done(&stream.stray);
    return 0;
}
