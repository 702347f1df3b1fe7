import { type Clock, codeOf, InfinitError, type Moment, momentOf, Patience, programPatienceMs } from '../../base/index.ts';
import { type FileSystem, FileSystemError, type KernelRequest, type MaybePromise, ProvenFailure } from '../file-system.ts';
import type { CallName } from '../journal/call-table.ts';
import { Admission, type LetIn, type Remote } from './admission.ts';
import { type Backing, type Done, type Greeting, type Learn, Moved, type ResultOf } from './backing.ts';
import { CallMemory, type CallNote } from './call-memory.ts';
import { CallNames } from './call-names.ts';
import { type CallTag, decodeAnswer, Dismissed, Forgotten, type SharedMethod } from './calls.ts';
import { earlier, holderGone, proven } from './earlier-calls.ts';
import { answerIncluded, answerOf, type Answering, asNew, includes, isRecorded, meetsItself, recorded, takesNames, toldOf } from './done-calls.ts';
import type { GuestCache } from './guest-cache.ts';
import type { Question } from './question.ts';
import { isAfterRelocking, isRepeatable, isTransient, pause, remembered, repeatable, retryMs } from './repeating.ts';

/** Told of an attempt: in which generation, and who is asked. */
type OnAsk = (generation: number, backing: Backing) => void;

/** Arguments that are made for each attempt: a handle is another one at another host. */
type MadeArgs = () => readonly unknown[] | Promise<readonly unknown[]>;

/** What of a call is of use after its answer. */
interface Asked {
  question?: Question;
  tag?: CallTag;
  /** Ends it once the host asked has said that it did nothing. */
  readonly signal?: AbortSignal | undefined;
}

/** The way to whoever has the volume, this thread or another host: operations wait while nobody has it, and go to the next where that does no harm. */
export class HolderLink {
  readonly #leaseHeld: () => boolean;
  readonly #greeting: Greeting;
  #backing: Backing | undefined;
  #generation = 0;
  #changed = Promise.withResolvers<void>();
  /** While a host that took over is told of our locks. */
  #relocking: Promise<void> | undefined;
  /** While what its predecessor had made for us, and not made durable, is made again. */
  #making: Promise<void> | undefined;
  /** While other hosts' files are made again here: until then no names are. */
  #naming: Promise<void> | undefined;
  /** When a host that served us answered last. */
  #heard: Moment;
  #moved = new AbortController();
  readonly #admission = new Admission();
  readonly #names: CallNames;
  readonly #cache: GuestCache;
  readonly #clock: Clock;
  /** By how long nobody could be asked. */
  readonly #patience: Patience;

  /**
   * @param cache what this host has in memory while it is a guest.
   * @param note for the next process of the mount.
   */
  constructor(leaseHeld: () => boolean, greeting: Greeting, cache: GuestCache, clock: Clock, note?: CallNote) {
    this.#names = new CallNames(new CallMemory(clock, note));
    this.#cache = cache;
    this.#clock = clock;
    this.#heard = momentOf(clock);
    this.#patience = new Patience(clock);
    this.#leaseHeld = leaseHeld;
    this.#greeting = greeting;
  }

  /** What is asked for until this is called again is the kernel's request: it bears the same number where the next process is sent it again. */
  asking(request: KernelRequest | undefined): void {
    this.#names.asking(request);
  }

  /** What `work` asks for at once has the number of the kernel's request, though that is not being served at this moment any more. */
  askedBy<T>(request: KernelRequest | undefined, work: () => T): T {
    this.#names.asking(request);
    try {
      return work();
    } finally {
      this.#names.asking(undefined);
    }
  }

  get backing(): Backing | undefined {
    return this.#backing;
  }

  /** Counts moves of the lease: handles and grants are good for one generation. */
  get generation(): number {
    return this.#generation;
  }

  get leaseHeld(): boolean {
    return this.#leaseHeld();
  }

  /** What has to be told to the host that serves the volume before all else is. */
  get tellings(): number {
    return [this.#relocking, this.#making, this.#naming].filter((telling) => telling !== undefined).length;
  }

  /** Ends waits for locks when the lease moves: they begin anew at the next host. */
  get moved(): AbortSignal {
    return this.#moved.signal;
  }

  /** The volume where it is open in this thread and the lease is good at this moment. */
  get local(): FileSystem | undefined {
    if (this.#backing?.kind !== 'local' || !this.#leaseHeld()) return undefined;
    this.#patience.heard();
    return this.#backing.volume;
  }

  /** True where an operation can be tried now. */
  get usable(): boolean {
    return this.#backing?.kind === 'remote' || this.local !== undefined;
  }

  /** undefined: nobody has it for now, operations wait; so they do until another host has let this one in. */
  move(backing: Backing | undefined): void {
    const other = backing?.kind === 'remote' ? backing : undefined;
    this.#admission.seek(other);
    this.#moveTo(other === undefined ? backing : undefined);
    if (other !== undefined) void this.#beLetIn(other);
  }

  async #beLetIn(backing: Remote): Promise<void> {
    while (this.#admission.isSought(backing)) {
      const letIn = await this.#admission.say(backing).catch(refused);
      if (!this.#admission.isSought(backing)) return;
      if (letIn === undefined) await pause(retryMs);
      else {
        this.#admission.found(letIn);
        this.#moveTo(backing);
      }
    }
  }

  #moveTo(backing: Backing | undefined): void {
    this.#names.forgetMemory(this.#backing?.kind === 'local' || backing?.kind === 'local');
    this.#backing = backing;
    this.#generation++;
    this.#cache.clear();
    this.#moved.abort();
    this.#moved = new AbortController();
    this.#naming = undefined;
    if (backing === undefined) return;
    if (backing.kind === 'local' && backing.names !== undefined) this.#beginNaming(backing.names);
    const making = (this.#making = this.#greeting.makeAgain(backing));
    const lockAgain = (): Promise<void> => this.#greeting.lockAgain(backing);
    const relocking = (making === undefined ? lockAgain() : this.#afterMaking(making, backing, lockAgain)).finally(() => {
      if (this.#relocking === relocking) this.#relocking = undefined;
    });
    this.#relocking = relocking;
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
    void relocking.then(() => this.#greeting.openAgain(backing));
  }

  #beginNaming(names: Promise<void>): void {
    this.#naming = names;
    void names.then(() => {
      if (this.#naming === names) this.#naming = undefined;
    });
  }

  async #afterMaking(making: Promise<void>, backing: Backing, then: () => Promise<void>): Promise<void> {
    await making;
    if (this.#making === making) this.#making = undefined;
    if (this.#backing === backing) await then();
  }

  /** The host that serves us had taken us for dead: what was open is opened again, what was locked is locked again if it is still free. */
  async rejoin(backing: Backing): Promise<void> {
    if (backing.kind !== 'remote' || this.#backing !== backing) return;
    const letIn = await this.#admission.say(backing);
    if (this.#backing !== backing) return;
    this.#admission.found(letIn);
    this.#moveTo({ ...backing });
  }

  /** As of {@link Admission}. */
  ask(backing: Backing & { readonly kind: 'remote' }, method: SharedMethod, args: readonly unknown[], tag?: CallTag): Promise<Uint8Array> {
    return this.#admission.ask(backing, method, args, tag);
  }

  /** Resolves when the host that took over knows of our locks. */
  async relocked(): Promise<void> {
    while (this.#relocking !== undefined) await this.#relocking;
  }

  /** {@link local}, where nothing has to be done before. */
  #readyFor(method: SharedMethod): FileSystem | undefined {
    return this.#making === undefined && (this.#naming === undefined || !takesNames.has(method)) ? this.local : undefined;
  }

  do<M extends SharedMethod>(method: M, ...args: readonly unknown[]): MaybePromise<ResultOf<M>> {
    const local = this.#names.asksAgain(method) ? undefined : this.#readyFor(method);
    const again = (): Promise<ResultOf<M>> => this.call<ResultOf<M>>(method, args);
    return local === undefined ? again() : this.settled(method, this.perform<ResultOf<M>>(local, method, args), again, args);
  }

  /** As {@link do}, and says in which generation that was which counts: a handle is good in that one alone, and one that was taken for an older one's would stay open for ever. */
  async doOnce<M extends SharedMethod>(method: M, ...args: readonly unknown[]): Promise<Done<ResultOf<M>>> {
    let generation = this.#generation;
    let isRemote = false;
    const local = this.#names.asksAgain(method) ? undefined : this.#readyFor(method);
    const onAsk: OnAsk = (now, { kind }) => {
      generation = now;
      isRemote = kind === 'remote';
    };
    const again = (): Promise<ResultOf<M>> => this.call<ResultOf<M>>(method, args, onAsk);
    const value = await (local === undefined ? again() : this.settled(method, this.perform<ResultOf<M>>(local, method, args), again, args));
    return { value, generation, isRemote };
  }

  /**
   * What an operation in this thread comes to that had to wait: an answer counts only while the lease is held, and the volume in which it was
   * found or done is still the one that is open.
   * @param again asks whoever has the volume by then.
   */
  settled<T>(method: SharedMethod, result: MaybePromise<T>, again: () => Promise<T>, args: readonly unknown[] = []): MaybePromise<T> {
    return result instanceof Promise ? this.#whenSettled(method, result, again, args) : result;
  }

  async #whenSettled<T>(method: SharedMethod, result: Promise<T>, again: () => Promise<T>, args: readonly unknown[]): Promise<T> {
    const generation = this.#generation;
    const began = this.#clock.monotonicMs();
    const outcome: { readonly value: T } | { readonly error: unknown } = await result.then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    );
    // That something could not be made durable is no answer about the volume: whoever waits for it has waited long enough.
    if ('error' in outcome && generation === this.#generation && !tellsOfVolume(outcome.error)) {
      if (!this.#leaseHeld()) this.#patience.missed(began);
      throw outcome.error;
    }
    // Programs that wait for the same directory wait one after another: a failure takes no longer than any operation may.
    const deadline = ('error' in outcome ? began : this.#clock.monotonicMs()) + programPatienceMs;
    const waits = !this.#leaseHeld();
    // The lease may come back as it was. Otherwise "there is no such name" may be as old as any other answer.
    while (generation === this.#generation && !this.#leaseHeld()) await this.#change(deadline);
    if ('error' in outcome) {
      if (generation === this.#generation) throw outcome.error;
      // It failed with the volume in which it was tried, before it changed anything.
      return again();
    }
    // What a read gives lies in the cache's memory, which by now may be another block's.
    if (waits && method === 'read') return again();
    if (generation === this.#generation) return outcome.value;
    if (isRepeatable(method, args)) return again();
    throw new InfinitError('unknown-outcome', 'the lease of the volume ended meanwhile');
  }

  perform<T>(local: FileSystem, method: SharedMethod, args: readonly unknown[]): MaybePromise<T> {
    this.#greeting.requireLocks(method, args);
    const target = method === 'put' ? (this.#backing as Backing & { kind: 'local' }).lending : local;
    const operation = (target as unknown as Record<string, (...values: readonly unknown[]) => MaybePromise<T>>)[method]!;
    return operation.apply(target, [...args]);
  }

  /**
   * Asks the host that has the volume, whichever it is by then, until it answers.
   * @param args a function where they are others at another host.
   * @param onAsk told of each attempt.
   * @param learn takes what another host's answer lets this one keep.
   */
  async call<T>(method: SharedMethod, args: readonly unknown[] | MadeArgs, onAsk?: OnAsk, learn?: Learn<T>, signal?: AbortSignal): Promise<T> {
    const asking: Asked = { signal };
    try {
      return await this.#call(method, args, asking, onAsk, learn);
    } catch (error) {
      // It may be done yet, though nobody here would know of it.
      if (asking.question?.effects !== undefined && !(error instanceof FileSystemError)) this.#cache.clear();
      throw error;
    } finally {
      if (asking.question !== undefined) this.#cache.end(asking.question);
      if (asking.tag !== undefined && recorded.has(method)) this.#names.answered(asking.tag);
    }
  }

  async #call<T>(
    method: SharedMethod,
    args: readonly unknown[] | MadeArgs,
    asking: Asked,
    onAsk: OnAsk | undefined,
    learn: Learn<T> | undefined,
  ): Promise<T> {
    const deadline = this.#deadline();
    let resent = this.#names.asksAgain(method);
    const name = this.#names.nameFor(method);
    let doubtful = resent;
    if (resent && name !== undefined) asking.tag = name();
    for (;;) {
      await this.ready(deadline);
      const backing = this.#backing;
      if (!this.usable || backing === undefined) continue;
      if (this.#relocking !== undefined && (isAfterRelocking(method, args) || this.#clock.monotonicMs() < deadline)) {
        await Promise.race([this.#relocking, this.#change(deadline)]);
        continue;
      }
      let values = typeof args === 'function' ? await args() : args;
      if (this.#backing !== backing) continue;
      this.#greeting.requireLocks(method, values);
      if (backing.kind === 'local') {
        if (this.local === undefined) continue;
        if (this.#naming !== undefined && takesNames.has(method)) {
          await Promise.race([this.#naming, this.#change(deadline)]);
          continue;
        }
        onAsk?.(this.#generation, backing);
        if (doubtful && includes(method, values)) {
          const { tag } = asking;
          const outcome = tag && (await backing.volume.callOutcome?.(values[0] as number, tag, tag.calls ?? 0));
          if (this.#backing !== backing || this.local === undefined) continue;
          if (outcome === undefined) throw holderGone();
          if (outcome === 'done') return answerIncluded(method, values) as T;
        } else if (doubtful && !isRepeatable(method, values)) {
          const done = earlier(backing.volume, method, asking.tag);
          // What a request meets that is sent again tells, or of an exchange the redo log.
          if (done === undefined && !resent) throw holderGone();
          if (typeof done === 'object') return (await answerOf(backing.volume as Answering, method, values, done)) as T;
          if (done === undefined) resent = false;
          else values = asNew(method, values);
        }
        if (resent)
          return proven(async () => this.settled(method, this.perform<T>(this.local!, method, values), () => this.call(method, args, onAsk), values));
        return this.settled(method, this.perform<T>(this.local, method, values), () => this.call(method, args, onAsk), values);
      }
      const saying = !this.#names.knowMemory && isRecorded(method, values) ? this.#greeting.saying() : undefined;
      if (saying !== undefined && this.#clock.monotonicMs() < deadline) {
        await Promise.race([saying, this.#change(deadline)]);
        continue;
      }
      onAsk?.(this.#generation, backing);
      const question = (asking.question ??= this.#cache.ask(method, values));
      const { gave } = question;
      if (gave.length > 0) {
        await this.#greeting.openUnsaid(gave);
        if (this.#backing !== backing) continue;
      }
      if (name !== undefined && !doubtful) asking.tag = name();
      const { tag } = asking;
      const told = tag && this.#names.tell(tag, doubtful, gave);
      let answered = false;
      const asked = this.#cache.moment();
      try {
        const answer = await this.ask(backing, method, toldOf(method, values), told?.tag);
        answered = true;
        this.#patience.heard();
        const { value: sent, memory, granted, calls } = decodeAnswer(answer);
        this.learnCalls(backing, calls);
        if (told !== undefined) this.#names.heard(told, memory);
        // The bytes of a read come in one from another host. They are slices here as they are where the volume is open: it may be this host by the next attempt.
        const value = method === 'read' ? [sent] : sent;
        if (granted !== undefined) {
          this.#cache.learn(question, granted, asked);
          learn?.(question, value as T, granted, asked);
        }
        this.#cache.done(question, method, values, value);
        return value as T;
      } catch (error) {
        if (error instanceof FileSystemError) throw resent ? new ProvenFailure(error) : error;
        // Also by one that has no time left: whoever comes next is heard again.
        if (error instanceof Dismissed) await this.rejoin(backing).catch(() => (this.#patience.missed(), pause(retryMs)));
        if (error instanceof Forgotten && resent && meetsItself(method, values)) resent = false;
        else if (error instanceof Forgotten && !isRepeatable(method, values)) throw holderGone();
        if (this.#clock.monotonicMs() > deadline)
          throw error instanceof Dismissed ? new InfinitError('unavailable', 'the host that serves the volume gave this one up') : error;
        if (error instanceof Forgotten) doubtful = false;
        if (error instanceof Dismissed || error instanceof Forgotten) continue;
        if (!isTransient(error)) throw error;
        const code = codeOf(error);
        if (!answered) this.#patience.missed();
        else if (code === 'unavailable' && asking.signal?.aborted === true) throw new FileSystemError('EINTR');
        // A host that answers may have done it and not have made it durable.
        if (code === 'unknown-outcome' || (answered && code !== 'overloaded')) doubtful = true;
        if (doubtful && !remembered.has(method) && !repeatable.has(method)) throw error;
        await pause(retryMs);
      }
    }
  }

  /** As an answer said. */
  learnCalls(backing: Backing, memory: number | undefined): void {
    this.#heard = momentOf(this.#clock);
    if (memory !== undefined && this.#backing === backing) this.#names.learnMemory(memory);
  }

  /** When a host that served us answered last. */
  get lastHeard(): Moment {
    return this.#heard;
  }

  /** Names a call of this process's own. */
  newCall(): CallName {
    return this.#names.newCall();
  }

  /** It will not be made again. */
  answered(tag: CallTag): void {
    this.#names.answered(tag);
  }

  /** As {@link call}, in this generation alone. @throws Moved when it is over. */
  async callIn<T>(generation: number, method: SharedMethod, args: readonly unknown[], learn?: Learn<T>, signal?: AbortSignal): Promise<T> {
    const deadline = this.#deadline();
    while (generation === this.#generation && !this.usable) await this.#change(deadline);
    if (generation !== this.#generation) throw new Moved();
    const there = (): readonly unknown[] => {
      if (generation !== this.#generation) throw new Moved();
      return args;
    };
    return this.call(method, there, undefined, learn, signal);
  }

  /** Waits until some host has the volume. */
  async ready(deadline = this.#deadline()): Promise<number> {
    while (!this.usable) await this.#change(deadline);
    return this.#generation;
  }

  /** Waits for a change of who has the volume, or a moment. @throws InfinitError `unavailable` after the deadline. */
  async #change(deadline: number): Promise<void> {
    if (!this.usable) this.#patience.missed();
    const left = deadline - this.#clock.monotonicMs();
    if (left <= 0) throw new InfinitError('unavailable', 'no host serves the volume');
    await Promise.race([this.#changed.promise, pause(Math.min(left, retryMs))]);
  }

  /** Until when an operation that begins now waits. */
  #deadline(): number {
    return this.#clock.monotonicMs() + this.#patience.take();
  }
}

/** Whether a failure says how things are on the volume, rather than that it could not be found out or done. */
function tellsOfVolume(error: unknown): boolean {
  return error instanceof FileSystemError && error.errno !== 'EIO' && error.errno !== 'ETIMEDOUT';
}

/** Where a host refuses whatever is asked, each that asks is to hear so. undefined: it may be in reach soon. */
function refused(error: unknown): LetIn | undefined {
  return isTransient(error) ? undefined : { term: undefined };
}
