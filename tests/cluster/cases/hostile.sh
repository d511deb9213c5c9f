# Messages no client of ours would send, and a client of another user: their connection ends, the
# servers do not.

fresh
start_mpirun 2
wait_ready "$mpirun" || not_ok "hostile: ready" "$(tail -n 5 "$log")"
script 'echo kept >/benchfs/f'
before="$(supervisors "$registry") $(workers "$registry")"
for attack in silence garbage greeting attaching ring; do
  text=$(timeout 60 "$build/tests/hostile_client" "$storage" "$attack" 2>&1)
  is "hostile client, $attack" "$? $text" "0 "
done
# The directories let nobody else in; if they did, the servers would ask who it is.
chmod 755 "$data" "$storage" "$storage"/rank_*
chmod 644 "$storage"/host_*
chmod 666 "$storage"/rank_*/socket
text=$(timeout 30 setpriv --reuid=65534 --regid=65534 --clear-groups \
  "$build/tests/hostile_client" "$storage" stranger 2>&1)
is "a client of another user is refused by the server" "$? $text" "0 "
matches "and the log names him" "$(cat "$log")" "refused a client of user 65534"
is "the servers are the same processes" "$(supervisors "$registry") $(workers "$registry")" "$before"
is "and serve" "$(script 'cat /benchfs/f; echo more >>/benchfs/f; cp -r /usr/include/linux/can /benchfs &&
  diff -r /usr/include/linux/can /benchfs/can && echo same' 2>&1 | xargs)" "kept same"
is "all ranks are up" "$("$benchfs" status --registry "$registry" | grep -cE '^ +[0-9]+ .* up ')" 2
fsck_clean "fsck after hostile clients"
"$benchfs" stop --registry "$registry"
end_of "$mpirun"
is "and end well" "$code" 0
