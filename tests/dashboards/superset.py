# SPDX-License-Identifier: Apache-2.0
"""superset.py URL PASSWORD-FILE CONNINFO FOLDER [--write] - opens the dashboards and holds them against docs/dashboards.md.

Every chart must be answered, without an error and with rows. The page has a heading for a chart, then a question over the rows (not
over the aggregates that the chart reads) with its answer: that must be PostgreSQL's answer today, and each row of it must stand in
what the chart got. Runs in Superset's Python environment; tests/dashboards/superset starts it.
"""
import csv
import datetime
import io
import json
import os
import re
import subprocess
import sys
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
import yaml  # noqa: E402
from browser import Browser  # noqa: E402

AS_OF = '2026-06-01'  # after the last event: aggregates are as committed
PAGE = os.path.join(ROOT, 'docs', 'dashboards.md')
SIZE = 150 * 1024
WIDTH = 1400
PATIENCE = 600
QUESTION = re.compile(r'(### ([^\n]+)\n(?:(?!\n#).)*?```sql\n(.*?)```\n\n)```text\n(.*?)```', re.S)
failures = 0

LOG_IN = """(() => {
    const set = (field, value) => {
        Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(field, value);
        field.dispatchEvent(new Event('input', {bubbles: true}));
    };
    set(document.querySelector('input[type=text], #username'), 'admin');
    set(document.querySelector('input[type=password]'), %s);
    document.querySelector('form button').click();
})()"""
BOTTOM = "Math.ceil(Math.max(0, ...[...document.querySelectorAll('.dashboard-component-chart-holder')].map(e => e.getBoundingClientRect().bottom)))"
TROUBLE = "[...document.querySelectorAll('.ant-alert-error, [data-test=\"error-message\"], .error-boundary')].map(e => e.innerText).join('; ')"
LOADING = "document.querySelectorAll('[data-test=\"loading-indicator\"], .loading').length"


def expect(what, holds, got=''):
    global failures
    failures += not holds
    print('  %s  %s%s' % ('ok    ' if holds else 'NOT SO', what, ': %s' % (got,) if got != '' else ''), flush=True)


def boards():
    with open(os.path.join(ROOT, 'deploy', 'dashboards', 'superset', 'charts.yaml'), encoding='utf-8') as file:
        said = yaml.safe_load(file)
    for slug, board in said['dashboards'].items():
        yield slug, board, [said['charts'][chart]['title'] for row in board['rows'] for chart, _ in row[1:]]


def answered(browser, names):
    """Chart -> (status, number of its answer). `names` are learnt from what the page asks first."""
    found = {}
    for url, status, number in list(browser.answers):
        path = urllib.parse.urlparse(url)
        asked = urllib.parse.parse_qs(path.query).get('form_data')
        if not names and re.search(r'/api/v1/dashboard/[^/]+/charts', path.path):
            names.update({chart['id']: chart['slice_name'] for chart in browser.body(number)['result']})
        elif path.path.endswith('/api/v1/chart/data') and asked:
            found[json.loads(asked[0]).get('slice_id')] = (status, number)
    return {names.get(chart): got for chart, got in found.items()}


def open_board(browser, url, slug, board, titles, folder, write):
    browser.open('%s/superset/dashboard/%s/?standalone=2' % (url, slug))
    names = {}

    def complete():
        browser.script('1')  # hears what came in between
        return set(titles) <= set(answered(browser, names))
    browser.wait_for('answers to the charts of ' + slug, complete)
    browser.until('the charts of %s drawn' % slug, LOADING + ' === 0')
    browser.settle()
    got = {title: (status, browser.body(number)) for title, (status, number) in answered(browser, names).items()}
    for title in titles:
        status, answer = got[title]
        result = answer['result'][0] if status == 200 else {}
        expect('%s: %s' % (board['title'], title), status == 200 and result.get('status') == 'success' and result.get('rowcount', 0) >= 1,
               '%s rows' % result.get('rowcount') if status == 200 else answer)
    expect('%s: no error on the page' % board['title'], browser.script(TROUBLE) == '', browser.script(TROUBLE))
    path = os.path.join(ROOT, 'docs', 'images', slug + '.png') if write else os.path.join(folder, slug + '.png')
    os.makedirs(os.path.dirname(path), exist_ok=True)
    browser.picture(path, WIDTH, browser.script(BOTTOM) + 16)
    subprocess.run(['pngquant', '--force', '--strip', '--speed', '1', '--quality', '40-90', '--output', path, '--', path], check=True)
    expect('%s: the picture is small' % board['title'], os.path.getsize(path) < SIZE, '%d bytes, %s' % (os.path.getsize(path), path))
    return {title: got[title][1]['result'][0]['data'] for title in titles if got[title][0] == 200}


def psql(conninfo, sql, *form):
    done = subprocess.run(['psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', *form, '-d', conninfo, '-c', "SET polku.as_of = '%s'; SET ROLE polku_reader" % AS_OF,
                           '-c', sql], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ, PGTZ='UTC'), check=False)
    if done.returncode != 0:
        raise SystemExit('%s\n%s' % (sql, done.stderr.decode()))
    return done.stdout.decode()


def same(text, value):
    """What PostgreSQL printed against what the chart got: no row in a stack is null there; times are milliseconds."""
    if value is None:
        return text in ('', '0')
    if isinstance(value, (int, float)):
        if re.fullmatch(r'\d{4}-\d{2}-\d{2}', text):
            return datetime.datetime.fromtimestamp(value / 1000, datetime.timezone.utc).date().isoformat() == text
        decimals = len(text.partition('.')[2])
        return abs(float(text) - value) <= 0.5000001 * 10 ** -decimals
    return str(value) == text


def figures(conninfo, charts, write):
    with open(PAGE, encoding='utf-8') as file:
        page = file.read()
    asked = []

    def question(match):
        head, title, sql, said = match.groups()
        asked.append(title)
        got = psql(conninfo, sql, '-P', 'footer=off', '-P', 'linestyle=ascii')
        got = '\n'.join(line.rstrip() for line in got.strip('\n').splitlines()) + '\n'
        if not write:
            expect('docs/dashboards.md: ' + title, got == said, '' if got == said else got)
        rows = list(csv.DictReader(io.StringIO(psql(conninfo, sql, '--csv'))))
        missing = [row for row in rows if not any(all(column in line and same(text, line[column]) for column, text in row.items())
                                                  for line in charts.get(title, []))]
        expect('%s shows what the SQL says' % title, bool(rows) and not missing, '%d rows' % len(rows) if not missing else missing[:3])
        return head + '```text\n' + got + '```'

    filled = QUESTION.sub(question, page)
    expect('charts with their SQL on the page', len(asked) >= 6, len(asked))
    if write:
        with open(PAGE, 'w', encoding='utf-8') as file:
            file.write(filled)


def main():
    url, password_file, conninfo, folder, *rest = sys.argv[1:]
    with open(password_file, encoding='ascii') as file:
        password = file.read().strip()
    begun, charts = time.monotonic(), {}
    browser = Browser(WIDTH, 2400, PATIENCE)
    try:
        browser.open(url + '/login/')
        browser.until('the form for logging in', "!!document.querySelector('input[type=password]') && !!document.querySelector('form button')")
        browser.script(LOG_IN % json.dumps(password))
        browser.until('to be logged in', "!location.pathname.startsWith('/login') && document.readyState === 'complete'")
        for slug, board, titles in boards():
            charts.update(open_board(browser, url, slug, board, titles, folder, bool(rest)))
    finally:
        browser.close()
    figures(conninfo, charts, bool(rest))
    print('%d charts, %d failures, %.0f s' % (len(charts), failures, time.monotonic() - begun))
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
