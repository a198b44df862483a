# SPDX-License-Identifier: Apache-2.0
"""polku-producer simulate against its own ground truth: late events, second copies and stories told again, in partitions with no regard to
the customer. At the end every event is stored once, every person is one customer and every customer one person, and what the truth
says was promised and kept is what the ledger says. And a live run, stopped by a signal, has told what it says it has."""

import collections
import json
import os
import re
import signal
import subprocess

from harness import ROOT, Run, program, run_program, say

RULES = os.path.join(ROOT, 'deploy', 'polku.yaml')
STORIES = ','.join(os.path.join(ROOT, 'deploy', 'demo', 's%d.jsonl' % n) for n in range(5))
OPTIONS = ['--seed', '7', '--people', '4000', '--days', '3', '--needs', '0.1', '--duplicate-rate', '0.05', '--late-rate', '0.2', '--lateness',
           '2d', '--stories', STORIES, '--story-share', '0.03']
KINDS = ('callback', 'question', 'ticket', 'complaint', 'feedback', 'handoff', 'service', 'delivery', 'follow_up')  # that deploy/polku.yaml knows


def publish(run, topic, truth):
    done = run_program([program('polku-producer', 'producer'), 'simulate', '--publish', '--brokers', run.brokers, '--topic', topic.name,
                        '--partition-by', 'random', '--truth', truth, '--log-format', 'json', *OPTIONS])
    report = json.loads(done.stderr.decode().strip().splitlines()[-1])
    topic.records += report['written']
    say('  %d events, %d late, %d duplicates' % (report['events'], report['late'], report['duplicates']))
    with open(truth, encoding='utf-8') as file:
        return report, [json.loads(line) for line in file]


def expect_identity(run, lines, customers):
    """customers: event -> customer"""
    of_person, of_customer = collections.defaultdict(set), collections.defaultdict(set)
    for line in lines:
        if line['person']:
            of_person[line['person']].add(customers[line['event']])
            of_customer[customers[line['event']]].add(line['person'])
    run.expect('persons who are not one customer', [],
               [(person, sorted(map(str, found))) for person, found in of_person.items() if len(found) != 1 or None in found][:5])
    run.expect('customers who are not one person', [],
               [(customer, sorted(found)) for customer, found in of_customer.items() if len(found) != 1][:5])
    run.expect('customers, of %d persons' % len(of_person), len(of_person), len(of_customer))
    return of_person


def expect_ledger(run, lines, ledger):
    """ledger: (event, kind) -> fulfilled. Judged where a person has one need: with several, one may settle the promise of another."""
    needs = collections.defaultdict(set)
    for line in lines:
        needs[line['person']].add(line['need'])
    last = {}  # who asks again is owed once: the last time counts
    for line in lines:
        if re.match('C', line['person'] or '') and len(needs[line['person']]) == 1 and line.get('promise') in KINDS:
            last.setdefault((line['need'], line['promise']), []).append(line)
    promises = [line for several in last.values() for line in several]
    run.expect('promises without an obligation', [],
               [line['event'] for line in promises if (line['event'], line['promise']) not in ledger][:5])
    judged = [several[0] for several in last.values() if len(several) == 1]
    run.expect('promises that were kept in truth or in the ledger alone, of %d' % len(judged), [],
               [line for line in judged if ledger.get((line['event'], line['promise'])) != (line['kept_at'] is not None)][:5])
    run.expect_that('some were kept and some not', 0 < sum(line['kept_at'] is not None for line in judged) < len(judged))


def expect_clean_stop(run):
    truth = run.file('live.jsonl')
    process = subprocess.Popen([program('polku-producer', 'producer'), 'simulate', '--live', '--rate', '200', '--burst', '3', '--burst-every', '2s',
                                '--burst-for', '1s', '--truth', truth, '--log-format', 'json'], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    told = [process.stdout.readline() for _ in range(100)]
    process.send_signal(signal.SIGTERM)
    told += process.stdout.read().splitlines()
    log = process.stderr.read()
    process.wait()
    report = json.loads(log.decode().strip().splitlines()[-1])
    with open(truth, encoding='utf-8') as file:
        lines = [json.loads(line) for line in file]
    run.expect('exit code of what was stopped', 4, process.returncode)
    run.expect('events that it counted', len(told), report['events'])
    events = [json.loads(line) for line in told]
    run.expect('live: every event has its line', True,
               ['%(source)s/%(event_id)s' % event for event in events] == [line['event'] for line in lines])
    run.expect('live: events of their moment', True, all(e['occurred_at'] == line['published_at'] for e, line in zip(events, lines)))


with Run('simulate') as run:
    expect_clean_stop(run)
    topic, db = run.topic(4), run.database()
    consumer = run.consumer(db, topic, RULES).start()
    report, lines = publish(run, topic, run.file('truth.jsonl'))
    run.expect('every event has a line', report['events'], len(lines))
    once = list({line['event']: line for line in lines}.values())
    run.expect('lines but for the copies', report['events'] - report['duplicates'], len(once))
    topic.drain(db)
    consumer.stop()
    customers = dict(db.rows("""SELECT s.text || '/' || i.event_id, i.customer_id FROM polku.interaction i JOIN polku.dictionary s
                                ON s.id = i.source_id"""))
    run.expect('events of the truth that are not stored', [], [line['event'] for line in once if line['event'] not in customers][:5])
    run.expect('events that are stored', len(once), len(customers))
    expect_identity(run, once, customers)
    expect_ledger(run, once, {(event, kind): fulfilled == 't' for event, kind, fulfilled in db.rows("""
        SELECT s.text || '/' || i.event_id, k.text, o.fulfilled_at IS NOT NULL FROM polku.obligation o JOIN polku.interaction i
        ON i.event_hash = o.opened_by JOIN polku.dictionary s ON s.id = i.source_id JOIN polku.dictionary k ON k.id = o.kind_id""")})
