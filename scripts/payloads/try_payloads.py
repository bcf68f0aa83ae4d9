"""Has libraries send what people do in a shop to a collector on loopback, and the program take all of it by its ready contracts.

    python scripts/payloads/try_payloads.py PROGRAM             prints a table; ends with 1 where an event is refused
    python scripts/payloads/try_payloads.py --golden FOLDER     writes a few events of each kind for the program's tests
"""

import collections
import datetime
import importlib.metadata
import json
import logging
import os
import pathlib
import sys
import tempfile

import of_cloudevents
import of_ga4
import of_posthog
import of_segment
import of_segment_node
import of_shopify
import of_snowplow
import pipeline
from catcher import Catcher
from program import attempt, run
from shop import START, actions

EVENTS = 300
# Lines of what differs that are shown.
MOST_FAULTS = 8
# Of each thing that people do.
GOLDEN = 3


def sent(send, *takes):
    """What each of `takes` finds in what was sent."""

    def capture(done):
        with Catcher() as catcher:
            send(catcher, done)
            return [take(catcher) for take in takes]

    return capture


def made(make):
    return lambda done: [make(done)]


def orders(done):
    return of_shopify.orders([action for action in done if action.what == "Order Completed"])


def node_version(package):
    path = pathlib.Path(os.environ["PAYLOADS_NODE"]) / "node_modules" / package / "package.json"
    return json.loads(path.read_text())["version"]


# What sends, how it is caught, and the contract of each list of events that comes of it.
SOURCES = [
    ("segment-analytics-python", sent(of_segment.send_segment, of_segment.tracks, of_segment.pages), ["segment-track", "segment-page"]),
    ("@segment/analytics-node", sent(of_segment_node.send, of_segment.tracks, of_segment.pages), ["segment-track", "segment-page"]),
    ("rudder-sdk-python", sent(of_segment.send_rudderstack, of_segment.tracks, of_segment.pages), ["segment-track", "segment-page"]),
    ("posthog", sent(of_posthog.send, of_posthog.events), ["posthog"]),
    ("snowplow-tracker", sent(of_snowplow.send, of_snowplow.events), ["snowplow"]),
    ("cloudevents", sent(of_cloudevents.send, of_cloudevents.events), ["cloudevents"]),
    ("documentation", made(of_ga4.rows), ["ga4"]),
    ("documentation of bq extract", made(of_ga4.extracted), ["ga4"]),
    ("documentation", made(orders), ["shopify-order"]),
]


def version(package):
    if package.startswith("documentation"):
        return ""
    return node_version(package) if package.startswith("@") else importlib.metadata.version(package)


def taken(program, folder, contract, events):
    """What became of the events, by a broker, and whether each value is where it should be, by a test case."""
    found = pipeline.write(program, folder, contract)
    lines = folder / "events.jsonl"
    lines.write_text("".join(json.dumps(event) + "\n" for event in events))
    report = json.loads(run(program, folder, "replay", ".", lines, "--format", "json"))
    at = (START + datetime.timedelta(hours=12)).isoformat().replace("+00:00", "Z")
    pipeline.write_case(folder, contract, found, events, at)
    case = attempt(program, folder, "test", ".")
    if case.returncode != 0:
        print("\n".join((case.stdout + case.stderr).splitlines()[:MOST_FAULTS]), file=sys.stderr)
    for letters in report.get("dead_letters", []):
        print(f"{contract}: {letters['count']} {letters['reason']}: {letters['first']}", file=sys.stderr)
    return report, case.returncode == 0


def try_all(program):
    is_well = True
    print("| sent by | contract | events | counted | refused | values as sent |\n|---|---|---|---|---|---|", flush=True)
    for package, capture, contracts in SOURCES:
        count = EVENTS * 10 if contracts == ["shopify-order"] else EVENTS
        for contract, events in zip(contracts, capture(actions(count)), strict=True):
            with tempfile.TemporaryDirectory() as folder:
                report, agrees = taken(program, pathlib.Path(folder), contract, events)
            is_well &= agrees and len(events) > 0 and report["counted"] == len(events)
            cells = [f"{package} {version(package)}".strip(), contract, len(events), report["counted"], report["rejected"]]
            print(f"| {' | '.join(map(str, cells))} | {'yes' if agrees else 'no'} |", flush=True)
    return is_well


def few():
    """The first of each thing that people do, in their order."""
    counts = collections.Counter()
    for action in actions(EVENTS):
        counts[action.what] += 1
        if counts[action.what] <= GOLDEN:
            yield action


def write_golden(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for package, capture, contracts in SOURCES:
        for contract, events in zip(contracts, capture(list(few())), strict=True):
            name = package.removeprefix("@").replace("/", "-").replace(" ", "-")
            text = "".join(json.dumps(hidden(event), ensure_ascii=False) + "\n" for event in events)
            (folder / f"{contract}.{name}.jsonl").write_text(text)


# What tells of the machine that a library ran on, and when.
TELLING = {
    "sentAt": "2026-01-05T22:59:59.000Z",
    "nodeVersion": "v20.0.0",
    "$os_version": "1",
    "$os_distro": "Linux",
    "$python_version": "3.11.0",
    "dvce_created_tstamp": "2026-01-05T22:59:58.096Z",
    "dvce_sent_tstamp": "2026-01-05T22:59:59.000Z",
}


def hidden(value):
    """Without what tells of the machine."""
    match value:
        case dict():
            return {name: TELLING.get(name) or hidden(one) for name, one in value.items()}
        case list():
            return [hidden(one) for one in value]
        case _:
            return value


if __name__ == "__main__":
    logging.disable(logging.INFO)
    match sys.argv[1:]:
        case ["--golden", folder]:
            write_golden(pathlib.Path(folder))
        case [program]:
            sys.exit(not try_all(str(pathlib.Path(program).resolve())))
        case _:
            sys.exit(__doc__)
