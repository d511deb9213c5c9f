# Two hosts over UCX/TCP: locks of one file taken on both.

# PID: sleeps in fcntl (x86-64: 72, AArch64: 25), as who waits for a lock does.
in_fcntl() { case $(cut -d' ' -f1 "/proc/$1/syscall" 2>/dev/null) in 72 | 25) ;; *) return 1 ;; esac }
lock_script() {  # I BY COMMAND [ARGUMENT...]
  local i=$1
  shift
  host_script "$i" 'exec python3 "$@"' "$here/locks.py" "$@"
}

[ ${#made_hosts[@]} -gt 0 ] || make_hosts 2 || { not_ok "network namespaces" "ip netns failed"; return; }
start_hosts 2 --set network.request_timeout_ms=2000
wait_ready "${rank_pid[0]}" || { not_ok "locks: ready" "$(host_logs)"; return; }
for rank in 0 1; do
  at[rank]=$(lock_script 1 flock directory $rank)
  matches "locks: a directory at home on rank $rank" "${at[rank]}" "^/benchfs/at$rank"
done

for by in flock fcntl; do
  for rank in 0 1; do
    pids=()
    for i in 1 2 1 2; do
      lock_script $i $by count "${at[rank]}/$by" 50 &
      pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || not_ok "$by: a counting process" "exit code $?"; done
    is "$by: a counter at rank $rank, counted up by four processes of two hosts" \
      "$(host_script 2 'cat "$1"' "${at[rank]}/$by")" 200
  done

  # The holder is killed, the waiter gets it; it is killed, and so is one that waits for it.
  file=${at[1]}/deaths.$by mark=$work/mark.$by
  lock_script 2 $by hold "$file" "$mark.1" & first=$!
  wait_for 20 test -e "$mark.1"
  is "$by: taken on host 2" "$(lock_script 1 $by try "$file")" taken
  lock_script 1 $by hold "$file" "$mark.2" & second=$!
  wait_for 20 test -e "$mark.2.pid" && wait_for 20 in_fcntl "$(cat "$mark.2.pid")"
  is "$by: one of host 1 waits" $? 0
  lock_script 2 $by hold "$file" "$mark.3" & third=$!
  wait_for 20 test -e "$mark.3.pid" && wait_for 20 in_fcntl "$(cat "$mark.3.pid")"
  is "$by: and one of host 2" $? 0
  kill -KILL "$(cat "$mark.1.pid")"
  wait_for 20 test -e "$mark.2"
  is "$by: the holder is killed, the first that waits has it" $? 0
  is "$by: and not the second" "$(test -e "$mark.3" || echo waits)" waits
  kill -KILL "$(cat "$mark.3.pid")"
  wait_end "$third" 10
  kill -KILL "$(cat "$mark.2.pid")"
  wait_end "$second" 10
  is "$by: all were killed: nobody has it, on host 1" "$(lock_script 1 $by try "$file")" free
  is "$by: nor on host 2" "$(lock_script 2 $by try "$file")" free
  wait "$first" "$second" "$third" 2>/dev/null
done

lock_script 1 fcntl cross "${at[0]}/a" "${at[1]}/b" "$work/mark.a" "$work/mark.b" >"$work/cross.1" & first=$!
lock_script 2 fcntl cross "${at[1]}/b" "${at[0]}/a" "$work/mark.b" "$work/mark.a" >"$work/cross.2" & second=$!
ends_of 20 "$first" "$second"
is "a circle of two hosts and two homes: one is told" "$(sort "$work"/cross.[12] | xargs)" "EDEADLK granted"

# The home goes: who waits for a lock of a file there learns it.
lock_script 1 flock hold "${at[1]}/last" "$work/mark.last" & first=$!
wait_for 20 test -e "$work/mark.last"
lock_script 1 flock hold "${at[1]}/last" "$work/mark.gone" & second=$!
wait_for 20 test -e "$work/mark.gone.pid" && wait_for 20 in_fcntl "$(cat "$work/mark.gone.pid")"
is "one waits for a lock at rank 1" $? 0
kill -KILL "${rank_pid[1]}" $(cat "/proc/${rank_pid[1]}/task/"*/children)
wait_for 20 test -e "$work/mark.gone"
is "rank 1 is lost: the wait ends" "$(cat "$work/mark.gone" 2>&1)" EIO
kill -KILL "$(cat "$work/mark.last.pid")"
wait "$first" "$second" 2>/dev/null
"$benchfs" stop --registry "$registry" >/dev/null 2>&1
