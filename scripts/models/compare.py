"""Trains models of each library, imports them, and compares what ONNX Runtime makes of the files with the libraries' own predictions.

    python scripts/models/compare.py PROGRAM             prints a table; ends with 1 where a difference is above 1e-6
    python scripts/models/compare.py PROGRAM XGBoost     of one library
    python scripts/models/compare.py --golden FOLDER     writes small models, rows and predictions for the program's tests
"""

import contextlib
import io
import json
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np

import of_catboost
import of_lightgbm
import of_xgboost
from case import LARGE, SMALL, Data, difference, session_of

LIBRARIES = {"LightGBM": of_lightgbm, "XGBoost": of_xgboost, "CatBoost": of_catboost}
MOST = 1e-6


def imported(program, folder, case):
    """What ONNX Runtime makes of the imported file."""
    path = folder / f"{case.name}.onnx"
    command = [program, "model", "import", str(case.file), "--out", str(path), "--force", *case.arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return session_of(path).run(None, feeds(case))[0]


def feeds(case):
    texts = {name: values[:, None] for name, values in case.columns.items() if values.dtype == object}
    numbers = [values for values in case.columns.values() if values.dtype != object]
    return {**texts, "features": np.column_stack(numbers).astype(np.float64)}


def usual(case):
    """The difference of the usual way, or that there is none."""
    if case.usual is None:
        return "-"
    try:
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return f"{difference(case.usual(), case.expected):.1e}"
    except Exception as error:
        return f"fails ({type(error).__name__})"


def compare(program, libraries):
    is_near = True
    print("| library | kind | `model import` | usual converter |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for library in libraries:
            for case in LIBRARIES[library].cases(folder, LARGE, Data(LARGE)):
                try:
                    found = difference(imported(program, folder, case), case.expected)
                except RuntimeError as error:
                    found = float("nan")
                    print(error, file=sys.stderr)
                # NaN is not near, either.
                is_near &= found <= MOST
                print(f"| {library} | {case.kind} | {found:.1e} | {usual(case)} |", flush=True)
    return is_near


def number(value):
    """As JSON: NaN is null."""
    if isinstance(value, str):
        return value
    return None if np.isnan(value) else float(value)


def write_golden(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for library, module in LIBRARIES.items():
        for case in module.cases(folder, SMALL, Data(SMALL)):
            if case.kind not in module.GOLDEN:
                case.file.unlink()
                continue
            rows = [[number(value) for value in row] for row in zip(*case.columns.values())]
            expected = np.asarray(case.expected, float).reshape(len(rows), -1)
            golden = {
                "file": case.file.name,
                "arguments": case.arguments,
                "columns": list(case.columns),
                "rows": rows,
                "expected": [[float(value) for value in row] for row in expected],
            }
            if library == "CatBoost":
                # CatBoost writes one number to a line.
                model = json.loads(case.file.read_text())
                case.file.write_text(json.dumps(model, ensure_ascii=False, separators=(",", ":")) + "\n")
            (folder / f"{case.name}.rows.json").write_text(json.dumps(golden, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--golden", folder]:
            write_golden(pathlib.Path(folder))
        case [program, *libraries]:
            sys.exit(not compare(program, libraries or LIBRARIES))
        case _:
            sys.exit(__doc__)
