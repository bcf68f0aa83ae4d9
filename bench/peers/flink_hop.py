"""Flink SQL's side: flink_hop.py FILE SIZE_S SLIDE_S OUT_FOLDER|-

What was tried for rows per CPU second, on two busy cores (single runs repeat within a tenth), so that Flink is measured at
its best. Helped: writing the window's start as the timestamp it is, not as text turned into a number (138,000 to 147,000
became 221,000); aggregation in one phase rather than the planner's two (216,000 against 191,000 between 4,000,000 and
8,000,000 rows); 1 GiB of managed memory and the parallel collector (212,000 and 245,000 against 201,000).
No difference: mini-batches, as window aggregation batches by itself (230,000 against 231,000); G1 instead of the parallel
collector, once there is the memory (217,000). Worse: splitting the distinct count (60,000), one subtask instead of two
(198,000). Checkpoints are off, state is on the heap. The collector and the heap are options of the Java machine, which
contenders.py gives.
"""

import sys

from pyflink.table import EnvironmentSettings, TableEnvironment

file, size, slide, out = sys.argv[1:]
tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
for name, value in {
    "parallelism.default": "2",
    "pipeline.object-reuse": "true",
    "state.backend.type": "hashmap",
    "table.local-time-zone": "UTC",
    "table.optimizer.agg-phase-strategy": "ONE_PHASE",
    "taskmanager.memory.managed.size": "1g",
}.items():
    tables.get_config().set(name, value)

tables.execute_sql(f"""
    CREATE TABLE clicks (
        ts BIGINT, user_id BIGINT, item_id BIGINT, kind STRING, price DOUBLE,
        event_time AS TO_TIMESTAMP_LTZ(ts, 3),
        WATERMARK FOR event_time AS event_time - INTERVAL '5' SECOND
    ) WITH ('connector' = 'filesystem', 'path' = 'file://{file}', 'format' = 'json')""")
sink = "'connector' = 'blackhole'"
if out != "-":
    sink = f"'connector' = 'filesystem', 'path' = 'file://{out}', 'format' = 'csv'"
tables.execute_sql(f"""
    CREATE TABLE features (
        user_id BIGINT, window_start TIMESTAMP(3), events BIGINT, spent DOUBLE, carts BIGINT, items BIGINT
    ) WITH ({sink})""")
# The end of the file ends event time, so that windows which are open then are emitted, too.
tables.execute_sql(f"""
    INSERT INTO features
    SELECT user_id, window_start, COUNT(*), SUM(price), COUNT(*) FILTER (WHERE kind = 'cart'), COUNT(DISTINCT item_id)
    FROM TABLE(HOP(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '{slide}' SECOND(7), INTERVAL '{size}' SECOND(7)))
    GROUP BY user_id, window_start, window_end""").wait()
