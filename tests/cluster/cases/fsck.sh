# benchfs fsck: damage planted in real chunk files is named, and busy or absent servers are told.

fresh
start_mpirun 2 --set storage.chunk_size=64k
wait_ready "$mpirun" || not_ok "fsck: ready" "$(tail -n 5 "$log")"
fsck() { timeout 60 "$benchfs" fsck --registry "$registry" "$@" 2>&1; }
script 'cd /benchfs && mkdir -p d/e && head -c 200000 /dev/zero >d/f && head -c 5000 /dev/zero >d/e/g &&
  ln d/f d/e/h && ln -s f d/l && : >empty'
is "fsck of a sound file system: exit code" "$(fsck >"$work/fsck.out"; echo $?)" 0
matches "fsck of a sound file system: counts" "$(cat "$work/fsck.out")" \
  "^clean: 3 directories, 4 files, 7 entries and 5 chunk files at 2 ranks$"

place=$(ls "$storage"/rank_*/chunks/inode_*_chunk_3)
echo more >>"$place"
text=$(fsck)
is "fsck of a chunk beyond the size: exit code" $? 1
matches "fsck of a chunk beyond the size: names it" "$text" \
  "^chunk-size: chunk 3 of inode [0-9]+ \(/d/(f|e/h)\) at rank [01]: 3397 bytes reach beyond the size 200000$" \
  "^1 damage: "
truncate -s 3392 "$place"
is "fsck after its repair" "$(fsck | cut -d: -f1)" clean

echo lost >"$storage/rank_1/chunks/inode_4711_chunk_0"
text=$(fsck --json)
is "fsck of an orphan chunk: exit code" $? 1
is "fsck of an orphan chunk: JSON" "$(python3 -c '
import json, sys
report = json.load(sys.stdin)
print(report["quiet"], [(d["kind"], d["inode"]) for d in report["damage"]], report["chunks"])' <<<"$text" 2>&1)" \
  "True [('orphan-chunk', 4711)] 6"
rm "$storage/rank_1/chunks/inode_4711_chunk_0"
mv "$place" "$work/chunk"
mv "$work/chunk" "${place/rank_?/$([[ $place = *rank_0* ]] && echo rank_1 || echo rank_0)}"
matches "fsck of a chunk at the wrong rank" "$(fsck)" "^misplaced-chunk: chunk 3 .*: it belongs to rank [01]$"
mv "$storage"/rank_*/chunks/inode_*_chunk_3 "$place"
is "fsck after its repair" "$(fsck | cut -d: -f1)" clean

# A file that is gone but open is no damage; nor is one that is being written.
script 'exec 3<>/benchfs/open; rm /benchfs/open; head -c 100000 /dev/zero >&3
  "$1" fsck --registry "$2"; echo "code $?"' bash "$benchfs" "$registry" >"$work/fsck.out" 2>&1
matches "fsck beside open files" "$(cat "$work/fsck.out")" "^clean: " "^code 0$"

script 'while [ ! -e "$1" ]; do echo x >/benchfs/busy; rm /benchfs/busy; done' bash "$work/enough" &
busy=$!
is_busy() { [ "$("$benchfs" status --registry "$registry" --json | grep -oE '"requests": [0-9]+' |
  cut -d' ' -f2 | sort -n | tail -n 1)" -gt 400 ]; }
wait_for 10 is_busy
matches "fsck beside changes finds no damage: it was quiet for a moment, or not" \
  "$(for i in 1 2 3 4 5; do fsck >"$work/fsck.out"; echo -n "$? "; done; cat "$work/fsck.out")" \
  "^([03] ){5}(clean|not quiet): "
touch "$work/enough"
wait $busy
fsck_clean "fsck, when it is quiet again"

"$benchfs" stop --registry "$registry"
end_of "$mpirun"
text=$(fsck)
is "fsck without servers: exit code" $? 125
matches "fsck without servers: message" "$text" "^benchfs: No servers in "
