"""Where `collect` can run besides this process; and files as data, for any of them.

`collect(…, engine="ray")` divides the data into units of work (`units`, `pieces`), has each collected by
the same code as a single process (`work`), and has the workers write one run together (`shared_run`).
"""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from truetap.engines.call import Call
from truetap.engines.files import files_source
from truetap.engines.ray.options import Ray
from truetap.errors import StoreError, TruetapError
from truetap.samples import Samples
from truetap.store.layout import is_url

__all__ = ["Call", "Ray", "collect_elsewhere", "files_source"]


def collect_elsewhere(engine: Any, model: Any, call: Call) -> Samples:
    """`collect` by an engine.

    Args:
        engine: "ray", or a `Ray` with settings.
        model: A Keras model, or a function without arguments that makes one.
        call: The other arguments of `collect`.

    Raises:
        TruetapError: There is no such engine, it isn't installed, or there is no folder to write to.
        StoreError: The run would lie on an object store.
    """
    options = Ray() if engine == "ray" else engine
    if not isinstance(options, Ray):
        raise TruetapError(
            f"There is no such engine. Received: engine={engine!r}. Expected: None, which runs in this process; "
            "'ray'; or truetap.engines.Ray(num_actors=…) with settings."
        )
    if call.to is None:
        raise TruetapError(
            "engine='ray' writes a run: the rows of a cluster are not gathered in this process. Received: to=None. "
            "Expected: to='folder', on a file system that every machine of the cluster mounts."
        )
    if is_url(os.fspath(call.to)):
        raise StoreError(
            "engine='ray' writes to a file system: a unit of work counts from the rename of its folder on, and an "
            f"object store has no renames. Received: to={os.fspath(call.to)!r}. Expected: a folder that every machine "
            "of the cluster mounts; copy the finished run to the store, or use engine=None."
        )
    if importlib.util.find_spec("ray") is None:
        raise TruetapError("engine='ray' needs Ray. Install it: pip install 'truetap[ray]'; or use engine=None.")
    from truetap.engines.ray.collecting import collect_on_ray  # 3 s to import, and an extra

    return collect_on_ray(model, call, options)
