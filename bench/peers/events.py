"""The input of all contenders: JSON lines {"ts","user_id","item_id","kind","price"}.

    events.py ROWS OUT

2,000 events per second of event time, at most 4 s out of order (so that a watermark of 5 s has no late rows), 100,000
users and 10,000 items with Zipf 1.1 popularity. The seed is fixed and nothing depends on ROWS: a smaller file is the
beginning of a larger one, and the same on every machine.
"""

import itertools
import json
import os
import random
import sys

USERS, ITEMS, ZIPF = 100_000, 10_000, 1.1
FIRST_MS, EVENTS_PER_SECOND, DISORDER_MS = 1_700_000_000_000, 2_000, 4_000
KINDS, KIND_WEIGHTS = ("view", "cart", "fav", "buy"), (0.88, 0.06, 0.04, 0.02)
CHUNK = 50_000


def zipf(ids):
    """The ids and the running sums of their weights, as random.choices takes them."""
    return range(ids), list(itertools.accumulate(1 / rank**ZIPF for rank in range(1, ids + 1)))


def write(rows, path):
    """Writes the first `rows` events to `path`; a file that exists is whole."""
    draw = random.Random(42)
    (users, user_weights), (items, item_weights) = zipf(USERS), zipf(ITEMS)
    part = f"{path}.part"
    with open(part, "w", encoding="ascii") as out:
        for start in range(0, rows, CHUNK):
            # A chunk is drawn whole even when a part of it is written, so that every file begins alike.
            user = draw.choices(users, cum_weights=user_weights, k=CHUNK)
            item = draw.choices(items, cum_weights=item_weights, k=CHUNK)
            kind = draw.choices(KINDS, weights=KIND_WEIGHTS, k=CHUNK)
            for offset in range(CHUNK):
                row = start + offset
                ts = FIRST_MS + row * 1000 // EVENTS_PER_SECOND - draw.randrange(DISORDER_MS)
                price = round(draw.gammavariate(2, 15), 2)
                if row < rows:
                    event = {"ts": ts, "user_id": user[offset], "item_id": item[offset]}
                    event |= {"kind": kind[offset], "price": price}
                    out.write(json.dumps(event, separators=(",", ":")) + "\n")
    os.replace(part, path)


if __name__ == "__main__":
    write(int(sys.argv[1]), sys.argv[2])
