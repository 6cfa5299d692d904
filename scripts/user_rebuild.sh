#!/usr/bin/env bash
# Processor seconds that a user's crate with one plan takes to be rebuilt in release after a change of its own.
#
#     scripts/user_rebuild.sh [package] [limit]
#
# Makes a scratch crate that depends on the package by path (this repository by default), builds it, touches main.rs and builds
# again, three times. Prints the least of the three, in user and system time of cargo and all its children, and fails if it
# exceeds a limit that is given. A CARGO_TARGET_DIR that is set is used and kept. What the user's crate compiles is its own code and thin
# generic functions of the package; the engine is to be linked.
set -euo pipefail

package=$(realpath "${1:-$(dirname "$0")/..}")
limit=${2:-}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

mkdir "$scratch/src"
cat > "$scratch/Cargo.toml" <<TOML
[package]
name = "user"
edition = "2024"

[dependencies]
convmat = { path = "$package" }
ndarray = { version = "0.17", default-features = false, features = ["std"] }

[workspace]
TOML
cat > "$scratch/src/main.rs" <<'RUST'
use convmat::{ConvTranspose2d, Options, PlanOptions, Workspace};
use ndarray::Array4;

fn main() -> convmat::Result<()> {
    let options = Options::new().stride([2, 2]);
    let layer = ConvTranspose2d::<f32>::zeros(8, 4, [4, 4], options)?.init_default(1);
    let plan = layer.plan([16, 16], &PlanOptions::default())?;
    let x = Array4::from_elem([3, 8, 16, 16], 0.5);
    let (mut y, mut workspace) = (Array4::zeros([3, 4, 34, 34]), Workspace::new());
    plan.run_into(&x, &mut y, &mut workspace)?;
    println!("{}", y.sum());
    Ok(())
}
RUST
# The versions that the package was tested with.
cp "$package/Cargo.lock" "$scratch/Cargo.lock" 2>/dev/null || true

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$scratch/target}
unset CARGO_BUILD_RUSTFLAGS RUSTFLAGS
build() { cargo build --release --quiet --manifest-path "$scratch/Cargo.toml"; }

build
least=
for _ in 1 2 3; do
    touch "$scratch/src/main.rs"
    TIMEFORMAT='%U %S'
    seconds=$({ time build; } 2>&1 | awk 'END { print $1 + $2 }')
    least=$(printf '%s\n' "$seconds" ${least:+"$least"} | sort -g | head -n 1)
done
echo "rebuild of a user's crate with one plan: $least s of processor time${limit:+, at most $limit}"
[ -z "$limit" ] || awk -v least="$least" -v limit="$limit" 'BEGIN { exit !(least <= limit) }'
