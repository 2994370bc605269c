"""Parsing of requests and replies, and the bytes at which a cut may make a difference."""

from __future__ import annotations

import random
from typing import NamedTuple

__all__ = ["Command", "commands", "replies", "reply_places", "request_places"]

NEAR = 2  # bytes at each end of a request or a reply after which a cut is always tried
MANY = 5000  # the length in bytes above which only some of them are tried


class Command(NamedTuple):
    """A request: its name, and where it starts and ends in a stream."""

    name: str
    start: int
    end: int


def commands(data: bytes) -> list[Command]:
    """Return the complete requests of a stream."""
    found: list[Command] = []
    at = 0
    while at < len(data):
        whole = _command(data, at)
        if whole is None:
            return found
        found.append(whole)
        at = whole.end
    return found


def _command(data: bytes, start: int) -> Command | None:
    name, line = "", data.find(b"\r\n", start)
    if line < 0:
        return None
    end = line + 2
    for _ in range(int(data[start + 1 : line])):
        line = data.find(b"\r\n", end)
        if line < 0:
            return None
        first, size = line + 2, int(data[end + 1 : line])
        name = name or data[first : first + size].decode()
        end = first + size + 2
        if end > len(data):
            return None
    return Command(name, start, end)


def replies(data: bytes) -> list[int]:
    """Return the ends of the complete replies in a stream."""
    found: list[int] = []
    at = 0
    while at < len(data):
        at = _end_of_reply(data, at)
        if at < 0:
            break
        found.append(at)
    return found


def _end_of_reply(data: bytes, at: int) -> int:
    line = data.find(b"\r\n", at)
    if line < 0:
        return -1
    kind, rest, end = data[at : at + 1], data[at + 1 : line], line + 2
    if kind == b"$" and rest != b"-1":
        end += int(rest) + 2
        return end if end <= len(data) else -1
    if kind == b"*" and rest != b"-1":
        for _ in range(int(rest)):
            end = _end_of_reply(data, end) if end >= 0 else -1
    return end


def request_places(stream: bytes, every: bool, most: int) -> list[int]:
    """Return the counts of bytes of a stream of requests after which to cut.

    There are few for SCRIPT LOAD, which is long and changes nothing, and for requests of more than
    MANY bytes.

    :param every: whether to cut after every byte; else near the ends of each request, and after
        a random selection: *most* at ends of RESP's elements, and *most* anywhere.
    """
    found: set[int] = set()
    for command in commands(stream):
        few = command.name == "SCRIPT"
        many = (False, 1) if few else (every, most)
        found.update(_places(stream, command.start, command.end, *many))
    return sorted(found)


def reply_places(requests: bytes, stream: bytes, every: bool, most: int) -> list[int]:
    """Return the counts of bytes of a stream of replies after which to cut.

    The rules are those of :func:`request_places`. Replies to SCRIPT LOAD are left out, because the
    requests after it may not have passed yet.
    """
    names = [command.name for command in commands(requests)]
    found: set[int] = set()
    start = 0
    for number, end in enumerate(replies(stream)):
        if not ("SCRIPT" in names and names[number : number + 1] == ["SCRIPT"]):
            found.update(_places(stream, start, end, every, most))
        start = end
    return sorted(found)


def _places(stream: bytes, start: int, end: int, every: bool, most: int) -> set[int]:
    whole = range(start, end)
    if every and len(whole) <= MANY:
        return set(whole)
    near = NEAR if most > 1 else 1
    found = {*whole[:near], *whole[-near:]}
    inner = whole[near:-near]
    edges = [at for at in inner if stream[at - 1] == ord("\n") or stream[at] == ord("\r")]
    # The same in each run, but different for each length.
    chance = random.Random(len(whole))
    for some in (edges, inner):
        found.update(chance.sample(some, min(len(some), most)))
    return found
