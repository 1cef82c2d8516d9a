#!/usr/bin/env bash
# The second command: sets up and runs all tests, unit and integration, on real video.
#
#   scripts/test.sh [FLAGS OF cargo test]
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh --tests
exec cargo test --locked --workspace "$@"
