# SPDX-License-Identifier: Apache-2.0
"""The five stories of deploy/demo, published to Kafka, are rows in PostgreSQL that say what went wrong in them."""

import os

from harness import ROOT, Run

RULES = os.path.join(ROOT, 'deploy', 'polku.yaml')
STORIES = [os.path.join(ROOT, 'deploy', 'demo', 's%d.jsonl' % n) for n in range(5)]
AS_OF = '2026-01-01T00:00:00Z'  # after the last event of all

with Run('stories') as run:
    db, topic = run.database(), run.topic(6)
    consumer = run.consumer(db, topic, RULES).start()
    topic.publish(*STORIES)
    topic.drain(db)
    consumer.stop()

    def ask(sql):
        rows = db.rows(sql)
        return '; '.join(' '.join('-' if value is None else value for value in row) for row in rows)

    db.rows("SET polku.as_of = '%s'" % AS_OF)
    run.expect('every event is there once', sum(1 for s in STORIES for _ in open(s, encoding='utf-8')),
               db.number('SELECT count(*) FROM bi.interaction'))
    run.expect('nothing is in quarantine', 0, db.number('SELECT count(*) FROM bi.quarantine'))
    run.expect('no event comes after the moment of the questions', 0,
               db.number("SELECT count(*) FROM bi.interaction WHERE occurred_at > '%s'" % AS_OF))

    run.expect('S0 hand-off to the garage: state, broken, offered and accepted in its journey', 'overdue t 1 0', ask("""
        SELECT o.state, o.broken, j.handoffs_offered, j.handoffs_accepted
        FROM bi.obligation o JOIN bi.journey j USING (journey_id)
        WHERE o.kind = 'handoff' AND o.brand = 'Kaarnan Autotalo'"""))
    run.expect('S0 questions: replied to, none answered', 'replied_not_answered 2', ask("""
        SELECT state, count(*) FROM bi.obligation WHERE kind = 'question' AND brand = 'Ruskavoima' GROUP BY state"""))
    run.expect('S1 payment without a ticket: state, broken, attempts, fulfilled', 'overdue t 0 -', ask("""
        SELECT state, broken, attempts, fulfilled_at FROM bi.obligation WHERE kind = 'ticket' AND brand = 'Pohjanratas'"""))
    run.expect('S1 the money was taken and no ticket was issued', '1 0', ask("""
        SELECT count(*) FILTER (WHERE type = 'payment.captured'), count(*) FILTER (WHERE type = 'ticket.issued')
        FROM bi.interaction WHERE brand = 'Pohjanratas'"""))
    run.expect('S2 promises without a deadline: kind, state, no deadline, no owner, broken',
               'callback open t t f; easy_project open t t f', ask("""
        SELECT kind, state, no_deadline, no_owner, broken FROM bi.obligation
        WHERE brand IN ('Harjutalot', 'Ovipaja Vesterlund') AND no_deadline ORDER BY kind"""))
    run.expect('S3 callback: state, place in its window, slack, broken', 'kept_late_in_window 0.988 00:05:00 f', ask("""
        SELECT state, round(position::numeric, 3), slack, broken FROM bi.obligation
        WHERE kind = 'callback' AND brand = 'Lumme Terveys'"""))
    run.expect('S3 feedback: acknowledged after 17.5 days', 'late 17.50', ask("""
        SELECT state, round((extract(epoch FROM fulfilled_at - opened_at) / 86400)::numeric, 2) FROM bi.obligation
        WHERE kind = 'feedback' AND brand = 'Lumme Terveys' AND fulfilled_at IS NOT NULL"""))
    run.expect('S4 callbacks: attempted, not reached, all broken', 'attempted_not_reached 4 4', ask("""
        SELECT state, count(*), count(*) FILTER (WHERE broken) FROM bi.obligation
        WHERE kind = 'callback' AND brand = 'Huoltoratas' GROUP BY state"""))
    db.rows("""SELECT set_config('polku.as_of', (opened_at + interval '60 s')::text, false) FROM bi.obligation
               WHERE kind = 'ticket' AND brand = 'Pohjanratas'""")
    run.expect('S1 asked for the last moment of its minute, the ticket is not overdue yet', 'open f', ask("""
        SELECT state, broken FROM bi.obligation WHERE kind = 'ticket' AND brand = 'Pohjanratas'"""))
    run.expect_oracle('equal to the oracle, views included', db, RULES, '--as-of', AS_OF, *STORIES)
