#!/usr/bin/env bash
# Builds, lints and links the GPU build on a machine without GPU, and sees that it says so in one line.
#
#   scripts/check-cuda.sh [--cudnn]      --cudnn: the build with cuDNN as well
#
# Then it runs, its PTX interpreted (check-without-gpu.sh), and the kernels are assembled for every GPU that a release has
# code for (check-ptx.sh), once for each state of theirs.
# The toolkit and the compiled dependencies stay in a cache outside the clone, keyed by what they are made of: a cold
# run compiles candle's kernels, a warm one our own crates alone. $TSM_CUDA_CACHE names another place for it.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "check-cuda: $*" >&2; exit 1; }
with_cudnn=0
case "$*" in "") ;; --cudnn) with_cudnn=1 ;; *) fail "unknown options $*; known is --cudnn" ;; esac
run_cpu_build=target/release/tsm
[ -x "$run_cpu_build" ] || fail "$run_cpu_build is missing; run: cargo build --release --locked --bin tsm"

caches=${TSM_CUDA_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/tsm-cuda}
key=$( { cat Cargo.lock Cargo.toml scripts/cuda-home.sh; rustc -vV; } | sha256sum | cut -c1-16)
mkdir -p "$caches" 2>/dev/null || caches=$PWD/target/cuda-cache
cache=$caches/$key
mkdir -p "$cache"
exec 9> "$caches/lock"
flock 9 # one run at a time fills the cache
# What other versions left behind: each is gigabytes, and nobody comes back for it.
find "$caches" -mindepth 1 -maxdepth 1 -type d -regextype posix-extended -regex ".*/[0-9a-f]{16}" ! -name "$key" -exec rm -rf {} +
if [ ! -e "$cache/toolkit/env.sh" ]; then
  # Its files name their folder, so that it cannot be made elsewhere and moved; env.sh is written last.
  rm -rf "$cache/toolkit"
  scripts/cuda-home.sh "$cache/toolkit"
fi
# shellcheck disable=SC1091 # made just now
. "$cache/toolkit/env.sh"
# Candle's kernels for quantised weights take minutes of a cold build, and nothing of ours runs them: any code will do.
# The compiler's folder tells candle's build where the toolkit is, so that this one has to lie there, too.
export NVCC=$CUDA_HOME/bin/nvcc-quick
cat > "$NVCC" <<'SH'
#!/bin/sh
case "$*" in *mmq_instance_*) set -- "$@" -Xcicc -O1 -Xptxas -O0 ;; esac
exec "${0%/*}/nvcc" "$@"
SH
chmod +x "$NVCC"

# Clippy's driver compiles as well as it lints: one pass does what `cargo clippy` and `cargo build` would do in two.
# One build is with video and one without, so that the lints see both.
export CUDA_COMPUTE_CAP=80 TSM_CUDA_ARCHS=80 CARGO_TARGET_DIR=$cache/target
export RUSTC_WORKSPACE_WRAPPER=clippy-driver CLIPPY_ARGS="-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__"
build() { cargo build --locked --profile cuda-check --bin tsm --features "$@"; }
gpu_build=$cache/target/cuda-check/tsm

# Refused in one line that holds $1, by the program and flags behind it.
refused() {
  local words=$1 said code=0
  shift
  said=$("$@" 2>&1) || code=$?
  [ "$code" = 2 ] || fail "$* ended with code $code: $said"
  [ "$(printf '%s\n' "$said" | wc -l)" = 1 ] || fail "more than a line: $said"
  case $said in *"$words"*) ;; *) fail "'$words' is not in: $said" ;; esac
}
if [ "$with_cudnn" = 1 ]; then
  build cuda,cudnn --no-default-features
  # The linker drops libraries that nothing calls: without its name in the program this build showed nothing.
  readelf -d "$gpu_build" | grep -q "NEEDED.*libcudnn" || fail "the build with cuDNN does not name libcudnn"
  refused "no CUDA device 0" env LD_LIBRARY_PATH="$TSM_NO_GPU_LIBRARIES" "$gpu_build" selftest --device cuda
fi
build cuda
refused "no CUDA device 0" env LD_LIBRARY_PATH="$TSM_NO_GPU_LIBRARIES" "$gpu_build" selftest --device cuda
refused "no CUDA device 0" env LD_LIBRARY_PATH="$TSM_NO_GPU_LIBRARIES" TSM_CUDA="$gpu_build" "$run_cpu_build" selftest --device cuda
command -v nvidia-smi >/dev/null || # a driver is there
  refused "no libcuda.so.1" env LD_LIBRARY_PATH= TSM_CUDA="$gpu_build" "$run_cpu_build" selftest --device cuda
refused "docs/cuda.md" env LD_LIBRARY_PATH= TSM_CUDA= "$run_cpu_build" selftest --device cuda

TSM_INTERPRETER=$cache/interpreter scripts/check-without-gpu.sh "$gpu_build"

# Minutes of two cores, for what only the kernels' source and the compiler decide: the cache is keyed by the latter.
kernels=$(cat crates/tsm-kernels/cuda/* scripts/check-ptx.sh | sha256sum | cut -c1-16)
assembled=$cache/assembled-$kernels
if [ -e "$assembled" ]; then
  echo "kernels: exactly these were assembled before:"
else
  rm -f "$cache"/assembled-*
  scripts/check-ptx.sh --brief > "$assembled.new"
  mv "$assembled.new" "$assembled"
fi
cat "$assembled"
