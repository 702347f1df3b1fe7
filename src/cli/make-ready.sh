#!/bin/sh
# `npm run link`: the modules, the compiled program and `infinit` on PATH, so that a service finds all of it, and an upgrade (SIGUSR2) replaces the daemon at once:
# programs wait meanwhile, and would wait for the compiling too.
set -eu
here=$(dirname "$(readlink -f "$0")")
cd "$here/../.."
src/cli/modules.sh
NODE_COMPILE_CACHE="$PWD/build/compile-cache" NODE_COMPILE_CACHE_PORTABLE=1 node_modules/.bin/node --disable-warning=ExperimentalWarning src/cli/compile.ts
src/cli/link.sh
echo "infinit: ready, and linked into /usr/local/bin; a daemon that runs already goes on with what it had: \`systemctl reload infinit\`, or kill -USR2 its holder"
