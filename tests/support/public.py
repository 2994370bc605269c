"""Helpers for the unit tests of the public names."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

import txthoonk


def modules() -> Iterator[ModuleType]:
    """Import every module whose path has no leading underscore."""
    yield txthoonk
    for module in pkgutil.walk_packages(txthoonk.__path__, "txthoonk."):
        if not any(part.startswith("_") for part in module.name.split(".")):
            yield importlib.import_module(module.name)


def ours(thing: Any) -> bool:
    return str(getattr(thing, "__module__", "")).partition(".")[0] == "txthoonk"


def functions(owner: type) -> Iterator[tuple[str, FunctionType]]:
    """Yield the public methods and properties of a class and of its bases in txthoonk."""
    for cls in owner.__mro__:
        if ours(cls):
            for name, value in vars(cls).items():
                function = inspect.unwrap(value, stop=lambda f: True)
                if isinstance(value, (staticmethod, classmethod)):
                    function = value.__func__
                elif isinstance(value, property):
                    function = value.fget
                if isinstance(function, FunctionType) and not name.startswith("_"):
                    yield f"{cls.__module__}.{cls.__name__}.{name}", function


def public() -> Iterator[tuple[str, Any]]:
    """Yield every exported name that is defined in txthoonk, including methods."""
    for module in modules():
        for name in module.__all__:
            thing = getattr(module, name)
            if ours(thing) and (inspect.isclass(thing) or inspect.isfunction(thing)):
                yield f"{module.__name__}.{name}", thing
                if inspect.isclass(thing):
                    yield from functions(thing)
