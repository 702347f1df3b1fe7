import { InfinitError } from '../base/index.ts';
import { firstStoreKind } from '../overlay/index.ts';
import type { Report } from './plan.ts';
import { decodeRosterState, encodeRosterState, type RosterState } from './roster-state.ts';

/** Message kinds of the views of the roster; docs/wire-protocol.md lists their bodies. */
export const kinds = {
  /** What do you know? The sender's report; answered with a report, and the state where it is newer. */
  report: firstStoreKind + 20,
  /** A newer state. A notification. */
  news: firstStoreKind + 21,
} as const;

/** Silent hosts that one report names, as many as there are members; each look at what is to be done goes through them. */
const maxSilent = 4096;
const maxPeerLength = 128;

const standings = ['stranger', 'fresh', 'member', 'outcast'] as const;

/** @param state Told along where the asker knows an older one. */
export function encodeReport(report: Report, state: RosterState | undefined): Uint8Array {
  return Buffer.from(
    JSON.stringify({ ...report, ...(state === undefined ? {} : { state: Buffer.from(encodeRosterState(state)).toString('utf8') }) }),
  );
}

/** @throws InfinitError `bad-argument`, or as {@link decodeRosterState}. */
export function decodeReport(
  body: Uint8Array,
  latest: RosterState | undefined,
): { readonly report: Report; readonly state: RosterState | undefined } {
  const { serial, newest, resolved, standing, floor, silent, state } = parse(body);
  const known = standings.find((word) => word === standing);
  if (known === undefined || !Array.isArray(silent)) throw new InfinitError('bad-argument', 'a report about the roster cannot be read');
  const report: Report = {
    serial: wholeNumber(serial),
    newest: wholeNumber(newest),
    resolved: wholeNumber(resolved),
    standing: known,
    // A host of before there was one tells none.
    floor: floor === undefined ? 0 : wholeNumber(floor),
    silent: silent.slice(0, maxSilent).filter((peer) => typeof peer === 'string' && peer.length <= maxPeerLength),
  };
  return { report, state: typeof state === 'string' ? decodeRosterState(Buffer.from(state), latest) : undefined };
}

function parse(body: Uint8Array): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'));
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // said below
  }
  throw new InfinitError('bad-argument', 'a message about the roster cannot be read');
}

function wholeNumber(value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0)
    throw new InfinitError('bad-argument', 'a message about the roster has no number where one belongs');
  return value as number;
}
