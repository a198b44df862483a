-- SPDX-License-Identifier: Apache-2.0
-- One query per derived table, in the canonical text form of polku_oracle.py and in its order of columns.
-- compare.py runs each as COPY (query) TO STDOUT. Read through dictionaries and slot sums; arrival facts
-- (received_at, positions, offsets), guard cells and identifiers' owners are left out.

-- table: interaction
SELECT (extract(epoch FROM i.occurred_at) * 1000000)::bigint, i.event_hash, source.text, i.event_id, i.sequence,
       i.content_hash::numeric + CASE WHEN i.content_hash < 0 THEN 18446744073709551616 ELSE 0 END,
       i.customer_id, (ARRAY['person', 'device', 'case', NULL, NULL, 'shared'])[i.customer_kind + 1], i.journey_id,
       type.text, channel.text, (ARRAY['INBOUND', 'OUTBOUND', 'INTERNAL', 'PUBLIC', 'UNKNOWN'])[i.direction + 1],
       (ARRAY['CUSTOMER', 'HUMAN', 'BOT', 'SYSTEM', 'UNKNOWN'])[i.actor + 1],
       (ARRAY['NORMAL', 'SENSITIVE'])[i.sensitivity + 1], brand.text, unit.text, outcome.text, reason.text,
       topic.text, cause.text, i.product, i.location, stage.text, i.case_key, i.staff, i.relates_to,
       to_json(coalesce(i.identifiers, '{}')::text[]),
       coalesce((SELECT to_json(array_agg((SELECT n.text FROM polku.dictionary n WHERE n.id = u.id) ORDER BY u.place))
                 FROM unnest(i.identifier_namespaces) WITH ORDINALITY AS u (id, place))::text, '[]'),
       i.promise_id, promise_kind.text, (extract(epoch FROM i.promise_due_from) * 1000000)::bigint,
       (extract(epoch FROM i.promise_due_to) * 1000000)::bigint, promise_brand.text, promise_unit.text,
       promise_role.text, i.handoff, to_brand.text, to_unit.text, to_role.text, rating_scale.text,
       encode(float8send(i.rating_score), 'hex'), encode(float8send(i.rating_min), 'hex'),
       encode(float8send(i.rating_max), 'hex'), i.money_amount_minor, money_currency.text, money_kind.text,
       coalesce((SELECT '[' || string_agg(to_json(ARRAY[a.key, a.value])::text, ',' ORDER BY a.key COLLATE "C") || ']'
                 FROM jsonb_each_text(i.attributes) a), '[]'),
       i.traits
FROM polku.interaction i
LEFT JOIN polku.dictionary source ON source.id = i.source_id
LEFT JOIN polku.dictionary type ON type.id = i.type_id
LEFT JOIN polku.dictionary channel ON channel.id = i.channel_id
LEFT JOIN polku.dictionary brand ON brand.id = i.brand_id
LEFT JOIN polku.dictionary unit ON unit.id = i.unit_id
LEFT JOIN polku.dictionary outcome ON outcome.id = i.outcome_id
LEFT JOIN polku.dictionary reason ON reason.id = i.reason_id
LEFT JOIN polku.dictionary promise_kind ON promise_kind.id = i.promise_kind_id
LEFT JOIN polku.dictionary promise_brand ON promise_brand.id = i.promise_brand_id
LEFT JOIN polku.dictionary promise_unit ON promise_unit.id = i.promise_unit_id
LEFT JOIN polku.dictionary promise_role ON promise_role.id = i.promise_role_id
LEFT JOIN polku.dictionary to_brand ON to_brand.id = i.to_brand_id
LEFT JOIN polku.dictionary to_unit ON to_unit.id = i.to_unit_id
LEFT JOIN polku.dictionary to_role ON to_role.id = i.to_role_id
LEFT JOIN polku.dictionary rating_scale ON rating_scale.id = i.rating_scale_id
LEFT JOIN polku.dictionary money_currency ON money_currency.id = i.money_currency_id
LEFT JOIN polku.dictionary money_kind ON money_kind.id = i.money_kind_id
LEFT JOIN polku.dictionary topic ON topic.id = i.topic_id
LEFT JOIN polku.dictionary cause ON cause.id = i.cause_id
LEFT JOIN polku.dictionary stage ON stage.id = i.stage_id

-- table: customer
SELECT c.customer_id, (ARRAY['person', 'device', 'case', NULL, NULL, 'shared'])[c.kind + 1], namespace.text,
       c.purchases, (extract(epoch FROM c.first_purchase_at) * 1000000)::bigint,
       (extract(epoch FROM c.last_purchase_at) * 1000000)::bigint
FROM polku.customer c
LEFT JOIN polku.dictionary namespace ON namespace.id = c.namespace_id

-- table: identifier
SELECT i.hash, namespace.text, (i.flags & 1) <> 0, (i.flags & 2) <> 0, i.customer_id,
       (extract(epoch FROM i.first_at) * 1000000)::bigint
FROM polku.identifier i
LEFT JOIN polku.dictionary namespace ON namespace.id = i.namespace_id
WHERE i.kind = 0 AND i.first_at IS NOT NULL AND (i.flags & 8) = 0

-- table: identity_link
SELECT l.a, l.b, (extract(epoch FROM l.first_at) * 1000000)::bigint, l.source, l.event_id, l.refused
FROM bi.identity_link l

-- table: decision
SELECT (ARRAY['block', 'unlink', 'apart'])[d.kind + 1], d.a, d.b
FROM polku.decision d
WHERE d.restored_at IS NULL

-- table: forgotten
SELECT f.forgetting_id, (extract(epoch FROM g.until) * 1000000)::bigint, f.anonymise, f.name, f.event_hash,
       (extract(epoch FROM f.until) * 1000000)::bigint
FROM polku.forgotten f
JOIN polku.forgetting g ON g.forgetting_id = f.forgetting_id

-- table: journey
SELECT j.journey_id, j.customer_id, j.case_key, j.continues, j.crowd,
       (extract(epoch FROM j.first_at) * 1000000)::bigint, (extract(epoch FROM j.last_at) * 1000000)::bigint,
       j.events, entry_channel.text, last_channel.text,
       to_json(ARRAY(SELECT (SELECT d.text FROM polku.dictionary d WHERE d.id = u.id) FROM unnest(j.channels) u (id)
                     ORDER BY (SELECT d.text FROM polku.dictionary d WHERE d.id = u.id) COLLATE "C")),
       to_json(ARRAY(SELECT (SELECT d.text FROM polku.dictionary d WHERE d.id = u.id) FROM unnest(j.brands) u (id)
                     ORDER BY (SELECT d.text FROM polku.dictionary d WHERE d.id = u.id) COLLATE "C")),
       to_json(ARRAY(SELECT (SELECT d.text FROM polku.dictionary d WHERE d.id = u.id) FROM unnest(j.units) u (id)
                     ORDER BY (SELECT d.text FROM polku.dictionary d WHERE d.id = u.id) COLLATE "C")),
       j.contacts, j.switches, j.handoffs_offered, j.handoffs_accepted, j.unanswered, j.refusals,
       (extract(epoch FROM j.first_inbound_at) * 1000000)::bigint,
       (extract(epoch FROM j.first_human_reply_at) * 1000000)::bigint, j.resolved, last_type.text, last_outcome.text,
       entry_brand.text, entry_unit.text, terminal_outcome.text, stage.text, j.fallbacks, j.repeats,
       j.handoffs_rejected, j.handoffs_returned, j.deflections, j.transfers, j.misroutes, j.proactive, j.thanks,
       j.reopened, j.owners, j.people, j.effort, j.people_until_decision, owner_brand.text, owner_unit.text,
       (extract(epoch FROM j.first_terminal_at) * 1000000)::bigint,
       (extract(epoch FROM j.last_terminal_at) * 1000000)::bigint,
       (extract(epoch FROM j.decided_at) * 1000000)::bigint,
       (extract(epoch FROM j.ownerless_since) * 1000000)::bigint,
       (extract(epoch FROM j.queue_since) * 1000000)::bigint, (extract(epoch FROM j.touch_since) * 1000000)::bigint,
       j.ownerless_us, j.orphan_us, j.queue_us, j.touch_us
FROM polku.journey j
LEFT JOIN polku.dictionary entry_channel ON entry_channel.id = j.entry_channel_id
LEFT JOIN polku.dictionary last_channel ON last_channel.id = j.last_channel_id
LEFT JOIN polku.dictionary last_type ON last_type.id = j.last_type_id
LEFT JOIN polku.dictionary last_outcome ON last_outcome.id = j.last_outcome_id
LEFT JOIN polku.dictionary entry_brand ON entry_brand.id = j.entry_brand_id
LEFT JOIN polku.dictionary entry_unit ON entry_unit.id = j.entry_unit_id
LEFT JOIN polku.dictionary terminal_outcome ON terminal_outcome.id = j.terminal_outcome_id
LEFT JOIN polku.dictionary stage ON stage.id = j.stage_id
LEFT JOIN polku.dictionary owner_brand ON owner_brand.id = j.owner_brand_id
LEFT JOIN polku.dictionary owner_unit ON owner_unit.id = j.owner_unit_id

-- table: obligation
SELECT o.obligation_id, kind.text, o.customer_id, o.journey_id, o.case_key, brand.text, unit.text, role.text,
       o.explicit, (ARRAY[NULL, 'attempted_not_reached', 'replied_not_answered'])[o.label + 1],
       (extract(epoch FROM o.opened_at) * 1000000)::bigint, o.opened_by,
       (extract(epoch FROM o.due_from) * 1000000)::bigint, (extract(epoch FROM o.first_due_to) * 1000000)::bigint,
       (extract(epoch FROM o.due_to) * 1000000)::bigint, (extract(epoch FROM o.changed_at) * 1000000)::bigint,
       o.attempts, (extract(epoch FROM o.first_attempt_at) * 1000000)::bigint,
       (extract(epoch FROM o.last_attempt_at) * 1000000)::bigint,
       (extract(epoch FROM o.fulfilled_at) * 1000000)::bigint, o.fulfilled_by,
       (extract(epoch FROM o.rejected_at) * 1000000)::bigint, (extract(epoch FROM o.withdrawn_at) * 1000000)::bigint,
       from_brand.text, from_unit.text, o.cycle, o.handoff, o.amount_minor, currency.text
FROM polku.obligation o
LEFT JOIN polku.dictionary kind ON kind.id = o.kind_id
LEFT JOIN polku.dictionary brand ON brand.id = o.brand_id
LEFT JOIN polku.dictionary unit ON unit.id = o.unit_id
LEFT JOIN polku.dictionary role ON role.id = o.role_id
LEFT JOIN polku.dictionary from_brand ON from_brand.id = o.from_brand_id
LEFT JOIN polku.dictionary from_unit ON from_unit.id = o.from_unit_id
LEFT JOIN polku.dictionary currency ON currency.id = o.currency_id

-- table: course
SELECT c.journey_id, definition.text, c.customer_id, (extract(epoch FROM c.start_at) * 1000000)::bigint,
       (extract(epoch FROM c.goal_at) * 1000000)::bigint, coalesce(path.text, ''), c.steps, c.furthest, c.violations, c.skipped,
       (SELECT '[' || string_agg(coalesce((extract(epoch FROM r.at) * 1000000)::bigint::text, 'null'), ','
                                 ORDER BY r.place) || ']'
        FROM unnest(c.reached_at) WITH ORDINALITY AS r (at, place)),
       replace(to_json(c.failures)::text, ' ', '')
FROM polku.course c
LEFT JOIN polku.dictionary definition ON definition.id = c.definition_id
LEFT JOIN polku.dictionary path ON path.id = c.path_id

-- table: interaction_hourly
SELECT (extract(epoch FROM h.hour) * 1000000)::bigint, brand.text, unit.text, channel.text, type.text, outcome.text,
       reason.text, h.interactions, h.contacts, h.unanswered, h.refusals, h.deflections, h.transfers, h.misroutes
FROM (SELECT hour, brand_id, unit_id, channel_id, type_id, outcome_id, reason_id, sum(interactions) AS interactions,
             sum(contacts) AS contacts, sum(unanswered) AS unanswered, sum(refusals) AS refusals,
             sum(deflections) AS deflections, sum(transfers) AS transfers, sum(misroutes) AS misroutes
      FROM polku.interaction_hourly
      GROUP BY hour, brand_id, unit_id, channel_id, type_id, outcome_id, reason_id) h
LEFT JOIN polku.dictionary brand ON brand.id = h.brand_id
LEFT JOIN polku.dictionary unit ON unit.id = h.unit_id
LEFT JOIN polku.dictionary channel ON channel.id = h.channel_id
LEFT JOIN polku.dictionary type ON type.id = h.type_id
LEFT JOIN polku.dictionary outcome ON outcome.id = h.outcome_id
LEFT JOIN polku.dictionary reason ON reason.id = h.reason_id
WHERE (h.interactions, h.contacts, h.unanswered, h.refusals, h.deflections, h.transfers, h.misroutes) <>
      (0, 0, 0, 0, 0, 0, 0)

-- table: need_hourly
SELECT (extract(epoch FROM h.hour) * 1000000)::bigint, brand.text, stage.text, topic.text, cause.text,
       h.interactions, h.contacts
FROM (SELECT hour, brand_id, stage_id, topic_id, cause_id, sum(interactions) AS interactions,
             sum(contacts) AS contacts
      FROM polku.need_hourly
      GROUP BY hour, brand_id, stage_id, topic_id, cause_id) h
LEFT JOIN polku.dictionary brand ON brand.id = h.brand_id
LEFT JOIN polku.dictionary stage ON stage.id = h.stage_id
LEFT JOIN polku.dictionary topic ON topic.id = h.topic_id
LEFT JOIN polku.dictionary cause ON cause.id = h.cause_id
WHERE (h.interactions, h.contacts) <> (0, 0)

-- table: rating_hourly
SELECT (extract(epoch FROM h.hour) * 1000000)::bigint, brand.text, unit.text, channel.text, scale.text, h.score,
       h.min, h.max, h.ratings
FROM (SELECT hour, brand_id, unit_id, channel_id, scale_id, score, min, max, sum(ratings) AS ratings
      FROM polku.rating_hourly
      GROUP BY hour, brand_id, unit_id, channel_id, scale_id, score, min, max) h
LEFT JOIN polku.dictionary brand ON brand.id = h.brand_id
LEFT JOIN polku.dictionary unit ON unit.id = h.unit_id
LEFT JOIN polku.dictionary channel ON channel.id = h.channel_id
LEFT JOIN polku.dictionary scale ON scale.id = h.scale_id
WHERE h.ratings <> 0

-- table: money_hourly
SELECT (extract(epoch FROM h.hour) * 1000000)::bigint, brand.text, unit.text, kind.text, currency.text, h.events,
       h.amount_minor, h.out_of_range
FROM (SELECT hour, brand_id, unit_id, kind_id, currency_id, sum(events) AS events, sum(amount_minor) AS amount_minor,
             sum(out_of_range) AS out_of_range
      FROM polku.money_hourly
      GROUP BY hour, brand_id, unit_id, kind_id, currency_id) h
LEFT JOIN polku.dictionary brand ON brand.id = h.brand_id
LEFT JOIN polku.dictionary unit ON unit.id = h.unit_id
LEFT JOIN polku.dictionary kind ON kind.id = h.kind_id
LEFT JOIN polku.dictionary currency ON currency.id = h.currency_id
WHERE (h.events, h.amount_minor, h.out_of_range) <> (0, 0, 0)

-- table: repeat_daily
SELECT (extract(epoch FROM h.day) * 1000000)::bigint, brand.text, unit.text, channel.text, cause.text, topic.text,
       h.contacts, h.repeated_1d, h.repeated_7d, h.repeated_14d, h.repeated_30d
FROM (SELECT day, brand_id, unit_id, channel_id, cause_id, topic_id, sum(contacts) AS contacts,
             sum(repeated_1d) AS repeated_1d, sum(repeated_7d) AS repeated_7d, sum(repeated_14d) AS repeated_14d,
             sum(repeated_30d) AS repeated_30d
      FROM polku.repeat_daily
      GROUP BY day, brand_id, unit_id, channel_id, cause_id, topic_id) h
LEFT JOIN polku.dictionary brand ON brand.id = h.brand_id
LEFT JOIN polku.dictionary unit ON unit.id = h.unit_id
LEFT JOIN polku.dictionary channel ON channel.id = h.channel_id
LEFT JOIN polku.dictionary cause ON cause.id = h.cause_id
LEFT JOIN polku.dictionary topic ON topic.id = h.topic_id
WHERE (h.contacts, h.repeated_1d, h.repeated_7d, h.repeated_14d, h.repeated_30d) <> (0, 0, 0, 0, 0)

-- table: transition_hourly
SELECT (extract(epoch FROM h.hour) * 1000000)::bigint, brand.text, from_channel.text, to_channel.text, h.fallback,
       h.transitions, h.wait_us
FROM (SELECT hour, brand_id, from_channel_id, to_channel_id, fallback, sum(transitions) AS transitions,
             sum(wait_us) AS wait_us
      FROM polku.transition_hourly
      GROUP BY hour, brand_id, from_channel_id, to_channel_id, fallback) h
LEFT JOIN polku.dictionary brand ON brand.id = h.brand_id
LEFT JOIN polku.dictionary from_channel ON from_channel.id = h.from_channel_id
LEFT JOIN polku.dictionary to_channel ON to_channel.id = h.to_channel_id
WHERE (h.transitions, h.wait_us) <> (0, 0)

-- table: duration_hourly
SELECT (extract(epoch FROM h.hour) * 1000000)::bigint, measure.text, h.clock, brand.text, unit.text, channel.text,
       h.bucket, h.durations, h.total_us
FROM (SELECT hour, measure_id, clock, brand_id, unit_id, channel_id, bucket, sum(durations) AS durations,
             sum(total_us) AS total_us
      FROM polku.duration_hourly
      GROUP BY hour, measure_id, clock, brand_id, unit_id, channel_id, bucket) h
LEFT JOIN polku.dictionary measure ON measure.id = h.measure_id
LEFT JOIN polku.dictionary brand ON brand.id = h.brand_id
LEFT JOIN polku.dictionary unit ON unit.id = h.unit_id
LEFT JOIN polku.dictionary channel ON channel.id = h.channel_id
WHERE (h.durations, h.total_us) <> (0, 0)

-- table: journey_daily
SELECT (extract(epoch FROM h.day) * 1000000)::bigint, brand.text, unit.text, channel.text, h.resolved,
       terminal_outcome.text, h.journeys, h.events, h.contacts, h.switches, h.fallbacks, h.repeats, h.unanswered,
       h.refusals, h.deflections, h.handoffs_offered, h.reopened, h.effort, h.single_contact, h.one_owner,
       h.without_owner
FROM (SELECT day, brand_id, unit_id, channel_id, resolved, terminal_outcome_id, sum(journeys) AS journeys,
             sum(events) AS events, sum(contacts) AS contacts, sum(switches) AS switches,
             sum(fallbacks) AS fallbacks, sum(repeats) AS repeats, sum(unanswered) AS unanswered,
             sum(refusals) AS refusals, sum(deflections) AS deflections, sum(handoffs_offered) AS handoffs_offered,
             sum(reopened) AS reopened, sum(effort) AS effort, sum(single_contact) AS single_contact,
             sum(one_owner) AS one_owner, sum(without_owner) AS without_owner
      FROM polku.journey_daily
      GROUP BY day, brand_id, unit_id, channel_id, resolved, terminal_outcome_id) h
LEFT JOIN polku.dictionary brand ON brand.id = h.brand_id
LEFT JOIN polku.dictionary unit ON unit.id = h.unit_id
LEFT JOIN polku.dictionary channel ON channel.id = h.channel_id
LEFT JOIN polku.dictionary terminal_outcome ON terminal_outcome.id = h.terminal_outcome_id
WHERE (h.journeys, h.events, h.contacts, h.switches, h.fallbacks, h.repeats, h.unanswered, h.refusals, h.deflections,
       h.handoffs_offered, h.reopened, h.effort, h.single_contact, h.one_owner, h.without_owner) <>
      (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)

-- table: obligation_hourly
SELECT CASE WHEN h.due_hour <> 'infinity' THEN (extract(epoch FROM h.due_hour) * 1000000)::bigint END, kind.text,
       brand.text, unit.text, h.opened, h.kept, h.kept_late_in_window, h.late, h.attempted, h.rejected, h.withdrawn,
       h.looped, h.no_owner, h.attempts
FROM (SELECT due_hour, kind_id, brand_id, unit_id, sum(opened) AS opened, sum(kept) AS kept,
             sum(kept_late_in_window) AS kept_late_in_window, sum(late) AS late, sum(attempted) AS attempted,
             sum(rejected) AS rejected, sum(withdrawn) AS withdrawn, sum(looped) AS looped,
             sum(no_owner) AS no_owner, sum(attempts) AS attempts
      FROM polku.obligation_hourly
      GROUP BY due_hour, kind_id, brand_id, unit_id) h
LEFT JOIN polku.dictionary kind ON kind.id = h.kind_id
LEFT JOIN polku.dictionary brand ON brand.id = h.brand_id
LEFT JOIN polku.dictionary unit ON unit.id = h.unit_id
WHERE (h.opened, h.kept, h.kept_late_in_window, h.late, h.attempted, h.rejected, h.withdrawn, h.looped, h.no_owner,
       h.attempts) <>
      (0, 0, 0, 0, 0, 0, 0, 0, 0, 0)

-- table: handoff_hourly
SELECT (extract(epoch FROM h.hour) * 1000000)::bigint, kind.text, from_brand.text, from_unit.text, to_brand.text,
       to_unit.text, h.offered, h.accepted, h.rejected, h.withdrawn, h.wait_us
FROM (SELECT hour, kind_id, from_brand_id, from_unit_id, to_brand_id, to_unit_id, sum(offered) AS offered,
             sum(accepted) AS accepted, sum(rejected) AS rejected, sum(withdrawn) AS withdrawn,
             sum(wait_us) AS wait_us
      FROM polku.handoff_hourly
      GROUP BY hour, kind_id, from_brand_id, from_unit_id, to_brand_id, to_unit_id) h
LEFT JOIN polku.dictionary kind ON kind.id = h.kind_id
LEFT JOIN polku.dictionary from_brand ON from_brand.id = h.from_brand_id
LEFT JOIN polku.dictionary from_unit ON from_unit.id = h.from_unit_id
LEFT JOIN polku.dictionary to_brand ON to_brand.id = h.to_brand_id
LEFT JOIN polku.dictionary to_unit ON to_unit.id = h.to_unit_id
WHERE (h.offered, h.accepted, h.rejected, h.withdrawn, h.wait_us) <> (0, 0, 0, 0, 0)

-- table: course_daily
SELECT (extract(epoch FROM h.day) * 1000000)::bigint, definition.text, h.courses, h.completed, h.conformant,
       h.completed_conformant, h.violations, h.skipped, h.goal_us
FROM (SELECT day, definition_id, sum(courses) AS courses, sum(completed) AS completed, sum(conformant) AS conformant,
             sum(completed_conformant) AS completed_conformant, sum(violations) AS violations,
             sum(skipped) AS skipped, sum(goal_us) AS goal_us
      FROM polku.course_daily
      GROUP BY day, definition_id) h
LEFT JOIN polku.dictionary definition ON definition.id = h.definition_id
WHERE (h.courses, h.completed, h.conformant, h.completed_conformant, h.violations, h.skipped, h.goal_us) <>
      (0, 0, 0, 0, 0, 0, 0)

-- table: milestone_daily
SELECT (extract(epoch FROM h.day) * 1000000)::bigint, definition.text, h.milestone, h.reached, h.fallout, h.skipped,
       h.failures, h.failed
FROM (SELECT day, definition_id, milestone, sum(reached) AS reached, sum(fallout) AS fallout,
             sum(skipped) AS skipped, sum(failures) AS failures, sum(failed) AS failed
      FROM polku.milestone_daily
      GROUP BY day, definition_id, milestone) h
LEFT JOIN polku.dictionary definition ON definition.id = h.definition_id
WHERE (h.reached, h.fallout, h.skipped, h.failures, h.failed) <> (0, 0, 0, 0, 0)

-- table: step_daily
SELECT (extract(epoch FROM h.day) * 1000000)::bigint, definition.text, h.from_milestone, h.to_milestone, h.steps,
       h.wait_us
FROM (SELECT day, definition_id, from_milestone, to_milestone, sum(steps) AS steps, sum(wait_us) AS wait_us
      FROM polku.step_daily
      GROUP BY day, definition_id, from_milestone, to_milestone) h
LEFT JOIN polku.dictionary definition ON definition.id = h.definition_id
WHERE (h.steps, h.wait_us) <> (0, 0)

-- table: path_daily
SELECT (extract(epoch FROM h.day) * 1000000)::bigint, definition.text, path.text, h.courses, h.completed
FROM (SELECT day, definition_id, path_id, sum(courses) AS courses, sum(completed) AS completed
      FROM polku.path_daily
      GROUP BY day, definition_id, path_id) h
LEFT JOIN polku.dictionary definition ON definition.id = h.definition_id
LEFT JOIN polku.dictionary path ON path.id = h.path_id
WHERE (h.courses, h.completed) <> (0, 0)

-- table: bi_interaction
SELECT (extract(epoch FROM i.occurred_at) * 1000000)::bigint, i.event_hash, i.source, i.event_id, i.type,
       i.customer_kind, i.sensitive, i.reason, i.topic, i.cause, i.product,
       CASE WHEN i.attributes IS NULL AND i.sensitive THEN NULL ELSE coalesce(
           (SELECT '[' || string_agg(to_json(ARRAY[a.key, a.value])::text, ',' ORDER BY a.key COLLATE "C") || ']'
            FROM jsonb_each_text(i.attributes) a), '[]') END
FROM bi.interaction i

-- table: bi_customer
SELECT c.customer_id, c.kind, c.namespace, c.journeys, (extract(epoch FROM c.first_at) * 1000000)::bigint,
       (extract(epoch FROM c.last_at) * 1000000)::bigint
FROM bi.customer c

-- table: bi_interaction_hourly
SELECT (extract(epoch FROM h.hour) * 1000000)::bigint, h.brand, h.unit, h.channel, h.type, h.outcome, h.reason,
       h.interactions, h.contacts, h.unanswered, h.refusals, h.deflections, h.transfers, h.misroutes
FROM bi.interaction_hourly h

-- table: bi_need_hourly
SELECT (extract(epoch FROM h.hour) * 1000000)::bigint, h.brand, h.stage, h.topic, h.cause, h.interactions, h.contacts
FROM bi.need_hourly h

-- table: bi_rating_hourly
SELECT (extract(epoch FROM h.hour) * 1000000)::bigint, h.brand, h.unit, h.channel, h.scale,
       round(h.score * 1000)::bigint, round(h.min * 1000)::bigint, round(h.max * 1000)::bigint, h.ratings
FROM bi.rating_hourly h

-- table: bi_money_hourly
SELECT (extract(epoch FROM h.hour) * 1000000)::bigint, h.brand, h.unit, h.kind, h.currency, h.events, h.amount_minor,
       h.out_of_range
FROM bi.money_hourly h

-- table: bi_repeat_daily
SELECT (extract(epoch FROM h.day) * 1000000)::bigint, h.brand, h.unit, h.channel, h.cause, h.topic, h.contacts,
       h.repeated_1d, h.repeated_7d, h.repeated_14d, h.repeated_30d
FROM bi.repeat_daily h

-- table: bi_transition_hourly
SELECT (extract(epoch FROM h.hour) * 1000000)::bigint, h.brand, h.from_channel, h.to_channel, h.fallback::integer,
       h.transitions, (extract(epoch FROM h.wait) * 1000000)::bigint
FROM bi.transition_hourly h

-- table: bi_duration_hourly
SELECT (extract(epoch FROM h.hour) * 1000000)::bigint, h.measure, CASE h.clock WHEN 'wall' THEN 0 ELSE 1 END,
       h.brand, h.unit, h.channel, h.bucket, h.durations, (extract(epoch FROM h.total) * 1000000)::bigint
FROM bi.duration_hourly h

-- table: bi_journey_daily
SELECT (extract(epoch FROM h.day) * 1000000)::bigint, h.brand, h.unit, h.channel, h.resolved::integer,
       h.terminal_outcome, h.journeys, h.events, h.contacts, h.switches, h.fallbacks, h.repeats, h.unanswered,
       h.refusals, h.deflections, h.handoffs_offered, h.reopened, h.effort, h.single_contact, h.one_owner,
       h.without_owner
FROM bi.journey_daily h

-- table: bi_obligation_hourly
SELECT (extract(epoch FROM h.due_hour) * 1000000)::bigint, h.kind, h.brand, h.unit, h.opened, h.kept,
       h.kept_late_in_window, h.late, h.attempted, h.rejected, h.withdrawn, h.looped, h.no_owner, h.attempts
FROM bi.obligation_hourly h

-- table: bi_handoff_hourly
SELECT (extract(epoch FROM h.hour) * 1000000)::bigint, h.kind, h.from_brand, h.from_unit, h.to_brand, h.to_unit,
       h.offered, h.accepted, h.rejected, h.withdrawn, (extract(epoch FROM h.wait) * 1000000)::bigint
FROM bi.handoff_hourly h

-- table: bi_course_daily
SELECT (extract(epoch FROM h.day) * 1000000)::bigint, h.definition, h.courses, h.completed, h.conformant,
       h.completed_conformant, h.violations, h.skipped, (extract(epoch FROM h.goal_time) * 1000000)::bigint
FROM bi.course_daily h

-- table: bi_milestone_daily
SELECT (extract(epoch FROM h.day) * 1000000)::bigint, h.definition, h.milestone, h.reached, h.fallout, h.skipped,
       h.failures, h.failed
FROM bi.milestone_daily h

-- table: bi_step_daily
SELECT (extract(epoch FROM h.day) * 1000000)::bigint, h.definition, h.from_milestone, h.to_milestone, h.steps,
       (extract(epoch FROM h.wait) * 1000000)::bigint
FROM bi.step_daily h

-- table: bi_path_daily
SELECT (extract(epoch FROM h.day) * 1000000)::bigint, h.definition, nullif(h.path, ''), h.courses, h.completed
FROM bi.path_daily h

-- table: bi_obligation
SELECT o.obligation_id, o.kind, o.state, o.closed, o.overdue, o.broken, o.early, o.no_deadline, o.no_owner,
       (extract(epoch FROM o.opened_at) * 1000000)::bigint, (extract(epoch FROM o.due_from) * 1000000)::bigint,
       (extract(epoch FROM o.due_to) * 1000000)::bigint, (extract(epoch FROM o.first_due_to) * 1000000)::bigint,
       (extract(epoch FROM o.changed_at) * 1000000)::bigint, o.attempts,
       (extract(epoch FROM o.first_attempt_at) * 1000000)::bigint,
       (extract(epoch FROM o.last_attempt_at) * 1000000)::bigint,
       (extract(epoch FROM o.fulfilled_at) * 1000000)::bigint, o.fulfilled_by,
       (extract(epoch FROM o.rejected_at) * 1000000)::bigint, (extract(epoch FROM o.withdrawn_at) * 1000000)::bigint,
       round(o.position::numeric * 1000000)::bigint, (extract(epoch FROM o.slack) * 1000000)::bigint,
       (extract(epoch FROM o.open_for) * 1000000)::bigint
FROM bi.obligation o

-- table: bi_journey
SELECT j.journey_id, (extract(epoch FROM j.duration) * 1000000)::bigint,
       (extract(epoch FROM j.first_human_reply_after) * 1000000)::bigint, j.channel_count, j.brand_count, j.unit_count,
       j.obligations_opened, j.obligations_open, j.obligations_broken
FROM bi.journey j

-- table: bi_journey_obligation
SELECT j.journey_id, k.kind, c.opened, c.open, c.kept, c.kept_late_in_window, c.late, c.attempted, c.rejected,
       c.withdrawn, c.overdue, c.broken
FROM bi.journey j
CROSS JOIN LATERAL jsonb_each(j.obligations) AS k (kind, counts)
CROSS JOIN LATERAL jsonb_to_record(k.counts) AS c (opened bigint, open bigint, kept bigint, kept_late_in_window bigint,
    late bigint, attempted bigint, rejected bigint, withdrawn bigint, overdue bigint, broken bigint)

-- What is sealed (docs/semantics.md 3.8). Slot -1 of an aggregate is read by the query of the aggregate.

-- table: sealed_journey
SELECT j.journey_id FROM polku.journey j WHERE j.sealed

-- table: sealed_obligation
SELECT o.obligation_id FROM polku.obligation o WHERE o.sealed

-- table: sealed_customer
SELECT c.customer_id, c.sealed_events, c.sealed_purchases, (extract(epoch FROM c.sealed_first_purchase_at) * 1000000)::bigint,
       (extract(epoch FROM c.sealed_last_purchase_at) * 1000000)::bigint
FROM polku.customer c
WHERE c.sealed_events <> 0

-- table: sealed_person
SELECT i.hash, (extract(epoch FROM i.sealed_at) * 1000000)::bigint
FROM polku.identifier i
WHERE i.sealed_at IS NOT NULL

-- table: retention
SELECT (extract(epoch FROM r.before) * 1000000)::bigint
FROM polku.retention r

-- table: left_behind
SELECT i.event_hash, (extract(epoch FROM i.occurred_at) * 1000000)::bigint
FROM polku.interaction i
WHERE i.occurred_at < (SELECT max(r.before) FROM polku.retention r)
