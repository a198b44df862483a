#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a compiler does not check: the layers, names and texts of the source tree.

    check.py ROOT        checks the tree, prints path:line: sentence, exit code 1 if there is any
    check.py --self-test seeds one offence of every kind into a small tree and expects each to be found

Each rule is a generator below; its docstring says what holds and why. Python's standard library only.
"""
import fnmatch
import os
import re
import subprocess
import sys
import tempfile

# Pure: structs in, structs out; no Kafka, no PostgreSQL, no Avro, no clock, no log.
PURE = ["identity", "journey", "obligation", "metric", "derive", "workset", "fact", "match", "symbol", "cache", "changes",
        "calendar", "course", "strand", "quarantine_limit", "health_rules",
        "metrics_text", "kafka_statistics"]
IMPURE_HEADERS = ["libpq-fe.h", "libpq/*", "librdkafka/*", "avro.h", "avro/*", "time.h", "sys/time.h", "pthread.h",
                  "unistd.h", "poll.h", "signal.h", "sys/socket.h", "microhttpd.h", "curl/*", "log.h", "intake*.h",
                  "crash_point.h"]
IMPURE_CALLS = re.compile(
    r"\b(time|clock|clock_gettime|gettimeofday|localtime\w*|gmtime\w*|printf|fprintf|vfprintf|puts|fputs|putchar|perror|"
    r"fopen|fwrite|syslog|getenv|log_\w+|store_\w+|intake_\w+|PQ\w+|rd_kafka_\w+|avro_\w+)\s*\(")

# Foreign libraries are met in few places: header pattern -> files that may include it.
HOMES = {
    "libpq-fe.h": ["consumer/store*", "consumer/migrate*", "consumer/cmd_*", "tests/*"],
    "librdkafka/*": ["consumer/intake*", "consumer/republish*", "consumer/cmd_*", "producer/publish*", "tests/*"],
    "avro.h": ["common/*", "tests/*"],
    "avro/*": ["common/*", "tests/*"],
    "yaml.h": ["common/*", "tests/*"],
    "curl/*": ["common/registry.c", "common/libraries.c", "tests/*"],
}

CODE = (".c", ".h", ".def")
WITH_SPDX = (".c", ".h", ".def", ".py", ".sh", ".sql", ".cmake", ".yaml", ".yml", ".xml")
INCLUDE = re.compile(r'^\s*#\s*include(?:_next)?\s*(["<])([^">]+)[">]', re.M)


class Tree:
    def __init__(self, root):
        self.root = root
        self.files = sorted(self.listing())
        self.cache = {}

    def listing(self):
        try:
            out = subprocess.run(["git", "-C", self.root, "ls-files", "-co", "--exclude-standard", "-z"],
                                 check=True, capture_output=True).stdout.decode()
            names = [n for n in out.split("\0") if n]
            if names:
                return [n for n in names if os.path.isfile(os.path.join(self.root, n))]
        except (OSError, subprocess.CalledProcessError):
            pass
        names = []
        for folder, folders, here in os.walk(self.root):
            folders[:] = [d for d in folders if d != ".git" and not d.startswith("build")]
            names += [os.path.relpath(os.path.join(folder, n), self.root) for n in here]
        return names

    def text(self, name):
        if name not in self.cache:
            with open(os.path.join(self.root, name), "rb") as f:
                raw = f.read()
            try:
                self.cache[name] = "" if b"\0" in raw[:8192] else raw.decode()
            except UnicodeDecodeError:
                self.cache[name] = ""
        return self.cache[name]

    def matching(self, *patterns):
        return [n for n in self.files if any(fnmatch.fnmatch(n, p) for p in patterns)]

    def code(self, name):
        """The text without comments and the contents of strings; line numbers stay."""
        def blank(match):
            found = match.group(0)
            if found.startswith("/"):
                return re.sub(r"[^\n]", " ", found)
            return found[0] + " " * (len(found) - 2) + found[-1]
        return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, self.text(name), flags=re.S)

    def includes(self, name):
        """(line, is_ours, header) of every include."""
        text = re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m.group(0)), self.text(name), flags=re.S)
        for m in INCLUDE.finditer(text):
            yield text.count("\n", 0, m.start(2)) + 1, m.group(1) == '"', m.group(2)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def is_any(name, patterns):
    return any(fnmatch.fnmatch(name, p) for p in patterns)


def header_files(tree):
    found = {}
    for name in tree.matching("common/*.h", "common/*.def", "consumer/*.h", "consumer/*.def", "producer/*.h",
                              "producer/*.def", "producer/include/*.h"):
        found.setdefault(os.path.basename(name), name)
        if name.startswith("producer/include/"):
            found[name[len("producer/include/"):]] = name
    return found


def pure_files(tree):
    return tree.matching(*[f"consumer/{stem}{rest}.{end}" for stem in PURE for rest in ("", "_*") for end in ("c", "h")])


def rule_pure_includes(tree):
    """The meaning is pure: neither its files nor what they include meet Kafka, PostgreSQL, Avro, a clock or the log."""
    headers = header_files(tree)
    for start in pure_files(tree):
        todo, seen = [(start, None)], set()
        while todo:
            name, first_line = todo.pop()
            if name in seen:
                continue
            seen.add(name)
            for line, ours, header in tree.includes(name):
                at = first_line or line
                if is_any(header, IMPURE_HEADERS):
                    via = "" if name == start else f" (by way of {name})"
                    yield start, at, f"pure code includes {header}{via}"
                elif ours and os.path.basename(header) in headers:
                    todo.append((headers[os.path.basename(header)], at))


def rule_pure_calls(tree):
    """The meaning asks no clock, prints nothing, calls no store."""
    for name in pure_files(tree):
        if not name.endswith(".c"):
            continue
        code = tree.code(name)
        for m in IMPURE_CALLS.finditer(code):
            yield name, line_of(code, m.start()), f"pure code calls {m.group(1)}()"


def rule_homes(tree):
    """Kafka, PostgreSQL, Avro, YAML and HTTP are each met in one place."""
    for name in tree.matching("*.c", "*.h"):
        for line, ours, header in tree.includes(name):
            for pattern, homes in HOMES.items():
                if not ours and fnmatch.fnmatch(header, pattern) and not is_any(name, homes):
                    yield name, line, f"{header} may be included by {', '.join(homes)} only"


def rule_pipeline_alone(tree):
    """pipeline.c alone knows intake and store together."""
    for name in tree.matching("consumer/*.c", "consumer/*.h"):
        if os.path.basename(name) in ("pipeline.c",):
            continue
        own = {header: line for line, ours, header in tree.includes(name) if ours}
        if "intake.h" in own and "store.h" in own:
            yield name, max(own["intake.h"], own["store.h"]), "includes intake.h and store.h; only pipeline.c may"


def rule_downwards(tree):
    """common/ knows neither program; the programs do not know each other."""
    headers = header_files(tree)
    for area, others in (("common", ("consumer/", "producer/")), ("consumer", ("producer/",)), ("producer", ("consumer/",))):
        for name in tree.matching(f"{area}/*.c", f"{area}/*.h"):
            for line, ours, header in tree.includes(name):
                home = headers.get(header)
                if ours and home and home.startswith(others) and not os.path.exists(
                        os.path.join(tree.root, os.path.dirname(name), header)):
                    yield name, line, f"{area}/ includes {home}"


def rule_unique_stems(tree):
    """#include "name.h" needs no path, so a header's name is used once."""
    seen = {}
    for name in tree.matching("common/*.h", "consumer/*.h", "producer/*.h", "common/*.c", "consumer/*.c", "producer/*.c"):
        if name.startswith("producer/include/"):
            continue
        base = os.path.basename(name)
        if base in ("main.c", "options.c"):
            continue
        if base in seen:
            yield name, 1, f"has the name of {seen[base]}"
        seen.setdefault(base, name)


def rule_spdx(tree):
    """Every source file names its licence near its top."""
    wanted = "SPDX-License-Identifier: " + "Apache-2.0"
    for name in tree.files:
        text = tree.text(name)
        is_script = text.startswith("#!")
        if not (name.endswith(WITH_SPDX) or is_script or os.path.basename(name) == "CMakeLists.txt"):
            continue
        if wanted not in "\n".join(text.split("\n")[:5]):
            yield name, 1, "no SPDX-License-Identifier line in the first five"


def rule_unfinished(tree):
    """No notes to self are shipped."""
    words = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]) + r")\b")
    for name in tree.files:
        if name in ("LICENSE",) or name.endswith((".csv", ".jsonl")):
            continue
        text = tree.text(name)
        for m in words.finditer(text):
            yield name, line_of(text, m.start()), f"{m.group(1)} left in the text"


def rule_machine_paths(tree):
    """Nothing depends on, or tells, where somebody's checkout lies."""
    paths = re.compile(r"(?<![\w.$})-])/(work|root|home|Users|mnt|data\d)/[\w.-]+")
    for name in tree.files:
        if name == "LICENSE":
            continue
        text = tree.text(name)
        for m in paths.finditer(text):
            yield name, line_of(text, m.start()), f"absolute machine path {m.group(0)}"


def rule_scripts_parse(tree):
    """Scripts parse, also those that only a failure runs."""
    for name in tree.files:
        first = tree.text(name).split("\n", 1)[0]
        path = os.path.join(tree.root, name)
        if name.endswith(".sh") or (first.startswith("#!") and "bash" in first):
            run = subprocess.run(["bash", "-n", path], capture_output=True, text=True)
            if run.returncode:
                yield name, 1, "bash cannot parse it: " + run.stderr.strip().split("\n")[0]
        elif name.endswith(".py") or (first.startswith("#!") and "python" in first):
            try:
                compile(tree.text(name), name, "exec")
            except SyntaxError as e:
                yield name, e.lineno or 1, f"Python cannot parse it: {e.msg}"


RULES = [value for name, value in sorted(globals().items()) if name.startswith("rule_")]


def check(root):
    tree = Tree(root)
    found = sorted({(name, line, text) for rule in RULES for name, line, text in rule(tree)})
    return tree, found


def self_test():
    licence = "SPDX-License-Identifier: " + "Apache-2.0"
    head = f"/* {licence} */\n"
    offences = {
        "consumer/journey.c": (head + '#include "journey.h"\nvoid f(void)\n{\n    time(0);\n}\n', "pure code calls time()"),
        "consumer/journey.h": (head + '#include "middle.h"\n', "pure code includes libpq-fe.h (by way of consumer/middle.h)"),
        "consumer/middle.h": (head + "#include <libpq-fe.h>\n", "libpq-fe.h may be included by"),
        "consumer/cmd_run.c": (head + '#include "intake.h"\n#include "store.h"\n', "only pipeline.c may"),
        "common/low.c": (head + '#include "middle.h"\n', "common/ includes consumer/middle.h"),
        "producer/journey.h": (head, "has the name of consumer/journey.h"),
        "common/bare.c": ("int x;\n", "no SPDX"),
        "docs/note.md": ("TO" + "DO: write\n", "left in the text"),
        "docs/path.md": ("see /ho" + "me/someone/x\n", "absolute machine path"),
        "deploy/broken.sh": (f"# {licence}\nif then\n", "bash cannot parse"),
        "tests/broken.py": (f"# {licence}\ndef (:\n", "Python cannot parse"),
    }
    with tempfile.TemporaryDirectory() as root:
        innocent = {"consumer/fact.c": head + '/* time(0), log_write() */\nconst char *s = "time(0)";\n',
                    "consumer/pipeline.c": head + '#include "intake.h"\n#include "store.h"\n'}
        for name, content in {**{n: c for n, (c, _) in offences.items()}, **innocent}.items():
            os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
            with open(os.path.join(root, name), "w") as f:
                f.write(content)
        _, found = check(root)
    failed = 0
    for name, (_, expected) in offences.items():
        if not any(n == name and expected in text for n, _, text in found):
            print(f"not found: {name}: {expected}")
            failed += 1
    for name, line, text in found:
        if name in innocent:
            print(f"innocent: {name}:{line}: {text}")
            failed += 1
    print(f"{len(offences)} offences seeded, {failed} judged wrongly")
    return 1 if failed else 0


def main():
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    if sys.argv[1] == "--self-test":
        return self_test()
    tree, found = check(os.path.abspath(sys.argv[1]))
    for name, line, text in found:
        print(f"{name}:{line}: {text}")
    print(f"{len(tree.files)} files, {len(RULES)} rules, {len(found)} offences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
