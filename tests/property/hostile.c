/* SPDX-License-Identifier: Apache-2.0 */
#include "hostile.h"

#include <inttypes.h>
#include <stdio.h>

#define BASE_US INT64_C(1710115200000000) /* 2024-03-11T00:00Z: a crowd has two days, `delivery` two rules */

static const char *const families[][8] = {
    {"contact.inbound", "contact.outbound", "newsletter.sent", "ad.shown", "case.closed", "request.refused"},
    {"promise.made", "promise.made", "promise.attempted", "promise.kept", "promise.rejected", "promise.withdrawn"},
    {"callback.requested", "callback.booked", "callback.attempted", "callback.unreached", "callback.reached",
     "callback.refused", "callback.withdrawn"},
    {"question.asked", "question.asked", "reply.sent", "answer.given", "answer.given", "question.withdrawn"},
    {"payment.captured", "payment.captured", "ticket.issued", "payment.refunded"},
    {"feedback.submitted", "feedback.submitted", "feedback.acknowledged"},
    {"handoff.offered", "handoff.offered", "handoff.accepted", "handoff.rejected"},
    {"notice.due", "notice.due", "contact.outbound", "notice.given"},
    {"relay.passed"},
    {"visit.booked", "visit.done", "visit.started"},
    {"order.placed", "order.placed", "order.delivered", "order.cancelled", "order.collected"},
};
static const char *const sources[] = {"crm", "web"};
static const char *const brands[] = {"Ahola", "Ahola", "Ahola", "Bergvik"};
static const char *const units[] = {NULL, "care", "sales"};
static const char *const channels[] = {"phone", "web", "app"};
static const char *const kinds[] = {"callback", "question", "feedback", "handoff", "notice", "own_kind"};
static const char *const outcomes[] = {"ok", "resolved", "refused", "unreached"};
static const char *const reasons[] = {"ticket", "ticket", "not_mine"};
static const int steps_s[] = {0, 0, 1, 5, 20, 27, 30, 54, 60, 300, 600};

/* Limits that few people meet: two numbers share a phone, three persons are too many. */
static void hostile_namespaces(struct chance *chance, const struct rules *rules,
                               struct rules_namespace name_space[HOSTILE_NAMESPACES], struct rules *ret_rules)
{
    static const int backs[] = {0, 5, 30, 60, 60, 300, 100000};
    static const uint32_t links[] = {1, 2, 3, 50, 50, 50}, people[] = {1, 1, 1, 2, UINT32_MAX};
    static const uint32_t components[] = {2, 3, 5, 1000, 1000, 1000};
    bool tight = chance_in(chance, 50);
    ret_rules->max_component = tight ? CHANCE_OF(chance, components) : 1000;
    ret_rules->name_space = name_space;
    for (size_t i = 0; i < rules->namespace_count; i++) {
        struct rules_namespace *space = &name_space[i];
        *space = rules->name_space[i];
        space->lookback_us = CHANCE_OF(chance, backs) * PK_SECOND_US;
        space->lookahead_us = CHANCE_OF(chance, backs) * PK_SECOND_US;
        if (space->class_ == RULES_PERSON)
            space->lookahead_us = space->lookback_us;
        if (space->class_ == RULES_KIOSK && chance_in(chance, 70))
            space->lookahead_us = 0;
        space->max_links = tight ? CHANCE_OF(chance, links) : 50;
        space->max_people = space->unique && chance_in(chance, 80) ? UINT32_MAX : CHANCE_OF(chance, people);
    }
}

void hostile_rules(struct chance *chance, const struct rules *rules, struct rules_kind *kind,
                   struct rules_namespace name_space[HOSTILE_NAMESPACES], struct rules *ret_rules)
{
    static const int gaps[] = {0, 5, 30, 60, 60, 300}, spans[] = {5, 60, 300, 600, 100000}, skews[] = {0, 1, 5, 20};
    static const int most[] = {2, 5, 12, 1000, 1000, 1000, 1000};
    *ret_rules = *rules;
    ret_rules->gap_us = CHANCE_OF(chance, gaps) * PK_SECOND_US;
    ret_rules->reopen_gap_us = CHANCE_OF(chance, gaps) * PK_SECOND_US;
    ret_rules->case_gap_us = CHANCE_OF(chance, gaps) * PK_SECOND_US;
    ret_rules->max_span_us = CHANCE_OF(chance, spans) * PK_SECOND_US;
    ret_rules->skew_us = CHANCE_OF(chance, skews) * PK_SECOND_US;
    ret_rules->max_events = CHANCE_OF(chance, most);
    hostile_namespaces(chance, rules, name_space, ret_rules);
    ret_rules->kind = kind;
    ret_rules->any_across = false;
    static const int windows_s[] = {1, 60, 3600, 7 * 86400, 30 * 86400};
    bool across = chance_in(chance, 60);
    struct chance detail = {chance->state ^ 0xB0A7}; /* what all else does not depend on */
    ret_rules->repeat_window_us = CHANCE_OF(&detail, windows_s) * PK_SECOND_US;
    for (size_t i = 0; i < rules->kind_count; i++) {
        kind[i] = rules->kind[i];
        kind[i].across = across && (rules->kind[i].across || chance_in(chance, 20));
        if (chance_in(chance, 20))
            kind[i].consume_all = !kind[i].consume_all;
        ret_rules->any_across |= kind[i].across;
        kind[i].business = kind[i].business != chance_in(&detail, 20);
        kind[i].handoff = kind[i].handoff != chance_in(&detail, 20);
    }
}

/* ---- parts of an event ---- */

static struct pk_str text(struct hostile *h, const char *format, ...) __attribute__((format(printf, 2, 3)));
static struct pk_str text(struct hostile *h, const char *format, ...)
{
    char line[256];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    return pk_arena_str(h->arena, (struct pk_str){line, (size_t)len});
}

static int64_t time_of(struct hostile *h, const struct event *event, size_t count)
{
    static const int micros[] = {0, 0, 0, 0, 1, -1};
    if (count && chance_in(h->chance, 75)) {
        size_t other = chance_in(h->chance, 60) ? count - 1 - chance_below(h->chance, (unsigned)PK_MIN(count, (size_t)4))
                                                : chance_below(h->chance, (unsigned)count);
        int64_t step = CHANCE_OF(h->chance, steps_s) * PK_SECOND_US + CHANCE_OF(h->chance, micros);
        return event[other].occurred_at_us + (chance_in(h->chance, 25) ? -step : step);
    }
    return BASE_US - h->span_us / 3 + (int64_t)chance_below(h->chance, (unsigned)(h->span_us / PK_SECOND_US)) * PK_SECOND_US;
}

/* What a person has: numbers of their own (two in one shop, now and then), an e-mail, the family's phone and tablet, a
 * phone of their own, a cookie; and what stands in public. */
enum belonging {
    NUMBER,
    SHOP_NUMBER,
    LOYALTY,
    EMAIL,
    OWN_PHONE,
    FAMILY_PHONE,
    COOKIE,
    TABLET,
    VEHICLE,
    KIOSK,
    BELONGINGS
};

static struct event_identifier belonging(struct hostile *h, enum belonging what, unsigned person)
{
    switch (what) {
    case NUMBER:
        return (struct event_identifier){PK_STR("crm/customer_id"),
                                         text(h, chance_in(h->chance, 8) ? "C-%u-new" : "C-%u", person)};
    case SHOP_NUMBER:
        return (struct event_identifier){PK_STR("shop/customer_id"), text(h, "S-%u", person)};
    case LOYALTY:
        return (struct event_identifier){PK_STR("shop/loyalty_id"),
                                         text(h, "L-%u", chance_in(h->chance, 10) ? 0 : person / 2 + 1)};
    case EMAIL:
        return (struct event_identifier){PK_STR("email"), text(h, chance_in(h->chance, 50) ? "p%u@x.fi" : "P%u@X.fi", person)};
    case OWN_PHONE:
        return (struct event_identifier){PK_STR("phone"), text(h, "+358 40 000 000%u", person)};
    case FAMILY_PHONE:
        return (struct event_identifier){PK_STR("phone"), text(h, "+358 9 000 00%u", person / 2)};
    case COOKIE:
        return (struct event_identifier){PK_STR("cookie"), text(h, "K%u", person)};
    case TABLET:
        return (struct event_identifier){PK_STR("cookie"), text(h, "D%u", person / 2)};
    case VEHICLE:
        return (struct event_identifier){PK_STR("vehicle"), text(h, "V%u", person / 2)};
    case KIOSK:
    case BELONGINGS:
        break;
    }
    return (struct event_identifier){PK_STR("kiosk"), PK_STR("hall")};
}

static void add_identifiers(struct hostile *h, struct event *event, unsigned person)
{
    static const enum belonging strong[] = {NUMBER, NUMBER, NUMBER, SHOP_NUMBER, LOYALTY, EMAIL, EMAIL, OWN_PHONE};
    static const enum belonging weak[] = {COOKIE, TABLET, TABLET, VEHICLE, KIOSK, FAMILY_PHONE, FAMILY_PHONE};
    struct event_identifier *found = PK_NEW_ARRAY(h->arena, struct event_identifier, 2 * BELONGINGS);
    uint32_t count = 0;
    if (chance_in(h->chance, h->single)) {
        found[count++] = belonging(h, NUMBER, person);
    } else {
        bool together = chance_in(h->chance, h->together);
        unsigned wanted = together ? 2 + chance_below(h->chance, 3) : 1;
        for (unsigned i = 0; i < wanted; i++) {
            enum belonging what = chance_in(h->chance, together ? 65 : 45) ? CHANCE_OF(h->chance, strong)
                                                                           : CHANCE_OF(h->chance, weak);
            unsigned whose = chance_in(h->chance, h->mistaken) ? chance_below(h->chance, h->people) : person;
            found[count++] = belonging(h, what, whose);
        }
    }
    if (chance_in(h->chance, 5))
        found[count++] = (struct event_identifier){PK_STR("loyalty/tier"), PK_STR("gold")}; /* unknown namespace */
    if (chance_in(h->chance, 5))
        found[count++] = (struct event_identifier){PK_STR("email"), PK_STR("anonymous")}; /* blocked */
    if (count && chance_in(h->chance, 3))
        found[count] = found[0], count++; /* twice in one event */
    event->identifier = found;
    event->identifier_count = count;
}

static void add_promise(struct hostile *h, struct event *event)
{
    static const int due[] = {0, 5, 20, 60, 300};
    event->has_obligation = true;
    event->obligation = (struct event_obligation){
        .id = text(h, "p/%u", chance_below(h->chance, h->people + 1)),
        .kind = pk_str(CHANCE_OF(h->chance, kinds)),
        .due_from_us = PK_NO_TIME,
        .due_to_us = PK_NO_TIME,
    };
    if (chance_in(h->chance, 80))
        event->obligation.due_to_us = event->occurred_at_us + CHANCE_OF(h->chance, due) * PK_SECOND_US;
    if (chance_in(h->chance, 40))
        event->obligation.due_from_us = event->occurred_at_us - (int64_t)chance_below(h->chance, 2) * PK_SECOND_US;
    if (chance_in(h->chance, 20))
        event->obligation.brand = pk_str(CHANCE_OF(h->chance, brands));
    if (chance_in(h->chance, 20))
        event->obligation.unit = PK_STR("care");
    if (chance_in(h->chance, 10))
        event->obligation.role = PK_STR("owner");
}

static void add_handoff(struct hostile *h, struct event *event)
{
    event->has_handoff = true;
    if (chance_in(h->chance, 60))
        event->handoff.to_brand = pk_str(CHANCE_OF(h->chance, brands));
    if (chance_in(h->chance, 50))
        event->handoff.to_unit = PK_STR("sales");
    if (chance_in(h->chance, 20))
        event->handoff.to_role = PK_STR("owner");
}

/* ---- what journeys, needs and courses are told by ---- */

static const char *const told_types[] = {
    "owner.assigned",   "owner.cleared",   "handoff.offered",     "handoff.forwarded",    "handoff.accepted",
    "handoff.rejected", "queue.entered",   "queue.moved",         "queue.left",           "work.started",
    "work.resumed",     "work.stopped",    "request.failed",      "request.diagnosed",    "request.refused",
    "contact.inbound",  "contact.inbound", "contact.outbound",    "feedback.submitted",   "feedback.acknowledged",
    "order.placed",     "order.cancelled", "payment.captured",    "payment.refunded",     "ticket.issued",
    "question.asked",   "answer.given",    "statement.withdrawn", "case.closed",          "ad.clicked",
};
static const char *const told_outcomes[] = {"ok", "resolved", "failed", "refused", "abandoned", "unreached"};
static const char *const told_channels[] = {"phone", "web", "app", "email", "store"};
static const char *const words[] = {"fuel", "brakes", "billing"}; /* a cause and a topic may be one text */
static const char *const stages[] = {"use", "buy", "leave"};

static void add_rating(struct chance *chance, struct event *event)
{
    static const double scores[] = {0, 1, 4.0005, 4.4995, 9.9999, -0.0005, 1e12, -3e6};
    event->has_rating = true;
    event->rating = (struct event_rating){
        .scale = pk_str(chance_in(chance, 50) ? "nps" : "stars"), .score = CHANCE_OF(chance, scores), .min = -3e6, .max = 1e12};
}

static void add_money(struct chance *chance, struct event *event)
{
    static const int64_t amounts[] = {-100, 0, 64, INT64_C(1000000000000), INT64_C(1000000000001), -INT64_C(1000000000000000)};
    event->has_money = true;
    event->money = (struct event_money){.amount_minor = CHANCE_OF(chance, amounts),
                                        .currency = pk_str(chance_in(chance, 80) ? "EUR" : "SEK"),
                                        .kind = pk_str(chance_in(chance, 50) ? "price" : "refund")};
}

static void add_words(struct hostile *h, struct event *event)
{
    struct chance *chance = &h->detail;
    if (chance_in(chance, 40))
        event->topic = pk_str(CHANCE_OF(chance, words));
    if (chance_in(chance, 30))
        event->cause = pk_str(CHANCE_OF(chance, words));
    if (chance_in(chance, 30))
        event->stage = pk_str(CHANCE_OF(chance, stages));
    if (chance_in(chance, 50))
        event->staff = text(h, "agent %u", chance_below(chance, chance_in(chance, 90) ? 3 : 100));
}

static void add_details(struct hostile *h, struct event *event)
{
    static const int days[] = {1, 7, 14, 29, 30, 31};
    static const int micros[] = {0, 0, 1, -1};
    struct chance *chance = &h->detail;
    if (chance_in(chance, h->far)) {
        int64_t away = CHANCE_OF(chance, days) * PK_DAY_US + CHANCE_OF(chance, micros);
        event->occurred_at_us += chance_in(chance, 30) ? -away : away;
    }
    if (!chance_in(chance, h->rich))
        return;
    if (chance_in(chance, 60)) {
        event->type = pk_str(CHANCE_OF(chance, told_types));
        event->outcome = chance_in(chance, 60) ? pk_str(CHANCE_OF(chance, told_outcomes)) : (struct pk_str){0};
    }
    if (chance_in(chance, 40))
        event->channel = pk_str(CHANCE_OF(chance, told_channels));
    if (chance_in(chance, 40)) {
        event->direction = chance_in(chance, 50) ? EVENT_INBOUND : EVENT_OUTBOUND;
        event->actor = event->direction == EVENT_INBOUND ? EVENT_CUSTOMER : EVENT_HUMAN;
    }
    if (chance_in(chance, 40))
        event->unit = pk_str(CHANCE_OF(chance, units));
    event->sensitivity = chance_in(chance, 10) ? EVENT_SENSITIVE : EVENT_NORMAL;
    add_words(h, event);
    if (chance_in(chance, 15))
        add_rating(chance, event);
    if (chance_in(chance, 15))
        add_money(chance, event);
    if (!event->has_handoff && chance_in(chance, 20)) {
        event->has_handoff = true;
        if (chance_in(chance, 30))
            event->handoff.to_brand = pk_str(CHANCE_OF(chance, brands));
        if (chance_in(chance, 80))
            event->handoff.to_unit = pk_str(chance_in(chance, 50) ? "sales" : "care");
    }
}

static struct event make_event(struct hostile *h, const struct event *past, size_t count)
{
    unsigned family = 0, person = chance_below(h->chance, h->people);
    while (!(h->themes >> (family = chance_below(h->chance, PK_COUNT(families))) & 1))
        continue;
    unsigned types = 0;
    while (types < PK_COUNT(families[family]) && families[family][types])
        types++;
    struct event event = {
        .event_id = text(h, chance_in(h->chance, 10) ? "e/%zu" : "e%zu", count),
        .source = pk_str(CHANCE_OF(h->chance, sources)),
        .occurred_at_us = time_of(h, past, count),
        .sequence = chance_in(h->chance, 40) ? (int64_t)chance_below(h->chance, 4) - 1 : 0,
        .type = pk_str(families[family][chance_below(h->chance, types)]),
        .channel = pk_str(CHANCE_OF(h->chance, channels)),
        .direction = (enum event_direction)chance_below(h->chance, 5),
        .actor = (enum event_actor)chance_below(h->chance, 5),
        .brand = pk_str(CHANCE_OF(h->chance, brands)),
        .unit = pk_str(CHANCE_OF(h->chance, units)),
    };
    if (count && chance_in(h->chance, 4)) /* one id at another time is another event */
        event.event_id = past[chance_below(h->chance, (unsigned)count)].event_id;
    if (chance_in(h->chance, 3)) /* ... and may be an obligation's id too */
        event.event_id = text(h, "p/%u", chance_below(h->chance, h->people + 1));
    if (chance_in(h->chance, 3)) { /* ... and hash like an identifier */
        event.source = PK_STR("cookie");
        event.event_id = text(h, "D%u", person / 2);
    }
    if (count && chance_in(h->chance, h->again)) {
        const struct event *other = &past[chance_below(h->chance, (unsigned)count)];
        event.identifier = other->identifier;
        event.identifier_count = other->identifier_count;
        if (chance_in(h->chance, 15))
            event.occurred_at_us = other->occurred_at_us;
    } else if (!chance_in(h->chance, h->nameless)) {
        add_identifiers(h, &event, person);
    }
    if (chance_in(h->chance, 35))
        event.case_id = text(h, "shop/%u", chance_in(h->chance, h->strangers) ? chance_below(h->chance, h->people) : person);
    if (chance_in(h->chance, 50))
        event.outcome = pk_str(CHANCE_OF(h->chance, outcomes));
    if (chance_in(h->chance, 60))
        event.reason = pk_str(CHANCE_OF(h->chance, reasons));
    if (chance_in(h->chance, pk_str_eq(event.type, PK_STR("promise.made")) ? 95 : 5))
        add_promise(h, &event);
    if (chance_in(h->chance, family == 6 ? 60 : 3))
        add_handoff(h, &event);
    add_details(h, &event);
    return event;
}

/* ---- who names whom ---- */

static struct pk_str uuid_text(struct hostile *h, struct pk_hash id)
{
    struct pk_str hex = text(h, "%016" PRIx64 "%016" PRIx64, pk_get_be64(id.byte), pk_get_be64(id.byte + 8));
    if (chance_in(h->chance, 50))
        return hex;
    return text(h, "%.8s-%.4s-%.4s-%.4s-%.12s", hex.ptr, hex.ptr + 8, hex.ptr + 12, hex.ptr + 16, hex.ptr + 20);
}

static struct pk_str ledger_id(struct hostile *h, const struct event *event)
{
    if (event->has_obligation && chance_in(h->chance, 70)) {
        const struct pk_str part[] = {event->source, event->obligation.id};
        return uuid_text(h, fact_hash(h->hasher, part, PK_COUNT(part)));
    }
    char kind[40] = "callback"; /* of whatever rule this type could open: the kind is called like its family */
    size_t dot = 0;
    while (dot < event->type.len && event->type.ptr[dot] != '.' && dot < sizeof kind - 1)
        kind[dot] = event->type.ptr[dot], dot++;
    kind[dot] = 0;
    const char *name = strcmp(kind, "payment") == 0 ? "ticket" : strcmp(kind, "order") == 0 ? "delivery" : kind;
    const struct pk_str part[] = {event->source, event->event_id, text(h, "%" PRId64, event->occurred_at_us),
                                  pk_str(name)};
    return uuid_text(h, fact_hash(h->hasher, part, PK_COUNT(part)));
}

static struct pk_str name_of(struct hostile *h, const struct event *other)
{
    if (chance_in(h->chance, 25))
        return ledger_id(h, other);
    if (other->has_obligation && chance_in(h->chance, 60))
        return text(h, "%s/%s", other->source.ptr, other->obligation.id.ptr);
    return text(h, "%s/%s", other->source.ptr, other->event_id.ptr);
}

static void relate(struct hostile *h, struct event *event, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool acting = event[i].type.len > 8 && memcmp(event[i].type.ptr, "promise.", 8) == 0 &&
                      !pk_str_eq(event[i].type, PK_STR("promise.made"));
        bool nameless = !event[i].identifier_count && !event[i].case_id.ptr;
        if (!chance_in(h->chance, acting ? 80 : nameless ? 60 : h->relating))
            continue;
        event[i].relates_to = name_of(h, &event[chance_below(h->chance, (unsigned)count)]);
        if (nameless || chance_in(h->chance, h->relating))
            event[i].type = pk_str(families[1][2 + chance_below(h->chance, 4)]); /* promise.attempted ... */
        if (chance_in(h->chance, 5))
            event[i].relates_to = text(h, "nobody/p/%u", chance_below(h->chance, 2));
    }
}

/* ---- duplicates ---- */

static void change(struct hostile *h, struct event *copy)
{
    switch (chance_below(h->chance, 9)) {
    case 0:
        copy->outcome = pk_str(CHANCE_OF(h->chance, outcomes));
        break;
    case 1:
        copy->sequence = 9;
        break;
    case 2:
        add_identifiers(h, copy, chance_below(h->chance, h->people));
        break;
    case 3:
        copy->identifier_count = chance_below(h->chance, 2) ? copy->identifier_count / 2 : 0;
        break;
    case 4:
        copy->case_id = text(h, "shop/%u", chance_below(h->chance, h->people));
        break;
    case 5:
        copy->type = PK_STR("contact.inbound");
        break;
    case 6:
        copy->has_obligation = false;
        memset(&copy->obligation, 0, sizeof copy->obligation);
        break;
    case 7:
        copy->relates_to = (struct pk_str){0};
        break;
    default:
        copy->brand = PK_STR("Bergvik");
        break;
    }
}

size_t hostile_events(struct hostile *h, struct event *event, size_t count)
{
    for (size_t i = 0; i < count; i++)
        event[i] = make_event(h, event, i);
    relate(h, event, count);
    size_t all = count;
    for (size_t i = 0; i < count; i++) {
        while (all < 2 * count && chance_in(h->chance, h->repeated)) {
            event[all] = event[i];
            if (chance_in(h->chance, 60))
                change(h, &event[all]);
            if (chance_in(&h->detail, h->rich / 2))
                add_words(h, &event[all]);
            all++;
        }
    }
    return all;
}
