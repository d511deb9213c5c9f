# kill -9 of workers, one after the other, while programs change files: no call fails, nothing that was
# acknowledged is missing, nothing is done twice.

# SUPERVISOR PID...: their workers.
children_of() { local pid; for pid; do cat "/proc/$pid/task/"*/children 2>/dev/null; done | xargs; }
serves_again() { [ "$(grep -c 'it serves again after' "$log")" -ge "$1" ]; }

for ranks in 1 4; do
  fresh
  start_mpirun "$ranks" --set storage.chunk_size=64k
  wait_ready "$mpirun" || not_ok "restart, $ranks ranks: ready" "$(tail -n 5 "$log")"
  all=($(supervisors "$registry"))
  stop=$work/stop.$ranks notes=$work/notes.$ranks
  "$benchfs" exec --registry "$registry" -- python3 "$here/acknowledged.py" run /benchfs 3 "$stop" "$notes" \
    >"$work/acknowledged.$ranks" 2>&1 &
  program=$!
  note "$program"
  # Of one rank at most four: the fifth would be given up.
  kills=$((ranks == 1 ? 4 : 8))
  for ((i = 1; i <= kills; i++)); do
    sleep 0.$((3 + i % 5))
    kill -KILL $(children_of "${all[$((i % ranks))]}")
    wait_for 20 serves_again "$i" || break
  done
  is "restart, $ranks ranks: each killed worker serves again" "$(grep -c 'it serves again after' "$log")" "$kills"
  lives "$program" && ok "restart, $ranks ranks: the program goes on" ||
    not_ok "restart, $ranks ranks: the program goes on" "$(cat "$work/acknowledged.$ranks")"
  sleep 0.3
  touch "$stop"
  end_of "$program" 30
  is "restart, $ranks ranks: no call failed" "$code $(cat "$work/acknowledged.$ranks")" "0 "
  is "restart, $ranks ranks: what was acknowledged is there" \
    "$(on_mount python3 "$here/acknowledged.py" check /benchfs "$notes" 2>"$work/calls")" "all there"
  echo "  # $(cat "$work/calls"), $kills kills"
  matches "restart, $ranks ranks: fsck finds nothing" \
    "$(timeout 60 "$benchfs" fsck --registry "$registry" 2>&1; echo "code $?")" "^code 0"
  slowest=$(sed -n 's/.*it serves again after \([0-9.]*\) s.*/\1/p' "$log" | sort -n | tail -n 1)
  at_most "restart, $ranks ranks: the slowest restart, in seconds" "$slowest" \
    "$([ $sanitized = yes ] && echo 5 || echo 2)"
  "$benchfs" stop --registry "$registry"
  end_of "$mpirun"
  is "restart, $ranks ranks: exit code" "$code" 0
done
