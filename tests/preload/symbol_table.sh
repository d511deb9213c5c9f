#!/bin/bash
# Prints the table of symbols of benchfs-preload(7) as mdoc, from symbols.def; run.sh holds the page
# against it.
set -euo pipefail
definitions=$(dirname "$0")/../../client-preload/shim/symbols.def

names() {  # <policy>
  sed -n "s/^SYMBOL(\([A-Za-z0-9_]*\), $1).*/\1/p" "$definitions" | LC_ALL=C sort |
    paste -sd, | sed 's/,/, /g' | fold -sw 76 | sed 's/ *$//'
}

cat <<HEAD
.\\" Made by tests/preload/symbol_table.sh.
.Ss Served
These act on files of BenchFS, and are libc's for all others.
.Pp
$(names serve)
.Ss Refused
These fail on files of BenchFS, and are libc's for all others; see
.Sx DIAGNOSTICS .
.Pp
$(names refuse)
.Ss Passed on
These are libc's own, because what the kernel answers for the placeholder or
the name is right, or because the failure is plain.
.Pp
$(names pass)
.\\" End of the table.
HEAD
