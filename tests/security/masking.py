# SPDX-License-Identifier: Apache-2.0
"""Secrets come from files only and show nowhere: command lines, environments, logs at debug, check-config, printed options, errors.

The key, the password of PostgreSQL, that of Kafka, the passphrase of a key and the registry's password are planted in files; then
everything that a stranger on the machine or a reader of logs could see is searched for them.
"""

import glob
import json
import os
import resource
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'integration'))
from harness import Consumer, Run, program, rules_of, wait_for  # noqa: E402

RULES = rules_of('olist')
HASH_KEY = 'c0ffee00d15ea5e0decafbad0badf00d' * 2
PLANTED = {'hash key': HASH_KEY, 'database password': 'planted-db-3f1c', 'kafka password': 'planted-kafka-77aa',
           'passphrase': 'planted-phrase-9e2b', 'registry password': 'planted-registry-41d0'}


def secret_file(run, name, mode=0o600):
    path = run.file(name.replace(' ', '-'))
    with open(path, 'w', encoding='ascii') as file:
        file.write(PLANTED[name] + '\n')
    os.chmod(path, mode)
    return path


def found_in(text):
    return sorted(name for name, value in PLANTED.items() if value in text)


def everything_of(pid):
    """What the kernel tells of a process and its children: command line, environment; how many could be read."""
    text = ''
    for path in ('/proc/%d/cmdline' % pid, '/proc/%d/environ' % pid, *glob.glob('/proc/%d/task/*/environ' % pid)):
        try:
            with open(path, 'rb') as file:
                text += file.read().decode(errors='replace')
        except OSError:     # not even its own user may look: so it should be
            pass
    return text


def run_tool(name, *arguments, folder='consumer', environment=None):
    done = subprocess.run([program(name, folder), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False, env=dict(os.environ, **(environment or {})))
    return done.returncode, done.stdout.decode(errors='replace')


def crash(run, consumer):
    """Of a process that may write one as large as it likes. -> did the kernel write a core?"""
    os.chdir(run.folder)
    resource.prlimit(consumer.pid(), resource.RLIMIT_CORE, resource.prlimit(consumer.pid(), resource.RLIMIT_CORE)[1:] * 2)
    consumer.signal(signal.SIGSEGV)
    status = os.waitpid(consumer.pid(), 0)[1]
    consumer.process.returncode = -signal.SIGSEGV
    for core in glob.glob(run.file('core*')):
        os.remove(core)
    return os.WCOREDUMP(status)


def while_it_runs(run):
    """A consumer whose secrets are all in use, at debug level, with librdkafka's own debugging."""
    db, topic = run.database(), run.topic(1)
    password, kafka = secret_file(run, 'database password'), secret_file(run, 'kafka password')
    user = 'masking_%s' % run.tag.lower()
    run.server.rows("CREATE ROLE %s LOGIN PASSWORD '%s' IN ROLE polku_writer" % (user, PLANTED['database password']))
    try:
        consumer = Consumer(run, db, topic, RULES, 'all', '--hash-key-file', secret_file(run, 'hash key'), '--database',
                            '%s user=%s' % (db.conninfo, user), '--database-password-file', password, '--log-level', 'debug',
                            '--kafka.sasl.password-file', kafka, '--kafka.debug', 'security,conf,broker,protocol',
                            '--kafka.ssl.key.password-file', secret_file(run, 'passphrase'), '--registry-url', 'http://127.0.0.1:1',
                            '--registry-user', 'planted', '--registry-password-file', secret_file(run, 'registry password')).start()
        # An id that only the registry could know: its password is in use.
        topic.put([(0, None, b'k', b'\0\0\0\x47\x11body', [])])
        wait_for('the registry is asked for', lambda: any('registry' in json.dumps(line) for line in consumer.log()))
        wait_for('it reads', consumer.is_up)
        pid = consumer.pid()
        said = everything_of(pid)
        run.expect_that('the command line could be read', '--hash-key-file' in said)
        run.expect('secrets in its command line and environment', [], found_in(said))
        run.expect('children that it has', [], open('/proc/%d/task/%d/children' % (pid, pid), encoding='ascii').read().split())
        with open('/proc/%d/status' % pid, encoding='ascii') as file:
            run.expect_that('it can be looked at', 'State:' in file.read())
        run.expect('whose its memory is: nobody\'s but root\'s', 0, os.stat('/proc/%d/mem' % pid).st_uid)
        run.expect('a crash writes a core file', False, crash(run, consumer))
        with open(consumer.log_path, encoding='utf-8', errors='replace') as file:
            text = file.read()
        consumer.command.append('--core-files')
        wait_for('it reads again', consumer.start().is_up)
        run.expect_that('with --core-files it is as the system says', True, 'core written' if crash(run, consumer) else 'no core here')
        run.expect_that('the log at debug level says something', len(text) > 500, '%d bytes' % len(text))
        run.expect('secrets in it', [], found_in(text))
        run.expect_that('no warning about files that only their user may read', 'every user of this machine' not in text)
    finally:
        db.session.close()
        db.session = None
        run.server.rows('DROP DATABASE IF EXISTS %s WITH (FORCE)' % db.name)
        run.server.rows('DROP ROLE %s' % user)


def what_is_refused(run):
    """A secret as a value is refused wherever it is given, and the sentence does not repeat it."""
    rules = ['--rules', RULES]
    for what, name, arguments in (
            ('the key as an argument', 'hash key', ['run', '--hash-key=' + HASH_KEY, *rules]),
            ('the password of PostgreSQL as an argument', 'database password', ['run', '--database-password', PLANTED['database password']]),
            ('... in a connection string', 'database password', ['run', '--database=host=db1 password=' + PLANTED['database password']]),
            ('... in a URI', 'database password', ['status', '--database', 'postgresql://u:%s@db1/polku' % PLANTED['database password']]),
            ('... in a URI that is none', 'database password', ['status', '--database', 'postgresql://u:%s@[db1' % PLANTED['database password']]),
            ('... in a string that is none', 'database password', ['migrate', '--database', 'password = %s x' % PLANTED['database password']]),
            ('Kafka\'s as an argument', 'kafka password', ['run', '--kafka.sasl.password', PLANTED['kafka password']]),
            ('the registry\'s as an argument', 'registry password', ['run', '--registry-password', PLANTED['registry password']]),
            ('... in its URL', 'registry password', ['check-config', *rules, '--registry-url',
                                                    'http://u:%s@127.0.0.1:1' % PLANTED['registry password']]),
            ('a key\'s passphrase', 'passphrase', ['run', '--kafka.ssl.key.password=' + PLANTED['passphrase']])):
        code, said = run_tool('polku-consumer', *arguments)
        run.expect('%s: exit code, secrets in the sentence' % what, (2, []), (code, found_in(said)))
    config = run.file('bad.conf')
    with open(config, 'w', encoding='ascii') as file:
        file.write('kafka.sasl.password = %s\n' % PLANTED['kafka password'])
    code, said = run_tool('polku-consumer', 'run', '--config', config)
    run.expect('Kafka\'s in the file of options: exit code, secrets in the sentence', (2, []), (code, found_in(said)))
    code, said = run_tool('polku-producer', 'send', '--kafka.sasl.password=' + PLANTED['kafka password'], folder='producer')
    run.expect('Kafka\'s as an argument of the producer', (1, []), (code, found_in(said)))
    code, said = run_tool('polku-consumer', 'check-config', *rules, '--hash-key-file', write(run, 'short.key', HASH_KEY[:20]))
    run.expect_that('a key that is too short is not repeated', code == 2 and HASH_KEY[:20] not in said, said.strip()[-200:])
    code, said = run_tool('polku-consumer', 'check-config', *rules, '--hash-key-file', write(run, 'wrong.key', HASH_KEY[:40] + 'xyz'))
    run.expect_that('nor one with other characters', code == 2 and HASH_KEY[:40] not in said, said.strip()[-200:])


def write(run, name, text):
    path = run.file(name)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'w', encoding='ascii') as file:
        file.write(text)
    return path


def what_is_printed(run):
    config = write(run, 'good.conf', '''rules = %s
hash-key-file = %s
database = host=127.0.0.1 port=1 user=nobody
database-password-file = %s
brokers = 127.0.0.1:1
kafka.sasl.password-file = %s
''' % (RULES, secret_file(run, 'hash key'), secret_file(run, 'database password'), secret_file(run, 'kafka password')))
    for command in ('check-config', 'status', 'migrate', 'verify', 'rebuild', 'identity explain C:x'):
        code, said = run_tool('polku-consumer', *command.split(), '--config', config, '--log-level', 'debug')
        run.expect('%s with nobody to talk to: secrets in what it says (exit code %d)' % (command, code), [], found_in(said))
    for command in ('options', 'options --markdown', 'run --help'):
        code, said = run_tool('polku-consumer', *command.split(), environment={'POLKU_CONFIG': config})
        run.expect('%s: exit code, secrets' % command, (0, []), (code, found_in(said)))


def files_of_secrets(run):
    for mode, warned in ((0o600, False), (0o640, False), (0o644, True), (0o602, True)):
        code, said = run_tool('polku-consumer', 'check-config', '--rules', RULES, '--hash-key-file', secret_file(run, 'hash key', mode))
        run.expect('a key of mode %o: exit code, warned of' % mode, (0, warned), (code, 'every user of this machine may read' in said))
    rejects = run.file('rejects.jsonl')
    events = write(run, 'events.jsonl', '{"event_id": "no event"}\n')
    subprocess.run([program('polku-producer', 'producer'), 'check', '--rejects', rejects, events], stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, check=False, umask=0)
    run.expect('mode of a file that the producer writes', '600', '%o' % (os.stat(rejects).st_mode & 0o777))


with Run('masking') as run_:
    while_it_runs(run_)
    what_is_refused(run_)
    what_is_printed(run_)
    files_of_secrets(run_)
