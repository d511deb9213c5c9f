# One host: servers under mpirun, used by several processes, ended in each of the ways.

for n in 1 2 4; do
  fresh
  start_mpirun "$n"
  if ! wait_ready "$mpirun"; then
    not_ok "mpirun -n $n: ready" "$(tail -n 5 "$log")"
    continue
  fi
  ok "mpirun -n $n: ready"
  is "-n $n: node records" "$(ls "$registry"/node_*.addr | wc -l)" "$n"
  is "-n $n: all ranks are up" \
    "$("$benchfs" status --registry "$registry" | grep -cE '^ +[0-9]+ .* up ')" "$n"

  head -c 9M /dev/urandom >"$work/source"
  script 'mkdir -p /benchfs/d/e && cp "$1" /benchfs/d/e/f && ln -s e/f /benchfs/d/l &&
    seq 1000 >/benchfs/d/seq' bash "$work/source"
  is "-n $n: what one process wrote another reads" \
    "$(script 'cmp "$1" /benchfs/d/l && tail -n 1 /benchfs/d/seq && cd /benchfs/d && ls' \
      bash "$work/source" 2>&1 | xargs)" "1000 e l seq"
  is "-n $n: tar of a tree and back" "$(script 'cd /benchfs && cp -r /usr/include/linux . &&
    tar cf l.tar linux && rm -rf linux && tar xf l.tar && diff -r /usr/include/linux linux && echo same' \
    2>&1 | tail -n 3)" same
  is "-n $n: 4 processes append and none is lost" "$(script '
    for p in 1 2 3 4; do (for i in $(seq 100); do echo "line $p $i" >>/benchfs/log; done) & done
    wait; sort -u /benchfs/log | wc -l' 2>&1)" 400

  fsck_clean "-n $n: fsck"

  began=${EPOCHREALTIME/./}
  case $n in
    1)
      way="benchfs stop"
      "$benchfs" stop --registry "$registry"
      is "-n $n: $way" $? 0
      ;;
    2) way="SIGINT to mpirun" && kill -INT "$mpirun" ;;
    4) way="SIGTERM to one server" && kill -TERM "$(supervisors "$registry" | cut -d' ' -f3)" ;;
  esac
  end_of "$mpirun"
  if [ "$n" = 2 ]; then
    # mpirun's own answer to a signal is 1, whatever its ranks say.
    matches "-n $n: $way ends the ranks in good order" "$code $(cat "$log")" "^[01] " "info rank 0 .*stopping on CONT"
    is "-n $n: and none complains" "$(grep -E ' (warn|warning|error) rank ' "$log")" ""
  else
    is "-n $n: exit code of mpirun after $way" "$code" 0
  fi
  [ $sanitized = yes ] || at_most "-n $n: seconds until all have ended" "$(seconds_since "$began")" $([ "$n" = 2 ] && echo 2.1 || echo 1.5)
  is "-n $n: nothing is left" "$(content "$registry")$(content "$storage")" ""
done

# A second instance must not touch a live one.
fresh
start_mpirun 2
wait_ready "$mpirun" || not_ok "second instance: the first is ready" "$(tail -n 5 "$log")"
script 'echo kept >/benchfs/f'
other=$(mktemp -d "$data/other.XXXX")
text=$("$server" "$registry" --set "storage.data_dir=$other" 2>&1)
is "second instance in a live registry: exit code" $? 6
matches "second instance in a live registry: message" "$text" "Registry $registry belongs to a live" \
  "$(hostname)" "end that one, or use another"
elsewhere=$(mktemp -d "$work/registry.XXXX")
text=$("$server" "$elsewhere" --set "storage.data_dir=$storage" 2>&1)
is "second instance on live data: exit code" $? 7
matches "second instance on live data: message" "$text" "in use by a live instance: $storage"
is "the first instance goes on" "$(script 'cat /benchfs/f')" kept
"$benchfs" stop --registry "$registry"
end_of "$mpirun"
is "and ends well" "$code" 0

# What a kill left is wiped by the next start.
fresh
start_mpirun 2
wait_ready "$mpirun"
script 'head -c 1M /dev/zero >/benchfs/f'
servers="$(supervisors "$registry") $(workers "$registry")"
kill -KILL "$mpirun" $servers
for pid in $servers; do wait_end "$pid" 5; done
end_of "$mpirun"
is "kill -9 of everything leaves a registry" "$([ -e "$registry/node_0.addr" ] && echo yes)" yes
text=$("$benchfs" exec --registry "$registry" -- true 2>&1)
is "exec with dead servers: exit code" $? 125
matches "exec with dead servers: message" "$text" "have died" "start them again"
start_mpirun 2
wait_for 30 grep -q ready: "$log"
is "the next start wipes it" "$(script 'ls -A /benchfs | wc -l')" 0
"$benchfs" stop --registry "$registry"
end_of "$mpirun"
is "and leaves nothing" "$code $(content "$registry")$(content "$storage")" "0 "

# Servers do not outlive their mpirun.
fresh
start_mpirun 2
wait_ready "$mpirun"
servers="$(supervisors "$registry") $(workers "$registry")"
kill -KILL "$mpirun"
end_of "$mpirun"
left=
for pid in $servers; do wait_end "$pid" 5 || left="$left $pid"; done
is "kill -9 of mpirun ends the servers" "$left" ""
is "and nothing is left" "$(content "$registry")$(content "$storage")" ""
