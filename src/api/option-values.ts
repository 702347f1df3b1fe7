import { InfinitError } from '../base/index.ts';

/** How the value of one kind of option is read: the canonical text, which reads back to itself, or undefined where it is no such value. */
export interface OptionType {
  /** What error messages and the docs call it. */
  readonly wanted: string;
  /** All canonical values, where there are only a few. */
  readonly choices?: readonly string[];
  canonical(text: string): string | undefined;
}

const units = ['', 'K', 'M', 'G', 'T', 'P'] as const;
const truths = ['true', 'yes', 'on', '1'];
const falsehoods = ['false', 'no', 'off', '0'];

/** What `size` says where there is no quota. */
const unlimited = 'unlimited';
/** The least quota: a volume must hold its own trees. */
const minSizeBytes = 1024 ** 2;

/** Bytes in a size such as 10G, 512MiB, 1.5t or 1048576; powers of 1024 throughout, as docker does. undefined: not a size. */
function sizeInBytes(text: string): number | undefined {
  const match = /^(?<number>\d+(?:\.\d+)?)\s*(?<unit>[kmgtp]?)(?:i?b)?$/i.exec(text);
  if (match === null) return undefined;
  const bytes = Math.floor(Number(match.groups!['number']) * 1024 ** units.indexOf(match.groups!['unit']!.toUpperCase() as (typeof units)[number]));
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** The shortest exact size: 10737418240 → "10G". */
function sizeText(bytes: number): string {
  let power = 0;
  let value = bytes;
  while (value > 0 && value % 1024 === 0 && power < units.length - 1) {
    value /= 1024;
    power++;
  }
  return `${value}${units[power]}`;
}

/** A quota, at least 1M; 0, "none" and "unlimited" mean that there is none. */
export const sizeType: OptionType = {
  wanted: 'a size of at least 1M such as 512M, 10G or 1T, or "unlimited"',
  canonical(text) {
    if (['0', 'none', unlimited].includes(text.toLowerCase())) return unlimited;
    const bytes = sizeInBytes(text);
    return bytes === undefined || bytes < minSizeBytes ? undefined : sizeText(bytes);
  },
};

/** Yes or no; `-o readonly` alone, an empty value, means yes. */
export const booleanType: OptionType = {
  wanted: 'true or false',
  choices: ['true', 'false'],
  canonical(text) {
    const lower = text.toLowerCase();
    if (lower === '' || truths.includes(lower)) return 'true';
    return falsehoods.includes(lower) ? 'false' : undefined;
  },
};

/** A whole number in a range. */
export function integerType(least: number, most: number): OptionType {
  return {
    wanted: `a whole number from ${least} to ${most}`,
    canonical: (text) => (/^\d{1,16}$/.test(text) && Number(text) >= least && Number(text) <= most ? String(Number(text)) : undefined),
  };
}

/** Permission bits in octal, with or without leading zeros. */
export const modeType: OptionType = {
  wanted: 'permissions in octal from 0000 to 7777, such as 0755',
  canonical: (text) => (/^(0o)?[0-7]{1,5}$/.test(text) && octal(text) <= 0o7777 ? octal(text).toString(8).padStart(4, '0') : undefined),
};

function octal(text: string): number {
  return Number.parseInt(text.replace('0o', ''), 8);
}

/** One of a few words. `also`: other spellings, such as booleans for what is on or off. */
export function choiceType(choices: readonly string[], also: Readonly<Record<string, string>> = {}): OptionType {
  return {
    wanted: `one of ${choices.join(', ')}`,
    choices,
    canonical(text) {
      const lower = text.toLowerCase().replaceAll('_', '-');
      if (choices.includes(lower)) return lower;
      return Object.hasOwn(also, lower) ? also[lower] : undefined;
    },
  };
}

/** "true", on and 1 for one choice, "false", off and 0 for another. */
export function switchWords(on: string, off: string): Record<string, string> {
  return { ...Object.fromEntries(['', ...truths].map((word) => [word, on])), ...Object.fromEntries(falsehoods.map((word) => [word, off])) };
}

/** Drops blanks and one pair of quotes around a value: shells, compose files and templates leave them. */
export function unquoted(text: string): string {
  const trimmed = text.trim();
  return /^(?<quote>["']).*\k<quote>$/s.test(trimmed) && trimmed.length >= 2 ? trimmed.slice(1, -1).trim() : trimmed;
}

/** Bytes of a canonical `size`; 0 where there is no quota. */
export function quotaBytes(size: string): number {
  if (size === unlimited) return 0;
  const bytes = sizeInBytes(size);
  if (bytes === undefined) throw new InfinitError('bad-argument', `"${size}" is not ${sizeType.wanted}`);
  return bytes;
}
