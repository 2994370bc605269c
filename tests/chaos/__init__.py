"""Scenarios of ``make chaos``, one module each.

A scenario is a module with ``async def run(reactor) -> str``.  It starts the servers and
programs it needs, causes its trouble, and returns one line with the figures it counted.  It
raises ``AssertionError`` when a promise does not hold.  The first line of its docstring says
which promise that is.
"""
