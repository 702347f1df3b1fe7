#!/bin/sh
# `npm test [name…]`: on a bare machine it first installs the modules and, where all tests are to run, the programs that they need.
set -eu
cd "$(dirname "$0")/.."
src/cli/modules.sh
if [ "$(id -u)" != 0 ]; then
  echo "npm test: not root: whatever mounts a volume or starts a Docker Engine will fail (sudo npm test)" >&2
elif [ $# = 0 ]; then
  command -v apt-get >/dev/null && .ci/setup
fi
# Test files and the daemons that they start run compiled ahead, as hosts do: nothing is stripped of types more than once.
export NODE_COMPILE_CACHE="${NODE_COMPILE_CACHE:-$PWD/build/compile-cache}" NODE_COMPILE_CACHE_PORTABLE=1
node src/cli/compile.ts
exec node .ci/test.ts "$@"
