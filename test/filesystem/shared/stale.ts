/** What was done to a file, and seen of it; both times by a counter that goes up with each event. */
export interface Event {
  readonly what: 'write' | 'see';
  readonly name: string;
  /** Its size, which no two writes give it; 0: there is none. */
  readonly value: number;
  readonly began: number;
  /** Of what is written: from now on it is certain. */
  readonly ended: number;
  /** Where it is not certain then: by now it was written, or it is lost. */
  readonly answered?: number;
  readonly client: number;
}

/** What was seen that cannot have been so; undefined: nothing. */
export function staleIn(events: readonly Event[]): string | undefined {
  const names = new Set(events.map(({ name }) => name));
  for (const name of names) {
    const found = staleInOne(events.filter((event) => event.name === name));
    if (found !== undefined) return `${name}: ${found}`;
  }
  return undefined;
}

function staleInOne(events: readonly Event[]): string | undefined {
  // Before all there was nothing.
  const never: Event = { what: 'write', name: '', value: 0, began: -1, ended: -1, client: 0 };
  const writes = [never, ...events.filter(({ what }) => what === 'write')];
  const seen = events.filter(({ what }) => what === 'see').sort((one, other) => one.began - other.began);
  for (const [at, see] of seen.entries()) {
    const made = writes.filter(({ value, began }) => value === see.value && began < see.ended);
    const newer = ({ ended, answered = ended }: Event): Event | undefined =>
      writes.find((other) => other.began > answered && other.ended < see.began);
    if (made.length === 0) return `${see.value} was seen and not written before`;
    if (made.every((write) => newer(write) !== undefined))
      return `client ${see.client} saw ${see.value} at ${see.began} to ${see.ended}, which was overwritten: ${JSON.stringify(newer(made.at(-1)!))}`;
    // What is not there may be so for another reason each time.
    if (see.value === 0) continue;
    for (const earlier of seen.slice(0, at)) {
      if (earlier.ended >= see.began || earlier.value === see.value || earlier.value === 0) continue;
      const before = writes.find(({ value }) => value === earlier.value)!;
      // Who writes a file sees that before it is closed, and it may be lost.
      if (earlier.client === before.client && before.ended > see.began) continue;
      if (before.began > made[0]!.ended) return `client ${see.client} saw ${see.value} after client ${earlier.client} had seen ${earlier.value}`;
    }
  }
  return undefined;
}
