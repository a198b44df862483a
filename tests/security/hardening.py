# SPDX-License-Identifier: Apache-2.0
"""hardening.py CONFIGURATION PROGRAM... - reads from the programs themselves that the compiler's protections are in them.

Optimised builds without sanitizers only (exit code 77): in the others they are not, or not all.
"""

import re
import subprocess
import sys

SHELL = {'system', 'popen', 'execl', 'execlp', 'execle', 'execv', 'execve', 'execvp', 'execvpe', 'posix_spawn', 'posix_spawnp', 'fork',
         'vfork', 'wordexp', 'gets', 'strcpy', 'strcat', 'sprintf', 'vsprintf', 'tmpnam', 'mktemp'}


def output(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode(errors='replace')


def properties(path):
    """(what, does it hold)"""
    read = output('readelf', '-hldW', path)
    symbols = {line.split()[-1].split('@')[0] for line in output('nm', '-D', path).splitlines() if line.strip()}
    if any(name.startswith('__asan') for name in symbols):
        print('SKIPPED: %s is built with sanitizers' % path)
        sys.exit(77)
    stack = re.search(r'GNU_STACK\s.*\s(R\w+)\s', read)
    code = output('objdump', '-d', '--no-show-raw-insn', path)
    yield 'a position-independent executable', re.search(r'Type:\s+DYN', read) and 'PIE' in read
    yield 'relocations read-only', 'GNU_RELRO' in read
    yield 'all of them bound at start', 'BIND_NOW' in read
    yield 'a stack that is not executable', stack and 'E' not in stack.group(1)
    yield 'no segment that is writable and executable', not re.search(r'LOAD\s.*RWE', read)
    yield 'stack protector', '__stack_chk_fail' in symbols
    yield 'checked string functions (_FORTIFY_SOURCE)', len([name for name in symbols if name.endswith('_chk')]) >= 3
    if 'X86-64' in read:
        functions = code.count('>:\n')
        yield 'targets of indirect branches are marked', code.count('endbr64') > functions / 3
        # A frame of more than a page is touched page by page.
        yield 'large stack frames are probed', re.search(r'sub\s+\$0x1000,%rsp\n.*or[ql]\s+\$0x0,', code)
    yield 'no shell, no other program, no function without bounds', not symbols & SHELL
    yield 'no path of a library built in', 'RPATH' not in read and 'RUNPATH' not in read


if sys.argv[1] == 'Debug':
    print('SKIPPED: a build of Debug')
    sys.exit(77)
failed = 0
for program in sys.argv[2:]:
    for what, holds in properties(program):
        failed += not holds
        print('  %s  %s: %s' % ('ok    ' if holds else 'NOT SO', program.rpartition('/')[2], what))
sys.exit(1 if failed or len(sys.argv) < 3 else 0)
