import { Appends, CallServer, type FileLock, LockGrace, SharedFileSystem, type Volume } from '../../../src/filesystem/index.ts';
import { decodeCall } from '../../../src/filesystem/shared/calls.ts';

export const none = Promise.resolve();

export function flock(owner: string, type: FileLock['type']): FileLock {
  return { kind: 'flock', type, owner, pid: 1, start: 0, end: Infinity };
}

export function posix(owner: string, type: FileLock['type'], start: number, end: number): FileLock {
  return { kind: 'posix', type, owner, pid: 1, start, end };
}

/** A host that has the volume open, and guests of it. */
export class Serving {
  readonly volume: Volume;
  readonly server: CallServer;
  readonly own = new SharedFileSystem('holder', () => true);
  /** Files that guests opened here. */
  opens = 0;
  /** Names that guests took away. */
  readonly removed: { readonly parent: number; readonly name: string }[] = [];

  constructor(volume: Volume, grace = new LockGrace([])) {
    this.volume = volume;
    const appends = new Appends(volume);
    this.server = new CallServer(
      volume,
      appends,
      (shown) => volume.keep(shown),
      grace,
      (parent, name) => this.removed.push({ parent, name }),
    );
    this.own.setBacking({ kind: 'local', volume, appends, grace: grace.over });
  }

  welcome(guest: SharedFileSystem, name: string): void {
    guest.setBacking({
      kind: 'remote',
      ask: async (call) => {
        const answer = await this.server.serve(name, call);
        if (decodeCall(call).method === 'open') this.opens++;
        return answer;
      },
    });
  }

  guest(name: string): SharedFileSystem {
    const guest = new SharedFileSystem(name, () => false);
    this.welcome(guest, name);
    return guest;
  }
}

export async function attributesOf(volume: Volume, inode: number): Promise<unknown> {
  try {
    return await volume.getattr(inode);
  } catch {
    return undefined;
  }
}

/** The volume with some methods of its own. */
export function standIn(volume: Volume, methods: Partial<Volume>): Volume {
  return new Proxy(volume, {
    get(target, name) {
      if (Object.hasOwn(methods, name)) return methods[name as keyof Volume];
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === 'function' ? (member as () => unknown).bind(target) : member;
    },
  });
}
