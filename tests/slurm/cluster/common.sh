# Sourced by up, down and enter: the names and places of one virtual cluster.
#
# A cluster is a login host (which also runs the controller) and a few compute nodes. Each is a set
# of namespaces of its own on this machine: network, host name, mounts, IPC, process ids. Nothing is
# made outside of them but the state directory, which the caller made and removes.
#
# Inside every host: /mnt/site is the state directory (what a site shares between its hosts),
# /mnt/local is the host's own "SSD", /tmp, /var/tmp and /dev/shm are its own, too.

job_user=ada
job_uid=60123

fail() { echo "slurm cluster: $*" >&2; exit 1; }

load_cluster() {  # STATE_DIR
  state=$1
  [ -r "$state/settings" ] || fail "no cluster in $state"
  . "$state/settings"
}

hosts() { echo "$login"; compute_nodes; }
compute_nodes() { local i; for ((i = 1; i <= node_count; i++)); do echo "$node_prefix$i"; done; }
address_of() { case $1 in "$login") echo 10.213.77.1 ;; *) echo "10.213.77.$((10 + ${1#"$node_prefix"}))" ;; esac; }

# A pid may be given away again; a pid and its start time may not.
start_time() { sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
init_of() {  # HOST: its process 1 as seen from here
  local pid started
  read -r pid started 2>/dev/null <"$state/run/$1.init" || return 1
  [ "$(start_time "$pid")" = "$started" ] || return 1
  echo "$pid"
}

in_host() {  # HOST COMMAND...: as root
  local pid
  pid=$(init_of "$1") || fail "host $1 is not running"
  shift
  nsenter --target "$pid" --net --uts --mount --pid --ipc -- "$@"
}
