#!/usr/bin/env bash
# Learns the committed taps again, by the one command that made them, and compares: bit by bit, or at most 1e-9 apart where
# another processor adds in another order. `scripts/learn_taps.sh --write` replaces them instead.
set -euo pipefail
cd "$(dirname "$0")/.."

committed=$PWD/cli/src/taps/learned-2x.safetensors
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
output=$folder/taps.safetensors
[[ ${1:-} == --write ]] && output=$committed

(cd examples/images/training && cargo run --release -p convmat-cli --manifest-path ../../../Cargo.toml -- \
    learn-upsampling astronaut.png coffee.png rocket.png brick.png grass.png --output "$output" --force)
[[ $output == "$committed" ]] && exit

# The taps are the end of the file: k² numbers of 8 bytes, after a header whose metadata have no fixed order.
taps() { tail -c $((12 * 12 * 8)) "$1"; }
if cmp --silent <(taps "$output") <(taps "$committed"); then
    echo "the committed taps, bit by bit"
    exit
fi
numbers() { taps "$1" | od --address-radix=n --format=f8 --output-duplicates --width=8; }
paste <(numbers "$output") <(numbers "$committed") | awk '
    { difference = $1 - $2; if (difference < 0) difference = -difference; if (difference > largest) largest = difference }
    END { print "largest difference from the committed taps: " largest; exit !(NR == 144 && largest <= 1e-9) }'
