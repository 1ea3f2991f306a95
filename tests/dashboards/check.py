#!/usr/bin/env python3
"""Checks dashboards against the types that Grafana publishes for them (PyPI `grafana-foundation-sdk`, generated from
Grafana's own schema).

    VENV/bin/python tests/dashboards/check.py FILE...

Each file is read into those types. Wrong is: a key that no type has (it does not come out again), a value of another type,
a panel or query of an unknown kind. Prints what is wrong with file and place, then `N valid`. Exit code 1 if anything is.
"""

import enum
import importlib
import inspect
import json
import sys
import typing

from grafana_foundation_sdk.cog import plugins, runtime
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard
from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

plugins.register_default_plugins()


def lost(wanted, found, place):
    """Keys and values of `wanted` that `found` does not have; it may have more, for defaults."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key, value in wanted.items():
            if key in found:
                yield from lost(value, found[key], f"{place}.{key}")
            else:
                yield f"{place}.{key}: no such key"
    elif isinstance(wanted, list) and isinstance(found, list):
        for number, value in enumerate(wanted):
            yield from lost(value, found[number], f"{place}[{number}]")
    elif wanted != found:
        yield f"{place}: {wanted!r} became {found!r}"


def mistyped(value, place):
    """Attributes, all the way down, that are not of the type that is declared for them."""
    if isinstance(value, (list, tuple)):
        for number, below in enumerate(value):
            yield from mistyped(below, f"{place}[{number}]")
    elif isinstance(value, dict):
        for key, below in value.items():
            yield from mistyped(below, f"{place}.{key}")
    elif type(value).__module__.startswith("grafana_foundation_sdk.models"):
        if isinstance(value, enum.Enum):
            return
        module = importlib.import_module(type(value).__module__)
        for name, declared in typing.get_type_hints(type(value), vars(module)).items():
            below = getattr(value, name)
            enumerations = [one for one in (declared, *typing.get_args(declared)) if is_enumeration(one)]
            # The types keep the plain value of an enumeration that was read from JSON.
            if enumerations and below is not None and not isinstance(below, enum.Enum):
                if not any(below in [member.value for member in one] for one in enumerations):
                    yield f"{place}.{name}: {below!r} is none of {[member.value for member in enumerations[0]]}"
                continue
            try:
                check_type(below, declared, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
            except TypeCheckError as error:
                yield f"{place}.{name}: {error}"
            yield from mistyped(below, f"{place}.{name}")


def is_enumeration(declared):
    return inspect.isclass(declared) and issubclass(declared, enum.Enum)


def unknown_kinds(read):
    """Panels and queries that no plugin took: they stay plain objects."""
    for panel in read.panels or []:
        if isinstance(panel, dashboard.RowPanel):
            continue
        if isinstance(panel.options, dict):
            yield f"panel {panel.title!r}: no panel plugin {panel.type_val!r}"
        for target in panel.targets or []:
            if isinstance(target, runtime.UnknownDataquery):
                yield f"panel {panel.title!r}: a query of no known data source"


def errors(path):
    with open(path, encoding="utf-8") as file:
        text = json.load(file)
    read = dashboard.Dashboard.from_json(text)
    for panel in read.panels or []:
        # The one list that the library leaves as it was read.
        if getattr(panel, "transformations", None):
            panel.transformations = [dashboard.DataTransformerConfig.from_json(one) for one in panel.transformations]
    again = json.loads(JSONEncoder(sort_keys=True).encode(read))
    yield from lost(text, again, "$")
    yield from mistyped(read, "$")
    yield from unknown_kinds(read)


def main(paths):
    valid, wrong = 0, 0
    for path in paths:
        found = list(errors(path))
        for message in found:
            print(f"{path}: {message}")
        valid, wrong = (valid, wrong + 1) if found else (valid + 1, wrong)
    print(f"{valid} valid" + (f", {wrong} wrong" if wrong else ""))
    return 1 if wrong or not valid else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
