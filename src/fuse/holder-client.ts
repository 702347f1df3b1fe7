import { type Logger } from '../base/index.ts';
import { type FromHolder, holderVariable, type AdoptedMount, type ToHolder } from './holder-messages.ts';
import { hasResend, linux } from './wire/index.ts';

/** A holder answers `hello` at once; one that does not is as good as none. */
const helloTimeoutMs = 5000;

/** Asks the holder which mounts it keeps, after all that it was told until now; undefined: it does not answer. */
async function ask(): Promise<readonly AdoptedMount[] | undefined> {
  const answer = Promise.withResolvers<readonly AdoptedMount[] | undefined>();
  const hear = (message: FromHolder): void => {
    if (message.type === 'inherit') answer.resolve(message.mounts);
  };
  process.on('message', hear);
  const timer = setTimeout(() => answer.resolve(undefined), helloTimeoutMs);
  // A holder that has just died is no reason to fail: without the callback the error would end the process.
  process.send!({ type: 'hello' } satisfies ToHolder, undefined, undefined, (error) => error !== null && answer.resolve(undefined));
  const mounts = await answer.promise;
  clearTimeout(timer);
  process.off('message', hear);
  return mounts;
}

/** The daemon's side of the holder. Without one all works, only that no mount outlives the daemon. */
export class HolderClient {
  readonly #inherited: readonly AdoptedMount[];
  readonly #logger: Logger;
  #connected: boolean;

  private constructor(connected: boolean, inherited: readonly AdoptedMount[], logger: Logger) {
    this.#connected = connected;
    this.#inherited = inherited;
    this.#logger = logger;
    if (!connected) return;
    process.on('message', (message: FromHolder) => {
      if (message.type === 'refused') logger.warn('the holder cannot keep a mount', { volume: message.volume, reason: message.reason });
    });
    process.once('disconnect', () => {
      this.#connected = false;
      logger.warn('the holder process is gone: mounts no longer outlive the daemon');
    });
    // The channel alone is no reason to live on. Must come after the listener, which would hold it again.
    process.channel?.unref();
  }

  /** To be called once, first thing in the main thread. */
  static async connect(logger: Logger): Promise<HolderClient> {
    if (process.env[holderVariable] === undefined || process.send === undefined) return new HolderClient(false, [], logger);
    // Programs that the daemon starts have no holder.
    delete process.env[holderVariable];
    const mounts = await ask();
    return new HolderClient(mounts !== undefined, mounts ?? [], logger);
  }

  /** Is there a holder? */
  get connected(): boolean {
    return this.#connected;
  }

  /** Mounts of an earlier daemon. Each must be served with its `init` as `adopted` and registered again, or ended, closed and released. */
  inherited(): readonly AdoptedMount[] {
    return this.#inherited;
  }

  /** Has the mount kept. Must be called while the descriptor is open, with the session's latest agreement. */
  register(mount: AdoptedMount): void {
    if (!this.#connected) return;
    if (hasResend(mount.init)) return this.#send({ type: 'register', mount });
    // Requests that a dead daemon had read would never be answered.
    this.#logger.warn(`this kernel (before ${linux.keepsMounts}) cannot hand a mount to another daemon: it ends with this one`, {
      volume: mount.volume,
    });
  }

  /**
   * Does the holder have a duplicate of its own of a mount that was registered? To be asked before the descriptor is closed: it takes it from this process, in its own time, and may have failed to.
   * A holder that does not answer keeps what it has, and is taken to have it.
   */
  async keeps(mount: { readonly connection: number }): Promise<boolean> {
    if (!this.#connected) return false;
    const mounts = await ask();
    return this.#connected && (mounts === undefined || mounts.some(({ connection }) => connection === mount.connection));
  }

  /** The mount has ended. To be called before its descriptor is closed. */
  release(fd: number): void {
    if (this.#connected) this.#send({ type: 'release', fd });
  }

  #send(message: ToHolder): void {
    process.send!(message, undefined, undefined, () => {});
  }
}
