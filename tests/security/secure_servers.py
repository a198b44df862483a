# SPDX-License-Identifier: Apache-2.0
"""Servers that speak TLS, of this test only: PostgreSQL, and real Kafkas with users, passwords and access rules.

    with Servers('tls', kafkas={'3.9': '3.9.1', '4': None}) as servers: ...     # None: the version of the other tests

Their folder is BUILD/servers-NAME; certificates and passwords are made anew each time and deleted with it. POLKU_TEST_DATABASE
and POLKU_TEST_BROKERS become those of these servers, so that the harness works on them. Not to be fetched: exit code 77,
1 where CI is set.
"""

import itertools
import os
import secrets
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'integration'))
from harness import ROOT, SKIPPED, Failure, program, run_program, say  # noqa: E402

SUPPORT = os.path.join(ROOT, 'tests', 'support')
USER, STRANGER = 'polku_app', 'polku_stranger'  # of Kafka; the second has a password and no rights


def script(name, *arguments):
    return run_program([os.path.join(SUPPORT, name), *arguments]).stdout.decode().strip()


class Servers:
    def __init__(self, name, kafkas):
        self.name, self.kafkas, self.build = name, kafkas, os.environ.get('POLKU_TEST_BUILD')
        self.plain, self.port, self.mutual = {}, {}, {}     # of each Kafka: address without TLS, port with it, with certificates too

    def skip(self, why):
        say('SKIPPED: %s: %s' % (self.name, why))
        sys.exit(1 if os.environ.get('CI') else SKIPPED)

    def __enter__(self):
        if not self.build or not os.environ.get('POLKU_TEST_BROKERS'):
            self.skip('POLKU_TEST_BROKERS is not set (tests/support/servers.sh up BUILD)')
        self.folder = os.path.join(self.build, 'servers-' + self.name)
        self.stop()
        os.makedirs(self.folder, mode=0o700)
        self.certificates = self.path('certificates')
        script('certificates.sh', self.certificates)
        self.password = {name: self.secret(name) for name in (USER, STRANGER)}
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def start(self):
        self.conninfo = script('postgres.sh', 'start', self.path('postgres'), '--no-fsync', '--tls', self.certificates)
        fields = dict(field.split('=') for field in self.conninfo.split())
        self.database_port = fields['port']
        users = ','.join('%s=%s' % item for item in self.password.items())
        starting = {}
        for name, version in self.kafkas.items():
            cache = os.path.join(self.build, '.deps', 'kafka' + ('-' + version if version else ''))
            code = subprocess.run([os.path.join(SUPPORT, 'kafka.sh'), 'fetch', cache, *([version] if version else [])],
                                  check=False).returncode
            if code:
                self.stop()
                self.skip('Kafka %s cannot be fetched' % (version or ''))
            starting[name] = subprocess.Popen(
                [os.path.join(SUPPORT, 'kafka.sh'), 'start', self.path('kafka-' + name), cache, '--secure', self.certificates, users],
                stdout=subprocess.PIPE)
        for name, process in starting.items():
            self.plain[name] = process.communicate()[0].decode().strip()
            if process.returncode:
                raise Failure('Kafka %s does not start, see %s' % (name, self.path('kafka-' + name)))
            for ports, kind in ((self.port, 'secure'), (self.mutual, 'mutual')):
                with open(self.path('kafka-' + name, 'node1', kind), encoding='ascii') as file:
                    ports[name] = file.read().strip()
        os.environ['POLKU_TEST_DATABASE'] = self.conninfo
        os.environ['POLKU_TEST_BROKERS'] = self.plain[next(iter(self.kafkas))]

    def stop(self):
        for name in self.kafkas:
            if os.path.isdir(self.path('kafka-' + name)):
                script('kafka.sh', 'remove', self.path('kafka-' + name))
        if os.path.isdir(self.path('postgres')):
            script('postgres.sh', 'remove', self.path('postgres'))
        shutil.rmtree(self.folder, ignore_errors=True)

    def __exit__(self, kind, error, trace):
        self.stop()

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def secret(self, name):
        """A file with a new password; its path."""
        path = self.path(name + '.password')
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), 'w', encoding='ascii') as file:
            file.write(secrets.token_hex(12))
        return path

    def rule(self, kafka, what, *words, user=USER):
        """One access rule: 'allow', 'topic', NAME, 'read'"""
        run_program([program('kafka_acl', 'tests', 'security'), self.plain[kafka], what, user, *words])

    def kafka(self, kafka, mechanism='SCRAM-SHA-512', host='localhost', user=USER, authority='ca.pem', password=None):
        """What consumer and producer need for the secure listener."""
        return ['--brokers', '%s:%s' % (host, self.port[kafka]), '--kafka.security.protocol', 'sasl_ssl',
                '--kafka.ssl.ca.location', os.path.join(self.certificates, authority),
                '--kafka.sasl.mechanism', mechanism, '--kafka.sasl.username', user,
                '--kafka.sasl.password-file', password or self.password[user]]

    def kafka_by_certificate(self, kafka):
        """The same for the listener that wants a certificate; the user is CN=polku_certificate."""
        return ['--brokers', 'localhost:' + self.mutual[kafka], '--kafka.security.protocol', 'ssl',
                *itertools.chain(*(('--kafka.ssl.%s.location' % name, os.path.join(self.certificates, file)) for name, file in
                                   (('ca', 'ca.pem'), ('certificate', 'client.pem'), ('key', 'client.key'))))]

    def database(self, db, host='localhost', user='polku', authority='ca.pem', more=''):
        """A conninfo with everything checked."""
        return 'host=%s port=%s dbname=%s user=%s sslmode=verify-full sslrootcert=%s %s' % (
            host, self.database_port, db.name, user, os.path.join(self.certificates, authority), more)

    def database_password(self):
        return self.path('postgres', 'password')


__all__ = ['Failure', 'ROOT', 'STRANGER', 'Servers', 'USER', 'say']
