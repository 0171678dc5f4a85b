#!/usr/bin/env bash
# All that is to be found out on a machine with a GPU and without a network, in one call (docs/bench.md).
#   scripts/gpu-session.sh pack                                       here: what a bare machine needs beside this checkout
#   scripts/gpu-session.sh run [--minutes N] [--output-dir DIR]       there, in the checkout's folder; 9 minutes, ./session
#   scripts/gpu-session.sh run --model toy --tokens 128 …             a rehearsal; a size of kernels-bench/models.ts, Qwen2.5-0.5B at 4096
#   … --no-card                                                       a rehearsal on a driver without its card, which computes nothing
# Each part has its share of the time that is left, and is ended after it; a part that fails stops no other. Exit code 1 where one did.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
usage() { sed -n '2,6s/^# \{0,1\}//p' "$0"; }
fail() { echo "gpu-session: $*" >&2; exit 2; }

mode=${1-}
minutes=9
output=session
model=Qwen2.5-0.5B
tokens=4096
has_card=yes
[ $# -gt 0 ] && shift
while [ $# -gt 0 ]; do
  case $1 in
    --no-card) has_card=no && shift && continue ;;
    --minutes | --output-dir | --model | --tokens) [ $# -gt 1 ] || fail "$1 needs a value" ;;
    *) fail "\"$1\" is no option of $mode; there are --minutes, --output-dir, --model, --tokens and --no-card" ;;
  esac
  case $1 in
    --minutes) minutes=$2 ;;
    --output-dir) output=$2 ;;
    --model) model=$2 ;;
    --tokens) tokens=$2 ;;
  esac
  shift 2
done
[[ $minutes =~ ^[1-9][0-9]{0,3}$ ]] || fail "--minutes is \"$minutes\"; it wants a whole number from 1 on"
[[ $tokens =~ ^[1-9][0-9]{0,5}$ ]] || fail "--tokens is \"$tokens\"; it wants a whole number from 1 on"

case $mode in
  pack) exec npm run pack:portable -- --beside-checkout ;;
  run) ;;
  "" | -h | --help) usage; exit 0 ;;
  *) fail "\"$mode\" is neither pack nor run" ;;
esac

archive=out/webgpu-lora-beside-checkout-linux-x64.tar.xz
if [ ! -d node_modules ]; then
  [ -f "$archive" ] || fail "there are neither node_modules nor $archive; \`$0 pack\` makes the latter where there is a network"
  tar -xJf "$archive" --strip-components=1 || fail "$archive cannot be unpacked"
fi
node=$PWD/bin/node
[ -x "$node" ] || node=$(command -v node) || fail "there is no Node.js"
[ -f dist/cli.js ] || fail "dist/cli.js is not there; npm run build makes it"
mkdir -p "$output" && output=$(cd "$output" && pwd) || fail "--output-dir $output cannot be made"
for file in log.txt summary.txt; do : >"$output/$file" || fail "nothing can be written into $output"; done
. scripts/gpu-session/vulkan.sh
. scripts/gpu-session/parts.sh

part device 4 device
part host 6 bench host host
part tests 28 tests
part tune 10 tune
part bench 27 bench bench
part training-step 10 bench training-step training-step --size "$model" --size "T$tokens"
part pytorch 15 pytorch
summarise
