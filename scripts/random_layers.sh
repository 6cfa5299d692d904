#!/usr/bin/env bash
# Random layers through the engine: against the definition, and the same bits for any number of threads, any batch and any
# memory layout, on every instruction set of the processor.
#
#   scripts/random_layers.sh SEED COUNT [--time]
#
# Prints every layer that is wrong, and at the end how many were; exits with 1 if any was. With --time it times plans against
# im2col + GEMM instead, in turns on one thread.
set -euo pipefail
cd "$(dirname "$0")/.."

usage="usage: scripts/random_layers.sh SEED COUNT [--time]"
[[ ${1-} =~ ^[0-9]+$ && ${2-} =~ ^[1-9][0-9]*$ && $# -le 3 && ${3---time} == --time ]] || { echo "$usage" >&2; exit 2; }
what=are_right
[[ $# -lt 3 ]] || what=are_fast

# Without debug information backtraces of wrong layers say little: the message is what counts.
RUST_BACKTRACE=0 SEED=$1 COUNT=$2 cargo test --quiet --release --test suite -- \
    --ignored --exact --nocapture "random_layers::$what"
