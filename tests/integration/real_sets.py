# SPDX-License-Identifier: Apache-2.0
"""Two sets of real events through a real Kafka: every figure that is known of them comes out of SQL over schema bi,
every derived row equals the oracle's, and verify finds nothing."""

from harness import Run, rules_of

# What a separate script computed from the files (README.md of the data): question, answer, SQL.
STATUS = """
WITH status AS (
    SELECT case_key, unit, brand, occurred_at, row_number() OVER w AS place, lag(unit) OVER w AS unit_before,
           lag(brand) OVER w AS brand_before
    FROM bi.interaction WHERE type NOT LIKE 'handoff.%'
    WINDOW w AS (PARTITION BY case_key ORDER BY occurred_at, sequence, event_id COLLATE "C")),
arrival AS (SELECT * FROM status WHERE unit IS DISTINCT FROM unit_before)
"""
QUESTIONS = {
    'olist': [
        ('orders / of people / people with two or more', '8135 8016 73', """
            SELECT sum(n), count(*), count(*) FILTER (WHERE n > 1)
            FROM (SELECT count(*) AS n FROM bi.interaction WHERE type = 'order.placed' GROUP BY customer_id) p"""),
        ('reviews / review ids', '8225 8191', """
            SELECT count(*), count(DISTINCT split_part(event_id, '/', 1))
            FROM bi.interaction WHERE type = 'survey.answered'"""),
        ('items / sellers', '8365 1610', """
            SELECT count(*), count(DISTINCT unit) FROM bi.obligation WHERE kind = 'carrier_handoff'"""),
        ('payments', '8924', "SELECT count(*) FROM bi.interaction WHERE money_kind = 'payment'"),
        ('orders delivered with a date', '5170', """
            SELECT count(*) FROM bi.obligation WHERE kind = 'delivery' AND fulfilled_at IS NOT NULL"""),
        ('... later than promised', '343', """
            SELECT count(*) FROM bi.obligation WHERE kind = 'delivery' AND state = 'late'"""),
        ('mean review score of the late / the punctual', '2.18 4.27', """
            SELECT round(avg(i.rating_score) FILTER (WHERE o.state = 'late')::numeric, 2),
                   round(avg(i.rating_score) FILTER (WHERE o.state = 'kept')::numeric, 2)
            FROM bi.obligation o JOIN bi.interaction i USING (case_key)
            WHERE o.kind = 'delivery' AND i.rating_scale = 'csat'"""),
        ('item shipping limits missed by sellers', '690', """
            SELECT count(*) FROM bi.obligation WHERE kind = 'carrier_handoff' AND state = 'late'"""),
        ('items that never reached a carrier', '1193', """
            SELECT count(*) FROM bi.obligation WHERE kind = 'carrier_handoff' AND fulfilled_at IS NULL"""),
        ('orders with several sellers', '71', """
            SELECT count(*) FROM (SELECT 1 FROM bi.obligation WHERE kind = 'carrier_handoff'
                                  GROUP BY case_key HAVING count(DISTINCT unit) > 1) s"""),
        ('orders handed to the carrier before approval', '77', """
            SELECT count(*) FROM bi.interaction s JOIN bi.interaction a USING (case_key)
            WHERE s.type = 'order.shipped' AND a.type = 'order.approved' AND s.occurred_at < a.occurred_at"""),
        ('an order with a gap of more than 90 days has several journeys, with one case', 't', """
            SELECT count(*) > 0 FROM (SELECT 1 FROM bi.journey GROUP BY case_key HAVING count(*) > 1) j"""),
        ('first and last year', '2016-09 2018-10', """
            SELECT to_char(min(occurred_at), 'YYYY-MM'), to_char(max(occurred_at), 'YYYY-MM') FROM bi.interaction"""),
    ],
    'bpi2013': [
        ('events / incidents / teams / organisation lines', '65533 7554 649 25', """
            SELECT count(*), count(DISTINCT case_key), count(DISTINCT unit), count(DISTINCT brand)
            FROM bi.interaction WHERE type NOT LIKE 'handoff.%'"""),
        ('people', '1440', "SELECT count(DISTINCT staff) FROM bi.interaction"),
        ('first and last day', '2010-03-31 2012-05-22', """
            SELECT min(occurred_at)::date, max(occurred_at)::date FROM bi.interaction"""),
        ('changes of team inside an incident / incidents that have one', '9454 3820', STATUS + """
            SELECT count(*), count(DISTINCT case_key) FROM status WHERE unit <> unit_before"""),
        ('the same from the ledger: hand-offs / incidents', '9454 3820', """
            SELECT count(*), count(DISTINCT case_key) FROM bi.obligation WHERE kind = 'handoff'"""),
        ('... each of them accepted or passed on', '0', "SELECT count(*) FROM bi.obligation WHERE NOT closed"),
        ('incidents that return to a team they had left', '1258', STATUS + """
            SELECT count(DISTINCT b.case_key) FROM arrival a JOIN arrival b
            ON b.case_key = a.case_key AND b.unit = a.unit AND b.place > a.place"""),
        ('changes of organisation line / incidents that have one', '4350 2034', STATUS + """
            SELECT count(*), count(DISTINCT case_key) FROM status WHERE brand <> brand_before"""),
        ('incidents with a gap of 90 days or more are several journeys', '76', """
            SELECT count(*) FROM (SELECT 1 FROM bi.journey GROUP BY case_key HAVING count(*) > 1) j"""),
    ],
}

with Run('real_sets', data=QUESTIONS) as run:
    for data_set, questions in QUESTIONS.items():
        db, topic = run.database(), run.topic(6)
        consumer = run.consumer(db, topic, rules_of(data_set), name=data_set).start()
        events = run.events(data_set)
        published = topic.publish(events)['delivered']
        topic.drain(db)
        consumer.stop()
        print('%s: %d events' % (data_set, published), flush=True)
        run.expect('events in the database / in quarantine', [str(published), '0'], db.rows(
            'SELECT (SELECT count(*) FROM bi.interaction), (SELECT count(*) FROM bi.quarantine)')[0])
        for question, answer, sql in questions:
            run.expect(question, answer, ' '.join(db.rows(sql)[0]))
        run.expect_oracle('equal to the oracle row by row', db, rules_of(data_set), events)
        run.expect_verified(db, rules_of(data_set))
