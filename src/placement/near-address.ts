import type { Address } from '../block/index.ts';
import { place } from './place.ts';
import type { PeerId, Roster } from './roster.ts';

/** Addresses drawn for one block at most. Of 12 hosts with three copies one misses 1 time in 100, of 32 every fifth. */
const maxDraws = 16;
/** Of more hosts than this too few draws hit one: to find an address takes longer than it saves a few writes. */
const maxHosts = 32;

/**
 * An address whose block has a copy on this host, as HDFS puts the first copy at the writer: it is written with one message to one other host where it would take two. Placement is
 * as it is: the address is drawn again, a bounded number of times. docs/decisions/near-addresses.md.
 * @param draw A fresh address. Called once where one is as good as another: all hosts have all blocks, this one has none, or there are many hosts.
 */
export function nearAddress(self: PeerId, roster: Roster, replicas: number, draw: () => Address): Address {
  let drawn = draw();
  if (roster.size <= replicas || roster.size > maxHosts || (roster.get(self)?.capacity ?? 0) === 0) return drawn;
  for (let left = maxDraws - 1; left > 0 && !place(drawn, roster, replicas).includes(self); left--) drawn = draw();
  return drawn;
}
