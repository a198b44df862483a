-- SPDX-License-Identifier: Apache-2.0
-- Schema bi, whole: the contract with people and BI tools. Words are those of docs/semantics.md; docs/bi.md shows the use.
--
-- How it stays fast:
--   * Wide views look text up by LEFT JOIN on the primary key of the dictionary: the planner leaves out the joins whose columns a
--     query does not name. What is counted per row stands in a subquery of the select list: unread, it costs nothing.
--   * Events of a customer are found by (customer_id, occurred_at), those of a journey by the journey's customer and its times.
--   * Aggregates are grouped by their time first: a filter on hour or day, and on brand, kind, measure or definition, reaches the table.
--   * Functions that read tables are SECURITY DEFINER and name tables in text, so that a rebuild may swap these.
-- States that depend on the time of day are told as of polku.as_of.

DO $$
DECLARE
    names text;
BEGIN
    SELECT string_agg(c.oid::regclass::text, ', ') INTO names FROM pg_class c
    WHERE c.relnamespace = 'bi'::regnamespace AND c.relkind = 'v';
    IF names IS NOT NULL THEN
        EXECUTE 'DROP VIEW ' || names || ' CASCADE';
    END IF;
END $$;
COMMENT ON SCHEMA bi IS 'Journeys, the ledger of obligations, events, figures and aggregates for people and BI tools. What depends on the time of day is told as of the setting polku.as_of (SET polku.as_of = ''2015-09-22''), else now.';

-- ---- comments: every view and column gets one, or this migration fails ----

CREATE TEMP TABLE bi_word (name text PRIMARY KEY, meaning text NOT NULL);
CREATE FUNCTION pg_temp.describe(subject regclass, sentence text, words text) RETURNS void LANGUAGE plpgsql AS $describe$
DECLARE
    line text;
    own jsonb := '{}';
    item record;
BEGIN
    FOREACH line IN ARRAY string_to_array(words, E'\n') LOOP
        CONTINUE WHEN btrim(line) = '';
        own := own || jsonb_build_object(split_part(btrim(line), ': ', 1), substr(btrim(line), strpos(btrim(line), ': ') + 2));
    END LOOP;
    EXECUTE format('COMMENT ON VIEW %s IS %L', subject, sentence);
    FOR item IN SELECT a.attname, coalesce(own ->> a.attname, w.meaning) AS meaning
                FROM pg_attribute a LEFT JOIN bi_word w ON w.name = a.attname
                WHERE a.attrelid = subject AND a.attnum > 0 LOOP
        IF item.meaning IS NULL THEN
            RAISE EXCEPTION '%.% has no comment', subject, item.attname;
        END IF;
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', subject, item.attname, item.meaning);
        own := own - item.attname::text;
    END LOOP;
    IF own <> '{}' THEN
        RAISE EXCEPTION '% has no column %', subject, own;
    END IF;
END $describe$;
-- What a column of this name means wherever nothing else is said.
INSERT INTO bi_word VALUES
    ('as_of', 'The moment for which this row holds: polku.as_of, else now.'),
    ('customer_id', 'The customer.'),
    ('journey_id', 'The journey.'),
    ('obligation_id', 'Ledger id.'),
    ('event_hash', 'Hash of source and event_id: which event it is, together with occurred_at.'),
    ('occurred_at', 'When it happened to the customer.'),
    ('event_id', 'The publisher''s id of the event.'),
    ('source', 'Publishing system.'),
    ('type', 'What happened, as contact.inbound; the vocabulary is in schemas/README.md.'),
    ('channel', 'Where: web, phone, email, chat, store, ...'),
    ('direction', 'INBOUND, OUTBOUND, INTERNAL, PUBLIC or UNKNOWN.'),
    ('actor', 'Who acted: CUSTOMER, HUMAN, BOT, SYSTEM or UNKNOWN.'),
    ('brand', 'Organisation at this touchpoint; partners are brands too.'),
    ('unit', 'Its team.'),
    ('role', 'Accountable role.'),
    ('outcome', 'How it ended: ok, failed, refused, deflected, unreached, ...'),
    ('reason', 'Why; null for sensitive events.'),
    ('topic', 'What it is about; null for sensitive events.'),
    ('cause', 'Why the customer had to get in touch; null for sensitive events.'),
    ('product', 'Product or service; null for sensitive events.'),
    ('location', 'Where it happened.'),
    ('stage', 'Stage of the customer''s life cycle.'),
    ('staff', 'Who served, hashed.'),
    ('case_key', 'Hash of the case (order, ticket, booking).'),
    ('sensitive', 'Sensitive: topic, cause, product, reason and attributes are hidden.'),
    ('kind', 'Kind, as callback.'),
    ('state', 'withdrawn, rejected, late, kept_late_in_window, kept, attempted_not_reached, replied_not_answered, overdue or open: the first that holds.'),
    ('hour', 'Start of the UTC hour.'),
    ('day', 'Start of the UTC day.'),
    ('currency', 'Currency.'),
    ('amount_minor', 'Amount in the smallest unit of the currency.'),
    ('opened_at', 'Time of the event that opened it.'),
    ('from_brand', 'Brand of the event that opened it.'),
    ('from_unit', 'Unit of the event that opened it.'),
    ('due_to', 'Due time in force: the first one before changed_at, else the last.'),
    ('closed', 'Fulfilled, rejected or withdrawn.'),
    ('cycle', '1, or one more than that of the same kind which was still open and had been attempted: asked for, missed, asked for again = 2.'),
    ('visible_at', 'The earliest moment at which the trouble could be seen.'),
    ('definition', 'Definition of the rules: name/version.'),
    ('topic_name', 'Topic of Kafka.');

-- ---- functions ----

CREATE FUNCTION bi.as_of() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(nullif(current_setting('polku.as_of', true), '')::timestamptz, now());
COMMENT ON FUNCTION bi.as_of() IS 'The moment as of which states are told: the setting polku.as_of, else now().';

CREATE FUNCTION bi.customer_of(identifier uuid) RETURNS uuid LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN coalesce((SELECT i.customer_id FROM polku.identifier i WHERE i.hash = identifier), identifier);
END $$;
COMMENT ON FUNCTION bi.customer_of(uuid) IS 'The customer to whom an identifier (hash), or a customer id that was given out before a merge, leads now; itself if it leads nowhere else.';

CREATE FUNCTION polku.calendar_of(brand text, unit text) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT c.calendar_id FROM polku.calendar c
    WHERE (c.brands = '{}' OR brand = ANY (c.brands)) AND (c.units = '{}' OR unit = ANY (c.units))
    ORDER BY c.calendar_id LIMIT 1
$$;
COMMENT ON FUNCTION polku.calendar_of(text, text) IS 'The calendar of a brand and unit: the first in the file that is theirs; null = always open.';

CREATE FUNCTION bi.business_time(brand text, unit text, from_at timestamptz, to_at timestamptz) RETURNS interval
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    calendar integer;
    total bigint;
BEGIN
    IF from_at IS NULL OR to_at IS NULL THEN
        RETURN NULL;
    ELSIF to_at <= from_at THEN
        RETURN interval '0';
    END IF;
    calendar := polku.calendar_of(brand, unit);
    IF calendar IS NULL THEN
        RETURN to_at - from_at;
    END IF;
    total := coalesce((SELECT o.before_us + (extract(epoch FROM least(o.to_at, business_time.to_at) - o.from_at) * 1000000)::bigint
                       FROM polku.calendar_open o WHERE o.calendar_id = calendar AND o.from_at <= business_time.to_at
                       ORDER BY o.from_at DESC LIMIT 1), 0)
           - coalesce((SELECT o.before_us + (extract(epoch FROM least(o.to_at, business_time.from_at) - o.from_at) * 1000000)::bigint
                       FROM polku.calendar_open o WHERE o.calendar_id = calendar AND o.from_at <= business_time.from_at
                       ORDER BY o.from_at DESC LIMIT 1), 0);
    RETURN total * interval '1 microsecond';
END $$;
COMMENT ON FUNCTION bi.business_time(text, text, timestamptz, timestamptz) IS 'Open time of the calendar of a brand and unit between two moments; all time where they have no calendar; 0 if the second is not after the first.';

CREATE FUNCTION bi.zone_of(brand text, unit text) RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN coalesce((SELECT c.zone FROM polku.calendar c WHERE c.calendar_id = polku.calendar_of(brand, unit)), 'UTC');
END $$;
COMMENT ON FUNCTION bi.zone_of(text, text) IS 'Time zone of the calendar of a brand and unit; UTC where they have none.';

CREATE FUNCTION bi.journey_from(at timestamptz) RETURNS uuid LANGUAGE sql STABLE STRICT PARALLEL SAFE
RETURN (encode(int8send((extract(epoch FROM at) * 1000000)::bigint), 'hex') || repeat('0', 16))::uuid;
COMMENT ON FUNCTION bi.journey_from(timestamptz) IS 'The smallest id that a journey which began at this moment may have: journey_id >= bi.journey_from(a) AND journey_id < bi.journey_from(b) are the journeys with a <= first_at < b, found by index.';

-- Buckets of durations (docs/semantics.md 6): eight for each doubling of milliseconds.
CREATE FUNCTION bi.bucket_of(length interval) RETURNS integer LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    ms bigint := greatest(floor(extract(epoch FROM length) * 1000), 0);
    e integer := 0;
BEGIN
    IF ms < 8 THEN
        RETURN ms;
    END IF;
    WHILE ms >> (e + 1) > 0 LOOP
        e := e + 1;
    END LOOP;
    RETURN 8 * (e - 2) + ((ms >> (e - 3)) - 8);
END $$;
COMMENT ON FUNCTION bi.bucket_of(interval) IS 'The bucket of bi.duration_hourly into which a duration falls.';

CREATE FUNCTION bi.bucket_from(bucket integer) RETURNS interval LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (CASE WHEN bucket < 8 THEN bucket ELSE (8 + bucket % 8) * 2::double precision ^ (bucket / 8 - 1) END) * interval '1 millisecond';
COMMENT ON FUNCTION bi.bucket_from(integer) IS 'The shortest duration of a bucket; that of bucket + 1 is where it ends.';

-- State: counts by bucket from place 2 on, the wanted share in place 1. 400 buckets hold more than 200 years.
CREATE FUNCTION bi.percentile_add(state double precision[], p double precision, bucket integer, n bigint)
RETURNS double precision[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF state IS NULL THEN
        state := array_fill(0::double precision, ARRAY[402]);
        state[1] := p;
    END IF;
    IF bucket BETWEEN 0 AND 400 AND n IS NOT NULL THEN
        state[bucket + 2] := state[bucket + 2] + n;
    END IF;
    RETURN state;
END $$;
CREATE FUNCTION bi.percentile_end(state double precision[]) RETURNS interval LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    wanted double precision;
    total double precision := 0;
    seen double precision := 0;
BEGIN
    FOR place IN 2 .. coalesce(cardinality(state), 0) LOOP
        total := total + state[place];
    END LOOP;
    IF total <= 0 OR state[1] IS NULL THEN
        RETURN NULL;
    END IF;
    wanted := least(greatest(state[1], 0), 1) * total;
    FOR place IN 2 .. cardinality(state) LOOP
        seen := seen + state[place];
        IF state[place] > 0 AND seen >= wanted AND place < 10 THEN
            RETURN bi.bucket_from(place - 2);
        ELSIF state[place] > 0 AND seen >= wanted THEN
            RETURN justify_hours((bi.bucket_from(place - 2) + bi.bucket_from(place - 1)) / 2);
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
CREATE AGGREGATE bi.percentile(p double precision, bucket integer, n bigint) (
    SFUNC = bi.percentile_add, STYPE = double precision[], FINALFUNC = bi.percentile_end, PARALLEL = SAFE);
COMMENT ON FUNCTION bi.percentile_add(double precision[], double precision, integer, bigint) IS 'A step of bi.percentile.';
COMMENT ON FUNCTION bi.percentile_end(double precision[]) IS 'The end of bi.percentile.';
COMMENT ON AGGREGATE bi.percentile(double precision, integer, bigint) IS 'bi.percentile(0.9, bucket, durations) over rows of bi.duration_hourly: the duration that a share p does not exceed, told as the middle of its bucket (right within 6 %). Name one measure and one clock.';

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
       CASE WHEN i.customer_id IS NOT NULL THEN (ARRAY['person', 'device', 'case', NULL, NULL, 'shared'])[i.customer_kind + 1] END AS customer_kind,
       i.journey_id,
       i.case_key,
       i.relates_to,
       i.staff,
       CASE WHEN i.sensitivity = 0 THEN topic.text END AS topic,
       CASE WHEN i.sensitivity = 0 THEN cause.text END AS cause,
       CASE WHEN i.sensitivity = 0 THEN i.product END AS product,
       i.location,
       stage.text AS stage,
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
       i.kafka_offset,
       i.sighted_id,
       i.traits & 1 <> 0 AS is_passive,
       i.traits & 2 <> 0 AS is_terminal,
       i.traits & 4 <> 0 AS is_contact,
       i.traits & 8 <> 0 AS is_unanswered,
       i.traits & 16 <> 0 AS is_refusal,
       i.traits & 32 <> 0 AS is_handoff_offered,
       i.traits & 64 <> 0 AS is_handoff_accepted,
       i.traits & 128 <> 0 AS is_human_reply,
       i.traits & 256 <> 0 AS is_handoff_rejected,
       i.traits & 512 <> 0 AS is_owner_assigned,
       i.traits & 1024 <> 0 AS is_owner_cleared,
       i.traits & 2048 <> 0 AS is_deflection,
       i.traits & 4096 <> 0 AS is_transfer,
       i.traits & 8192 <> 0 AS is_misroute,
       i.traits & 16384 <> 0 AS is_selfservice_failed,
       i.traits & 32768 <> 0 AS is_proactive,
       i.traits & 65536 <> 0 AS is_thanks,
       i.traits & 131072 <> 0 AS is_decision,
       i.traits & 262144 <> 0 AS is_queue_enter,
       i.traits & 524288 <> 0 AS is_queue_leave,
       i.traits & 1048576 <> 0 AS is_work_start,
       i.traits & 2097152 <> 0 AS is_work_stop,
       i.traits & 4194304 <> 0 AS is_purchase,
       i.traits & 8388608 <> 0 AS is_sanction,
       i.traits & 16777216 <> 0 AS is_statement,
       i.traits & 33554432 <> 0 AS is_statement_withdrawn,
       i.traits & 67108864 <> 0 AS is_diagnosis,
       i.traits & 134217728 <> 0 AS is_acknowledgement,
       i.traits & 268435456 <> 0 AS is_mention,
       i.traits & 536870912 <> 0 AS is_improvement
FROM polku.interaction i
LEFT JOIN polku.dictionary source ON source.id = i.source_id
LEFT JOIN polku.dictionary type ON type.id = i.type_id
LEFT JOIN polku.dictionary channel ON channel.id = i.channel_id
LEFT JOIN polku.dictionary brand ON brand.id = i.brand_id
LEFT JOIN polku.dictionary unit ON unit.id = i.unit_id
LEFT JOIN polku.dictionary outcome ON outcome.id = i.outcome_id
LEFT JOIN polku.dictionary reason ON reason.id = i.reason_id
LEFT JOIN polku.dictionary topic ON topic.id = i.topic_id
LEFT JOIN polku.dictionary cause ON cause.id = i.cause_id
LEFT JOIN polku.dictionary stage ON stage.id = i.stage_id
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

SELECT pg_temp.describe('bi.interaction', 'Every event. Events of one customer order by occurred_at, sequence, source, event_id (as bytes). Name a range of occurred_at where you can: the table has a partition per month.', $$
    received_at: When Kafka received it.
    event_id: The publisher's id of the event; unique with source and occurred_at.
    sequence: The publisher's counter: orders its events of equal time.
    customer_id: The customer; null if the event names nobody.
    customer_kind: What the customer is known by: person, device, case, or shared (an identifier that several people share).
    journey_id: Its journey; null for a passive event without one.
    relates_to: Ledger id or event_hash that this event answers.
    promise_id: obligation_id of the explicit promise that the event carries.
    promise_kind: Kind of that promise.
    promise_due_from: Start of its window.
    promise_due_to: Its due time.
    promise_brand: Brand that it names as accountable.
    promise_unit: Unit that it names as accountable.
    promise_role: Role that it names as accountable.
    handoff: The event names a target that the customer is handed to.
    to_brand: To which brand.
    to_unit: To which unit.
    to_role: To which role.
    rating_scale: Scale of the rating: nps, csat, ces, ...
    rating_score: What the customer gave.
    rating_min: Lowest possible score.
    rating_max: Highest possible score.
    money_amount_minor: Amount in the smallest unit of the currency.
    money_currency: Currency.
    money_kind: What the money is: payment, refund, compensation, loss, ...
    attributes: Further facts as published; null for sensitive events.
    identifier_namespaces: Namespaces of the identifiers that the event carried, in their order.
    kafka_topic: Topic of the record.
    kafka_partition: Partition of the record.
    kafka_offset: Offset of the record.
    sighted_id: The event names no person; it was given to the customer of this identifier, which was seen nearest in time on the same device or case. Null: it names the customer itself, or is anonymous.
    is_passive: Trait passive of the rules: joins a journey but never starts, extends or reopens one.
    is_terminal: Trait terminal of the rules: a journey whose last event is one is resolved.
    is_contact: Trait contact of the rules: customer and organisation really met.
    is_unanswered: Trait unanswered of the rules: someone tried and nobody was reached.
    is_refusal: Trait refusal of the rules: the customer was refused or sent away.
    is_handoff_offered: Trait handoff_offered of the rules: somebody else was asked to take over.
    is_handoff_accepted: Trait handoff_accepted of the rules: somebody took over.
    is_human_reply: Trait human_reply of the rules: a person of the organisation turned to the customer.
    is_handoff_rejected: Trait handoff_rejected of the rules: somebody declined to take over.
    is_owner_assigned: Trait owner_assigned of the rules: somebody became the owner without a hand-off.
    is_owner_cleared: Trait owner_cleared of the rules: the owner let go.
    is_deflection: Trait deflection of the rules: the customer was sent elsewhere or told to do it.
    is_transfer: Trait transfer of the rules: the contact was passed on while it went on.
    is_misroute: Trait misroute of the rules: the customer was sent to the wrong place.
    is_selfservice_failed: Trait selfservice_failed of the rules: the customer tried to help themselves in vain.
    is_proactive: Trait proactive of the rules: the organisation spoke before the customer had to ask.
    is_thanks: Trait thanks of the rules: the customer thanked.
    is_decision: Trait decision of the rules: somebody who could decide did.
    is_queue_enter: Trait queue_enter of the rules: waiting for somebody's hands began.
    is_queue_leave: Trait queue_leave of the rules: that waiting ended.
    is_work_start: Trait work_start of the rules: somebody began to work on it.
    is_work_stop: Trait work_stop of the rules: that work ended or paused.
    is_purchase: Trait purchase of the rules: the customer bought.
    is_sanction: Trait sanction of the rules: something was held against the customer.
    is_statement: Trait statement of the rules: the organisation said something in public.
    is_statement_withdrawn: Trait statement_withdrawn of the rules: it took that back.
    is_diagnosis: Trait diagnosis of the rules: somebody found the cause.
    is_acknowledgement: Trait acknowledgement of the rules: the organisation admitted it.
    is_mention: Trait mention of the rules: somebody else spoke about the organisation in public.
    is_improvement: Trait improvement of the rules: a change was proposed, made or turned down.
$$);

CREATE VIEW bi.touchpoint AS
SELECT i.journey_id,
       i.customer_id,
       CASE WHEN NOT j.crowd THEN (
           SELECT count(*) + 1 FROM polku.interaction p
           WHERE p.customer_id = i.customer_id AND p.journey_id = i.journey_id AND p.occurred_at >= j.first_at AND p.traits & 1 <> 1 AND p.occurred_at <= i.occurred_at
          AND (p.occurred_at < i.occurred_at OR p.sequence < i.sequence OR (p.sequence = i.sequence
               AND ((SELECT d.text FROM polku.dictionary d WHERE d.id = p.source_id), p.event_id) < ((SELECT d.text FROM polku.dictionary d WHERE d.id = i.source_id), i.event_id)))) END AS position,
       i.occurred_at,
       i.occurred_at - j.first_at AS since_start,
       CASE WHEN NOT j.crowd THEN i.occurred_at - (
           SELECT p.occurred_at FROM polku.interaction p
           WHERE p.customer_id = i.customer_id AND p.journey_id = i.journey_id AND p.occurred_at >= j.first_at AND p.traits & 1 <> 1 AND p.occurred_at <= i.occurred_at
          AND (p.occurred_at < i.occurred_at OR p.sequence < i.sequence OR (p.sequence = i.sequence
               AND ((SELECT d.text FROM polku.dictionary d WHERE d.id = p.source_id), p.event_id) < ((SELECT d.text FROM polku.dictionary d WHERE d.id = i.source_id), i.event_id)))
           ORDER BY p.occurred_at DESC, p.sequence DESC, (SELECT d.text FROM polku.dictionary d WHERE d.id = p.source_id) DESC, p.event_id DESC LIMIT 1) END AS since_previous,
       type.text AS type,
       channel.text AS channel,
       (ARRAY['INBOUND', 'OUTBOUND', 'INTERNAL', 'PUBLIC', 'UNKNOWN'])[i.direction + 1] AS direction,
       (ARRAY['CUSTOMER', 'HUMAN', 'BOT', 'SYSTEM', 'UNKNOWN'])[i.actor + 1] AS actor,
       brand.text AS brand,
       unit.text AS unit,
       i.staff,
       outcome.text AS outcome,
       CASE WHEN i.sensitivity = 0 THEN reason.text END AS reason,
       CASE WHEN i.sensitivity = 0 THEN topic.text END AS topic,
       CASE WHEN i.sensitivity = 0 THEN cause.text END AS cause,
       stage.text AS stage,
       i.location,
       i.sensitivity = 1 AS sensitive,
       i.traits & 4 <> 0 AS is_contact,
       rating_scale.text AS rating_scale,
       i.rating_score,
       source.text AS source,
       i.event_id,
       i.event_hash
FROM polku.interaction i
JOIN polku.journey j ON j.journey_id = i.journey_id AND j.customer_id = i.customer_id
    AND i.occurred_at >= j.first_at AND i.occurred_at <= j.last_at
LEFT JOIN polku.dictionary source ON source.id = i.source_id
LEFT JOIN polku.dictionary type ON type.id = i.type_id
LEFT JOIN polku.dictionary channel ON channel.id = i.channel_id
LEFT JOIN polku.dictionary brand ON brand.id = i.brand_id
LEFT JOIN polku.dictionary unit ON unit.id = i.unit_id
LEFT JOIN polku.dictionary outcome ON outcome.id = i.outcome_id
LEFT JOIN polku.dictionary reason ON reason.id = i.reason_id
LEFT JOIN polku.dictionary topic ON topic.id = i.topic_id
LEFT JOIN polku.dictionary cause ON cause.id = i.cause_id
LEFT JOIN polku.dictionary stage ON stage.id = i.stage_id
LEFT JOIN polku.dictionary rating_scale ON rating_scale.id = i.rating_scale_id
WHERE i.traits & 1 <> 1;

SELECT pg_temp.describe('bi.touchpoint', 'The path: every event of a journey that is not passive, with its place in the journey. ORDER BY journey_id, position. All flags of an event are in bi.interaction.', $$
    position: Place in the journey, from 1, in event order; null in a crowd (a day of a shared phone).
    since_start: Time since the journey's first event.
    since_previous: Time since the touchpoint before it.
    is_contact: Customer and organisation really met.
    rating_scale: Scale of the rating, if the event has one.
    rating_score: What the customer gave.
$$);

-- ---- the ledger ----

CREATE VIEW bi.obligation AS
SELECT o.obligation_id,
       kind.text AS kind,
       CASE WHEN s.withdrawn_at IS NOT NULL THEN 'withdrawn'
            WHEN s.rejected_at IS NOT NULL THEN 'rejected'
            WHEN s.fulfilled_at > s.due_to THEN 'late'
            WHEN (s.fulfilled_at - o.due_from) * 10 > (s.due_to - o.due_from) * 9 THEN 'kept_late_in_window'
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
       a.as_of,
       from_brand.text AS from_brand,
       from_unit.text AS from_unit,
       o.cycle,
       o.handoff AS is_handoff,
       o.amount_minor,
       currency.text AS currency,
       greatest(coalesce(s.fulfilled_at, s.rejected_at, s.withdrawn_at, a.as_of) - coalesce(o.due_from, o.opened_at), interval '0') AS waiting,
       s.due_to - o.due_from AS window_width,
       (coalesce(o.due_from, o.opened_at) AT TIME ZONE 'UTC' + (s.due_to - coalesce(o.due_from, o.opened_at)) / 2) AT TIME ZONE 'UTC' AS half_used_at,
       bi.business_time(brand.text, unit.text, o.opened_at, coalesce(s.fulfilled_at, s.rejected_at, s.withdrawn_at, a.as_of)) AS business_open_for,
       CASE WHEN s.due_to < coalesce(s.fulfilled_at, a.as_of) AND s.rejected_at IS NULL AND s.withdrawn_at IS NULL
            THEN coalesce(s.fulfilled_at, a.as_of) - s.due_to END AS late_by,
       CASE WHEN s.due_to < coalesce(s.fulfilled_at, a.as_of) AND s.rejected_at IS NULL AND s.withdrawn_at IS NULL
            THEN bi.business_time(brand.text, unit.text, s.due_to, coalesce(s.fulfilled_at, a.as_of)) END AS business_late_by,
       least(CASE WHEN s.due_to IS NULL OR (o.unit_id IS NULL AND o.role_id IS NULL) THEN o.opened_at END,
             CASE WHEN o.label <> 0 AND s.first_attempt_at IS NOT NULL AND coalesce(s.fulfilled_at, s.rejected_at, s.withdrawn_at) IS NULL
                  THEN greatest(s.first_attempt_at, o.opened_at) END,
             CASE WHEN s.due_to < a.as_of AND s.rejected_at IS NULL AND s.withdrawn_at IS NULL
                       AND NOT coalesce(s.fulfilled_at <= s.due_to, false)
                  THEN greatest(s.due_to, least(o.changed_at, o.first_due_to), o.opened_at) END,
             CASE WHEN s.fulfilled_at <= s.due_to
                       AND (s.fulfilled_at - o.due_from) * 10 > (s.due_to - o.due_from) * 9
                  THEN greatest((o.due_from AT TIME ZONE 'UTC' + (s.due_to - o.due_from) * 0.9::double precision) AT TIME ZONE 'UTC', o.opened_at) END,
             CASE WHEN s.rejected_at IS NOT NULL THEN greatest(s.rejected_at, o.opened_at) END) AS visible_at
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
LEFT JOIN polku.dictionary from_brand ON from_brand.id = o.from_brand_id
LEFT JOIN polku.dictionary from_unit ON from_unit.id = o.from_unit_id
LEFT JOIN polku.dictionary currency ON currency.id = o.currency_id
WHERE o.opened_at <= a.as_of;

SELECT pg_temp.describe('bi.obligation', 'What was owed to customers, as of polku.as_of (default now): what happened after that moment has not happened. Counts are as committed.', $$
    overdue: Its due time has passed and it is not closed.
    broken: Its due time has passed and it was not withdrawn, rejected or fulfilled by then.
    early: Fulfilled before its window began.
    no_deadline: It has no due time.
    no_owner: Neither a unit nor a role is accountable.
    brand: Accountable brand.
    unit: Accountable unit.
    due_from: Start of its window.
    first_due_to: Due time as first promised.
    changed_at: When the due time was last moved.
    attempts: Attempts, as committed.
    first_attempt_at: First attempt.
    last_attempt_at: Last attempt.
    fulfilled_at: When it was fulfilled.
    rejected_at: When it was rejected.
    withdrawn_at: When it was withdrawn.
    position: Where in the window it was fulfilled: 0 = due_from, 1 = due_to.
    slack: due_to - fulfilled_at; negative = late.
    open_for: From opening to closing, or to as_of while it is open; never negative.
    customer_id: To whom it is owed.
    journey_id: Journey of the opening event.
    case_key: Hash of the opening event's case.
    explicit: Opened by a record in the event, not by a rule.
    opened_by: event_hash of the opening event.
    fulfilled_by: event_hash of the fulfilling event.
    is_handoff: It is a hand-off: accountable is who should take over; see bi.handoff.
    amount_minor: Money of the opening event, in the smallest unit of the currency.
    waiting: Waiting imposed on the customer: from the start of the window (else from opening) to closing, or to as_of; never negative.
    window_width: due_to - due_from.
    half_used_at: The moment at which half of the window (of the time from opening, without a window) is used up.
    business_open_for: As open_for, in business time of the accountable brand and unit.
    late_by: From the due time to fulfilment, or to as_of while it is not fulfilled; null unless late or overdue.
    business_late_by: As late_by, in business time of the accountable brand and unit.
    visible_at: The earliest moment at which the trouble could be seen: opening (no deadline, no owner), first attempt (attempted and still not reached or answered), nine tenths of the window (kept late in it), due time (broken; if it was moved into the past, that moment), rejection; never before opening. Null: nothing is wrong.
$$);

CREATE VIEW bi.promise_defect AS
SELECT o.obligation_id, o.customer_id, o.journey_id, o.kind, o.from_brand, o.from_unit, o.brand, o.unit, o.role, o.opened_at,
       o.no_deadline, o.no_owner, o.state, o.closed, o.open_for, o.attempts, o.as_of
FROM bi.obligation o
WHERE o.no_deadline OR o.no_owner;

SELECT pg_temp.describe('bi.promise_defect', 'Promises that nobody can be held to: without a deadline, or without a unit or role that answers for them.', $$
    brand: Accountable brand.
    unit: Accountable unit; null if none was named.
    no_deadline: It has no due time.
    no_owner: Neither a unit nor a role is accountable.
    open_for: From opening to closing, or to as_of.
    attempts: Attempts, as committed.
$$);

CREATE VIEW bi.overdue_now AS
SELECT o.obligation_id, o.customer_id, o.journey_id, o.kind, o.brand, o.unit, o.role, o.opened_at, o.due_from, o.due_to,
       o.late_by AS overdue_for, o.business_late_by AS business_overdue_for, o.attempts, o.cycle, o.state,
       o.amount_minor, o.currency, o.as_of
FROM bi.obligation o
WHERE o.overdue;

SELECT pg_temp.describe('bi.overdue_now', 'What should have happened by now and has not: obligations past their due time that are not closed, as of polku.as_of.', $$
    brand: Accountable brand.
    unit: Accountable unit.
    due_from: Start of its window.
    overdue_for: Time since the due time.
    business_overdue_for: The same in business time of the accountable brand and unit.
    attempts: Attempts, as committed.
    amount_minor: Money of the opening event, in the smallest unit of the currency.
$$);

CREATE VIEW bi.breach AS
SELECT o.obligation_id, o.customer_id, o.journey_id, o.case_key, o.kind, o.state, o.brand, o.unit, o.role, o.from_brand, o.from_unit,
       o.opened_at, o.due_to, o.fulfilled_at, o.closed, o.late_by, o.business_late_by, o.visible_at, o.attempts, o.cycle,
       o.amount_minor, o.currency, o.as_of
FROM bi.obligation o
WHERE o.broken;

SELECT pg_temp.describe('bi.breach', 'Broken obligations (paid and no ticket, ordered and not delivered, ...): due, and not fulfilled by then. Those fulfilled later are here too, closed.', $$
    brand: Accountable brand.
    unit: Accountable unit.
    fulfilled_at: When it was fulfilled after all.
    late_by: Age: from the due time to fulfilment, or to as_of.
    business_late_by: The same in business time of the accountable brand and unit.
    attempts: Attempts, as committed.
    amount_minor: Money of the opening event (what was paid), in the smallest unit of the currency.
$$);

CREATE VIEW bi.callback AS
SELECT o.obligation_id, o.customer_id, o.journey_id, o.kind, o.brand, o.unit, o.role, o.opened_at AS requested_at, o.due_from, o.due_to,
       o.window_width, o.first_attempt_at, o.last_attempt_at, o.attempts, o.fulfilled_at AS reached_at,
       o.fulfilled_at IS NOT NULL AS reached, o.fulfilled_at - o.opened_at AS latency,
       CASE WHEN o.fulfilled_at IS NOT NULL
            THEN bi.business_time(o.brand, o.unit, o.opened_at, o.fulfilled_at) END AS business_latency,
       coalesce(o.fulfilled_at >= coalesce(o.due_from, o.opened_at) AND o.fulfilled_at <= o.due_to, false) AS in_window,
       o.position, o.slack, o.waiting, o.cycle, o.cycle > 1 AS loop, o.state, o.closed, o.broken, o.visible_at, o.as_of
FROM bi.obligation o
WHERE o.kind LIKE 'callback%';

SELECT pg_temp.describe('bi.callback', 'Call backs (obligations whose kind begins with callback): asked for, attempted, reached. Reach rate = avg(reached::int); a loop is one that was asked for again after it was missed.', $$
    brand: Accountable brand.
    unit: Accountable unit.
    requested_at: When the customer asked for it, or it was agreed.
    due_from: Start of its window.
    window_width: Length of the window.
    first_attempt_at: First attempt.
    last_attempt_at: Last attempt.
    attempts: Attempts that did not reach the customer, as committed.
    reached_at: When the customer was reached.
    reached: The customer was reached.
    latency: reached_at - requested_at.
    business_latency: The same in business time of the accountable brand and unit.
    in_window: Reached within the window (by the due time, without a window).
    position: Where in the window: 0 = its start, 1 = its end.
    slack: What was left of the window; negative = late.
    waiting: Waiting imposed on the customer: from the start of the window to being reached, or to as_of.
    loop: Asked for again while the one before was attempted and still open.
    broken: Its due time has passed and the customer was not reached by then.
$$);

CREATE VIEW bi.handoff AS
SELECT o.obligation_id, o.customer_id, o.journey_id, o.case_key, o.kind, o.from_brand, o.from_unit, o.brand AS to_brand, o.unit AS to_unit,
       o.role AS to_role, o.from_brand IS DISTINCT FROM o.brand AS between_brands, o.opened_at AS offered_at, o.due_to,
       o.fulfilled_at AS accepted_at, o.fulfilled_at IS NOT NULL AS accepted, o.rejected_at, o.withdrawn_at,
       greatest(o.fulfilled_at - o.opened_at, interval '0') AS accept_lag,
       CASE WHEN o.fulfilled_at IS NOT NULL
            THEN bi.business_time(o.brand, o.unit, o.opened_at, o.fulfilled_at) END AS business_accept_lag,
       o.open_for AS orphan_for, o.state, o.closed, o.broken,
       (SELECT (SELECT d.text FROM polku.dictionary d WHERE d.id = i.type_id) FROM polku.interaction i WHERE i.occurred_at = o.opened_at AND i.event_hash = o.opened_by) AS offered_by,
       o.fulfilled_at IS NULL AND o.rejected_at IS NULL AND o.withdrawn_at IS NULL
           AND coalesce((SELECT i.type_id = (SELECT d.id FROM polku.dictionary d WHERE d.text = 'handoff.declared')
                         FROM polku.interaction i WHERE i.occurred_at = o.opened_at AND i.event_hash = o.opened_by), false) AS declared_only,
       o.visible_at, o.as_of
FROM bi.obligation o
WHERE o.is_handoff;

SELECT pg_temp.describe('bi.handoff', 'Hand-offs in and between organisations: offered or declared, accepted, rejected, and how long nobody had the matter.', $$
    to_brand: Brand that should take over.
    to_unit: Unit that should take over.
    to_role: Role that should take over.
    between_brands: From one organisation to another.
    offered_at: When it was offered, or the customer was told of it.
    accepted_at: When it was accepted.
    accepted: It was accepted.
    rejected_at: When it was rejected.
    withdrawn_at: When it was withdrawn.
    accept_lag: accepted_at - offered_at.
    business_accept_lag: The same in business time of who should take over.
    orphan_for: From the offer to the answer, or to as_of while there is none.
    broken: The time to accept has passed.
    offered_by: Type of the opening event, as handoff.offered or handoff.declared.
    declared_only: The customer was told that somebody else takes over, and nobody has.
$$);

-- ---- journeys ----

CREATE VIEW bi.journey_owner AS
SELECT j.journey_id, j.customer_id, j.first_at AS journey_first_at, s.from_at, s.to_at,
       (SELECT d.text FROM polku.dictionary d WHERE d.id = s.brand_id) AS brand, (SELECT d.text FROM polku.dictionary d WHERE d.id = s.unit_id) AS unit, s.unit_id IS NOT NULL AS owned, s.orphan,
       greatest(CASE WHEN s.unit_id IS NULL AND s.from_at >= j.ownerless_since THEN least(s.to_at, (SELECT polku.as_of()))
                     ELSE coalesce(s.to_at, (SELECT polku.as_of())) END - s.from_at, interval '0') AS owned_for, (SELECT polku.as_of()) AS as_of
FROM polku.journey j
CROSS JOIN LATERAL (
    WITH event AS MATERIALIZED (
        SELECT row_number() OVER w AS n, i.occurred_at, i.traits, i.brand_id, i.unit_id,
               coalesce(i.to_brand_id, i.brand_id) AS to_brand_id, i.to_unit_id,
               coalesce(bool_or(i.traits & 1888 > 0 OR i.unit_id IS NOT NULL) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), false) AS named,
               count(*) FILTER (WHERE i.traits & 1888 > 0) OVER w AS acts
        FROM polku.interaction i
        WHERE i.customer_id = j.customer_id AND i.journey_id = j.journey_id AND i.occurred_at >= j.first_at AND i.occurred_at <= j.last_at AND i.traits & 1 <> 1
        WINDOW w AS (ORDER BY i.occurred_at, i.sequence, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.source_id), i.event_id)
    ), change AS (
        SELECT e.n, e.occurred_at, e.traits & 2 <> 0 AS terminal, e.acts,
               e.acts > 0 AND first_value(e.traits & 32 <> 0) OVER (PARTITION BY e.acts ORDER BY e.n) AS orphan,
               o.sets, o.brand_id, o.unit_id
        FROM event e
        LEFT JOIN LATERAL (
            SELECT p.brand_id, p.unit_id, p.to_brand_id, p.to_unit_id FROM event p
            WHERE p.n < e.n AND p.traits & 32 <> 0 AND e.traits & 320 <> 0
            ORDER BY p.n DESC LIMIT 1) before ON true
        CROSS JOIN LATERAL (
            SELECT CASE WHEN e.traits & 1056 <> 0 THEN true
                        WHEN e.traits & 64 <> 0 THEN true
                        WHEN e.traits & 256 <> 0 THEN before.unit_id IS NOT NULL
                        WHEN e.traits & 512 <> 0 THEN true
                        ELSE e.unit_id IS NOT NULL AND NOT e.named END AS sets,
                   CASE WHEN e.traits & 1056 <> 0 THEN NULL
                        WHEN e.traits & 64 <> 0 THEN CASE WHEN e.unit_id IS NOT NULL THEN e.brand_id ELSE before.to_brand_id END
                        WHEN e.traits & 256 <> 0 THEN before.brand_id
                        WHEN e.traits & 512 <> 0 THEN CASE WHEN e.to_unit_id IS NOT NULL THEN e.to_brand_id ELSE e.brand_id END
                        ELSE e.brand_id END AS brand_id,
                   CASE WHEN e.traits & 1056 <> 0 THEN NULL
                        WHEN e.traits & 64 <> 0 THEN coalesce(e.unit_id, before.to_unit_id)
                        WHEN e.traits & 256 <> 0 THEN before.unit_id
                        WHEN e.traits & 512 <> 0 THEN coalesce(e.to_unit_id, e.unit_id)
                        ELSE e.unit_id END AS unit_id) o
    ), held AS (
        SELECT c.n, c.occurred_at, c.terminal, c.orphan, count(*) FILTER (WHERE c.sets) OVER (ORDER BY c.n) AS turn, c.sets, c.brand_id, c.unit_id
        FROM change c
    ), after AS (
        SELECT h.n, h.occurred_at, h.terminal, h.orphan,
               CASE WHEN h.turn > 0 THEN first_value(h.brand_id) OVER t END AS brand_id,
               CASE WHEN h.turn > 0 THEN first_value(h.unit_id) OVER t END AS unit_id
        FROM held h WINDOW t AS (PARTITION BY h.turn ORDER BY h.n)
    ), state AS (
        SELECT a.n, a.occurred_at, CASE WHEN a.unit_id IS NOT NULL THEN a.brand_id END AS brand_id, a.unit_id,
               a.unit_id IS NULL AND a.orphan AS orphan, a.unit_id IS NULL AND a.terminal AS ended
        FROM after a
    ), turned AS (
        SELECT t.*, row(t.brand_id, t.unit_id, t.orphan, t.ended)
                    IS DISTINCT FROM lag(row(t.brand_id, t.unit_id, t.orphan, t.ended)) OVER (ORDER BY t.n) AS turns
        FROM state t
    )
    SELECT u.occurred_at AS from_at, lead(u.occurred_at) OVER (ORDER BY u.n) AS to_at, u.brand_id, u.unit_id, u.orphan, u.ended
    FROM turned u WHERE u.turns OR u.n = 1
) s
WHERE NOT s.ended AND NOT j.crowd;

SELECT pg_temp.describe('bi.journey_owner', 'Who owned a journey when: intervals one after another, those without an owner included (but for the time after a terminal event, which does not count). Sums of the rows without an owner are ownerless_for of bi.journey. Not of crowds. ORDER BY journey_id, from_at.', $$
    journey_first_at: When the journey began: filter by it for a range of time.
    from_at: Since when.
    to_at: Until when; null = to this day.
    brand: Owning brand; null: nobody owns it.
    unit: Owning unit; null: nobody owns it.
    owned: Somebody owns it.
    orphan: Nobody owns it, since a hand-off was offered.
    owned_for: Length of the interval, up to as_of while it runs, or is part of a time without an owner that runs.
$$);

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
       (SELECT count(*) FROM bi.obligation o WHERE o.customer_id = j.customer_id AND o.journey_id = j.journey_id) AS obligations_opened,
       (SELECT count(*) FROM bi.obligation o
        WHERE o.customer_id = j.customer_id AND o.journey_id = j.journey_id AND NOT o.closed) AS obligations_open,
       (SELECT count(*) FROM bi.obligation o
        WHERE o.customer_id = j.customer_id AND o.journey_id = j.journey_id AND o.broken) AS obligations_broken,
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
       j.crowd,
       entry_brand.text AS entry_brand,
       entry_unit.text AS entry_unit,
       terminal_outcome.text AS terminal_outcome,
       stage.text AS stage,
       j.fallbacks,
       j.repeats,
       (SELECT justify_hours(r.repeat_window_us * interval '1 microsecond') FROM polku.rules_state r) AS repeat_window,
       j.handoffs_rejected,
       j.handoffs_returned,
       j.deflections,
       j.transfers,
       j.misroutes,
       j.proactive,
       j.thanks,
       j.reopened,
       j.people,
       j.effort,
       (SELECT r.effort_id FROM polku.rules_state r) AS effort_definition,
       owner_brand.text AS owner_brand,
       owner_unit.text AS owner_unit,
       j.owners,
       j.owners = 1 AND j.ownerless_us = 0 AND j.ownerless_since IS NULL AS one_owner,
       j.ownerless_since,
       justify_hours(j.ownerless_us * interval '1 microsecond')
           + greatest(coalesce((SELECT polku.as_of()) - j.ownerless_since, interval '0'), interval '0') AS ownerless_for,
       justify_hours(j.orphan_us * interval '1 microsecond')
           + CASE WHEN j.ownerless_since < (SELECT polku.as_of())
                  THEN coalesce((SELECT sum(o.owned_for) FROM bi.journey_owner o
                                 WHERE o.journey_id = j.journey_id AND o.customer_id = j.customer_id AND o.orphan AND o.from_at >= j.ownerless_since),
                                interval '0')
                  ELSE interval '0' END AS orphan_for,
       j.queue_since,
       justify_hours(j.queue_us * interval '1 microsecond') + greatest(coalesce((SELECT polku.as_of()) - j.queue_since, interval '0'), interval '0') AS queue_for,
       j.touch_since,
       justify_hours(j.touch_us * interval '1 microsecond') + greatest(coalesce((SELECT polku.as_of()) - j.touch_since, interval '0'), interval '0') AS touch_for,
       j.queue_us::double precision / nullif(j.queue_us + j.touch_us, 0) AS queue_share,
       j.decided_at,
       CASE WHEN j.decided_at IS NOT NULL THEN j.people_until_decision END AS people_until_decision,
       CASE WHEN j.decided_at IS NOT NULL THEN j.people_until_decision <= 1 END AS decided_at_first_level,
       bi.business_time(entry_brand.text, entry_unit.text, j.first_inbound_at, j.first_human_reply_at) AS first_human_reply_after_business,
       j.first_terminal_at,
       j.last_terminal_at,
       CASE WHEN j.resolved THEN j.last_terminal_at - j.first_at END AS resolution_after,
       CASE WHEN j.resolved THEN bi.business_time(entry_brand.text, entry_unit.text, j.first_at, j.last_terminal_at) END AS resolution_after_business,
       (SELECT sum(o.waiting) FROM bi.obligation o WHERE o.customer_id = j.customer_id AND o.journey_id = j.journey_id) AS waiting,
       (SELECT jsonb_object_agg(m.kind, m.sums) FROM (
            SELECT n.kind, jsonb_object_agg(n.currency, n.amount) AS sums
            FROM (SELECT coalesce((SELECT d.text FROM polku.dictionary d WHERE d.id = i.money_kind_id), 'other') AS kind, coalesce((SELECT d.text FROM polku.dictionary d WHERE d.id = i.money_currency_id), '?') AS currency,
                         sum(i.money_amount_minor) AS amount
                  FROM polku.interaction i WHERE i.customer_id = j.customer_id AND i.journey_id = j.journey_id AND i.occurred_at >= j.first_at AND i.occurred_at <= j.last_at AND i.traits & 1 <> 1 AND i.money_amount_minor IS NOT NULL GROUP BY 1, 2) n
            GROUP BY n.kind) m) AS money,
       (SELECT jsonb_agg(jsonb_build_object('scale', (SELECT d.text FROM polku.dictionary d WHERE d.id = i.rating_scale_id), 'score', i.rating_score, 'min', i.rating_min,
                         'max', i.rating_max, 'at', i.occurred_at, 'channel', (SELECT d.text FROM polku.dictionary d WHERE d.id = i.channel_id), 'brand', (SELECT d.text FROM polku.dictionary d WHERE d.id = i.brand_id))
                         ORDER BY i.occurred_at, i.sequence)
        FROM polku.interaction i WHERE i.customer_id = j.customer_id AND i.journey_id = j.journey_id AND i.occurred_at >= j.first_at AND i.occurred_at <= j.last_at AND i.traits & 1 <> 1 AND i.rating_score IS NOT NULL) AS ratings,
       (SELECT jsonb_object_agg(n.reason, n.refusals) FROM (
            SELECT coalesce(CASE WHEN i.sensitivity = 0 THEN (SELECT d.text FROM polku.dictionary d WHERE d.id = i.reason_id) END, 'not told') AS reason, count(*) AS refusals
            FROM polku.interaction i WHERE i.customer_id = j.customer_id AND i.journey_id = j.journey_id AND i.occurred_at >= j.first_at AND i.occurred_at <= j.last_at AND i.traits & 1 <> 1 AND i.traits & 2064 > 0 GROUP BY 1) n) AS refusals_by_reason,
       (SELECT jsonb_object_agg(n.state, n.obligations) FROM (
            SELECT o.state, count(*) AS obligations FROM bi.obligation o
            WHERE o.customer_id = j.customer_id AND o.journey_id = j.journey_id GROUP BY o.state) n) AS obligations_by_state,
       (SELECT polku.as_of()) AS as_of
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
LEFT JOIN polku.dictionary owner_unit ON owner_unit.id = j.owner_unit_id;

SELECT pg_temp.describe('bi.journey', 'One row per journey: a customers events that belong together, across channels. Facts are as committed; obligations and running times are told as of polku.as_of (default now).', $$
    journey_id: Id: starts with the time of the first event; bi.journey_from(time) gives bounds by which a range of first_at is read by index.
    customer_id: Whose journey it is.
    first_at: Time of the first event.
    last_at: Time of the last event that is not passive.
    duration: last_at - first_at.
    entry_channel: Channel of the first event.
    last_channel: Channel of the last event that is not passive.
    last_type: Type of that event.
    last_outcome: Outcome of that event.
    resolved: That event is terminal.
    events: All events, passive ones included.
    contacts: Events at which customer and organisation really met.
    switches: Contacts on another channel than the contact before.
    handoffs_offered: Events at which somebody else was asked to take over.
    handoffs_accepted: Events at which somebody took over.
    unanswered: Attempts at which nobody was reached.
    refusals: Events at which the customer was refused or sent away.
    first_inbound_at: Time of the first contact by the customer.
    first_human_reply_at: Time of the first reply by a human after it.
    first_human_reply_after: First reply time: first_human_reply_at - first_inbound_at.
    channels: Channels, in the order of their first appearance.
    brands: Brands, in the order of their first appearance.
    units: Units, in the order of their first appearance.
    channel_count: Number of channels.
    brand_count: Number of brands.
    unit_count: Number of units.
    obligations_opened: Obligations that its events opened.
    obligations_open: Those that are not closed.
    obligations_broken: Those that are broken.
    obligations: Counts by kind: {"callback": {"opened": 1, "open": .., "kept": .., "late": .., ..}}; null without obligations.
    case_key: Hash of the case that the journey adopted.
    continues: The journey that grew too long and was cut before this one.
    crowd: A day of a customer with very many events (a shared phone, a test account).
    entry_brand: Brand of the first event.
    entry_unit: Unit of the first event.
    terminal_outcome: Outcome of the last terminal event.
    stage: Stage of the customer's life cycle that was named last.
    fallbacks: Contacts on another channel right after self-service failed.
    repeats: Inbound contacts with the same need as an earlier one of the customer, at most repeat_window before.
    repeat_window: The window within which a contact counts in repeats.
    handoffs_rejected: Events at which somebody declined to take over.
    handoffs_returned: Hand-offs offered to a unit that had handed it over itself before (ping-pong).
    deflections: Events at which the customer was sent elsewhere or told to do it.
    transfers: Events at which the contact was passed on while it went on.
    misroutes: Events at which the customer was sent to the wrong place.
    proactive: Events at which the organisation spoke before the customer had to ask.
    thanks: Events at which the customer thanked.
    reopened: Events that followed a terminal one.
    people: Members of staff whom the customer met (at most 64 are told apart).
    effort: Effort of the customer: counts times the weights of effort_definition.
    effort_definition: Definition of effort in the rules that this row was derived with.
    owner_brand: Brand that owns the journey after its last event; null: nobody.
    owner_unit: Unit that owns it; null: nobody.
    owners: How often a unit became the owner that was not the owner last; 0 = it never had one.
    one_owner: One unit owned it throughout: owners = 1, and no owner-less time.
    ownerless_since: Since when nobody owns it; null: it has an owner, or is resolved.
    ownerless_for: Time without an owner, the running interval up to as_of included.
    orphan_for: The part of it after a hand-off was offered.
    queue_since: Since when it waits for somebody's hands; null: it does not.
    queue_for: Time in queues, the running interval up to as_of included.
    touch_since: Since when somebody works on it; null: nobody does.
    touch_for: Time of work, the running interval up to as_of included.
    queue_share: Queue time of all queue and work time, closed intervals alone; null without any.
    decided_at: When somebody who could decide did.
    people_until_decision: Members of staff whom the customer met up to then.
    decided_at_first_level: The first one decided.
    first_human_reply_after_business: First reply time in business time of the entry brand and unit.
    first_terminal_at: Time of the first terminal event.
    last_terminal_at: Time of the last terminal event.
    resolution_after: Resolution time: last_terminal_at - first_at; null unless resolved.
    resolution_after_business: The same in business time of the entry brand and unit.
    waiting: Waiting imposed on the customer: the sum over its obligations.
    money: Sums by kind and currency, in the smallest unit: {"loss": {"EUR": 12900}, "compensation": {"EUR": 5000}}.
    ratings: Ratings as given, in order, each with its touchpoint: [{"scale": "nps", "score": 3, "min": 0, "max": 10, "at": .., "channel": ..}].
    refusals_by_reason: Refusals and deflections by reason: {"no_authority": 2}.
    obligations_by_state: Obligations by state: {"late": 1, "overdue": 2}.
$$);

CREATE VIEW bi.journey_brand AS
SELECT j.journey_id, j.customer_id, (SELECT d.text FROM polku.dictionary d WHERE d.id = n.brand_id) AS brand, n.place::integer AS place, j.first_at AS journey_first_at,
       (SELECT min(i.occurred_at) FROM polku.interaction i WHERE i.customer_id = j.customer_id AND i.journey_id = j.journey_id AND i.occurred_at >= j.first_at AND i.occurred_at <= j.last_at AND i.traits & 1 <> 1 AND i.brand_id = n.brand_id) AS first_at,
       (SELECT max(i.occurred_at) FROM polku.interaction i WHERE i.customer_id = j.customer_id AND i.journey_id = j.journey_id AND i.occurred_at >= j.first_at AND i.occurred_at <= j.last_at AND i.traits & 1 <> 1 AND i.brand_id = n.brand_id) AS last_at,
       (SELECT count(*) FROM polku.interaction i WHERE i.customer_id = j.customer_id AND i.journey_id = j.journey_id AND i.occurred_at >= j.first_at AND i.occurred_at <= j.last_at AND i.traits & 1 <> 1 AND i.brand_id = n.brand_id) AS events,
       (SELECT count(*) FROM polku.interaction i WHERE i.customer_id = j.customer_id AND i.journey_id = j.journey_id AND i.occurred_at >= j.first_at AND i.occurred_at <= j.last_at AND i.traits & 1 <> 1 AND i.brand_id = n.brand_id AND i.traits & 4 <> 0) AS contacts,
       (SELECT count(*) FROM bi.obligation o
        WHERE o.customer_id = j.customer_id AND o.journey_id = j.journey_id AND o.brand = (SELECT d.text FROM polku.dictionary d WHERE d.id = n.brand_id) AND o.broken) AS broken
FROM polku.journey j
CROSS JOIN LATERAL unnest(j.brands) WITH ORDINALITY AS n (brand_id, place);

SELECT pg_temp.describe('bi.journey_brand', 'Which organisations took part in a journey: one row per journey and brand.', $$
    place: Place by first appearance, from 1.
    journey_first_at: When the journey began: filter by it for a range of time.
    first_at: First event of this brand in it that is not passive.
    last_at: Last such event.
    events: Events of this brand in it that are not passive.
    contacts: Contacts with this brand.
    broken: Broken obligations of the journey for which this brand is accountable.
$$);

CREATE VIEW bi.contact AS
SELECT i.occurred_at, i.customer_id, i.journey_id, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.type_id) AS type, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.channel_id) AS channel,
       (ARRAY['INBOUND', 'OUTBOUND', 'INTERNAL', 'PUBLIC', 'UNKNOWN'])[i.direction + 1] AS direction,
       (SELECT d.text FROM polku.dictionary d WHERE d.id = i.brand_id) AS brand, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.unit_id) AS unit, i.staff, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.outcome_id) AS outcome, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.stage_id) AS stage,
       CASE WHEN i.sensitivity = 0 AND i.direction = 0 THEN coalesce((SELECT d.text FROM polku.dictionary d WHERE d.id = i.cause_id), (SELECT d.text FROM polku.dictionary d WHERE d.id = i.topic_id)) END AS need,
       (SELECT p.occurred_at FROM polku.interaction p
        WHERE p.customer_id = i.customer_id AND p.traits & 1 <> 1 AND p.traits & 4 <> 0 AND p.direction = 0 AND i.direction = 0 AND p.sensitivity = 0 AND i.sensitivity = 0
          AND CASE WHEN i.cause_id IS NOT NULL THEN p.cause_id = i.cause_id ELSE p.cause_id IS NULL AND p.topic_id = i.topic_id END
          AND p.occurred_at >= i.occurred_at - interval '720 hours' AND p.occurred_at <= i.occurred_at
          AND (p.occurred_at < i.occurred_at OR p.sequence < i.sequence OR (p.sequence = i.sequence
               AND ((SELECT d.text FROM polku.dictionary d WHERE d.id = p.source_id), p.event_id) < ((SELECT d.text FROM polku.dictionary d WHERE d.id = i.source_id), i.event_id)))
        ORDER BY p.occurred_at DESC, p.sequence DESC, (SELECT d.text FROM polku.dictionary d WHERE d.id = p.source_id) DESC, p.event_id DESC LIMIT 1) AS previous_at,
       i.occurred_at - (SELECT p.occurred_at FROM polku.interaction p
        WHERE p.customer_id = i.customer_id AND p.traits & 1 <> 1 AND p.traits & 4 <> 0 AND p.direction = 0 AND i.direction = 0 AND p.sensitivity = 0 AND i.sensitivity = 0
          AND CASE WHEN i.cause_id IS NOT NULL THEN p.cause_id = i.cause_id ELSE p.cause_id IS NULL AND p.topic_id = i.topic_id END
          AND p.occurred_at >= i.occurred_at - interval '720 hours' AND p.occurred_at <= i.occurred_at
          AND (p.occurred_at < i.occurred_at OR p.sequence < i.sequence OR (p.sequence = i.sequence
               AND ((SELECT d.text FROM polku.dictionary d WHERE d.id = p.source_id), p.event_id) < ((SELECT d.text FROM polku.dictionary d WHERE d.id = i.source_id), i.event_id)))
        ORDER BY p.occurred_at DESC, p.sequence DESC, (SELECT d.text FROM polku.dictionary d WHERE d.id = p.source_id) DESC, p.event_id DESC LIMIT 1) AS after,
       (SELECT (SELECT d.text FROM polku.dictionary d WHERE d.id = p.brand_id) FROM polku.interaction p
        WHERE p.customer_id = i.customer_id AND p.traits & 1 <> 1 AND p.traits & 4 <> 0 AND p.direction = 0 AND i.direction = 0 AND p.sensitivity = 0 AND i.sensitivity = 0
          AND CASE WHEN i.cause_id IS NOT NULL THEN p.cause_id = i.cause_id ELSE p.cause_id IS NULL AND p.topic_id = i.topic_id END
          AND p.occurred_at >= i.occurred_at - interval '720 hours' AND p.occurred_at <= i.occurred_at
          AND (p.occurred_at < i.occurred_at OR p.sequence < i.sequence OR (p.sequence = i.sequence
               AND ((SELECT d.text FROM polku.dictionary d WHERE d.id = p.source_id), p.event_id) < ((SELECT d.text FROM polku.dictionary d WHERE d.id = i.source_id), i.event_id)))
        ORDER BY p.occurred_at DESC, p.sequence DESC, (SELECT d.text FROM polku.dictionary d WHERE d.id = p.source_id) DESC, p.event_id DESC LIMIT 1) AS previous_brand,
       (SELECT (SELECT d.text FROM polku.dictionary d WHERE d.id = p.unit_id) FROM polku.interaction p
        WHERE p.customer_id = i.customer_id AND p.traits & 1 <> 1 AND p.traits & 4 <> 0 AND p.direction = 0 AND i.direction = 0 AND p.sensitivity = 0 AND i.sensitivity = 0
          AND CASE WHEN i.cause_id IS NOT NULL THEN p.cause_id = i.cause_id ELSE p.cause_id IS NULL AND p.topic_id = i.topic_id END
          AND p.occurred_at >= i.occurred_at - interval '720 hours' AND p.occurred_at <= i.occurred_at
          AND (p.occurred_at < i.occurred_at OR p.sequence < i.sequence OR (p.sequence = i.sequence
               AND ((SELECT d.text FROM polku.dictionary d WHERE d.id = p.source_id), p.event_id) < ((SELECT d.text FROM polku.dictionary d WHERE d.id = i.source_id), i.event_id)))
        ORDER BY p.occurred_at DESC, p.sequence DESC, (SELECT d.text FROM polku.dictionary d WHERE d.id = p.source_id) DESC, p.event_id DESC LIMIT 1) AS previous_unit,
       (SELECT (SELECT d.text FROM polku.dictionary d WHERE d.id = p.channel_id) FROM polku.interaction p
        WHERE p.customer_id = i.customer_id AND p.traits & 1 <> 1 AND p.traits & 4 <> 0 AND p.direction = 0 AND i.direction = 0 AND p.sensitivity = 0 AND i.sensitivity = 0
          AND CASE WHEN i.cause_id IS NOT NULL THEN p.cause_id = i.cause_id ELSE p.cause_id IS NULL AND p.topic_id = i.topic_id END
          AND p.occurred_at >= i.occurred_at - interval '720 hours' AND p.occurred_at <= i.occurred_at
          AND (p.occurred_at < i.occurred_at OR p.sequence < i.sequence OR (p.sequence = i.sequence
               AND ((SELECT d.text FROM polku.dictionary d WHERE d.id = p.source_id), p.event_id) < ((SELECT d.text FROM polku.dictionary d WHERE d.id = i.source_id), i.event_id)))
        ORDER BY p.occurred_at DESC, p.sequence DESC, (SELECT d.text FROM polku.dictionary d WHERE d.id = p.source_id) DESC, p.event_id DESC LIMIT 1) AS previous_channel,
       (SELECT p.journey_id FROM polku.interaction p
        WHERE p.customer_id = i.customer_id AND p.traits & 1 <> 1 AND p.traits & 4 <> 0 AND p.direction = 0 AND i.direction = 0 AND p.sensitivity = 0 AND i.sensitivity = 0
          AND CASE WHEN i.cause_id IS NOT NULL THEN p.cause_id = i.cause_id ELSE p.cause_id IS NULL AND p.topic_id = i.topic_id END
          AND p.occurred_at >= i.occurred_at - interval '720 hours' AND p.occurred_at <= i.occurred_at
          AND (p.occurred_at < i.occurred_at OR p.sequence < i.sequence OR (p.sequence = i.sequence
               AND ((SELECT d.text FROM polku.dictionary d WHERE d.id = p.source_id), p.event_id) < ((SELECT d.text FROM polku.dictionary d WHERE d.id = i.source_id), i.event_id)))
        ORDER BY p.occurred_at DESC, p.sequence DESC, (SELECT d.text FROM polku.dictionary d WHERE d.id = p.source_id) DESC, p.event_id DESC LIMIT 1) AS previous_journey_id,
       EXISTS (SELECT FROM polku.interaction p
        WHERE p.customer_id = i.customer_id AND p.traits & 1 <> 1 AND p.traits & 4 <> 0 AND p.direction = 0 AND i.direction = 0 AND p.sensitivity = 0 AND i.sensitivity = 0
          AND CASE WHEN i.cause_id IS NOT NULL THEN p.cause_id = i.cause_id ELSE p.cause_id IS NULL AND p.topic_id = i.topic_id END
          AND p.occurred_at >= i.occurred_at - interval '24 hours' AND p.occurred_at <= i.occurred_at
          AND (p.occurred_at < i.occurred_at OR p.sequence < i.sequence OR (p.sequence = i.sequence
               AND ((SELECT d.text FROM polku.dictionary d WHERE d.id = p.source_id), p.event_id) < ((SELECT d.text FROM polku.dictionary d WHERE d.id = i.source_id), i.event_id)))) AS repeat_1d,
       EXISTS (SELECT FROM polku.interaction p
        WHERE p.customer_id = i.customer_id AND p.traits & 1 <> 1 AND p.traits & 4 <> 0 AND p.direction = 0 AND i.direction = 0 AND p.sensitivity = 0 AND i.sensitivity = 0
          AND CASE WHEN i.cause_id IS NOT NULL THEN p.cause_id = i.cause_id ELSE p.cause_id IS NULL AND p.topic_id = i.topic_id END
          AND p.occurred_at >= i.occurred_at - interval '168 hours' AND p.occurred_at <= i.occurred_at
          AND (p.occurred_at < i.occurred_at OR p.sequence < i.sequence OR (p.sequence = i.sequence
               AND ((SELECT d.text FROM polku.dictionary d WHERE d.id = p.source_id), p.event_id) < ((SELECT d.text FROM polku.dictionary d WHERE d.id = i.source_id), i.event_id)))) AS repeat_7d,
       EXISTS (SELECT FROM polku.interaction p
        WHERE p.customer_id = i.customer_id AND p.traits & 1 <> 1 AND p.traits & 4 <> 0 AND p.direction = 0 AND i.direction = 0 AND p.sensitivity = 0 AND i.sensitivity = 0
          AND CASE WHEN i.cause_id IS NOT NULL THEN p.cause_id = i.cause_id ELSE p.cause_id IS NULL AND p.topic_id = i.topic_id END
          AND p.occurred_at >= i.occurred_at - interval '336 hours' AND p.occurred_at <= i.occurred_at
          AND (p.occurred_at < i.occurred_at OR p.sequence < i.sequence OR (p.sequence = i.sequence
               AND ((SELECT d.text FROM polku.dictionary d WHERE d.id = p.source_id), p.event_id) < ((SELECT d.text FROM polku.dictionary d WHERE d.id = i.source_id), i.event_id)))) AS repeat_14d,
       EXISTS (SELECT FROM polku.interaction p
        WHERE p.customer_id = i.customer_id AND p.traits & 1 <> 1 AND p.traits & 4 <> 0 AND p.direction = 0 AND i.direction = 0 AND p.sensitivity = 0 AND i.sensitivity = 0
          AND CASE WHEN i.cause_id IS NOT NULL THEN p.cause_id = i.cause_id ELSE p.cause_id IS NULL AND p.topic_id = i.topic_id END
          AND p.occurred_at >= i.occurred_at - interval '720 hours' AND p.occurred_at <= i.occurred_at
          AND (p.occurred_at < i.occurred_at OR p.sequence < i.sequence OR (p.sequence = i.sequence
               AND ((SELECT d.text FROM polku.dictionary d WHERE d.id = p.source_id), p.event_id) < ((SELECT d.text FROM polku.dictionary d WHERE d.id = i.source_id), i.event_id)))) AS repeat_30d,
       i.sensitivity = 1 AS sensitive, i.event_hash
FROM polku.interaction i
WHERE i.traits & 4 <> 0 AND i.traits & 1 <> 1;

SELECT pg_temp.describe('bi.contact', 'Every contact, with the one before it of the same customer and need, on any channel and brand. Name a customer or a range of occurred_at; figures over long times are in bi.repeat_daily.', $$
    need: What the customer came for: its cause, else its topic; null for contacts that are not inbound, sensitive ones, and where neither is told.
    previous_at: When the customer was last in touch for the same need, at most 30 days before; null: not a repeat.
    after: Time since then.
    previous_brand: Brand of that contact.
    previous_unit: Unit of that contact.
    previous_channel: Channel of that contact.
    previous_journey_id: Journey of that contact.
    repeat_1d: It repeats one of at most a day before.
    repeat_7d: It repeats one of at most 7 days before.
    repeat_14d: It repeats one of at most 14 days before.
    repeat_30d: It repeats one of at most 30 days before.
$$);

CREATE VIEW bi.transition AS
SELECT i.occurred_at, i.customer_id, i.journey_id, (SELECT d.text FROM polku.dictionary d WHERE d.id = p.channel_id) AS from_channel, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.channel_id) AS to_channel,
       p.channel_id IS DISTINCT FROM i.channel_id AS switched,
       p.channel_id IS DISTINCT FROM i.channel_id AND p.traits & 16384 <> 0 AS fallback,
       i.occurred_at - p.occurred_at AS wait, (SELECT d.text FROM polku.dictionary d WHERE d.id = p.brand_id) AS from_brand, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.brand_id) AS to_brand,
       (SELECT d.text FROM polku.dictionary d WHERE d.id = p.type_id) AS from_type, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.type_id) AS to_type, i.event_hash,
       (SELECT d.text FROM polku.dictionary d WHERE d.id = p.unit_id) AS from_unit, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.unit_id) AS to_unit
FROM polku.interaction i
JOIN polku.journey j ON j.journey_id = i.journey_id AND j.customer_id = i.customer_id AND NOT j.crowd
CROSS JOIN LATERAL (
    SELECT p.occurred_at, p.channel_id, p.brand_id, p.unit_id, p.type_id, p.traits FROM polku.interaction p
    WHERE p.customer_id = i.customer_id AND p.journey_id = i.journey_id AND p.occurred_at >= j.first_at AND p.traits & 1 <> 1 AND p.traits & 4 <> 0
          AND p.occurred_at <= i.occurred_at
          AND (p.occurred_at < i.occurred_at OR p.sequence < i.sequence OR (p.sequence = i.sequence
               AND ((SELECT d.text FROM polku.dictionary d WHERE d.id = p.source_id), p.event_id) < ((SELECT d.text FROM polku.dictionary d WHERE d.id = i.source_id), i.event_id)))
    ORDER BY p.occurred_at DESC, p.sequence DESC, (SELECT d.text FROM polku.dictionary d WHERE d.id = p.source_id) DESC, p.event_id DESC LIMIT 1) p
WHERE i.traits & 4 <> 0 AND i.traits & 1 <> 1;

SELECT pg_temp.describe('bi.transition', 'From one contact of a journey to the next: channel, brand and the time between. Name a customer or a range of occurred_at; figures over long times are in bi.transition_hourly.', $$
    occurred_at: Time of the later contact.
    from_channel: Channel of the contact before.
    to_channel: Channel of this one.
    switched: The two differ.
    fallback: They differ, and the contact before was self-service that failed.
    wait: Time between the two.
    from_brand: Brand of the contact before.
    to_brand: Brand of this one.
    from_type: Type of the contact before.
    to_type: Type of this one.
    from_unit: Unit of the contact before.
    to_unit: Unit of this one.
$$);

CREATE VIEW bi.journey_money AS
SELECT j.journey_id, j.customer_id, j.first_at AS journey_first_at, (SELECT d.text FROM polku.dictionary d WHERE d.id = m.kind_id) AS kind, (SELECT d.text FROM polku.dictionary d WHERE d.id = m.currency_id) AS currency, m.events, m.amount_minor
FROM polku.journey j
CROSS JOIN LATERAL (
    SELECT i.money_kind_id AS kind_id, i.money_currency_id AS currency_id, count(*) AS events, sum(i.money_amount_minor)::bigint AS amount_minor
    FROM polku.interaction i WHERE i.customer_id = j.customer_id AND i.journey_id = j.journey_id AND i.occurred_at >= j.first_at AND i.occurred_at <= j.last_at AND i.traits & 1 <> 1 AND i.money_amount_minor IS NOT NULL
    GROUP BY i.money_kind_id, i.money_currency_id) m;

SELECT pg_temp.describe('bi.journey_money', 'Money of a journey by kind and currency: lost, paid, compensated.', $$
    journey_first_at: When the journey began: filter by it for a range of time.
    kind: What the money is: payment, refund, loss, compensation, ...
    events: Events that name it.
    amount_minor: Sum of the amounts, in the smallest unit of the currency.
$$);

CREATE VIEW bi.rating AS
SELECT i.occurred_at, i.customer_id, i.journey_id, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.type_id) AS type, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.channel_id) AS channel, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.brand_id) AS brand, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.unit_id) AS unit,
       i.staff, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.stage_id) AS stage, CASE WHEN i.sensitivity = 0 THEN (SELECT d.text FROM polku.dictionary d WHERE d.id = i.topic_id) END AS topic,
       (SELECT d.text FROM polku.dictionary d WHERE d.id = i.rating_scale_id) AS scale, i.rating_score AS score, i.rating_min AS min, i.rating_max AS max,
       CASE WHEN i.rating_max > i.rating_min THEN (i.rating_score - i.rating_min) / (i.rating_max - i.rating_min) END AS normalised,
       (SELECT (SELECT d.text FROM polku.dictionary d WHERE d.id = p.type_id) FROM polku.interaction p
        WHERE i.relates_to IS NOT NULL AND p.customer_id = i.customer_id AND p.event_hash = i.relates_to LIMIT 1) AS about_type,
       (SELECT (SELECT d.text FROM polku.dictionary d WHERE d.id = p.channel_id) FROM polku.interaction p
        WHERE i.relates_to IS NOT NULL AND p.customer_id = i.customer_id AND p.event_hash = i.relates_to LIMIT 1) AS about_channel,
       i.event_hash
FROM polku.interaction i
WHERE i.rating_score IS NOT NULL;

SELECT pg_temp.describe('bi.rating', 'Every rating at its touchpoint. Scores of several touchpoints of a journey stand side by side here; averaging them hides the bad one. Name a customer or a range of occurred_at; figures over long times are in bi.rating_hourly.', $$
    scale: nps, csat, ces, stars, expectation, belief, ...
    score: What was given.
    min: Lowest possible score.
    max: Highest possible score.
    normalised: The score on 0..1: (score - min) / (max - min).
    about_type: Type of the event that the rating relates to, if it names one.
    about_channel: Channel of that event.
$$);

CREATE VIEW bi.expectation AS
SELECT i.occurred_at, i.customer_id, i.journey_id, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.brand_id) AS brand, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.unit_id) AS unit, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.channel_id) AS channel,
       (SELECT d.text FROM polku.dictionary d WHERE d.id = i.rating_scale_id) AS scale, i.rating_score AS score, CASE WHEN i.rating_max > i.rating_min THEN (i.rating_score - i.rating_min) / (i.rating_max - i.rating_min) END AS got,
       e.occurred_at AS expected_at, e.expected,
       CASE WHEN i.rating_max > i.rating_min THEN (i.rating_score - i.rating_min) / (i.rating_max - i.rating_min) END - e.expected AS delta, i.event_hash
FROM polku.interaction i
CROSS JOIN LATERAL (
    SELECT p.occurred_at, CASE WHEN p.rating_max > p.rating_min THEN (p.rating_score - p.rating_min) / (p.rating_max - p.rating_min) END AS expected
    FROM polku.interaction p
    WHERE p.customer_id = i.customer_id AND p.journey_id = i.journey_id AND p.occurred_at <= i.occurred_at
          AND p.rating_scale_id = (SELECT d.id FROM polku.dictionary d WHERE d.text = 'expectation')
          AND p.rating_score IS NOT NULL AND p.occurred_at <= i.occurred_at
          AND (p.occurred_at < i.occurred_at OR p.sequence < i.sequence OR (p.sequence = i.sequence
               AND ((SELECT d.text FROM polku.dictionary d WHERE d.id = p.source_id), p.event_id) < ((SELECT d.text FROM polku.dictionary d WHERE d.id = i.source_id), i.event_id)))
    ORDER BY p.occurred_at DESC, p.sequence DESC, (SELECT d.text FROM polku.dictionary d WHERE d.id = p.source_id) DESC, p.event_id DESC LIMIT 1) e
WHERE i.rating_score IS NOT NULL
  AND i.rating_scale_id <> ALL (ARRAY(SELECT d.id FROM polku.dictionary d WHERE d.text IN ('expectation', 'belief')));

SELECT pg_temp.describe('bi.expectation', 'Expectation against outcome: every score of a journey with the expectation (scale expectation) recorded before it in the same journey.', $$
    occurred_at: When the score was given.
    scale: Scale of the score.
    score: The score as given.
    got: The score on 0..1.
    expected_at: When the expectation was recorded.
    expected: The expectation on 0..1.
    delta: got - expected: positive = a good surprise.
$$);

CREATE VIEW bi.feedback AS
SELECT f.*,
       f.acknowledged_at - f.submitted_at AS acknowledged_after,
       f.handled_at - f.submitted_at AS handled_after,
       f.told_at - f.submitted_at AS told_after,
       CASE WHEN f.told_at IS NULL THEN polku.as_of() - f.submitted_at END AS untold_for
FROM (
SELECT i.occurred_at AS submitted_at, i.customer_id, i.journey_id, i.case_key, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.type_id) AS type, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.channel_id) AS channel,
       (SELECT d.text FROM polku.dictionary d WHERE d.id = i.brand_id) AS brand, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.unit_id) AS unit,
       CASE WHEN i.sensitivity = 0 THEN (SELECT d.text FROM polku.dictionary d WHERE d.id = i.topic_id) END AS topic, CASE WHEN i.sensitivity = 0 THEN (SELECT d.text FROM polku.dictionary d WHERE d.id = i.cause_id) END AS cause,
       i.case_key IS NOT NULL OR i.relates_to IS NOT NULL AS linked,
       (SELECT p.occurred_at FROM polku.interaction p
        WHERE p.customer_id = i.customer_id AND p.type_id = ANY (ARRAY(SELECT d.id FROM polku.dictionary d WHERE d.text IN ('feedback.acknowledged', 'complaint.replied'))) AND p.occurred_at >= i.occurred_at AND p.occurred_at <= (SELECT polku.as_of())
          AND CASE WHEN p.relates_to IS NOT NULL THEN p.relates_to = i.event_hash
                   WHEN p.case_key IS NOT NULL AND i.case_key IS NOT NULL THEN p.case_key = i.case_key
                   ELSE p.brand_id IS NOT DISTINCT FROM i.brand_id END
        ORDER BY p.occurred_at, p.sequence LIMIT 1) AS acknowledged_at,
       (SELECT p.occurred_at FROM polku.interaction p
        WHERE p.customer_id = i.customer_id AND p.type_id = ANY (ARRAY(SELECT d.id FROM polku.dictionary d WHERE d.text IN ('feedback.handled', 'complaint.closed'))) AND p.occurred_at >= i.occurred_at AND p.occurred_at <= (SELECT polku.as_of())
          AND CASE WHEN p.relates_to IS NOT NULL THEN p.relates_to = i.event_hash
                   WHEN p.case_key IS NOT NULL AND i.case_key IS NOT NULL THEN p.case_key = i.case_key
                   ELSE p.brand_id IS NOT DISTINCT FROM i.brand_id END
        ORDER BY p.occurred_at, p.sequence LIMIT 1) AS handled_at,
       (SELECT p.occurred_at FROM polku.interaction p
        WHERE p.customer_id = i.customer_id AND p.type_id = ANY (ARRAY(SELECT d.id FROM polku.dictionary d WHERE d.text IN ('feedback.told', 'complaint.closed'))) AND p.occurred_at >= i.occurred_at AND p.occurred_at <= (SELECT polku.as_of())
          AND CASE WHEN p.relates_to IS NOT NULL THEN p.relates_to = i.event_hash
                   WHEN p.case_key IS NOT NULL AND i.case_key IS NOT NULL THEN p.case_key = i.case_key
                   ELSE p.brand_id IS NOT DISTINCT FROM i.brand_id END
        ORDER BY p.occurred_at, p.sequence LIMIT 1) AS told_at,
       (SELECT CASE WHEN p.sensitivity = 0 THEN p.attributes ->> 'apology' END FROM polku.interaction p
        WHERE p.customer_id = i.customer_id AND p.type_id = ANY (ARRAY(SELECT d.id FROM polku.dictionary d WHERE d.text IN ('feedback.handled', 'complaint.closed', 'feedback.told'))) AND p.occurred_at >= i.occurred_at AND p.occurred_at <= (SELECT polku.as_of())
          AND CASE WHEN p.relates_to IS NOT NULL THEN p.relates_to = i.event_hash
                   WHEN p.case_key IS NOT NULL AND i.case_key IS NOT NULL THEN p.case_key = i.case_key
                   ELSE p.brand_id IS NOT DISTINCT FROM i.brand_id END
        ORDER BY p.occurred_at, p.sequence LIMIT 1) AS apology,
       (SELECT CASE WHEN p.sensitivity = 0 THEN p.attributes ->> 'fault_admitted' END FROM polku.interaction p
        WHERE p.customer_id = i.customer_id AND p.type_id = ANY (ARRAY(SELECT d.id FROM polku.dictionary d WHERE d.text IN ('feedback.handled', 'complaint.closed', 'feedback.told'))) AND p.occurred_at >= i.occurred_at AND p.occurred_at <= (SELECT polku.as_of())
          AND CASE WHEN p.relates_to IS NOT NULL THEN p.relates_to = i.event_hash
                   WHEN p.case_key IS NOT NULL AND i.case_key IS NOT NULL THEN p.case_key = i.case_key
                   ELSE p.brand_id IS NOT DISTINCT FROM i.brand_id END
        ORDER BY p.occurred_at, p.sequence LIMIT 1) AS fault_admitted,
       i.event_hash, (SELECT polku.as_of()) AS as_of
FROM polku.interaction i
WHERE i.type_id = ANY (ARRAY(SELECT d.id FROM polku.dictionary d WHERE d.text IN ('feedback.submitted', 'feedback.spoken', 'complaint.opened')))
  AND i.occurred_at <= (SELECT polku.as_of())) f;

SELECT pg_temp.describe('bi.feedback', 'Feedback and complaints: submitted, acknowledged, handled, told, each the first such event after it that names it, or its case, or (without a case) the same customer and brand. What was promised about them is in bi.obligation. Name a customer or a range of submitted_at.', $$
    submitted_at: When the customer gave it.
    type: feedback.submitted, feedback.spoken or complaint.opened.
    linked: It names the case or event that it is about.
    acknowledged_at: When the customer was told that it was received (feedback.acknowledged, complaint.replied).
    handled_at: When somebody dealt with it (feedback.handled, complaint.closed).
    told_at: When the customer was told what came of it (feedback.told, complaint.closed).
    apology: Attribute apology of the event that handled or told it, as published.
    fault_admitted: Attribute fault_admitted of that event, as published.
    acknowledged_after: acknowledged_at - submitted_at.
    handled_after: handled_at - submitted_at.
    told_after: told_at - submitted_at.
    untold_for: Age up to as_of while the customer was not told what came of it.
$$);

CREATE VIEW bi.recovery AS
SELECT r.*,
       extract(epoch FROM r.paid_at - coalesce(r.eligible_at, r.opened_at)) / 86400 AS days_to_pay,
       r.value_minor::double precision / nullif(r.loss_minor, 0) AS paid_of_loss,
       r.returned_at - r.opened_at AS returned_after
FROM (
SELECT i.occurred_at AS opened_at, i.customer_id, i.journey_id, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.brand_id) AS brand, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.unit_id) AS unit,
       CASE WHEN i.sensitivity = 0 THEN (SELECT d.text FROM polku.dictionary d WHERE d.id = i.cause_id) END AS cause,
       (SELECT min(p.occurred_at) FROM polku.interaction p
        WHERE p.customer_id = i.customer_id AND p.journey_id = i.journey_id AND p.occurred_at >= i.occurred_at AND p.type_id = ANY (ARRAY(SELECT d.id FROM polku.dictionary d WHERE d.text IN ('recovery.eligible'))) AND p.occurred_at <= (SELECT polku.as_of())) AS eligible_at,
       (SELECT min(p.occurred_at) FROM polku.interaction p
        WHERE p.customer_id = i.customer_id AND p.journey_id = i.journey_id AND p.occurred_at >= i.occurred_at AND p.type_id = ANY (ARRAY(SELECT d.id FROM polku.dictionary d WHERE d.text IN ('recovery.offered'))) AND p.occurred_at <= (SELECT polku.as_of())) AS offered_at,
       (SELECT min(p.occurred_at) FROM polku.interaction p
        WHERE p.customer_id = i.customer_id AND p.journey_id = i.journey_id AND p.occurred_at >= i.occurred_at AND p.type_id = ANY (ARRAY(SELECT d.id FROM polku.dictionary d WHERE d.text IN ('recovery.accepted'))) AND p.occurred_at <= (SELECT polku.as_of())) AS accepted_at,
       (SELECT min(p.occurred_at) FROM polku.interaction p
        WHERE p.customer_id = i.customer_id AND p.journey_id = i.journey_id AND p.occurred_at >= i.occurred_at AND p.type_id = ANY (ARRAY(SELECT d.id FROM polku.dictionary d WHERE d.text IN ('recovery.rejected'))) AND p.occurred_at <= (SELECT polku.as_of())) AS rejected_at,
       (SELECT min(p.occurred_at) FROM polku.interaction p
        WHERE p.customer_id = i.customer_id AND p.journey_id = i.journey_id AND p.occurred_at >= i.occurred_at AND p.type_id = ANY (ARRAY(SELECT d.id FROM polku.dictionary d WHERE d.text IN ('recovery.paid'))) AND p.occurred_at <= (SELECT polku.as_of())) AS paid_at,
       (SELECT p.money_amount_minor FROM polku.interaction p
        WHERE p.customer_id = i.customer_id AND p.journey_id = i.journey_id AND p.occurred_at >= i.occurred_at AND p.type_id = ANY (ARRAY(SELECT d.id FROM polku.dictionary d WHERE d.text IN ('recovery.offered'))) AND p.occurred_at <= (SELECT polku.as_of()) AND p.money_amount_minor IS NOT NULL ORDER BY p.occurred_at DESC LIMIT 1) AS offered_minor,
       (SELECT sum(p.money_amount_minor)::bigint FROM polku.interaction p
        WHERE p.customer_id = i.customer_id AND p.journey_id = i.journey_id AND p.occurred_at >= i.occurred_at AND p.type_id = ANY (ARRAY(SELECT d.id FROM polku.dictionary d WHERE d.text IN ('recovery.paid'))) AND p.occurred_at <= (SELECT polku.as_of())) AS value_minor,
       (SELECT sum(p.money_amount_minor)::bigint FROM polku.interaction p
        WHERE p.customer_id = i.customer_id AND p.journey_id = i.journey_id AND p.money_kind_id = (SELECT d.id FROM polku.dictionary d WHERE d.text = 'loss')
          AND p.traits & 1 <> 1 AND p.occurred_at <= (SELECT polku.as_of())) AS loss_minor,
       (SELECT (SELECT d.text FROM polku.dictionary d WHERE d.id = p.money_currency_id) FROM polku.interaction p
        WHERE p.customer_id = i.customer_id AND p.journey_id = i.journey_id AND p.money_currency_id IS NOT NULL
        ORDER BY p.type_id = (SELECT d.id FROM polku.dictionary d WHERE d.text = 'recovery.paid') DESC, p.occurred_at DESC LIMIT 1) AS currency,
       (SELECT p.occurred_at FROM polku.interaction p
        WHERE p.customer_id = i.customer_id AND p.occurred_at > i.occurred_at AND p.occurred_at <= (SELECT polku.as_of()) AND p.traits & 4194304 = 4194304
        ORDER BY p.occurred_at LIMIT 1) AS returned_at,
       (SELECT polku.as_of()) AS as_of
FROM polku.interaction i
WHERE i.type_id = ANY (ARRAY(SELECT d.id FROM polku.dictionary d WHERE d.text IN ('recovery.eligible', 'recovery.offered', 'recovery.accepted', 'recovery.rejected', 'recovery.paid')))
  AND i.journey_id IS NOT NULL AND i.occurred_at <= (SELECT polku.as_of())
  AND NOT EXISTS (SELECT FROM polku.interaction p
                  WHERE p.customer_id = i.customer_id AND p.journey_id = i.journey_id AND p.type_id = ANY (ARRAY(SELECT d.id FROM polku.dictionary d WHERE d.text IN ('recovery.eligible', 'recovery.offered', 'recovery.accepted', 'recovery.rejected', 'recovery.paid')))
                    AND (p.occurred_at, p.sequence, p.event_hash) < (i.occurred_at, i.sequence, i.event_hash))) r;

SELECT pg_temp.describe('bi.recovery', 'Service recovery: one row per journey with an event recovery.eligible, .offered, .accepted, .rejected or .paid. Name a customer or a range of opened_at.', $$
    opened_at: Time of the first such event.
    brand: Brand of that event.
    unit: Unit of that event.
    eligible_at: When the customer became entitled.
    offered_at: When compensation was first offered.
    accepted_at: When the customer accepted.
    rejected_at: When the customer declined.
    paid_at: When it first reached the customer.
    offered_minor: Last offer, in the smallest unit of the currency.
    value_minor: What was paid, likewise.
    loss_minor: What the customer lost (money of kind loss in the journey), likewise.
    currency: Currency of the money in the journey.
    returned_at: First purchase after it began.
    days_to_pay: Days from entitlement (else from the first event) to payment.
    paid_of_loss: value_minor / loss_minor.
    returned_after: returned_at - opened_at.
$$);

-- ---- across customers ----

CREATE VIEW bi.contradiction AS
SELECT c.*,
       extract(epoch FROM coalesce(c.ended_at, c.as_of) - c.visible_at) / 60 AS minutes
FROM (
SELECT s.topic_id_text AS topic, s.brand, s.unit, s.channel, s.occurred_at AS stated_at, s.ended_at, s.as_of,
       d.first_at AS first_diagnosis_at, d.diagnoses, d.customers, d.brands AS diagnosed_by, d.causes,
       greatest(s.occurred_at, d.first_at) AS visible_at, s.event_hash
FROM (
    SELECT i.topic_id, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.topic_id) AS topic_id_text, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.brand_id) AS brand, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.unit_id) AS unit, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.channel_id) AS channel,
           i.occurred_at, i.event_hash, a.as_of,
           (SELECT min(p.occurred_at) FROM polku.interaction p
            WHERE p.topic_id = i.topic_id AND p.traits & 1065353216 <> 0 AND p.traits & 167772160 > 0 AND p.brand_id IS NOT DISTINCT FROM i.brand_id
              AND p.occurred_at > i.occurred_at AND p.occurred_at <= a.as_of AND p.sensitivity = 0) AS ended_at
    FROM polku.interaction i
    CROSS JOIN (SELECT polku.as_of() AS as_of OFFSET 0) a
    WHERE i.traits & 1065353216 <> 0 AND i.traits & 16777216 = 16777216 AND i.topic_id IS NOT NULL AND i.sensitivity = 0 AND i.occurred_at <= a.as_of
    OFFSET 0) s
CROSS JOIN LATERAL (
    SELECT min(p.occurred_at) AS first_at, count(*) AS diagnoses, count(DISTINCT p.customer_id) AS customers,
           array_agg(DISTINCT (SELECT d.text FROM polku.dictionary d WHERE d.id = p.brand_id)) AS brands,
           array_agg(DISTINCT (SELECT d.text FROM polku.dictionary d WHERE d.id = p.cause_id)) FILTER (WHERE p.cause_id IS NOT NULL) AS causes
    FROM polku.interaction p
    WHERE p.topic_id = s.topic_id AND p.traits & 1065353216 <> 0 AND p.traits & 67108864 = 67108864 AND p.sensitivity = 0
      AND p.occurred_at >= s.occurred_at - interval '2160 hours' AND p.occurred_at <= coalesce(s.ended_at, s.as_of)) d
WHERE d.diagnoses > 0) c;

SELECT pg_temp.describe('bi.contradiction', 'A public statement on a topic, open while somebody (a partner, too) diagnosed a fault on the same topic: from the later of statement and first diagnosis (of at most 90 days before) until the brand withdrew the statement or acknowledged the fault.', $$
    topic: Topic of the statement and the diagnoses.
    brand: Brand that made the statement.
    unit: Unit that made it.
    channel: Where it was made.
    stated_at: When it was made.
    ended_at: When the brand took it back or acknowledged the fault; null: not yet.
    first_diagnosis_at: First diagnosis on the topic.
    diagnoses: Diagnoses up to the end.
    customers: Customers whose things were diagnosed.
    diagnosed_by: Brands that diagnosed.
    causes: Causes that they named.
    visible_at: From when on the two contradict each other.
    event_hash: Which event the statement is.
    minutes: How long they did, up to as_of while it lasts.
$$);

CREATE VIEW bi.knowledge_lag AS
SELECT k.topic, k.cause, k.first_diagnosis_at, k.first_diagnosis_brand, k.diagnoses, k.customers, k.acknowledged_at, k.acknowledged_by,
       coalesce(k.acknowledged_at, k.as_of) - k.first_diagnosis_at AS lag, k.acknowledged_at IS NOT NULL AS acknowledged, k.as_of
FROM (
    SELECT (SELECT d.text FROM polku.dictionary d WHERE d.id = e.topic_id) AS topic, min((SELECT d.text FROM polku.dictionary d WHERE d.id = e.cause_id)) FILTER (WHERE e.diagnosis) AS cause,
           min(e.occurred_at) FILTER (WHERE e.diagnosis) AS first_diagnosis_at,
           (array_agg((SELECT d.text FROM polku.dictionary d WHERE d.id = e.brand_id) ORDER BY e.occurred_at) FILTER (WHERE e.diagnosis))[1] AS first_diagnosis_brand,
           count(*) FILTER (WHERE e.diagnosis) AS diagnoses,
           count(DISTINCT e.customer_id) FILTER (WHERE e.diagnosis) AS customers,
           min(e.occurred_at) FILTER (WHERE NOT e.diagnosis) AS acknowledged_at,
           (array_agg((SELECT d.text FROM polku.dictionary d WHERE d.id = e.brand_id) ORDER BY e.occurred_at) FILTER (WHERE NOT e.diagnosis))[1] AS acknowledged_by,
           e.as_of
    FROM (
        SELECT i.topic_id, i.cause_id, i.brand_id, i.customer_id, i.occurred_at, i.traits & 67108864 = 67108864 AS diagnosis, a.as_of,
               count(*) FILTER (WHERE i.traits & 134217728 = 134217728) OVER (
                   PARTITION BY i.topic_id ORDER BY i.occurred_at, i.sequence, i.event_hash ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS episode
        FROM polku.interaction i
        CROSS JOIN (SELECT polku.as_of() AS as_of OFFSET 0) a
        WHERE i.traits & 1065353216 <> 0 AND i.traits & 201326592 > 0 AND i.topic_id IS NOT NULL AND i.sensitivity = 0 AND i.occurred_at <= a.as_of) e
    GROUP BY e.topic_id, e.episode, e.as_of) k
WHERE k.first_diagnosis_at IS NOT NULL;

SELECT pg_temp.describe('bi.knowledge_lag', 'How long somebody knew before the organisation said so: per topic from the first diagnosis to the next acknowledgement on the same topic; diagnoses after that begin a new row.', $$
    topic: What was diagnosed.
    cause: Cause that was named (the first by name, if there were several).
    first_diagnosis_at: When it was first known.
    first_diagnosis_brand: By whom.
    diagnoses: Diagnoses before the acknowledgement.
    customers: Customers whose things were diagnosed.
    acknowledged_at: When it was acknowledged; null: not yet.
    acknowledged_by: By whom.
    lag: Time between the two, up to as_of while it is not acknowledged.
    acknowledged: It was acknowledged.
$$);

CREATE VIEW bi.silent_churn AS
SELECT c.customer_id, c.purchases, c.first_purchase_at, c.last_purchase_at, c.cycle,
       (c.last_purchase_at AT TIME ZONE 'UTC' + c.cycle) AT TIME ZONE 'UTC' AS expected_at,
       (c.last_purchase_at AT TIME ZONE 'UTC' + 2 * c.cycle) AT TIME ZONE 'UTC' AS visible_at,
       c.as_of - c.last_purchase_at AS silent_for,
       (SELECT j.journey_id FROM polku.journey j WHERE j.customer_id = c.customer_id AND j.first_at <= c.as_of
        ORDER BY j.last_at DESC LIMIT 1) AS last_journey_id,
       (SELECT count(*) FROM bi.obligation o
        WHERE o.customer_id = c.customer_id AND o.broken AND c.last_purchase_at - o.due_to <= 2 * c.cycle) AS broken_before,
       c.as_of
FROM (SELECT b.customer_id, b.purchases, b.first_purchase_at, b.last_purchase_at,
             (b.last_purchase_at - b.first_purchase_at) / (b.purchases - 1) AS cycle, a.as_of
      FROM polku.customer b CROSS JOIN (SELECT polku.as_of() AS as_of OFFSET 0) a
      WHERE b.purchases >= 3) c
WHERE c.as_of - c.last_purchase_at > 2 * c.cycle;

SELECT pg_temp.describe('bi.silent_churn', 'Customers who bought at least three times and then fell silent: no purchase for more than twice their own usual cycle, (last - first) / (purchases - 1).', $$
    purchases: Purchases.
    first_purchase_at: First purchase.
    last_purchase_at: Last purchase.
    cycle: Usual time between purchases.
    expected_at: When the next one was to be expected.
    visible_at: When the silence could be seen: two cycles after the last purchase.
    silent_for: Time since the last purchase, up to as_of.
    last_journey_id: The latest journey.
    broken_before: Obligations to the customer that were broken from two cycles before the last purchase on.
$$);

CREATE VIEW bi.mention AS
SELECT i.occurred_at, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.channel_id) AS channel, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.brand_id) AS brand, CASE WHEN i.sensitivity = 0 THEN (SELECT d.text FROM polku.dictionary d WHERE d.id = i.topic_id) END AS topic,
       CASE WHEN i.sensitivity = 0 THEN (SELECT d.text FROM polku.dictionary d WHERE d.id = i.cause_id) END AS cause,
       CASE WHEN i.sensitivity = 0 THEN i.attributes ->> 'medium' END AS medium,
       CASE WHEN i.sensitivity = 0 THEN i.attributes ->> 'sentiment' END AS sentiment,
       CASE WHEN i.sensitivity = 0 THEN i.attributes ->> 'reach' END AS reach,
       i.customer_id, i.journey_id,
       (SELECT min(o.visible_at) FROM bi.obligation o
        WHERE o.customer_id = i.customer_id AND o.journey_id = i.journey_id AND o.visible_at <= i.occurred_at) AS failed_at,
       i.occurred_at - (SELECT min(o.visible_at) FROM bi.obligation o
        WHERE o.customer_id = i.customer_id AND o.journey_id = i.journey_id AND o.visible_at <= i.occurred_at) AS lag,
       i.occurred_at - (SELECT j.first_at FROM polku.journey j WHERE j.journey_id = i.journey_id) AS since_start,
       (SELECT NOT j.resolved FROM polku.journey j WHERE j.journey_id = i.journey_id) AS journey_open,
       i.event_hash
FROM polku.interaction i
WHERE i.traits & 1065353216 <> 0 AND i.traits & 268435456 = 268435456;

SELECT pg_temp.describe('bi.mention', 'What others said of the organisation in public, with the journey that it belongs to.', $$
    channel: Where: media, social, ...
    medium: Attribute medium, as published.
    sentiment: Attribute sentiment: positive, neutral or negative.
    reach: Attribute reach, as published.
    customer_id: Who spoke, or was spoken of; null if not known.
    journey_id: The journey that it is about; null if not known.
    failed_at: When the first trouble of the journey's obligations could be seen.
    lag: From then to the mention.
    since_start: From the journey's first event to the mention.
    journey_open: The journey is still not resolved.
$$);

CREATE VIEW bi.improvement AS
SELECT i.occurred_at AS proposed_at, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.brand_id) AS brand, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.unit_id) AS unit,
       CASE WHEN i.sensitivity = 0 THEN (SELECT d.text FROM polku.dictionary d WHERE d.id = i.topic_id) END AS topic, CASE WHEN i.sensitivity = 0 THEN (SELECT d.text FROM polku.dictionary d WHERE d.id = i.cause_id) END AS cause,
       CASE WHEN i.sensitivity = 0 THEN i.attributes ->> 'pattern' END AS pattern,
       (SELECT d.text FROM polku.dictionary d WHERE d.id = i.channel_id) AS channel, i.customer_id, i.journey_id,
       CASE WHEN d.type LIKE '%.adopted' THEN d.occurred_at END AS adopted_at,
       CASE WHEN d.type LIKE '%.declined' THEN d.occurred_at END AS declined_at,
       d.reason, d.occurred_at - i.occurred_at AS decided_after, i.event_hash
FROM polku.interaction i
LEFT JOIN LATERAL (
    SELECT p.occurred_at, (SELECT d.text FROM polku.dictionary d WHERE d.id = p.type_id) AS type, CASE WHEN p.sensitivity = 0 THEN (SELECT d.text FROM polku.dictionary d WHERE d.id = p.reason_id) END AS reason
    FROM polku.interaction p
    WHERE p.traits & 1065353216 <> 0 AND p.traits & 536870912 = 536870912 AND p.occurred_at >= i.occurred_at
      AND p.type_id = ANY (ARRAY(SELECT d.id FROM polku.dictionary d WHERE d.text IN ('improvement.adopted', 'improvement.declined')))
      AND CASE WHEN p.relates_to IS NOT NULL THEN p.relates_to = i.event_hash
               ELSE p.topic_id = i.topic_id AND p.brand_id IS NOT DISTINCT FROM i.brand_id END
    ORDER BY p.occurred_at, p.sequence LIMIT 1) d ON true
WHERE i.traits & 1065353216 <> 0 AND i.traits & 536870912 = 536870912 AND i.type_id = ANY (ARRAY(SELECT d.id FROM polku.dictionary d WHERE d.text IN ('improvement.proposed')));

SELECT pg_temp.describe('bi.improvement', 'Improvements that were proposed, and whether they were made (by relates_to, else by topic and brand). For the effect compare aggregates before and after adopted_at.', $$
    proposed_at: When it was proposed.
    pattern: Attribute pattern: which recurring trouble it is about, as published.
    customer_id: Who proposed it; null if no customer did.
    journey_id: The journey in which it was proposed.
    adopted_at: When it was made.
    declined_at: When it was turned down.
    reason: Why, as own_workload; null for sensitive events.
    decided_after: Time to that decision.
$$);

CREATE VIEW bi.return_after_contact AS
SELECT i.occurred_at, i.customer_id, i.journey_id, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.type_id) AS type, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.channel_id) AS channel, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.brand_id) AS brand, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.unit_id) AS unit,
       (SELECT d.text FROM polku.dictionary d WHERE d.id = i.outcome_id) AS outcome,
       coalesce((SELECT c.first_purchase_at <= i.occurred_at FROM polku.customer c WHERE c.customer_id = i.customer_id), false) AS had_bought,
       (SELECT p.occurred_at FROM polku.interaction p
        WHERE p.customer_id = i.customer_id AND p.occurred_at > i.occurred_at AND p.occurred_at <= (SELECT polku.as_of()) AND p.traits & 4194304 = 4194304
        ORDER BY p.occurred_at LIMIT 1) AS next_purchase_at,
       EXISTS (SELECT FROM polku.interaction p
               WHERE p.customer_id = i.customer_id AND p.occurred_at > i.occurred_at AND p.occurred_at <= i.occurred_at + interval '720 hours'
                 AND p.occurred_at <= (SELECT polku.as_of()) AND p.traits & 4194304 = 4194304) AS returned_30d,
       EXISTS (SELECT FROM polku.interaction p
               WHERE p.customer_id = i.customer_id AND p.occurred_at > i.occurred_at AND p.occurred_at <= i.occurred_at + interval '2160 hours'
                 AND p.occurred_at <= (SELECT polku.as_of()) AND p.traits & 4194304 = 4194304) AS returned_90d,
       i.occurred_at + interval '2160 hours' <= (SELECT polku.as_of()) AS complete, i.event_hash
FROM polku.interaction i
WHERE i.traits & 4 <> 0 AND i.traits & 1 <> 1;

SELECT pg_temp.describe('bi.return_after_contact', 'Every contact is a threat to loyalty: did the customer buy again after it? Repurchase by contact type = avg(returned_90d::int) over complete contacts of customers who had bought. Name a customer or a range of occurred_at.', $$
    had_bought: The customer had bought before.
    next_purchase_at: The first purchase after it, up to as_of.
    returned_30d: The customer bought within 30 days.
    returned_90d: The customer bought within 90 days.
    complete: 90 days have passed, so that returned_90d is final.
$$);

CREATE VIEW bi.best_journey AS
SELECT j.journey_id, j.customer_id, j.first_at, j.last_at, j.last_at - j.first_at AS duration,
       (SELECT d.text FROM polku.dictionary d WHERE d.id = j.owner_brand_id) AS brand, (SELECT d.text FROM polku.dictionary d WHERE d.id = j.owner_unit_id) AS unit, j.contacts, j.people, j.proactive, j.thanks, j.effort,
       ARRAY(SELECT DISTINCT i.staff FROM polku.interaction i WHERE i.customer_id = j.customer_id AND i.journey_id = j.journey_id AND i.occurred_at >= j.first_at AND i.occurred_at <= j.last_at AND i.traits & 1 <> 1 AND i.staff IS NOT NULL) AS staff,
       (SELECT i.location FROM polku.interaction i WHERE i.customer_id = j.customer_id AND i.journey_id = j.journey_id AND i.occurred_at >= j.first_at AND i.occurred_at <= j.last_at AND i.traits & 1 <> 1 AND i.location IS NOT NULL ORDER BY i.occurred_at LIMIT 1) AS location
FROM polku.journey j
WHERE j.proactive > 0 AND j.thanks > 0 AND j.owners <= 1 AND j.ownerless_us = 0 AND j.repeats = 0 AND j.refusals = 0 AND j.deflections = 0
  AND j.misroutes = 0 AND NOT j.crowd
  AND NOT EXISTS (SELECT FROM bi.obligation o WHERE o.customer_id = j.customer_id AND o.journey_id = j.journey_id AND o.broken);

SELECT pg_temp.describe('bi.best_journey', 'Positive outliers, to learn from: somebody spoke before the customer had to ask, at most one unit owned it throughout, nothing was repeated, refused, misrouted or broken, and the customer was thanked or thanked.', $$
    first_at: When it began.
    last_at: Its last event.
    duration: last_at - first_at; long is not bad here.
    brand: Brand that owned it.
    unit: Unit that owned it.
    contacts: Contacts.
    people: Members of staff whom the customer met.
    proactive: Events at which the organisation spoke first.
    thanks: Events at which somebody thanked.
    effort: Effort of the customer.
    staff: Who served, hashed.
    location: Where it was.
$$);

CREATE VIEW bi.reachability AS
SELECT r.customer_id, r.weekday, r.hour, r.zone, sum(r.tried)::bigint AS tried, sum(r.reached)::bigint AS reached, sum(r.called)::bigint AS called,
       max(r.occurred_at) AS last_at
FROM (
    SELECT i.customer_id, extract(isodow FROM i.occurred_at AT TIME ZONE z.zone)::integer AS weekday,
           extract(hour FROM i.occurred_at AT TIME ZONE z.zone)::integer AS hour, z.zone, i.occurred_at,
           (i.direction = 1)::integer AS tried,
           (i.direction = 1 AND i.traits & 4 <> 0 AND i.traits & 8 = 0)::integer AS reached,
           (i.direction = 0)::integer AS called
    FROM polku.interaction i
    CROSS JOIN LATERAL (SELECT bi.zone_of((SELECT d.text FROM polku.dictionary d WHERE d.id = i.brand_id), (SELECT d.text FROM polku.dictionary d WHERE d.id = i.unit_id)) AS zone OFFSET 0) z
    WHERE i.customer_id IS NOT NULL AND i.traits & 1 <> 1 AND i.traits & 12 > 0 AND i.direction IN (0, 1)) r
GROUP BY r.customer_id, r.weekday, r.hour, r.zone;

SELECT pg_temp.describe('bi.reachability', 'When a customer can be reached: outbound contacts and attempts by weekday and local hour of the calendar of brand and unit. Name a customer.', $$
    weekday: Local day of the week: 1 = Monday .. 7 = Sunday.
    hour: Local hour, 0..23.
    zone: Time zone of the calendar of brand and unit; UTC without one.
    tried: Outbound contacts and attempts.
    reached: Those that reached the customer.
    called: Contacts by the customer at that hour: a sign of when they have time, or of where they are.
    last_at: The last of all these.
$$);

-- ---- everything that went wrong ----

CREATE VIEW bi.failure AS
SELECT k.what, o.customer_id, o.journey_id, o.obligation_id AS subject, o.brand, o.unit, o.role, greatest(v.visible_at, o.opened_at) AS visible_at, o.kind || ': ' || o.state AS detail,
       o.amount_minor, o.currency
FROM bi.obligation o
CROSS JOIN (VALUES ('broken'), ('rejected'), ('late_in_window'), ('not_reached'), 
                   ('not_answered'), ('loop'), ('no_deadline'), ('no_owner'), ('handoff_unaccepted')) AS k (what)
CROSS JOIN LATERAL (SELECT CASE k.what
    WHEN 'broken' THEN CASE WHEN o.broken THEN greatest(o.due_to, least(o.changed_at, o.first_due_to)) END
    WHEN 'rejected' THEN CASE WHEN NOT o.is_handoff THEN o.rejected_at END
    WHEN 'late_in_window' THEN CASE WHEN o.due_from IS NOT NULL AND o.fulfilled_at IS NOT NULL AND o.state = 'kept_late_in_window' THEN (o.due_from AT TIME ZONE 'UTC' + (o.due_to - o.due_from) * 0.9::double precision) AT TIME ZONE 'UTC' END
    WHEN 'not_reached' THEN CASE WHEN o.first_attempt_at IS NOT NULL AND NOT o.closed AND o.state = 'attempted_not_reached' THEN o.first_attempt_at END
    WHEN 'not_answered' THEN CASE WHEN o.first_attempt_at IS NOT NULL AND NOT o.closed AND o.state = 'replied_not_answered' THEN o.first_attempt_at END
    WHEN 'loop' THEN CASE WHEN o.cycle > 1 THEN o.opened_at END
    WHEN 'no_deadline' THEN CASE WHEN o.no_deadline THEN o.opened_at END
    WHEN 'no_owner' THEN CASE WHEN o.no_owner THEN o.opened_at END
    WHEN 'handoff_unaccepted' THEN CASE WHEN o.is_handoff AND o.fulfilled_at IS NULL AND o.withdrawn_at IS NULL THEN o.opened_at END END AS visible_at) v
WHERE v.visible_at IS NOT NULL
  AND (o.broken OR o.due_from IS NOT NULL OR o.first_attempt_at IS NOT NULL OR o.cycle > 1 OR o.no_deadline OR o.no_owner OR o.is_handoff
       OR o.rejected_at IS NOT NULL)
UNION ALL
SELECT v.what, i.customer_id, i.journey_id, i.event_hash, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.brand_id), (SELECT d.text FROM polku.dictionary d WHERE d.id = i.unit_id), NULL, i.occurred_at,
       (SELECT d.text FROM polku.dictionary d WHERE d.id = i.type_id) || coalesce(': ' || CASE WHEN i.sensitivity = 0 THEN (SELECT d.text FROM polku.dictionary d WHERE d.id = i.reason_id) END, ''), NULL, NULL
FROM polku.interaction i
CROSS JOIN (SELECT polku.as_of() AS as_of OFFSET 0) a
CROSS JOIN LATERAL (VALUES ('refused', 16, 0), ('deflected', 2048, 0), ('misrouted', 8192, 0),
                           ('unanswered', 8, 0), ('selfservice_failed', 16384, 0)) AS v (what, bit, none)
WHERE i.traits & 26648 > 0 AND i.traits & 1 <> 1 AND i.traits & v.bit <> 0 AND i.occurred_at <= a.as_of
UNION ALL
SELECT 'sanction_during_breach', i.customer_id, i.journey_id, i.event_hash, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.brand_id), (SELECT d.text FROM polku.dictionary d WHERE d.id = i.unit_id), NULL, i.occurred_at,
       (SELECT d.text FROM polku.dictionary d WHERE d.id = i.type_id) || ' while ' || o.breach || ' was open', o.amount_minor, o.currency
FROM polku.interaction i
CROSS JOIN (SELECT polku.as_of() AS as_of OFFSET 0) a
CROSS JOIN LATERAL (
    SELECT (SELECT d.text FROM polku.dictionary d WHERE d.id = b.kind_id) AS breach, b.amount_minor, (SELECT d.text FROM polku.dictionary d WHERE d.id = b.currency_id) AS currency FROM polku.obligation b
    WHERE b.customer_id = i.customer_id AND b.opened_at <= i.occurred_at AND NOT b.handoff
      AND CASE WHEN b.changed_at > i.occurred_at THEN b.first_due_to ELSE b.due_to END < i.occurred_at
      AND coalesce(b.fulfilled_at > i.occurred_at, true) AND coalesce(b.rejected_at > i.occurred_at, true) AND coalesce(b.withdrawn_at > i.occurred_at, true)
    ORDER BY b.brand_id IS NOT DISTINCT FROM i.brand_id DESC, b.due_to LIMIT 1) o
WHERE i.traits & 1065353216 <> 0 AND i.traits & 8388608 = 8388608 AND i.occurred_at <= a.as_of
UNION ALL
SELECT 'fallback', t.customer_id, t.journey_id, t.event_hash, t.from_brand, t.from_unit, NULL, t.occurred_at, t.from_channel || ' > ' || t.to_channel, NULL, NULL
FROM bi.transition t CROSS JOIN (SELECT polku.as_of() AS as_of OFFSET 0) a
WHERE t.fallback AND t.occurred_at <= a.as_of
UNION ALL
SELECT 'repeat', i.customer_id, i.journey_id, i.event_hash, (SELECT d.text FROM polku.dictionary d WHERE d.id = r.brand_id), (SELECT d.text FROM polku.dictionary d WHERE d.id = r.unit_id), NULL, i.occurred_at,
       coalesce((SELECT d.text FROM polku.dictionary d WHERE d.id = i.cause_id), (SELECT d.text FROM polku.dictionary d WHERE d.id = i.topic_id)) || ', after ' || (i.occurred_at - r.occurred_at)::text, NULL, NULL
FROM polku.interaction i
CROSS JOIN (SELECT polku.as_of() AS as_of OFFSET 0) a
CROSS JOIN LATERAL (
    SELECT p.occurred_at, p.brand_id, p.unit_id FROM polku.interaction p
    WHERE p.customer_id = i.customer_id AND p.traits & 1 <> 1 AND p.traits & 4 <> 0 AND p.direction = 0 AND i.direction = 0 AND p.sensitivity = 0 AND i.sensitivity = 0
          AND CASE WHEN i.cause_id IS NOT NULL THEN p.cause_id = i.cause_id ELSE p.cause_id IS NULL AND p.topic_id = i.topic_id END
      AND p.occurred_at >= i.occurred_at - interval '720 hours' AND p.occurred_at <= i.occurred_at
          AND (p.occurred_at < i.occurred_at OR p.sequence < i.sequence OR (p.sequence = i.sequence
               AND ((SELECT d.text FROM polku.dictionary d WHERE d.id = p.source_id), p.event_id) < ((SELECT d.text FROM polku.dictionary d WHERE d.id = i.source_id), i.event_id)))
    ORDER BY p.occurred_at DESC, p.sequence DESC, (SELECT d.text FROM polku.dictionary d WHERE d.id = p.source_id) DESC, p.event_id DESC LIMIT 1) r
WHERE i.traits & 4 <> 0 AND i.traits & 1 <> 1 AND i.direction = 0 AND i.sensitivity = 0 AND coalesce(i.cause_id, i.topic_id) IS NOT NULL
  AND i.occurred_at <= a.as_of
  AND i.occurred_at - r.occurred_at <= coalesce((SELECT s.repeat_window_us * interval '1 microsecond' FROM polku.rules_state s), interval '7 days')
UNION ALL
SELECT CASE WHEN j.orphan THEN 'ownerless_after_handoff' ELSE 'ownerless' END, j.customer_id, j.journey_id, j.journey_id,
       j.brand, j.unit, NULL, j.ownerless_since, 'nobody owns it', NULL, NULL
FROM (SELECT j.customer_id, j.journey_id, j.ownerless_since, (SELECT d.text FROM polku.dictionary d WHERE d.id = j.entry_brand_id) AS brand, (SELECT d.text FROM polku.dictionary d WHERE d.id = j.entry_unit_id) AS unit,
             coalesce((SELECT i.traits & 32 <> 0 FROM polku.interaction i
                       WHERE i.customer_id = j.customer_id AND i.journey_id = j.journey_id AND i.occurred_at >= j.first_at AND i.occurred_at <= j.last_at
                         AND i.traits & 1 <> 1 AND i.traits & 1888 > 0
                       ORDER BY i.occurred_at DESC, i.sequence DESC, (SELECT d.text FROM polku.dictionary d WHERE d.id = i.source_id) DESC, i.event_id DESC
                       LIMIT 1), false) AS orphan
      FROM polku.journey j CROSS JOIN (SELECT polku.as_of() AS as_of OFFSET 0) a
      WHERE j.ownerless_since <= a.as_of) j
UNION ALL
SELECT 'silent_churn', c.customer_id, c.last_journey_id, c.customer_id, NULL, NULL, NULL, c.visible_at,
       c.purchases || ' purchases, one in ' || c.cycle::text, NULL, NULL
FROM bi.silent_churn c
UNION ALL
SELECT 'contradiction', NULL, NULL, c.event_hash, c.brand, c.unit, NULL, c.visible_at,
       c.topic || ': ' || c.diagnoses || ' diagnoses by ' || array_to_string(c.diagnosed_by, ', '), NULL, NULL
FROM bi.contradiction c
UNION ALL
SELECT 'knowledge_lag', NULL, NULL, NULL, k.acknowledged_by, NULL, NULL, k.first_diagnosis_at,
       k.topic || ': known to ' || coalesce(k.first_diagnosis_brand, '?') || ', ' || CASE WHEN k.acknowledged THEN 'acknowledged after ' ELSE 'not acknowledged for ' END || k.lag::text,
       NULL, NULL
FROM bi.knowledge_lag k;

SELECT pg_temp.describe('bi.failure', 'One list of everything that went wrong, as of polku.as_of, with who answers for it and since when it could be seen. Name a customer: then it is read by index. Over all customers a range of visible_at still reads the whole ledger; figures over long times are in the aggregates.', $$
    what: broken, rejected, late_in_window, not_reached, not_answered, loop, no_deadline, no_owner, handoff_unaccepted (obligations); refused, deflected, misrouted, unanswered, selfservice_failed, sanction_during_breach, fallback, repeat (events); ownerless, ownerless_after_handoff (journeys); silent_churn (customers); contradiction, knowledge_lag (topics).
    customer_id: Whom it hit; null for contradiction and knowledge_lag.
    journey_id: In which journey; null if in none.
    subject: obligation_id, event_hash, journey_id or customer_id of what failed; null for knowledge_lag.
    brand: Accountable brand (of an event: its own; of a repeat and a fallback: that of the contact which did not solve it).
    unit: Accountable unit, likewise.
    role: Accountable role, of obligations.
    detail: A few words: kind and state, type and reason, ...
    amount_minor: Money at stake, in the smallest unit of the currency.
$$);

-- ---- one customer, now ----

CREATE FUNCTION bi.latest_events(customer uuid) RETURNS TABLE (contacts jsonb, failures jsonb, ratings jsonb, sensitive boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
SET max_parallel_workers_per_gather = 0 AS $$ -- to start a worker takes ten times as long as the answer
BEGIN
    RETURN QUERY
    SELECT jsonb_agg(jsonb_build_object('at', e.occurred_at, 'channel', (SELECT d.text FROM polku.dictionary d WHERE d.id = e.channel_id), 'brand', (SELECT d.text FROM polku.dictionary d WHERE d.id = e.brand_id), 'unit', (SELECT d.text FROM polku.dictionary d WHERE d.id = e.unit_id), 'type', (SELECT d.text FROM polku.dictionary d WHERE d.id = e.type_id), 'outcome', (SELECT d.text FROM polku.dictionary d WHERE d.id = e.outcome_id)) ORDER BY e.place) FILTER (WHERE e.nth <= 5 AND e.traits & 4 <> 0) AS contacts,
           jsonb_agg(jsonb_build_object('at', e.occurred_at, 'channel', (SELECT d.text FROM polku.dictionary d WHERE d.id = e.channel_id), 'brand', (SELECT d.text FROM polku.dictionary d WHERE d.id = e.brand_id), 'unit', (SELECT d.text FROM polku.dictionary d WHERE d.id = e.unit_id), 'type', (SELECT d.text FROM polku.dictionary d WHERE d.id = e.type_id), 'reason', CASE WHEN e.sensitivity = 0 THEN (SELECT d.text FROM polku.dictionary d WHERE d.id = e.reason_id) END) ORDER BY e.place)
               FILTER (WHERE e.nth_wrong <= 5 AND e.traits & 8415256 > 0) AS failures,
           jsonb_agg(jsonb_build_object('at', e.occurred_at, 'scale', (SELECT d.text FROM polku.dictionary d WHERE d.id = e.rating_scale_id), 'score', e.rating_score, 'min', e.rating_min,
                     'max', e.rating_max, 'channel', (SELECT d.text FROM polku.dictionary d WHERE d.id = e.channel_id), 'brand', (SELECT d.text FROM polku.dictionary d WHERE d.id = e.brand_id)) ORDER BY e.place)
               FILTER (WHERE e.nth_rating <= 3 AND e.rating_score IS NOT NULL) AS ratings,
           bool_or(e.sensitivity = 1) AS sensitive
    FROM (SELECT l.*, row_number() OVER w AS place,
                 count(*) FILTER (WHERE l.traits & 4 <> 0) OVER w AS nth,
                 count(*) FILTER (WHERE l.traits & 8415256 > 0) OVER w AS nth_wrong,
                 count(*) FILTER (WHERE l.rating_score IS NOT NULL) OVER w AS nth_rating
          FROM (SELECT i.occurred_at, i.sequence, i.event_hash, i.traits, i.channel_id, i.brand_id, i.unit_id, i.type_id, i.outcome_id, i.reason_id,
                       i.sensitivity, i.rating_scale_id, i.rating_score, i.rating_min, i.rating_max
                FROM polku.interaction i
                WHERE i.customer_id = latest_events.customer AND i.occurred_at <= (SELECT polku.as_of()) AND i.traits & 1 <> 1
                ORDER BY i.occurred_at DESC LIMIT 200) l
          WINDOW w AS (ORDER BY l.occurred_at DESC, l.sequence DESC, l.event_hash ROWS UNBOUNDED PRECEDING)) e;
END $$;
COMMENT ON FUNCTION bi.latest_events(uuid) IS 'Of the last 200 events of a customer up to as_of: the last five contacts and failures and three ratings, as in bi.customer_now. A function, so that its plan is made once per session.';

CREATE VIEW bi.customer_now AS
SELECT c.customer_id,
       (ARRAY['person', 'device', 'case', NULL, NULL, 'shared'])[c.kind + 1] AS kind,
       c.purchases, c.first_purchase_at, c.last_purchase_at,
       ledger.open_promises, ledger.open_breaches, coalesce(ledger.broken, 0) AS broken, money.broken_money, coalesce(ledger.no_sanction, false) AS no_sanction,
       latest.contacts AS last_contacts, latest.failures AS last_failures, latest.ratings AS last_ratings,
       journey.ids[1] AS journey_id,
       journey.starts[1] AS journey_first_at,
       journey.resolved[1] AS journey_resolved,
       (SELECT d.text FROM polku.dictionary d WHERE d.id = journey.owner_brands[1]) AS owner_brand,
       (SELECT d.text FROM polku.dictionary d WHERE d.id = journey.owner_units[1]) AS owner_unit,
       journey.ownerless[1] AS ownerless_since,
       coalesce(latest.sensitive, false) AS sensitive,
       (SELECT polku.as_of()) AS as_of
FROM polku.customer c
LEFT JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('kind', (SELECT d.text FROM polku.dictionary d WHERE d.id = o.kind_id), 'state', o.state, 'due_from', o.due_from, 'due_to', o.due, 'brand', (SELECT d.text FROM polku.dictionary d WHERE d.id = o.brand_id),
               'unit', (SELECT d.text FROM polku.dictionary d WHERE d.id = o.unit_id), 'role', (SELECT d.text FROM polku.dictionary d WHERE d.id = o.role_id), 'attempts', o.attempts, 'cycle', o.cycle, 'obligation_id', o.obligation_id)
               ORDER BY o.due NULLS LAST, o.opened_at) FILTER (WHERE NOT o.closed) AS open_promises,
           jsonb_agg(jsonb_build_object('kind', (SELECT d.text FROM polku.dictionary d WHERE d.id = o.kind_id), 'state', o.state, 'due_from', o.due_from, 'due_to', o.due, 'brand', (SELECT d.text FROM polku.dictionary d WHERE d.id = o.brand_id),
               'unit', (SELECT d.text FROM polku.dictionary d WHERE d.id = o.unit_id), 'role', (SELECT d.text FROM polku.dictionary d WHERE d.id = o.role_id), 'attempts', o.attempts, 'cycle', o.cycle, 'obligation_id', o.obligation_id)
               ORDER BY o.due NULLS LAST, o.opened_at) FILTER (WHERE o.overdue) AS open_breaches,
           count(*) FILTER (WHERE o.broken) AS broken,
           bool_or(o.overdue AND NOT o.handoff) AS no_sanction
    FROM (SELECT b.*, s.*,
                 CASE WHEN s.attempted AND b.label = 1 THEN 'attempted_not_reached'
                      WHEN s.attempted AND b.label = 2 THEN 'replied_not_answered'
                      WHEN s.due < s.as_of THEN 'overdue' ELSE 'open' END AS state,
                 coalesce(s.due < s.as_of, false) AND NOT s.closed AS overdue,
                 coalesce(s.due < s.as_of AND NOT s.let_off AND NOT coalesce(s.fulfilled <= s.due, false), false) AS broken
          FROM polku.obligation b
          CROSS JOIN LATERAL (
              SELECT a.as_of, CASE WHEN b.changed_at > a.as_of THEN b.first_due_to ELSE b.due_to END AS due,
                     CASE WHEN b.fulfilled_at <= a.as_of THEN b.fulfilled_at END AS fulfilled,
                     coalesce(b.first_attempt_at <= a.as_of, false) AS attempted,
                     coalesce(b.rejected_at <= a.as_of, false) OR coalesce(b.withdrawn_at <= a.as_of, false) AS let_off,
                     coalesce(b.fulfilled_at <= a.as_of, false) OR coalesce(b.rejected_at <= a.as_of, false)
                         OR coalesce(b.withdrawn_at <= a.as_of, false) AS closed
              FROM (SELECT polku.as_of() AS as_of OFFSET 0) a) s
          WHERE b.customer_id = c.customer_id AND b.opened_at <= s.as_of) o) ledger ON true
LEFT JOIN LATERAL (
    SELECT jsonb_object_agg((SELECT d.text FROM polku.dictionary d WHERE d.id = m.currency_id), m.amount) AS broken_money
    FROM (SELECT b.currency_id, sum(b.amount_minor) AS amount
          FROM polku.obligation b CROSS JOIN (SELECT polku.as_of() AS as_of OFFSET 0) a
          WHERE b.customer_id = c.customer_id AND b.opened_at <= a.as_of AND b.currency_id IS NOT NULL
            AND CASE WHEN b.changed_at > a.as_of THEN b.first_due_to ELSE b.due_to END < a.as_of
            AND NOT coalesce(b.fulfilled_at <= a.as_of AND b.fulfilled_at <= CASE WHEN b.changed_at > a.as_of THEN b.first_due_to ELSE b.due_to END, false)
            AND NOT coalesce(b.rejected_at <= a.as_of, false) AND NOT coalesce(b.withdrawn_at <= a.as_of, false)
          GROUP BY b.currency_id) m) money ON true
LEFT JOIN LATERAL (
    SELECT (array_agg(e.contacts))[1] AS contacts, (array_agg(e.failures))[1] AS failures, (array_agg(e.ratings))[1] AS ratings, bool_or(e.sensitive) AS sensitive
    FROM bi.latest_events(c.customer_id) e) latest ON true
LEFT JOIN LATERAL (
    SELECT array_agg(j.journey_id) AS ids, array_agg(j.first_at) AS starts, array_agg(j.resolved) AS resolved, array_agg(j.owner_brand_id) AS owner_brands,
           array_agg(j.owner_unit_id) AS owner_units, array_agg(j.ownerless_since) AS ownerless
    FROM (SELECT k.journey_id, k.first_at, k.resolved, k.owner_brand_id, k.owner_unit_id, k.ownerless_since FROM polku.journey k
          WHERE k.customer_id = c.customer_id AND k.first_at <= (SELECT polku.as_of())
          ORDER BY k.last_at DESC, k.first_at DESC LIMIT 1) j) journey ON true;

SELECT pg_temp.describe('bi.customer_now', 'The situation of one customer, for whoever meets them next: WHERE customer_id = bi.customer_of(..). Index lookups alone; name the columns that you show.', $$
    kind: What the customer is known by: person, device, case, or shared.
    purchases: Purchases.
    first_purchase_at: First purchase.
    last_purchase_at: Last purchase.
    open_promises: What is owed and not closed, the soonest due first: [{"kind": "callback", "state": .., "due_to": .., "brand": .., "unit": ..}].
    open_breaches: Those of them whose due time has passed.
    broken: Obligations that were broken, ever.
    broken_money: Money of those by currency, in its smallest unit: {"EUR": 12900}.
    no_sanction: Guard flag: an obligation of ours to this customer is overdue. Nothing may be held against them before it is looked into.
    last_contacts: The last five contacts, the newest first: [{"at": .., "channel": .., "brand": .., "unit": .., "type": .., "outcome": ..}].
    last_failures: The last five refusals, deflections, misroutes, attempts in vain, failed self-services and sanctions, likewise (of the last 200 events).
    last_ratings: The last three ratings, the newest first.
    journey_id: The latest journey.
    journey_first_at: When it began.
    journey_resolved: Its last event is terminal.
    owner_brand: Brand that owns it.
    owner_unit: Unit that owns it; null: nobody.
    ownerless_since: Since when nobody owns it.
    sensitive: One of the last 200 events is sensitive: what it was about is hidden, so ask with care.
$$);

-- ---- who ----

CREATE VIEW bi.customer AS
SELECT c.customer_id,
       (ARRAY['person', 'device', 'case', NULL, NULL, 'shared'])[c.kind + 1] AS kind,
       name_space.text AS namespace,
       (SELECT count(*) FROM polku.journey j WHERE j.customer_id = c.customer_id) AS journeys,
       (SELECT min(j.first_at) FROM polku.journey j WHERE j.customer_id = c.customer_id) AS first_at,
       (SELECT max(j.last_at) FROM polku.journey j WHERE j.customer_id = c.customer_id) AS last_at,
       (SELECT i.value FROM polku.identifier i WHERE i.hash = c.customer_id) AS value,
       1 + (SELECT count(*) FROM polku.identifier i WHERE i.customer_id = c.customer_id AND i.customer_id <> i.hash) AS identifiers,
       c.purchases, c.first_purchase_at, c.last_purchase_at
FROM polku.customer c
LEFT JOIN polku.dictionary name_space ON name_space.id = c.namespace_id;

SELECT pg_temp.describe('bi.customer', 'One row per customer.', $$
    customer_id: Hash of the identifier by which the customer is known.
    kind: What that is: person, device, case, or shared (anonymous events of an identifier that several people share).
    namespace: Its namespace, as email; null for a case.
    journeys: Number of journeys.
    first_at: First event of the first journey.
    last_at: Last event of the last journey.
    value: Value of that identifier; null unless the rules say store: clear.
    identifiers: Identifiers of persons that are this customer; 1 for a device, a case or a shared one. The others are in bi.customer_redirect.
    purchases: Events with trait purchase.
    first_purchase_at: Time of the first of them.
    last_purchase_at: Time of the last of them.
$$);

-- Each link is told once, from its end a. Ends of equal priority (one namespace, or one name behind the issuer) are told from the
-- smaller hash.
CREATE VIEW bi.identity_link AS
SELECT l.a, a_name.text AS a_namespace, l.a_value, l.b, b_name.text AS b_namespace, l.b_value,
       l.first_at, l.source, l.event_id,
       CASE WHEN l.customer_a = l.customer_b THEN NULL
            WHEN l.oversize THEN 'oversize'
            WHEN EXISTS (SELECT FROM polku.decision d
                         WHERE d.kind = 2 AND d.restored_at IS NULL
                           AND ARRAY[(SELECT i.customer_id FROM polku.identifier i WHERE i.hash = d.a),
                                     (SELECT i.customer_id FROM polku.identifier i WHERE i.hash = d.b)]
                               IN (ARRAY[l.customer_a, l.customer_b], ARRAY[l.customer_b, l.customer_a])) THEN 'apart'
            ELSE 'unique' END AS refused,
       l.customer_a, l.customer_b
FROM (SELECT DISTINCT ON (p.hash, p.customer_id, o.hash, o.customer_id)
             p.hash AS a, p.customer_id AS customer_a, p.namespace_id AS a_namespace_id, p.value AS a_value,
             o.hash AS b, o.customer_id AS customer_b, o.namespace_id AS b_namespace_id, o.value AS b_value,
             p.flags & 2 <> 0 AS oversize, m.first_at, m.source, m.first_event_id AS event_id
      FROM (SELECT hash, customer_id, namespace_id, flags, value FROM polku.identifier
            WHERE kind = 0 AND customer_id = hash AND flags & 25 = 0
            UNION ALL
            SELECT hash, customer_id, namespace_id, flags, value FROM polku.identifier
            WHERE kind = 0 AND customer_id IS NOT NULL AND customer_id <> hash AND flags & 25 = 0) p
      CROSS JOIN LATERAL (SELECT l.*, (SELECT d.text FROM polku.dictionary d WHERE d.id = l.first_source_id) AS source
                          FROM polku.identity_meeting_led l WHERE l.identifier = p.hash OFFSET 0) m
      CROSS JOIN LATERAL (
          SELECT i.hash, i.customer_id, i.namespace_id, i.value
          FROM unnest(m.members) AS x (hash)
          CROSS JOIN LATERAL (SELECT * FROM polku.identifier k WHERE k.hash = x.hash OFFSET 0) i
          CROSS JOIN LATERAL (SELECT i.namespace_id = p.namespace_id OR coalesce(
                                  (SELECT substr(d.text, strpos(d.text, '/')) FROM polku.dictionary d
                                   WHERE d.id = i.namespace_id AND strpos(d.text, '/') > 0)
                                  = (SELECT substr(d.text, strpos(d.text, '/')) FROM polku.dictionary d
                                     WHERE d.id = p.namespace_id AND strpos(d.text, '/') > 0), false) AS equal) priority
          WHERE x.hash <> p.hash AND i.flags & 25 = 0
            AND CASE m.strongest WHEN p.hash THEN p.hash < i.hash OR NOT priority.equal
                                 WHEN i.hash THEN p.hash < i.hash AND priority.equal
                                 ELSE false END
          OFFSET 0) o
      WHERE NOT m.contradictory
      ORDER BY p.hash, p.customer_id, o.hash, o.customer_id, m.first_at, m.first_sequence, m.source, m.first_event_id) l
LEFT JOIN polku.dictionary a_name ON a_name.id = l.a_namespace_id
LEFT JOIN polku.dictionary b_name ON b_name.id = l.b_namespace_id;
COMMENT ON VIEW bi.identity_link IS 'Which identifiers were seen together, the refused links included: one row per pair. Name a or customer_a where you can; else the whole table is read.';
COMMENT ON COLUMN bi.identity_link.a IS 'The stronger of the two identifiers (hash): by priority of the namespace, then by hash.';
COMMENT ON COLUMN bi.identity_link.a_namespace IS 'Its namespace, as email.';
COMMENT ON COLUMN bi.identity_link.a_value IS 'Its value; null unless the rules say store: clear.';
COMMENT ON COLUMN bi.identity_link.b IS 'The other identifier (hash).';
COMMENT ON COLUMN bi.identity_link.b_namespace IS 'Its namespace.';
COMMENT ON COLUMN bi.identity_link.b_value IS 'Its value; null unless the rules say store: clear.';
COMMENT ON COLUMN bi.identity_link.first_at IS 'When the first event that links them occurred.';
COMMENT ON COLUMN bi.identity_link.source IS 'Publishing system of that event.';
COMMENT ON COLUMN bi.identity_link.event_id IS 'event_id of that event.';
COMMENT ON COLUMN bi.identity_link.refused IS 'Null: they are one customer. Else why not: unique (each side has another value of a unique namespace), apart (a decision), oversize (more persons hang together than a customer may have).';
COMMENT ON COLUMN bi.identity_link.customer_a IS 'Customer of a.';
COMMENT ON COLUMN bi.identity_link.customer_b IS 'Customer of b.';

CREATE VIEW bi.identity_conflict AS
SELECT l.a, l.a_namespace, l.a_value, l.b, l.b_namespace, l.b_value, l.first_at, l.source, l.event_id, l.refused,
       l.customer_a, l.customer_b,
       because.namespace, because.a AS because_a, because.a_value AS because_a_value, because.b AS because_b,
       because.b_value AS because_b_value
FROM bi.identity_link l
LEFT JOIN LATERAL (
    SELECT name.text AS namespace, x.hash AS a, x.value AS a_value, y.hash AS b, y.value AS b_value
    FROM (SELECT hash, namespace_id, value FROM polku.identifier
          WHERE hash = l.customer_a AND flags & 64 <> 0
          UNION ALL
          SELECT hash, namespace_id, value FROM polku.identifier
          WHERE customer_id = l.customer_a AND customer_id <> hash AND flags & 64 <> 0 OFFSET 0) x
    CROSS JOIN LATERAL (
          SELECT hash, namespace_id, value FROM polku.identifier
          WHERE hash = l.customer_b AND flags & 64 <> 0
          UNION ALL
          SELECT hash, namespace_id, value FROM polku.identifier
          WHERE customer_id = l.customer_b AND customer_id <> hash AND flags & 64 <> 0 OFFSET 0) y
    LEFT JOIN polku.dictionary name ON name.id = x.namespace_id
    WHERE l.refused = 'unique' AND y.namespace_id = x.namespace_id
    UNION ALL
    SELECT CASE WHEN x.namespace_id = y.namespace_id THEN (SELECT n.text FROM polku.dictionary n WHERE n.id = x.namespace_id) END,
           x.hash, x.value, y.hash, y.value
    FROM polku.decision d
    CROSS JOIN LATERAL (SELECT * FROM polku.identifier k WHERE k.hash IN (d.a, d.b) AND k.customer_id = l.customer_a OFFSET 0) x
    CROSS JOIN LATERAL (SELECT * FROM polku.identifier k WHERE k.hash IN (d.a, d.b) AND k.customer_id = l.customer_b OFFSET 0) y
    WHERE l.refused = 'apart' AND d.kind = 2 AND d.restored_at IS NULL
    ORDER BY 1, 2, 4 LIMIT 1) because ON true
WHERE l.refused IS NOT NULL;
COMMENT ON VIEW bi.identity_conflict IS 'Links that were refused, and what stood against them. Name a or customer_a where you can; else the whole table is read.';
COMMENT ON COLUMN bi.identity_conflict.a IS 'The stronger of the two identifiers (hash).';
COMMENT ON COLUMN bi.identity_conflict.a_namespace IS 'Its namespace.';
COMMENT ON COLUMN bi.identity_conflict.a_value IS 'Its value; null unless the rules say store: clear.';
COMMENT ON COLUMN bi.identity_conflict.b IS 'The other identifier (hash).';
COMMENT ON COLUMN bi.identity_conflict.b_namespace IS 'Its namespace.';
COMMENT ON COLUMN bi.identity_conflict.b_value IS 'Its value; null unless the rules say store: clear.';
COMMENT ON COLUMN bi.identity_conflict.first_at IS 'When the first event that would link them occurred.';
COMMENT ON COLUMN bi.identity_conflict.source IS 'Publishing system of that event.';
COMMENT ON COLUMN bi.identity_conflict.event_id IS 'event_id of that event.';
COMMENT ON COLUMN bi.identity_conflict.refused IS 'Why they are not one customer: unique, apart or oversize.';
COMMENT ON COLUMN bi.identity_conflict.customer_a IS 'Customer of a.';
COMMENT ON COLUMN bi.identity_conflict.customer_b IS 'Customer of b.';
COMMENT ON COLUMN bi.identity_conflict.namespace IS 'The namespace of because_a and because_b; null if theirs differ, or the component is oversize.';
COMMENT ON COLUMN bi.identity_conflict.because_a IS 'The identifier of customer_a that cannot be one customer with because_b (the first such pair); null if the component is oversize.';
COMMENT ON COLUMN bi.identity_conflict.because_a_value IS 'Its value; null unless the rules say store: clear.';
COMMENT ON COLUMN bi.identity_conflict.because_b IS 'The identifier of customer_b.';
COMMENT ON COLUMN bi.identity_conflict.because_b_value IS 'Its value; null unless the rules say store: clear.';

CREATE VIEW bi.customer_redirect AS
SELECT i.hash AS identifier, name.text AS namespace, i.value, i.customer_id, joined.first_at, joined.source, joined.event_id
FROM polku.identifier i
LEFT JOIN LATERAL (
    SELECT m.first_at, (SELECT d.text FROM polku.dictionary d WHERE d.id = m.first_source_id) AS source, m.first_event_id AS event_id
    FROM (SELECT * FROM polku.identity_meeting_led l WHERE l.identifier = i.hash OFFSET 0) m
    WHERE NOT m.contradictory AND i.flags & 25 = 0
      AND CASE WHEN m.strongest = i.hash
               THEN EXISTS (SELECT FROM unnest(m.members) AS x (hash)
                            WHERE x.hash <> i.hash
                              AND (SELECT k.customer_id FROM polku.identifier k WHERE k.hash = x.hash AND k.flags & 25 = 0) = i.customer_id)
               ELSE (SELECT k.customer_id FROM polku.identifier k WHERE k.hash = m.strongest) = i.customer_id END
    ORDER BY m.first_at, m.first_sequence, 2, m.first_event_id LIMIT 1) joined ON true
LEFT JOIN polku.dictionary name ON name.id = i.namespace_id
WHERE i.kind = 0 AND i.customer_id IS NOT NULL AND i.customer_id <> i.hash;
COMMENT ON VIEW bi.customer_redirect IS 'Every identifier of a person that is not the customer id, the customer that it leads to, and the event that joined it. A customer id that was given out earlier and has no row in bi.customer any more is found here.';
COMMENT ON COLUMN bi.customer_redirect.identifier IS 'The identifier (hash).';
COMMENT ON COLUMN bi.customer_redirect.namespace IS 'Its namespace.';
COMMENT ON COLUMN bi.customer_redirect.value IS 'Its value; null unless the rules say store: clear.';
COMMENT ON COLUMN bi.customer_redirect.customer_id IS 'The customer.';
COMMENT ON COLUMN bi.customer_redirect.first_at IS 'When the first event that links it with another person of the customer occurred.';
COMMENT ON COLUMN bi.customer_redirect.source IS 'Publishing system of that event.';
COMMENT ON COLUMN bi.customer_redirect.event_id IS 'event_id of that event.';

CREATE VIEW bi.identity_shared AS
SELECT i.hash AS identifier, name.text AS namespace, i.value,
       (SELECT count(DISTINCT x.hash)
        FROM (SELECT * FROM polku.identity_meeting_led l WHERE l.identifier = i.hash OFFSET 0) m
        CROSS JOIN LATERAL unnest(m.members) AS x (hash)
        WHERE NOT m.contradictory AND x.hash <> i.hash
          AND (SELECT k.flags & 8 FROM polku.identifier k WHERE k.hash = x.hash) = 0) AS people,
       i.first_at
FROM polku.identifier i
LEFT JOIN polku.dictionary name ON name.id = i.namespace_id
WHERE i.kind = 0 AND i.flags & 1 <> 0;
COMMENT ON VIEW bi.identity_shared IS 'Identifiers of persons that belong to several people (a family''s phone): they join nobody.';
COMMENT ON COLUMN bi.identity_shared.identifier IS 'The identifier (hash).';
COMMENT ON COLUMN bi.identity_shared.namespace IS 'Its namespace.';
COMMENT ON COLUMN bi.identity_shared.value IS 'Its value; null unless the rules say store: clear.';
COMMENT ON COLUMN bi.identity_shared.people IS 'Other identifiers of persons that it was seen with.';
COMMENT ON COLUMN bi.identity_shared.first_at IS 'When it was first seen.';

CREATE VIEW bi.identity_oversize AS
SELECT i.hash AS identifier, name.text AS namespace, i.value, i.customer_id, i.first_at
FROM polku.identifier i
LEFT JOIN polku.dictionary name ON name.id = i.namespace_id
WHERE i.kind = 0 AND i.flags & 2 <> 0;
COMMENT ON VIEW bi.identity_oversize IS 'Identifiers whose links hang together with more persons than rules allow (max_component): set aside, each a customer alone, until something that glues them is blocked or unlinked.';
COMMENT ON COLUMN bi.identity_oversize.identifier IS 'The identifier (hash).';
COMMENT ON COLUMN bi.identity_oversize.namespace IS 'Its namespace.';
COMMENT ON COLUMN bi.identity_oversize.value IS 'Its value; null unless the rules say store: clear.';
COMMENT ON COLUMN bi.identity_oversize.customer_id IS 'The customer, as long as its links are set aside.';
COMMENT ON COLUMN bi.identity_oversize.first_at IS 'When it was first seen.';

-- ---- aggregates ----

CREATE VIEW bi.interaction_hourly AS
SELECT h.hour, h.brand, unit.text AS unit, channel.text AS channel, h.type, outcome.text AS outcome, reason.text AS reason,
       h.interactions, h.contacts, h.unanswered, h.refusals, h.deflections, h.transfers, h.misroutes
FROM (SELECT t.hour, brand.text AS brand, t.unit_id, t.channel_id, type.text AS type, t.outcome_id, t.reason_id,
             sum(t.interactions)::bigint AS interactions, sum(t.contacts)::bigint AS contacts,
             sum(t.unanswered)::bigint AS unanswered, sum(t.refusals)::bigint AS refusals,
             sum(t.deflections)::bigint AS deflections, sum(t.transfers)::bigint AS transfers,
             sum(t.misroutes)::bigint AS misroutes
      FROM polku.interaction_hourly t
      LEFT JOIN polku.dictionary brand ON brand.id = t.brand_id
      LEFT JOIN polku.dictionary type ON type.id = t.type_id
      GROUP BY t.hour, brand.id, brand.text, t.unit_id, t.channel_id, type.id, type.text, t.outcome_id, t.reason_id
      HAVING sum(t.interactions) <> 0) h
LEFT JOIN polku.dictionary unit ON unit.id = h.unit_id
LEFT JOIN polku.dictionary channel ON channel.id = h.channel_id
LEFT JOIN polku.dictionary outcome ON outcome.id = h.outcome_id
LEFT JOIN polku.dictionary reason ON reason.id = h.reason_id;

SELECT pg_temp.describe('bi.interaction_hourly', 'Events and contacts by UTC hour. Equals the GROUP BY over what it counts, at every commit.', $$
    interactions: All events.
    contacts: Events at which customer and organisation really met.
    
    hour: Start of the UTC hour of occurred_at.
    reason: Reason; null if it has none, or is sensitive.
    unanswered: Attempts at which nobody was reached.
    refusals: Events at which the customer was refused or sent away.
    deflections: Events at which the customer was sent elsewhere or told to do it.
    transfers: Events at which the contact was passed on while it went on.
    misroutes: Events at which the customer was sent to the wrong place.
$$);

CREATE VIEW bi.need_hourly AS
SELECT h.hour, h.brand, stage.text AS stage, topic.text AS topic, h.cause, h.interactions, h.contacts
FROM (SELECT t.hour, brand.text AS brand, t.stage_id, t.topic_id, cause.text AS cause, sum(t.interactions)::bigint AS interactions,
             sum(t.contacts)::bigint AS contacts
      FROM polku.need_hourly t
      LEFT JOIN polku.dictionary brand ON brand.id = t.brand_id
      LEFT JOIN polku.dictionary cause ON cause.id = t.cause_id
      GROUP BY t.hour, brand.id, brand.text, t.stage_id, t.topic_id, cause.id, cause.text
      HAVING sum(t.interactions) <> 0) h
LEFT JOIN polku.dictionary stage ON stage.id = h.stage_id
LEFT JOIN polku.dictionary topic ON topic.id = h.topic_id;

SELECT pg_temp.describe('bi.need_hourly', 'What events were about, by UTC hour: stage, topic and cause of events that are not sensitive and name one. Equals the GROUP BY over what it counts, at every commit.', $$
    interactions: All events.
    contacts: Events at which customer and organisation really met.
    
    topic: What it is about.
    cause: Why the customer had to get in touch.
$$);

CREATE VIEW bi.cause_hourly AS
SELECT h.hour, h.brand, h.cause, sum(h.interactions)::bigint AS interactions, sum(h.contacts)::bigint AS contacts
FROM bi.need_hourly h
WHERE h.cause IS NOT NULL
GROUP BY h.hour, h.brand, h.cause;
SELECT pg_temp.describe('bi.cause_hourly', 'Causes of contacts by UTC hour and brand: bi.need_hourly summed over stage and topic.', $$
    cause: Why the customer had to get in touch.
    interactions: All events that name it.
    contacts: Contacts that name it.
$$);

CREATE VIEW bi.rating_hourly AS
SELECT h.hour, h.brand, unit.text AS unit, channel.text AS channel, h.scale, h.score / 1000.0::double precision AS score, h.min / 1000.0::double precision AS min, h.max / 1000.0::double precision AS max, h.ratings,
       (h.score - h.min::double precision) / nullif(h.max - h.min::double precision, 0) AS normalised,
       CASE WHEN h.scale = 'nps' AND h.min = 0 AND h.max = 10000
            THEN CASE WHEN h.score >= 9000 THEN 'promoter' WHEN h.score >= 7000 THEN 'passive' ELSE 'detractor' END END AS nps_class
FROM (SELECT t.hour, brand.text AS brand, t.unit_id, t.channel_id, scale.text AS scale, t.score, t.min, t.max,
             sum(t.ratings)::bigint AS ratings
      FROM polku.rating_hourly t
      LEFT JOIN polku.dictionary brand ON brand.id = t.brand_id
      LEFT JOIN polku.dictionary scale ON scale.id = t.scale_id
      GROUP BY t.hour, brand.id, brand.text, t.unit_id, t.channel_id, scale.id, scale.text, t.score, t.min, t.max
      HAVING sum(t.ratings) <> 0) h
LEFT JOIN polku.dictionary unit ON unit.id = h.unit_id
LEFT JOIN polku.dictionary channel ON channel.id = h.channel_id;

SELECT pg_temp.describe('bi.rating_hourly', 'Ratings by UTC hour, score by score: nothing is averaged away. Equals the GROUP BY over what it counts, at every commit.', $$
    scale: nps, csat, ces, stars, expectation, belief, ...
    score: The score.
    min: Lowest possible score.
    max: Highest possible score.
    ratings: Ratings with this score.
    normalised: The score on 0..1; null without a range.
    nps_class: Of scale nps, 0 to 10: promoter (9, 10), passive (7, 8), detractor; else null. NPS = share of promoters - share of detractors.
$$);

CREATE VIEW bi.money_hourly AS
SELECT h.hour, h.brand, unit.text AS unit, h.kind, currency.text AS currency, h.events, h.amount_minor, h.out_of_range
FROM (SELECT t.hour, brand.text AS brand, t.unit_id, kind.text AS kind, t.currency_id, sum(t.events)::bigint AS events,
             sum(t.amount_minor)::bigint AS amount_minor, sum(t.out_of_range)::bigint AS out_of_range
      FROM polku.money_hourly t
      LEFT JOIN polku.dictionary brand ON brand.id = t.brand_id
      LEFT JOIN polku.dictionary kind ON kind.id = t.kind_id
      GROUP BY t.hour, brand.id, brand.text, t.unit_id, kind.id, kind.text, t.currency_id
      HAVING sum(t.events) <> 0) h
LEFT JOIN polku.dictionary unit ON unit.id = h.unit_id
LEFT JOIN polku.dictionary currency ON currency.id = h.currency_id;

SELECT pg_temp.describe('bi.money_hourly', 'Money by UTC hour and kind. Equals the GROUP BY over what it counts, at every commit.', $$
    kind: What the money is: payment, refund, loss, compensation, ...
    events: Events that name it.
    amount_minor: Sum of the amounts, in the smallest unit of the currency.
    out_of_range: Events whose amount is beyond 10^12 either way; not in the sum.
$$);

CREATE VIEW bi.repeat_daily AS
SELECT h.day, h.brand, unit.text AS unit, channel.text AS channel, cause.text AS cause, topic.text AS topic, h.contacts,
       h.repeated_1d, h.repeated_7d, h.repeated_14d, h.repeated_30d,
       h.day + interval '48 hours' <= (SELECT polku.as_of()) AS complete_1d,
       h.day + interval '192 hours' <= (SELECT polku.as_of()) AS complete_7d,
       h.day + interval '360 hours' <= (SELECT polku.as_of()) AS complete_14d,
       h.day + interval '744 hours' <= (SELECT polku.as_of()) AS complete_30d
FROM (SELECT t.day, brand.text AS brand, t.unit_id, t.channel_id, t.cause_id, t.topic_id, sum(t.contacts)::bigint AS contacts,
             sum(t.repeated_1d)::bigint AS repeated_1d, sum(t.repeated_7d)::bigint AS repeated_7d,
             sum(t.repeated_14d)::bigint AS repeated_14d, sum(t.repeated_30d)::bigint AS repeated_30d
      FROM polku.repeat_daily t
      LEFT JOIN polku.dictionary brand ON brand.id = t.brand_id
      GROUP BY t.day, brand.id, brand.text, t.unit_id, t.channel_id, t.cause_id, t.topic_id
      HAVING sum(t.contacts) <> 0) h
LEFT JOIN polku.dictionary unit ON unit.id = h.unit_id
LEFT JOIN polku.dictionary channel ON channel.id = h.channel_id
LEFT JOIN polku.dictionary cause ON cause.id = h.cause_id
LEFT JOIN polku.dictionary topic ON topic.id = h.topic_id;

SELECT pg_temp.describe('bi.repeat_daily', 'Inbound contacts with a need by UTC day, and how many of them were repeated by the same customer for the same need on any channel and brand within 1, 7, 14 and 30 days. First contact resolution within 7 days = 1 - sum(repeated_7d) / sum(contacts), over rows with complete_7d. Equals the GROUP BY over what it counts, at every commit.', $$
    day: UTC day of the contact that was, or was not, repeated.
    brand: Brand of that contact.
    unit: Unit of that contact.
    channel: Channel of that contact.
    cause: Its cause, if that is its need.
    topic: Its topic, if that is its need (it has no cause).
    contacts: Inbound contacts with a need.
    repeated_1d: Repeated within a day.
    repeated_7d: Repeated within 7 days.
    repeated_14d: Repeated within 14 days.
    repeated_30d: Repeated within 30 days.
    complete_1d: The window of all contacts of the day has passed, so repeated_1d is final.
    complete_7d: Likewise for repeated_7d.
    complete_14d: Likewise for repeated_14d.
    complete_30d: Likewise for repeated_30d.
$$);

CREATE VIEW bi.transition_hourly AS
SELECT h.hour, h.brand, from_channel.text AS from_channel, to_channel.text AS to_channel, h.fallback = 1 AS fallback, h.transitions,
       justify_hours(h.wait_us * interval '1 microsecond') AS wait
FROM (SELECT t.hour, brand.text AS brand, t.from_channel_id, t.to_channel_id, t.fallback, sum(t.transitions)::bigint AS transitions,
             sum(t.wait_us)::bigint AS wait_us
      FROM polku.transition_hourly t
      LEFT JOIN polku.dictionary brand ON brand.id = t.brand_id
      GROUP BY t.hour, brand.id, brand.text, t.from_channel_id, t.to_channel_id, t.fallback
      HAVING sum(t.transitions) <> 0) h
LEFT JOIN polku.dictionary from_channel ON from_channel.id = h.from_channel_id
LEFT JOIN polku.dictionary to_channel ON to_channel.id = h.to_channel_id;

SELECT pg_temp.describe('bi.transition_hourly', 'From channel to channel within journeys, by UTC hour of the later contact. Equals the GROUP BY over what it counts, at every commit.', $$
    hour: UTC hour of the later contact.
    brand: Brand of the later contact.
    from_channel: Channel of the contact before.
    to_channel: Channel of the later contact; equal to from_channel where the customer stayed.
    fallback: The channels differ, and the contact before was self-service that failed.
    transitions: Pairs of contacts.
    wait: Sum of the times between; wait / transitions is the mean.
$$);

CREATE VIEW bi.duration_hourly AS
SELECT h.hour, h.measure, 'wall' AS clock, h.brand, unit.text AS unit, channel.text AS channel, h.bucket, h.durations, justify_hours(h.total_us * interval '1 microsecond') AS total
FROM (SELECT t.hour, measure.text AS measure, brand.text AS brand, t.unit_id, t.channel_id, t.bucket,
             sum(t.durations)::bigint AS durations, sum(t.total_us)::bigint AS total_us
      FROM polku.duration_hourly t
      LEFT JOIN polku.dictionary measure ON measure.id = t.measure_id
      LEFT JOIN polku.dictionary brand ON brand.id = t.brand_id
      WHERE t.clock = 0
      GROUP BY t.hour, measure.id, measure.text, brand.id, brand.text, t.unit_id, t.channel_id, t.bucket
      HAVING sum(t.durations) <> 0) h
LEFT JOIN polku.dictionary unit ON unit.id = h.unit_id
LEFT JOIN polku.dictionary channel ON channel.id = h.channel_id
UNION ALL
SELECT h.hour, h.measure, 'business' AS clock, h.brand, unit.text AS unit, channel.text AS channel, h.bucket, h.durations, justify_hours(h.total_us * interval '1 microsecond') AS total
FROM (SELECT t.hour, measure.text AS measure, brand.text AS brand, t.unit_id, t.channel_id, t.bucket,
             sum(t.durations)::bigint AS durations, sum(t.total_us)::bigint AS total_us
      FROM polku.duration_hourly t
      LEFT JOIN polku.dictionary measure ON measure.id = t.measure_id
      LEFT JOIN polku.dictionary brand ON brand.id = t.brand_id
      WHERE t.clock = 1
      GROUP BY t.hour, measure.id, measure.text, brand.id, brand.text, t.unit_id, t.channel_id, t.bucket
      HAVING sum(t.durations) <> 0) h
LEFT JOIN polku.dictionary unit ON unit.id = h.unit_id
LEFT JOIN polku.dictionary channel ON channel.id = h.channel_id;

SELECT pg_temp.describe('bi.duration_hourly', 'Reply, resolution and promise times as histograms by UTC hour: how many durations fell into each bucket. Name one measure and one clock; percentiles by bi.percentile(0.9, bucket, durations). Equals the GROUP BY over what it counts, at every commit.', $$
    hour: UTC hour at which what is measured began.
    measure: first_reply (first contact of the customer to the first reply by a human), next_reply (each such wait), resolution (start to last terminal event of resolved journeys), kept.KIND (opening to fulfilment of obligations of a kind).
    clock: wall, or business: business time of brand and unit.
    brand: Brand that kept the customer waiting: of the event that starts it (next_reply), accountable (kept.KIND), else the journey's entry brand.
    unit: Its unit, likewise.
    channel: Channel, likewise; null for kept.KIND.
    bucket: Bucket: bi.bucket_from(bucket) <= duration < bi.bucket_from(bucket + 1).
    durations: How many.
    total: Their sum; total / durations is the mean.
$$);

CREATE VIEW bi.journey_daily AS
SELECT h.day, h.brand, unit.text AS unit, channel.text AS channel, h.resolved = 1 AS resolved, terminal_outcome.text AS terminal_outcome,
       h.journeys, h.events, h.contacts, h.switches, h.fallbacks, h.repeats, h.unanswered, h.refusals, h.deflections,
       h.handoffs_offered, h.reopened, h.effort, h.single_contact, h.one_owner, h.without_owner
FROM (SELECT t.day, brand.text AS brand, t.unit_id, t.channel_id, t.resolved, t.terminal_outcome_id,
             sum(t.journeys)::bigint AS journeys, sum(t.events)::bigint AS events, sum(t.contacts)::bigint AS contacts,
             sum(t.switches)::bigint AS switches, sum(t.fallbacks)::bigint AS fallbacks, sum(t.repeats)::bigint AS repeats,
             sum(t.unanswered)::bigint AS unanswered, sum(t.refusals)::bigint AS refusals,
             sum(t.deflections)::bigint AS deflections, sum(t.handoffs_offered)::bigint AS handoffs_offered,
             sum(t.reopened)::bigint AS reopened, sum(t.effort)::bigint AS effort, sum(t.single_contact)::bigint AS single_contact,
             sum(t.one_owner)::bigint AS one_owner, sum(t.without_owner)::bigint AS without_owner
      FROM polku.journey_daily t
      LEFT JOIN polku.dictionary brand ON brand.id = t.brand_id
      GROUP BY t.day, brand.id, brand.text, t.unit_id, t.channel_id, t.resolved, t.terminal_outcome_id
      HAVING sum(t.journeys) <> 0) h
LEFT JOIN polku.dictionary unit ON unit.id = h.unit_id
LEFT JOIN polku.dictionary channel ON channel.id = h.channel_id
LEFT JOIN polku.dictionary terminal_outcome ON terminal_outcome.id = h.terminal_outcome_id;

SELECT pg_temp.describe('bi.journey_daily', 'Journeys by the UTC day on which they began, with the sums of their facts. Equals the GROUP BY over what it counts, at every commit.', $$
    day: UTC day of first_at.
    brand: Entry brand.
    unit: Entry unit.
    channel: Entry channel.
    resolved: The last event that is not passive is terminal.
    terminal_outcome: Outcome of the last terminal event.
    journeys: Journeys.
    events: Their events.
    contacts: Their contacts.
    switches: Contacts on another channel than the contact before.
    fallbacks: Those right after self-service that failed.
    repeats: Contacts that repeat an earlier one within the repeat window.
    unanswered: Attempts at which nobody was reached.
    refusals: Events at which the customer was refused or sent away.
    deflections: Events at which the customer was sent elsewhere.
    handoffs_offered: Hand-offs offered.
    reopened: Events that followed a terminal one.
    effort: Effort of the customers; effort / journeys is the effort index. Its definition is in bi.rules.
    single_contact: Journeys with one contact.
    one_owner: Journeys that one unit owned throughout.
    without_owner: Journeys that never had an owner.
$$);

CREATE VIEW bi.obligation_hourly AS
SELECT h.due_hour, h.kind, h.brand, unit.text AS unit, h.opened, h.kept, h.kept_late_in_window, h.late, h.attempted,
       h.rejected, h.withdrawn, h.looped, h.no_owner, h.attempts
FROM (SELECT t.due_hour, kind.text AS kind, brand.text AS brand, t.unit_id, sum(t.opened)::bigint AS opened,
             sum(t.kept)::bigint AS kept, sum(t.kept_late_in_window)::bigint AS kept_late_in_window, sum(t.late)::bigint AS late,
             sum(t.attempted)::bigint AS attempted, sum(t.rejected)::bigint AS rejected, sum(t.withdrawn)::bigint AS withdrawn,
             sum(t.looped)::bigint AS looped, sum(t.no_owner)::bigint AS no_owner, sum(t.attempts)::bigint AS attempts
      FROM polku.obligation_hourly t
      LEFT JOIN polku.dictionary kind ON kind.id = t.kind_id
      LEFT JOIN polku.dictionary brand ON brand.id = t.brand_id
      WHERE t.due_hour <> 'infinity'
      GROUP BY t.due_hour, kind.id, kind.text, brand.id, brand.text, t.unit_id
      HAVING sum(t.opened) <> 0) h
LEFT JOIN polku.dictionary unit ON unit.id = h.unit_id
UNION ALL
SELECT NULL::timestamptz AS due_hour, h.kind, h.brand, unit.text AS unit, h.opened, h.kept, h.kept_late_in_window, h.late, h.attempted,
       h.rejected, h.withdrawn, h.looped, h.no_owner, h.attempts
FROM (SELECT t.due_hour, kind.text AS kind, brand.text AS brand, t.unit_id, sum(t.opened)::bigint AS opened,
             sum(t.kept)::bigint AS kept, sum(t.kept_late_in_window)::bigint AS kept_late_in_window, sum(t.late)::bigint AS late,
             sum(t.attempted)::bigint AS attempted, sum(t.rejected)::bigint AS rejected, sum(t.withdrawn)::bigint AS withdrawn,
             sum(t.looped)::bigint AS looped, sum(t.no_owner)::bigint AS no_owner, sum(t.attempts)::bigint AS attempts
      FROM polku.obligation_hourly t
      LEFT JOIN polku.dictionary kind ON kind.id = t.kind_id
      LEFT JOIN polku.dictionary brand ON brand.id = t.brand_id
      WHERE t.due_hour = 'infinity'
      GROUP BY t.due_hour, kind.id, kind.text, brand.id, brand.text, t.unit_id
      HAVING sum(t.opened) <> 0) h
LEFT JOIN polku.dictionary unit ON unit.id = h.unit_id;

SELECT pg_temp.describe('bi.obligation_hourly', 'Obligations by UTC hour of their last due time. Equals the GROUP BY over what it counts, at every commit. No clock: what is overdue depends on the moment and is in bi.obligation; of hours that have passed, opened - kept - kept_late_in_window - rejected - withdrawn were broken.', $$
    due_hour: Start of the UTC hour of due_to; null = no due time.
    brand: Accountable brand.
    unit: Accountable unit.
    opened: All of them.
    kept: Fulfilled in time, and not at the end of a window.
    kept_late_in_window: Fulfilled in the last tenth of the window.
    late: Fulfilled after due_to.
    attempted: Attempted and not closed.
    rejected: Rejected.
    withdrawn: Withdrawn.
    looped: Asked for again while the one before was attempted and open (cycle > 1).
    no_owner: Neither a unit nor a role is accountable.
    attempts: Attempts at all of them.
$$);

CREATE VIEW bi.handoff_hourly AS
SELECT h.hour, kind.text AS kind, h.from_brand, from_unit.text AS from_unit, h.to_brand, to_unit.text AS to_unit, h.offered,
       h.accepted, h.rejected, h.withdrawn, justify_hours(h.wait_us * interval '1 microsecond') AS wait
FROM (SELECT t.hour, t.kind_id, from_brand.text AS from_brand, t.from_unit_id, to_brand.text AS to_brand, t.to_unit_id,
             sum(t.offered)::bigint AS offered, sum(t.accepted)::bigint AS accepted, sum(t.rejected)::bigint AS rejected,
             sum(t.withdrawn)::bigint AS withdrawn, sum(t.wait_us)::bigint AS wait_us
      FROM polku.handoff_hourly t
      LEFT JOIN polku.dictionary from_brand ON from_brand.id = t.from_brand_id
      LEFT JOIN polku.dictionary to_brand ON to_brand.id = t.to_brand_id
      GROUP BY t.hour, t.kind_id, from_brand.id, from_brand.text, t.from_unit_id, to_brand.id, to_brand.text, t.to_unit_id
      HAVING sum(t.offered) <> 0) h
LEFT JOIN polku.dictionary kind ON kind.id = h.kind_id
LEFT JOIN polku.dictionary from_unit ON from_unit.id = h.from_unit_id
LEFT JOIN polku.dictionary to_unit ON to_unit.id = h.to_unit_id;

SELECT pg_temp.describe('bi.handoff_hourly', 'Hand-offs by UTC hour: the matrix of who hands over to whom. Equals the GROUP BY over what it counts, at every commit.', $$
    hour: UTC hour at which it was offered.
    from_brand: Brand that handed over.
    from_unit: Unit that handed over.
    to_brand: Brand that should take over.
    to_unit: Unit that should take over.
    offered: Hand-offs.
    accepted: Accepted.
    rejected: Rejected.
    withdrawn: Withdrawn.
    wait: Sum of the times to acceptance; wait / accepted is the mean.
$$);

-- ---- aggregates of weeks and years ----
-- The same figures as the finer views, by day or month and of fewer dimensions: for long times.

CREATE VIEW bi.interaction_daily AS
SELECT h.day, h.brand, channel.text AS channel, reason.text AS reason, h.interactions, h.contacts, h.unanswered, h.refusals,
       h.deflections, h.transfers, h.misroutes
FROM (SELECT t.day, brand.text AS brand, t.channel_id, t.reason_id, sum(t.interactions)::bigint AS interactions,
             sum(t.contacts)::bigint AS contacts, sum(t.unanswered)::bigint AS unanswered, sum(t.refusals)::bigint AS refusals,
             sum(t.deflections)::bigint AS deflections, sum(t.transfers)::bigint AS transfers, sum(t.misroutes)::bigint AS misroutes
      FROM polku.interaction_daily t
      LEFT JOIN polku.dictionary brand ON brand.id = t.brand_id
      GROUP BY t.day, brand.id, brand.text, t.channel_id, t.reason_id
      HAVING sum(t.interactions) <> 0) h
LEFT JOIN polku.dictionary channel ON channel.id = h.channel_id
LEFT JOIN polku.dictionary reason ON reason.id = h.reason_id;

SELECT pg_temp.describe('bi.interaction_daily', 'bi.interaction_hourly by UTC day, and of fewer dimensions: for long times. Always of the same moment as that.', $$
    reason: Reason; null if it has none, or is sensitive.
    interactions: All events.
    contacts: Events at which customer and organisation really met.
    unanswered: Attempts at which nobody was reached.
    refusals: Events at which the customer was refused or sent away.
    deflections: Events at which the customer was sent elsewhere or told to do it.
    transfers: Events at which the contact was passed on while it went on.
    misroutes: Events at which the customer was sent to the wrong place.
$$);

CREATE VIEW bi.need_daily AS
SELECT h.day, h.brand, h.cause, h.interactions, h.contacts
FROM (SELECT t.day, brand.text AS brand, cause.text AS cause, sum(t.interactions)::bigint AS interactions,
             sum(t.contacts)::bigint AS contacts
      FROM polku.need_daily t
      LEFT JOIN polku.dictionary brand ON brand.id = t.brand_id
      LEFT JOIN polku.dictionary cause ON cause.id = t.cause_id
      GROUP BY t.day, brand.id, brand.text, cause.id, cause.text
      HAVING sum(t.interactions) <> 0) h;

SELECT pg_temp.describe('bi.need_daily', 'bi.need_hourly by UTC day, and of fewer dimensions: for long times. Always of the same moment as that.', $$
    cause: Why the customer had to get in touch.
    interactions: All events.
    contacts: Events at which customer and organisation really met.
$$);

CREATE VIEW bi.rating_monthly AS
SELECT h.month, h.brand, channel.text AS channel, h.scale, h.score / 1000.0::double precision AS score,
       h.min / 1000.0::double precision AS min, h.max / 1000.0::double precision AS max, h.ratings,
       (h.score - h.min::double precision) / nullif(h.max - h.min::double precision, 0) AS normalised,
       CASE WHEN h.scale = 'nps' AND h.min = 0 AND h.max = 10000
            THEN CASE WHEN h.score >= 9000 THEN 'promoter' WHEN h.score >= 7000 THEN 'passive' ELSE 'detractor' END END AS nps_class
FROM (SELECT t.month, brand.text AS brand, t.channel_id, scale.text AS scale, t.score, t.min, t.max,
             sum(t.ratings)::bigint AS ratings
      FROM polku.rating_monthly t
      LEFT JOIN polku.dictionary brand ON brand.id = t.brand_id
      LEFT JOIN polku.dictionary scale ON scale.id = t.scale_id
      GROUP BY t.month, brand.id, brand.text, t.channel_id, scale.id, scale.text, t.score, t.min, t.max
      HAVING sum(t.ratings) <> 0) h
LEFT JOIN polku.dictionary channel ON channel.id = h.channel_id;

SELECT pg_temp.describe('bi.rating_monthly', 'bi.rating_hourly by UTC month, and of fewer dimensions: for long times. Always of the same moment as that.', $$
    month: Start of the UTC month.
    scale: nps, csat, ces, stars, expectation, belief, ...
    score: The score.
    min: Lowest possible score.
    max: Highest possible score.
    ratings: Ratings with this score.
    normalised: The score on 0..1; null without a range.
    nps_class: Of scale nps, 0 to 10: promoter (9, 10), passive (7, 8), detractor; else null. NPS = share of promoters - share of detractors.
$$);

CREATE VIEW bi.money_monthly AS
SELECT h.month, h.brand, unit.text AS unit, h.kind, currency.text AS currency, h.events, h.amount_minor, h.out_of_range
FROM (SELECT t.month, brand.text AS brand, t.unit_id, kind.text AS kind, t.currency_id, sum(t.events)::bigint AS events,
             sum(t.amount_minor)::bigint AS amount_minor, sum(t.out_of_range)::bigint AS out_of_range
      FROM polku.money_monthly t
      LEFT JOIN polku.dictionary brand ON brand.id = t.brand_id
      LEFT JOIN polku.dictionary kind ON kind.id = t.kind_id
      GROUP BY t.month, brand.id, brand.text, t.unit_id, kind.id, kind.text, t.currency_id
      HAVING sum(t.events) <> 0) h
LEFT JOIN polku.dictionary unit ON unit.id = h.unit_id
LEFT JOIN polku.dictionary currency ON currency.id = h.currency_id;

SELECT pg_temp.describe('bi.money_monthly', 'bi.money_hourly by UTC month, and of fewer dimensions: for long times. Always of the same moment as that.', $$
    month: Start of the UTC month.
    kind: What the money is: payment, refund, loss, compensation, ...
    events: Events that name it.
    amount_minor: Sum of the amounts, in the smallest unit of the currency.
    out_of_range: Events whose amount is beyond 10^12 either way; not in the sum.
$$);

CREATE VIEW bi.repeat_channel_daily AS
SELECT h.day, h.brand, channel.text AS channel, h.contacts, h.repeated_1d, h.repeated_7d, h.repeated_14d, h.repeated_30d,
       h.day <= (SELECT polku.as_of() - interval '48 hours') AS complete_1d, h.day <= (SELECT polku.as_of() - interval '192 hours') AS complete_7d,
       h.day <= (SELECT polku.as_of() - interval '360 hours') AS complete_14d, h.day <= (SELECT polku.as_of() - interval '744 hours') AS complete_30d
FROM (SELECT t.day, brand.text AS brand, t.channel_id, sum(t.contacts)::bigint AS contacts, sum(t.repeated_1d)::bigint AS repeated_1d,
             sum(t.repeated_7d)::bigint AS repeated_7d, sum(t.repeated_14d)::bigint AS repeated_14d,
             sum(t.repeated_30d)::bigint AS repeated_30d
      FROM polku.repeat_channel_daily t
      LEFT JOIN polku.dictionary brand ON brand.id = t.brand_id
      GROUP BY t.day, brand.id, brand.text, t.channel_id
      HAVING sum(t.contacts) <> 0) h
LEFT JOIN polku.dictionary channel ON channel.id = h.channel_id;

SELECT pg_temp.describe('bi.repeat_channel_daily', 'bi.repeat_daily by UTC day, and of fewer dimensions: for long times. Always of the same moment as that.', $$
    day: UTC day of the contact that was, or was not, repeated.
    brand: Brand of that contact.
    channel: Channel of that contact.
    contacts: Contacts with a need.
    repeated_1d: Repeated within a day.
    repeated_7d: Repeated within 7 days.
    repeated_14d: Repeated within 14 days.
    repeated_30d: Repeated within 30 days.
    complete_1d: The window of all contacts of the day has passed, so repeated_1d is final.
    complete_7d: Likewise for repeated_7d.
    complete_14d: Likewise for repeated_14d.
    complete_30d: Likewise for repeated_30d.
$$);

CREATE VIEW bi.transition_daily AS
SELECT h.day, h.brand, from_channel.text AS from_channel, to_channel.text AS to_channel, h.fallback = 1 AS fallback,
       h.transitions, h.wait_us * interval '1 microsecond' AS wait
FROM (SELECT t.day, brand.text AS brand, t.from_channel_id, t.to_channel_id, t.fallback, sum(t.transitions)::bigint AS transitions,
             sum(t.wait_us)::bigint AS wait_us
      FROM polku.transition_daily t
      LEFT JOIN polku.dictionary brand ON brand.id = t.brand_id
      GROUP BY t.day, brand.id, brand.text, t.from_channel_id, t.to_channel_id, t.fallback
      HAVING sum(t.transitions) <> 0) h
LEFT JOIN polku.dictionary from_channel ON from_channel.id = h.from_channel_id
LEFT JOIN polku.dictionary to_channel ON to_channel.id = h.to_channel_id;

SELECT pg_temp.describe('bi.transition_daily', 'bi.transition_hourly by UTC day, and of fewer dimensions: for long times. Always of the same moment as that.', $$
    brand: Brand of the later contact.
    from_channel: Channel of the contact before.
    to_channel: Channel of the later contact; equal to from_channel where the customer stayed.
    fallback: The channels differ, and the contact before was self-service that failed.
    transitions: Pairs of contacts.
    wait: Sum of the times between; wait / transitions is the mean.
$$);

CREATE VIEW bi.duration_daily AS
SELECT t.day, measure.text AS measure, 'wall' AS clock, brand.text AS brand, channel.text AS channel, t.bucket, t.durations,
       t.total_us * interval '1 microsecond' AS total
FROM polku.duration_daily t
LEFT JOIN polku.dictionary measure ON measure.id = t.measure_id
LEFT JOIN polku.dictionary brand ON brand.id = t.brand_id
LEFT JOIN polku.dictionary channel ON channel.id = t.channel_id
WHERE t.clock = 0 AND t.durations <> 0
UNION ALL
SELECT t.day, measure.text AS measure, 'business' AS clock, brand.text AS brand, channel.text AS channel, t.bucket, t.durations,
       t.total_us * interval '1 microsecond' AS total
FROM polku.duration_daily t
LEFT JOIN polku.dictionary measure ON measure.id = t.measure_id
LEFT JOIN polku.dictionary brand ON brand.id = t.brand_id
LEFT JOIN polku.dictionary channel ON channel.id = t.channel_id
WHERE t.clock = 1 AND t.durations <> 0;

SELECT pg_temp.describe('bi.duration_daily', 'bi.duration_hourly by UTC day, and of fewer dimensions: for long times. Always of the same moment as that. A bucket may have several rows, one of each writer: sum durations before you look at them.', $$
    measure: first_reply (first contact of the customer to the first reply by a human), next_reply (each such wait), resolution (start to last terminal event of resolved journeys), kept.KIND (opening to fulfilment of obligations of a kind).
    clock: wall, or business: business time of brand and unit.
    brand: Brand that kept the customer waiting: of the event that starts it (next_reply), accountable (kept.KIND), else the journey's entry brand.
    channel: Channel, likewise; null for kept.KIND.
    bucket: Bucket: bi.bucket_from(bucket) <= duration < bi.bucket_from(bucket + 1).
    durations: How many.
    total: Their sum; total / durations is the mean.
$$);

CREATE VIEW bi.journey_monthly AS
SELECT h.month, h.brand, unit.text AS unit, channel.text AS channel, h.resolved = 1 AS resolved,
       terminal_outcome.text AS terminal_outcome, h.journeys, h.events, h.contacts, h.switches, h.fallbacks, h.repeats,
       h.unanswered, h.refusals, h.deflections, h.handoffs_offered, h.reopened, h.effort, h.single_contact, h.one_owner,
       h.without_owner
FROM (SELECT t.month, brand.text AS brand, t.unit_id, t.channel_id, t.resolved, t.terminal_outcome_id,
             sum(t.journeys)::bigint AS journeys, sum(t.events)::bigint AS events, sum(t.contacts)::bigint AS contacts,
             sum(t.switches)::bigint AS switches, sum(t.fallbacks)::bigint AS fallbacks, sum(t.repeats)::bigint AS repeats,
             sum(t.unanswered)::bigint AS unanswered, sum(t.refusals)::bigint AS refusals, sum(t.deflections)::bigint AS deflections,
             sum(t.handoffs_offered)::bigint AS handoffs_offered, sum(t.reopened)::bigint AS reopened,
             sum(t.effort)::bigint AS effort, sum(t.single_contact)::bigint AS single_contact, sum(t.one_owner)::bigint AS one_owner,
             sum(t.without_owner)::bigint AS without_owner
      FROM polku.journey_monthly t
      LEFT JOIN polku.dictionary brand ON brand.id = t.brand_id
      GROUP BY t.month, brand.id, brand.text, t.unit_id, t.channel_id, t.resolved, t.terminal_outcome_id
      HAVING sum(t.journeys) <> 0) h
LEFT JOIN polku.dictionary unit ON unit.id = h.unit_id
LEFT JOIN polku.dictionary channel ON channel.id = h.channel_id
LEFT JOIN polku.dictionary terminal_outcome ON terminal_outcome.id = h.terminal_outcome_id;

SELECT pg_temp.describe('bi.journey_monthly', 'bi.journey_daily by UTC month, and of fewer dimensions: for long times. Always of the same moment as that.', $$
    month: Start of the UTC month.
    brand: Entry brand.
    unit: Entry unit.
    channel: Entry channel.
    resolved: The last event that is not passive is terminal.
    terminal_outcome: Outcome of the last terminal event.
    journeys: Journeys.
    events: Their events.
    contacts: Their contacts.
    switches: Contacts on another channel than the contact before.
    fallbacks: Those right after self-service that failed.
    repeats: Contacts that repeat an earlier one within the repeat window.
    unanswered: Attempts at which nobody was reached.
    refusals: Events at which the customer was refused or sent away.
    deflections: Events at which the customer was sent elsewhere.
    handoffs_offered: Hand-offs offered.
    reopened: Events that followed a terminal one.
    effort: Effort of the customers; effort / journeys is the effort index. Its definition is in bi.rules.
    single_contact: Journeys with one contact.
    one_owner: Journeys that one unit owned throughout.
    without_owner: Journeys that never had an owner.
$$);

CREATE VIEW bi.obligation_daily AS
SELECT h.due_day, h.kind, h.brand, unit.text AS unit, h.opened, h.kept, h.kept_late_in_window, h.late, h.attempted, h.rejected,
       h.withdrawn, h.looped, h.no_owner, h.attempts
FROM (SELECT t.due_day, kind.text AS kind, brand.text AS brand, t.unit_id, sum(t.opened)::bigint AS opened,
             sum(t.kept)::bigint AS kept, sum(t.kept_late_in_window)::bigint AS kept_late_in_window, sum(t.late)::bigint AS late,
             sum(t.attempted)::bigint AS attempted, sum(t.rejected)::bigint AS rejected, sum(t.withdrawn)::bigint AS withdrawn,
             sum(t.looped)::bigint AS looped, sum(t.no_owner)::bigint AS no_owner, sum(t.attempts)::bigint AS attempts
      FROM polku.obligation_daily t
      LEFT JOIN polku.dictionary kind ON kind.id = t.kind_id
      LEFT JOIN polku.dictionary brand ON brand.id = t.brand_id
      WHERE t.due_day <> 'infinity'
      GROUP BY t.due_day, kind.id, kind.text, brand.id, brand.text, t.unit_id
      HAVING sum(t.opened) <> 0) h
LEFT JOIN polku.dictionary unit ON unit.id = h.unit_id
UNION ALL
SELECT NULL::timestamptz AS due_day, h.kind, h.brand, unit.text AS unit, h.opened, h.kept, h.kept_late_in_window, h.late,
       h.attempted, h.rejected, h.withdrawn, h.looped, h.no_owner, h.attempts
FROM (SELECT t.due_day, kind.text AS kind, brand.text AS brand, t.unit_id, sum(t.opened)::bigint AS opened,
             sum(t.kept)::bigint AS kept, sum(t.kept_late_in_window)::bigint AS kept_late_in_window, sum(t.late)::bigint AS late,
             sum(t.attempted)::bigint AS attempted, sum(t.rejected)::bigint AS rejected, sum(t.withdrawn)::bigint AS withdrawn,
             sum(t.looped)::bigint AS looped, sum(t.no_owner)::bigint AS no_owner, sum(t.attempts)::bigint AS attempts
      FROM polku.obligation_daily t
      LEFT JOIN polku.dictionary kind ON kind.id = t.kind_id
      LEFT JOIN polku.dictionary brand ON brand.id = t.brand_id
      WHERE t.due_day = 'infinity'
      GROUP BY t.due_day, kind.id, kind.text, brand.id, brand.text, t.unit_id
      HAVING sum(t.opened) <> 0) h
LEFT JOIN polku.dictionary unit ON unit.id = h.unit_id;

SELECT pg_temp.describe('bi.obligation_daily', 'bi.obligation_hourly by UTC day, and of fewer dimensions: for long times. Always of the same moment as that.', $$
    due_day: Start of the UTC day of the last due time; null without one.
    brand: Accountable brand.
    unit: Accountable unit.
    opened: All of them.
    kept: Fulfilled in time, and not at the end of a window.
    kept_late_in_window: Fulfilled in the last tenth of the window.
    late: Fulfilled after due_to.
    attempted: Attempted and not closed.
    rejected: Rejected.
    withdrawn: Withdrawn.
    looped: Asked for again while the one before was attempted and open (cycle > 1).
    no_owner: Neither a unit nor a role is accountable.
    attempts: Attempts at all of them.
$$);

CREATE VIEW bi.handoff_daily AS
SELECT h.day, kind.text AS kind, h.from_brand, from_unit.text AS from_unit, h.to_brand, to_unit.text AS to_unit, h.offered,
       h.accepted, h.rejected, h.withdrawn, h.wait_us * interval '1 microsecond' AS wait
FROM (SELECT t.day, t.kind_id, from_brand.text AS from_brand, t.from_unit_id, to_brand.text AS to_brand, t.to_unit_id,
             sum(t.offered)::bigint AS offered, sum(t.accepted)::bigint AS accepted, sum(t.rejected)::bigint AS rejected,
             sum(t.withdrawn)::bigint AS withdrawn, sum(t.wait_us)::bigint AS wait_us
      FROM polku.handoff_daily t
      LEFT JOIN polku.dictionary from_brand ON from_brand.id = t.from_brand_id
      LEFT JOIN polku.dictionary to_brand ON to_brand.id = t.to_brand_id
      GROUP BY t.day, t.kind_id, from_brand.id, from_brand.text, t.from_unit_id, to_brand.id, to_brand.text, t.to_unit_id
      HAVING sum(t.offered) <> 0) h
LEFT JOIN polku.dictionary kind ON kind.id = h.kind_id
LEFT JOIN polku.dictionary from_unit ON from_unit.id = h.from_unit_id
LEFT JOIN polku.dictionary to_unit ON to_unit.id = h.to_unit_id;

SELECT pg_temp.describe('bi.handoff_daily', 'bi.handoff_hourly by UTC day, and of fewer dimensions: for long times. Always of the same moment as that.', $$
    from_brand: Brand that handed over.
    from_unit: Unit that handed over.
    to_brand: Brand that should take over.
    to_unit: Unit that should take over.
    offered: Hand-offs.
    accepted: Accepted.
    rejected: Rejected.
    withdrawn: Withdrawn.
    wait: Sum of the times to acceptance; wait / accepted is the mean.
$$);

-- ---- courses: journeys against a definition ----

CREATE VIEW bi.course_daily AS
SELECT h.day, h.definition, h.courses, h.completed, h.conformant, h.completed_conformant, h.violations, h.skipped, justify_hours(h.goal_us * interval '1 microsecond') AS goal_time
FROM (SELECT t.day, definition.text AS definition, sum(t.courses)::bigint AS courses, sum(t.completed)::bigint AS completed,
             sum(t.conformant)::bigint AS conformant, sum(t.completed_conformant)::bigint AS completed_conformant,
             sum(t.violations)::bigint AS violations, sum(t.skipped)::bigint AS skipped, sum(t.goal_us)::bigint AS goal_us
      FROM polku.course_daily t
      LEFT JOIN polku.dictionary definition ON definition.id = t.definition_id
      GROUP BY t.day, definition.id, definition.text
      HAVING sum(t.courses) <> 0) h;

SELECT pg_temp.describe('bi.course_daily', 'Courses by the UTC day on which they began, and how many reached the goal. Equals the GROUP BY over what it counts, at every commit.', $$
    day: UTC day of start_at.
    courses: Courses.
    completed: Those that reached the goal within the window.
    conformant: Those in the assumed order, without a milestone left out.
    completed_conformant: Both.
    violations: Steps against the assumed order.
    skipped: Milestones left out.
    goal_time: Sum of the times from start to goal; goal_time / completed is the mean.
$$);

CREATE VIEW bi.milestone_daily AS
SELECT h.day, h.definition, h.milestone,
       (SELECT m.name FROM polku.milestone m WHERE m.definition_id = h.definition_id AND m.milestone = h.milestone) AS name,
       (SELECT m.critical FROM polku.milestone m WHERE m.definition_id = h.definition_id AND m.milestone = h.milestone) AS critical,
       (SELECT m.optional FROM polku.milestone m WHERE m.definition_id = h.definition_id AND m.milestone = h.milestone) AS optional,
       h.reached, h.fallout, h.skipped, h.failures, h.failed,
       (SELECT sum(c.courses) FROM polku.course_daily c WHERE c.day = h.day AND c.definition_id = h.definition_id)::bigint AS courses,
       h.reached::double precision / nullif((SELECT sum(c.courses) FROM polku.course_daily c WHERE c.day = h.day AND c.definition_id = h.definition_id), 0)::double precision AS reached_share,
       h.fallout::double precision / nullif((SELECT sum(c.courses) FROM polku.course_daily c WHERE c.day = h.day AND c.definition_id = h.definition_id), 0)::double precision AS fallout_share,
       h.failed::double precision / nullif((SELECT sum(c.courses) FROM polku.course_daily c WHERE c.day = h.day AND c.definition_id = h.definition_id), 0)::double precision AS failed_share
FROM (SELECT t.day, definition.id AS definition_id, definition.text AS definition, t.milestone, sum(t.reached)::bigint AS reached,
             sum(t.fallout)::bigint AS fallout, sum(t.skipped)::bigint AS skipped, sum(t.failures)::bigint AS failures,
             sum(t.failed)::bigint AS failed
      FROM polku.milestone_daily t
      LEFT JOIN polku.dictionary definition ON definition.id = t.definition_id
      GROUP BY t.day, definition.id, definition.text, t.milestone
      HAVING sum(t.reached) <> 0 OR sum(t.fallout) <> 0 OR sum(t.skipped) <> 0 OR sum(t.failures) <> 0) h;

SELECT pg_temp.describe('bi.milestone_daily', 'The funnel: per UTC day and milestone how many courses reached it, and how many ended there. Of each day and definition sum(fallout) + completed = courses. Equals the GROUP BY over what it counts, at every commit.', $$
    day: UTC day of start_at.
    milestone: Number of the milestone in the assumed order, from 1; 0 = reached none.
    name: Its name.
    critical: It is a critical point of the path.
    optional: It may be left out.
    reached: Courses that reached it.
    fallout: Courses that did not complete and got no further.
    skipped: Courses that left it out.
    failures: Events that failed it.
    failed: Courses with a failure of it.
    courses: All courses of the day and definition.
    reached_share: reached / courses of the row; over several days use sum(reached) / sum(courses).
    fallout_share: fallout / courses, likewise.
    failed_share: failed / courses, likewise.
$$);

CREATE VIEW bi.step_daily AS
SELECT h.day, h.definition, h.from_milestone,
       (SELECT m.name FROM polku.milestone m WHERE m.definition_id = h.definition_id AND m.milestone = h.from_milestone) AS from_name,
       h.to_milestone,
       (SELECT m.name FROM polku.milestone m WHERE m.definition_id = h.definition_id AND m.milestone = h.to_milestone) AS to_name,
       h.to_milestone > 0 AND h.to_milestone < h.from_milestone AS against_order,
       h.steps, justify_hours(h.wait_us * interval '1 microsecond') AS wait
FROM (SELECT t.day, definition.id AS definition_id, definition.text AS definition, t.from_milestone, t.to_milestone, sum(t.steps)::bigint AS steps,
             sum(t.wait_us)::bigint AS wait_us
      FROM polku.step_daily t
      LEFT JOIN polku.dictionary definition ON definition.id = t.definition_id
      GROUP BY t.day, definition.id, definition.text, t.from_milestone, t.to_milestone
      HAVING sum(t.steps) <> 0) h;

SELECT pg_temp.describe('bi.step_daily', 'From milestone to milestone: the ways that customers really went. Steps into a milestone equal the steps out of it. Equals the GROUP BY over what it counts, at every commit.', $$
    day: UTC day of the start of the course.
    from_milestone: Number of the milestone; 0 = start.
    from_name: Its name; null = start.
    to_milestone: Number of the next milestone; 0 = end.
    to_name: Its name; null = end.
    against_order: The step goes back.
    steps: Steps.
    wait: Sum of the times of these steps; wait / steps is the mean.
$$);

CREATE VIEW bi.path_daily AS
SELECT h.day, h.definition, coalesce(path.text, '') AS path,
       (SELECT string_agg(coalesce((SELECT m.name FROM polku.milestone m
                                         WHERE m.definition_id = h.definition_id AND m.milestone::text = n.number), n.number), ' > ' ORDER BY n.place)
        FROM string_to_table(path.text, '>') WITH ORDINALITY AS n (number, place)) AS names,
       h.courses, h.completed
FROM (SELECT t.day, definition.id AS definition_id, definition.text AS definition, t.path_id, sum(t.courses)::bigint AS courses,
             sum(t.completed)::bigint AS completed
      FROM polku.path_daily t
      LEFT JOIN polku.dictionary definition ON definition.id = t.definition_id
      GROUP BY t.day, definition.id, definition.text, t.path_id
      HAVING sum(t.courses) <> 0) h
LEFT JOIN polku.dictionary path ON path.id = h.path_id;

SELECT pg_temp.describe('bi.path_daily', 'Variants: the orders in which milestones were reached. Equals the GROUP BY over what it counts, at every commit.', $$
    day: UTC day of the start of the course.
    path: Numbers of the milestones in the order in which they were reached, as 1>2>4; empty: none.
    names: The same by name.
    courses: Courses that went so.
    completed: Those of them that reached the goal.
$$);

CREATE VIEW bi.course AS
SELECT c.journey_id, c.customer_id, definition.text AS definition, c.start_at, c.goal_at, c.goal_at IS NOT NULL AS completed,
       c.goal_at - c.start_at AS goal_after, coalesce(path.text, '') AS path,
       (SELECT string_agg(coalesce((SELECT m.name FROM polku.milestone m
                                         WHERE m.definition_id = c.definition_id AND m.milestone::text = n.number), n.number), ' > ' ORDER BY n.place)
        FROM string_to_table(path.text, '>') WITH ORDINALITY AS n (number, place)) AS names,
       c.steps, c.furthest, (SELECT m.name FROM polku.milestone m WHERE m.definition_id = c.definition_id AND m.milestone = c.furthest) AS furthest_name,
       c.violations, c.skipped, c.violations = 0 AND c.skipped = 0 AS conformant,
       (SELECT jsonb_object_agg(m.name, c.reached_at[m.milestone]) FROM polku.milestone m
        WHERE m.definition_id = c.definition_id AND c.reached_at[m.milestone] IS NOT NULL) AS reached_at,
       (SELECT jsonb_object_agg(m.name, c.failures[m.milestone]) FROM polku.milestone m
        WHERE m.definition_id = c.definition_id AND c.failures[m.milestone] > 0) AS failures,
       (SELECT coalesce(sum(c.failures[m.milestone]), 0) FROM polku.milestone m
        WHERE m.definition_id = c.definition_id AND m.critical) AS critical_failures
FROM polku.course c
LEFT JOIN polku.dictionary definition ON definition.id = c.definition_id
LEFT JOIN polku.dictionary path ON path.id = c.path_id AND c.path_id <> 0;

SELECT pg_temp.describe('bi.course', 'Journeys against the definitions of the rules: one row per journey and definition of which it reached or failed a milestone.', $$
    start_at: First event that reached or failed a milestone.
    goal_at: When it reached the goal within the window; null: it did not.
    completed: It did.
    goal_after: goal_at - start_at.
    path: Numbers of the milestones in the order in which they were reached, as 1>2>4; empty: none.
    names: The same by name.
    steps: Milestones in the path.
    furthest: Greatest number of a reached milestone; 0 = none.
    furthest_name: Its name: where the customer fell out, if not completed.
    violations: Steps against the assumed order.
    skipped: Milestones left out that may not be.
    conformant: No violation, nothing skipped.
    reached_at: First time of each milestone: {"pay": "2026-03-02T10:00:00+00:00"}.
    failures: Events that failed a milestone: {"pay": 2}.
    critical_failures: Failures of critical points of the path.
$$);

-- ---- spikes, perception ----

CREATE FUNCTION bi.cause_spikes(from_at timestamptz, to_at timestamptz)
RETURNS TABLE (day timestamptz, cause text, interactions bigint, contacts bigint, baseline_mean double precision, baseline_spread double precision,
               score double precision, spike boolean, first_at timestamptz, visible_at timestamptz, brands text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH before AS ( -- whole days of the baseline
        SELECT n.day, n.cause_id, sum(n.interactions)::bigint AS interactions
        FROM polku.need_daily n
        WHERE n.cause_id <> 0 AND n.day >= date_trunc('day', from_at, 'UTC') - interval '672 hours' AND n.day < date_trunc('day', to_at, 'UTC')
        GROUP BY n.day, n.cause_id
    ), hourly AS MATERIALIZED ( -- hours of the days asked for
        SELECT n.hour, date_trunc('day', n.hour, 'UTC') AS day, n.cause_id, n.brand_id, sum(n.interactions)::bigint AS interactions,
               sum(n.contacts)::bigint AS contacts
        FROM polku.need_hourly n
        WHERE n.cause_id <> 0 AND n.hour >= date_trunc('day', from_at, 'UTC') AND n.hour < to_at
        GROUP BY n.hour, n.cause_id, n.brand_id
    ), daily AS (
        SELECT h.day, h.cause_id, sum(h.interactions)::bigint AS interactions, sum(h.contacts)::bigint AS contacts, min(h.hour) AS first_at,
               array_agg(DISTINCT h.brand_id) FILTER (WHERE h.interactions > 0) AS brands
        FROM hourly h GROUP BY h.day, h.cause_id HAVING sum(h.interactions) > 0
    ), based AS (
        SELECT d.*, coalesce(b.total, 0)::double precision / 28 AS mean, coalesce(b.square, 0)::double precision / 28 AS square
        FROM daily d
        LEFT JOIN LATERAL (SELECT sum(e.interactions) AS total, sum(e.interactions * e.interactions) AS square FROM before e
                           WHERE e.cause_id = d.cause_id AND e.day >= d.day - interval '672 hours' AND e.day < d.day) b ON true
    ), scored AS (
        SELECT b.*, sqrt(greatest(b.square - b.mean * b.mean, 0)) AS spread FROM based b
    ), crossed AS (
        SELECT r.day, r.cause_id, min(r.hour) + interval '1 hour' AS visible_at
        FROM (SELECT h.day, h.cause_id, h.hour, sum(sum(h.interactions)) OVER (PARTITION BY h.day, h.cause_id ORDER BY h.hour) AS running
              FROM hourly h GROUP BY h.day, h.cause_id, h.hour) r
        JOIN scored s ON s.day = r.day AND s.cause_id = r.cause_id
        WHERE r.running >= 5 AND r.running > s.mean + 3 * greatest(s.spread, 1)
        GROUP BY r.day, r.cause_id
    )
    SELECT s.day, (SELECT d.text FROM polku.dictionary d WHERE d.id = s.cause_id), s.interactions, s.contacts, s.mean, s.spread,
           (s.interactions - s.mean) / greatest(s.spread, 1), s.interactions >= 5 AND s.interactions > s.mean + 3 * greatest(s.spread, 1),
           s.first_at, c.visible_at,
           ARRAY(SELECT d.text FROM polku.dictionary d WHERE d.id = ANY (s.brands) ORDER BY d.text)
    FROM scored s LEFT JOIN crossed c ON c.day = s.day AND c.cause_id = s.cause_id
$$;
COMMENT ON FUNCTION bi.cause_spikes(timestamptz, timestamptz) IS 'bi.cause_spike of the UTC days from .. to, read from those days and the 28 before alone.';

CREATE VIEW bi.cause_spike AS
SELECT s.day, s.cause, s.interactions, s.contacts, s.baseline_mean, s.baseline_spread, s.score, s.spike, s.first_at, s.visible_at, s.brands
FROM bi.cause_spikes(polku.as_of() - interval '2160 hours', polku.as_of()) s;

SELECT pg_temp.describe('bi.cause_spike', 'Causes by UTC day against their own baseline, the 28 days before; of the last 90 days up to as_of. Other times: bi.cause_spikes(from, to). Who was hit: bi.incident_customers(cause, from, to).', $$
    cause: The cause.
    interactions: Events of the day that name it.
    contacts: Contacts of the day that name it.
    baseline_mean: Mean per day of the 28 days before, days without any included.
    baseline_spread: Standard deviation of these days.
    score: (interactions - mean) / spread; a spread below 1 counts as 1.
    spike: At least 5 events, and more than the mean + 3 spreads.
    first_at: First hour of the day with such an event.
    visible_at: End of the hour in which the day's count went beyond that bound; null: it did not.
    brands: Brands at whose touchpoints it was named.
$$);

CREATE FUNCTION bi.incident_customers(cause text, from_at timestamptz, to_at timestamptz)
RETURNS TABLE (customer_id uuid, first_at timestamptz, events bigint, channels text[], brands text[], first_contact_at timestamptz,
               proactive_at timestamptz, reached_first boolean, not_contacted boolean, open_promises bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT h.customer_id, h.first_at, h.events, h.channels, h.brands, c.first_contact_at, p.proactive_at,
           coalesce(p.proactive_at < coalesce(c.first_contact_at, 'infinity'), false),
           p.proactive_at IS NULL,
           (SELECT count(*) FROM polku.obligation o
            WHERE o.customer_id = h.customer_id AND o.opened_at >= h.first_at AND o.opened_at <= a.as_of
              AND coalesce(o.fulfilled_at > a.as_of, true) AND coalesce(o.rejected_at > a.as_of, true) AND coalesce(o.withdrawn_at > a.as_of, true))
    FROM (SELECT polku.as_of() AS as_of OFFSET 0) a
    CROSS JOIN LATERAL (
        SELECT i.customer_id, min(i.occurred_at) AS first_at, count(*) AS events,
               array_agg(DISTINCT (SELECT d.text FROM polku.dictionary d WHERE d.id = i.channel_id)) AS channels,
               array_agg(DISTINCT (SELECT d.text FROM polku.dictionary d WHERE d.id = i.brand_id)) AS brands
        FROM polku.interaction i
        WHERE i.occurred_at >= incident_customers.from_at AND i.occurred_at < incident_customers.to_at AND i.occurred_at <= a.as_of
          AND i.customer_id IS NOT NULL AND i.sensitivity = 0
          AND i.cause_id = (SELECT d.id FROM polku.dictionary d WHERE d.text = incident_customers.cause)
        GROUP BY i.customer_id) h
    CROSS JOIN LATERAL (
        SELECT min(i.occurred_at) AS first_contact_at FROM polku.interaction i
        WHERE i.customer_id = h.customer_id AND i.occurred_at >= h.first_at AND i.occurred_at <= a.as_of
          AND i.traits & 5 = 4 AND i.traits & 32768 = 0 AND i.direction = 0) c
    CROSS JOIN LATERAL (
        SELECT min(i.occurred_at) AS proactive_at FROM polku.interaction i
        WHERE i.customer_id = h.customer_id AND i.occurred_at >= h.first_at AND i.occurred_at <= a.as_of
          AND i.traits & 32768 = 32768) p
    ORDER BY h.first_at, h.customer_id
$$;
COMMENT ON FUNCTION bi.incident_customers(text, timestamptz, timestamptz) IS 'Customers with an event of this cause in from .. to: when it first hit them, when they first called (first_contact_at), when somebody spoke to them before they had to ask (proactive_at), which came first (reached_first), who was not contacted up to as_of, and what is still open.';

CREATE VIEW bi.perception_gap AS
SELECT q.brand, q.unit, q.quarter, q.belief, q.beliefs, q.csat, q.nps, q.ces, q.stars, q.measured, q.ratings, 100 * (q.belief - q.measured) AS gap_points
FROM (
    SELECT r.brand, r.unit, date_trunc('quarter', r.hour, 'UTC') AS quarter,
           sum(r.normalised * r.ratings) FILTER (WHERE r.scale = 'belief') / nullif(sum(r.ratings) FILTER (WHERE r.scale = 'belief'), 0)::double precision AS belief,
           coalesce(sum(r.ratings) FILTER (WHERE r.scale = 'belief'), 0)::bigint AS beliefs,
           sum(r.normalised * r.ratings) FILTER (WHERE r.scale = 'csat') / nullif(sum(r.ratings) FILTER (WHERE r.scale = 'csat'), 0)::double precision AS csat,
           sum(r.normalised * r.ratings) FILTER (WHERE r.scale = 'nps') / nullif(sum(r.ratings) FILTER (WHERE r.scale = 'nps'), 0)::double precision AS nps,
           sum(r.normalised * r.ratings) FILTER (WHERE r.scale = 'ces') / nullif(sum(r.ratings) FILTER (WHERE r.scale = 'ces'), 0)::double precision AS ces,
           sum(r.normalised * r.ratings) FILTER (WHERE r.scale = 'stars') / nullif(sum(r.ratings) FILTER (WHERE r.scale = 'stars'), 0)::double precision AS stars,
           sum(r.normalised * r.ratings) FILTER (WHERE r.scale IN ('csat', 'nps', 'ces', 'stars'))
               / nullif(sum(r.ratings) FILTER (WHERE r.scale IN ('csat', 'nps', 'ces', 'stars')), 0)::double precision AS measured,
           coalesce(sum(r.ratings) FILTER (WHERE r.scale IN ('csat', 'nps', 'ces', 'stars')), 0)::bigint AS ratings
    FROM bi.rating_hourly r
    WHERE r.normalised IS NOT NULL
    GROUP BY r.brand, r.unit, date_trunc('quarter', r.hour, 'UTC')) q;

SELECT pg_temp.describe('bi.perception_gap', 'What a unit believes of itself (scale belief) against what its customers said, per quarter, all on 0..1.', $$
    unit: Its team; null: of the brand as a whole.
    quarter: Start of the quarter (UTC).
    belief: Mean of scale belief.
    beliefs: How many of these.
    csat: Mean of scale csat.
    nps: Mean of scale nps.
    ces: Mean of scale ces.
    stars: Mean of scale stars.
    measured: Mean of these four together.
    ratings: How many of these.
    gap_points: 100 * (belief - measured): positive = they think too well of themselves.
$$);

-- ---- definitions in force ----

CREATE VIEW bi.rules AS
SELECT r.effort_id AS effort_definition, justify_hours(r.repeat_window_us * interval '1 microsecond') AS repeat_window, r.derivation_version,
       r.rules_hash, r.stored_at,
       (SELECT count(*) FROM polku.kind) AS kinds, (SELECT count(*) FROM polku.calendar) AS calendars,
       (SELECT array_agg((SELECT d.text FROM polku.dictionary d WHERE d.id = x.definition_id) ORDER BY (SELECT d.text FROM polku.dictionary d WHERE d.id = x.definition_id)) FROM polku.definition x) AS definitions
FROM polku.rules_state r;

SELECT pg_temp.describe('bi.rules', 'One row: the rules that everything here was derived with. Show it beside figures.', $$
    effort_definition: Name of the definition of effort (its weights are in the rules).
    repeat_window: Window of the repeats of journeys.
    derivation_version: Version of the program's derivation.
    rules_hash: Hash of the rules file and of the clock changes that its calendars meet.
    stored_at: When they came into force here.
    kinds: Entries of obligation kinds.
    calendars: Calendars.
    definitions: Definitions of courses.
$$);

CREATE VIEW bi.kind AS
SELECT k.place, (SELECT d.text FROM polku.dictionary d WHERE d.id = k.kind_id) AS kind, justify_hours(k.within_us * interval '1 microsecond') AS within, k.business, k.across, k.handoff,
       nullif(k.valid_from, '-infinity') AS valid_from, nullif(k.valid_to, 'infinity') AS valid_to
FROM polku.kind k;

SELECT pg_temp.describe('bi.kind', 'Kinds of obligations in force, in the order of the rules.', $$
    place: Place in the rules, from 1.
    within: Time to fulfil; null: without a deadline.
    business: That is business time of the accountable brand and unit.
    across: Events of other customers with the same case act on it too.
    handoff: It is a hand-off.
    valid_from: From when on events open it; null: always.
    valid_to: Until when; null: without end.
$$);

CREATE VIEW bi.calendar AS
SELECT c.calendar_id AS place, c.name, c.zone, c.brands, c.units,
       (SELECT o.from_at FROM polku.calendar_open o WHERE o.calendar_id = c.calendar_id AND o.from_at <= (SELECT polku.as_of())
          AND o.to_at > (SELECT polku.as_of()) ORDER BY o.from_at DESC LIMIT 1) IS NOT NULL AS open_now,
       (SELECT min(o.from_at) FROM polku.calendar_open o WHERE o.calendar_id = c.calendar_id AND o.from_at > (SELECT polku.as_of())) AS opens_next,
       (SELECT polku.as_of()) AS as_of
FROM polku.calendar c;

SELECT pg_temp.describe('bi.calendar', 'Calendars: the first one that fits a brand and unit is theirs; without one they are always open. Business time: bi.business_time(brand, unit, from, to).', $$
    place: Place in the rules, from 1.
    name: Name.
    zone: Time zone.
    brands: Whose it is; empty = of all brands.
    units: Of which units; empty = of all.
    open_now: Open at as_of.
    opens_next: When it opens next.
$$);

CREATE VIEW bi.definition AS
SELECT name.text AS definition, m.milestone, m.name, m.optional, m.critical, m.milestone = d.goal AS goal,
       justify_hours(d.window_us * interval '1 microsecond') AS goal_window
FROM polku.definition d
JOIN polku.milestone m ON m.definition_id = d.definition_id
LEFT JOIN polku.dictionary name ON name.id = d.definition_id;

SELECT pg_temp.describe('bi.definition', 'Journey definitions in force: their milestones in the assumed order.', $$
    milestone: Number in the assumed order, from 1.
    name: Name.
    optional: It may be left out.
    critical: It is a critical point of the path.
    goal: It is the goal.
    goal_window: Time from the start within which the goal counts.
$$);

-- ---- trust ----

CREATE VIEW bi.freshness AS
SELECT topic.text AS topic, p.partition, p.next_offset, p.moved_at, p.newest_occurred_at, p.newest_received_at,
       p.epoch AS claims, p.claimed_at, a.as_of - p.moved_at AS moved_ago, a.as_of - p.newest_received_at AS newest_received_ago,
       p.moved_at - p.newest_received_at AS behind, a.as_of
FROM polku.stream_position p
CROSS JOIN (SELECT polku.as_of() AS as_of OFFSET 0) a
LEFT JOIN polku.dictionary topic ON topic.id = p.topic_id;

SELECT pg_temp.describe('bi.freshness', 'How far reading has come, per partition of Kafka.', $$
    topic: Topic.
    partition: Partition.
    next_offset: First offset that is not yet in the database.
    moved_at: When it last moved.
    newest_occurred_at: Greatest occurred_at stored from this partition.
    newest_received_at: Greatest Kafka timestamp stored from this partition.
    claims: How often a consumer claimed the partition.
    claimed_at: When it was last claimed.
    moved_ago: as_of - moved_at.
    newest_received_ago: as_of - newest_received_at: how old the newest figures are.
    behind: moved_at - newest_received_at: how long after Kafka the newest event was in the tables.
$$);

CREATE VIEW bi.lateness AS
SELECT (SELECT d.text FROM polku.dictionary d WHERE d.id = l.source_id) AS source, l.events, l.p50 * interval '1 second' AS p50, l.p90 * interval '1 second' AS p90, l.p99 * interval '1 second' AS p99,
       l.longest, l.late_1h, l.late_1h::double precision / l.events AS late_1h_share, l.late_1d, (SELECT polku.as_of()) AS as_of
FROM (
    SELECT i.source_id, count(*) AS events, max(i.received_at - i.occurred_at) AS longest,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM i.received_at - i.occurred_at)::double precision) AS p50,
           percentile_cont(0.9) WITHIN GROUP (ORDER BY extract(epoch FROM i.received_at - i.occurred_at)::double precision) AS p90,
           percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM i.received_at - i.occurred_at)::double precision) AS p99,
           count(*) FILTER (WHERE i.received_at - i.occurred_at > interval '1 hour') AS late_1h,
           count(*) FILTER (WHERE i.received_at - i.occurred_at > interval '1 day') AS late_1d
    FROM polku.interaction i
    WHERE i.occurred_at > (SELECT polku.as_of()) - interval '24 hours' AND i.occurred_at <= (SELECT polku.as_of()) AND i.received_at IS NOT NULL
    GROUP BY i.source_id) l;

SELECT pg_temp.describe('bi.lateness', 'How late publishers are: time from happening to Kafka, of events that occurred in the 24 hours before as_of. Figures of a time are not final before its late events came.', $$
    events: Events.
    p50: Half of them came within this time.
    p90: Nine of ten did.
    p99: 99 of 100 did.
    longest: The latest.
    late_1h: More than an hour late.
    late_1h_share: Their share.
    late_1d: More than a day late.
$$);

CREATE VIEW bi.data_quality AS
SELECT (SELECT d.text FROM polku.dictionary d WHERE d.id = q.source_id) AS source, q.events, q.without_customer, q.anonymous, q.borrowed, q.shared, q.without_journey, q.without_channel, q.without_brand, q.without_unit,
       q.contacts, q.contacts_without_need, q.contacts_without_staff, q.sensitive, q.stray_relates_to, (SELECT polku.as_of()) AS as_of
FROM (
    SELECT i.source_id, count(*) AS events,
           count(*) FILTER (WHERE i.customer_id IS NULL) AS without_customer,
           count(*) FILTER (WHERE i.customer_kind IN (1, 2)) AS anonymous,
           count(*) FILTER (WHERE i.sighted_id IS NOT NULL) AS borrowed,
           count(*) FILTER (WHERE i.customer_kind = 5) AS shared,
           count(*) FILTER (WHERE i.journey_id IS NULL AND i.traits & 1 <> 1) AS without_journey,
           count(*) FILTER (WHERE i.channel_id IS NULL) AS without_channel,
           count(*) FILTER (WHERE i.brand_id IS NULL) AS without_brand,
           count(*) FILTER (WHERE i.unit_id IS NULL) AS without_unit,
           count(*) FILTER (WHERE i.traits & 5 = 4) AS contacts,
           count(*) FILTER (WHERE i.traits & 5 = 4 AND i.cause_id IS NULL AND i.topic_id IS NULL AND i.sensitivity = 0 AND i.direction = 0) AS contacts_without_need,
           count(*) FILTER (WHERE i.traits & 5 = 4 AND i.staff IS NULL AND i.actor = 1) AS contacts_without_staff,
           count(*) FILTER (WHERE i.sensitivity = 1) AS sensitive,
           count(*) FILTER (WHERE i.relates_to IS NOT NULL AND i.customer_id IS NULL) AS stray_relates_to
    FROM polku.interaction i
    WHERE i.occurred_at > (SELECT polku.as_of()) - interval '24 hours' AND i.occurred_at <= (SELECT polku.as_of())
    GROUP BY i.source_id) q;

SELECT pg_temp.describe('bi.data_quality', 'What publishers leave out, of events that occurred in the 24 hours before as_of: each gap weakens some figure.', $$
    events: Events.
    without_customer: They name nobody: in no journey, and nothing is owed for them.
    anonymous: Of a device or case that nobody was seen with.
    borrowed: They name no person, and were given to who was seen nearest on the same device or case.
    shared: Of an identifier that several people share.
    without_journey: Not passive, and in no journey.
    without_channel: Without a channel.
    without_brand: Without a brand: nobody is accountable.
    without_unit: Without a unit: promises of theirs have no owner.
    contacts: Contacts.
    contacts_without_need: Inbound contacts that say neither cause nor topic: they cannot be seen to repeat.
    contacts_without_staff: Contacts with a human who is not told apart: people met are undercounted.
    sensitive: Sensitive events.
    stray_relates_to: Events without a customer that answer something.
$$);

CREATE VIEW bi.quarantine AS
SELECT topic.text AS topic, q.partition, q.kafka_offset, q.reason, q.detail, q.received_at, q.quarantined_at,
       octet_length(q.value) AS value_bytes
FROM polku.quarantine q
LEFT JOIN polku.dictionary topic ON topic.id = q.topic_id;

SELECT pg_temp.describe('bi.quarantine', 'Records that are no valid events, without their content.', $$
    topic: Topic.
    partition: Partition.
    kafka_offset: Offset of the record.
    reason: bad_frame, unknown_schema, undecodable, invalid, too_large, future, too_late or conflicting_duplicate.
    detail: What is wrong, in a sentence.
    received_at: When Kafka received it.
    quarantined_at: When it was set aside.
    value_bytes: Size of its value; null if the value is not kept here.
$$);

CREATE VIEW bi.quarantine_by_reason AS
SELECT topic.text AS topic, q.reason, q.records, q.first_at, q.last_at
FROM (SELECT topic_id, reason, count(*) AS records, min(quarantined_at) AS first_at, max(quarantined_at) AS last_at
      FROM polku.quarantine GROUP BY topic_id, reason) q
LEFT JOIN polku.dictionary topic ON topic.id = q.topic_id;

SELECT pg_temp.describe('bi.quarantine_by_reason', 'How many records were set aside, by reason.', $$
    topic: Topic.
    reason: Reason.
    records: Number of records.
    first_at: When the first was set aside.
    last_at: When the last was set aside.
$$);

CREATE VIEW bi.reject AS
SELECT topic.text AS topic, q.reason, q.day, q.records, q.last_at, (SELECT polku.as_of()) AS as_of
FROM (SELECT r.topic_id, r.reason, date_trunc('day', r.quarantined_at, 'UTC') AS day, count(*) AS records, max(r.quarantined_at) AS last_at
      FROM polku.quarantine r WHERE r.quarantined_at <= (SELECT polku.as_of())
      GROUP BY r.topic_id, r.reason, date_trunc('day', r.quarantined_at, 'UTC')) q
LEFT JOIN polku.dictionary topic ON topic.id = q.topic_id;

SELECT pg_temp.describe('bi.reject', 'Records that were set aside, by UTC day, topic and reason: they are in no figure.', $$
    topic: Topic.
    reason: Reason, as undecodable; see bi.quarantine.
    day: UTC day on which they were set aside.
    records: Number of records.
    last_at: When the last was set aside.
$$);

DROP FUNCTION pg_temp.describe(regclass, text, text);
DROP TABLE bi_word;
