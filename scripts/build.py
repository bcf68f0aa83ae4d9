#!/usr/bin/env python3
"""Builds the program and tells how far it is: `scripts/build.py [CARGO OPTIONS]`, from the top of the project.

Cargo says which crates are done, not how long the others take, and the last one alone takes a third of the time. So the crates
that take longest have their seconds written down below, and the pace of this machine is measured as it goes.

On a terminal one line is kept up to date; elsewhere there is a line each half minute. Errors and warnings of the compiler are
shown as ever, and the exit code is Cargo's.
"""

import json
import os
import subprocess
import sys
import threading
import time

# The crate that is built last, alone, by one core.
LAST = "tidewheel"

# Seconds of one core (AMD EPYC, Rust 1.95, 2026-12-01), for crates that take 5 and more.
SECONDS = {
    LAST: 360, "datafusion": 88, "datafusion-physical-plan": 86, "datafusion-functions-aggregate": 86,
    "datafusion-physical-expr": 61, "datafusion-functions": 61, "datafusion-functions-nested": 60, "parquet": 59,
    "datafusion-expr": 46, "datafusion-catalog": 45, "sqlparser": 43, "buoyant_kernel": 40, "arrow-cast": 40,
    "arrow-ord": 39, "datafusion-optimizer": 35, "deltalake-core": 33, "datafusion-common": 32, "arrow-select": 31,
    "datafusion-sql": 29, "object_store": 25, "arrow-arith": 23, "datafusion-functions-aggregate-common": 19,
    "buoyant_kernel_engine": 19, "datafusion-catalog-listing": 18, "reqwest": 17, "async-nats": 17, "rustls": 11,
    "datafusion-datasource": 11, "arrow-array": 11, "regex-automata": 10, "tokio": 9,
    "datafusion-physical-expr-common": 9, "datafusion-physical-optimizer": 8, "arrow-string": 8, "syn": 7,
    "datafusion-session": 7, "arrow-row": 7, "h2": 6, "datafusion-expr-common": 6, "clap_builder": 6,
    "brotli-decompressor": 6, "num-bigint": 5,
}
OTHERS = 1.0


class Progress:
    """What is done, and from that what is left."""

    def __init__(self, crates, cores):
        self.left = dict(crates)
        self.cores = cores
        self.began = time.monotonic()
        self.worked = 0.0
        self.last_began = None

    def done(self, crate, is_fresh):
        """Takes a crate off what is left. One that was there already says nothing of this machine's pace."""
        seconds = self.left.pop(crate, None)
        if seconds is not None and not is_fresh:
            self.worked += seconds
        if self.last_began is None and set(self.left) <= {LAST}:
            self.last_began = time.monotonic()

    def pace(self):
        """Seconds that pass here for one that is written down."""
        passed = (self.last_began or time.monotonic()) - self.began
        # Too little work says nothing.
        return passed * self.cores / self.worked if self.worked >= 20 else 1.0

    def estimate(self):
        """Seconds to go."""
        last = self.left.get(LAST, 0.0) * self.pace()
        if self.last_began is not None:
            return max(last - (time.monotonic() - self.last_began), 5.0)
        others = sum(seconds for crate, seconds in self.left.items() if crate != LAST)
        return others * self.pace() / self.cores + last

    def line(self):
        """How far it is, for people."""
        passed, left = time.monotonic() - self.began, self.estimate()
        building = f"{len(self.left)} crates to go" if self.last_began is None else "the program itself"
        return f"building: {100 * passed / (passed + left):.0f} %, {building}, about {words(left)} left"


def words(seconds):
    """A duration as people say it."""
    return f"{round(seconds / 60)} min" if seconds >= 90 else f"{max(round(seconds / 5) * 5, 5)} s"


def crates():
    """The crates that the program needs on this machine, with their seconds."""
    told = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    host = next(line.split()[1] for line in told.splitlines() if line.startswith("host:"))
    command = ["cargo", "tree", "--locked", "--edges", "normal,build", "--target", host, "--prefix", "none"]
    tree = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    names = {line.split()[0] for line in tree.splitlines() if line.strip()}
    return {name: SECONDS.get(name, OTHERS) for name in names}


def show(progress, stopped):
    """Tells how far it is until `stopped`: what is built within the first seconds is not worth a word."""
    is_terminal = sys.stderr.isatty()
    if stopped.wait(3):
        return
    while not stopped.wait(1 if is_terminal else 30):
        line = progress.line()
        if is_terminal:
            line = "\r\033[K" + line[: os.get_terminal_size(sys.stderr.fileno()).columns - 1]
        print(line, end="" if is_terminal else "\n", file=sys.stderr, flush=True)
    if is_terminal:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def main():
    progress, stopped = Progress(crates(), os.cpu_count() or 1), threading.Event()
    command = ["cargo", "build", "--quiet", "--release", "--locked", "--bin", "tidewheel"]
    command += ["--message-format", "json-render-diagnostics", *sys.argv[1:]]
    cargo = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    telling = threading.Thread(target=show, args=(progress, stopped))
    telling.start()
    try:
        for message in map(json.loads, cargo.stdout):
            target = message.get("target", {})
            if message["reason"] == "compiler-artifact" and not {"custom-build", "bin"} & set(target["kind"]):
                # As `path+file:///here#name@1.2.3` or `registry+https://index#name@1.2.3`, or without the name where the folder has it.
                progress.done(message["package_id"].rsplit("#")[-1].split("@")[0], message["fresh"])
        return cargo.wait()
    except KeyboardInterrupt:
        # The terminal has told Cargo, too.
        cargo.wait()
        return 130
    finally:
        stopped.set()
        telling.join()


if __name__ == "__main__":
    sys.exit(main())
