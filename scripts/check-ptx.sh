#!/usr/bin/env bash
# Assembles the CUDA kernels for every GPU that a release has code for, and fails if one spills registers to memory, or
# asks for what that GPU does not have.
#
#   scripts/check-ptx.sh [--brief] [ARCH...]
#
# 75 80 89 90 by default; needs nvcc and no GPU (scripts/cuda-home.sh brings one). Prints registers and shared memory
# of each kernel, which decide how many blocks share a multiprocessor (tile.rs); --brief: a line a GPU.
set -euo pipefail
cd "$(dirname "$0")/../crates/tsm-kernels/cuda"

fail() { echo "check-ptx: $*" >&2; exit "${code:-1}"; }
export NVCC=${NVCC:-nvcc}
command -v "$NVCC" >/dev/null || code=2 fail "nvcc is missing; run scripts/cuda-home.sh FOLDER and . FOLDER/env.sh"
brief=0
[ "${1:-}" != --brief ] || { brief=1; shift; }
[ $# -gt 0 ] || set -- 75 80 89 90
for arch; do [[ $arch =~ ^[0-9]{2,3}[af]?$ ]] || code=2 fail "$arch is no compute capability; 80 is one"; done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Each GPU's code is compiled and assembled for itself, so GPUs are what the cores share: ptxas of two in one log could
# not be told apart. --split-compile lets what is left over at the end use the other cores.
# shellcheck disable=SC2016 # for the inner shell
for arch; do for source in *.cu; do printf '%s\0%s\0' "$arch" "$source"; done; done |
  xargs -0 -n 2 -P "$(nproc)" sh -c '
    "$NVCC" -O3 -std=c++17 -arch="sm_$2" -cubin -Xptxas -v --split-compile 0 "$3" -o "$1/$2-$3.cubin" 2> "$1/$2-$3.log" ||
      { cat "$1/$2-$3.log" >&2; exit 255; }' compile "$work" ||
  fail "the kernels do not compile"
for arch; do
  cat "$work/$arch"-*.log | awk -v arch="sm_$arch" -v brief="$brief" '
    function number(words) { return match($0, words) ? substr($0, RSTART, RLENGTH) + 0 : 0 }
    /will be ignored/ { ignored = ignored "\n" $0 }
    /Compiling entry function/ { split($0, part, "\047"); name = part[2]; spill = stack = 0; entries++ }
    /bytes stack frame/ { stack = number("[0-9]+ bytes stack"); spill = number("[0-9]+ bytes spill stores") + number("[0-9]+ bytes spill loads") }
    /Used [0-9]+ registers/ {
      registers = number("[0-9]+ registers"); shared = number("[0-9]+ bytes smem")
      kernels++
      if (registers > most) { most = registers; hungriest = name }
      if (shared > widest) widest = shared
      if (spill > 0) bad = bad " " name
      notes = (stack > 0 ? ", " stack " bytes of stack" : "") (spill > 0 ? ", SPILLS " spill " bytes" : "")
      if (!brief || spill > 0) printf "%s %-28s %3d registers, %5d bytes shared%s\n", arch, name, registers, shared, notes
    }
    END {
      if (brief) printf "%s: %d kernels, at most %d registers (%s) and %d bytes shared, %s\n", arch, kernels, most, hungriest, widest, bad ? "SPILLS in" bad : "no spills"
      # Such as more blocks than a multiprocessor has threads for.
      if (ignored) printf "%s: what a kernel asks for is ignored:%s\n", arch, ignored
      # No kernel, or one without its line: ptxas writes something else by now, and nothing was shown.
      exit (bad != "" || ignored != "" || kernels == 0 || kernels != entries)
    }' || fail "sm_$arch: a kernel keeps registers in memory or asks for too much, or ptxas reported none"
done
