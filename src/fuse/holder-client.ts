import { type Logger } from '../base/index.ts';
import { type FromHolder, holderVariable, type AdoptedMount, type ToHolder } from './holder-messages.ts';
import { hasResend, linux } from './wire/index.ts';

/** A holder answers `hello` at once; one that does not is as good as none. */
const helloTimeoutMs = 5000;

/** The daemon's side of the holder. Without one all works, only that no mount outlives the daemon. */
export class HolderClient {
  readonly #logger: Logger;
  #inherited: readonly AdoptedMount[] = [];
  #connected = false;
  /** Who asked which mounts are kept: the holder answers one after the other. */
  readonly #asked: ((mounts: readonly AdoptedMount[] | undefined) => void)[] = [];

  private constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** To be called once, first thing in the main thread. */
  static async connect(logger: Logger): Promise<HolderClient> {
    const client = new HolderClient(logger);
    if (process.env[holderVariable] === undefined || process.send === undefined) return client;
    // Programs that the daemon starts have no holder.
    delete process.env[holderVariable];
    await client.#greet();
    return client;
  }

  async #greet(): Promise<void> {
    process.on('message', (message: FromHolder) => this.#hear(message));
    const mounts = await this.#ask();
    // The channel alone is no reason to live on. Must come after the listener, which would hold it again.
    process.channel?.unref();
    if (mounts === undefined) return;
    this.#inherited = mounts;
    this.#connected = true;
    process.once('disconnect', () => {
      this.#connected = false;
      this.#logger.warn('the holder process is gone: mounts no longer outlive the daemon');
    });
  }

  #hear(message: FromHolder): void {
    if (message.type === 'inherit') this.#asked.shift()?.(message.mounts);
    else this.#logger.warn('the holder cannot keep a mount', { volume: message.volume, reason: message.reason });
  }

  /** Asks the holder which mounts it keeps, after all that it was told until now; undefined: it does not answer. */
  async #ask(): Promise<readonly AdoptedMount[] | undefined> {
    const { promise, resolve } = Promise.withResolvers<readonly AdoptedMount[] | undefined>();
    this.#asked.push(resolve);
    const timer = setTimeout(() => resolve(undefined), helloTimeoutMs);
    // A holder that has just died is no reason to fail: without the callback the error would end the process.
    process.send!({ type: 'hello' } satisfies ToHolder, undefined, undefined, (error) => error !== null && resolve(undefined));
    const mounts = await promise;
    clearTimeout(timer);
    return mounts;
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
    const mounts = await this.#ask();
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
