"""``twist thoonk-worker``: its options and its service."""

from __future__ import annotations

import atexit
import importlib
import math
import os
import sys
import traceback
from collections.abc import Mapping
from operator import attrgetter
from types import ModuleType
from typing import Any, cast

from twisted.application.service import MultiService
from twisted.internet.interfaces import IReactorCore
from twisted.logger import Logger
from twisted.python.usage import UsageError

from txthoonk.errors import FeedTypeMismatch, InvalidInput
from txthoonk.tap._options import (
    ServiceOptions,
    Setting,
    feed_name,
    seconds,
    whole_number,
    yes_or_no,
)
from txthoonk.wire._checks import check_time_limits
from txthoonk.worker._feeds import configs_of
from txthoonk.worker._worker import Worker
from txthoonk.worker.running._by_name import ByName, is_async

__all__ = ["Options", "makeService"]

_log = Logger()


# -- the handler ----------------------------------------------------------------------------


def load_handler(name: str) -> Any:
    """Import a handler, or a mapping of names to handlers.

    :param name: ``package.module.function``, or ``package.module:object.attribute``.
    :raises ValueError: if that fails; the message says why.
    """
    place, colon, path = name.partition(":")
    if not colon:
        place, _, path = name.rpartition(".")
    if not all(part.isidentifier() for part in [*place.split("."), *path.split(".")]):
        raise ValueError(f"{name!r} does not have the form package.module.function")
    module = _import(place)
    try:
        handler = attrgetter(path)(module)
    except AttributeError as error:
        raise ValueError(f"{error} (in {getattr(module, '__file__', None)})") from None
    if not (callable(handler) or isinstance(handler, Mapping)):
        raise ValueError(f"{name!r} cannot be called: its type is {type(handler).__name__!r}")
    return handler


def _import(name: str) -> ModuleType:
    _look_here()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ValueError(_what_is_missing(name, error)) from None
    except (Exception, SystemExit) as error:  # noqa: BLE001  (a module may raise anything)
        raise ValueError(_what_failed(name, error)) from None


def _look_here() -> None:
    """Search the current directory first, as ``python -m`` does."""
    here, safe = os.getcwd(), getattr(sys.flags, "safe_path", False)
    if not safe and not {"", here} & set(sys.path):
        sys.path.insert(0, here)


def _what_is_missing(name: str, error: ModuleNotFoundError) -> str:
    if error.name is None or not f"{name}.".startswith(f"{error.name}."):
        return _what_failed(name, error)  # a module that it imports is missing
    if str(error).endswith("is not a package"):
        return f"{error} (write module:object.attribute for an attribute of an object)"
    return f"{error} in the current directory ({os.getcwd()}) or on PYTHONPATH"


def _what_failed(name: str, error: BaseException) -> str:
    """Format the traceback, from the module's own code on."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen") and frame.filename != importlib.__file__
    ]
    lines = [*traceback.format_list(frames[1:]), *traceback.format_exception_only(error)]
    return f"importing {name!r} failed:\n{''.join(lines).rstrip()}"


# -- options -----------------------------------------------------------------------------------


def _feed(text: str) -> tuple[str, float]:
    """Convert the name of a feed and its optional weight."""
    name, equals, weight = text.rpartition("=")
    if not equals:
        return feed_name(text), 1.0
    try:
        number = float(weight)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError(
            f"{weight!r} in {text!r} is not a weight, which is a number above 0 (if the name "
            f"contains =, add a weight: '{text}=1')"
        )
    return feed_name(name), number


def _shown(feed: str, weight: float) -> str:
    return repr(feed) if weight == 1 else f"{feed!r} (weight {weight:g})"


def _config(text: str) -> tuple[str, str]:
    """Convert a setting of the feeds."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError(f"{text!r} does not have the form NAME=VALUE, such as timeout=60")
    return name, value


class Options(ServiceOptions):
    """The options of ``twist thoonk-worker``."""

    synopsis = "[--redis URL] --job FEED --handler package.module.function [options]"
    settings = (
        Setting(
            "job",
            "The job feed to work on; repeat it for several. "
            "FEED=WEIGHT sets the share of the feed while several have jobs.",
            _feed,
            many=True,
        ),
        Setting(
            "config",
            "NAME=VALUE: create a feed that does not exist, with this setting; repeat it for "
            "several. Without it, the worker waits until another program creates the feed.",
            _config,
            many=True,
        ),
        Setting(
            "handler",
            "The function that works on a job: package.module.function, or "
            "package.module:object.attribute. It gets a claim and returns the result, or a "
            "Deferred or a coroutine of it. Or a dict of names to such functions: see --key. "
            "The current directory is searched first.",
            load_handler,
        ),
        Setting(
            "key",
            "If there are handlers by name, the field of the item that has the name.",
            default="task",
        ),
        Setting("concurrency", "How many jobs to work on at a time.", whole_number(1), "1"),
        Setting(
            "grace",
            "Seconds that handlers get to finish when the worker stops. Then they are "
            "cancelled, and their jobs become available again.",
            seconds,
            "10",
        ),
        Setting(
            "time-limit",
            "Seconds that a handler may take. Then the job fails, and the handler is cancelled; "
            "a thread is lost until its function returns.",
            seconds,
        ),
        Setting(
            "soft-time-limit",
            "Seconds until a handler is cancelled so that it can clean up; not with --in-thread.",
            seconds,
        ),
        Setting(
            "in-thread",
            "Run the handler in threads; it is a plain function that can block.",
            yes_or_no,
            flag=True,
        ),
        Setting(
            "name", "The name to show in thoonk top and metrics, instead of host and process."
        ),
        Setting(
            "no-maintenance",
            "Do not maintain the feeds; another process does.",
            yes_or_no,
            flag=True,
        ),
    )

    def postOptions(self) -> None:
        """Convert all texts, and check that the options fit together."""
        super().postOptions()
        self.need("job")
        self.need("handler")
        feeds = [feed for feed, _ in self["job"]]
        with self.blaming("job"):
            for feed in feeds:
                if feeds.count(feed) > 1:
                    raise ValueError(f"feed {feed!r} is given twice")
        with self.blaming("config"):
            try:
                configs_of(dict(self["config"]), feeds)
            except FeedTypeMismatch as error:
                raise ValueError(error) from None
        if isinstance(self["handler"], Mapping):
            with self.blaming("handler"):
                self["handler"] = ByName(self["handler"], self["key"], self["in-thread"])
        if self["in-thread"] and is_async(self["handler"]):
            raise UsageError("a coroutine function cannot run in a thread: omit --in-thread")
        if self["in-thread"] and self["soft-time-limit"] is not None:
            raise UsageError("a thread cannot be interrupted: use --time-limit with --in-thread")
        try:
            check_time_limits(self["time-limit"], self["soft-time-limit"])
        except InvalidInput as error:
            raise UsageError(str(error)) from None


def makeService(options: Options) -> MultiService:
    """Make the service from parsed options."""
    thoonk, handler, concurrency = options.thoonk, options["handler"], options["concurrency"]
    worker = Worker(
        dict(options["job"]),
        handler,
        concurrency,
        config=dict(options["config"]) or None,
        thoonk=thoonk,
        in_thread=options["in-thread"],
        grace=options["grace"],
        time_limit=options["time-limit"],
        soft_time_limit=options["soft-time-limit"],
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
    worker.when_failed().addCallback(_end_with_error)
    return options.together(worker, (worker,))


def _end_with_error(_: BaseException) -> None:
    """End the process, with exit status 1: the worker has logged why."""
    from twisted.internet import reactor

    # twist has no exit status of its own.
    atexit.register(_exit)
    cast(IReactorCore, reactor).stop()


def _exit() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(1)
