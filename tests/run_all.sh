#!/usr/bin/env bash
# The tests: what needs no backend (with the examples in docstrings), then each backend in processes of its own.
# Prints pytest's closing lines of every part; fails if any part failed.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
status=0
export TF_CPP_MIN_LOG_LEVEL=3 OMP_WAIT_POLICY=passive
part() { # part NAME BACKEND PYTEST-ARGS...
  local name=$1 backend=$2
  shift 2
  echo "== $name"
  KERAS_BACKEND=$backend "$python" -m pytest -q "$@" || status=1
}
part "what needs no backend" tensorflow -n 2 --ignore=tests/backends --ignore=tests/examples --ignore=tests/engines/on_ray \
  --doctest-modules tests truetap
part "Ray, on one backend" tensorflow tests/engines/on_ray # one Ray for all, which uses both cores: not with -n
for backend in tensorflow jax torch; do
  part "$backend" "$backend" -n 2 tests/backends tests/examples # of the examples those dealt to it
done
for backend in jax torch; do # on TensorFlow they stand in the first part
  part "examples in docstrings, on $backend" "$backend" -n 2 --doctest-modules truetap
done
exit $status
