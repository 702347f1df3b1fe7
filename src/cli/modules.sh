#!/bin/sh
# Installs the modules of the lock file, and with them the Node.js that the project pins, where they are missing or older than that.
set -eu
cd "$(dirname "$(readlink -f "$0")")/../.."
# The lock file's copy inside node_modules is newer than the lock file itself once the modules are all there.
missing() { [ ! -x node_modules/.bin/node ] || [ package-lock.json -nt node_modules/.package-lock.json ]; }
if missing; then
  # Two at once would write the same files, and one that is killed would leave them half written to the other. npm inherits the lock: it is held as long as npm lives.
  exec 9<package-lock.json
  flock --nonblock 9 || {
    echo "infinit: another installation is under way in $PWD: waiting for it" >&2
    flock 9
  }
fi
if missing; then
  echo "infinit: installing Node.js 24 and the modules of package-lock.json, over the network (a minute or two)"
  # Not `npm ci`, which takes a mirror that lacks other platforms' builds for an incomplete lock file.
  # Node.js itself is among those for development, which NODE_ENV=production would leave out. Without a network npm tries again for minutes and says nothing.
  (sleep 20 >/dev/null 2>&1 && echo "infinit: npm still works on it, with $(npm config get registry): if that cannot be reached from here, Ctrl-C" >&2) 9<&- &
  patience=$!
  npm install --no-save --include=dev --no-progress --loglevel=error --fetch-retries=1 --fetch-retry-mintimeout=2000 --fetch-timeout=60000 || {
    kill $patience 2>/dev/null || true
    echo "infinit: the modules could not be installed (see above): can this host reach the npm registry? \`npm ping\`. Without a network, copy node_modules from another clone" >&2
    exit 1
  }
  kill $patience 2>/dev/null || true
fi
