#!/usr/bin/env bash
# The unit tests of the kernels, the engine and plans under AddressSanitizer: every access outside of an allocation stops them.
#
#   scripts/asan.sh [filter of tests, by default kernel:: engine:: plan::]
#
# The stable toolchain ships the sanitizer's run time behind a flag of the nightly one. Its builds are kept apart. The test of
# forbidden pages is left out: it reads one on purpose.
set -euo pipefail
cd "$(dirname "$0")/.."

target=x86_64-unknown-linux-gnu
filters=("$@")
[[ $# -gt 0 ]] || filters=(kernel:: engine:: plan::)

# With an explicit target the flag reaches no build script.
RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" CARGO_PROFILE_TEST_DEBUG=line-tables-only RUST_BACKTRACE=0 \
    cargo test --lib --target "$target" --target-dir "${CARGO_TARGET_DIR:-target}/asan" -- --skip forbidden_pages_are_forbidden "${filters[@]}"
