#!/usr/bin/env bash
# Certificates of a few hundred geometries: 1-D to 3-D, both directions, strides, dilation, groups, paddings beyond the
# kernel, uneven and automatic paddings, output padding, output_size and output_shape.
#
#   cargo build --release -p convmat-cli && scripts/verify_sweep.sh [path of the binary]
#
# Prints every geometry that fails, and at the end how many passed. Exits with 1 if any failed.
set -u
cd "$(dirname "$0")/.." || exit 1
binary=${1:-${CARGO_TARGET_DIR:-target}/release/convmat}
if [[ ! -x $binary ]]; then
  echo "error: $binary is missing; cargo build --release -p convmat-cli" >&2
  exit 1
fi

passed=0
failed=0
check() {
  local report
  if report=$("$binary" verify --seed $((passed + failed)) "$@" 2>&1); then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: convmat verify --seed $((passed + failed - 1)) $*"
    grep -E 'FAILED|^error' <<<"$report"
  fi
}

# One axis: kernel × stride × dilation × padding, the padding beyond the kernel included, in both directions.
for kernel in 1 2 3 5; do
  for stride in 1 2 3; do
    for dilation in 1 2; do
      for padding in 0 1 0,3 7,4; do
        check --conv --input 11 --kernel $kernel --stride $stride --dilation $dilation --padding $padding
        # Short outputs vanish under padding: a transposed convolution cuts what it pads.
        check --transposed --input 13 --kernel $kernel --stride $stride --dilation $dilation --padding $padding
      done
    done
  done
done

# Two axes that differ in everything.
for groups in 1 2 3; do
  for padding in 1 0x2 1,2x0,1 3x4 valid same-upper same-lower; do
    check --conv --input 7x6 --kernel 3x2 --stride 2x3 --dilation 1x2 --padding $padding --groups $groups
    check --transposed --input 5x6 --kernel 3x2 --stride 2x3 --dilation 1x2 --padding $padding --groups $groups
  done
  check --conv --input 6x5 --kernel 3x4 --dilation 2x1 --padding same --groups $groups
  check --transposed --input 6x5 --kernel 3x4 --dilation 2x1 --padding same --groups $groups
  # Depthwise, one channel per group, and many channels, where the GEMM has rows.
  check --conv --input 8x8 --kernel 3 --padding 1 --groups $((4 * groups)) \
    --in-channels $((4 * groups)) --out-channels $((8 * groups))
  check --transposed --input 4x4 --kernel 4 --stride 2 --padding 1 --groups $groups \
    --in-channels $((16 * groups)) --out-channels $((8 * groups)) --batch 3
done

# Output padding, by its number and by both ways of naming a size.
for stride in 2 3 4; do
  for extra in 0 1 $((stride - 1)); do
    check --transposed --input 4x3 --kernel 3x5 --stride $stride --padding 1x2 --output-padding $extra
    check --transposed --input 5 --kernel 4 --stride $stride --padding 2,1 --output-padding $extra
    check --transposed --input 5 --kernel 3 --stride $stride --output-size $((4 * stride + 3 + extra))
    check --transposed --input 4x4 --kernel 3 --stride $stride --output-shape $((4 * stride + extra))
  done
done
check --transposed --input 3 --kernel 2 --dilation 4 --output-padding 3
check --transposed --input 3x3 --kernel 2 --stride 2 --output-shape 12

# Three axes.
for stride in 1 2 2x1x3; do
  for padding in 0 1 0,1x1,0x2 same-lower; do
    check --conv --input 4x5x4 --kernel 2x3x2 --stride $stride --padding $padding
    check --transposed --input 3x4x3 --kernel 2x3x3 --stride $stride --padding $padding
  done
  check --conv --input 5x4x5 --kernel 2 --stride $stride --dilation 2x1x2 --padding 2 --groups 2
  check --transposed --input 3 --kernel 2 --stride 2 --padding 0 --output-padding 1 --batch 1
done

# Sizes at the edges: single elements, kernels as long as the input, strides beyond the kernel.
for batch in 1 5; do
  check --conv --input 1 --kernel 1 --batch $batch --in-channels 1 --out-channels 1
  check --transposed --input 1x1x1 --kernel 1 --batch $batch --in-channels 1 --out-channels 1
  check --conv --input 4x4 --kernel 4 --batch $batch
  check --transposed --input 2x2 --kernel 1 --stride 5 --batch $batch
  check --conv --input 9x9 --kernel 2 --stride 4 --batch $batch
  check --conv --input 33x17 --kernel 3 --padding 1 --in-channels 5 --out-channels 7 --batch $batch
done

echo "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
