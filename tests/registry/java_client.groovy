// SPDX-License-Identifier: Apache-2.0
// Java's Kafka client, Apache Avro and a registry's serialisers, with events like those of python_client.py.
//
//   versions
//   send BROKERS TOPIC REGISTRY SCHEMA EVENTS     AvroKafkaSerializer with Confluent's frame, which registers the schema
//   receive BROKERS TOPIC REGISTRY COUNT          AvroKafkaDeserializer; prints the events
//   single BROKERS TOPIC SCHEMA EVENTS            single-object encoding by Avro's BinaryMessageEncoder
//   fingerprints SCHEMA...                        CRC-64-AVRO by Avro's SchemaNormalization
import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import io.apicurio.registry.serde.avro.AvroKafkaDeserializer
import io.apicurio.registry.serde.avro.AvroKafkaSerializer
import org.apache.avro.Schema
import org.apache.avro.SchemaNormalization
import org.apache.avro.generic.GenericArray
import org.apache.avro.generic.GenericData
import org.apache.avro.generic.GenericRecord
import org.apache.avro.message.BinaryMessageEncoder
import org.apache.kafka.clients.consumer.KafkaConsumer
import org.apache.kafka.clients.producer.KafkaProducer
import org.apache.kafka.clients.producer.ProducerRecord
import org.apache.kafka.common.serialization.ByteArrayDeserializer
import org.apache.kafka.common.serialization.ByteArraySerializer
import org.apache.kafka.common.serialization.StringSerializer
import org.apache.kafka.common.utils.AppInfoParser

def convert(value, Schema schema) {
    switch (schema.type) {
    case Schema.Type.RECORD:
        def record = new GenericData.Record(schema)
        schema.fields.each { record.put(it.name(), convert(value[it.name()], it.schema())) }
        return record
    case Schema.Type.ENUM: return new GenericData.EnumSymbol(schema, value)
    case Schema.Type.UNION: return value == null ? null : convert(value, schema.types.find { it.type != Schema.Type.NULL })
    case Schema.Type.ARRAY: return value.collect { convert(it, schema.elementType) }
    case Schema.Type.MAP: return value.collectEntries { key, item -> [key, convert(item, schema.valueType)] }
    case Schema.Type.LONG: return value as long
    case Schema.Type.INT: return value as int
    case Schema.Type.DOUBLE: return value as double
    default: return value
    }
}

def plain(value) {
    if (value instanceof GenericRecord) return value.schema.fields.collectEntries { [it.name(), plain(value.get(it.name()))] }
    if (value instanceof Map) return value.collectEntries { key, item -> [key.toString(), plain(item)] }
    if (value instanceof Collection) return value.collect { plain(it) }
    value == null || value instanceof Number || value instanceof Boolean ? value : value.toString()
}

def settings(String brokers, String registry = null) {
    def all = ['bootstrap.servers': brokers, 'acks': 'all']
    if (registry) {
        // The registry's own API beside Confluent's; ids as Confluent's API has them.
        all += ['apicurio.registry.url': registry.replaceFirst('/apis/ccompat/.*', '/apis/registry/v2'),
                'apicurio.registry.as-confluent': true, 'apicurio.registry.headers.enabled': false,
                'apicurio.registry.use-id': 'contentId',
                'apicurio.registry.auto-register': true]
    }
    all
}

def publish(Map settings, valueSerializer, String topic, String events, Closure value) {
    def waiting = []
    new KafkaProducer(settings, new StringSerializer(), valueSerializer).withCloseable { producer ->
        new File(events).eachLine('UTF-8') { line ->
            def event = new JsonSlurper().parseText(line)
            waiting << producer.send(new ProducerRecord(topic, event.event_id, value(event)))
        }
        producer.flush()
    }
    waiting.each { it.get() }
}

def schemaOf(String path) { new Schema.Parser().parse(new File(path)) }

def rest = args.length > 1 ? args[1..-1] : []
switch (args[0]) {
case 'versions':
    println JsonOutput.toJson(['kafka-clients': AppInfoParser.version, 'avro': Schema.package.implementationVersion,
                               'apicurio-serdes': '2.6.13.Final', 'java': System.getProperty('java.version')])
    break
case 'send':
    def (brokers, topic, registry, path, events) = rest
    def schema = schemaOf(path), serializer = new AvroKafkaSerializer()
    def all = settings(brokers, registry)
    serializer.configure(all, false)
    publish(all, serializer, topic, events) { convert(it, schema) }
    break
case 'single':
    def (brokers, topic, path, events) = rest
    def schema = schemaOf(path), encoder = new BinaryMessageEncoder(GenericData.get(), schema)
    publish(settings(brokers), new ByteArraySerializer(), topic, events) { event ->
        def buffer = encoder.encode(convert(event, schema))
        def bytes = new byte[buffer.remaining()]
        buffer.get(bytes)
        bytes
    }
    break
case 'receive':
    def (brokers, topic, registry, count) = rest
    def deserializer = new AvroKafkaDeserializer()
    def all = settings(brokers, registry) + ['group.id': 'java-' + topic, 'auto.offset.reset': 'earliest', 'enable.auto.commit': 'false']
    deserializer.configure(all, false)
    def left = count as int
    new KafkaConsumer(all, new ByteArrayDeserializer(), deserializer).withCloseable { consumer ->
        consumer.subscribe([topic])
        def until = System.currentTimeMillis() + 60000
        while (left > 0 && System.currentTimeMillis() < until)
            consumer.poll(java.time.Duration.ofMillis(500)).each {
                println JsonOutput.toJson(plain(it.value()))
                left--
            }
    }
    if (left > 0) {
        System.err.println("$left records did not come")
        System.exit(1)
    }
    break
case 'fingerprints':
    rest.each { println String.format('%016x', SchemaNormalization.parsingFingerprint64(schemaOf(it))) }
    break
}
