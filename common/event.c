/* SPDX-License-Identifier: Apache-2.0 */
#include "event.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

const char *reject_name(enum reject_reason reason)
{
    static const char *const name[] = {
#define X(id, text, help) [REJECT_##id] = text,
#include "reject.def"
#undef X
    };
    return (unsigned)reason < REJECT_COUNT ? name[reason] : "?";
}

/* One check after another fills this in; `status` keeps the first failure. */
struct verdict {
    enum reject_reason *reason;
    struct pk_err *err;
};

static enum pk_status refuse(const struct verdict *verdict, enum reject_reason reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum pk_status refuse(const struct verdict *verdict, enum reject_reason reason, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    *verdict->reason = reason;
    return pk_fail(verdict->err, PK_REJECT, "%s", text);
}

enum text_rule {
    TEXT_FREE = 0,
    TEXT_REQUIRED = 1,    /* null is refused */
    TEXT_EMPTY_OK = 2,    /* "" is a value; without this it is refused, because absent text is null */
    TEXT_NAME = 4,        /* a-z 0-9 . _ -, first a letter or digit */
    TEXT_NAMESPACE = 8,   /* NAME, or issuer NAME "/" NAME */
    TEXT_NO_SLASH = 16,
};

/* 1 = may begin a name, 2 = may go on in it */
static const uint8_t name_char[256] = {
    ['a' ... 'z'] = 3, ['0' ... '9'] = 3, ['.'] = 2, ['_'] = 2, ['-'] = 2,
};

static bool is_name(const char *text, size_t len)
{
    uint8_t every = len > 0 ? name_char[(uint8_t)text[0]] & 1 ? 2 : 0 : 0;
    for (size_t i = 1; i < len; i++)
        every &= name_char[(uint8_t)text[i]];
    return every != 0;
}

static bool is_namespace(struct pk_str text)
{
    const char *slash = memchr(text.ptr, '/', text.len);
    if (!slash)
        return is_name(text.ptr, text.len);
    size_t issuer = (size_t)(slash - text.ptr);
    return is_name(text.ptr, issuer) && is_name(slash + 1, text.len - issuer - 1);
}

static enum pk_status check_text(const struct verdict *verdict, const char *field, struct pk_str text, size_t max,
                                 unsigned rule)
{
    if (!text.ptr)
        return rule & TEXT_REQUIRED ? refuse(verdict, REJECT_INVALID, "%s is missing", field) : PK_OK;
    if (text.len == 0)
        return rule & TEXT_EMPTY_OK ? PK_OK
                                    : refuse(verdict, REJECT_INVALID, "%s is empty; leave it out instead", field);
    if (text.len > max)
        return refuse(verdict, REJECT_TOO_LARGE, "%s has %zu bytes, at most %zu", field, text.len, max);
    if (rule & TEXT_NAME && !is_name(text.ptr, text.len))
        return refuse(verdict, REJECT_INVALID, "%s may hold only a-z, 0-9, '.', '_' and '-'", field);
    if (rule & TEXT_NAMESPACE && !is_namespace(text))
        return refuse(verdict, REJECT_INVALID, "%s must be a name or issuer/name of a-z, 0-9, '.', '_' and '-'", field);
    if (rule & (TEXT_NAME | TEXT_NAMESPACE))
        return PK_OK; /* ASCII by now */
    if (!pk_utf8_valid(text.ptr, text.len))
        return refuse(verdict, REJECT_INVALID, "%s is not UTF-8 text without NUL", field);
    if (rule & TEXT_NO_SLASH && memchr(text.ptr, '/', text.len))
        return refuse(verdict, REJECT_INVALID, "%s may not hold '/'", field);
    return PK_OK;
}

static enum pk_status check_time(const struct verdict *verdict, const char *field, int64_t at_us)
{
    if (at_us < EVENT_MIN_TIME_US || at_us >= EVENT_MAX_TIME_US)
        return refuse(verdict, REJECT_INVALID, "%s lies outside 1990..2199 (%" PRId64 " microseconds)", field, at_us);
    return PK_OK;
}

/* Puts the entry in front of a failure's text. Kept off the good path, where it would cost more than the checks. */
static enum pk_status in_entry(const struct verdict *verdict, const char *list, uint32_t index, enum pk_status status)
{
    if (status == PK_OK || !verdict->err)
        return status;
    struct pk_err inner = *verdict->err;
    return pk_fail(verdict->err, status, "%s[%" PRIu32 "].%.400s", list, index, inner.text);
}

static enum pk_status check_identifiers(const struct verdict *verdict, const struct event *event)
{
    if (event->identifier_count > EVENT_MAX_IDENTIFIERS)
        return refuse(verdict, REJECT_TOO_LARGE, "identifiers has %" PRIu32 " entries, at most %d",
                      event->identifier_count, EVENT_MAX_IDENTIFIERS);
    enum pk_status status = PK_OK;
    for (uint32_t i = 0; i < event->identifier_count && status == PK_OK; i++) {
        const struct event_identifier *identifier = &event->identifier[i];
        status = check_text(verdict, "namespace", identifier->name_space, EVENT_MAX_NAME,
                            TEXT_REQUIRED | TEXT_NAMESPACE);
        if (status == PK_OK && pk_str_eq(identifier->name_space, PK_STR("case_id")))
            status = refuse(verdict, REJECT_INVALID, "namespace may not be case_id; there is a field of that name");
        if (status == PK_OK)
            status = check_text(verdict, "value", identifier->value, EVENT_MAX_TEXT, TEXT_REQUIRED | TEXT_EMPTY_OK);
        status = in_entry(verdict, "identifiers", i, status);
    }
    return status;
}

static enum pk_status check_attributes(const struct verdict *verdict, const struct event *event)
{
    if (event->attribute_count > EVENT_MAX_ATTRIBUTES)
        return refuse(verdict, REJECT_TOO_LARGE, "attributes has %" PRIu32 " entries, at most %d",
                      event->attribute_count, EVENT_MAX_ATTRIBUTES);
    enum pk_status status = PK_OK;
    for (uint32_t i = 0; i < event->attribute_count && status == PK_OK; i++) {
        const struct event_attribute *attribute = &event->attribute[i];
        status = check_text(verdict, "key", attribute->key, EVENT_MAX_NAME, TEXT_REQUIRED);
        if (status == PK_OK)
            status = check_text(verdict, "value", attribute->value, EVENT_MAX_ATTRIBUTE,
                                TEXT_REQUIRED | TEXT_EMPTY_OK);
        status = in_entry(verdict, "attributes", i, status);
    }
    return status;
}

static enum pk_status check_obligation(const struct verdict *verdict, const struct event_obligation *obligation)
{
    const struct {
        const char *field;
        struct pk_str text;
        unsigned rule;
    } part[] = {
        {"obligation.id", obligation->id, TEXT_REQUIRED},
        {"obligation.kind", obligation->kind, TEXT_REQUIRED | TEXT_NAME},
        {"obligation.brand", obligation->brand, TEXT_FREE},
        {"obligation.unit", obligation->unit, TEXT_FREE},
        {"obligation.role", obligation->role, TEXT_FREE},
    };
    enum pk_status status = PK_OK;
    for (size_t i = 0; i < PK_COUNT(part) && status == PK_OK; i++)
        status = check_text(verdict, part[i].field, part[i].text, EVENT_MAX_NAME, part[i].rule);
    if (status == PK_OK && obligation->due_from_us != PK_NO_TIME)
        status = check_time(verdict, "obligation.due_from", obligation->due_from_us);
    if (status == PK_OK && obligation->due_to_us != PK_NO_TIME)
        status = check_time(verdict, "obligation.due_to", obligation->due_to_us);
    if (status == PK_OK && obligation->due_from_us != PK_NO_TIME && obligation->due_to_us != PK_NO_TIME &&
        obligation->due_from_us > obligation->due_to_us)
        return refuse(verdict, REJECT_INVALID, "obligation.due_from lies after obligation.due_to");
    return status;
}

static enum pk_status check_handoff(const struct verdict *verdict, const struct event_handoff *handoff)
{
    if (!handoff->to_brand.ptr && !handoff->to_unit.ptr && !handoff->to_role.ptr)
        return refuse(verdict, REJECT_INVALID, "handoff names no target: give to_brand, to_unit or to_role");
    enum pk_status status = check_text(verdict, "handoff.to_brand", handoff->to_brand, EVENT_MAX_NAME, TEXT_FREE);
    if (status == PK_OK)
        status = check_text(verdict, "handoff.to_unit", handoff->to_unit, EVENT_MAX_NAME, TEXT_FREE);
    if (status == PK_OK)
        status = check_text(verdict, "handoff.to_role", handoff->to_role, EVENT_MAX_NAME, TEXT_FREE);
    return status;
}

/* A scale without ends (min = max = 0) leaves the score free. */
static enum pk_status check_rating(const struct verdict *verdict, const struct event_rating *rating)
{
    if (!isfinite(rating->score) || !isfinite(rating->min) || !isfinite(rating->max))
        return refuse(verdict, REJECT_INVALID, "rating holds a number that is not finite");
    if (rating->min > rating->max)
        return refuse(verdict, REJECT_INVALID, "rating.min is greater than rating.max");
    if (rating->min < rating->max && (rating->score < rating->min || rating->score > rating->max))
        return refuse(verdict, REJECT_INVALID, "rating.score lies outside rating.min..rating.max");
    return check_text(verdict, "rating.scale", rating->scale, EVENT_MAX_NAME, TEXT_REQUIRED | TEXT_NAME);
}

static enum pk_status check_money(const struct verdict *verdict, const struct event_money *money)
{
    bool letters = money->currency.ptr && money->currency.len == 3;
    for (size_t i = 0; letters && i < 3; i++)
        letters = money->currency.ptr[i] >= 'A' && money->currency.ptr[i] <= 'Z';
    if (!letters)
        return refuse(verdict, REJECT_INVALID, "money.currency must be three capital letters, such as EUR");
    if (money->amount_minor > EVENT_MAX_AMOUNT || money->amount_minor < -EVENT_MAX_AMOUNT)
        return refuse(verdict, REJECT_INVALID, "money.amount_minor is beyond any real amount");
    return check_text(verdict, "money.kind", money->kind, EVENT_MAX_NAME, TEXT_REQUIRED | TEXT_NAME);
}

static enum pk_status check_texts(const struct verdict *verdict, const struct event *event)
{
    static const struct {
        const char *field;
        size_t offset, max;
        unsigned rule;
    } part[] = {
        {"event_id", offsetof(struct event, event_id), EVENT_MAX_ID, TEXT_REQUIRED},
        {"source", offsetof(struct event, source), EVENT_MAX_ID, TEXT_REQUIRED | TEXT_NO_SLASH},
        {"type", offsetof(struct event, type), EVENT_MAX_NAME, TEXT_REQUIRED | TEXT_NAME},
        {"channel", offsetof(struct event, channel), EVENT_MAX_NAME, TEXT_REQUIRED | TEXT_NAME},
        {"brand", offsetof(struct event, brand), EVENT_MAX_NAME, TEXT_REQUIRED},
        {"unit", offsetof(struct event, unit), EVENT_MAX_NAME, TEXT_FREE},
        {"staff", offsetof(struct event, staff), EVENT_MAX_TEXT, TEXT_FREE},
        {"case_id", offsetof(struct event, case_id), EVENT_MAX_TEXT, TEXT_EMPTY_OK},
        {"relates_to", offsetof(struct event, relates_to), EVENT_MAX_TEXT, TEXT_FREE},
        {"topic", offsetof(struct event, topic), EVENT_MAX_TEXT, TEXT_FREE},
        {"cause", offsetof(struct event, cause), EVENT_MAX_TEXT, TEXT_FREE},
        {"product", offsetof(struct event, product), EVENT_MAX_TEXT, TEXT_FREE},
        {"location", offsetof(struct event, location), EVENT_MAX_TEXT, TEXT_FREE},
        {"stage", offsetof(struct event, stage), EVENT_MAX_NAME, TEXT_NAME},
        {"outcome", offsetof(struct event, outcome), EVENT_MAX_NAME, TEXT_NAME},
        {"reason", offsetof(struct event, reason), EVENT_MAX_NAME, TEXT_NAME},
    };
    enum pk_status status = PK_OK;
    for (size_t i = 0; i < PK_COUNT(part) && status == PK_OK; i++) {
        const struct pk_str *text = (const struct pk_str *)((const char *)event + part[i].offset);
        status = check_text(verdict, part[i].field, *text, part[i].max, part[i].rule);
    }
    return status;
}

/* "source/id", or 32 hexadecimal digits with or without the dashes of a uuid. */
static enum pk_status check_relates_to(const struct verdict *verdict, struct pk_str text)
{
    if (!text.ptr || memchr(text.ptr, '/', text.len))
        return PK_OK;
    size_t digits = 0, dashes = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        bool dash = c == '-' && (i == 8 || i == 13 || i == 18 || i == 23);
        digits += hex;
        dashes += dash;
    }
    if (digits != 32 || digits + dashes != text.len || (dashes != 0 && dashes != 4))
        return refuse(verdict, REJECT_INVALID, "relates_to is neither source/id nor the uuid of an obligation or event");
    return PK_OK;
}

static enum pk_status check_enums(const struct verdict *verdict, const struct event *event)
{
    if ((unsigned)event->direction > EVENT_DIRECTION_UNKNOWN)
        return refuse(verdict, REJECT_INVALID, "direction is none of the known ones");
    if ((unsigned)event->actor > EVENT_ACTOR_UNKNOWN)
        return refuse(verdict, REJECT_INVALID, "actor is none of the known ones");
    if ((unsigned)event->sensitivity > EVENT_SENSITIVE)
        return refuse(verdict, REJECT_INVALID, "sensitivity is none of the known ones");
    return PK_OK;
}

enum pk_status event_validate(const struct event *event, const struct event_limits *limits, int64_t recorded_at_us,
                              enum reject_reason *ret_reason, struct pk_err *err)
{
    struct verdict verdict = {ret_reason, err};
    enum pk_status status = check_texts(&verdict, event);
    if (status == PK_OK)
        status = check_enums(&verdict, event);
    if (status == PK_OK)
        status = check_relates_to(&verdict, event->relates_to);
    if (status == PK_OK)
        status = check_time(&verdict, "occurred_at", event->occurred_at_us);
    if (status == PK_OK)
        status = check_identifiers(&verdict, event);
    if (status == PK_OK && event->has_obligation)
        status = check_obligation(&verdict, &event->obligation);
    if (status == PK_OK && event->has_handoff)
        status = check_handoff(&verdict, &event->handoff);
    if (status == PK_OK && event->has_rating)
        status = check_rating(&verdict, &event->rating);
    if (status == PK_OK && event->has_money)
        status = check_money(&verdict, &event->money);
    if (status == PK_OK)
        status = check_attributes(&verdict, event);
    if (status == PK_OK && recorded_at_us != PK_NO_TIME &&
        recorded_at_us < event->occurred_at_us - limits->max_ahead_us)
        return refuse(&verdict, REJECT_FUTURE, "occurred_at lies more than %" PRId64 " s after the record's time",
                      limits->max_ahead_us / PK_SECOND_US);
    return status;
}
