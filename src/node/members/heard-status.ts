import type { HostStatus } from '../../api/index.ts';
import { InfinitError } from '../../base/index.ts';
import type { PeerId } from '../../overlay/index.ts';

/** What a field is: a finite number, a list of strings, or an object with fields; with `?` it may be absent. */
type Shape = 'string' | 'number' | 'strings' | { readonly [field: string]: Shape };

/** What is read of a status of another host. It may say more: a later version does. */
const statusShape: Shape = {
  name: 'string',
  version: 'string',
  time: 'string',
  uptimeSeconds: 'number',
  memoryBytes: 'number',
  health: { state: 'string', reasons: 'strings' },
  disk: { state: 'string', blocks: 'number', liveBytes: 'number', usedBytes: 'number', freeBytes: 'number', damaged: 'number' },
  replicas: { wanted: 'number', hosts: 'number' },
  mounted: 'strings',
  'waiting?': 'strings',
  roster: { troubles: 'strings' },
  'repair?': {
    phase: 'string',
    done: 'number',
    total: 'number',
    bytesPerSecond: 'number',
    'etaSeconds?': 'number',
    'lastCheck?': {
      ageSeconds: 'number',
      counts: { underReplicated: 'number', underQuorum: 'number', surplus: 'number', damaged: 'number', 'givenUp?': 'number' },
    },
  },
};

/**
 * The status that a host says it has. One that says nonsense must not keep people from seeing how the others are.
 * @throws InfinitError `unsupported`.
 */
export function heardStatus(peer: PeerId, said: unknown): HostStatus {
  const wrong = misfit(said, statusShape, 'its status');
  if (wrong !== undefined) throw new InfinitError('unsupported', `it answers what this host does not understand: ${wrong}`);
  // Whose word it is the connection says.
  const status = { ...(said as HostStatus), peer };
  const last = status.repair?.lastCheck;
  if (last === undefined) return status;
  // A host of before gives nothing up.
  return { ...status, repair: { ...status.repair!, lastCheck: { ...last, counts: { ...last.counts, givenUp: last.counts.givenUp ?? 0 } } } };
}

/** What does not fit, in words; undefined: all does. */
function misfit(value: unknown, shape: Shape, name: string): string | undefined {
  if (shape === 'strings') return Array.isArray(value) && value.every((item) => typeof item === 'string') ? undefined : `${name} is no list of texts`;
  if (shape === 'string') return typeof value === 'string' ? undefined : `${name} is no text`;
  if (shape === 'number') return Number.isFinite(value) ? undefined : `${name} is no number`;
  if (typeof value !== 'object' || value === null) return `${name} is no object`;
  const fields = value as Readonly<Record<string, unknown>>;
  for (const [key, wanted] of Object.entries(shape)) {
    const field = key.replace('?', '');
    if (field !== key && fields[field] === undefined) continue;
    const wrong = misfit(fields[field], wanted, `"${field}"`);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}
