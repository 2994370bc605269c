"""How much a server takes in one command: what is more, it hangs up for.

An argument above ``proto-max-bulk-len`` (512 MB by default), or above
``client-query-buffer-limit``, ends the connection, and all other calls on it with it; so do
more than a million arguments before Redis 7.  So a call that may be too big is compared with
what the server says of itself, and fails by itself, before anything of it is written.

Where the server does not say (an ACL, a provider), its defaults are assumed, and corrected by
what it hangs up for.
"""

from __future__ import annotations

from typing import Any

from txthoonk.errors import InvalidInput, ResponseError, ThoonkError

__all__ = ["LEAST", "Limits", "is_too_big"]

LEAST = 2**20 - 2  # bytes in an argument that every server takes
FEWEST = 2**20  # arguments that every server takes
MOST = 2**31 - 1  # arguments, from Redis 7 on

# What the server says when it hangs up.
_PROTOCOL = "Protocol error: invalid "


class Limits:
    """What the servers that a client connects to take.

    :ivar word: bytes in one argument.
    :ivar words: arguments of one command.
    :ivar setting: what limits the bytes, to be shown.
    """

    #: What tells, in this order, for :meth:`learn`.
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
        """Take the answers of a server; what it does not tell stays as it was.

        :param answers: bytes, and errors.
        """
        bulk, query, info = answers
        limits = [(_number(bulk), "proto-max-bulk-len")]
        # What is read of an argument has the end of its line with it.
        limits.append((_number(query) - 2, "client-query-buffer-limit"))
        told = [limit for limit in limits if limit[0] > 0]
        if told:
            self.word, self.setting = min(told)
        if isinstance(info, bytes):
            old = b"redis_version:6." in info
            self.words = FEWEST if old else MOST

    def blame(self, error: BaseException, word: int, words: int) -> BaseException:
        """Learn from what the server has said of a command; say of which size it was.

        :param word: bytes of its longest argument.
        :param words: how many it had.
        """
        if not is_too_big(error):
            return error
        if "multibulk" in str(error):
            self.words = min(self.words, words - 1)
            return ResponseError(f"{error}: the command has {words:,} arguments")
        self.word = min(self.word, word - 1)
        return ResponseError(f"{error}: an argument has {word:,} bytes")

    def refusal(self, word: int, words: int, what: str = "an argument") -> InvalidInput | None:
        """Give the error that a command meets, None if the server takes it.

        :param what: what the longest argument is.
        """
        if word > self.word:
            return InvalidInput(
                f"{what} of {word:,} bytes is too big: this server takes up to "
                f"{self.word:,} ({self.setting})"
            )
        if words > self.words:
            return InvalidInput(
                f"{words:,} arguments are too many: this server takes up to {self.words:,}"
            )
        return None


def is_too_big(error: BaseException | None) -> bool:
    """Tell whether a server has hung up because of the size of the very call that fails."""
    return isinstance(error, ThoonkError) and _PROTOCOL in str(error)


def _number(pair: Any) -> int:
    try:
        return int(pair[1])
    except (TypeError, ValueError, LookupError):
        return 0
