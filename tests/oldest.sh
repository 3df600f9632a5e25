#!/usr/bin/env bash
# The contract of recording, and the store, on the oldest versions that pyproject.toml admits (requirements/oldest.txt),
# or on Keras' nightly build over the versions that the tests are run with: tests/oldest.sh [nightly] [BACKEND …]
# PYTHON is the python of a virtual environment that has them: `make test-oldest` and `make test-nightly` make it.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
status=0
export TF_CPP_MIN_LOG_LEVEL=3 OMP_WAIT_POLICY=passive
nightly=
if [ "${1:-}" = nightly ]; then
  nightly=yes
  shift
fi
contract=(
  tests/backends/test_recorder_simulation.py
  tests/backends/test_recorder_by_hand.py
  tests/backends/test_recorder_reconcile.py
  tests/backends/test_recorder_identity.py
  tests/backends/test_recorder_schedule.py
  tests/backends/test_outputs.py
  tests/backends/test_facts.py
)
if [ -z "$nightly" ]; then
  echo "== what needs no backend"
  KERAS_BACKEND=tensorflow "$python" -m pytest -q tests/reading tests/store/test_writer.py tests/store/test_reader.py \
    tests/store/test_compaction.py tests/store/test_recording.py tests/cli/test_reading.py tests/evaluation \
    tests/comparison/test_compare.py tests/test_keras_version.py \
    --deselect tests/cli/test_reading.py::test_verify || status=1 # rich below 15 leaves an empty line on stderr
fi
for backend in "${@:-tensorflow}"; do
  echo "== $backend"
  KERAS_BACKEND=$backend "$python" -m pytest -q "${contract[@]}" || status=1
done
exit $status
