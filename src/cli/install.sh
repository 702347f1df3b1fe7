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
[ -e /dev/fuse ] || modprobe fuse 2>/dev/null || { echo "infinit: there is no /dev/fuse: this kernel cannot mount volumes" >&2; exit 1; }
# The lock file's copy inside node_modules is newer than the lock file itself once the modules are all there.
if [ ! -x node_modules/.bin/node ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo "infinit: installing Node.js 24 and the modules of package-lock.json, over the network (a minute or so)"
  # Not `npm ci`, which takes a mirror that lacks other platforms' builds for an incomplete lock file.
  # Without a network npm tries again for minutes and says nothing.
  (sleep 20 && echo "infinit: npm still works on it, with $(npm config get registry): if that cannot be reached from here, Ctrl-C" >&2) &
  patience=$!
  npm install --no-save --no-progress --loglevel=error --fetch-retries=1 --fetch-retry-mintimeout=2000 --fetch-timeout=60000 || {
    kill $patience 2>/dev/null || true
    echo "infinit: the modules could not be installed (see above): can this host reach the npm registry? \`npm ping\`. Without a network, copy node_modules from another clone" >&2
    exit 1
  }
  kill $patience 2>/dev/null || true
fi
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
