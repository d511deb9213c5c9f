# Two hosts: what one does to small files the other sees at once, wherever their bytes lie.

[ ${#made_hosts[@]} -gt 0 ] || make_hosts 4 || { not_ok "network namespaces" "ip netns failed"; return; }
start_hosts 2
if wait_ready "${rank_pid[0]}"; then
  mkfifo "$work/to_looker" "$work/to_changer"
  for who in "1 2" "2 1"; do
    read -r changer looker <<<"$who"
    host_script "$changer" 'mkdir "/benchfs/$1"' "by$changer"
    host_script "$looker" 'exec "$1" look "/benchfs/$2" "$3" "$4" 1600' "$build/tests/two_hosts" \
      "by$changer" "$work/to_looker" "$work/to_changer" >"$work/looked" 2>&1 &
    looking=$!
    host_script "$changer" 'exec "$1" change "/benchfs/$2" "$3" "$4" 1600' "$build/tests/two_hosts" \
      "by$changer" "$work/to_looker" "$work/to_changer" >"$work/changed" 2>&1
    is "changes on host $changer: exit code" "$?" 0
    wait "$looking"
    is "seen on host $looker: exit code" "$?" 0
    is "seen on host $looker" "$(tail -n 5 "$work/looked")" "1600 rounds, 0 wrong"
  done
  rm "$work/to_looker" "$work/to_changer"
  # Readers and writers on both hosts, beside files at home on either.
  for who in 1 2; do
    replaced() { host_script "$1" 'exec "$1" "/benchfs/$2" "$3" 5' "$build/tests/replaced_files" "replaced$who" "$1"; }
    host_script "$who" 'mkdir "/benchfs/$1"' "replaced$who"
    replaced 1 >"$work/replaced" 2>&1 &
    replacing=$!
    is "files of host $who replaced under readers, on host 2" "$(replaced 2 2>&1 | grep -v "files read")" ""
    wait "$replacing"
    is "files of host $who replaced under readers, on host 1" "$?: $(grep -v "files read" "$work/replaced")" "0: "
  done
else
  not_ok "2 hosts: ready" "$(host_logs)"
fi
end_leftovers
