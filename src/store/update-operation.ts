import { assert, InfinitError } from '../base/index.ts';
import { beginLineage, continueLineage, isGivenUp, isOwnedBy, kindOf, maxLineageBytes, sealOverheadBytes } from '../block/index.ts';
import { type BlockRecord, compareAndSet, type Operation, putAny, putIfAbsent, update } from '../consensus/index.ts';
import { maxMutableBytes, type Update } from './block-store.ts';

/** @throws InfinitError `too-large`. */
export function checkUpdate({ address, payload }: Update): void {
  assert(kindOf(address) !== 'immutable', 'immutable blocks are put, not updated');
  if (payload !== null && payload.length > maxMutableBytes + sealOverheadBytes + maxLineageBytes)
    throw new InfinitError('too-large', `a mutable block holds at most ${maxMutableBytes} bytes; ${address} was given ${payload.length}`);
}

/** What the proposer is to do for an update. */
export function operationOf({ expect, fresh, payload, owner }: Update): Operation {
  if (owner !== undefined) return updateOwned(owner, expect, payload);
  if (expect === 'any') return putAny(payload);
  if (expect === 'lost') return update((current) => (current !== null && isGivenUp(current.value) ? payload : undefined));
  if (expect !== 'absent') return compareAndSet(expect, payload);
  // Removing what must not be there changes nothing, but says whether it is.
  return payload === null ? { kind: 'write', apply: () => undefined } : putIfAbsent(payload, fresh);
}

/** The owner is looked at by the very step that replaces the value, so that nothing can come between. */
function updateOwned(owner: Uint8Array, expect: Update['expect'], payload: Uint8Array | null): Operation {
  const next = (current: BlockRecord | null, version: number): Uint8Array | null | undefined => {
    const value = current === null ? null : current.value;
    // What was given up is nobody's: whoever does not mind what is there makes it anew.
    if ((expect === 'any' || expect === 'lost') && isGivenUp(value)) return payload === null ? null : beginLineage(payload, version);
    if (expect === 'absent') return value === null && payload !== null ? beginLineage(payload, version) : undefined;
    if (current === null || value === null || !isOwnedBy(value, owner)) return undefined;
    if (expect !== 'any' && expect !== current.version) return undefined;
    return payload === null ? null : continueLineage(payload, { version: current.version, payload: value });
  };
  // The proposer asks whether it applies before it applies it, of one and the same record.
  let last: { readonly current: BlockRecord | null; readonly version: number; readonly value: Uint8Array | null | undefined } | undefined;
  return update((current, version) => {
    if (last?.current !== current || last.version !== version) last = { current, version, value: next(current, version) };
    return last.value;
  });
}
