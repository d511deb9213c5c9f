# A directory that is split over four ranks while 8 processes work in it: nothing is missed, nothing
# happens twice; also when workers are killed meanwhile, and when the processes are on two hosts.

split_names=100
split_left=$((split_names + 8 * split_names * 3 / 4))
children_of() { local pid; for pid; do cat "/proc/$pid/task/"*/children 2>/dev/null; done | xargs; }
serves_again() { [ "$(grep -c 'it serves again after' "$log")" -ge "$1" ]; }
# The whole directory at the end, and that nothing is left when it is removed.
split_checks() {  # NAME
  matches "$1: fsck finds nothing" \
    "$(timeout 60 "$benchfs" fsck --registry "$registry" 2>&1; echo "code $?")" "^code 0"
  is "$1: its entries are at all ranks" \
    "$(script 'for f in /benchfs/d/*; do echo $(($(stat -c %i "$f") >> 43)); done | sort -u | wc -l')" 4
  matches "$1: rmdir refuses it" "$(script 'rmdir /benchfs/d 2>&1')" "not empty"
  is "$1: it can be removed" "$(script 'rm -rf /benchfs/d && ls /benchfs' 2>&1)" ""
  matches "$1: fsck finds nothing then" \
    "$(timeout 60 "$benchfs" fsck --registry "$registry" 2>&1; echo "code $?")" "^code 0"
}

fresh
start_mpirun 4 --set metadata.directory_split_entries=8
wait_ready "$mpirun" || not_ok "split: ready" "$(tail -n 5 "$log")"
is "split: 8 processes" \
  "$(script 'mkdir /benchfs/d && exec python3 "$@"' bash "$here/splitting.py" /benchfs/d 8 $split_names 2>&1)" \
  "$split_left names"
split_checks split
"$benchfs" stop --registry "$registry"
end_of "$mpirun"
is "split: exit code" "$code" 0

fresh
start_mpirun 4 --set metadata.directory_split_entries=8
wait_ready "$mpirun" || not_ok "split, kills: ready" "$(tail -n 5 "$log")"
all=($(supervisors "$registry"))
script 'mkdir /benchfs/d && exec python3 "$@"' bash "$here/splitting.py" /benchfs/d 8 $split_names \
  >"$work/splitting" 2>&1 &
program=$!
note "$program"
for ((i = 1; i <= 6; i++)); do
  sleep 0.$((1 + i % 3))
  lives "$program" || break
  kill -KILL $(children_of "${all[$((i % 4))]}")
  wait_for 20 serves_again "$i" || break
done
end_of "$program" 60
is "split, kills: 8 processes" "$code $(cat "$work/splitting")" "0 $split_left names"
split_checks "split, kills"
"$benchfs" stop --registry "$registry"
end_of "$mpirun"
is "split, kills: exit code" "$code" 0
