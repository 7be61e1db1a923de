# shellcheck shell=bash disable=SC2034
# Sourced by tests/clients/run and tests/examples/run: the libraries of npm, PyPI and crates.io that the clients and the examples
# use. Sets `examples`, and `target`, the folder of the examples in Rust; puts their Python first in PATH.
clients=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
examples=$(realpath "$clients/../../examples")
target=$(realpath -m "${CARGO_TARGET_DIR:-$clients/../../target}")
venv=$target/tests/venv-clients
target=$target/clients

echo "-- preparing: the libraries"
for folder in "$clients" "$examples"; do
    cmp -s "$folder/package-lock.json" "$folder/node_modules/installed" || {
        (cd "$folder" && npm ci --silent --no-audit --no-fund)
        cp "$folder/package-lock.json" "$folder/node_modules/installed"
    }
done
cat "$clients/requirements.txt" "$examples/requirements.txt" >"$venv.wanted"
cmp -s "$venv.wanted" "$venv/installed" || {
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$clients/requirements.txt" -r "$examples/requirements.txt"
    cp "$venv.wanted" "$venv/installed"
}
export PATH="$venv/bin:$PATH"
cargo build --quiet --locked --manifest-path "$examples/rust/Cargo.toml" --target-dir "$target"
