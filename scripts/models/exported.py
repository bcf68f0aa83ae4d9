"""A model as its library exports it, rows for it, what its owner predicts for them, and what is known of it."""

import dataclasses
import json
import re

import numpy as np

ROWS = 1_000


@dataclasses.dataclass
class Exported:
    """One line of the table."""

    library: str
    kind: str
    # Writes the model under a path that it is given.
    export: object
    # Columns of vector.sql by name: floats, whole numbers, or lists of whole numbers.
    columns: dict
    # The score that the library itself predicts for each row.
    expected: np.ndarray
    # What the section [model] has beside the file.
    settings: dict = dataclasses.field(default_factory=dict)
    # Whether there is an export that `check` takes, and whether it gives what the library predicts.
    loads: bool = True
    agrees: bool = True
    # What `check` says of it where it can't be trained: a word of that.
    untrained: str = ""

    @property
    def name(self):
        return re.sub("[^a-z0-9]+", "-", f"{self.library}-{self.kind}".lower()).strip("-")[:40].strip("-")


def features(data, kind=""):
    """The numbers of a `Data` without its moments, which are more than float32 holds; some are missing where the kind says so."""
    columns = {name: values for name, values in data.numbers.items() if name != "moment"}
    return columns if MISSING in kind else {**columns, "price": np.nan_to_num(columns["price"])}


def settings_of(kind):
    return {"missing": "nan"} if MISSING in kind else {}


MISSING = "missing values"
EVENT = {
    "event_id": {"type": "string"},
    "user_id": {"type": "integer"},
    "item_id": {"type": "integer"},
    "kind": {"type": "string", "enum": ["view", "click"]},
    "request_id": {"type": ["string", "null"]},
    "ts": {"type": "integer"},
}
# Columns of `requests` that are there without being asked for.
REQUEST_IDS = ("user_id", "item_id")
REQUEST = {
    "request_id": {"type": "string"},
    "user_id": {"type": "integer"},
    "items": {"type": "array", "items": {"type": "integer"}},
}
TRAIN = """
[labels]
join     = ["request_id", "item_id"]
positive = "kind = 'click'"

[train]
"""


def contract(title, properties, required):
    schema = "http://json-schema.org/draft-07/schema#"
    return json.dumps(
        {"$schema": schema, "title": title, "type": "object", "properties": properties, "required": required}
    )


def field(values, may_miss):
    """A column in the contract of requests."""
    if isinstance(values, list):
        return {"type": "array", "items": {"type": "integer"}}
    if values.dtype.kind == "i":
        return {"type": "integer"}
    return {"type": ["number", "null"] if may_miss else "number"}


def write_pipeline(folder, case):
    """A pipeline whose requests bring the columns, with the rows to predict and the predictions beside it."""
    for part in ("schemas", "features", "model"):
        (folder / part).mkdir(parents=True)
    case.export(folder / "model" / "mine.onnx")
    may_miss = "missing" in case.settings
    asked = {name: field(values, may_miss) for name, values in case.columns.items() if name not in REQUEST_IDS}
    events = contract("Visit", EVENT, ["event_id", "user_id", "item_id", "kind", "ts"])
    requests = contract("Ranking request", {**REQUEST, **asked}, [*REQUEST, *([] if may_miss else asked)])
    (folder / "schemas" / "visit.json").write_text(events)
    (folder / "schemas" / "request.json").write_text(requests)
    (folder / "features" / "reader.sql").write_text("SELECT user_id, count(*) AS views FROM visits GROUP BY user_id\n")
    columns = ", ".join(f"r.{name} AS {name}" for name in case.columns)
    (folder / "vector.sql").write_text(f"SELECT {columns}\nFROM requests r\n")
    more = "".join(f"{name} = {json.dumps(value)}\n" for name, value in case.settings.items())
    (folder / "pipeline.toml").write_text(
        f'name = "{case.name}"\n\n'
        f'[streams.visits]\nsubjects = ["{case.name}.visits"]\ncontract = "schemas/visit.json"\n'
        'time = "ts"\nkey = "user_id"\nid = "event_id"\n\n'
        f'[model]\ngraph = "model/mine.onnx"\n{more}\n'
        f'[score]\nservice = "{case.name}.score"\nrequest = "schemas/request.json"\n'
    )
    write_lines(folder / "rows.jsonl", case.columns)
    write_lines(folder / "predicted.jsonl", {"score": np.asarray(case.expected, float).reshape(-1)})


def write_lines(path, columns):
    rows = zip(*columns.values())
    lines = (json.dumps(dict(zip(columns, map(plain, row)))) + "\n" for row in rows)
    path.write_text("".join(lines))


def plain(value):
    """As JSON: NaN is null, which the pipeline makes NaN again."""
    if isinstance(value, list):
        return value
    if isinstance(value, np.integer):
        return int(value)
    return None if np.isnan(value) else float(value)
