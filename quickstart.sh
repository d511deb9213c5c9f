#!/bin/bash
# Installs what is needed, builds, and runs the main job on this machine: one process writes a shared
# directory, another reads it, and then the servers are gone.
set -euo pipefail
cd "$(dirname "$0")"

scripts/install-deps.sh
cmake --preset release >/dev/null
cmake --build --preset release --target benchfs benchfsd_mpi benchfs_preload

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
benchfs=$PWD/build/bin/benchfs
export work benchfs
head -c 256M /dev/urandom >"$work/source"

echo
echo "--- benchfs run -n 2: a writer and a reader share /benchfs/shared"
build/bin/benchfs run -n 2 -- bash -euc '
  set -o pipefail
  rate() { awk -v begin="$2" -v end="$3" -v what="$1" \
    "BEGIN { t = end - begin; printf \"%s 256 MiB in %.2f s: %.2f GiB/s\n\", what, t, 0.25 / t }"; }

  "$benchfs" status --registry "$BENCHFS_REGISTRY"
  "$benchfs" status --registry "$BENCHFS_REGISTRY" --json |
    python3 -c "import json, sys; [print(r[\"pid\"]) for r in json.load(sys.stdin)[\"ranks\"]]" >"$work/pids"
  echo "$BENCHFS_LOCAL" >"$work/data_dir"

  mkdir /benchfs/shared
  begin=$EPOCHREALTIME
  dd if="$work/source" of=/benchfs/shared/data bs=1M status=none    # the writer
  rate "wrote" "$begin" "$EPOCHREALTIME"
  begin=$EPOCHREALTIME
  dd if=/benchfs/shared/data of=/dev/null bs=1M status=none         # the reader
  rate "read " "$begin" "$EPOCHREALTIME"
  cmp "$work/source" /benchfs/shared/data
  echo "content equal"
  ls -l /benchfs/shared
'

echo
echo "--- afterwards"
while read -r pid; do
  if [ -e "/proc/$pid" ]; then echo "server $pid is still there" >&2; exit 1; fi
done <"$work/pids"
if [ -e "$(cat "$work/data_dir")" ]; then echo "data is still there" >&2; exit 1; fi
echo "servers $(paste -sd' ' "$work/pids") are gone, and so is $(cat "$work/data_dir")"
