"""The size limits of a server, which closes the connection on a command that exceeds them.

An argument above ``proto-max-bulk-len`` (512 MB by default) or ``client-query-buffer-limit`` ends
the connection, and all other calls on it fail too.  Before Redis 7, so do more than a million
arguments.  So a call that may be too big is checked against the server's settings, and fails
alone, before any of it is written.

If the server does not give its settings (because of an ACL or a provider), the defaults apply.
When the server then closes a connection because of a size, the limits are lowered.
"""

from __future__ import annotations

from typing import Any

from txthoonk.errors import InvalidInput, ResponseError, ThoonkError

__all__ = ["LEAST", "Limits", "is_too_big"]

LEAST = 2**20 - 2  # bytes of an argument that every server accepts
FEWEST = 2**20  # arguments that every server accepts
MOST = 2**31 - 1  # arguments that Redis 7 and later accept

# The beginning of the error that the server sends before it closes the connection.
_PROTOCOL = "Protocol error: invalid "


class Limits:
    """The limits of the servers that a client connects to.

    :ivar word: the most bytes of an argument.
    :ivar words: the most arguments of a command.
    :ivar setting: the name of the setting that limits the bytes, for error messages.
    """

    #: The commands whose replies, in this order, :meth:`learn` takes.
    QUESTIONS: tuple[tuple[str, ...], ...] = (
        ("CONFIG", "GET", "proto-max-bulk-len"),
        ("CONFIG", "GET", "client-query-buffer-limit"),
        ("INFO", "server"),
    )

    def __init__(self) -> None:
        self.word = 2**29
        self.words = FEWEST
        self.setting = "proto-max-bulk-len"

    def learn(self, answers: list[Any]) -> None:
        """Set the limits from a server's replies; what they do not contain stays unchanged.

        :param answers: the replies to :data:`QUESTIONS`: bytes or errors.
        """
        bulk, query, info = answers
        limits = [(_number(bulk), "proto-max-bulk-len")]
        # The server reads an argument together with the CRLF after it.
        limits.append((_number(query) - 2, "client-query-buffer-limit"))
        known = [limit for limit in limits if limit[0] > 0]
        if known:
            self.word, self.setting = min(known)
        if isinstance(info, bytes):
            old = b"redis_version:6." in info
            self.words = FEWEST if old else MOST

    def blame(self, error: BaseException, word: int, words: int) -> BaseException:
        """Lower the limits if *error* is about a command's size, and add the size to the error.

        :param word: the bytes of the command's longest argument.
        :param words: the number of its arguments.
        """
        if not is_too_big(error):
            return error
        if "multibulk" in str(error):
            self.words = min(self.words, words - 1)
            return ResponseError(f"{error}: the command has {words:,} arguments")
        self.word = min(self.word, word - 1)
        return ResponseError(f"{error}: an argument has {word:,} bytes")

    def refusal(self, word: int, words: int, what: str = "an argument") -> InvalidInput | None:
        """Return the error for a command that is too big; None if the server accepts it.

        :param what: a name for the longest argument.
        """
        if word > self.word:
            return InvalidInput(
                f"{what} of {word:,} bytes is too big: this server accepts up to "
                f"{self.word:,} ({self.setting})"
            )
        if words > self.words:
            return InvalidInput(
                f"{words:,} arguments are too many: this server accepts up to {self.words:,}"
            )
        return None


def is_too_big(error: BaseException | None) -> bool:
    """Return whether the server closed the connection because of the size of this very call."""
    return isinstance(error, ThoonkError) and _PROTOCOL in str(error)


def _number(pair: Any) -> int:
    try:
        return int(pair[1])
    except (TypeError, ValueError, LookupError):
        return 0
