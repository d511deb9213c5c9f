# 64 connected clients with open files, and nothing to do: no CPU, no wake-ups, little memory.

fresh
start_mpirun 2
wait_ready "$mpirun" || not_ok "idle: ready" "$(tail -n 5 "$log")"
"$benchfs" exec --registry "$registry" -- python3 "$here/idle_clients.py" "$work/idle" 64 >"$work/idle.out" 2>&1 &
clients=$!
note "$clients"
wait_for 30 test -e "$work/idle" || not_ok "idle: 64 clients are connected" "$(cat "$work/idle.out")"
servers="$(supervisors "$registry") $(workers "$registry")"
# Clients connect to the rank they have to do with; the host's leader they all need.
matches "64 clients are connected" "$("$benchfs" status --registry "$registry" --json)" '"clients": (6[4-9]|[7-9][0-9])'

ticks() { local pid sum=0; for pid in $servers; do
  set -- $(sed 's/^.*) //' "/proc/$pid/stat"); sum=$((sum + ${12} + ${13})); done; echo $sum; }
switches() { local pid; for pid in $servers; do cat "/proc/$pid/task/"*/status; done |
  awk '/_ctxt_switches/ { sum += $2 } END { print sum }'; }
sleep 0.5
ticks_before=$(ticks) switches_before=$(switches)
sleep 5
ticks=$(($(ticks) - ticks_before)) switches=$(($(switches) - switches_before))
at_most "CPU ticks of both servers in 5 s" "$ticks" 1
at_most "their context switches in 5 s" "$switches" $((5 * 2 * 2))
if [ $sanitized = no ]; then
  for pid in $servers; do
    at_most "resident KiB of process $pid" "$(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status")" \
      $((40 * 1024))
  done
fi
fsck_clean "fsck beside 64 clients with open files"
kill -TERM "$clients"
"$benchfs" stop --registry "$registry"
end_of "$mpirun"
is "idle servers end well" "$code" 0
