"""Our windows beside other engines', on the same files, in one run: `make bench-peers`. Python's standard library only.

    1. Every contender writes its rows for a small file; they must be the same (agreement.py).
    2. Every contender runs over two files, in turns, its rows thrown away; what its whole process tree used is measured
       (measure.py). Start-up of a program, a Java machine or Python is in both runs, so that the slope between the two
       sizes is what a row costs. Wall time of the larger file, start-up included, stands beside it.
    3. A table, and for every peer a line `PEER rows_per_cpu_second=N ratio=M.Mx`: ours divided by theirs.

Given by environment variables: PEERS (names), ROWS of the larger file (2,000,000; the smaller one has a quarter), ROUNDS (3;
medians are taken), SIZE and SLIDE in seconds (60, 10), AGREE_ROWS (100,000), TIMEOUT in seconds for one run (600), and
WINDOWS_BENCH, a program to take instead of building ours. A slow peer gets a quarter of the rows and one round.
"""

import math
import os
import platform
import shutil
import statistics
import sys

import agreement
import contenders
import events
import measure

PEERS = os.environ.get("PEERS") or " ".join(contenders.PEERS)
ROWS, ROUNDS, SIZE, SLIDE, AGREE_ROWS, TIMEOUT = (
    int((os.environ.get(name) or default).replace(",", "").replace("_", ""))
    for name, default in (
        ("ROWS", "2000000"),
        ("ROUNDS", "3"),
        ("SIZE", "60"),
        ("SLIDE", "10"),
        ("AGREE_ROWS", "100000"),
        ("TIMEOUT", "600"),
    )
)
FEWER_FOR_SLOW, SMALLER = 4, 4


def file_of(rows):
    """The input of `rows` rows, made unless it is there."""
    file = os.path.join(contenders.RUNTIME, "data", f"{rows}.jsonl")
    if not os.path.exists(file):
        print(f"writing {rows:,} events", flush=True)
        os.makedirs(os.path.dirname(file), exist_ok=True)
        events.write(rows, file)
    return file


def run(contender, rows, out=None):
    """One run of a contender over `rows` rows."""
    command, given = contender.command(file_of(rows), SIZE, SLIDE, out)
    folder = os.path.join(contenders.RUNTIME, "logs")
    os.makedirs(folder, exist_ok=True)
    log = os.path.join(folder, f"{contender.name}.log")
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **given}
    try:
        return measure.run(command, log, TIMEOUT, environment, cwd=contenders.RUNTIME)
    except (measure.Failed, measure.TimedOut) as error:
        raise type(error)(f"{contender.name}, {rows:,} rows: {error}") from None


def agree(all_contenders):
    """All contenders must compute the same rows for the first events."""
    folder = os.path.join(contenders.RUNTIME, "agreement")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    results = {}
    for contender in all_contenders:
        out = os.path.join(folder, contender.name)
        run(contender, AGREE_ROWS, out)
        results[contender.name] = agreement.read(contender.name, out, contender.start_unit_ms)
    rows = agreement.compare(results)
    print(f"agreed: {', '.join(results)} give the same {rows:,} rows for {AGREE_ROWS:,} events", flush=True)


def sizes_of(contender):
    rows = ROWS // FEWER_FOR_SLOW if contender.slow else ROWS
    return rows // SMALLER, rows


def measure_all(all_contenders):
    """Usages by contender's name and rows; a contender that fails is left out from then on, and its error is returned."""
    usages, problems = {}, {}
    for contender in all_contenders:
        for rows in sizes_of(contender):
            file_of(rows)  # so that none is written between two measurements
    for round_number in range(ROUNDS):
        for contender in all_contenders:
            if contender.name in problems or (contender.slow and round_number > 0):
                continue
            for rows in sizes_of(contender):
                try:
                    used = run(contender, rows)
                except (measure.Failed, measure.TimedOut) as error:
                    problems[contender.name] = str(error)
                    break
                usages.setdefault((contender.name, rows), []).append(used)
                print(
                    f"round {round_number + 1}: {contender.name}, {rows:,} rows: {used.wall_s:.2f} s, "
                    f"{used.cpu_s:.2f} CPU s, {used.peak_bytes / 2**20:.0f} MiB",
                    flush=True,
                )
    return usages, problems


def median(usages, field):
    return statistics.median(getattr(used, field) for used in usages)


def slope(usages, contender, field):
    """Rows per second between the two sizes, of medians; infinite when the larger one took no longer."""
    small, large = sizes_of(contender)
    seconds = median(usages[contender.name, large], field) - median(usages[contender.name, small], field)
    return (large - small) / seconds if seconds > 0 else math.inf


def report(all_contenders, usages):
    """The table, and the ratios of the peers that were measured."""
    print("\n| Contender | Rows | Rounds | Wall, s | CPU, s | Rows/s of wall time | Rows/s, by slope |", end="")
    print(" Rows per CPU second, by slope | Peak memory, MiB |\n|---|---|---|---|---|---|---|---|---|")
    per_cpu_second = {}
    for contender in all_contenders:
        name, (small, large) = contender.name, sizes_of(contender)
        runs = usages[name, large]
        wall, cpu, peak = (median(runs, field) for field in ("wall_s", "cpu_s", "peak_bytes"))
        per_cpu_second[name] = slope(usages, contender, "cpu_s")
        print(
            f"| {name} | {small:,} and {large:,} | {len(runs)} | {wall:.2f} | {cpu:.2f} | {large / wall:,.0f} "
            f"| {slope(usages, contender, 'wall_s'):,.0f} | {per_cpu_second[name]:,.0f} | {peak / 2**20:,.0f} |"
        )
    print()
    for name, rate in per_cpu_second.items():
        if math.isinf(rate):
            raise measure.Failed(f"{name}: the larger file took no longer than the smaller: give more ROWS or ROUNDS")
    ours = per_cpu_second.pop(contenders.OURS.name)
    for name, theirs in per_cpu_second.items():
        print(f"{name.upper()} rows_per_cpu_second={theirs:.0f} ratio={ours / theirs:.1f}x")


def main():
    names = PEERS.lower().replace(",", " ").split()
    unknown = [name for name in names if name not in contenders.PEERS]
    if unknown:
        sys.exit(f"unknown peer {unknown[0]!r}: PEERS may name {', '.join(contenders.PEERS)}")
    all_contenders = [contenders.OURS, *(contenders.PEERS[name] for name in names)]
    os.makedirs(contenders.RUNTIME, exist_ok=True)
    try:
        for contender in all_contenders:
            contender.prepare()
        agree(all_contenders)
        print(f"hop {SIZE} s / {SLIDE} s; {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        usages, problems = measure_all(all_contenders)
        if contenders.OURS.name in problems:
            raise measure.Failed(problems[contenders.OURS.name])
        report([contender for contender in all_contenders if contender.name not in problems], usages)
    except (contenders.Unavailable, agreement.Disagreement, measure.Failed, measure.TimedOut) as error:
        sys.exit(f"error: {error}")
    if problems:
        sys.exit("\n".join(f"error: {problem}" for problem in problems.values()))


if __name__ == "__main__":
    main()
