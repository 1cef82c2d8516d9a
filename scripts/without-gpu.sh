#!/usr/bin/env bash
# Runs a program that wants an NVIDIA GPU without one: the PTX of our kernels is interpreted on the CPU (tests/gpu).
#
#   scripts/without-gpu.sh COMMAND...
#   scripts/without-gpu.sh target/cuda/release/tsm live tests/clips/pose-squats.mp4 --device cuda --frames 3
#
# COMMAND finds a libcuda and its libraries of ours; TSM_PTX is the kernels' PTX (if it is set, it is left), and
# TSM_PTX_INTERPRETER the library that runs one of them for a test. TSM_PTX_ARCH=75 compiles for another GPU than 90,
# TSM_PTX_RACES=on looks for races; tests/gpu/README.md lists the others. Needs g++, and nvcc and cuda.h, which
# scripts/cuda-home.sh FOLDER and . FOLDER/env.sh bring.
#
# Built once for each state of tests/gpu and the kernels, into $TSM_INTERPRETER (target/without-gpu). A frame takes
# seconds, finding out which way of each layer is the fastest a minute (TSM_CUDA_TUNE=off leaves that out).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

fail() { echo "without-gpu: $*" >&2; exit 2; }

[ $# -gt 0 ] || fail "what to run? scripts/without-gpu.sh COMMAND..."
arch=${TSM_PTX_ARCH:-90}
[[ $arch =~ ^[0-9]{2,3}$ ]] || fail "TSM_PTX_ARCH=$arch is no compute capability; 80 is one"
for program in g++ cc python3 cargo; do command -v "$program" >/dev/null || fail "$program is missing"; done
nvcc=${NVCC:-nvcc}
command -v "$nvcc" >/dev/null || fail "nvcc is missing; run scripts/cuda-home.sh FOLDER and . FOLDER/env.sh"
[ -e "${CUDA_HOME:-}/include/cuda.h" ] || fail "cuda.h is not in CUDA_HOME; . FOLDER/env.sh of scripts/cuda-home.sh"

sources=$root/tests/gpu
kernels=$root/crates/tsm-kernels/cuda
key=$(cat "$sources"/* "$kernels"/* "$0" | sha256sum | cut -c1-16)
built=${TSM_INTERPRETER:-$root/target/without-gpu}/$key

# Library, its name for the loader, cudarc's module, first letters of its functions, and objects of ours.
link() {
  local kind=$1 loader_name=$2 module=$3 prefix=$4
  shift 4
  python3 "$sources/refusals.py" "$cudarc" "$module" "$prefix" > "$work/$kind.c"
  cc -w -fPIC -c "$work/$kind.c" -o "$work/$kind.refusals.o"
  g++ -shared -Wl,-Bsymbolic-functions "-Wl,-soname,$loader_name" -o "$work/lib/$loader_name" \
    "$work/$kind.refusals.o" "$@" -lpthread
}

build_libraries() {
  mkdir -p "$work/lib"
  cudarc=$(cd "$root" && cargo metadata --format-version 1 --locked --all-features | python3 -c '
import json, os, sys
packages = json.load(sys.stdin)["packages"]
print(*(os.path.dirname(p["manifest_path"]) for p in packages if p["name"] == "cudarc"))')
  [ -d "$cudarc/src" ] || fail "cudarc is not among the dependencies any more"
  # shellcheck disable=SC2016 # for the inner shell
  printf '%s\0' "$sources"/*.cpp | xargs -0 -n 1 -P 2 sh -c '
    g++ -std=c++20 -O3 -march=native -Wall -Wextra -fPIC -fno-semantic-interposition -fno-strict-aliasing \
      "-I$CUDA_HOME/include" -c "$2" -o "$1/$(basename "$2" .cpp).o" || exit 255' compile "$work" ||
    fail "the interpreter does not compile"
  # Both libraries hold the interpreter; only libcuda knows streams and memories, only libtsm_ptx the tests' entry.
  local interpreter=() object
  for object in "$work"/*.o; do
    case ${object##*/} in driver_*|cublas.o|curand.o|one_kernel.o) ;; *) interpreter+=("$object") ;; esac
  done
  g++ -shared -Wl,-Bsymbolic-functions -o "$work/lib/libtsm_ptx.so" "${interpreter[@]}" "$work/one_kernel.o" -lpthread
  link cuda libcuda.so.1 driver "cu[A-Z]" "${interpreter[@]}" "$work"/driver_*.o
  local driver="$work/lib/libcuda.so.1"
  link cublas libcublas.so.13 cublas cublas "$work/cublas.o" "$driver"
  link cublasLt libcublasLt.so.13 cublaslt cublas
  link curand libcurand.so.10 curand curand "$work/curand.o"
  link nvrtc libnvrtc.so.13 nvrtc nvrtc
}

compile_kernels() {
  echo "without-gpu: compiling the kernels for sm_$arch into $built" >&2
  work=$(mktemp -d "${built%/*}/new.XXXXXX")
  "$nvcc" -ptx "-arch=sm_$arch" -O3 -std=c++17 "$kernels/step.cu" -o "$work/step.ptx" ||
    fail "the kernels do not compile"
  mv "$work/step.ptx" "$TSM_PTX"
  rmdir "$work"
}

# Elsewhere first, then renamed: a run that is cut off leaves nothing that looks finished.
work=""
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
if [ ! -e "$built/lib" ]; then
  echo "without-gpu: building the interpreter into $built" >&2
  mkdir -p "${built%/*}"
  work=$(mktemp -d "${built%/*}/new.XXXXXX")
  build_libraries
  rm -f "$work"/*.o "$work"/*.c
  chmod 755 "$work"
  # Where that fails another run was faster.
  mv -T "$work" "$built" 2>/dev/null || [ -e "$built/lib" ] || fail "$built cannot be made"
fi
if [ -z "${TSM_PTX:-}" ]; then
  TSM_PTX=$built/step-$arch.ptx
  [ -e "$TSM_PTX" ] || compile_kernels
fi

export LD_LIBRARY_PATH="$built/lib:$CUDA_HOME/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export TSM_PTX TSM_PTX_INTERPRETER="$built/lib/libtsm_ptx.so"
exec "$@"
