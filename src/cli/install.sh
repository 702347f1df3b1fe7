#!/bin/sh
# What `sudo npm start` and `sudo npm run plugin:create` begin with: installs what is missing, puts `infinit` on PATH and into Docker's command line.
# What the user said comes as arguments: npm's words, and the script that they stand for.
set -eu
words=$1 script=$2
root=$(dirname "$(readlink -f "$0")")/../..
cd "$root"
if [ "$(id -u)" != 0 ]; then
  # npm 7 and 8, run as root, give scripts the rights of whoever owns the directory.
  case "${npm_config_user_agent:-}" in npm/[78].*) how="sudo $script" ;; *) how="sudo npm $words" ;; esac
  echo "infinit: mounting volumes needs root: $how" >&2
  exit 1
fi
[ -e /dev/fuse ] || modprobe fuse 2>/dev/null || {
  echo "infinit: there is no /dev/fuse, without which no volume can be mounted: \`modprobe fuse\` says why; in a container: docker run --device /dev/fuse --cap-add SYS_ADMIN" >&2
  exit 1
}
src/cli/modules.sh
if [ ! -e build/fuse.node ] && { ! command -v cc >/dev/null || [ ! -e /usr/include/stdio.h ]; }; then
  echo "infinit: installing a C compiler for the FUSE add-on"
  command -v apt-get >/dev/null && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev >/dev/null || {
    echo "infinit: the C compiler could not be installed: install gcc and the C library's headers (Debian: gcc libc6-dev; Fedora: gcc glibc-devel), and start again" >&2
    exit 1
  }
fi
node_modules/.bin/node src/fuse/native/build.ts >/dev/null
src/cli/link.sh
echo "infinit: linked into /usr/local/bin (\`infinit\`) and /usr/local/lib/docker/cli-plugins (\`docker infinit\`, the same commands)"
