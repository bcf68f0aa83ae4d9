"""A thousand calls of `track` from a library through a broker and a running pipeline, and the same counts by DuckDB from the
same JSON.

    python scripts/payloads/thousand.py PROGRAM        ends with 1 where a row differs
"""

import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import duckdb

import of_segment
from catcher import Catcher
from program import run
from shop import actions

EVENTS = 1_000
PATIENCE_SECONDS = 120

STREAM = """name = "thousand"

[streams.calls]
subjects = ["thousand.calls"]
contract = "schemas/track.json"
time     = "timestamp"
id       = "id"
disorder = "0s"
"""

# The same question in the words of both: {x} is the path of a property.
TABLES = {
    "person": "SELECT coalesce({user_id}, {anonymous_id}) AS person, count(*) AS calls, "
    "count(*) FILTER (WHERE event = 'Product Viewed') AS views, count(DISTINCT {product_id}) AS products, "
    "sum({price} * {quantity}) AS worth, max({total}) AS largest FROM calls GROUP BY coalesce({user_id}, {anonymous_id})",
    "category": "SELECT {category} AS category, count(*) AS calls, sum({quantity}) AS pieces, min({price}) AS cheapest "
    "FROM calls WHERE {category} IS NOT NULL GROUP BY {category}",
}
PATHS = {"user_id": "userId", "anonymous_id": "anonymousId"}
PROPERTIES = ["product_id", "price", "quantity", "total", "category"]


def write(program, folder):
    (folder / "schemas").mkdir()
    (folder / "features").mkdir()
    (folder / "pipeline.toml").write_text(STREAM)
    (folder / "schemas/track.json").write_text(run(program, folder, "schema", "segment-track"))
    names = {name: name for name in [*PATHS, *PROPERTIES]}
    for table, question in TABLES.items():
        (folder / f"features/{table}.sql").write_text(question.format(**names) + "\n")


@contextlib.contextmanager
def running(program, folder):
    log = folder / "log"
    with open(log, "w") as file:
        worker = subprocess.Popen([program, "run", "."], cwd=folder, stderr=file, stdout=file)
    try:
        yield worker
    finally:
        worker.terminate()
        if worker.wait(60) != 0:
            print(log.read_text(), file=sys.stderr)


def until(worker, found):
    """Asks until there is an answer that is not None."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end and worker.poll() is None:
        with contextlib.suppress(RuntimeError):
            if (answer := found()) is not None:
                return answer
        time.sleep(0.2)
    raise RuntimeError("the pipeline does not get through")


def by_tidewheel(program, folder, lines):
    def events():
        counted = json.loads(run(program, folder, "status", ".", "--format", "json"))["events"]
        return counted if counted["counted"] >= EVENTS else None

    with running(program, folder) as worker:
        until(worker, lambda: run(program, folder, "pub", ".", lines))
        print("became of the calls:", ", ".join(f"{number} {what}" for what, number in until(worker, events).items()))
        return {table: json.loads(run(program, folder, "sql", ".", f"SELECT * FROM {table}", "--format", "json")) for table in TABLES}


def by_duckdb(lines):
    # DuckDB takes ids that look so for UUIDs.
    names = {name: f'CAST("{path}" AS VARCHAR)' for name, path in PATHS.items()} | {name: f"properties.{name}" for name in PROPERTIES}
    database = duckdb.connect()
    database.execute("CREATE TABLE calls AS SELECT * FROM read_json(?, format = 'newline_delimited', sample_size = -1)", [str(lines)])
    found = {}
    for table, question in TABLES.items():
        answer = database.execute(question.format(**names))
        titles = [column[0] for column in answer.description]
        found[table] = [dict(zip(titles, row)) for row in answer.fetchall()]
    return found


def is_near(one, other):
    if isinstance(one, float) and isinstance(other, float | int):
        return abs(one - other) <= 1e-9 * max(abs(one), 1.0)
    return one == other


def agree(table, found, expected):
    key = next(iter(expected[0]))
    found = {row[key]: row for row in found}
    differing = 0
    for row in expected:
        other = found.pop(row[key], {})
        if not all(is_near(value, other.get(name)) for name, value in row.items()):
            differing += 1
            print(f"{table}: DuckDB {row}, found {other}", file=sys.stderr)
    for row in found.values():
        differing += 1
        print(f"{table}: DuckDB has no {row}", file=sys.stderr)
    print(f"{table}: {len(expected)} rows, {differing} of them differ")
    return differing == 0


def main(program):
    done = [action for action in actions(EVENTS * 2) if action.what != "Page"][:EVENTS]
    with Catcher() as catcher, tempfile.TemporaryDirectory() as folder:
        of_segment.send_segment(catcher, done)
        folder = pathlib.Path(folder)
        lines = folder / "calls.jsonl"
        lines.write_text("".join(json.dumps(call) + "\n" for call in of_segment.tracks(catcher)))
        write(program, folder)
        found, expected = by_tidewheel(program, folder, lines), by_duckdb(lines)
    return all([agree(table, found[table], expected[table]) for table in TABLES])


if __name__ == "__main__":
    match sys.argv[1:]:
        case [program]:
            sys.exit(not main(str(pathlib.Path(program).resolve())))
        case _:
            sys.exit(__doc__)
