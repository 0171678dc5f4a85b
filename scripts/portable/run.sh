#!/bin/sh
# Runs the tests and the benchmark on this machine: nothing is installed, and no network is needed.
#   ./run              what device there is, the tests, the benchmark; results in ./results
#   ./run test [FILE]  the tests alone, or those whose path holds FILE
#   ./run bench ARGS   the benchmark alone, say: ./run bench matmul --budget 5m
#   ./run ARGS         any command of webgpu-lora, say: ./run env
# WEBGPU_LORA_ADAPTER=swiftshader takes the software device that is part of this folder.
set -u
here=$(cd "$(dirname "$0")" && pwd)
cd "$here" || exit 1
node="$here/bin/node"
. scripts/gpu-session/vulkan.sh

tests() {
  # No shader has been compiled on this machine yet, and a software driver takes its time: hence the patience.
  # The tests that are left out build the package, or start a browser or Deno: programs that this folder does not hold.
  "$node" node_modules/vitest/vitest.mjs run --testTimeout=900000 --hookTimeout=900000 --exclude "test/platform/{package,browser,engine-browser,deno,bench-browser,bench-deno}.test.ts" "$@"
}

bench() {
  "$node" dist/cli.js bench --output-dir results "$@"
}

case "${1-}" in
  "")
    "$node" dist/cli.js env
    tests
    status=$?
    bench || status=$?
    exit "$status"
    ;;
  test) shift; tests "$@" ;;
  bench) shift; bench "$@" ;;
  *) "$node" dist/cli.js "$@" ;;
esac
