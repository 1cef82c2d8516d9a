#!/usr/bin/env bash
# Makes a package for a machine with an NVIDIA GPU and no network, no Rust and no GStreamer: `tsm selftest`,
# `tsm bench`, `tsm verify`, `tsm info`, `tsm convert`.
#
#   scripts/cuda-home.sh FOLDER && . FOLDER/env.sh      # unless a CUDA 13 toolkit is installed
#   scripts/package-cuda.sh [OUT.tar.xz]                # target/tsm-cuda-ARCH.tar.xz by default
#
# The package holds `tsm` (starts everywhere), `tsm-cuda` (what it hands over to) and `run`. The machine brings glibc
# of this one or newer, a driver of version 580 or newer, and CUDA 13's libraries: a toolkit, or those of PyTorch.
# $TSM_CUDA_TARGET names the folder to build in (target/cuda-package by default; never the CPU build's).
set -euo pipefail
cd "$(dirname "$0")/.."

most_bytes=$((60 * 1024 * 1024))
fail() { echo "package-cuda: $*" >&2; exit 2; }

out=${1:-target/tsm-cuda-$(uname -m).tar.xz}
case "$out" in -*) fail "unknown option $out; give the file to write" ;; *.tar.xz) ;; *) fail "$out does not end in .tar.xz" ;; esac
command -v nvcc >/dev/null || fail "nvcc is missing; run scripts/cuda-home.sh FOLDER and . FOLDER/env.sh"
command -v xz >/dev/null || fail "xz is missing; install xz-utils"
builds=${TSM_CUDA_TARGET:-target/cuda-package}

build() { CARGO_TARGET_DIR=$builds/$1 cargo build --release --locked --bin tsm --no-default-features "${@:2}"; }
build cpu
build cuda --features cuda

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
folder=$work/tsm-cuda
mkdir "$folder"
strip -o "$folder/tsm" "$builds/cpu/release/tsm"
strip -o "$folder/tsm-cuda" "$builds/cuda/release/tsm"
cp LICENSE-MIT LICENSE-APACHE "$folder"
[ ! -e crates/tsm-model/benches/gpu ] || cp -r crates/tsm-model/benches/gpu "$folder/bench"
cat > "$folder/run" <<'RUN'
#!/usr/bin/env bash
# The whole selftest on the first GPU: a table here, report.json beside it. More flags of `tsm selftest` may follow.
#
#   ./run                               CUDA 13's libraries are the system's
#   ./run --cuda-libs /path/to/venv     or those of a virtual environment with PyTorch
exec "$(dirname "$0")/tsm" selftest --device cuda --json report.json "$@"
RUN
chmod +x "$folder/run"
cat > "$folder/README.md" <<README
# tsm on a GPU, without video

\`tsm\` $(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1), built from $(git rev-parse --short HEAD 2>/dev/null || echo "a source tree") with $(nvcc --version | sed -n 's/.*release \([0-9.]*\).*/CUDA \1/p'), compute capability ${CUDA_COMPUTE_CAP:-of the machine it was built on}.

    ./run                                       # the selftest: every check, then the table of latencies
    ./run --cuda-libs /path/to/venv             # with the CUDA libraries that PyTorch brought
    ./run --quick --data-type f32               # a minute of it
    ./tsm bench --batch 64 --device cuda        # a step of 64 streams, for as long as you like
    ./bench/run --short --tsm ./tsm             # beside PyTorch, in one run

It needs glibc $(ldd --version | sed -n '1s/.* //p') or newer, NVIDIA's driver 580 or newer (\`nvidia-smi\` tells) and CUDA 13's cuBLAS and cuRAND: found beside
\`tsm-cuda\`, in a toolkit under /usr/local, in the active virtual environment, or where \`--cuda-libs\` says. \`tsm\` itself
starts on any machine; it looks for all of that and becomes \`tsm-cuda\`, or says in one line what is missing.
README
find "$folder" -name '__pycache__' -prune -exec rm -rf {} +
mkdir -p "$(dirname "$out")"
tar -C "$work" --owner=0 --group=0 --sort=name -c tsm-cuda | xz -T0 -6 > "$out"
bytes=$(stat -c %s "$out")
[ "$bytes" -lt "$most_bytes" ] || fail "$out has $bytes bytes, more than the $most_bytes that are promised"
du -sh "$folder"/* >&2
echo "package-cuda: $out, $((bytes / 1024 / 1024)) MiB" >&2
