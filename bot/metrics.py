"""Counters (指标) that tell whether the promises of the delivery core hold; /metrics shows them."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

CALLBACKS = Counter("wx_callback_requests", "Callback requests by how they ended", ["result"])
INBOX_ROWS = Counter("wx_inbox_rows", "Messages written to the inbox", ["result"])
INBOX_BATCH = Histogram(
    "wx_inbox_batch_rows", "Messages per INSERT", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
)
SPOOLED = Counter("wx_spooled", "Requests kept on disk because PostgreSQL was away")
UNSPOOLED = Counter("wx_unspooled", "Requests moved from disk into the inbox", ["result"])
EVENTS = Counter("wx_events", "Events handled", ["kind", "result"])
UNKNOWN_EVENTS = Counter("wx_unknown_events", "Events without a class of their own", ["kind"])
DELIVERIES = Counter("wx_deliveries", "Calls of the outbox by how they ended", ["kind", "result"])
RUNS = Counter("wx_runs", "Timed jobs by how they ended", ["job", "result"])
FENCED = Counter("wx_fenced_results", "Results that came after the lease was lost", ["table"])
BELLS = Counter("wx_bells", "Bells rung over Redis", ["lane", "result"])
