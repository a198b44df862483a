# SPDX-License-Identifier: Apache-2.0
"""The fenced blocks of docs/publish/*.md, run as they are printed. What a block is for stands behind its language:

    ```python file=first_event.py     becomes that file of the working folder
    ```sh setup                       fetches peers: once for its text and the files before it, in a folder that is kept
    ```sh run                         is run with `bash -e`; what it leaves in the background goes on to the end of the page
    ```text output                    what the block before it prints on standard output, to the letter
    ```sh start                       how the reader begins; `pages.py PAGE` runs it, a test has begun otherwise
    anything else                     is for reading only

A block that begins with psql is a question: it is asked until the answer is the one that is printed.
"""

import collections
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

FENCE = re.compile(r'^```(\w+)(?: +([^\n]*))?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
PATIENCE = 120      # seconds that an answer, and a block, may take on a busy machine

Block = collections.namedtuple('Block', 'line use text')


class Unavailable(Exception):
    """A `setup` block failed: its peers cannot be fetched."""


class Differs(Exception):
    """A block failed, or printed something else."""


def blocks(path):
    """The blocks of a page that have a use, in its order."""
    with open(path, encoding='utf-8') as file:
        page = file.read()
    found = [Block(page.count('\n', 0, match.start()) + 1, match.group(2), match.group(3))
             for match in FENCE.finditer(page) if match.group(2)]
    for block in found:
        if not re.fullmatch(r'start|setup|run|output|file=[\w.-]+', block.use):
            raise Differs('%s:%d: a block for "%s"; there are file=NAME, start, setup, run, output' % (path, block.line, block.use))
    return found


class Page:
    """One page in a working folder of its own. `environment`: what the reader has after `. build/quickstart/env`."""

    def __init__(self, path, folder, cache, environment, say):
        self.path, self.folder, self.cache, self.environment, self.say = path, folder, cache, environment, say
        self.leaders, self.made, self.shows = [], hashlib.sha256(), False    # shows: says all commands and answers

    def place(self, block):
        return '%s:%d' % (os.path.basename(self.path), block.line)

    def write(self, block):
        self.made.update(block.text.encode())
        with open(os.path.join(self.folder, block.use[len('file='):]), 'w', encoding='utf-8') as file:
            file.write(block.text)

    def start(self, text, folder, log):
        process = subprocess.Popen(['bash', '-e', '-c', text], cwd=folder, env=self.environment, stdin=subprocess.DEVNULL,
                                   stdout=log, stderr=log if folder != self.folder else None, start_new_session=True)
        self.leaders.append(process.pid)
        return process

    def execute(self, text, folder):
        """-> (exit code, standard output). A file takes the output: a pipe would wait for what stays in the background."""
        with open(os.path.join(folder, '.printed'), 'w+b') as log:
            process = self.start(text, folder, log)
            try:
                code = process.wait(PATIENCE if folder == self.folder else 600)
            except subprocess.TimeoutExpired:
                code = -1
            log.seek(0)
            return code, log.read().decode(errors='replace')

    def set_up(self, block):
        """Runs the block in the cache beside the files so far, and links what it made into the working folder."""
        self.made.update(block.text.encode())
        place = os.path.join(self.cache, self.made.hexdigest()[:16])
        if not os.path.exists(os.path.join(place, '.complete')):
            os.makedirs(place, exist_ok=True)
            for name in os.listdir(self.folder):
                if os.path.isfile(os.path.join(self.folder, name)):
                    shutil.copy(os.path.join(self.folder, name), place)
            started = time.monotonic()
            code, printed = self.execute(block.text, place)
            if code != 0:
                raise Unavailable('%s: exit code %d\n%s' % (self.place(block), code, printed[-1000:]))
            self.say('  fetched in %.0f s: %s' % (time.monotonic() - started, block.text.strip().splitlines()[0]))
            open(os.path.join(place, '.complete'), 'wb').close()
        for name in os.listdir(place):
            if not name.startswith('.') and not os.path.lexists(os.path.join(self.folder, name)):
                os.symlink(os.path.join(place, name), os.path.join(self.folder, name))

    def run(self, block, wanted):
        """`wanted` None: whatever it prints, its exit code must be 0."""
        is_question = block.text.startswith('psql')
        deadline = time.monotonic() + PATIENCE
        while True:
            code, printed = self.execute(block.text, self.folder)
            if wanted is None and code == 0 or wanted is not None and comparable(printed) == comparable(wanted):
                said = '\n' + block.text + printed.rstrip() if self.shows else block.text.strip().splitlines()[0]
                return self.say('  ok      %s: %s' % (self.place(block), said))
            if not is_question or time.monotonic() > deadline:
                raise Differs('%s: exit code %d\n%s\nwanted:\n%s\nprinted:\n%s' % (self.place(block), code, block.text, wanted, printed))
            time.sleep(0.2)

    def fetch(self):
        """Only the files and what they and the `setup` blocks need."""
        for block in blocks(self.path):
            if block.use.startswith('file='):
                self.write(block)
            elif block.use == 'setup':
                self.set_up(block)

    def go(self):
        found = blocks(self.path)
        try:
            for block, after in zip(found, found[1:] + [None]):
                if block.use.startswith('file='):
                    self.write(block)
                elif block.use == 'setup':
                    self.set_up(block)
                elif block.use == 'run':
                    self.run(block, after.text if after and after.use == 'output' else None)
        finally:
            for leader in self.leaders:     # each leads a process group of its own
                try:
                    os.killpg(leader, signal.SIGTERM)
                except ProcessLookupError:
                    pass
        return sum(block.use == 'run' for block in found)


def comparable(text):
    """psql pads cells; nobody sees that."""
    return [line.rstrip() for line in text.strip().splitlines()]


def begin(path, root):
    """Runs the `start` blocks of a page in the folder `root`. -> folder and environment that they end with"""
    text = ''.join(block.text for block in blocks(path) if block.use == 'start')
    with tempfile.TemporaryFile() as log:       # a pipe would wait for the servers that go on
        done = subprocess.run(['bash', '-e', '-c', text + 'printf "\\0\\0%s\\0" "$PWD"; env -0'], cwd=root, stdin=subprocess.DEVNULL,
                              stdout=log, check=False)
        log.seek(0)
        printed, _, state = log.read().rpartition(b'\0\0')
    print(text + (printed or state).decode(), flush=True)
    if done.returncode != 0:
        raise Differs('%s: the beginning: exit code %d' % (os.path.basename(path), done.returncode))
    folder, *variables = state.decode().rstrip('\0').split('\0')
    return folder, dict(variable.split('=', 1) for variable in variables)


def main():
    """pages.py PAGE... - as a reader does it, from the first block to the last: run by tests/publish/fresh_root."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for path in sys.argv[1:]:
        started = time.monotonic()
        folder, environment = begin(path, root)
        page = Page(path, folder, os.path.join(folder, '.fetched'), environment, print)
        page.shows = True
        count = page.go()
        print('%s: %d blocks run, %.0f s with everything' % (os.path.basename(path), count, time.monotonic() - started), flush=True)


if __name__ == '__main__':
    main()
