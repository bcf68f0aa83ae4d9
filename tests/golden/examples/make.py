"""Messages of examples in the two earlier versions of their format, written by pyarrow.

    python3 tests/golden/examples/make.py
"""

import hashlib
import pathlib
import struct

import pyarrow as pa

HERE = pathlib.Path(__file__).parent
VECTOR = "8a21"


def fingerprint(*parts):
    digest = hashlib.sha256()
    for part in parts:
        digest.update(struct.pack("<Q", len(part)) + part.encode())
    return digest.hexdigest()[:16]


def write(name, version, made_for, vectors):
    utc = pa.timestamp("us", tz="+00:00")
    columns = {
        "vector": vectors,
        "label": pa.array([1, 0], pa.float32()),
        "kind": pa.array(["positive", "negative"], pa.utf8()),
        "sampling": pa.array([1, 0.25], pa.float32()),
        "place": pa.array([3, 0], pa.uint32()),
        "shown": pa.array([1_700_000_000_000_000, 5], utc),
        "labelled": pa.array([1_700_000_000_000_001, 6], utc),
    }
    fields = [pa.field(name, values.type, nullable=False) for name, values in columns.items()]
    metadata = {"tidewheel.examples": version, "tidewheel.fingerprint": made_for}
    schema = pa.schema(fields, metadata=metadata)
    with pa.OSFile(str(HERE / name), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        writer.write_batch(pa.record_batch(list(columns.values()), schema=schema))


def field(name, kind):
    return pa.field(name, kind, nullable=False)


def main():
    numbers = pa.list_(field("item", pa.float32()), 2)
    write("numbers.arrow", "1", VECTOR, pa.array([[0.5, 1.5], [-3.0, 4.0]], numbers))

    types = "user int64, price float32, recent int64[3], spend float64, device text"
    recent = pa.list_(field("item", pa.int64()))
    row = pa.struct([
        field("user", pa.int64()),
        field("price", pa.float32()),
        field("recent", recent),
        field("spend", pa.float64()),
        field("device", pa.utf8()),
    ])
    rows = [
        {"user": 2**53 + 1, "price": 9.5, "recent": [16_777_217, -(2**63)], "spend": 0.1, "device": "phone"},
        {"user": -1, "price": 9.5, "recent": [], "spend": 1e300, "device": "phone"},
    ]
    write("typed.arrow", "2", fingerprint(VECTOR, types), pa.array(rows, row))


if __name__ == "__main__":
    main()
