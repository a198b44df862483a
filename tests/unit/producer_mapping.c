/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mapping.h"
#include "mapping_plan.h"
#include "time_text.h"

static struct pk_arena arena, scratch;
static struct mapping *mapping;
static struct mapping_reader *reader;
static struct mapped_row row;
static struct pk_err err;
static char folder[64];

static void write_file(const char *name, const char *text)
{
    char path[128];
    if (!folder[0]) {
        snprintf(folder, sizeof folder, "/tmp/polku_mapping_XXXXXX");
        cr_assert_not_null(mkdtemp(folder));
    }
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
}

static enum pk_status load(const char *yaml)
{
    return mapping_parse("test.yaml", pk_str(yaml), &arena, &mapping, &err);
}

static enum pk_status open_csv(const char *csv)
{
    char path[128];
    write_file("in.csv", csv);
    snprintf(path, sizeof path, "%s/in.csv", folder);
    return mapping_open(mapping, path, &reader, &err);
}

static void start(const char *yaml, const char *csv)
{
    cr_assert_eq(load(yaml), PK_OK, "%s", err.text);
    cr_assert_eq(open_csv(csv), PK_OK, "%s", err.text);
}

static void next(size_t events)
{
    pk_arena_reset(&scratch);
    cr_assert_eq(mapping_next(reader, &scratch, &row, &err), INPUT_RECORD, "%s", err.text);
    cr_assert_eq(row.count, events, "%zu events", row.count);
}

static void clean_up(void)
{
    mapping_close(reader);
    mapping_done(mapping);
    pk_arena_done(&arena);
    pk_arena_done(&scratch);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (folder[0])
        cr_assert_eq(system(command), 0);
}

TestSuite(mapping, .fini = clean_up);

#define IS(text, want) cr_assert(pk_str_eq(text, pk_str(want)), "'%.*s' is not '%s'", PK_STR_ARG(text), want)
#define BASE "source: s, brand: B, type: a.b, channel: web, occurred_at: \"{at}\", event_id: \"{id}\""
#define DEFAULTS "defaults: {" BASE "}\n"

static const char *at(int64_t us)
{
    static char text[28];
    time_format_iso(us, text);
    return text;
}

Test(mapping, one_row_becomes_the_events_whose_conditions_hold)
{
    start("defaults: {source: s, brand: B, channel: web, occurred_at: \"{at}\", identifiers: {shop/customer_id: \"{who}\"}}\n"
          "events:\n"
          "  - {event_id: \"{id}/placed\", type: order.placed, actor: CUSTOMER, direction: INBOUND}\n"
          "  - {event_id: \"{id}/paid\", type: payment.captured, when: {present: amount},\n"
          "     money: {amount: \"{amount}\", currency: EUR, kind: payment}}\n"
          "  - {event_id: \"{id}/gone\", type: order.cancelled, when: {is: {status: [cancelled, void]}, not: {present: amount}}}\n",
          "id,who,at,amount,status\n"
          "1,ann,2020-01-01T00:00:00Z,12.5,open\n"
          "2,bob,2020-01-02T00:00:00Z,,void\n");
    next(2);
    IS(row.event[0].event_id, "1/placed");
    cr_assert_eq(row.event[0].actor, EVENT_CUSTOMER);
    IS(row.event[0].identifier[0].name_space, "shop/customer_id");
    IS(row.event[0].identifier[0].value, "ann");
    cr_assert_not(row.event[0].has_money);
    cr_assert(row.event[1].has_money);
    cr_assert_eq(row.event[1].money.amount_minor, 1250);
    cr_assert_lt(row.event[0].sequence, row.event[1].sequence, "of equal time, in the order of the file");
    next(2);
    IS(row.event[1].type, "order.cancelled");
    cr_assert_eq(row.line, 3);
    cr_assert_eq(mapping_next(reader, &scratch, &row, &err), INPUT_END);
}

Test(mapping, local_times_follow_daylight_saving_and_due_dates_end_with_their_day)
{
    start("zone: America/Sao_Paulo\ntime_format: \"%Y-%m-%d %H:%M:%S\"\n"
          "events:\n  - {" BASE ", obligation: {id: \"{id}\", kind: delivery, due_to: {value: \"{due}\", end_of_day: true}}}\n",
          "id,at,due\n"
          "winter,2018-07-01 12:00:00,2018-07-10 00:00:00\n"
          "summer,2018-01-01 12:00:00,2018-02-17 00:00:00\n"
          "gap,2017-10-15 00:30:00,2017-10-14 00:00:00\n"
          "twice,2018-02-17 23:30:00,2018-02-18 00:00:00\n");
    next(1);
    cr_assert_str_eq(at(row.event->occurred_at_us), "2018-07-01T15:00:00.000000Z");
    cr_assert_str_eq(at(row.event->obligation.due_to_us), "2018-07-11T02:59:59.999999Z");
    next(1);
    cr_assert_str_eq(at(row.event->occurred_at_us), "2018-01-01T14:00:00.000000Z");
    cr_assert_str_eq(at(row.event->obligation.due_to_us), "2018-02-18T02:59:59.999999Z", "the day had 25 hours");
    next(1);
    cr_assert_str_eq(at(row.event->occurred_at_us), "2017-10-15T03:30:00.000000Z");
    cr_assert_str_eq(at(row.event->obligation.due_to_us), "2017-10-15T02:59:59.999999Z");
    next(1);
    cr_assert_str_eq(at(row.event->occurred_at_us), "2018-02-18T01:30:00.000000Z");
    cr_assert_eq(row.event->obligation.due_from_us, PK_NO_TIME);
}

Test(mapping, the_first_earliest_or_latest_of_several_times_counts)
{
    start("events:\n"
          "  - {source: s, brand: B, type: a.b, channel: web, event_id: f, occurred_at: {first: [\"{a}\", \"{b}\"]}}\n"
          "  - {source: s, brand: B, type: a.b, channel: web, event_id: e, occurred_at: {earliest: [\"{a}\", \"{b}\"]}}\n"
          "  - {source: s, brand: B, type: a.b, channel: web, event_id: l, occurred_at: {latest: [\"{a}\", \"{b}\"], add: 1d}}\n",
          "a,b\n2020-01-02T00:00:00Z,2020-01-01T00:00:00Z\n,2020-01-01T00:00:00Z\n,\n");
    next(3);
    cr_assert_str_eq(at(row.event[0].occurred_at_us), "2020-01-02T00:00:00.000000Z");
    cr_assert_str_eq(at(row.event[1].occurred_at_us), "2020-01-01T00:00:00.000000Z");
    cr_assert_str_eq(at(row.event[2].occurred_at_us), "2020-01-03T00:00:00.000000Z");
    next(3);
    cr_assert_str_eq(at(row.event[0].occurred_at_us), "2020-01-01T00:00:00.000000Z");
    cr_assert_eq(mapping_next(reader, &scratch, &row, &err), INPUT_BROKEN);
    cr_assert(strstr(err.text, "occurred_at is empty"), "%s", err.text);
}

Test(mapping, lookups_join_other_files_one_after_the_other)
{
    write_file("orders.csv", "order,customer\nO1,C1\nO2,C9\n");
    write_file("customers.csv", "customer,person\nC1,anna\n");
    start("lookups:\n"
          "  o: {file: orders.csv, key: order, match: \"{order}\"}\n"
          "  c: {file: customers.csv, key: customer, match: \"{o.customer}\"}\n" DEFAULTS
          "events:\n  - {identifiers: {shop/customer_id: \"{c.person}\"}}\n",
          "id,order,at\n1,O1,2020-01-01T00:00:00Z\n2,O2,2020-01-01T00:00:00Z\n3,O1,2020-01-01T00:00:00Z\n");
    next(1);
    IS(row.event->identifier[0].value, "anna");
    cr_assert_eq(mapping_next(reader, &scratch, &row, &err), INPUT_BROKEN);
    cr_assert_str_eq(err.text, "lookup 'c': customers.csv has no row with this customer");
    next(1);
}

Test(mapping, a_lookup_with_several_rows_for_a_key_is_refused_unless_one_is_chosen)
{
    write_file("o.csv", "k,v\n1,first\n1,last\n");
    cr_assert_eq(load("lookups: {o: {file: o.csv, key: k, match: \"{id}\"}}\n" DEFAULTS "events: [{topic: \"{o.v}\"}]\n"), PK_OK);
    cr_assert_eq(open_csv("id,at\n1,2020-01-01T00:00:00Z\n"), PK_REJECT);
    cr_assert(strstr(err.text, "o.csv:3: a second row with this k"), "%s", err.text);
    mapping_done(mapping);
    cr_assert_eq(load("lookups: {o: {file: o.csv, key: k, match: \"{id}\", several: last, missing: empty}}\n" DEFAULTS
                      "events: [{topic: \"{o.v}\"}]\n"), PK_OK);
    cr_assert_eq(open_csv("id,at\n1,2020-01-01T00:00:00Z\n2,2020-01-01T00:00:00Z\n"), PK_OK);
    next(1);
    IS(row.event->topic, "last");
    next(1);
    cr_assert_null(row.event->topic.ptr);
}

Test(mapping, rows_are_sorted_and_know_the_row_before_them_in_their_group)
{
    start("group: \"{case}\"\nsort: \"{at}\"\n"
          "let:\n"
          "  offer:\n    - {when: {changed: team}, value: \"{#group_row}\"}\n    - \"{previous.waiting}\"\n"
          "  waiting:\n    - {when: {is: {status: Queued}}, value: \"{offer}\"}\n"
          "defaults: {source: s, brand: B, channel: web, occurred_at: \"{at}\"}\n"
          "events:\n"
          "  - {event_id: \"{case}/{#group_row}/offer\", type: handoff.offered, when: {changed: team},\n"
          "     unit: \"{previous.team}\", handoff: {to_unit: \"{team}\"}}\n"
          "  - {event_id: \"{case}/{#group_row}/accept\", type: handoff.accepted, unit: \"{team}\",\n"
          "     when: {present: offer, not: {is: {status: Queued}}}, relates_to: \"s/{case}/{offer}/offer\"}\n"
          "  - {event_id: \"{case}/{#group_row}\", type: work.started, when: {first: true}, unit: \"{team}\"}\n",
          "case,team,status,at\n"
          "1,C,Accepted,2020-01-03T00:00:00Z\n"
          "1,A,Accepted,2020-01-01T00:00:00Z\n"
          "2,X,Accepted,2020-01-01T12:00:00Z\n"
          "1,B,Queued,2020-01-02T00:00:00Z\n"
          "1,B,Accepted,2020-01-02T00:00:00Z\n");
    next(1);
    IS(row.event[0].event_id, "1/1");
    cr_assert_eq(row.line, 3);
    int64_t first_sequence = row.event[0].sequence;
    next(1);
    IS(row.event[0].event_id, "2/1");
    next(1);
    IS(row.event[0].event_id, "1/2/offer");
    IS(row.event[0].unit, "A");
    IS(row.event[0].handoff.to_unit, "B");
    cr_assert_gt(row.event[0].sequence, first_sequence);
    next(1);
    IS(row.event[0].event_id, "1/3/accept");
    IS(row.event[0].relates_to, "s/1/2/offer");
    next(2);
    IS(row.event[0].event_id, "1/4/offer");
    IS(row.event[1].relates_to, "s/1/4/offer");
}

Test(mapping, templates_have_filters_tables_and_braces)
{
    start("tables: {kind: {card: credit_card, \"*\": other}}\n" DEFAULTS
          "events:\n  - {topic: \"{{{pay|kind}}}\", cause: \"{name|trim|upper}\", location: \"{a}-{b?}\", product: \"{a}-{b}\",\n"
          "     attributes: {line: \"{#line}\", row: \"{#row}\", none: \"{b}\"}}\n",
          "id,at,pay,name,a,b\n1,2020-01-01T00:00:00Z,card,  lamp ,x,\n2,2020-01-01T00:00:00Z,cash,x,y,z\n");
    next(1);
    IS(row.event->topic, "{credit_card}");
    IS(row.event->cause, "LAMP");
    IS(row.event->location, "x-");
    cr_assert_null(row.event->product.ptr, "an empty reference empties the text");
    cr_assert_eq(row.event->attribute_count, 2);
    IS(row.event->attribute[0].value, "2");
    next(1);
    IS(row.event->topic, "{other}");
    IS(row.event->product, "y-z");
}

Test(mapping, a_row_is_all_or_nothing_and_the_sentence_says_which_event)
{
    start(DEFAULTS "events:\n  - {}\n  - {name: paid, event_id: \"{id}/2\", money: {amount: \"{m}\", currency: EUR, kind: payment}}\n",
          "id,at,m\n1,2020-01-01T00:00:00Z,1.005\n2,2020-13-01T00:00:00Z,1\n3,2020-01-01T00:00:00Z,1.50\n");
    cr_assert_eq(mapping_next(reader, &scratch, &row, &err), INPUT_BROKEN);
    cr_assert_str_eq(err.text, "event 'paid' (test.yaml:4): money.amount is not a number with at most 2 decimals");
    cr_assert_eq(row.line, 2);
    IS(row.raw, "1,2020-01-01T00:00:00Z,1.005");
    cr_assert_eq(mapping_next(reader, &scratch, &row, &err), INPUT_BROKEN);
    cr_assert(strstr(err.text, "event '1' (test.yaml:3): occurred_at"), "%s", err.text);
    next(2);
    cr_assert_eq(row.event[1].money.amount_minor, 150);
}

Test(mapping, money_is_read_without_rounding)
{
    static const struct { const char *text; int64_t decimals; bool ok; int64_t minor; } want[] = {
        {"12.5", 2, true, 1250}, {"-0.01", 2, true, -1}, {"7", 2, true, 700},  {"1.2300", 2, true, 123},
        {"1.234", 2, false, 0},  {"", 2, false, 0},      {".", 2, false, 0},   {"1,5", 2, false, 0},
        {"12", 0, true, 12},     {"1e3", 2, false, 0},   {"99999999999999999999", 2, false, 0}};
    for (size_t i = 0; i < PK_COUNT(want); i++) {
        int64_t minor = 0;
        cr_assert_eq(plan_minor_units(pk_str(want[i].text), want[i].decimals, &minor), want[i].ok, "%s", want[i].text);
        cr_assert_eq(minor, want[i].minor, "%s", want[i].text);
    }
}

Test(mapping, mistakes_in_the_file_name_their_line)
{
    static const struct { const char *yaml, *want; } wrong[] = {
        {"events: []\n", "test.yaml:1: `events`"},
        {"evnts: []\n", "test.yaml:1:"},
        {"zone: Europe/Nowhere\nevents: [{}]\n", "test.yaml:1: zone 'Europe/Nowhere'"},
        {"time_format: \"%Y-%Q\"\n" DEFAULTS "events: [{}]\n", "test.yaml:1: time pattern"},
        {DEFAULTS "events:\n  - {topic: \"{a\"}\n", "test.yaml:3: a { without }"},
        {DEFAULTS "events:\n  - {topic: \"a}\"}\n", "test.yaml:3: a lone }"},
        {DEFAULTS "events:\n  - {topic: \"{a|shout}\"}\n", "test.yaml:3: 'shout' is no filter"},
        {DEFAULTS "events:\n  - {direction: inbound}\n", "test.yaml:3: 'inbound' is none of INBOUND"},
        {DEFAULTS "events:\n  - {when: {present: a, equals: b}}\n", "test.yaml:3:"},
        {DEFAULTS "events:\n  - {\n    money: {amount: \"1\", amount_minor: \"1\"}}\n", "test.yaml:4: money has either"},
        {DEFAULTS "events:\n  - {occurred_at: {format: iso}}\n", "test.yaml:3: a time needs exactly one of"},
        {"events:\n  - {source: s}\n", "test.yaml:2: event '1' has no occurred_at"},
        {"defaults: {occurred_at: \"{t}\", source: s}\nevents:\n  - {name: x}\n", "test.yaml:3: event 'x' has no event_id"},
        {"sort: \"{previous.at}\"\n" DEFAULTS "events: [{}]\n", "test.yaml:1: the previous row is not known here"},
        {"lookups:\n  o: {file: f}\n" DEFAULTS "events: [{}]\n", "test.yaml:2: lookup 'o' needs file, key and match"},
        {"separator: \"ab\"\n" DEFAULTS "events: [{}]\n", "test.yaml:1: separator"},
    };
    for (size_t i = 0; i < PK_COUNT(wrong); i++) {
        cr_assert_eq(load(wrong[i].yaml), PK_REJECT, "%s", wrong[i].yaml);
        cr_assert_eq(strncmp(err.text, wrong[i].want, strlen(wrong[i].want)), 0, "'%s', wanted '%s'", err.text, wrong[i].want);
    }
}

Test(mapping, a_column_that_the_input_lacks_is_named_with_its_line_and_nearest_neighbour)
{
    cr_assert_eq(load(DEFAULTS "events:\n  - {topic: \"{oder_id}\"}\n"), PK_OK);
    cr_assert_eq(open_csv("id,at,order_id\n"), PK_REJECT);
    cr_assert_str_eq(err.text, "test.yaml:3: no column, lookup or let is named 'oder_id'; did you mean 'order_id'?");
}
