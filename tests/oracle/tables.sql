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
       i.topic, i.cause, i.product, i.location, i.stage, i.case_key, i.staff, i.relates_to,
       to_json(coalesce(i.identifiers, '{}')::text[]),
       coalesce((SELECT to_json(array_agg((SELECT n.text FROM polku.dictionary n WHERE n.id = u.id) ORDER BY u.place))
                 FROM unnest(i.identifier_namespaces) WITH ORDINALITY AS u (id, place))::text, '[]'),
       i.promise_id, promise_kind.text, (extract(epoch FROM i.promise_due_from) * 1000000)::bigint,
       (extract(epoch FROM i.promise_due_to) * 1000000)::bigint, promise_brand.text, promise_unit.text,
       promise_role.text, i.handoff, to_brand.text, to_unit.text, to_role.text, rating_scale.text,
       encode(float8send(i.rating_score), 'hex'), encode(float8send(i.rating_min), 'hex'),
       encode(float8send(i.rating_max), 'hex'), i.money_amount_minor, money_currency.text, money_kind.text,
       coalesce((SELECT '[' || string_agg(to_json(ARRAY[a.key, a.value])::text, ',' ORDER BY a.key COLLATE "C") || ']'
                 FROM jsonb_each_text(i.attributes) a), '[]')
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

-- table: customer
SELECT c.customer_id, (ARRAY['person', 'device', 'case', NULL, NULL, 'shared'])[c.kind + 1], namespace.text
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
       (extract(epoch FROM j.first_human_reply_at) * 1000000)::bigint, j.resolved, last_type.text, last_outcome.text
FROM polku.journey j
LEFT JOIN polku.dictionary entry_channel ON entry_channel.id = j.entry_channel_id
LEFT JOIN polku.dictionary last_channel ON last_channel.id = j.last_channel_id
LEFT JOIN polku.dictionary last_type ON last_type.id = j.last_type_id
LEFT JOIN polku.dictionary last_outcome ON last_outcome.id = j.last_outcome_id

-- table: obligation
SELECT o.obligation_id, kind.text, o.customer_id, o.journey_id, o.case_key, brand.text, unit.text, role.text,
       o.explicit, (ARRAY[NULL, 'attempted_not_reached', 'replied_not_answered'])[o.label + 1],
       (extract(epoch FROM o.opened_at) * 1000000)::bigint, o.opened_by,
       (extract(epoch FROM o.due_from) * 1000000)::bigint, (extract(epoch FROM o.first_due_to) * 1000000)::bigint,
       (extract(epoch FROM o.due_to) * 1000000)::bigint, (extract(epoch FROM o.changed_at) * 1000000)::bigint,
       o.attempts, (extract(epoch FROM o.first_attempt_at) * 1000000)::bigint,
       (extract(epoch FROM o.last_attempt_at) * 1000000)::bigint,
       (extract(epoch FROM o.fulfilled_at) * 1000000)::bigint, o.fulfilled_by,
       (extract(epoch FROM o.rejected_at) * 1000000)::bigint, (extract(epoch FROM o.withdrawn_at) * 1000000)::bigint
FROM polku.obligation o
LEFT JOIN polku.dictionary kind ON kind.id = o.kind_id
LEFT JOIN polku.dictionary brand ON brand.id = o.brand_id
LEFT JOIN polku.dictionary unit ON unit.id = o.unit_id
LEFT JOIN polku.dictionary role ON role.id = o.role_id

-- table: interaction_hourly
SELECT (extract(epoch FROM h.hour) * 1000000)::bigint, brand.text, channel.text, type.text, outcome.text,
       h.interactions, h.contacts
FROM (SELECT hour, brand_id, channel_id, type_id, outcome_id, sum(interactions) AS interactions,
             sum(contacts) AS contacts
      FROM polku.interaction_hourly
      GROUP BY hour, brand_id, channel_id, type_id, outcome_id) h
LEFT JOIN polku.dictionary brand ON brand.id = h.brand_id
LEFT JOIN polku.dictionary channel ON channel.id = h.channel_id
LEFT JOIN polku.dictionary type ON type.id = h.type_id
LEFT JOIN polku.dictionary outcome ON outcome.id = h.outcome_id
WHERE (h.interactions, h.contacts) <> (0, 0)

-- table: obligation_hourly
SELECT kind.text, brand.text, unit.text,
       CASE WHEN h.due_hour <> 'infinity' THEN (extract(epoch FROM h.due_hour) * 1000000)::bigint END, h.opened, h.kept,
       h.kept_late_in_window, h.late, h.rejected, h.withdrawn, h.attempted
FROM (SELECT due_hour, kind_id, brand_id, unit_id, sum(opened) AS opened, sum(kept) AS kept,
             sum(kept_late_in_window) AS kept_late_in_window, sum(late) AS late, sum(rejected) AS rejected,
             sum(withdrawn) AS withdrawn, sum(attempted) AS attempted
      FROM polku.obligation_hourly
      GROUP BY due_hour, kind_id, brand_id, unit_id) h
LEFT JOIN polku.dictionary kind ON kind.id = h.kind_id
LEFT JOIN polku.dictionary brand ON brand.id = h.brand_id
LEFT JOIN polku.dictionary unit ON unit.id = h.unit_id
WHERE (h.opened, h.kept, h.kept_late_in_window, h.late, h.rejected, h.withdrawn, h.attempted) <> (0, 0, 0, 0, 0, 0, 0)

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
SELECT (extract(epoch FROM h.hour) * 1000000)::bigint, h.brand, h.channel, h.type, h.outcome, h.interactions, h.contacts
FROM bi.interaction_hourly h

-- table: bi_obligation_hourly
SELECT h.kind, h.brand, h.unit, (extract(epoch FROM h.due_hour) * 1000000)::bigint, h.opened, h.kept,
       h.kept_late_in_window, h.late, h.rejected, h.withdrawn, h.attempted
FROM bi.obligation_hourly h

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
