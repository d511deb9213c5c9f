#!/bin/bash
# run.sh BUILD_DIR [FILTER]: real programs on BenchFS. Each case runs twice, in a plain directory and
# in the mount, and what it prints, its exit code and the tree it leaves must be equal. FILTER is an
# extended regular expression for the names of the cases.
#
# BENCHFS_TEST_RANKS (default "1 4"): sizes of the instances to run on.
# BENCHFS_TEST_PRELOAD: libraries to preload before ours (libasan in a sanitized build).
set -uo pipefail

[ $# -ge 1 ] || { echo "usage: run.sh BUILD_DIR [FILTER]" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd) || exit 2
filter=${2:-}
library=$build/lib/libbenchfs_preload.so
server=$build/bin/benchfsd_mpi
programs=$build/tests/preload
mount=/benchfs
case_seconds=120
start_seconds=30
end_seconds=10

passed=0 failed=0 server_pid=
work=$(mktemp -d "${TMPDIR:-/tmp}/benchfs-preload.XXXXXX")
cleanup() {
  stop_servers
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

report() {  # <ok or not> <name> [file to show]
  if [ "$1" = 0 ]; then
    passed=$((passed + 1))
    echo "ok $2"
  else
    failed=$((failed + 1))
    echo "not ok $2"
    [ $# -lt 3 ] || sed 's/^/    /' "$3" | head -n 25
  fi
}

wanted() { [ -z "$filter" ] || [[ $1 =~ $filter ]]; }

# --- servers -------------------------------------------------------------------------------------

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_btl=self,vader OMPI_MCA_pml=ob1
export OMPI_MCA_plm=isolated OMPI_MCA_oob_tcp_if_include=lo

start_servers() {  # <ranks>
  ranks=$1
  registry=$work/registry.$1 data=$work/data.$1
  mkdir -m 700 "$registry" "$data"
  BENCHFS_STORAGE_DATA_DIR=$data mpirun --oversubscribe -n "$1" "$server" "$registry" \
    >"$work/servers.$1" 2>&1 </dev/null &
  server_pid=$!
  local deadline=$((SECONDS + start_seconds))
  until [ -e "$registry/ready" ]; do
    if ! kill -0 "$server_pid" 2>/dev/null || [ $SECONDS -ge $deadline ]; then
      echo "servers did not start:" >&2
      cat "$work/servers.$1" >&2
      return 1
    fi
    sleep 0.02
  done
}

stop_servers() {
  [ -n "$server_pid" ] || return 0
  kill -TERM "$server_pid" 2>/dev/null
  local deadline=$((SECONDS + end_seconds))
  while kill -0 "$server_pid" 2>/dev/null && [ $SECONDS -lt $deadline ]; do sleep 0.05; done
  kill -KILL "$server_pid" 2>/dev/null
  wait "$server_pid" 2>/dev/null
  server_pid=
}

in_time() { timeout -k 5 $case_seconds "$@"; }
preload=${BENCHFS_TEST_PRELOAD:+$BENCHFS_TEST_PRELOAD:}$library
on_benchfs() {
  BENCHFS_MOUNT=$mount BENCHFS_LOCAL=$data LD_PRELOAD=$preload in_time "$@"
}

# --- cases ---------------------------------------------------------------------------------------

# What a case leaves: kind, mode, links, size of files, targets, content.
tree='
find . -mindepth 1 \( -type d -printf "%y %m %p\n" \) -o \( -type l -printf "%y %p -> %l\n" \) \
  -o -printf "%y %m %n %s %p\n" | LC_ALL=C sort
find . -type f -print0 | LC_ALL=C sort -z | xargs -0r md5sum'

run_case() {  # <where> <directory> <script>; leaves $work/$where.{out,err,tree}
  local where=$1 directory=$2 script=$3 runner=(in_time)
  [ "$where" = plain ] || runner=(on_benchfs)
  (
    export P=$programs W=$work/scratch.$where LC_ALL=C TZ=UTC
    "${runner[@]}" mkdir "$directory" && mkdir -p "$W" &&
      "${runner[@]}" bash -c 'cd "$1" && exec bash -c "$2" case' - "$directory" "$script"
    echo "exit code $?"
  ) >"$work/$where.out" 2>"$work/$where.err" </dev/null
  "${runner[@]}" bash -c 'cd "$1" && eval "$2"' - "$directory" "$tree" >"$work/$where.tree" 2>&1
  "${runner[@]}" rm -rf "$directory" 2>"$work/$where.rm"
  cat "$work/$where.rm" >>"$work/$where.tree"
  sed -i "s|$directory|DIR|g; s|$work/scratch.$where|SCRATCH|g; s|case: line [0-9]*: *[0-9]* |case: |" \
    "$work/$where".{out,err,tree}
  rm -rf "$work/scratch.$where"
}

# check NAME: the script on standard input, with $P the directory of test programs and $W a plain
# scratch directory. Standard error counts too.
check() {
  local name="$1, $ranks ranks" script
  script=$(cat)
  wanted "$name" || return 0
  run_case plain "$work/case" "$script"
  run_case mount "$mount/case" "$script"
  local what differences=$work/differences
  : >"$differences"
  for what in out err tree; do
    diff -U1 --label "plain $what" --label "mount $what" "$work/plain.$what" "$work/mount.$what" \
      >>"$differences"
  done
  [ ! -s "$differences" ]
  report $? "$name" "$differences"
}

# expect NAME: as check, but in the mount only, and against the text in $expected.
expect() {
  local name="$1, $ranks ranks" script
  script=$(cat)
  wanted "$name" || return 0
  run_case mount "$mount/case" "$script"
  diff -U1 --label expected --label mount <(echo "$expected") <(cat "$work"/mount.{out,err}) \
    >"$work/differences"
  report $? "$name" "$work/differences"
}

# What all the cases left behind in the servers.
check_servers() {
  local name="fsck, $ranks ranks"
  wanted "$name" || return 0
  in_time "$build/bin/benchfs" fsck --registry "$registry" >"$work/differences" 2>&1
  report $? "$name" "$work/differences"
}

# --- the library as a file -----------------------------------------------------------------------

check_library() {
  local definitions=$here/../../client-preload/shim/symbols.def
  if wanted "every symbol of the table is exported, and no other"; then
    diff <(sed -nE 's/^SYMBOL\((\w+), (serve|refuse)\).*/\1/p' "$definitions" | LC_ALL=C sort) \
      <(nm -D --defined-only "$library" | awk '{print $3}' | LC_ALL=C sort) >"$work/differences"
    report $? "every symbol of the table is exported, and no other" "$work/differences"
  fi
  if wanted "the library needs libc alone" && [ -z "${BENCHFS_TEST_PRELOAD:-}" ]; then
    diff <(echo libc.so.6) <(objdump -p "$library" | awk '$1 == "NEEDED" && $2 !~ /^ld-linux/ {print $2}') \
      >"$work/differences"
    report $? "the library needs libc alone" "$work/differences"
  fi
  if wanted "benchfs-preload(7) has the table"; then
    diff <("$here/symbol_table.sh") \
      <(sed -n '/Made by tests.preload/,/End of the table/p' "$here/../../man/benchfs-preload.7") \
      >"$work/differences"
    report $? "benchfs-preload(7) has the table" "$work/differences"
  fi
  if wanted "without BENCHFS_LOCAL the library does nothing"; then
    [ "$(BENCHFS_LOCAL='' LD_PRELOAD=$preload bash -c 'cd /; ls -d /benchfs-none 2>&1; pwd' 2>&1)" = \
      "$(bash -c 'cd /; ls -d /benchfs-none 2>&1; pwd' 2>&1)" ]
    report $? "without BENCHFS_LOCAL the library does nothing"
  fi
}

for part in "$library" "$server" "$programs/streams"; do
  [ -e "$part" ] || { echo "run.sh: $part is missing: build it first" >&2; exit 2; }
done
check_library
for size in ${BENCHFS_TEST_RANKS:-1 4}; do
  if start_servers "$size"; then
    . "$here/cases.sh"
    check_servers
    stop_servers
  else
    stop_servers
    report 1 "servers start, $size ranks"
  fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
