#!/usr/bin/env bash
# Fuzzes targets one after the other, each for some seconds, from the committed corpus on. What is new grows in fuzz/grown, what
# fails lies in fuzz/artifacts.
#
#   fuzz/run.sh [SECONDS, by default 600] [TARGET…, by default all]
#
# Needs a nightly toolchain and `cargo install cargo-fuzz`.
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:-600}
targets=("${@:2}")
[[ ${#targets[@]} -gt 0 ]] || targets=(layers npy npz onnx safetensors wav)

for target in "${targets[@]}"; do
    printf '\n== %s\n' "$target"
    mkdir -p "grown/$target" "corpus/$target"
    more=()
    [[ ! -f "$target.dict" ]] || more+=("-dict=$target.dict")
    nice -n 10 cargo +nightly fuzz run --fuzz-dir . "$target" "grown/$target" "corpus/$target" -- \
        "-max_total_time=$seconds" -max_len=4096 -rss_limit_mb=2048 -timeout=20 -print_final_stats=1 "${more[@]}"
done
