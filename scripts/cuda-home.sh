#!/usr/bin/env bash
# Makes a CUDA 13 toolkit that builds and links `tsm --features cuda` on a machine without GPU, driver or toolkit.
#
#   scripts/cuda-home.sh FOLDER [--cap N] [--real]
#   . FOLDER/env.sh && cargo build --release --locked --features cuda --target-dir target/cuda
#
# --cap N    the compute capability to compile for; 80 (the default) runs on 8.0 and everything newer. Not 90:
#            that makes sm_90a, which runs on an H100 or H200 and on nothing newer.
# --real     NVIDIA's own cuBLAS, cuRAND and NVRTC instead of link stubs (half a gigabyte more): to run on a GPU here.
#
# Compiler, headers and the CUDA runtime are NVIDIA's wheels of PyPI. Of the libraries that a linker only has to see
# (driver, cuBLAS, cuRAND, NVRTC, cuDNN), stubs are compiled from the names in cudarc's bindings; a stub answers
# every call with an error. The machine that runs the program brings the real ones. docs/cuda.md tells more.
set -euo pipefail
cd "$(dirname "$0")/.."

# The newest releases of CUDA 13.0, whose code a driver of version 580 runs; each wheel has its own patch number.
compiler="nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88
  nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85"
real_libraries="nvidia-cublas==13.0.2.14 nvidia-curand==10.4.0.35 nvidia-cuda-nvrtc==13.0.88"

fail() { echo "cuda-home: $*" >&2; exit 2; }

folder="" cap=80 wheels=$compiler stubs="cuda cublas cublasLt curand nvrtc cudnn"
while [ $# -gt 0 ]; do
  case "$1" in
    --cap) cap=${2:-}; shift ;;
    --real) wheels="$compiler $real_libraries"; stubs="cuda cudnn" ;;
    -*) fail "unknown option $1; known are --cap N and --real" ;;
    *) [ -z "$folder" ] || fail "one folder, please"; folder=$1 ;;
  esac
  shift || fail "--cap needs a number"
done
[ -n "$folder" ] || fail "where to? scripts/cuda-home.sh FOLDER"
[[ $cap =~ ^[0-9]{2,3}$ ]] || fail "--cap $cap is no compute capability; 80 is one"
for program in cargo cc python3; do command -v "$program" >/dev/null || fail "$program is missing"; done
python3 -m pip --version >/dev/null 2>&1 || fail "python3 has no pip; install python3-pip"
# Only a folder that is new or that this script made is filled: it is emptied first.
if [ -e "$folder" ] && [ ! -e "$folder/made-by-cuda-home" ]; then
  [ -d "$folder" ] && [ -z "$(ls -A "$folder")" ] || fail "$folder is there and not from this script; name another"
fi
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
touch "$folder/made-by-cuda-home"
rm -rf "$folder/wheels" "$folder/stubs" "$folder/no-gpu" "$folder/env.sh"

# shellcheck disable=SC2086 # a list of words
python3 -m pip install --quiet --root-user-action=ignore --disable-pip-version-check --no-deps --only-binary=:all: --target "$folder/wheels" $wheels
home=$folder/wheels/nvidia/cu13
[ -d "$home/bin" ] || fail "the wheels have no nvidia/cu13/bin; their layout has changed"
# Wheels lose the permission to run, and name libraries by version alone.
find "$home/bin" "$home/nvvm/bin" -type f -exec chmod +x {} +
[ -e "$home/lib64" ] || ln -s lib "$home/lib64"
for library in "$home"/lib/lib*.so.*; do
  case $library in *.alt.so.*) ;; *) ln -sf "${library##*/}" "${library%%.so.*}.so" ;; esac
done

cudarc=$(cargo metadata --format-version 1 --locked --all-features | python3 -c '
import json, os, sys
packages = json.load(sys.stdin)["packages"]
print(*(os.path.dirname(p["manifest_path"]) for p in packages if p["name"] == "cudarc"))')
[ -d "$cudarc/src" ] || fail "cudarc is not among the dependencies any more"
mkdir -p "$folder/stubs" "$folder/no-gpu"
python3 - "$cudarc" "$folder" "$stubs" <<'PY'
"""Compiles a library of each kind whose functions do nothing but refuse."""
import os, re, subprocess, sys

cudarc, folder, wanted = sys.argv[1], sys.argv[2], sys.argv[3].split()
# Library, its name for the loader, cudarc's module, first letters of its functions, the error they answer with.
KINDS = {
    "cuda": ("libcuda.so.1", "driver", "cu[A-Z]", 100),  # CUDA_ERROR_NO_DEVICE
    "cublas": ("libcublas.so.13", "cublas", "cublas", 1),  # NOT_INITIALIZED
    "cublasLt": ("libcublasLt.so.13", "cublaslt", "cublas", 1),
    "curand": ("libcurand.so.10", "curand", "curand", 203),  # INITIALIZATION_FAILED
    "nvrtc": ("libnvrtc.so.13", "nvrtc", "nvrtc", 1),
    "cudnn": ("libcudnn.so.9", "cudnn", "cudnn", 1001),  # NOT_INITIALIZED
}
# What turns the driver's error into words has to write them.
WORDS = """
int cuGetErrorName(int error, const char **words) { *words = error == 100 ? "CUDA_ERROR_NO_DEVICE" : "CUDA_ERROR"; return 0; }
int cuGetErrorString(int error, const char **words) { *words = "this libcuda is a link stub without any GPU"; return 0; }
"""
for kind in wanted:
    loader_name, module, prefix, answer = KINDS[kind]
    text = open(os.path.join(cudarc, "src", module, "sys", "mod.rs")).read()
    names = sorted(set(re.findall(rf"\bfn ({prefix}\w*)", text)) - {"cuGetErrorName", "cuGetErrorString"})
    if not names:
        sys.exit(f"cuda-home: no functions of {kind} in {cudarc}")
    source = "".join(f"int {name}() {{ return {answer}; }}\n" for name in names)
    library = os.path.join(folder, "stubs", f"lib{kind}.so")
    command = ["cc", "-shared", "-fPIC", "-w", "-fno-builtin", f"-Wl,-soname,{loader_name}", "-x", "c", "-", "-o", library]
    subprocess.run(command, input=source + (WORDS if kind == "cuda" else ""), text=True, check=True)
    os.symlink(os.path.join("..", "stubs", f"lib{kind}.so"), os.path.join(folder, "no-gpu", loader_name))
PY

# LIBRARY_PATH is the linker's, LD_LIBRARY_PATH the loader's: the stubs are on the first only, for on a machine with a
# GPU the stub of libcuda would hide the driver. TSM_NO_GPU_LIBRARIES is for tests of what is said without one.
cat > "$folder/env.sh" <<ENV
export CUDA_HOME='$home' CUDA_PATH='$home' NVCC='$home/bin/nvcc'
export CUDA_COMPUTE_CAP="\${CUDA_COMPUTE_CAP:-$cap}"
export PATH='$home/bin':"\$PATH"
export LIBRARY_PATH='$home/lib:$folder/stubs'"\${LIBRARY_PATH:+:\$LIBRARY_PATH}"
export TSM_NO_GPU_LIBRARIES='$folder/no-gpu:$home/lib'
ENV
"$home/bin/nvcc" --version | grep release >&2
echo "cuda-home: $(du -sh "$folder" | cut -f1) in $folder; now run: . $folder/env.sh" >&2
