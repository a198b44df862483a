# SPDX-License-Identifier: Apache-2.0
"""proxy_test.py FAULT_PROXY - the fault proxy does what its commands say, and loses nothing without one."""

import hashlib
import random
import socket
import struct
import sys
import threading
import time
import unittest

from fault_proxy import FaultProxy

PROGRAM = sys.argv.pop(1)


class Server:
    """Hands the accepted connections to the test."""

    def __init__(self):
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.target = '127.0.0.1:%d' % self.listener.getsockname()[1]

    def accept(self):
        self.listener.settimeout(10)
        server, _ = self.listener.accept()
        server.settimeout(10)
        return server


def read(end, count):
    got = b''
    while len(got) < count:
        part = end.recv(count - len(got))
        if not part:
            break
        got += part
    return got


def read_all(end):
    """Everything until the end; the end is a close or a reset."""
    got = b''
    while True:
        try:
            part = end.recv(65536)
        except ConnectionResetError:
            return got, 'reset'
        if not part:
            return got, 'end'
        got += part


def message(kind, body=b''):
    return kind + struct.pack('>i', len(body) + 4) + body


def tag(text):
    return message(b'C', text.encode() + b'\0')


class TheProxy(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.proxy = FaultProxy(self.server.target, program=PROGRAM)
        self.open = []

    def tearDown(self):
        for end in self.open:
            end.close()
        self.proxy.close()
        self.server.listener.close()

    def pair(self):
        client = socket.create_connection(('127.0.0.1', self.proxy.port), 10)
        server = self.server.accept()
        self.open += [client, server]
        return client, server

    def test_forwards_every_byte_in_order_and_closes_after_the_last(self):
        client, server = self.pair()
        for sender, receiver in ((client, server), (server, client)):
            data = random.Random(7).randbytes(8 << 20)
            writer = threading.Thread(target=lambda s=sender, d=data: (s.sendall(d), s.shutdown(socket.SHUT_WR)))
            writer.start()
            got, how = read_all(receiver)
            writer.join()
            self.assertEqual((hashlib.sha256(got).digest(), how), (hashlib.sha256(data).digest(), 'end'))
        status = self.proxy.status()
        self.assertEqual((status['up'], status['down'], status['connections']), (8 << 20, 8 << 20, 1))

    def test_delays_one_direction(self):
        client, server = self.pair()
        self.proxy('delay 300 down')
        begun = time.monotonic()
        client.sendall(b'?')
        read(server, 1)
        self.assertLess(time.monotonic() - begun, 0.2)
        server.sendall(b'!')
        read(client, 1)
        self.assertGreaterEqual(time.monotonic() - begun, 0.3)

    def test_slows_to_as_many_bytes_per_second(self):
        client, server = self.pair()
        self.proxy('slow 200000 up')
        begun = time.monotonic()
        client.sendall(bytes(100000))
        read(server, 100000)
        took = time.monotonic() - begun
        self.assertTrue(0.3 < took < 2, took)

    def test_cuts_after_exactly_n_bytes_once(self):
        for count in (1, 70001):
            client, server = self.pair()
            self.proxy('cut-after %d up' % count)
            sender = threading.Thread(target=lambda c=client: self.send_quietly(c, bytes(100000)))
            sender.start()
            self.assertEqual(len(read_all(server)[0]), count)
            sender.join()
        self.assertEqual((self.proxy.status()['cuts'], self.proxy.status()['armed']), (2, 0))
        client, server = self.pair()
        client.sendall(b'x' * 100000)
        self.assertEqual(len(read(server, 100000)), 100000)

    @staticmethod
    def send_quietly(end, data):
        try:
            end.sendall(data)
        except OSError:
            pass

    def test_cuts_now_by_reset_or_by_end(self):
        client, server = self.pair()
        self.proxy('cut')
        self.assertEqual((read_all(client)[1], read_all(server)[1]), ('reset', 'reset'))
        client, server = self.pair()
        self.proxy('cut end')
        self.assertEqual((read_all(client)[1], read_all(server)[1]), ('end', 'end'))

    def test_half_open_connections_are_silent_and_others_are_not(self):
        client, server = self.pair()
        client.sendall(b'before')
        self.assertEqual(read(server, 6), b'before')
        self.proxy('half-open')
        client.sendall(b'after')
        server.settimeout(0.2)
        with self.assertRaises(TimeoutError):
            server.recv(1)
        other, its_server = self.pair()
        other.sendall(b'other')
        self.assertEqual(read(its_server, 5), b'other')
        self.assertEqual((self.proxy.status()['frozen'], self.proxy.status()['open']), (1, 2))
        self.proxy('thaw')
        server.settimeout(10)
        self.assertEqual(read(server, 5), b'after')

    def test_frozen_connections_can_be_reset(self):
        client, server = self.pair()
        self.proxy('half-open')
        other, _ = self.pair()
        self.proxy('cut frozen')
        self.assertEqual((read_all(client)[1], read_all(server)[1]), ('reset', 'reset'))
        other.sendall(b'x')
        self.assertEqual(self.proxy.status()['open'], 1)

    def test_refuses_connections_until_pass(self):
        self.proxy('refuse')
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(('127.0.0.1', self.proxy.port), 10)
        self.proxy('pass')
        self.pair()

    def test_new_connections_go_to_another_target(self):
        other = Server()
        self.proxy('target ' + other.target)
        with socket.create_connection(('127.0.0.1', self.proxy.port), 10) as client, other.accept() as server:
            client.sendall(b'x')
            self.assertEqual(read(server, 1), b'x')
        other.listener.close()

    def test_a_target_that_is_away_resets_the_client(self):
        self.server.listener.close()
        with socket.create_connection(('127.0.0.1', self.proxy.port), 10) as client:
            self.assertEqual(read_all(client), (b'', 'reset'))

    def test_swallows_the_answer_to_the_next_commit_that_wrote(self):
        rows = b'NN' + message(b'R', struct.pack('>i', 0)) + tag('BEGIN') + message(b'D', bytes(50000)) + tag('SELECT 1') + tag('COMMIT')
        before = tag('BEGIN') + tag('SELECT 1') + tag('INSERT 0 5')
        for step in (1, 7, 100000):
            client, server = self.pair()
            commits = self.proxy.status()['commits']
            server.sendall(rows + before + tag('COMMIT') + message(b'Z', b'I'))
            read(client, len(rows + before) + len(tag('COMMIT')) + 6)
            self.assertEqual(self.proxy.status()['commits'], commits + 1)
            self.proxy('swallow-commit')
            reply = before + tag('COMMIT') + message(b'Z', b'I')
            for at in range(0, len(reply), step):
                self.send_quietly(server, reply[at:at + step])
            got, how = read_all(client)
            # In tiny steps the beginning of the answer may pass, never all of it.
            self.assertTrue(len(before) <= len(got) < len(before + tag('COMMIT')) and got == reply[:len(got)], got)
            self.assertEqual(how, 'end')
        self.assertEqual((self.proxy.status()['swallowed'], self.proxy.status()['armed']), (3, 0))

    def test_a_commit_that_only_read_is_not_swallowed(self):
        client, server = self.pair()
        self.proxy('swallow-commit')
        reply = message(b'R', struct.pack('>i', 0)) + tag('BEGIN') + tag('SELECT 7') + tag('COMMIT')
        server.sendall(reply)
        self.assertEqual(read(client, len(reply)), reply)

    def test_says_what_is_wrong_with_a_command(self):
        for command in ('nonsense', 'delay', 'delay x', 'delay 5 sideways'):
            with self.assertRaises(RuntimeError):
                self.proxy(command)


if __name__ == '__main__':
    unittest.main()
