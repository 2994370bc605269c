"""Registers ``thoonk-orders`` with ``twist`` and ``twistd``; see ``orders.py``."""

from twisted.application.service import ServiceMaker

thoonk_orders = ServiceMaker(
    "Thoonk orders", "orders", "A web server that takes orders, and a worker.", "thoonk-orders"
)
