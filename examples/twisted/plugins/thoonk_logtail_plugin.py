"""Registers ``thoonk-logtail`` with ``twist`` and ``twistd``; see ``logtail.py``."""

from twisted.application.service import ServiceMaker

thoonk_logtail = ServiceMaker(
    "Thoonk log tail",
    "logtail",
    "Publishes the lines of a growing log file.",
    "thoonk-logtail",
)
