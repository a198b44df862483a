-- SPDX-License-Identifier: Apache-2.0
-- No figure disagrees with another one: each fact of schema bi asked in two ways. Asked by bi_ties.py.
--
--   -- tie: NAME            one statement: gives no row; two statements: give the same rows
--   -- tie at the end: NAME asked only as of a moment after the last event: one of the two sides knows no clock
--
-- A name without schema is the view of schema bi, read whole a moment before.

-- ======== events and their aggregates ========

-- tie: interaction_hourly is bi.interaction
SELECT hour, brand, unit, channel, type, outcome, reason, interactions, contacts, unanswered, refusals, deflections, transfers, misroutes
FROM interaction_hourly;
SELECT date_trunc('hour', occurred_at, 'UTC'), brand, unit, channel, type, outcome, reason, count(*),
       count(*) FILTER (WHERE is_contact AND NOT is_passive), count(*) FILTER (WHERE is_unanswered AND NOT is_passive),
       count(*) FILTER (WHERE is_refusal AND NOT is_passive), count(*) FILTER (WHERE is_deflection AND NOT is_passive),
       count(*) FILTER (WHERE is_transfer AND NOT is_passive), count(*) FILTER (WHERE is_misroute AND NOT is_passive)
FROM interaction GROUP BY 1, 2, 3, 4, 5, 6, 7;

-- tie: need_hourly is bi.interaction without sensitive events
SELECT hour, brand, stage, topic, cause, interactions, contacts FROM need_hourly;
SELECT date_trunc('hour', occurred_at, 'UTC'), brand, stage, topic, cause, count(*), count(*) FILTER (WHERE is_contact AND NOT is_passive)
FROM interaction WHERE NOT sensitive AND coalesce(stage, topic, cause) IS NOT NULL GROUP BY 1, 2, 3, 4, 5;

-- tie: cause_hourly is bi.interaction by cause
SELECT hour, brand, cause, interactions, contacts FROM cause_hourly;
SELECT date_trunc('hour', occurred_at, 'UTC'), brand, cause, count(*), count(*) FILTER (WHERE is_contact AND NOT is_passive)
FROM interaction WHERE cause IS NOT NULL GROUP BY 1, 2, 3;

-- tie: rating_hourly is bi.rating
SELECT hour, brand, unit, channel, scale, sum(ratings)::bigint FROM rating_hourly GROUP BY 1, 2, 3, 4, 5;
SELECT date_trunc('hour', occurred_at, 'UTC'), brand, unit, channel, scale, count(*) FROM rating GROUP BY 1, 2, 3, 4, 5;

-- tie: scores of rating_hourly are those of bi.rating, to the thousandth
SELECT * FROM (SELECT scale, sum(score * ratings) AS score, sum(min * ratings) AS min, sum(max * ratings) AS max FROM rating_hourly GROUP BY 1) h
JOIN (SELECT scale, count(*) AS n, sum(least(greatest(score, -2e6), 2e6)) AS score, sum(least(greatest(min, -2e6), 2e6)) AS min,
             sum(least(greatest(max, -2e6), 2e6)) AS max FROM rating GROUP BY 1) r USING (scale)
WHERE greatest(abs(h.score - r.score), abs(h.min - r.min), abs(h.max - r.max)) > 0.000501 * n;

-- tie: ratings of journeys are bi.rating
SELECT journey_id, sum(jsonb_array_length(ratings)) FROM journey WHERE ratings IS NOT NULL GROUP BY 1;
SELECT r.journey_id, count(*) FROM rating r JOIN interaction i USING (event_hash, occurred_at)
WHERE r.journey_id IS NOT NULL AND NOT i.is_passive GROUP BY 1;

-- tie: money_hourly is bi.interaction
SELECT hour, brand, unit, kind, currency, events, amount_minor, out_of_range FROM money_hourly;
SELECT date_trunc('hour', occurred_at, 'UTC'), brand, unit, money_kind, money_currency, count(*),
       coalesce(sum(money_amount_minor) FILTER (WHERE abs(money_amount_minor::numeric) <= 10 ^ 12), 0)::bigint,
       count(*) FILTER (WHERE abs(money_amount_minor::numeric) > 10 ^ 12)
FROM interaction WHERE money_amount_minor IS NOT NULL GROUP BY 1, 2, 3, 4, 5;

-- tie: journey_money is bi.interaction
SELECT journey_id, kind, currency, events, amount_minor FROM journey_money;
SELECT journey_id, money_kind, money_currency, count(*), sum(money_amount_minor)::bigint
FROM interaction WHERE money_amount_minor IS NOT NULL AND journey_id IS NOT NULL AND NOT is_passive GROUP BY 1, 2, 3;

-- tie: money of bi.journey is journey_money
SELECT j.journey_id, k.key, c.key, c.value::numeric FROM journey j, jsonb_each(j.money) k, jsonb_each_text(k.value) c;
SELECT journey_id, coalesce(kind, 'other'), coalesce(currency, '?'), sum(amount_minor) FROM journey_money GROUP BY 1, 2, 3;

-- tie: perception_gap is the mean of bi.rating
SELECT coalesce(p.brand, r.brand), p.unit, r.unit, p.belief, r.belief, p.measured, r.measured FROM perception_gap p
FULL JOIN (SELECT brand, unit, date_trunc('quarter', occurred_at, 'UTC') AS quarter, count(*) FILTER (WHERE scale = 'belief') AS beliefs,
           count(*) FILTER (WHERE scale <> 'belief') AS ratings, coalesce(avg(normalised) FILTER (WHERE scale = 'belief'), 0) AS belief,
           coalesce(avg(normalised) FILTER (WHERE scale <> 'belief'), 0) AS measured,
           bool_or(max - min < 0.1 OR greatest(abs(score), abs(min), abs(max)) >= 2e6) AS odd -- thousandths do not tell these
           FROM rating WHERE normalised IS NOT NULL AND scale IN ('belief', 'csat', 'nps', 'ces', 'stars') GROUP BY 1, 2, 3) r
    ON row(p.brand, p.unit, p.quarter)::text = row(r.brand, r.unit, r.quarter)::text
WHERE odd IS NOT TRUE AND coalesce(p.beliefs + p.ratings, 0) + coalesce(r.beliefs + r.ratings, 0) > 0
  AND ((p.beliefs, p.ratings) IS DISTINCT FROM (r.beliefs, r.ratings)
       OR greatest(abs(coalesce(p.belief, 0) - r.belief), abs(coalesce(p.measured, 0) - r.measured)) > 0.01);

-- tie: expectation meets the rating before it
SELECT event_hash, expected_at, round(expected::numeric, 6), round(got::numeric, 6), round(delta::numeric, 6) FROM expectation;
SELECT r.event_hash, e.occurred_at, round(e.normalised::numeric, 6), round(r.normalised::numeric, 6), round((r.normalised - e.normalised)::numeric, 6)
FROM rating r JOIN interaction i USING (event_hash, occurred_at)
JOIN LATERAL (SELECT x.occurred_at, x.normalised FROM rating x JOIN interaction y USING (event_hash, occurred_at)
    WHERE x.journey_id = r.journey_id AND x.scale = 'expectation'
      AND (y.occurred_at, y.sequence, y.source, y.event_id) < (i.occurred_at, i.sequence, i.source, i.event_id)
    ORDER BY y.occurred_at DESC, y.sequence DESC, y.source DESC, y.event_id DESC LIMIT 1) e ON true
WHERE r.scale NOT IN ('expectation', 'belief');

-- ======== contacts, needs, repeats ========

-- tie: bi.contact is bi.interaction
SELECT event_hash, occurred_at FROM contact;
SELECT event_hash, occurred_at FROM interaction WHERE is_contact AND NOT is_passive;

-- tie: contacts = contacts of journeys and contacts without a journey
SELECT count(*) FROM contact;
SELECT (SELECT coalesce(sum(contacts), 0) FROM journey) + (SELECT count(*) FROM contact WHERE journey_id IS NULL);

-- tie: a contact has a journey if it has a customer
SELECT * FROM contact WHERE (journey_id IS NULL) <> (customer_id IS NULL);

-- tie: repeat_daily, contacts
SELECT day, brand, unit, channel, coalesce(cause, topic), contacts FROM repeat_daily WHERE cause IS NULL OR topic IS NULL;
SELECT date_trunc('day', c.occurred_at, 'UTC'), c.brand, c.unit, c.channel, c.need, count(*) FROM contact c JOIN interaction i USING (event_hash, occurred_at)
WHERE c.need IS NOT NULL AND c.customer_id IS NOT NULL GROUP BY 1, 2, 3, 4, 5, i.cause IS NULL;

-- tie: repeat_daily, repeats by the contact before
SELECT day, brand, unit, channel, coalesce(cause, topic), repeated_1d, repeated_7d, repeated_14d, repeated_30d FROM repeat_daily WHERE repeated_30d <> 0;
SELECT date_trunc('day', c.previous_at, 'UTC'), c.previous_brand, c.previous_unit, c.previous_channel, c.need,
       count(*) FILTER (WHERE c.repeat_1d), count(*) FILTER (WHERE c.repeat_7d), count(*) FILTER (WHERE c.repeat_14d), count(*) FILTER (WHERE c.repeat_30d)
FROM contact c JOIN interaction i USING (event_hash, occurred_at) WHERE c.previous_at IS NOT NULL GROUP BY 1, 2, 3, 4, 5, i.cause IS NULL;

-- tie: columns of the contact before agree
SELECT * FROM contact
WHERE (previous_at IS NULL) <> (after IS NULL) OR after <> occurred_at - previous_at OR repeat_30d <> (previous_at IS NOT NULL)
   OR repeat_1d <> coalesce(after <= interval '1 day', false) OR repeat_7d <> coalesce(after <= interval '7 days', false)
   OR repeat_14d <> coalesce(after <= interval '14 days', false) OR previous_at IS NOT NULL AND need IS NULL
   OR previous_at IS NULL AND coalesce(previous_brand, previous_unit, previous_channel) IS NOT NULL;

-- tie: the contact before is a contact with that need
SELECT c.* FROM contact c WHERE c.previous_at IS NOT NULL AND NOT EXISTS (
    SELECT FROM contact p WHERE p.customer_id = c.customer_id AND p.occurred_at = c.previous_at AND p.need = c.need
      AND (p.brand, p.unit, p.channel, p.journey_id) IS NOT DISTINCT FROM (c.previous_brand, c.previous_unit, c.previous_channel, c.previous_journey_id));

-- tie: repeats of journeys are contacts after less than the repeat window
SELECT journey_id, repeats FROM journey WHERE repeats > 0;
SELECT journey_id, count(*)::integer FROM contact, rules WHERE after <= repeat_window GROUP BY 1;

-- tie: a day is complete when its last window has passed
SELECT day, complete_1d, complete_7d, complete_14d, complete_30d FROM repeat_daily
WHERE (complete_1d, complete_7d, complete_14d, complete_30d) IS DISTINCT FROM (
    bi.as_of() >= day + interval '48 hours', bi.as_of() >= day + interval '192 hours', bi.as_of() >= day + interval '360 hours', bi.as_of() >= day + interval '744 hours');

-- tie: a contact is followed by the next purchase
SELECT event_hash, next_purchase_at, returned_30d, returned_90d, complete FROM return_after_contact;
SELECT c.event_hash, n.at, coalesce(n.at - c.occurred_at <= interval '30 days', false), coalesce(n.at - c.occurred_at <= interval '90 days', false),
       bi.as_of() - c.occurred_at >= interval '90 days'
FROM contact c LEFT JOIN LATERAL (SELECT min(p.occurred_at) AS at FROM interaction p WHERE p.customer_id = c.customer_id AND p.is_purchase
                                  AND p.occurred_at > c.occurred_at AND p.occurred_at <= bi.as_of()) n ON true;

-- tie: reachability is contacts and attempts, in and out
SELECT customer_id, sum(tried), sum(reached), sum(called), max(last_at) FROM reachability GROUP BY 1;
SELECT customer_id, count(*) FILTER (WHERE direction = 'OUTBOUND'), count(*) FILTER (WHERE direction = 'OUTBOUND' AND is_contact AND NOT is_unanswered),
       count(*) FILTER (WHERE direction = 'INBOUND'), max(occurred_at)
FROM interaction WHERE customer_id IS NOT NULL AND NOT is_passive AND (is_contact OR is_unanswered) AND direction IN ('INBOUND', 'OUTBOUND') GROUP BY 1;

-- ======== transitions ========

-- tie: transition_hourly is bi.transition
SELECT hour, brand, from_channel, to_channel, fallback, transitions, wait FROM transition_hourly;
SELECT date_trunc('hour', occurred_at, 'UTC'), to_brand, from_channel, to_channel, fallback, count(*), sum(wait) FROM transition GROUP BY 1, 2, 3, 4, 5;

-- tie: bi.transition is neighbouring contacts
SELECT journey_id, event_hash, from_channel, to_channel, wait, from_brand, from_type FROM transition;
SELECT * FROM (
    SELECT journey_id, event_hash, lag(channel) OVER w AS from_channel, channel, occurred_at - lag(occurred_at) OVER w AS wait, lag(brand) OVER w, lag(type) OVER w
    FROM interaction i WHERE is_contact AND NOT is_passive AND journey_id IN (SELECT journey_id FROM journey WHERE NOT crowd)
    WINDOW w AS (PARTITION BY journey_id ORDER BY occurred_at, sequence, source, event_id)) t WHERE wait IS NOT NULL;

-- tie: switches and fallbacks of journeys are transitions
SELECT journey_id, switches, fallbacks FROM journey WHERE NOT crowd AND switches > 0;
SELECT journey_id, count(*)::integer, count(*) FILTER (WHERE fallback)::integer FROM transition WHERE switched GROUP BY 1;

-- ======== journeys ========

-- tie: journeys count their touchpoints
SELECT journey_id, contacts, unanswered, refusals, deflections, transfers, misroutes, proactive, thanks, handoffs_offered, handoffs_accepted,
       handoffs_rejected, people, first_terminal_at, last_terminal_at, decided_at
FROM journey WHERE NOT crowd;
SELECT journey_id, sum(is_contact::integer), sum(is_unanswered::integer), sum(is_refusal::integer), sum(is_deflection::integer), sum(is_transfer::integer),
       sum(is_misroute::integer), sum(is_proactive::integer), sum(is_thanks::integer), sum(is_handoff_offered::integer), sum(is_handoff_accepted::integer),
       sum(is_handoff_rejected::integer), least(count(DISTINCT staff), 64), min(occurred_at) FILTER (WHERE is_terminal),
       max(occurred_at) FILTER (WHERE is_terminal), min(occurred_at) FILTER (WHERE is_decision)
FROM interaction i WHERE NOT is_passive AND journey_id IN (SELECT journey_id FROM journey WHERE NOT crowd) GROUP BY 1;

-- tie: journeys begin and end with a touchpoint
SELECT journey_id, first_at, entry_channel, entry_brand, entry_unit, last_at, last_channel, last_type, last_outcome FROM journey WHERE NOT crowd;
SELECT a.journey_id, a.occurred_at, a.channel, a.brand, a.unit, b.occurred_at, b.channel, b.type, b.outcome FROM touchpoint a
JOIN LATERAL (SELECT * FROM touchpoint t WHERE t.journey_id = a.journey_id ORDER BY position DESC LIMIT 1) b ON true WHERE a.position = 1;

-- tie: resolved, reopened and stage by touchpoints
SELECT journey_id, resolved, reopened, stage, terminal_outcome FROM journey WHERE NOT crowd;
SELECT journey_id, (array_agg(is_terminal ORDER BY n DESC))[1], count(*) FILTER (WHERE NOT is_terminal AND before)::integer,
       (array_agg(stage ORDER BY n DESC) FILTER (WHERE stage IS NOT NULL))[1], (array_agg(outcome ORDER BY n DESC) FILTER (WHERE is_terminal))[1]
FROM (SELECT i.*, row_number() OVER w AS n, lag(is_terminal) OVER w AS before FROM interaction i
      WHERE NOT is_passive AND journey_id IN (SELECT journey_id FROM journey WHERE NOT crowd)
      WINDOW w AS (PARTITION BY journey_id ORDER BY occurred_at, sequence, source, event_id)) t GROUP BY 1;

-- tie: touchpoints are the events that are not passive, from 1 on
SELECT journey_id, event_hash, position, since_start, coalesce(since_previous, '0') FROM touchpoint WHERE position IS NOT NULL;
SELECT i.journey_id, i.event_hash, row_number() OVER w, i.occurred_at - j.first_at, coalesce(i.occurred_at - lag(i.occurred_at) OVER w, '0')
FROM interaction i JOIN journey j USING (journey_id) WHERE NOT i.is_passive AND NOT j.crowd
WINDOW w AS (PARTITION BY i.journey_id ORDER BY i.occurred_at, i.sequence, i.source, i.event_id);

-- tie: touchpoints of crowds have no position
SELECT t.* FROM touchpoint t JOIN journey j USING (journey_id) WHERE j.crowd <> (t.position IS NULL);

-- tie: touchpoints = events of journeys less passive ones
SELECT journey_id, count(*) FROM touchpoint GROUP BY 1;
SELECT j.journey_id, j.events - (SELECT count(*) FROM interaction i WHERE i.journey_id = j.journey_id AND i.is_passive) FROM journey j
WHERE j.events > (SELECT count(*) FROM interaction i WHERE i.journey_id = j.journey_id AND i.is_passive);

-- tie: refusals by reason are refusals and deflections
SELECT j.journey_id, r.key, r.value::bigint FROM journey j, jsonb_each_text(j.refusals_by_reason) r;
SELECT journey_id, coalesce(reason, 'not told'), count(*) FROM interaction
WHERE (is_refusal OR is_deflection) AND NOT is_passive AND journey_id IS NOT NULL GROUP BY 1, 2;

-- tie: brands of journeys are journey_brand
SELECT journey_id, b.brand, b.place::integer FROM journey, unnest(brands) WITH ORDINALITY AS b (brand, place);
SELECT journey_id, brand, place FROM journey_brand;

-- tie: journey_brand counts touchpoints
SELECT journey_id, brand, first_at, last_at, events, contacts FROM journey_brand WHERE events > 0;
SELECT journey_id, brand, min(occurred_at), max(occurred_at), count(*), count(*) FILTER (WHERE is_contact) FROM touchpoint WHERE brand IS NOT NULL GROUP BY 1, 2;

-- tie: journey_daily is bi.journey
SELECT * FROM journey_daily;
SELECT date_trunc('day', first_at, 'UTC'), entry_brand, entry_unit, entry_channel, resolved, terminal_outcome, count(*), sum(events), sum(contacts),
       sum(switches), sum(fallbacks), sum(repeats), sum(unanswered), sum(refusals), sum(deflections), sum(handoffs_offered), sum(reopened), sum(effort)::bigint,
       count(*) FILTER (WHERE contacts = 1), count(*) FILTER (WHERE one_owner), count(*) FILTER (WHERE owners = 0)
FROM journey GROUP BY 1, 2, 3, 4, 5, 6;

-- tie: obligations of journeys are bi.obligation
SELECT journey_id, obligations_opened, obligations_open, obligations_broken, coalesce(waiting, '0') FROM journey WHERE obligations_opened > 0;
SELECT journey_id, count(*), count(*) FILTER (WHERE NOT closed), count(*) FILTER (WHERE broken), sum(waiting) FROM obligation
WHERE journey_id IS NOT NULL GROUP BY 1;

-- tie: obligations by state and kind are bi.obligation
SELECT j.journey_id, s.key, s.value::bigint FROM journey j, jsonb_each_text(j.obligations_by_state) s
UNION ALL SELECT j.journey_id, k.key || '.' || c.key, c.value::bigint FROM journey j, jsonb_each(j.obligations) k, jsonb_each_text(k.value) c WHERE c.value::bigint > 0;
SELECT journey_id, state, count(*) FROM obligation WHERE journey_id IS NOT NULL GROUP BY 1, 2
UNION ALL SELECT journey_id, kind || '.' || v.name, count(*) FROM obligation,
    (VALUES ('opened'), ('open'), ('kept'), ('kept_late_in_window'), ('late'), ('attempted'), ('rejected'), ('withdrawn'), ('overdue'), ('broken')) v (name)
    WHERE journey_id IS NOT NULL AND CASE v.name WHEN 'opened' THEN true WHEN 'open' THEN NOT closed WHEN 'overdue' THEN overdue WHEN 'broken' THEN broken
        WHEN 'attempted' THEN NOT closed AND first_attempt_at IS NOT NULL ELSE state = v.name END GROUP BY 1, 2;

-- tie: best_journey is what it says
SELECT journey_id FROM best_journey;
SELECT journey_id FROM journey WHERE proactive > 0 AND thanks > 0 AND owners <= 1 AND ownerless_for = greatest(coalesce(bi.as_of() - ownerless_since, '0'), '0')
    AND repeats + refusals + deflections + misroutes = 0 AND NOT crowd AND obligations_broken = 0;

-- ======== owners ========

-- tie: time without an owner is its intervals
SELECT journey_id, ownerless_for, orphan_for FROM journey WHERE NOT crowd AND ownerless_for > '0';
SELECT journey_id, sum(owned_for), coalesce(sum(owned_for) FILTER (WHERE orphan), '0') FROM journey_owner WHERE NOT owned GROUP BY 1 HAVING sum(owned_for) > '0';

-- tie: owners are turns of owned intervals
SELECT journey_id, owners FROM journey WHERE NOT crowd AND owners > 0;
SELECT journey_id, count(*)::integer FROM (
    SELECT journey_id, (brand, unit) IS DISTINCT FROM lag((brand, unit)) OVER (PARTITION BY journey_id ORDER BY from_at, to_at NULLS LAST) AS turns
    FROM journey_owner WHERE owned) o WHERE turns GROUP BY 1;

-- tie: the last interval is the owner
SELECT journey_id, owner_brand, owner_unit FROM journey WHERE NOT crowd AND owner_unit IS NOT NULL;
SELECT journey_id, brand, unit FROM journey_owner WHERE to_at IS NULL AND owned;

-- tie: the running time without an owner is the last interval
SELECT journey_id FROM journey WHERE NOT crowd AND ownerless_since IS NOT NULL;
SELECT journey_id FROM journey_owner WHERE to_at IS NULL AND NOT owned;

-- tie: intervals follow each other; only a terminal event leaves a gap
SELECT * FROM (SELECT o.*, lead(from_at) OVER (PARTITION BY journey_id ORDER BY from_at, to_at NULLS LAST) AS next_at FROM journey_owner o) o
WHERE to_at < from_at OR next_at < to_at OR next_at IS NOT NULL AND to_at IS NULL
   OR (next_at > to_at OR next_at IS NULL AND to_at IS NOT NULL) AND NOT EXISTS (
        SELECT FROM interaction i WHERE i.journey_id = o.journey_id AND i.occurred_at = o.to_at AND i.is_terminal AND NOT i.is_passive);

-- tie: every journey begins with an interval
SELECT j.journey_id FROM journey j
WHERE NOT j.crowd AND coalesce((SELECT min(o.from_at) FROM journey_owner o WHERE o.journey_id = j.journey_id) <> j.first_at, true)
  AND NOT EXISTS (SELECT FROM touchpoint t JOIN interaction i USING (event_hash, occurred_at) WHERE t.journey_id = j.journey_id AND t.position = 1 AND i.is_terminal);

-- tie: one_owner has one owned interval and no time without
SELECT journey_id FROM journey WHERE one_owner AND NOT crowd;
SELECT journey_id FROM journey_owner o GROUP BY 1
HAVING count(DISTINCT (brand, unit)) FILTER (WHERE owned) = 1 AND count(*) FILTER (WHERE NOT owned AND (to_at > from_at) IS NOT FALSE) = 0;

-- ======== durations ========

-- tie: first replies
SELECT hour, brand, unit, channel, clock, bucket, durations, total FROM duration_hourly WHERE measure = 'first_reply';
SELECT date_trunc('hour', first_inbound_at, 'UTC'), entry_brand, entry_unit, entry_channel, v.clock, bi.bucket_of(v.took), count(*), sum(v.took)
FROM journey, (VALUES (1)) one, LATERAL (VALUES ('wall', first_human_reply_after), ('business', first_human_reply_after_business)) v (clock, took)
WHERE first_human_reply_at IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6;

-- tie: resolutions
SELECT hour, brand, unit, channel, clock, bucket, durations, total FROM duration_hourly WHERE measure = 'resolution';
SELECT date_trunc('hour', first_at, 'UTC'), entry_brand, entry_unit, entry_channel, v.clock, bi.bucket_of(v.took), count(*), sum(v.took)
FROM journey, LATERAL (VALUES ('wall', resolution_after), ('business', resolution_after_business)) v (clock, took)
WHERE resolved GROUP BY 1, 2, 3, 4, 5, 6;

-- tie at the end: obligations that were fulfilled
SELECT hour, measure, brand, unit, channel, clock, bucket, durations, total FROM duration_hourly WHERE measure LIKE 'kept.%';
SELECT date_trunc('hour', opened_at, 'UTC'), 'kept.' || kind, brand, unit, NULL, v.clock, bi.bucket_of(v.took), count(*), sum(v.took)
FROM obligation, LATERAL (VALUES ('wall', open_for), ('business', business_open_for)) v (clock, took)
WHERE fulfilled_at IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6, 7;

-- tie: next replies
SELECT hour, brand, unit, channel, clock, bucket, durations, total FROM duration_hourly WHERE measure = 'next_reply';
WITH e AS (
    SELECT i.*, count(*) FILTER (WHERE is_human_reply) OVER w AS replies, i.is_contact AND i.direction = 'INBOUND' AS asks,
           row_number() OVER w AS n
    FROM interaction i WHERE NOT is_passive AND journey_id IN (SELECT journey_id FROM journey WHERE NOT crowd)
    WINDOW w AS (PARTITION BY journey_id ORDER BY occurred_at, sequence, source, event_id)
), wait AS (
    SELECT DISTINCT ON (q.journey_id, q.replies) q.*, r.occurred_at AS reply_at FROM e q
    JOIN e r ON r.journey_id = q.journey_id AND r.replies = q.replies + 1 AND r.is_human_reply
    WHERE q.asks ORDER BY q.journey_id, q.replies, q.n
)
SELECT date_trunc('hour', occurred_at, 'UTC'), brand, unit, channel, v.clock, bi.bucket_of(v.took), count(*), sum(v.took)
FROM wait, LATERAL (VALUES ('wall', reply_at - occurred_at), ('business', bi.business_time(brand, unit, occurred_at, reply_at))) v (clock, took)
GROUP BY 1, 2, 3, 4, 5, 6;

-- tie: the first reply comes after the first question
SELECT journey_id, first_inbound_at, first_human_reply_at FROM journey WHERE NOT crowd AND first_inbound_at IS NOT NULL;
WITH e AS (
    SELECT i.*, row_number() OVER (PARTITION BY journey_id ORDER BY occurred_at, sequence, source, event_id) AS n FROM interaction i
    WHERE NOT is_passive AND journey_id IN (SELECT journey_id FROM journey WHERE NOT crowd)
), asked AS (SELECT DISTINCT ON (journey_id) journey_id, n, occurred_at FROM e WHERE is_contact AND direction = 'INBOUND' ORDER BY journey_id, n)
SELECT a.journey_id, a.occurred_at, (SELECT e.occurred_at FROM e WHERE e.journey_id = a.journey_id AND e.n > a.n AND e.is_human_reply ORDER BY e.n LIMIT 1) FROM asked a;

-- tie: every duration by both clocks
SELECT hour, measure, brand, unit, channel, sum(durations) FROM duration_hourly WHERE clock = 'wall' GROUP BY 1, 2, 3, 4, 5;
SELECT hour, measure, brand, unit, channel, sum(durations) FROM duration_hourly WHERE clock = 'business' GROUP BY 1, 2, 3, 4, 5;

-- tie: business time is no longer than wall time
SELECT w.hour, w.measure, w.brand, w.unit, w.channel, w.total, b.total FROM
    (SELECT hour, measure, brand, unit, channel, sum(total) AS total FROM duration_hourly WHERE clock = 'wall' GROUP BY 1, 2, 3, 4, 5) w
    JOIN (SELECT hour, measure, brand, unit, channel, sum(total) AS total FROM duration_hourly WHERE clock = 'business' GROUP BY 1, 2, 3, 4, 5) b
    ON (w.hour, w.measure, w.brand, w.unit, w.channel) IS NOT DISTINCT FROM (b.hour, b.measure, b.brand, b.unit, b.channel) WHERE b.total > w.total;

-- tie: percentiles are right within 7 %
WITH h AS (SELECT p, 'first_reply' AS measure, bi.percentile(p, bucket, durations) AS got FROM duration_hourly, unnest('{0.1,0.5,0.9,0.99}'::float8[]) p
           WHERE measure = 'first_reply' AND clock = 'wall' GROUP BY 1
           UNION ALL SELECT p, 'resolution', bi.percentile(p, bucket, durations) FROM duration_hourly, unnest('{0.1,0.5,0.9,0.99}'::float8[]) p
           WHERE measure = 'resolution' AND clock = 'business' GROUP BY 1),
r AS (SELECT p, 'first_reply' AS measure, (SELECT percentile_disc(p) WITHIN GROUP (ORDER BY first_human_reply_after) FROM journey) AS wanted FROM unnest('{0.1,0.5,0.9,0.99}'::float8[]) p
      UNION ALL SELECT p, 'resolution', (SELECT percentile_disc(p) WITHIN GROUP (ORDER BY resolution_after_business) FROM journey) FROM unnest('{0.1,0.5,0.9,0.99}'::float8[]) p)
SELECT * FROM h FULL JOIN r USING (p, measure)
WHERE coalesce(abs(extract(epoch FROM h.got - r.wanted)) > 0.001 + 0.07 * extract(epoch FROM r.wanted), (got IS NULL) <> (wanted IS NULL));

-- ======== the ledger ========

-- tie: states of obligations as of the moment
SELECT obligation_id, state, closed, overdue, broken, early, no_deadline, no_owner, due_to, coalesce(late_by, '0') FROM obligation;
WITH o AS (
    SELECT b.*, k.told, t.t, CASE WHEN b.changed_at > t.t THEN b.first_due_to ELSE b.due_to END AS due,
           CASE WHEN b.fulfilled_at <= t.t THEN b.fulfilled_at END AS f, b.rejected_at IS NOT NULL AND b.rejected_at <= t.t AS r,
           b.withdrawn_at IS NOT NULL AND b.withdrawn_at <= t.t AS w, b.first_attempt_at IS NOT NULL AND b.first_attempt_at <= t.t AS attempted
    FROM polku.obligation b CROSS JOIN (SELECT bi.as_of() AS t) t
    CROSS JOIN LATERAL (SELECT CASE b.label WHEN 1 THEN 'attempted_not_reached' WHEN 2 THEN 'replied_not_answered' END AS told) k
    WHERE b.opened_at <= t.t)
SELECT obligation_id, CASE WHEN w THEN 'withdrawn' WHEN r THEN 'rejected' WHEN f IS NOT NULL AND f > due THEN 'late'
           WHEN f IS NOT NULL AND due_from IS NOT NULL AND due IS NOT NULL AND extract(epoch FROM f - due_from) * 10 > extract(epoch FROM due - due_from) * 9 THEN 'kept_late_in_window'
           WHEN f IS NOT NULL THEN 'kept' WHEN attempted AND told IS NOT NULL THEN told WHEN due < t THEN 'overdue' ELSE 'open' END,
       w OR r OR f IS NOT NULL, coalesce(due < t, false) AND NOT (w OR r OR f IS NOT NULL),
       coalesce(due < t, false) AND NOT w AND NOT r AND NOT coalesce(f <= due, false), coalesce(f < due_from, false), due IS NULL,
       unit_id IS NULL AND role_id IS NULL, due,
       CASE WHEN NOT w AND NOT r AND due < coalesce(f, t) THEN coalesce(f, t) - due ELSE '0' END FROM o;

-- tie at the end: obligation_hourly is bi.obligation
SELECT * FROM obligation_hourly;
SELECT date_trunc('hour', due_to, 'UTC'), kind, brand, unit, count(*), count(*) FILTER (WHERE state = 'kept'),
       count(*) FILTER (WHERE state = 'kept_late_in_window'), count(*) FILTER (WHERE state = 'late'), count(*) FILTER (WHERE NOT closed AND attempts > 0),
       count(*) FILTER (WHERE state = 'rejected'), count(*) FILTER (WHERE state = 'withdrawn'), count(*) FILTER (WHERE cycle > 1),
       count(*) FILTER (WHERE no_owner), sum(attempts) FROM obligation GROUP BY 1, 2, 3, 4;

-- tie at the end: of hours that have passed, the rest is broken
SELECT due_hour, kind, brand, unit, opened - kept - kept_late_in_window - rejected - withdrawn FROM obligation_hourly
WHERE due_hour IS NOT NULL AND due_hour < bi.as_of() - interval '1 hour' AND opened > kept + kept_late_in_window + rejected + withdrawn;
SELECT date_trunc('hour', due_to, 'UTC'), kind, brand, unit, count(*) FROM breach WHERE due_to < date_trunc('hour', bi.as_of(), 'UTC') GROUP BY 1, 2, 3, 4;

-- tie at the end: handoff_hourly is bi.handoff
SELECT hour, kind, from_brand, from_unit, to_brand, to_unit, offered, accepted, rejected, withdrawn, wait FROM handoff_hourly;
SELECT date_trunc('hour', offered_at, 'UTC'), kind, from_brand, from_unit, to_brand, to_unit, count(*), count(*) FILTER (WHERE accepted),
       count(*) FILTER (WHERE rejected_at IS NOT NULL), count(*) FILTER (WHERE withdrawn_at IS NOT NULL), coalesce(sum(accept_lag), '0')
FROM handoff GROUP BY 1, 2, 3, 4, 5, 6;

-- tie: overdue_now, breach, promise_defect, handoff, callback are bi.obligation
SELECT 'overdue', obligation_id FROM overdue_now UNION ALL SELECT 'broken', obligation_id FROM breach
UNION ALL SELECT 'defect', obligation_id FROM promise_defect UNION ALL SELECT 'handoff', obligation_id FROM handoff
UNION ALL SELECT 'callback', obligation_id FROM callback;
SELECT 'overdue', obligation_id FROM obligation WHERE due_to < as_of AND fulfilled_at IS NULL AND rejected_at IS NULL AND withdrawn_at IS NULL
UNION ALL SELECT 'broken', obligation_id FROM obligation WHERE due_to < as_of AND rejected_at IS NULL AND withdrawn_at IS NULL AND coalesce(fulfilled_at > due_to, true)
UNION ALL SELECT 'defect', obligation_id FROM obligation WHERE due_to IS NULL OR unit IS NULL AND role IS NULL
UNION ALL SELECT 'handoff', obligation_id FROM obligation WHERE is_handoff
UNION ALL SELECT 'callback', obligation_id FROM obligation WHERE starts_with(kind, 'callback');

-- tie: callbacks reached are obligations fulfilled
SELECT obligation_id, reached, reached_at, waiting, loop, coalesce(latency, '0') FROM callback;
SELECT obligation_id, closed AND rejected_at IS NULL AND withdrawn_at IS NULL, fulfilled_at, waiting, cycle > 1, coalesce(fulfilled_at - opened_at, '0')
FROM obligation WHERE kind LIKE 'callback%';

-- tie: in the window and its position agree
SELECT * FROM callback WHERE in_window <> coalesce(position BETWEEN 0 AND 1, in_window) OR in_window AND slack < '0' OR in_window AND state = 'late';

-- tie: nobody waits for less than no time
SELECT * FROM obligation WHERE open_for < '0' OR waiting < '0' OR business_open_for > open_for OR business_late_by > late_by
   OR (late_by IS NULL) <> (business_late_by IS NULL) OR late_by IS NULL AND broken;

-- tie: half of a window is used in its middle
SELECT * FROM obligation WHERE extract(epoch FROM half_used_at - coalesce(due_from, opened_at)) * 2 - extract(epoch FROM due_to - coalesce(due_from, opened_at)) NOT BETWEEN -0.00001 AND 0.00001;

-- tie: obligations are opened by an event of their customer and journey
SELECT o.* FROM obligation o LEFT JOIN interaction i ON i.event_hash = o.opened_by AND i.occurred_at = o.opened_at
WHERE (i.customer_id, i.journey_id, i.case_key, i.brand, i.unit) IS DISTINCT FROM (o.customer_id, o.journey_id, o.case_key, o.from_brand, o.from_unit)
   OR i.money_amount_minor IS DISTINCT FROM o.amount_minor;

-- ======== courses ========

-- tie: course_daily is bi.course
SELECT * FROM course_daily;
SELECT date_trunc('day', start_at, 'UTC'), definition, count(*), count(*) FILTER (WHERE completed), count(*) FILTER (WHERE conformant),
       count(*) FILTER (WHERE completed AND conformant), sum(violations)::bigint, sum(skipped)::bigint, coalesce(sum(goal_after), '0') FROM course GROUP BY 1, 2;

-- tie: milestone_daily is bi.course
SELECT day, definition, milestone, reached, fallout, skipped, failures, failed FROM milestone_daily;
SELECT * FROM (
    SELECT date_trunc('day', c.start_at, 'UTC') AS day, c.definition, m.milestone, count(*) FILTER (WHERE c.reached_at ? m.name) AS reached,
           count(*) FILTER (WHERE NOT c.completed AND c.furthest = m.milestone) AS fallout,
           count(*) FILTER (WHERE m.milestone < c.furthest AND NOT m.optional AND NOT coalesce(c.reached_at ? m.name, false)) AS skipped,
           coalesce(sum((c.failures ->> m.name)::bigint), 0)::bigint AS failures, count(*) FILTER (WHERE c.failures ? m.name) AS failed
    FROM course c JOIN (SELECT definition, milestone, name, optional FROM definition UNION ALL SELECT DISTINCT definition, 0, '', true FROM definition) m
        ON m.definition = c.definition GROUP BY 1, 2, 3) d
WHERE reached + fallout + skipped + failures > 0;

-- tie: fallout and completed = courses
SELECT day, definition, courses FROM course_daily;
SELECT c.day, c.definition, c.completed + (SELECT coalesce(sum(m.fallout), 0) FROM milestone_daily m WHERE m.day = c.day AND m.definition = c.definition) FROM course_daily c;

-- tie: the funnel names all courses
SELECT DISTINCT day, definition, courses FROM milestone_daily;
SELECT day, definition, courses FROM course_daily WHERE (day, definition) IN (SELECT day, definition FROM milestone_daily);

-- tie: path_daily is bi.course
SELECT day, definition, path, names, courses, completed FROM path_daily;
SELECT date_trunc('day', start_at, 'UTC'), definition, path, names, count(*), count(*) FILTER (WHERE completed) FROM course GROUP BY 1, 2, 3, 4;

-- tie: steps into a milestone = steps out of it
SELECT day, definition, to_milestone, sum(steps) FROM step_daily GROUP BY 1, 2, 3;
SELECT day, definition, from_milestone, sum(steps) FROM step_daily GROUP BY 1, 2, 3;

-- tie: one step from the start of each course, one to its end
SELECT day, definition, courses, courses FROM course_daily;
SELECT day, definition, sum(steps) FILTER (WHERE from_milestone = 0), sum(steps) FILTER (WHERE to_milestone = 0) FROM step_daily GROUP BY 1, 2;

-- tie: steps are the paths taken apart
SELECT day, definition, from_milestone, to_milestone, steps::bigint FROM step_daily
WHERE (day, definition) NOT IN (SELECT day, definition FROM path_daily WHERE path LIKE '%...');
WITH p AS (SELECT p.*, CASE WHEN path = '' THEN ARRAY[0, 0] ELSE ARRAY[0] || string_to_array(path, '>')::integer[] || ARRAY[0] END AS m FROM path_daily p
           WHERE (day, definition) NOT IN (SELECT day, definition FROM path_daily WHERE path LIKE '%...'))
SELECT day, definition, m[n], m[n + 1], sum(courses)::bigint FROM p, generate_series(1, 24) n WHERE n < cardinality(m) GROUP BY 1, 2, 3, 4;

-- tie: a course agrees with itself
SELECT c.* FROM course c
CROSS JOIN LATERAL (SELECT string_to_array(nullif(c.path, ''), '>')::integer[] AS m WHERE c.path NOT LIKE '%...') p
WHERE coalesce(cardinality(p.m), 0) <> c.steps OR coalesce((SELECT max(x) FROM unnest(p.m) x), 0) <> c.furthest
   OR (SELECT count(*) FROM generate_subscripts(p.m, 1) n WHERE p.m[n + 1] < p.m[n]) <> c.violations
   OR (SELECT count(*) FROM definition d WHERE d.definition = c.definition AND d.milestone < c.furthest AND NOT d.optional AND NOT (d.milestone = ANY (p.m))) <> c.skipped
   OR (SELECT array_agg(DISTINCT d.milestone ORDER BY d.milestone) FROM definition d WHERE d.definition = c.definition AND c.reached_at ? d.name)
      IS DISTINCT FROM (SELECT array_agg(DISTINCT x ORDER BY x) FROM unnest(p.m) x);

-- tie: the goal is reached within its window
SELECT c.journey_id, c.definition, c.goal_at FROM course c WHERE c.completed;
SELECT c.journey_id, c.definition, (c.reached_at ->> d.name)::timestamptz FROM course c JOIN definition d ON d.definition = c.definition AND d.goal
WHERE (c.reached_at ->> d.name)::timestamptz - c.start_at <= d.goal_window;

-- ======== customers ========

-- tie: purchases are events
SELECT customer_id, purchases, first_purchase_at, last_purchase_at FROM customer WHERE purchases > 0;
SELECT customer_id, count(*)::integer, min(occurred_at), max(occurred_at) FROM interaction WHERE is_purchase AND customer_id IS NOT NULL GROUP BY 1;

-- tie: customers and their journeys
SELECT customer_id, journeys, first_at, last_at FROM customer WHERE journeys > 0;
SELECT customer_id, count(*), min(first_at), max(last_at) FROM journey GROUP BY 1;

-- tie: every event has a customer that is there
SELECT DISTINCT customer_id FROM interaction WHERE customer_id IS NOT NULL;
SELECT customer_id FROM customer;

-- tie: identifiers of a customer are redirects to it
SELECT customer_id, identifiers - 1 FROM customer WHERE identifiers > 1;
SELECT customer_id, count(*) FROM customer_redirect WHERE customer_id IN (SELECT customer_id FROM customer) GROUP BY 1;

-- tie: customer_now and the ledger
SELECT customer_id, purchases, coalesce(jsonb_array_length(open_promises), 0), coalesce(jsonb_array_length(open_breaches), 0), broken, no_sanction FROM customer_now;
SELECT c.customer_id, c.purchases, count(o.*) FILTER (WHERE NOT o.closed), count(o.*) FILTER (WHERE o.overdue), count(o.*) FILTER (WHERE o.broken),
       coalesce(bool_or(o.overdue AND NOT o.is_handoff), false)
FROM customer c LEFT JOIN obligation o USING (customer_id) GROUP BY 1, 2;

-- tie: open promises of customer_now
SELECT (p ->> 'obligation_id')::uuid, p ->> 'kind', p ->> 'state', (p ->> 'due_to')::timestamptz, p ->> 'brand', p ->> 'unit', p ->> 'role', (p ->> 'attempts')::integer, (p ->> 'cycle')::integer
FROM customer_now, jsonb_array_elements(open_promises) p;
SELECT obligation_id, kind, state, due_to, brand, unit, role, attempts, cycle FROM obligation WHERE NOT closed AND customer_id IS NOT NULL;

-- tie: broken money of customer_now
SELECT customer_id, m.key, m.value::numeric FROM customer_now, jsonb_each_text(broken_money) m;
SELECT customer_id, currency, sum(amount_minor) FROM breach WHERE currency IS NOT NULL AND customer_id IS NOT NULL GROUP BY 1, 2;

-- tie: last contacts of customer_now
SELECT customer_id, (SELECT array_agg((x ->> 'at')::timestamptz) FROM jsonb_array_elements(last_contacts) x) FROM customer_now WHERE last_contacts IS NOT NULL;
SELECT customer_id, array_agg(occurred_at ORDER BY occurred_at DESC) FROM (
    SELECT customer_id, occurred_at, row_number() OVER (PARTITION BY customer_id ORDER BY occurred_at DESC) AS n FROM contact
    WHERE customer_id IS NOT NULL AND occurred_at <= bi.as_of()) c WHERE n <= 5 GROUP BY 1;

-- tie: last failures of customer_now
SELECT customer_id, (SELECT array_agg((x ->> 'at')::timestamptz) FROM jsonb_array_elements(last_failures) x) FROM customer_now WHERE last_failures IS NOT NULL;
SELECT customer_id, array_agg(occurred_at ORDER BY occurred_at DESC) FROM (
    SELECT customer_id, occurred_at, row_number() OVER (PARTITION BY customer_id ORDER BY occurred_at DESC) AS n FROM interaction
    WHERE customer_id IS NOT NULL AND NOT is_passive AND occurred_at <= bi.as_of()
      AND (is_refusal OR is_deflection OR is_misroute OR is_unanswered OR is_selfservice_failed OR is_sanction)) c WHERE n <= 5 GROUP BY 1;

-- tie: the journey of customer_now
SELECT customer_id, journey_id, owner_brand, owner_unit, ownerless_since, journey_resolved FROM customer_now WHERE journey_id IS NOT NULL;
SELECT customer_id, journey_id, owner_brand, owner_unit, ownerless_since, resolved FROM (
    SELECT DISTINCT ON (customer_id) * FROM journey WHERE first_at <= bi.as_of() ORDER BY customer_id, last_at DESC, first_at DESC) j;

-- tie: who fell silent
SELECT customer_id, purchases, last_purchase_at, silent_for FROM silent_churn;
SELECT customer_id, count(*)::integer, max(occurred_at), bi.as_of() - max(occurred_at) FROM interaction WHERE is_purchase AND customer_id IS NOT NULL GROUP BY 1
HAVING count(*) >= 3 AND extract(epoch FROM bi.as_of() - max(occurred_at)) > 2 * extract(epoch FROM max(occurred_at) - min(occurred_at)) / (count(*) - 1);

-- tie: silence is seen after two cycles
SELECT * FROM silent_churn WHERE visible_at - last_purchase_at <> 2 * cycle OR expected_at - last_purchase_at <> cycle OR visible_at > as_of;

-- ======== feedback, recovery ========

-- tie: feedback is events
SELECT event_hash, submitted_at, type FROM feedback;
SELECT event_hash, occurred_at, type FROM interaction WHERE type IN ('feedback.submitted', 'feedback.spoken', 'complaint.opened') AND occurred_at <= bi.as_of();

-- tie: feedback is handled by an event after it
SELECT f.* FROM feedback f WHERE acknowledged_at < submitted_at OR handled_at < submitted_at OR told_at < submitted_at OR (told_at IS NULL) <> (untold_for IS NOT NULL)
   OR handled_at IS NOT NULL AND NOT EXISTS (SELECT FROM interaction i WHERE i.customer_id = f.customer_id AND i.occurred_at = f.handled_at
                                             AND i.type IN ('feedback.handled', 'complaint.closed'));

-- tie: recovery is journeys with such an event
SELECT journey_id, opened_at, paid_at, coalesce(value_minor, 0) FROM recovery;
SELECT journey_id, min(occurred_at), min(occurred_at) FILTER (WHERE type = 'recovery.paid'),
       coalesce(sum(money_amount_minor) FILTER (WHERE type = 'recovery.paid'), 0)::bigint
FROM interaction WHERE type IN ('recovery.eligible', 'recovery.offered', 'recovery.accepted', 'recovery.rejected', 'recovery.paid')
    AND journey_id IS NOT NULL AND occurred_at <= bi.as_of() GROUP BY 1;

-- tie at the end: losses of recovery are money of the journey
SELECT journey_id, loss_minor FROM recovery WHERE loss_minor IS NOT NULL;
SELECT journey_id, sum(amount_minor)::bigint FROM journey_money WHERE kind = 'loss' AND journey_id IN (SELECT journey_id FROM recovery) GROUP BY 1;

-- ======== across customers ========

-- tie: causes by day are causes by hour
SELECT day, cause, interactions, contacts FROM cause_spike;
SELECT date_trunc('day', hour, 'UTC'), cause, sum(interactions)::bigint, sum(contacts)::bigint FROM cause_hourly
WHERE hour >= date_trunc('day', bi.as_of() - interval '2160 hours', 'UTC') AND hour < bi.as_of() GROUP BY 1, 2;

-- tie: the baseline of a spike is the 28 days before
SELECT day, cause, round(baseline_mean::numeric, 6), spike FROM cause_spike;
WITH d AS (SELECT date_trunc('day', hour, 'UTC') AS day, cause, sum(interactions)::float8 AS n FROM cause_hourly WHERE hour < bi.as_of() GROUP BY 1, 2)
SELECT s.day, s.cause, round((b.total / 28)::numeric, 6), s.interactions >= 5 AND s.interactions > b.total / 28 + 3 * greatest(sqrt(greatest(b.squares / 28 - (b.total / 28) ^ 2, 0)), 1)
FROM cause_spike s CROSS JOIN LATERAL (
    SELECT coalesce(sum(d.n), 0) AS total, coalesce(sum(d.n * d.n), 0) AS squares FROM d
    WHERE d.cause = s.cause AND s.day - d.day BETWEEN interval '24 hours' AND interval '672 hours') b;

-- tie: customers hit by a spike
SELECT s.cause, s.day, c.customer_id, c.events FROM cause_spike s, bi.incident_customers(s.cause, s.day, s.day + interval '24 hours') c WHERE s.spike;
SELECT s.cause, s.day, i.customer_id, count(*) FROM cause_spike s JOIN interaction i ON i.cause = s.cause AND i.occurred_at >= s.day
    AND i.occurred_at - s.day < interval '24 hours' AND i.occurred_at <= bi.as_of() WHERE s.spike AND i.customer_id IS NOT NULL GROUP BY 1, 2, 3;

-- tie: contradictions are statements with a diagnosis
SELECT event_hash, diagnoses, visible_at FROM contradiction;
SELECT s.event_hash, count(*), greatest(s.occurred_at, min(d.occurred_at)) FROM interaction s
CROSS JOIN LATERAL (SELECT min(e.occurred_at) AS at FROM interaction e WHERE e.topic = s.topic AND e.brand IS NOT DISTINCT FROM s.brand
                    AND (e.is_statement_withdrawn OR e.is_acknowledgement) AND e.occurred_at > s.occurred_at AND e.occurred_at <= bi.as_of()) e
JOIN interaction d ON d.topic = s.topic AND d.is_diagnosis AND s.occurred_at - d.occurred_at <= interval '90 days' AND d.occurred_at <= coalesce(e.at, bi.as_of())
WHERE s.is_statement AND s.occurred_at <= bi.as_of() GROUP BY s.event_hash, s.occurred_at;

-- tie: what was known is diagnoses
SELECT topic, sum(diagnoses) FROM knowledge_lag GROUP BY 1;
SELECT topic, count(*) FROM interaction WHERE is_diagnosis AND topic IS NOT NULL AND occurred_at <= bi.as_of() GROUP BY 1;

-- tie: mentions and improvements are events
SELECT event_hash, 'mention' FROM mention UNION ALL SELECT event_hash, 'improvement' FROM improvement;
SELECT event_hash, 'mention' FROM interaction WHERE is_mention UNION ALL SELECT event_hash, 'improvement' FROM interaction WHERE type = 'improvement.proposed' AND is_improvement;

-- ======== failures ========

-- tie: failures of the ledger
SELECT what, subject FROM failure WHERE what IN ('broken', 'rejected', 'late_in_window', 'not_reached', 'not_answered', 'loop', 'no_deadline', 'no_owner', 'handoff_unaccepted');
SELECT w.what, o.obligation_id FROM obligation o, LATERAL (VALUES ('broken', broken), ('rejected', state = 'rejected' AND NOT is_handoff),
    ('late_in_window', state = 'kept_late_in_window'), ('not_reached', state = 'attempted_not_reached'), ('not_answered', state = 'replied_not_answered'),
    ('loop', cycle > 1), ('no_deadline', no_deadline), ('no_owner', no_owner),
    ('handoff_unaccepted', is_handoff AND fulfilled_at IS NULL AND state <> 'withdrawn')) w (what, holds) WHERE w.holds;

-- tie: failures that are events
SELECT what, subject, brand, unit, visible_at FROM failure WHERE what IN ('refused', 'deflected', 'misrouted', 'unanswered', 'selfservice_failed');
SELECT w.what, i.event_hash, i.brand, i.unit, i.occurred_at FROM interaction i, LATERAL (VALUES ('refused', is_refusal), ('deflected', is_deflection), ('misrouted', is_misroute),
    ('unanswered', is_unanswered), ('selfservice_failed', is_selfservice_failed)) w (what, holds) WHERE w.holds AND NOT i.is_passive AND i.occurred_at <= bi.as_of();

-- tie: sanctions during a breach
SELECT subject FROM failure WHERE what = 'sanction_during_breach';
SELECT i.event_hash FROM interaction i WHERE i.is_sanction AND i.occurred_at <= bi.as_of() AND EXISTS (
    SELECT FROM polku.obligation o WHERE o.customer_id = i.customer_id AND NOT o.handoff AND o.opened_at <= i.occurred_at
      AND CASE WHEN o.changed_at > i.occurred_at THEN o.first_due_to ELSE o.due_to END < i.occurred_at
      AND NOT coalesce(o.fulfilled_at <= i.occurred_at, false) AND NOT coalesce(o.rejected_at <= i.occurred_at, false) AND NOT coalesce(o.withdrawn_at <= i.occurred_at, false));

-- tie: fallbacks
SELECT subject, brand, unit FROM failure WHERE what = 'fallback';
SELECT t.event_hash, t.from_brand, t.from_unit FROM transition t WHERE fallback AND occurred_at <= bi.as_of();

-- tie: repeats
SELECT subject, brand, unit, visible_at FROM failure WHERE what = 'repeat';
SELECT event_hash, previous_brand, previous_unit, occurred_at FROM contact, rules WHERE after <= repeat_window AND occurred_at <= bi.as_of();

-- tie at the end: repeats and fallbacks of failures are those of journeys
SELECT (SELECT count(*) FROM failure WHERE what = 'repeat'), (SELECT count(*) FROM failure WHERE what = 'fallback');
SELECT (SELECT coalesce(sum(repeats), 0) FROM journey), (SELECT coalesce(sum(fallbacks), 0) FROM journey WHERE NOT crowd);

-- tie: journeys without an owner
SELECT subject, what = 'ownerless_after_handoff', visible_at FROM failure WHERE what IN ('ownerless', 'ownerless_after_handoff')
    AND subject NOT IN (SELECT journey_id FROM journey WHERE crowd);
SELECT j.journey_id, o.orphan, j.ownerless_since FROM journey j JOIN journey_owner o USING (journey_id)
WHERE o.to_at IS NULL AND NOT o.owned AND j.ownerless_since <= bi.as_of();

-- tie: other failures
SELECT what, count(*) FROM failure WHERE what IN ('silent_churn', 'contradiction', 'knowledge_lag') GROUP BY 1;
SELECT 'silent_churn', count(*) FROM silent_churn HAVING count(*) > 0 UNION ALL SELECT 'contradiction', count(*) FROM contradiction HAVING count(*) > 0
UNION ALL SELECT 'knowledge_lag', count(*) FROM knowledge_lag HAVING count(*) > 0;

-- tie: a failure has a brand where somebody is accountable
SELECT f.* FROM failure f LEFT JOIN obligation o ON o.obligation_id = f.subject
    AND f.what IN ('broken', 'rejected', 'late_in_window', 'not_reached', 'not_answered', 'loop', 'no_deadline', 'no_owner', 'handoff_unaccepted')
LEFT JOIN journey j ON j.journey_id = f.subject AND f.what LIKE 'ownerless%'
WHERE f.brand IS NULL AND (o.brand IS NOT NULL OR j.entry_brand IS NOT NULL) OR f.visible_at IS NULL
   OR o.obligation_id IS NOT NULL AND (f.brand, f.unit, f.role, f.amount_minor) IS DISTINCT FROM (o.brand, o.unit, o.role, o.amount_minor);

-- tie: nothing is seen before it happened
SELECT f.*, o.opened_at FROM failure f JOIN obligation o ON o.obligation_id = f.subject
WHERE f.visible_at < o.opened_at AND f.what IN ('broken', 'rejected', 'late_in_window', 'not_reached', 'not_answered', 'loop', 'no_deadline', 'no_owner', 'handoff_unaccepted');

-- tie: nothing of an obligation is seen before it was opened
SELECT * FROM obligation WHERE visible_at < opened_at;

-- tie: what is broken was broken from the moment on at which it could be seen
SELECT o.* FROM failure f JOIN polku.obligation o ON o.obligation_id = f.subject
WHERE f.what = 'broken' AND CASE WHEN o.changed_at > f.visible_at THEN o.first_due_to ELSE o.due_to END > f.visible_at;

-- tie: nothing is seen after the moment
SELECT * FROM failure WHERE visible_at > bi.as_of();

-- tie: trouble of an obligation is seen when its first failure is
SELECT obligation_id, visible_at FROM obligation WHERE visible_at IS NOT NULL;
SELECT subject, min(visible_at) FROM failure WHERE what IN ('broken', 'late_in_window', 'not_reached', 'not_answered', 'no_deadline', 'no_owner')
    OR what = 'rejected' GROUP BY 1
UNION ALL SELECT obligation_id, greatest(rejected_at, opened_at) FROM obligation o WHERE is_handoff AND rejected_at IS NOT NULL AND NOT broken AND NOT no_deadline AND NOT no_owner;

-- ======== trust ========

-- tie: what was read is events and records set aside
SELECT sum(next_offset) >= (SELECT count(*) FROM interaction) + (SELECT count(*) FROM quarantine) FROM freshness;
SELECT true;

-- tie: records set aside
SELECT topic, reason, count(*) FROM quarantine GROUP BY 1, 2;
SELECT topic, reason, records FROM quarantine_by_reason;

-- tie: lateness and quality of the last day are its events
SELECT source, events FROM lateness UNION ALL SELECT source, events FROM data_quality;
SELECT source, count(*) FROM interaction, (VALUES (1), (2)) twice (n) WHERE bi.as_of() - occurred_at < interval '24 hours' AND occurred_at <= bi.as_of() GROUP BY 1, n;

-- tie: quality counts contacts as everything else does
SELECT source, contacts, contacts_without_need, sensitive FROM data_quality;
SELECT i.source, count(c.*), count(c.*) FILTER (WHERE c.need IS NULL AND NOT i.sensitive AND i.direction = 'INBOUND'), count(*) FILTER (WHERE i.sensitive)
FROM interaction i LEFT JOIN contact c USING (event_hash, occurred_at) WHERE bi.as_of() - i.occurred_at < interval '24 hours' AND i.occurred_at <= bi.as_of() GROUP BY 1;

-- tie: nothing is later than late
SELECT * FROM lateness WHERE NOT (p50 <= p90 AND p90 <= p99) OR p99 > longest + interval '1 ms' OR late_1d > late_1h OR late_1h > events;
