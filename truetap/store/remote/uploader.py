"""Sends a run to its store from a thread of its own, while it is written; a store that refuses is asked again.

Cost: now and then a look at the manifest and the logs of the last segments; the time of the network, which nobody waits
for. Nothing is dropped while the store refuses: the spool grows.
"""

from __future__ import annotations

import os
import threading
import time

from truetap.errors import NotUploadedError, RunExistsError
from truetap.store.remote.sending import Sending

__all__ = ["Uploader"]

_OFTEN = 2.0  # seconds between two looks at what there is to send
_LONGEST_PAUSE = 60.0
_FOR_LONG = 60.0  # seconds of refusals after which it is said


class Uploader:
    """Sends what is finished until it is told to finish.

    Args:
        sending: What sends.
        url: Where to.
        spool: The folder that is sent, and kept when that fails.
        seconds: How old rows may get before they are sent.
        first_pause: Seconds after the first refusal; each further pause is twice as long.

    Attributes:
        notices: What is to be said.
    """

    def __init__(self, sending: Sending, url: str, spool: str, seconds: float, first_pause: float = 0.5) -> None:
        self.notices: tuple[str, ...] = ()
        self._sending = sending
        self._url = url
        self._spool = spool
        self._often = min(_OFTEN, seconds / 4)
        self._long = min(_FOR_LONG, 2 * seconds)
        self._first_pause = first_pause
        self._pause = 0.0
        self._refusing_since: float | None = None
        self._taken_over: RunExistsError | None = None
        self._try(ended=False)  # so that others see at once that there is a run
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="truetap-upload", daemon=True)
        self._thread.start()

    def finish(self, patience: float) -> None:
        """Send all that is left of a run that nobody writes to any more.

        Args:
            patience: Seconds to wait for a store that refuses.

        Raises:
            NotUploadedError: It still did, or another has taken the run over.
        """
        self.stop()
        until = time.monotonic() + patience
        self._pause = 0.0
        while self._taken_over is None:
            error = self._try(ended=True)
            if error is None:
                return
            left = until - time.monotonic()
            if left <= 0 or not self._can_try_again():
                raise NotUploadedError(
                    f"The run is whole on this machine, but could not be sent to {self._url!r} in {patience:g} s. "
                    f"{error} It is kept in {self._spool!r}: send it by `truetap upload {self._spool}` when the store "
                    "answers again, or go on recording with resume=True.",
                    self._spool,
                ) from error
            time.sleep(min(self._pause, left))
        if self._taken_over is not None:
            raise NotUploadedError(
                f"{self._taken_over} What was recorded here and not sent is kept in {self._spool!r}; send it to "
                f"another URL by `truetap upload {self._spool} URL`.",
                self._spool,
            ) from self._taken_over

    def _can_try_again(self) -> bool:
        """Whether there is something to send, and Python isn't ending, when it takes no more work."""
        return os.path.exists(self._spool) and threading.main_thread().is_alive()

    def stop(self) -> None:
        """Send nothing more; what is being sent arrives."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(self._pause or self._often):
            if self._taken_over is None:
                self._try(ended=False)

    def _try(self, *, ended: bool) -> OSError | None:
        try:
            self._sending.send(ended=ended)
        except RunExistsError as error:
            self._taken_over = error
            self._say(str(error))
            return error
        except OSError as error:
            self._refused(error)
            return error
        self._pause, self._refusing_since = 0.0, None
        return None

    def _refused(self, error: OSError) -> None:
        now = time.monotonic()
        self._refusing_since = now if self._refusing_since is None else self._refusing_since
        self._pause = min(_LONGEST_PAUSE, 2 * self._pause or self._first_pause)
        if now - self._refusing_since >= self._long:
            self._say(
                f"What is recorded can't be sent to {self._url!r} for {now - self._refusing_since:.0f} seconds now: "
                f"{error.strerror or error}. Recording goes on, nothing is lost: it waits in {self._spool!r}, and is "
                "sent when the store answers again."
            )

    def _say(self, text: str) -> None:
        if not self.notices:
            self.notices = (text,)
