#!/bin/sh
# `infinit` on PATH: the command line on the Node.js that the project pins. Links to this file are followed.
root=$(dirname "$(dirname "$(dirname "$(readlink -f "$0")")")")
node=$root/node_modules/.bin/node
[ -x "$node" ] || node=node
# Set here rather than in the program, so that its first module is already found compiled.
export NODE_COMPILE_CACHE="${NODE_COMPILE_CACHE:-$root/build/compile-cache}"
# What is compiled here is right wherever project and cache are copied to together, as into the managed plugin.
export NODE_COMPILE_CACHE_PORTABLE=1
exec "$node" --disable-warning=ExperimentalWarning "$root/src/cli/main.ts" "$@"
