# SPDX-License-Identifier: Apache-2.0
"""install.py BUILD - what `cmake --install` puts somewhere works there, and what it says is so.

Without servers: files, exported names, programs that are linked with the library (C, C++, archive, CMake), manual, completion,
service. With POLKU_TEST_BROKERS and POLKU_TEST_DATABASE also an event, from the 30-line example linked with the installed library
to bi.journey by the installed consumer; otherwise the output says that this part was skipped.
"""

import glob
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(sys.argv[1])
FOLDER = os.path.join(BUILD, 'install-test')
PREFIX = os.path.join(FOLDER, 'moved', 'here')
EXAMPLE = os.path.join(ROOT, 'deploy', 'examples', 'c', 'send_event.c')
failed = []


def expect(what, wanted, got):
    print('  %s  %s%s' % ('ok    ' if wanted == got else 'NOT SO', what, '' if wanted == got else ': wanted %r, got %r' % (wanted, got)))
    if wanted != got:
        failed.append(what)


def read(path):
    with open(path, encoding='utf-8') as file:
        return file.read()


def run(*command, **options):
    """(exit code, standard output, standard error)"""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, **options)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def must(*command, **options):
    code, out, errors = run(*command, **options)
    if code:
        print('FAILED: %s: exit code %d\n%s%s' % (' '.join(command), code, out, errors))
        sys.exit(1)
    return out


def installed(*parts):
    return os.path.join(PREFIX, *parts)


def found(pattern):
    return sorted(os.path.relpath(path, PREFIX) for path in glob.glob(installed(pattern), recursive=True))


def library_folder():
    return os.path.dirname(glob.glob(installed('lib', '**', 'libpolku-producer.so'), recursive=True)[0])


# ---- files ----

def install():
    """Installed at one place, then moved: nothing may remember where."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    first = os.path.join(FOLDER, 'first')
    environment = {name: value for name, value in os.environ.items() if name != 'DESTDIR'}
    must('cmake', '--install', BUILD, '--prefix', first, env=environment)
    edited = os.path.join(first, 'etc', 'polku', 'consumer.conf')
    with open(edited, 'a', encoding='utf-8') as file:
        file.write('# edited\n')
    must('cmake', '--install', BUILD, '--prefix', first, '--component', 'consumer', env=environment)
    expect('settings name what was installed', ['rules = %s/etc/polku/polku.yaml' % first, 'schemas = %s/share/polku/schemas' % first],
           [line for line in read(edited).splitlines() if re.match('[a-z]', line)])
    expect('settings that are there are left as they are', True, read(edited).endswith('# edited\n'))
    os.makedirs(os.path.dirname(PREFIX))
    os.rename(first, PREFIX)


def check_files():
    for path in ('bin/polku-consumer', 'bin/polku-producer', 'share/polku/polku.yaml', 'share/polku/sql/roles.sql',
                 'share/polku/schemas/interaction.avsc', 'share/polku/schemas/vocabulary.yaml', 'share/polku/mappings/olist/orders.yaml',
                 'etc/polku/polku.yaml', 'etc/polku/consumer.conf', 'include/polku/producer.h', 'share/man/man1/polku-consumer.1',
                 'share/man/man1/polku-producer.1', 'share/man/man3/libpolku-producer.3', 'share/man/man3/polku_producer_open.3',
                 'share/man/man5/polku.yaml.5', 'share/bash-completion/completions/polku-consumer',
                 'share/bash-completion/completions/polku-producer', 'lib/systemd/system/polku-consumer@.service'):
        expect('installed: ' + path, True, os.path.isfile(installed(path)))
    migrations = sorted(os.listdir(os.path.join(ROOT, 'sql', 'migrations')))
    expect('all migrations', migrations, sorted(os.listdir(installed('share/polku/sql/migrations'))))
    expect('rules as in the sources', read(os.path.join(ROOT, 'deploy', 'polku.yaml')), read(installed('etc/polku/polku.yaml')))
    expect('nothing of the sources beside the header', ['include/polku/producer.h'], found('include/**/*.h'))


def check_versions():
    wanted = re.search(r'project\(polku VERSION ([0-9.]+)', read(os.path.join(ROOT, 'CMakeLists.txt'))).group(1)
    for program in ('polku-consumer', 'polku-producer'):
        lines = must(installed('bin', program), '--version').splitlines()
        expect('%s --version' % program, '%s %s' % (program, wanted), lines[0])
        expect('%s --version tells of librdkafka' % program, True, lines[1].startswith('librdkafka '))
    named = set()
    for path in glob.glob(os.path.join(ROOT, 'deploy', '**', '*'), recursive=True) + glob.glob(os.path.join(ROOT, 'docs', '*.md')):
        if os.path.isfile(path) and not path.endswith(('.png', '.gz')):
            with open(path, encoding='utf-8', errors='replace') as file:
                named |= set(re.findall(r'(?:polku-(?:consumer|producer):|ARG VERSION=)(\d+\.\d+\.\d+)', file.read()))
    expect('images are named by the version of CMakeLists.txt', {wanted}, named)
    return wanted


# ---- the library ----

def exported(*command):
    """Names that others can be linked with; the version node of the shared library is none."""
    return sorted({line.split()[-1].split('@')[0] for line in must('nm', '--defined-only', '-g', *command).splitlines()
                   if len(line.split()) == 3 and line.split()[1] != 'A'})


def check_names():
    header = read(installed('include/polku/producer.h'))
    code = re.sub(r'/\*.*?\*/', '', header, flags=re.DOTALL)
    declared = sorted(set(re.findall(r'^(?!typedef).*?\b(polku_\w+)\(', code, re.MULTILINE)))
    page = read(installed('share/man/man3/libpolku-producer.3')).replace('\\-', '-')
    expect('there are functions', True, len(declared) >= 9)
    expect('the shared library shows the functions of the header', declared,
           exported('-D', os.path.join(library_folder(), 'libpolku-producer.so')))
    expect('so does the archive', declared, exported(os.path.join(library_folder(), 'libpolku-producer.a')))
    expect('the manual names them', declared, [name for name in declared if name in page])
    expect('each has a page', declared, [name for name in declared if os.path.isfile(installed('share/man/man3', name + '.3'))])
    expect('the manual shows the example', True,
           'polku_producer_open(&config, &producer, &error)' in page and 'event delivered' in page)
    dynamic = must('readelf', '-dW', os.path.join(library_folder(), 'libpolku-producer.so'))
    expect('soname', ['libpolku-producer.so.0'], re.findall(r'SONAME.*\[(.*)\]', dynamic))
    expect('it needs no library of the programs', [],
           [name for name in re.findall(r'NEEDED.*\[(.*?)\.so', dynamic) if name in ('libcurl', 'libpq', 'libyaml-0', 'libsodium')])


def package_config(*arguments, of=('polku-producer',)):
    paths = [os.path.join(library_folder(), 'pkgconfig'), os.environ.get('PKG_CONFIG_PATH', '')]
    environment = dict(os.environ, PKG_CONFIG_PATH=':'.join(path for path in paths if path))
    return must('pkg-config', *arguments, *of, env=environment).split()


def check_linking(version):
    """Returns the example, linked with the shared library."""
    expect('version of the pkg-config file', [version], package_config('--modversion'))
    strict = ['-std=c99', '-pedantic', '-Wall', '-Wextra', '-Werror']
    example = os.path.join(FOLDER, 'send_event')
    must('cc', *strict, EXAMPLE, *package_config('--cflags', '--libs'), '-o', example)
    environment = dict(os.environ, LD_LIBRARY_PATH=library_folder())
    code, out, errors = run(example, '', env=environment)
    expect('the example says what is wrong', (1, '', 'cannot start: brokers and topic are needed\n'), (code, out, errors))

    own = os.path.join(FOLDER, 'own.c')
    with open(own, 'w', encoding='utf-8') as file:
        file.write('#include <polku/producer.h>\n#include <stdio.h>\n'
                   'int pk_fail(void); int pk_fail(void) { return 0; } /* a name that the library has inside */\n'
                   'int main(void) { puts(polku_version()); return pk_fail(); }\n')
    must('cc', *strict, own, *package_config('--cflags'), os.path.join(library_folder(), 'libpolku-producer.a'),
         *package_config('--libs', of=('rdkafka', 'jansson', 'avro-c')), '-pthread', '-o', own[:-2])
    expect('linked with the archive, beside a function of a name that is used inside', version + '\n', must(own[:-2]))
    if shutil.which('c++'):
        must('c++', '-fsyntax-only', '-Wall', '-Wextra', '-Werror', '-x', 'c++', installed('include/polku/producer.h'))
    check_cmake(own, version)
    return example, environment


def check_cmake(source, version):
    project = os.path.join(FOLDER, 'cmake')
    os.makedirs(project)
    with open(os.path.join(project, 'CMakeLists.txt'), 'w', encoding='utf-8') as file:
        file.write('cmake_minimum_required(VERSION 3.25)\nproject(channel C)\nfind_package(polku-producer 0.1 REQUIRED)\n'
                   'add_executable(channel %s)\ntarget_link_libraries(channel polku::producer)\n' % source)
    built = os.path.join(project, 'build')
    must('cmake', '-S', project, '-B', built, '-G', 'Ninja', '-DCMAKE_PREFIX_PATH=' + PREFIX)
    must('cmake', '--build', built)
    expect('linked by find_package', version + '\n', must(os.path.join(built, 'channel')))


# ---- manual ----

def check_manual():
    pages = sorted(glob.glob(installed('share/man/man*/*')))
    if not shutil.which('man') or not shutil.which('groff'):
        print('SKIPPED: the pages are not rendered, there is no man and groff here (deploy/packages.sh test)')
        failed.extend(['man is not there'] if os.environ.get('CI') else [])
        return
    for page in pages:
        code, out, errors = run('man', '--warnings', '-E', 'UTF-8', '-l', page, cwd=installed('share/man'),
                                env=dict(os.environ, LC_ALL='C.UTF-8', MANWIDTH='80', MANPATH=installed('share/man')))
        expect('renders without a warning: ' + os.path.basename(page), (0, '', True), (code, errors, len(out) > 500))
    consumer = read(installed('share/man/man1/polku-consumer.1')).replace('\\-', '-')
    for page in ('polku-consumer', 'polku-producer'):
        text = read(installed('share/man/man1/%s.1' % page)).replace('\\-', '-')
        table = must(installed('bin', page), 'options', '--markdown')
        names = re.findall(r'^\| `(--[\w.-]+)', table, re.MULTILINE)
        expect('every option is in ' + page, [], [name for name in names if '.BR %s' % name not in text])
    expect('so is every command', [], [name for name in commands() if '.SS "%s' % name not in consumer])
    sources = ''.join(re.findall(r'known\[[^\]]*\] = \{(.*?)\}', ''.join(map(read, sorted(glob.glob(
        os.path.join(ROOT, 'consumer', 'rules*.c'))))), re.DOTALL))
    keys = set(re.findall(r'"(\w+)"', sources)) | set(re.findall(r'^X\(\w+, "\w+", "(\w+)"', read(
        os.path.join(ROOT, 'consumer', 'trait.def')), re.MULTILINE))
    rules = read(installed('share/man/man5/polku.yaml.5'))
    expect('every key of the rules is in polku.yaml(5)', [], sorted(key for key in keys if not re.search(r'\b%s\b' % key, rules)))


def commands():
    usage = must(installed('bin', 'polku-consumer'), 'help')
    return [name for name in re.findall(r'^  ([a-z-]+)\s', usage, re.MULTILINE) if name not in ('options', 'help')]


# ---- completion ----

def complete(program, *words, folder='/'):
    """What bash offers for the last word; the others as it splits the line."""
    script = ('. %s\nCOMP_WORDS=("$@")\nCOMP_CWORD=$(($# - 1))\n_%s\nprintf "%%s\\n" "${COMPREPLY[@]}"\n' % (
        installed('share/bash-completion/completions', program), program))
    out = must('bash', '--norc', '-c', script, 'bash', program, *words, cwd=folder)
    return sorted(line for line in out.splitlines() if line)


def check_completion():
    consumer, producer = 'polku-consumer', 'polku-producer'
    expect('commands', [], [name for name in commands() if name not in complete(consumer, '')])
    expect('a command', ['verify'], complete(consumer, 'ver'))
    expect('an option', ['--rules'], complete(consumer, 'run', '--rul'))
    expect('an option of this command alone', (['--quick'], []), (complete(consumer, 'verify', '--qui'), complete(consumer, 'run', '--qui')))
    expect('words of an option', ['earliest', 'error', 'latest'], complete(consumer, 'run', '--from', ''))
    expect('after an equals sign too', ['earliest', 'error'], complete(consumer, 'run', '--from', '=', 'e'))
    expect('right after it', ['auto', 'json', 'text'], complete(consumer, 'run', '--log-format', '='))
    expect('words of an argument', ['set', 'show'], complete(consumer, 'position', 's'))
    expect('the one word of an argument', ['checks'], complete(consumer, 'doctor', ''))
    expect('nothing where an argument is yours', [], complete(consumer, 'forget', ''))
    expect('nothing where only you know', [], complete(consumer, 'run', '--batch-records', ''))
    expect('what is on can be switched off', ['--no-auto-register'], complete(producer, 'send', '--no-a'))
    folder = os.path.join(FOLDER, 'names')
    os.makedirs(os.path.join(folder, 'rules of ours'))
    open(os.path.join(folder, 'rules 1.yaml'), 'w', encoding='utf-8').close()
    expect('files', ['rules 1.yaml', 'rules of ours'], complete(consumer, 'run', '--rules', 'ru', folder=folder))
    expect('folders', ['rules of ours'], complete(consumer, 'run', '--schemas', 'ru', folder=folder))
    expect('files as arguments', ['rules 1.yaml', 'rules of ours'], complete(producer, 'send', 'ru', folder=folder))


def check_words():
    """The words that help and completion offer are those that the program takes."""
    for program, command in (('polku-consumer', {'mode': ['forget', 'phone:1']}), ('polku-producer', {})):
        for row in must(installed('bin', program), 'options', '--markdown').splitlines():
            option = re.match(r'\| `--([\w-]+) (\S*\\\|\S*)`.*?\|[^|]*\|[^|]*\| ([\w -]+) \|', row)
            if not option:
                continue
            name, words = option.group(1), option.group(2).split('\\|')
            whose = option.group(3).split()
            call = command.get(name, ['send' if program == 'polku-producer' else 'run' if whose[0] == 'all' else whose[0]])
            code, _, errors = run(installed('bin', program), *call, '--%s=nonsense' % name,
                                  *(['/dev/null'] if program == 'polku-producer' else []))
            sentence = errors.partition("'nonsense'")[2]
            expect('%s --%s takes %s' % (program, name, ', '.join(words)), (True, words),
                   (code != 0, [word for word in words if re.search(r'\b%s\b' % word, sentence)]))


# ---- service ----

def check_service():
    """Paths of the build's prefix, where nothing is installed now, are put in place of the moved one."""
    unit = read(installed('lib/systemd/system/polku-consumer@.service'))
    expect('the key of all hashes is a credential', True, 'LoadCredential=hash-key:' in unit and 'POLKU_HASH_KEY_FILE=%d/hash-key' in unit)
    named = set(re.findall(r'POLKU_([A-Z_]+)=', unit)) - {'NAME', 'ARGUMENTS'}
    table = must(installed('bin', 'polku-consumer'), 'options', '--markdown')
    expect('its variables are options', [], sorted(name for name in named if '`POLKU_%s`' % name not in table))
    if not shutil.which('systemd-analyze'):
        print('SKIPPED: the unit is not verified, there is no systemd-analyze here (deploy/packages.sh test)')
        failed.extend(['systemd-analyze is not there'] if os.environ.get('CI') else [])
        return
    folder = os.path.join(FOLDER, 'unit')
    os.makedirs(folder)
    path = os.path.join(folder, 'polku-consumer@.service')
    with open(path, 'w', encoding='utf-8') as file:
        file.write(re.sub(r'^ExecStart=\S+', 'ExecStart=' + installed('bin/polku-consumer'), unit, flags=re.MULTILINE))
    code, out, errors = run('systemd-analyze', 'verify', '--man=no', path)
    expect('systemd-analyze verify', (0, ''), (code, '\n'.join(line for line in (out + errors).splitlines() if 'polku' in line)))
    code, out, errors = run('systemd-analyze', 'security', '--offline=yes', '--threshold=20', path)
    exposure = re.search(r'Overall exposure level for .*: ([\d.]+) (\w+)', out)
    expect('systemd-analyze security: exposure below 2 of 10', (0, True), (code, exposure is not None))
    print('          exposure %s %s' % exposure.groups() if exposure else out + errors)


# ---- one event ----

def check_event(example, environment):
    if not os.environ.get('POLKU_TEST_BROKERS') or not os.environ.get('POLKU_TEST_DATABASE'):
        print('SKIPPED: one event to bi.journey: POLKU_TEST_BROKERS or POLKU_TEST_DATABASE is not set '
              '(tests/support/servers.sh up BUILD)')
        return
    sys.path.insert(0, os.path.join(ROOT, 'tests', 'integration'))
    os.environ['POLKU_TEST_BUILD'] = BUILD
    import harness
    with harness.Run('installed') as run_of:
        topic = run_of.topic(1)
        name = 'polku_installed_%d' % os.getpid()
        run_of.server.rows('CREATE DATABASE %s TEMPLATE template0' % name)
        try:
            conninfo = '%s dbname=%s' % (os.environ['POLKU_TEST_DATABASE'], name)
            consumer = installed('bin', 'polku-consumer')
            must(consumer, 'migrate', '--database', conninfo, cwd='/')
            run_of.expect('the example', '1 of 1 event delivered\n', must(example, run_of.brokers, topic.name, env=environment))
            settings = installed('etc/polku/consumer.conf')
            with open(settings, 'w', encoding='utf-8') as file:
                file.write('rules = %s\nschemas = %s\ndatabase = %s\nbrokers = %s\ntopic = %s\ngroup = %s\nhash-key-file = %s\n' % (
                    installed('etc/polku/polku.yaml'), installed('share/polku/schemas'), conninfo, run_of.brokers, topic.name,
                    name, harness.KEY_FILE))
            must(consumer, 'run', '--config', settings, '--until-end', cwd='/', timeout=300)
            session = harness.Session(conninfo)
            run_of.expect('its journey', [['phone', '1']], session.rows('SELECT entry_channel, events FROM bi.journey'))
            run_of.expect('what the customer is owed', [['callback', 'Shop', 'Switchboard', 'open']],
                          session.rows('SELECT kind, brand, unit, state FROM bi.obligation JOIN bi.journey USING (journey_id)'))
            session.close()
        finally:
            run_of.server.rows('DROP DATABASE IF EXISTS %s WITH (FORCE)' % name)
        run_of.failed += len(failed)


install()
check_files()
number = check_versions()
check_names()
linked = check_linking(number)
check_manual()
check_completion()
check_words()
check_service()
print('%d expectations failed%s' % (len(failed), ': ' + ', '.join(failed) if failed else ''))
check_event(*linked)
sys.exit(1 if failed else 0)
