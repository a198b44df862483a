# SPDX-License-Identifier: Apache-2.0
"""Raw identifiers are nowhere but in Kafka and in quarantine.

Every text field of good, sensitive and bad events holds a word of its own. Then everything that comes out is searched for the words:
the whole database but for quarantine, what each view of bi shows, the logs of consumer and producer at debug level, status, verify,
identity explain. What is found must be exactly what STORED says; docs/security.md tells publishers the same.
"""

import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'integration'))
from harness import KEY_FILE, Encoder, Run, program  # noqa: E402

# Fields that are stored as they were published. Of all others nothing but keyed hashes and lengths is kept.
STORED = {'event_id', 'source', 'type', 'channel', 'brand', 'unit', 'topic', 'cause', 'product', 'location', 'stage', 'outcome', 'reason',
          'to_brand', 'to_unit', 'to_role', 'kind', 'role', 'scale', 'money_kind', 'attribute_name', 'attribute', 'clear'}
# Of sensitive events bi shows less.
HIDDEN = {'topic', 'cause', 'product', 'reason', 'attribute_name', 'attribute'}
RAW = {'email', 'phone', 'name', 'case', 'staff', 'relates_to', 'obligation_id', 'key', 'header', 'header_name'}

RULES = '''
version: 1
horizon: 2015-01-01
identity:
  phone_country: "358"
  namespaces:
    - {name: crm/name, class: person, priority: 10}
    - {name: email, class: person, priority: 20, normalise: email}
    - {name: phone, class: person, priority: 30, normalise: phone}
    - {name: crm/number, class: person, priority: 40, store: clear}
journeys: {gap: 7d}
'''


def word(group, field):
    """A word that stands nowhere else: letters only, so that it may be part of a name of the vocabulary."""
    return 'zq' + re.sub('[^a-z]', '', group + field) + 'xk'


def planted(group, **more):
    def w(field):
        return word(group, field)
    event = {
        'event_id': w('event_id'), 'source': w('source'), 'occurred_at': '2018-03-01T12:00:00Z', 'type': w('type'), 'channel': w('channel'),
        'direction': 'INBOUND', 'actor': 'CUSTOMER', 'brand': w('brand'), 'unit': w('unit'),
        'identifiers': [{'namespace': 'email', 'value': 'Aino.%s@example.com' % w('email')},
                        {'namespace': 'phone', 'value': phone(group)}, {'namespace': 'crm/name', 'value': 'Aino %s' % w('name')},
                        {'namespace': 'crm/number', 'value': w('clear')}],
        'staff': '%s@example.com' % w('staff'), 'case_id': w('case'), 'relates_to': 'crm/' + w('relates_to'), 'topic': w('topic'),
        'cause': w('cause'), 'product': w('product'), 'location': w('location'), 'stage': w('stage'), 'outcome': w('outcome'),
        'reason': w('reason'), 'obligation': {'id': w('obligation_id'), 'kind': w('kind'), 'due_to': '2018-03-02T12:00:00Z', 'role': w('role')},
        'handoff': {'to_brand': w('to_brand'), 'to_unit': w('to_unit'), 'to_role': w('to_role')},
        'rating': {'scale': w('scale'), 'score': 3, 'max': 5}, 'money': {'amount_minor': 100, 'currency': 'EUR', 'kind': w('money_kind')},
        'attributes': {w('attribute_name'): 'free text %s' % w('attribute')}}
    event.update(more)
    return event


def phone(group):
    return '+358 40 7%06d' % {'good': 771201, 'secret': 771202, 'bad': 771203}[group]


FIELDS = sorted(STORED | RAW)


def found_in(text, group):
    """Fields of the group whose words stand in the text, as text or in hexadecimal."""
    text = text.lower()
    digits = re.sub(r'\D', '', phone(group))
    found = {field for field in FIELDS if word(group, field) in text or word(group, field).encode().hex() in text}
    return found | ({'phone'} if any(form in text for form in (digits, '0' + digits[3:], phone(group), digits.encode().hex())) else set())


def dump(db):
    return subprocess.run(['pg_dump', '--data-only', '--exclude-table-data=polku.quarantine', '-d', db.conninfo],
                          stdout=subprocess.PIPE, check=True).stdout.decode()


def shown(db):
    """All that a reader of bi can see."""
    views = [row[0] for row in db.rows("SELECT relname FROM pg_class WHERE relnamespace = 'bi'::regnamespace AND relkind = 'v'")]
    return '\n'.join(json.dumps(db.rows("SET polku.as_of = '2018-03-03'; SELECT * FROM bi.%s" % view)) for view in views)


def bad_values(make):
    """Values that no event comes of, each with planted words in whatever can still be read of it."""
    body = make.body(planted('bad'))
    yield json.dumps(planted('bad')).encode()
    yield b'\x07' + body
    for length in (len(body) // 3, len(body) // 2, len(body) - 1):
        yield make.single_object(body[:length])
    yield make.single_object(body + b'more')
    yield make.confluent(body, 4711)
    words = planted('bad')
    for field in ('event_id', 'source', 'brand', 'type', 'channel'):
        yield make.single_object(make.body(planted('bad', **{field: ''})))
        yield make.single_object(make.body(planted('bad', **{field: words[field] + '\0'})))
    for field in ('type', 'channel', 'outcome', 'stage', 'reason'):
        yield make.single_object(make.body(planted('bad', **{field: words[field] + ' Aino@Example.com'})))
    for field in ('staff', 'case_id', 'topic', 'product', 'relates_to'):
        yield make.single_object(make.body(planted('bad', **{field: words[field] * 400})))
    yield make.single_object(make.body(planted('bad', identifiers=[{'namespace': '', 'value': words['identifiers'][0]['value']}])))
    yield make.single_object(make.body(planted('bad', identifiers=words['identifiers'] * 40)))
    yield make.single_object(make.body(planted('bad', occurred_at='2199-01-01T00:00:00Z')))
    yield make.single_object(make.body(planted('bad', occurred_at='2010-01-01T00:00:00Z')))
    yield make.single_object(make.body(planted('bad', rating={'scale': words['rating']['scale'], 'score': 9, 'max': 5})))


def tool(name, folder, *arguments):
    done = subprocess.run([program(name, folder), *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout.decode(errors='replace')


def bad_lines(run):
    path = run.file('bad.jsonl')
    with open(path, 'w', encoding='utf-8') as file:
        for more in ({'brand': ''}, {'occurred_at': word('bad', 'name')}, {'fullname': word('bad', 'name')}, {'direction': word('bad', 'email')},
                     {'identifiers': word('bad', 'email')}, {'identifiers': [{'namespace': word('bad', 'name')}]},
                     {'staff': 'x' * 2000}, {'attributes': {'a': {'b': word('bad', 'name')}}}):
            file.write(json.dumps(planted('bad', **more)) + '\n')
        file.write(json.dumps(planted('bad'))[:-200] + '\n')
    return path


with Run('plant') as run_:
    rules = run_.file('polku.yaml')
    with open(rules, 'w', encoding='ascii') as file_:
        file_.write(RULES)
    db_, topic_, make_ = run_.database(), run_.topic(1), Encoder()
    good = run_.file('good.jsonl')
    with open(good, 'w', encoding='utf-8') as file_:
        file_.write(json.dumps(planted('good')) + '\n' + json.dumps(planted('secret', sensitivity='SENSITIVE')) + '\n')
    common = ['--log-level', 'debug', '--log-format', 'json', '--progress', 'never']
    code_, said_ = tool('polku-producer', 'producer', 'send', '--brokers', run_.brokers, '--topic', topic_.name, *common, good)
    run_.expect('the producer publishes; what it says of good events', (0, set(), set()), (code_, found_in(said_, 'good'), found_in(said_, 'secret')))
    topic_.records += 2
    code_, said_ = tool('polku-producer', 'producer', 'check', *common, bad_lines(run_))
    run_.expect('what it says of bad lines: exit code, raw values', (2, set()), (code_, found_in(said_, 'bad') & RAW))

    bad = list(bad_values(make_))
    headers = [(word('bad', 'header_name').encode(), word('bad', 'header').encode())]
    topic_.put((0, None, word('bad', 'key').encode(), value, headers) for value in bad)
    # And one identity with two contents: the loser is set aside.
    topic_.put([(0, None, word('bad', 'key').encode(), make_.single_object(make_.body(planted('good', outcome='zz'))), headers)])
    consumer_ = run_.consumer(db_, topic_, rules, '--log-level', 'debug', '--kafka.debug', 'consumer,cgrp,topic,fetch,msg').start()
    topic_.drain(db_)
    consumer_.stop()
    run_.expect('events, records in quarantine', (2, len(bad) + 1), (db_.number('SELECT count(*) FROM polku.interaction'),
                                                                  db_.number('SELECT count(*) FROM polku.quarantine')))
    run_.expect_that('quarantine does hold raw identifiers', 'email' in found_in(
        str(db_.rows('SELECT encode(value, \'hex\'), key, headers::text FROM polku.quarantine')), 'bad'))

    text_ = dump(db_)
    run_.expect_that('the dump has the tables', 'COPY polku.interaction' in text_ and len(text_) > 5000, '%d bytes' % len(text_))
    run_.expect('in the whole database but quarantine: of a good event', STORED, found_in(text_, 'good'))
    run_.expect('   of a sensitive one', STORED, found_in(text_, 'secret'))
    run_.expect('   of bad ones, no more than the publisher\'s name', set(), found_in(text_, 'bad') - {'source'})
    text_ = shown(db_)
    run_.expect('in all views of bi: of a good event, no more than', set(), found_in(text_, 'good') - STORED)
    run_.expect('   of a sensitive one, no more than', set(), found_in(text_, 'secret') - (STORED - HIDDEN))
    run_.expect('   of bad ones, no more than the publisher\'s name', set(), found_in(text_, 'bad') - {'source'})
    with open(consumer_.log_path, encoding='utf-8', errors='replace') as file_:
        text_ = file_.read()
    run_.expect_that('the log at debug level says much', len(text_) > 3000, '%d bytes' % len(text_))
    run_.expect('in it', [set(), set(), set()], [found_in(text_, group) for group in ('good', 'secret', 'bad')])
    hash_ = db_.value("SELECT left(hash::text, 8) FROM polku.identifier WHERE first_at IS NOT NULL AND value IS NULL LIMIT 1")
    for what, arguments in (('status', ['status', '--count', '--brokers', run_.brokers, '--topic', topic_.name, '--group', db_.name]),
                            ('verify', ['verify', '--rules', rules, '--hash-key-file', KEY_FILE]),
                            ('identity explain of a hash', ['identity', 'explain', hash_, '--rules', rules, '--hash-key-file', KEY_FILE]),
                            ('the same in JSON', ['identity', 'explain', hash_, '--json', '--rules', rules, '--hash-key-file', KEY_FILE]),
                            ('quarantine list', ['quarantine', 'list'])):
        code_, said_ = tool('polku-consumer', 'consumer', *arguments, '--database', db_.conninfo, '--log-level', 'debug')
        run_.expect('%s: exit code, raw identifiers' % what, (0, set()), (code_, set().union(
            *(found_in(said_, group) & RAW for group in ('good', 'secret', 'bad')))))
