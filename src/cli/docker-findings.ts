import type { Finding } from './cluster-findings.ts';
import { localVolumes, type ManagedPlugin, remappedRoot, remembersSocket, whyDeaf } from './docker-engine.ts';

/** Whether there is an engine, and whether it finds the plugin. @param pluginSocket undefined: the daemon is to have none. */
export async function dockerFindings(engineSocket: string, pluginSocket: string | undefined, managed: ManagedPlugin | undefined): Promise<Finding[]> {
  const engine = await engineFinding(engineSocket);
  if (engine.level !== 'ok') return [engine];
  const remap = await remapFindings(engineSocket);
  if (managed?.enabled === true) return [engine, ...remap, await managedFinding(engineSocket, managed.name)];
  return [engine, ...remap, await socketFinding(pluginSocket)];
}

/** Where root in containers is another user of the host, it may not write to a volume whose root directory is root's. */
async function remapFindings(engineSocket: string): Promise<Finding[]> {
  const root = await remappedRoot(engineSocket);
  if (root === undefined) return [];
  const [uid, gid] = root.split(':');
  return [
    {
      topic: 'docker',
      level: 'warning',
      finding: `root in this engine's containers is user ${root} of the host (userns-remap), who may not write to the root directory of a volume that was made as usual`,
      advice: `make volumes with \`-o uid=${uid} -o gid=${gid}\`; of one that exists \`chown ${root}\` its root directory`,
    },
  ];
}

async function managedFinding(engineSocket: string, name: string): Promise<Finding> {
  const finding = `the engine runs the managed plugin ${name}`;
  if (!(await remembersSocket(engineSocket))) return { topic: 'plugin', level: 'ok', finding };
  return {
    topic: 'plugin',
    level: 'error',
    finding: `${finding}, and still takes "infinit" for the socket of the daemon that ran before: volumes of that name fail, or become local ones`,
    advice: 'restart the engine: `systemctl restart docker`',
  };
}

async function engineFinding(socketPath: string): Promise<Finding> {
  switch (await whyDeaf(socketPath)) {
    case undefined:
      return { topic: 'docker', level: 'ok', finding: `the Docker Engine answers at ${socketPath}` };
    case 'ENOENT':
      return {
        topic: 'docker',
        level: 'warning',
        finding: `no Docker Engine at ${socketPath}`,
        advice: '`apt-get install docker.io`; without it volumes can still be mounted with `infinit volume mount`',
      };
    case 'EACCES':
      return { topic: 'docker', level: 'error', finding: `no right to use ${socketPath}`, advice: 'use sudo' };
    default:
      return { topic: 'docker', level: 'error', finding: `${socketPath} is there but nobody answers`, advice: 'start dockerd' };
  }
}

async function socketFinding(socketPath: string | undefined): Promise<Finding> {
  if (socketPath === undefined)
    return {
      topic: 'plugin',
      level: 'warning',
      finding: 'there is to be no plugin socket',
      advice: 'for volumes in containers leave --plugin-socket as it is',
    };
  switch (await whyDeaf(socketPath)) {
    case undefined:
      return { topic: 'plugin', level: 'ok', finding: `the volume plugin answers at ${socketPath}` };
    case 'ENOENT':
      return {
        topic: 'plugin',
        level: 'warning',
        finding: `Docker finds no plugin at ${socketPath}`,
        advice: 'start the daemon, with this --plugin-socket',
      };
    case 'EACCES':
      return { topic: 'plugin', level: 'error', finding: `no right to use ${socketPath}`, advice: 'use sudo' };
    default:
      return { topic: 'plugin', level: 'error', finding: `nobody answers at ${socketPath}: a daemon that died left it`, advice: 'start the daemon' };
  }
}

/** What to do where no daemon answers on the control socket: never to start a second one beside the managed plugin's. */
export function startAdvice(controlSocket: string, managed: ManagedPlugin | undefined): string {
  if (managed === undefined) return 'start it: `sudo npm start`, or `infinit daemon`';
  if (!managed.enabled) return `it is the managed plugin ${managed.name} that is switched off: \`docker plugin enable ${managed.name}\``;
  if (managed.controlSocket !== undefined && managed.controlSocket !== controlSocket)
    return `the managed plugin's daemon listens elsewhere: \`infinit --control-socket ${managed.controlSocket} doctor\`, or set INFINIT_CONTROL_SOCKET`;
  return `the managed plugin ${managed.name} is switched on and does not answer: the engine's log says why (\`journalctl -u docker\`)`;
}

/**
 * Volumes of Docker's own on this host that have the name of a volume of the cluster. Docker makes one for a name without a driver while Infinit does
 * not run or has not joined, and from then on the name means the local one there.
 */
export async function hiddenVolumes(socketPath: string, names: readonly string[]): Promise<Finding[]> {
  const ours = new Set(names);
  const hidden = (await localVolumes(socketPath)).filter((name) => ours.has(name));
  if (hidden.length === 0) return [];
  return [
    {
      topic: 'docker',
      level: 'warning',
      finding: `Docker has local volumes on this host that hide those of the cluster: ${hidden.join(', ')}`,
      advice: 'while `docker volume ls` says "local" for it, `docker volume rm NAME` removes the local one (look at what is in it first)',
    },
  ];
}
