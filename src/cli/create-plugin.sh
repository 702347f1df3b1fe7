#!/bin/sh
# `sudo npm run plugin:create`: installs what is missing and registers the managed plugin (plugin/create-managed.ts).
set -eu
here=$(dirname "$(readlink -f "$0")")
cd "$here/../.."
src/cli/install.sh "run plugin:create" src/cli/create-plugin.sh
exec node_modules/.bin/node plugin/create-managed.ts "$@"
