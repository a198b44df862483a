# SPDX-License-Identifier: Apache-2.0
"""publish.py LANGUAGE - what docs/publish/LANGUAGE.md prints is run, block by block, with a real Kafka, a real registry (where
the page has a word of one), a consumer and PostgreSQL; what it says that comes out must come out.

Exit code 77: a server cannot be had, or what the page tells its reader to install; where CI is set that is a failure.
"""

import os
import re
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'registry'))
import pages  # noqa: E402
import registry_server as server  # noqa: E402
from harness import KEY_FILE, ROOT, Failure, Run, say  # noqa: E402

RULES = os.path.join(ROOT, 'deploy', 'polku.yaml')
LANGUAGE = sys.argv[1]
CACHE = os.path.join(os.environ.get('POLKU_TEST_BUILD', ''), '.deps', 'publish-' + LANGUAGE)
PATH = '/usr/bin:/bin:' + os.environ['PATH']    # Debian's programs first, as the pages say
PAGE = os.path.join(ROOT, 'docs', 'publish', LANGUAGE + '.md')


def environment(run, db, topic, registry):
    """As `. build/quickstart/env` gives it."""
    build = os.environ['POLKU_TEST_BUILD']
    found = dict(os.environ, POLKU_HOME=ROOT, POLKU_BUILD=build, POLKU_BROKERS=run.brokers, POLKU_TOPIC=topic.name,
                 POLKU_DATABASE=db.conninfo, POLKU_RULES=RULES, POLKU_HASH_KEY_FILE=KEY_FILE, POLKU_GROUP=db.name,
                 POLKU_SCHEMAS=os.path.join(ROOT, 'schemas'))
    found['PATH'] = ':'.join([os.path.join(build, 'producer'), os.path.join(build, 'consumer'), PATH])
    if registry:
        found['POLKU_REGISTRY_URL'] = registry.url
    for name, value in re.findall(r'(\w+)=(\S+)', db.conninfo):
        found['PG' + {'dbname': 'database'}.get(name, name).upper()] = value
    return found


def fetch(run):
    """What the page tells its reader to install, before there is anything to clean up."""
    folder = run.file('fetch')
    os.makedirs(folder)
    try:
        pages.Page(PAGE, folder, CACHE, dict(os.environ, PATH=PATH), say).fetch()
    except pages.Unavailable as why:
        say(str(why))
        server.unavailable(run, 'what docs/publish/%s.md installs' % LANGUAGE)


def work(run, registry):
    db, topic = run.database(), run.topic(6)
    options = []
    if registry:
        options = ['--registry-url', registry.url]
        with open(os.path.join(ROOT, 'schemas', 'interaction.avsc'), encoding='utf-8') as file:
            registry.register(topic.name + '-value', file.read())
    consumer = run.consumer(db, topic, RULES, *options).start()
    folder = run.file('work')
    os.makedirs(folder)
    shutil.copy(os.path.join(ROOT, 'schemas', 'interaction.avsc'), folder)
    try:
        count = pages.Page(PAGE, folder, CACHE, environment(run, db, topic, registry), say).go()
    except pages.Differs as why:
        raise Failure(str(why)) from None
    run.expect_that('blocks of the page that were run', count > 0, count)
    consumer.stop()


with Run('publish_' + LANGUAGE) as run:
    fetch(run)
    with open(PAGE, encoding='utf-8') as file:
        needs_registry = 'POLKU_REGISTRY_URL' in file.read()
    work(run, server.Registry(run, shared=True) if needs_registry else None)
