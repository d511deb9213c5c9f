#!/bin/bash
# run.sh BUILD_DIR [NAME...]: servers on this host under mpirun, and on hosts made of network
# namespaces over UCX/TCP. Prints a line per check and "N passed, N failed"; exits with 0 only when
# none failed. NAMEs (of the files in cases/) run only these. Needs root, for the namespaces; what
# it starts it ends, whatever happens.
set -u
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 1 ] || { echo "usage: $0 BUILD_DIR [NAME...]" >&2; exit 2; }
build=$(cd "$1" && pwd) || exit 2
shift
. "$here/lib.sh"
. "$here/hosts.sh"

cases=("$@")
[ $# -gt 0 ] || cases=(mpirun bad_input fsck hosts small_files leases locks lost_rank suspended hostile idle command restart faults split)
for name in "${cases[@]}"; do
  echo "# $name"
  . "$here/cases/$name.sh"
  end_leftovers
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
