"""Says in a store who writes to a run: an object with a token that nobody else has.

What is guaranteed: where the store takes conditional writes (S3 and most that speak its language do), of two that begin
a run at the same time one is refused. What isn't: an object store has no locks that end with their process, so a run
that is gone on with elsewhere is taken over, and the one who wrote before finds out before the next file that it sends.
Between its look and its write another may come, and a file of one of both be replaced: checksums then tell.
"""

from __future__ import annotations

import datetime
import json
import os
import secrets
import socket
from collections.abc import Callable

from truetap.errors import RunExistsError, StoreError
from truetap.store.remote.path import RemotePath
from truetap.store.worker import ALONE, Worker

__all__ = ["Claim", "new_token"]


def new_token() -> str:
    """A token that nobody else has."""
    return secrets.token_hex(16)


class Claim:
    """The right to write to a run in a store.

    Args:
        run: The run's folder in the store.
        token: That of the writer; the same again when it goes on after it was killed.
        worker: Which of the run's workers writes: each has a right of its own.
    """

    def __init__(self, run: RemotePath, token: str, worker: Worker = ALONE) -> None:
        self._run = run
        self._object = run / worker.lock
        self._token = token

    def take(self, *, over: bool) -> None:
        """Take the right.

        Args:
            over: Whether to take it from another, too.

        Raises:
            RunExistsError: Another has it.
            StoreError: The store refuses.
        """
        try:
            try:
                self._object.create(self._content())
            except FileExistsError:
                if not over and not self.is_ours():
                    raise RunExistsError(
                        f"Someone has begun to write a run at {self._run.url!r}: {self._who()}. It is left as it is. "
                        "If that has ended, go on in its place with resume=True (append=True of a RunWriter), or "
                        f"remove {self._object.url!r}; else write to another URL."
                    ) from None
                self._object.write(self._content())
        except StoreError:
            raise
        except OSError as error:
            raise StoreError(f"Can't write to {self._run.url!r}: {error.strerror or error}.") from error

    def check(self, is_unchanged: Callable[[], bool]) -> None:
        """Make sure that nobody has taken it.

        Args:
            is_unchanged: Whether the run in the store is as this writer left it; asked when nobody has the right.

        Raises:
            RunExistsError: Someone has, or had.
            OSError: It can't be told.
        """
        told = self._told()
        if told.get("token") == self._token:
            return
        if not told and is_unchanged():  # the object was removed, as old ones are in some stores
            self.take(over=False)
            return
        who = "was gone on with by another" if not told else f"is being written by another: {self._who()}"
        raise RunExistsError(f"The run at {self._run.url!r} {who}. Nothing more is sent there from here.")

    def is_ours(self) -> bool:
        """Whether it is held under this token."""
        return self._told().get("token") == self._token

    def release(self) -> None:
        """Give it back, if it is held."""
        if self.is_ours():
            self._object.remove()

    def _content(self) -> bytes:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        who = f"process {os.getpid()} on {socket.gethostname()}, since {now}"
        return json.dumps({"token": self._token, "who": who}).encode()

    def _who(self) -> str:
        return str(self._told().get("who", "nobody knows who"))[:200]

    def _told(self) -> dict[str, object]:
        try:
            told = json.loads(self._object.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return told if isinstance(told, dict) else {}
