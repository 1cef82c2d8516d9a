#!/usr/bin/env bash
# Assembles the CUDA kernels for every GPU that a release has code for, and fails if one spills registers to memory.
#
#   scripts/check-ptx.sh [ARCH...]      75 80 89 90 by default; needs nvcc and no GPU (scripts/cuda-home.sh brings one)
#
# Prints registers and shared memory of each kernel: they decide how many blocks share a multiprocessor (tile.rs).
set -euo pipefail
cd "$(dirname "$0")/../crates/tsm-kernels/cuda"

command -v "${NVCC:-nvcc}" >/dev/null || { echo "check-ptx: nvcc is missing; run scripts/cuda-home.sh FOLDER and . FOLDER/env.sh" >&2; exit 2; }
[ $# -gt 0 ] || set -- 75 80 89 90
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
spilled=0
for arch; do
  for source in *.cu; do
    "${NVCC:-nvcc}" -O3 -std=c++17 -arch="sm_$arch" -cubin -Xptxas -v "$source" -o "$work/out.cubin" 2> "$work/log" || { cat "$work/log" >&2; exit 1; }
    awk -v arch="sm_$arch" '
      /Compiling entry function/ { split($0, part, "\047"); name = part[2] }
      /bytes stack frame/ { match($0, /[0-9]+ bytes spill stores/); spill = substr($0, RSTART, RLENGTH) + 0 }
      /Used [0-9]+ registers/ {
        match($0, /Used [0-9]+/); registers = substr($0, RSTART + 5, RLENGTH - 5)
        shared = match($0, /[0-9]+ bytes smem/) ? substr($0, RSTART, RLENGTH) + 0 : 0
        printf "%s %-28s %3d registers, %5d bytes shared%s\n", arch, name, registers, shared, (spill > 0 ? ", SPILLS " spill " bytes" : "")
        if (spill > 0) bad = 1
      }
      END { exit bad }' "$work/log" || spilled=1
  done
done
[ "$spilled" = 0 ] || { echo "check-ptx: a kernel keeps registers in memory" >&2; exit 1; }
