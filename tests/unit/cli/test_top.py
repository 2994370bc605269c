"""The display of ``thoonk top``: feeds and workers on terminals of all sizes."""

from __future__ import annotations

import io
import json
import unicodedata
from typing import Any, NamedTuple

import attr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from txthoonk.cli.top._model import Rates, as_json, rates
from txthoonk.cli.top._view import fit, render
from txthoonk.errors import ResponseError
from txthoonk.monitoring._inspector import Held, Overview, WorkerInfo

NOTHING: dict[str, Any] = {
    "time": 100.0,
    "type": "job",
    "paused": False,
    "available": 0,
    "claimed": 0,
    "stalled": 0,
    "delayed": 0,
    "publishes": 0,
    "finishes": 0,
    "oldest": None,
    "workers": [],
    "held": [],
}
QUICK = settings(
    max_examples=150,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
SIZE = (80, 24)
BEGIN = 3  # lines before the feeds' heading


def look(name: str, **values: Any) -> Overview:
    return Overview(name, **{**NOTHING, **values})


def worker(name: str, seen: float = 1.0, concurrency: int = 4, owner: str = "") -> WorkerInfo:
    return WorkerInfo(owner or f"{name}'s", seen, name, "host", 1, concurrency)


class Line(NamedTuple):
    text: str
    bold: bool


def drawn(feeds: list[Overview], before: Any, size: tuple[int, int], **words: Any) -> list[Line]:
    """Return the lines that a terminal of this size shows, without trailing spaces."""
    columns, lines = size
    console = Console(width=columns, height=lines, file=io.StringIO())
    view = render(feeds, before, size, **words)
    found = []
    for line in console.render_lines(view, console.options.update(height=None), pad=False)[:lines]:
        text = "".join(segment.text for segment in line).rstrip()
        bold = any(segment.style and segment.style.bold for segment in line if segment.text)
        found.append(Line(text, bold))
    return found


def texts(feeds: list[Overview], *before: Overview, size: Any = SIZE, **words: Any) -> list[str]:
    earlier = {feed.name: feed for feed in before}
    return [line.text for line in drawn(feeds, earlier, size, **words)]


def cells(text: str) -> int:
    wide = sum(unicodedata.east_asian_width(c) in ("W", "F") for c in text)
    return len(text) + wide - sum(unicodedata.category(c) in ("Mn", "Me") for c in text)


class RateTests(SynchronousTestCase):
    def test_difference(self) -> None:
        """A rate is the difference of two reads over the server's time between them."""
        before = look("x", publishes=10, finishes=4)
        now = look("x", time=104.0, publishes=20, finishes=5)
        self.assertEqual(rates(now, before), Rates(2.5, 0.25))

    def test_unknown(self) -> None:
        """A rate is unknown at the first read, and if the feed or the clock was reset."""
        now = look("x", time=104.0, publishes=20, finishes=5)
        self.assertEqual(rates(now, None), Rates(None, None))
        self.assertEqual(rates(now, now), Rates(None, None))
        self.assertEqual(rates(now, look("x", time=105.0)), Rates(None, None))
        self.assertEqual(rates(now, look("x", publishes=21)), Rates(None, None))
        self.assertEqual(rates(now, look("x", finishes=6)), Rates(5.0, None))

    def test_only_jobs_are_finished(self) -> None:
        """A queue has no rate of finished items, because Redis does not count them."""
        now = look("x", time=104.0, type="queue", publishes=20)
        self.assertEqual(rates(now, look("x", type="queue")), Rates(5.0, None))


class ViewTests(SynchronousTestCase):
    def test_whole(self) -> None:
        """A view has one line for each feed and each worker, in columns."""
        held = [Held("4f5b" * 8, "a's", 75.2), Held("2", "a's", 3.2), Held("3", "?", 0.1)]
        mail = look(
            "mail",
            time=102.0,
            available=12_345,
            claimed=3,
            delayed=2,
            stalled=1,
            publishes=500,
            finishes=480,
            oldest=3725.0,
            workers=[worker("a"), worker("b", 8.0)],
            held=held,
        )
        news = look("news", time=102.0, type="sorted_feed", available=1, publishes=1)
        paused = look("off", time=102.0, paused=True)
        queue = look("q", time=102.0, type="queue", available=1_234_567, claimed=1)
        before = [look("mail", publishes=450, finishes=477), look("news"), look("off"), look("q")]
        self.assertEqual(
            texts([news, queue, paused, mail], *before, about="thoonk top  redis://there"),
            [
                "thoonk top  redis://there",
                "4 feeds  2 workers  26 put/s  1.5 done/s  1.2M available  4 claimed  1 stalled",
                "",
                "FEED         TYPE     PUT/S DONE/S  AVAIL  CLAIM  DELAY  STALL OLDEST",
                "mail         job         25    1.5  12345      3      2      1  1h02m",
                "news         sorted     0.5      -      1      -      -      -      -",
                "q            queue        0      -   1.2M      1      -      -      -",
                "off (paused) job          0      0      0      0      0      0      -",
                "",
                "WORKER     JOBS   SEEN ON",
                "a           2/4   1.0s mail 4f5b~4f5b 1m15s, 2 3.2s",
                "? ?           1      - mail 3 0.1s",
                "b           0/4   8.0s idle on mail",
            ],
        )

    def test_nothing(self) -> None:
        """A view without feeds shows no workers."""
        self.assertEqual(
            texts([]),
            [
                "",
                "0 feeds  0 workers  - put/s  - done/s  0 available  0 claimed  0 stalled",
                "",
                "FEED TYPE     PUT/S DONE/S  AVAIL  CLAIM  DELAY  STALL OLDEST",
            ],
        )

    def test_problem(self) -> None:
        """A problem is shown above the feeds, in bold."""
        line = drawn([], {}, SIZE, problem="no connection\n")[2]
        self.assertEqual(line, (r"no connection\n", True))

    def test_busiest_first(self) -> None:
        """Feeds are sorted by rough rate, then by claims, then by available jobs."""
        before = [look(name) for name in "abcdefg"]
        now = [
            look("a", time=101.0),
            look("b", time=101.0, available=9),
            look("c", time=101.0, available=8),
            look("d", time=101.0, claimed=1),
            look("e", time=101.0, publishes=20),
            look("f", time=101.0, publishes=30),
            look("g", time=101.0, publishes=33),
        ]
        lines = texts(now, *before)[BEGIN + 1 :]
        self.assertEqual([line[0] for line in lines], list("gefdbca"))

    def test_items_of_feeds_do_not_wait(self) -> None:
        """A feed with many items does not count as busy."""
        now = [look("a", type="feed", available=1000), look("b", available=1)]
        self.assertEqual([line[0] for line in texts(now)[BEGIN + 1 :]], ["b", "a"])

    def test_more_than_fit(self) -> None:
        """Workers get up to a third of the lines, and the lines that do not fit are counted."""
        feeds = [look(f"feed{n:03}") for n in range(100)]
        feeds[0] = look("feed000", workers=[worker(f"w{n}") for n in range(50)])
        lines = texts(feeds)
        self.assertEqual(len(lines), 24)
        self.assertEqual(lines[BEGIN + 12], "... 89 more feeds")
        self.assertEqual([line[:2] for line in lines[-7:-1]], ["WO", "w0", "w1", "w1", "w1", "w1"])
        self.assertEqual(lines[-1], "... 45 more workers")

    def test_lines_left_over(self) -> None:
        """Lines that one part does not need go to the other."""
        feeds = [look(f"feed{n:03}") for n in range(100)]
        feeds[0] = look("feed000", workers=[worker("w")])
        lines = texts(feeds)
        self.assertEqual((len(lines), lines[-4]), (24, "... 84 more feeds"))
        few = texts([look("x", workers=[worker(f"w{n}") for n in range(50)])])
        self.assertEqual((len(few), few[-1]), (24, "... 34 more workers"))

    def test_long_names(self) -> None:
        """A name that is too long is cut in the middle; its mark is kept."""
        name = "begin" + 100 * "-" + "end"
        lines = texts([look(name, paused=True)])
        self.assertRegex(lines[BEGIN + 1], r"\Abegin-*~-*end \(paused\) job ")
        self.assertEqual(len(lines[BEGIN + 1]), 80)
        self.assertIn(name, texts([look(name)], size=(200, 24))[BEGIN + 1])

    def test_wide_characters(self) -> None:
        """Columns are aligned if characters take two cells, or none."""
        lines = texts([look("日本語"), look("ascii!"), look("e\u0301toile")])[BEGIN:]
        places = {cells(line[: line.index("job")]) for line in lines[1:]}
        self.assertEqual(places, {lines[0].index("TYPE")})

    def test_hostile(self) -> None:
        """Stored text can neither control the terminal nor start a new line."""
        evil = "\x1b[2J\r\n\u202e\udcff\x9b"
        feed = look(evil, type=evil, workers=[worker(evil)], held=[Held(evil, evil, 1.0)])
        shown = "".join(texts([feed], size=(400, 24)))
        self.assertTrue(shown.isprintable())
        self.assertIn(r"\x1b[2J\r\n\u202e\udcff\x9b", shown)


class WorkerTests(SynchronousTestCase):
    def crews(self, *feeds: Overview, size: Any = SIZE) -> list[str]:
        """Return the lines below the workers' heading."""
        lines = texts(list(feeds), size=size)
        (heading,) = (at for at, line in enumerate(lines) if line.startswith("WORKER "))
        return lines[heading + 1 :]

    def test_several_feeds(self) -> None:
        """A worker has one line with all its feeds; the longest job of each feed comes first."""
        one, two = worker("w", 5.0), worker("w", 2.0)
        held = [Held("1", "w's", 1.0), Held("2", "w's", 2.0)]
        self.assertEqual(
            self.crews(
                look("b", claimed=1, workers=[one], held=[Held("3", "w's", 9.0)]),
                look("a", claimed=2, workers=[two], held=held),
            ),
            ["w           3/4   2.0s a 2 2.0s, 1 1.0s; b 3 9.0s"],
        )

    def test_silent(self) -> None:
        """A worker that was not seen for a minute is marked as silent."""
        feed = look("x", workers=[worker("w", 61.0)])
        line = drawn([feed], {}, SIZE)[-1]
        self.assertEqual(line, ("w           0/4  1m01s silent: idle on x", True))
        self.assertIn(" 0 workers ", texts([feed])[1])

    def test_more_claims_than_listed(self) -> None:
        """A plus sign marks a worker's count if not all claims were listed."""
        feed = look("x", claimed=9, workers=[worker("w")], held=[Held("1", "w's", 1.0)])
        self.assertEqual(self.crews(feed), ["w          1+/4   1.0s x 1 1.0s"])

    def test_more_jobs_than_fit(self) -> None:
        """Jobs that do not fit are counted."""
        held = [Held(f"{n:032}", "w's", 100.0 - n) for n in range(100)]
        feed = look("a name that is long", claimed=100, workers=[worker("w", 1, 100)], held=held)
        (line,) = self.crews(feed)
        self.assertEqual(
            line, "w       100/100   1.0s a name ~s long 0000~0000 1m40s, 0000~0001 1m39s +98"
        )
        (line,) = self.crews(feed, size=(500, 24))
        self.assertIn(f"{0:032} 1m40s, {1:032} 1m39s", line)

    def test_others(self) -> None:
        """Claims of unknown owners are shown, and claims without an owner as well."""
        held = [Held("1", "somebody", 1.0), Held("2", "", 1.0), Held("3", "", 0.5)]
        self.assertEqual(
            self.crews(look("x", claimed=3, held=held)),
            [
                "?                 2      - x 2 1.0s, 3 0.5s",
                "? somebody        1      - x 1 1.0s",
            ],
        )


class FitTests(SynchronousTestCase):
    def test_fit(self) -> None:
        """Text that is too long keeps its beginning and its end."""
        for room, expected in (
            (9, "beginning"),
            (8, "begi~ing"),
            (3, "b~g"),
            (2, "b~"),
            (1, "~"),
            (0, ""),
        ):
            self.assertEqual(fit("beginning", room), expected)
        self.assertEqual(fit("x" * 10**7 + "end", 7), "xxx~end")

    anything = st.text(st.characters(exclude_categories=()), max_size=30)
    counts = st.integers(0, 10**12)

    @QUICK
    @given(
        st.lists(st.tuples(anything, anything, anything, counts, st.booleans()), max_size=8),
        st.integers(1, 130),
        st.integers(1, 30),
    )
    def test_always_fits(self, given: list[Any], width: int, height: int) -> None:
        """Any content fits into any terminal."""
        feeds = [
            look(
                name,
                type="job" if job else other,
                paused=job,
                available=count,
                claimed=count,
                oldest=count,
                workers=[worker(other, count, count)],
                held=[Held(name, f"{other}'s", count), Held(other, third, count)],
            )
            for name, other, third, count, job in given
        ]
        lines = drawn(feeds, {}, (width, height), about="about " * 9, problem="problem " * 9)
        self.assertLessEqual(len(lines), height)
        for line in lines:
            self.assertTrue(line.text.isprintable())
            self.assertLessEqual(cells(line.text), width)

    def test_numbers(self) -> None:
        """Numbers and times fit into their columns."""
        for count in (0, 9, 99_999, 100_000, 10**6, 10**9, 10**12, 10**18):
            line = texts([look("x", available=count, oldest=count)])[BEGIN + 1]
            self.assertEqual(len(line), len("FEED") + 57, line)


class JSONTests(SynchronousTestCase):
    def test_all(self) -> None:
        """The JSON has everything that is known of each feed, with times in seconds."""
        held = Held("1", "w's", 2.5)
        now = look("x", time=102.0, publishes=3, finishes=1, workers=[worker("w")], held=[held])
        told = as_json([now], {"x": look("x")}, {"b": ResponseError("ERR bad")})
        self.assertEqual(
            json.loads(json.dumps(told)),
            {
                "feeds": [
                    {
                        **NOTHING,
                        "name": "x",
                        "time": 102.0,
                        "publishes": 3,
                        "finishes": 1,
                        "publishes_per_second": 1.5,
                        "finishes_per_second": 0.5,
                        "workers": [attr.asdict(worker("w"))],
                        "held": [{"id": "1", "owner": "w's", "seconds": 2.5}],
                    }
                ],
                "failed": {"b": "ERR bad"},
            },
        )
        first = as_json([now], {}, {})["feeds"][0]
        self.assertEqual(
            (first["publishes_per_second"], first["finishes_per_second"]), (None,) * 2
        )
