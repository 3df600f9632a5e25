"""Work behind the page: in order, one at a time, once for each state of a run."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from truetap.errors import NotRecordedError
from truetap.server.jobs import Answer, Board


@pytest.fixture
def board() -> Iterator[Board]:
    made = Board("board of the tests")
    yield made
    assert made.close(5)


def ready(board: Board, key: str, stamp: int = 0) -> Answer:
    for _ in range(400):
        answer = board.ask(key, stamp, lambda: key, patience=0.05)
        if answer.state != "working" and answer.fresh:
            return answer
    raise AssertionError


def test_work_is_done_once_and_kept(board: Board) -> None:
    done = []
    for _ in range(3):
        answer = board.ask("key", 0, lambda: done.append(1) or len(done), patience=5)  # type: ignore[func-returns-value]
        assert (answer.state, answer.value, answer.fresh) == ("ready", 1, True)
    assert done == [1]


def test_an_old_answer_is_given_until_the_new_one_is_there(board: Board) -> None:
    gate = threading.Event()
    assert board.ask("key", 0, lambda: "old", patience=5).value == "old"
    answer = board.ask("key", 1, lambda: gate.wait(5) and "new")
    assert (answer.value, answer.fresh) == ("old", False)
    gate.set()
    assert ready(board, "key", 1).value == "new"


def test_nobody_waits_longer_than_asked(board: Board) -> None:
    gate = threading.Event()
    assert board.ask("slow", 0, lambda: gate.wait(5)).state == "working"
    assert board.ask("other", 0, lambda: 1, patience=0.1).state == "working"
    assert not board.done()
    gate.set()
    assert ready(board, "other").value == 1


def test_an_error_is_an_answer_and_the_next_work_is_done(board: Board) -> None:
    def fails() -> None:
        raise NotRecordedError("No such thing. Received: a. Expected: b.")

    answer = board.ask("key", 0, fails, patience=5)
    assert answer.why is not None
    assert (answer.state, answer.why.status, answer.why.expected) == ("failed", 404, "b.")
    assert board.ask("key", 1, lambda: "well", patience=5).value == "well"


def test_a_board_that_is_closed_does_nothing_more() -> None:
    board = Board("closed")
    assert board.close(5)
    assert board.ask("key", 0, lambda: 1, patience=5).state == "working"


def test_one_board_lets_another_go_first() -> None:
    first = Board("first")
    second = Board("second", after=first)
    gate = threading.Event()
    first.ask("long", 0, lambda: gate.wait(5))
    assert second.ask("key", 0, lambda: 1, patience=0.3).state == "working"
    gate.set()
    assert second.ask("key", 0, lambda: 2, patience=5).value == 1
    assert first.close(5)
    assert second.close(5)
