"""Write down every public name with its signature and the first line of its docstring.

python -m tests.support.public_api > tests/support/public_api.json
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
from typing import Any

MODULES = (
    "txthoonk",
    "txthoonk.client",
    "txthoonk.errors",
    "txthoonk.events",
    "txthoonk.interfaces",
    "txthoonk.maintenance",
    "txthoonk.metrics",
    "txthoonk.mirror",
    "txthoonk.protocol",
    "txthoonk.serializers",
    "txthoonk.service",
    "txthoonk.subscriptions",
    "txthoonk.testing",
    "txthoonk.types",
    "txthoonk.types.feed",
    "txthoonk.types.python_queue",
    "txthoonk.types.queue",
    "txthoonk.types.sorted_feed",
    "txthoonk.worker",
)


def ours(thing: Any) -> bool:
    return str(getattr(thing, "__module__", "")).partition(".")[0] == "txthoonk"


def described(thing: Any) -> list[str]:
    """Return the signature and the first line of the docstring."""
    try:
        signature = re.sub(r" at 0x[0-9a-f]+", "", str(inspect.signature(thing)))
    except (TypeError, ValueError):
        signature = ""
    return [signature, (inspect.getdoc(thing) or "").partition("\n")[0]]


def members(cls: type) -> dict[str, Any]:
    """Return the public methods and properties, including those of txthoonk's base classes."""
    return {
        name: value.fget if isinstance(value, property) else getattr(cls, name)
        for base in reversed(cls.__mro__)
        if ours(base)
        for name, value in vars(base).items()
        if not name.startswith("_") and (callable(value) or isinstance(value, property))
    }


def api() -> dict[str, list[str]]:
    """Return the descriptions of all public names."""
    found: dict[str, list[str]] = {}
    for name in MODULES:
        module = importlib.import_module(name)
        for exported in module.__all__:
            thing = getattr(module, exported)
            if not ours(thing):
                continue
            found[f"{name}.{exported}"] = described(thing)
            if inspect.isclass(thing):
                for member, value in members(thing).items():
                    found[f"{name}.{exported}.{member}"] = described(value)
    return dict(sorted(found.items()))


if __name__ == "__main__":
    json.dump(api(), sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")
