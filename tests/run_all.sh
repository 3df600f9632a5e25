#!/usr/bin/env bash
# The tests: once for what needs no backend, once for each backend, a process of its own each.
# Prints pytest's closing lines of every part; fails if any part failed.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
status=0
export TF_CPP_MIN_LOG_LEVEL=3
part() { # part NAME BACKEND PYTEST-ARGS...
  local name=$1 backend=$2
  shift 2
  echo "== $name"
  KERAS_BACKEND=$backend "$python" -m pytest -q "$@" || status=1
}
part "without a backend" tensorflow -n 2 --ignore=tests/backends
for backend in tensorflow jax torch; do
  part "$backend" "$backend" tests/backends
done
exit $status
