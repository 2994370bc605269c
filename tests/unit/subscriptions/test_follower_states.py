"""Followers: each state takes the inputs of the table, and refuses the others by name."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.followers import FollowerTestCase, change, changes, found, of_the_feed, state
from txthoonk.errors import ResponseError
from txthoonk.subscriptions.following._states import TRANSITIONS, ImpossibleInput, State


class StateTests(FollowerTestCase):
    def reach(self, wanted: State) -> None:
        """Bring a new follower to a state by the usual inputs."""
        self.setUp()
        {  # type: ignore[operator]
            State.DOWN: self.make,
            State.READING: self.read,
            State.APPLYING: lambda: self.read(snapshot=True),
            State.LIVE: self.start,
            State.PAUSED: self.pause,
            State.ENDED: self.end,
        }[wanted]()
        self.assertIs(self.follower._state, wanted)

    def read(self, snapshot: bool = False) -> None:
        self.make(snapshot=snapshot)
        self.follower.ready()

    def pause(self) -> None:
        self.start(limit=1)
        self.tell(*changes(6, 7))

    def end(self) -> None:
        self.start()
        self.follower.stop()

    def read_history(self) -> None:
        self.follower._owed.state_wanted = False
        self.follower._read()

    def pause_without_room(self) -> None:
        self.subscription.reserve(10_000)
        self.follower._pause()

    def test_table(self) -> None:
        """Each input leads to the state of the table, or raises an error that names both."""
        inputs: dict[str, Callable[[], object]] = {
            "read": self.read_history,
            "apply": lambda: self.follower.apply_to(lambda _: None),
            "hold": lambda: self.follower.hold(),
            "deliver": lambda: self.follower._deliver(),
            "pause": self.pause_without_room,
            "go down": lambda: self.follower._go_down(),
            "end": lambda: self.follower.stop(),
        }
        self.assertEqual(list(inputs), list(TRANSITIONS))
        for name, take in inputs.items():
            for before in State:
                self.reach(before)
                after = TRANSITIONS[name].get(before)
                if after is not None:
                    take()
                    self.assertIs(self.follower._state, after, (name, before))
                    continue
                error = self.assertRaises(ImpossibleInput, take)
                self.assertIn(repr(name), str(error))
                self.assertIn(repr(before.value), str(error))
                self.assertIs(self.follower._state, before)

    def test_ended(self) -> None:
        """A follower that is stopped ignores what happens to its connection."""
        for inputs in (("ready",), ("lost", "ready"), ("refused", "ready"), ("stop", "ready")):
            self.end()
            for name in inputs:
                error = (ResponseError("NOPERM"),) if name == "refused" else ()
                getattr(self.follower, name)(*error)
                self.assertIs(self.follower._state, State.ENDED)
            self.assertEqual((self.reader.sent(), self.seen()), ([], []))
            self.assert_stays()

    def test_live_events(self) -> None:
        """Each state delivers, holds or drops live events."""
        for wanted, seen, held in (
            (State.DOWN, [], []),
            (State.READING, [], [change(6), of_the_feed("config")]),
            (State.APPLYING, [of_the_feed("config")], []),
            (State.LIVE, [change(6), of_the_feed("config")], []),
            (State.PAUSED, [change(6)], [of_the_feed("config")]),
            (State.ENDED, [], []),
        ):
            self.reach(wanted)
            self.tell(change(6), of_the_feed("config"))
            self.assertEqual(list(self.follower.held.events), held, wanted)
            self.assertEqual(self.seen(), seen, wanted)

    def test_state_is_read_again(self) -> None:
        """The whole state may be read again after a lost connection of the publisher."""
        self.reach(State.APPLYING)
        self.answer(state(5, a="x"))
        self.assertIs(self.follower._state, State.LIVE)
        self.assertEqual(self.position, ("a", 5))
        self.follower.check("a", 6, True)
        self.assertIs(self.follower._state, State.READING)
        self.answer(found(6, 6))
        self.assertIs(self.follower._state, State.LIVE)
