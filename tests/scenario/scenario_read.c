/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"
#include "event_json.h"
#include "time_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum pk_status scenario_fail(const struct scenario *s, int line, struct pk_err *err, const char *format, ...)
{
    char sentence[400];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    return pk_fail(err, PK_REJECT, "%s:%d: %s", s->path, line, sentence);
}

/* ---- words ---- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool split(struct pk_arena *arena, const char *line, struct words *ret)
{
    *ret = (struct words){0};
    for (const char *at = line; *at;) {
        if (is_space(*at)) {
            at++;
            continue;
        }
        if (*at == '#')
            break;
        char word[1024];
        size_t len = 0;
        for (bool quoted = false; *at && (quoted || !is_space(*at)) && len < sizeof word; at++) {
            if (*at == '"')
                quoted = !quoted;
            else
                word[len++] = *at;
        }
        if (ret->count == SCENARIO_WORDS)
            return false;
        ret->word[ret->count++] = pk_arena_str(arena, (struct pk_str){word, len});
    }
    return true;
}

struct pk_str words_next(struct words *words)
{
    return words->next < words->count ? words->word[words->next++] : (struct pk_str){0};
}

bool words_take(struct words *words, const char *word)
{
    if (words->next == words->count || !pk_str_eq(words->word[words->next], pk_str(word)))
        return false;
    words->next++;
    return true;
}

/* ---- names and times ---- */

const struct event *scenario_event(const struct scenario *s, struct pk_str name)
{
    for (size_t i = 0; i < s->events.len; i++) {
        const struct event *event = &s->events.ptr[i].event;
        size_t source = event->source.len;
        if (pk_str_eq(event->event_id, name) ||
            (name.len == source + 1 + event->event_id.len && name.ptr[source] == '/' &&
             memcmp(name.ptr, event->source.ptr, source) == 0 &&
             memcmp(name.ptr + source + 1, event->event_id.ptr, event->event_id.len) == 0))
            return event;
    }
    return NULL;
}

static enum pk_status around_event(const struct scenario *s, struct pk_str text, int64_t *ret_us, struct pk_err *err)
{
    for (size_t len = text.len; len > 0; len--) {
        if (len < text.len && text.ptr[len] != '+' && text.ptr[len] != '-')
            continue;
        const struct event *event = scenario_event(s, (struct pk_str){text.ptr, len});
        int64_t step_us = 0;
        if (!event)
            continue;
        if (len < text.len &&
            time_parse_duration((struct pk_str){text.ptr + len + 1, text.len - len - 1}, &step_us, err) != PK_OK)
            return PK_REJECT;
        *ret_us = event->occurred_at_us + (len < text.len && text.ptr[len] == '-' ? -step_us : step_us);
        return PK_OK;
    }
    return pk_fail(err, PK_REJECT, "'%.*s' is neither a time nor an event", PK_STR_ARG(text));
}

static int64_t local_day_s(const struct scenario *s, int64_t at_us)
{
    int64_t utc_s = at_us / PK_SECOND_US, local_s = utc_s + zone_offset(s->zone, utc_s);
    return local_s / 86400 * 86400;
}

enum pk_status scenario_time(const struct scenario *s, struct pk_str text, int64_t base_us, int64_t *ret_us,
                             struct pk_err *err)
{
    int64_t step_us;
    if (!text.ptr || text.len == 0)
        return pk_fail(err, PK_REJECT, "a time is missing");
    if (text.ptr[0] == '+') {
        if (time_parse_duration((struct pk_str){text.ptr + 1, text.len - 1}, &step_us, err) != PK_OK)
            return PK_REJECT;
        *ret_us = base_us + step_us;
        return PK_OK;
    }
    int hour, minute, end = 0;
    if (text.len == 5 && sscanf(text.ptr, "%2d:%2d%n", &hour, &minute, &end) == 2 && end == 5) {
        *ret_us = zone_utc(s->zone, local_day_s(s, base_us) + hour * 3600 + minute * 60, ZONE_FIRST) * PK_SECOND_US;
        return PK_OK;
    }
    if (text.len < 11 || text.ptr[4] != '-' || text.ptr[0] < '0' || text.ptr[0] > '9')
        return around_event(s, text, ret_us, err);
    if (time_parse_iso(text, false, ret_us, err) == PK_OK)
        return PK_OK;
    char utc[64]; /* without a zone: the local time of the file's zone */
    snprintf(utc, sizeof utc, "%.*sZ", PK_STR_ARG(text));
    int64_t as_utc_us;
    if (time_parse_iso(pk_str(utc), false, &as_utc_us, err) != PK_OK)
        return PK_REJECT;
    *ret_us = zone_utc(s->zone, as_utc_us / PK_SECOND_US, ZONE_FIRST) * PK_SECOND_US + as_utc_us % PK_SECOND_US;
    return PK_OK;
}

bool scenario_who(struct scenario *s, struct pk_str word, struct event *event)
{
    const char *colon = word.len ? memchr(word.ptr, ':', word.len) : NULL;
    if (pk_str_eq(word, PK_STR("nobody")))
        return true;
    if (!colon || colon == word.ptr)
        return false;
    size_t len = (size_t)(colon - word.ptr);
    struct pk_str name_space = {word.ptr, len}, value = {colon + 1, word.len - len - 1};
    if (pk_str_eq(name_space, PK_STR("case"))) {
        event->case_id = value;
        return true;
    }
    struct event_identifier *grown = PK_NEW_ARRAY(&s->arena, struct event_identifier, event->identifier_count + 1);
    if (event->identifier_count)
        memcpy(grown, event->identifier, event->identifier_count * sizeof *grown);
    grown[event->identifier_count++] = (struct event_identifier){name_space, value};
    event->identifier = grown;
    return true;
}

bool scenario_name(struct scenario *s, struct pk_str who, struct fact_name *ret_name, enum key_kind *ret_kind)
{
    struct event event = {.event_id = PK_STR("x"), .source = PK_STR("x"), .type = PK_STR("x.x"), .channel = PK_STR("x"),
                          .obligation = {.due_from_us = PK_NO_TIME, .due_to_us = PK_NO_TIME}};
    struct fact fact = {0};
    if (!who.ptr || !scenario_who(s, who, &event))
        return false;
    fact_from_event(&s->maker, &event, &s->arena, &fact);
    *ret_name = fact.person_count ? fact.person[0] : fact.device_count ? fact.device[0] : (struct fact_name){fact.case_key};
    *ret_kind = fact.person_count ? KEY_PERSON : fact.device_count ? KEY_DEVICE : KEY_CASE;
    return !pk_hash_zero(ret_name->hash);
}

/* ---- an event line ---- */

static struct pk_str kind_of_type(struct pk_str type)
{
    const char *dot = memchr(type.ptr, '.', type.len);
    return (struct pk_str){type.ptr, dot ? (size_t)(dot - type.ptr) : type.len};
}

/* Window and due time need a promise; one without a name of its own is called like the event. */
static void need_promise(struct event *event)
{
    if (!event->has_obligation)
        event->obligation = (struct event_obligation){.id = event->event_id,
                                                      .kind = kind_of_type(event->type),
                                                      .due_from_us = PK_NO_TIME,
                                                      .due_to_us = PK_NO_TIME};
    event->has_obligation = true;
}

static enum pk_status take_window(const struct scenario *s, struct pk_str text, struct event *event, struct pk_err *err)
{
    const char *dots = text.len ? memmem(text.ptr, text.len, "..", 2) : NULL;
    if (!dots)
        return pk_fail(err, PK_REJECT, "a window is written 11:00..18:00");
    struct pk_str from = {text.ptr, (size_t)(dots - text.ptr)}, to = {dots + 2, text.len - (size_t)(dots + 2 - text.ptr)};
    need_promise(event);
    enum pk_status status = scenario_time(s, from, event->occurred_at_us, &event->obligation.due_from_us, err);
    return status == PK_OK ? scenario_time(s, to, event->occurred_at_us, &event->obligation.due_to_us, err) : status;
}

/* "e3" stands for its source and id; anything with a "/" and uuids stand for themselves. */
static struct pk_str full_name(struct scenario *s, struct pk_str name)
{
    const struct event *event = scenario_event(s, name);
    if (!event || memchr(name.ptr, '/', name.len))
        return name;
    struct pk_buf text = {0};
    pk_buf_printf(&text, "%.*s/%.*s", PK_STR_ARG(event->source), PK_STR_ARG(event->event_id));
    struct pk_str copy = pk_arena_str(&s->arena, (struct pk_str){text.ptr, text.len});
    pk_buf_done(&text);
    return copy;
}

/* The ledger id, as a uuid, of what a rule opened: relates-ledger callback e3 */
static enum pk_status ledger_name(struct scenario *s, struct pk_str kind, struct pk_str name, struct pk_str *ret,
                                  struct pk_err *err)
{
    const struct event *opener = name.ptr ? scenario_event(s, name) : NULL;
    if (!opener)
        return pk_fail(err, PK_REJECT, "relates-ledger needs a kind and an event");
    char micros[24], text[40];
    snprintf(micros, sizeof micros, "%" PRId64, opener->occurred_at_us);
    const struct pk_str part[] = {opener->source, opener->event_id, pk_str(micros), kind};
    struct pk_hash id = fact_hash(&s->hasher, part, PK_COUNT(part));
    snprintf(text, sizeof text, "%016" PRIx64 "%016" PRIx64, pk_get_be64(id.byte), pk_get_be64(id.byte + 8));
    *ret = pk_arena_str(&s->arena, pk_str(text));
    return PK_OK;
}

static bool take_word(struct pk_str word, struct event *event)
{
    static const struct {
        const char *word;
        int direction, actor;
    } known[] = {
        {"inbound", EVENT_INBOUND, -1},   {"outbound", EVENT_OUTBOUND, -1}, {"internal", EVENT_INTERNAL, -1},
        {"public", EVENT_PUBLIC, -1},     {"customer", -1, EVENT_CUSTOMER}, {"human", -1, EVENT_HUMAN},
        {"bot", -1, EVENT_BOT},           {"system", -1, EVENT_SYSTEM},
    };
    for (size_t i = 0; i < PK_COUNT(known); i++) {
        if (!pk_str_eq(word, pk_str(known[i].word)))
            continue;
        if (known[i].direction >= 0)
            event->direction = (enum event_direction)known[i].direction;
        else
            event->actor = (enum event_actor)known[i].actor;
        return true;
    }
    if (pk_str_eq(word, PK_STR("sensitive"))) {
        event->sensitivity = EVENT_SENSITIVE;
        return true;
    }
    return false;
}

/* `key value`; *ret_known false if the word is no key. */
static enum pk_status take_pair(struct scenario *s, struct pk_str key, struct words *words, struct event *event,
                                bool *ret_known, struct pk_err *err)
{
    struct event_obligation *o = &event->obligation;
    const struct {
        const char *key;
        struct pk_str *text;
    } texts[] = {
        {"case", &event->case_id},   {"source", &event->source},         {"brand", &event->brand},
        {"unit", &event->unit},      {"outcome", &event->outcome},       {"reason", &event->reason},
        {"staff", &event->staff},    {"topic", &event->topic},           {"cause", &event->cause},
        {"stage", &event->stage},    {"to-brand", &event->handoff.to_brand}, {"to-unit", &event->handoff.to_unit},
        {"to-role", &event->handoff.to_role}, {"owner-brand", &o->brand}, {"owner-unit", &o->unit},
        {"owner-role", &o->role},    {"id", &event->event_id},
    };
    *ret_known = true;
    for (size_t i = 0; i < PK_COUNT(texts); i++) {
        if (!pk_str_eq(key, pk_str(texts[i].key)))
            continue;
        struct pk_str value = words_next(words);
        if (!value.ptr)
            return pk_fail(err, PK_REJECT, "'%s' needs a value", texts[i].key);
        if (strncmp(texts[i].key, "owner-", 6) == 0)
            need_promise(event);
        event->has_handoff |= strncmp(texts[i].key, "to-", 3) == 0;
        *texts[i].text = pk_str_eq(value, PK_STR("none")) ? (struct pk_str){0} : value;
        return PK_OK;
    }
    if (pk_str_eq(key, PK_STR("seq"))) {
        event->sequence = strtoll(words_next(words).ptr, NULL, 10);
    } else if (pk_str_eq(key, PK_STR("relates"))) {
        struct pk_str name = words_next(words);
        if (!name.ptr)
            return pk_fail(err, PK_REJECT, "'relates' needs an event or source/id");
        event->relates_to = full_name(s, name);
    } else if (pk_str_eq(key, PK_STR("relates-ledger"))) {
        struct pk_str kind = words_next(words), name = words_next(words);
        return ledger_name(s, kind, name, &event->relates_to, err);
    } else if (pk_str_eq(key, PK_STR("promise"))) {
        struct pk_str id = words_next(words), kind = words_next(words);
        if (!kind.ptr)
            return pk_fail(err, PK_REJECT, "'promise' needs an id and a kind");
        need_promise(event);
        o->id = id;
        o->kind = kind;
    } else if (pk_str_eq(key, PK_STR("window"))) {
        return take_window(s, words_next(words), event, err);
    } else if (pk_str_eq(key, PK_STR("due"))) {
        need_promise(event);
        return scenario_time(s, words_next(words), event->occurred_at_us, &o->due_to_us, err);
    } else {
        *ret_known = false;
    }
    return PK_OK;
}

static struct pk_str next_id(struct scenario *s)
{
    char id[24];
    snprintf(id, sizeof id, "e%zu", s->events.len + 1);
    return pk_arena_str(&s->arena, pk_str(id));
}

static enum pk_status read_event(struct scenario *s, int line, struct words *words, struct pk_err *err)
{
    static const struct event_limits limits = {INT64_MAX / 4};
    int64_t before_us = s->events.len ? s->events.ptr[s->events.len - 1].event.occurred_at_us : 0;
    struct event event = {.event_id = next_id(s),
                          .source = s->source,
                          .direction = EVENT_DIRECTION_UNKNOWN,
                          .actor = EVENT_ACTOR_UNKNOWN,
                          .brand = s->brand,
                          .unit = s->unit,
                          .obligation = {.due_from_us = PK_NO_TIME, .due_to_us = PK_NO_TIME}};
    struct pk_err why = {0};
    enum pk_status status = scenario_time(s, words_next(words), before_us, &event.occurred_at_us, &why);
    event.channel = words_next(words);
    event.type = words_next(words);
    if (status != PK_OK || !event.type.ptr)
        return scenario_fail(s, line, err, "event TIME CHANNEL TYPE ...: %s", why.text);
    if (pk_str_eq(event.type, PK_STR("contact.inbound"))) {
        event.direction = EVENT_INBOUND;
        event.actor = EVENT_CUSTOMER;
    } else if (pk_str_eq(event.type, PK_STR("contact.outbound"))) {
        event.direction = EVENT_OUTBOUND;
        event.actor = EVENT_HUMAN;
    }
    while (words->next < words->count) {
        struct pk_str word = words_next(words);
        bool known = take_word(word, &event);
        if (!known && take_pair(s, word, words, &event, &known, &why) != PK_OK)
            return scenario_fail(s, line, err, "%s", why.text);
        if (!known && !scenario_who(s, word, &event))
            return scenario_fail(s, line, err, "'%.*s' is not known here", PK_STR_ARG(word));
    }
    enum reject_reason reason;
    if (event_validate(&event, &limits, PK_NO_TIME, &reason, &why) != PK_OK)
        return scenario_fail(s, line, err, "%s", why.text);
    *pk_vec_push(&s->events) = (struct scenario_event){event, line};
    return PK_OK;
}

/* ---- decide [restore] block|unlink|apart WHO [WHO] ---- */

static enum pk_status read_decision(struct scenario *s, int line, struct words *words, struct pk_err *err)
{
    static const char *const kinds[] = {[DECIDE_BLOCK] = "block", [DECIDE_UNLINK] = "unlink", [DECIDE_APART] = "apart"};
    struct scenario_decision decision = {.restore = words_take(words, "restore"), .after = s->events.len, .line = line};
    struct pk_str kind = words_next(words);
    bool known = false;
    for (size_t i = 0; i < PK_COUNT(kinds); i++)
        if (pk_str_eq(kind, pk_str(kinds[i]))) {
            decision.kind = (enum decision_kind)i;
            known = true;
        }
    decision.a = words_next(words);
    if (decision.kind == DECIDE_APART)
        decision.b = words_next(words);
    bool whole = decision.a.ptr && (decision.kind != DECIDE_APART || decision.b.ptr);
    if (!known || !whole || words->next < words->count)
        return scenario_fail(s, line, err, "decide [restore] block WHO, unlink WHO or apart WHO WHO");
    *pk_vec_push(&s->decisions) = decision;
    return PK_OK;
}

/* ---- other lines ---- */

static enum pk_status read_json_lines(struct scenario *s, int line, struct pk_str name, struct pk_err *err)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%.*s", s->root, PK_STR_ARG(name));
    FILE *file = fopen(path, "r");
    if (!file)
        return scenario_fail(s, line, err, "%s cannot be read", path);
    char *text = NULL;
    size_t room = 0;
    ssize_t len;
    enum pk_status status = PK_OK;
    struct pk_err why = {0};
    while (status == PK_OK && (len = getline(&text, &room, file)) > 0) {
        struct event event;
        status = event_from_json((struct pk_str){text, (size_t)len}, &s->arena, &event, &why);
        if (status == PK_OK)
            *pk_vec_push(&s->events) = (struct scenario_event){event, line};
    }
    free(text);
    fclose(file);
    return status == PK_OK ? PK_OK : scenario_fail(s, line, err, "%s: %s", path, why.text);
}

static enum pk_status load_rules(struct scenario *s, int line, const char *name, struct pk_err *err)
{
    char path[1024];
    struct pk_err why = {0};
    snprintf(path, sizeof path, "%s/%s", s->root, name);
    if (rules_load(path, NULL, &s->symbols, &s->arena, &s->rules, NULL, &why) != PK_OK)
        return scenario_fail(s, line, err, "%s", why.text);
    s->rules_path = name;
    return PK_OK;
}

static enum pk_status read_line(struct scenario *s, int line, struct words *words, int64_t *as_of_us,
                                struct pk_err *err)
{
    struct pk_err why = {0};
    struct pk_str word = words_next(words);
    if (pk_str_eq(word, PK_STR("event")))
        return read_event(s, line, words, err);
    if (pk_str_eq(word, PK_STR("decide")))
        return read_decision(s, line, words, err);
    if (pk_str_eq(word, PK_STR("expect"))) {
        *pk_vec_push(&s->expectations) = (struct expectation){*words, line, *as_of_us};
        return PK_OK;
    }
    struct pk_str value = words_next(words);
    if (!value.ptr || words->next != words->count)
        return scenario_fail(s, line, err, "'%.*s' needs one value", PK_STR_ARG(word));
    if (pk_str_eq(word, PK_STR("scenario")))
        s->title = value;
    else if (pk_str_eq(word, PK_STR("brand")))
        s->brand = value;
    else if (pk_str_eq(word, PK_STR("unit")))
        s->unit = pk_str_eq(value, PK_STR("none")) ? (struct pk_str){0} : value;
    else if (pk_str_eq(word, PK_STR("source")))
        s->source = value;
    else if (pk_str_eq(word, PK_STR("rules")))
        return s->events.len ? scenario_fail(s, line, err, "rules come before events") : load_rules(s, line, value.ptr, err);
    else if (pk_str_eq(word, PK_STR("events")))
        return read_json_lines(s, line, value, err);
    else if (pk_str_eq(word, PK_STR("zone")) && zone_open(value, &s->arena, &s->zone, &why) != PK_OK)
        return scenario_fail(s, line, err, "%s", why.text);
    else if (pk_str_eq(word, PK_STR("as-of")) && scenario_time(s, value, 0, as_of_us, &why) != PK_OK)
        return scenario_fail(s, line, err, "%s", why.text);
    else if (!pk_str_eq(word, PK_STR("zone")) && !pk_str_eq(word, PK_STR("as-of")))
        return scenario_fail(s, line, err, "a line begins with event, decide, expect, as-of, brand, unit, source, zone, rules, "
                                           "events or scenario, not '%.*s'", PK_STR_ARG(word));
    return PK_OK;
}

static enum pk_status read_lines(struct scenario *s, FILE *file, struct pk_err *err)
{
    char *text = NULL;
    size_t room = 0;
    int64_t as_of_us = PK_NO_TIME;
    enum pk_status status = PK_OK;
    for (int line = 1; status == PK_OK && getline(&text, &room, file) > 0; line++) {
        struct words words;
        if (!split(&s->arena, text, &words))
            status = scenario_fail(s, line, err, "more than %d words", SCENARIO_WORDS);
        else if (words.count)
            status = read_line(s, line, &words, &as_of_us, err);
    }
    free(text);
    if (status == PK_OK && (!s->title.ptr || s->events.len == 0 || s->expectations.len == 0))
        status = scenario_fail(s, 1, err, "a scenario has a title, events and expectations");
    return status;
}

enum pk_status scenario_read(const char *path, const char *root, struct scenario *s, struct pk_err *err)
{
    *s = (struct scenario){.path = path,
                           .root = root,
                           .brand = PK_STR("Firm"),
                           .source = PK_STR("crm"),
                           .hasher = {.key = "scenario hash key", .key_len = 17}};
    symbols_init(&s->symbols);
    FILE *file = fopen(path, "r");
    if (!file)
        return pk_fail(err, PK_REJECT, "%s cannot be read", path);
    enum pk_status status = zone_open(PK_STR("UTC"), &s->arena, &s->zone, err);
    if (status == PK_OK)
        status = load_rules(s, 1, "deploy/polku.yaml", err);
    if (status == PK_OK)
        status = read_lines(s, file, err);
    fclose(file);
    matcher_init(&s->matcher, &s->rules, &s->symbols);
    fact_maker_init(&s->maker, &s->rules, &s->hasher, &s->symbols, &s->matcher);
    s->meaning = (struct meaning){&s->rules, &s->matcher, &s->symbols, &s->hasher, &s->maker};
    return status;
}

void scenario_done(struct scenario *s)
{
    fact_maker_done(&s->maker);
    matcher_done(&s->matcher);
    symbols_done(&s->symbols);
    pk_vec_done(&s->events);
    pk_vec_done(&s->decisions);
    pk_vec_done(&s->expectations);
    pk_arena_done(&s->arena);
}
