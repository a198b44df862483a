-- SPDX-License-Identifier: Apache-2.0
-- Rows for schema bi without a consumer: people who live the stories of a garage, a railway, a shop, a clinic, a fuel
-- chain and a waste site, January to April 2026. psql -v people=600 -f bi_sample.sql, into a database just migrated.
-- Facts are derived plainly, as far as the stories go; docs/semantics.md and the consumer are the definition.
\set ON_ERROR_STOP on
\if :{?people}
\else
\set people 600
\endif
SET client_min_messages = warning;
BEGIN;

-- What happens in each story: one row per event.
CREATE TEMP TABLE step (story text, n integer, after interval, type text, channel text, direction integer, actor integer, brand text, unit text,
                        outcome text, reason text, topic text, cause text, staff text, location text, stage text,
                        scale text, score double precision, money text, amount bigint, attributes jsonb, sensitivity integer DEFAULT 0);
INSERT INTO step (story, n, after, type, channel, direction, actor, brand, unit, outcome, reason, topic, cause, staff, location, stage, scale, score,
                  money, amount, attributes) VALUES
 ('callback', 1, '0',         'contact.missed',      'phone', 0, 0, 'garage', 'desk', 'unanswered', 'busy', 'yearly_service', NULL, NULL, NULL, 'service', NULL, NULL, NULL, NULL, NULL),
 ('callback', 2, '2 min',     'callback.requested',  'ivr',   0, 0, 'garage', 'desk', NULL, NULL, 'yearly_service', NULL, NULL, NULL, 'service', NULL, NULL, NULL, NULL, NULL),
 ('callback', 3, '20 h',      'callback.unreached',  'phone', 1, 1, 'garage', 'desk', 'unreached', 'no_answer', 'yearly_service', NULL, 'anna', NULL, 'service', NULL, NULL, NULL, NULL, NULL),
 ('callback', 4, '26 h',      'callback.requested',  'ivr',   0, 0, 'garage', 'desk', NULL, NULL, 'yearly_service', NULL, NULL, NULL, 'service', NULL, NULL, NULL, NULL, NULL),
 ('callback', 5, '47 h',      'callback.reached',    'phone', 1, 1, 'garage', 'desk', 'ok', NULL, 'yearly_service', NULL, 'anna', NULL, 'service', NULL, NULL, NULL, NULL, NULL),
 ('callback', 6, '48 h',      'survey.answered',     'messaging', 0, 0, 'garage', 'desk', NULL, NULL, NULL, NULL, NULL, NULL, 'service', 'nps', 3, NULL, NULL, NULL),
 ('ticket',   1, '0',         'purchase.started',    'store', 0, 0, 'rail', 'counter', NULL, NULL, 'ticket', NULL, 'bo', 'station', 'buy', NULL, NULL, NULL, NULL, NULL),
 ('ticket',   2, '1 min',     'payment.captured',    'store', 0, 3, 'rail', 'counter', 'ok', 'ticket', 'ticket', NULL, NULL, 'station', 'buy', NULL, NULL, 'payment', 2490, NULL),
 ('ticket',   3, '2 min',     'system.failed',       'store', 2, 3, 'rail', 'it', 'failed', 'system_down', 'ticket', 'pos_crash', NULL, 'station', 'buy', NULL, NULL, NULL, NULL, NULL),
 ('ticket',   4, '4 min',     'request.refused',     'store', 1, 1, 'rail', 'counter', 'refused', 'no_fallback', 'ticket', 'pos_crash', 'bo', 'station', 'buy', NULL, NULL, NULL, NULL, NULL),
 ('ticket',   5, '6 min',     'escalation.failed',   'store', 1, 1, 'rail', 'counter', 'refused', 'no_authority', 'ticket', 'pos_crash', 'carl', 'station', 'buy', NULL, NULL, NULL, NULL, NULL),
 ('ticket',   6, '40 min',    'enforcement.called',  'field_service', 1, 1, 'rail', 'train', 'refused', 'policy', 'ticket', NULL, 'dora', 'train', 'use', NULL, NULL, NULL, NULL, NULL),
 ('ticket',   7, '2 d',       'complaint.opened',    'email', 0, 0, 'rail', 'complaints', NULL, NULL, 'ticket', 'pos_crash', NULL, NULL, 'use', NULL, NULL, 'loss', 2490, NULL),
 ('ticket',   8, '19 d',      'complaint.closed',    'email', 1, 1, 'rail', 'complaints', 'resolved', NULL, 'ticket', 'pos_crash', 'eve', NULL, 'use', NULL, NULL, NULL, NULL, '{"apology": "no", "fault_admitted": "no"}'),
 ('order',    1, '0',         'order.placed',        'web',   0, 0, 'shop', 'orders', 'ok', NULL, 'delivery', NULL, NULL, NULL, 'buy', NULL, NULL, 'payment', 5900, NULL),
 ('order',    2, '1 min',     'expectation.recorded','web',   0, 0, 'shop', 'orders', NULL, NULL, NULL, NULL, NULL, NULL, 'buy', 'expectation', 3, NULL, NULL, NULL),
 ('order',    3, '30 h',      'order.shipped',       'back_office', 2, 3, 'shop', 'stock', 'ok', NULL, 'delivery', NULL, NULL, NULL, 'receive', NULL, NULL, NULL, NULL, NULL),
 ('order',    4, '4 d',       'order.delivered',     'post',  1, 3, 'shop', 'stock', 'ok', NULL, 'delivery', NULL, NULL, NULL, 'receive', NULL, NULL, NULL, NULL, NULL),
 ('order',    5, '5 d',       'survey.answered',     'email', 0, 0, 'shop', 'orders', NULL, NULL, NULL, NULL, NULL, NULL, 'receive', 'csat', 5, NULL, NULL, NULL),
 ('late',     1, '0',         'order.placed',        'web',   0, 0, 'shop', 'orders', 'ok', NULL, 'delivery', NULL, NULL, NULL, 'buy', NULL, NULL, 'payment', 12900, NULL),
 ('late',     2, '15 d',      'contact.inbound',     'phone', 0, 0, 'shop', 'care', 'deflected', 'not_mine', 'delivery', 'late_delivery', 'finn', NULL, 'receive', NULL, NULL, NULL, NULL, NULL),
 ('late',     3, '17 d',      'contact.inbound',     'phone', 0, 0, 'shop', 'care', 'ok', NULL, 'delivery', 'late_delivery', 'gus', NULL, 'receive', NULL, NULL, NULL, NULL, NULL),
 ('late',     4, '17 d 1 h',  'recovery.eligible',   'back_office', 2, 1, 'shop', 'care', NULL, NULL, 'delivery', 'late_delivery', 'gus', NULL, 'receive', NULL, NULL, 'loss', 3000, NULL),
 ('late',     5, '18 d',      'recovery.offered',    'email', 1, 1, 'shop', 'care', NULL, NULL, 'delivery', 'late_delivery', 'gus', NULL, 'receive', NULL, NULL, 'compensation', 2000, NULL),
 ('late',     6, '20 d',      'recovery.paid',       'back_office', 1, 3, 'shop', 'care', 'ok', NULL, 'delivery', 'late_delivery', NULL, NULL, 'receive', NULL, NULL, 'compensation', 2000, NULL),
 ('late',     7, '21 d',      'order.delivered',     'post',  1, 3, 'shop', 'stock', 'late', NULL, 'delivery', NULL, NULL, NULL, 'receive', NULL, NULL, NULL, NULL, NULL),
 ('lab',      1, '0',         'result.promised',     'store', 1, 1, 'clinic', 'doctors', NULL, NULL, 'lab_result', NULL, 'hanna', 'clinic', 'service', NULL, NULL, NULL, NULL, NULL),
 ('lab',      2, '50 h',      'selfservice.failed',  'web',   0, 0, 'clinic', 'web', 'failed', 'not_found', 'lab_result', NULL, NULL, NULL, 'service', NULL, NULL, NULL, NULL, NULL),
 ('lab',      3, '51 h',      'request.blocked',     'phone', 1, 1, 'clinic', 'phone_service', 'blocked', 'no_access', 'lab_result', NULL, 'iris', NULL, 'service', NULL, NULL, NULL, NULL, NULL),
 ('lab',      4, '52 h',      'feedback.submitted',  'web',   0, 0, 'clinic', 'web', NULL, NULL, 'lab_result', NULL, NULL, NULL, 'service', NULL, NULL, NULL, NULL, NULL),
 ('lab',      5, '53 h',      'callback.booked',     'app',   0, 0, 'clinic', 'doctors', NULL, NULL, 'lab_result', NULL, NULL, NULL, 'service', NULL, NULL, NULL, NULL, NULL),
 ('lab',      6, '79 h 55 min','callback.reached',   'phone', 1, 1, 'clinic', 'doctors', 'ok', NULL, 'lab_result', NULL, 'hanna', NULL, 'service', NULL, NULL, NULL, NULL, NULL),
 ('lab',      7, '19 d',      'feedback.acknowledged','email', 1, 1, 'clinic', 'web', NULL, NULL, 'lab_result', NULL, 'jon', NULL, 'service', NULL, NULL, NULL, NULL, NULL),
 ('fuel',     1, '0',         'purchase.completed',  'store', 0, 0, 'fuel', 'forecourt', 'ok', NULL, NULL, NULL, NULL, 'station_7', 'buy', NULL, NULL, 'payment', 8000, NULL),
 ('fuel',     2, '1 d',       'visit.started',       'field_service', 0, 0, 'garage', 'workshop', NULL, NULL, 'fuel_quality', 'bad_fuel', 'kim', 'workshop', 'service', NULL, NULL, NULL, NULL, NULL),
 ('fuel',     3, '1 d 1 h',   'diagnosis.made',      'field_service', 2, 1, 'garage', 'workshop', 'ok', NULL, 'fuel_quality', 'bad_fuel', 'kim', 'workshop', 'service', NULL, NULL, 'loss', 8000, NULL),
 ('fuel',     4, '8 d',       'visit.started',       'field_service', 0, 0, 'garage', 'workshop', NULL, NULL, 'fuel_quality', 'bad_fuel', 'kim', 'workshop', 'service', NULL, NULL, 'loss', 8000, NULL),
 ('fuel',     5, '12 d',      'question.asked',      'social', 0, 0, 'fuel', 'social_care', NULL, NULL, 'fuel_quality', 'bad_fuel', NULL, NULL, 'service', NULL, NULL, NULL, NULL, NULL),
 ('fuel',     6, '12 d 2 h',  'contact.outbound',    'phone', 1, 1, 'fuel', 'experts', 'ok', NULL, 'fuel_quality', 'bad_fuel', 'liv', NULL, 'service', NULL, NULL, NULL, NULL, NULL),
 ('fuel',     7, '12 d 3 h',  'handoff.declared',    'phone', 1, 1, 'fuel', 'experts', NULL, NULL, 'fuel_quality', 'bad_fuel', 'liv', NULL, 'service', NULL, NULL, NULL, NULL, NULL),
 ('good',     1, '0',         'contact.proactive',   'store', 1, 1, 'waste', 'gate', 'exceeded', NULL, 'sorting', NULL, 'kalevi', 'waste_site', 'use', NULL, NULL, NULL, NULL, NULL),
 ('good',     2, '2 min',     'help.offered',        'store', 1, 1, 'waste', 'gate', 'ok', NULL, 'sorting', NULL, 'kalevi', 'waste_site', 'use', NULL, NULL, NULL, NULL, NULL),
 ('good',     3, '30 min',    'thanks.received',     'store', 0, 0, 'waste', 'gate', 'exceeded', NULL, 'sorting', NULL, 'kalevi', 'waste_site', 'use', 'nps', 10, NULL, NULL, NULL),
 ('buy',      1, '0',         'purchase.completed',  'store', 0, 0, 'fuel', 'forecourt', 'ok', NULL, NULL, NULL, NULL, 'station_7', 'buy', NULL, NULL, 'payment', 6000, NULL);

UPDATE step SET sensitivity = 1 WHERE story = 'lab';

-- Who lives which story when: everybody refuels, and has two troubles.
CREATE TEMP TABLE plan AS
SELECT p.k, md5('person ' || p.k)::uuid AS customer_id, s.story, s.at
FROM generate_series(1, :people) AS p (k)
CROSS JOIN LATERAL (
    SELECT 'buy' AS story, timestamptz '2026-01-01 05:00Z' + n * interval '17 days' + (p.k * 311 % 21600) * interval '1 min' AS at
    FROM generate_series(0, CASE WHEN p.k % 6 = 4 THEN 2 ELSE 6 END) AS n
    UNION ALL
    SELECT (ARRAY['callback', 'ticket', 'order', 'late', 'lab', 'fuel', 'good'])[1 + (p.k + n * 3) % 7],
           timestamptz '2026-01-08 06:00Z' + n * interval '45 days' + (p.k * 977 % 41 + 1) * interval '1 day' + (p.k * 37 % 600) * interval '1 min'
    FROM generate_series(0, 1) AS n) s;
-- The bad fuel was sold in one week.
UPDATE plan SET at = timestamptz '2026-02-16 05:00Z' + (k % 7) * interval '1 day' + (k * 37 % 600) * interval '1 min' WHERE story = 'fuel';

CREATE TEMP TABLE event AS
SELECT row_number() OVER (ORDER BY p.at + s.after, p.k, s.n) AS id, p.customer_id, p.k, p.story, p.at AS began, p.at + s.after AS at, s.n, s.type, s.channel,
       s.direction, s.actor, s.brand, s.unit, s.outcome, s.reason, s.topic, s.cause, s.staff, s.location, s.stage, s.scale, s.score, s.money,
       s.amount, s.attributes, s.sensitivity, NULL::text AS to_brand, NULL::text AS to_unit
FROM plan p JOIN step s ON s.story = p.story;
UPDATE event SET to_brand = 'garage', to_unit = 'workshop' WHERE type = 'handoff.declared';
INSERT INTO event (id, story, at, began, type, channel, direction, actor, brand, unit, topic, cause, scale, score, attributes, sensitivity, outcome, reason)
SELECT 1000000000 + n, 'public', at, at, type, channel, direction, actor, brand, unit, topic, cause, scale, score, attributes::jsonb, 0, NULL, reason
FROM (VALUES
    (1, timestamptz '2026-02-20 09:00Z', 'statement.published', 'web', 3, 1, 'fuel', 'communications', 'fuel_quality', NULL, NULL, NULL::double precision, '{"claim": "no quality problem"}', NULL),
    (2, '2026-03-06 10:00Z', 'incident.acknowledged', 'social', 3, 1, 'fuel', 'communications', 'fuel_quality', 'bad_fuel', NULL, NULL, NULL, NULL),
    (3, '2026-03-02 08:00Z', 'belief.recorded', 'back_office', 2, 1, 'garage', 'desk', NULL, NULL, 'belief', 8.3, NULL, NULL),
    (4, '2026-03-02 08:00Z', 'belief.recorded', 'back_office', 2, 1, 'shop', 'orders', NULL, NULL, 'belief', 8, NULL, NULL),
    (5, '2026-02-02 08:00Z', 'improvement.proposed', 'store', 0, 0, 'garage', 'desk', 'callback', NULL, NULL, NULL, '{"pattern": "callback loop"}', NULL),
    (6, '2026-02-05 08:00Z', 'improvement.declined', 'store', 1, 1, 'garage', 'desk', 'callback', NULL, NULL, NULL, NULL, 'own_workload'))
    AS v (n, at, type, channel, direction, actor, brand, unit, topic, cause, scale, score, attributes, reason);
-- One of the railway's customers writes in a newspaper.
INSERT INTO event (id, customer_id, k, story, at, began, n, type, channel, direction, actor, brand, topic, cause, attributes, sensitivity)
SELECT 2000000000, customer_id, k, story, at + interval '25 days', at, 9, 'mention.published', 'media', 3, 4, 'rail', 'ticket', 'pos_crash',
       '{"medium": "newspaper", "sentiment": "negative", "reach": "900000"}', 0
FROM plan WHERE story = 'ticket' ORDER BY at LIMIT 1;
DELETE FROM event WHERE at >= '2026-05-01';

-- Traits, as bits of consumer/trait.def.
ALTER TABLE event ADD traits integer, ADD journey uuid, ADD hash uuid;
UPDATE event SET hash = md5('event ' || id)::uuid, traits =
      CASE WHEN type IN ('order.delivered', 'complaint.closed', 'thanks.received', 'callback.reached') THEN 2 ELSE 0 END
    + CASE WHEN type IN ('contact.inbound', 'contact.outbound', 'contact.proactive', 'callback.reached', 'visit.started', 'question.asked', 'complaint.opened',
                         'feedback.submitted', 'request.refused', 'request.blocked', 'escalation.failed', 'purchase.started', 'selfservice.failed') THEN 4 ELSE 0 END
    + CASE WHEN type IN ('contact.missed', 'callback.unreached') THEN 8 ELSE 0 END
    + CASE WHEN type IN ('request.refused', 'request.blocked', 'escalation.failed') OR outcome IN ('refused', 'deflected') THEN 16 ELSE 0 END
    + CASE WHEN type LIKE 'handoff.declared' THEN 32 ELSE 0 END
    + CASE WHEN direction = 1 AND actor = 1 AND type IN ('contact.outbound', 'callback.reached', 'request.blocked', 'request.refused', 'contact.proactive') THEN 128 ELSE 0 END
    + CASE WHEN outcome = 'deflected' THEN 2048 ELSE 0 END
    + CASE WHEN type = 'selfservice.failed' THEN 16384 ELSE 0 END
    + CASE WHEN type IN ('contact.proactive', 'help.offered') THEN 32768 ELSE 0 END
    + CASE WHEN type = 'thanks.received' THEN 65536 ELSE 0 END
    + CASE WHEN type = 'complaint.closed' THEN 131072 ELSE 0 END
    + CASE WHEN type = 'purchase.completed' OR type = 'order.placed' THEN 4194304 ELSE 0 END
    + CASE WHEN type = 'enforcement.called' THEN 8388608 ELSE 0 END
    + CASE WHEN type = 'statement.published' THEN 16777216 ELSE 0 END
    + CASE WHEN type = 'diagnosis.made' THEN 67108864 ELSE 0 END
    + CASE WHEN type = 'incident.acknowledged' THEN 134217728 ELSE 0 END
    + CASE WHEN type = 'mention.published' THEN 268435456 ELSE 0 END
    + CASE WHEN type LIKE 'improvement.%' THEN 536870912 ELSE 0 END;
UPDATE event e SET journey = j.id
FROM (SELECT k, story, at AS began, encode(int8send((extract(epoch FROM at) * 1000000)::bigint) || substr(uuid_send(md5(k || story)::uuid), 1, 8), 'hex')::uuid AS id
      FROM plan) j
WHERE e.k = j.k AND e.story = j.story AND e.began = j.began;

SELECT count(*) AS words FROM polku.intern(ARRAY(
    SELECT DISTINCT w FROM event, unnest(ARRAY[type, channel, brand, unit, outcome, reason, topic, cause, stage, scale, money, to_brand, to_unit]) AS w WHERE w IS NOT NULL
    UNION SELECT unnest('{interaction,sample,EUR,email,callback,question,ticket,feedback,complaint,handoff,delivery,result,buying/1,1>2>3,1>3,1>2,1,2,first_reply,resolution}'::text[])
    UNION SELECT 'kept.' || unnest('{callback,question,ticket,feedback,complaint,delivery,result}'::text[])));
CREATE FUNCTION pg_temp.w(t text) RETURNS integer LANGUAGE sql STABLE AS 'SELECT id FROM polku.dictionary WHERE text = t';
SELECT polku.ensure_months(ARRAY(SELECT DISTINCT at::date FROM event)) AS months;

INSERT INTO polku.interaction (occurred_at, received_at, sequence, content_hash, kafka_offset, kafka_topic_id, kafka_partition, source_id, type_id, channel_id,
    brand_id, unit_id, outcome_id, reason_id, customer_kind, direction, actor, sensitivity, handoff, event_hash, customer_id, journey_id, staff, to_brand_id,
    to_unit_id, rating_scale_id, rating_score, rating_min, rating_max, money_amount_minor, money_currency_id, money_kind_id, event_id, identifiers,
    identifier_namespaces, location, attributes, traits, topic_id, cause_id, stage_id)
SELECT e.at, e.at + (e.id % 97) * interval '1.3 s', e.id, 0, e.id, pg_temp.w('interaction'), 0, pg_temp.w('sample'), t.id, ch.id, b.id, u.id, o.id, r.id,
       CASE WHEN e.customer_id IS NOT NULL THEN 0 END, e.direction, e.actor, e.sensitivity, e.to_brand IS NOT NULL, e.hash, e.customer_id, e.journey,
       CASE WHEN e.staff IS NOT NULL THEN md5(e.staff)::uuid END, tb.id, tu.id, sc.id, e.score, CASE WHEN e.scale IS NOT NULL THEN CASE e.scale WHEN 'csat' THEN 1 WHEN 'expectation' THEN 1 ELSE 0 END END,
       CASE WHEN e.scale IS NOT NULL THEN CASE e.scale WHEN 'csat' THEN 5 WHEN 'expectation' THEN 5 ELSE 10 END END, e.amount,
       CASE WHEN e.money IS NOT NULL THEN pg_temp.w('EUR') END, m.id, 'e' || e.id, CASE WHEN e.customer_id IS NOT NULL THEN ARRAY[e.customer_id] END,
       CASE WHEN e.customer_id IS NOT NULL THEN ARRAY[pg_temp.w('email')] END, e.location, e.attributes, e.traits, tp.id, ca.id, st.id
FROM event e
JOIN polku.dictionary t ON t.text = e.type JOIN polku.dictionary ch ON ch.text = e.channel JOIN polku.dictionary b ON b.text = e.brand
LEFT JOIN polku.dictionary u ON u.text = e.unit LEFT JOIN polku.dictionary o ON o.text = e.outcome LEFT JOIN polku.dictionary r ON r.text = e.reason
LEFT JOIN polku.dictionary tp ON tp.text = e.topic LEFT JOIN polku.dictionary ca ON ca.text = e.cause LEFT JOIN polku.dictionary st ON st.text = e.stage
LEFT JOIN polku.dictionary sc ON sc.text = e.scale LEFT JOIN polku.dictionary m ON m.text = e.money
LEFT JOIN polku.dictionary tb ON tb.text = e.to_brand LEFT JOIN polku.dictionary tu ON tu.text = e.to_unit;

INSERT INTO polku.customer (namespace_id, kind, customer_id, purchases, first_purchase_at, last_purchase_at)
SELECT pg_temp.w('email'), 0, customer_id, count(*) FILTER (WHERE traits & 4194304 <> 0), min(at) FILTER (WHERE traits & 4194304 <> 0),
       max(at) FILTER (WHERE traits & 4194304 <> 0)
FROM event WHERE customer_id IS NOT NULL GROUP BY customer_id;
INSERT INTO polku.guard_cell (cell_id, version) VALUES (1, 1);
INSERT INTO polku.identifier (cell_id, namespace_id, kind, hash, first_at, customer_id)
SELECT 1, namespace_id, 0, customer_id, first_purchase_at, customer_id FROM polku.customer
UNION ALL SELECT 1, namespace_id, 0, md5('phone ' || customer_id)::uuid, first_purchase_at, customer_id FROM polku.customer;

CREATE TEMP TABLE contact AS
SELECT i.*, coalesce(i.cause_id, -i.topic_id) AS need,
       lag(i.channel_id) OVER j AS before_channel, lag(i.traits) OVER j AS before_traits, lag(i.occurred_at) OVER j AS before_at
FROM polku.interaction i WHERE i.traits & 4 <> 0 AND i.customer_id IS NOT NULL
WINDOW j AS (PARTITION BY i.journey_id ORDER BY i.occurred_at, i.sequence);
CREATE TEMP TABLE need AS
SELECT c.occurred_at, c.event_hash, c.journey_id, c.brand_id, c.unit_id, c.channel_id, c.cause_id, c.topic_id,
       c.occurred_at - lag(c.occurred_at) OVER w AS after, lead(c.occurred_at) OVER w - c.occurred_at AS next
FROM contact c WHERE c.need IS NOT NULL AND c.direction = 0 AND c.sensitivity = 0 WINDOW w AS (PARTITION BY c.customer_id, c.need ORDER BY c.occurred_at, c.sequence);

INSERT INTO polku.journey (journey_id, customer_id, first_at, last_at, first_inbound_at, first_human_reply_at, entry_channel_id, entry_brand_id, entry_unit_id,
    last_channel_id, last_type_id, last_outcome_id, events, contacts, switches, fallbacks, repeats, handoffs_offered, handoffs_accepted, unanswered, refusals,
    deflections, proactive, thanks, reopened, resolved, crowd, channels, brands, units, owners, owner_brand_id, owner_unit_id, ownerless_since,
    people, decided_at, people_until_decision, effort, first_terminal_at, last_terminal_at, terminal_outcome_id, stage_id)
SELECT g.journey_id, g.customer_id, g.first_at, g.last_at, g.inbound,
       (SELECT min(r.occurred_at) FROM polku.interaction r WHERE r.customer_id = g.customer_id AND r.journey_id = g.journey_id AND r.traits & 128 <> 0 AND r.occurred_at > g.inbound),
       g.channels[1], g.brands[1], g.units[1], g.channels[cardinality(g.channels)], g.types[cardinality(g.types)], g.outcomes[cardinality(g.outcomes)],
       g.events, g.contacts, coalesce(c.switches, 0), coalesce(c.fallbacks, 0), coalesce(n.repeats, 0), g.handoffs, 0, g.unanswered, g.refusals, g.deflections, g.proactive,
       g.thanks, 0, g.terminals[cardinality(g.terminals)], false,
       ARRAY(SELECT x FROM unnest(g.channels) WITH ORDINALITY AS u (x, p) WHERE x IS NOT NULL GROUP BY x ORDER BY min(p)),
       ARRAY(SELECT x FROM unnest(g.brands) WITH ORDINALITY AS u (x, p) WHERE x IS NOT NULL GROUP BY x ORDER BY min(p)),
       ARRAY(SELECT x FROM unnest(g.units) WITH ORDINALITY AS u (x, p) WHERE x IS NOT NULL GROUP BY x ORDER BY min(p)),
       1, CASE WHEN g.handoffs = 0 THEN g.brands[1] END, CASE WHEN g.handoffs = 0 THEN g.units[1] END, CASE WHEN g.handoffs > 0 THEN g.last_at END,
       g.people, g.decided, CASE WHEN g.decided IS NOT NULL THEN g.people ELSE 0 END,
       g.contacts + 2 * coalesce(c.switches, 0) + 3 * coalesce(n.repeats, 0) + 3 * g.refusals + 2 * g.unanswered,
       g.terminal_at, CASE WHEN g.terminals[cardinality(g.terminals)] THEN g.last_at ELSE g.terminal_at END,
       CASE WHEN g.terminal_at IS NOT NULL THEN g.outcomes[cardinality(g.outcomes)] END, g.stages[cardinality(g.stages)]
FROM (SELECT journey_id, customer_id, min(occurred_at) AS first_at, max(occurred_at) AS last_at, count(*) AS events, count(*) FILTER (WHERE traits & 4 <> 0) AS contacts,
             min(occurred_at) FILTER (WHERE traits & 4 <> 0 AND direction = 0) AS inbound, min(occurred_at) FILTER (WHERE traits & 2 <> 0) AS terminal_at,
             min(occurred_at) FILTER (WHERE traits & 131072 <> 0) AS decided, count(*) FILTER (WHERE traits & 32 <> 0) AS handoffs,
             count(*) FILTER (WHERE traits & 8 <> 0) AS unanswered, count(*) FILTER (WHERE traits & 16 <> 0) AS refusals,
             count(*) FILTER (WHERE traits & 2048 <> 0) AS deflections, count(*) FILTER (WHERE traits & 32768 <> 0) AS proactive,
             count(*) FILTER (WHERE traits & 65536 <> 0) AS thanks, count(DISTINCT staff) AS people,
             array_agg(channel_id ORDER BY occurred_at, sequence) AS channels, array_agg(brand_id ORDER BY occurred_at, sequence) AS brands,
             array_agg(unit_id ORDER BY occurred_at, sequence) AS units, array_agg(type_id ORDER BY occurred_at, sequence) AS types,
             array_agg(outcome_id ORDER BY occurred_at, sequence) AS outcomes, array_agg(stage_id ORDER BY occurred_at, sequence) AS stages,
             array_agg(traits & 2 <> 0 ORDER BY occurred_at, sequence) AS terminals
      FROM polku.interaction WHERE journey_id IS NOT NULL GROUP BY journey_id, customer_id) g
LEFT JOIN (SELECT journey_id, count(*) FILTER (WHERE before_channel <> channel_id) AS switches,
                  count(*) FILTER (WHERE before_channel <> channel_id AND before_traits & 16384 <> 0) AS fallbacks
           FROM contact GROUP BY journey_id) c ON c.journey_id = g.journey_id
LEFT JOIN (SELECT journey_id, count(*) FILTER (WHERE after <= interval '7 days') AS repeats FROM need GROUP BY journey_id) n ON n.journey_id = g.journey_id;

-- The ledger: what opens, attempts and closes in the same story.
CREATE TEMP TABLE kind (kind text, opens text[], attempts text, fulfils text, within interval, label integer, handoff boolean);
INSERT INTO kind VALUES ('callback', '{callback.requested,callback.booked}', 'callback.unreached', 'callback.reached', '24 h', 1, false),
    ('question', '{question.asked}', 'contact.outbound', 'answer.given', '24 h', 2, false), ('ticket', '{payment.captured}', NULL, 'ticket.issued', '60 s', 0, false),
    ('feedback', '{feedback.submitted}', NULL, 'feedback.acknowledged', '3 d', 0, false), ('complaint', '{complaint.opened}', NULL, 'complaint.closed', '14 d', 0, false),
    ('handoff', '{handoff.declared}', NULL, 'handoff.accepted', '24 h', 0, true), ('delivery', '{order.placed}', NULL, 'order.delivered', '14 d', 0, false),
    ('result', '{result.promised}', NULL, 'result.published', '48 h', 0, false);
INSERT INTO polku.obligation (opened_at, due_from, first_due_to, due_to, first_attempt_at, last_attempt_at, fulfilled_at, attempts, kind_id, brand_id, unit_id, label,
    explicit, obligation_id, customer_id, journey_id, opened_by, fulfilled_by, from_brand_id, from_unit_id, cycle, handoff, amount_minor, currency_id)
SELECT i.occurred_at, w.due_from, w.due_to, w.due_to, a.at, a.at, f.occurred_at, (a.at IS NOT NULL)::integer, pg_temp.w(k.kind), coalesce(i.to_brand_id, i.brand_id),
       CASE WHEN i.to_brand_id IS NOT NULL THEN i.to_unit_id ELSE i.unit_id END, k.label, w.due_from IS NOT NULL, md5(k.kind || i.event_id)::uuid, i.customer_id, i.journey_id, i.event_hash, f.event_hash,
       i.brand_id, i.unit_id, CASE WHEN t.text = 'callback.requested' AND e.n = 4 THEN 2 ELSE 1 END, k.handoff, i.money_amount_minor, i.money_currency_id
FROM polku.interaction i JOIN event e ON e.hash = i.event_hash JOIN polku.dictionary t ON t.id = i.type_id JOIN kind k ON t.text = ANY (k.opens)
CROSS JOIN LATERAL (SELECT CASE WHEN t.text = 'callback.booked' THEN i.occurred_at + interval '20 h' END AS due_from,
                           CASE WHEN t.text = 'callback.booked' THEN i.occurred_at + interval '27 h' ELSE i.occurred_at + k.within END AS due_to) w
LEFT JOIN LATERAL (SELECT min(x.occurred_at) AS at FROM polku.interaction x WHERE x.customer_id = i.customer_id AND x.journey_id = i.journey_id
                   AND x.type_id = pg_temp.w(k.attempts) AND x.occurred_at > i.occurred_at) a ON true
LEFT JOIN LATERAL (SELECT x.occurred_at, x.event_hash FROM polku.interaction x WHERE x.customer_id = i.customer_id AND x.journey_id = i.journey_id
                   AND x.type_id = pg_temp.w(k.fulfils) AND x.occurred_at > i.occurred_at ORDER BY x.occurred_at LIMIT 1) f
    ON NOT (t.text = 'callback.requested' AND e.n = 2)
WHERE i.customer_id IS NOT NULL;

-- What the rules say.
INSERT INTO polku.rules_state (derivation_version, rules_hash, key_check, effort_id, repeat_window_us) VALUES (3, md5('sample')::uuid, md5('key')::uuid, 'effort-1', 604800000000);
INSERT INTO polku.calendar (calendar_id, name, zone, brands, units)
VALUES (1, 'garage', 'Europe/Helsinki', '{garage}', '{}'), (2, 'clinic', 'Europe/Helsinki', '{clinic}', '{doctors,phone_service}');
INSERT INTO polku.calendar_open (calendar_id, from_at, to_at, before_us)
SELECT c.calendar_id, (d.day + interval '8 h') AT TIME ZONE c.zone, (d.day + interval '16 h') AT TIME ZONE c.zone, (row_number() OVER (PARTITION BY c.calendar_id ORDER BY d.day) - 1) * 28800000000
FROM polku.calendar c CROSS JOIN generate_series(timestamp '2025-12-01', '2026-12-31', '1 day') AS d (day) WHERE extract(isodow FROM d.day) < 6;
INSERT INTO polku.kind (place, kind_id, within_us, business, across, handoff, valid_from, valid_to)
SELECT row_number() OVER (), pg_temp.w(kind), extract(epoch FROM within)::bigint * 1000000, false, false, handoff, '-infinity', 'infinity' FROM kind;
INSERT INTO polku.definition (definition_id, goal, window_us)
VALUES (pg_temp.w('buying/1'), 3, 2592000000000);
INSERT INTO polku.milestone (definition_id, milestone, name, optional, critical)
SELECT pg_temp.w('buying/1'), n, name, false, n = 3 FROM (VALUES (1, 'ordered'), (2, 'shipped'), (3, 'delivered')) AS m (n, name);
INSERT INTO polku.course (journey_id, customer_id, definition_id, start_at, goal_at, path_id, steps, violations, skipped, furthest, reached_at, failures)
SELECT journey_id, customer_id, pg_temp.w('buying/1'), r[1], CASE WHEN r[3] <= r[1] + interval '30 days' THEN r[3] END,
       pg_temp.w('1' || CASE WHEN r[2] IS NOT NULL THEN '>2' ELSE '' END || CASE WHEN r[3] IS NOT NULL THEN '>3' ELSE '' END),
       1 + (r[2] IS NOT NULL)::integer + (r[3] IS NOT NULL)::integer, 0, (r[2] IS NULL AND r[3] IS NOT NULL)::integer,
       CASE WHEN r[3] IS NOT NULL THEN 3 WHEN r[2] IS NOT NULL THEN 2 ELSE 1 END, r, ARRAY[0, 0, f]
FROM (SELECT journey_id, customer_id, ARRAY[min(occurred_at) FILTER (WHERE t.text = 'order.placed'), min(occurred_at) FILTER (WHERE t.text = 'order.shipped'),
             min(occurred_at) FILTER (WHERE t.text = 'order.delivered')] AS r, count(*) FILTER (WHERE t.text = 'order.delivered' AND o.text = 'late')::integer AS f
      FROM polku.interaction i JOIN polku.dictionary t ON t.id = i.type_id LEFT JOIN polku.dictionary o ON o.id = i.outcome_id
      WHERE journey_id IS NOT NULL GROUP BY journey_id, customer_id) g WHERE r[1] IS NOT NULL;

-- Aggregates: two slots, as if two writers had been at work.
INSERT INTO polku.interaction_hourly (hour, interactions, contacts, unanswered, refusals, deflections, transfers, misroutes, brand_id, unit_id,
    channel_id, type_id, outcome_id, reason_id, slot)
SELECT date_trunc('hour', occurred_at, 'UTC'), count(*), count(*) FILTER (WHERE traits & 4 <> 0), count(*) FILTER (WHERE traits & 8 <> 0),
    count(*) FILTER (WHERE traits & 16 <> 0), count(*) FILTER (WHERE traits & 2048 <> 0), 0, 0, brand_id, coalesce(unit_id, 0), channel_id, type_id, coalesce(outcome_id, 0),
    CASE WHEN sensitivity = 0 THEN coalesce(reason_id, 0) ELSE 0 END, sequence % 2 FROM polku.interaction GROUP BY 1, 9, 10, 11, 12, 13, 14, 15;
INSERT INTO polku.need_hourly (hour, interactions, contacts, brand_id, stage_id, topic_id, cause_id, slot)
SELECT date_trunc('hour', occurred_at, 'UTC'), count(*), count(*) FILTER (WHERE traits & 4 <> 0), brand_id, coalesce(stage_id, 0),
    coalesce(topic_id, 0), coalesce(cause_id, 0), sequence % 2 FROM polku.interaction
    WHERE sensitivity = 0 AND coalesce(stage_id, topic_id, cause_id) IS NOT NULL GROUP BY 1, 4, 5, 6, 7, 8;
INSERT INTO polku.rating_hourly (hour, ratings, brand_id, unit_id, channel_id, scale_id, score, min, max, slot)
SELECT date_trunc('hour', occurred_at, 'UTC'), count(*), brand_id, coalesce(unit_id, 0), channel_id, rating_scale_id,
    rating_score * 1000, rating_min * 1000, rating_max * 1000, sequence % 2 FROM polku.interaction WHERE rating_score IS NOT NULL GROUP BY 1, 3, 4, 5, 6, 7, 8, 9, 10;
INSERT INTO polku.money_hourly (hour, events, amount_minor, out_of_range, brand_id, unit_id, kind_id, currency_id, slot)
SELECT date_trunc('hour', occurred_at, 'UTC'), count(*), sum(money_amount_minor), 0, brand_id, coalesce(unit_id, 0), money_kind_id,
    money_currency_id, sequence % 2 FROM polku.interaction WHERE money_amount_minor IS NOT NULL GROUP BY 1, 5, 6, 7, 8, 9;
INSERT INTO polku.repeat_daily (day, contacts, repeated_1d, repeated_7d, repeated_14d, repeated_30d, brand_id, unit_id, channel_id, cause_id, topic_id, slot)
SELECT date_trunc('day', occurred_at, 'UTC'), count(*), count(*) FILTER (WHERE next <= interval '1 day'), count(*) FILTER (WHERE next <= interval '7 days'),
    count(*) FILTER (WHERE next <= interval '14 days'), count(*) FILTER (WHERE next <= interval '30 days'), brand_id, coalesce(unit_id, 0), channel_id, coalesce(cause_id, 0),
    CASE WHEN cause_id IS NULL THEN topic_id ELSE 0 END, 0 FROM need GROUP BY 1, 7, 8, 9, 10, 11;
INSERT INTO polku.transition_hourly (hour, transitions, wait_us, brand_id, from_channel_id, to_channel_id, fallback, slot)
SELECT date_trunc('hour', occurred_at, 'UTC'), count(*), sum(extract(epoch FROM occurred_at - before_at) * 1000000)::bigint, brand_id, before_channel,
    channel_id, (before_channel <> channel_id AND before_traits & 16384 <> 0)::integer, sequence % 2 FROM contact WHERE before_at IS NOT NULL GROUP BY 1, 4, 5, 6, 7, 8;
INSERT INTO polku.duration_hourly (hour, durations, total_us, measure_id, clock, brand_id, unit_id, channel_id, bucket, slot)
SELECT date_trunc('hour', d.at, 'UTC'), count(*), sum(extract(epoch FROM v.length) * 1000000)::bigint, pg_temp.w(d.measure), v.clock,
    coalesce(d.brand_id, 0), coalesce(d.unit_id, 0), coalesce(d.channel_id, 0), bi.bucket_of(v.length), 0
FROM (SELECT 'first_reply' AS measure, first_inbound_at AS at, first_human_reply_at AS until, entry_brand_id AS brand_id, entry_unit_id AS unit_id, entry_channel_id AS channel_id
      FROM polku.journey WHERE first_human_reply_at IS NOT NULL
      UNION ALL SELECT 'resolution', first_at, last_terminal_at, entry_brand_id, entry_unit_id, entry_channel_id FROM polku.journey WHERE resolved
      UNION ALL SELECT 'kept.' || k.text, opened_at, fulfilled_at, brand_id, unit_id, NULL FROM polku.obligation JOIN polku.dictionary k ON k.id = kind_id
      WHERE fulfilled_at IS NOT NULL) d
CROSS JOIN LATERAL (VALUES (0, d.until - d.at), (1, bi.business_time((SELECT text FROM polku.dictionary WHERE id = d.brand_id),
    (SELECT text FROM polku.dictionary WHERE id = d.unit_id), d.at, d.until))) AS v (clock, length) GROUP BY 1, 4, 5, 6, 7, 8, 9;
INSERT INTO polku.journey_daily (day, journeys, events, contacts, switches, fallbacks, repeats, unanswered, refusals, deflections, handoffs_offered,
    reopened, effort, single_contact, one_owner, without_owner, brand_id, unit_id, channel_id, resolved, terminal_outcome_id, slot)
SELECT date_trunc('day', first_at, 'UTC'), count(*), sum(events), sum(contacts), sum(switches), sum(fallbacks), sum(repeats), sum(unanswered), sum(refusals),
    sum(deflections), sum(handoffs_offered), sum(reopened), sum(effort), count(*) FILTER (WHERE contacts = 1), count(*) FILTER (WHERE owners = 1 AND ownerless_since IS NULL),
    count(*) FILTER (WHERE owners = 0), entry_brand_id, coalesce(entry_unit_id, 0), entry_channel_id, resolved::integer, coalesce(terminal_outcome_id, 0), 0
    FROM polku.journey GROUP BY 1, 17, 18, 19, 20, 21;
INSERT INTO polku.obligation_hourly (due_hour, opened, kept, kept_late_in_window, late, attempted, rejected, withdrawn, looped, no_owner, attempts, kind_id,
    brand_id, unit_id, slot)
SELECT coalesce(date_trunc('hour', due_to, 'UTC'), 'infinity'), count(*), count(*) FILTER (WHERE s = 'kept'), count(*) FILTER (WHERE s = 'kept_late_in_window'),
    count(*) FILTER (WHERE s = 'late'), count(*) FILTER (WHERE s = 'open' AND attempts > 0), 0, 0, count(*) FILTER (WHERE cycle > 1), count(*) FILTER (WHERE unit_id IS NULL AND role_id IS NULL),
    sum(attempts), kind_id, brand_id, coalesce(unit_id, 0), 0
    FROM (SELECT *, CASE WHEN fulfilled_at IS NULL THEN 'open' WHEN fulfilled_at > due_to THEN 'late'
                         WHEN fulfilled_at - due_from > (due_to - due_from) * 0.9 THEN 'kept_late_in_window' ELSE 'kept' END AS s FROM polku.obligation) o GROUP BY 1, 12, 13, 14;
INSERT INTO polku.handoff_hourly (hour, offered, accepted, rejected, withdrawn, wait_us, kind_id, from_brand_id, from_unit_id, to_brand_id, to_unit_id, slot)
SELECT date_trunc('hour', opened_at, 'UTC'), count(*), count(fulfilled_at), 0, 0, 0, kind_id, from_brand_id, coalesce(from_unit_id, 0), brand_id, coalesce(unit_id, 0), 0
    FROM polku.obligation WHERE handoff GROUP BY 1, 7, 8, 9, 10, 11;
INSERT INTO polku.course_daily (day, courses, completed, conformant, completed_conformant, violations, skipped, goal_us, definition_id, slot)
SELECT date_trunc('day', start_at, 'UTC'), count(*), count(goal_at), count(*) FILTER (WHERE skipped = 0), count(*) FILTER (WHERE skipped = 0 AND goal_at IS NOT NULL),
    0, sum(skipped), coalesce(sum(extract(epoch FROM goal_at - start_at) * 1000000), 0)::bigint, definition_id, 0 FROM polku.course GROUP BY 1, 9;
INSERT INTO polku.milestone_daily (day, reached, fallout, skipped, failures, failed, definition_id, milestone, slot)
SELECT date_trunc('day', c.start_at, 'UTC'), count(c.reached_at[m]), count(*) FILTER (WHERE c.goal_at IS NULL AND c.furthest = m),
    count(*) FILTER (WHERE m > 0 AND c.reached_at[m] IS NULL AND m < c.furthest), coalesce(sum(c.failures[m]), 0), count(*) FILTER (WHERE c.failures[m] > 0), c.definition_id, m, 0
    FROM polku.course c CROSS JOIN generate_series(0, 3) AS m GROUP BY 1, 7, 8;
INSERT INTO polku.step_daily (day, steps, wait_us, definition_id, from_milestone, to_milestone, slot)
SELECT date_trunc('day', c.start_at, 'UTC'), count(*), coalesce(sum(extract(epoch FROM c.reached_at[s.b] - c.reached_at[nullif(s.a, 0)]) * 1000000), 0)::bigint, c.definition_id, s.a, s.b, 0
    FROM (SELECT c.*, CASE WHEN p.text ~ '^[0-9>]+$' THEN string_to_array('0>' || p.text || '>0', '>')::integer[] END AS w FROM polku.course c JOIN polku.dictionary p ON p.id = c.path_id) c
    CROSS JOIN LATERAL (SELECT c.w[n] AS a, c.w[n + 1] AS b FROM generate_series(1, cardinality(c.w) - 1) AS n) s GROUP BY 1, 4, 5, 6;
INSERT INTO polku.path_daily (day, courses, completed, definition_id, path_id, slot)
SELECT date_trunc('day', start_at, 'UTC'), count(*), count(goal_at), definition_id, path_id, 0 FROM polku.course GROUP BY 1, 4, 5;
INSERT INTO polku.stream_position (next_offset, epoch, claimed_at, moved_at, newest_occurred_at, newest_received_at, topic_id, partition, slot)
SELECT count(*), 1, '2026-01-01 00:00Z', '2026-04-30 23:59:58Z', max(occurred_at), max(received_at), pg_temp.w('interaction'), 0, 1 FROM polku.interaction;
INSERT INTO polku.quarantine (kafka_offset, received_at, quarantined_at, topic_id, partition, reason, detail)
VALUES (17, '2026-04-30 08:00Z', '2026-04-30 08:00:01Z', pg_temp.w('interaction'), 0, 'undecodable', 'the body ends before field occurred_at');
-- Coarser copies, as the consumer sums them.

INSERT INTO polku.interaction_daily (day, brand_id, channel_id, reason_id, slot, interactions, contacts, unanswered, refusals, deflections, transfers, misroutes)
SELECT date_trunc('day', hour, 'UTC'), brand_id, channel_id, reason_id, slot, sum(interactions), sum(contacts), sum(unanswered), sum(refusals), sum(deflections), sum(transfers), sum(misroutes)
FROM polku.interaction_hourly GROUP BY 1, 2, 3, 4, 5;
INSERT INTO polku.need_daily (day, brand_id, cause_id, slot, interactions, contacts)
SELECT date_trunc('day', hour, 'UTC'), brand_id, cause_id, slot, sum(interactions), sum(contacts)
FROM polku.need_hourly GROUP BY 1, 2, 3, 4;
INSERT INTO polku.rating_monthly (month, brand_id, channel_id, scale_id, score, min, max, slot, ratings)
SELECT date_trunc('month', hour, 'UTC'), brand_id, channel_id, scale_id, score, min, max, slot, sum(ratings)
FROM polku.rating_hourly GROUP BY 1, 2, 3, 4, 5, 6, 7, 8;
INSERT INTO polku.money_monthly (month, brand_id, unit_id, kind_id, currency_id, slot, events, amount_minor, out_of_range)
SELECT date_trunc('month', hour, 'UTC'), brand_id, unit_id, kind_id, currency_id, slot, sum(events), sum(amount_minor), sum(out_of_range)
FROM polku.money_hourly GROUP BY 1, 2, 3, 4, 5, 6;
INSERT INTO polku.repeat_channel_daily (day, brand_id, channel_id, slot, contacts, repeated_1d, repeated_7d, repeated_14d, repeated_30d)
SELECT date_trunc('day', day, 'UTC'), brand_id, channel_id, slot, sum(contacts), sum(repeated_1d), sum(repeated_7d), sum(repeated_14d), sum(repeated_30d)
FROM polku.repeat_daily GROUP BY 1, 2, 3, 4;
INSERT INTO polku.transition_daily (day, brand_id, from_channel_id, to_channel_id, fallback, slot, transitions, wait_us)
SELECT date_trunc('day', hour, 'UTC'), brand_id, from_channel_id, to_channel_id, fallback, slot, sum(transitions), sum(wait_us)
FROM polku.transition_hourly GROUP BY 1, 2, 3, 4, 5, 6;
INSERT INTO polku.duration_daily (day, measure_id, clock, brand_id, channel_id, bucket, slot, durations, total_us)
SELECT date_trunc('day', hour, 'UTC'), measure_id, clock, brand_id, channel_id, bucket, slot, sum(durations), sum(total_us)
FROM polku.duration_hourly GROUP BY 1, 2, 3, 4, 5, 6, 7;
INSERT INTO polku.journey_monthly (month, brand_id, unit_id, channel_id, resolved, terminal_outcome_id, slot, journeys, events, contacts, switches, fallbacks, repeats, unanswered, refusals, deflections, handoffs_offered, reopened, effort, single_contact, one_owner, without_owner)
SELECT date_trunc('month', day, 'UTC'), brand_id, unit_id, channel_id, resolved, terminal_outcome_id, slot, sum(journeys), sum(events), sum(contacts), sum(switches), sum(fallbacks), sum(repeats), sum(unanswered), sum(refusals), sum(deflections), sum(handoffs_offered), sum(reopened), sum(effort), sum(single_contact), sum(one_owner), sum(without_owner)
FROM polku.journey_daily GROUP BY 1, 2, 3, 4, 5, 6, 7;
INSERT INTO polku.obligation_daily (due_day, kind_id, brand_id, unit_id, slot, opened, kept, kept_late_in_window, late, attempted, rejected, withdrawn, looped, no_owner, attempts)
SELECT date_trunc('day', due_hour, 'UTC'), kind_id, brand_id, unit_id, slot, sum(opened), sum(kept), sum(kept_late_in_window), sum(late), sum(attempted), sum(rejected), sum(withdrawn), sum(looped), sum(no_owner), sum(attempts)
FROM polku.obligation_hourly GROUP BY 1, 2, 3, 4, 5;
INSERT INTO polku.handoff_daily (day, kind_id, from_brand_id, from_unit_id, to_brand_id, to_unit_id, slot, offered, accepted, rejected, withdrawn, wait_us)
SELECT date_trunc('day', hour, 'UTC'), kind_id, from_brand_id, from_unit_id, to_brand_id, to_unit_id, slot, sum(offered), sum(accepted), sum(rejected), sum(withdrawn), sum(wait_us)
FROM polku.handoff_hourly GROUP BY 1, 2, 3, 4, 5, 6, 7;
COMMIT;
ANALYZE;
