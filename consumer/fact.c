/* SPDX-License-Identifier: Apache-2.0 */
#include "fact.h"
#include "event_avro.h"
#include "match.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum { HASH_BYTES = sizeof(struct pk_hash), MEMO_SLOTS = 1 << 14 };
_Static_assert((int)FACT_MAX_IDENTIFIERS == (int)EVENT_MAX_IDENTIFIERS, "a valid event's identifiers fit");

/* One value as it was written, and what it came to. The next value of the same slot replaces it. */
struct memo_slot {
    struct pk_hash hash; /* zero = blocked */
    sym_t name_space;    /* 0 = the slot is free */
    uint8_t len;
    char value[43];
};
_Static_assert(sizeof(struct memo_slot) == 64, "a slot is one cache line");

struct memo_clear { /* the normalised form of the value in the slot of the same place */
    uint8_t len;
    char value[sizeof((struct memo_slot){0}.value) + 4]; /* a phone number grows by its country code */
};

struct fact_memo {
    struct memo_slot slot[MEMO_SLOTS];
    struct memo_clear clear[]; /* as many, or none if no namespace is stored clear */
};

static size_t memo_bytes(const struct rules *rules)
{
    bool clear = false;
    for (size_t i = 0; i < rules->namespace_count; i++)
        clear |= rules->name_space[i].store_clear;
    return sizeof(struct fact_memo) + (clear ? MEMO_SLOTS * sizeof(struct memo_clear) : 0);
}

void fact_maker_init(struct fact_maker *maker, const struct rules *rules, const struct fact_hasher *hasher,
                     struct symbols *symbols, struct matcher *matcher)
{
    (void)!sodium_init(); /* chooses the fast BLAKE2b of this processor; the result is the same without it */
    *maker = (struct fact_maker){.rules = rules, .hasher = hasher, .symbols = symbols, .matcher = matcher};
    maker->case_id = symbol_of(symbols, PK_STR("case_id"));
    maker->staff = symbol_of(symbols, PK_STR("staff"));
    maker->memo = pk_alloc(memo_bytes(rules));
}

void fact_maker_done(struct fact_maker *maker)
{
    if (maker->memo)
        explicit_bzero(maker->memo, memo_bytes(maker->rules)); /* raw identifiers */
    free(maker->memo);
    pk_buf_done(&maker->scratch);
    pk_vec_done(&maker->name_space);
}

/* ---- hashes ---- */

static struct pk_hash hash_bytes(const struct fact_hasher *hasher, const void *ptr, size_t len)
{
    struct pk_hash hash;
    crypto_generichash(hash.byte, HASH_BYTES, ptr, len, hasher->key, hasher->key_len);
    return hash;
}

static struct pk_hash hash_long(const struct fact_hasher *hasher, const struct pk_str *part, size_t count)
{
    struct pk_hash hash;
    crypto_generichash_state state;
    crypto_generichash_init(&state, hasher->key, hasher->key_len, HASH_BYTES);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            crypto_generichash_update(&state, (const uint8_t *)"", 1);
        crypto_generichash_update(&state, (const uint8_t *)part[i].ptr, part[i].len);
    }
    crypto_generichash_final(&state, hash.byte, HASH_BYTES);
    return hash;
}

struct pk_hash fact_hash(const struct fact_hasher *hasher, const struct pk_str *part, size_t count)
{
    uint8_t joined[1024];
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        if (part[i].len >= sizeof joined - len)
            return hash_long(hasher, part, count);
        if (i > 0)
            joined[len++] = 0;
        if (part[i].len)
            memcpy(joined + len, part[i].ptr, part[i].len);
        len += part[i].len;
    }
    return hash_bytes(hasher, joined, len);
}

static struct pk_hash hash_pair(const struct fact_hasher *hasher, struct pk_str a, struct pk_str b)
{
    return fact_hash(hasher, (struct pk_str[]){a, b}, 2);
}

/* ---- values ---- */

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

static struct pk_str trim(struct pk_str s)
{
    while (s.len && is_space(s.ptr[0]))
        s.ptr++, s.len--;
    while (s.len && is_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

static bool only_zeros(struct pk_str s)
{
    bool zero = false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c != '0' && c != '-' && c != '+' && c != '.' && c != ':' && c != ' ')
            return false;
        zero |= c == '0';
    }
    return zero;
}

static bool is_any_of(const struct pk_str *blocked, size_t count, struct pk_str s)
{
    for (size_t i = 0; i < count; i++) {
        if (blocked[i].len != s.len || blocked[i].ptr[0] != lower(s.ptr[0]))
            continue;
        size_t same = 1;
        while (same < s.len && blocked[i].ptr[same] == lower(s.ptr[same]))
            same++;
        if (same == s.len)
            return true;
    }
    return false;
}

static bool is_blocked(const struct rules *rules, const struct rules_namespace *name_space, struct pk_str s)
{
    return s.len == 0 || only_zeros(s) || is_any_of(rules->blocked, rules->blocked_count, s) ||
           (name_space && is_any_of(name_space->blocked, name_space->blocked_count, s));
}

static struct pk_str lower_case(struct pk_str s, struct pk_arena *arena)
{
    bool capital = false;
    for (size_t i = 0; i < s.len; i++)
        capital |= lower(s.ptr[i]) != s.ptr[i];
    if (!capital)
        return s;
    char *copy = pk_arena_alloc(arena, s.len);
    for (size_t i = 0; i < s.len; i++)
        copy[i] = lower(s.ptr[i]);
    return (struct pk_str){copy, s.len};
}

/* "+358 (0)40 123", "00358 40 123" and "040 123" become 35840123. Empty if it has no digit. */
static struct pk_str phone(struct pk_str s, struct pk_str country, struct pk_arena *arena)
{
    char *copy = pk_arena_alloc(arena, country.len + s.len), *digit = copy + country.len;
    size_t len = 0;
    bool international = false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.len - i >= 3 && memcmp(s.ptr + i, "(0)", 3) == 0) {
            i += 2;
            continue;
        }
        if (s.ptr[i] >= '0' && s.ptr[i] <= '9')
            digit[len++] = s.ptr[i];
        else if (s.ptr[i] == '+' && len == 0)
            international = true;
    }
    if (international || len == 0)
        return (struct pk_str){digit, len};
    if (len >= 2 && digit[0] == '0' && digit[1] == '0')
        return (struct pk_str){digit + 2, len - 2};
    if (digit[0] == '0')
        digit++, len--;
    digit -= country.len;
    memcpy(digit, country.ptr, country.len);
    return (struct pk_str){digit, len + country.len};
}

bool fact_normalise(struct pk_str value, const struct rules_namespace *name_space, const struct rules *rules,
                    struct pk_arena *arena, struct pk_str *ret_value)
{
    value = trim(value);
    if (is_blocked(rules, name_space, value))
        return false;
    switch (name_space ? name_space->normalise : RULES_NONE) {
    case RULES_NONE:
        *ret_value = value;
        return true;
    case RULES_EMAIL:
        value = lower_case(value, arena);
        break;
    case RULES_PHONE:
        value = phone(value, rules->phone_country, arena);
        break;
    }
    if (is_blocked(rules, name_space, value))
        return false;
    *ret_value = value;
    return true;
}

/* ---- namespaces ---- */

const struct rules_namespace *fact_namespace(const struct rules *rules, struct pk_str name)
{
    for (size_t i = 0; i < rules->namespace_count; i++)
        if (!rules->name_space[i].any_issuer && pk_str_eq(rules->name_space[i].name, name))
            return &rules->name_space[i];
    const char *slash = name.len ? memchr(name.ptr, '/', name.len) : NULL;
    if (!slash)
        return NULL;
    struct pk_str rest = {slash + 1, name.len - (size_t)(slash + 1 - name.ptr)};
    for (size_t i = 0; i < rules->namespace_count; i++)
        if (rules->name_space[i].any_issuer && pk_str_eq(rules->name_space[i].name, rest))
            return &rules->name_space[i];
    return NULL;
}

static const struct rules_namespace *namespace_of(struct fact_maker *maker, sym_t sym)
{
    while (maker->name_space.len <= sym)
        *pk_vec_push(&maker->name_space) = 0;
    int32_t *known = &maker->name_space.ptr[sym];
    if (*known == 0) {
        const struct rules_namespace *found = fact_namespace(maker->rules, symbol_text(maker->symbols, sym));
        *known = found ? (int32_t)(found - maker->rules->name_space) + 1 : -1;
    }
    return *known > 0 ? &maker->rules->name_space[*known - 1] : NULL;
}

/* ---- values under a namespace ---- */

static size_t memo_place(sym_t name_space, struct pk_str value)
{
    uint64_t mix = name_space * UINT64_C(0x9E3779B97F4A7C15), word;
    for (size_t at = 0; at < value.len; at += 8) {
        word = 0;
        memcpy(&word, value.ptr + at, PK_MIN(value.len - at, (size_t)8));
        mix = (mix ^ word) * UINT64_C(0x9E3779B97F4A7C15);
        mix ^= mix >> 29;
    }
    return mix & (MEMO_SLOTS - 1);
}

/* Normalised, and hashed with the namespace's full name; zero if blocked. `ret_clear` gets the normalised value, in
 * `arena` or borrowed from `value`, if the namespace is stored clear; NULL `rules` = a reserved namespace. */
static struct pk_hash hash_value(struct fact_maker *maker, sym_t name_space, const struct rules_namespace *rules,
                                 struct pk_str value, struct pk_arena *arena, struct pk_str *ret_clear)
{
    bool store_clear = rules && rules->store_clear;
    struct memo_slot *memo = NULL;
    struct memo_clear *clear = NULL;
    if (value.len <= sizeof memo->value) {
        size_t place = memo_place(name_space, value);
        memo = &maker->memo->slot[place];
        clear = store_clear ? &maker->memo->clear[place] : NULL;
        if (memo->name_space == name_space && memo->len == value.len && memcmp(memo->value, value.ptr, value.len) == 0) {
            if (clear && clear->len)
                *ret_clear = (struct pk_str){pk_arena_copy(arena, clear->value, clear->len), clear->len};
            return memo->hash;
        }
    }
    struct pk_hash hash = {0};
    struct pk_str normal = {0};
    if (fact_normalise(value, rules, maker->rules, arena, &normal))
        hash = hash_pair(maker->hasher, symbol_text(maker->symbols, name_space), normal);
    if (store_clear)
        *ret_clear = normal;
    if (memo) {
        *memo = (struct memo_slot){.hash = hash, .name_space = name_space, .len = (uint8_t)value.len};
        memcpy(memo->value, value.ptr, value.len);
    }
    if (clear) {
        clear->len = (uint8_t)normal.len;
        if (normal.len)
            memcpy(clear->value, normal.ptr, normal.len);
    }
    return hash;
}

/* ---- names ---- */

static bool weaker(const struct fact_name *a, const struct rules_namespace *b)
{
    bool person = a->rules->class_ == RULES_PERSON;
    return person != (b->class_ == RULES_PERSON) ? !person : a->rules->priority > b->priority;
}

/* Puts the identifier at its place among the names: persons, then devices, each by (priority, position). The
 * same hash is the same name: it counts where it stood first. */
static void add_name(struct fact_name *name, unsigned *count, const struct fact_identifier *identifier,
                     const struct rules_namespace *rules)
{
    for (unsigned i = 0; i < *count; i++)
        if (pk_hash_eq(name[i].hash, identifier->hash))
            return;
    unsigned at = *count;
    for (; at > 0 && weaker(&name[at - 1], rules); at--)
        name[at] = name[at - 1];
    name[at] = (struct fact_name){identifier->hash, identifier->name_space, rules, identifier->value};
    ++*count;
}

void fact_take_names(struct fact_maker *maker, struct pk_arena *arena, struct fact *fact)
{
    struct fact_name name[FACT_MAX_IDENTIFIERS];
    unsigned count = 0, persons = 0;
    for (unsigned i = 0; i < fact->identifier_count && i < FACT_MAX_IDENTIFIERS; i++) {
        const struct fact_identifier *identifier = &fact->identifier[i];
        const struct rules_namespace *rules =
            pk_hash_zero(identifier->hash) ? NULL : namespace_of(maker, identifier->name_space);
        if (rules)
            add_name(name, &count, identifier, rules);
    }
    while (persons < count && name[persons].rules->class_ == RULES_PERSON)
        persons++;
    struct fact_name *kept = count ? pk_arena_copy(arena, name, count * sizeof *name) : NULL;
    fact->person = kept;
    fact->person_count = (uint8_t)persons;
    fact->device = kept ? kept + persons : NULL;
    fact->device_count = (uint8_t)(count - persons);
}

/* ---- meetings ---- */

static uint64_t mixed(uint64_t x) /* one to one (the finaliser of SplitMix64) */
{
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

/* The hashes are keyed BLAKE2b: nobody can choose them, so mixing them needs no secret. Every step is one to one
 * in the state, and it starts from the count: order and number count. The last step mixes the halves once more. */
struct pk_hash fact_meeting(const struct fact *fact)
{
    struct pk_hash id = {0};
    uint64_t a = fact->person_count, b = ~a;
    if (fact->person_count < 2)
        return id;
    for (unsigned i = 0; i <= fact->person_count; i++) {
        const uint8_t *byte = i < fact->person_count ? fact->person[i].hash.byte : id.byte;
        a = mixed(a ^ pk_get_be64(byte)) + (b << 29 | b >> 35);
        b = mixed(b ^ pk_get_be64(byte + 8)) ^ a;
    }
    pk_put_be64(id.byte, a);
    pk_put_be64(id.byte + 8, a == 0 && b == 0 ? 1 : b);
    return id;
}

/* ---- the parts of a fact ---- */

static void take_identifiers(struct fact_maker *maker, const struct event *event, struct pk_arena *arena,
                             struct fact *fact)
{
    struct fact_identifier *identifier = pk_arena_alloc(arena, event->identifier_count * sizeof *identifier);
    for (uint32_t i = 0; i < event->identifier_count; i++) {
        const struct event_identifier *from = &event->identifier[i];
        sym_t sym = symbol_of(maker->symbols, from->name_space);
        const struct rules_namespace *rules = namespace_of(maker, sym);
        identifier[i] = (struct fact_identifier){.name_space = sym};
        if (rules)
            identifier[i].hash = hash_value(maker, sym, rules, from->value, arena, &identifier[i].value);
    }
    fact->identifier = identifier;
    fact->identifier_count = (uint8_t)event->identifier_count;
    fact_take_names(maker, arena, fact);
}

/* A value under a reserved namespace: the case, the member of staff. Zero = none or blocked. */
static struct pk_hash reserved(struct fact_maker *maker, sym_t name_space, struct pk_str value, struct pk_arena *arena)
{
    return value.ptr ? hash_value(maker, name_space, NULL, value, arena, NULL) : (struct pk_hash){0};
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : lower(c) >= 'a' && lower(c) <= 'f' ? lower(c) - 'a' + 10 : -1;
}

/* A ledger id as a uuid; zero if it is none. */
static struct pk_hash parse_uuid(struct pk_str text)
{
    struct pk_hash hash = {0};
    size_t digits = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '-')
            continue;
        int value = hex(text.ptr[i]);
        if (value < 0 || digits == 2 * HASH_BYTES)
            return (struct pk_hash){0};
        hash.byte[digits / 2] = (uint8_t)(hash.byte[digits / 2] << 4 | value);
        digits++;
    }
    return digits == 2 * HASH_BYTES ? hash : (struct pk_hash){0};
}

/* "source/event_id" and "source/obligation.id" hash to the event's hash and to the explicit promise's
 * ledger id, so one value finds all three. */
static struct pk_hash relates(const struct fact_hasher *hasher, struct pk_str text)
{
    const char *slash = text.len ? memchr(text.ptr, '/', text.len) : NULL;
    if (!slash)
        return parse_uuid(text);
    size_t source = (size_t)(slash - text.ptr);
    return hash_pair(hasher, (struct pk_str){text.ptr, source}, (struct pk_str){slash + 1, text.len - source - 1});
}

static void take_promise(struct fact_maker *maker, const struct event *event, struct fact *fact)
{
    const struct event_obligation *from = &event->obligation;
    struct symbols *symbols = maker->symbols;
    fact->has_promise = true;
    fact->promise = (struct fact_promise){
        .id = hash_pair(maker->hasher, event->source, from->id),
        .kind = symbol_of(symbols, from->kind),
        .due_from_us = from->due_from_us,
        .due_to_us = from->due_to_us,
        .brand = symbol_of(symbols, from->brand),
        .unit = symbol_of(symbols, from->unit),
        .role = symbol_of(symbols, from->role),
    };
}

static void take_handoff(struct fact_maker *maker, const struct event_handoff *from, struct fact *fact)
{
    fact->has_handoff = true;
    fact->to_brand = symbol_of(maker->symbols, from->to_brand);
    fact->to_unit = symbol_of(maker->symbols, from->to_unit);
    fact->to_role = symbol_of(maker->symbols, from->to_role);
}

static void take_values(struct fact_maker *maker, const struct event *event, struct fact *fact)
{
    if (event->has_rating) {
        fact->has_rating = true;
        fact->rating.scale = symbol_of(maker->symbols, event->rating.scale);
        fact->rating.score = event->rating.score;
        fact->rating.min = event->rating.min;
        fact->rating.max = event->rating.max;
    }
    if (event->has_money) {
        fact->has_money = true;
        fact->money.amount_minor = event->money.amount_minor;
        fact->money.currency = symbol_of(maker->symbols, event->money.currency);
        fact->money.kind = symbol_of(maker->symbols, event->money.kind);
    }
}

/* ---- attributes ---- */

static void json_text(struct pk_buf *out, struct pk_str text)
{
    size_t start = 0;
    pk_buf_add(out, "\"", 1);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        pk_buf_add(out, text.ptr + start, i - start);
        start = i + 1;
        if (c < 0x20)
            pk_buf_printf(out, "\\u%04x", c);
        else
            pk_buf_add(out, (char[]){'\\', (char)c}, 2);
    }
    pk_buf_add(out, text.ptr + start, text.len - start);
    pk_buf_add(out, "\"", 1);
}

/* Sorts by key as bytes; of equal keys the last one written stays. Few entries: insertion. */
static size_t sort_attributes(const struct event *event, const struct event_attribute *sorted[])
{
    size_t count = 0;
    for (uint32_t i = 0; i < event->attribute_count && i < EVENT_MAX_ATTRIBUTES; i++) {
        const struct event_attribute *attribute = &event->attribute[i];
        size_t at = count;
        int order = -1;
        while (at > 0 && (order = pk_str_cmp(sorted[at - 1]->key, attribute->key)) > 0)
            at--;
        if (at > 0 && order == 0) {
            sorted[at - 1] = attribute;
            continue;
        }
        memmove(&sorted[at + 1], &sorted[at], (count - at) * sizeof *sorted);
        sorted[at] = attribute;
        count++;
    }
    return count;
}

static struct pk_str take_attributes(struct fact_maker *maker, const struct event *event, struct pk_arena *arena)
{
    const struct event_attribute *sorted[EVENT_MAX_ATTRIBUTES];
    size_t count = sort_attributes(event, sorted);
    if (count == 0)
        return (struct pk_str){0};
    struct pk_buf *out = &maker->scratch;
    pk_buf_reset(out);
    for (size_t i = 0; i < count; i++) {
        pk_buf_add(out, i == 0 ? "{" : ",", 1);
        json_text(out, sorted[i]->key);
        pk_buf_add(out, ":", 1);
        json_text(out, sorted[i]->value);
    }
    pk_buf_add(out, "}", 1);
    return pk_arena_str(arena, (struct pk_str){out->ptr, out->len});
}

/* ---- the whole ---- */

static uint64_t content_hash(struct fact_maker *maker, const struct event *event)
{
    pk_buf_reset(&maker->scratch);
    event_encode_canonical(event, &maker->scratch);
    return pk_get_be64(hash_bytes(maker->hasher, maker->scratch.ptr, maker->scratch.len).byte);
}

static void take_texts(struct symbols *symbols, const struct event *event, struct fact *fact)
{
    fact->source = symbol_of(symbols, event->source);
    fact->type = symbol_of(symbols, event->type);
    fact->channel = symbol_of(symbols, event->channel);
    fact->brand = symbol_of(symbols, event->brand);
    fact->unit = symbol_of(symbols, event->unit);
    fact->outcome = symbol_of(symbols, event->outcome);
    fact->reason = symbol_of(symbols, event->reason);
    fact->topic = symbol_of(symbols, event->topic);
    fact->cause = symbol_of(symbols, event->cause);
    fact->stage = symbol_of(symbols, event->stage);
    fact->product = event->product;
    fact->location = event->location;
}

void fact_from_event(struct fact_maker *maker, const struct event *event, struct pk_arena *arena,
                     struct fact *ret_fact)
{
    struct fact fact = {
        .at_us = event->occurred_at_us,
        .sequence = event->sequence,
        .event_id = event->event_id,
        .event_hash = hash_pair(maker->hasher, event->source, event->event_id),
        .content_hash = content_hash(maker, event),
        .direction = (uint8_t)event->direction,
        .actor = (uint8_t)event->actor,
        .sensitivity = (uint8_t)event->sensitivity,
        .promise = {.due_from_us = PK_NO_TIME, .due_to_us = PK_NO_TIME},
        .received_at_us = PK_NO_TIME,
    };
    take_texts(maker->symbols, event, &fact);
    take_identifiers(maker, event, arena, &fact);
    fact.case_key = reserved(maker, maker->case_id, event->case_id, arena);
    fact.staff = reserved(maker, maker->staff, event->staff, arena);
    if (event->relates_to.ptr)
        fact.relates = relates(maker->hasher, event->relates_to);
    if (event->has_obligation)
        take_promise(maker, event, &fact);
    if (event->has_handoff)
        take_handoff(maker, &event->handoff, &fact);
    take_values(maker, event, &fact);
    fact.attributes = take_attributes(maker, event, arena);
    fact.traits = match_traits(maker->matcher, &fact);
    *ret_fact = fact;
}

int fact_cmp(const struct symbols *symbols, const struct fact *a, const struct fact *b)
{
    if (a->at_us != b->at_us)
        return a->at_us < b->at_us ? -1 : 1;
    if (a->sequence != b->sequence)
        return a->sequence < b->sequence ? -1 : 1;
    int order = a->source == b->source
                    ? 0
                    : pk_str_cmp(symbol_text(symbols, a->source), symbol_text(symbols, b->source));
    return order ? order : pk_str_cmp(a->event_id, b->event_id);
}
