#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Keeps the tables of schemas/README.md equal to schemas/vocabulary.yaml.

  vocabulary.py --check   exit code 1 and the first difference if they are not
  vocabulary.py --write   print them into README.md
"""
import pathlib
import re
import sys

import yaml

HERE = pathlib.Path(__file__).resolve().parent
NAME = re.compile(r"^(\*/)?[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)?$")


def table(section, words):
    head = {"namespaces": "namespace", "scales": "scale", "money": "kind of money"}.get(section, section[:-1])
    rows = [f"| {head} | meaning |", "|---|---|"]
    return "\n".join(rows + [f"| `{name}` | {sentence} |" for name, sentence in words.items()])


def check_words(vocabulary):
    for section, words in vocabulary.items():
        for name, sentence in words.items():
            if not isinstance(name, str) or not NAME.match(name):
                sys.exit(f"vocabulary.yaml: {section}: {name!r} is not a proper name")
            if not isinstance(sentence, str) or not sentence.endswith("."):
                sys.exit(f"vocabulary.yaml: {section}: {name} needs a sentence that ends with a full stop")


def printed(readme, vocabulary):
    for section, words in vocabulary.items():
        pattern = re.compile(rf"(<!-- {section} -->\n).*?(<!-- end -->)", re.S)
        if not pattern.search(readme):
            sys.exit(f"README.md: no place for the table of {section} (<!-- {section} --> ... <!-- end -->)")
        readme = pattern.sub(lambda m: m[1] + "\n" + table(section, words) + "\n\n" + m[2], readme)
    return readme


def main():
    vocabulary = yaml.safe_load((HERE / "vocabulary.yaml").read_text(encoding="utf-8"))
    check_words(vocabulary)
    path = HERE / "README.md"
    readme = path.read_text(encoding="utf-8")
    wanted = printed(readme, vocabulary)
    if sys.argv[1:] == ["--write"]:
        path.write_text(wanted, encoding="utf-8")
    elif sys.argv[1:] == ["--check"]:
        for number, (have, want) in enumerate(zip(readme.splitlines(), wanted.splitlines()), 1):
            if have != want:
                sys.exit(f"README.md:{number}: differs from vocabulary.yaml; run vocabulary.py --write\n"
                         f"  is:     {have}\n  should: {want}")
        if readme != wanted:
            sys.exit("README.md: differs from vocabulary.yaml; run vocabulary.py --write")
    else:
        sys.exit(__doc__)


main()
