"""Bytewax's side: FILE= SIZE_S= SLIDE_S= OUT=FILE|- python -m bytewax.testing -p 2 bytewax_hop:flow

What was tried, so that Bytewax is measured at its best: by default the clock adds the system time that passes to event
time, and wakes every key whose window ends in the system's past, that is all keys at every step (500,000 rows took 373 s);
a clock that stands still and wakes nobody closes windows by events and at the end, as documented. Python's cyclic
collector is off: it walks the growing state for nothing (38 CPU seconds became 18). Two processes rather than one (18
became 11) or two threads, which wait for each other. Batches of 1,000 or 10,000 lines: no difference.
"""

import gc
import os
from datetime import datetime, timedelta, timezone

import bytewax.operators as op
import bytewax.operators.windowing as windowing
import orjson
from bytewax.connectors.files import FileSource
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition

FILE, OUT = os.environ["FILE"], os.environ["OUT"]
SIZE, SLIDE = (timedelta(seconds=int(os.environ[name])) for name in ("SIZE_S", "SLIDE_S"))
SLIDE_MS = SLIDE // timedelta(milliseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def event_time(event):
    return datetime.fromtimestamp(event["ts"] / 1000, timezone.utc)


def empty():
    return [0, 0.0, 0, set()]


def fold(state, event):
    state[0] += 1
    state[1] += event["price"]
    if event["kind"] == "cart":
        state[2] += 1
    state[3].add(event["item_id"])
    return state


def merge(one, other):
    return [one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] | other[3]]


class Rows(StatelessSinkPartition):
    """Appends a worker's windows to a file in OUT, or throws them away."""

    def __init__(self, worker):
        self.file = None if OUT == "-" else open(os.path.join(OUT, f"{worker}.csv"), "w", encoding="ascii")

    def write_batch(self, items):
        if self.file is None:
            return
        for user, (window, (events, spent, carts, distinct)) in items:
            self.file.write(f"{user},{window * SLIDE_MS},{events},{spent!r},{carts},{len(distinct)}\n")

    def close(self):
        if self.file is not None:
            self.file.close()


class Sink(DynamicSink):
    def build(self, step_id, worker_index, worker_count):
        return Rows(worker_index)


gc.disable()
clock = windowing.EventClock(
    event_time,
    wait_for_system_duration=timedelta(seconds=5),
    now_getter=lambda: EPOCH,
    to_system_utc=lambda _: None,
)
flow = Dataflow("hop")
lines = op.input("read", flow, FileSource(FILE, batch_size=1000))
by_user = op.key_on("user", op.map("parse", lines, orjson.loads), lambda event: str(event["user_id"]))
hop = windowing.SlidingWindower(length=SIZE, offset=SLIDE, align_to=EPOCH)
windows = windowing.fold_window("hop", by_user, clock, hop, empty, fold, merge, ordered=False)
op.output("write", windows.down, Sink())
