# SPDX-License-Identifier: Apache-2.0
"""What the tests of `polku-consumer rebuild` share."""

import json
import subprocess
import threading

from harness import Failure, KEY_FILE, Session, program, wait_for


def command(conninfo, rules, *options, key=KEY_FILE):
    return [program('polku-consumer', 'consumer'), 'rebuild', '--database', conninfo, '--rules', rules,
            '--hash-key-file', key, '--log-format', 'json', *options]


class Rebuild:
    """One rebuild as a process; its log is kept line by line."""

    def __init__(self, db, rules, *options, user=None, key=KEY_FILE):
        conninfo = db.conninfo + (' user=%s' % user if user else '')
        self.process = subprocess.Popen(command(conninfo, rules, *options, key=key), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE)
        self.lines = []
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(json.loads(line))

    def said(self, sentence):
        """The first such line, from wherever in its message or reason."""
        for line in list(self.lines):
            if sentence in line['message'] or sentence in line.get('reason', ''):
                return line
        return None

    def wait(self, patience=180):
        """-> exit code"""
        try:
            code = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failure('a rebuild did not come to its end: %s' % self.lines[-3:]) from None
        self.reader.join()
        return code


def rebuild(db, rules, *options, user=None, key=KEY_FILE):
    """Waits for the lock of a rebuild that was killed. -> (exit code, lines)"""
    def attempt():
        run_of = Rebuild(db, rules, *options, user=user, key=key)
        code = run_of.wait()
        return None if code and run_of.said('another rebuild or a migration') else (code, run_of)
    return wait_for('no other rebuild is at work', attempt)


def schema(db):
    """Everything that pg_dump tells of tables, views, functions, comments and rights."""
    text = subprocess.run(['pg_dump', '--schema-only', '-d', db.conninfo], stdout=subprocess.PIPE, check=True).stdout.decode()
    return [line for line in text.splitlines() if not line.startswith(('\\restrict', '\\unrestrict'))]


def everything(db):
    """What the checksums of derived tables leave out: all that an event carries, values, positions, quarantine."""
    return db.rows("""SELECT
        (SELECT md5(string_agg(i::text, '|' ORDER BY occurred_at, event_hash)) FROM bi.interaction i),
        (SELECT md5(string_agg(hash || value, '|' ORDER BY hash)) FROM polku.identifier WHERE value IS NOT NULL),
        (SELECT count(value) FROM polku.identifier),
        (SELECT md5(string_agg(format('%s %s %s', topic_id, partition, next_offset), '|' ORDER BY topic_id, partition))
         FROM polku.stream_position),
        (SELECT md5(string_agg(q::text, '|' ORDER BY topic_id, partition, kafka_offset, reason)) FROM polku.quarantine q),
        (SELECT md5(string_agg(d::text, '|' ORDER BY decision_id)) FROM polku.decision d)""")[0]


def events(db):
    """All that an event carries but where it came from: of one that came twice it may be the other copy."""
    return db.rows("""SELECT md5(string_agg((to_jsonb(i) - '{kafka_topic,kafka_partition,kafka_offset,received_at}'::text[])::text, '|'
        ORDER BY occurred_at, event_hash)) FROM bi.interaction i""")[0]


def sums(db, *options):
    return db.checksums(*options)['all']


def load(run, db, topic, rules, *paths):
    topic.publish('--partition-by', 'random', '--seed', str(run.seed), *paths)
    run.consumer(db, topic, rules, '--until-end').start().wait()


def consumer_says(run, db, topic, rules):
    """A consumer that is expected to refuse: (exit code, its last words)."""
    done = subprocess.run(run.consumer(db, topic, rules).command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          timeout=60, check=False)
    return done.returncode, json.loads(done.stderr.decode().splitlines()[-1]).get('reason', '')


def changed_rules(run, path, name, *changes):
    with open(path, encoding='utf-8') as file:
        text = file.read()
    for old, new in changes:
        if text.count(old) < 1:
            raise Failure('%s has no "%s"' % (path, old))
        text = text.replace(old, new)
    changed = run.file(name)
    with open(changed, 'w', encoding='utf-8') as file:
        file.write(text)
    return changed


def filling(db, rows=1):
    """The new tables have so many events: a rebuild is in the middle of its work."""
    if not db.value("SELECT to_regclass('polku_rebuild.interaction')"):
        return False
    try:
        return db.number('SELECT count(*) FROM polku_rebuild.interaction') >= rows
    except Failure:  # dropped just now, and psql ends at an error
        db.session = Session(db.conninfo)
        return False
