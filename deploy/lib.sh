# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by deploy/dist, deploy/static and tests/run.

objcopy=objcopy
# for_architecture amd64|arm64: what follows builds for it; sets `triple`, empty for this machine's own architecture.
for_architecture() {
    local machine
    case $1 in
        amd64) machine=x86_64 ;;
        arm64) machine=aarch64 ;;
        *) echo "there is no architecture $1; expected amd64 or arm64" >&2; return 2 ;;
    esac
    triple=""
    [ "$(uname -m)" != "$machine" ] || return 0
    triple=$machine-unknown-linux-gnu
    # Debian: gcc-aarch64-linux-gnu or gcc-x86-64-linux-gnu, with libc6-dev-ARCHITECTURE-cross.
    local gcc=$machine-linux-gnu-gcc
    command -v "$gcc" >/dev/null || { echo "$gcc is missing, which links for $1 (Debian: gcc-${machine/_/-}-linux-gnu)" >&2; return 1; }
    if [ ! -d "$(rustc --print target-libdir --target "$triple")" ]; then
        echo "Rust's standard library for $1 is missing: rustup target add $triple" >&2
        return 1
    fi
    objcopy=$machine-linux-gnu-objcopy
    local variable=${triple//-/_}
    export "CARGO_TARGET_${variable^^}_LINKER=$gcc" "CC_$variable=$gcc"
}

# built_by CARGO-ARGUMENT…: the path of the binary that this call of cargo builds.
built_by() {
    cargo "$@" --locked --message-format json-render-diagnostics "${after[@]}" | sed -n 's|.*"executable":"\([^"]*\)".*|\1|p' | tail -n 1
}

# split_debug FROM TO: the binary FROM without symbols as TO, and its symbols and line numbers as TO.debug, which TO names.
split_debug() {
    local name
    name=$(basename "$2")
    "$objcopy" --only-keep-debug "$1" "$2.debug"
    "$objcopy" --strip-all "$1" "$2.stripped"
    (cd "$(dirname "$2")" && "$objcopy" --add-gnu-debuglink="$name.debug" "$name.stripped" && mv -f "$name.stripped" "$name")
}
