"""Pathway's side: pathway_hop.py FILE SIZE_S SLIDE_S OUT_FILE|-

Static mode: the whole file is one batch, which is Pathway's fastest way through it, and needs memory for all of it. Two
threads (PATHWAY_THREADS, which contenders.py sets) gain little over one: 20.8 s against 22.8 s for 500,000 rows.
"""

import sys

import pathway as pw

file, size_ms, slide_ms, out = sys.argv[1], int(sys.argv[2]) * 1000, int(sys.argv[3]) * 1000, sys.argv[4]


class Click(pw.Schema):
    ts: int
    user_id: int
    item_id: int
    kind: str
    price: float


clicks = pw.io.jsonlines.read(file, schema=Click, mode="static")
# Before the windows multiply the rows: the comparison once per event, and nothing carried along that isn't needed.
clicks = clicks.select(
    pw.this.ts, pw.this.user_id, pw.this.item_id, pw.this.price, cart=pw.cast(int, pw.this.kind == "cart")
)
hop = pw.temporal.sliding(hop=slide_ms, duration=size_ms)
windows = clicks.windowby(clicks.ts, window=hop, instance=clicks.user_id).reduce(
    user_id=pw.this._pw_instance,
    window_start=pw.this._pw_window_start,
    events=pw.reducers.count(),
    spent=pw.reducers.sum(pw.this.price),
    carts=pw.reducers.sum(pw.this.cart),
    items=pw.reducers.count_distinct(pw.this.item_id),
)
if out == "-":
    pw.io.null.write(windows)
else:
    pw.io.csv.write(windows, out)
pw.run(monitoring_level=pw.MonitoringLevel.NONE)
