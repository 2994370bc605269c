"""``twist thoonk-worker``: its options, and the service that they make."""

from __future__ import annotations

import importlib
import math
import os
import sys
import traceback
from operator import attrgetter
from types import ModuleType

from twisted.application.service import MultiService
from twisted.logger import Logger
from twisted.python.usage import UsageError

from txthoonk.tap._options import (
    ServiceOptions,
    Setting,
    feed_name,
    seconds,
    whole_number,
    yes_or_no,
)
from txthoonk.worker._worker import Handler, Worker, is_async

__all__ = ["Options", "makeService"]

_log = Logger()


# -- the handler ----------------------------------------------------------------------------


def load_handler(name: str) -> Handler:
    """Import a handler.

    :param name: ``package.module.function``, or ``package.module:object.attribute``.
    :raises ValueError: if there is none, with what failed.
    """
    place, colon, path = name.partition(":")
    if not colon:
        place, _, path = name.rpartition(".")
    if not all(part.isidentifier() for part in [*place.split("."), *path.split(".")]):
        raise ValueError(f"{name!r} is not of the form package.module.function")
    module = _import(place)
    try:
        handler = attrgetter(path)(module)
    except AttributeError as error:
        raise ValueError(f"{error} (in {getattr(module, '__file__', None)})") from None
    if not callable(handler):
        raise ValueError(f"{name!r} cannot be called: it is {type(handler).__name__!r}")
    return handler  # type: ignore[no-any-return]


def _import(name: str) -> ModuleType:
    _look_here()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ValueError(_what_is_missing(name, error)) from None
    except (Exception, SystemExit) as error:  # noqa: BLE001  (a module may raise anything)
        raise ValueError(_what_failed(name, error)) from None


def _look_here() -> None:
    """Find modules of the current directory first, as ``python -m`` does."""
    here, safe = os.getcwd(), getattr(sys.flags, "safe_path", False)
    if not safe and not {"", here} & set(sys.path):
        sys.path.insert(0, here)


def _what_is_missing(name: str, error: ModuleNotFoundError) -> str:
    if error.name is None or not f"{name}.".startswith(f"{error.name}."):
        return _what_failed(name, error)  # another module, which it imports
    if str(error).endswith("is not a package"):
        return f"{error} (what is in an object is named module:object.attribute)"
    return f"{error}, neither here ({os.getcwd()}) nor on PYTHONPATH"


def _what_failed(name: str, error: BaseException) -> str:
    """Give the traceback, from the module on."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen") and frame.filename != importlib.__file__
    ]
    lines = [*traceback.format_list(frames[1:]), *traceback.format_exception_only(error)]
    return f"importing {name!r} failed:\n{''.join(lines).rstrip()}"


# -- options -----------------------------------------------------------------------------------


def _feed(text: str) -> tuple[str, float]:
    """Take a feed's name, and its weight if there is one."""
    name, equals, weight = text.rpartition("=")
    if not equals:
        return feed_name(text), 1.0
    try:
        number = float(weight)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError(
            f"{weight!r} in {text!r} is not a weight, a number above 0 (a name with = in it "
            f"needs one: '{text}=1')"
        )
    return feed_name(name), number


def _shown(feed: str, weight: float) -> str:
    return repr(feed) if weight == 1 else f"{feed!r} (weight {weight:g})"


class Options(ServiceOptions):
    """The options of ``twist thoonk-worker``."""

    synopsis = "[--redis URL] --job FEED --handler package.module.function [options]"
    settings = (
        Setting(
            "job",
            "The job feed to work on, created if it does not exist; may be given more than "
            "once, and as FEED=WEIGHT: where all have jobs, each gets its share.",
            _feed,
            many=True,
        ),
        Setting(
            "handler",
            "package.module.function, or package.module:object.attribute: gets a claim, and "
            "returns the result, or a Deferred or a coroutine of it. The module is looked for "
            "in the current directory first.",
            load_handler,
        ),
        Setting("concurrency", "How many jobs are worked on at a time.", whole_number(1), "1"),
        Setting(
            "grace",
            "Seconds that handlers get to end when the worker is stopped; then they are "
            "cancelled, and their jobs are available again.",
            seconds,
            "10",
        ),
        Setting(
            "in-thread",
            "Run the handler, a plain function that may block, in threads.",
            yes_or_no,
            flag=True,
        ),
        Setting("name", "What others are shown; host and process otherwise."),
        Setting(
            "no-maintenance",
            "Leave the maintenance of the feeds to others.",
            yes_or_no,
            flag=True,
        ),
    )

    def postOptions(self) -> None:
        """Turn texts into values, and see whether they go together."""
        super().postOptions()
        self.need("job")
        self.need("handler")
        feeds = [feed for feed, _ in self["job"]]
        with self.blaming("job"):
            for feed in feeds:
                if feeds.count(feed) > 1:
                    raise ValueError(f"feed {feed!r} is named twice")
        if self["in-thread"] and is_async(self["handler"]):
            raise UsageError("a coroutine function does not run in a thread: omit --in-thread")


def makeService(options: Options) -> MultiService:
    """Make the service, from options that were parsed."""
    thoonk, handler, concurrency = options.thoonk, options["handler"], options["concurrency"]
    worker = Worker(
        dict(options["job"]),
        handler,
        concurrency,
        thoonk=thoonk,
        in_thread=options["in-thread"],
        grace=options["grace"],
        maintenance=not options["no-maintenance"],
        name=options["name"],
    )
    _log.info(
        "worker {name!r} works on {feeds} at {url}, {concurrency} at a time",
        name=worker.about["name"],
        feeds=", ".join(_shown(*feed) for feed in options["job"]),
        url=thoonk.url,
        concurrency=concurrency,
    )
    return options.together(worker, (worker,))
