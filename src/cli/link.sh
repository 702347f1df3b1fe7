#!/bin/sh
# `infinit` on PATH, and as a plugin of Docker's command line (`docker infinit …`).
set -eu
program=$(dirname "$(readlink -f "$0")")/infinit.sh
mkdir -p /usr/local/bin /usr/local/lib/docker/cli-plugins
ln -sfn "$program" /usr/local/bin/infinit
ln -sfn "$program" /usr/local/lib/docker/cli-plugins/docker-infinit
