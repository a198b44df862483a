#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Golden bytes from golden JSON, by a second implementation of Avro that shares no code with the C.

  golden.py --check    exit code 1 if any vN/*.avro or vN/fingerprint differs
  golden.py --write N  make the files of a new version N; published ones never change

Each vN/NAME.json is one event in natural JSON; vN/NAME.avro is its Avro body in the schema of version N.
"""
import datetime
import json
import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent
PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")


def schema_path(version):
    return HERE.parent / ("interaction.avsc" if version == 1 else f"versions/interaction-{version}.avsc")


def long_bytes(value):
    raw = (value << 1) ^ (value >> 63)
    raw &= (1 << 64) - 1
    out = bytearray()
    while raw >= 0x80:
        out.append(raw & 0x7F | 0x80)
        raw >>= 7
    out.append(raw)
    return bytes(out)


def micros(value):
    if isinstance(value, int):
        return value
    moment = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    return (moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(microseconds=1)


def text_bytes(text):
    raw = text.encode()
    return long_bytes(len(raw)) + raw


def encode(schema, value):
    if isinstance(schema, list):  # null and one more: ours have no others
        return long_bytes(0) if value is None else long_bytes(1) + encode(schema[1], value)
    kind = schema if isinstance(schema, str) else schema["type"]
    if kind == "string":
        return text_bytes(value)
    if kind == "long":
        return long_bytes(micros(value))
    if kind == "double":
        return struct.pack("<d", value)
    if kind == "enum":
        return long_bytes(schema["symbols"].index(value))
    if kind == "record":
        known = {field["name"] for field in schema["fields"]}
        assert set(value) <= known, set(value) - known
        return b"".join(encode(field["type"], value.get(field["name"], field.get("default")))
                        for field in schema["fields"])
    if kind == "array":
        items = b"".join(encode(schema["items"], item) for item in value)
        return (long_bytes(len(value)) + items if value else b"") + b"\0"
    if kind == "map":
        pairs = sorted(value.items(), key=lambda pair: pair[0].encode())
        body = b"".join(text_bytes(key) + encode(schema["values"], item) for key, item in pairs)
        return (long_bytes(len(pairs)) + body if pairs else b"") + b"\0"
    raise ValueError(kind)


def canonical(schema, space=""):
    """Parsing Canonical Form; every named type of ours is defined where it is used, once."""
    if isinstance(schema, str):
        return json.dumps(schema)
    if isinstance(schema, list):
        return "[" + ",".join(canonical(branch, space) for branch in schema) + "]"
    kind = schema["type"]
    if kind in PRIMITIVES:
        return json.dumps(kind)
    if kind == "array":
        return '{"type":"array","items":' + canonical(schema["items"], space) + "}"
    if kind == "map":
        return '{"type":"map","values":' + canonical(schema["values"], space) + "}"
    space = schema.get("namespace", space)
    out = f'{{"name":"{space}.{schema["name"]}","type":"{kind}"'
    if kind == "enum":
        out += ',"symbols":[' + ",".join(json.dumps(symbol) for symbol in schema["symbols"]) + "]"
    if kind == "record":
        out += ',"fields":[' + ",".join(f'{{"name":"{field["name"]}","type":{canonical(field["type"], space)}}}'
                                        for field in schema["fields"]) + "]"
    return out + "}"


def fingerprint(raw):
    empty = 0xC15D213AA4D7A795
    table = []
    for i in range(256):
        for _ in range(8):
            i = (i >> 1) ^ (empty if i & 1 else 0)
        table.append(i)
    value = empty
    for byte in raw:
        value = (value >> 8) ^ table[(value ^ byte) & 0xFF]
    return value


def files(version):
    schema = json.loads(schema_path(version).read_text(encoding="utf-8"))
    folder = HERE / f"v{version}"
    yield folder / "fingerprint", f"{fingerprint(canonical(schema).encode()):016x}\n".encode()
    for path in sorted(folder.glob("*.json")):
        yield path.with_suffix(".avro"), encode(schema, json.loads(path.read_text(encoding="utf-8")))


def main():
    assert fingerprint(b'"int"') == 0x7275D51A3F395C8F
    if sys.argv[1:2] == ["--write"] and len(sys.argv) == 3:
        for path, raw in files(int(sys.argv[2])):
            path.write_bytes(raw)
    elif sys.argv[1:] == ["--check"]:
        for folder in sorted(HERE.glob("v*")):
            for path, raw in files(int(folder.name[1:])):
                if path.read_bytes() != raw:
                    sys.exit(f"{path.relative_to(HERE)} differs from what its JSON gives")
    else:
        sys.exit(__doc__)


main()
