import { InfinitError } from '../base/index.ts';
import { nearest } from './nearest.ts';
import { booleanType, choiceType, integerType, modeType, type OptionType, quotaBytes, sizeType, switchWords, unquoted } from './option-values.ts';

/** One thing that `docker volume create -o NAME=VALUE` can say. */
export interface VolumeOption {
  readonly name: string;
  /** Names that other plugins use for it. */
  readonly aliases: readonly string[];
  readonly type: OptionType;
  /** Canonical. */
  readonly fallback: string;
  readonly help: string;
}

/** Users and groups are 32 bits, and the highest means "none" to the kernel. */
const maxId = 2 ** 32 - 2;
const maxTrashDays = 3650;

/** The one table: parser, error messages, `docker volume inspect` and docs/docker.md follow from it. */
export const volumeOptions = [
  {
    name: 'size',
    aliases: ['quota', 'capacity'],
    type: sizeType,
    fallback: 'unlimited',
    help: 'quota: writes beyond it get "no space left on device"',
  },
  {
    name: 'replicas',
    aliases: ['repl', 'replication'],
    type: choiceType(['1', '3', '5', '7', '9']),
    fallback: '3',
    help: 'copies of each block on different hosts: the --replicas of the cluster’s first daemon for all volumes, another number is refused; fewer hosts keep fewer copies',
  },
  { name: 'uid', aliases: ['user'], type: integerType(0, maxId), fallback: '0', help: 'owner of the root directory' },
  { name: 'gid', aliases: ['group'], type: integerType(0, maxId), fallback: '0', help: 'group of the root directory' },
  { name: 'mode', aliases: ['umask'], type: modeType, fallback: '0755', help: 'permissions of the root directory, in octal; umask=022 is mode=0755' },
  { name: 'readonly', aliases: ['ro', 'read-only'], type: booleanType, fallback: 'false', help: 'mount it without the right to write' },
  {
    name: 'encryption',
    aliases: ['encrypt', 'encrypted', 'secure'],
    type: choiceType(['none', 'aes-256-gcm'], { ...switchWords('aes-256-gcm', 'none'), aes: 'aes-256-gcm' }),
    fallback: 'none',
    help: 'seal every block under a key of the volume’s own: hosts that only store blocks can neither read nor forge them; copy that key (keys/ID.key in the state directory of the host where the volume was created) to each host that is to mount it',
  },
  {
    name: 'compression',
    aliases: ['compress'],
    type: choiceType(['none', 'zstd'], switchWords('zstd', 'none')),
    fallback: 'none',
    help: 'compress data that shrinks by it, with zstd at level 1; what is on the volume already stays as it is',
  },
  {
    name: 'on-remove',
    aliases: ['on-delete', 'reclaim'],
    type: choiceType(['trash', 'delete', 'retain']),
    fallback: 'trash',
    help: 'what `docker volume rm` does with the data: keep it in the trash for trash-days, delete it at once, or keep it in the trash until someone deletes it',
  },
  { name: 'trash-days', aliases: [], type: integerType(0, maxTrashDays), fallback: '7', help: 'days for which a removed volume can be brought back' },
  { name: 'sticky', aliases: ['protected'], type: booleanType, fallback: 'false', help: 'refuse `docker volume rm`' },
  {
    name: 'access',
    aliases: [],
    type: choiceType(['all', 'onewriter', 'readonly'], { 'one-writer': 'onewriter', 'read-only': 'readonly', ro: 'readonly' }),
    fallback: 'all',
    help: 'who may mount it at a time: all hosts, one host and no other, or all hosts to read only',
  },
] as const satisfies readonly VolumeOption[];

/** A name in {@link volumeOptions}. */
export type VolumeOptionName = (typeof volumeOptions)[number]['name'];

/** Every option with its canonical value, in the table's order: what `docker volume inspect` shows, and what two creations are compared by. */
export type EffectiveOptions = Readonly<Record<VolumeOptionName, string>>;

const byName = new Map<string, VolumeOption>();
for (const option of volumeOptions) for (const name of [option.name, ...option.aliases]) byName.set(name, option);

function folded(key: string): string {
  return key.trim().toLowerCase().replaceAll('_', '-');
}

/**
 * Reads what came with `-o`: aliases, "-" for "_", quotes, sizes with units. Its result reads back to itself.
 * @param given straight from JSON: null and non-strings are met here.
 * @param fallbacks the daemon's own, where they differ from the table's.
 * @throws InfinitError `bad-argument` that names the option, and the nearest known one where it is unknown.
 */
export function parseVolumeOptions(given: unknown, fallbacks: Partial<EffectiveOptions> = {}): EffectiveOptions {
  const found = readOptions(given);
  return Object.fromEntries(
    volumeOptions.map(({ name, fallback }) => [name, found.get(name)?.value ?? fallbacks[name] ?? fallback]),
  ) as unknown as EffectiveOptions;
}

/** Options that may change in a volume's life. */
export const changeableOptions: readonly VolumeOptionName[] = ['size', 'on-remove', 'trash-days', 'sticky', 'access', 'readonly'];
/** Those of them that a mount is made with. */
const boundToMount: readonly VolumeOptionName[] = ['access', 'readonly'];

/**
 * Reads options that are to change: only what is given. `needsUnmount`: the first that cannot change while the volume is mounted.
 * @throws InfinitError `bad-argument`, also for an option that is fixed when the volume is made.
 */
export function parseVolumeChanges(given: unknown): { readonly changes: Partial<EffectiveOptions>; readonly needsUnmount: string | undefined } {
  const found = readOptions(given);
  for (const [name, { key }] of found) {
    if (!changeableOptions.includes(name as VolumeOptionName))
      throw new InfinitError('bad-argument', `option "${key}" is fixed when a volume is created; these can change: ${changeableOptions.join(', ')}`);
  }
  if (found.size === 0) throw new InfinitError('bad-argument', `give options to change with -o NAME=VALUE: ${changeableOptions.join(', ')}`);
  return { changes: canonicalIn(found), needsUnmount: boundToMount.find((name) => found.has(name)) };
}

/** Whether a mount that was made with these options serves as well with those. */
export function mountsAlike(one: Readonly<Record<string, string>>, other: Readonly<Record<string, string>>): boolean {
  return boundToMount.every((name) => one[name] === other[name]);
}

/** An option as somebody gave it. */
interface GivenOption {
  readonly key: string;
  /** Canonical. */
  readonly value: string;
  readonly typed: string;
}

function canonicalIn(found: ReadonlyMap<string, GivenOption>): Partial<EffectiveOptions> {
  return Object.fromEntries([...found].map(([name, { value }]) => [name, value]));
}

/**
 * How the options of two creations of one volume differ, the second one's as its author wrote them.
 * @param given What was given the second time.
 */
export function differences(there: Readonly<Record<string, string>>, effective: EffectiveOptions, given: unknown): readonly string[] {
  const found = readOptions(given);
  // Copies are the cluster's, whatever a volume was made with.
  return volumeOptions.flatMap(({ name }) => {
    if (name === 'replicas' || there[name] === effective[name]) return [];
    const { key, typed } = found.get(name) ?? { key: name, typed: effective[name] };
    return [`${name} is ${there[name]}, not ${key === name ? '' : `${key}=`}${typed}`];
  });
}

/** What is given, by canonical name. */
function readOptions(given: unknown): ReadonlyMap<string, GivenOption> {
  if (given !== null && given !== undefined && (typeof given !== 'object' || Array.isArray(given))) {
    throw new InfinitError('bad-argument', 'the options must be an object of strings');
  }
  const found = new Map<string, GivenOption>();
  for (const [key, value] of Object.entries(given ?? {})) {
    const option = byName.get(folded(key));
    if (option === undefined) throw unknownOption(key);
    const text = canonicalValue(option, key, value);
    const before = found.get(option.name);
    if (before !== undefined && before.value !== text) {
      throw new InfinitError('bad-argument', `"${before.key}" and "${key}" are the same option, but were given different values`);
    }
    found.set(option.name, { key, value: text, typed: String(value) });
  }
  return found;
}

function canonicalValue(option: VolumeOption, key: string, value: unknown): string {
  if (typeof value !== 'string') {
    throw new InfinitError(
      'bad-argument',
      `option "${key}": a string is wanted, not ${value === null ? 'null' : Array.isArray(value) ? 'a list' : typeof value}`,
    );
  }
  const canonical = option.type.canonical(unquoted(value));
  if (canonical === undefined) {
    const wrong = unquoted(value) === '' ? ' needs a value:' : `: ${asGiven(value)} is not`;
    throw new InfinitError('bad-argument', `option "${key}"${wrong} ${option.type.wanted}`);
  }
  if (folded(key) !== 'umask') return canonical;
  // The one alias with another meaning: the bits to take away rather than those to give.
  return (0o777 & ~Number.parseInt(canonical, 8)).toString(8).padStart(4, '0');
}

/** A value between quotes as it was typed; what a terminal could not show is escaped. */
function asGiven(value: string): string {
  return /\p{Cc}/u.test(value) ? JSON.stringify(value) : `"${value}"`;
}

/** What other drivers can do and this one cannot: told apart from a slip of the pen. */
const impossible: Readonly<Record<string, string>> = {
  zone: 'blocks are spread over all zones of the cluster (--zone of each daemon); a volume cannot be tied to some of them',
  nodes: 'blocks are placed by capacity on all hosts; a volume cannot be tied to some of them',
  from: 'volumes cannot be cloned: create one and copy the files',
  snapshot: 'there are no snapshots',
};
const impossibleAliases: Readonly<Record<string, string>> = {
  zones: 'zone',
  node: 'nodes',
  hosts: 'nodes',
  'clone-from': 'from',
  snapshots: 'snapshot',
};

function unknownOption(key: string): InfinitError {
  const why = impossible[impossibleAliases[folded(key)] ?? folded(key)];
  if (why !== undefined) return new InfinitError('bad-argument', `the volume option ${JSON.stringify(key)} is not supported: ${why}`);
  const near = nearest(folded(key), [...byName.keys()]);
  const hint = near === undefined ? `known are ${volumeOptions.map(({ name }) => name).join(', ')}` : `did you mean "${near}"?`;
  return new InfinitError('bad-argument', `unknown volume option ${JSON.stringify(key)}: ${hint}`);
}

/** The effective options in the types that a program wants. */
export interface TypedVolumeOptions {
  /** 0: no quota. */
  readonly sizeBytes: number;
  readonly replicas: number;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
  readonly readonly: boolean;
  readonly encrypted: boolean;
  readonly compressed: boolean;
  readonly onRemove: 'trash' | 'delete' | 'retain';
  readonly trashDays: number;
  readonly sticky: boolean;
  readonly access: 'all' | 'onewriter' | 'readonly';
}

/** @param options from {@link parseVolumeOptions}. */
export function typedOptions(options: EffectiveOptions): TypedVolumeOptions {
  return {
    sizeBytes: quotaBytes(options.size),
    replicas: Number(options.replicas),
    uid: Number(options.uid),
    gid: Number(options.gid),
    mode: Number.parseInt(options.mode, 8),
    readonly: options.readonly === 'true',
    encrypted: options.encryption !== 'none',
    compressed: options.compression !== 'none',
    onRemove: options['on-remove'] as TypedVolumeOptions['onRemove'],
    trashDays: Number(options['trash-days']),
    sticky: options.sticky === 'true',
    access: options.access as TypedVolumeOptions['access'],
  };
}
