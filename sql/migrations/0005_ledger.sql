-- SPDX-License-Identifier: Apache-2.0
-- The whole ledger, the facts of journeys, courses, calendars and all aggregates (docs/semantics.md 4 to 9).

-- ---- events ----

ALTER TABLE polku.interaction
    ADD COLUMN traits integer NOT NULL DEFAULT 0,
    ADD COLUMN topic_id integer,
    ADD COLUMN cause_id integer,
    ADD COLUMN stage_id integer;
-- then: intern topic, cause, stage of stored rows; drop these three text columns (views that name them first).
-- Events that are looked for by what they are: statements, statements withdrawn, diagnoses, acknowledgements, mentions,
-- improvements, sanctions (bits of consumer/trait.def).
CREATE INDEX interaction_notable ON polku.interaction (topic_id, occurred_at) WHERE traits & 1065353216 <> 0;

-- ---- customers ----

ALTER TABLE polku.customer
    ADD COLUMN purchases integer NOT NULL DEFAULT 0,
    ADD COLUMN first_purchase_at timestamptz,
    ADD COLUMN last_purchase_at timestamptz;

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

-- ---- obligations ----

ALTER TABLE polku.obligation
    ADD COLUMN from_brand_id integer,
    ADD COLUMN from_unit_id integer,
    ADD COLUMN cycle integer NOT NULL DEFAULT 1,
    ADD COLUMN handoff boolean NOT NULL DEFAULT false,
    ADD COLUMN amount_minor bigint,
    ADD COLUMN currency_id integer;

-- ---- courses ----

CREATE TABLE polku.course (
    start_at      timestamptz NOT NULL,
    goal_at       timestamptz,
    definition_id integer NOT NULL,
    path_id       integer NOT NULL, -- dictionary; 0 = empty
    steps         integer NOT NULL,
    violations    integer NOT NULL,
    skipped       integer NOT NULL,
    furthest      integer NOT NULL,
    journey_id    uuid NOT NULL,
    customer_id   uuid NOT NULL,
    reached_at    timestamptz[] NOT NULL, -- per milestone
    failures      integer[] NOT NULL,     -- per milestone
    PRIMARY KEY (journey_id, definition_id)
) WITH (fillfactor = 80);
CREATE INDEX course_customer ON polku.course (customer_id);

-- ---- what the rules say, for SQL: written together with rules_state ----

CREATE TABLE polku.calendar (
    calendar_id integer NOT NULL PRIMARY KEY, -- place in the file, from 1
    name        text COLLATE "C" NOT NULL UNIQUE,
    zone        text NOT NULL,
    brands      text[] NOT NULL,              -- empty = of all
    units       text[] NOT NULL
);
CREATE TABLE polku.calendar_open (
    calendar_id integer NOT NULL,
    from_at     timestamptz NOT NULL,
    to_at       timestamptz NOT NULL,
    before_us   bigint NOT NULL,
    PRIMARY KEY (calendar_id, from_at)
);
CREATE TABLE polku.kind (
    place       integer NOT NULL PRIMARY KEY, -- in the file, from 1
    kind_id     integer NOT NULL,
    within_us   bigint,
    business    boolean NOT NULL,
    across      boolean NOT NULL,
    handoff     boolean NOT NULL,
    valid_from  timestamptz NOT NULL,         -- -infinity = without end
    valid_to    timestamptz NOT NULL
);
CREATE TABLE polku.definition (
    definition_id integer NOT NULL PRIMARY KEY, -- dictionary: name/version
    goal          integer NOT NULL,             -- number of a milestone, from 1
    window_us     bigint NOT NULL
);
CREATE TABLE polku.milestone (
    definition_id integer NOT NULL,
    milestone     integer NOT NULL, -- from 1
    name          text NOT NULL,
    optional      boolean NOT NULL,
    critical      boolean NOT NULL,
    PRIMARY KEY (definition_id, milestone)
);
ALTER TABLE polku.rules_state
    ADD COLUMN effort_id text,
    ADD COLUMN repeat_window_us bigint;

-- ---- aggregates: changed by difference, one slot per writer ----

DROP TABLE polku.interaction_hourly CASCADE; -- further dimensions; a rebuild fills it
DROP TABLE polku.obligation_hourly CASCADE;

CREATE TABLE polku.interaction_hourly (
    hour timestamptz NOT NULL,
    interactions bigint NOT NULL,
    contacts bigint NOT NULL,
    unanswered bigint NOT NULL,
    refusals bigint NOT NULL,
    deflections bigint NOT NULL,
    transfers bigint NOT NULL,
    misroutes bigint NOT NULL,
    brand_id integer NOT NULL,
    unit_id integer NOT NULL,
    channel_id integer NOT NULL,
    type_id integer NOT NULL,
    outcome_id integer NOT NULL,
    reason_id integer NOT NULL,
    slot integer NOT NULL,
    PRIMARY KEY (hour, brand_id, unit_id, channel_id, type_id, outcome_id, reason_id, slot)
) WITH (fillfactor = 70);

CREATE TABLE polku.obligation_hourly (
    due_hour timestamptz NOT NULL,
    opened bigint NOT NULL,
    kept bigint NOT NULL,
    kept_late_in_window bigint NOT NULL,
    late bigint NOT NULL,
    attempted bigint NOT NULL,
    rejected bigint NOT NULL,
    withdrawn bigint NOT NULL,
    looped bigint NOT NULL,
    no_owner bigint NOT NULL,
    attempts bigint NOT NULL,
    kind_id integer NOT NULL,
    brand_id integer NOT NULL,
    unit_id integer NOT NULL,
    slot integer NOT NULL,
    PRIMARY KEY (due_hour, kind_id, brand_id, unit_id, slot)
) WITH (fillfactor = 70);

CREATE TABLE polku.need_hourly (
    hour timestamptz NOT NULL,
    interactions bigint NOT NULL,
    contacts bigint NOT NULL,
    brand_id integer NOT NULL,
    stage_id integer NOT NULL,
    topic_id integer NOT NULL,
    cause_id integer NOT NULL,
    slot integer NOT NULL,
    PRIMARY KEY (hour, brand_id, stage_id, topic_id, cause_id, slot)
) WITH (fillfactor = 70);

CREATE TABLE polku.rating_hourly (
    hour timestamptz NOT NULL,
    ratings bigint NOT NULL,
    brand_id integer NOT NULL,
    unit_id integer NOT NULL,
    channel_id integer NOT NULL,
    scale_id integer NOT NULL,
    score integer NOT NULL,
    min integer NOT NULL,
    max integer NOT NULL,
    slot integer NOT NULL,
    PRIMARY KEY (hour, brand_id, unit_id, channel_id, scale_id, score, min, max, slot)
) WITH (fillfactor = 70);

CREATE TABLE polku.money_hourly (
    hour timestamptz NOT NULL,
    events bigint NOT NULL,
    amount_minor bigint NOT NULL,
    out_of_range bigint NOT NULL,
    brand_id integer NOT NULL,
    unit_id integer NOT NULL,
    kind_id integer NOT NULL,
    currency_id integer NOT NULL,
    slot integer NOT NULL,
    PRIMARY KEY (hour, brand_id, unit_id, kind_id, currency_id, slot)
) WITH (fillfactor = 70);

CREATE TABLE polku.repeat_daily (
    day timestamptz NOT NULL,
    contacts bigint NOT NULL,
    repeated_1d bigint NOT NULL,
    repeated_7d bigint NOT NULL,
    repeated_14d bigint NOT NULL,
    repeated_30d bigint NOT NULL,
    brand_id integer NOT NULL,
    unit_id integer NOT NULL,
    channel_id integer NOT NULL,
    cause_id integer NOT NULL,
    topic_id integer NOT NULL,
    slot integer NOT NULL,
    PRIMARY KEY (day, brand_id, unit_id, channel_id, cause_id, topic_id, slot)
) WITH (fillfactor = 70);

CREATE TABLE polku.transition_hourly (
    hour timestamptz NOT NULL,
    transitions bigint NOT NULL,
    wait_us bigint NOT NULL,
    brand_id integer NOT NULL,
    from_channel_id integer NOT NULL,
    to_channel_id integer NOT NULL,
    fallback integer NOT NULL,
    slot integer NOT NULL,
    PRIMARY KEY (hour, brand_id, from_channel_id, to_channel_id, fallback, slot)
) WITH (fillfactor = 70);

CREATE TABLE polku.duration_hourly (
    hour timestamptz NOT NULL,
    durations bigint NOT NULL,
    total_us bigint NOT NULL,
    measure_id integer NOT NULL,
    clock integer NOT NULL,
    brand_id integer NOT NULL,
    unit_id integer NOT NULL,
    channel_id integer NOT NULL,
    bucket integer NOT NULL,
    slot integer NOT NULL,
    PRIMARY KEY (hour, measure_id, clock, brand_id, unit_id, channel_id, bucket, slot)
) WITH (fillfactor = 70);

CREATE TABLE polku.journey_daily (
    day timestamptz NOT NULL,
    journeys bigint NOT NULL,
    events bigint NOT NULL,
    contacts bigint NOT NULL,
    switches bigint NOT NULL,
    fallbacks bigint NOT NULL,
    repeats bigint NOT NULL,
    unanswered bigint NOT NULL,
    refusals bigint NOT NULL,
    deflections bigint NOT NULL,
    handoffs_offered bigint NOT NULL,
    reopened bigint NOT NULL,
    effort bigint NOT NULL,
    single_contact bigint NOT NULL,
    one_owner bigint NOT NULL,
    without_owner bigint NOT NULL,
    brand_id integer NOT NULL,
    unit_id integer NOT NULL,
    channel_id integer NOT NULL,
    resolved integer NOT NULL,
    terminal_outcome_id integer NOT NULL,
    slot integer NOT NULL,
    PRIMARY KEY (day, brand_id, unit_id, channel_id, resolved, terminal_outcome_id, slot)
) WITH (fillfactor = 70);

CREATE TABLE polku.handoff_hourly (
    hour timestamptz NOT NULL,
    offered bigint NOT NULL,
    accepted bigint NOT NULL,
    rejected bigint NOT NULL,
    withdrawn bigint NOT NULL,
    wait_us bigint NOT NULL,
    kind_id integer NOT NULL,
    from_brand_id integer NOT NULL,
    from_unit_id integer NOT NULL,
    to_brand_id integer NOT NULL,
    to_unit_id integer NOT NULL,
    slot integer NOT NULL,
    PRIMARY KEY (hour, kind_id, from_brand_id, from_unit_id, to_brand_id, to_unit_id, slot)
) WITH (fillfactor = 70);

CREATE TABLE polku.course_daily (
    day timestamptz NOT NULL,
    courses bigint NOT NULL,
    completed bigint NOT NULL,
    conformant bigint NOT NULL,
    completed_conformant bigint NOT NULL,
    violations bigint NOT NULL,
    skipped bigint NOT NULL,
    goal_us bigint NOT NULL,
    definition_id integer NOT NULL,
    slot integer NOT NULL,
    PRIMARY KEY (day, definition_id, slot)
) WITH (fillfactor = 70);

CREATE TABLE polku.milestone_daily (
    day timestamptz NOT NULL,
    reached bigint NOT NULL,
    fallout bigint NOT NULL,
    skipped bigint NOT NULL,
    failures bigint NOT NULL,
    failed bigint NOT NULL,
    definition_id integer NOT NULL,
    milestone integer NOT NULL,
    slot integer NOT NULL,
    PRIMARY KEY (day, definition_id, milestone, slot)
) WITH (fillfactor = 70);

CREATE TABLE polku.step_daily (
    day timestamptz NOT NULL,
    steps bigint NOT NULL,
    wait_us bigint NOT NULL,
    definition_id integer NOT NULL,
    from_milestone integer NOT NULL,
    to_milestone integer NOT NULL,
    slot integer NOT NULL,
    PRIMARY KEY (day, definition_id, from_milestone, to_milestone, slot)
) WITH (fillfactor = 70);

CREATE TABLE polku.path_daily (
    day timestamptz NOT NULL,
    courses bigint NOT NULL,
    completed bigint NOT NULL,
    definition_id integer NOT NULL,
    path_id integer NOT NULL,
    slot integer NOT NULL,
    PRIMARY KEY (day, definition_id, path_id, slot)
) WITH (fillfactor = 70);
