# SPDX-License-Identifier: Apache-2.0
"""Every example of schemas/examples, sent for real in both frames, arrives as it was written: field by field in
bi.interaction, and as a whole by the hash of its content."""

import glob
import json
import os

from harness import KEY_FILE, ROOT, Run, polku_oracle

RULES = os.path.join(ROOT, 'deploy', 'polku.yaml')
HIDDEN_IF_SENSITIVE = ('reason', 'topic', 'cause', 'product', 'attributes')
TIMES = ('occurred_at', 'promise_due_from', 'promise_due_to')


def wanted_row(event):
    """What bi.interaction must say of an event of the oracle."""
    field = event.field
    row = {name: field[name] for name in
           ('occurred_at', 'source', 'event_id', 'sequence', 'type', 'channel', 'direction', 'actor', 'brand', 'unit',
            'outcome', 'reason', 'topic', 'cause', 'product', 'location', 'stage')}
    row.update(sensitive=field['sensitivity'] == 'SENSITIVE', attributes=field['attributes'] or None,
               identifier_namespaces=[i['namespace'] for i in field['identifiers']], handoff=field['handoff'] is not None,
               event_hash=event.hash, customer_id=event.customer, case_key=event.case, staff=event.staff,
               customer_kind=event.known_by[0], relates_to=event.relates, promise_id=event.promise)
    for part, prefix, names in (('obligation', 'promise_', ('kind', 'due_from', 'due_to', 'brand', 'unit', 'role')),
                                ('handoff', '', ('to_brand', 'to_unit', 'to_role')),
                                ('rating', 'rating_', ('scale', 'score', 'min', 'max')),
                                ('money', 'money_', ('amount_minor', 'currency', 'kind'))):
        for name in names:
            row[prefix + name] = (field[part] or {}).get(name)
    if row['sensitive']:
        row.update(dict.fromkeys(HIDDEN_IF_SENSITIVE))
    return {name: polku_oracle.format_uuid(value) if isinstance(value, bytes) else value for name, value in row.items()}


def differences(wanted, got):
    for name, value in wanted.items():
        there = got[name]
        if name in TIMES and there is not None:
            there = polku_oracle.parse_time(there)
        if there != value:
            yield '%s: wanted %r, got %r' % (name, value, there)


with Run('schemas_examples') as run:
    paths = sorted(glob.glob(os.path.join(ROOT, 'schemas', 'examples', '*.json')))
    deriver = polku_oracle.Deriver(polku_oracle.Rules.load(RULES), polku_oracle.read_key(KEY_FILE))
    naturals, name_of, lines = [], {}, run.file('all.jsonl')
    for path in paths:
        with open(path, encoding='utf-8') as file, open(lines, 'a', encoding='utf-8') as line:
            naturals.append(json.load(file))
            line.write(json.dumps(naturals[-1]) + '\n')
        name_of[(naturals[-1]['source'], naturals[-1]['event_id'])] = os.path.basename(path)
    derived = {key: (name_of[key], event) for event in deriver.derive(naturals).events
               for key in [(event.field['source'], event.field['event_id'])]}
    run.expect('examples that are different events', len(paths), len(derived))

    for frame in ('confluent', 'single-object'):
        db, topic = run.database(), run.topic(3)
        consumer = run.consumer(db, topic, RULES, name=frame).start()
        topic.publish('--frame', frame, *paths)
        topic.drain(db)
        consumer.stop()
        run.expect('%s: events / in quarantine' % frame, [str(len(paths)), '0'], db.rows(
            'SELECT (SELECT count(*) FROM bi.interaction), (SELECT count(*) FROM bi.quarantine)')[0])
        rows = [json.loads(text) for text, in db.rows('SELECT row_to_json(i) FROM bi.interaction i')]
        arrived = {(row['source'], row['event_id']): row for row in rows}
        contents = {tuple(key): int(content) % (1 << 64) for *key, content in db.rows(
            'SELECT s.text, i.event_id, i.content_hash FROM polku.interaction i JOIN polku.dictionary s ON s.id = i.source_id')}
        for key, (name, event) in derived.items():
            if key not in arrived:
                run.expect('%s: %s has arrived' % (frame, name), key, None)
                continue
            wanted = wanted_row(event)
            found = list(differences(wanted, arrived[key]))
            if contents[key] != event.content:
                found.append('content: wanted %016x, got %016x' % (event.content, contents[key]))
            run.expect_that('%s: %s, %d fields and content %016x' % (frame, name, len(wanted), event.content), not found,
                            '; '.join(found))
        run.expect_oracle('%s: equal to the oracle' % frame, db, RULES, '--as-of', '2030-01-01T00:00:00Z', lines)
