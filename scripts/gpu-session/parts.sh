# The parts of a session, and what runs them: `part NAME PERCENT FUNCTION ARGS` calls the function, which calls `bounded`.
export NO_COLOR=1
cli=("$node" dist/cli.js)
summary=()
failures=0
seconds=0 # of the part that runs
percent=100 # that the parts to come share
ends=$((minutes * 60)) # in seconds since this began, unpacking included
SKIPPED=77

# What is tuned counts for this session alone: nothing that was found out here before is used, and nothing stays.
WEBGPU_LORA_CACHE=$(mktemp -d) || fail "no temporary folder can be made"
export WEBGPU_LORA_CACHE
trap 'rm -rf "$WEBGPU_LORA_CACHE"' EXIT

# Runs a command for as long as the part has; its output is shown and kept. 124 where it was ended.
bounded() { timeout -k 5 "$seconds" "$@" </dev/null 2>&1 | tee -a "$output/log.txt"; }

part() {
  local name=$1 started=$SECONDS outcome code
  seconds=$(((ends - SECONDS) * $2 / percent))
  [ "$seconds" -gt 0 ] || seconds=1
  percent=$((percent - $2))
  detail=
  printf '\n== %s (%s s at most)\n' "$name" "$seconds" | tee -a "$output/log.txt"
  shift 2
  "$@"
  code=$?
  case $code in
    0) outcome=done ;;
    "$SKIPPED") outcome=skipped ;;
    124 | 137) outcome="out of time" ;;
    *) outcome="failed ($code)" ;;
  esac
  [ "$outcome" = "done" ] || [ "$outcome" = skipped ] || failures=$((failures + 1))
  summary+=("$(printf '%-14s %-12s %4s s  %s' "$name" "$outcome" $((SECONDS - started)) "$detail")")
}

# What the part has printed so far, the last line first.
printed() { tac "$output/log.txt" | sed '/^== /q'; }

# The last line of the log's part that fits a pattern.
last_line() { detail=$(printed | grep -m1 -E -- "$1" | sed 's/^ *//'); }

# Without the card the benchmark finds every result wrong that it compares, and nothing else may be wrong.
launched() {
  local wrong other
  wrong=$(printed | grep -c '^WRONG: .*: wrong at ')
  other=$(printed | grep '^WRONG: ' | grep -vc ': wrong at ')
  detail="$wrong cases were launched whose results nobody computed; $other failed otherwise"
  [ "$wrong" -gt 0 ] && [ "$other" -eq 0 ]
}

# Whether a GPU is what the engine opens: without one no figure of this session is worth anything.
device() {
  bounded "${cli[@]}" env
  last_line '^ *kind: '
  if [[ $detail != "kind: GPU" ]] && use_driver_elsewhere; then
    echo "no GPU was found; looking at $VK_DRIVER_FILES" | tee -a "$output/log.txt"
    bounded "${cli[@]}" env
    last_line '^ *kind: '
  fi
  local kind=$detail
  last_line '^adapter: '
  [[ $kind == "kind: GPU" ]] || { detail="no GPU: ${detail:-no adapter}"; return 1; }
}

# As many workers as a card serves side by side. No shader was compiled there yet: hence the patience.
tests() {
  local workers=$(($(nproc) < 8 ? $(nproc) : 8)) code
  [ $has_card = yes ] || { detail="without the card nothing is computed, and the tests compare numbers"; return "$SKIPPED"; }
  WEBGPU_LORA_PROFILE=gpu bounded env -u WEBGPU_LORA_CACHE "$node" node_modules/vitest/vitest.mjs run test/kernels/ test/autograd/ test/models/ \
    --testTimeout=300000 --hookTimeout=300000 --maxWorkers="$workers"
  code=$?
  last_line '^ *Tests '
  [ -n "$detail" ] || detail="$(grep -c '✓.*\.test\.ts' "$output/log.txt") files passed, $(grep -cE '(❯|×).*\.test\.ts.*failed' "$output/log.txt") failed"
  return $code
}

# Choices that later parts use, as this machine's user would have them.
tune() {
  bounded "$node" build.mjs --run scripts/gpu-session/tune.ts "$model" "$tokens"
  local code=$?
  last_line '^tuned '
  return $code
}

# NAME KERNELS… ARGS…: the benchmark's result as NAME-DEVICE.json; that of all kernels, which is called bench here, as DEVICE.json.
bench() {
  local name=$1 budget=1h folder code file
  shift
  folder=$(mktemp -d) || return 1
  # Of all kernels as many as fit, with a fifth for what compiles last; of a part of them all, until their time ends.
  [ "$name" = bench ] && budget=$((seconds * 4 / 5 + 1))s
  bounded "${cli[@]}" bench "$@" --budget "$budget" --output-dir "$folder"
  code=$?
  for file in "$folder"/*.json; do
    [ -f "$file" ] || continue
    if [ "$name" = bench ]; then cp "$file" "$output/"; else cp "$file" "$output/$name-${file##*/}"; fi
  done
  rm -rf "$folder"
  case $name in
    bench) last_line '^measured peaks' ;;
    host) last_line '^host LoRA step SmolLM2' ;;
    *) last_line '^training-step LoRA|left out' ;;
  esac
  if [ $has_card = no ] && [ $code -eq 1 ]; then launched; return; fi
  return $code
}

# The training steps of this session by PyTorch and PEFT on the same card.
pytorch() {
  local result code
  [ $has_card = yes ] || { detail="without the card no step was timed that it could be compared with"; return "$SKIPPED"; }
  result=$(ls "$output"/training-step-*.json 2>/dev/null | head -n 1)
  [ -n "$result" ] || { detail="there is no result of training-step"; return "$SKIPPED"; }
  python3 -c 'import torch, transformers, peft' 2>/dev/null || { detail="python3 has no torch, transformers and peft"; return "$SKIPPED"; }
  bounded python3 kernels-bench/torch/step.py "$result"
  code=$?
  last_line '^[^ ]+ T[0-9]+ |[Ee]rror'
  return $code
}

summarise() {
  local told=
  [ $has_card = yes ] || told='A rehearsal without the card: nothing was computed, and times are those of the host.'
  { printf '%s\n' "$told" "${summary[@]}"; echo "results: $output"; } | tee "$output/summary.txt"
  [ "$failures" -eq 0 ]
}
