"""A pipeline over events of one ready contract, and what it must count of them."""

import collections
import json

from program import run

# Per contract: settings of the stream, and the column that a table is grouped by.
STREAMS = {
    "segment-track": ('time = "timestamp"\nid = "id"', "event"),
    "segment-page": ('time = "timestamp"\nid = "id"', "type"),
    "posthog": ('time = "timestamp"\nid = "uuid"', "event"),
    "snowplow": ('time = "derived_tstamp"\nreceived = "collector_tstamp"\nid = "event_id"', "event_name"),
    "cloudevents": ('time = "time"\nid = "id"', "type"),
    "ga4": ('time = "event_timestamp"\ntime_unit = "us"', "event_name"),
    "shopify-order": ('time = "created_at"\nid = "id"', "currency"),
}


def kind_of(rule):
    """What type of column a property becomes."""
    if rule.get("format") in ("decimal", "int64"):
        return "number"
    return rule["type"] if isinstance(rule["type"], str) else next(kind for kind in rule["type"] if kind != "null")


def columns(schema, path=()):
    """Of each value that a contract names: the column, the names that lead to it, and its type."""
    for name, rule in schema["properties"].items():
        kind = kind_of(rule)
        if kind == "object":
            yield from columns(rule, (*path, name))
        elif kind != "array":
            yield rule.get("x-column", ".".join((*path, name))), (*path, name), kind


def value(event, path):
    for name in path:
        event = event.get(name) if event is not None else None
    return event


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def write(program, folder, contract):
    """Writes the pipeline's folder, and gives the contract's columns."""
    settings, group = STREAMS[contract]
    text = run(program, folder, "schema", contract)
    found = list(columns(json.loads(text)))
    parts = [quoted(group), "count(*) AS events"]
    for number, (column, _, kind) in enumerate(found):
        parts.append(f"count({quoted(column)}) AS n{number}")
        if kind in ("integer", "number"):
            parts.append(f"sum(CAST({quoted(column)} AS DOUBLE)) AS s{number}")
    (folder / "schemas").mkdir()
    (folder / "schemas/event.json").write_text(text)
    (folder / "features").mkdir()
    (folder / "features/every.sql").write_text(f"SELECT {', '.join(parts)} FROM events GROUP BY {quoted(group)}\n")
    stream = f'[streams.events]\nsubjects = ["payloads.events"]\ncontract = "schemas/event.json"\n{settings}\ndisorder = "1h"'
    (folder / "pipeline.toml").write_text(f'name = "payloads"\n\n{stream}\n')
    return found


def expect(found, contract, events):
    """The rows that there must be, by plain counting over the JSON."""
    group = next(path for column, path, _ in found if column == STREAMS[contract][1])
    groups = collections.defaultdict(list)
    for event in events:
        groups[value(event, group)].append(event)
    for key, members in groups.items():
        row = {"events": len(members)}
        for number, (_, path, kind) in enumerate(found):
            values = [one for one in (value(event, path) for event in members) if one is not None]
            row[f"n{number}"] = len(values)
            if kind in ("integer", "number") and values:
                row[f"s{number}"] = sum(map(float, values))
        yield key, row


def write_case(folder, contract, found, events, at):
    """A test case of the events and the rows."""
    toml = json.dumps
    lines = "\n".join(json.dumps(event) for event in events)
    # Libraries that send several batches at once don't keep the order: all were received when all had happened.
    case = f'about = "what is read is what was sent"\n\n[[events]]\nstream = "events"\npublished = "{at}"\nlines = {toml(lines)}\n'
    case += f"\n[counts]\ncounted = {len(events)}\nrejected = 0\nlate = 0\nduplicate = 0\n"
    for key, row in expect(found, contract, events):
        cells = ", ".join(f"{name} = {number!r}" for name, number in row.items())
        case += f'\n[[rows]]\ntable = "every"\nkey = {{ {STREAMS[contract][1]} = {toml(key)} }}\nat = "{at}"\nexpect = {{ {cells} }}\n'
    (folder / "tests").mkdir()
    (folder / "tests/every.toml").write_text(case)
