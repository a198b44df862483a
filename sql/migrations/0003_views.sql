-- SPDX-License-Identifier: Apache-2.0
-- Schema bi: the contract with people and BI tools. Words are those of docs/semantics.md.
--
-- Text comes from the dictionary by LEFT JOIN on its primary key: the planner leaves out the joins (and the counts of
-- obligations) whose columns a query does not name. Lists look each text up in a subquery of its own: a join within the row
-- would read the whole dictionary for every row.

CREATE SCHEMA IF NOT EXISTS bi;
COMMENT ON SCHEMA bi IS 'Journeys, obligations, events and aggregates for people and BI tools. What depends on the time of day is told as of the setting polku.as_of (SET polku.as_of = ''2015-09-22''), else now.';

CREATE FUNCTION polku.as_of() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(nullif(current_setting('polku.as_of', true), '')::timestamptz, now());
COMMENT ON FUNCTION polku.as_of() IS 'The moment as of which states are told: the setting polku.as_of, else now().';

-- ---- events ----

CREATE VIEW bi.interaction AS
SELECT i.occurred_at,
       i.received_at,
       source.text AS source,
       i.event_id,
       i.sequence,
       type.text AS type,
       channel.text AS channel,
       (ARRAY['INBOUND', 'OUTBOUND', 'INTERNAL', 'PUBLIC', 'UNKNOWN'])[i.direction + 1] AS direction,
       (ARRAY['CUSTOMER', 'HUMAN', 'BOT', 'SYSTEM', 'UNKNOWN'])[i.actor + 1] AS actor,
       brand.text AS brand,
       unit.text AS unit,
       outcome.text AS outcome,
       CASE WHEN i.sensitivity = 0 THEN reason.text END AS reason,
       i.customer_id,
       CASE WHEN i.customer_id IS NOT NULL THEN (ARRAY['person', 'device', 'case'])[i.customer_kind + 1] END AS customer_kind,
       i.journey_id,
       i.case_key,
       i.relates_to,
       i.staff,
       CASE WHEN i.sensitivity = 0 THEN i.topic END AS topic,
       CASE WHEN i.sensitivity = 0 THEN i.cause END AS cause,
       CASE WHEN i.sensitivity = 0 THEN i.product END AS product,
       i.location,
       i.stage,
       i.promise_id,
       promise_kind.text AS promise_kind,
       i.promise_due_from,
       i.promise_due_to,
       promise_brand.text AS promise_brand,
       promise_unit.text AS promise_unit,
       promise_role.text AS promise_role,
       i.handoff,
       to_brand.text AS to_brand,
       to_unit.text AS to_unit,
       to_role.text AS to_role,
       rating_scale.text AS rating_scale,
       i.rating_score,
       i.rating_min,
       i.rating_max,
       i.money_amount_minor,
       money_currency.text AS money_currency,
       money_kind.text AS money_kind,
       i.sensitivity = 1 AS sensitive,
       CASE WHEN i.sensitivity = 0 THEN i.attributes END AS attributes,
       ARRAY(SELECT (SELECT d.text FROM polku.dictionary d WHERE d.id = n.id)
             FROM unnest(i.identifier_namespaces) WITH ORDINALITY AS n (id, place) ORDER BY n.place) AS identifier_namespaces,
       i.event_hash,
       kafka_topic.text AS kafka_topic,
       i.kafka_partition,
       i.kafka_offset
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
LEFT JOIN polku.dictionary kafka_topic ON kafka_topic.id = i.kafka_topic_id;

COMMENT ON VIEW bi.interaction IS 'Every event. Events of one customer order by occurred_at, sequence, source, event_id (as bytes). Name a range of occurred_at where you can: the table has a partition per month.';
COMMENT ON COLUMN bi.interaction.occurred_at IS 'When it happened to the customer.';
COMMENT ON COLUMN bi.interaction.received_at IS 'When Kafka received it.';
COMMENT ON COLUMN bi.interaction.source IS 'Publishing system.';
COMMENT ON COLUMN bi.interaction.event_id IS 'The publisher''s id of the event; unique with source and occurred_at.';
COMMENT ON COLUMN bi.interaction.sequence IS 'The publisher''s counter: orders its events of equal time.';
COMMENT ON COLUMN bi.interaction.type IS 'What happened, as contact.inbound; the vocabulary is in schemas/README.md.';
COMMENT ON COLUMN bi.interaction.channel IS 'Where: web, phone, email, chat, store, ...';
COMMENT ON COLUMN bi.interaction.direction IS 'INBOUND, OUTBOUND, INTERNAL, PUBLIC or UNKNOWN.';
COMMENT ON COLUMN bi.interaction.actor IS 'Who acted: CUSTOMER, HUMAN, BOT, SYSTEM or UNKNOWN.';
COMMENT ON COLUMN bi.interaction.brand IS 'Organisation at this touchpoint; partners are brands too.';
COMMENT ON COLUMN bi.interaction.unit IS 'Its team.';
COMMENT ON COLUMN bi.interaction.outcome IS 'How it ended: ok, failed, refused, deflected, unreached, ...';
COMMENT ON COLUMN bi.interaction.reason IS 'Why; null for sensitive events.';
COMMENT ON COLUMN bi.interaction.customer_id IS 'The customer; null if the event names nobody.';
COMMENT ON COLUMN bi.interaction.customer_kind IS 'What the customer is known by: person, device or case.';
COMMENT ON COLUMN bi.interaction.journey_id IS 'Its journey; null for a passive event without one.';
COMMENT ON COLUMN bi.interaction.case_key IS 'Hash of the case (order, ticket, booking).';
COMMENT ON COLUMN bi.interaction.relates_to IS 'Ledger id or event_hash that this event answers.';
COMMENT ON COLUMN bi.interaction.staff IS 'Who served, hashed.';
COMMENT ON COLUMN bi.interaction.topic IS 'What it is about; null for sensitive events.';
COMMENT ON COLUMN bi.interaction.cause IS 'Why the customer had to get in touch; null for sensitive events.';
COMMENT ON COLUMN bi.interaction.product IS 'Product or service; null for sensitive events.';
COMMENT ON COLUMN bi.interaction.location IS 'Where it happened.';
COMMENT ON COLUMN bi.interaction.stage IS 'Stage of the customer''s life cycle.';
COMMENT ON COLUMN bi.interaction.promise_id IS 'obligation_id of the explicit promise that the event carries.';
COMMENT ON COLUMN bi.interaction.promise_kind IS 'Kind of that promise.';
COMMENT ON COLUMN bi.interaction.promise_due_from IS 'Start of its window.';
COMMENT ON COLUMN bi.interaction.promise_due_to IS 'Its due time.';
COMMENT ON COLUMN bi.interaction.promise_brand IS 'Brand that it names as accountable.';
COMMENT ON COLUMN bi.interaction.promise_unit IS 'Unit that it names as accountable.';
COMMENT ON COLUMN bi.interaction.promise_role IS 'Role that it names as accountable.';
COMMENT ON COLUMN bi.interaction.handoff IS 'The event hands the customer over.';
COMMENT ON COLUMN bi.interaction.to_brand IS 'To which brand.';
COMMENT ON COLUMN bi.interaction.to_unit IS 'To which unit.';
COMMENT ON COLUMN bi.interaction.to_role IS 'To which role.';
COMMENT ON COLUMN bi.interaction.rating_scale IS 'Scale of the rating: nps, csat, ces, ...';
COMMENT ON COLUMN bi.interaction.rating_score IS 'What the customer gave.';
COMMENT ON COLUMN bi.interaction.rating_min IS 'Lowest possible score.';
COMMENT ON COLUMN bi.interaction.rating_max IS 'Highest possible score.';
COMMENT ON COLUMN bi.interaction.money_amount_minor IS 'Amount in the smallest unit of the currency.';
COMMENT ON COLUMN bi.interaction.money_currency IS 'Currency.';
COMMENT ON COLUMN bi.interaction.money_kind IS 'What the money is: payment, refund, compensation, ...';
COMMENT ON COLUMN bi.interaction.sensitive IS 'Sensitive: topic, cause, product, reason and attributes are hidden.';
COMMENT ON COLUMN bi.interaction.attributes IS 'Further facts as published; null for sensitive events.';
COMMENT ON COLUMN bi.interaction.identifier_namespaces IS 'Namespaces of the identifiers that the event carried, in their order.';
COMMENT ON COLUMN bi.interaction.event_hash IS 'Hash of source and event_id.';
COMMENT ON COLUMN bi.interaction.kafka_topic IS 'Topic of the record.';
COMMENT ON COLUMN bi.interaction.kafka_partition IS 'Partition of the record.';
COMMENT ON COLUMN bi.interaction.kafka_offset IS 'Offset of the record.';

-- ---- obligations ----

CREATE VIEW bi.obligation AS
SELECT o.obligation_id,
       kind.text AS kind,
       CASE WHEN s.withdrawn_at IS NOT NULL THEN 'withdrawn'
            WHEN s.rejected_at IS NOT NULL THEN 'rejected'
            WHEN s.fulfilled_at > s.due_to THEN 'late'
            WHEN 10 * extract(epoch FROM s.fulfilled_at - o.due_from) > 9 * extract(epoch FROM s.due_to - o.due_from) THEN 'kept_late_in_window'
            WHEN s.fulfilled_at IS NOT NULL THEN 'kept'
            WHEN s.first_attempt_at IS NOT NULL AND o.label = 1 THEN 'attempted_not_reached'
            WHEN s.first_attempt_at IS NOT NULL AND o.label = 2 THEN 'replied_not_answered'
            WHEN s.due_to < a.as_of THEN 'overdue'
            ELSE 'open' END AS state,
       coalesce(s.fulfilled_at, s.rejected_at, s.withdrawn_at) IS NOT NULL AS closed,
       coalesce(s.due_to < a.as_of AND coalesce(s.fulfilled_at, s.rejected_at, s.withdrawn_at) IS NULL, false) AS overdue,
       coalesce(s.due_to < a.as_of AND s.rejected_at IS NULL AND s.withdrawn_at IS NULL
                AND NOT coalesce(s.fulfilled_at <= s.due_to, false), false) AS broken,
       coalesce(s.fulfilled_at < o.due_from, false) AS early,
       s.due_to IS NULL AS no_deadline,
       o.unit_id IS NULL AND o.role_id IS NULL AS no_owner,
       brand.text AS brand,
       unit.text AS unit,
       role.text AS role,
       o.opened_at,
       o.due_from,
       s.due_to,
       o.first_due_to,
       CASE WHEN o.changed_at <= a.as_of THEN o.changed_at END AS changed_at,
       o.attempts,
       s.first_attempt_at,
       CASE WHEN o.last_attempt_at <= a.as_of THEN o.last_attempt_at END AS last_attempt_at,
       s.fulfilled_at,
       s.rejected_at,
       s.withdrawn_at,
       (extract(epoch FROM s.fulfilled_at - o.due_from)
        / nullif(extract(epoch FROM s.due_to - o.due_from), 0))::double precision AS position,
       s.due_to - s.fulfilled_at AS slack,
       greatest(coalesce(s.fulfilled_at, s.rejected_at, s.withdrawn_at, a.as_of) - o.opened_at, interval '0') AS open_for,
       o.customer_id,
       o.journey_id,
       o.case_key,
       o.explicit,
       o.opened_by,
       CASE WHEN s.fulfilled_at IS NOT NULL THEN o.fulfilled_by END AS fulfilled_by,
       a.as_of
FROM polku.obligation o
CROSS JOIN (SELECT polku.as_of() AS as_of OFFSET 0) a
CROSS JOIN LATERAL (
    SELECT CASE WHEN o.changed_at > a.as_of THEN o.first_due_to ELSE o.due_to END AS due_to,
           CASE WHEN o.first_attempt_at <= a.as_of THEN o.first_attempt_at END AS first_attempt_at,
           CASE WHEN o.fulfilled_at <= a.as_of THEN o.fulfilled_at END AS fulfilled_at,
           CASE WHEN o.rejected_at <= a.as_of THEN o.rejected_at END AS rejected_at,
           CASE WHEN o.withdrawn_at <= a.as_of THEN o.withdrawn_at END AS withdrawn_at
) s
LEFT JOIN polku.dictionary kind ON kind.id = o.kind_id
LEFT JOIN polku.dictionary brand ON brand.id = o.brand_id
LEFT JOIN polku.dictionary unit ON unit.id = o.unit_id
LEFT JOIN polku.dictionary role ON role.id = o.role_id
WHERE o.opened_at <= a.as_of;

COMMENT ON VIEW bi.obligation IS 'What was owed to customers, as of polku.as_of (default now): what happened after that moment has not happened. Counts are as committed.';
COMMENT ON COLUMN bi.obligation.obligation_id IS 'Ledger id.';
COMMENT ON COLUMN bi.obligation.kind IS 'Kind, as callback.';
COMMENT ON COLUMN bi.obligation.state IS 'withdrawn, rejected, late, kept_late_in_window, kept, attempted_not_reached, replied_not_answered, overdue or open: the first that holds.';
COMMENT ON COLUMN bi.obligation.closed IS 'Fulfilled, rejected or withdrawn.';
COMMENT ON COLUMN bi.obligation.overdue IS 'Its due time has passed and it is not closed.';
COMMENT ON COLUMN bi.obligation.broken IS 'Its due time has passed and it was not withdrawn, rejected or fulfilled by then.';
COMMENT ON COLUMN bi.obligation.early IS 'Fulfilled before its window began.';
COMMENT ON COLUMN bi.obligation.no_deadline IS 'It has no due time.';
COMMENT ON COLUMN bi.obligation.no_owner IS 'Neither a unit nor a role is accountable.';
COMMENT ON COLUMN bi.obligation.brand IS 'Accountable brand.';
COMMENT ON COLUMN bi.obligation.unit IS 'Accountable unit.';
COMMENT ON COLUMN bi.obligation.role IS 'Accountable role.';
COMMENT ON COLUMN bi.obligation.opened_at IS 'Time of the event that opened it.';
COMMENT ON COLUMN bi.obligation.due_from IS 'Start of its window.';
COMMENT ON COLUMN bi.obligation.due_to IS 'Due time in force: the first one before changed_at, else the last.';
COMMENT ON COLUMN bi.obligation.first_due_to IS 'Due time as first promised.';
COMMENT ON COLUMN bi.obligation.changed_at IS 'When the due time was last moved.';
COMMENT ON COLUMN bi.obligation.attempts IS 'Attempts, as committed.';
COMMENT ON COLUMN bi.obligation.first_attempt_at IS 'First attempt.';
COMMENT ON COLUMN bi.obligation.last_attempt_at IS 'Last attempt.';
COMMENT ON COLUMN bi.obligation.fulfilled_at IS 'When it was fulfilled.';
COMMENT ON COLUMN bi.obligation.rejected_at IS 'When it was rejected.';
COMMENT ON COLUMN bi.obligation.withdrawn_at IS 'When it was withdrawn.';
COMMENT ON COLUMN bi.obligation.position IS 'Where in the window it was fulfilled: 0 = due_from, 1 = due_to.';
COMMENT ON COLUMN bi.obligation.slack IS 'due_to - fulfilled_at; negative = late.';
COMMENT ON COLUMN bi.obligation.open_for IS 'From opening to closing, or to as_of while it is open; never negative.';
COMMENT ON COLUMN bi.obligation.customer_id IS 'To whom it is owed.';
COMMENT ON COLUMN bi.obligation.journey_id IS 'Journey of the opening event.';
COMMENT ON COLUMN bi.obligation.case_key IS 'Hash of the opening event''s case.';
COMMENT ON COLUMN bi.obligation.explicit IS 'Opened by a record in the event, not by a rule.';
COMMENT ON COLUMN bi.obligation.opened_by IS 'event_hash of the opening event.';
COMMENT ON COLUMN bi.obligation.fulfilled_by IS 'event_hash of the fulfilling event.';
COMMENT ON COLUMN bi.obligation.as_of IS 'The moment for which this row holds.';

-- ---- journeys ----

CREATE VIEW bi.journey AS
SELECT j.journey_id,
       j.customer_id,
       j.first_at,
       j.last_at,
       j.last_at - j.first_at AS duration,
       entry_channel.text AS entry_channel,
       last_channel.text AS last_channel,
       last_type.text AS last_type,
       last_outcome.text AS last_outcome,
       j.resolved,
       j.events,
       j.contacts,
       j.switches,
       j.handoffs_offered,
       j.handoffs_accepted,
       j.unanswered,
       j.refusals,
       j.first_inbound_at,
       j.first_human_reply_at,
       j.first_human_reply_at - j.first_inbound_at AS first_human_reply_after,
       ARRAY(SELECT (SELECT d.text FROM polku.dictionary d WHERE d.id = n.id)
             FROM unnest(j.channels) WITH ORDINALITY AS n (id, place) ORDER BY n.place) AS channels,
       ARRAY(SELECT (SELECT d.text FROM polku.dictionary d WHERE d.id = n.id)
             FROM unnest(j.brands) WITH ORDINALITY AS n (id, place) ORDER BY n.place) AS brands,
       ARRAY(SELECT (SELECT d.text FROM polku.dictionary d WHERE d.id = n.id)
             FROM unnest(j.units) WITH ORDINALITY AS n (id, place) ORDER BY n.place) AS units,
       cardinality(j.channels) AS channel_count,
       cardinality(j.brands) AS brand_count,
       cardinality(j.units) AS unit_count,
       ob.opened AS obligations_opened,
       ob.still_open AS obligations_open,
       ob.broken AS obligations_broken,
       (SELECT jsonb_object_agg(k.kind, k.counts) FROM (
            SELECT o.kind, jsonb_build_object(
                'opened', count(*),
                'open', count(*) FILTER (WHERE NOT o.closed),
                'kept', count(*) FILTER (WHERE o.state = 'kept'),
                'kept_late_in_window', count(*) FILTER (WHERE o.state = 'kept_late_in_window'),
                'late', count(*) FILTER (WHERE o.state = 'late'),
                'attempted', count(*) FILTER (WHERE NOT o.closed AND o.first_attempt_at IS NOT NULL),
                'rejected', count(*) FILTER (WHERE o.state = 'rejected'),
                'withdrawn', count(*) FILTER (WHERE o.state = 'withdrawn'),
                'overdue', count(*) FILTER (WHERE o.overdue),
                'broken', count(*) FILTER (WHERE o.broken)) AS counts
            FROM bi.obligation o
            WHERE o.customer_id = j.customer_id AND o.journey_id = j.journey_id
            GROUP BY o.kind) k) AS obligations,
       j.case_key,
       j.continues,
       j.crowd
FROM polku.journey j
LEFT JOIN polku.dictionary entry_channel ON entry_channel.id = j.entry_channel_id
LEFT JOIN polku.dictionary last_channel ON last_channel.id = j.last_channel_id
LEFT JOIN polku.dictionary last_type ON last_type.id = j.last_type_id
LEFT JOIN polku.dictionary last_outcome ON last_outcome.id = j.last_outcome_id
LEFT JOIN LATERAL (
    SELECT count(*) AS opened, count(*) FILTER (WHERE NOT o.closed) AS still_open, count(*) FILTER (WHERE o.broken) AS broken
    FROM bi.obligation o
    WHERE o.customer_id = j.customer_id AND o.journey_id = j.journey_id
) ob ON true;

COMMENT ON VIEW bi.journey IS 'One row per journey: a customer''s events that belong together, across channels. Facts are as committed; obligations are counted as of polku.as_of (default now).';
COMMENT ON COLUMN bi.journey.journey_id IS 'Id: starts with the time of the first event.';
COMMENT ON COLUMN bi.journey.customer_id IS 'Whose journey it is.';
COMMENT ON COLUMN bi.journey.first_at IS 'Time of the first event.';
COMMENT ON COLUMN bi.journey.last_at IS 'Time of the last event that is not passive.';
COMMENT ON COLUMN bi.journey.duration IS 'last_at - first_at.';
COMMENT ON COLUMN bi.journey.entry_channel IS 'Channel of the first event.';
COMMENT ON COLUMN bi.journey.last_channel IS 'Channel of the last event that is not passive.';
COMMENT ON COLUMN bi.journey.last_type IS 'Type of that event.';
COMMENT ON COLUMN bi.journey.last_outcome IS 'Outcome of that event.';
COMMENT ON COLUMN bi.journey.resolved IS 'That event is terminal.';
COMMENT ON COLUMN bi.journey.events IS 'All events, passive ones included.';
COMMENT ON COLUMN bi.journey.contacts IS 'Events at which customer and organisation really met.';
COMMENT ON COLUMN bi.journey.switches IS 'Contacts on another channel than the contact before.';
COMMENT ON COLUMN bi.journey.handoffs_offered IS 'Events at which somebody else was asked to take over.';
COMMENT ON COLUMN bi.journey.handoffs_accepted IS 'Events at which somebody took over.';
COMMENT ON COLUMN bi.journey.unanswered IS 'Attempts at which nobody was reached.';
COMMENT ON COLUMN bi.journey.refusals IS 'Events at which the customer was refused or sent away.';
COMMENT ON COLUMN bi.journey.first_inbound_at IS 'Time of the first contact by the customer.';
COMMENT ON COLUMN bi.journey.first_human_reply_at IS 'Time of the first reply by a human after it.';
COMMENT ON COLUMN bi.journey.first_human_reply_after IS 'first_human_reply_at - first_inbound_at.';
COMMENT ON COLUMN bi.journey.channels IS 'Channels, in the order of their first appearance.';
COMMENT ON COLUMN bi.journey.brands IS 'Brands, in the order of their first appearance.';
COMMENT ON COLUMN bi.journey.units IS 'Units, in the order of their first appearance.';
COMMENT ON COLUMN bi.journey.channel_count IS 'Number of channels.';
COMMENT ON COLUMN bi.journey.brand_count IS 'Number of brands.';
COMMENT ON COLUMN bi.journey.unit_count IS 'Number of units.';
COMMENT ON COLUMN bi.journey.obligations_opened IS 'Obligations that its events opened.';
COMMENT ON COLUMN bi.journey.obligations_open IS 'Those that are not closed.';
COMMENT ON COLUMN bi.journey.obligations_broken IS 'Those that are broken.';
COMMENT ON COLUMN bi.journey.obligations IS 'Counts by kind: {"callback": {"opened": 1, "open": .., "kept": .., "late": .., ..}}; null without obligations.';
COMMENT ON COLUMN bi.journey.case_key IS 'Hash of the case that the journey adopted.';
COMMENT ON COLUMN bi.journey.continues IS 'The journey that grew too long and was cut before this one.';
COMMENT ON COLUMN bi.journey.crowd IS 'A day of a customer with very many events (a shared phone, a test account).';

CREATE VIEW bi.customer AS
SELECT c.customer_id,
       (ARRAY['person', 'device', 'case'])[c.kind + 1] AS kind,
       name_space.text AS namespace,
       s.journeys,
       s.first_at,
       s.last_at
FROM polku.customer c
LEFT JOIN polku.dictionary name_space ON name_space.id = c.namespace_id
LEFT JOIN LATERAL (
    SELECT count(*) AS journeys, min(j.first_at) AS first_at, max(j.last_at) AS last_at
    FROM polku.journey j WHERE j.customer_id = c.customer_id
) s ON true;
COMMENT ON VIEW bi.customer IS 'One row per customer.';
COMMENT ON COLUMN bi.customer.customer_id IS 'Hash of the identifier by which the customer is known.';
COMMENT ON COLUMN bi.customer.kind IS 'What that is: person, device or case.';
COMMENT ON COLUMN bi.customer.namespace IS 'Its namespace, as email; null for a case.';
COMMENT ON COLUMN bi.customer.journeys IS 'Number of journeys.';
COMMENT ON COLUMN bi.customer.first_at IS 'First event of the first journey.';
COMMENT ON COLUMN bi.customer.last_at IS 'Last event of the last journey.';

-- ---- aggregates ----

CREATE VIEW bi.interaction_hourly AS
SELECT h.hour, brand.text AS brand, channel.text AS channel, type.text AS type, outcome.text AS outcome,
       h.interactions, h.contacts
FROM (SELECT hour, brand_id, channel_id, type_id, outcome_id, sum(interactions)::bigint AS interactions, sum(contacts)::bigint AS contacts
      FROM polku.interaction_hourly
      GROUP BY hour, brand_id, channel_id, type_id, outcome_id
      HAVING sum(interactions) <> 0) h
LEFT JOIN polku.dictionary brand ON brand.id = h.brand_id
LEFT JOIN polku.dictionary channel ON channel.id = h.channel_id
LEFT JOIN polku.dictionary type ON type.id = h.type_id
LEFT JOIN polku.dictionary outcome ON outcome.id = h.outcome_id;
COMMENT ON VIEW bi.interaction_hourly IS 'Events and contacts by UTC hour; equals a GROUP BY over bi.interaction at every commit.';
COMMENT ON COLUMN bi.interaction_hourly.hour IS 'Start of the UTC hour of occurred_at.';
COMMENT ON COLUMN bi.interaction_hourly.brand IS 'Brand.';
COMMENT ON COLUMN bi.interaction_hourly.channel IS 'Channel.';
COMMENT ON COLUMN bi.interaction_hourly.type IS 'Type.';
COMMENT ON COLUMN bi.interaction_hourly.outcome IS 'Outcome.';
COMMENT ON COLUMN bi.interaction_hourly.interactions IS 'All events.';
COMMENT ON COLUMN bi.interaction_hourly.contacts IS 'Events at which customer and organisation really met.';

CREATE VIEW bi.obligation_hourly AS
SELECT nullif(h.due_hour, 'infinity'::timestamptz) AS due_hour, kind.text AS kind, brand.text AS brand, unit.text AS unit,
       h.opened, h.kept, h.kept_late_in_window, h.late, h.attempted, h.rejected, h.withdrawn
FROM (SELECT due_hour, kind_id, brand_id, unit_id, sum(opened)::bigint AS opened, sum(kept)::bigint AS kept,
             sum(kept_late_in_window)::bigint AS kept_late_in_window, sum(late)::bigint AS late,
             sum(attempted)::bigint AS attempted, sum(rejected)::bigint AS rejected, sum(withdrawn)::bigint AS withdrawn
      FROM polku.obligation_hourly
      GROUP BY due_hour, kind_id, brand_id, unit_id
      HAVING sum(opened) <> 0) h
LEFT JOIN polku.dictionary kind ON kind.id = h.kind_id
LEFT JOIN polku.dictionary brand ON brand.id = h.brand_id
LEFT JOIN polku.dictionary unit ON unit.id = h.unit_id;
COMMENT ON VIEW bi.obligation_hourly IS 'Obligations by UTC hour of their last due time; equals a GROUP BY over the ledger at every commit. No clock: overdue and open are in bi.obligation.';
COMMENT ON COLUMN bi.obligation_hourly.due_hour IS 'Start of the UTC hour of due_to; null = no due time.';
COMMENT ON COLUMN bi.obligation_hourly.kind IS 'Kind.';
COMMENT ON COLUMN bi.obligation_hourly.brand IS 'Accountable brand.';
COMMENT ON COLUMN bi.obligation_hourly.unit IS 'Accountable unit.';
COMMENT ON COLUMN bi.obligation_hourly.opened IS 'All of them.';
COMMENT ON COLUMN bi.obligation_hourly.kept IS 'Fulfilled in time, and not at the end of a window.';
COMMENT ON COLUMN bi.obligation_hourly.kept_late_in_window IS 'Fulfilled in the last tenth of the window.';
COMMENT ON COLUMN bi.obligation_hourly.late IS 'Fulfilled after due_to.';
COMMENT ON COLUMN bi.obligation_hourly.attempted IS 'Attempted and not closed.';
COMMENT ON COLUMN bi.obligation_hourly.rejected IS 'Rejected.';
COMMENT ON COLUMN bi.obligation_hourly.withdrawn IS 'Withdrawn.';

-- ---- operation ----

CREATE VIEW bi.freshness AS
SELECT topic.text AS topic, p.partition, p.next_offset, p.moved_at, p.newest_occurred_at, p.newest_received_at,
       p.epoch AS claims, p.claimed_at
FROM polku.stream_position p
LEFT JOIN polku.dictionary topic ON topic.id = p.topic_id;
COMMENT ON VIEW bi.freshness IS 'How far reading has come, per partition of Kafka.';
COMMENT ON COLUMN bi.freshness.topic IS 'Topic.';
COMMENT ON COLUMN bi.freshness.partition IS 'Partition.';
COMMENT ON COLUMN bi.freshness.next_offset IS 'First offset that is not yet in the database.';
COMMENT ON COLUMN bi.freshness.moved_at IS 'When it last moved.';
COMMENT ON COLUMN bi.freshness.newest_occurred_at IS 'Greatest occurred_at stored from this partition.';
COMMENT ON COLUMN bi.freshness.newest_received_at IS 'Greatest Kafka timestamp stored from this partition.';
COMMENT ON COLUMN bi.freshness.claims IS 'How often a consumer claimed the partition.';
COMMENT ON COLUMN bi.freshness.claimed_at IS 'When it was last claimed.';

CREATE VIEW bi.quarantine AS
SELECT topic.text AS topic, q.partition, q.kafka_offset, q.reason, q.detail, q.received_at, q.quarantined_at,
       octet_length(q.value) AS value_bytes
FROM polku.quarantine q
LEFT JOIN polku.dictionary topic ON topic.id = q.topic_id;
COMMENT ON VIEW bi.quarantine IS 'Records that are no valid events, without their content.';
COMMENT ON COLUMN bi.quarantine.topic IS 'Topic.';
COMMENT ON COLUMN bi.quarantine.partition IS 'Partition.';
COMMENT ON COLUMN bi.quarantine.kafka_offset IS 'Offset of the record.';
COMMENT ON COLUMN bi.quarantine.reason IS 'bad_frame, unknown_schema, undecodable, invalid, too_large, future, too_late or conflicting_duplicate.';
COMMENT ON COLUMN bi.quarantine.detail IS 'What is wrong, in a sentence.';
COMMENT ON COLUMN bi.quarantine.received_at IS 'When Kafka received it.';
COMMENT ON COLUMN bi.quarantine.quarantined_at IS 'When it was set aside.';
COMMENT ON COLUMN bi.quarantine.value_bytes IS 'Size of its value; null if the value is not kept here.';

CREATE VIEW bi.quarantine_by_reason AS
SELECT topic.text AS topic, q.reason, q.records, q.first_at, q.last_at
FROM (SELECT topic_id, reason, count(*) AS records, min(quarantined_at) AS first_at, max(quarantined_at) AS last_at
      FROM polku.quarantine GROUP BY topic_id, reason) q
LEFT JOIN polku.dictionary topic ON topic.id = q.topic_id;
COMMENT ON VIEW bi.quarantine_by_reason IS 'How many records were set aside, by reason.';
COMMENT ON COLUMN bi.quarantine_by_reason.topic IS 'Topic.';
COMMENT ON COLUMN bi.quarantine_by_reason.reason IS 'Reason.';
COMMENT ON COLUMN bi.quarantine_by_reason.records IS 'Number of records.';
COMMENT ON COLUMN bi.quarantine_by_reason.first_at IS 'When the first was set aside.';
COMMENT ON COLUMN bi.quarantine_by_reason.last_at IS 'When the last was set aside.';
