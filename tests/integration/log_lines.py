# SPDX-License-Identifier: Apache-2.0
"""The log of a whole program: JSON where no terminal reads it, text where one does; a fault that repeats itself fills no disk, and how
much was left out is told at the end."""

import json
import os
import pty
import signal
import subprocess

from harness import KEY_FILE, ORACLE, Run, program, say, wait_for

RULES = os.path.join(ORACLE, 'rules_small.yaml')
NOBODY = 'host=127.0.0.1 port=1 user=polku'
LINES = 3


def command(name, *options):
    return [program('polku-consumer', 'consumer'), name, '--database', NOBODY, *options]


def flooded(path):
    """A consumer that finds no PostgreSQL, a hundred times a second, until it is stopped; what it logged."""
    with open(path, 'wb') as log:
        process = subprocess.Popen(command('run', '--rules', RULES, '--hash-key-file', KEY_FILE, '--retry-min', '10ms', '--retry-max', '10ms',
                                           '--log-per-minute', str(LINES)), stdout=log, stderr=log)

    def lines():
        with open(path, encoding='utf-8') as file:
            return [json.loads(line) for line in file if line.endswith('\n')]
    wait_for('it has said so %d times' % LINES, lambda: len([line for line in lines() if line['message'] == 'PostgreSQL is away']) >= LINES)
    process.send_signal(signal.SIGTERM)
    process.wait()
    return lines()


def on_a_terminal():
    """What `status` logs to a terminal."""
    leader, follower = pty.openpty()
    subprocess.run(command('status'), stdout=subprocess.DEVNULL, stderr=follower, check=False)
    os.close(follower)
    text = os.read(leader, 4096).decode()
    os.close(leader)
    return text


def limited(run):
    # It may be stopped before its next try; then once more.
    lines = wait_for('lines were left out', lambda: (found := flooded(run.file('flood.log'))) and
                     any(line['message'] == 'lines were left out' for line in found) and found)
    away = [line for line in lines if line['message'] == 'PostgreSQL is away']
    left_out = [line for line in lines if line['message'] == 'lines were left out']
    run.expect('lines of one sentence', LINES, len(away))
    run.expect_that('   the others are counted, once', len(left_out) == 1 and left_out[0]['sentence'] == 'PostgreSQL is away' and left_out[0]['lines'] > 0, left_out)
    run.expect('   each line has time, level, program, message', [], [line for line in lines if not {'time', 'level', 'program', 'message'} <= set(line)])


with Run('log_lines') as run_:
    limited(run_)
    try:
        shown = on_a_terminal()
    except OSError as error:  # a chroot without devpts has no terminals to give
        say('  SKIPPED a terminal gets text: %s' % error)
        shown = None
    run_.expect_that('a terminal gets text', shown is None or 'error status is not complete  reason="' in shown and not shown.startswith('{'), shown)
