#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check.py [--self-test | --write | --schemas CACHE] - deploy/kubernetes.

Without an option: our own rules, nothing is fetched. Every file is named by a kustomization, every POLKU_* variable is an option, probes
and ports are those of --http, containers may do nothing, the alerts are those of deploy/prometheus/alerts.yml (--write puts them there).
--self-test breaks each rule in memory and wants it found.
--schemas fetches, into CACHE, the published schemas of Kubernetes (PyPI), and with Go those of KEDA and of the Prometheus operator, and holds every
resource to them; with kubectl also what `kubectl kustomize` makes of each folder. Exit code 77: they cannot be fetched.
"""
import copy
import json
import pathlib
import re
import shutil
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / 'deploy' / 'kubernetes'
ALERTS = ROOT / 'deploy' / 'prometheus' / 'alerts.yml'
VERSIONS = ('1.27', '1.30', '1.33')  # of Kubernetes
CRDS = (('github.com/kedacore/keda/v2', 'v2.16.1', 'config/crd/bases/keda.sh_scaledobjects.yaml'),
        ('github.com/prometheus-operator/prometheus-operator', 'v0.79.2',
         'example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml'),
        ('github.com/prometheus-operator/prometheus-operator', 'v0.79.2',
         'example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml'))
RULE_HEAD = '''# SPDX-License-Identifier: Apache-2.0
# The groups of deploy/prometheus/alerts.yml, which tests/kubernetes/check.py --write puts here.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: polku-consumer
spec:
'''


def load():
    """{path below deploy/kubernetes: document}; one document in each file."""
    return {str(p.relative_to(FOLDER)): yaml.safe_load(p.read_text()) for p in sorted(FOLDER.glob('*/*.yaml'))}


def option_variables():
    """Of the page that is printed from the table of options."""
    return set(re.findall(r'`(POLKU_[A-Z0-9_]+)`', (ROOT / 'docs' / 'options-polku-consumer.md').read_text()))


def kustomizations(files):
    return {path: doc for path, doc in files.items() if path.endswith('kustomization.yaml')}


def pods(files):
    """(path, pod's spec) of everything that runs."""
    return [(path, doc['spec']['template']['spec']) for path, doc in files.items() if doc['kind'] in ('StatefulSet', 'Job')]


def offences_of_lists(files):
    for path, doc in kustomizations(files).items():
        folder = path.split('/')[0]
        named = set(doc.get('resources', []))
        for name in named | set(doc.get('components', [])):
            where = (FOLDER / folder / name).resolve()
            if not where.exists():
                yield '%s: %s does not exist' % (path, name)
        for other in files:
            name = other.split('/')[1]
            if other.startswith(folder + '/') and other != path and name not in named:
                yield '%s: does not name %s' % (path, name)


def offences_of_variables(files):
    known = option_variables()
    for path, doc in kustomizations(files).items():
        for generator in doc.get('configMapGenerator', []):
            for literal in generator['literals']:
                name = literal.split('=')[0]
                if name not in known:
                    yield '%s: %s is no option' % (path, name)
                if 'PASSWORD' in name or 'KEY' in name:
                    yield '%s: %s is for a Secret' % (path, name)
    for path, pod in pods(files):
        for container in pod['containers']:
            for variable in container.get('env', []):
                if variable['name'] not in known:
                    yield '%s: %s is no option' % (path, variable['name'])


def offences_of_pods(files):
    for path, pod in pods(files):
        if not pod['securityContext'].get('runAsNonRoot') or pod.get('automountServiceAccountToken', True):
            yield '%s: runs as root, or with a token' % path
        for container in pod['containers']:
            rights = container.get('securityContext', {})
            if rights.get('capabilities', {}).get('drop') != ['ALL'] or not rights.get('readOnlyRootFilesystem') or \
                    rights.get('allowPrivilegeEscalation', True):
                yield '%s: %s may do more than it needs' % (path, container['name'])
            if 'memory' not in container.get('resources', {}).get('limits', {}):
                yield '%s: %s has no limit of memory' % (path, container['name'])
            for volume in pod.get('volumes', []):
                if 'secret' in volume and volume['secret'].get('defaultMode') != 0o440:
                    yield '%s: the files of %s may be read by everybody' % (path, volume['name'])


def offences_of_health(files):
    consumer = files['base/statefulset.yaml']['spec']['template']['spec']['containers'][0]
    port = {p['name']: p['containerPort'] for p in consumer['ports']}
    http = next(v['value'] for v in consumer['env'] if v['name'] == 'POLKU_HTTP')
    if not http.endswith(':%d' % port['http']):
        yield 'base/statefulset.yaml: POLKU_HTTP is not the port that the probes ask'
    for probe, wanted in (('livenessProbe', '/livez'), ('readinessProbe', '/readyz')):
        asked = consumer[probe]['httpGet']
        if asked != {'path': wanted, 'port': 'http'}:
            yield 'base/statefulset.yaml: %s asks %s' % (probe, asked)
    service = files['base/service.yaml']
    if service['spec']['ports'][0]['port'] != port['http'] or service['metadata']['name'] != 'polku-consumer':
        yield 'base/service.yaml: not the port, or not the name that alerts ask for'
    monitor = files['monitoring/servicemonitor.yaml']
    if monitor['spec']['selector']['matchLabels'].items() - service['metadata']['labels'].items():
        yield 'monitoring/servicemonitor.yaml: does not find the Service'


def offences_of_alerts(files):
    if files['monitoring/prometheusrule.yaml']['spec'] != yaml.safe_load(ALERTS.read_text()):
        yield 'monitoring/prometheusrule.yaml: not the alerts of deploy/prometheus/alerts.yml (check.py --write)'


def offences_of_scaling(files):
    scaled, consumer = files['autoscaling/scaledobject.yaml']['spec'], files['base/statefulset.yaml']
    if scaled['scaleTargetRef'] != {'kind': consumer['kind'], 'name': consumer['metadata']['name']}:
        yield 'autoscaling/scaledobject.yaml: scales something else'
    settings = dict(l.split('=', 1) for l in files['base/kustomization.yaml']['configMapGenerator'][0]['literals'])
    for trigger in scaled['triggers']:
        if (trigger['metadata']['topic'], trigger['metadata']['consumerGroup']) != (settings['POLKU_TOPIC'], settings['POLKU_GROUP']):
            yield 'autoscaling/scaledobject.yaml: looks at the lag of others'


RULES = (offences_of_lists, offences_of_variables, offences_of_pods, offences_of_health, offences_of_alerts, offences_of_scaling)


def offences(files):
    return [text for rule in RULES for text in rule(files)]


def broken_ones():
    """(what, how it is broken)"""
    def of_consumer(change):
        return lambda files: change(files['base/statefulset.yaml']['spec']['template']['spec']['containers'][0])
    yield 'a file that nobody names', lambda f: f.update({'base/more.yaml': {'kind': 'ConfigMap'}})
    yield 'a resource that is not there', lambda f: f['base/kustomization.yaml']['resources'].append('gone.yaml')
    yield 'a misspelt option', lambda f: f['base/kustomization.yaml']['configMapGenerator'][0]['literals'].append('POLKU_BROKER=x')
    yield 'a misspelt variable', of_consumer(lambda c: c['env'].append({'name': 'POLKU_INSTANCE', 'value': 'x'}))
    yield 'a secret in the settings', lambda f: f['base/kustomization.yaml']['configMapGenerator'][0]['literals'].append(
        'POLKU_HASH_KEY_FILE=x')
    yield 'a capability', of_consumer(lambda c: c['securityContext']['capabilities'].update(drop=[]))
    yield 'no limit', of_consumer(lambda c: c['resources'].pop('limits'))
    yield 'root', lambda f: f['migrate/job.yaml']['spec']['template']['spec']['securityContext'].update(runAsNonRoot=False)
    yield 'an open secret', lambda f: f['migrate/job.yaml']['spec']['template']['spec']['volumes'][0]['secret'].update(defaultMode=0o444)
    yield 'a probe of nothing', of_consumer(lambda c: c['livenessProbe']['httpGet'].update(path='/healthz'))
    yield 'another port', of_consumer(lambda c: c['ports'][0].update(containerPort=8080))
    yield 'a service that alerts do not know', lambda f: f['base/service.yaml']['metadata'].update(name='polku')
    yield 'a monitor of nobody', lambda f: f['monitoring/servicemonitor.yaml']['spec']['selector']['matchLabels'].update(x='y')
    yield 'an alert of its own', lambda f: f['monitoring/prometheusrule.yaml']['spec']['groups'].pop()
    yield 'the lag of others', lambda f: f['autoscaling/scaledobject.yaml']['spec']['triggers'][0]['metadata'].update(topic='x')
    yield 'another set', lambda f: f['autoscaling/scaledobject.yaml']['spec']['scaleTargetRef'].update(name='x')


def self_test():
    failed = 0
    for what, breaks in broken_ones():
        files = copy.deepcopy(load())
        breaks(files)
        if not offences(files):
            print('%s is not found' % what)
            failed += 1
    return failed


def write():
    body = [l for l in ALERTS.read_text().rstrip('\n').split('\n') if not l.startswith('#')]
    (FOLDER / 'monitoring' / 'prometheusrule.yaml').write_text(RULE_HEAD + ''.join('  %s\n' % l if l else '\n' for l in body))


# ---- published schemas ----

def checker(cache):
    """A function (document, version of Kubernetes or schema) -> complaints."""
    python = cache / 'venv' / 'bin' / 'python3'
    if not python.exists():
        made = subprocess.run([sys.executable, '-m', 'venv', str(cache / 'venv')], check=False)
        got = made.returncode == 0 and subprocess.run([str(cache / 'venv' / 'bin' / 'pip'), 'install', '-q', 'kubernetes-validate==1.37.0'],
                                                      check=False).returncode == 0
        if not got:
            shutil.rmtree(cache / 'venv', ignore_errors=True)
            print('SKIPPED: the schemas of Kubernetes cannot be fetched from PyPI')
            sys.exit(77)
    program = '''
import json, sys, jsonschema, kubernetes_validate
for line in sys.stdin:
    doc, by = json.loads(line)
    if isinstance(by, dict):
        complaints = [e.message for e in jsonschema.Draft7Validator(by).iter_errors(doc)]
    else:
        try:
            kubernetes_validate.validate(doc, by, strict=True)
            complaints = []
        except kubernetes_validate.ValidationError as e:
            complaints = [e.message]
    print(json.dumps(complaints), flush=True)
'''
    process = subprocess.Popen([str(python), '-c', program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def check(doc, by):
        process.stdin.write(json.dumps([doc, by]) + '\n')
        process.stdin.flush()
        return json.loads(process.stdout.readline())
    return check


def closed(schema):
    """Custom resources drop fields that their schema does not know: here they are mistakes."""
    if isinstance(schema, dict):
        kept = {k: closed(v) for k, v in schema.items()}
        if kept.get('type') == 'object' and 'properties' in kept and 'additionalProperties' not in kept and \
                not kept.get('x-kubernetes-preserve-unknown-fields'):
            kept['additionalProperties'] = False
        return kept
    return [closed(s) for s in schema] if isinstance(schema, list) else schema


def custom_schemas(cache):
    """{kind: schema}, or None without Go."""
    if not shutil.which('go'):
        return None
    ret = {}
    for module, version, path in CRDS:
        work = cache / 'go'
        work.mkdir(parents=True, exist_ok=True)
        (work / 'go.mod').write_text('module schemas\n\ngo 1.19\n')
        got = subprocess.run(['go', 'mod', 'download', '-json', '%s@%s' % (module, version)], cwd=work, capture_output=True,
                             text=True, check=False)
        if got.returncode != 0:
            print('SKIPPED: %s cannot be fetched' % module)
            sys.exit(77)
        crd = yaml.safe_load((pathlib.Path(json.loads(got.stdout)['Dir']) / path).read_text())
        schema = closed(crd['spec']['versions'][0]['schema']['openAPIV3Schema'])
        schema['properties']['metadata'] = {'type': 'object'}
        ret[crd['spec']['names']['kind']] = schema
    return ret


def built(folder):
    made = subprocess.run(['kubectl', 'kustomize', str(FOLDER / folder)], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return [], [made.stderr.strip()]
    return [d for d in yaml.safe_load_all(made.stdout) if d], []


def against_schemas(cache):
    cache.mkdir(parents=True, exist_ok=True)
    check, custom = checker(cache), custom_schemas(cache)
    lists = [(path, doc) for path, doc in load().items() if not path.endswith('kustomization.yaml')]
    failed = 0
    if shutil.which('kubectl'):
        for folder in ('base', 'migrate', 'example'):
            docs, complaints = built(folder)
            for text in complaints:
                print('%s: %s' % (folder, text))
                failed += 1
            lists += [('%s (built)' % folder, doc) for doc in docs]
    else:
        print('not done: kubectl is not here, so that nothing was built with kustomize')
    seen = set()
    for path, doc in lists:
        if doc['kind'] in ('ScaledObject', 'ServiceMonitor', 'PrometheusRule'):
            if custom is None:
                seen.add('not checked, Go is not here: ' + doc['kind'])
                continue
            complaints = check(doc, custom[doc['kind']])
        else:
            complaints = [c for version in VERSIONS for c in check(doc, version)]
        for text in complaints:
            print('%s: %s %s: %s' % (path, doc['kind'], doc['metadata']['name'], text))
        failed += len(complaints)
        seen.add('%s: %d complaints' % (doc['kind'], len(complaints)))
    for text in sorted(seen):
        print(text)
    return failed


def main():
    option = sys.argv[1] if len(sys.argv) > 1 else ''
    if option == '--write':
        write()
        return 0
    if option == '--self-test':
        return 1 if self_test() else 0
    if option == '--schemas':
        return 1 if against_schemas(pathlib.Path(sys.argv[2])) else 0
    found = offences(load())
    for text in found:
        print('deploy/kubernetes/' + text)
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
