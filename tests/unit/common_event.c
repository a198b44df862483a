/* SPDX-License-Identifier: Apache-2.0 */
/* What an event may hold, and its natural JSON. */
#include "event_avro.h"
#include "event_json.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static struct pk_arena arena;

static void arena_done(void)
{
    pk_arena_done(&arena);
}

TestSuite(event, .fini = arena_done);
TestSuite(event_json, .fini = arena_done);

#define NOON INT64_C(1442836800000000) /* 2015-09-21T12:00:00Z */
static const struct event_limits limits = {300 * PK_SECOND_US};

static struct event good_event(void)
{
    return (struct event){
        .event_id = PK_STR("e1"), .source = PK_STR("crm"), .occurred_at_us = NOON, .type = PK_STR("contact.inbound"),
        .channel = PK_STR("phone"), .brand = PK_STR("Terveyskulma"),
        .obligation = {.due_from_us = PK_NO_TIME, .due_to_us = PK_NO_TIME},
    };
}

static const char *const ok = "";

/* The reason's name and the text, "" if the event is fine. */
static const char *verdict_at(const struct event *event, int64_t recorded_at_us)
{
    static char text[600];
    struct pk_err err = {0};
    enum reject_reason reason = REJECT_COUNT;
    enum pk_status status = event_validate(event, &limits, recorded_at_us, &reason, &err);
    if (status == PK_OK)
        return ok;
    cr_assert_eq(status, PK_REJECT);
    snprintf(text, sizeof text, "%s: %s", reject_name(reason), err.text);
    return text;
}

static const char *verdict(const struct event *event)
{
    return verdict_at(event, PK_NO_TIME);
}

static struct pk_str letters(size_t len)
{
    char *text = pk_arena_alloc(&arena, len + 1);
    memset(text, 'a', len);
    return (struct pk_str){text, len};
}

Test(event, a_plain_event_is_fine)
{
    struct event event = good_event();
    cr_assert_str_eq(verdict(&event), "");
}

Test(event, reasons_have_the_names_of_the_quarantine_table)
{
    cr_assert_str_eq(reject_name(REJECT_BAD_FRAME), "bad_frame");
    cr_assert_str_eq(reject_name(REJECT_CONFLICTING_DUPLICATE), "conflicting_duplicate");
    cr_assert_str_eq(reject_name(REJECT_COUNT), "?");
}

Test(event, limits_of_text_are_inclusive)
{
    const struct {
        size_t offset, max;
        const char *name;
        bool required, empty_ok;
    } field[] = {
#define FIELD(member, ...) {offsetof(struct event, member), __VA_ARGS__}
        FIELD(event_id, 128, "event_id", true, false), FIELD(source, 128, "source", true, false),
        FIELD(type, 128, "type", true, false), FIELD(channel, 128, "channel", true, false),
        FIELD(brand, 128, "brand", true, false), FIELD(unit, 128, "unit", false, false),
        FIELD(staff, 512, "staff", false, false), FIELD(case_id, 512, "case_id", false, true),
        FIELD(topic, 512, "topic", false, false),
        FIELD(cause, 512, "cause", false, false), FIELD(product, 512, "product", false, false),
        FIELD(location, 512, "location", false, false), FIELD(stage, 128, "stage", false, false),
        FIELD(outcome, 128, "outcome", false, false), FIELD(reason, 128, "reason", false, false),
    };
    for (size_t i = 0; i < PK_COUNT(field); i++) {
        struct event event = good_event();
        struct pk_str *text = (struct pk_str *)((char *)&event + field[i].offset);
        char wanted[64];
        *text = letters(field[i].max);
        cr_assert_str_eq(verdict(&event), "", "%s", field[i].name);
        *text = letters(field[i].max + 1);
        snprintf(wanted, sizeof wanted, "too_large: %s has", field[i].name);
        cr_assert_eq(strncmp(verdict(&event), wanted, strlen(wanted)), 0, "%s", verdict(&event));
        *text = (struct pk_str){0};
        snprintf(wanted, sizeof wanted, "invalid: %s is missing", field[i].name);
        cr_assert_str_eq(verdict(&event), field[i].required ? wanted : "");
        *text = PK_STR("");
        cr_assert_eq(*verdict(&event) == '\0', field[i].empty_ok, "%s", field[i].name);
        *text = PK_STR("\xff");
        cr_assert_eq(strncmp(verdict(&event), "invalid: ", 9), 0, "%s", field[i].name);
        *text = PK_STR("a\0b");
        cr_assert_eq(strncmp(verdict(&event), "invalid: ", 9), 0, "%s", field[i].name);
    }
}

Test(event, relates_to_names_something_by_source_and_id_or_by_uuid)
{
    static const struct {
        const char *text;
        bool fine;
    } given[] = {
        {"crm/42", true},
        {"crm/a/b", true},
        {"39be8e0f-c28a-9d4a-e2c3-ffb9bedc8ad4", true},
        {"39BE8E0Fc28a9d4ae2c3ffb9bedc8ad4", true},
        {"42", false},
        {"39be8e0f-c28a-9d4a-e2c3-ffb9bedc8ad", false},
        {"39be8e0f-c28a9d4a-e2c3-ffb9bedc8ad40", false},
        {"39be8e0f-c28a-9d4a-e2c3-ffb9bedc8adg", false},
        {"39be8e0fc28a-9d4ae2c3ffb9bedc8ad4", false},
    };
    for (size_t i = 0; i < PK_COUNT(given); i++) {
        struct event event = good_event();
        event.relates_to = pk_str(given[i].text);
        cr_assert_eq(*verdict(&event) == '\0', given[i].fine, "%s: %s", given[i].text, verdict(&event));
    }
    struct event event = good_event();
    event.relates_to = letters(513);
    cr_assert_eq(strncmp(verdict(&event), "too_large: relates_to has", 25), 0);
}

Test(event, words_of_the_vocabulary_have_a_form)
{
    struct event event = good_event();
    static const char *const bad[] = {"Contact", "a b", ".a", "-a", "_a", "a/b", "ä", "a\n"};
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        event.type = pk_str(bad[i]);
        cr_assert(strstr(verdict(&event), "invalid: type"), "%s", bad[i]);
    }
    static const char *const fine[] = {"a", "0", "a.b_c-d9"};
    for (size_t i = 0; i < PK_COUNT(fine); i++) {
        event.type = pk_str(fine[i]);
        cr_assert_str_eq(verdict(&event), "");
    }
    event.source = PK_STR("crm/north");
    cr_assert_str_eq(verdict(&event), "invalid: source may not hold '/'");
    event.source = PK_STR("CRM North, Järvenpää");
    cr_assert_str_eq(verdict(&event), "");
}

Test(event, times_lie_between_1990_and_2199)
{
    struct event event = good_event();
    event.occurred_at_us = EVENT_MIN_TIME_US;
    cr_assert_str_eq(verdict(&event), "");
    event.occurred_at_us--;
    cr_assert(strstr(verdict(&event), "invalid: occurred_at"));
    event.occurred_at_us = EVENT_MAX_TIME_US - 1;
    cr_assert_str_eq(verdict(&event), "");
    event.occurred_at_us++;
    cr_assert(strstr(verdict(&event), "invalid: occurred_at"));
    event.occurred_at_us = INT64_MIN;
    cr_assert(strstr(verdict(&event), "invalid: occurred_at"));
    event.occurred_at_us = INT64_MAX;
    cr_assert(strstr(verdict(&event), "invalid: occurred_at"));
}

Test(event, an_event_may_lie_five_minutes_ahead_of_its_record_and_not_more)
{
    struct event event = good_event();
    cr_assert_str_eq(verdict_at(&event, NOON - 300 * PK_SECOND_US), "");
    cr_assert_str_eq(verdict_at(&event, NOON - 300 * PK_SECOND_US - 1),
                     "future: occurred_at lies more than 300 s after the record's time");
    cr_assert_str_eq(verdict_at(&event, INT64_MAX), "", "the past is no matter of validation");
    cr_assert(strstr(verdict_at(&event, INT64_MIN + 1), "future"));
}

Test(event, identifiers_are_checked_without_being_quoted)
{
    struct event_identifier identifier[17];
    for (size_t i = 0; i < 17; i++)
        identifier[i] = (struct event_identifier){PK_STR("garage/customer_id"), PK_STR("secret-value")};
    struct event event = good_event();
    event.identifier = identifier;
    event.identifier_count = 16;
    cr_assert_str_eq(verdict(&event), "");
    event.identifier_count = 17;
    cr_assert_str_eq(verdict(&event), "too_large: identifiers has 17 entries, at most 16");
    event.identifier_count = 3;
    identifier[2].value = PK_STR("");
    cr_assert_str_eq(verdict(&event), "", "an empty value is a blocked value, not an error");
    identifier[2].value = letters(513);
    cr_assert_str_eq(verdict(&event), "too_large: identifiers[2].value has 513 bytes, at most 512");
    identifier[2].value = PK_STR("secret-\xff");
    cr_assert_str_eq(verdict(&event), "invalid: identifiers[2].value is not UTF-8 text without NUL");
    identifier[2].value = PK_STR("x");
    static const char *const bad[] = {"", "/x", "x/", "a/b/c", "Garage/id", "case_id"};
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        identifier[2].name_space = pk_str(bad[i]);
        cr_assert(strstr(verdict(&event), "invalid: identifiers[2].namespace"), "%s: %s", bad[i], verdict(&event));
    }
}

Test(event, attributes_are_bounded)
{
    struct event_attribute attribute[65];
    for (size_t i = 0; i < 65; i++)
        attribute[i] = (struct event_attribute){PK_STR("key"), PK_STR("")};
    struct event event = good_event();
    event.attribute = attribute;
    event.attribute_count = 64;
    cr_assert_str_eq(verdict(&event), "");
    event.attribute_count = 65;
    cr_assert(strstr(verdict(&event), "too_large: attributes"));
    event.attribute_count = 2;
    attribute[1].value = letters(4096);
    cr_assert_str_eq(verdict(&event), "");
    attribute[1].value = letters(4097);
    cr_assert(strstr(verdict(&event), "too_large: attributes[1].value"));
    attribute[1] = (struct event_attribute){PK_STR(""), PK_STR("v")};
    cr_assert(strstr(verdict(&event), "invalid: attributes[1].key"));
    attribute[1].key = letters(129);
    cr_assert(strstr(verdict(&event), "too_large: attributes[1].key"));
}

Test(event, an_obligation_has_an_id_a_kind_and_a_window_that_does_not_end_before_it_begins)
{
    struct event event = good_event();
    event.has_obligation = true;
    event.obligation.id = PK_STR("cb-1");
    event.obligation.kind = PK_STR("callback");
    cr_assert_str_eq(verdict(&event), "", "without a deadline it is a defect to count, not an error");
    event.obligation.due_from_us = event.obligation.due_to_us = NOON;
    cr_assert_str_eq(verdict(&event), "");
    event.obligation.due_from_us++;
    cr_assert(strstr(verdict(&event), "invalid: obligation.due_from"));
    event.obligation.due_from_us = 5;
    cr_assert(strstr(verdict(&event), "invalid: obligation.due_from"));
    event.obligation.due_from_us = PK_NO_TIME;
    event.obligation.due_to_us = EVENT_MAX_TIME_US;
    cr_assert(strstr(verdict(&event), "invalid: obligation.due_to"));
    event.obligation.due_to_us = NOON;
    event.obligation.kind = PK_STR("Call back");
    cr_assert(strstr(verdict(&event), "invalid: obligation.kind"));
    event.obligation.kind = PK_STR("callback");
    event.obligation.id = (struct pk_str){0};
    cr_assert_str_eq(verdict(&event), "invalid: obligation.id is missing");
    event.has_obligation = false;
    cr_assert_str_eq(verdict(&event), "", "what is not there is not looked at");
}

Test(event, handoff_rating_and_money_make_sense)
{
    struct event event = good_event();
    event.has_handoff = true;
    cr_assert(strstr(verdict(&event), "invalid: handoff names no target"));
    event.handoff.to_role = PK_STR("service owner");
    cr_assert_str_eq(verdict(&event), "");

    event.has_rating = true;
    event.rating = (struct event_rating){PK_STR("nps"), 10, 0, 10};
    cr_assert_str_eq(verdict(&event), "");
    event.rating.score = 10.5;
    cr_assert(strstr(verdict(&event), "invalid: rating.score"));
    event.rating = (struct event_rating){PK_STR("nps"), 1e9, 0, 0};
    cr_assert_str_eq(verdict(&event), "", "a scale without ends");
    event.rating.score = NAN;
    cr_assert(strstr(verdict(&event), "invalid: rating"));
    event.rating = (struct event_rating){PK_STR("nps"), 5, 10, 0};
    cr_assert(strstr(verdict(&event), "invalid: rating.min"));
    event.has_rating = false;

    event.has_money = true;
    event.money = (struct event_money){-EVENT_MAX_AMOUNT, PK_STR("EUR"), PK_STR("loss")};
    cr_assert_str_eq(verdict(&event), "");
    event.money.amount_minor--;
    cr_assert(strstr(verdict(&event), "invalid: money.amount_minor"));
    event.money = (struct event_money){1, PK_STR("eur"), PK_STR("loss")};
    cr_assert(strstr(verdict(&event), "invalid: money.currency"));
}

/* ---- JSON ---- */

#define REQUIRED "\"event_id\":\"e\",\"source\":\"s\",\"occurred_at\":\"2015-09-21T15:00:00+03:00\",\"type\":\"t\",\"channel\":\"c\",\"brand\":\"b\""

static struct event read_json(const char *text)
{
    struct event event;
    struct pk_err err = {0};
    cr_assert_eq(event_from_json(pk_str(text), &arena, &event, &err), PK_OK, "%s", err.text);
    return event;
}

Test(event_json, absent_fields_take_their_defaults)
{
    struct event event = read_json("{" REQUIRED ",\"unit\":null}");
    cr_assert_eq(event.occurred_at_us, NOON);
    cr_assert_eq(event.sequence, 0);
    cr_assert_eq(event.direction, EVENT_DIRECTION_UNKNOWN);
    cr_assert_eq(event.actor, EVENT_ACTOR_UNKNOWN);
    cr_assert_eq(event.sensitivity, EVENT_NORMAL);
    cr_assert_null(event.unit.ptr);
    cr_assert_eq(event.identifier_count + event.attribute_count, 0);
    cr_assert(!event.has_obligation && !event.has_handoff && !event.has_rating && !event.has_money);
    cr_assert_eq(event.obligation.due_to_us, PK_NO_TIME);
}

Test(event_json, a_time_may_be_whole_microseconds)
{
    cr_assert_eq(read_json("{\"event_id\":\"e\",\"source\":\"s\",\"occurred_at\":1442836800000001,\"type\":\"t\",\"channel\":"
                           "\"c\",\"brand\":\"b\"}").occurred_at_us, NOON + 1);
}

Test(event_json, mistakes_name_the_field_and_no_value)
{
    static const struct {
        const char *json, *wanted;
    } bad[] = {
        {"", "not JSON at line 1"},
        {"{\"event_id\":\"e\" \"secret\"", "not JSON at line 1"},
        {"[]", "an event must be a JSON object, not a list"},
        {"{}", "event_id is missing"},
        {"{" REQUIRED ",\"chanel\":\"x\"}", "unknown field 'chanel'; did you mean 'channel'?"},
        {"{" REQUIRED ",\"temperature\":1}", "unknown field 'temperature'"},
        {"{" REQUIRED ",\"brand\":\"b\"}", "not JSON at line 1"},
        {"{" REQUIRED ",\"sequence\":1.5}", "sequence must be a whole number, not a number with decimals"},
        {"{" REQUIRED ",\"sequence\":\"secret\"}", "sequence must be a whole number, not text"},
        {"{" REQUIRED ",\"unit\":5}", "unit must be text, not a whole number"},
        {"{" REQUIRED ",\"unit\":{\"string\":\"x\"}}", "unit must be text, not an object"},
        {"{" REQUIRED ",\"direction\":\"inbound\"}", "direction is none of INBOUND, OUTBOUND, INTERNAL, PUBLIC, UNKNOWN"},
        {"{" REQUIRED ",\"identifiers\":[{\"namespace\":\"phone\"}]}", "identifiers[0].value is missing"},
        {"{" REQUIRED ",\"identifiers\":[{\"namespace\":\"phone\",\"value\":1}]}", "identifiers[0].value must be text"},
        {"{" REQUIRED ",\"identifiers\":[{\"namespace\":\"phone\",\"valeu\":\"1\"}]}",
         "unknown field 'identifiers[0].valeu'; did you mean 'value'?"},
        {"{" REQUIRED ",\"identifiers\":{\"phone\":\"1\"}}", "identifiers must be a list of {namespace, value}, not an object"},
        {"{" REQUIRED ",\"obligation\":{\"id\":\"x\"}}", "obligation.kind is missing"},
        {"{" REQUIRED ",\"obligation\":{\"id\":\"x\",\"kind\":\"k\",\"due_to\":\"tomorrow\"}}", "obligation.due_to is not a time"},
        {"{" REQUIRED ",\"money\":{\"amount_minor\":12.5,\"currency\":\"EUR\",\"kind\":\"fee\"}}",
         "money.amount_minor must be a whole number"},
        {"{" REQUIRED ",\"attributes\":{\"a\":1}}", "attributes.a must be text, not a whole number"},
        {"{\"event_id\":\"e\",\"source\":\"s\",\"occurred_at\":\"2015-09-21T15:00:00\"}", "occurred_at is a time without a zone"},
    };
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        struct event event = {.sequence = 77};
        struct pk_err err = {0};
        cr_assert_eq(event_from_json(pk_str(bad[i].json), &arena, &event, &err), PK_REJECT, "%s", bad[i].json);
        cr_assert_eq(strncmp(err.text, bad[i].wanted, strlen(bad[i].wanted)), 0, "%s\n%s", bad[i].json, err.text);
        cr_assert(!strstr(err.text, "secret"), "%s", err.text);
        cr_assert_eq(event.sequence, 77, "outputs stay untouched on failure");
    }
}

Test(event_json, what_is_written_is_read_back_as_the_same_event)
{
    static const char *const text[] = {
        "{" REQUIRED "}",
        "{" REQUIRED ",\"sequence\":-5,\"direction\":\"PUBLIC\",\"actor\":\"BOT\",\"sensitivity\":\"SENSITIVE\"}",
        "{" REQUIRED ",\"topic\":\"quote \\\" slash \\\\ tab \\t line \\n bell \\u0007 ä 🧪\"}",
        "{" REQUIRED ",\"identifiers\":[{\"namespace\":\"phone\",\"value\":\"1\"},{\"namespace\":\"email\",\"value\":\"\"}]}",
        "{" REQUIRED ",\"attributes\":{\"b\":\"1\",\"a\":\"\"},\"handoff\":{\"to_unit\":\"x\"},\"case_id\":\"\"}",
        "{" REQUIRED ",\"rating\":{\"scale\":\"nps\",\"score\":0.1},\"money\":{\"amount_minor\":-1,\"currency\":\"EUR\",\"kind\":\"fee\"}}",
        "{" REQUIRED ",\"obligation\":{\"id\":\"i\",\"kind\":\"k\",\"due_from\":0,\"due_to\":\"2015-09-21T12:00:00.000001Z\",\"role\":\"r\"}}",
        "{" REQUIRED ",\"handoff\":{}}",
    };
    for (size_t i = 0; i < PK_COUNT(text); i++) {
        struct event event = read_json(text[i]);
        struct pk_buf json = {0}, canonical = {0}, canonical_back = {0};
        event_to_json(&event, &json);
        struct event back = read_json(json.ptr);
        event_encode_canonical(&event, &canonical);
        event_encode_canonical(&back, &canonical_back);
        cr_assert(canonical.len == canonical_back.len && memcmp(canonical.ptr, canonical_back.ptr, canonical.len) == 0, "%s",
                  json.ptr);
        cr_assert_null(strchr(json.ptr, '\n'), "one line");
        pk_buf_done(&json), pk_buf_done(&canonical), pk_buf_done(&canonical_back);
    }
}
