"""The claims of a publisher: their tokens, and the effect of lost answers."""

from __future__ import annotations

from typing import Any

from tests.support.claims import EVENT, RETRIED, ClaimTestCase
from tests.support.wire import outcome
from txthoonk.consumers import _claims
from txthoonk.consumers.results._result_trimming import MOST
from txthoonk.errors import ConnectionLost, InvalidItem, JobNotClaimed
from txthoonk.types import Job


class TokenTests(ClaimTestCase):
    def test_made(self) -> None:
        """A token consists of the claim's owner and the server's time of the claim."""
        self.assertEqual(self.claims.owner, self.owner)
        self.assertEqual(self.claims.made("a", "1700000000000.25"), self.token("1700000000000.25"))
        self.assertEqual(self.claims.tokens, {"a": self.token("1700000000000.25")})

    def test_shared(self) -> None:
        """All objects of one feed share their claims; another feed has its own."""
        self.assertIs(Job(self.pub, "j")._claims, self.claims)
        self.assertIsNot(Job(self.pub, "other")._claims, self.claims)

    def test_ended(self) -> None:
        """An ended claim is forgotten; a second end changes nothing."""
        tokens = {id_: self.claims.made(id_, "5.5") for id_ in "ab"}
        for _ in range(2):
            self.claims.ended("a", tokens["a"])
            self.assertEqual(self.claims.tokens, {"b": tokens["b"]})

    def test_claimed_again(self) -> None:
        """The end of an earlier claim does not end a later one of the same job."""
        first, second = self.claims.made("a", "5.5"), self.claims.made("a", "6.5")
        self.claims.ended("a", first)
        self.assertEqual(self.claims.tokens, {"a": second})
        self.claims.ended("a", second)
        self.assertEqual(self.claims.tokens, {})

    def test_bounded(self) -> None:
        """The number of remembered claims is limited; the oldest are forgotten first."""
        self.patch(_claims, "MOST", 3)
        for number in range(5):
            self.claims.made(str(number), "5.5")
        self.assertEqual(list(self.claims.tokens), ["2", "3", "4"])

    def test_claimed_again_is_new(self) -> None:
        """A job that is claimed again replaces its own claim, and counts as the newest."""
        self.patch(_claims, "MOST", 3)
        for id_ in ("a", "b", "c", "b"):
            self.claims.made(id_, "5.5")
        self.assertEqual(list(self.claims.tokens), ["a", "c", "b"])
        self.claims.made("d", "5.5")
        self.assertEqual(list(self.claims.tokens), ["c", "b", "d"])


class GetTests(ClaimTestCase):
    def test_get(self) -> None:
        """A get sends the owner of the claim, and fires a claim with a token."""
        got = self.job.get()
        (sent,) = self.main.sent()
        self.assertEqual(
            sent,
            [b"job/get", b"j", EVENT, b"feed.claimed:j", self.owner.encode(), b"1", b""],
        )
        self.main.answer([b"5.5", 0, b"a", b"A", 2])
        claim = self.successResultOf(got)
        self.assertEqual(claim, ("a", "A", 2))
        self.assertEqual((claim.token, claim.job), (self.token(), self.job))
        self.assertEqual(self.claims.tokens, {"a": self.token()})

    def test_several(self) -> None:
        """Jobs of one answer have the same time, and each has its token."""
        gets = [self.job.get() for _ in range(3)]
        self.main.answer([b"5.5", 0, b"a", b"A", 0], [b"6.5", 0, b"b", b"B", 0, b"c", b"C", 0])
        tokens = [self.successResultOf(get).token for get in gets]
        self.assertEqual(tokens, [self.token("5.5"), self.token("6.5"), self.token("6.5")])

    def test_nobody(self) -> None:
        """A claim that arrives for no get is given back, and not remembered."""
        got = outcome(self.job.get())
        self.main.sent()
        closed = outcome(self.pub.close())
        self.main.answer([b"5.5", 0, b"a", b"A", 0])
        (sent,) = self.main.sent()
        self.assertEqual(sent[0], b"job/release")
        self.assertEqual(sent[-2:], [b"a", self.token().encode()])
        self.assertEqual(self.claims.tokens, {})
        self.assertEqual(([type(error) for error in got], closed), ([ConnectionLost], []))

    def test_unreadable(self) -> None:
        """An item that the serializer cannot read is claimed; its id names the claim."""
        job = Job(self.pub, "j", "json")
        got = job.get()
        self.main.sent()
        self.main.answer([b"5.5", b"json", b"a", b"{", 0])
        self.failureResultOf(got, InvalidItem)
        self.ends(job.stall("a"), b"a", self.token().encode(), b"")


class EndTests(ClaimTestCase):
    """Calls name a claim by its token, and forget it when it ends."""

    def finished(self, *statuses: Any) -> None:
        self.main.answer([b"7.5", 0, list(statuses), [], []])

    def test_finish(self) -> None:
        """finish() accepts a claim, or an id, which names the last claim of that job."""
        claim = self.get()
        for name in (claim, "a"):
            fired = self.ends(
                self.job.finish(name),
                b"0",
                b"%d" % MOST,
                b"a",
                claim.token.encode(),
                b"",
                b"0",
                b"",
                b"",
            )
            self.assertEqual(self.claims.tokens, {"a": claim.token})
        self.finished(1)
        self.finished(1)
        self.assertEqual(fired, [None])
        self.assertEqual(self.claims.tokens, {})

    def test_claimed_elsewhere(self) -> None:
        """The id of a job that this publisher did not claim names any claim."""
        self.get("b")
        self.ends(self.job.finish("a"), b"0", b"%d" % MOST, b"a", b"", b"", b"0", b"", b"")

    def test_late_finish(self) -> None:
        """A finish with a lost claim fails; a later claim of the job stays."""
        first, second = self.get(time="5.5"), self.get(time="6.5")
        late = self.ends(
            self.job.finish(first, "done"),
            *(b"0", b"%d" % MOST, b"a", first.token.encode(), b"", b"0", b"text", b"done"),
        )
        self.finished(b"NOTCLAIMED job 'a' of feed 'j' is not claimed")
        self.assertEqual([type(error) for error in late], [JobNotClaimed])
        self.assertEqual(str(late[0]), "job 'a' of feed 'j' is not claimed")
        self.assertEqual(self.claims.tokens, {"a": second.token})

    def test_not_claimed(self) -> None:
        """A lost claim is forgotten, whichever call discovers it."""
        for call in (self.job.finish, self.job.cancel, self.job.stall):
            claim = self.get()
            late = outcome(call(claim))
            self.main.sent()
            if call == self.job.finish:
                self.finished(b"NOTCLAIMED gone")
            else:
                self.main.answer(Exception("NOTCLAIMED gone"))
            self.assertEqual([type(error) for error in late], [JobNotClaimed])
            self.assertEqual(self.claims.tokens, {})

    def test_given_back(self) -> None:
        """cancel(), stall() and fail() name the claim, and forget it when it has ended."""
        error = ValueError("no")
        for call, reply in (
            (lambda name: self.job.cancel(name), 1),
            (lambda name: self.job.stall(name), 1),
            (lambda name: self.job.fail(name, error), [b"available", b""]),
        ):
            for by_id in (False, True):
                claim = self.get()
                ended = outcome(call("a" if by_id else claim))
                (sent,) = self.main.sent()
                at = sent.index(b"a")
                self.assertEqual(sent[at : at + 2], [b"a", claim.token.encode()])
                self.assertEqual(self.claims.tokens, {"a": claim.token})
                self.main.answer(reply)
                self.assertEqual(len(ended), 1)
                self.assertNotIsInstance(ended[0], Exception)
                self.assertEqual(self.claims.tokens, {})

    def test_goes_on(self) -> None:
        """renew() and progress() name the claim, which continues."""
        claim = self.get()
        token = claim.token.encode()
        self.ends(self.job.renew(claim), b"a", token)
        self.ends(self.job.renew("a"), b"a", token)
        self.ends(claim.progress(1), b"a", token, b'{"done": 1, "total": null, "note": null}')
        self.main.answer(1, 1, 1)
        self.assertEqual(self.claims.tokens, {"a": claim.token})

    def test_refused(self) -> None:
        """An error other than a lost claim does not end the claim."""
        claim = self.get()
        for call in (self.job.cancel, self.job.stall):
            fired = outcome(call(claim))
            self.main.answer(Exception("OOM command not allowed when used memory > 'maxmemory'"))
            self.assertEqual(len(fired), 1)
        self.assertEqual(self.claims.tokens, {"a": claim.token})

    def test_release(self) -> None:
        """release() gives jobs back in their order, and forgets their claims at once."""
        first, second = self.get("a", "5.5"), self.get("b", "6.5")
        held = [(claim.id, claim.token) for claim in (second, first)]
        released = outcome(self.claims.release(held))
        self.assertEqual(self.claims.tokens, {})
        words = [word.encode() for claim in held for word in claim]
        self.assertEqual(self.main.sent(), [[b"job/release", b"j", EVENT, RETRIED, *words]])
        self.main.answer(2)
        self.assertEqual(released, [2])

    def test_release_one(self) -> None:
        """Job.release() fires whether the call gave the job back."""
        claim = self.get()
        for reply in (1, 0):
            fired = self.ends(self.job.release(claim), b"a", claim.token.encode())
            self.main.answer(reply)
            self.assertEqual(fired, [reply == 1])
