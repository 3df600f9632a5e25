"""Data of which each sample is its number, in a module that a worker process imports by itself."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

SAMPLES = 48


class Numbers:
    """For a `DataLoader`: a sample, and twice its number as the label."""

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, number: int) -> tuple[Any, Any]:
        return np.full(3, number, np.float32), np.full(1, 2 * number, np.float32)


class NumberBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """The same in batches of eight."""

    def __len__(self) -> int:
        return SAMPLES // 8

    def __getitem__(self, batch: int) -> tuple[Any, Any]:
        pairs = [Numbers()[number] for number in range(8 * batch, 8 * batch + 8)]
        return tuple(np.stack(part) for part in zip(*pairs, strict=True))  # type: ignore[return-value]
