# Two and four hosts over UCX/TCP: what one does all others see.

[ ${#made_hosts[@]} -gt 0 ] || make_hosts 4 || { not_ok "network namespaces" "ip netns failed"; return; }
mkdir -p "$work/sources"
for size in 0 1 4096 5242880 41943040; do head -c "$size" /dev/urandom >"$work/sources/$size"; done

for n in 2 4; do
  start_hosts "$n"
  if ! wait_ready "${rank_pid[0]}"; then
    not_ok "$n hosts: ready" "$(host_logs)"
    end_leftovers
    continue
  fi
  ok "$n hosts: ready"
  table=$(on_host 1 "$benchfs" status --registry "$registry" 2>&1)
  for ((i = 1; i <= n; i++)); do
    matches "$n hosts: status shows host$i" "$table" "^ +$((i - 1)) +host$i +up "
  done

  host_script 1 'mkdir /benchfs/d && cp "$1"/* /benchfs/d' "$work/sources"
  is "$n hosts: files of host 1" "$?" 0
  for ((i = 2; i <= n; i++)); do
    is "$n hosts: host $i reads them" "$(host_script "$i" '
      cd /benchfs/d && ls | sort -n | xargs
      for f in *; do cmp "$f" "$1/$f" || exit; done; echo equal' "$work/sources" 2>&1 | xargs)" \
      "0 1 4096 5242880 41943040 equal"
  done

  # Chunks lie on all hosts; each host writes every other MiB.
  pids=()
  for ((i = 1; i <= n; i++)); do
    host_script "$i" 'for m in $(seq "$1" "$2" 39); do
      dd if="$3" of=/benchfs/shared bs=1M skip=$m seek=$m count=1 conv=notrunc status=none || exit 1; done' \
      $((i - 1)) "$n" "$work/sources/41943040" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || not_ok "$n hosts: a writer of the shared file" "exit code $?"; done
  is "$n hosts: one file written by all" \
    "$(host_script "$n" 'cmp "$1" /benchfs/shared && echo equal' "$work/sources/41943040" 2>&1)" equal

  pids=()
  for ((i = 1; i <= n; i++)); do
    host_script "$i" 'for k in $(seq 100); do echo "line of $1 number $k" >>/benchfs/log; done' "$i" &
    pids+=($!)
  done
  wait "${pids[@]}"
  is "$n hosts: appends of all, none lost or torn" "$(host_script 2 '
    sort -u /benchfs/log | grep -cE "^line of [0-9] number [0-9]+$"; wc -l </benchfs/log' | xargs)" \
    "$((n * 100)) $((n * 100))"

  is "$n hosts: truncate on 2 is seen on 1" "$(host_script 2 'truncate -s 3000 /benchfs/d/5242880' &&
    host_script 1 'stat -c %s /benchfs/d/5242880; cmp -n 3000 /benchfs/d/5242880 "$1" && echo equal' \
      "$work/sources/5242880" 2>&1 | xargs)" "3000 equal"
  is "$n hosts: what is beyond reads as zeros" "$(host_script 1 'truncate -s 9000000 /benchfs/d/5242880' &&
    host_script 2 'tail -c +3001 /benchfs/d/5242880 | cmp -n 8997000 - /dev/zero && echo zeros' 2>&1)" zeros
  is "$n hosts: rename on 1 is seen on $n" "$(host_script 1 'mv /benchfs/d/4096 /benchfs/renamed' &&
    host_script "$n" 'cmp /benchfs/renamed "$1" && ls /benchfs/d | sort -n | xargs' \
      "$work/sources/4096" 2>&1)" "0 1 5242880 41943040"
  for ((i = 1; i <= n; i++)); do
    host_script "$i" 'mkdir -p "/benchfs/tree/$1/a/b" && echo "$1" >"/benchfs/tree/$1/a/b/f" &&
      for k in $(seq 20); do : >"/benchfs/tree/$1/e$k"; done' "$i" || not_ok "$n hosts: mkdir on $i" "$?"
  done
  lists=$(for ((i = 1; i <= n; i++)); do host_script "$i" 'cd /benchfs && ls -lRU . | md5sum'; done)
  is "$n hosts: ls is equal on all" "$(sort -u <<<"$lists" | wc -l)" 1
  is "$n hosts: and complete" "$(host_script 2 'find /benchfs/tree | wc -l')" "$((1 + n * 24))"
  is "$n hosts: rm -r on 2 of what all made" \
    "$(host_script 2 'rm -r /benchfs/tree && ls /benchfs | xargs' 2>&1)" "d log renamed shared"
  is "$n hosts: rmdir of a full directory fails everywhere" \
    "$(host_script "$n" 'rmdir /benchfs/d 2>&1 | grep -c "not empty"')" 1

  fsck_clean "$n hosts: fsck" on_host_too 2

  began=${EPOCHREALTIME/./}
  if [ "$n" = 2 ]; then
    (on_host 2 "$benchfs" stop --registry "$registry")
    is "$n hosts: stop on host 2" $? 0
  else
    kill -TERM "${rank_pid[2]}"
  fi
  ends_of 10 "${rank_pid[@]}"
  [ $sanitized = yes ] || at_most "$n hosts: seconds until all have ended" "$(seconds_since "$began")" 1.5
  is "$n hosts: all exit codes" "$codes" "$(printf '0 %.0s' $(seq "$n") | sed 's/ $//')"
  is "$n hosts: nothing is left" "$(content "$registry")$(find "$storage" -mindepth 2 | head)" ""
done

# A rank that does not come is named by all others, with its host.
fresh
step=$((step + 1)) rank_pid=()
start_rank 1 3 --set node.start_timeout_s=2
start_rank 3 3 --set node.start_timeout_s=2
ends_of 10 "${rank_pid[@]}"
is "rank 1 of 3 is missing: exit codes" "$codes" "5 5"
matches "and the line names it" "$(cat "$registry.0")" "Timeout waiting for nodes: rank 1 \(host host2\)"
is "and no data is left" "$(find "$storage" -mindepth 2 | head)" ""

# Settings that must agree.
fresh
step=$((step + 1)) rank_pid=()
start_rank 1 2 --set storage.chunk_size=1m --set node.start_timeout_s=10
start_rank 2 2 --set node.start_timeout_s=10
ends_of 15 "${rank_pid[@]}"
matches "ranks with different chunk sizes do not start" "$codes" "^[1-9][0-9]* [1-9][0-9]*$"
matches "and the line says both values" "$(cat "$registry.0" "$registry.1")" "chunk_size=1048576" "chunk_size=4194304"
