"""Exports models as people do, and has the program check them, compare them with their owners' predictions, and say whether they train.

    python scripts/models/try_exports.py PROGRAM LightGBM scikit-learn     prints a table of these libraries

It ends with 1 where a model is refused, or where what it gives or whether it trains is not what its file here says.
"""

import contextlib
import importlib
import io
import json
import pathlib
import subprocess
import sys
import tempfile

from exported import ROWS, TRAIN, write_pipeline

# The libraries of one environment need not be there in another.
LIBRARIES = {
    "LightGBM": "exported_lightgbm",
    "XGBoost": "exported_xgboost",
    "CatBoost": "exported_catboost",
    "scikit-learn": "exported_sklearn",
    "PyTorch": "exported_pytorch",
    "Keras": "exported_keras",
}


def run(program, *arguments):
    """What the program prints as JSON, and how it ends."""
    done = subprocess.run([program, *map(str, arguments), "--format", "json"], capture_output=True, text=True)
    if done.returncode not in (0, 1) or not done.stdout:
        raise RuntimeError(done.stderr.strip())
    return json.loads(done.stdout), done.returncode == 0


def problems(found):
    return "; ".join(problem["message"] for problem in found)


def attempt(program, folder, case):
    """The last three cells of its line, and whether they are as they should be."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            write_pipeline(folder, case)
    except Exception as error:
        return f"its export fails ({type(error).__name__})", "-", "-", not case.loads
    found, loads = run(program, "check", folder)
    if not loads:
        print(f"{case.name}: {problems(found)}", file=sys.stderr)
        return "no", "-", "-", not case.loads
    rows, predicted = folder / "rows.jsonl", folder / "predicted.jsonl"
    verdict, agrees = run(program, "model", "verify", folder, "--inputs", rows, "--expect", predicted)
    largest = f"{verdict['worst'][0]['difference']:.1e}" if verdict["worst"] else "-"
    if verdict["rows"] != ROWS:
        largest, agrees = f"{largest}, {verdict['incomplete']} rows without a score", False
    with open(folder / "pipeline.toml", "a") as settings:
        settings.write(TRAIN)
    found, trains = run(program, "check", folder)
    why = problems(found)
    is_known = case.loads and agrees == case.agrees and trains == (not case.untrained) and case.untrained in why
    if not is_known:
        print(f"{case.name}: not what is known of it: {verdict['worst'][:1]} {why}", file=sys.stderr)
    return "yes", largest, "yes" if trains else f"no: {case.untrained}", is_known


def attempt_all(program, library):
    is_known = True
    with tempfile.TemporaryDirectory() as folder:
        for case in importlib.import_module(LIBRARIES[library]).cases():
            *cells, known = attempt(program, pathlib.Path(folder) / case.name, case)
            is_known &= known
            print(f"| {library} | {case.kind} | {' | '.join(cells)} |", flush=True)
    return is_known


def apart(program, libraries):
    """Each library in a process of its own: TensorFlow and PyTorch end one that has both."""
    print("| library | model | loads | largest difference | trains |\n|---|---|---|---|---|", flush=True)
    command = [sys.executable, "-B", "-W", "ignore", __file__, "--one", program]
    ends = [subprocess.run([*command, library]).returncode for library in libraries]
    return not any(ends)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--one", program, library]:
            sys.exit(not attempt_all(program, library))
        case [program, library, *libraries]:
            sys.exit(not apart(program, [library, *libraries]))
        case _:
            sys.exit(__doc__)
