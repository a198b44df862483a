#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check.py ROOT | --self-test ROOT - our own rules for deploy/Dockerfile, .dockerignore and deploy/compose.yaml.

No engine is needed; tests/deploy/containers builds and runs them. --self-test breaks each rule in memory and wants it found.
"""
import fnmatch
import pathlib
import re
import shutil
import subprocess
import sys

import yaml

SERVICE_KEYS = set(
    "image build command entrypoint environment volumes ports secrets depends_on healthcheck restart stop_grace_period "
    "stop_signal read_only cap_drop security_opt logging mem_limit pids_limit tmpfs shm_size user group_add profiles".split()
)
BASE_ARGUMENT = re.compile(r"^\$\{?BASE\}?$")
VARIABLE = re.compile(r"\$\{([A-Z_]+)(:-([^}]*))?\}")


class Tree:
    """The files of a checkout, some of them replaced."""

    def __init__(self, root, replaced=None):
        self.root = pathlib.Path(root)
        self.replaced = replaced or {}

    def text(self, path):
        return self.replaced.get(path) or (self.root / path).read_text()

    def exists(self, path):
        return (self.root / path).exists()

    def glob(self, pattern):
        return sorted(str(p.relative_to(self.root)) for p in self.root.glob(pattern))


def instructions(text):
    """(NAME, rest) of each instruction, continued lines joined."""
    joined = re.sub(r"\\\n", " ", "\n".join(l for l in text.splitlines() if not l.lstrip().startswith("#")))
    return [(l.split(None, 1)[0].upper(), l.split(None, 1)[1].strip()) for l in joined.splitlines() if l.strip()]


def ignored(tree, path):
    """Whether .dockerignore keeps a path, or a folder above it, out of the build."""
    patterns = [l for l in tree.text(".dockerignore").splitlines() if l and not l.startswith("#")]
    parts = path.rstrip("/").split("/")
    above = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    return any(fnmatch.fnmatchcase(a, p) and a.count("/") == p.count("/") for a in above for p in patterns)


def image_offence(image):
    name = image.rsplit("/", 1)[-1]
    if ":" not in name and "@" not in name:
        return "has no tag"
    return "is whatever is latest today" if name.endswith(":latest") else None


def check_dockerfile(tree, path, final):
    """`final`: the stages that become images of ours."""
    found = []
    text = tree.text(path)
    say = lambda what: found.append(f"{path}: {what}")
    if re.search(r"^#\s*syntax\s*=", text, re.M):
        say("a syntax line would be fetched from an image registry")
    stage, stages, defaults = None, {}, {}
    for name, rest in instructions(text):
        if name == "ARG":
            key, _, value = rest.partition("=")
            defaults.setdefault(key, value)
        if name == "FROM":
            image, _, label = rest.partition(" AS ")
            if BASE_ARGUMENT.match(image):
                image = defaults.get("BASE", "")
            if image != "scratch" and image not in stages and image_offence(image):
                say(f"the base {image} {image_offence(image)}")
            stage = label or str(len(stages))
            stages[stage] = []
        elif stage is not None:
            stages[stage].append((name, rest))
        if name == "ADD":
            say("ADD unpacks and fetches; COPY does neither")
        if name == "RUN" and rest.startswith("--"):
            say("RUN with an option needs BuildKit")
        if name in ("ENTRYPOINT", "CMD") and not rest.startswith("["):
            say(f"{name} {rest}: not in exec form, so it needs a shell and gets no signals")
        if name == "ENV" and re.search(r"PASSWORD|SECRET|KEY", rest):
            say(f"ENV {rest}: secrets come from files")
        if name == "COPY" and not rest.startswith("--from") and path == "deploy/Dockerfile":
            for source in rest.split()[:-1]:
                if source != "." and not tree.exists(source):
                    say(f"COPY {source}: there is no such file")
                if source != "." and ignored(tree, source):
                    say(f"COPY {source}: .dockerignore keeps it out")
    for stage in final:
        last = dict(stages.get(stage, []))
        if not re.match(r"^[1-9]\d*:[1-9]\d*$", last.get("USER", "")):
            say(f"stage {stage}: USER is not a number other than 0, with a group")
        for name in ("ENTRYPOINT", "STOPSIGNAL", "LABEL"):
            if name not in last:
                say(f"stage {stage}: no {name}")
        if any(name == "RUN" for name, _ in stages.get(stage, [])):
            say(f"stage {stage}: RUN needs a shell, and this image has none")
    return found


def check_ignored(tree):
    """What the build reads comes along; what nobody may have does not."""
    found = []
    for path in (".git", "build", "build-asan", "deploy/secrets"):
        if not ignored(tree, path):
            found.append(f".dockerignore: {path} would be sent to the engine")
    for listing in ["CMakeLists.txt", *tree.glob("cmake/*.cmake"), *tree.glob("[cp]*/CMakeLists.txt")]:
        for path in re.findall(r"(?<![\w/.])(?:deploy|docs|schemas|sql)/[\w@./-]+", tree.text(listing)):
            if tree.exists(path) and ignored(tree, path) and not path.endswith(".md"):
                found.append(f".dockerignore: keeps {path} out, which {listing} wants")
    return found


def options(tree):
    rows = "".join(tree.text(p) for p in ("consumer/consumer_options.def", "producer/producer_options.def"))
    known = set()
    for name, kind in re.findall(r'^X\(\w+, [\w *]+, "([a-z-]+)", "[^"]*", (\w+)', rows, re.M):
        known.add("POLKU_" + name.upper().replace("-", "_") + ("_FILE" if kind == "SECRET_FILE" else ""))
    return known


def check_service(tree, name, service, document):
    found = []
    say = lambda what: found.append(f"deploy/compose.yaml: {name}: {what}")
    for key in set(service) - SERVICE_KEYS:
        say(f"{key} is not known to be the same for docker compose and docker-compose 1.29")
    image = VARIABLE.sub(lambda m: m.group(3) or "", service.get("image", ""))
    if image_offence(image):
        say(f"the image {image} {image_offence(image)}")
    if service.get("cap_drop") != ["ALL"] or "no-new-privileges:true" not in service.get("security_opt", []):
        say("without cap_drop: [ALL] and no-new-privileges")
    if image.startswith("polku-") and service.get("read_only") is not True:
        say("its root can be written")
    for key in ("mem_limit", "restart"):
        if key not in service:
            say(f"no {key}")
    for port in service.get("ports", []):
        if not port.startswith("127.0.0.1:"):
            say(f"port {port} is open to others than this host")
    for secret in service.get("secrets", []):
        if "file" not in document.get("secrets", {}).get(secret, {}):
            say(f"the secret {secret} is not declared as a file")
    for key in service.get("environment", {}):
        if re.search(r"PASSWORD|SECRET|_KEY", key) and not key.endswith("_FILE"):
            say(f"{key}: secrets come from files")
        if key.startswith("POLKU_") and key not in options(tree):
            say(f"{key} is no option of ours")
    for volume in service.get("volumes", []):
        source = VARIABLE.sub(lambda m: m.group(3) or "", volume).split(":")[0]
        if "docker.sock" in source:
            say("has the engine itself")
        elif source.startswith("."):
            if not tree.exists(f"deploy/{source}"):
                say(f"mounts deploy/{source[2:]}, and there is no such file")
        elif source not in document.get("volumes", {}):
            say(f"the volume {source} is not declared")
    for target, how in dict(service.get("depends_on", {})).items():
        other = document["services"].get(target)
        if other is None:
            say(f"waits for {target}, which is none of the services")
        elif how["condition"] == "service_healthy" and "healthcheck" not in other:
            say(f"waits for the health of {target}, which is never asked for it")
        elif how["condition"] == "service_completed_successfully" and other.get("restart") not in ("no", "on-failure"):
            say(f"waits for the end of {target}, which is started again for ever")
    if re.search(r"\bsleep\b", str([service.get("command"), service.get("entrypoint")])):
        say("sleeps; wait for a fact")
    return found


def check_compose(tree):
    text = tree.text("deploy/compose.yaml")
    found = []
    for name, default, _ in VARIABLE.findall(text):
        if not default:
            found.append(f"deploy/compose.yaml: ${{{name}}} has no default")
    document = yaml.safe_load(text)
    for key in document:
        if key not in ("services", "volumes", "secrets") and not key.startswith("x-"):
            found.append(f"deploy/compose.yaml: {key} is not taken by docker-compose 1.29")
    for name, service in document["services"].items():
        found += check_service(tree, name, service, document)
    return found


def check(tree):
    found = check_dockerfile(tree, "deploy/Dockerfile", ["consumer", "producer"])
    for path in tree.glob("tests/deploy/images/*/Dockerfile"):
        found += check_dockerfile(tree, path, [])
    return found + check_ignored(tree) + check_compose(tree)


def check_with_compose(root):
    """By the program itself, where a machine has Debian's."""
    if not shutil.which("docker-compose"):
        print("NOTE: docker-compose is not installed; its own word on compose.yaml is left out")
        return []
    asked = subprocess.run(["docker-compose", "-f", "deploy/compose.yaml", "config", "-q"], cwd=root, capture_output=True, text=True)
    return [f"docker-compose config: {asked.stderr.strip()}"] if asked.returncode else []


# (file, what stands there, what is put there instead, words of the offence)
OFFENCES = [
    ("deploy/Dockerfile", "debian:bookworm-slim", "debian:latest", "latest"),
    ("deploy/Dockerfile", "USER 10001:10001", "USER polku", "USER is not a number"),
    ("deploy/Dockerfile", "USER 10001:10001", "USER 0:0", "USER is not a number"),
    ("deploy/Dockerfile", 'ENTRYPOINT ["/usr/bin/polku-consumer"]', "ENTRYPOINT /usr/bin/polku-consumer", "exec form"),
    ("deploy/Dockerfile", "COPY deploy/packages.sh", "COPY deploy/package.sh", "no such file"),
    ("deploy/Dockerfile", "STOPSIGNAL SIGTERM", "", "no STOPSIGNAL"),
    (".dockerignore", "deploy/secrets", "", "deploy/secrets would be sent"),
    (".dockerignore", "tests\n", "tests\ndeploy/mappings\n", "keeps deploy/mappings out"),
    (".dockerignore", "tests\n", "tests\ndeploy/packages.sh\n", "COPY deploy/packages.sh: .dockerignore"),
    ("deploy/compose.yaml", "x-ours: &ours", "name: polku\nx-ours: &ours", "name is not taken"),
    ("deploy/compose.yaml", "apache/kafka:4.1.1", "apache/kafka", "has no tag"),
    ("deploy/compose.yaml", "read_only: true", "read_only: false", "root can be written"),
    ("deploy/compose.yaml", "cap_drop: [ALL]", "cap_drop: [NET_RAW]", "without cap_drop"),
    ("deploy/compose.yaml", '"127.0.0.1:${POSTGRES_PORT', '"${POSTGRES_PORT', "open to others"),
    ("deploy/compose.yaml", "POSTGRES_PASSWORD_FILE: /run", "POSTGRES_PASSWORD: /run", "secrets come from files"),
    ("deploy/compose.yaml", "POLKU_BROKERS", "POLKU_BROKER", "no option of ours"),
    ("deploy/compose.yaml", "compose/prometheus.yml:", "compose/prometheu.yml:", "no such file"),
    ("deploy/compose.yaml", "registry: {condition: service_healthy}", "prometheus: {condition: service_healthy}", "never asked"),
    ("deploy/compose.yaml", "${KAFKA_PORT:-9092}:9092", "${KAFKA_PORT}:9092", "has no default"),
    ("deploy/compose.yaml", "restart: on-failure", "restart: always", "started again for ever"),
]


def self_test(root):
    missed = []
    for path, old, new, words in OFFENCES:
        text = Tree(root).text(path)
        found = check(Tree(root, {path: text.replace(old, new)})) if old in text else ["nothing to break"]
        if not any(words in what for what in found):
            missed.append(f"{path}: {old!r} -> {new!r} is not found: {found}")
    print(f"{len(OFFENCES) - len(missed)} of {len(OFFENCES)} offences found")
    return missed


def main(arguments):
    if arguments[:1] == ["--self-test"]:
        found = self_test(arguments[1])
    else:
        found = check(Tree(arguments[0])) + check_with_compose(arguments[0])
    for what in found:
        print(what)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
