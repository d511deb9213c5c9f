# What users get wrong: an exit code by cause, and one line that says what to do.

# NAME CODE REGEX COMMAND...: exit code, message, and that the message is one line.
refused() {
  local name=$1 code=$2 pattern=$3 text got
  shift 3
  text=$(timeout 30 "$@" 2>&1 >/dev/null)
  got=$?
  is "$name: exit code" "$got" "$code"
  matches "$name: message" "$text" "$pattern"
  is "$name: one line" "$(wc -l <<<"$text")" 1
}
as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)

fresh
at="--set storage.data_dir=$storage"
refused "no argument" 2 "REGISTRY_DIR is missing" "$server"
refused "unknown option" 2 "frob" "$server" "$registry" --frob
refused "no registry directory" 4 "Registry directory does not exist: $work/none: create it" \
  "$server" "$work/none" $at
mkdir "$work/readonly" && chown 65534 "$work/readonly" && chmod 500 "$work/readonly"
touch "$work/readonly/x"
refused "registry that cannot be written" 4 "Failed to register node address.*$work/readonly.*Permission" \
  "${as_nobody[@]}" "$server" "$work/readonly" --set storage.data_dir=/tmp/benchfs-none
refused "registry of another user" 4 "Registry directory .*$registry" \
  "${as_nobody[@]}" "$server" "$registry" --set storage.data_dir=/tmp/benchfs-none
is "no data directory was left" "$(ls -d /tmp/benchfs-none 2>/dev/null)" ""
refused "data directory that cannot be made" 7 "Data directory .*/proc/none.*set storage.data_dir" \
  "$server" "$registry" --set storage.data_dir=/proc/none
mkdir "$work/alien" && chown 65534 "$work/alien"
refused "data directory of another user" 7 "Data directory .*$work/alien" \
  "$server" "$registry" --set "storage.data_dir=$work/alien"
printf '[storage]\n\nchunk_sise = 4m\n' >"$work/typo.conf"
refused "unknown key" 3 "$work/typo.conf:3: unknown key 'chunk_sise'.*chunk_size" \
  "$server" "$registry" "$work/typo.conf"
printf '[storage]\nchunk_size = 5m\n' >"$work/value.conf"
refused "bad value" 3 "$work/value.conf:2: .*chunk_size.*power of two" \
  "$server" "$registry" "$work/value.conf"
refused "configuration file that is not there" 3 "$work/none.conf" "$server" "$registry" "$work/none.conf"
refused "bad variable" 3 "BENCHFS_NETWORK_WAIT='maybe'.*adaptive" \
  env BENCHFS_NETWORK_WAIT=maybe "$server" "$registry"
refused "no such transport" 8 "Failed to create UCX context: .*UCX_TLS=bogus" \
  env UCX_TLS=bogus "$server" "$registry" $at
refused "no such device" 8 "Failed to create UCX context: .*UCX_NET_DEVICES=eth99" \
  env UCX_TLS=tcp UCX_NET_DEVICES=eth99 "$server" "$registry" $at
refused "rank beyond the size" 3 "Rank 5 of 2" \
  env SLURM_PROCID=5 SLURM_NTASKS=2 SLURM_JOB_ID=1 SLURM_STEP_ID=0 "$server" "$registry" $at
is "no data was left" "$(content "$storage")" ""

# A rank that does not come: its number and, where it can be known, its host.
fresh
at="--set storage.data_dir=$storage"
refused "missing rank" 5 "Timeout waiting for nodes: rank 1 \(host beta\) .*$registry within 1 s" \
  env SLURM_PROCID=0 SLURM_NTASKS=2 SLURM_JOB_ID=1 SLURM_STEP_ID=0 SLURM_STEP_NODELIST=alpha,beta \
  SLURM_STEP_TASKS_PER_NODE="1(x2)" "$server" "$registry" $at --set node.start_timeout_s=1
is "missing rank: no data was left" "$(content "$storage")" ""
text=$("$benchfs" exec --registry "$registry" --wait 0 -- true 2>&1)
is "exec after a failed start: exit code" $? 125
matches "exec after a failed start: message" "$text" "rank 1"

# The command.
refused "benchfs without a subcommand" 2 "subcommand" "$benchfs"
refused "run without COMMAND" 2 "COMMAND is missing" "$benchfs" run -n 2
refused "run with an unknown option" 2 "Unknown option '--frob'" "$benchfs" run --frob 1 -- true
refused "run -n 0" 2 "range" "$benchfs" run -n 0 -- true
refused "run --mount relative" 2 "'data' is not an absolute path" "$benchfs" run --mount data -- true
refused "command not found" 127 "Command not found: 'no-such-command'" \
  "$benchfs" run -- no-such-command
refused "command without a file" 127 "Command not found: '/no/such'" "$benchfs" run -- /no/such
refused "command not executable" 126 "not executable: '/etc/passwd'" "$benchfs" run -- /etc/passwd
refused "run with a typo in the configuration" 125 "typo.conf:3: unknown key" \
  "$benchfs" run --config "$work/typo.conf" -- true
refused "run with no mpirun" 125 "mpirun is not found in PATH" env PATH=/none "$benchfs" run -- /bin/true
refused "run with no such transport" 125 "did not start: .*Failed to create UCX context" \
  env UCX_TLS=bogus "$benchfs" run -n 2 -- true
refused "run with a data directory that cannot be made" 125 "did not start: .*/proc/none" \
  "$benchfs" run --data-dir /proc/none -- true
refused "exec without a registry" 125 "Registry directory does not exist" \
  "$benchfs" exec --registry "$work/none" -- true
refused "exec in an empty registry" 125 "No servers in" \
  "$benchfs" exec --registry "$storage" --wait 0 -- true
refused "status without servers" 1 "No servers in" "$benchfs" status --registry "$storage"
refused "stop without servers" 1 "No servers in" "$benchfs" stop --registry "$storage"

# Another user.
fresh
start_mpirun 1
wait_ready "$mpirun"
refused "exec by another user" 125 "$registry.*only the user who started the servers" \
  "${as_nobody[@]}" "$benchfs" exec --registry "$registry" -- true
"$benchfs" stop --registry "$registry"
