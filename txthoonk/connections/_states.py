"""The states of a connection that reconnects, and every transition between them."""

from __future__ import annotations

from enum import Enum

__all__ = ["TRANSITIONS", "Input", "State", "States"]


class State(Enum):
    """What a :class:`~txthoonk.connections._reconnecting.Connection` is doing."""

    NEW = "new"
    WAITING = "waiting for the next attempt"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    LEAVING = "leaving the server"
    CLOSING = "closing"
    RESTARTING = "closing before a restart"
    STOPPED = "stopped"


class Input(Enum):
    """What happens to it.  The first three come from its owner, the others from the network."""

    START = "start"
    STOP = "stop"
    LEAVE = "leave"
    DUE = "begin an attempt"
    FAILED = "fail an attempt"
    UP = "come up"
    LOST = "lose its connection"


#: For each state, which inputs are possible and what they lead to.
TRANSITIONS: dict[State, dict[Input, State]] = {
    State.NEW: {
        Input.START: State.WAITING,
        Input.STOP: State.STOPPED,
    },
    State.WAITING: {
        Input.START: State.WAITING,
        Input.STOP: State.STOPPED,
        Input.DUE: State.CONNECTING,
    },
    State.CONNECTING: {
        Input.START: State.CONNECTING,
        Input.STOP: State.STOPPED,
        Input.FAILED: State.WAITING,
        Input.UP: State.CONNECTED,
    },
    State.CONNECTED: {
        Input.START: State.CONNECTED,
        Input.STOP: State.CLOSING,
        Input.LEAVE: State.LEAVING,
        Input.LOST: State.WAITING,
    },
    # Listeners know already that the connection is gone; the server may still reply to calls.
    State.LEAVING: {
        Input.START: State.LEAVING,
        Input.STOP: State.STOPPED,
        Input.LOST: State.WAITING,
    },
    State.CLOSING: {
        Input.START: State.RESTARTING,
        Input.STOP: State.CLOSING,
        Input.LOST: State.STOPPED,
    },
    State.RESTARTING: {
        Input.START: State.RESTARTING,
        Input.STOP: State.CLOSING,
        Input.LOST: State.WAITING,
    },
    State.STOPPED: {
        Input.START: State.WAITING,
        Input.STOP: State.STOPPED,
    },
}


class States:
    """The present state.

    :ivar now: the state.
    """

    def __init__(self) -> None:
        self.now = State.NEW

    def take(self, what: Input) -> State:
        """Make the transition that an input leads to.

        :return: the state before it.
        :raises RuntimeError: if the input is impossible in the present state.
        """
        before = self.now
        after = TRANSITIONS[before].get(what)
        if after is None:
            raise RuntimeError(f"a connection cannot {what.value} while it is {before.value}")
        self.now = after
        return before

    @property
    def up(self) -> bool:
        """Whether there is a connection, so far as its listeners know."""
        return self.now in (State.CONNECTED, State.CLOSING, State.RESTARTING)

    @property
    def stopped(self) -> bool:
        """Whether it is stopped, or is to stop once its connection is closed."""
        return self.now in (State.CLOSING, State.STOPPED)
