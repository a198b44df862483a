#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pages that must say what the code says.

    pages.py options PROGRAM PAGE     the table in PAGE equals what `PROGRAM options --markdown` prints
    pages.py options PROGRAM PAGE --write    puts it there
    pages.py metrics PROGRAM PAGE [--write]  the same for `PROGRAM metrics`
    pages.py checks PROGRAM PAGE [--write]   the same for `PROGRAM doctor checks`
    pages.py tree ROOT                links in Markdown lead somewhere, and docs/architecture.md names every
                                      module of common/, consumer/ and producer/, and none that is not there

Prints path:line: sentence, exit code 1 if there is any. Python's standard library only.
"""
import difflib
import glob
import os
import re
import subprocess
import sys

TABLES = {"options": ["options", "--markdown"], "metrics": ["metrics"], "checks": ["doctor", "checks"]}
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^ *```.*?^ *```", re.M | re.S)


def printed(what, program, page, write):
    begin_line, end_line = f"<!-- {what} -->\n", f"<!-- end of {what} -->\n"
    table = subprocess.run([program, *TABLES[what]], check=True, capture_output=True, text=True).stdout
    with open(page, encoding="utf-8") as file:
        text = file.read()
    before, begin, rest = text.partition(begin_line)
    held, end, after = rest.partition(end_line)
    if not begin or not end:
        return [f"{page}:1: lacks the line {(begin_line if not begin else end_line).strip()}"]
    if held == table:
        return []
    if write:
        with open(page, "w", encoding="utf-8") as file:
            file.write(before + begin_line + table + end_line + after)
        return []
    sys.stdout.writelines(difflib.unified_diff(held.splitlines(True), table.splitlines(True), page, "the program"))
    return [f"{page}:1: differs from the program; tests/lint/pages.py {what} PROGRAM {os.path.basename(page)} --write"]


def anchors(text):
    """What GitHub makes of headings."""
    for heading in re.findall(r"^#+ +(.*)$", FENCE.sub("", text), re.M):
        plain = re.sub(r"[^\w\- ]", "", heading.lower().strip())
        yield plain.replace(" ", "-")


def pages_of(root):
    out = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard", "-z", "*.md"], capture_output=True)
    names = [n for n in out.stdout.decode().split("\0") if n]
    if not names:
        names = [os.path.relpath(n, root) for n in glob.glob(os.path.join(root, "**", "*.md"), recursive=True)]
    return sorted(n for n in names if os.path.isfile(os.path.join(root, n)) and not n.startswith("build"))


def broken_links(root):
    texts = {name: open(os.path.join(root, name), encoding="utf-8").read() for name in pages_of(root)}
    for name, text in texts.items():
        shown = FENCE.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)
        for match in LINK.finditer(shown):
            target, _, anchor = match.group(1).partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            line = shown.count("\n", 0, match.start()) + 1
            path = os.path.normpath(os.path.join(os.path.dirname(name), target)) if target else name
            if path.startswith(".."):
                yield f"{name}:{line}: {target} points outside the repository"
            elif not os.path.exists(os.path.join(root, path)):
                yield f"{name}:{line}: {target} is not there"
            elif anchor and path in texts and anchor not in anchors(texts[path]):
                yield f"{name}:{line}: {path} has no heading #{anchor}"


def unnamed_modules(root):
    page = "docs/architecture.md"
    with open(os.path.join(root, page), encoding="utf-8") as file:
        text = file.read()
    there = set()
    for folder in ("common", "consumer", "producer"):
        for path in glob.glob(os.path.join(root, folder, "*.[ch]")) + glob.glob(os.path.join(root, folder, "*.def")):
            there.add(os.path.splitext(os.path.basename(path))[0])
    named = set()
    listed = text[text.find("\n## Files"):text.find("\n### elsewhere")]
    for cell in re.findall(r"^\| *((?:`[\w.]+`(?:, *)?)+) *\|", listed, re.M):
        named |= set(re.findall(r"`(\w+)`", cell))
    for stem in sorted(there - named):
        yield f"{page}:1: no table names the module {stem}"
    for stem in sorted(named - there):
        line = text[:text.index(f"`{stem}`")].count("\n") + 1
        yield f"{page}:{line}: there is no module {stem}"


def main(arguments):
    if len(arguments) >= 3 and arguments[0] in TABLES:
        found = printed(*arguments[:3], arguments[3:] == ["--write"])
    elif len(arguments) == 2 and arguments[0] == "tree":
        found = list(broken_links(arguments[1])) + list(unnamed_modules(arguments[1]))
    else:
        print(__doc__)
        return 2
    for sentence in found:
        print(sentence)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
