"""Who replaces actors that die, with actors that have no model: every unit comes once, or the reason is told."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines.killing import quiet
from truetap.engines import Ray
from truetap.engines.ray.actor import check_same
from truetap.engines.ray.pool import Pool
from truetap.engines.ray.reading import Given
from truetap.engines.units import Task
from truetap.errors import ModelError, TruetapError

ray = pytest.importorskip("ray")
pytestmark = quiet


def maker(folder: Path, num_cpus: float) -> Callable[[str | None], Any]:
    """Makes actors that die at units of which there is a file, which they take away; their class goes by value."""

    class Actor:
        def __init__(self, place: str, stamp: str | None) -> None:
            import contextlib
            import os

            self.place, self.stamp = place, stamp
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(place, "not started"))

        def ready(self) -> str:
            self.meet("ready" if self.stamp else "first")
            return "model"

        def collect(self, given: Any, data: Any) -> int:
            number: int = given.task.number
            self.meet(str(number))
            return number

        def meet(self, name: str) -> None:
            import os

            try:
                os.unlink(os.path.join(self.place, name))
            except FileNotFoundError:
                return
            if os.path.exists(os.path.join(self.place, "always")):
                open(os.path.join(self.place, name), "w").close()
            os._exit(1)

    remote = ray.remote(Actor)
    return lambda stamp: remote.options(num_cpus=num_cpus).remote(str(folder), stamp)


@contextlib.contextmanager
def pool_of(folder: Path, num_actors: int, num_cpus: float = 0.25, most: float = 9, **settings: Any) -> Iterator[Pool]:
    pool = Pool(maker(folder, num_cpus), num_actors, lambda: most, Ray(**settings))
    try:
        yield pool
    finally:
        pool.close()


def units(count: int) -> Iterator[Given]:
    return (Given(Task(number, number), None) for number in range(count))


def test_units_of_dead_actors_go_to_others(tmp_path: Path) -> None:
    for name in ("0", "3", "4", "11", "ready"):  # the last: an actor that replaces one, while it reads the model
        (tmp_path / name).touch()
    with pool_of(tmp_path, 2) as pool:
        assert pool.wait_until_ready() == "model"
        found: list[Any] = list(pool.run(units(12)))
    assert sorted(found) == list(range(12))
    assert list(tmp_path.iterdir()) == []
    assert pool.lost == 5


def test_a_unit_that_kills_every_actor_is_told(tmp_path: Path) -> None:
    (tmp_path / "2").touch()
    (tmp_path / "always").touch()
    with pool_of(tmp_path, 1, max_losses=2) as pool:
        pool.wait_until_ready()
        with pytest.raises(TruetapError, match=r"Unit 2 of the data lost its actor 2 times: The actor .*same call"):
            list(pool.run(units(5)))


def test_where_a_machine_was_lost_those_that_are_left_go_on(tmp_path: Path) -> None:
    (tmp_path / "1").touch()
    with pool_of(tmp_path, 2, most=1) as pool:
        pool.wait_until_ready()
        found: list[Any] = list(pool.run(units(6)))
        assert sorted(found) == list(range(6))
        assert pool.lost == 1
    (tmp_path / "1").touch()
    with pool_of(tmp_path, 1, most=0.5) as pool:
        pool.wait_until_ready()
        with pytest.raises(TruetapError, match=r"All actors were lost.* no room for another: .*same call goes on"):
            list(pool.run(units(6)))


def test_an_actor_that_cannot_be_replaced_is_waited_for_no_longer_than_asked(tmp_path: Path) -> None:
    (tmp_path / "2").touch()
    (tmp_path / "not started").touch()

    def all_taken() -> Iterator[Given]:
        for given in units(9):
            if given.task.number == 2:
                held.append(maker(tmp_path, 1.5)("model"))  # waits for the CPUs of the actor that will die
            yield given

    held: list[Any] = []
    with pool_of(tmp_path, 1, num_cpus=1.0, start_seconds=3) as pool:
        while (tmp_path / "not started").exists():
            time.sleep(0.05)
        pool.wait_until_ready()
        with pytest.raises(TruetapError, match=r"Only 0 of 1 actors in the place of lost ones started in 3 s"):
            list(pool.run(all_taken()))
    for actor in held:
        ray.kill(actor)


def test_actors_that_die_or_do_not_start_are_told(tmp_path: Path) -> None:
    (tmp_path / "first").touch()
    with (
        pool_of(tmp_path, 1) as pool,
        pytest.raises(TruetapError, match="An actor died while it read the model: The actor"),
    ):
        pool.wait_until_ready()
    with (
        pool_of(tmp_path, 1, num_cpus=3, start_seconds=0.5) as pool,
        pytest.raises(TruetapError, match=r"Only 0 of 1 actors started in 0.5 s.* 2 CPUs and 0 of 0 GPUs are free"),
    ):
        pool.wait_until_ready()


def test_actors_hold_one_model() -> None:
    check_same("a", None)
    check_same("a", "a")
    with pytest.raises(ModelError, match="gives another one each time"):
        check_same("a", "b")
