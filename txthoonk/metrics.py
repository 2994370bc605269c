"""Metrics for Prometheus: of workers, of feeds and of the connections of a ``Thoonk``.

Counters count as things happen; feeds are read every some seconds; and what else there is to be
known is looked up when somebody asks.  Needs ``prometheus_client``: the extra ``metrics``.
"""

from txthoonk.monitoring._metrics import Metrics, MetricsService

__all__ = ["Metrics", "MetricsService"]
