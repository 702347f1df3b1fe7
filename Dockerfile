# The managed plugin's file system, for those who have a registry (docs/docker.md; without one: npm run plugin:create).
#
#   docker build -t infinit-rootfs .
#   mkdir -p plugin-build/rootfs && cp config.json plugin-build/
#   docker export "$(docker create infinit-rootfs true)" | tar -x -C plugin-build/rootfs
#   docker plugin create REGISTRY/infinit plugin-build && docker plugin push REGISTRY/infinit

FROM node:24-bookworm AS build
WORKDIR /opt/infinit
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --no-progress
COPY src src
COPY plugin plugin
# The FUSE add-on is compiled here, so that the plugin needs no compiler.
RUN node src/fuse/native/build.ts
# The engine does not wait until the plugin has compiled its own sources.
RUN NODE_COMPILE_CACHE=/opt/infinit/build/compile-cache NODE_COMPILE_CACHE_PORTABLE=1 node src/cli/compile.ts

FROM node:24-bookworm-slim
RUN ln -s /usr/local/bin/node /usr/bin/node && mkdir -p /run/docker/plugins /var/lib/infinit /var/lib/infinit-volumes
COPY --from=build /opt/infinit /opt/infinit
WORKDIR /opt/infinit
ENTRYPOINT ["/usr/bin/node", "--disable-warning=ExperimentalWarning", "/opt/infinit/src/cli/main.ts", "daemon"]
