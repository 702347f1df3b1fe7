import { type Accepted, formatBallot, type Reply, type Request } from '../../src/consensus/index.ts';

/** What happened, a line an event, for a person to read. Off, it costs nothing. */
export class Trace {
  readonly on: boolean;
  readonly #print: (line: string) => void;
  now = 0;

  constructor(on: boolean, print: (line: string) => void = () => {}) {
    this.on = on;
    this.#print = print;
  }

  say(text: string): void {
    if (this.on) this.#print(`${this.now.toFixed(3).padStart(12)}  ${text}`);
  }

  step(at: string, request: Request, reply: Reply): void {
    const from = request.from === at ? 'itself' : request.from;
    this.say(`${at}  ${request.block}  ${describeRequest(request)} from ${from} (${request.tag}.${request.attempt}) → ${describeReply(reply)}`);
  }
}

function describeRequest(request: Request): string {
  switch (request.type) {
    case 'prepare':
      return `prepare ${formatBallot(request.ballot)} view ${request.view}`;
    case 'accept':
      return `accept ${describeAccepted({ ballot: request.ballot, record: request.record, pointer: false })}${request.founding < 0 ? '' : ` founding in view ${request.founding}`}`;
    case 'read':
      return `read${request.lease === null ? '' : ` with ${request.lease.mode} lease`}`;
    case 'learn':
      return `learn ${describeAccepted({ ballot: request.ballot, record: request.record, pointer: false })}`;
    case 'forget':
      return `forget ${formatBallot(request.ballot)}`;
  }
}

function describeReply(reply: Reply): string {
  const promised = reply.promised === null ? '' : ` promised ${formatBallot(reply.promised)}`;
  const view = reply.views.map(({ number, replicas }) => ` view ${number} ${replicas.join('')}`).join('') + (reply.unsure ? ' unsure' : '');
  const grant = reply.grant === 0 ? '' : ` lease ${reply.grant}`;
  return `${reply.type}${reply.accepted === null ? '' : ` ${describeAccepted(reply.accepted)}`}${promised}${view}${grant}`;
}

/** `5.A#1.9 = v3 "42" e2 ABC`: ballot, version, value, epoch, replicas and what is being left. */
export function describeAccepted({ ballot, record, pointer }: Accepted): string {
  const value = pointer ? 'moved' : record.value === null ? 'removed' : `"${Buffer.from(record.value).toString('latin1')}"`;
  const previous = record.previous.length === 0 ? '' : ` leaving ${record.previous.map((set) => set.join('')).join(' and ')}`;
  const unsettled = record.unsettled.length === 0 ? '' : ` unsettled ${record.unsettled.join('')}`;
  return `${formatBallot(ballot)} = v${record.version} ${value} e${record.epoch} ${record.replicas.join('')}${previous}${unsettled}`;
}
