"""The program, in a folder of its own."""

import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]

# What `make runtime` fetches is looked for below the working folder, and the scripts work in others.
for variable, file in [("NATS_SERVER", "nats-server"), ("ORT_DYLIB_PATH", "libonnxruntime.so")]:
    os.environ.setdefault(variable, str(ROOT / ".runtime" / file))
os.environ.pop("NATS_URL", None)


def run(program, folder, *arguments):
    """What it prints, where all is well."""
    done = attempt(program, folder, *arguments)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip() or done.stdout.strip())
    return done.stdout


def attempt(program, folder, *arguments):
    return subprocess.run([program, *map(str, arguments)], cwd=folder, capture_output=True, text=True)
