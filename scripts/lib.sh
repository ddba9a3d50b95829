# Helpers that the scripts here share. Sourced, never run: `. "$(dirname "$0")/lib.sh"`.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/corral

# say TEXT...: progress for a person, on standard error so that standard output stays for results.
say() { printf '%s\n' "$*" >&2; }

# die TEXT [HINT]: what went wrong and what to do, then exit 1.
die() {
  printf 'error: %s\n' "$1" >&2
  [ -z "${2:-}" ] || printf '  what to do: %s\n' "$2" >&2
  exit 1
}

# build_corral PRESET [TARGET...]: configures where needed and builds; output to standard error.
# A terminal sees ninja's own progress line; a log gets a line every few files.
build_corral() {
  local preset=$1 build
  shift
  build=$root/build/$preset
  if [ ! -f "$build/build.ninja" ]; then
    say "Configuring ($preset)"
    (cd "$root" && cmake --preset "$preset" > "$root/build-$preset.log" 2>&1) || {
      cat "$root/build-$preset.log" >&2
      rm -f "$root/build-$preset.log"
      die "cmake could not configure the preset $preset" "read the lines above; scripts/install-deps build installs what the build needs"
    }
    mkdir -p "$build"
    mv "$root/build-$preset.log" "$build/configure.log"
  fi
  thin_progress ninja -C "$build" "$@" ||
    die "the build ($preset) failed" "the compiler's message is above; to repeat it: ninja -C build/$preset"
}

# thin_progress COMMAND...: runs ninja and shows every line on a terminal, every 25th step and all
# that is not a step elsewhere.
thin_progress() {
  if [ -t 2 ]; then
    "$@" >&2
  else
    "$@" 2>&1 | awk '/^\[[0-9]+\/[0-9]+\]/ { if (seen++ % 25 == 0) { print; fflush() } next } { print; fflush() }' >&2
  fi
}
