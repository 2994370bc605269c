"""Metrics for Prometheus: workers, feeds, and the connections of a ``Thoonk``.

Counters count events as they happen.  Gauges of feeds are read at an interval, the other gauges
when Prometheus scrapes.  Needs ``prometheus_client``: install ``txthoonk[metrics]``.
"""

from txthoonk.monitoring._metrics import Metrics, MetricsService

__all__ = ["Metrics", "MetricsService"]
