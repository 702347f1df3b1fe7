import type { Address } from '../../src/block/index.ts';
import { type Accepted, isMember, type ProposalOutcome, sameReplicas } from '../../src/consensus/index.ts';
import { forgetPromise } from './events.ts';
import { isOutsider, isResolved } from './held.ts';
import type { Host } from './host.ts';
import type { Part } from './part.ts';
import type { SeededRandom } from './random.ts';
import type { World } from './world.ts';

/** Tries after which it may be the turn of any host that holds a block: sets have five hosts at the most. */
const maxPatience = 7;

/** What hosts do with their blocks, as src/repair decides it: blocks move to where the views say, damaged copies are replaced, and who was counted out gives up what it holds. */
export class Tending {
  readonly #world: World;
  readonly #chance: SeededRandom;
  readonly #busy = new Set<string>();

  constructor(world: World, chance: SeededRandom) {
    this.#world = world;
    this.#chance = chance;
  }

  /** What it does about its blocks now. */
  tick(part: Part): void {
    const { state, host } = part;
    const { blocks } = this.#world;
    if (part.retirement !== undefined && part.resolved !== state.retiring) {
      for (const block of blocks) {
        if (part.done.has(block)) continue;
        if (host.stateOf(block) === undefined) part.done.add(block);
        else this.#move(part, block);
      }
      if (part.done.size === blocks.length || this.#world.mutant.retiresUnresolved === true) part.resolved = state.retiring;
    }
    const block = this.#chance.pick(blocks);
    if (host.stateOf(block)?.lost === true) this.#replaceLost(part, block);
    else if (part.unchecked.has(block)) this.#tend(part, block);
  }

  /** The views changed, or a host is heard again. */
  checkAll(part: Part): void {
    part.checks++;
    for (const block of this.#world.blocks) part.unchecked.add(block);
  }

  /** As src/repair does between changes of the roster: where nothing is left to do the block is not looked at again before there is a reason. */
  #tend(part: Part, block: string): void {
    const { host, standpoint } = part;
    const accepted = host.stateOf(block)?.accepted ?? null;
    const { checks } = part;
    // What was begun before the views changed may take the block away again from where others brought it meanwhile: what the next check in production finds.
    const done = (): void => void (part.checks === checks ? part.unchecked.delete(block) : part.unchecked.add(block));
    if (accepted === null) return done();
    const { record } = accepted;
    const view = standpoint.onlyView;
    const isHome = view !== undefined && standpoint.home(block as Address, view).includes(host.name);
    if (accepted.pointer) return isHome ? this.#bringHome(part, block, done) : done();
    // What is of others is listed, or brought through. One that left the set since its copy was damaged is looked at again once it is told so.
    if (!record.replicas.includes(host.name)) return this.#resolve(part, block, () => isHome || done());
    if (!standpoint.isMyTurn(record.replicas, 0)) return done();
    this.#bringHome(part, block, done);
  }

  /** Reads the block with this host's own acceptor answering, and goes on where nothing is here that the quorum does not know of. */
  #resolve(part: Part, block: string, then: (outcome: ProposalOutcome & { readonly status: 'committed' }) => void, inVain = (): void => {}): void {
    const { host } = part;
    const key = `${host.name}/${block}`;
    if (this.#busy.has(key)) return;
    this.#busy.add(key);
    const held = host.acceptedOf(block);
    host.run(
      block,
      { kind: 'read', own: held !== null && !held.pointer },
      {
        useHint: false,
        done: (outcome) => {
          this.#busy.delete(key);
          if (outcome?.status !== 'committed') return inVain();
          if (!isResolved(held, outcome)) return host.up ? host.dropForgotten(block, held, outcome) : undefined;
          const listed = outcome.accepted?.record.unsettled.includes(host.name) === true;
          const outside = isOutsider(host.name, held, outcome.accepted);
          if (outside && !listed) return this.#settle(part, block);
          if (outside) host.learn(block, outcome.accepted!);
          then(outcome);
        },
      },
    );
  }

  #settle(part: Part, block: string): void {
    const key = settlingOf(part.host, block);
    if (this.#busy.has(key)) return;
    this.#busy.add(key);
    part.host.run(block, { kind: 'settle', revoked: part.gone, also: [part.host.name] }, { done: () => this.#busy.delete(key) });
  }

  #move(part: Part, block: string): void {
    const { retiring } = part.state;
    const moved = ({ accepted }: { readonly accepted: Accepted | null }): void => {
      const { host, state, standpoint, knowledge } = part;
      // A host that was counted out meanwhile counts what it gave up in `done`, not what it moved.
      if (knowledge.standing !== 'member' || state.retiring !== retiring || !host.up) return;
      if (accepted === null) return void part.done.add(block);
      const { record } = accepted;
      const to = part.retirement?.to;
      if (to === undefined) return;
      const wanted = standpoint.successors(block as Address, to);
      if (wanted.length === 0 || (record.previous.length === 0 && sameReplicas(record.replicas, wanted))) return void part.done.add(block);
      if (standpoint.mayMove(record, this.#chance.below(maxPatience)) && standpoint.canTake(wanted)) this.#change(part, block, record.epoch, wanted);
    };
    this.#resolve(part, block, moved, () => this.#leavePromise(part.host, block));
  }

  /** What was merely promised of a block whose majority is lost is left to the floor, as src/repair does it. */
  #leavePromise(host: Host, block: string): void {
    const state = host.up && host.barred.size > 0 ? host.stateOf(block) : undefined;
    if (state !== undefined && !state.lost && state.accepted === null) this.#world.send(host.index, forgetPromise(host.name, block, host.index));
  }

  /** Blocks move as soon as there is a newer view, whether the oldest retires or not; as `Standpoint.nextView` says, not past it. */
  #bringHome(part: Part, block: string, done: () => void): void {
    const { standpoint } = part;
    const wanted = standpoint.successors(block as Address, standpoint.nextView);
    if (wanted.length === 0 || !standpoint.canTake(wanted)) return done();
    this.#resolve(part, block, ({ accepted }) => {
      if (accepted === null || (accepted.record.previous.length === 0 && sameReplicas(accepted.record.replicas, wanted))) return done();
      const { record } = accepted;
      if (!standpoint.isAhead(block as Address, record)) this.#change(part, block, record.epoch, wanted, done);
      else if (record.previous.length > 0) this.#change(part, block, record.epoch - 1, record.replicas, done);
      else done();
    });
  }

  /** As `Housekeeping.change`. */
  #change(part: Part, block: string, fromEpoch: number, replicas: readonly string[], then = (): void => {}): void {
    if (!part.host.hasSay()) return;
    part.host.run(block, { kind: 'change', fromEpoch, replicas }, { done: (outcome) => outcome?.status === 'committed' && then() });
  }

  /** A damaged copy leaves the set, is told so, and is an ordinary newcomer then. */
  #replaceLost(part: Part, block: string): void {
    const { host } = part;
    this.#resolve(part, block, ({ accepted }) => {
      if (accepted === null) return;
      const { record } = accepted;
      const others = record.replicas.filter((peer) => peer !== host.name);
      // Then it has a pointer, and is to have a copy again.
      part.unchecked.add(block);
      if (!isMember(record, host.name)) this.#settle(part, block);
      else if (others.length > 0) this.#change(part, block, record.epoch, others, () => this.#settle(part, block));
    });
  }

  /** Counted out, whether nothing is left; each lost state is given up when the host is told where the block is, or when nobody has it and the floor covers what was promised; then its pointers. */
  hasGivenUp(part: Part): boolean {
    const { host } = part;
    let left = 0;
    for (const block of this.#world.blocks) {
      const kept = host.stateOf(block);
      // What is given up is gone from the disk before the host says so.
      if (!host.isDurable(block)) {
        left++;
        host.writeAgain(block);
      }
      // Nor may it be told anything afterwards by what it began itself.
      if (this.#busy.has(settlingOf(host, block))) left++;
      if (kept?.accepted?.pointer === true) {
        left++;
        host.dropPointer(block, kept.accepted.ballot);
      }
      if (kept?.lost !== true) continue;
      left++;
      if (part.done.has(block)) left--;
      this.#resolve(part, block, ({ accepted }) => {
        if (part.knowledge.standing !== 'outcast' || !host.up) return;
        if (accepted === null) {
          // What was damaged before, and is nowhere else, stays lost: its promise is not known, so no floor covers it.
          if (!host.dropLost(block) && kept.promised === null) part.done.add(block);
        } else if (!isMember(accepted.record, host.name)) this.#settle(part, block);
      });
    }
    return left === 0;
  }
}

function settlingOf({ name }: Host, block: string): string {
  return `${name}/${block}/settle`;
}
