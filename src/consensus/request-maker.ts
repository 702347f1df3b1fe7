import type { Ballot, PeerId } from './ballot.ts';
import type { Accept, Forget, Learn, LeaseRequest, Prepare, Read, RequestHead } from './messages.ts';
import type { BlockId, BlockRecord } from './record.ts';

/** The requests of one operation, each of another attempt: answers to an earlier one are told from those to the last. */
export class RequestMaker {
  readonly from: PeerId;
  readonly block: BlockId;
  readonly tag: number;
  #attempt = 0;

  constructor(from: PeerId, block: BlockId, tag: number) {
    this.from = from;
    this.block = block;
    this.tag = tag;
  }

  /** Of the last request. */
  get attempt(): number {
    return this.#attempt;
  }

  /** Answers to the last request count no longer. */
  pass(): void {
    this.#attempt++;
  }

  read(view: number, known: Ballot | null, lease: LeaseRequest | null): Read {
    const { from, block, tag } = this;
    return { type: 'read', from, block, tag, attempt: ++this.#attempt, view, known, lease };
  }

  prepare(ballot: Ballot, view: number, known: Ballot | null): Prepare {
    const { from, block, tag } = this;
    return { type: 'prepare', from, block, tag, attempt: ++this.#attempt, ballot, view, known };
  }

  accept({ ballot, record, next, condition, founding, leaseClock, lease }: Omit<Accept, 'type' | keyof RequestHead>): Accept {
    const { from, block, tag } = this;
    return { type: 'accept', from, block, tag, attempt: ++this.#attempt, ballot, record, next, condition, founding, leaseClock, lease };
  }

  learn(ballot: Ballot, record: BlockRecord): Learn {
    const { from, block, tag } = this;
    return { type: 'learn', from, block, tag, attempt: ++this.#attempt, ballot, record };
  }

  forget(ballot: Ballot, floor: number): Forget {
    const { from, block, tag } = this;
    return { type: 'forget', from, block, tag, attempt: ++this.#attempt, ballot, floor };
  }
}
