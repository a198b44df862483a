# SPDX-License-Identifier: Apache-2.0
"""A schema registry for tests: the real one (tests/support/registry.sh), questions to it, and a proxy in front that speaks
TLS, wants a password, and misbehaves on request.

    with Run('registry') as run:
        registry = Registry(run)             # skips, or fails where CI is set, if it cannot be fetched
        registry.config('BACKWARD')
        schema_id = registry.register('interactions-value', text)
        proxy = Proxy(run, registry)         # https://localhost:PORT
        proxy.mode = 'hang'                  # ok, 401, 403, 404, 500, hang, garbage, redirect
"""

import base64
import fcntl
import http.client
import http.server
import json
import os
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'integration'))
from harness import ROOT, Failure, say  # noqa: E402

SUPPORT = os.path.join(ROOT, 'tests', 'support')
TYPE = 'application/vnd.schemaregistry.v1+json'


def unavailable(run, what):
    """A peer cannot be had: CI must not pass without it."""
    if os.environ.get('CI'):
        raise Failure('%s cannot be fetched' % what)
    run.skip('%s cannot be fetched' % what)


def script(name, *arguments):
    done = subprocess.run([os.path.join(SUPPORT, name), *arguments], stdout=subprocess.PIPE, check=False)
    return done.returncode, done.stdout.decode().strip()


class Registry:
    """Apicurio Registry; POLKU_TEST_REGISTRY chooses another version or archive than the usual one (registry.sh fetch).
    `shared`: one for all tests that only register and read, started by the first of them, stopped by servers.sh."""

    def __init__(self, run, shared=False):
        other = os.environ.get('POLKU_TEST_REGISTRY', '')
        name = 'registry' + (other and '-' + os.path.basename(other))
        build = os.environ['POLKU_TEST_BUILD']
        self.run, self.cache = run, os.path.join(build, '.deps', name)
        self.folder = os.path.join(build, 'servers', 'registry') if shared else run.file('registry')
        code, _ = script('registry.sh', 'fetch', self.cache, *([other] if other else []))
        if code == 3:
            unavailable(run, 'a schema registry')
        if shared:
            os.makedirs(self.folder, exist_ok=True)
            with open(os.path.join(self.folder, 'lock'), 'w', encoding='ascii') as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)    # tests run side by side
                self.start()
        else:
            run.made.append(self)
            self.start()
        self.version = self.ask('GET', '/apis/registry/v2/system/info', path_is_whole=True)[1].get('version')
        say('  Apicurio Registry %s at %s' % (self.version, self.url))

    def start(self):
        begun = time.monotonic()
        code, self.url = script('registry.sh', 'start', self.folder, self.cache)
        if code != 0:
            raise Failure('the schema registry did not start')
        return time.monotonic() - begun

    def stop(self):
        script('registry.sh', 'stop', self.folder)

    def drop(self):
        script('registry.sh', 'remove', self.folder)

    @property
    def address(self):
        return urllib.parse.urlsplit(self.url).netloc

    def ask(self, method, path, body=None, path_is_whole=False):
        """-> (HTTP status, JSON)"""
        parts = urllib.parse.urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=60)
        connection.request(method, path if path_is_whole else parts.path + path, None if body is None else json.dumps(body),
                           {'Content-Type': TYPE})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text) if text else None

    def config(self, level):
        status, answer = self.ask('PUT', '/config', {'compatibility': level})
        if status != 200:
            raise Failure('the registry does not take the level %s: %s' % (level, answer))

    def register(self, subject, schema):
        status, answer = self.ask('POST', '/subjects/%s/versions' % subject, {'schema': schema})
        if status != 200:
            raise Failure('the registry does not take a schema: %s' % answer)
        return answer['id']

    def versions(self, subject):
        status, answer = self.ask('GET', '/subjects/%s/versions' % subject)
        return answer if status == 200 else []


class Proxy:
    """In front of a registry. `seen` counts requests by mode; with `user` set, others than it get 401."""

    def __init__(self, run, registry, certificates=None, user=None, password=None, client_certificate=False):
        self.registry, self.mode, self.seen = registry, 'ok', {}
        self.wanted = user and 'Basic ' + base64.b64encode(('%s:%s' % (user, password)).encode()).decode()
        self.release = threading.Event()
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_any(self):
                proxy.handle(self)
            do_GET = do_POST = do_any

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda request, address: None    # a handshake that fails is what some tests want
        self.server.block_on_close = False
        self.port = self.server.server_address[1]
        if certificates:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(os.path.join(certificates, 'server.pem'), os.path.join(certificates, 'server.key'))
            if client_certificate:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(os.path.join(certificates, 'ca.pem'))
            # The handshake in the thread of the connection: one that never finishes must not stop the others.
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.base = urllib.parse.urlsplit(registry.url).path
        self.url = '%s://%%s:%d%s' % ('https' if certificates else 'http', self.port, self.base)
        threading.Thread(target=self.server.serve_forever, kwargs={'poll_interval': 0.05}, daemon=True).start()
        run.made.append(self)

    def at(self, host='localhost'):
        return self.url % host

    def handle(self, request):
        body = request.rfile.read(int(request.headers.get('Content-Length') or 0))
        mode = self.mode
        if self.wanted and request.headers.get('Authorization') != self.wanted:
            mode = '401'
        self.seen[mode] = self.seen.get(mode, 0) + 1
        if mode == 'hang':
            self.release.wait(60)
            request.close_connection = True
        elif mode == 'redirect':
            self.answer(request, 302, b'', ('Location', 'http://127.0.0.1:%d%s' % (self.port, request.path)))
        elif mode == 'garbage':
            self.answer(request, 200, b'<html>Welcome to our network. Please log in.</html>')
        elif mode == '404':
            self.answer(request, 404, b'<html>no such page</html>')
        elif mode in ('401', '403', '500'):
            self.answer(request, int(mode), b'{"error_code": %s, "message": "as the test wants it"}' % mode.encode())
        else:
            self.forward(request, body)

    def forward(self, request, body):
        try:
            connection = http.client.HTTPConnection(self.registry.address, timeout=30)
            connection.request(request.command, request.path, body or None, {'Content-Type': TYPE})
            answer = connection.getresponse()
            self.answer(request, answer.status, answer.read())
            connection.close()
        except OSError:
            self.answer(request, 502, b'')

    @staticmethod
    def answer(request, status, body, *headers):
        request.send_response(status)
        for name, value in (('Content-Type', TYPE), ('Content-Length', str(len(body))), *headers):
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    def drop(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()
