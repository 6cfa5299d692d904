#!/usr/bin/env bash
# Whether a user's crate can do what the README shows: makes a scratch crate that depends on the package by path, with a program for
# every block of Rust in the README, builds it and runs them all.
#
#     scripts/readme_examples.sh [package]
#
# The package is this repository by default; what `cargo package` unpacks serves as well (target/package/convmat-0.1.0). A
# CARGO_TARGET_DIR that is set is used and kept.
set -euo pipefail

package=$(realpath "${1:-$(dirname "$0")/..}")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

mkdir -p "$scratch/src/bin"
cat > "$scratch/Cargo.toml" <<TOML
[package]
name = "readme"
edition = "2024"

[dependencies]
convmat = { path = "$package" }
ndarray = { version = "0.17", default-features = false, features = ["std"] }
rayon = "1.11"

[workspace]
TOML
awk -v folder="$scratch/src/bin" '
    /^```rust$/ { inside = 1; file = folder "/example" ++count ".rs"; next }
    /^```$/ { inside = 0 }
    inside { print > file }' "$package/README.md"
cp "$package/Cargo.lock" "$scratch/Cargo.lock" 2> /dev/null || true

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$scratch/target}
cargo build --quiet --manifest-path "$scratch/Cargo.toml"
count=0
for program in "$scratch"/src/bin/*.rs; do
    "$CARGO_TARGET_DIR/debug/$(basename "$program" .rs)" > /dev/null
    count=$((count + 1))
done
[ "$count" -gt 0 ] || { echo "the README has no Rust" >&2; exit 1; }
echo "$count examples of the README build and run against $package"
