# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by deploy/dist and deploy/static.

# built_by CARGO-ARGUMENT…: the path of the binary that this call of cargo builds.
built_by() {
    cargo "$@" --locked --message-format json-render-diagnostics "${after[@]}" | sed -n 's|.*"executable":"\([^"]*\)".*|\1|p' | tail -n 1
}

# split_debug FROM TO: the binary FROM without symbols as TO, and its symbols and line numbers as TO.debug, which TO names.
split_debug() {
    local name
    name=$(basename "$2")
    objcopy --only-keep-debug "$1" "$2.debug"
    objcopy --strip-all "$1" "$2.stripped"
    (cd "$(dirname "$2")" && objcopy --add-gnu-debuglink="$name.debug" "$name.stripped" && mv -f "$name.stripped" "$name")
}
