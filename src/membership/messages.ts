import { boundedJson, InfinitError } from '../base/index.ts';
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
const maxRunLength = 32;

const standings = ['stranger', 'fresh', 'member', 'outcast'] as const;

/** Counts of records that are durable on a host's disk ({@link Disk.written}), as it tells them. */
export interface Written {
  /** Hex of random bytes: one run of its daemon. */
  readonly run: string;
  /** When it opened the disk. */
  readonly opened: number;
  readonly now: number;
}

/** What a host remembers of another's counts. */
export interface Heard {
  /** The run that was heard last. */
  readonly run: string;
  /** The most that this run said, and the runs before it. */
  readonly most: number;
  readonly before: number;
}

/** Told along with a report: see {@link HighWaterMarks}. A host of before tells neither. */
export interface Marks {
  /** The sender's own. */
  readonly written?: Written;
  /** What the sender remembers of the one whom it tells. */
  readonly heard?: Heard;
}

/** @param state Told along where the asker knows an older one. */
export function encodeReport(report: Report, state: RosterState | undefined, { written, heard }: Marks = {}): Uint8Array {
  const told = state === undefined ? {} : { state: Buffer.from(encodeRosterState(state)).toString('utf8') };
  return Buffer.from(JSON.stringify({ ...report, ...told, written, heard }));
}

/** @throws InfinitError `bad-argument`, or as {@link decodeRosterState}. */
export function decodeReport(
  body: Uint8Array,
  latest: RosterState | undefined,
): { readonly report: Report; readonly state: RosterState | undefined; readonly marks: Marks } {
  const { serial, newest, resolved, standing, floor, silent, state, written, heard } = parse(body);
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
  const marks: Marks = {
    ...(written === undefined ? {} : { written: counts(written, 'opened', 'now') }),
    ...(heard === undefined ? {} : { heard: counts(heard, 'most', 'before') }),
  };
  return { report, state: typeof state === 'string' ? decodeRosterState(Buffer.from(state), latest) : undefined, marks };
}

function parse(body: Uint8Array): Record<string, unknown> {
  try {
    const value = boundedJson(body);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // said below
  }
  throw new InfinitError('bad-argument', 'a message about the roster cannot be read');
}

function counts<Name extends string>(value: unknown, ...names: readonly Name[]): { readonly run: string } & Readonly<Record<Name, number>> {
  const fields = (value ?? {}) as Readonly<Record<string, unknown>>;
  const { run } = fields;
  if (typeof run !== 'string' || run.length > maxRunLength)
    throw new InfinitError('bad-argument', 'a message about the roster names no run of its host');
  return Object.assign({ run }, Object.fromEntries(names.map((name) => [name, wholeNumber(fields[name])])) as Record<Name, number>);
}

function wholeNumber(value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0)
    throw new InfinitError('bad-argument', 'a message about the roster has no number where one belongs');
  return value as number;
}
