-- SPDX-License-Identifier: Apache-2.0
-- What dashboards ask, as polku_reader, of schema bi alone (tests/bench/dashboard/run). Times are told as of bi.as_of().
--
--   -- question NAME [LIMIT ms]: what is asked
--
-- Questions with a limit of their own are asked by applications again and again: prepared, for one :customer or :journey.

-- question contacts_by_channel: contacts by channel and week, 13 weeks
SELECT date_trunc('week', day, 'UTC') AS week, channel, sum(contacts) AS contacts
FROM bi.interaction_daily
WHERE day >= date_trunc('week', bi.as_of(), 'UTC') - interval '13 weeks'
GROUP BY 1, 2 ORDER BY 1, 2

-- question fcr_by_brand: contacts solved at the first time (7 days) by brand and month, 12 months
SELECT date_trunc('month', day, 'UTC') AS month, brand, 1 - sum(repeated_7d) / sum(contacts) AS first_contact_resolution
FROM bi.repeat_channel_daily
WHERE complete_7d AND day >= date_trunc('month', bi.as_of(), 'UTC') - interval '11 months'
GROUP BY 1, 2 ORDER BY 1, 2

-- question broken_promises: promises broken by kind and unit, this month
SELECT kind, brand, unit, sum(opened) AS due, sum(opened - kept - kept_late_in_window - rejected - withdrawn) AS broken
FROM bi.obligation_daily
WHERE due_day >= date_trunc('month', bi.as_of(), 'UTC') AND due_day < bi.as_of()
GROUP BY 1, 2, 3 ORDER BY 5 DESC

-- question first_reply: half and nine of ten were answered by a person within, by channel, 30 days, business time
SELECT channel, sum(durations) AS replies, bi.percentile(0.5, bucket, durations) AS p50, bi.percentile(0.9, bucket, durations) AS p90
FROM (SELECT channel, bucket, sum(durations)::bigint AS durations
      FROM bi.duration_daily
      WHERE measure = 'first_reply' AND clock = 'business' AND day >= date_trunc('day', bi.as_of(), 'UTC') - interval '30 days'
      GROUP BY 1, 2) d
GROUP BY 1 ORDER BY 2 DESC

-- question handoffs: who hands over to whom, this quarter
SELECT from_brand, from_unit, to_brand, to_unit, sum(offered) AS offered, sum(accepted) AS accepted, sum(rejected) AS rejected,
       sum(wait) / nullif(sum(accepted), 0) AS mean_wait
FROM bi.handoff_daily
WHERE day >= date_trunc('quarter', bi.as_of(), 'UTC')
GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC

-- question journeys_by_outcome: journeys by entry channel and outcome, 12 months
SELECT channel, resolved, terminal_outcome, sum(journeys) AS journeys, sum(contacts) / sum(journeys) AS contacts_each
FROM bi.journey_monthly
WHERE month >= date_trunc('month', bi.as_of(), 'UTC') - interval '11 months'
GROUP BY 1, 2, 3 ORDER BY 4 DESC

-- question transitions: from channel to channel, 30 days
SELECT from_channel, to_channel, sum(transitions) AS transitions, sum(wait) / sum(transitions) AS mean_wait
FROM bi.transition_daily
WHERE day >= date_trunc('day', bi.as_of(), 'UTC') - interval '30 days'
GROUP BY 1, 2 ORDER BY 3 DESC

-- question fallbacks: where customers go when self-service failed, by week, this quarter
SELECT date_trunc('week', day, 'UTC') AS week, from_channel, to_channel, sum(transitions) AS fallbacks
FROM bi.transition_daily
WHERE fallback AND day >= date_trunc('quarter', bi.as_of(), 'UTC')
GROUP BY 1, 2, 3 ORDER BY 1, 4 DESC

-- question funnel: the milestones of a definition by month, 12 months
SELECT date_trunc('month', day, 'UTC') AS month, milestone, name, sum(reached) AS reached, sum(fallout) AS fallout, sum(failed) AS failed
FROM bi.milestone_daily
WHERE definition = 'order/1' AND day >= bi.as_of() - interval '12 months'
GROUP BY 1, 2, 3 ORDER BY 1, 2

-- question paths: the ten commonest ways, this quarter
SELECT path, names, sum(courses) AS courses, sum(completed) AS completed
FROM bi.path_daily
WHERE definition = 'order/1' AND day >= date_trunc('quarter', bi.as_of(), 'UTC')
GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 10

-- question ratings: NPS and CSAT by channel and month, 12 months
SELECT month, channel,
       100.0 * (sum(ratings) FILTER (WHERE nps_class = 'promoter') - sum(ratings) FILTER (WHERE nps_class = 'detractor'))
           / nullif(sum(ratings) FILTER (WHERE scale = 'nps'), 0) AS nps,
       sum(score * ratings) FILTER (WHERE scale = 'csat') / nullif(sum(ratings) FILTER (WHERE scale = 'csat'), 0)::float8 AS csat
FROM bi.rating_monthly
WHERE month >= date_trunc('month', bi.as_of(), 'UTC') - interval '11 months'
GROUP BY 1, 2 ORDER BY 1, 2

-- question causes: what customers get in touch for today, against the 28 days before
SELECT cause, interactions, baseline_mean, score, spike, visible_at, brands
FROM bi.cause_spikes(date_trunc('day', bi.as_of(), 'UTC'), bi.as_of())
ORDER BY score DESC

-- question refusals: refusals by reason and week, 13 weeks
SELECT date_trunc('week', day, 'UTC') AS week, reason, sum(refusals) AS refusals
FROM bi.interaction_daily
WHERE refusals > 0 AND day >= date_trunc('week', bi.as_of(), 'UTC') - interval '13 weeks'
GROUP BY 1, 2 ORDER BY 1, 3 DESC

-- question effort: what a journey costs the customer, by brand and month, 12 months
SELECT month, brand, sum(effort) / sum(journeys) AS effort_each, sum(single_contact) / sum(journeys) AS single_contact
FROM bi.journey_monthly
WHERE month >= date_trunc('month', bi.as_of(), 'UTC') - interval '11 months'
GROUP BY 1, 2 ORDER BY 1, 2

-- question compensated: money paid back by brand and month, 12 months
SELECT month, brand, currency, sum(events) AS payments, sum(amount_minor) / 100.0 AS amount
FROM bi.money_monthly
WHERE kind = 'compensation' AND month >= date_trunc('month', bi.as_of(), 'UTC') - interval '11 months'
GROUP BY 1, 2, 3 ORDER BY 1, 2

-- question overdue_now: what is overdue now, by unit and kind, whatever its age
SELECT kind, brand, unit, sum(opened - kept - kept_late_in_window - late - rejected - withdrawn) AS overdue
FROM bi.obligation_daily WHERE due_day < date_trunc('day', bi.as_of(), 'UTC') GROUP BY 1, 2, 3 ORDER BY 4 DESC

-- question customer_now 10: the situation of one customer
SELECT * FROM bi.customer_now WHERE customer_id = bi.customer_of(:customer)

-- question timeline 10: everything of one customer
SELECT occurred_at, type, channel, direction, actor, brand, unit, outcome, reason, topic, cause, rating_score
FROM bi.interaction WHERE customer_id = :customer ORDER BY occurred_at, sequence, source, event_id

-- question journey 10: one journey with all its facts
SELECT * FROM bi.journey WHERE journey_id = :journey
