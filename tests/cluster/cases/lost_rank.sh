# kill -9 of one of three servers: what does not need it goes on, the rest is EIO within the time-out.

[ ${#made_hosts[@]} -gt 0 ] || make_hosts 4 || { not_ok "network namespaces" "ip netns failed"; return; }
start_hosts 3 --set network.request_timeout_ms=600 --set network.heartbeat_ms=100
wait_ready "${rank_pid[0]}" || not_ok "three hosts: ready" "$(host_logs)"
host_script 1 'cd /benchfs && for i in $(seq 30); do mkdir d$i && echo $i >d$i/f; done; echo root >top'
is "30 directories are spread over the servers" "$?" 0

victim=${rank_pid[2]}
kill -KILL $victim $(cat /proc/$victim/task/*/children)
end_of "$victim"
report=$(host_script 1 '
  cd /benchfs
  good=0 lost=0 odd=0 slowest=0
  for i in $(seq 30); do
    begin=${EPOCHREALTIME/./}
    text=$(cat d$i/f 2>&1); code=$?
    took=$((${EPOCHREALTIME/./} - begin))
    [ $took -gt $slowest ] && slowest=$took
    if [ $code = 0 ] && [ "$text" = $i ]; then good=$((good + 1))
    elif [[ $text == *"Input/output error"* ]]; then lost=$((lost + 1))
    else odd=$((odd + 1)); echo "$text" >&2; fi
  done
  echo "$good $lost $odd $slowest"')
read -r good lost odd slowest <<<"$report"
matches "after kill -9 of rank 2 some files are there and some are EIO" "$report" "^[1-9][0-9]* [1-9][0-9]* 0 "
is "each of the 30 is one or the other" "$((good + lost))" 30
most=$([ $sanitized = yes ] && echo 6000000 || echo 2500000)
at_most "the slowest answer, in microseconds" "$slowest" "$most"
# A file's bytes may lie on the lost rank; names are where their directory is.
is "directories of the other servers take new files" "$(host_script 2 'cd /benchfs && there=0 made=0
  for i in $(seq 30); do
    stat d$i >/dev/null 2>&1 && there=$((there + 1))
    (: >d$i/g) 2>/dev/null && [ -e d$i/g ] && made=$((made + 1))
  done; [ $there -gt 0 ] && [ $there -lt 30 ] && [ $made = $there ] && echo yes || echo $there $made')" yes
matches "status tells which one is gone" "$(host_script 1 '"$1" status --registry "$2"; echo "code $?"' \
  "$benchfs" "$registry" 2>&1)" "^ +0 +host1 +up" "^ +1 +host2 +up" "^ +2 +host3 +(not answering|dead)" "^code 1"
matches "a line in the log names rank and host" "$(cat "$registry.0" "$registry.1")" "rank 2.*host3|host3.*rank 2"
kill -TERM "${rank_pid[0]}"
ends_of 10 "${rank_pid[0]}" "${rank_pid[1]}"
is "the others end well" "$codes" "0 0"
