"""The folder of this machine that a run goes through on its way to a store.

    <spool>/run/            the run, as it would be without a store; of raw tensors what was sent leaves it
    <spool>/upload.json     where it goes, and the token it is written under

It is found again by the URL, and removed when all is sent.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from truetap.errors import StoreError
from truetap.store.worker import Worker

__all__ = ["Spool", "spool_for"]

_STATE = "upload.json"
_RUN = "run"


@dataclass(frozen=True)
class Spool:
    """A spool.

    Attributes:
        folder: The whole of it.
    """

    folder: Path

    @property
    def run(self) -> Path:
        """The run in it."""
        return self.folder / _RUN

    def make(self) -> None:
        """Make the folder.

        Raises:
            StoreError: It can't be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"Can't make the folder {str(self.folder)!r}, through which a run goes to its store: "
                f"{error.strerror or error}. Expected: a place that can be written; choose one by spool=."
            ) from error

    def note(self, url: str, token: str) -> None:
        """Write down where the run goes, and under which token."""
        temporary = self.folder / f".{_STATE}"
        temporary.write_text(json.dumps({"url": url, "token": token}), encoding="utf-8")
        os.replace(temporary, self.folder / _STATE)

    def noted(self) -> tuple[str, str]:
        """Where the run goes, and under which token; empty when nothing was written down."""
        try:
            told = json.loads((self.folder / _STATE).read_text(encoding="utf-8"))
            return str(told["url"]), str(told["token"])
        except (FileNotFoundError, ValueError, LookupError, TypeError):
            return "", ""

    def empty(self) -> None:
        """Remove the run in it."""
        shutil.rmtree(self.run, ignore_errors=True)

    def remove(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.folder, ignore_errors=True)


def spool_for(url: str, chosen: str | os.PathLike[str] | None, rank: int = 0) -> Spool:
    """The spool of a URL.

    Args:
        url: Where the run goes.
        chosen: The folder that spools are kept in, if the user chose one.
        rank: Of the worker that writes: several of one run have spools of their own on one machine.
    """
    name = re.sub(r"[^\w-]+", "_", url.rpartition("/")[2])[:40]
    digest = hashlib.blake2b(url.encode(), digest_size=8).hexdigest()
    kept = _cache() / "truetap" / "spool" if chosen is None else Path(chosen)
    own = f"-{Worker(rank).folder}" if rank else ""
    return Spool(kept / f"{name}-{digest}{own}")


def _cache() -> Path:
    """The user's cache, or the folder for temporary files where there is no home."""
    if chosen := os.environ.get("XDG_CACHE_HOME"):
        return Path(chosen)
    try:
        return Path.home() / ".cache"
    except RuntimeError:
        return Path(tempfile.gettempdir())
