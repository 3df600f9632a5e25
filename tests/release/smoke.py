"""The built wheel, tried as a user gets it: `python smoke.py DIST [EXTRA ...]`; without extras, all of them.

For each extra: an empty virtual environment, `pip install WHEEL[EXTRA]`, and uses.py. The first environment has a
backend and no other extra; there every other use has to fail with an error that names its extra. Writes a line for
each with megabytes and seconds. With one backend it takes about a minute, with all about fifteen.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USES = Path(__file__).with_name("uses.py")
BACKENDS = ("tensorflow", "jax", "torch")
OTHERS = ("pandas", "s3", "report", "serve", "tensorboard", "mlflow", "wandb", "ray", "demo")
BESIDE = {"ray": "jax", "demo": "jax"}  # extras that are of use only where a backend is
# A plain torch is one of several gigabytes; this one is taken where --find-links or an index has it without CUDA.
PINNED = {"torch": ["torch==2.13.0"]}
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "OMP_WAIT_POLICY": "passive"}


class Failed(Exception):
    """A use that should work doesn't, or one that should be refused isn't."""


class Environment:
    """A virtual environment with the wheel and one extra."""

    def __init__(self, folder: Path, wheel: Path, extras: list[str]) -> None:
        begin = time.perf_counter()
        venv.create(folder, with_pip=True)
        self.python = folder / "bin" / "python"
        pinned = [each for extra in extras for each in PINNED.get(extra, [])]
        packages = [*pinned, f"truetap[{','.join(extras)}] @ {wheel.resolve().as_uri()}"]
        run([self.python, "-m", "pip", "install", "--quiet", *packages], {})
        run([self.python, "-m", "pip", "check"], {})
        self.seconds = time.perf_counter() - begin
        self.megabytes = sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6

    def use(self, extra: str, recorded: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return run([self.python, USES, extra, recorded], variables, check=False)


def run(
    command: list[str | Path], variables: dict[str, str], *, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Without what could put this tree, or settings of its user, into the environment that is tried."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "KERAS", "AWS"))}
    text = [str(each) for each in command]
    done = subprocess.run(text, env=kept | QUIET | variables, capture_output=True, text=True, cwd=tempfile.gettempdir())
    if check and done.returncode:
        raise Failed(f"{' '.join(text)}\n{done.stdout}{done.stderr}")
    return done


@contextmanager
def bucket() -> Iterator[dict[str, str]]:
    """A store on this machine, and the environment variables by which it is found."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    found = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing", "AWS_DEFAULT_REGION": "us-east-1"}
    found["AWS_ENDPOINT_URL"] = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=found["AWS_ENDPOINT_URL"], region_name="us-east-1", aws_access_key_id="nobody",
        aws_secret_access_key="nothing",
    )  # fmt: skip
    client.create_bucket(Bucket="smoke")
    try:
        yield found
    finally:
        server.stop()


def works(environment: Environment, extra: str, recorded: Path) -> None:
    variables = {"KERAS_BACKEND": extra if extra in BACKENDS else BESIDE.get(extra, "none")}
    begin = time.perf_counter()
    if extra == "s3":
        with bucket() as found:
            done = environment.use(extra, recorded, variables | found)
    else:
        done = environment.use(extra, recorded, variables)
    if done.returncode:
        raise Failed(f"{extra} does not work.\n{done.stdout}{done.stderr}")
    said = done.stdout.strip().splitlines()[-1]
    sizes = f"{environment.megabytes:6.0f} MB, installed in {environment.seconds:4.0f} s"
    print(f"{extra:12} {sizes}, used in {time.perf_counter() - begin:3.0f} s: {said}", flush=True)


def refused(environment: Environment, backend: str, recorded: Path) -> None:
    """Everything but the demo, whose digits only the examples import."""
    for extra in (*BACKENDS, *OTHERS):
        if extra in (backend, "demo"):
            continue
        done = environment.use(extra, recorded, {"KERAS_BACKEND": backend})
        if done.returncode == 0 or f"truetap[{extra}]" not in done.stderr + done.stdout:
            raise Failed(f"Without its extra, {extra} doesn't name it.\n{done.stdout}{done.stderr}")
    print(f"without      each of the other extras, its use is refused with its name (beside {backend})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dist", type=Path, help="the folder with one wheel")
    parser.add_argument("extras", nargs="*", choices=[*BACKENDS, *OTHERS, []], help="a backend is put first")
    asked = parser.parse_args()
    (wheel,) = asked.dist.glob("*.whl")
    wanted = asked.extras or [*BACKENDS, *OTHERS]
    backend = next((each for each in BACKENDS if each in wanted), "jax")
    wanted = [backend, *(each for each in wanted if each != backend)]
    with tempfile.TemporaryDirectory() as name:
        folder, recorded = Path(name), Path(name) / "recorded"
        for extra in wanted:
            place = folder / extra
            environment = Environment(place, wheel, [extra, *([BESIDE[extra]] if extra in BESIDE else [])])
            if extra in BACKENDS and extra != backend:
                works(environment, extra, folder / f"recorded-{extra}")
            else:
                works(environment, extra, recorded)
            if extra == backend:
                refused(environment, backend, recorded)
            shutil.rmtree(place)


if __name__ == "__main__":
    try:
        main()
    except Failed as error:
        sys.exit(str(error))
