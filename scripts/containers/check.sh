#!/usr/bin/env bash
# Does an installation work as in a container: read-only, for a user without a home, under MPI?
#
#   scripts/containers/check.sh FOLDER      # with tnqbm and mpiexec in it: /opt/tnqbm/bin, .venv/bin
#
# As root it goes on as the user "nobody", who can write only to the folder made here.
set -euo pipefail
bin=$(realpath "${1:?say where tnqbm and mpiexec are: a folder such as /opt/tnqbm/bin}")
study=$(realpath "$(dirname "$0")/check.toml")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
as=()
if [ "$(id -u)" = 0 ]; then
  chown 65534:65534 "$work"
  as=(setpriv --reuid 65534 --regid 65534 --clear-groups)
fi
cp "$study" "$work/study.toml"
cd "$work"
# Nothing of the caller's environment: no home, no cache, no PYTHONPATH.
run() { "${as[@]}" env -i PATH="$bin:/usr/bin:/bin" HOME=/nonexistent TMPDIR="$work" "$@"; }

if run touch "$bin/written" 2>/dev/null; then
  rm -f "$bin/written"
  echo "note: $bin can be written here; a container's could not"
fi
run tnqbm doctor
run mpiexec -n 2 tnqbm run study.toml -o results.h5 --no-progress
run tnqbm verify results.h5
run tnqbm evaluate results.h5 --run seed=1 paulis=XZ gradient=exact
echo "works: read-only, without a home, on two ranks"
