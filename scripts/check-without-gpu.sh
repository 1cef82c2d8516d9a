#!/usr/bin/env bash
# Runs a GPU build where there is no GPU, its kernels' PTX interpreted (tests/gpu), and expects what the processor says.
#
#   . FOLDER/env.sh && scripts/check-without-gpu.sh GPU_BUILD     FOLDER: of cuda-home.sh; after a build with --features cuda
#
# First the interpreter itself, then a clip of this repository: in f32, the fastest way of each layer asked for, recorded
# with launches behind each other and early; in halves by the likeliest ways, two streams; and with calls that the driver
# refuses. Then every way of every layer, looking for races, once for each state of the kernels; and the same of kernels
# without their last barrier, in which races have to be found. $TSM_INTERPRETER keeps what is built.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "check-without-gpu: $*" >&2; exit 1; }
[ $# = 1 ] && [ -x "$1" ] || fail "which GPU build? scripts/check-without-gpu.sh GPU_BUILD"
gpu_build=$1 cpu_build=target/release/tsm clip=tests/clips/pose-squats.mp4
[ -x "$cpu_build" ] || fail "$cpu_build is missing; run: cargo build --release --locked --bin tsm"
export TSM_INTERPRETER=${TSM_INTERPRETER:-$PWD/target/without-gpu}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Both builds live on what follows: confidences in type $1 may differ by $2.
labels_are_the_processors() {
  local data_type=$1 within=$2
  shift 2
  "$cpu_build" live "$@" --device cpu --format jsonl > "$work/cpu.jsonl" 2> "$work/said" || fail "$(cat "$work/said")"
  scripts/without-gpu.sh "$gpu_build" live "$@" --device cuda --data-type "$data_type" --format jsonl -vv \
    > "$work/gpu.jsonl" 2> "$work/said" || fail "live $* --device cuda ended with code $?: $(cat "$work/said")"
  # Steps go on without a graph, and without a kernel that is refused: the labels would be right.
  ! grep WARN "$work/said" || fail "live $* --device cuda did without something"
  grep -q "a step recorded in two ways" "$work/said" || fail "no graph was recorded, or not in both ways: $(cat "$work/said")"
  python3 - "$within" "$work/cpu.jsonl" "$work/gpu.jsonl" <<'PY'
"""Compares what two runs said of each frame."""
import json, sys

within = float(sys.argv[1])


def frames(path):
    lines = [json.loads(line) for line in open(path)]
    return {(line["stream"], line["frame"]): line for line in lines if "label" in line}


cpu, gpu = frames(sys.argv[2]), frames(sys.argv[3])
both = sorted(cpu.keys() & gpu.keys())
if len(both) < 2:
    sys.exit(f"check-without-gpu: {len(cpu)} frames by the processor, {len(gpu)} by the GPU build, {len(both)} by both")
for frame in both:
    one, other = cpu[frame], gpu[frame]
    if one["raw_class"] != other["raw_class"] or abs(one["raw_confidence"] - other["raw_confidence"]) > within:
        sys.exit(f"check-without-gpu: frame {frame} is {other} and not {one}")
off = max(abs(cpu[frame]["raw_confidence"] - gpu[frame]["raw_confidence"]) for frame in both)
print(f"without a GPU: {len(both)} frames as the processor labels them, confidences within {off:.1e}")
PY
}
scripts/without-gpu.sh python3 tests/gpu/check_instructions.py
scripts/without-gpu.sh python3 tests/gpu/check_costs.py
labels_are_the_processors f32 1e-4 "$clip" --frames 3
export TSM_CUDA_TUNE=off
labels_are_the_processors f16 1e-2 "$clip" "$clip" --frames 4
# What a driver refuses: without pinned memory frames go another way, and a copy that fails ends the run in one line.
TSM_PTX_FAIL=cuMemHostAlloc:1 labels_are_the_processors f16 1e-2 "$clip" --frames 3
grep "1 of . calls of cuMemHostAlloc failed" "$work/said" || fail "pinned memory was not refused: $(cat "$work/said")"
code=0
TSM_PTX_FAIL=cuMemcpyHtoDAsync_v2:11+ scripts/without-gpu.sh "$gpu_build" live "$clip" --device cuda --frames 3 \
  > "$work/labels" 2> "$work/said" || code=$?
[ "$code" = 2 ] && [ "$(grep -c "^tsm: .*CUDA, while" "$work/said")" = 1 ] && ! grep -q panicked "$work/said" ||
  fail "a copy that fails ended live with code $code: $(cat "$work/said")"
# Whole clips go up as normalised frames, where live hands over bytes.
"$cpu_build" infer "$clip" --device cpu --format jsonl > "$work/cpu.jsonl" 2> "$work/said" || fail "$(cat "$work/said")"
scripts/without-gpu.sh "$gpu_build" infer "$clip" --device cuda --format jsonl > "$work/gpu.jsonl" 2> "$work/said" ||
  fail "infer --device cuda ended with code $?: $(cat "$work/said")"
python3 - "$work/cpu.jsonl" "$work/gpu.jsonl" <<'PY'
import json, sys

cpu, gpu = (json.loads(open(path).read()) for path in sys.argv[1:])
if cpu["label"] != gpu["label"] or abs(cpu["confidence"] - gpu["confidence"]) > 1e-4:
    sys.exit(f"check-without-gpu: the clip is {gpu} and not {cpu}")
PY
unset TSM_CUDA_TUNE

# The twins' tests, on the PTX. What makes build scripts run again is left out.
layer_tests() {
  env -u CARGO_TARGET_DIR -u RUSTC_WORKSPACE_WRAPPER -u CLIPPY_ARGS -u TSM_CUDA_ARCHS -u NVCC TSM_PTX_RACES=on TSM_PTX_THREADS=1 \
    scripts/without-gpu.sh cargo test --locked --quiet --workspace --features tsm-model/cuda-host-twins --lib "$@"
}
sources() { find tests/gpu crates/tsm-kernels/cuda crates/tsm-kernels/src/cuda scripts/*without-gpu.sh -type f | LC_ALL=C sort; }
key=$(sources | xargs cat | sha256sum | cut -c1-16)
checked=$TSM_INTERPRETER/checked-$key
if [ -e "$checked" ]; then
  echo "without a GPU: exactly these kernels were run before, in every way of every layer"
  exit
fi
layer_tests cuda::layers_tests > "$work/said" 2>&1 || fail "$(cat "$work/said")"
grep -E "^test result: .* [1-9][0-9]* passed" "$work/said" || fail "no test of a layer ran: $(cat "$work/said")"

# Without its last barrier each kernel's threads would read what others are about to write.
ptx=$(scripts/without-gpu.sh printenv TSM_PTX)
python3 - "$ptx" "$work/no-barrier.ptx" <<'PY'
import re, sys

text = open(sys.argv[1]).read()
kernels = re.split(r"(?=\.visible \.entry)", text)
with open(sys.argv[2], "w") as out:
    for kernel in kernels:
        head, barrier, tail = kernel.rpartition("bar.sync")
        out.write(head + tail.split(";", 1)[1] if barrier else kernel)
PY
if TSM_PTX=$work/no-barrier.ptx layer_tests cuda::layers_tests::a_product_of_pixels > "$work/said" 2>&1; then
  fail "kernels without a barrier passed"
fi
grep -m 1 "race in shared memory" "$work/said" || fail "no race was found without a barrier: $(cat "$work/said")"
touch "$checked"
