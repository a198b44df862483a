/* SPDX-License-Identifier: Apache-2.0 */
#include "simulate_truth.h"

#include <inttypes.h>

#include "time_text.h"

static void person(const struct simulated *s, struct pk_buf *out)
{
    if (!s->of_story)
        pk_buf_printf(out, "\"C%" PRIu64 "\"", s->person);
    else if (s->member >= 0)
        pk_buf_printf(out, "\"%s-n%" PRIu64 "-%d\"", s->script, s->need, s->member);
    else
        pk_buf_text(out, "null");
}

static void promise(const struct simulated *s, struct pk_buf *out)
{
    char at[28];
    pk_buf_printf(out, ", \"promise\": \"%s\"", s->promise);
    if (s->live) {
        pk_buf_printf(out, ", \"kept\": %s", s->kept ? "true" : "false");
    } else if (s->kept) {
        time_format_iso(s->kept_at_us, at);
        pk_buf_printf(out, ", \"kept_at\": \"%s\"", at);
    } else {
        pk_buf_text(out, ", \"kept_at\": null");
    }
}

void simulate_truth(const struct simulated *s, struct pk_buf *out)
{
    char at[28];
    time_format_iso(s->published_at_us, at);
    pk_buf_printf(out, "{\"event\": \"%.*s/%.*s\", \"published_at\": \"%s\", \"person\": ", PK_STR_ARG(s->event->source),
                  PK_STR_ARG(s->event->event_id), at);
    person(s, out);
    pk_buf_printf(out, ", \"need\": %" PRIu64 ", \"script\": \"%s\"", s->need, s->script);
    if (s->duplicate)
        pk_buf_text(out, ", \"copied\": true");
    if (s->promise)
        promise(s, out);
    if (s->keeps.ptr)
        pk_buf_printf(out, ", \"keeps\": \"%.*s\"", PK_STR_ARG(s->keeps));
    pk_buf_text(out, "}\n");
}
