#!/bin/sh
# `infinit` on PATH: the command line on the Node.js that the project pins. Links to this file are followed.
root=$(dirname "$(dirname "$(dirname "$(readlink -f "$0")")")")
node=$root/node_modules/.bin/node
if [ ! -x "$node" ]; then
  # The image of the managed plugin has its Node.js on PATH. A host's own may be any, and says nothing that helps.
  node=node
  case $("$node" --version 2>/dev/null) in v2[4-9].* | v[3-9][0-9].*) ;; *)
    echo "infinit: the Node.js 24 of $root is not there, or not yet: \`sudo npm start\` in that directory installs it" >&2
    exit 1
    ;;
  esac
fi
# Set here rather than in the program, so that its first module is already found compiled.
export NODE_COMPILE_CACHE="${NODE_COMPILE_CACHE:-$root/build/compile-cache}"
# What is compiled here is right wherever project and cache are copied to together, as into the managed plugin.
export NODE_COMPILE_CACHE_PORTABLE=1
exec "$node" --disable-warning=ExperimentalWarning "$root/src/cli/main.ts" "$@"
