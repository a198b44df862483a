# SPDX-License-Identifier: Apache-2.0
"""Other makers' clients in Python: Confluent's (confluent-kafka with its Avro serialiser), and Avro by fastavro.

Run by the interpreter of the virtual environment that peers.sh makes; none of Polku's code. Events are JSON Lines with
every field there and times as microseconds, as the schema has them.

    python_client.py versions
    python_client.py send BROKERS TOPIC REGISTRY SCHEMA EVENTS        AvroSerializer, which registers the schema
    python_client.py receive BROKERS TOPIC REGISTRY COUNT             AvroDeserializer; prints the events
    python_client.py single BROKERS TOPIC SCHEMA EVENTS               single-object encoding by fastavro
    python_client.py fingerprints SCHEMA...                           CRC-64-AVRO by fastavro
    python_client.py evolve SEED BROKERS TOPIC REGISTRY SCHEMA EVENTS FOLDER
                        writes each event by one of many other schemas, some registered, some in FOLDER and single-object;
                        prints what fastavro makes of the bytes as a reader with SCHEMA
"""

import datetime
import io
import json
import os
import random
import sys

import confluent_kafka
import fastavro
import fastavro.schema
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MICROSECOND = datetime.timedelta(microseconds=1)


def read(path):
    with open(path, encoding='utf-8') as file:
        return file.read()


def lines_of(path):
    return [json.loads(line) for line in read(path).splitlines()]


def plain(value):
    """Times back to microseconds."""
    if isinstance(value, datetime.datetime):
        return (value - EPOCH) // MICROSECOND
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


class Sender:
    def __init__(self, brokers, topic):
        self.producer, self.topic, self.failed = confluent_kafka.Producer({'bootstrap.servers': brokers}), topic, []

    def send(self, key, value):
        self.producer.produce(self.topic, value, key, on_delivery=lambda error, _: error and self.failed.append(error))
        self.producer.poll(0)

    def close(self):
        left = self.producer.flush(60)
        if left or self.failed:
            sys.exit('%d records were not delivered: %s' % (left + len(self.failed), self.failed[:1]))


def versions():
    print(json.dumps({'confluent-kafka': confluent_kafka.__version__, 'librdkafka': confluent_kafka.libversion()[0],
                      'fastavro': fastavro.__version__, 'python': sys.version.split()[0]}))


def send(brokers, topic, registry, schema, events):
    serialise = AvroSerializer(SchemaRegistryClient({'url': registry}), read(schema))
    sender = Sender(brokers, topic)
    for event in lines_of(events):
        sender.send(event['event_id'], serialise(event, SerializationContext(topic, MessageField.VALUE)))
    sender.close()


def receive(brokers, topic, registry, count):
    deserialise = AvroDeserializer(SchemaRegistryClient({'url': registry}))
    consumer = confluent_kafka.Consumer({'bootstrap.servers': brokers, 'group.id': 'receive-' + topic,
                                         'auto.offset.reset': 'earliest', 'enable.auto.commit': False})
    consumer.subscribe([topic])
    left = int(count)
    while left:
        message = consumer.poll(60)
        if message is None or message.error():
            sys.exit('%d records did not come: %s' % (left, message and message.error()))
        print(json.dumps(plain(deserialise(message.value(), SerializationContext(topic, MessageField.VALUE)))))
        left -= 1
    consumer.close()


def framed_single(tree, schema, value):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, value)
    fingerprint = fastavro.schema.fingerprint(fastavro.schema.to_parsing_canonical_form(tree), 'CRC-64-AVRO')
    return b'\xc3\x01' + bytes.fromhex(fingerprint) + out.getvalue(), out.getvalue()


def single(brokers, topic, schema, events):
    tree = json.loads(read(schema))
    parsed = fastavro.parse_schema(tree)
    sender = Sender(brokers, topic)
    for event in lines_of(events):
        sender.send(event['event_id'], framed_single(tree, parsed, event)[0])
    sender.close()


def fingerprints(*paths):
    """Apache's avro for Python (1.12.2) is not asked: its canonical form keeps {"type": "long"} where the specification says
    "long", so its fingerprints of schemas with logical types are its own."""
    for path in paths:
        canonical = fastavro.schema.to_parsing_canonical_form(json.loads(read(path)))
        fingerprint = bytes.fromhex(fastavro.schema.fingerprint(canonical, 'CRC-64-AVRO'))
        print('%016x' % int.from_bytes(fingerprint, 'little'))      # as a number: the frame has it in the other order


# ---- other writers ----

TEXT = {'event_id', 'source', 'type', 'channel', 'brand'}


class Writer:
    """One schema made of ours by what a schema may go through, and the value that it writes for an event."""

    def __init__(self, number, ours, chance):
        self.chance, self.change, self.added = chance, {}, {}
        tree = json.loads(json.dumps(ours))
        fields = [self.field(field) for field in tree['fields']
                  if not ('default' in field and chance.random() < 0.15 and field['name'] != 'identifiers')]
        for i in range(chance.randrange(4)):
            fields.append(self.add('added_%d_%d' % (number, i)))
        if chance.random() < 0.7:
            chance.shuffle(fields)
        tree['fields'] = fields
        tree['doc'] = 'writer %d' % number
        self.tree, self.parsed = tree, None

    def parse(self):
        """Nested types must be defined where they are used first: every order keeps that, for none is used twice."""
        self.parsed = fastavro.parse_schema(json.loads(json.dumps(self.tree)))

    def add(self, name):
        kind, value = self.chance.choice([
            ('long', -5), ('double', 2.5), ('string', 'ä'), ('bytes', b'\0\xff'), ('boolean', True), (['null', 'string'], None),
            ({'type': 'array', 'items': ['null', 'long']}, [1, None, 3]), ({'type': 'map', 'values': 'double'}, {'a': 0.5}),
            ({'type': 'fixed', 'name': name + '_f', 'size': 3}, b'abc'), ({'type': 'enum', 'name': name + '_e', 'symbols': ['A', 'B']}, 'B'),
            ({'type': 'record', 'name': name + '_r', 'fields': [{'name': 'x', 'type': 'int'}, {'name': 'y', 'type': {
                'type': 'array', 'items': 'string'}}]}, {'x': 1, 'y': ['a', 'b']})])
        self.added[name] = value
        return {'name': name, 'type': kind}

    def field(self, field):
        """The field as this writer has it; what must be done to values is noted."""
        name, kind, chance = field['name'], field['type'], self.chance
        nullable = isinstance(kind, list)
        inner = kind[1] if nullable else kind
        if isinstance(inner, dict) and inner['type'] == 'enum' and chance.random() < 0.5:
            symbols = inner['symbols']
            symbols.insert(chance.randrange(len(symbols) + 1), 'NEWER')
            chance.shuffle(symbols)
            if inner.get('default') not in symbols:
                inner.pop('default', None)
            self.change[name] = lambda value: 'NEWER' if chance.random() < 0.3 else value
        elif name == 'sequence' and chance.random() < 0.5:
            inner = 'int'
            field.pop('default', None)
        elif inner == 'string' and chance.random() < 0.3:
            inner = 'bytes'
            field.pop('default', None)
            self.change[name] = lambda value: None if value is None else value.encode()
        elif name == 'rating' and chance.random() < 0.6:
            for number in inner['fields']:
                if number['type'] == 'double':
                    number['type'] = 'float'
        if nullable:
            kind = chance.choice([['null', inner], [inner, 'null'], ['null', inner, 'boolean'], ['long', inner, 'null']])
            field.pop('default', None)
        elif name in TEXT and chance.random() < 0.3:
            kind = chance.choice([['null', inner], [inner, 'null'], [inner], ['int', inner]])
        else:
            kind = inner
        return dict(field, type=kind)

    def value(self, event):
        found = {field['name']: self.change.get(field['name'], lambda value: value)(event[field['name']])
                 for field in self.tree['fields'] if field['name'] in event}
        found.update(self.added)
        return found


def evolve(seed, brokers, topic, registry, schema, events, folder):
    ours, chance = json.loads(read(schema)), random.Random(int(seed))
    reader = fastavro.parse_schema(json.loads(read(schema)))
    client, sender = SchemaRegistryClient({'url': registry}), Sender(brokers, topic)
    os.makedirs(os.path.join(folder, 'versions'))
    writers = [Writer(number, ours, chance) for number in range(24)]
    for number, writer in enumerate(writers):
        writer.parse()
        if number % 2:
            writer.id = client.register_schema(topic + '-value', Schema(json.dumps(writer.tree), 'AVRO'))
        else:
            with open(os.path.join(folder, 'versions', 'writer_%d.avsc' % number), 'w', encoding='utf-8') as file:
                json.dump(writer.tree, file)
    for event in lines_of(events):
        number = chance.randrange(len(writers))
        writer = writers[number]
        framed, body = framed_single(writer.tree, writer.parsed, writer.value(event))
        sender.send(event['event_id'], b'\0' + writer.id.to_bytes(4, 'big') + body if number % 2 else framed)
        print(json.dumps(plain(fastavro.schemaless_reader(io.BytesIO(body), writer.parsed, reader))))
    sender.close()


COMMANDS = {command.__name__: command for command in (versions, send, receive, single, fingerprints, evolve)}
COMMANDS[sys.argv[1]](*sys.argv[2:])
