#!/bin/bash
# Builds BenchFS and runs its tests; the last line is the sum: "N passed, N failed[, N skipped]".
#   ./test.sh                                        all parts
#   ./test.sh [unit|preload|cluster|model|slurm|asan]...   these parts only; asan: unit, preload,
#                                cluster in a sanitizer build, which takes as long again
# Each part has a time limit. A part that is missing, crashes or does not end counts as failed.
set -uo pipefail
cd "$(dirname "$0")"

budget_s=4200  # for everything
[ "${BENCHFS_TEST_FULL:-0}" != 1 ] || budget_s=14400  # long runs, with new seeds
parts=("$@")
[ $# -gt 0 ] || parts=(unit preload cluster model slurm asan)
for part in "${parts[@]}"; do
  case $part in
    unit | preload | cluster | model | slurm | asan) ;;
    *) echo "test.sh: '$part' is no part: unit, preload, cluster, model, slurm, asan" >&2; exit 2 ;;
  esac
done

passed=0 failed=0 skipped=0
notes=()  # of failures and skips, shown before the sum
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
trap 'exit 130' INT TERM HUP

# The rest of the budget, at most $1 seconds; 1 if nothing is left: then the part fails at once.
limit() {
  local rest=$((budget_s - SECONDS))
  [ "$rest" -gt "$1" ] && rest=$1
  [ "$rest" -gt 0 ] || rest=1
  echo "$rest"
}

fail() {
  failed=$((failed + 1))
  notes+=("failed: $1")
}

# NAME SECONDS COMMAND...: runs a part and adds what its last summary line says.
run_part() {
  local name=$1 seconds summary code began=$SECONDS
  seconds=$(limit "$2")
  shift 2
  echo
  echo "=== $name (at most $seconds s)"
  timeout --kill-after=20 "$seconds" "$@" 2>&1 | tee "$out/log"
  code=${PIPESTATUS[0]}
  echo "=== $name took $((SECONDS - began)) s"
  summary=$(grep -E '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' "$out/log" | tail -n 1)
  if [ -z "$summary" ]; then
    [ "$code" -eq 124 ] && code="124: time limit"
    fail "$name gave no result (exit code $code)"
    return
  fi
  local p f s
  read -r p f s < <(sed -E 's/ passed, / /; s/ failed(, )?/ /; s/ skipped//' <<<"$summary")
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + ${s:-0}))
  local line
  while IFS= read -r line; do notes+=("$name: $line"); done \
    < <(grep -E '^(not ok|skip)|# (skip|SKIP)' "$out/log")
  if [ "$code" -ne 0 ] && [ "$f" -eq 0 ]; then fail "$name ended with exit code $code"; fi
}

# BUILD_DIR: the unit tests, by ctest.
unit_tests() {
  # The test named preload is tests/preload/run.sh, a part of its own here.
  ctest --test-dir "$1" -E '^preload$' --output-on-failure --no-tests=error --timeout 120 -j "$(nproc)" \
    --output-junit "$out/junit.xml" | grep -vE ' +Passed +[0-9.]+ sec$|^ +Start +[0-9]+:'
  python3 - "$out/junit.xml" <<'PYTHON'
import sys
import xml.etree.ElementTree as tree
counts = {"run": 0, "fail": 0, "disabled": 0, "notrun": 0}
for case in tree.parse(sys.argv[1]).getroot().iter("testcase"):
    status = case.get("status")
    counts[status] = counts.get(status, 0) + 1
    output = (case.findtext("system-out") or "").strip().splitlines()
    if status == "fail":
        print("not ok -", case.get("name"))
    elif status != "run":
        skips = [l.strip() for l in output if "kipped" not in l and ":" in l] or output or ["no reason"]
        print("skip -", case.get("name") + ":", skips[-1])
skipped = counts["disabled"] + counts["notrun"]
print(f"{counts['run']} passed, {counts['fail']} failed" + (f", {skipped} skipped" if skipped else ""))
PYTHON
}

run_script() {  # NAME BUILD_DIR SECONDS LABEL
  if [ -x "tests/$1/run.sh" ]; then
    run_part "$4" "$3" "tests/$1/run.sh" "$PWD/$2"
  else
    fail "$4: tests/$1/run.sh is missing"
  fi
}

build() {  # PRESET BUILD_DIR SECONDS
  local began=$SECONDS
  echo
  echo "=== build ($1)"
  if ! timeout --kill-after=20 "$(limit "$3")" \
      bash -c 'cmake --preset "$1" >"$2" 2>&1 && cmake --build --preset "$1" >>"$2" 2>&1' \
      build "$1" "$out/build.log"; then
    tail -n 40 "$out/build.log"
    fail "the $1 build"
    return 1
  fi
  tail -n 1 "$out/build.log"
  echo "=== build ($1) took $((SECONDS - began)) s"
}

wants() {
  local part
  for part in "${parts[@]}"; do [ "$part" = "$1" ] && return 0; done
  return 1
}

finish() {
  local note
  echo
  for note in "${notes[@]}"; do echo "$note"; done
  if [ "$skipped" -gt 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
  else
    echo "$passed passed, $failed failed"
  fi
  [ "$failed" -eq 0 ]
  exit
}

export -f unit_tests
export out

timeout 900 scripts/install-deps.sh || { fail "scripts/install-deps.sh"; finish; }

if wants unit || wants preload || wants cluster || wants model || wants slurm; then
  if build release build 1200; then
    wants unit && run_part unit 300 bash -c 'unit_tests build'
    wants preload && run_script preload build 480 preload
    wants cluster && run_script cluster build 600 cluster
    wants model && run_script model build $([ "${BENCHFS_TEST_FULL:-0}" = 1 ] && echo 7200 || echo 300) model
    wants slurm && run_script slurm build 300 slurm
  fi
fi

if wants asan; then
  # Programs that are preloaded into leak as they please. What UBSan reports goes to files: each is
  # a failure, whatever the test that caused it says. What ASan reports ends the process. (With a
  # log_path it makes directories before it is set up, by our instrumented mkdir.)
  mkdir "$out/reports"
  if build asan build-asan 1200; then
    export UBSAN_OPTIONS="print_stacktrace=1:log_path=$out/reports/ubsan"
    ASAN_OPTIONS="detect_leaks=1" run_part "unit, sanitizers" 400 bash -c 'unit_tests build-asan'
    export ASAN_OPTIONS="detect_leaks=0:verify_asan_link_order=0"
    lenient=$PWD/build-asan/tests/preload/liblenient_alloc.so
    BENCHFS_TEST_RANKS=4 \
      BENCHFS_TEST_PRELOAD=$lenient:$(realpath "$(g++ -print-file-name=libasan.so)") \
      run_script preload build-asan 900 "preload, sanitizers"
    run_script cluster build-asan 1200 "cluster, sanitizers"
    for report in "$out"/reports/*; do
      [ -e "$report" ] || continue
      head -n 60 "$report"
      fail "sanitizer report: $(grep -m1 -E 'ERROR|runtime error' "$report")"
    done
  fi
fi
finish
