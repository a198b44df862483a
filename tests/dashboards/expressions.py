#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Dashboards without a server: Grafana's and Superset's files are what their tables say, Prometheus can read every expression (promtool),
and an expression names metrics and labels of consumer/metrics.def alone. Exit code 77: promtool is missing."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GRAFANA = os.path.join(ROOT, 'deploy', 'dashboards', 'grafana')
LABELS = {'instance', 'job', 'le', 'quantile'}
wrong = []


def text_of(*path):
    with open(os.path.join(ROOT, *path), encoding='utf-8') as file:
        return file.read()


def metrics():
    """name -> its labels."""
    sets = dict(re.findall(r'BEGIN\((\w+), "(\w*)"\)', text_of('consumer', 'metrics_label.def')))
    found = {}
    table = text_of('consumer', 'metrics.def')
    for name, labels in re.findall(r'^X\(\w+, \w+, "(\w+)", (\w+),', table, re.M):
        found[name] = {sets.get(labels, labels.lower())} - {''}
    for name in re.findall(r'^H\(\w+, "(\w+)"', table, re.M):
        found.update({name + end: {'le'} for end in ('_bucket', '_sum', '_count')})
    for name in re.findall(r'^P\(\w+, \w+, "(\w+)"', table, re.M):
        found[name] = {'topic', 'partition'}
    return found


def panels(board):
    for panel in board['panels']:
        yield from panel.get('panels', []) if panel['type'] == 'row' else [panel]


def boards():
    for name in sorted(os.listdir(GRAFANA)):
        if name.endswith('.json'):
            with open(os.path.join(GRAFANA, name), encoding='utf-8') as file:
                yield name, json.load(file)


def expressions():
    """(dashboard: panel, expression, legend) of Prometheus."""
    for name, board in boards():
        for panel in panels(board):
            for target in panel['targets']:
                if 'expr' in target:
                    yield '%s: %s' % (name, panel['title']), target['expr'], target['legendFormat']


def names(known):
    for where, expr, legend in expressions():
        used = re.findall(r'\bpolku_\w+', expr)
        if not used:
            wrong.append('%s: no metric of Polku in %s' % (where, expr))
        allowed = LABELS.union(*(known.get(metric, set()) for metric in used))
        wrong.extend('%s: consumer/metrics.def has no %s' % (where, metric) for metric in used if metric not in known)
        labels = re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', expr) + re.findall(r'\w+', ' '.join(re.findall(r'\bby \(([^)]*)\)', expr)))
        labels += re.findall(r'\{\{\s*(\w+)', legend)
        wrong.extend('%s: no metric here has the label %s' % (where, label) for label in labels if label not in allowed)


def shape():
    """What Grafana would not say until somebody looks: numbers, places and descriptions."""
    uids = []
    for name, board in boards():
        uids.append(board['uid'])
        ids = [panel['id'] for panel in board['panels']] + [p['id'] for panel in board['panels'] for p in panel.get('panels', [])]
        if len(set(ids)) != len(ids):
            wrong.append('%s: panels share an id' % name)
        known = {variable['name'] for variable in board['templating']['list']}
        for panel in panels(board):
            place = panel['gridPos']
            if place['x'] + place['w'] > 24:
                wrong.append('%s: %s is wider than the grid' % (name, panel['title']))
            if 'Definition: ' not in panel['description']:
                wrong.append('%s: %s does not say what it is defined by' % (name, panel['title']))
            for target in panel['targets']:
                text = target.get('rawSql') or target['expr']
                for variable in re.findall(r'\$\{(\w+)', text + panel['title'] + target['datasource']['uid']):
                    if variable not in known:
                        wrong.append('%s: %s uses ${%s}, which the dashboard does not have' % (name, panel['title'], variable))
    if len(set(uids)) != len(uids):
        wrong.append('two dashboards share a uid')


def parsed():
    """All expressions as rules, which promtool reads."""
    rules = []
    for number, (where, expr, _) in enumerate(expressions()):
        filled = expr.replace('$__rate_interval', '5m').replace('$instance', '.+')
        rules.append({'record': 'dashboard:%d' % number, 'expr': filled, 'labels': {'panel': where}})
    with tempfile.NamedTemporaryFile('w', suffix='.yaml', encoding='utf-8') as file:
        json.dump({'groups': [{'name': 'dashboards', 'rules': rules}]}, file)  # JSON is YAML
        file.flush()
        done = subprocess.run(['promtool', 'check', 'rules', file.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        wrong.append('promtool: ' + done.stdout.decode())
    return len(rules)


def main():
    for tool in 'grafana', 'superset':
        done = subprocess.run([sys.executable, os.path.join(ROOT, 'deploy', 'dashboards', tool, 'make'), '--check'], stdout=subprocess.PIPE, check=False)
        if done.returncode != 0:
            wrong.append(done.stdout.decode().strip() or 'deploy/dashboards/%s/make --check failed' % tool)
    names(metrics())
    shape()
    have = shutil.which('promtool')
    count = parsed() if have else 0
    for sentence in wrong:
        print(sentence)
    if wrong:
        return 1
    if not have:
        print('SKIPPED: promtool is missing (Debian package prometheus), so no expression was parsed')
        return 1 if os.environ.get('CI') else 77
    print('%d expressions parsed, all of known metrics' % count)
    return 0


if __name__ == '__main__':
    sys.exit(main())
