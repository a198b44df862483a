/* SPDX-License-Identifier: Apache-2.0 */
#include "simulate.h"

#include <stdio.h>
#include <stdlib.h>

#include "random.h"

enum {
    MAX_STEPS = 24, /* events of one need by a script */
    MAX_EVENTS = STORY_MOST_EVENTS > MAX_STEPS ? STORY_MOST_EVENTS : MAX_STEPS,
    TRIAL_NEEDS = 4096,
    MAX_ENTRIES = 5,
    MINUTE_S = 60,
    STAFF = 40, /* members of staff in each unit */
    NOT_MADE = 0xFF,
};

/* ---- the world ---- */

enum channel { WEB, APP, PHONE, IVR, EMAIL, CHAT, SOCIAL, MESSAGING, STORE, KIOSK, FIELD_SERVICE, VEHICLE, DEVICE, POST,
               PARTNER, BACK_OFFICE, CHANNELS, ENTRY = CHANNELS };
static const char *const channel_name[CHANNELS] = {
    "web",   "app",   "phone",         "ivr",     "email",  "chat", "social",  "messaging",
    "store", "kiosk", "field_service", "vehicle", "device", "post", "partner", "back_office"};

enum brand { HAVU, MERI, LUMO, PURO, KAARNA, BRANDS };
static const struct { const char *name, *slug; } brand_name[BRANDS] = {
    {"Havu Home", "havu"}, {"Meri Mobile", "meri"}, {"Lumo Energy", "lumo"}, {"Puro Delivery", "puro"},
    {"Kaarna Repairs", "kaarna"}};
enum { OWN_BRANDS = 3 }; /* those that people are customers of; the others serve them */

enum kind { KIND_NONE, KIND_DELIVERY, KIND_HANDOFF, KIND_REVIEW, KIND_QUESTION, KIND_TICKET, KIND_COMPLAINT,
            KIND_CALLBACK, KIND_FOLLOW_UP, KIND_FEEDBACK, KIND_SERVICE, KINDS };
static const char *const kind_name[KINDS] = {NULL,        "delivery",  "handoff",  "review",    "question", "ticket",
                                             "complaint", "callback", "follow_up", "feedback", "service"};

static const char *const product_name[] = {"lamp-12", "chair-7", "router-3", "phone-21", "heater-5", "meter-2"};

/* Share of needs by hour of the day, in thousandths. */
static const uint16_t hour_weight[24] = {6,  4,  3,  3,  4,  8,  18, 36, 60, 72, 74, 70,
                                         64, 62, 60, 60, 64, 66, 62, 58, 52, 44, 30, 20};

struct step {
    const char *type;
    uint8_t channel, direction, actor;
    const char *unit;
    uint32_t after_min_s, after_max_s;
    uint8_t chance, pass; /* percent; rows passed over beside this one if it does not happen */
    uint8_t opens, keeps, attempts; /* kinds */
    bool relates, stop, with_case, staff, product, window, to_carrier, by_carrier, by_service;
    uint8_t due_days, sensitive;    /* sensitive: percent */
    const char *to_unit, *topic, *cause, *stage, *outcome, *reason, *money, *rating;
};

/* All rows in one piece; a row without a type begins the next script. */
#define SCRIPT(name, ...) {.type = NULL},
#define STEP(type_, channel_, direction_, actor_, unit_, min_, max_, chance_, pass_, ...)                              \
    {.type = type_, .channel = channel_, .direction = EVENT_##direction_, .actor = EVENT_##actor_, .unit = unit_,     \
     .after_min_s = min_, .after_max_s = max_, .chance = chance_, .pass = pass_, ##__VA_ARGS__},
#define END
static const struct step steps[] = {
#include "simulate_script.def"
    {.type = NULL},
};
#undef SCRIPT
#undef STEP
#undef END

struct script {
    const char *name, *case_prefix;
    uint32_t weight;
    uint8_t entries, entry[MAX_ENTRIES];
};
#define SCRIPT(name_, weight_, case_, ...) {name_, case_, weight_, __VA_ARGS__},
#define ENTRIES(...) sizeof((uint8_t[]){__VA_ARGS__}), {__VA_ARGS__}
#define STEP(...)
#define END
static const struct script scripts[] = {
#include "simulate_script.def"
};
#undef SCRIPT
#undef ENTRIES
#undef STEP
#undef END
enum { SCRIPTS = PK_COUNT(scripts) };

/* ---- what is planned ---- */

struct planned { /* an event that will be published */
    int64_t occurred_at_us, kept_at_us, due_from_us, due_to_us;
    uint64_t need, person;
    const struct step *step;
    const struct story_event *told; /* NULL: of a script */
    const char *promise;
    uint32_t amount;
    uint8_t script, ordinal, channel, brand, home; /* home: the brand whose customer it is */
    uint8_t staff, score, product;
    uint8_t relates, relates_channel, relates_brand; /* ordinal of the opening event, or NOT_MADE */
    uint8_t keeps, keeps_channel, keeps_brand;       /* the same of the promise that the event keeps */
    bool anonymous, sensitive, kept, late, duplicate;
};

struct entry { /* of the heap: the next event on top */
    int64_t publish_at_us;
    uint64_t serial;
    uint32_t planned;
};

struct heap {
    PK_VEC(struct entry) entry;
};

enum { EVENT_TEXTS = 8, EVENT_TEXT_BYTES = 96 };

struct simulation {
    struct simulation_config config;
    uint64_t anonymous, duplicate, late, story; /* chances, in 2^-32 */
    unsigned __int128 needs_a_day;       /* in 2^-32 */
    uint32_t weights;
    const struct step *step[SCRIPTS];
    struct random random, live_random;
    int64_t minute, told_until_us;
    uint64_t need, first_need, serial;
    struct heap world; /* what will happen; live: and later what will be published */
    struct heap later;
    uint64_t happened; /* live */
    struct pace pace;
    unsigned __int128 shrink; /* a microsecond of the invented world on the wall, in 2^-32 */
    PK_VEC(struct planned) pool;
    PK_VEC(uint32_t) unused; /* of the pool */
    char source[BRANDS][CHANNELS][32];
    /* the event that was told last */
    struct event event;
    struct event_identifier identifier[3];
    char text[EVENT_TEXTS][EVENT_TEXT_BYTES];
    struct pk_arena arena; /* of stories */
};

static bool chance(struct random *r, uint64_t of_32_bits)
{
    return random_next(r) >> 32 < of_32_bits;
}

static bool percent(struct random *r, unsigned of_100)
{
    return random_below(r, 100) < of_100;
}

/* Between the bounds, more often near the lower one: the cube of an even chance. */
static int64_t wait_us(struct random *r, int64_t min_us, int64_t max_us)
{
    uint64_t u = random_next(r) >> 32, cube = ((u * u >> 32) * u) >> 32;
    return min_us + (int64_t)(((unsigned __int128)(uint64_t)(max_us - min_us) * cube) >> 32);
}

/* ---- the heap ---- */

static bool sooner(const struct entry *a, const struct entry *b)
{
    return a->publish_at_us != b->publish_at_us ? a->publish_at_us < b->publish_at_us : a->serial < b->serial;
}

static void push(struct simulation *s, struct heap *to, int64_t publish_at_us, const struct planned *planned)
{
    uint32_t index = s->unused.len ? s->unused.ptr[--s->unused.len] : (uint32_t)s->pool.len;
    if (index == s->pool.len)
        (void)pk_vec_push(&s->pool);
    s->pool.ptr[index] = *planned;

    struct entry entry = {publish_at_us, s->serial++, index};
    (void)pk_vec_push(&to->entry);
    struct entry *heap = to->entry.ptr;
    size_t at = to->entry.len - 1;
    for (; at > 0 && sooner(&entry, &heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = entry;
}

/* What was planned stays where it is until the next push. */
static struct entry pop(struct simulation *s, struct heap *from)
{
    struct entry *heap = from->entry.ptr, top = heap[0], last = heap[--from->entry.len];
    size_t at = 0, count = from->entry.len;
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && sooner(&heap[child + 1], &heap[child]))
            child++;
        if (!sooner(&heap[child], &last))
            break;
        heap[at] = heap[child];
    }
    if (count)
        heap[at] = last;
    *pk_vec_push(&s->unused) = top.planned;
    return top;
}

/* ---- a need and the journey that comes of it ---- */

static size_t choose_script(const struct simulation *s, struct random *r)
{
    uint64_t ticket = random_below(r, s->weights);
    size_t i = 0;
    for (; ticket >= scripts[i].weight; i++)
        ticket -= scripts[i].weight;
    return i;
}

static int64_t end_of_day(int64_t us)
{
    return us / PK_DAY_US * PK_DAY_US + PK_DAY_US - 1; /* times here lie behind 1970 */
}

static void promise(const struct step *step, struct planned *p, struct random *r)
{
    p->due_from_us = p->due_to_us = PK_NO_TIME;
    if (step->due_days)
        p->due_to_us = end_of_day(p->occurred_at_us) + (int64_t)(2 + random_below(r, step->due_days)) * PK_DAY_US;
    if (step->window) {
        p->due_from_us = p->occurred_at_us + 2 * PK_HOUR_US;
        p->due_to_us = p->due_from_us + 7 * PK_HOUR_US;
    }
}

static uint8_t score(const struct planned *plan, const uint8_t opened[KINDS], struct random *r)
{
    const struct planned *delivery = opened[KIND_DELIVERY] == NOT_MADE ? NULL : &plan[opened[KIND_DELIVERY]];
    bool late = delivery && (delivery->kept_at_us == PK_NO_TIME || delivery->kept_at_us > delivery->due_to_us);
    return (uint8_t)(late ? 1 + random_below(r, 3) : 3 + random_below(r, 3));
}

static void relate(struct planned *plan, struct planned *p, uint8_t opener)
{
    p->relates = plan[opener].ordinal;
    p->relates_channel = plan[opener].channel;
    p->relates_brand = plan[opener].brand;
}

static void keep(struct planned *opener, struct planned *p)
{
    opener->kept = true;
    opener->kept_at_us = p->occurred_at_us;
    p->keeps = opener->ordinal;
    p->keeps_channel = opener->channel;
    p->keeps_brand = opener->brand;
}

/* The step happens: fills plan[count]. */
static void happen(const struct simulation *s, const struct step *step, struct planned *plan, size_t count,
                   uint8_t opened[KINDS], uint8_t entry, struct random *r)
{
    struct planned *p = &plan[count];
    p->step = step;
    p->ordinal = (uint8_t)(count + 1);
    p->channel = step->channel == ENTRY ? entry : step->channel;
    p->brand = step->by_carrier ? PURO : step->by_service ? KAARNA : p->home;
    p->staff = step->staff ? (uint8_t)(1 + random_below(r, STAFF)) : 0;
    p->sensitive = step->sensitive && percent(r, step->sensitive);
    p->product = (uint8_t)random_below(r, PK_COUNT(product_name));
    p->amount = step->money ? (uint32_t)(500 + random_below(r, 29500)) : 0;
    p->anonymous = (p->channel == WEB || p->channel == APP || p->channel == CHAT) && chance(r, s->anonymous);
    p->kept_at_us = PK_NO_TIME;
    p->relates = p->keeps = NOT_MADE;
    p->promise = kind_name[step->opens];
    promise(step, p, r);
    uint8_t kind = step->keeps ? step->keeps : step->attempts;
    if (kind && opened[kind] != NOT_MADE) {
        if (step->relates)
            relate(plan, p, opened[kind]);
        if (step->keeps && plan[opened[kind]].kept_at_us == PK_NO_TIME)
            keep(&plan[opened[kind]], p);
    }
    p->score = step->rating ? score(plan, opened, r) : 0;
    if (step->opens)
        opened[step->opens] = (uint8_t)count;
}

static bool is_late(const struct simulation *s, struct random *r)
{
    return s->config.lateness_us && chance(r, s->late);
}

static int64_t lateness(const struct simulation *s, struct random *r)
{
    return wait_us(r, PK_SECOND_US, PK_MAX(s->config.lateness_us, PK_SECOND_US));
}

static int64_t copied_after(const struct simulation *s, struct random *r)
{
    return wait_us(r, 1, PK_MAX(s->config.lateness_us, 60 * PK_SECOND_US));
}

/* From `at_us` on, when the event is there to be published. */
static void publish(struct simulation *s, struct heap *to, int64_t at_us, struct planned *p, struct random *r)
{
    if (is_late(s, r)) {
        p->late = true;
        at_us += lateness(s, r);
    }
    push(s, to, at_us, p);
    if (chance(r, s->duplicate)) {
        p->duplicate = true;
        push(s, to, at_us + copied_after(s, r), p);
    }
}

static size_t plan_script(const struct simulation *s, uint64_t need, int64_t at_us, struct planned *plan, struct random *r)
{
    uint8_t opened[KINDS];
    memset(opened, NOT_MADE, sizeof opened);
    size_t which = choose_script(s, r), count = 0;
    uint64_t person = random_below(r, s->config.people);
    uint8_t home = (uint8_t)((person * 7 + (percent(r, 80) ? 0 : random_below(r, OWN_BRANDS))) % OWN_BRANDS);
    uint8_t entry = scripts[which].entry[random_below(r, scripts[which].entries)];
    for (const struct step *step = s->step[which]; step->type && count < MAX_STEPS; step++) {
        if (!percent(r, step->chance)) {
            for (unsigned i = 0; i < step->pass && step[1].type; i++)
                step++;
            continue;
        }
        at_us += wait_us(r, step->after_min_s * PK_SECOND_US, step->after_max_s * PK_SECOND_US);
        plan[count] = (struct planned){.occurred_at_us = at_us, .need = need, .person = person,
                                       .script = (uint8_t)which, .home = home};
        happen(s, step, plan, count++, opened, entry, r);
        if (step->stop)
            break;
    }
    return count;
}

static int64_t shifted(int64_t after_us, int64_t at_us)
{
    return after_us == PK_NO_TIME ? PK_NO_TIME : at_us + after_us;
}

static size_t plan_story(const struct simulation *s, uint64_t need, int64_t from_us, struct planned *plan, struct random *r)
{
    size_t which = (size_t)random_below(r, s->config.stories->count);
    const struct story *story = &s->config.stories->story[which];
    for (size_t i = 0; i < story->count; i++) {
        const struct story_event *told = &story->event[i];
        int64_t at_us = from_us + told->after_us;
        plan[i] = (struct planned){.occurred_at_us = at_us, .need = need, .script = (uint8_t)which, .told = told,
                                   .due_from_us = shifted(told->due_from_us, at_us),
                                   .due_to_us = shifted(told->due_to_us, at_us), .kept_at_us = PK_NO_TIME, .keeps = NOT_MADE};
    }
    return story->count;
}

static size_t plan_need(const struct simulation *s, uint64_t need, int64_t at_us, struct planned *plan, struct random *r)
{
    *r = (struct random){s->config.seed * UINT64_C(0xD1342543DE82EF95) + need - s->first_need};
    return s->story && chance(r, s->story) ? plan_story(s, need, at_us, plan, r) : plan_script(s, need, at_us, plan, r);
}

static void begin_need(struct simulation *s, int64_t at_us)
{
    struct random r;
    struct planned plan[MAX_EVENTS];
    size_t count = plan_need(s, ++s->need, at_us, plan, &r);
    for (size_t i = 0; i < count; i++)
        if (s->config.live)
            push(s, &s->world, plan[i].occurred_at_us, &plan[i]);
        else
            publish(s, &s->world, plan[i].occurred_at_us, &plan[i], &r);
}

/* Needs begin at random moments of the minute, as many as the hour makes likely. */
static void begin_minute(struct simulation *s)
{
    int64_t from_us = s->config.start_us + s->minute * MINUTE_S * PK_SECOND_US;
    unsigned hour = (unsigned)(s->minute / 60 % 24);
    unsigned __int128 expected = s->needs_a_day * hour_weight[hour] / 60000;
    uint64_t count = (uint64_t)(expected >> 32) + chance(&s->random, (uint64_t)(expected & UINT32_MAX));
    for (uint64_t i = 0; i < count; i++)
        begin_need(s, from_us + (int64_t)random_below(&s->random, MINUTE_S * PK_SECOND_US));
    s->minute++;
    s->told_until_us = from_us + MINUTE_S * PK_SECOND_US;
}

/* ---- the event as its system writes it ---- */

struct writer {
    char *at, *from;
};

static void put(struct writer *w, const char *text)
{
    while (*text)
        *w->at++ = *text++;
}

static void put_number(struct writer *w, uint64_t number)
{
    char digits[20];
    int count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while (number /= 10);
    while (count)
        *w->at++ = digits[--count];
}

static struct pk_str written(const struct writer *w)
{
    return (struct pk_str){w->from, (size_t)(w->at - w->from)};
}

/* prefix number [middle number] */
static struct pk_str compose(char *buf, const char *prefix, uint64_t a, const char *middle, uint64_t b)
{
    struct writer w = {buf, buf};
    put(&w, prefix);
    put_number(&w, a);
    if (middle) {
        put(&w, middle);
        put_number(&w, b);
    }
    return written(&w);
}

static struct pk_str case_of(char *buf, const struct planned *p)
{
    struct writer w = {buf, buf};
    const char *prefix = scripts[p->script].case_prefix;
    put(&w, brand_name[p->home].slug);
    put(&w, "/");
    put(&w, prefix ? prefix : "C");
    put_number(&w, p->need);
    return written(&w);
}

static struct pk_str reference(const struct simulation *s, char *buf, uint64_t need, uint8_t brand, uint8_t channel, uint8_t ordinal)
{
    struct writer w = {buf, buf};
    put(&w, s->source[brand][channel]);
    put(&w, "/n");
    put_number(&w, need);
    put(&w, "-");
    put_number(&w, ordinal);
    return written(&w);
}

static struct pk_str mail_of(char *buf, uint64_t person)
{
    struct writer w = {buf, buf};
    put(&w, "person");
    put_number(&w, person);
    put(&w, "@example.org");
    return written(&w);
}

/* The customer number that all five brands share, and what the channel knows besides. Country code 999
 * belongs to nobody. */
static void identify(struct simulation *s, const struct planned *p)
{
    struct event_identifier *to = s->identifier;
    char (*text)[EVENT_TEXT_BYTES] = &s->text[4];
    if (!p->anonymous)
        *to++ = (struct event_identifier){PK_STR("alliance/customer_id"), compose(text[0], "C", p->person, NULL, 0)};
    switch (p->channel) {
    case WEB:
    case CHAT:
        *to++ = (struct event_identifier){PK_STR("cookie"), compose(text[1], "ck-", p->person, NULL, 0)};
        break;
    case APP:
        *to++ = (struct event_identifier){PK_STR("device_id"), compose(text[1], "app-", p->person, NULL, 0)};
        break;
    case PHONE:
    case IVR:
    case MESSAGING:
        *to++ = (struct event_identifier){PK_STR("phone"),
                                          compose(text[1], "+999 40 ", 10000000 + p->person, NULL, 0)};
        break;
    case EMAIL:
        *to++ = (struct event_identifier){PK_STR("email"), mail_of(text[1], p->person)};
        break;
    case VEHICLE:
        *to++ = (struct event_identifier){PK_STR("vehicle"), compose(text[1], "CAR-", p->person, NULL, 0)};
        break;
    case KIOSK:
        *to++ = (struct event_identifier){PK_STR("kiosk"), compose(text[1], "k-", p->need % 50, NULL, 0)};
        break;
    default:
        break;
    }
    s->event.identifier = s->identifier;
    s->event.identifier_count = (uint32_t)(to - s->identifier);
}

static void write_parts(struct simulation *s, const struct planned *p, struct event *e)
{
    const struct step *step = p->step;
    e->obligation = (struct event_obligation){.due_from_us = p->due_from_us, .due_to_us = p->due_to_us};
    e->has_obligation = step->due_days || step->window || step->opens == KIND_FOLLOW_UP;
    if (e->has_obligation) {
        e->obligation.id = compose(s->text[6], "p", p->need, "-", p->ordinal);
        e->obligation.kind = pk_str(kind_name[step->opens]);
    }
    e->has_handoff = step->to_carrier || step->to_unit;
    if (step->to_carrier)
        e->handoff = (struct event_handoff){.to_brand = pk_str(brand_name[PURO].name), .to_unit = PK_STR("terminal")};
    else if (step->to_unit)
        e->handoff = (struct event_handoff){.to_unit = pk_str(step->to_unit)};
    e->has_rating = step->rating;
    if (step->rating)
        e->rating = (struct event_rating){pk_str(step->rating), p->score, 1, 5};
    e->has_money = step->money;
    if (step->money)
        e->money = (struct event_money){p->amount, PK_STR("EUR"), pk_str(step->money)};
}

static void write_told(struct simulation *s, const struct planned *p)
{
    pk_arena_reset(&s->arena);
    story_tell(p->told, p->need, &s->arena, &s->event);
    s->event.occurred_at_us = p->occurred_at_us;
    if (s->event.has_obligation) {
        s->event.obligation.due_from_us = p->due_from_us;
        s->event.obligation.due_to_us = p->due_to_us;
    }
}

static void write_event(struct simulation *s, const struct planned *p)
{
    const struct step *step = p->step;
    s->event = (struct event){
        .event_id = compose(s->text[0], "n", p->need, "-", p->ordinal),
        .source = pk_str(s->source[p->brand][p->channel]), .occurred_at_us = p->occurred_at_us, .sequence = p->ordinal,
        .type = pk_str(step->type), .channel = pk_str(channel_name[p->channel]),
        .direction = (enum event_direction)step->direction, .actor = (enum event_actor)step->actor,
        .sensitivity = p->sensitive ? EVENT_SENSITIVE : EVENT_NORMAL, .brand = pk_str(brand_name[p->brand].name),
        .unit = pk_str(step->unit), .topic = pk_str(step->topic), .cause = pk_str(step->cause),
        .stage = pk_str(step->stage), .outcome = pk_str(step->outcome), .reason = pk_str(step->reason)};
    struct event *e = &s->event;
    if (step->with_case)
        e->case_id = case_of(s->text[1], p);
    if (p->relates != NOT_MADE)
        e->relates_to = reference(s, s->text[2], p->need, p->relates_brand, p->relates_channel, p->relates);
    if (p->staff)
        e->staff = compose(s->text[3], "agent-", p->staff, NULL, 0);
    if (step->product)
        e->product = pk_str(product_name[p->product]);
    identify(s, p);
    write_parts(s, p, e);
}

/* ---- the world turns ---- */

static uint64_t in_32_bits(double share)
{
    return (uint64_t)(share * 4294967296.0);
}

/* How many events a need leaves, by trying some: the seed decides which. */
static void find_pace(struct simulation *s)
{
    struct planned plan[MAX_EVENTS];
    struct random r;
    uint64_t events = 0;
    for (uint64_t i = 1; i <= TRIAL_NEEDS; i++)
        events += plan_need(s, s->first_need + i, s->config.start_us, plan, &r);
    unsigned __int128 a_day = s->needs_a_day * events / TRIAL_NEEDS; /* in 2^-32 */
    a_day += a_day * s->duplicate >> 32;
    s->pace = s->config.pace;
    if (s->pace.micro_rate == 0)
        s->pace.micro_rate = PK_MAX((int64_t)((a_day * 1000000 / 86400) >> 32), 1);
    s->shrink = a_day * 1000000 / 86400 / (uint64_t)s->pace.micro_rate;
    /* Copies are part of the rate. */
    s->pace.micro_rate = PK_MAX((int64_t)(((unsigned __int128)s->pace.micro_rate << 32) / ((UINT64_C(1) << 32) + s->duplicate)), 1);
}

void simulation_open(const struct simulation_config *config, struct simulation **ret_simulation)
{
    struct simulation *s = pk_alloc(sizeof *s);
    s->config = *config;
    s->random.state = config->seed;
    s->anonymous = in_32_bits(config->anonymous);
    s->duplicate = in_32_bits(config->duplicate_rate);
    s->late = in_32_bits(config->late_rate);
    s->needs_a_day = (unsigned __int128)in_32_bits(config->needs) * config->people;
    size_t which = 0;
    for (size_t i = 0; i < PK_COUNT(steps) && which < SCRIPTS; i++)
        if (!steps[i].type)
            s->step[which++] = &steps[i + 1];
    for (size_t i = 0; i < SCRIPTS; i++)
        s->weights += scripts[i].weight;
    for (size_t b = 0; b < BRANDS; b++)
        for (size_t c = 0; c < CHANNELS; c++)
            snprintf(s->source[b][c], sizeof s->source[b][c], "%s-%s", brand_name[b].slug, channel_name[c]);
    s->told_until_us = INT64_MIN;
    s->story = config->stories ? in_32_bits(config->story_share) : 0;
    if (config->live) {
        s->first_need = s->need = (uint64_t)config->live_from_us; /* so that no other run has the same ids */
        s->live_random.state = config->seed ^ UINT64_C(0xA5A5A5A5A5A5A5A5);
        find_pace(s);
    }
    *ret_simulation = s;
}

/* What happens next in the world. */
static bool world_next(struct simulation *s, struct entry *ret_top)
{
    while (s->world.entry.len == 0 || s->world.entry.ptr[0].publish_at_us >= s->told_until_us) {
        if (s->config.live || s->config.days == 0 || s->minute < s->config.days * 24 * 60)
            begin_minute(s);
        else if (s->world.entry.len == 0)
            return false;
        else
            s->told_until_us = INT64_MAX;
    }
    *ret_top = pop(s, &s->world);
    return true;
}

static int64_t shrunk(const struct simulation *s, int64_t time_us, int64_t from_us, int64_t to_us)
{
    if (time_us == PK_NO_TIME)
        return PK_NO_TIME;
    unsigned __int128 after = (unsigned __int128)(uint64_t)(PK_MAX(time_us, from_us) - from_us) * s->shrink >> 32;
    return (int64_t)PK_MIN((unsigned __int128)(EVENT_MAX_TIME_US - 1), (unsigned __int128)(uint64_t)to_us + after);
}

/* Events happen at the pace; each is planned a second time as it happens, at which it may become late or come twice. */
static bool live_next(struct simulation *s, struct entry *ret_top)
{
    struct entry top;
    for (;;) {
        int64_t at_us = s->config.live_from_us + pace_due_us(&s->pace, s->happened);
        if (s->later.entry.len && s->later.entry.ptr[0].publish_at_us <= at_us)
            break;
        if (!world_next(s, &top))
            return false;
        struct planned p = s->pool.ptr[top.planned];
        p.due_from_us = shrunk(s, p.due_from_us, p.occurred_at_us, at_us);
        p.due_to_us = shrunk(s, p.due_to_us, p.occurred_at_us, at_us);
        p.occurred_at_us = at_us;
        s->happened++;
        publish(s, &s->later, at_us, &p, &s->live_random);
    }
    *ret_top = pop(s, &s->later);
    return s->config.live_for_us == 0 || ret_top->publish_at_us < s->config.live_from_us + s->config.live_for_us;
}

bool simulation_next(struct simulation *s, struct simulated *ret)
{
    struct entry top;
    if (!(s->config.live ? live_next(s, &top) : world_next(s, &top)))
        return false;
    const struct planned *p = &s->pool.ptr[top.planned];
    if (p->told)
        write_told(s, p);
    else
        write_event(s, p);
    *ret = (struct simulated){
        .event = &s->event, .published_at_us = top.publish_at_us, .person = p->person, .need = p->need,
        .script = p->told ? s->config.stories->story[p->script].name : scripts[p->script].name, .of_story = p->told,
        .member = p->told ? p->told->member : STORY_NOBODY, .late = p->late, .duplicate = p->duplicate, .promise = p->promise,
        .kept = p->kept, .kept_at_us = s->config.live ? PK_NO_TIME : p->kept_at_us, .live = s->config.live};
    if (s->config.live && p->keeps != NOT_MADE)
        ret->keeps = reference(s, s->text[7], p->need, p->keeps_brand, p->keeps_channel, p->keeps);
    return true;
}

double simulation_speed(const struct simulation *s)
{
    return s->shrink ? 4294967296.0 / (double)s->shrink : 0;
}

void simulation_close(struct simulation *s)
{
    pk_vec_done(&s->world.entry);
    pk_vec_done(&s->later.entry);
    pk_vec_done(&s->pool);
    pk_vec_done(&s->unused);
    pk_arena_done(&s->arena);
    free(s);
}
