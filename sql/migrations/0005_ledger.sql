-- SPDX-License-Identifier: Apache-2.0
-- The whole ledger, the facts of journeys, courses, calendars and all aggregates (docs/semantics.md 4 to 9).
--
-- Rows of an earlier schema are kept; they were derived by an older version of the derivation, so a consumer asks for a rebuild,
-- which fills what is new here. What writers need beside what they had (roles.sql): SELECT, INSERT, UPDATE on all aggregates;
-- SELECT, INSERT, UPDATE, DELETE on course; SELECT, INSERT on calendar, calendar_open, kind, definition, milestone.

-- ---- views ----
-- All views of schema bi go, and 0006 makes them anew. No CASCADE: what somebody else built on them, or on the tables that change
-- here, would be lost with them.

DO $$
DECLARE
    ours constant oid[] := ARRAY(
        SELECT c.oid FROM pg_class c
        WHERE c.relnamespace = 'bi'::regnamespace AND c.relkind = 'v' AND c.relname = ANY ('{
            interaction, journey, obligation, customer, interaction_hourly, obligation_hourly, freshness, quarantine,
            quarantine_by_reason, identity_link, identity_conflict, customer_redirect, identity_shared, identity_oversize}'));
    others text;
BEGIN
    SELECT string_agg(DISTINCT coalesce('view ' || r.ev_class::regclass, pg_describe_object(d.classid, d.objid, d.objsubid)), ', ')
    INTO others
    FROM pg_depend d
    LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
    WHERE d.deptype = 'n' AND (r.ev_class = ANY (ours)) IS NOT TRUE
      AND (d.refclassid = 'pg_class'::regclass
           AND (d.refobjid = ANY (ours || ARRAY['polku.interaction_hourly'::regclass::oid, 'polku.obligation_hourly'::regclass::oid])
                OR d.refobjid = 'polku.interaction'::regclass
                   AND d.refobjsubid IN (SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = 'polku.interaction'::regclass
                                         AND a.attname IN ('topic', 'cause', 'stage')))
           OR d.refclassid = 'pg_type'::regclass
              AND d.refobjid IN (SELECT c.reltype FROM pg_class c WHERE c.oid = ANY (ours)));
    IF others IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = '2BP01', MESSAGE = format(
            'the views of schema bi and some tables change, and this is built on them: %s; drop it, migrate, and make it again', others);
    END IF;
    EXECUTE (SELECT 'DROP VIEW ' || string_agg(v::regclass::text, ', ') FROM unnest(ours) AS v);
END $$;

-- ---- events ----
-- Topic, cause and stage become words of the dictionary. The columns change their type in place: a dropped column would stay in
-- this table's rows but not in those of the months to come, and every insert would have to translate between the two.

INSERT INTO polku.dictionary (text)
SELECT DISTINCT t.text
FROM polku.interaction i CROSS JOIN LATERAL (VALUES (i.topic), (i.cause), (i.stage)) AS t (text)
WHERE t.text IS NOT NULL AND NOT EXISTS (SELECT FROM polku.dictionary d WHERE d.text = t.text)
ORDER BY t.text;

CREATE FUNCTION pg_temp.word_id(word text) RETURNS integer LANGUAGE plpgsql STABLE STRICT AS $$
BEGIN
    RETURN (SELECT d.id FROM polku.dictionary d WHERE d.text = word);
END $$;
ALTER TABLE polku.interaction
    ALTER COLUMN topic TYPE integer USING pg_temp.word_id(topic),
    ALTER COLUMN cause TYPE integer USING pg_temp.word_id(cause),
    ALTER COLUMN stage TYPE integer USING pg_temp.word_id(stage),
    ADD COLUMN traits integer NOT NULL DEFAULT 0;
ALTER TABLE polku.interaction RENAME COLUMN topic TO topic_id;
ALTER TABLE polku.interaction RENAME COLUMN cause TO cause_id;
ALTER TABLE polku.interaction RENAME COLUMN stage TO stage_id;
DROP FUNCTION pg_temp.word_id(text);

-- Events that are looked for across customers, by what they are: sanctions, statements, statements withdrawn, diagnoses,
-- acknowledgements, mentions, improvements: bits 23 to 29 of consumer/trait.def, 127 << 23. A query must say the condition in
-- these words for the planner to see that the index will do. Months get the index when they are attached (polku.ensure_months).
CREATE INDEX interaction_notable ON polku.interaction (topic_id, occurred_at) WHERE traits & 1065353216 <> 0;

COMMENT ON COLUMN polku.interaction.traits IS 'What the event is by the rules: one bit for each line of consumer/trait.def, the first is bit 0.';
COMMENT ON COLUMN polku.interaction.topic_id IS 'What it is about (dictionary).';
COMMENT ON COLUMN polku.interaction.cause_id IS 'Why the customer had to get in touch (dictionary).';
COMMENT ON COLUMN polku.interaction.stage_id IS 'Stage of the customer''s life cycle (dictionary).';
COMMENT ON COLUMN polku.interaction.sensitivity IS '0 normal, 1 sensitive: aggregates and schema bi leave out topic, cause, product, reason and attributes.';
COMMENT ON COLUMN polku.dictionary.text IS 'The text, compared as bytes.';
COMMENT ON TABLE polku.dictionary IS 'Text that repeats (types, channels, brands, units, kinds, namespaces, topics and causes of events, paths of courses, topics of Kafka), each once. Never identifiers or free text.';
DO $$
DECLARE
    month regclass;
    item record;
BEGIN
    FOR month IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'polku.interaction'::regclass LOOP
        FOR item IN SELECT a.attname, col_description(a.attrelid, a.attnum) AS text FROM pg_attribute a
                    WHERE a.attrelid = 'polku.interaction'::regclass
                      AND a.attname IN ('traits', 'topic_id', 'cause_id', 'stage_id', 'sensitivity') LOOP
            EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', month, item.attname, item.text);
        END LOOP;
    END LOOP;
END $$;

-- ---- customers ----

ALTER TABLE polku.customer
    ADD COLUMN purchases integer NOT NULL DEFAULT 0,
    ADD COLUMN first_purchase_at timestamptz,
    ADD COLUMN last_purchase_at timestamptz;
ALTER TABLE polku.customer SET (fillfactor = 90);
COMMENT ON TABLE polku.customer IS 'One row per customer that has an event. Nothing here changes with every event but with purchases: the last time seen is in its journeys.';
COMMENT ON COLUMN polku.customer.purchases IS 'Its events with trait purchase.';
COMMENT ON COLUMN polku.customer.first_purchase_at IS 'Time of the first of them; null if none.';
COMMENT ON COLUMN polku.customer.last_purchase_at IS 'Time of the last of them; null if none.';

-- The guard came first, so a missing row is no race but a defect.
CREATE FUNCTION polku.set_purchases(customers uuid[], counts integer[], first_times timestamptz[], last_times timestamptz[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    changed bigint;
BEGIN
    UPDATE polku.customer c
    SET purchases = u.purchases, first_purchase_at = u.first_purchase_at, last_purchase_at = u.last_purchase_at
    FROM unnest(customers, counts, first_times, last_times) AS u (customer_id, purchases, first_purchase_at, last_purchase_at)
    WHERE c.customer_id = u.customer_id
      AND u.customer_id BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff'; -- as in polku.guard
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed <> pg_catalog.cardinality(customers) THEN
        RAISE EXCEPTION '% of % customers to change are missing', pg_catalog.cardinality(customers) - changed,
            pg_catalog.cardinality(customers);
    END IF;
END $$;
COMMENT ON FUNCTION polku.set_purchases(uuid[], integer[], timestamptz[], timestamptz[]) IS 'Sets the purchases of customers that exist.';
REVOKE EXECUTE ON FUNCTION polku.set_purchases(uuid[], integer[], timestamptz[], timestamptz[]) FROM PUBLIC;

-- ---- journeys ----

ALTER TABLE polku.journey
    ADD COLUMN entry_brand_id integer,
    ADD COLUMN entry_unit_id integer,
    ADD COLUMN terminal_outcome_id integer,
    ADD COLUMN stage_id integer,
    ADD COLUMN fallbacks integer NOT NULL DEFAULT 0,
    ADD COLUMN repeats integer NOT NULL DEFAULT 0,
    ADD COLUMN handoffs_rejected integer NOT NULL DEFAULT 0,
    ADD COLUMN handoffs_returned integer NOT NULL DEFAULT 0,
    ADD COLUMN deflections integer NOT NULL DEFAULT 0,
    ADD COLUMN transfers integer NOT NULL DEFAULT 0,
    ADD COLUMN misroutes integer NOT NULL DEFAULT 0,
    ADD COLUMN proactive integer NOT NULL DEFAULT 0,
    ADD COLUMN thanks integer NOT NULL DEFAULT 0,
    ADD COLUMN reopened integer NOT NULL DEFAULT 0,
    ADD COLUMN owners integer NOT NULL DEFAULT 0,
    ADD COLUMN people integer NOT NULL DEFAULT 0,
    ADD COLUMN effort integer NOT NULL DEFAULT 0,
    ADD COLUMN people_until_decision integer NOT NULL DEFAULT 0,
    ADD COLUMN owner_brand_id integer,
    ADD COLUMN owner_unit_id integer,
    ADD COLUMN first_terminal_at timestamptz,
    ADD COLUMN last_terminal_at timestamptz,
    ADD COLUMN decided_at timestamptz,
    ADD COLUMN ownerless_since timestamptz,
    ADD COLUMN queue_since timestamptz,
    ADD COLUMN touch_since timestamptz,
    ADD COLUMN ownerless_us bigint NOT NULL DEFAULT 0,
    ADD COLUMN orphan_us bigint NOT NULL DEFAULT 0,
    ADD COLUMN queue_us bigint NOT NULL DEFAULT 0,
    ADD COLUMN touch_us bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN polku.journey.entry_brand_id IS 'Brand of the first event (dictionary).';
COMMENT ON COLUMN polku.journey.entry_unit_id IS 'Unit of the first event (dictionary); null if it names none.';
COMMENT ON COLUMN polku.journey.terminal_outcome_id IS 'Outcome of the last event with trait terminal (dictionary).';
COMMENT ON COLUMN polku.journey.stage_id IS 'Stage that the last event which names one gave (dictionary).';
COMMENT ON COLUMN polku.journey.fallbacks IS 'Switches whose contact before was a self-service that failed.';
COMMENT ON COLUMN polku.journey.repeats IS 'Contacts that repeat an earlier one of the customer with the same need within the repeat window of the rules.';
COMMENT ON COLUMN polku.journey.handoffs_rejected IS 'Events at which somebody declined to take over.';
COMMENT ON COLUMN polku.journey.handoffs_returned IS 'Hand-offs offered to a unit that had offered one before (ping-pong).';
COMMENT ON COLUMN polku.journey.deflections IS 'Events at which the customer was sent elsewhere.';
COMMENT ON COLUMN polku.journey.transfers IS 'Contacts passed on while they went on.';
COMMENT ON COLUMN polku.journey.misroutes IS 'Events that show that the customer was sent to the wrong place.';
COMMENT ON COLUMN polku.journey.proactive IS 'Events at which the organisation spoke first.';
COMMENT ON COLUMN polku.journey.thanks IS 'Events at which the customer thanked.';
COMMENT ON COLUMN polku.journey.reopened IS 'Times that something followed a terminal event.';
COMMENT ON COLUMN polku.journey.owners IS 'How often a unit became the owner that was not the owner last; 0 = it never had one.';
COMMENT ON COLUMN polku.journey.people IS 'Distinct staff; 64 stands for 64 or more.';
COMMENT ON COLUMN polku.journey.effort IS 'What it cost the customer: counts times the weights of the rules (rules_state.effort_id).';
COMMENT ON COLUMN polku.journey.people_until_decision IS 'Distinct staff up to and with the first decision; 0 if there was none.';
COMMENT ON COLUMN polku.journey.owner_brand_id IS 'Brand that owns it after its last event (dictionary); null = nobody.';
COMMENT ON COLUMN polku.journey.owner_unit_id IS 'Unit that owns it after its last event (dictionary); null = nobody.';
COMMENT ON COLUMN polku.journey.first_terminal_at IS 'Time of the first event with trait terminal.';
COMMENT ON COLUMN polku.journey.last_terminal_at IS 'Time of the last one.';
COMMENT ON COLUMN polku.journey.decided_at IS 'Time of the first event with trait decision.';
COMMENT ON COLUMN polku.journey.ownerless_since IS 'Since when nobody owns it; null if it has an owner or is resolved.';
COMMENT ON COLUMN polku.journey.queue_since IS 'Since when it waits in a queue; null if it does not.';
COMMENT ON COLUMN polku.journey.touch_since IS 'Since when somebody works on it; null if nobody does.';
COMMENT ON COLUMN polku.journey.ownerless_us IS 'Microseconds without owner, up to ownerless_since.';
COMMENT ON COLUMN polku.journey.orphan_us IS 'Those of them after a hand-off was offered.';
COMMENT ON COLUMN polku.journey.queue_us IS 'Microseconds in a queue, up to queue_since.';
COMMENT ON COLUMN polku.journey.touch_us IS 'Microseconds of work, up to touch_since.';

-- ---- obligations ----

ALTER TABLE polku.obligation
    ADD COLUMN from_brand_id integer,
    ADD COLUMN from_unit_id integer,
    ADD COLUMN cycle integer NOT NULL DEFAULT 1,
    ADD COLUMN handoff boolean NOT NULL DEFAULT false,
    ADD COLUMN amount_minor bigint,
    ADD COLUMN currency_id integer;
COMMENT ON COLUMN polku.obligation.from_brand_id IS 'Brand of the opening event (dictionary).';
COMMENT ON COLUMN polku.obligation.from_unit_id IS 'Unit of the opening event (dictionary); null if it names none.';
COMMENT ON COLUMN polku.obligation.cycle IS '1, or one more than that of the same kind, customer and accountable brand which was open and attempted in vain: how often it was asked for.';
COMMENT ON COLUMN polku.obligation.handoff IS 'It is a hand-off by its rule: from the opener to the accountable brand and unit.';
COMMENT ON COLUMN polku.obligation.amount_minor IS 'Money of the opening event, in the smallest unit of the currency; null if it names none.';
COMMENT ON COLUMN polku.obligation.currency_id IS 'Currency of that (dictionary).';

-- ---- courses ----

CREATE TABLE polku.course (
    start_at      timestamptz NOT NULL,
    goal_at       timestamptz,
    definition_id integer NOT NULL,
    path_id       integer NOT NULL,
    steps         integer NOT NULL,
    violations    integer NOT NULL,
    skipped       integer NOT NULL,
    furthest      integer NOT NULL,
    journey_id    uuid NOT NULL,
    customer_id   uuid NOT NULL,
    reached_at    timestamptz[] NOT NULL,
    failures      integer[] NOT NULL,
    PRIMARY KEY (journey_id, definition_id)
) WITH (fillfactor = 80);
CREATE INDEX course_customer ON polku.course (customer_id);
COMMENT ON TABLE polku.course IS 'How a journey went along a definition of the rules (docs/semantics.md 9): one row for each definition that it touched.';
COMMENT ON COLUMN polku.course.start_at IS 'Time of the first event that reaches or fails a milestone.';
COMMENT ON COLUMN polku.course.goal_at IS 'Time at which the goal was reached; null if it was not, or not within the window.';
COMMENT ON COLUMN polku.course.definition_id IS 'Definition, as name/version (dictionary).';
COMMENT ON COLUMN polku.course.path_id IS 'Numbers of the milestones in the order in which they were reached, as 1>2>4 (dictionary); 0 = none was.';
COMMENT ON COLUMN polku.course.steps IS 'Their number.';
COMMENT ON COLUMN polku.course.violations IS 'Steps to a smaller number than the step before.';
COMMENT ON COLUMN polku.course.skipped IS 'Milestones below furthest that are not optional and were not reached.';
COMMENT ON COLUMN polku.course.furthest IS 'Greatest number of a milestone that was reached; 0 = none.';
COMMENT ON COLUMN polku.course.journey_id IS 'The journey.';
COMMENT ON COLUMN polku.course.customer_id IS 'Whose journey it is.';
COMMENT ON COLUMN polku.course.reached_at IS 'For each milestone of the definition, in its order: when it was first reached; null if it was not.';
COMMENT ON COLUMN polku.course.failures IS 'For each milestone: events that failed it.';

-- ---- what the rules say, for SQL ----
-- Written in the transaction that stores the state of the rules: once, for these rules never change but by a rebuild.

CREATE TABLE polku.calendar (
    calendar_id integer NOT NULL PRIMARY KEY,
    name        text COLLATE "C" NOT NULL UNIQUE,
    zone        text NOT NULL,
    brands      text[] NOT NULL,
    units       text[] NOT NULL
);
CREATE TABLE polku.calendar_open (
    from_at     timestamptz NOT NULL,
    to_at       timestamptz NOT NULL,
    before_us   bigint NOT NULL,
    calendar_id integer NOT NULL,
    PRIMARY KEY (calendar_id, from_at)
);
CREATE TABLE polku.kind (
    within_us  bigint,
    valid_from timestamptz NOT NULL,
    valid_to   timestamptz NOT NULL,
    place      integer NOT NULL PRIMARY KEY,
    kind_id    integer NOT NULL,
    business   boolean NOT NULL,
    across     boolean NOT NULL,
    handoff    boolean NOT NULL
);
CREATE TABLE polku.definition (
    window_us     bigint NOT NULL,
    definition_id integer NOT NULL PRIMARY KEY,
    goal          integer NOT NULL
);
CREATE TABLE polku.milestone (
    definition_id integer NOT NULL,
    milestone     integer NOT NULL,
    optional      boolean NOT NULL,
    critical      boolean NOT NULL,
    name          text NOT NULL,
    PRIMARY KEY (definition_id, milestone)
);
ALTER TABLE polku.rules_state
    ADD COLUMN repeat_window_us bigint,
    ADD COLUMN effort_id text;
COMMENT ON TABLE polku.calendar IS 'Calendars of the rules: when a brand or unit is open (docs/semantics.md 8). The first that holds a brand and unit is theirs.';
COMMENT ON COLUMN polku.calendar.calendar_id IS 'Place in the file, from 1.';
COMMENT ON COLUMN polku.calendar.name IS 'Name.';
COMMENT ON COLUMN polku.calendar.zone IS 'Time zone of its hours, as Europe/Helsinki.';
COMMENT ON COLUMN polku.calendar.brands IS 'Whose it is; empty = of all brands.';
COMMENT ON COLUMN polku.calendar.units IS 'Likewise units.';
COMMENT ON TABLE polku.calendar_open IS 'Open times of the calendars, ascending and apart from each other. Open time between two moments is one lookup for each: before_us and the part since from_at.';
COMMENT ON COLUMN polku.calendar_open.from_at IS 'It opens.';
COMMENT ON COLUMN polku.calendar_open.to_at IS 'It closes (exclusive).';
COMMENT ON COLUMN polku.calendar_open.before_us IS 'Open microseconds of the calendar before from_at.';
COMMENT ON COLUMN polku.calendar_open.calendar_id IS 'The calendar.';
COMMENT ON TABLE polku.kind IS 'Kinds of obligations in the rules (docs/semantics.md 5); one kind may have several entries, valid at different times.';
COMMENT ON COLUMN polku.kind.within_us IS 'Due so long after opening, in microseconds; null = no due time by rule.';
COMMENT ON COLUMN polku.kind.valid_from IS 'First moment of openings that it is for; -infinity = no limit.';
COMMENT ON COLUMN polku.kind.valid_to IS 'Last one; infinity = no limit.';
COMMENT ON COLUMN polku.kind.place IS 'Place in the file, from 1: the first that is valid counts.';
COMMENT ON COLUMN polku.kind.kind_id IS 'Kind, as callback (dictionary).';
COMMENT ON COLUMN polku.kind.business IS 'within_us is business time.';
COMMENT ON COLUMN polku.kind.across IS 'Events of other customers with the same case act on it.';
COMMENT ON COLUMN polku.kind.handoff IS 'It is a hand-off.';
COMMENT ON TABLE polku.definition IS 'Definitions of courses in the rules (docs/semantics.md 9).';
COMMENT ON COLUMN polku.definition.window_us IS 'The goal counts if it is reached within so many microseconds.';
COMMENT ON COLUMN polku.definition.definition_id IS 'Name and version, as order/1 (dictionary).';
COMMENT ON COLUMN polku.definition.goal IS 'Number of the milestone that is the goal.';
COMMENT ON TABLE polku.milestone IS 'Milestones of the definitions, in the assumed order.';
COMMENT ON COLUMN polku.milestone.definition_id IS 'Definition (dictionary).';
COMMENT ON COLUMN polku.milestone.milestone IS 'Its number, from 1.';
COMMENT ON COLUMN polku.milestone.optional IS 'It may be left out.';
COMMENT ON COLUMN polku.milestone.critical IS 'Whoever made the rules watches this one.';
COMMENT ON COLUMN polku.milestone.name IS 'Name.';
COMMENT ON COLUMN polku.rules_state.repeat_window_us IS 'A contact counts among repeats of its journey if it repeats another one within so many microseconds; null in a database made before it was kept.';
COMMENT ON COLUMN polku.rules_state.effort_id IS 'Names the weights that journey.effort was computed with; null likewise.';

-- ---- aggregates ----
-- Changed by difference in the transaction of the change; each writer adds to a slot of its own, so that writers do not wait for each
-- other. The sum over slots is the figure; one slot alone may be negative. A dimension that is null is 0. Only figures change,
-- and none is indexed: updates stay within the page.
-- The two of before get further dimensions; a rebuild fills them.

DROP TABLE polku.interaction_hourly;
DROP TABLE polku.obligation_hourly;

CREATE TABLE polku.interaction_hourly (
    hour         timestamptz NOT NULL,
    interactions bigint NOT NULL,
    contacts     bigint NOT NULL,
    unanswered   bigint NOT NULL,
    refusals     bigint NOT NULL,
    deflections  bigint NOT NULL,
    transfers    bigint NOT NULL,
    misroutes    bigint NOT NULL,
    brand_id     integer NOT NULL,
    unit_id      integer NOT NULL,
    channel_id   integer NOT NULL,
    type_id      integer NOT NULL,
    outcome_id   integer NOT NULL,
    reason_id    integer NOT NULL,
    slot         integer NOT NULL,
    PRIMARY KEY (hour, brand_id, unit_id, channel_id, type_id, outcome_id, reason_id, slot)
) WITH (fillfactor = 70);
COMMENT ON TABLE polku.interaction_hourly IS 'Events by UTC hour. Changed by difference, summed over slots.';
COMMENT ON COLUMN polku.interaction_hourly.hour IS 'Start of the UTC hour of occurred_at.';
COMMENT ON COLUMN polku.interaction_hourly.interactions IS 'Events, passive ones included.';
COMMENT ON COLUMN polku.interaction_hourly.contacts IS 'Events at which customer and organisation really met.';
COMMENT ON COLUMN polku.interaction_hourly.unanswered IS 'Attempts at which nobody was reached.';
COMMENT ON COLUMN polku.interaction_hourly.refusals IS 'Events at which the customer was refused or sent away.';
COMMENT ON COLUMN polku.interaction_hourly.deflections IS 'Events at which the customer was sent elsewhere.';
COMMENT ON COLUMN polku.interaction_hourly.transfers IS 'Contacts passed on while they went on.';
COMMENT ON COLUMN polku.interaction_hourly.misroutes IS 'Events that show that the customer was sent to the wrong place.';
COMMENT ON COLUMN polku.interaction_hourly.brand_id IS 'Brand (dictionary); 0 = none.';
COMMENT ON COLUMN polku.interaction_hourly.unit_id IS 'Unit (dictionary); 0 = none.';
COMMENT ON COLUMN polku.interaction_hourly.channel_id IS 'Channel (dictionary); 0 = none.';
COMMENT ON COLUMN polku.interaction_hourly.type_id IS 'Type (dictionary).';
COMMENT ON COLUMN polku.interaction_hourly.outcome_id IS 'Outcome (dictionary); 0 = none.';
COMMENT ON COLUMN polku.interaction_hourly.reason_id IS 'Reason (dictionary); 0 = none, or the event is sensitive.';
COMMENT ON COLUMN polku.interaction_hourly.slot IS 'stream_position.slot of the writer.';

CREATE TABLE polku.obligation_hourly (
    due_hour            timestamptz NOT NULL,
    opened              bigint NOT NULL,
    kept                bigint NOT NULL,
    kept_late_in_window bigint NOT NULL,
    late                bigint NOT NULL,
    attempted           bigint NOT NULL,
    rejected            bigint NOT NULL,
    withdrawn           bigint NOT NULL,
    looped              bigint NOT NULL,
    no_owner            bigint NOT NULL,
    attempts            bigint NOT NULL,
    kind_id             integer NOT NULL,
    brand_id            integer NOT NULL,
    unit_id             integer NOT NULL,
    slot                integer NOT NULL,
    PRIMARY KEY (due_hour, kind_id, brand_id, unit_id, slot)
) WITH (fillfactor = 70);
COMMENT ON TABLE polku.obligation_hourly IS 'Obligations by kind, accountable brand and unit, and UTC hour of due_to. Changed by difference, summed over slots.';
COMMENT ON COLUMN polku.obligation_hourly.due_hour IS 'Start of the UTC hour of due_to; infinity = no due time.';
COMMENT ON COLUMN polku.obligation_hourly.opened IS 'All of them.';
COMMENT ON COLUMN polku.obligation_hourly.kept IS 'Fulfilled in time, and not at the end of a window.';
COMMENT ON COLUMN polku.obligation_hourly.kept_late_in_window IS 'Fulfilled in the last tenth of the window.';
COMMENT ON COLUMN polku.obligation_hourly.late IS 'Fulfilled after due_to.';
COMMENT ON COLUMN polku.obligation_hourly.attempted IS 'Attempted and not closed.';
COMMENT ON COLUMN polku.obligation_hourly.rejected IS 'Rejected.';
COMMENT ON COLUMN polku.obligation_hourly.withdrawn IS 'Withdrawn.';
COMMENT ON COLUMN polku.obligation_hourly.looped IS 'Asked for again after an attempt in vain (cycle > 1).';
COMMENT ON COLUMN polku.obligation_hourly.no_owner IS 'Neither an accountable unit nor a role.';
COMMENT ON COLUMN polku.obligation_hourly.attempts IS 'Attempts, summed.';
COMMENT ON COLUMN polku.obligation_hourly.kind_id IS 'Kind (dictionary).';
COMMENT ON COLUMN polku.obligation_hourly.brand_id IS 'Accountable brand (dictionary); 0 = none.';
COMMENT ON COLUMN polku.obligation_hourly.unit_id IS 'Accountable unit (dictionary); 0 = none.';
COMMENT ON COLUMN polku.obligation_hourly.slot IS 'stream_position.slot of the writer.';

CREATE TABLE polku.need_hourly (
    hour         timestamptz NOT NULL,
    interactions bigint NOT NULL,
    contacts     bigint NOT NULL,
    brand_id     integer NOT NULL,
    stage_id     integer NOT NULL,
    topic_id     integer NOT NULL,
    cause_id     integer NOT NULL,
    slot         integer NOT NULL,
    PRIMARY KEY (hour, brand_id, stage_id, topic_id, cause_id, slot)
) WITH (fillfactor = 70);
COMMENT ON TABLE polku.need_hourly IS 'Events that name a stage, topic or cause, by UTC hour. Sensitive ones are left out. Changed by difference, summed over slots.';
COMMENT ON COLUMN polku.need_hourly.hour IS 'Start of the UTC hour of occurred_at.';
COMMENT ON COLUMN polku.need_hourly.interactions IS 'Events.';
COMMENT ON COLUMN polku.need_hourly.contacts IS 'Events at which customer and organisation really met.';
COMMENT ON COLUMN polku.need_hourly.brand_id IS 'Brand (dictionary); 0 = none.';
COMMENT ON COLUMN polku.need_hourly.stage_id IS 'Stage (dictionary); 0 = none.';
COMMENT ON COLUMN polku.need_hourly.topic_id IS 'Topic (dictionary); 0 = none.';
COMMENT ON COLUMN polku.need_hourly.cause_id IS 'Cause (dictionary); 0 = none.';
COMMENT ON COLUMN polku.need_hourly.slot IS 'stream_position.slot of the writer.';

CREATE TABLE polku.rating_hourly (
    hour       timestamptz NOT NULL,
    ratings    bigint NOT NULL,
    brand_id   integer NOT NULL,
    unit_id    integer NOT NULL,
    channel_id integer NOT NULL,
    scale_id   integer NOT NULL,
    score      integer NOT NULL,
    min        integer NOT NULL,
    max        integer NOT NULL,
    slot       integer NOT NULL,
    PRIMARY KEY (hour, brand_id, unit_id, channel_id, scale_id, score, min, max, slot)
) WITH (fillfactor = 70);
COMMENT ON TABLE polku.rating_hourly IS 'Ratings by UTC hour, with their scale. Changed by difference, summed over slots.';
COMMENT ON COLUMN polku.rating_hourly.hour IS 'Start of the UTC hour of occurred_at.';
COMMENT ON COLUMN polku.rating_hourly.ratings IS 'Events with a rating.';
COMMENT ON COLUMN polku.rating_hourly.brand_id IS 'Brand (dictionary); 0 = none.';
COMMENT ON COLUMN polku.rating_hourly.unit_id IS 'Unit (dictionary); 0 = none.';
COMMENT ON COLUMN polku.rating_hourly.channel_id IS 'Channel (dictionary); 0 = none.';
COMMENT ON COLUMN polku.rating_hourly.scale_id IS 'Scale, as nps (dictionary).';
COMMENT ON COLUMN polku.rating_hourly.score IS 'What the customer gave, in thousandths.';
COMMENT ON COLUMN polku.rating_hourly.min IS 'Lowest possible score, in thousandths.';
COMMENT ON COLUMN polku.rating_hourly.max IS 'Highest possible score, in thousandths.';
COMMENT ON COLUMN polku.rating_hourly.slot IS 'stream_position.slot of the writer.';

CREATE TABLE polku.money_hourly (
    hour         timestamptz NOT NULL,
    events       bigint NOT NULL,
    amount_minor bigint NOT NULL,
    out_of_range bigint NOT NULL,
    brand_id     integer NOT NULL,
    unit_id      integer NOT NULL,
    kind_id      integer NOT NULL,
    currency_id  integer NOT NULL,
    slot         integer NOT NULL,
    PRIMARY KEY (hour, brand_id, unit_id, kind_id, currency_id, slot)
) WITH (fillfactor = 70);
COMMENT ON TABLE polku.money_hourly IS 'Money by UTC hour and currency. Changed by difference, summed over slots.';
COMMENT ON COLUMN polku.money_hourly.hour IS 'Start of the UTC hour of occurred_at.';
COMMENT ON COLUMN polku.money_hourly.events IS 'Events with money.';
COMMENT ON COLUMN polku.money_hourly.amount_minor IS 'Sum of the amounts in the smallest unit of the currency, of those of at most 10^12 either way.';
COMMENT ON COLUMN polku.money_hourly.out_of_range IS 'Events with a greater amount.';
COMMENT ON COLUMN polku.money_hourly.brand_id IS 'Brand (dictionary); 0 = none.';
COMMENT ON COLUMN polku.money_hourly.unit_id IS 'Unit (dictionary); 0 = none.';
COMMENT ON COLUMN polku.money_hourly.kind_id IS 'What the money is, as refund (dictionary); 0 = none.';
COMMENT ON COLUMN polku.money_hourly.currency_id IS 'Currency (dictionary); 0 = none.';
COMMENT ON COLUMN polku.money_hourly.slot IS 'stream_position.slot of the writer.';

CREATE TABLE polku.repeat_daily (
    day          timestamptz NOT NULL,
    contacts     bigint NOT NULL,
    repeated_1d  bigint NOT NULL,
    repeated_7d  bigint NOT NULL,
    repeated_14d bigint NOT NULL,
    repeated_30d bigint NOT NULL,
    brand_id     integer NOT NULL,
    unit_id      integer NOT NULL,
    channel_id   integer NOT NULL,
    cause_id     integer NOT NULL,
    topic_id     integer NOT NULL,
    slot         integer NOT NULL,
    PRIMARY KEY (day, brand_id, unit_id, channel_id, cause_id, topic_id, slot)
) WITH (fillfactor = 70);
COMMENT ON TABLE polku.repeat_daily IS 'Contacts with a need by UTC day, and how many of them were followed by another one with the same need: first contact resolution. Changed by difference, summed over slots.';
COMMENT ON COLUMN polku.repeat_daily.day IS 'Start of the UTC day of the contact.';
COMMENT ON COLUMN polku.repeat_daily.contacts IS 'Contacts with a need.';
COMMENT ON COLUMN polku.repeat_daily.repeated_1d IS 'Those that the next one repeats within 1 day.';
COMMENT ON COLUMN polku.repeat_daily.repeated_7d IS 'Within 7 days.';
COMMENT ON COLUMN polku.repeat_daily.repeated_14d IS 'Within 14 days.';
COMMENT ON COLUMN polku.repeat_daily.repeated_30d IS 'Within 30 days.';
COMMENT ON COLUMN polku.repeat_daily.brand_id IS 'Brand of the contact that was repeated (dictionary); 0 = none.';
COMMENT ON COLUMN polku.repeat_daily.unit_id IS 'Its unit (dictionary); 0 = none.';
COMMENT ON COLUMN polku.repeat_daily.channel_id IS 'Its channel (dictionary); 0 = none.';
COMMENT ON COLUMN polku.repeat_daily.cause_id IS 'The cause, if that is the need (dictionary); else 0.';
COMMENT ON COLUMN polku.repeat_daily.topic_id IS 'The topic, if that is the need (dictionary); else 0.';
COMMENT ON COLUMN polku.repeat_daily.slot IS 'stream_position.slot of the writer.';

CREATE TABLE polku.transition_hourly (
    hour            timestamptz NOT NULL,
    transitions     bigint NOT NULL,
    wait_us         bigint NOT NULL,
    brand_id        integer NOT NULL,
    from_channel_id integer NOT NULL,
    to_channel_id   integer NOT NULL,
    fallback        integer NOT NULL,
    slot            integer NOT NULL,
    PRIMARY KEY (hour, brand_id, from_channel_id, to_channel_id, fallback, slot)
) WITH (fillfactor = 70);
COMMENT ON TABLE polku.transition_hourly IS 'From which channel to which: pairs of neighbouring contacts of a journey, by UTC hour of the second. Changed by difference, summed over slots.';
COMMENT ON COLUMN polku.transition_hourly.hour IS 'Start of the UTC hour of the second contact.';
COMMENT ON COLUMN polku.transition_hourly.transitions IS 'Pairs.';
COMMENT ON COLUMN polku.transition_hourly.wait_us IS 'Microseconds between the two, summed.';
COMMENT ON COLUMN polku.transition_hourly.brand_id IS 'Brand of the second contact (dictionary); 0 = none.';
COMMENT ON COLUMN polku.transition_hourly.from_channel_id IS 'Channel of the first (dictionary); 0 = none.';
COMMENT ON COLUMN polku.transition_hourly.to_channel_id IS 'Channel of the second (dictionary); 0 = none.';
COMMENT ON COLUMN polku.transition_hourly.fallback IS '1 = a self-service failed before a contact on another channel; else 0.';
COMMENT ON COLUMN polku.transition_hourly.slot IS 'stream_position.slot of the writer.';

CREATE TABLE polku.duration_hourly (
    hour       timestamptz NOT NULL,
    durations  bigint NOT NULL,
    total_us   bigint NOT NULL,
    measure_id integer NOT NULL,
    clock      integer NOT NULL,
    brand_id   integer NOT NULL,
    unit_id    integer NOT NULL,
    channel_id integer NOT NULL,
    bucket     integer NOT NULL,
    slot       integer NOT NULL,
    PRIMARY KEY (hour, measure_id, clock, brand_id, unit_id, channel_id, bucket, slot)
) WITH (fillfactor = 70);
COMMENT ON TABLE polku.duration_hourly IS 'How long things took, as a histogram by UTC hour of their start (docs/semantics.md 6, Durations). Changed by difference, summed over slots.';
COMMENT ON COLUMN polku.duration_hourly.hour IS 'Start of the UTC hour in which it began.';
COMMENT ON COLUMN polku.duration_hourly.durations IS 'Durations.';
COMMENT ON COLUMN polku.duration_hourly.total_us IS 'Their sum in microseconds.';
COMMENT ON COLUMN polku.duration_hourly.measure_id IS 'What was measured: first_reply, next_reply, resolution, kept.KIND (dictionary).';
COMMENT ON COLUMN polku.duration_hourly.clock IS '0 wall time, 1 business time.';
COMMENT ON COLUMN polku.duration_hourly.brand_id IS 'Brand where it began (dictionary); 0 = none.';
COMMENT ON COLUMN polku.duration_hourly.unit_id IS 'Unit where it began (dictionary); 0 = none.';
COMMENT ON COLUMN polku.duration_hourly.channel_id IS 'Channel where it began (dictionary); 0 = none.';
COMMENT ON COLUMN polku.duration_hourly.bucket IS 'Number of the class of lengths: eight for each doubling.';
COMMENT ON COLUMN polku.duration_hourly.slot IS 'stream_position.slot of the writer.';

CREATE TABLE polku.journey_daily (
    day                 timestamptz NOT NULL,
    journeys            bigint NOT NULL,
    events              bigint NOT NULL,
    contacts            bigint NOT NULL,
    switches            bigint NOT NULL,
    fallbacks           bigint NOT NULL,
    repeats             bigint NOT NULL,
    unanswered          bigint NOT NULL,
    refusals            bigint NOT NULL,
    deflections         bigint NOT NULL,
    handoffs_offered    bigint NOT NULL,
    reopened            bigint NOT NULL,
    effort              bigint NOT NULL,
    single_contact      bigint NOT NULL,
    one_owner           bigint NOT NULL,
    without_owner       bigint NOT NULL,
    brand_id            integer NOT NULL,
    unit_id             integer NOT NULL,
    channel_id          integer NOT NULL,
    resolved            integer NOT NULL,
    terminal_outcome_id integer NOT NULL,
    slot                integer NOT NULL,
    PRIMARY KEY (day, brand_id, unit_id, channel_id, resolved, terminal_outcome_id, slot)
) WITH (fillfactor = 70);
COMMENT ON TABLE polku.journey_daily IS 'Journeys by UTC day of their first event. Changed by difference, summed over slots.';
COMMENT ON COLUMN polku.journey_daily.day IS 'Start of the UTC day of first_at.';
COMMENT ON COLUMN polku.journey_daily.journeys IS 'Journeys.';
COMMENT ON COLUMN polku.journey_daily.events IS 'Their events.';
COMMENT ON COLUMN polku.journey_daily.contacts IS 'Their contacts.';
COMMENT ON COLUMN polku.journey_daily.switches IS 'Their changes of channel.';
COMMENT ON COLUMN polku.journey_daily.fallbacks IS 'Their switches after a self-service that failed.';
COMMENT ON COLUMN polku.journey_daily.repeats IS 'Their repeated contacts.';
COMMENT ON COLUMN polku.journey_daily.unanswered IS 'Their unanswered attempts.';
COMMENT ON COLUMN polku.journey_daily.refusals IS 'Their refusals.';
COMMENT ON COLUMN polku.journey_daily.deflections IS 'Their deflections.';
COMMENT ON COLUMN polku.journey_daily.handoffs_offered IS 'Their hand-offs.';
COMMENT ON COLUMN polku.journey_daily.reopened IS 'Times that they were reopened.';
COMMENT ON COLUMN polku.journey_daily.effort IS 'Their effort.';
COMMENT ON COLUMN polku.journey_daily.single_contact IS 'Journeys with one contact.';
COMMENT ON COLUMN polku.journey_daily.one_owner IS 'Journeys with one owner throughout.';
COMMENT ON COLUMN polku.journey_daily.without_owner IS 'Journeys that nobody ever owned.';
COMMENT ON COLUMN polku.journey_daily.brand_id IS 'Brand of the first event (dictionary); 0 = none.';
COMMENT ON COLUMN polku.journey_daily.unit_id IS 'Unit of the first event (dictionary); 0 = none.';
COMMENT ON COLUMN polku.journey_daily.channel_id IS 'Channel of the first event (dictionary); 0 = none.';
COMMENT ON COLUMN polku.journey_daily.resolved IS '1 = the activity is terminal; else 0.';
COMMENT ON COLUMN polku.journey_daily.terminal_outcome_id IS 'Outcome of the last terminal event (dictionary); 0 = none.';
COMMENT ON COLUMN polku.journey_daily.slot IS 'stream_position.slot of the writer.';

CREATE TABLE polku.handoff_hourly (
    hour          timestamptz NOT NULL,
    offered       bigint NOT NULL,
    accepted      bigint NOT NULL,
    rejected      bigint NOT NULL,
    withdrawn     bigint NOT NULL,
    wait_us       bigint NOT NULL,
    kind_id       integer NOT NULL,
    from_brand_id integer NOT NULL,
    from_unit_id  integer NOT NULL,
    to_brand_id   integer NOT NULL,
    to_unit_id    integer NOT NULL,
    slot          integer NOT NULL,
    PRIMARY KEY (hour, kind_id, from_brand_id, from_unit_id, to_brand_id, to_unit_id, slot)
) WITH (fillfactor = 70);
COMMENT ON TABLE polku.handoff_hourly IS 'Hand-offs from whom to whom, by UTC hour. Changed by difference, summed over slots.';
COMMENT ON COLUMN polku.handoff_hourly.hour IS 'Start of the UTC hour of opened_at.';
COMMENT ON COLUMN polku.handoff_hourly.offered IS 'All of them.';
COMMENT ON COLUMN polku.handoff_hourly.accepted IS 'Accepted.';
COMMENT ON COLUMN polku.handoff_hourly.rejected IS 'Rejected.';
COMMENT ON COLUMN polku.handoff_hourly.withdrawn IS 'Withdrawn.';
COMMENT ON COLUMN polku.handoff_hourly.wait_us IS 'Microseconds until they were accepted, summed.';
COMMENT ON COLUMN polku.handoff_hourly.kind_id IS 'Kind (dictionary).';
COMMENT ON COLUMN polku.handoff_hourly.from_brand_id IS 'Brand that offered (dictionary); 0 = none.';
COMMENT ON COLUMN polku.handoff_hourly.from_unit_id IS 'Unit that offered (dictionary); 0 = none.';
COMMENT ON COLUMN polku.handoff_hourly.to_brand_id IS 'Brand asked to take over (dictionary); 0 = none.';
COMMENT ON COLUMN polku.handoff_hourly.to_unit_id IS 'Unit asked to take over (dictionary); 0 = none.';
COMMENT ON COLUMN polku.handoff_hourly.slot IS 'stream_position.slot of the writer.';

CREATE TABLE polku.course_daily (
    day                  timestamptz NOT NULL,
    courses              bigint NOT NULL,
    completed            bigint NOT NULL,
    conformant           bigint NOT NULL,
    completed_conformant bigint NOT NULL,
    violations           bigint NOT NULL,
    skipped              bigint NOT NULL,
    goal_us              bigint NOT NULL,
    definition_id        integer NOT NULL,
    slot                 integer NOT NULL,
    PRIMARY KEY (day, definition_id, slot)
) WITH (fillfactor = 70);
COMMENT ON TABLE polku.course_daily IS 'Courses by UTC day of their start and definition. Changed by difference, summed over slots.';
COMMENT ON COLUMN polku.course_daily.day IS 'Start of the UTC day of start_at.';
COMMENT ON COLUMN polku.course_daily.courses IS 'Courses.';
COMMENT ON COLUMN polku.course_daily.completed IS 'Those that reached the goal within the window.';
COMMENT ON COLUMN polku.course_daily.conformant IS 'Those without violations and without skipped milestones.';
COMMENT ON COLUMN polku.course_daily.completed_conformant IS 'Both.';
COMMENT ON COLUMN polku.course_daily.violations IS 'Their violations.';
COMMENT ON COLUMN polku.course_daily.skipped IS 'Their skipped milestones.';
COMMENT ON COLUMN polku.course_daily.goal_us IS 'Microseconds from start to goal, summed.';
COMMENT ON COLUMN polku.course_daily.definition_id IS 'Definition (dictionary).';
COMMENT ON COLUMN polku.course_daily.slot IS 'stream_position.slot of the writer.';

CREATE TABLE polku.milestone_daily (
    day           timestamptz NOT NULL,
    reached       bigint NOT NULL,
    fallout       bigint NOT NULL,
    skipped       bigint NOT NULL,
    failures      bigint NOT NULL,
    failed        bigint NOT NULL,
    definition_id integer NOT NULL,
    milestone     integer NOT NULL,
    slot          integer NOT NULL,
    PRIMARY KEY (day, definition_id, milestone, slot)
) WITH (fillfactor = 70);
COMMENT ON TABLE polku.milestone_daily IS 'How far courses came: sum(fallout) + completed of course_daily = courses. Changed by difference, summed over slots.';
COMMENT ON COLUMN polku.milestone_daily.day IS 'Start of the UTC day of start_at.';
COMMENT ON COLUMN polku.milestone_daily.reached IS 'Courses that reached it.';
COMMENT ON COLUMN polku.milestone_daily.fallout IS 'Courses that are not completed and came no further.';
COMMENT ON COLUMN polku.milestone_daily.skipped IS 'Courses that skipped it.';
COMMENT ON COLUMN polku.milestone_daily.failures IS 'Events that failed it.';
COMMENT ON COLUMN polku.milestone_daily.failed IS 'Courses with such an event.';
COMMENT ON COLUMN polku.milestone_daily.definition_id IS 'Definition (dictionary).';
COMMENT ON COLUMN polku.milestone_daily.milestone IS 'Number of the milestone; 0 = none was reached.';
COMMENT ON COLUMN polku.milestone_daily.slot IS 'stream_position.slot of the writer.';

CREATE TABLE polku.step_daily (
    day            timestamptz NOT NULL,
    steps          bigint NOT NULL,
    wait_us        bigint NOT NULL,
    definition_id  integer NOT NULL,
    from_milestone integer NOT NULL,
    to_milestone   integer NOT NULL,
    slot           integer NOT NULL,
    PRIMARY KEY (day, definition_id, from_milestone, to_milestone, slot)
) WITH (fillfactor = 70);
COMMENT ON TABLE polku.step_daily IS 'Steps of courses from milestone to milestone, by UTC day of their start. What comes into a milestone goes out of it. Changed by difference, summed over slots.';
COMMENT ON COLUMN polku.step_daily.day IS 'Start of the UTC day of start_at.';
COMMENT ON COLUMN polku.step_daily.steps IS 'Steps.';
COMMENT ON COLUMN polku.step_daily.wait_us IS 'Microseconds since the step before, summed.';
COMMENT ON COLUMN polku.step_daily.definition_id IS 'Definition (dictionary).';
COMMENT ON COLUMN polku.step_daily.from_milestone IS 'Number of the milestone before; 0 = start of the course.';
COMMENT ON COLUMN polku.step_daily.to_milestone IS 'Number of the milestone; 0 = end of the course.';
COMMENT ON COLUMN polku.step_daily.slot IS 'stream_position.slot of the writer.';

CREATE TABLE polku.path_daily (
    day           timestamptz NOT NULL,
    courses       bigint NOT NULL,
    completed     bigint NOT NULL,
    definition_id integer NOT NULL,
    path_id       integer NOT NULL,
    slot          integer NOT NULL,
    PRIMARY KEY (day, definition_id, path_id, slot)
) WITH (fillfactor = 70);
COMMENT ON TABLE polku.path_daily IS 'Variants: courses by the path that they took, by UTC day of their start. Changed by difference, summed over slots.';
COMMENT ON COLUMN polku.path_daily.day IS 'Start of the UTC day of start_at.';
COMMENT ON COLUMN polku.path_daily.courses IS 'Courses.';
COMMENT ON COLUMN polku.path_daily.completed IS 'Those that reached the goal within the window.';
COMMENT ON COLUMN polku.path_daily.definition_id IS 'Definition (dictionary).';
COMMENT ON COLUMN polku.path_daily.path_id IS 'Path, as 1>2>4 (dictionary); 0 = none.';
COMMENT ON COLUMN polku.path_daily.slot IS 'stream_position.slot of the writer.';

-- ---- coarser copies of aggregates ----
-- For weeks and years: fewer rows by day or month, of the dimensions that are asked for over long times. They change in the statement
-- that changes the finer table (consumer/store_rollup.def), by the same slot.

CREATE TABLE polku.interaction_daily (
    day          timestamptz NOT NULL,
    interactions bigint NOT NULL,
    contacts     bigint NOT NULL,
    unanswered   bigint NOT NULL,
    refusals     bigint NOT NULL,
    deflections  bigint NOT NULL,
    transfers    bigint NOT NULL,
    misroutes    bigint NOT NULL,
    brand_id     integer NOT NULL,
    channel_id   integer NOT NULL,
    reason_id    integer NOT NULL,
    slot         integer NOT NULL,
    PRIMARY KEY (day, brand_id, channel_id, reason_id, slot)
) WITH (fillfactor = 70);
COMMENT ON TABLE polku.interaction_daily IS 'polku.interaction_hourly by UTC day, and of fewer dimensions. Changed by difference, summed over slots.';
COMMENT ON COLUMN polku.interaction_daily.day IS 'Start of the UTC day.';
COMMENT ON COLUMN polku.interaction_daily.interactions IS 'Events, passive ones included.';
COMMENT ON COLUMN polku.interaction_daily.contacts IS 'Events at which customer and organisation really met.';
COMMENT ON COLUMN polku.interaction_daily.unanswered IS 'Attempts at which nobody was reached.';
COMMENT ON COLUMN polku.interaction_daily.refusals IS 'Events at which the customer was refused or sent away.';
COMMENT ON COLUMN polku.interaction_daily.deflections IS 'Events at which the customer was sent elsewhere.';
COMMENT ON COLUMN polku.interaction_daily.transfers IS 'Contacts passed on while they went on.';
COMMENT ON COLUMN polku.interaction_daily.misroutes IS 'Events that show that the customer was sent to the wrong place.';
COMMENT ON COLUMN polku.interaction_daily.brand_id IS 'Brand (dictionary); 0 = none.';
COMMENT ON COLUMN polku.interaction_daily.channel_id IS 'Channel (dictionary); 0 = none.';
COMMENT ON COLUMN polku.interaction_daily.reason_id IS 'Reason (dictionary); 0 = none, or the event is sensitive.';
COMMENT ON COLUMN polku.interaction_daily.slot IS 'stream_position.slot of the writer.';

CREATE TABLE polku.need_daily (
    day          timestamptz NOT NULL,
    interactions bigint NOT NULL,
    contacts     bigint NOT NULL,
    brand_id     integer NOT NULL,
    cause_id     integer NOT NULL,
    slot         integer NOT NULL,
    PRIMARY KEY (day, brand_id, cause_id, slot)
) WITH (fillfactor = 70);
COMMENT ON TABLE polku.need_daily IS 'polku.need_hourly by UTC day, and of fewer dimensions. Changed by difference, summed over slots.';
COMMENT ON COLUMN polku.need_daily.day IS 'Start of the UTC day.';
COMMENT ON COLUMN polku.need_daily.interactions IS 'Events.';
COMMENT ON COLUMN polku.need_daily.contacts IS 'Events at which customer and organisation really met.';
COMMENT ON COLUMN polku.need_daily.brand_id IS 'Brand (dictionary); 0 = none.';
COMMENT ON COLUMN polku.need_daily.cause_id IS 'Cause (dictionary); 0 = none.';
COMMENT ON COLUMN polku.need_daily.slot IS 'stream_position.slot of the writer.';

CREATE TABLE polku.rating_monthly (
    month      timestamptz NOT NULL,
    ratings    bigint NOT NULL,
    brand_id   integer NOT NULL,
    channel_id integer NOT NULL,
    scale_id   integer NOT NULL,
    score      integer NOT NULL,
    min        integer NOT NULL,
    max        integer NOT NULL,
    slot       integer NOT NULL,
    PRIMARY KEY (month, brand_id, channel_id, scale_id, score, min, max, slot)
) WITH (fillfactor = 70);
COMMENT ON TABLE polku.rating_monthly IS 'polku.rating_hourly by UTC month, and of fewer dimensions. Changed by difference, summed over slots.';
COMMENT ON COLUMN polku.rating_monthly.month IS 'Start of the UTC month.';
COMMENT ON COLUMN polku.rating_monthly.ratings IS 'Events with a rating.';
COMMENT ON COLUMN polku.rating_monthly.brand_id IS 'Brand (dictionary); 0 = none.';
COMMENT ON COLUMN polku.rating_monthly.channel_id IS 'Channel (dictionary); 0 = none.';
COMMENT ON COLUMN polku.rating_monthly.scale_id IS 'Scale, as nps (dictionary).';
COMMENT ON COLUMN polku.rating_monthly.score IS 'What the customer gave, in thousandths.';
COMMENT ON COLUMN polku.rating_monthly.min IS 'Lowest possible score, in thousandths.';
COMMENT ON COLUMN polku.rating_monthly.max IS 'Highest possible score, in thousandths.';
COMMENT ON COLUMN polku.rating_monthly.slot IS 'stream_position.slot of the writer.';

CREATE TABLE polku.money_monthly (
    month        timestamptz NOT NULL,
    events       bigint NOT NULL,
    amount_minor bigint NOT NULL,
    out_of_range bigint NOT NULL,
    brand_id     integer NOT NULL,
    unit_id      integer NOT NULL,
    kind_id      integer NOT NULL,
    currency_id  integer NOT NULL,
    slot         integer NOT NULL,
    PRIMARY KEY (month, brand_id, unit_id, kind_id, currency_id, slot)
) WITH (fillfactor = 70);
COMMENT ON TABLE polku.money_monthly IS 'polku.money_hourly by UTC month, and of fewer dimensions. Changed by difference, summed over slots.';
COMMENT ON COLUMN polku.money_monthly.month IS 'Start of the UTC month.';
COMMENT ON COLUMN polku.money_monthly.events IS 'Events with money.';
COMMENT ON COLUMN polku.money_monthly.amount_minor IS 'Sum of the amounts in the smallest unit of the currency, of those of at most 10^12 either way.';
COMMENT ON COLUMN polku.money_monthly.out_of_range IS 'Events with a greater amount.';
COMMENT ON COLUMN polku.money_monthly.brand_id IS 'Brand (dictionary); 0 = none.';
COMMENT ON COLUMN polku.money_monthly.unit_id IS 'Unit (dictionary); 0 = none.';
COMMENT ON COLUMN polku.money_monthly.kind_id IS 'What the money is, as refund (dictionary); 0 = none.';
COMMENT ON COLUMN polku.money_monthly.currency_id IS 'Currency (dictionary); 0 = none.';
COMMENT ON COLUMN polku.money_monthly.slot IS 'stream_position.slot of the writer.';

CREATE TABLE polku.repeat_channel_daily (
    day          timestamptz NOT NULL,
    contacts     bigint NOT NULL,
    repeated_1d  bigint NOT NULL,
    repeated_7d  bigint NOT NULL,
    repeated_14d bigint NOT NULL,
    repeated_30d bigint NOT NULL,
    brand_id     integer NOT NULL,
    channel_id   integer NOT NULL,
    slot         integer NOT NULL,
    PRIMARY KEY (day, brand_id, channel_id, slot)
) WITH (fillfactor = 70);
COMMENT ON TABLE polku.repeat_channel_daily IS 'polku.repeat_daily by UTC day, and of fewer dimensions. Changed by difference, summed over slots.';
COMMENT ON COLUMN polku.repeat_channel_daily.day IS 'Start of the UTC day.';
COMMENT ON COLUMN polku.repeat_channel_daily.contacts IS 'Contacts with a need.';
COMMENT ON COLUMN polku.repeat_channel_daily.repeated_1d IS 'Those that the next one repeats within 1 day.';
COMMENT ON COLUMN polku.repeat_channel_daily.repeated_7d IS 'Within 7 days.';
COMMENT ON COLUMN polku.repeat_channel_daily.repeated_14d IS 'Within 14 days.';
COMMENT ON COLUMN polku.repeat_channel_daily.repeated_30d IS 'Within 30 days.';
COMMENT ON COLUMN polku.repeat_channel_daily.brand_id IS 'Brand of the contact that was repeated (dictionary); 0 = none.';
COMMENT ON COLUMN polku.repeat_channel_daily.channel_id IS 'Its channel (dictionary); 0 = none.';
COMMENT ON COLUMN polku.repeat_channel_daily.slot IS 'stream_position.slot of the writer.';

CREATE TABLE polku.transition_daily (
    day             timestamptz NOT NULL,
    transitions     bigint NOT NULL,
    wait_us         bigint NOT NULL,
    brand_id        integer NOT NULL,
    from_channel_id integer NOT NULL,
    to_channel_id   integer NOT NULL,
    fallback        integer NOT NULL,
    slot            integer NOT NULL,
    PRIMARY KEY (day, brand_id, from_channel_id, to_channel_id, fallback, slot)
) WITH (fillfactor = 70);
COMMENT ON TABLE polku.transition_daily IS 'polku.transition_hourly by UTC day, and of fewer dimensions. Changed by difference, summed over slots.';
COMMENT ON COLUMN polku.transition_daily.day IS 'Start of the UTC day.';
COMMENT ON COLUMN polku.transition_daily.transitions IS 'Pairs.';
COMMENT ON COLUMN polku.transition_daily.wait_us IS 'Microseconds between the two, summed.';
COMMENT ON COLUMN polku.transition_daily.brand_id IS 'Brand of the second contact (dictionary); 0 = none.';
COMMENT ON COLUMN polku.transition_daily.from_channel_id IS 'Channel of the first (dictionary); 0 = none.';
COMMENT ON COLUMN polku.transition_daily.to_channel_id IS 'Channel of the second (dictionary); 0 = none.';
COMMENT ON COLUMN polku.transition_daily.fallback IS '1 = a self-service failed before a contact on another channel; else 0.';
COMMENT ON COLUMN polku.transition_daily.slot IS 'stream_position.slot of the writer.';

CREATE TABLE polku.duration_daily (
    day        timestamptz NOT NULL,
    durations  bigint NOT NULL,
    total_us   bigint NOT NULL,
    measure_id integer NOT NULL,
    clock      integer NOT NULL,
    brand_id   integer NOT NULL,
    channel_id integer NOT NULL,
    bucket     integer NOT NULL,
    slot       integer NOT NULL,
    PRIMARY KEY (measure_id, clock, day, brand_id, channel_id, bucket, slot)
) WITH (fillfactor = 70);
COMMENT ON TABLE polku.duration_daily IS 'polku.duration_hourly by UTC day, and of fewer dimensions. Changed by difference, summed over slots.';
COMMENT ON COLUMN polku.duration_daily.day IS 'Start of the UTC day.';
COMMENT ON COLUMN polku.duration_daily.durations IS 'Durations.';
COMMENT ON COLUMN polku.duration_daily.total_us IS 'Their sum in microseconds.';
COMMENT ON COLUMN polku.duration_daily.measure_id IS 'What was measured: first_reply, next_reply, resolution, kept.KIND (dictionary).';
COMMENT ON COLUMN polku.duration_daily.clock IS '0 wall time, 1 business time.';
COMMENT ON COLUMN polku.duration_daily.brand_id IS 'Brand where it began (dictionary); 0 = none.';
COMMENT ON COLUMN polku.duration_daily.channel_id IS 'Channel where it began (dictionary); 0 = none.';
COMMENT ON COLUMN polku.duration_daily.bucket IS 'Number of the class of lengths: eight for each doubling.';
COMMENT ON COLUMN polku.duration_daily.slot IS 'stream_position.slot of the writer.';

CREATE TABLE polku.journey_monthly (
    month               timestamptz NOT NULL,
    journeys            bigint NOT NULL,
    events              bigint NOT NULL,
    contacts            bigint NOT NULL,
    switches            bigint NOT NULL,
    fallbacks           bigint NOT NULL,
    repeats             bigint NOT NULL,
    unanswered          bigint NOT NULL,
    refusals            bigint NOT NULL,
    deflections         bigint NOT NULL,
    handoffs_offered    bigint NOT NULL,
    reopened            bigint NOT NULL,
    effort              bigint NOT NULL,
    single_contact      bigint NOT NULL,
    one_owner           bigint NOT NULL,
    without_owner       bigint NOT NULL,
    brand_id            integer NOT NULL,
    unit_id             integer NOT NULL,
    channel_id          integer NOT NULL,
    resolved            integer NOT NULL,
    terminal_outcome_id integer NOT NULL,
    slot                integer NOT NULL,
    PRIMARY KEY (month, brand_id, unit_id, channel_id, resolved, terminal_outcome_id, slot)
) WITH (fillfactor = 70);
COMMENT ON TABLE polku.journey_monthly IS 'polku.journey_daily by UTC month, and of fewer dimensions. Changed by difference, summed over slots.';
COMMENT ON COLUMN polku.journey_monthly.month IS 'Start of the UTC month.';
COMMENT ON COLUMN polku.journey_monthly.journeys IS 'Journeys.';
COMMENT ON COLUMN polku.journey_monthly.events IS 'Their events.';
COMMENT ON COLUMN polku.journey_monthly.contacts IS 'Their contacts.';
COMMENT ON COLUMN polku.journey_monthly.switches IS 'Their changes of channel.';
COMMENT ON COLUMN polku.journey_monthly.fallbacks IS 'Their switches after a self-service that failed.';
COMMENT ON COLUMN polku.journey_monthly.repeats IS 'Their repeated contacts.';
COMMENT ON COLUMN polku.journey_monthly.unanswered IS 'Their unanswered attempts.';
COMMENT ON COLUMN polku.journey_monthly.refusals IS 'Their refusals.';
COMMENT ON COLUMN polku.journey_monthly.deflections IS 'Their deflections.';
COMMENT ON COLUMN polku.journey_monthly.handoffs_offered IS 'Their hand-offs.';
COMMENT ON COLUMN polku.journey_monthly.reopened IS 'Times that they were reopened.';
COMMENT ON COLUMN polku.journey_monthly.effort IS 'Their effort.';
COMMENT ON COLUMN polku.journey_monthly.single_contact IS 'Journeys with one contact.';
COMMENT ON COLUMN polku.journey_monthly.one_owner IS 'Journeys with one owner throughout.';
COMMENT ON COLUMN polku.journey_monthly.without_owner IS 'Journeys that nobody ever owned.';
COMMENT ON COLUMN polku.journey_monthly.brand_id IS 'Brand of the first event (dictionary); 0 = none.';
COMMENT ON COLUMN polku.journey_monthly.unit_id IS 'Unit of the first event (dictionary); 0 = none.';
COMMENT ON COLUMN polku.journey_monthly.channel_id IS 'Channel of the first event (dictionary); 0 = none.';
COMMENT ON COLUMN polku.journey_monthly.resolved IS '1 = the activity is terminal; else 0.';
COMMENT ON COLUMN polku.journey_monthly.terminal_outcome_id IS 'Outcome of the last terminal event (dictionary); 0 = none.';
COMMENT ON COLUMN polku.journey_monthly.slot IS 'stream_position.slot of the writer.';

CREATE TABLE polku.obligation_daily (
    due_day             timestamptz NOT NULL,
    opened              bigint NOT NULL,
    kept                bigint NOT NULL,
    kept_late_in_window bigint NOT NULL,
    late                bigint NOT NULL,
    attempted           bigint NOT NULL,
    rejected            bigint NOT NULL,
    withdrawn           bigint NOT NULL,
    looped              bigint NOT NULL,
    no_owner            bigint NOT NULL,
    attempts            bigint NOT NULL,
    kind_id             integer NOT NULL,
    brand_id            integer NOT NULL,
    unit_id             integer NOT NULL,
    slot                integer NOT NULL,
    PRIMARY KEY (due_day, kind_id, brand_id, unit_id, slot)
) WITH (fillfactor = 70);
COMMENT ON TABLE polku.obligation_daily IS 'polku.obligation_hourly by UTC day, and of fewer dimensions. Changed by difference, summed over slots.';
COMMENT ON COLUMN polku.obligation_daily.due_day IS 'Start of the UTC day; infinity = without a due time.';
COMMENT ON COLUMN polku.obligation_daily.opened IS 'All of them.';
COMMENT ON COLUMN polku.obligation_daily.kept IS 'Fulfilled in time, and not at the end of a window.';
COMMENT ON COLUMN polku.obligation_daily.kept_late_in_window IS 'Fulfilled in the last tenth of the window.';
COMMENT ON COLUMN polku.obligation_daily.late IS 'Fulfilled after due_to.';
COMMENT ON COLUMN polku.obligation_daily.attempted IS 'Attempted and not closed.';
COMMENT ON COLUMN polku.obligation_daily.rejected IS 'Rejected.';
COMMENT ON COLUMN polku.obligation_daily.withdrawn IS 'Withdrawn.';
COMMENT ON COLUMN polku.obligation_daily.looped IS 'Asked for again after an attempt in vain (cycle > 1).';
COMMENT ON COLUMN polku.obligation_daily.no_owner IS 'Neither an accountable unit nor a role.';
COMMENT ON COLUMN polku.obligation_daily.attempts IS 'Attempts, summed.';
COMMENT ON COLUMN polku.obligation_daily.kind_id IS 'Kind (dictionary).';
COMMENT ON COLUMN polku.obligation_daily.brand_id IS 'Accountable brand (dictionary); 0 = none.';
COMMENT ON COLUMN polku.obligation_daily.unit_id IS 'Accountable unit (dictionary); 0 = none.';
COMMENT ON COLUMN polku.obligation_daily.slot IS 'stream_position.slot of the writer.';

CREATE TABLE polku.handoff_daily (
    day           timestamptz NOT NULL,
    offered       bigint NOT NULL,
    accepted      bigint NOT NULL,
    rejected      bigint NOT NULL,
    withdrawn     bigint NOT NULL,
    wait_us       bigint NOT NULL,
    kind_id       integer NOT NULL,
    from_brand_id integer NOT NULL,
    from_unit_id  integer NOT NULL,
    to_brand_id   integer NOT NULL,
    to_unit_id    integer NOT NULL,
    slot          integer NOT NULL,
    PRIMARY KEY (day, kind_id, from_brand_id, from_unit_id, to_brand_id, to_unit_id, slot)
) WITH (fillfactor = 70);
COMMENT ON TABLE polku.handoff_daily IS 'polku.handoff_hourly by UTC day, and of fewer dimensions. Changed by difference, summed over slots.';
COMMENT ON COLUMN polku.handoff_daily.day IS 'Start of the UTC day.';
COMMENT ON COLUMN polku.handoff_daily.offered IS 'All of them.';
COMMENT ON COLUMN polku.handoff_daily.accepted IS 'Accepted.';
COMMENT ON COLUMN polku.handoff_daily.rejected IS 'Rejected.';
COMMENT ON COLUMN polku.handoff_daily.withdrawn IS 'Withdrawn.';
COMMENT ON COLUMN polku.handoff_daily.wait_us IS 'Microseconds until they were accepted, summed.';
COMMENT ON COLUMN polku.handoff_daily.kind_id IS 'Kind (dictionary).';
COMMENT ON COLUMN polku.handoff_daily.from_brand_id IS 'Brand that offered (dictionary); 0 = none.';
COMMENT ON COLUMN polku.handoff_daily.from_unit_id IS 'Unit that offered (dictionary); 0 = none.';
COMMENT ON COLUMN polku.handoff_daily.to_brand_id IS 'Brand asked to take over (dictionary); 0 = none.';
COMMENT ON COLUMN polku.handoff_daily.to_unit_id IS 'Unit asked to take over (dictionary); 0 = none.';
COMMENT ON COLUMN polku.handoff_daily.slot IS 'stream_position.slot of the writer.';
