/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "event_key.h"

static struct pk_arena arena;
static struct pk_err err;

static const char *key(const char *order, const struct event_identifier *identifier, uint32_t count, const char *case_id)
{
    static struct pk_buf out;
    struct event_key_order parsed;
    cr_assert_eq(event_key_order_parse(order, &arena, &parsed, &err), PK_OK, "%s", err.text);
    struct event event = {.event_id = PK_STR("e-1"), .case_id = pk_str(case_id), .identifier = identifier,
                          .identifier_count = count};
    pk_buf_reset(&out);
    event_key(&event, &parsed, &out);
    return out.ptr;
}

Test(event_key, is_the_strongest_identifier_not_the_first)
{
    const struct event_identifier who[] = {{PK_STR("cookie"), PK_STR("c1")},
                                           {PK_STR("email"), PK_STR("a@example.org")},
                                           {PK_STR("shop/customer_id"), PK_STR("17")},
                                           {PK_STR("bank/customer_id"), PK_STR("99")}};
    cr_assert_str_eq(key(EVENT_KEY_DEFAULT, who, 4, NULL), "shop/customer_id:17");
    cr_assert_str_eq(key("email, cookie", who, 4, NULL), "email:a@example.org");
    cr_assert_str_eq(key("bank/customer_id", who, 4, NULL), "bank/customer_id:99");
    cr_assert_str_eq(key("*/login", who, 4, NULL), "cookie:c1", "none of the order: the first");
    cr_assert_str_eq(key("*/customer", who, 4, NULL), "cookie:c1", "the whole local name must agree");
}

Test(event_key, is_the_case_or_the_event_where_nobody_is_named)
{
    cr_assert_str_eq(key(EVENT_KEY_DEFAULT, NULL, 0, "bpi/7"), "case_id:bpi/7");
    cr_assert_str_eq(key(EVENT_KEY_DEFAULT, NULL, 0, NULL), "event_id:e-1");
}

Test(event_key, an_order_with_an_empty_entry_is_refused)
{
    struct event_key_order order;
    cr_assert_eq(event_key_order_parse("phone,,email", &arena, &order, &err), PK_REJECT);
    cr_assert_eq(event_key_order_parse("phone,", &arena, &order, &err), PK_REJECT);
    cr_assert_eq(event_key_order_parse("", &arena, &order, &err), PK_OK);
}
