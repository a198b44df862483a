-- SPDX-License-Identifier: Apache-2.0
-- What deploy/quickstart prints: the five stories as journeys, what was promised in them and what became of
-- it, and the whole ledger by kind. Plain SQL over the views in bi.
set timezone = 'Europe/Helsinki';
set client_min_messages = warning;
create temp table story (brand text, name text);
insert into story values
    ('Ruskavoima', 'bad fuel'), ('Kaarnan Autotalo', 'bad fuel'), ('Niemen Autohuolto', 'bad fuel'),
    ('Pohjanratas', 'paid, no ticket'),
    ('Harjutalot', 'house project'), ('Ovipaja Vesterlund', 'house project'), ('Katajasuon jäteasema', 'waste site'),
    ('Lumme Terveys', 'call in the window'),
    ('Huoltoratas', 'callback loop'), ('Kehystupa Repo', 'frame shop'), ('Merikuusi', 'lead and counter'),
    ('Saarnitoimisto', 'ten-minute reply');

\echo
\echo The five stories, one row per journey (without those who had one contact and no queue)
select (select s.name from story s where s.brand = any (j.brands) limit 1) as "story",
       to_char(first_at, 'YYYY-MM-DD') as "from", to_char(last_at, 'YYYY-MM-DD') as "to", events, contacts, switches,
       unanswered, refusals, handoffs_offered || ' / ' || handoffs_accepted as "hand-offs / taken",
       obligations_broken || ' of ' || obligations_opened as "promises broken",
       case when resolved then 'yes' else 'no' end as "resolved", array_to_string(channels, ', ') as "channels"
from bi.journey j
where j.brands && (select array_agg(brand) from story)
  and (j.contacts + j.unanswered + j.handoffs_offered > 1 or j.queue_for > interval '0')
order by first_at, journey_id;

\echo What was owed in them
select s.name as "story", to_char(o.opened_at, 'YYYY-MM-DD HH24:MI') as "opened", o.kind,
       o.brand || coalesce(', ' || o.unit, '') as "owed by", to_char(o.due_to, 'YYYY-MM-DD HH24:MI') as "due",
       to_char(o.fulfilled_at, 'YYYY-MM-DD HH24:MI') as "done", o.attempts as "tries", o.state,
       concat_ws(', ', case when o.broken then 'broken' end, case when o.no_deadline then 'no deadline' end,
                 case when o.no_owner then 'no owner' end,
                 'at ' || round(o.position::numeric, 3) || ' of the window') as "remarks"
from bi.obligation o
join story s using (brand)
order by o.opened_at, o.kind, o.obligation_id;

\echo All obligations, the simulated day included
select kind, count(*) as "all", count(*) filter (where state = 'kept') as "kept",
       count(*) filter (where state = 'kept_late_in_window') as "late in window",
       count(*) filter (where state = 'late') as "late",
       count(*) filter (where state in ('attempted_not_reached', 'replied_not_answered')) as "only tried",
       count(*) filter (where state = 'overdue') as "never",
       count(*) filter (where state = 'open') as "open",
       count(*) filter (where state in ('rejected', 'withdrawn')) as "called off",
       count(*) filter (where broken) as "broken"
from bi.obligation
group by kind
order by "broken" desc, kind;

\echo In the database
select (select count(*) from bi.interaction) as "interactions", (select count(*) from bi.journey) as "journeys",
       (select count(*) from bi.obligation) as "obligations", (select count(*) from bi.quarantine) as "in quarantine";
