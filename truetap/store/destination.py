"""Where a run that is written is to be in the end: the folder itself, or a store, to which the folder is a way.

A writer writes to a folder of this machine in any case; what a store needs beyond that is in
`truetap.store.remote.destination`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from truetap.errors import StoreError
from truetap.store.place import AnyPlace

__all__ = ["Destination", "Upload"]


@dataclass(frozen=True)
class Upload:
    """How a run gets to a store.

    Attributes:
        storage_options: What fsspec's filesystem is made with.
        spool: A folder of this machine in which runs that are on their way are kept, each in a folder of its own; by
            default one in the user's cache.
        seconds: How old rows may get before they are sent.
        patience: Seconds that closing a run waits for a store that refuses.
    """

    storage_options: Mapping[str, Any] | None = None
    spool: str | os.PathLike[str] | None = None
    seconds: float = 30.0
    patience: float = 300.0

    def __post_init__(self) -> None:
        if not self.seconds > 0 or not self.patience >= 0:
            raise StoreError(
                f"Received: upload_seconds={self.seconds!r}, upload_patience={self.patience!r}. Expected: "
                "seconds, more than 0 between two uploads, and 0 or more to wait for a store that refuses."
            )


class Destination:
    """The folder itself.

    Args:
        folder: The run's folder.

    Attributes:
        folder: Where the writer writes.
        place: Where the run is in the end.
        seal_after: Seconds after which a file is finished, so that it can go on its way.
    """

    seal_after = math.inf

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place: AnyPlace = folder

    @property
    def whole(self) -> AnyPlace:
        """Where all of the run's files can be read, wherever they are by now."""
        return self.folder

    @property
    def notices(self) -> tuple[str, ...]:
        """What is to be said of the way there."""
        return ()

    def begin(self) -> None:
        """The run has begun in the folder."""

    def close(self) -> None:
        """Nothing will change in the folder any more.

        Raises:
            NotUploadedError: The run is whole in the folder, but not where it should be.
        """

    def abandon(self) -> None:
        """The run could not begin: let go of it, and leave what was there."""

    def discard(self) -> None:
        """The run failed before its first row, and the folder holds nothing of it."""
