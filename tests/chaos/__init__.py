"""Scenarios of ``make chaos``, one module each.

A scenario is a module with ``async def run(reactor) -> str``. It starts the servers and programs
that it needs, causes trouble, and returns one line with the figures that it counted. It raises
``AssertionError`` if a promise does not hold. The first line of its docstring states the promise.
"""
