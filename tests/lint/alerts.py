#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The alerts of deploy/prometheus: promtool takes them and their tests, and the tests are worth something.

    alerts.py ROOT

- promtool check config, check rules, test rules.
- Each alert says what, why and what to do, and has its row, with its severity, in docs/operations.md.
- Metrics that expressions name are in consumer/metrics.def (or Prometheus' own `up`).
- If no alert ever fires, the tests miss every one of them.
Exit code 77: promtool (Debian package prometheus) is not there.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

import yaml

SKIPPED = 77


def promtool(*arguments, folder):
    return subprocess.run(['promtool', *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def read(*path):
    with open(os.path.join(*path), encoding='utf-8') as file:
        return file.read()


def metrics_of(root):
    text = read(root, 'consumer', 'metrics.def')
    names = set(re.findall(r'"(polku_\w+)"', text)) | {'polku_build_info', 'up'}
    for name in re.findall(r'^H\(\w+, "(polku_\w+)"', text, re.M):
        names |= {name + end for end in ('_bucket', '_sum', '_count')}
    return names


def wrong_words(root, rules):
    page, known = read(root, 'docs', 'operations.md'), metrics_of(root)
    rows = dict(re.findall(r'^\| `(Polku\w+)` \| (\w+) \|', page, re.M))
    for rule in rules:
        name = rule['alert']
        missing = [key for key in ('summary', 'reason', 'action', 'runbook') if not rule['annotations'].get(key)]
        if missing:
            yield '%s has no %s' % (name, ', '.join(missing))
        if rows.pop(name, None) != rule['labels']['severity']:
            yield 'docs/operations.md has no row for %s with its severity %s' % (name, rule['labels']['severity'])
        for metric in re.findall(r'\b(?:polku_\w+|up)\b(?!")', re.sub(r'"[^"]*"', '', rule['expr'])):
            if metric not in known:
                yield '%s names %s, which is no metric' % (name, metric)
    for name in rows:
        yield 'docs/operations.md has a row for %s, and there is no such alert' % name


def untested(folder, groups):
    """Alerts whose absence no test notices: none of them fires, and promtool says what it misses."""
    for group in groups:
        for rule in group['rules']:
            rule['expr'] = 'vector(0) > 1'
    with open(os.path.join(folder, 'alerts.yml'), 'w', encoding='utf-8') as file:
        yaml.safe_dump({'groups': groups}, file)
    told = promtool('test', 'rules', 'alerts_test.yml', folder=folder).stdout
    missed = set(re.findall(r'alertname[:=] ?"(Polku\w+)"', told))
    for group in groups:
        for rule in group['rules']:
            if rule['alert'] not in missed:
                yield 'no test notices that %s never fires' % rule['alert']


def main(root):
    if not shutil.which('promtool'):
        print('SKIPPED: alerts: there is no promtool (deploy/packages.sh test)')
        return 1 if os.environ.get('CI') else SKIPPED
    source = os.path.join(root, 'deploy', 'prometheus')
    failed = 0
    for arguments in (('check', 'config', 'prometheus.yml'), ('test', 'rules', 'alerts_test.yml')):
        done = promtool(*arguments, folder=source)
        print('promtool %s: exit code %d\n%s' % (' '.join(arguments), done.returncode, done.stdout.strip()))
        failed += done.returncode != 0
    groups = yaml.safe_load(read(source, 'alerts.yml'))['groups']
    rules = [rule for group in groups for rule in group['rules']]
    found = list(wrong_words(root, rules))
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(os.path.join(source, 'alerts_test.yml'), folder)
        found += untested(folder, groups)
    for sentence in found:
        print(sentence)
    print('%d alerts, each missed by a test if it does not fire; %d wrong' % (len(rules), len(found) + failed))
    return 1 if found or failed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
