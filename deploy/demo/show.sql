-- SPDX-License-Identifier: Apache-2.0
-- What deploy/quickstart prints: the five stories as journeys, what was promised in them and what became of
-- it, and the whole ledger by kind. Plain SQL over the views in bi.
\set story_brands '''{Ruskavoima,"Kaarnan Autotalo",Pohjanratas,Harjutalot,"Ovipaja Vesterlund","Katajasuon jäteasema","Lumme Terveys",Huoltoratas,"Kehystupa Repo",Merikuusi,Saarnitoimisto}'''
set timezone = 'Europe/Helsinki';
set client_min_messages = warning;

\echo
\echo The five stories, one row per journey
select to_char(first_at, 'YYYY-MM-DD HH24:MI') as "first", to_char(last_at, 'YYYY-MM-DD HH24:MI') as "last", events,
       contacts, switches, unanswered, refusals, handoffs_offered as "offered", handoffs_accepted as "accepted",
       case when resolved then 'yes' else 'no' end as "resolved",
       array_to_string(channels, ', ') as "channels", array_to_string(brands, ', ') as "brands"
from bi.journey
where brands && :story_brands::text[]
order by first_at, journey_id;

\echo What was owed in them
select to_char(o.opened_at, 'YYYY-MM-DD HH24:MI') as "opened", o.kind, o.brand, coalesce(o.unit, '(nobody named)') as "owes",
       to_char(o.due_to, 'YYYY-MM-DD HH24:MI') as "due", to_char(o.fulfilled_at, 'YYYY-MM-DD HH24:MI') as "fulfilled",
       o.attempts as "tries", o.state, round(o.position::numeric, 3) as "position",
       concat_ws(', ', case when o.broken then 'broken' end, case when o.no_deadline then 'no deadline' end,
                 case when o.no_owner then 'no owner' end) as "remarks"
from bi.obligation o
where o.brand = any (:story_brands::text[])
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
