"""Whether all contenders computed the same: rows read from what each wrote, in one form, compared one by one.

A row is (user, window's start in milliseconds): (events, spent, carts, items). Files are CSV without or with a heading; a
start is a number of the contender's unit or a timestamp of UTC. Columns after the sixth are a contender's own.
"""

import csv
import datetime
import math
import os

RELATIVE = 1e-6
COLUMNS = ("events", "spent", "carts", "items")


class Disagreement(Exception):
    """Two contenders differ, or one contradicts itself; names the first row."""


def start_ms(text, unit_ms):
    """Milliseconds since 1970 of a window's start, of which a number counts units of `unit_ms`."""
    if text.lstrip("-").isdigit():
        return int(text) * unit_ms
    at = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    if at.tzinfo is None:
        at = at.replace(tzinfo=datetime.timezone.utc)
    return (at - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(milliseconds=1)


def files_of(path):
    """The file, or all files below the folder; empty ones and Hadoop's checksums don't matter."""
    if os.path.isfile(path):
        return [path]
    found = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]
    return [file for file in found if not file.endswith(".crc")]


def read(name, path, unit_ms):
    """What contender `name` wrote to `path`, a dictionary by key; `unit_ms` as in `start_ms`."""
    rows = {}
    for file in files_of(path):
        with open(file, encoding="utf-8", newline="") as text:
            for fields in csv.reader(text):
                if not fields or fields[0] == "user_id":
                    continue
                key = int(fields[0]), start_ms(fields[1], unit_ms)
                if key in rows:
                    raise Disagreement(f"{name}: user {key[0]}, window {key[1]} is there twice")
                rows[key] = int(fields[2]), float(fields[3]), int(fields[4]), int(fields[5])
    return rows


def same(one, other):
    return one[0] == other[0] and one[2:] == other[2:] and math.isclose(one[1], other[1], rel_tol=RELATIVE, abs_tol=1e-9)


def compare(results):
    """Compares every contender's rows with the first one's. `results`: rows by name. Returns how many rows there are."""
    (first, expected), *others = results.items()
    if not expected:
        raise Disagreement(f"{first} wrote no rows")
    for name, rows in others:
        for key in sorted(expected.keys() | rows.keys()):
            one, other = expected.get(key), rows.get(key)
            if one is None or other is None or not same(one, other):
                raise Disagreement(
                    f"user {key[0]}, window {key[1]}, {COLUMNS}: {first} says {one or 'nothing'}, "
                    f"{name} {other or 'nothing'} ({len(expected)} and {len(rows)} rows)"
                )
    return len(expected)
