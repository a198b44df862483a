# SPDX-License-Identifier: Apache-2.0
"""seeds.py TARGET FOLDER DICTIONARY - what the repository holds of such input, as files to begin fuzzing with, and the words
in it as libFuzzer's dictionary. The machine's time zone files serve as seeds of the target `zone`."""

import glob
import json
import os
import re
import struct
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MARK = b'\n====\n'
ZONES = ('Europe/Helsinki', 'America/Sao_Paulo', 'Africa/Casablanca', 'Asia/Kathmandu', 'Antarctica/Troll', 'America/Nuuk',
         'Asia/Tehran', 'Etc/UTC', 'Australia/Lord_Howe')
TYPES = ('"null"', '"boolean"', '"int"', '"float"', '"double"', '"bytes"', '{"type":"fixed","name":"F","size":3}',
         '{"type":"enum","name":"E","symbols":["A","B"],"default":"A"}', '{"type":"array","items":"long"}',
         '{"type":"map","values":{"type":"array","items":["null","int"]}}', '["null","string","int"]',
         '{"type":"record","name":"Node","fields":[{"name":"v","type":"long"},{"name":"next","type":["null","Node"]}]}')


def files(pattern):
    for path in sorted(glob.glob(os.path.join(ROOT, pattern), recursive=True)):
        with open(path, 'rb') as file:
            yield file.read()


def c_strings(path):
    """Texts of a C test: adjacent literals joined."""
    with open(os.path.join(ROOT, path), encoding='utf-8') as file:
        source = file.read()
    for match in re.finditer(r'"(?:[^"\\\n]|\\.)*"(?:\s*"(?:[^"\\\n]|\\.)*")*', source):
        text = ''.join(re.findall(r'"((?:[^"\\\n]|\\.)*)"', match.group(0)))
        yield match.start(), text.encode().decode('unicode_escape', 'replace').encode('latin-1', 'replace')


def bodies():
    yield from files('schemas/golden/*/*.avro')


def schemas():
    for text in files('schemas/**/*.avsc'):
        small = json.loads(text)
        for field in small['fields']:
            field.pop('doc', None)
        for body in bodies():
            yield json.dumps(small, separators=(',', ':')).encode() + MARK + body
    need = '{"type":"record","name":"Interaction","fields":[%s]}'
    with open(os.path.join(ROOT, 'schemas', 'interaction.avsc'), encoding='utf-8') as file:
        required = [f for f in json.load(file)['fields'] if 'default' not in f]
    known = ','.join(json.dumps({'name': f['name'], 'type': f['type']}) for f in required)
    for kind in TYPES:
        yield kind.encode()
        yield (need % (known + ',{"name":"x","type":%s}' % kind)).encode() + MARK + bytes(40)


def events():
    yield from files('schemas/examples/*.json')
    yield from files('schemas/golden/*/*.json')
    for text in files('deploy/demo/*.jsonl'):
        yield from text.splitlines()[:12]


def fingerprints():
    for text in files('schemas/golden/*/fingerprint'):
        yield struct.pack('<Q', int(text.strip(), 16))


def records():
    for body in bodies():
        yield b'\x00\x00\x00\x00\x01' + body
        for fingerprint in fingerprints():
            yield b'\xc3\x01' + fingerprint + body


def mappings():
    texts = [text for _, text in c_strings('tests/unit/producer_mapping.c')]
    for number, text in enumerate(texts[:-1]):
        if b'events' in text or b'source:' in text:
            yield text + MARK.lstrip(b'\n') + texts[number + 1] + MARK + b'id,name\n1,a\n2,b\n'
    for text in files('deploy/mappings/*/[!p]*.yaml'):
        names = sorted(set(re.findall(rb'\{([a-z_]+)[}?|]', text)))
        csv = b','.join(names) + b'\n' + b','.join([b'2017-10-02 10:56:33'] * len(names)) + b'\n'
        yield re.sub(rb'file: *\S+\.csv', b'file: "901"', text) + MARK.lstrip(b'\n') + csv + MARK + csv


def rules():
    for pattern in ('deploy/polku.yaml', 'deploy/mappings/*/polku.yaml', 'tests/oracle/*.yaml', 'tests/scenario/*.yaml'):
        yield from files(pattern)
    for source in ('tests/unit/rules_load.c', 'tests/unit/rules_calendars.c'):
        yield from (text for _, text in c_strings(source) if b':' in text)


def answers():
    for schema in schemas():
        text = schema.partition(MARK)[0].decode('latin-1')
        yield json.dumps({'schema': text, 'schemaType': 'AVRO', 'references': []}).encode()
    yield b'{"id": 7, "subject": "s", "version": 1}'
    yield b'{"error_code": 40403, "message": "Schema \\"x\\" not found\\u0007"}'
    yield b'{"is_compatible": false, "messages": ["a field \\u00e4", "b", 3]}'
    yield b'{"schema": "{}", "schemaType": "PROTOBUF", "references": [{"name": "x"}]}'


def times():
    texts = [text for _, text in c_strings('tests/unit/producer_time.c')]
    for number, text in enumerate(texts[:-1]):
        yield text + MARK + texts[number + 1]
    yield from (text for _, text in c_strings('tests/unit/common_text.c'))


def zones():
    for name in ZONES:
        path = os.path.join('/usr/share/zoneinfo', name)
        if os.path.exists(path):
            with open(path, 'rb') as file:
                yield file.read()


SEEDS = {
    'wire': records,
    'schema': schemas,
    'decode': lambda: (b'\0' + body for body in bodies()),
    'json': events,
    'record': records,
    'csv': lambda: (b',' + text for _, text in c_strings('tests/unit/producer_csv.c')),
    'mapping': mappings,
    'rules': rules,
    'ids': lambda: (*files('schemas/ids.yaml'), b'1: interaction.avsc\n7: versions/none.avsc\n', b'"1": {a: b}\n', b'- 1\n'),
    'registry': answers,
    'options': lambda: (b'# a\ntext = a b\nnumber=7\nbytes = 3 MiB\nduration= 1d12h\nflag = yes\nkafka.x = y' + MARK +
                        b'--number=9\n--flag\n--bytes\n64KiB\n--secret-file\n901\nrest\n--\n--x', b'secret-file = 900\n',
                        b'numbr = 1\n', b'kafka.ssl.key.password-file=900\n' + MARK + b'--help', b'number = 900'),
    'zone': zones,
    'text': times,
}


def write_words(path, texts):
    words = {}
    for text in texts:
        for word in re.findall(rb'[A-Za-z_%*#{][A-Za-z0-9_.*/%-]{1,30}', text):
            words[word] = words.get(word, 0) + 1
    often = sorted(words, key=lambda word: (-words[word], word))[:400]
    with open(path, 'w', encoding='ascii') as file:
        for word in sorted(often):
            file.write('"%s"\n' % word.decode('ascii').replace('\\', '\\\\'))


def main():
    target, folder, dictionary = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    texts = list(SEEDS[target]()) if target in SEEDS else []
    for number, text in enumerate(texts):
        with open(os.path.join(folder, 'seed-%d' % number), 'wb') as file:
            file.write(text)
    binary = target in ('wire', 'decode', 'record', 'zone')
    write_words(dictionary, [] if binary else texts)


main()
