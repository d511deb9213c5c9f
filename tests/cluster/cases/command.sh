# benchfs run: exit codes, signals, environment, and that nothing is left, however it ends.

temporary=$(mktemp -d "$work/tmp.XXXX")
run() { TMPDIR=$temporary timeout 60 "$benchfs" run "$@"; }

is "run: output and content" "$(run -n 2 -- sh -c 'echo hello >/benchfs/f && cat /benchfs/f' 2>&1)" hello
run -- sh -c 'exit 7'
is "run: exit code of the command" $? 7
run -- sh -c 'kill -KILL $$'
is "run: command that dies by a signal" $? 137
is "run: LD_PRELOAD is kept" "$(LD_PRELOAD=/lib/x86_64-linux-gnu/libutil.so.1 run -- sh -c 'echo $LD_PRELOAD' 2>&1)" \
  "$([ $sanitized = yes ] && echo "${sanitizer_runtime:=$(ldd "$benchfs" | awk '/libasan/ { print $3 }')}:")$build/lib/libbenchfs_preload.so:/lib/x86_64-linux-gnu/libutil.so.1"
is "run: --mount" "$(run --mount /data/scratch -- sh -c 'echo x >/data/scratch/f; cat /data/scratch/f; ls /benchfs 2>&1' |
  xargs)" "x ls: cannot access /benchfs: No such file or directory"
mkdir "$temporary/own"
is "run: --data-dir" "$(cd "$temporary" && run --data-dir own -- sh -c 'echo x >/benchfs/f; ls own | grep -c rank_')" 1
is "run: its data directory is emptied, not removed" "$(content "$temporary")" own
rmdir "$temporary/own"
printf '[client]\nmount_point = /conf\n' >"$work/mount.conf"
is "run: --config" "$(run --config "$work/mount.conf" -- sh -c 'echo $BENCHFS_MOUNT')" /conf
is "run: in a run" "$(run -- "$benchfs" run -- sh -c 'ls -A /benchfs | wc -l')" 0
is "run: standard input is the command's" "$(echo through | run -- cat)" through

# Started in the background by a shell that is not interactive: SIGINT would be ignored.
# The command begins by telling where the data is.
launch() {  # [OPTION...] -- TEXT of a shell that makes the file $1 when it has started
  local text=${*: -1}
  rm -f "$work/up"
  TMPDIR=$temporary setsid env --default-signal=INT "$benchfs" run "${@:1:$#-1}" \
    sh -c 'echo "$BENCHFS_LOCAL" >>"$1.places"; '"$text" sh "$work/up" >"$work/out" 2>&1 &
  launched=$!
  note $launched
  wait_for 20 test -e "$work/up" || not_ok "run: the command has started" "$(cat "$work/out")"
}
launch -- 'trap "echo got USR1; exit 3" USR1; touch "$1"; while :; do sleep 0.1; done'
kill -USR1 $launched
end_of $launched
is "run: signals are handed on" "$code $(cat "$work/out")" "3 got USR1"
for signal in TERM INT HUP; do
  launch -n 2 -- 'touch "$1"; exec sleep 50'
  kill -$signal $launched
  end_of $launched
  is "run: SIG$signal ends it" "$code" $((128 + $(kill -l $signal)))
done
is "run: their data is gone" "$(xargs ls -d <"$work/up.places" 2>/dev/null)" ""

# Killed, it can remove nothing itself; its servers end and take the data with them.
launch -n 2 -- 'head -c 1M /dev/zero >/benchfs/f; touch "$1"; exec sleep 5'
left_registry=$(ls -d "$temporary"/benchfs-*/registry)
servers="$(supervisors "$left_registry") $(workers "$left_registry")"
left_data=$(tail -n 1 "$work/up.places")
kill -KILL $launched
end_of $launched
left=
for pid in $servers; do wait_end "$pid" 5 || left="$left $pid"; done
is "run, killed: its servers end" "$left" ""
is "run, killed: and remove the data" "$(content "$left_data")" ""
rm -rf "$temporary"/benchfs-* "$left_data"
is "run: nothing is left in TMPDIR" "$(content "$temporary")" ""
