#!/usr/bin/env python3
"""Checks findings (JSON lines) against the published OCSF schema.

    python3 -m venv DIR && DIR/bin/pip install -r tests/ocsf/requirements.txt
    DIR/bin/python tests/ocsf/check.py FILE...          (- is standard input)

Prints every error with file, line and place, then `N valid`. Exit code 1 if a line is invalid or there is none, 2 for
usage or a missing package. The schema comes with the ocsf-json-schema package; the network is not used.
"""

import json
import sys

try:
    from jsonschema import Draft202012Validator
    from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
except ImportError as error:
    print(f"{error}: pip install -r tests/ocsf/requirements.txt", file=sys.stderr)
    sys.exit(2)

VERSION = "1.8.0"
CLASS = 2004
SCHEMA = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=VERSION))
VALIDATORS = {}


def validator(profiles):
    """The class's validator with these profiles applied."""
    if profiles not in VALIDATORS:
        name = SCHEMA.lookup_class_name_from_uid(CLASS)
        schema = SCHEMA.get_class_schema(name, list(profiles))
        Draft202012Validator.check_schema(schema)
        VALIDATORS[profiles] = Draft202012Validator(schema)
    return VALIDATORS[profiles]


def errors(text):
    """Every reason why this line is not a valid finding."""
    try:
        event = json.loads(text)
    except json.JSONDecodeError as error:
        return [f"not JSON: {error}"]
    if not isinstance(event, dict):
        return ["not an object"]
    found = []
    for key, wanted in (("class_uid", CLASS), ("type_uid", CLASS * 100 + event.get("activity_id", 0))):
        if event.get(key) != wanted:
            found.append(f"{key}: {event.get(key)!r}, not {wanted}")
    metadata = event.get("metadata", {})
    if metadata.get("version") != VERSION:
        found.append(f"metadata.version: {metadata.get('version')!r}, not {VERSION}")
    profiles = tuple(sorted(metadata.get("profiles", [])))
    for error in validator(profiles).iter_errors(event):
        found.append(f"{error.json_path}: {error.message[:300]}")
    return found


def main(paths):
    if not paths:
        print(__doc__, file=sys.stderr)
        return 2
    valid, invalid = 0, 0
    for path in paths:
        with sys.stdin if path == "-" else open(path, encoding="utf-8") as lines:
            for number, text in enumerate(lines, 1):
                if not text.strip():
                    continue
                found = errors(text)
                for message in found:
                    print(f"{path}:{number}: {message}")
                valid, invalid = (valid, invalid + 1) if found else (valid + 1, invalid)
    print(f"{valid} valid" + (f", {invalid} invalid" if invalid else ""))
    return 1 if invalid or not valid else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
