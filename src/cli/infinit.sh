#!/bin/sh
# `infinit` on PATH: the command line on the Node.js that the project pins. Links to this file are followed.
self=$(readlink -f "$0")
root=$(dirname "$self")/../..
node=$root/node_modules/.bin/node
[ -x "$node" ] || node=node
exec "$node" --disable-warning=ExperimentalWarning "$root/src/cli/main.ts" "$@"
