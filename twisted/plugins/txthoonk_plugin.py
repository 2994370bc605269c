"""Registers ``thoonk-worker`` and ``thoonk-maintenance`` with ``twist`` and ``twistd``."""

from twisted.application.service import ServiceMaker

thoonk_worker = ServiceMaker(
    "Thoonk worker",
    "txthoonk.tap.worker",
    "Works on the jobs of Thoonk feeds in Redis.",
    "thoonk-worker",
)

thoonk_maintenance = ServiceMaker(
    "Thoonk maintenance",
    "txthoonk.tap.maintenance",
    "Keeps Thoonk's queues and job feeds in order.",
    "thoonk-maintenance",
)
