"""Requests and replies over one connection, parsed by hiredis.

Redis replies in the order of the requests, so the Deferreds wait in one queue and each reply goes
to the one at its head.  A cancelled Deferred stays in the queue, discards its reply, and so keeps
the others in step.
"""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Callable
from threading import get_ident
from typing import Any, cast

import hiredis
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IWriteDescriptor
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from txthoonk._support._threads import wrong_thread
from txthoonk.errors import (
    ConnectionLost,
    InvalidCommand,
    InvalidData,
    InvalidResponse,
    NoScript,
    from_reply,
    shown,
)
from txthoonk.protocol._batching import MOST_BYTES, Rests, Together, again, only
from txthoonk.protocol._encoding import RAW, TEXT, Encoding, pack, safe
from txthoonk.protocol._interfaces import MisplacedListener, Repeater
from txthoonk.protocol._opening import (
    NEVER_CONNECTED,
    Closing,
    check_credentials,
    greeting,
    present,
    refusal,
    unbuffer,
)
from txthoonk.protocol._transient import needs_another_server, refuses_connection
from txthoonk.protocol._waiting import Waiting
from txthoonk.protocol.bounds._limits import LEAST, Limits, is_too_big
from txthoonk.protocol.bounds._sizes import Sizes
from txthoonk.wire._scripts import Script

__all__ = ["RedisProtocol"]

MOST_UNSENT = 25  # calls

_NOT_YET = object()
_UNUSUAL = (Exception, hiredis.PushNotification)
# The reply would be QUEUED, which a feed would take for an id or an item.
_IN_TRANSACTION = (
    "a feed cannot be used between MULTI and EXEC on its own connection: "
    "send EXEC first, or use another connection for the transaction"
)


class RedisProtocol(Protocol):
    """The reply queue.

    :ivar heard: how many times bytes have arrived.
    :ivar last_error: why the connection ended: the error that the server sent without a request,
        or the one that it was given up for; None if there was neither.
    """

    _log = Logger()
    _together: Together | None = None
    _transaction = False
    _misplaced_listener: MisplacedListener | None = None

    def __init__(
        self,
        db: int | None = None,
        password: str | None = None,
        charset: str | None = "utf8",
        errors: str = "strict",
        username: str | None = None,
    ) -> None:
        """Make the protocol, with the arguments of txredis and *username*.

        :param db: the number of the database to select; None or 0 sends no SELECT.
        :param password: sent with AUTH before anything else, if given.
        :param charset: encodes ``str`` and decodes replies; None: replies are bytes.
        :param errors: the codec error handler for *charset*.
        :param username: the ACL user of the password.
        :raises LookupError: if Python does not know *charset* or *errors*.
        :raises InvalidType: if the password or the user is not text.
        """
        check_credentials(password=password, username=username)
        self.db = db if db is not None else 0
        self.password = password
        self.username = username
        self._thread = get_ident()  # the only one whose calls are in step with the replies
        self._pending: deque[Waiting] = deque()
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse,
            replyError=from_reply,
            notEnoughData=_NOT_YET,
        )
        self._current = RAW
        self.set_encoding(charset, errors)
        self._lost: ConnectionLost | None = ConnectionLost(NEVER_CONNECTED)
        self.last_error: BaseException | None = None
        self._open = False
        self._write: Callable[[bytes], object]
        self._loaded: set[str] = set()
        self._rests = Rests(self.call)
        self._reading = False
        self.heard = 0
        self._unsent = 0
        self._pushes = False
        self._closing = Closing()
        #: What the server accepts; a reconnecting owner passes it on to the next connection.
        self.limits = Limits()
        self._sizes = Sizes(
            self._pending,
            self.request,
            self._write_to,
            limits=lambda: self.limits,
            usable=lambda: self._lost is None,
        )

    @property
    def usable(self) -> bool:
        """Whether calls can be sent."""
        return self._lost is None

    @property
    def transaction(self) -> bool:
        """Whether MULTI was sent, and neither EXEC nor DISCARD since."""
        return self._transaction

    @transaction.setter
    def transaction(self, begun: bool) -> None:
        if begun and self._together is not None:
            self._send_together()  # these calls were made before MULTI
        self._transaction = begun

    @property
    def oldest(self) -> Waiting | None:
        """The call whose reply comes next; None if no call waits."""
        return self._pending[0] if self._pending else None

    def set_encoding(self, charset: str | None, errors: str = "strict") -> None:
        """Change how ``str`` is encoded, and how later replies are decoded."""
        self.charset = charset
        self.errors = errors
        codecs.lookup_error(errors)
        self._own = Encoding(charset and codecs.lookup(charset).name, errors)

    # -- requests ---------------------------------------------------------

    def send(self, command: str | bytes, *args: Any) -> Deferred[Any]:
        """Send any command.

        :param command: the command's name.
        :param args: ``str``, ``bytes``, ``int`` or ``float``.
        :return: fires the reply, not converted; fails with
            :class:`~txthoonk.errors.ResponseError` if the reply is an error, with
            :class:`~txthoonk.errors.ConnectionLost` if there is no reply, and with
            :class:`~txthoonk.errors.InvalidData` if an argument cannot be encoded.
        """
        return self.request((command, *args))

    def request(self, command: tuple[Any, ...], encoding: Encoding | None = None) -> Deferred[Any]:
        """Send *command*, and decode its reply with *encoding*.

        :param encoding: None: the connection's.
        :raises WrongThread: in a thread other than the connection's, as all methods do.
        """
        if get_ident() != self._thread:
            raise wrong_thread()
        if encoding is not None and self._transaction:
            return fail(InvalidCommand(_IN_TRANSACTION))
        try:
            command = safe(command, encoding or self._own)
            packed = pack(command, encoding or self._own)
        except InvalidData:
            return fail()
        if self._lost is not None:
            return fail(self._lost)
        waiting = Waiting()
        waiting.encoding = encoding
        self._transmit(waiting, packed, command)
        return waiting

    def _transmit(self, waiting: Waiting, packed: bytes, command: tuple[Any, ...]) -> None:
        if self._together is not None:
            self._send_together()
        if len(packed) > LEAST and self._sizes.refuses(
            waiting, command, waiting.encoding or self._own, ask=not self._transaction
        ):
            return
        alone = not self._pending
        self._pending.append(waiting)
        self._write(packed)
        self._unsent += 1
        if alone or self._unsent >= MOST_UNSENT:
            self._push()

    def _push(self) -> None:
        """Flush what is written, so that Redis works on it while this turn makes more calls.

        Otherwise the transport sends everything at the end of the reactor turn, Redis answers
        it together, and each side always waits for the other.
        """
        self._unsent = 0
        transport = cast(Any, self.transport)
        # A closing transport would forget to close. The reactor's doWrite meets errors again.
        if self._pushes and transport.connected and not transport.disconnecting:
            transport.doWrite()

    def call(self, script: Script, command: tuple[Any, ...], encoding: Encoding) -> Deferred[Any]:
        """Call a script, and load it first if this connection has not done so.

        :param command: ``EVALSHA`` and all its arguments.
        :param encoding: how to decode the reply.
        """
        if get_ident() != self._thread:
            raise wrong_thread()
        if self._transaction:
            return fail(InvalidCommand(_IN_TRANSACTION))
        try:
            packed = pack(command, encoding)
        except InvalidData:
            return fail()
        if self._lost is not None:
            return fail(self._lost)
        return self._call(script, command, packed, encoding)

    def _call(
        self, script: Script, command: tuple[Any, ...], packed: bytes, encoding: Encoding
    ) -> Waiting:
        if self._together is not None:
            self._send_together()  # before SCRIPT LOAD: the batch may call the same script
        if script.sha not in self._loaded:
            self._loaded.add(script.sha)
            # Ignoring a refusal hides nothing: the EVALSHA that follows fails with NOSCRIPT.
            loaded = self.request(("SCRIPT", "LOAD", script.source), TEXT)
            loaded.addErrback(self._not_loaded)
        waiting = Waiting()
        waiting.encoding = encoding
        waiting.script = script
        waiting.command = command
        self._transmit(waiting, packed, command)
        return waiting

    def _not_loaded(self, reason: Failure) -> None:
        error = cast(BaseException, reason.value)
        if refuses_connection(error):
            self._abort(error)  # this error says more than that of the EVALSHA would

    def call_together(
        self,
        script: Script | None,
        prefix: tuple[Any, ...],
        group: tuple[Any, ...],
        encoding: Encoding = TEXT,
        repeater: Repeater | None = None,
    ) -> Deferred[Any]:
        """Call a script for a group of arguments, in a batch with other calls of this turn.

        Redis still executes all calls in the order in which they were made.

        :param script: takes any number of groups, and replies to each; None: a command does.
        :param prefix: ``EVALSHA``, or the command, and all arguments before the groups.  Only
            calls that pass the identical object share a batch.
        :param group: ``str`` and ``bytes``.
        :param encoding: how to decode the reply.
        :param repeater: sends the call again if the feed's serializer has changed; None: the call
            fails then.
        :return: fires the reply to this group.
        """
        if get_ident() != self._thread:
            raise wrong_thread()
        together = self._together
        if together is None and not self._may_wait():
            return self._call_alone(script, prefix, group, encoding, repeater)
        size = sum(map(len, group))
        if size >= MOST_BYTES:  # if the server refuses its size, no other call fails with it
            return self._call_alone(script, prefix, group, encoding, repeater)
        if together is None or together.prefix is not prefix or together.full:
            together = self._begin_together(script, prefix, encoding, repeater)
        return together.add(group, size)

    def _call_alone(
        self,
        script: Script | None,
        prefix: tuple[Any, ...],
        group: tuple[Any, ...],
        encoding: Encoding,
        repeater: Repeater | None,
    ) -> Deferred[Any]:
        command = (*prefix, *group)
        if script is None:
            return self.request(command, encoding).addCallback(only)
        called = self.call(script, command, encoding)
        if script.rest is not None:
            called.addCallback(self._rests.after, 1, script.rest, prefix)
        to_repeat = (repeater, script, prefix, group)
        return called.addCallbacks(only, again, (self._failed,), {}, to_repeat, {})

    def _may_wait(self) -> bool:
        """Return whether calls are under way, so that waiting for the end of the turn is free."""
        return (
            bool(self._pending)
            and self._lost is None
            and not self._transaction
            and (self._reading or hasattr(self.transport, "reactor"))
        )

    def _begin_together(
        self,
        script: Script | None,
        prefix: tuple[Any, ...],
        encoding: Encoding,
        repeater: Repeater | None,
    ) -> Together:
        if self._together is not None:
            self._send_together()
        elif not self._reading:
            cast(Any, self.transport).reactor.callLater(0, self._turn_ended)
        self._together = Together(script, prefix, encoding, self._failed, repeater)
        return self._together

    def _turn_ended(self) -> None:
        if self._together is not None:
            self._send_together()

    def _send_together(self) -> None:
        together, self._together = cast(Together, self._together), None
        script, command, encoding = together.script, together.command, together.encoding
        repeater = together.repeater
        try:
            packed = pack(command, encoding)
        except InvalidData:
            prefix = together.prefix
            together.send_each(
                lambda group: self._call_alone(script, prefix, group, encoding, repeater)
            )
            return
        self._unsent += together.calls - 1
        if script is None:
            sent = Waiting()
            sent.encoding = encoding
            self._transmit(sent, packed, command)
        else:
            sent = self._call(script, command, packed, encoding)
        sent.calls = together.calls
        if script is not None and script.rest is not None:
            sent.addCallback(self._rests.after, together.calls, script.rest, together.prefix)
        sent.addCallbacks(together.answered, together.failed)

    def _call_with_source(self, waiting: Waiting, script: Script) -> None:
        # Rare: another client flushed the scripts after SCRIPT LOAD. EVAL cannot fail with
        # NOSCRIPT again, and it loads the script for the calls that follow.
        command = ("EVAL", script.source, *waiting.command[2:])
        self._transmit(waiting, pack(command, waiting.encoding or self._own), command)

    # -- replies ----------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Fire the waiting Deferred for each complete reply."""
        if self._lost is not None:
            return
        self.heard += 1
        self._reader.feed(data)
        self._reading = True
        try:
            self._parse()
        finally:
            self._reading = False
            self._turn_ended()

    def _parse(self) -> None:
        reader = self._reader
        pending = self._pending
        while True:
            encoding = (pending[0].encoding if pending else None) or self._own
            if encoding is not self._current:
                self._current = encoding
                reader.set_encoding(*encoding)
            try:
                reply = reader.gets()
            except UnicodeDecodeError as error:
                reply = InvalidData(f"a reply is not valid {encoding.charset}: {error}")
            except (InvalidResponse, TypeError, MemoryError) as error:
                self._malformed(error)
                return
            if reply is _NOT_YET:
                return
            self._replyReceived(reply)

    def _malformed(self, error: Exception) -> None:
        if not isinstance(error, InvalidResponse):
            error = InvalidResponse(f"a reply cannot be represented in Python: {error}")
        self._abort(error)

    def _replyReceived(self, reply: Any) -> None:
        if isinstance(reply, _UNUSUAL) or not self._pending:
            self._unusualReceived(reply)
        else:
            self._pending.popleft().callback(reply)

    def _unusualReceived(self, reply: Any) -> None:
        """Handle an error, a push message, or a reply without a request."""
        if isinstance(reply, hiredis.PushNotification):
            with self._log.failuresHandled("error in pushReceived"):
                self.pushReceived(reply)
        elif not self._pending:
            self._unasked(reply)
        else:
            waiting = self._pending.popleft()
            if isinstance(reply, NoScript) and waiting.script and not waiting.called:
                script, waiting.script = waiting.script, None
                self._call_with_source(waiting, script)
            else:
                if waiting.size is not None:
                    reply = self.limits.blame(reply, *waiting.size)
                    if is_too_big(reply):
                        self.abort(reply)  # the server reads no more
                self._failed(reply, waiting.script)
                waiting.errback(reply)

    def _failed(self, error: Exception, script: Script | None = None) -> None:
        """Report an error that needs another server, before the caller gets it."""
        listener = self._misplaced_listener
        if listener is not None and needs_another_server(error):
            listener.misplaced(self, error, script)

    def report_misplaced(self, listener: MisplacedListener) -> None:
        """Have a listener learn of errors that mean that another server must be used."""
        self._misplaced_listener = listener

    def pushReceived(self, message: list[Any]) -> None:
        """Receive an out-of-band message of RESP3, which is not a reply to a request."""
        self._log.debug("push message ignored: {message}", message=shown(message))

    def _unasked(self, reply: Any) -> None:
        # The server sends errors such as "max number of clients reached" before it closes
        # the connection. connectionLost gives them as the reason.
        if isinstance(reply, Exception):
            self.last_error = reply
        self._log.warn("received a reply without a request: {reply}", reply=shown(reply))

    # -- the connection ---------------------------------------------------

    def connectionMade(self) -> None:
        """Send AUTH and SELECT, and hold all other requests until they succeed.

        If the others followed at once and SELECT failed, they would run on the wrong database.
        """
        self._thread = get_ident()
        self._open = True
        self._lost = None
        self._write = present(self.transport).write
        # providedBy would include wrappers such as TLS, which do not know when the inner one ends.
        self._pushes = IWriteDescriptor.implementedBy(type(self.transport))
        unbuffer(self.transport)
        commands = greeting(self.username, self.password, self.db)
        replies = [self.request(command) for command in commands]
        if replies:
            held: list[bytes] = []
            self._write = held.append
            for reply in replies:
                reply.addErrback(self._refused)
            replies[-1].addCallback(self._release, held)

    def _write_to(self, write: Callable[[bytes], object] | None) -> Callable[[bytes], object]:
        """Send everything to *write* from now on; None: to the transport.  Returns it."""
        self._write = write or present(self.transport).write
        return self._write

    def _release(self, _: object, held: list[bytes]) -> None:
        if self._lost is None:
            write = present(self.transport).write
            if not self._sizes.holds:
                self._write = write
            if held:
                write(b"".join(held))

    def _refused(self, reason: Failure) -> None:
        self._abort(refusal(cast(BaseException, reason.value), self.db))

    def _abort(self, error: BaseException) -> None:
        """Close the connection because of *error*."""
        self.last_error = self.last_error or error
        self._fail_all(error)
        present(self.transport).loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail every waiting Deferred, and all later calls."""
        self._open = False
        why = self.last_error or reason.getErrorMessage()
        unanswered = sum(waiting.calls for waiting in self._pending)
        message = f"the connection to Redis was lost: {why}"
        if unanswered:
            message += f" ({unanswered} unanswered: each may or may not have been done)"
        self._fail_all(ConnectionLost(message))
        self._closing.closed()

    def _fail_all(self, error: BaseException) -> None:
        self._lost = error if isinstance(error, ConnectionLost) else ConnectionLost(str(error))
        waiting = list(self._pending)
        self._pending.clear()
        together, self._together = self._together, None
        for deferred in waiting:
            deferred.errback(error)
        if together is not None:
            together.failed(Failure(error))

    def abort(self, error: BaseException | None = None) -> None:
        """Drop the connection without waiting for the peer; waiting calls fail.

        :param error: the reason, which the error of the waiting calls names.
        """
        if self._open:
            self.last_error = error or self.last_error
            present(self.transport).abortConnection()

    def close(self) -> Deferred[None]:
        """Close the connection; calls that wait for a reply fail.

        :return: fires None once the connection is closed; at once if it is not open.
            Cancel it to drop the connection without waiting for the peer.
        """
        if get_ident() != self._thread:
            raise wrong_thread()
        if not self._open:
            return succeed(None)
        transport = present(self.transport)
        self._turn_ended()
        return self._closing.close(transport)
