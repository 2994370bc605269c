"""Makes ``twist`` and ``twistd`` know ``thoonk-worker`` and ``thoonk-maintenance``."""

from twisted.application.service import ServiceMaker

thoonk_worker = ServiceMaker(
    "Thoonk worker",
    "txthoonk._tap_worker",
    "Works on the jobs of Thoonk feeds, in Redis.",
    "thoonk-worker",
)

thoonk_maintenance = ServiceMaker(
    "Thoonk maintenance",
    "txthoonk._tap_maintenance",
    "Keeps Thoonk's queues and job feeds in order.",
    "thoonk-maintenance",
)
