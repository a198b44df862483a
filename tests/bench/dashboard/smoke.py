#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The dashboard benchmark works: made rows tie with each other, and every question gives rows. No time is judged here."""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), 'integration'))
from harness import Run, say  # noqa: E402


def program(name, *arguments):
    done = subprocess.run([sys.executable, os.path.join(HERE, name)] + list(arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    say(done.stdout.decode())
    return done.returncode


def main():
    with Run('dashboard') as run:
        tied = run.database()
        run.expect('rows tie with each other', 0, program('make', '--database', tied.conninfo, '--journeys', '1000', '--check'))
        asked = run.database()
        run.expect('a year is made', 0, program('make', '--database', asked.conninfo, '--journeys', '20000', '--seed', '2'))
        run.expect('every question gives rows', 0, program('run', '--database', asked.conninfo, '--repeat', '1', '--limit', '0', '--plans', os.devnull))


if __name__ == '__main__':
    main()
