# Sourced by run.sh: hosts as network namespaces, joined by a bridge in a namespace of its own, and
# ranks in them, started as srun would start them. Nothing is made outside of these namespaces.

switch=bfs$$s
made_hosts=()

remove_hosts() {
  local namespace
  for namespace in "${made_hosts[@]}"; do ip netns delete "$namespace" 2>/dev/null; done
  made_hosts=()
}

# N: namespaces bfs<pid>h1 … hN, each with eth0 10.214.91.<i>.
make_hosts() {
  local i namespace
  ip netns add "$switch" || return 1
  made_hosts+=("$switch")
  ip -n "$switch" link add br0 type bridge && ip -n "$switch" link set br0 up || return 1
  for ((i = 1; i <= $1; i++)); do
    namespace=bfs$$h$i
    ip netns add "$namespace" || return 1
    made_hosts+=("$namespace")
    ip -n "$switch" link add "v$i" type veth peer name eth0 netns "$namespace" || return 1
    ip -n "$switch" link set "v$i" master br0 up || return 1
    ip -n "$namespace" address add "10.214.91.$i/24" dev eth0 || return 1
    ip -n "$namespace" link set lo up && ip -n "$namespace" link set eth0 up || return 1
  done
}

# I COMMAND...: on host I, which has a host name too. The command gets this process's place.
on_host() {
  local i=$1
  shift
  exec nsenter --net="/run/netns/bfs$$h$i" unshare --uts \
    sh -c 'echo "$0" >/proc/sys/kernel/hostname; exec "$@"' "host$i" "$@"
}

on_host_too() { (on_host "$@"); }  # the same, and comes back

# I N [ARGUMENT...]: rank I-1 of N on host I; its pid is rank_pid[I-1], its output $registry.<rank>.
rank_pid=()
start_rank() {
  local i=$1 n=$2 rank=$(($1 - 1))
  shift 2
  mkdir -p "$storage/$i"
  (
    export SLURM_PROCID=$rank SLURM_NTASKS=$n SLURM_STEP_NUM_TASKS=$n SLURM_LOCALID=0 SLURM_JOB_ID=$$
    export SLURM_STEP_ID=$step SLURM_STEP_NODELIST="host[1-$n]" SLURM_STEP_TASKS_PER_NODE="1(x$n)"
    export UCX_TLS=tcp UCX_NET_DEVICES=eth0
    on_host "$i" "$server" "$registry" --set "storage.data_dir=$storage/$i" "$@"
  ) </dev/null >"$registry.$rank" 2>&1 &
  rank_pid[rank]=$!
  note $!
}
# N [ARGUMENT...]: a rank on each of N hosts, in a fresh registry.
step=0
start_hosts() {
  local i n=$1
  shift
  fresh
  step=$((step + 1))
  rank_pid=()
  for ((i = 1; i <= n; i++)); do start_rank "$i" "$n" "$@"; done
}
host_logs() { tail -n 5 "$registry".[0-9]*; }
# I TEXT [ARGUMENT...]: a shell on host I that sees the mount.
host_script() {
  local i=$1 text=$2
  shift 2
  (on_host "$i" timeout 60 "$benchfs" exec --registry "$registry" -- bash -c "$text" bash "$@")
}
