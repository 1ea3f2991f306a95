#!/usr/bin/env python3
"""Plays the Sigma rules over findings.

    VENV/bin/python tests/sigma/check.py dashboards/sigma

Each rule is turned into SQL (pySigma's SQLite backend) and asked of a table of findings: samples that the agent's own encoder
wrote (findings.jsonl, one for each detector), changed as cases.json says. Each rule needs cases that it matches and cases,
differing in the one thing that matters, that it does not. Prints what is wrong, then `N cases`. Exit code 1 if anything is.
The ATT&CK techniques that a rule is tagged with must be on docs/standards.md, because Sigma's own check of tags asks the
network.
"""

import copy
import datetime
import json
import pathlib
import re
import sqlite3
import sys

from sigma.backends.sqlite import sqliteBackend
from sigma.collection import SigmaCollection

HERE = pathlib.Path(__file__).parent
STANDARDS = HERE.parent.parent / "docs/standards.md"


def flat(value, prefix=""):
    """Dotted names to plain values, as log shippers make them; of a list all values, one a line."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from flat(below, f"{prefix}.{key}" if prefix else key)
    elif isinstance(value, list):
        many = {}
        for below in value:
            for key, one in flat(below, prefix):
                many.setdefault(key, []).append(str(one))
        for key, ones in many.items():
            yield key, "\n".join(ones)
    else:
        yield prefix, str(value).lower() if isinstance(value, bool) else value


def event(samples, detector, changes):
    """A sample, with some of its fields set otherwise; null takes one away."""
    row = dict(flat(copy.deepcopy(samples[detector])))
    row["timestamp"] = datetime.datetime.fromtimestamp(row["time"] / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
    for key, value in changes.items():
        if key not in row and value is not None and not key.startswith("unmapped."):
            sys.exit(f"cases.json: {detector} has no {key}")
        row[key] = value
    return {key: value for key, value in row.items() if value is not None}


def found(queries, rows):
    """How many lines the rule answers with."""
    base = sqlite3.connect(":memory:")
    # A field that no event has is a column all the same, as a rule may ask for it.
    asked = {name for query in queries for name in re.findall(r"`([\w.]+)`", query)} - {"rowid"}
    columns = sorted(asked.union(*rows))
    base.execute("CREATE TABLE logs (" + ", ".join(f"`{column}`" for column in columns) + ")")
    marks = ", ".join("?" for _ in columns)
    base.executemany(f"INSERT INTO logs VALUES ({marks})", [[row.get(column) for column in columns] for row in rows])
    return sum(len(base.execute(query).fetchall()) for query in queries)


def main(directory):
    samples = {}
    for line in (HERE / "findings.jsonl").read_text(encoding="utf-8").splitlines():
        finding = json.loads(line)
        samples[finding["finding_info"]["analytic"]["uid"]] = finding
    cases = json.loads((HERE / "cases.json").read_text(encoding="utf-8"))
    rules = sorted(pathlib.Path(directory).glob("*.yml"))
    wrong, played = [], 0
    if [rule.stem for rule in rules] != sorted(cases):
        wrong.append(f"rules {[rule.stem for rule in rules]}, cases of {sorted(cases)}")
    standards = STANDARDS.read_text(encoding="utf-8")
    for rule in rules:
        collection = SigmaCollection.load_ruleset([rule])
        for technique in {tag.name.upper() for one in collection.rules for tag in one.tags if re.match("t[0-9]", tag.name)}:
            if technique not in standards:
                wrong.append(f"{rule.name}: {technique} is not in {STANDARDS.name}")
        queries = sqliteBackend().convert(collection)
        for wanted in ("matches", "silent"):
            told = cases.get(rule.stem, {}).get(wanted, [])
            if not told:
                wrong.append(f"{rule.name}: no case of `{wanted}`")
            for case in told:
                played += 1
                lines = found(queries, [event(samples, detector, changes) for detector, changes in case])
                if bool(lines) != (wanted == "matches"):
                    wrong.append(f"{rule.name}: {lines} lines for {case}, which is in `{wanted}`")
    print("\n".join(wrong + [f"{played} cases"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
