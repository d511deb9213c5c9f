# Every server process stopped: a program with open files goes on with the chunks it knows.

fresh
start_mpirun 2
wait_ready "$mpirun" || not_ok "suspended: ready" "$(tail -n 5 "$log")"
"$benchfs" exec --registry "$registry" -- python3 "$here/suspended.py" "$work" >"$work/suspended.out" 2>&1 &
program=$!
note "$program"
wait_for 20 test -e "$work/opened" || not_ok "suspended: the program has opened its files" "$(cat "$work/suspended.out")"
servers="$(supervisors "$registry") $(workers "$registry")"
kill -STOP $servers
touch "$work/go"
wait_for 10 test -e "$work/worked"
is "with all servers stopped it reads and writes on" $? 0
is "the servers were stopped all the while" \
  "$(for pid in $servers; do state_of "$pid"; done | sort -u | xargs)" T
text=$(timeout 20 "$benchfs" status --registry "$registry" 2>&1)
is "status of stopped servers: exit code" $? 1
is "status of stopped servers: no rank is up" "$(grep -c ' not answering' <<<"$text")" 2
kill -CONT $servers
touch "$work/resumed"
end_of "$program" 20
[ "$code" = 0 ] && ok "after SIGCONT it ends well" ||
  not_ok "after SIGCONT it ends well" "code $code, $(cat "$work/suspended.out")"
is "and others see what it wrote" "$(on_mount python3 "$here/suspended.py" "$work" check 2>&1)" "consistent"
fsck_clean "and fsck finds them sound"
"$benchfs" stop --registry "$registry"
end_of "$mpirun"
is "and the servers end well" "$code" 0
