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
exec node .ci/test.ts "$@"
