"""The states of a connection."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txthoonk.connections._states import TRANSITIONS, Input, State, States


class StateTests(SynchronousTestCase):
    def test_possible(self) -> None:
        """A possible input leads to the state that the table names."""
        for before, row in TRANSITIONS.items():
            for what, after in row.items():
                states = States()
                states.now = before
                self.assertIs(states.take(what), before)
                self.assertIs(states.now, after)

    def test_impossible(self) -> None:
        """Any other input raises, names the input and the state, and changes nothing."""
        for state in State:
            for what in set(Input) - set(TRANSITIONS[state]):
                states = States()
                states.now = state
                error = self.assertRaises(RuntimeError, states.take, what)
                self.assertEqual(
                    str(error), f"a connection cannot {what.value} while it is {state.value}"
                )
                self.assertIs(states.now, state)

    def test_all_reached(self) -> None:
        """Every state except the first can be reached."""
        reached = {after for row in TRANSITIONS.values() for after in row.values()}
        self.assertEqual(reached, set(State) - {State.NEW})

    def test_owner(self) -> None:
        """The owner may start and stop at any time."""
        for state in State:
            self.assertLessEqual({Input.START, Input.STOP}, set(TRANSITIONS[state]))
