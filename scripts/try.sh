#!/usr/bin/env bash
# The first command: sets up, builds and recognises, from the first camera, or, where there is none,
# from a short real clip of this repository.
#
#   scripts/try.sh [FLAGS OF tsm live]
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
cargo build --release --locked --bin tsm
tsm=target/release/tsm
clip=tests/clips/pose-squats.mp4
cameras=$("$tsm" devices --json)
if [ "$cameras" != "[]" ]; then
  name=$(python3 -c 'import json, sys; print(json.loads(sys.argv[1])[0]["name"])' "$cameras" 2>/dev/null || echo webcam:0)
  echo "try: from the first camera, $name (Ctrl-C ends it)" >&2
  exec "$tsm" live webcam "$@"
fi
echo "try: no camera here, so from the clip $clip: squats, which the built-in model has no class for; it names what comes near" >&2
exec "$tsm" live "$clip" --realtime "$@"
