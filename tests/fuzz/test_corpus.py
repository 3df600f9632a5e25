"""Inputs that once broke a reader, and some that are right, read again: they are refused in words, or read."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from tests.fuzz import mutate
from tests.fuzz.targets import TARGETS, refuse_memory

CORPUS = Path(__file__).with_name("corpus")
FRESH = {"manifest": 60, "commit log": 60, "segment": 60, "parquet": 60, "sql": 10, "run": 3, "report": 2, "query": 200}


@pytest.mark.parametrize("name", list(TARGETS))
def test_what_broke_a_reader_and_a_few_new_inputs(tmp_path: Path, name: str) -> None:
    target = TARGETS[name](tmp_path)
    target.whole_each = 1
    seeds = target.seeds()
    kept = [path.read_bytes() for path in sorted((CORPUS / name.replace(" ", "-")).glob("*.bin"))]
    rng = np.random.default_rng(7)
    fresh = [target.changed(seeds[int(rng.integers(len(seeds)))], seeds, rng) for _ in range(FRESH[name])]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what an input says, not of how it is read
        for data in [*seeds, *kept, *fresh]:
            try:
                target.read(data)
            except target.expected as error:
                refuse_memory(error)


def test_every_input_of_the_corpus_has_a_reader() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= {name.replace(" ", "-") for name in TARGETS}


def test_an_input_follows_from_its_seed() -> None:
    def made() -> list[bytes]:
        rng = np.random.default_rng(3)
        return [mutate.changed(b"0123456789" * 9, [b"other"], rng) for _ in range(50)]

    assert made() == made()
    assert len(set(made())) > 45
