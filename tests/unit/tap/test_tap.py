"""The plugins of ``twist``: their options, environment variables and services."""

from __future__ import annotations

import io
import json
import re
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.application.service import IServiceMaker, MultiService
from twisted.application.twist._options import TwistOptions
from twisted.logger import Logger, capturedLogs, formatEvent
from twisted.plugin import getPlugins
from twisted.python.usage import UsageError
from twisted.scripts._twistd_unix import ServerOptions
from twisted.trial.unittest import SynchronousTestCase

from txthoonk import Maintenance, Thoonk, Worker, __version__
from txthoonk.tap import maintenance, worker
from txthoonk.tap._json_log import json_observer

ROOT = Path(__file__).resolve().parents[3]
WORK = ["--job", "a", "--handler", "os.path.join"]


def parsed(module: Any, *words: str, **environment: str) -> Any:
    """Parse the words of a command line, with only these variables set."""
    options = module.Options(environment)
    options.parseOptions(list(words))
    return options


def values(options: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: options[name] for name in names}


class OptionsTests(SynchronousTestCase):
    def refused(self, module: Any, *words: str, **environment: str) -> str:
        return str(self.assertRaises(UsageError, parsed, module, *words, **environment))

    def test_worker_defaults(self) -> None:
        """A worker requires a feed and a handler; every other option has a default."""
        options = parsed(worker, *WORK)
        names = [setting.name for setting in worker.Options.settings]
        self.assertEqual(
            values(options, *names),
            {
                "redis": "redis://localhost:6379/0",
                "ca-file": None,
                "job": [("a", 1.0)],
                "config": [],
                "handler": __import__("os").path.join,
                "key": "task",
                "concurrency": 1,
                "grace": 10.0,
                "time-limit": None,
                "soft-time-limit": None,
                "in-thread": False,
                "name": None,
                "redis-file": None,
                "no-maintenance": False,
                "log-json": False,
                "metrics-port": None,
                "metrics-host": "127.0.0.1",
            },
        )

    def test_worker_command_line(self) -> None:
        """Every option can be given; ``--job`` can be repeated, and takes a weight."""
        options = parsed(
            worker,
            *("--redis", "unix:///run/redis.sock?db=2", "--handler", "os.path:join"),
            *("--job", "a b", "--job", "b,c=2.5", "--job", "d=e=1", "--concurrency=20"),
            *("--grace", "0.5", "--in-thread", "--no-maintenance", "--name", "it"),
        )
        self.assertEqual(options["job"], [("a b", 1.0), ("b,c", 2.5), ("d=e", 1.0)])
        self.assertIs(options["handler"], __import__("os").path.join)
        self.assertEqual(
            values(options, "concurrency", "grace", "in-thread", "no-maintenance", "name"),
            {
                "concurrency": 20,
                "grace": 0.5,
                "in-thread": True,
                "no-maintenance": True,
                "name": "it",
            },
        )
        self.assertEqual(options.thoonk.url, "unix:///run/redis.sock?db=2")

    def test_worker_environment(self) -> None:
        """Every option has a variable; commas or spaces separate several feeds."""
        options = parsed(
            worker,
            THOONK_REDIS="redis://:geheim@example.org/3",
            THOONK_JOB=" a=2, b\nc ,",
            THOONK_HANDLER="os.path.join",
            THOONK_CONCURRENCY="7",
            THOONK_GRACE="1",
            THOONK_IN_THREAD="1",
            THOONK_NAME="it",
            THOONK_NO_MAINTENANCE="Yes",
            THOONK_LOG_JSON="off",
        )
        self.assertEqual(options["job"], [("a", 2.0), ("b", 1.0), ("c", 1.0)])
        names = ("concurrency", "grace", "in-thread", "name", "no-maintenance", "log-json")
        self.assertEqual(list(values(options, *names).values()), [7, 1.0, True, "it", True, False])
        self.assertEqual(options.thoonk.url, "redis://***@example.org/3")

    def test_url(self) -> None:
        """The URL comes from the command line, from a file, or from one of two variables."""
        path = self.mktemp()
        Path(path).write_text("redis://:geheim@file\n")
        first = {"THOONK_REDIS": "redis://one"}
        both = {"THOONK_URL": "redis://two"}
        file = {"THOONK_REDIS_FILE": path}
        for words, environment, url in [
            (("--redis", "redis://line"), {**first, **file}, "redis://line"),
            (("--redis-file", path), first, "redis://***@file"),
            ((), {**first, **file}, "redis://***@file"),
            ((), {**first, **both}, "redis://one"),
            ((), both, "redis://two"),
        ]:
            self.assertEqual(parsed(maintenance, *words, **environment).thoonk.url, url)
        refused = self.refused(maintenance, "--redis", "redis://h", "--redis-file", path)
        self.assertEqual(refused, "--redis and --redis-file: give only one of them")

    def test_url_file_refused(self) -> None:
        """A URL file without a URL is an error that names the file and hides its content."""
        for content, text in [
            (None, "the URL cannot be read from '.*': No such file"),
            ("", "'.*' must contain one line, a URL"),
            ("redis://h\ngeheim", "'.*' must contain one line, a URL"),
            ("redis://:geheim@h:x", r"'redis://\*\*\*@h:x': "),
        ]:
            path = self.mktemp()
            if content is not None:
                Path(path).write_text(content)
            refused = self.refused(maintenance, "--redis-file", path)
            self.assertRegex(refused, f"^--redis-file: {text}")
            self.assertNotIn("geheim", refused)

    def test_maintenance_options(self) -> None:
        """Maintenance covers all feeds, or the feeds that are named."""
        options = parsed(maintenance)
        self.assertEqual(values(options, "feed", "interval"), {"feed": [], "interval": 30.0})
        options = parsed(maintenance, "--feed", "a b", "--feed", "c", "--interval", "0.25")
        self.assertEqual(
            values(options, "feed", "interval"), {"feed": ["a b", "c"], "interval": 0.25}
        )
        options = parsed(maintenance, THOONK_FEED="a,b", THOONK_INTERVAL="5")
        self.assertEqual(values(options, "feed", "interval"), {"feed": ["a", "b"], "interval": 5})

    def test_command_line_wins(self) -> None:
        """The command line overrides a variable; an empty variable counts as unset."""
        options = parsed(
            worker,
            *(*WORK, "--concurrency", "2"),
            THOONK_JOB="b,c",
            THOONK_CONCURRENCY="nonsense",
            THOONK_GRACE="",
            THOONK_IN_THREAD=" ",
        )
        self.assertEqual(
            values(options, "job", "concurrency", "grace", "in-thread"),
            {"job": [("a", 1.0)], "concurrency": 2, "grace": 10.0, "in-thread": False},
        )

    def test_process_environment(self) -> None:
        """The variables of the process are the default."""
        with mock.patch.dict("os.environ", {"THOONK_INTERVAL": "7"}):
            options = maintenance.Options()
        with mock.patch.dict("os.environ", {"THOONK_INTERVAL": "8"}):
            options.parseOptions([])
        self.assertEqual(options["interval"], 8)

    def test_refused(self) -> None:
        """A bad option is an error that names the option, the value and what is expected."""
        for words, text in [
            (["--concurrency", "0"], "--concurrency: '0' is not a whole number from 1"),
            (["--concurrency", "1.5"], "--concurrency: '1.5' is not a whole number"),
            (["--concurrency", "9" * 11], "to 1,000,000,000"),
            (["--grace", "soon"], "--grace: 'soon' is not a number of seconds"),
            (["--grace", "-1"], "--grace: the time must be 0 to"),
            (["--grace", "nan"], "--grace: the time must be 0 to"),
            (["--job", "b=c"], "--job: 'c' in 'b=c' is not a weight.*: 'b=c=1'"),
            (["--job", "b=0"], "'0' in 'b=0' is not a weight, which is a number above 0"),
            (["--job", "b=inf"], "'inf' in 'b=inf' is not a weight"),
            (["--job", "=2"], "--job: the name of the feed is missing"),
            (["--job", ""], "--job: the name of the feed is missing"),
            (["--job", "b\0"], "--job: .*NUL"),
            (["--job", "a=2"], "--job: feed 'a' is given twice"),
            (["--config", "timeout"], "--config: 'timeout' does not have the form NAME=VALUE"),
            (["--config", "timeout=soon"], "--config: .*must be a number of seconds.*'soon'"),
            (["--config", "timout=5"], "--config: .*did you mean 'timeout'"),
            (["--config", "max_length=5"], "--config: .*is for feeds of type feed"),
            (["--config", "type=queue"], "--config: .*feed 'a' is of type 'queue'"),
            (["--redis", "http://me:geheim@x"], r"--redis: not a URL of Redis: 'http://\*\*\*@x'"),
            (["--redis", ""], "--redis: "),
            (["--ca-file", "x.pem"], "--ca-file: ca_file is for rediss:// only"),
            (["--metrics-port", "65536"], "--metrics-port: '65536' is not .* from 0 to 65,535"),
            (["--in-thread=1"], "in-thread"),
            (["--frobnicate"], "frobnicate"),
            (["more"], "Wrong number of arguments"),
        ]:
            refused = self.refused(worker, *WORK, *words)
            self.assertRegex(refused, text)
            self.assertNotIn("geheim", refused)

    def test_refused_from_the_environment(self) -> None:
        """A bad variable is an error that names the variable."""
        for variable, value, text in [
            ("THOONK_CONCURRENCY", "many", "'many' is not a whole number"),
            ("THOONK_JOB", "a,b=c", "'c' in 'b=c' is not a weight"),
            ("THOONK_JOB", "a,a", "feed 'a' is given twice"),
            ("THOONK_LOG_JSON", "maybe", r"'maybe' is neither yes \(1, .*\) nor no \(0, "),
            ("THOONK_REDIS", "geheim", "not a URL of Redis"),
            ("THOONK_HANDLER", "join", "'join' does not have the form package.module.function"),
        ]:
            words = {"THOONK_JOB": WORK[2:], "THOONK_HANDLER": WORK[:2]}.get(variable, WORK)
            refused = self.refused(worker, *words, **{variable: value})
            self.assertRegex(refused, f"^{variable}: {text}")

    def test_refused_by_maintenance(self) -> None:
        """Maintenance refuses an interval that is not above 0, and a feed without a name."""
        for words, text in [
            (["--interval", "0"], "--interval: the time must be above 0 seconds"),
            (["--interval", "x"], "--interval: 'x' is not a number of seconds"),
            (["--feed", ""], "--feed: the name of the feed is missing"),
        ]:
            self.assertEqual(self.refused(maintenance, *words), text)

    def test_missing(self) -> None:
        """A missing option that a worker requires is an error that names its variable, too."""
        self.assertEqual(
            self.refused(worker, *WORK[:2]),
            "--handler is missing; give it, or set THOONK_HANDLER",
        )
        self.assertEqual(
            self.refused(worker, *WORK[2:], THOONK_JOB=","),
            "--job is missing; give it, or set THOONK_JOB",
        )

    def test_help(self) -> None:
        """The help names each option with its variable, and is at most 80 columns wide."""
        for module in (worker, maintenance):
            options = module.Options({})
            text = options.getUsage(width=80)
            for setting in module.Options.settings:
                self.assertRegex(text, rf"  --{setting.name}=?  ")
                variable = f"THOONK_{setting.name.replace('-', '_').upper()}"
                self.assertRegex(text, rf"\[{variable}( or THOONK_URL)?[;\]]")
            self.assertEqual([line for line in text.splitlines() if len(line) > 80], [])
            self.assertIn("the command line wins", " ".join(text.split()))

    def test_version(self) -> None:
        """``--version`` prints the version of txthoonk."""
        self.patch(sys, "stdout", io.StringIO())
        self.assertRaises(SystemExit, parsed, worker, "--version")
        self.assertEqual(sys.stdout.getvalue(), f"txthoonk {__version__}\n")  # type: ignore


class ServiceTests(SynchronousTestCase):
    def children(self, service: Any) -> list[Any]:
        self.assertIsInstance(service, MultiService)
        return list(service)

    def test_worker(self) -> None:
        """The service has the connections first, then a worker with the given options."""
        options = parsed(
            worker,
            *("--job", "b=2", *WORK, "--concurrency", "3", "--grace", "2.5"),
            *("--name", "it", "--no-maintenance"),
        )
        with capturedLogs() as logged:
            thoonk, made = self.children(worker.makeService(options))
        self.assertEqual(
            [formatEvent(event) for event in logged],
            ["worker 'it' works on 'b' (weight 2), 'a' at redis://localhost:6379/0, 3 at a time"],
        )
        self.assertIs(thoonk, options.thoonk)
        self.assertIsInstance(made, Worker)
        self.assertEqual(made.concurrency, 3)
        self.assertEqual(made.about["name"], "it")
        self.assertEqual(
            (made._feeds, made._handler, made._thoonk, made._grace, made._maintained),
            ({"b": 2.0, "a": 1.0}, options["handler"], thoonk, 2.5, False),
        )

    def test_threads(self) -> None:
        """``--in-thread`` reaches the worker."""
        for words, in_thread in (((), False), (("--in-thread",), True)):
            options = parsed(worker, *WORK, *words)
            _, made = self.children(worker.makeService(options))
            self.assertIs(made._in_thread, in_thread)

    def test_maintenance(self) -> None:
        """The service has the connections first, then the maintenance."""
        for words, feeds in (([], None), (["--feed", "a"], ["a"])):
            options = parsed(maintenance, *words, "--interval", "5")
            thoonk, made = self.children(maintenance.makeService(options))
            self.assertIsInstance(thoonk, Thoonk)
            self.assertIsInstance(made, Maintenance)
            self.assertEqual((made._pub, made._feeds, made._interval), (thoonk, feeds, 5.0))

    def test_metrics(self) -> None:
        """Metrics are served at the given port and host, and include the worker if any."""
        made: list[Any] = []

        class MetricsService(MultiService):
            def __init__(self, *arguments: Any, **how: Any) -> None:
                super().__init__()
                made.append((arguments, how))

        module = types.ModuleType("txthoonk.metrics")
        module.MetricsService = MetricsService  # type: ignore[attr-defined]
        with mock.patch.dict(sys.modules, {"txthoonk.metrics": module}):
            options = parsed(worker, *WORK, "--metrics-port", "9100")
            thoonk, a_worker, _ = self.children(worker.makeService(options))
            words = ["--metrics-port", "0", "--metrics-host", "::1"]
            other, _, _ = self.children(maintenance.makeService(parsed(maintenance, *words)))
        self.assertEqual(
            made,
            [
                ((thoonk, (a_worker,)), {"port": 9100, "interface": "127.0.0.1"}),
                ((other, ()), {"port": 0, "interface": "::1"}),
            ],
        )

    def test_metrics_are_missing(self) -> None:
        """``--metrics-port`` without prometheus_client is an error that says what to install."""
        absent = dict.fromkeys(["prometheus_client", "prometheus_client.core"])
        with mock.patch.dict(sys.modules, absent):
            for name in ("txthoonk.metrics", "txthoonk.monitoring._metrics"):
                sys.modules.pop(name, None)
            refused = self.assertRaises(UsageError, parsed, worker, *WORK, "--metrics-port", "1")
            self.assertRegex(str(refused), r"^--metrics-port: .*pip install 'txthoonk\[metrics\]'")
            parsed(worker, *WORK)


class PluginTests(SynchronousTestCase):
    def test_found(self) -> None:
        """``twist`` finds both plugins, each with its own options."""
        found = {plugin.tapname: plugin for plugin in getPlugins(IServiceMaker)}
        for name, module in (("thoonk-worker", worker), ("thoonk-maintenance", maintenance)):
            self.assertIs(found[name].options, module.Options)
            self.assertIs(found[name].makeService, module.makeService)
            self.assertRegex(found[name].description, r"^.{20,52}$")

    def test_no_package(self) -> None:
        """The plugin folders are not packages, because a package would hide Twisted's."""
        self.assertEqual(list((ROOT / "twisted").rglob("__init__.py")), [])

    def test_json_with_twist(self) -> None:
        """``--log-json`` replaces the log format of ``twist``."""
        for words, expected in (([], False), (["--log-json"], True)):
            options = TwistOptions()
            with mock.patch.dict("os.environ", clear=True):
                options.parseOptions(["--log-format", "text", "thoonk-maintenance", *words])
            self.assertEqual(options["fileLogObserverFactory"] is json_observer, expected)

    def test_json_with_twistd(self) -> None:
        """``--log-json`` is refused by ``twistd``."""
        options = ServerOptions()
        words = ["-n", "thoonk-maintenance", "--log-json"]
        said = io.StringIO()
        self.patch(sys, "stderr", said)
        end = self.assertRaises(SystemExit, options.parseOptions, words)
        self.assertEqual(end.code, 64)
        self.assertEqual(
            said.getvalue(),
            "thoonk-maintenance: --log-json: works with twist only, not with twistd "
            "(--help lists the options)\n",
        )


class DocumentedTests(SynchronousTestCase):
    """The examples of ``docs/deployment.rst``."""

    def blocks(self, language: str) -> list[str]:
        text = (ROOT / "docs" / "deployment.rst").read_text()
        found = re.findall(rf"code-block:: {language}\n\n((?:    .*\n|\n)+)", text)
        return [re.sub("(?m)^    ", "", block) for block in found]

    def test_unit_file(self) -> None:
        """The unit file and its environment make a worker, with enough time to stop."""
        lines = [line.partition("=") for line in self.blocks("ini")[0].splitlines()]
        unit = [(name, value) for name, equals, value in lines if equals]
        pairs = [value for name, value in unit if name == "Environment"]
        pairs += self.blocks("sh")[0].split()
        environment = {name: value for name, _, value in (pair.partition("=") for pair in pairs)}
        self.assertEqual(
            set(environment) - {setting.variable for setting in worker.Options.settings}, set()
        )
        environment["THOONK_METRICS_PORT"] = environment["THOONK_METRICS_PORT"].replace("%i", "1")
        environment["THOONK_HANDLER"] = "os.path.join"
        options = parsed(worker, **environment)
        self.assertEqual(options["job"], [("emails", 3.0), ("reports", 1.0)])
        self.assertEqual(int(dict(unit)["TimeoutStopSec"]), options["grace"] + 20)
        self.assertEqual(dict(unit)["KillSignal"], "SIGTERM")
        command = dict(unit)["ExecStart"].split()
        self.assertEqual((Path(command[0]).name, command[1:]), ("twist", ["thoonk-worker"]))

    def test_log_line(self) -> None:
        """The documented log line has the keys of real log lines."""
        line = json.loads(self.blocks("json")[0])
        file = io.StringIO()
        Logger("x", observer=json_observer(file)).info("{id}", id="7")
        self.assertEqual(list(json.loads(file.getvalue())), list(line))
