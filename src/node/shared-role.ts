import { InfinitError, type Logger, messageOf, systemClock } from '../base/index.ts';
import { CallServer, SharedFileSystem, type Volume } from '../filesystem/index.ts';
import type { DirtySet } from './dirty-set.ts';
import type { VolumeCommand, VolumeEvent, VolumeWorkerData } from './volume-worker-protocol.ts';

/** Operations sent to another host and not yet answered. */
const maxAsked = 65_536;

interface Asked {
  readonly resolve: (answer: Uint8Array) => void;
  readonly reject: (error: InfinitError) => void;
}

/** In a volume's worker: what the volume's lease makes of this host, its holder or a guest of another. */
export class SharedRole {
  readonly fileSystem: SharedFileSystem;
  readonly #open: (session: number) => Promise<Volume>;
  readonly #tell: (event: VolumeEvent) => void;
  readonly #logger: Logger;
  readonly #asked = new Map<number, Asked>();
  #nextAsk = 1;
  readonly #dirty: DirtySet;
  #volume: Volume | undefined;
  /** What was open here before and still finishes a write. */
  #leaving: Promise<void> | undefined;
  #server: CallServer | undefined;
  /** Counts changes of the role: an opening that took too long must not bring an old one back. */
  #change = 0;

  constructor(
    shared: NonNullable<VolumeWorkerData['shared']>,
    dirty: DirtySet,
    open: (session: number) => Promise<Volume>,
    tell: (event: VolumeEvent) => void,
    logger: Logger,
  ) {
    const leaseUntilMs = new Float64Array(shared.leaseUntilMs);
    this.fileSystem = new SharedFileSystem(shared.self, () => systemClock.monotonicMs() < leaseUntilMs[0]!);
    this.#dirty = dirty;
    this.#open = open;
    this.#tell = tell;
    this.#logger = logger;
  }

  hear(command: VolumeCommand): void {
    switch (command.type) {
      case 'holder':
        void this.#becomeHolder(command.session);
        break;
      case 'guest':
        this.#leave();
        this.fileSystem.setBacking({ kind: 'remote', ask: (call) => this.#ask(call) });
        break;
      case 'serve':
        void this.#serve(command.id, command.peer, command.call);
        break;
      case 'dismiss':
        void this.#server
          ?.dismiss(command.peer)
          .catch((error: unknown) => this.#logger.warn('what a lost host had open is not all closed', { error }));
        break;
      case 'answer': {
        const asked = this.#asked.get(command.id);
        this.#asked.delete(command.id);
        if ('answer' in command) asked?.resolve(command.answer);
        else asked?.reject(new InfinitError(command.code, command.message));
        break;
      }
    }
  }

  async #becomeHolder(session: number): Promise<void> {
    this.#leave();
    const change = this.#change;
    this.fileSystem.setBacking(undefined);
    try {
      await this.#leaving;
      const volume = await this.#open(session);
      if (change !== this.#change) return void volume.abandon();
      this.#volume = volume;
      this.#server = new CallServer(volume, () => volume.memory.dirtyBytes > 0 || volume.memory.operations > 0);
      this.fileSystem.setBacking({ kind: 'local', volume });
      this.#logger.info('this host serves the volume', { session });
    } catch (error) {
      this.#logger.error('the volume cannot be opened', { error });
      this.#tell({ type: 'not-opened', message: messageOf(error) });
    }
  }

  /** What was open here is not written out: the lease is over, and others may have changed everything since. Programs hear of lost writes. */
  #leave(): void {
    this.#change++;
    this.#server = undefined;
    this.#leaving = this.#volume?.abandon();
    this.#volume = undefined;
    this.fileSystem.markLost(this.#dirty.takeAll());
  }

  async #serve(id: number, peer: string, call: Uint8Array): Promise<void> {
    // Without a server, or with one whose lease just ended, the asker looks for the holder again.
    const answer = this.#server === undefined || this.fileSystem.local === undefined ? undefined : await this.#server.serve(peer, call);
    this.#tell(
      answer === undefined || this.fileSystem.local === undefined
        ? { type: 'served', id, answer: new Uint8Array(0) }
        : { type: 'served', id, answer },
    );
  }

  #ask(call: Uint8Array): Promise<Uint8Array> {
    if (this.#asked.size >= maxAsked)
      return Promise.reject(new InfinitError('overloaded', `${maxAsked} operations wait for the host that serves the volume`));
    const id = this.#nextAsk++;
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { resolve, reject });
      this.#tell({ type: 'ask', id, call });
    });
  }
}
