# kill -9 of a server at each point of each change on several servers: the change is done once, and
# nothing is left of it.

points=$("$build/tests/fault_points")
count=$(wc -l <<<"$points")
reached=0
for kind in $(sed 's/\..*//' <<<"$points" | uniq); do
  fresh
  faults=$(mktemp -d "$work/faults.XXXX")
  options=()
  [ "$kind" = split ] && options=(--set metadata.directory_split_entries=16)
  BENCHFS_FAULT=$faults start_mpirun 3 "${options[@]}"
  wait_ready "$mpirun" || not_ok "faults, $kind: ready" "$(tail -n 5 "$log")"
  wanted=$(grep "^$kind\." <<<"$points")
  got=$(on_mount python3 "$here/faults.py" /benchfs "$faults" "$kind" $wanted 2>&1)
  is "faults, $kind: done once, whoever dies" "$got" "$wanted"
  reached=$((reached + $(wc -l <<<"$got")))
  matches "faults, $kind: fsck finds nothing" \
    "$(timeout 60 "$benchfs" fsck --registry "$registry" 2>&1; echo "code $?")" "^code 0"
  "$benchfs" stop --registry "$registry"
  end_of "$mpirun"
  is "faults, $kind: exit code" "$code" 0
done
is "faults: all $count points were reached" "$reached" "$count"
