#!/usr/bin/env python3
"""Checks findings and incidents (JSON lines) against the published OCSF schema.

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
CLASSES = (2004, 2005)  # Detection Finding, Incident Finding
SCHEMA = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=VERSION))
VALIDATORS = {}


def validator(uid, profiles):
    """The class's validator with these profiles applied."""
    if (uid, profiles) not in VALIDATORS:
        name = SCHEMA.lookup_class_name_from_uid(uid)
        schema = SCHEMA.get_class_schema(name, list(profiles))
        Draft202012Validator.check_schema(schema)
        VALIDATORS[uid, profiles] = Draft202012Validator(schema)
    return VALIDATORS[uid, profiles]


def errors(text):
    """Every reason why this line is not a valid finding or incident."""
    try:
        event = json.loads(text)
    except json.JSONDecodeError as error:
        return [f"not JSON: {error}"]
    if not isinstance(event, dict):
        return ["not an object"]
    found = []
    uid = event.get("class_uid")
    if uid not in CLASSES:
        return [f"class_uid: {uid!r}, not one of {CLASSES}"]
    wanted = uid * 100 + event.get("activity_id", 0)
    if event.get("type_uid") != wanted:
        found.append(f"type_uid: {event.get('type_uid')!r}, not {wanted}")
    metadata = event.get("metadata", {})
    if metadata.get("version") != VERSION:
        found.append(f"metadata.version: {metadata.get('version')!r}, not {VERSION}")
    profiles = tuple(sorted(metadata.get("profiles", [])))
    for error in validator(uid, profiles).iter_errors(event):
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
