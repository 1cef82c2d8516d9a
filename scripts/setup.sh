#!/usr/bin/env bash
# Installs what tsm needs from the system: GStreamer 1.22 or newer with its plug-ins.
#
#   scripts/setup.sh           to build and run
#   scripts/setup.sh --tests   to run the tests, too
#
# Uses apt (Debian 12, Ubuntu 24.04 or newer), with sudo where it is not root, and only if something
# is missing. Rust is not installed here: https://rustup.rs does it best.
set -euo pipefail

run_packages="pkg-config build-essential libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
  gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav
  gstreamer1.0-x gstreamer1.0-pipewire"
test_packages="libgstrtspserver-1.0-dev gstreamer1.0-plugins-ugly gstreamer1.0-tools
  gstreamer1.0-plugins-base-apps ffmpeg pipewire pipewire-bin wireplumber dbus xvfb xauth x11-utils procps
  qemu-user"
oldest_rust=1.92
oldest_gstreamer=1.22

fail() { echo "setup: $*" >&2; exit 2; }
case "${1:-}" in -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"; exit 0 ;; esac

# Whether version $1 is at least version $2.
is_at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

has_package() { [ "$(dpkg-query -W -f='${Status}' "$1" 2>/dev/null)" = "install ok installed" ]; }

check_rust() {
  command -v cargo >/dev/null || fail "Rust is missing; install it from https://rustup.rs and run this again"
  local found
  found=$(rustc --version | cut -d' ' -f2)
  is_at_least "$found" "$oldest_rust" || fail "Rust $found is too old, tsm needs $oldest_rust; run: rustup update"
}

install() {
  local missing="" package
  for package in "$@"; do has_package "$package" || missing="$missing $package"; done
  [ -n "$missing" ] || return 0
  local apt="apt-get"
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "these packages are missing and there is no sudo:$missing"
    apt="sudo apt-get"
  fi
  echo "setup: installing$missing" >&2
  # shellcheck disable=SC2086 # lists of words
  { $apt update -qq && DEBIAN_FRONTEND=noninteractive $apt install -y -qq --no-install-recommends $missing; } >&2 ||
    fail "apt could not install:$missing"
}

check_gstreamer() {
  command -v pkg-config >/dev/null || fail "pkg-config is missing"
  local found
  found=$(pkg-config --modversion gstreamer-1.0 2>/dev/null) ||
    fail "the development files of GStreamer are missing; install GStreamer $oldest_gstreamer or newer with plug-ins base, good, bad and libav"
  is_at_least "$found" "$oldest_gstreamer" ||
    fail "GStreamer $found is too old, tsm needs $oldest_gstreamer (Debian 12, Ubuntu 24.04 or newer)"
}

packages=$run_packages
case "${1:-}" in
  "") ;;
  --tests) packages="$run_packages $test_packages" ;;
  *) fail "unknown option $1; known is --tests" ;;
esac
check_rust
if command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; then
  # Refused before anything is installed where the distribution itself is too old.
  offered=$(apt-cache policy libgstreamer1.0-dev 2>/dev/null | sed -n 's/^  Candidate: //p')
  case "$offered" in "" | "(none)") ;; *)
    is_at_least "${offered%%-*}" "$oldest_gstreamer" ||
      fail "GStreamer ${offered%%-*} of this system is too old, tsm needs $oldest_gstreamer (Debian 12, Ubuntu 24.04 or newer)" ;;
  esac
  # shellcheck disable=SC2086 # a list of words
  install $packages
fi
check_gstreamer
