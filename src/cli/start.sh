#!/bin/sh
# `sudo npm start`: installs what is missing and runs the daemon in the foreground.
set -eu
here=$(dirname "$(readlink -f "$0")")
cd "$here/../.."
src/cli/install.sh start src/cli/start.sh
docker=${INFINIT_DOCKER_SOCKET:-/var/run/docker.sock}
[ "$docker" = none ] || [ -S "$docker" ] || echo "infinit: no Docker Engine at $docker: the plugin waits for one (apt-get install docker.io); \`infinit volume mount\` works without" >&2
exec src/cli/infinit.sh daemon "$@"
