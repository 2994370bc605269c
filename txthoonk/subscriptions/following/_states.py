"""The states of a follower, and all transitions between them."""

from __future__ import annotations

from enum import Enum

from txthoonk.errors import ThoonkError

__all__ = [
    "APPLYING",
    "DOWN",
    "ENDED",
    "LIVE",
    "PAUSED",
    "READING",
    "TRANSITIONS",
    "ImpossibleInput",
    "State",
    "next_state",
]


class State(Enum):
    """What a follower does with a live event."""

    DOWN = "down"  # ignores it: the channels are not confirmed
    READING = "reading"  # holds it until the history is read
    APPLYING = "applying"  # applies it to the whole state, which is being read
    LIVE = "live"  # delivers it if it is the next one
    PAUSED = "paused"  # drops it: there is no room, and it is read when there is
    ENDED = "ended"  # ignores it for good

    __hash__ = object.__hash__  # faster than the one of Enum


DOWN, READING, APPLYING, LIVE, PAUSED, ENDED = State

_FOLLOWING = [DOWN, READING, APPLYING, LIVE, PAUSED]

#: Input -> state -> next state. An input is impossible in a state that its row does not have.
TRANSITIONS: dict[str, dict[State, State]] = {
    # The channels are confirmed, events may be missing, or there is room again.
    "read": dict.fromkeys(_FOLLOWING, READING),
    # The whole state is read, or read again after a lost connection.
    "apply": dict.fromkeys([READING, APPLYING], APPLYING),
    # The whole state is known, or reading is put off.
    "hold": dict.fromkeys([READING, APPLYING], READING),
    # All is read, cannot be read, or need not be read.
    "deliver": dict.fromkeys(_FOLLOWING, LIVE),
    # The subscriber has no room.
    "pause": {LIVE: PAUSED},
    # The connection is lost, or Redis refuses the channels.
    "go down": {**dict.fromkeys(_FOLLOWING, DOWN), ENDED: ENDED},
    # No one wants the events any more.
    "end": dict.fromkeys(State, ENDED),
}


class ImpossibleInput(ThoonkError):
    """A follower got an input that its state does not have: a defect of txthoonk."""


def next_state(state: State, input_: str, feed: str) -> State:
    """Return the state that an input leads to.

    :param feed: the follower's feed, for the error.
    :raises ImpossibleInput: if the state does not have the input.
    """
    found = TRANSITIONS[input_].get(state)
    if found is None:
        raise ImpossibleInput(
            f"the follower of feed {feed!r} got the input {input_!r} in state {state.value!r}: "
            "please report this as a defect of txthoonk"
        )
    return found
