-- SPDX-License-Identifier: Apache-2.0
-- What polku-consumer verify asks (docs/operations.md, "Is it right?"). The program holds a copy of this file. Nothing here
-- knows the program's derivation: it is docs/semantics.md in SQL over the rows, and each query may be run by hand.
--
--   -- derived NAME KEYS         the rows of a table as they must come out of a fresh derivation: read from the tables in use
--                                and from those derived anew. `or more`: the tables in use may hold rows beside them
--   -- aggregate NAME            what polku.NAME must hold, summed over slots but -1 (what is sealed): columns in the order of
--                                consumer/aggregate.def
--   -- facts NAME KEYS of TABLE  rows of TABLE, and behind `-- against` the same from what they stand for
--   -- rows NAME of TABLE        rows of TABLE that break a rule: which, column, stored, expected. None is right
--
-- KEYS: so many first columns name the row, and rows are ordered by them. Ids are those of polku.dictionary, 0 = none.
-- interaction.traits has the bits of consumer/trait.def: passive 1, terminal 2, contact 4, unanswered 8, refusal 16,
-- handoff_offered 32, handoff_accepted 64, human_reply 128, handoff_rejected 256, deflection 2048, transfer 4096,
-- misroute 8192, selfservice_failed 16384, proactive 32768, thanks 65536, decision 131072, purchase 4194304.
-- `traits & 5 = 4`: a contact that is not passive.

-- derived interaction 2
SELECT i.occurred_at, i.event_hash, i.customer_id, i.customer_kind, i.journey_id, i.sighted_id, i.traits
FROM polku.interaction i
ORDER BY 1, 2

-- derived customer 1
SELECT c.customer_id, c.*
FROM polku.customer c
ORDER BY 1

-- derived identifier 1
-- Flags that history alone decides (4) are left out, and persons that a decision blocks.
SELECT i.hash, i.namespace_id, i.flags & 115 AS flags, i.first_at, i.customer_id
FROM polku.identifier i
WHERE i.kind = 0 AND i.first_at IS NOT NULL AND i.flags & 8 = 0
ORDER BY 1

-- derived identifier_key 1 or more of identifier
-- Keys of events that are gone (copies that lost) stay.
SELECT i.hash, i.kind, i.namespace_id
FROM polku.identifier i
ORDER BY 1

-- derived identity_meeting 2
-- Persons of one priority stand in the order of the event that came first of all, which history decides.
SELECT m.identifier, m.meeting_id, m.first_at, m.first_sequence, m.first_source_id, m.first_event_id,
       ARRAY(SELECT p FROM unnest(m.members) p ORDER BY 1) AS members
FROM polku.identity_meeting m
ORDER BY 1, 2

-- derived journey 1
SELECT j.journey_id, j.*
FROM polku.journey j
ORDER BY 1

-- derived obligation 1
SELECT o.obligation_id, o.*
FROM polku.obligation o
ORDER BY 1

-- derived course 2
SELECT c.journey_id, c.definition_id, c.*
FROM polku.course c
ORDER BY 1, 2

-- What the rules say, for SQL.

-- derived calendar 1
SELECT c.calendar_id, c.*
FROM polku.calendar c
ORDER BY 1

-- derived calendar_open 2
SELECT o.calendar_id, o.from_at, o.*
FROM polku.calendar_open o
ORDER BY 1, 2

-- derived kind 1
SELECT k.place, k.*
FROM polku.kind k
ORDER BY 1

-- derived definition 1
SELECT d.definition_id, d.*
FROM polku.definition d
ORDER BY 1

-- derived milestone 2
SELECT m.definition_id, m.milestone, m.*
FROM polku.milestone m
ORDER BY 1, 2

-- ---- aggregates: docs/semantics.md 6 and 9 ----

-- aggregate interaction_hourly
SELECT date_trunc('hour', i.occurred_at, 'UTC') AS hour, coalesce(i.brand_id, 0) AS brand_id, coalesce(i.unit_id, 0) AS unit_id,
       coalesce(i.channel_id, 0) AS channel_id, i.type_id, coalesce(i.outcome_id, 0) AS outcome_id,
       CASE WHEN i.sensitivity = 0 THEN coalesce(i.reason_id, 0) ELSE 0 END AS reason_id,
       count(*) AS interactions,
       count(*) FILTER (WHERE i.traits & 5 = 4) AS contacts,
       count(*) FILTER (WHERE i.traits & 9 = 8) AS unanswered,
       count(*) FILTER (WHERE i.traits & 17 = 16) AS refusals,
       count(*) FILTER (WHERE i.traits & 2049 = 2048) AS deflections,
       count(*) FILTER (WHERE i.traits & 4097 = 4096) AS transfers,
       count(*) FILTER (WHERE i.traits & 8193 = 8192) AS misroutes
FROM polku.interaction i
GROUP BY 1, 2, 3, 4, 5, 6, 7

-- aggregate need_hourly
SELECT date_trunc('hour', i.occurred_at, 'UTC') AS hour, coalesce(i.brand_id, 0) AS brand_id, coalesce(i.stage_id, 0) AS stage_id,
       coalesce(i.topic_id, 0) AS topic_id, coalesce(i.cause_id, 0) AS cause_id,
       count(*) AS interactions,
       count(*) FILTER (WHERE i.traits & 5 = 4) AS contacts
FROM polku.interaction i
WHERE i.sensitivity = 0 AND coalesce(i.stage_id, i.topic_id, i.cause_id) IS NOT NULL
GROUP BY 1, 2, 3, 4, 5

-- aggregate rating_hourly
-- Thousandths of the number exactly as it is stored, rounded half away from zero: x * 1000 would round before. Of |x| the
-- whole part, 30 bits behind the point and what is left are each taken times 1000 without loss; then half is added in units of
-- 2^-30 and the fraction cut off.
SELECT date_trunc('hour', i.occurred_at, 'UTC') AS hour, coalesce(i.brand_id, 0) AS brand_id, coalesce(i.unit_id, 0) AS unit_id,
       coalesce(i.channel_id, 0) AS channel_id, coalesce(i.rating_scale_id, 0) AS scale_id, r.score, r.min, r.max,
       count(*) AS ratings
FROM polku.interaction i
CROSS JOIN LATERAL (
    SELECT max(t.thousandths) FILTER (WHERE t.place = 1) AS score, max(t.thousandths) FILTER (WHERE t.place = 2) AS min,
           max(t.thousandths) FILTER (WHERE t.place = 3) AS max
    FROM (SELECT v.place, sign(v.x)::integer * CASE WHEN abs(v.x) >= 2000000 THEN 2000000000
                 ELSE ((b.whole * 1000 * 1073741824 + b.bits * 1000 + floor((b.fraction - b.bits) * 1000)::bigint + 536870912) >> 30)::integer
                 END AS thousandths
          FROM (VALUES (1, i.rating_score), (2, i.rating_min), (3, i.rating_max)) AS v (place, x)
          CROSS JOIN LATERAL (SELECT least(abs(v.x), 2000000) AS x) a
          CROSS JOIN LATERAL (SELECT trunc(a.x)::bigint AS whole, (a.x - trunc(a.x)) * 1073741824 AS fraction,
                                     trunc((a.x - trunc(a.x)) * 1073741824)::bigint AS bits) b) t) r
WHERE i.rating_score IS NOT NULL
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8

-- aggregate money_hourly
SELECT date_trunc('hour', i.occurred_at, 'UTC') AS hour, coalesce(i.brand_id, 0) AS brand_id, coalesce(i.unit_id, 0) AS unit_id,
       coalesce(i.money_kind_id, 0) AS kind_id, coalesce(i.money_currency_id, 0) AS currency_id,
       count(*) AS events,
       coalesce(sum(i.money_amount_minor) FILTER (WHERE i.money_amount_minor BETWEEN -1000000000000 AND 1000000000000), 0) AS amount_minor,
       count(*) FILTER (WHERE i.money_amount_minor NOT BETWEEN -1000000000000 AND 1000000000000) AS out_of_range
FROM polku.interaction i
WHERE i.money_amount_minor IS NOT NULL
GROUP BY 1, 2, 3, 4, 5

-- aggregate repeat_daily
SELECT date_trunc('day', c.occurred_at, 'UTC') AS day, c.brand_id, c.unit_id, c.channel_id, c.cause_id, c.topic_id,
       count(*) AS contacts,
       count(*) FILTER (WHERE c.next_at - c.occurred_at <= interval '1 day') AS repeated_1d,
       count(*) FILTER (WHERE c.next_at - c.occurred_at <= interval '7 days') AS repeated_7d,
       count(*) FILTER (WHERE c.next_at - c.occurred_at <= interval '14 days') AS repeated_14d,
       count(*) FILTER (WHERE c.next_at - c.occurred_at <= interval '30 days') AS repeated_30d
FROM (SELECT n.*, lead(n.occurred_at) OVER (PARTITION BY n.customer_id, n.cause_id, n.topic_id
                                            ORDER BY n.occurred_at, n.sequence, n.source, n.event_id) AS next_at
      FROM (SELECT i.occurred_at, i.sequence, s.text AS source, i.event_id, i.customer_id, coalesce(i.brand_id, 0) AS brand_id,
                   coalesce(i.unit_id, 0) AS unit_id, coalesce(i.channel_id, 0) AS channel_id,
                   coalesce(i.cause_id, 0) AS cause_id, CASE WHEN i.cause_id IS NULL THEN i.topic_id ELSE 0 END AS topic_id
            FROM polku.interaction i
            JOIN polku.dictionary s ON s.id = i.source_id
            WHERE i.traits & 5 = 4 AND i.direction = 0 AND i.sensitivity = 0 AND i.customer_id IS NOT NULL
              AND coalesce(i.cause_id, i.topic_id) IS NOT NULL) n) c
GROUP BY 1, 2, 3, 4, 5, 6

-- aggregate transition_hourly
SELECT date_trunc('hour', c.occurred_at, 'UTC') AS hour, c.brand_id, c.from_channel_id, c.channel_id AS to_channel_id,
       CASE WHEN c.failed AND c.from_channel_id <> c.channel_id THEN 1 ELSE 0 END AS fallback,
       count(*) AS transitions,
       sum(extract(epoch FROM c.occurred_at - c.before_at) * 1000000)::bigint AS wait_us
FROM (SELECT i.occurred_at, coalesce(i.brand_id, 0) AS brand_id, coalesce(i.channel_id, 0) AS channel_id,
             lag(i.occurred_at) OVER journey AS before_at,
             lag(coalesce(i.channel_id, 0)) OVER journey AS from_channel_id,
             lag(i.traits & 16384 <> 0) OVER journey AS failed
      FROM polku.interaction i
      JOIN polku.dictionary s ON s.id = i.source_id
      JOIN polku.journey j ON j.journey_id = i.journey_id AND NOT j.crowd
      WHERE i.traits & 5 = 4
      WINDOW journey AS (PARTITION BY i.journey_id ORDER BY i.occurred_at, i.sequence, s.text, i.event_id)) c
WHERE c.before_at IS NOT NULL
GROUP BY 1, 2, 3, 4, 5

-- aggregate duration_hourly
-- replies: how many human replies stand up to an event. A wait begins with the first inbound contact of those with equal
-- numbers and ends with the next reply.
WITH step AS (
    SELECT i.journey_id, i.occurred_at, coalesce(i.brand_id, 0) AS brand_id, coalesce(i.unit_id, 0) AS unit_id,
           coalesce(i.channel_id, 0) AS channel_id, i.traits & 128 <> 0 AS reply, i.traits & 4 <> 0 AND i.direction = 0 AS inbound,
           count(*) FILTER (WHERE i.traits & 128 <> 0) OVER journey AS replies,
           row_number() OVER journey AS place
    FROM polku.interaction i
    JOIN polku.dictionary s ON s.id = i.source_id
    JOIN polku.journey j ON j.journey_id = i.journey_id AND NOT j.crowd
    WHERE i.traits & 1 = 0 AND (i.traits & 128 <> 0 OR i.traits & 4 <> 0 AND i.direction = 0)
    WINDOW journey AS (PARTITION BY i.journey_id ORDER BY i.occurred_at, i.sequence, s.text, i.event_id)
), measured (measure, from_at, to_at, brand_id, unit_id, channel_id) AS (
    SELECT 'first_reply', j.first_inbound_at, j.first_human_reply_at, coalesce(j.entry_brand_id, 0),
           coalesce(j.entry_unit_id, 0), coalesce(j.entry_channel_id, 0)
    FROM polku.journey j WHERE NOT j.sealed AND j.first_inbound_at IS NOT NULL AND j.first_human_reply_at IS NOT NULL
    UNION ALL
    SELECT 'resolution', j.first_at, j.last_terminal_at, coalesce(j.entry_brand_id, 0), coalesce(j.entry_unit_id, 0),
           coalesce(j.entry_channel_id, 0)
    FROM polku.journey j WHERE NOT j.sealed AND j.resolved AND j.last_terminal_at IS NOT NULL
    UNION ALL
    SELECT 'kept.' || k.text, o.opened_at, o.fulfilled_at, coalesce(o.brand_id, 0), coalesce(o.unit_id, 0), 0
    FROM polku.obligation o JOIN polku.dictionary k ON k.id = o.kind_id WHERE NOT o.sealed AND o.fulfilled_at IS NOT NULL
    UNION ALL
    SELECT 'next_reply', w.occurred_at, r.occurred_at, w.brand_id, w.unit_id, w.channel_id
    FROM (SELECT DISTINCT ON (journey_id, replies) * FROM step WHERE inbound ORDER BY journey_id, replies, place) w
    JOIN step r ON r.journey_id = w.journey_id AND r.reply AND r.replies = w.replies + 1
), calendar AS (
    SELECT p.brand_id, p.unit_id,
           (SELECT k.calendar_id FROM polku.calendar k
            WHERE (k.brands = '{}' OR b.text = ANY (k.brands)) AND (k.units = '{}' OR u.text = ANY (k.units))
            ORDER BY k.calendar_id LIMIT 1) AS calendar_id
    FROM (SELECT DISTINCT brand_id, unit_id FROM measured) p
    LEFT JOIN polku.dictionary b ON b.id = p.brand_id
    LEFT JOIN polku.dictionary u ON u.id = p.unit_id
), length AS (
    SELECT m.measure, m.from_at, m.brand_id, m.unit_id, m.channel_id, 0 AS clock,
           greatest((extract(epoch FROM m.to_at - m.from_at) * 1000000)::bigint, 0) AS us
    FROM measured m
    UNION ALL
    SELECT m.measure, m.from_at, m.brand_id, m.unit_id, m.channel_id, 1,
           CASE WHEN m.to_at <= m.from_at THEN 0
                WHEN c.calendar_id IS NULL THEN (extract(epoch FROM m.to_at - m.from_at) * 1000000)::bigint
                ELSE coalesce((SELECT o.before_us + (extract(epoch FROM least(m.to_at, o.to_at) - o.from_at) * 1000000)::bigint
                               FROM polku.calendar_open o WHERE o.calendar_id = c.calendar_id AND o.from_at <= m.to_at
                               ORDER BY o.from_at DESC LIMIT 1), 0)
                   - coalesce((SELECT o.before_us + (extract(epoch FROM least(m.from_at, o.to_at) - o.from_at) * 1000000)::bigint
                               FROM polku.calendar_open o WHERE o.calendar_id = c.calendar_id AND o.from_at <= m.from_at
                               ORDER BY o.from_at DESC LIMIT 1), 0) END
    FROM measured m
    JOIN calendar c ON c.brand_id = m.brand_id AND c.unit_id = m.unit_id
)
SELECT date_trunc('hour', l.from_at, 'UTC') AS hour, coalesce(n.id, 0) AS measure_id, l.clock, l.brand_id, l.unit_id, l.channel_id,
       (CASE WHEN e.ms < 8 THEN e.ms ELSE 8 * (e.log2 - 2) + (e.ms >> (e.log2 - 3)) - 8 END)::integer AS bucket,
       count(*) AS durations,
       sum(l.us)::bigint AS total_us
FROM length l
CROSS JOIN LATERAL (SELECT l.us / 1000 AS ms, 64 - position(B'1' IN (l.us / 1000)::bit(64)) AS log2) e
LEFT JOIN polku.dictionary n ON n.text = l.measure
GROUP BY 1, 2, 3, 4, 5, 6, 7

-- aggregate journey_daily
SELECT date_trunc('day', j.first_at, 'UTC') AS day, coalesce(j.entry_brand_id, 0) AS brand_id, coalesce(j.entry_unit_id, 0) AS unit_id,
       coalesce(j.entry_channel_id, 0) AS channel_id, j.resolved::integer AS resolved,
       coalesce(j.terminal_outcome_id, 0) AS terminal_outcome_id,
       count(*) AS journeys, sum(j.events) AS events, sum(j.contacts) AS contacts, sum(j.switches) AS switches,
       sum(j.fallbacks) AS fallbacks, sum(j.repeats) AS repeats, sum(j.unanswered) AS unanswered, sum(j.refusals) AS refusals,
       sum(j.deflections) AS deflections, sum(j.handoffs_offered) AS handoffs_offered, sum(j.reopened) AS reopened,
       sum(j.effort) AS effort,
       count(*) FILTER (WHERE j.contacts = 1) AS single_contact,
       count(*) FILTER (WHERE j.owners = 1 AND j.ownerless_us = 0 AND j.ownerless_since IS NULL) AS one_owner,
       count(*) FILTER (WHERE j.owners = 0) AS without_owner
FROM polku.journey j
WHERE NOT j.sealed
GROUP BY 1, 2, 3, 4, 5, 6

-- aggregate obligation_hourly
SELECT coalesce(date_trunc('hour', o.due_to, 'UTC'), 'infinity') AS due_hour, o.kind_id, coalesce(o.brand_id, 0) AS brand_id,
       coalesce(o.unit_id, 0) AS unit_id,
       count(*) AS opened,
       count(*) FILTER (WHERE s.state = 'kept') AS kept,
       count(*) FILTER (WHERE s.state = 'kept_late_in_window') AS kept_late_in_window,
       count(*) FILTER (WHERE s.state = 'late') AS late,
       count(*) FILTER (WHERE s.state = 'open' AND o.attempts > 0) AS attempted,
       count(*) FILTER (WHERE s.state = 'rejected') AS rejected,
       count(*) FILTER (WHERE s.state = 'withdrawn') AS withdrawn,
       count(*) FILTER (WHERE o.cycle > 1) AS looped,
       count(*) FILTER (WHERE o.unit_id IS NULL AND o.role_id IS NULL) AS no_owner,
       sum(o.attempts) AS attempts
FROM polku.obligation o
CROSS JOIN LATERAL (
    SELECT CASE WHEN o.withdrawn_at IS NOT NULL THEN 'withdrawn'
                WHEN o.rejected_at IS NOT NULL THEN 'rejected'
                WHEN o.fulfilled_at IS NULL THEN 'open'
                WHEN o.fulfilled_at > o.due_to THEN 'late'
                WHEN 10 * (o.fulfilled_at - o.due_from) > 9 * (o.due_to - o.due_from) THEN 'kept_late_in_window'
                ELSE 'kept' END AS state) s
WHERE NOT o.sealed
GROUP BY 1, 2, 3, 4

-- aggregate handoff_hourly
SELECT date_trunc('hour', o.opened_at, 'UTC') AS hour, o.kind_id, coalesce(o.from_brand_id, 0) AS from_brand_id,
       coalesce(o.from_unit_id, 0) AS from_unit_id, coalesce(o.brand_id, 0) AS to_brand_id, coalesce(o.unit_id, 0) AS to_unit_id,
       count(*) AS offered,
       count(*) FILTER (WHERE s.accepted) AS accepted,
       count(*) FILTER (WHERE o.rejected_at IS NOT NULL AND o.withdrawn_at IS NULL) AS rejected,
       count(*) FILTER (WHERE o.withdrawn_at IS NOT NULL) AS withdrawn,
       coalesce(sum(greatest((extract(epoch FROM o.fulfilled_at - o.opened_at) * 1000000)::bigint, 0)) FILTER (WHERE s.accepted), 0) AS wait_us
FROM polku.obligation o
CROSS JOIN LATERAL (SELECT o.fulfilled_at IS NOT NULL AND o.rejected_at IS NULL AND o.withdrawn_at IS NULL AS accepted) s
WHERE o.handoff AND NOT o.sealed
GROUP BY 1, 2, 3, 4, 5, 6

-- aggregate course_daily
SELECT date_trunc('day', c.start_at, 'UTC') AS day, c.definition_id,
       count(*) AS courses,
       count(c.goal_at) AS completed,
       count(*) FILTER (WHERE c.violations = 0 AND c.skipped = 0) AS conformant,
       count(c.goal_at) FILTER (WHERE c.violations = 0 AND c.skipped = 0) AS completed_conformant,
       sum(c.violations) AS violations,
       sum(c.skipped) AS skipped,
       coalesce(sum((extract(epoch FROM c.goal_at - c.start_at) * 1000000)::bigint), 0) AS goal_us
FROM (SELECT k.* FROM polku.course k JOIN polku.journey j ON j.journey_id = k.journey_id AND NOT j.sealed) c
GROUP BY 1, 2

-- aggregate milestone_daily
SELECT date_trunc('day', c.start_at, 'UTC') AS day, c.definition_id, m.milestone,
       count(m.reached_at) AS reached,
       count(*) FILTER (WHERE c.goal_at IS NULL AND c.furthest = m.milestone) AS fallout,
       count(*) FILTER (WHERE m.reached_at IS NULL AND m.milestone < c.furthest AND NOT d.optional) AS skipped,
       sum(m.failures) AS failures,
       count(*) FILTER (WHERE m.failures > 0) AS failed
FROM (SELECT k.* FROM polku.course k JOIN polku.journey j ON j.journey_id = k.journey_id AND NOT j.sealed) c
CROSS JOIN LATERAL (
    SELECT 0 AS milestone, NULL::timestamptz AS reached_at, 0 AS failures
    UNION ALL
    SELECT n, c.reached_at[n], coalesce(c.failures[n], 0)
    FROM generate_series(1, greatest(cardinality(c.reached_at), cardinality(c.failures))) n) m
LEFT JOIN polku.milestone d ON d.definition_id = c.definition_id AND d.milestone = m.milestone
WHERE m.reached_at IS NOT NULL OR m.failures > 0 OR (c.goal_at IS NULL AND c.furthest = m.milestone)
   OR (m.milestone < c.furthest AND NOT d.optional)
GROUP BY 1, 2, 3

-- aggregate path_daily
SELECT date_trunc('day', c.start_at, 'UTC') AS day, c.definition_id, c.path_id,
       count(*) AS courses,
       count(c.goal_at) AS completed
FROM (SELECT k.* FROM polku.course k JOIN polku.journey j ON j.journey_id = k.journey_id AND NOT j.sealed) c
GROUP BY 1, 2, 3

-- facts step_daily 4 of step_daily
-- As the paths tell them, on days whose courses all have their whole path (at most 16 steps).
SELECT s.day, s.definition_id, s.from_milestone, s.to_milestone, sum(s.steps) AS steps
FROM polku.step_daily s
WHERE s.slot <> -1 AND NOT EXISTS (SELECT FROM (SELECT k.* FROM polku.course k JOIN polku.journey j ON j.journey_id = k.journey_id AND NOT j.sealed) c WHERE c.definition_id = s.definition_id AND c.steps > 16
                  AND date_trunc('day', c.start_at, 'UTC') = s.day)
GROUP BY 1, 2, 3, 4
HAVING sum(s.steps) <> 0
ORDER BY 1, 2, 3, 4
-- against
WITH course AS (
    SELECT date_trunc('day', c.start_at, 'UTC') AS day, c.definition_id, c.steps,
           CASE WHEN c.steps > 0 THEN string_to_array(p.text, '>') ELSE '{}' END AS path
    FROM (SELECT k.* FROM polku.course k JOIN polku.journey j ON j.journey_id = k.journey_id AND NOT j.sealed) c
    LEFT JOIN polku.dictionary p ON p.id = c.path_id
)
SELECT c.day, c.definition_id, coalesce(c.path[n]::integer, 0) AS from_milestone, coalesce(c.path[n + 1]::integer, 0) AS to_milestone,
       count(*) AS steps
FROM course c
CROSS JOIN LATERAL generate_series(0, cardinality(c.path)) n
WHERE NOT EXISTS (SELECT FROM course l WHERE l.definition_id = c.definition_id AND l.day = c.day AND l.steps > 16)
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2, 3, 4

-- facts step_daily_sums 2 of step_daily
-- One step from the start and one to the end of every course, and as many between as courses have steps.
SELECT s.day, s.definition_id, sum(s.steps) FILTER (WHERE s.from_milestone = 0) AS begun,
       sum(s.steps) FILTER (WHERE s.to_milestone = 0) AS ended, sum(s.steps) AS steps
FROM polku.step_daily s
WHERE s.slot <> -1
GROUP BY 1, 2
HAVING sum(s.steps) <> 0
ORDER BY 1, 2
-- against
SELECT date_trunc('day', c.start_at, 'UTC') AS day, c.definition_id, count(*) AS begun, count(*) AS ended,
       sum(c.steps) + count(*) AS steps
FROM (SELECT k.* FROM polku.course k JOIN polku.journey j ON j.journey_id = k.journey_id AND NOT j.sealed) c
GROUP BY 1, 2
ORDER BY 1, 2

-- facts step_daily_balance 3 of step_daily
-- Whatever comes to a milestone leaves it.
SELECT s.day, s.definition_id, s.from_milestone AS milestone, sum(s.steps) AS steps
FROM polku.step_daily s
WHERE s.slot <> -1 AND s.from_milestone <> 0
GROUP BY 1, 2, 3
HAVING sum(s.steps) <> 0
ORDER BY 1, 2, 3
-- against
SELECT s.day, s.definition_id, s.to_milestone, sum(s.steps) AS steps
FROM polku.step_daily s
WHERE s.slot <> -1 AND s.to_milestone <> 0
GROUP BY 1, 2, 3
HAVING sum(s.steps) <> 0
ORDER BY 1, 2, 3

-- Coarser copies against what they are copies of.

-- facts interaction_daily 4 of interaction_daily
SELECT c.day, c.brand_id, c.channel_id, c.reason_id, sum(c.interactions) AS interactions, sum(c.contacts) AS contacts, sum(c.unanswered) AS unanswered, sum(c.refusals) AS refusals, sum(c.deflections) AS deflections, sum(c.transfers) AS transfers, sum(c.misroutes) AS misroutes
FROM polku.interaction_daily c
GROUP BY 1, 2, 3, 4
HAVING sum(c.interactions) <> 0 OR sum(c.contacts) <> 0 OR sum(c.unanswered) <> 0 OR sum(c.refusals) <> 0 OR sum(c.deflections) <> 0 OR sum(c.transfers) <> 0 OR sum(c.misroutes) <> 0
ORDER BY 1, 2, 3, 4
-- against
SELECT date_trunc('day', f.hour, 'UTC') AS day, f.brand_id, f.channel_id, f.reason_id, sum(f.interactions) AS interactions, sum(f.contacts) AS contacts, sum(f.unanswered) AS unanswered, sum(f.refusals) AS refusals, sum(f.deflections) AS deflections, sum(f.transfers) AS transfers, sum(f.misroutes) AS misroutes
FROM polku.interaction_hourly f
GROUP BY 1, 2, 3, 4
HAVING sum(f.interactions) <> 0 OR sum(f.contacts) <> 0 OR sum(f.unanswered) <> 0 OR sum(f.refusals) <> 0 OR sum(f.deflections) <> 0 OR sum(f.transfers) <> 0 OR sum(f.misroutes) <> 0
ORDER BY 1, 2, 3, 4

-- facts need_daily 3 of need_daily
SELECT c.day, c.brand_id, c.cause_id, sum(c.interactions) AS interactions, sum(c.contacts) AS contacts
FROM polku.need_daily c
GROUP BY 1, 2, 3
HAVING sum(c.interactions) <> 0 OR sum(c.contacts) <> 0
ORDER BY 1, 2, 3
-- against
SELECT date_trunc('day', f.hour, 'UTC') AS day, f.brand_id, f.cause_id, sum(f.interactions) AS interactions, sum(f.contacts) AS contacts
FROM polku.need_hourly f
GROUP BY 1, 2, 3
HAVING sum(f.interactions) <> 0 OR sum(f.contacts) <> 0
ORDER BY 1, 2, 3

-- facts rating_monthly 7 of rating_monthly
SELECT c.month, c.brand_id, c.channel_id, c.scale_id, c.score, c.min, c.max, sum(c.ratings) AS ratings
FROM polku.rating_monthly c
GROUP BY 1, 2, 3, 4, 5, 6, 7
HAVING sum(c.ratings) <> 0
ORDER BY 1, 2, 3, 4, 5, 6, 7
-- against
SELECT date_trunc('month', f.hour, 'UTC') AS month, f.brand_id, f.channel_id, f.scale_id, f.score, f.min, f.max, sum(f.ratings) AS ratings
FROM polku.rating_hourly f
GROUP BY 1, 2, 3, 4, 5, 6, 7
HAVING sum(f.ratings) <> 0
ORDER BY 1, 2, 3, 4, 5, 6, 7

-- facts money_monthly 5 of money_monthly
SELECT c.month, c.brand_id, c.unit_id, c.kind_id, c.currency_id, sum(c.events) AS events, sum(c.amount_minor) AS amount_minor, sum(c.out_of_range) AS out_of_range
FROM polku.money_monthly c
GROUP BY 1, 2, 3, 4, 5
HAVING sum(c.events) <> 0 OR sum(c.amount_minor) <> 0 OR sum(c.out_of_range) <> 0
ORDER BY 1, 2, 3, 4, 5
-- against
SELECT date_trunc('month', f.hour, 'UTC') AS month, f.brand_id, f.unit_id, f.kind_id, f.currency_id, sum(f.events) AS events, sum(f.amount_minor) AS amount_minor, sum(f.out_of_range) AS out_of_range
FROM polku.money_hourly f
GROUP BY 1, 2, 3, 4, 5
HAVING sum(f.events) <> 0 OR sum(f.amount_minor) <> 0 OR sum(f.out_of_range) <> 0
ORDER BY 1, 2, 3, 4, 5

-- facts repeat_channel_daily 3 of repeat_channel_daily
SELECT c.day, c.brand_id, c.channel_id, sum(c.contacts) AS contacts, sum(c.repeated_1d) AS repeated_1d, sum(c.repeated_7d) AS repeated_7d, sum(c.repeated_14d) AS repeated_14d, sum(c.repeated_30d) AS repeated_30d
FROM polku.repeat_channel_daily c
GROUP BY 1, 2, 3
HAVING sum(c.contacts) <> 0 OR sum(c.repeated_1d) <> 0 OR sum(c.repeated_7d) <> 0 OR sum(c.repeated_14d) <> 0 OR sum(c.repeated_30d) <> 0
ORDER BY 1, 2, 3
-- against
SELECT date_trunc('day', f.day, 'UTC') AS day, f.brand_id, f.channel_id, sum(f.contacts) AS contacts, sum(f.repeated_1d) AS repeated_1d, sum(f.repeated_7d) AS repeated_7d, sum(f.repeated_14d) AS repeated_14d, sum(f.repeated_30d) AS repeated_30d
FROM polku.repeat_daily f
GROUP BY 1, 2, 3
HAVING sum(f.contacts) <> 0 OR sum(f.repeated_1d) <> 0 OR sum(f.repeated_7d) <> 0 OR sum(f.repeated_14d) <> 0 OR sum(f.repeated_30d) <> 0
ORDER BY 1, 2, 3

-- facts transition_daily 5 of transition_daily
SELECT c.day, c.brand_id, c.from_channel_id, c.to_channel_id, c.fallback, sum(c.transitions) AS transitions, sum(c.wait_us) AS wait_us
FROM polku.transition_daily c
GROUP BY 1, 2, 3, 4, 5
HAVING sum(c.transitions) <> 0 OR sum(c.wait_us) <> 0
ORDER BY 1, 2, 3, 4, 5
-- against
SELECT date_trunc('day', f.hour, 'UTC') AS day, f.brand_id, f.from_channel_id, f.to_channel_id, f.fallback, sum(f.transitions) AS transitions, sum(f.wait_us) AS wait_us
FROM polku.transition_hourly f
GROUP BY 1, 2, 3, 4, 5
HAVING sum(f.transitions) <> 0 OR sum(f.wait_us) <> 0
ORDER BY 1, 2, 3, 4, 5

-- facts duration_daily 6 of duration_daily
SELECT c.day, c.measure_id, c.clock, c.brand_id, c.channel_id, c.bucket, sum(c.durations) AS durations, sum(c.total_us) AS total_us
FROM polku.duration_daily c
GROUP BY 1, 2, 3, 4, 5, 6
HAVING sum(c.durations) <> 0 OR sum(c.total_us) <> 0
ORDER BY 1, 2, 3, 4, 5, 6
-- against
SELECT date_trunc('day', f.hour, 'UTC') AS day, f.measure_id, f.clock, f.brand_id, f.channel_id, f.bucket, sum(f.durations) AS durations, sum(f.total_us) AS total_us
FROM polku.duration_hourly f
GROUP BY 1, 2, 3, 4, 5, 6
HAVING sum(f.durations) <> 0 OR sum(f.total_us) <> 0
ORDER BY 1, 2, 3, 4, 5, 6

-- facts journey_monthly 6 of journey_monthly
SELECT c.month, c.brand_id, c.unit_id, c.channel_id, c.resolved, c.terminal_outcome_id, sum(c.journeys) AS journeys, sum(c.events) AS events, sum(c.contacts) AS contacts, sum(c.switches) AS switches, sum(c.fallbacks) AS fallbacks, sum(c.repeats) AS repeats, sum(c.unanswered) AS unanswered, sum(c.refusals) AS refusals, sum(c.deflections) AS deflections, sum(c.handoffs_offered) AS handoffs_offered, sum(c.reopened) AS reopened, sum(c.effort) AS effort, sum(c.single_contact) AS single_contact, sum(c.one_owner) AS one_owner, sum(c.without_owner) AS without_owner
FROM polku.journey_monthly c
GROUP BY 1, 2, 3, 4, 5, 6
HAVING sum(c.journeys) <> 0 OR sum(c.events) <> 0 OR sum(c.contacts) <> 0 OR sum(c.switches) <> 0 OR sum(c.fallbacks) <> 0 OR sum(c.repeats) <> 0 OR sum(c.unanswered) <> 0 OR sum(c.refusals) <> 0 OR sum(c.deflections) <> 0 OR sum(c.handoffs_offered) <> 0 OR sum(c.reopened) <> 0 OR sum(c.effort) <> 0 OR sum(c.single_contact) <> 0 OR sum(c.one_owner) <> 0 OR sum(c.without_owner) <> 0
ORDER BY 1, 2, 3, 4, 5, 6
-- against
SELECT date_trunc('month', f.day, 'UTC') AS month, f.brand_id, f.unit_id, f.channel_id, f.resolved, f.terminal_outcome_id, sum(f.journeys) AS journeys, sum(f.events) AS events, sum(f.contacts) AS contacts, sum(f.switches) AS switches, sum(f.fallbacks) AS fallbacks, sum(f.repeats) AS repeats, sum(f.unanswered) AS unanswered, sum(f.refusals) AS refusals, sum(f.deflections) AS deflections, sum(f.handoffs_offered) AS handoffs_offered, sum(f.reopened) AS reopened, sum(f.effort) AS effort, sum(f.single_contact) AS single_contact, sum(f.one_owner) AS one_owner, sum(f.without_owner) AS without_owner
FROM polku.journey_daily f
GROUP BY 1, 2, 3, 4, 5, 6
HAVING sum(f.journeys) <> 0 OR sum(f.events) <> 0 OR sum(f.contacts) <> 0 OR sum(f.switches) <> 0 OR sum(f.fallbacks) <> 0 OR sum(f.repeats) <> 0 OR sum(f.unanswered) <> 0 OR sum(f.refusals) <> 0 OR sum(f.deflections) <> 0 OR sum(f.handoffs_offered) <> 0 OR sum(f.reopened) <> 0 OR sum(f.effort) <> 0 OR sum(f.single_contact) <> 0 OR sum(f.one_owner) <> 0 OR sum(f.without_owner) <> 0
ORDER BY 1, 2, 3, 4, 5, 6

-- facts obligation_daily 4 of obligation_daily
SELECT c.due_day, c.kind_id, c.brand_id, c.unit_id, sum(c.opened) AS opened, sum(c.kept) AS kept, sum(c.kept_late_in_window) AS kept_late_in_window, sum(c.late) AS late, sum(c.attempted) AS attempted, sum(c.rejected) AS rejected, sum(c.withdrawn) AS withdrawn, sum(c.looped) AS looped, sum(c.no_owner) AS no_owner, sum(c.attempts) AS attempts
FROM polku.obligation_daily c
GROUP BY 1, 2, 3, 4
HAVING sum(c.opened) <> 0 OR sum(c.kept) <> 0 OR sum(c.kept_late_in_window) <> 0 OR sum(c.late) <> 0 OR sum(c.attempted) <> 0 OR sum(c.rejected) <> 0 OR sum(c.withdrawn) <> 0 OR sum(c.looped) <> 0 OR sum(c.no_owner) <> 0 OR sum(c.attempts) <> 0
ORDER BY 1, 2, 3, 4
-- against
SELECT date_trunc('day', f.due_hour, 'UTC') AS due_day, f.kind_id, f.brand_id, f.unit_id, sum(f.opened) AS opened, sum(f.kept) AS kept, sum(f.kept_late_in_window) AS kept_late_in_window, sum(f.late) AS late, sum(f.attempted) AS attempted, sum(f.rejected) AS rejected, sum(f.withdrawn) AS withdrawn, sum(f.looped) AS looped, sum(f.no_owner) AS no_owner, sum(f.attempts) AS attempts
FROM polku.obligation_hourly f
GROUP BY 1, 2, 3, 4
HAVING sum(f.opened) <> 0 OR sum(f.kept) <> 0 OR sum(f.kept_late_in_window) <> 0 OR sum(f.late) <> 0 OR sum(f.attempted) <> 0 OR sum(f.rejected) <> 0 OR sum(f.withdrawn) <> 0 OR sum(f.looped) <> 0 OR sum(f.no_owner) <> 0 OR sum(f.attempts) <> 0
ORDER BY 1, 2, 3, 4

-- facts handoff_daily 6 of handoff_daily
SELECT c.day, c.kind_id, c.from_brand_id, c.from_unit_id, c.to_brand_id, c.to_unit_id, sum(c.offered) AS offered, sum(c.accepted) AS accepted, sum(c.rejected) AS rejected, sum(c.withdrawn) AS withdrawn, sum(c.wait_us) AS wait_us
FROM polku.handoff_daily c
GROUP BY 1, 2, 3, 4, 5, 6
HAVING sum(c.offered) <> 0 OR sum(c.accepted) <> 0 OR sum(c.rejected) <> 0 OR sum(c.withdrawn) <> 0 OR sum(c.wait_us) <> 0
ORDER BY 1, 2, 3, 4, 5, 6
-- against
SELECT date_trunc('day', f.hour, 'UTC') AS day, f.kind_id, f.from_brand_id, f.from_unit_id, f.to_brand_id, f.to_unit_id, sum(f.offered) AS offered, sum(f.accepted) AS accepted, sum(f.rejected) AS rejected, sum(f.withdrawn) AS withdrawn, sum(f.wait_us) AS wait_us
FROM polku.handoff_hourly f
GROUP BY 1, 2, 3, 4, 5, 6
HAVING sum(f.offered) <> 0 OR sum(f.accepted) <> 0 OR sum(f.rejected) <> 0 OR sum(f.withdrawn) <> 0 OR sum(f.wait_us) <> 0
ORDER BY 1, 2, 3, 4, 5, 6

-- ---- rows against the rows they stand for ----

-- facts journey_counts 1 of journey
SELECT j.journey_id, j.customer_id, j.events, j.contacts, j.handoffs_offered, j.handoffs_accepted, j.handoffs_rejected,
       j.unanswered, j.refusals, j.deflections, j.transfers, j.misroutes, j.proactive, j.thanks, j.people, j.repeats,
       j.first_inbound_at, j.decided_at, j.first_terminal_at, j.last_terminal_at
FROM polku.journey j
WHERE NOT j.sealed
ORDER BY 1
-- against
SELECT i.journey_id, i.customer_id, count(*) AS events,
       count(*) FILTER (WHERE i.traits & 5 = 4) AS contacts,
       count(*) FILTER (WHERE i.traits & 33 = 32) AS handoffs_offered,
       count(*) FILTER (WHERE i.traits & 65 = 64) AS handoffs_accepted,
       count(*) FILTER (WHERE i.traits & 257 = 256) AS handoffs_rejected,
       count(*) FILTER (WHERE i.traits & 9 = 8) AS unanswered,
       count(*) FILTER (WHERE i.traits & 17 = 16) AS refusals,
       count(*) FILTER (WHERE i.traits & 2049 = 2048) AS deflections,
       count(*) FILTER (WHERE i.traits & 4097 = 4096) AS transfers,
       count(*) FILTER (WHERE i.traits & 8193 = 8192) AS misroutes,
       count(*) FILTER (WHERE i.traits & 32769 = 32768) AS proactive,
       count(*) FILTER (WHERE i.traits & 65537 = 65536) AS thanks,
       least(count(DISTINCT i.staff) FILTER (WHERE i.traits & 1 = 0), 64) AS people,
       count(*) FILTER (WHERE i.repeated) AS repeats,
       min(i.occurred_at) FILTER (WHERE i.traits & 5 = 4 AND i.direction = 0) AS first_inbound_at,
       min(i.occurred_at) FILTER (WHERE i.traits & 131073 = 131072) AS decided_at,
       min(i.occurred_at) FILTER (WHERE i.traits & 3 = 2) AS first_terminal_at,
       max(i.occurred_at) FILTER (WHERE i.traits & 3 = 2) AS last_terminal_at
FROM (SELECT e.journey_id, e.customer_id, e.occurred_at, e.traits, e.direction, e.staff,
             CASE WHEN e.need THEN extract(epoch FROM e.occurred_at - lag(e.occurred_at) OVER (
                 PARTITION BY e.customer_id, e.need, e.cause_id, CASE WHEN e.cause_id IS NULL THEN e.topic_id END
                 ORDER BY e.occurred_at, e.sequence, e.source, e.event_id)) * 1000000 <= r.repeat_window_us END AS repeated
      FROM (SELECT n.*, s.text AS source,
                   n.traits & 5 = 4 AND n.direction = 0 AND n.sensitivity = 0
                   AND coalesce(n.cause_id, n.topic_id) IS NOT NULL AS need
            FROM polku.interaction n JOIN polku.dictionary s ON s.id = n.source_id WHERE n.customer_id IS NOT NULL) e
      CROSS JOIN polku.rules_state r) i
WHERE i.journey_id IS NOT NULL
GROUP BY 1, 2
ORDER BY 1, 2

-- facts journey_course 1 of journey
-- What depends on the order of a journey's events; those of crowds are left out.
SELECT j.journey_id, j.first_at, j.last_at, j.switches, j.fallbacks, j.reopened, j.resolved, j.first_human_reply_at,
       j.people_until_decision, coalesce(j.entry_channel_id, 0) AS entry_channel_id, coalesce(j.entry_brand_id, 0) AS entry_brand_id,
       coalesce(j.entry_unit_id, 0) AS entry_unit_id, coalesce(j.last_channel_id, 0) AS last_channel_id,
       coalesce(j.last_type_id, 0) AS last_type_id, coalesce(j.last_outcome_id, 0) AS last_outcome_id,
       coalesce(j.terminal_outcome_id, 0) AS terminal_outcome_id, coalesce(j.stage_id, 0) AS stage_id
FROM polku.journey j
WHERE NOT j.crowd AND NOT j.sealed
ORDER BY 1
-- against
WITH event AS (
    SELECT i.*, row_number() OVER journey AS place,
           row_number() OVER (PARTITION BY i.journey_id ORDER BY i.occurred_at DESC, i.sequence DESC, s.text DESC, i.event_id DESC) AS back,
           coalesce(lag(i.traits) OVER journey, 0) AS traits_before
    FROM polku.interaction i
    JOIN polku.dictionary s ON s.id = i.source_id
    JOIN polku.journey j ON j.journey_id = i.journey_id AND NOT j.crowd
    WHERE i.traits & 1 = 0
    WINDOW journey AS (PARTITION BY i.journey_id ORDER BY i.occurred_at, i.sequence, s.text, i.event_id)
), contact AS (
    SELECT e.journey_id,
           count(*) FILTER (WHERE e.before <> e.channel_id) AS switches,
           count(*) FILTER (WHERE e.before <> e.channel_id AND e.failed) AS fallbacks
    FROM (SELECT n.journey_id, coalesce(n.channel_id, 0) AS channel_id,
                 lag(coalesce(n.channel_id, 0)) OVER (PARTITION BY n.journey_id ORDER BY n.place) AS before,
                 lag(n.traits & 16384 <> 0) OVER (PARTITION BY n.journey_id ORDER BY n.place) AS failed
          FROM event n WHERE n.traits & 4 <> 0) e
    GROUP BY 1
), point AS (
    SELECT e.journey_id,
           min(e.place) FILTER (WHERE e.traits & 4 <> 0 AND e.direction = 0) AS inbound,
           min(e.place) FILTER (WHERE e.traits & 131072 <> 0) AS decision,
           max(e.place) FILTER (WHERE e.traits & 2 <> 0) AS terminal,
           max(e.place) FILTER (WHERE e.stage_id IS NOT NULL) AS stage
    FROM event e GROUP BY 1
)
SELECT e.journey_id,
       min(e.occurred_at) AS first_at,
       max(e.occurred_at) AS last_at,
       coalesce(max(c.switches), 0) AS switches,
       coalesce(max(c.fallbacks), 0) AS fallbacks,
       count(*) FILTER (WHERE e.traits & 2 = 0 AND e.traits_before & 2 <> 0) AS reopened,
       bool_or(e.back = 1 AND e.traits & 2 <> 0) AS resolved,
       min(e.occurred_at) FILTER (WHERE e.place > p.inbound AND e.traits & 128 <> 0) AS first_human_reply_at,
       least(count(DISTINCT e.staff) FILTER (WHERE e.place <= p.decision), 64) AS people_until_decision,
       coalesce(max(e.channel_id) FILTER (WHERE e.place = 1), 0) AS entry_channel_id,
       coalesce(max(e.brand_id) FILTER (WHERE e.place = 1), 0) AS entry_brand_id,
       coalesce(max(e.unit_id) FILTER (WHERE e.place = 1), 0) AS entry_unit_id,
       coalesce(max(e.channel_id) FILTER (WHERE e.back = 1), 0) AS last_channel_id,
       coalesce(max(e.type_id) FILTER (WHERE e.back = 1), 0) AS last_type_id,
       coalesce(max(e.outcome_id) FILTER (WHERE e.back = 1), 0) AS last_outcome_id,
       coalesce(max(e.outcome_id) FILTER (WHERE e.place = p.terminal), 0) AS terminal_outcome_id,
       coalesce(max(e.stage_id) FILTER (WHERE e.place = p.stage), 0) AS stage_id
FROM event e
JOIN point p ON p.journey_id = e.journey_id
LEFT JOIN contact c ON c.journey_id = e.journey_id
GROUP BY 1
ORDER BY 1

-- facts customer_purchases 1 of customer
SELECT c.customer_id, c.kind, c.purchases, c.first_purchase_at, c.last_purchase_at
FROM polku.customer c
ORDER BY 1
-- against
WITH event AS (
    SELECT i.customer_id, i.customer_kind AS kind,
           count(*) FILTER (WHERE i.traits & 4194304 <> 0) AS purchases,
           min(i.occurred_at) FILTER (WHERE i.traits & 4194304 <> 0) AS first_purchase_at,
           max(i.occurred_at) FILTER (WHERE i.traits & 4194304 <> 0) AS last_purchase_at
    FROM polku.interaction i
    WHERE i.customer_id IS NOT NULL
    GROUP BY 1, 2
)
SELECT coalesce(e.customer_id, c.customer_id) AS customer_id, coalesce(e.kind, c.sealed_kind) AS kind,
       coalesce(e.purchases, 0) + coalesce(c.sealed_purchases, 0) AS purchases,
       least(e.first_purchase_at, c.sealed_first_purchase_at) AS first_purchase_at,
       greatest(e.last_purchase_at, c.sealed_last_purchase_at) AS last_purchase_at
FROM event e
FULL JOIN (SELECT * FROM polku.customer WHERE sealed_events > 0) c ON c.customer_id = e.customer_id
ORDER BY 1, 2

-- rows interaction_journey of interaction
SELECT format('interaction (%s, %s)', i.occurred_at, i.event_hash), 'journey_id', i.journey_id,
       CASE WHEN j.journey_id IS NULL THEN 'a journey that exists' ELSE format('a journey of customer %s', coalesce(i.customer_id::text, 'none')) END
FROM polku.interaction i
LEFT JOIN polku.journey j ON j.journey_id = i.journey_id
WHERE i.journey_id IS NOT NULL AND j.customer_id IS DISTINCT FROM i.customer_id

-- rows obligation_opened_by of obligation
SELECT format('obligation %s', o.obligation_id), x.name, x.stored, x.expected
FROM polku.obligation o
LEFT JOIN polku.interaction i ON i.occurred_at = o.opened_at AND i.event_hash = o.opened_by
CROSS JOIN LATERAL (VALUES
    ('opened_by', o.opened_by::text, CASE WHEN i.event_hash IS NULL THEN format('an event at %s', o.opened_at) ELSE o.opened_by::text END),
    ('customer_id', o.customer_id::text, coalesce(i.customer_id::text, 'that of an event')),
    ('journey_id', o.journey_id::text, i.journey_id::text),
    ('case_key', o.case_key::text, i.case_key::text)) AS x (name, stored, expected)
WHERE NOT o.sealed AND x.stored IS DISTINCT FROM x.expected

-- rows obligation_fulfilled_by of obligation
SELECT format('obligation %s', o.obligation_id), 'fulfilled_by', o.fulfilled_by, format('an event at %s', o.fulfilled_at)
FROM polku.obligation o
LEFT JOIN polku.interaction i ON i.occurred_at = o.fulfilled_at AND i.event_hash = o.fulfilled_by
WHERE NOT o.sealed AND (o.fulfilled_at IS NOT NULL OR o.fulfilled_by IS NOT NULL) AND i.event_hash IS NULL

-- rows sealed_customer of customer
-- Whoever has sealed rows has a row, which counts sealed events.
SELECT format('%s %s', x.name, x.id), 'customer_id', x.customer_id, 'a customer with sealed events'
FROM (SELECT 'journey' AS name, j.journey_id AS id, j.customer_id FROM polku.journey j WHERE j.sealed
      UNION ALL SELECT 'obligation', o.obligation_id, o.customer_id FROM polku.obligation o WHERE o.sealed) x
WHERE NOT EXISTS (SELECT FROM polku.customer c WHERE c.customer_id = x.customer_id AND c.sealed_events > 0)

-- rows sealed_obligation of obligation
SELECT format('obligation %s', o.obligation_id), 'opened_at', o.opened_at, 'before the latest retention'
FROM polku.obligation o
WHERE o.sealed AND NOT EXISTS (SELECT FROM polku.retention r WHERE o.opened_at < r.before)

-- rows sealed_journey of journey
SELECT format('journey %s', j.journey_id), 'first_at', j.first_at, 'before the latest retention'
FROM polku.journey j
WHERE j.sealed AND NOT EXISTS (SELECT FROM polku.retention r WHERE j.first_at < r.before)

-- rows sealed_identifier of identifier
-- A sealed event is never before the first.
SELECT format('identifier %s', i.hash), 'first_at', i.first_at, i.sealed_at || ' or before'
FROM polku.identifier i
WHERE i.sealed_at IS NOT NULL AND (i.first_at IS NULL OR i.first_at > i.sealed_at)

-- rows course_journey of course
SELECT format('course (%s, %s)', c.journey_id, d.text), 'customer_id', c.customer_id, coalesce(j.customer_id::text, 'that of a journey')
FROM polku.course c
LEFT JOIN polku.journey j ON j.journey_id = c.journey_id
LEFT JOIN polku.dictionary d ON d.id = c.definition_id
WHERE j.customer_id IS DISTINCT FROM c.customer_id

-- rows identifier_cell of identifier
SELECT format('identifier %s', i.hash), 'cell_id', i.cell_id, 'a guard cell that exists'
FROM polku.identifier i
LEFT JOIN polku.guard_cell g ON g.cell_id = i.cell_id
WHERE g.cell_id IS NULL

-- rows event_names of interaction
-- Whatever carries a name is found through it: by the owner of the name, or a sighting.
SELECT format('interaction (%s, %s)', n.occurred_at, n.event_hash), n.name,
       CASE WHEN k.hash IS NULL THEN 'no identifier ' || n.hash ELSE format('no way from identifier %s to customer %s', n.hash, n.customer_id) END,
       'found through it'
FROM (SELECT i.occurred_at, i.event_hash, coalesce(i.customer_id, '00000000-0000-0000-0000-000000000000') AS customer_id, x.hash, x.name
      FROM polku.interaction i
      CROSS JOIN LATERAL (SELECT unnest(i.identifiers) AS hash, 'identifiers' AS name UNION SELECT i.case_key, 'case_key') x
      WHERE x.hash <> '00000000-0000-0000-0000-000000000000') n
LEFT JOIN polku.identifier k ON k.hash = n.hash
WHERE k.hash IS NULL
   OR coalesce(k.owner_id, '00000000-0000-0000-0000-000000000000') <> n.customer_id
      AND NOT EXISTS (SELECT FROM polku.sighting s WHERE s.key = n.hash AND s.customer_id = n.customer_id)

-- rows decision_flags of decision
-- Decisions in force stand in the flags of what they are about: 8 block, 16 unlink, 32 keep apart.
SELECT format('identifier %s', coalesce(d.hash, i.hash)), 'flags', coalesce((i.flags & 56)::text, 'no identifier'), coalesce(d.flags, 0)
FROM (SELECT x.hash, bit_or(8 << d.kind) AS flags
      FROM polku.decision d CROSS JOIN LATERAL (SELECT d.a AS hash UNION ALL SELECT d.b WHERE d.b IS NOT NULL) x
      WHERE d.restored_at IS NULL GROUP BY 1) d
FULL JOIN (SELECT k.hash, k.flags FROM polku.identifier k) i ON i.hash = d.hash
WHERE (i.flags & 56) IS DISTINCT FROM coalesce(d.flags, 0)

-- rows months of interaction
-- Each partition is one month (UTC), named after it.
SELECT c.oid::regclass::text, 'bounds', pg_get_expr(c.relpartbound, c.oid), coalesce('the month ' || to_char(m.first_day, 'YYYY-MM'), 'a month')
FROM pg_catalog.pg_inherits h
JOIN pg_catalog.pg_class c ON c.oid = h.inhrelid
LEFT JOIN LATERAL (
    SELECT to_date(substr(c.relname, 13), 'YYYY_MM') AS first_day
    WHERE c.relname ~ '^interaction_(199\d|20\d\d|21\d\d)_(0[1-9]|1[0-2])$') m ON true
WHERE h.inhparent = 'polku.interaction'::regclass
  AND pg_get_expr(c.relpartbound, c.oid) IS DISTINCT FROM format('FOR VALUES FROM (%L) TO (%L)', m.first_day::timestamp AT TIME ZONE 'UTC',
      (m.first_day + interval '1 month') AT TIME ZONE 'UTC')

-- ---- positions ----

-- rows position_of_events of interaction
SELECT format('interaction (%s, %s)', i.occurred_at, i.event_hash), 'kafka_offset', i.kafka_offset,
       CASE WHEN p.next_offset IS NULL THEN format('a position of %s[%s]', d.text, i.kafka_partition)
            ELSE format('less than %s, the position of %s[%s]', p.next_offset, d.text, i.kafka_partition) END
FROM polku.interaction i
LEFT JOIN polku.stream_position p ON p.topic_id = i.kafka_topic_id AND p.partition = i.kafka_partition
LEFT JOIN polku.dictionary d ON d.id = i.kafka_topic_id
WHERE p.next_offset IS NULL OR i.kafka_offset >= p.next_offset

-- rows position_of_quarantine of quarantine
SELECT format('quarantine (%s, %s, %s)', d.text, q.partition, q.kafka_offset), 'kafka_offset', q.kafka_offset,
       CASE WHEN p.next_offset IS NULL THEN 'a position of its partition' ELSE format('less than %s, the position', p.next_offset) END
FROM polku.quarantine q
LEFT JOIN polku.stream_position p ON p.topic_id = q.topic_id AND p.partition = q.partition
LEFT JOIN polku.dictionary d ON d.id = q.topic_id
WHERE p.next_offset IS NULL OR q.kafka_offset >= p.next_offset

-- rows size_of_quarantine of quarantine
-- What `--quarantine-space` is compared with.
SELECT 'the rows of quarantine_size together', x.name, x.stored, x.expected
FROM (SELECT coalesce(sum(s.records), 0) AS records, coalesce(sum(s.bytes), 0) AS bytes FROM polku.quarantine_size s) s
CROSS JOIN (SELECT count(*) AS records, coalesce(sum(q.bytes), 0) AS bytes FROM polku.quarantine q) q
CROSS JOIN LATERAL (VALUES ('records', s.records, q.records), ('bytes', s.bytes, q.bytes)) AS x (name, stored, expected)
WHERE x.stored <> x.expected

-- rows newest_times of stream_position
SELECT format('stream_position (%s, %s)', d.text, p.partition), x.name, x.stored, format('%s or later', x.expected)
FROM polku.stream_position p
JOIN (SELECT i.kafka_topic_id, i.kafka_partition, max(i.occurred_at) AS occurred_at, max(i.received_at) AS received_at
      FROM polku.interaction i GROUP BY 1, 2) i ON i.kafka_topic_id = p.topic_id AND i.kafka_partition = p.partition
LEFT JOIN polku.dictionary d ON d.id = p.topic_id
CROSS JOIN LATERAL (VALUES ('newest_occurred_at', p.newest_occurred_at, i.occurred_at),
                           ('newest_received_at', p.newest_received_at, i.received_at)) AS x (name, stored, expected)
WHERE coalesce(x.stored, '-infinity') < x.expected

-- rows one_record_one_event of interaction
SELECT format('%s[%s] at %s', d.text, i.kafka_partition, i.kafka_offset), 'events', i.events, 1
FROM (SELECT kafka_topic_id, kafka_partition, kafka_offset, count(*) AS events
      FROM polku.interaction GROUP BY 1, 2, 3 HAVING count(*) > 1) i
LEFT JOIN polku.dictionary d ON d.id = i.kafka_topic_id
