# Leases: what a host has read of another's it reads again without asking, and never reads it stale.
# BENCHFS_TEST_ROUNDS: rounds of each kind of change (10000 for a thorough run).

rounds=${BENCHFS_TEST_ROUNDS:-150}
[ ${#made_hosts[@]} -gt 0 ] || make_hosts 4 || { not_ok "network namespaces" "ip netns failed"; return; }
start_hosts 3
wait_ready "${rank_pid[0]}" || not_ok "leases: ready" "$(host_logs)"

# I TEXT [ARGUMENT...]: as host_script, with more time.
slow_script() {
  local i=$1 text=$2
  shift 2
  (on_host "$i" timeout $((60 + rounds / 10)) "$benchfs" exec --registry "$registry" -- bash -c "$text" bash "$@")
}
# RANK: a directory whose entries are there.
directory_at() {
  host_script 1 'for k in $(seq 100); do mkdir -p "/benchfs/at$1-$k"
    [ $(($(stat -c %i "/benchfs/at$1-$k") >> 43)) = "$1" ] && echo "/benchfs/at$1-$k" && exit
    rmdir "/benchfs/at$1-$k"; done' "$1"
}
# CHANGING LOOKING DIRECTORY
litmus() {
  local pipes=$work/pipes.$1.$2.${3##*/} changes looks
  mkdir -p "$pipes" && mkfifo "$pipes/there" "$pipes/back"
  slow_script "$1" 'exec python3 "$@"' "$here/lease_litmus.py" change "$pipes/there" "$pipes/back" "$3" "$rounds" \
    >"$pipes/changes" 2>&1 &
  changes=$!
  slow_script "$2" 'exec python3 "$@"' "$here/lease_litmus.py" look "$pipes/back" "$pipes/there" "$3" "$rounds" \
    >"$pipes/looks" 2>&1
  looks=$?
  wait "$changes"
  is "$3: host $2 sees what host $1 changed, $rounds rounds" "$looks: $(head -n 3 "$pipes/looks")" \
    "0: $rounds rounds of each kind"
}
near=$(directory_at 0) far=$(directory_at 1) third=$(directory_at 2)
matches "directories of each rank" "$near $far $third" "^/benchfs/at0.* /benchfs/at1.* /benchfs/at2"
litmus 1 2 "$near"
host_script 1 'rm -r "$1" && mkdir "$1"' "$near"
litmus 2 1 "$far"
litmus 1 2 "$third"

# Requests of clients of host 2 to servers elsewhere, so far.
relayed() {
  (on_host 2 "$benchfs" status --registry "$registry" --json) |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["ranks"][1]["relayed"])'
}
host_script 1 'mkdir "$1/set"; for k in $(seq 20); do echo "$k" >"$1/set/$k"; done' "$near"
host_script 2 'cd "$1/set" && for n in 1 2 3; do stat * missing >/dev/null 2>&1; done' "$near"
before=$(relayed)
host_script 2 'cd "$1" && python3 -c "
import os
for _ in range(100):
    for k in range(1, 21):
        os.stat(f\"set/{k}\"); os.access(f\"set/{k}\", os.R_OK)
    assert not os.path.exists(\"set/missing\")
"' "$near"
at_most "requests to other hosts for 4100 look-ups of what is leased" "$(($(relayed) - before))" 60

# A package of 1000 modules, made on host 1 and imported on host 2 by one process, then by 7 at once,
# which open and read what the first one has opened.
host_script 1 'mkdir "$1/empty" "$1/full" && cd "$1" && for m in $(seq 1000); do
  : >"empty/m$m.py"; echo "value = $m" >"full/m$m.py"; done' "$near"
is "a package of 1000 modules" $? 0
imports() {  # HOW_MANY PACKAGE
  slow_script 2 'cd "$1" && for p in $(seq "$2"); do
    PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$1/$3" python3 -c "
import importlib
for m in range(1, 1001):
    importlib.import_module(f\"m{m}\")
" || exit 1 & pids="$pids $!"; done; for p in $pids; do wait $p || exit 1; done' "$near" "$1" "$2"
}
for package in empty full; do
  before=$(relayed)
  imports 1 "$package"
  is "import of $package modules" $? 0
  before=$(relayed)
  imports 7 "$package"
  is "import of $package modules by 7 processes" $? 0
  at_most "requests to other hosts of each further process" "$((($(relayed) - before) / 7))" 60
done

for i in 0 1 2; do kill -TERM "${rank_pid[i]}"; done
ends_of 10 "${rank_pid[@]}"
