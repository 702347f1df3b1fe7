import { http } from '../base/index.ts';
import type { Finding } from './cluster-findings.ts';

/** Milliseconds for the engine to list its local volumes. It asks no plugin for that. */
const deadlineMs = 5000;
/** More of a list is not read. */
const maxBytes = 8 * 1024 * 1024;

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

/** Names of the local driver's volumes; none where the engine does not say. */
async function localVolumes(socketPath: string): Promise<readonly string[]> {
  const filters = encodeURIComponent(JSON.stringify({ driver: ['local'] }));
  try {
    const text = await new Promise<string>((resolve, reject) => {
      const call = http().request({ socketPath, path: `/volumes?filters=${filters}`, signal: AbortSignal.timeout(deadlineMs) }, (answer) => {
        let body = '';
        answer.setEncoding('utf8');
        answer.on('data', (part: string) => {
          body += part;
          if (body.length > maxBytes) call.destroy(new Error('the list is too long'));
        });
        answer.on('end', () => resolve(body));
        answer.on('error', reject);
      });
      call.on('error', reject);
      call.end();
    });
    const { Volumes: volumes } = JSON.parse(text) as { Volumes?: readonly { readonly Name: string; readonly Driver: string }[] | null };
    return (volumes ?? []).flatMap(({ Name, Driver }) => (Driver === 'local' ? [Name] : []));
  } catch {
    return [];
  }
}
