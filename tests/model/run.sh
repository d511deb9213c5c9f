#!/bin/bash
# run.sh BUILD_DIR [OPTION VALUE]...: the model, concurrency and listing tests on BenchFS: one host
# with 1, 3 and 4 ranks, and two hosts made of network namespaces (as root). Prints a line per check
# and "N passed, N failed".
#
#   --operations N   steps of each model run
#   --seeds N        model runs on each kind of instance
#   --seed S         the first seed: what a failing run printed replays it
#   --only REGEX     of the names of checks
# BENCHFS_TEST_FULL=1: 100 000 steps of 10 new seeds, a million entries, a minute of concurrency.
set -u
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 1 ] || { echo "usage: $0 BUILD_DIR [--operations N] [--seeds N] [--seed S] [--only REGEX]" >&2; exit 2; }
build=$(cd "$1" && pwd) || exit 2
shift
if [ "${BENCHFS_TEST_FULL:-0}" = 1 ]; then
  operations=100000 seeds=10 seed=$((RANDOM * 32768 + RANDOM)) mix_seconds=60 rounds=20 entries=1000000
  limit=900
else
  operations=3000 seeds=2 seed=1 mix_seconds=2 rounds=3 entries=50000 limit=120
fi
only=.
while [ $# -ge 2 ]; do
  case $1 in
    --operations) operations=$2 ;;
    --seeds) seeds=$2 ;;
    --seed) seed=$2 ;;
    --only) only=$2 ;;
    *) echo "$0: unknown option $1" >&2; exit 2 ;;
  esac
  shift 2
done
. "$here/../cluster/lib.sh"
. "$here/../cluster/hosts.sh"
programs=$build/tests/model
for program in model stress listing; do
  [ -x "$programs/$program" ] || { echo "run.sh: $programs/$program is missing: build it first" >&2; exit 2; }
done
wanted() { [[ $1 =~ $only ]]; }

# Both directories have paths of one length: symlinks that lead to them are as long.
plain=$data/plain.$$
mount=/benchfs/$(printf 'm%.0s' $(seq $((${#plain} - 9))))

# On an instance of one host: commands run as they are. On two: on host 1, and the second half of
# the processes on host 2.
hosts=1
on_first() {  # COMMAND...
  if [ "$hosts" = 1 ]; then timeout "$limit" "$benchfs" exec --registry "$registry" -- "$@"
  else (on_host 1 timeout "$limit" "$benchfs" exec --registry "$registry" -- "$@"); fi
}
on_second() { (on_host 2 timeout "$limit" "$benchfs" exec --registry "$registry" -- "$@"); }
check_whole() {  # NAME
  if [ "$hosts" = 1 ]; then fsck_clean "$1"; else fsck_clean "$1" on_host_too 1; fi
}

# WHERE RUNNER_1 RUNNER_2 DIRECTORY SEED: the output is $work/WHERE.
model() {
  local where=$1 first=$2 second=$3 directory=$4 seed=$5 address=127.0.0.1 options
  options=(--seed "$seed" --operations "$operations" --features "$features" --processes 4)
  if [ "$hosts" = 1 ]; then
    $first "$programs/model" run "$directory" "${options[@]}" >"$work/$where" 2>"$work/$where.err"
    return
  fi
  [ "$where" = plain ] || address=10.214.91.1
  rm -f "$work/port"
  $first "$programs/model" run "$directory" "${options[@]}" --remote 2 --listen "$address" \
    --port-file "$work/port" >"$work/$where" 2>"$work/$where.err" &
  local run=$!
  wait_for 20 test -e "$work/port" || { wait $run; return 1; }
  $second "$programs/model" join "$directory" "${options[@]}" --remote 2 \
    --connect "$address:$(cat "$work/port")" 2>>"$work/$where.err" &
  local join=$!
  wait $run && wait $join
}

as_it_is() { timeout "$limit" "$@"; }
check_model() {  # NAME SEED
  local name="$1: $operations steps of seed $2" place
  wanted "$name" || return 0
  for place in plain mount; do
    if [ $place = plain ]; then
      rm -rf "$plain" && mkdir -p "$plain/t"
      model plain as_it_is as_it_is "$plain/t" "$2"
    else
      on_first mkdir -p "$mount/t"
      model mount on_first on_second "$mount/t" "$2"
    fi || { not_ok "$name" "exit code $?, $place: $(cat "$work/$place.err")"; break; }
  done
  if cmp -s "$work/plain" "$work/mount"; then
    ok "$name"
  elif [ $place = mount ]; then
    not_ok "$name" "--only '$1:' --seed $2 --seeds 1 --operations $operations replays it; $(
      diff "$work/plain" "$work/mount" | grep -c '^<') lines differ, the first ones (< plain):
$(diff "$work/plain" "$work/mount" | grep '^[<>]' | head -n 6 | cut -c1-400)"
  fi
  rm -rf "$plain"
  on_first rm -rf "$mount"
}

check_stress() {  # NAME
  local name="$1: 8 processes change names in one directory for $mix_seconds s" pids text half=8
  wanted "$name" || return 0
  on_first mkdir -p "$mount"
  [ "$hosts" = 1 ] || half=4
  on_first "$programs/stress" mix "$mount" $half "$mix_seconds" 0 >"$work/stress" 2>&1 & pids=($!)
  if [ "$hosts" = 2 ]; then
    on_second "$programs/stress" mix "$mount" $half "$mix_seconds" 4 >"$work/stress.2" 2>&1 & pids+=($!)
  fi
  text=
  for pid in "${pids[@]}"; do wait "$pid" || text="exit code $?"; done
  [ -z "$text" ] && ok "$name" || not_ok "$name" "$text $(cat "$work"/stress*)"
  on_first rm -rf "$mount" 2>"$work/stress" && ok "$1: and rm -rf removes all" ||
    not_ok "$1: and rm -rf removes all" "$(cat "$work/stress")"
}

check_race() {  # NAME
  local name="$1: of 64 processes that make the same change one wins" half=64 begin pids text
  wanted "$name" || return 0
  on_first mkdir -p "$mount"
  [ "$hosts" = 1 ] || half=32
  begin=$((${EPOCHREALTIME/./} / 1000 + 4000))
  on_first "$programs/stress" race "$mount" $half "$rounds" $begin 0 >"$work/race" 2>&1 & pids=($!)
  if [ "$hosts" = 2 ]; then
    on_second "$programs/stress" race "$mount" $half "$rounds" $begin 32 >"$work/race.2" 2>&1 & pids+=($!)
  fi
  for pid in "${pids[@]}"; do wait "$pid" || not_ok "$name" "exit code $?"; done
  text=$(cat "$work"/race* | "$programs/stress" judge 64) && ok "$name" || not_ok "$name" "$text"
  rm -f "$work"/race*
  on_first rm -rf "$mount"
}

check_listing() {  # NAME
  local name="$1: a directory of $entries entries is listed beside changes" text
  wanted "$name" || return 0
  on_first mkdir -p "$mount"
  text=$(on_first "$programs/listing" "$mount" "$entries" 2 2>&1) && ok "$name" || not_ok "$name" "$text"
  on_first rm -rf "$mount"
}

# NAME WITH_OTHERS: all that is to run on the instance that is up.
checks() {
  local i
  mkdir -p "$plain/t"
  features=$("$programs/model" probe "$plain/t")
  # Other hosts see an access when the file is closed: doc/semantics.md.
  [ "$hosts" = 1 ] || features=${features/,atime/}
  for ((i = 0; i < seeds; i++)); do check_model "$1" $((seed + i)); done
  if [ "$2" = yes ]; then
    check_stress "$1"
    check_race "$1"
  fi
  [ "$1" != "4 ranks" ] || check_listing "$1"
  check_whole "$1: fsck"
}

# Directories of more than four entries are split: with three ranks, and over two hosts.
split=(--set metadata.directory_split_entries=4)
for n in 1 3 4; do
  fresh
  options=(--set storage.chunk_size=64k)
  [ $n = 3 ] && options+=("${split[@]}")
  start_mpirun "$n" "${options[@]}"
  if wait_ready "$mpirun"; then
    checks "$n rank$([ $n = 1 ] || echo s)" yes
    "$benchfs" stop --registry "$registry"
    end_of "$mpirun"
  else
    not_ok "$n ranks: ready" "$(tail -n 5 "$log")"
  fi
  end_leftovers
done

hosts=2
if make_hosts 2; then
  start_hosts 2 --set storage.chunk_size=64k "${split[@]}"
  if wait_ready "${rank_pid[0]}"; then
    checks "2 hosts" yes
    (on_host 2 "$benchfs" stop --registry "$registry")
    ends_of 10 "${rank_pid[@]}"
  else
    not_ok "2 hosts: ready" "$(host_logs)"
  fi
  end_leftovers
else
  not_ok "2 hosts: network namespaces" "ip netns failed"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
