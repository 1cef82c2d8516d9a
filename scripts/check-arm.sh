#!/usr/bin/env bash
# Compiles the network and its kernels for 64-bit ARM, where the plain paths run. Needs rustup; nothing is linked.
set -euo pipefail
cd "$(dirname "$0")/.."
target=aarch64-unknown-linux-gnu
command -v rustup >/dev/null || { echo "check-arm: rustup is missing, it brings Rust's library for $target" >&2; exit 2; }
rustup target list --installed | grep -qx "$target" || rustup target add "$target"
export RUSTFLAGS=-Dwarnings # for ARM's build alone: with --target it reaches no other
exec cargo check --locked --target "$target" -p tsm-kernels -p tsm-model "$@"
