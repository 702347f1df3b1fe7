import { randomUUID } from 'node:crypto';

/** Files that are lent at a time, lapsed ones included. */
const maxLoans = 4096;
/** With as many as that, one is asked back for the next that was lent, and written last, so long ago, in ms. */
const idleMs = 60_000;
/** However much a guest says that it wrote: after so long it is not waited for any more, in ms. */
const maxReturnMs = 30_000;
/** How often it is looked whether a guest that is giving something back goes on doing so, in ms. */
const lookMs = 100;

interface Loan {
  readonly peer: string;
  readonly id: string;
  readonly lentMs: number;
  /** The guest was not heard when somebody wanted to see the file: it was shown as it was known here. What the guest wrote is taken yet, until somebody else changes the file. */
  lapsed: boolean;
  /** What it wrote is being taken. */
  busy: number;
  /** When something of it was taken last. */
  heardMs: number;
  recall: Promise<void> | undefined;
  readonly ended: PromiseWithResolvers<void>;
}

export interface LoansOptions {
  /** Monotonic, in ms. */
  readonly now: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  /** For how long after it was heard last a guest is waited for, in ms. */
  readonly patienceMs: number;
  /** Asks a guest for a file; resolves when it has said all that it wrote, and does not have it any more. */
  readonly recall: (peer: string, inode: number, answer: Promise<void>) => Promise<void>;
  /** Until when the guest trusts what it has, at the latest, in ms. */
  readonly untilMs: (peer: string) => number;
}

/**
 * Files that guests have for themselves, to write in their own memory. Before anybody else sees or changes one, its guest says what it wrote. One that is not heard
 * holds that up for as long as it trusts what it has; then a file may be seen as it was before, and what the guest says later is taken as long as nobody else has changed the file.
 */
export class Loans {
  readonly #options: LoansOptions;
  readonly #loans = new Map<number, Loan>();
  #closed = false;

  constructor(options: LoansOptions) {
    this.#options = options;
  }

  /** In the moment in which nobody has the inode in memory. undefined: not now. */
  lend(peer: string, inode: number): string | undefined {
    if (this.#closed || this.#loans.has(inode) || !this.#hasRoom()) return undefined;
    const lentMs = this.#options.now();
    const loan = { peer, id: randomUUID(), lentMs, lapsed: false, busy: 0, heardMs: 0, recall: undefined, ended: Promise.withResolvers<void>() };
    this.#loans.set(inode, loan);
    return loan.id;
  }

  /** Those that have not lapsed. */
  get lent(): number {
    let lent = 0;
    for (const { lapsed } of this.#loans.values()) if (!lapsed) lent++;
    return lent;
  }

  has(inode: number): boolean {
    return this.#loans.get(inode)?.lapsed === false;
  }

  /** Whether the guest may write the inode still. */
  isGood(peer: string, inode: number, id: string): boolean {
    const loan = this.#loans.get(inode);
    return loan !== undefined && loan.peer === peer && loan.id === id;
  }

  /** What the guest wrote is being taken; returns what ends that. */
  hear(peer: string, inode: number): () => void {
    const loan = this.#loans.get(inode);
    if (loan === undefined || loan.peer !== peer) return () => {};
    loan.busy++;
    return () => {
      loan.busy--;
      loan.heardMs = this.#options.now();
    };
  }

  /** The guest does not have it any more. */
  end(peer: string, inode: number): void {
    const loan = this.#loans.get(inode);
    if (loan?.peer === peer) this.#end(inode, loan);
  }

  /** Somebody is about to see it. undefined: now. */
  seeing(inode: number): Promise<void> | undefined {
    const loan = this.#loans.get(inode);
    return loan === undefined || loan.lapsed ? undefined : this.#recall(inode, loan);
  }

  /** Somebody is about to change it, perhaps the guest that has it. undefined: now, and nothing of what another guest wrote is taken from then on. */
  changing(inode: number, owner: string | undefined): Promise<void> | undefined {
    const loan = this.#loans.get(inode);
    if (loan === undefined || (loan.peer === owner && owner !== undefined)) return undefined;
    if (!loan.lapsed) return this.#recall(inode, loan);
    this.#end(inode, loan);
    return undefined;
  }

  /** The guest is lost, or has forgotten everything. */
  lapse(peer: string): void {
    for (const loan of this.#loans.values()) if (loan.peer === peer) loan.lapsed = true;
  }

  /** Lends nothing from now on. Resolves when everything is back, or given up. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#loans.keys()].map(async (inode) => this.seeing(inode)));
  }

  #recall(inode: number, loan: Loan): Promise<void> {
    loan.recall ??= this.#recallNow(inode, loan).finally(() => (loan.recall = undefined));
    return loan.recall;
  }

  async #recallNow(inode: number, loan: Loan): Promise<void> {
    const { now, sleep, recall, untilMs, patienceMs } = this.#options;
    const { ended } = loan;
    void recall(loan.peer, inode, ended.promise).then(
      () => this.#end(inode, loan),
      () => {},
    );
    const givenUpMs = now() + maxReturnMs;
    while (this.#loans.get(inode) === loan && now() < givenUpMs) {
      const left = loan.busy > 0 ? lookMs : Math.min(lookMs, Math.max(untilMs(loan.peer), loan.heardMs + patienceMs) - now());
      if (left <= 0) break;
      await Promise.race([ended.promise, sleep(Math.ceil(left))]);
    }
    loan.lapsed = true;
    ended.resolve();
  }

  #end(inode: number, loan: Loan): void {
    if (this.#loans.get(inode) === loan) this.#loans.delete(inode);
    loan.ended.resolve();
  }

  /** What lapsed longest ago makes room: whoever has it hears that it wrote in vain. And what its guest has no use for, or never heard that it has. */
  #hasRoom(): boolean {
    if (this.#loans.size < maxLoans) return true;
    for (const [inode, loan] of this.#loans) {
      if (!loan.lapsed) continue;
      this.#end(inode, loan);
      return true;
    }
    const before = this.#options.now() - idleMs;
    const idle = this.#loans.entries().find(([, { lentMs, heardMs, busy }]) => busy === 0 && Math.max(lentMs, heardMs) <= before);
    // Nobody waits for that: the next time there is room. One at a time, since the guest may not be heard.
    if (idle !== undefined) void this.#recall(...idle);
    return false;
  }
}
