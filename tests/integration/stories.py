# SPDX-License-Identifier: Apache-2.0
"""The five stories of deploy/demo through a real Kafka, and the table that they are about: story, what went wrong, the row
that shows it, who answers for it, and the first moment at which it could be seen. Every "Seen when" of the stories is a row here,
asked for in plain SQL over schema bi, many of them as of the moment at which somebody could still have acted. What they must say
is in stories.expected, a block for each.

    stories.py [--write]     writes stories.expected instead of expecting it: read what changed
"""

import os
import re
import sys

from harness import KEY_FILE, ROOT, Run, polku_oracle, say

RULES = os.path.join(ROOT, 'deploy', 'polku.yaml')
STORIES = [os.path.join(ROOT, 'deploy', 'demo', 's%d.jsonl' % n) for n in range(5)]
AS_OF = '2026-01-01T00:00:00Z'  # after the last event of all
EXPECTED = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'stories.expected')
WRITE = sys.argv[1:] == ['--write']
HASHER = polku_oracle.Hasher(polku_oracle.read_key(KEY_FILE))


def who(namespace, value):
    """A customer in SQL, by an identifier as it counts."""
    return "bi.customer_of('%s')" % polku_oracle.format_uuid(HASHER.parts(namespace, value))


DRIVER = who('phone', '358400000101')      # S0
PAID_BACK = who('phone', '358400000113')
COMMUTER = who('phone', '358400000202')    # S1
BUILDER = who('email', 'rakentaja@example.net')  # S2
VISITOR = who('vehicle', 'VIN-TR2-771530')
PATIENT = who('lumme/customer_id', 'P-20391')  # S3
RETURNS = who('email', 'palauttaja@example.net')
MOTORIST = who('phone', '358400000404')    # S4
FRAMES = who('email', 'taulut@example.net')
BUYER = who('email', 'ostaja@example.net')
ASKER = who('email', 'kysyja@example.net')


def failure(customer, what, detail='%'):
    """Rows of bi.failure."""
    return """SELECT what || ' ' || detail, brand, unit, visible_at FROM bi.failure
              WHERE customer_id = %s AND what = '%s' AND detail LIKE '%s'""" % (customer, what, detail)


# (name, as of, SQL that gives: what the row says, accountable brand, unit, first moment); times in Helsinki
SEEN = []


def seen(story, what, sql, as_of=None):
    SEEN.append(('%s: %s%s' % (story, what, ', as of ' + as_of if as_of else ''), as_of or '2026-01-01 02:00', sql))


# ---------------------------------------------------------------- S0: no fault, says the firm; the garage knows

seen('S0', 'one journey over both organisations, from pump to garage', """
    SELECT array_to_string(array_agg(b.brand ORDER BY b.place), ' > '), min(j.entry_brand), min(j.entry_unit), min(j.first_at)
    FROM bi.journey_brand b JOIN bi.journey j USING (journey_id, customer_id)
    WHERE j.customer_id = %s AND j.brand_count > 1""" % DRIVER)
seen('S0', 'a partner knows the cause, minutes after its first diagnosis', """
    SELECT topic || ' known to ' || first_diagnosis_brand || ', acknowledged: ' || acknowledged, first_diagnosis_brand, NULL,
           first_diagnosis_at FROM bi.knowledge_lag WHERE topic = 'fuel quality'""", as_of='2025-10-07 15:00')
seen('S0', 'how long it knew before the firm said so', """
    SELECT 'lag ' || lag || ', ' || diagnoses || ' diagnoses', acknowledged_by, NULL, first_diagnosis_at
    FROM bi.knowledge_lag WHERE topic = 'fuel quality'""")
seen('S0', 'spike of one cause over customers and garages', """
    SELECT cause || ': ' || interactions || ' events on ' || day::date || ', usual ' || round(baseline_mean::numeric, 2),
           array_to_string(brands, ', '), NULL, visible_at FROM bi.cause_spike
    WHERE spike AND cause = 'fuel'""", as_of='2025-10-10 00:00')
seen('S0', 'the page says no fault while the garages say fuel', """
    SELECT topic || ', ' || diagnoses || ' diagnoses, open for ' || round(minutes) || ' min', brand, unit, visible_at
    FROM bi.contradiction""", as_of='2025-10-08 10:05')
seen('S0', 'how long page and garages contradicted each other', """
    SELECT round(minutes) || ' min, ' || customers || ' customers', brand, unit, visible_at FROM bi.contradiction""")
seen('S0', 'the same cause brings the car back', failure(DRIVER, 'repeat', 'fuel%'))
seen('S0', 'two questions: replied to, not answered', """
    SELECT state || ', overdue ' || overdue, brand, unit, visible_at FROM bi.obligation
    WHERE customer_id = %s AND kind = 'question'""" % DRIVER)
seen('S0', 'channel switch between question and reply', """
    SELECT from_channel || ' > ' || to_channel || ' after ' || wait, from_brand, NULL, occurred_at FROM bi.transition
    WHERE customer_id = %s AND switched AND from_channel = 'social'""" % DRIVER)
seen('S0', 'hand-off declared to the customer, an hour later still nobody', """
    SELECT from_brand || ' > ' || to_brand || ', declared only: ' || declared_only || ', orphan for ' || orphan_for,
           to_brand, to_unit, offered_at FROM bi.handoff WHERE customer_id = %s""" % DRIVER, as_of='2025-10-16 15:12')
seen('S0', 'the hand-off is broken after its day', failure(DRIVER, 'broken', 'handoff%'))
seen('S0', 'nobody owns it', failure(DRIVER, 'ownerless_after_handoff'))
seen('S0', 'entitled and not paid, a day after the acknowledgement', """
    SELECT count(*) || ' entitled, ' || count(offered_at) || ' offered, ' || count(paid_at) || ' paid, loss ' || sum(loss_minor),
           brand, unit, min(eligible_at) FROM bi.recovery GROUP BY brand, unit""", as_of='2025-10-17 12:00')
seen('S0', 'recovery never paid', failure(DRIVER, 'broken', 'recovery%'))
seen('S0', 'the one who was paid comes back', """
    SELECT 'paid ' || value_minor || ' of ' || loss_minor || ', back after ' || returned_after, brand, unit, eligible_at
    FROM bi.recovery WHERE customer_id = %s""" % PAID_BACK)
seen('S0', 'told before they had to ask', """
    SELECT count(*) || ' hit, ' || count(proactive_at) || ' spoken to first, ' || count(*) FILTER (WHERE not_contacted)
           || ' never', NULL, NULL, min(first_at) FROM bi.incident_customers('fuel', '2025-10-01', '2025-11-01')""")
seen('S0', 'silent churn: two fuel cycles without a purchase', """
    SELECT purchases || ' purchases, one in ' || cycle || ', broken before: ' || broken_before, NULL, NULL, visible_at
    FROM bi.silent_churn WHERE customer_id = %s""" % DRIVER, as_of='2025-10-27 00:00')
seen('S0', 'the public learns, and the case is open', """
    SELECT medium || ', ' || sentiment || ', journey open: ' || journey_open, brand, NULL, occurred_at FROM bi.mention
    WHERE customer_id = %s""" % DRIVER)
seen('S0', 'a promise with a date, in the wild', """
    SELECT kind || ' ' || state || ', slack ' || slack, brand, unit, opened_at FROM bi.obligation WHERE kind = 'contact_form'
    AND NOT no_deadline""")

# ---------------------------------------------------------------- S1: paid, no ticket, put off the train

seen('S1', 'asked in the last moment of its minute', """
    SELECT kind || ' ' || state || ', broken ' || broken, brand, unit, due_to FROM bi.obligation
    WHERE customer_id = %s AND kind = 'ticket'""" % COMMUTER, as_of='2025-11-17 07:53:05')
seen('S1', 'paid and no ticket, a second after its minute', """
    SELECT kind || ' ' || state || ', ' || amount_minor || ' ' || currency, brand, unit, visible_at FROM bi.breach
    WHERE customer_id = %s""" % COMMUTER, as_of='2025-11-17 07:53:06')
seen('S1', 'the terminal: crashes and orphan payments within minutes', """
    SELECT i.location || ': ' || count(*) || ' paid without a ticket, ' || sum(o.amount_minor), o.brand, o.unit, min(o.visible_at)
    FROM bi.overdue_now n JOIN bi.obligation o USING (obligation_id) JOIN bi.interaction i ON i.event_hash = o.opened_by
    AND i.occurred_at = o.opened_at WHERE o.kind = 'ticket' GROUP BY i.location, o.brand, o.unit""", as_of='2025-11-17 07:55')
seen('S1', 'spike of the cause crash', """
    SELECT cause || ': ' || interactions || ' events on ' || day::date || ', usual ' || round(baseline_mean::numeric, 2),
           array_to_string(brands, ', '), NULL, visible_at FROM bi.cause_spike
    WHERE spike AND cause = 'crash'""", as_of='2025-11-17 09:00')
seen('S1', 'what the conductor could have read', """
    SELECT (open_breaches -> 0 ->> 'kind') || ' ' || (open_breaches -> 0 ->> 'state') || ', EUR ' || (broken_money ->> 'EUR'),
           open_breaches -> 0 ->> 'brand', open_breaches -> 0 ->> 'unit', (open_breaches -> 0 ->> 'due_to')::timestamptz
    FROM bi.customer_now WHERE customer_id = %s""" % COMMUTER, as_of='2025-11-17 08:20')
seen('S1', 'guard flag at the moment of the conductor', """
    SELECT 'no sanction: ' || no_sanction, owner_brand, owner_unit, as_of FROM bi.customer_now WHERE customer_id = %s
    """ % COMMUTER, as_of='2025-11-17 08:21')
seen('S1', 'guard flag before the failure', """
    SELECT 'no sanction: ' || no_sanction, NULL, NULL, as_of FROM bi.customer_now WHERE customer_id = %s
    """ % COMMUTER, as_of='2025-11-17 07:52:30')
seen('S1', 'sanctions while our own breach is open', failure(COMMUTER, 'sanction_during_breach'))
seen('S1', 'who met the case and could not decide', failure(COMMUTER, 'refused'))
seen('S1', 'escalation that failed', failure(COMMUTER, 'rejected', 'escalation%'))
seen('S1', 'complaint, linked to the purchase: no apology, no fault', """
    SELECT 'linked ' || linked || ', apology ' || apology || ', fault admitted ' || fault_admitted || ', told after ' || told_after,
           brand, unit, submitted_at FROM bi.feedback WHERE customer_id = %s""" % COMMUTER)
seen('S1', 'the complaint is closed late', failure(COMMUTER, 'broken', 'complaint%'))
seen('S1', 'the newspaper, joined to the journey', """
    SELECT medium || ', lag ' || lag, brand, NULL, occurred_at FROM bi.mention WHERE customer_id = %s""" % COMMUTER)

# ---------------------------------------------------------------- S2: a year of supplier failures, half an hour of service

seen('S2', 'promises without a date and an owner', failure(BUILDER, 'no_deadline'))
seen('S2', 'order to delivery: the date, first and last', """
    SELECT state || ', first due ' || first_due_to || ', late by ' || late_by, brand, unit, visible_at FROM bi.obligation
    WHERE customer_id = %s AND kind = 'delivery'""" % BUILDER)
seen('S2', 'order to delivery: not what was ordered', failure(BUILDER, 'broken', 'correction%'))
seen('S2', 'sent away, with the reason', failure(BUILDER, 'deflected'))
seen('S2', 'the complaint goes round for months in one journey', """
    SELECT count(*) || ' complaints, the oldest open for ' || max(open_for) || ', in ' || count(DISTINCT journey_id) || ' journey',
           brand, unit, min(visible_at) FROM bi.obligation WHERE customer_id = %s AND kind = 'complaint' GROUP BY brand, unit
    """ % BUILDER)
seen('S2', 'the same complaint again', """
    SELECT need || ', after ' || after, previous_brand, previous_unit, occurred_at FROM bi.contact
    WHERE customer_id = %s AND repeat_30d""" % BUILDER)
seen('S2', 'stage of every contact', """
    SELECT string_agg(stage || ' ' || n, ', ' ORDER BY stage), brand, NULL, NULL FROM (
        SELECT stage, brand, sum(interactions) AS n FROM bi.need_hourly WHERE brand = 'Ovipaja Vesterlund' AND stage IS NOT NULL
        GROUP BY stage, brand) s GROUP BY brand""")
seen('S2', 'belief against measured scores', """
    SELECT 'belief ' || round(belief::numeric, 2) || ', measured ' || round(measured::numeric, 2), brand, unit, quarter
    FROM bi.perception_gap WHERE brand = 'Ovipaja Vesterlund'""")
seen('S2', 'a good example: proactive, one owner, thanked', """
    SELECT 'proactive ' || proactive || ', people ' || people || ', thanks ' || thanks || ', ' || duration, brand, unit, first_at
    FROM bi.best_journey WHERE customer_id = %s""" % VISITOR)
seen('S2', 'expected little, got much', """
    SELECT 'expected ' || expected || ', got ' || got || ', delta ' || delta, brand, unit, occurred_at FROM bi.expectation
    WHERE customer_id = %s""" % VISITOR)
seen('S2', 'the visitor came back', """
    SELECT count(*) || ' journeys', entry_brand, entry_unit, max(first_at) FROM bi.journey WHERE customer_id = %s
    GROUP BY entry_brand, entry_unit""" % VISITOR)

# ---------------------------------------------------------------- S3: within the window

seen('S3', 'the promised result is missing, the same minute', """
    SELECT kind || ' overdue for ' || overdue_for, brand, unit, due_to FROM bi.overdue_now WHERE customer_id = %s""" % PATIENT,
     as_of='2025-08-12 16:01')
seen('S3', 'half of the window is used and nobody has called', """
    SELECT kind || ' ' || state || ', width ' || window_width, brand, unit, half_used_at FROM bi.obligation
    WHERE customer_id = %s AND kind = 'callback' AND half_used_at <= as_of AND NOT closed""" % PATIENT, as_of='2025-08-13 14:30')
seen('S3', 'kept, in the last minutes of the window', """
    SELECT state || ', position ' || round(position::numeric, 3) || ', slack ' || slack || ', waiting ' || waiting, brand, unit,
           visible_at FROM bi.callback c WHERE customer_id = %s""" % PATIENT)
seen('S3', 'what the doctor could have read before the call', """
    SELECT (SELECT string_agg(p ->> 'kind', ', ') FROM jsonb_array_elements(open_promises) p) || '; sensitive ' || sensitive,
           owner_brand, owner_unit, as_of FROM bi.customer_now WHERE customer_id = %s""" % PATIENT, as_of='2025-08-13 17:54')
seen('S3', 'blocked by access', failure(PATIENT, 'refused'))
seen('S3', 'web failed, then the phone', failure(PATIENT, 'fallback'))
seen('S3', 'feedback, a day after it was given', """
    SELECT type || ' on ' || channel || ', acknowledged ' || coalesce(acknowledged_at::text, 'never') || ', age ' || untold_for,
           brand, unit, submitted_at FROM bi.feedback WHERE customer_id = %s""" % PATIENT, as_of='2025-08-14 10:20')
seen('S3', 'feedback acknowledged after two and a half weeks', """
    SELECT 'acknowledged after ' || acknowledged_after || ', handled ' || coalesce(handled_at::text, 'never') || ', told '
           || coalesce(told_at::text, 'never'), brand, unit, submitted_at FROM bi.feedback
    WHERE customer_id = %s AND acknowledged_at IS NOT NULL""" % PATIENT)
seen('S3', 'feedback that is owed and broken', """
    SELECT kind || ' ' || state, brand, unit, visible_at FROM bi.breach WHERE customer_id = %s AND kind LIKE 'feedback%%'
    """ % PATIENT)
seen('S3', 'critical points of the path', """
    SELECT definition || ' ' || name || ': failed ' || sum(failed) || ' of ' || sum(courses), NULL, NULL, min(day)
    FROM bi.milestone_daily WHERE critical AND definition = 'lab_result/1' GROUP BY definition, name""")
seen('S3', 'owner of the journey, and channels tried for one need', """
    SELECT 'owners ' || owners || ', owner-less for ' || ownerless_for || ', ' || channel_count || ' channels, people ' || people,
           owner_brand, owner_unit, first_at FROM bi.journey WHERE customer_id = %s""" % PATIENT)
seen('S3', 'nothing of what a sensitive event is about', """
    SELECT count(*) || ' events, ' || count(topic) || count(cause) || count(reason) || count(attributes) || ' of their words, '
           || (SELECT count(*) FROM bi.need_hourly n WHERE n.topic = 'laboratory result') || ' in aggregates', brand, NULL, NULL
    FROM bi.interaction WHERE sensitive GROUP BY brand""")
seen('S3', 'the loop from feedback to improvement', """
    SELECT topic || ', decided after ' || decided_after, brand, unit, adopted_at FROM bi.improvement
    WHERE brand = 'Lumme Terveys'""")
seen('S3', 'sent to the wrong place', failure(RETURNS, 'misrouted'))
seen('S3', 'a decision that had to be waited for', """
    SELECT 'people ' || people_until_decision || ', queue ' || queue_for, owner_brand, owner_unit, decided_at FROM bi.journey
    WHERE customer_id = %s""" % RETURNS)
seen('S3', 'the escalation was late', failure(RETURNS, 'broken', 'escalation%'))

# ---------------------------------------------------------------- S4: every contact is a threat to loyalty

seen('S4', 'called back in vain, the first time', """
    SELECT state || ', attempts ' || attempts, brand, unit, visible_at FROM bi.callback WHERE customer_id = %s AND NOT reached
    """ % MOTORIST, as_of='2025-03-05 15:30')
seen('S4', 'the loop, at the second request', failure(MOTORIST, 'loop'), as_of='2025-03-26 08:07:40')
seen('S4', 'callbacks: asked for, attempted, reached', """
    SELECT count(*) || ' asked for, ' || sum(attempts) || ' attempts, ' || count(reached_at) || ' reached, ' ||
           count(*) FILTER (WHERE loop) || ' loops, cycle ' || max(cycle), brand, unit, min(visible_at) FROM bi.callback
    WHERE customer_id = %s GROUP BY brand, unit""" % MOTORIST)
seen('S4', 'when this customer can be reached', """
    SELECT string_agg(hour || ':00 ' || reached || '/' || tried, ', ' ORDER BY hour), NULL, NULL, min(last_at) FROM (
        SELECT hour, sum(reached) AS reached, sum(tried) AS tried, min(last_at) AS last_at FROM bi.reachability
        WHERE customer_id = %s AND tried > 0 GROUP BY hour) h""" % MOTORIST)
seen('S4', 'service due, and not done in its time', failure(MOTORIST, 'broken', 'service%'))
seen('S4', 'due to done', """
    SELECT completed || ', path ' || names || ', done ' || (reached_at ->> 'done'), NULL, NULL, start_at FROM bi.course
    WHERE customer_id = %s AND definition = 'service_due/1'""" % MOTORIST)
seen('S4', 'the path without a funnel', """
    SELECT string_agg(path || ' (' || courses || ', completed ' || completed || ')', '; ' ORDER BY path), NULL, NULL, min(day)
    FROM (
        SELECT path, sum(courses) AS courses, sum(completed) AS completed, min(day) AS day FROM bi.path_daily
        WHERE definition = 'callback/1' GROUP BY path) p""")
seen('S4', 'a constant lead time is queue, not work', """
    SELECT 'queue ' || round(extract(epoch FROM queue_for) / 3600, 2) || ' h, work ' || round(extract(epoch FROM touch_for) / 3600, 2)
           || ' h, share ' || round(queue_share::numeric, 4), owner_brand, owner_unit, first_at FROM bi.journey WHERE customer_id = %s AND queue_share IS NOT NULL""" % FRAMES)
seen('S4', 'suggestions: made, taken, turned down', """
    SELECT topic || coalesce(' declined: ' || reason, ' adopted'), brand, unit, declined_at FROM bi.improvement
    WHERE declined_at IS NOT NULL""")
seen('S4', 'the lead nobody picks up', """
    SELECT kind || ' ' || state || ', due ' || due_to || ', from ' || from_unit, to_brand, to_unit, visible_at FROM bi.handoff
    WHERE customer_id = %s""" % BUYER)
seen('S4', 'first reply in ten minutes, by both clocks', """
    SELECT first_human_reply_after || ' wall, ' || first_human_reply_after_business || ' business', entry_brand, entry_unit,
           first_human_reply_at FROM bi.journey WHERE customer_id = %s""" % ASKER)
seen('S4', 'a form that promises without a date', """
    SELECT kind || ' no deadline ' || no_deadline || ', no owner ' || no_owner, brand, unit, opened_at FROM bi.promise_defect
    WHERE brand = 'Saarnitoimisto'""")


# ---------------------------------------------------------------- asked

def told(row):
    what, brand, unit, moment = row
    return '%s | %s | %s' % (what, ', '.join(part for part in (brand, unit) if part) or '-', moment or '-')


def expected():
    """name -> rows, of the file: names at the margin, rows indented."""
    found = {}
    with open(EXPECTED, encoding='utf-8') as file:
        for line in filter(str.strip, file):
            if line[0] == ' ':
                found[name].append(line.strip())
            elif line[0] != '#':
                name = line.strip()
                found[name] = []
    return found


def missing(db):
    """What docs/capabilities.md names, as `bi.view: column, column`, and is not there."""
    there = {}
    for name, column in db.rows("""
            SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
            WHERE c.relnamespace = 'bi'::regnamespace
            UNION ALL SELECT p.proname, NULL FROM pg_proc p WHERE p.pronamespace = 'bi'::regnamespace"""):
        there.setdefault(name, set()).add(column)
    with open(os.path.join(ROOT, 'docs', 'capabilities.md'), encoding='utf-8') as file:
        for view, columns in re.findall(r'`bi\.(\w+)(?:: ([\w, ]+))?`', file.read()):
            yield from ['bi.' + view] if view not in there else [
                'bi.%s.%s' % (view, c) for c in columns.split(', ') if c and c not in there[view]]


with Run('stories') as run:
    db, topic = run.database(), run.topic(6)
    consumer = run.consumer(db, topic, RULES).start()
    topic.publish(*STORIES)
    topic.drain(db)
    consumer.stop()
    db.rows("SET polku.as_of = '%s'" % AS_OF)
    run.expect('every event is there once', sum(1 for s in STORIES for _ in open(s, encoding='utf-8')),
               db.number('SELECT count(*) FROM bi.interaction'))
    run.expect('nothing is in quarantine', 0, db.number('SELECT count(*) FROM bi.quarantine'))
    run.expect('no event comes after the moment of the questions', 0,
               db.number("SELECT count(*) FROM bi.interaction WHERE occurred_at > '%s'" % AS_OF))
    db.rows("SET timezone = 'Europe/Helsinki'")
    got = {}
    for name, as_of, sql in SEEN:
        db.rows("SET polku.as_of = '%s'" % as_of)
        got[name] = [told(row) for row in db.rows("""
            SELECT w, b, u, to_char(m::timestamptz, 'YYYY-MM-DD HH24:MI:SS') FROM (%s) AS q (w, b, u, m) ORDER BY m, w""" % sql)]
    if WRITE:
        with open(EXPECTED, 'w', encoding='utf-8') as file:
            file.write('# SPDX-License-Identifier: Apache-2.0\n# What stories.py sees: story and what it shows; then rows: what | '
                       'accountable brand, unit | first moment, in Helsinki.\n')
            for name, rows in got.items():
                file.write('\n%s\n%s' % (name, ''.join('    %s\n' % row for row in rows)))
    wanted = expected()
    say('  story: what is seen | the row | accountable brand and unit | first moment')
    for name in dict.fromkeys([*got, *wanted]):
        rows = got.get(name, [])
        if run.expect_that(name, rows and rows == wanted.get(name)):
            say('              ' + '\n              '.join(rows))
        else:
            say('              wanted %s\n              got    %s' % (
                '\n                     '.join(wanted.get(name, [])), '\n                     '.join(rows)))
    db.rows("SET timezone = 'UTC'")
    run.expect('docs/capabilities.md names nothing that is not there', [], sorted(set(missing(db))))
    run.expect_oracle('equal to the oracle, views included', db, RULES, '--as-of', AS_OF, *STORIES)
