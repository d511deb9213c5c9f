# Sourced by run.sh: checks, servers, and the end of all that was started.

benchfs=$build/bin/benchfs
server=$build/bin/benchfsd_mpi
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
unset LD_PRELOAD BENCHFS_MOUNT BENCHFS_LOCAL BENCHFS_REGISTRY BENCHFS_LOG
# A sanitized program is slower, and its shadow memory counts as resident.
sanitized=no
grep -q '^BENCHFS_SANITIZE:[^=]*=.' "$build/CMakeCache.txt" 2>/dev/null && sanitized=yes

work=$(mktemp -d /tmp/benchfs-cluster.XXXXXX) || exit 2
data=$(mktemp -d /dev/shm/benchfs-cluster.XXXXXX) || exit 2
chmod 755 "$work"
started=()  # "pid start_time" of every process to be ended

passed=0 failed=0
ok() { passed=$((passed + 1)); echo "ok $((passed + failed)) - $1"; }
not_ok() {  # NAME DETAIL
  failed=$((failed + 1))
  echo "not ok $((passed + failed)) - $1"
  printf '%s\n' "$2" | head -n 30 | sed 's/^/  # /'
}
is() {  # NAME GOT WANTED
  if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "got [$2]
wanted [$3]"; fi
}
at_most() {  # NAME GOT MOST: numbers
  if [ "$(bc <<<"$2 <= $3")" = 1 ]; then ok "$1 ($2)"; else not_ok "$1" "got $2, at most $3"; fi
}
matches() {  # NAME TEXT EXTENDED_REGEX...: every one of them
  local name=$1 text=$2 pattern
  shift 2
  for pattern; do
    grep -qE -- "$pattern" <<<"$text" || { not_ok "$name" "no match for: $pattern
$text"; return; }
  done
  ok "$name"
}

# A pid may be given away again; a pid and its start time may not.
start_time() { sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
state_of() { sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -c1; }
lives() { case $(state_of "$1") in '' | Z | X) return 1 ;; esac; }
note() { started+=("$1 $(start_time "$1")"); }

# PID SECONDS: until the process has ended.
wait_end() {
  local deadline=$((${EPOCHREALTIME/./} + $2 * 1000000))
  while lives "$1"; do
    [ "${EPOCHREALTIME/./}" -lt "$deadline" ] || return 1
    sleep 0.02
  done
}
# SECONDS COMMAND...: until it succeeds.
wait_for() {
  local deadline=$((${EPOCHREALTIME/./} + $1 * 1000000))
  shift
  until "$@"; do
    [ "${EPOCHREALTIME/./}" -lt "$deadline" ] || return 1
    sleep 0.02
  done
}
seconds_since() { bc <<<"scale=3; (${EPOCHREALTIME/./} - $1) / 1000000"; }
# PID [SECONDS]: sets $code to the exit code of a child that must end soon. Not in a subshell: only
# the parent learns it.
end_of() {
  code="still there"
  wait_end "$1" "${2:-10}" || return
  wait "$1" 2>/dev/null
  code=$?
}
# SECONDS PID...: sets $codes to theirs.
ends_of() {
  local seconds=$1 pid
  shift
  codes=
  for pid; do
    end_of "$pid" "$seconds"
    codes="$codes${codes:+ }$code"
  done
}

# What a directory holds, by name; empty when all is gone.
content() { ls -A "$1" 2>/dev/null | paste -sd' '; }
# REGISTRY: pids of supervisors, in the order of ranks.
supervisors() {
  "$benchfs" status --registry "$1" --json 2>/dev/null |
    python3 -c 'import json, sys; print(*(r["pid"] for r in json.load(sys.stdin)["ranks"] if "pid" in r))'
}
workers() {  # REGISTRY
  local pid
  for pid in $(supervisors "$1"); do cat "/proc/$pid/task/"*/children; done | xargs
}

# Fresh directories for one instance.
registry= storage=
fresh() {
  registry=$(mktemp -d "$work/registry.XXXX")
  storage=$(mktemp -d "$data/data.XXXX")
}

# N [ARGUMENT...]: servers under mpirun in $registry, $storage; sets $mpirun, their output is $log.
start_mpirun() {
  local n=$1
  shift
  log=$registry.log
  setsid mpirun --oversubscribe --bind-to none -n "$n" "$server" "$registry" \
    --set "storage.data_dir=$storage" "$@" </dev/null >"$log" 2>&1 &
  mpirun=$!
  note "$mpirun"
}
ready_or_ended() { [ -e "$registry/ready" ] || ! lives "$1"; }
wait_ready() {  # PID of the launcher or of a rank
  wait_for 30 ready_or_ended "$1" && [ -e "$registry/ready" ]
}
on_mount() { timeout 60 "$benchfs" exec --registry "$registry" -- "$@"; }  # COMMAND...
script() { on_mount bash -c "$@"; }                                        # TEXT [NAME ARGUMENT...]

# NAME: what the servers of $registry hold fits together. As COMMAND... runs it, on its host.
fsck_clean() {
  local name=$1 text
  shift
  if text=$("$@" timeout 60 "$benchfs" fsck --registry "$registry" 2>&1); then
    ok "$name"
  else
    not_ok "$name" "code $?
$text"
  fi
}

end_leftovers() {
  local entry pid begun
  for entry in "${started[@]}"; do
    read -r pid begun <<<"$entry"
    [ -n "$begun" ] && [ "$(start_time "$pid")" = "$begun" ] && lives "$pid" || continue
    kill -CONT "$pid" 2>/dev/null
    kill -TERM "$pid" 2>/dev/null
    wait_end "$pid" 3 || kill -KILL "$pid" 2>/dev/null
  done
  started=()
}

finish() {
  end_leftovers
  remove_hosts
  rm -rf "$work" "$data"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
