# SPDX-License-Identifier: Apache-2.0
"""The fault proxy (proxy.c) for Python tests.

    with FaultProxy('127.0.0.1:5432') as proxy:       # or the path of a unix socket; port=N to listen on a fixed port
        connect_to('127.0.0.1', proxy.port)
        proxy('delay 50 down')                        # any command of proxy.c
        proxy('swallow-commit')
        proxy.wait_hit('swallowed', before)           # a counter of `status` has moved beyond `before`
"""

import os
import subprocess
import time


class FaultProxy:
    def __init__(self, target, port=0, program=None):
        self.program = program or os.path.join(os.environ['POLKU_TEST_BUILD'], 'tests', 'fault', 'fault_proxy')
        self.process = subprocess.Popen([self.program, str(port), target], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        first = self.process.stdout.readline().split()
        if len(first) != 2 or first[0] != b'listening':
            raise RuntimeError('fault_proxy did not start: %r' % (first,))
        self.port = int(first[1])

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close()

    def __call__(self, command):
        self.process.stdin.write(command.encode() + b'\n')
        self.process.stdin.flush()
        answer = self.process.stdout.readline().decode().strip()
        if not answer.startswith('ok'):
            raise RuntimeError('fault_proxy: %s: %s' % (command, answer or 'no answer'))
        return answer[3:]

    def status(self):
        """Counter -> number."""
        return {name: int(value) for name, _, value in (word.partition('=') for word in self('status').split())}

    def wait_hit(self, counter, before, patience=60):
        """Waits until the counter is more than `before`; False when it does not come to that."""
        deadline = time.monotonic() + patience
        while self.status()[counter] <= before:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def close(self):
        """Ends the proxy and with it every connection."""
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()

    drop = close  # things of harness.Run are dropped at its end
