#!/bin/bash
# Installs the Debian packages that BenchFS is built, tested and run with. Safe to run again: what is
# there is left alone. As root, or as a user who may sudo.
set -euo pipefail

build=(g++ cmake ninja-build ccache pkg-config make git
       libucx-dev liburing-dev libspdlog-dev libinih-dev libcli11-dev libabsl-dev libxxhash-dev
       libsodium-dev libpmix-dev libopenmpi-dev libslurm-dev libgtest-dev libgmock-dev)
run=(openmpi-bin ucx-utils)
tests=(slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge fio mandoc iproute2 util-linux
       procps python3 file attr rsync strace bc hostname)

missing=()
for package in "${build[@]}" "${run[@]}" "${tests[@]}"; do
  status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "install-deps: all packages are there"
  exit 0
fi
echo "install-deps: installing ${missing[*]}"

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "install-deps: run this as root, or install sudo" >&2; exit 1; }
  as_root=(sudo)
fi

# The tests start Slurm and MUNGE daemons of their own, in namespaces. Debian would start the
# packaged ones on installation, unless this file says no.
policy=/usr/sbin/policy-rc.d
saved=
restore() {
  if [ -n "$saved" ]; then "${as_root[@]}" mv -f "$saved" "$policy"; else "${as_root[@]}" rm -f "$policy"; fi
}
trap restore EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
if [ -e "$policy" ]; then
  saved=$policy.benchfs-saved
  "${as_root[@]}" mv -f "$policy" "$saved"
fi
printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
"${as_root[@]}" chmod 755 "$policy"

apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=300 "$@"
}
apt update
apt install --no-install-recommends "${missing[@]}"
echo "install-deps: done"
