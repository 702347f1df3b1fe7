import { InfinitError } from '../../base/index.ts';
import { namedAddress, ownerOf } from '../../block/index.ts';
import type { BlockStore } from '../../store/index.ts';

/** Hosts that may claim a session at the same instant before one gives up. */
const maxAttempts = 64;
/** Where the counter is lost sessions go on so far above the last one that wrote anything which is left. */
const lostSessions = 1024;

/**
 * Claims the number of a new mount session of a volume: a counter in a named block, so that no two mounts, of whatever host, ever seal a
 * block with the same (session, sequence) and therefore the same nonce.
 */
export async function claimSession(store: BlockStore, volumeId: string): Promise<number> {
  const address = namedAddress(volumeId, 'session');
  for (let attempt = 0; attempt < maxAttempts; attempt++) {
    const current = await store.fetch(address);
    const session = current === undefined ? await firstSession(store, volumeId) : Buffer.from(current.payload).readUInt32LE(0) + 1;
    const payload = Buffer.alloc(4);
    payload.writeUInt32LE(session);
    const result = await store.commit([{ update: [{ address, expect: current?.version ?? 'absent', payload }] }]);
    if (result.done) return session;
    const [outcome] = result.outcomes;
    // After an unknown outcome the number may be ours or not: it is burnt, the next one is tried.
    if (outcome?.status === 'failed') throw new InfinitError(outcome.code, `no session for volume ${volumeId}: ${outcome.message}`);
  }
  throw new InfinitError('conflict', `no session for volume ${volumeId}: too many hosts want one at once, try again`);
}

/** Every mount writes the volume's own block before anything else; only where the counter is lost with all its hosts is there one, or a root directory, without a counter. */
async function firstSession(store: BlockStore, volumeId: string): Promise<number> {
  const made = await Promise.all(['volume', 'inodes', 'inode:1', 'journal:1'].map((name) => store.fetch(namedAddress(volumeId, name))));
  const sessions = made.map((block) => (block === undefined ? 0 : ownerOf(block.payload).session));
  const last = Math.max(...sessions);
  return last === 0 ? 1 : last + lostSessions;
}
