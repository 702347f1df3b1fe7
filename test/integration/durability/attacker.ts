/**
 * A program that makes files in a directory of its own and syncs some of what it does: `node attacker.ts DIRECTORY SEED LOG`. What it is about to do and how that ended
 * is in the log, which lies elsewhere. It ends with its input, having synced all if anything came by it, or with the first error.
 */
import { openSync, writeSync } from 'node:fs';

import { SeededRandom } from '../../simulation/random.ts';
import * as posix from '../../suites/posix/syscalls.ts';
import { maxFileBytes } from './content-story.ts';
import { bytesOf, type Deed, Story, untold } from './story.ts';

const [directory, seedText, log] = process.argv.slice(2) as [string, string, string];
const seed = Number(seedText);
const random = new SeededRandom(seed);
const integer = (least: number, most: number): number => least + random.below(most - least + 1);
const story = new Story(seed);
const output = openSync(log, 'a');
const itself = posix.must(posix.open(directory, posix.O.RDONLY | posix.O.DIRECTORY));
/** Sources of what is put into mapped memory. */
const scratch = posix.must(posix.open('/tmp', posix.O.RDWR | posix.O.TMPFILE, 0o600));
/** Descriptors of files, by number. */
const open = new Map<number, number>();
const maxOpen = 24;
/** Files that were changed in mapped memory and not synced since: only a sync says what became of that. */
const unsyncedMaps = new Set<number>();
/** So many of the writes go through mapped memory, beside those that do anyway. */
const mappedShare = Number(process.env['MAPPED'] ?? 0);
let step = 0;
let files = 0;
let stopped = false;
let settles = false;

function say(line: unknown): void {
  writeSync(output, `${JSON.stringify(line)}\n`);
}

function at(name: string): string {
  return `${directory}/${name}`;
}

class Refused extends Error {}

/** Does one thing. @throws Refused where it fails. */
function act(deed: Deed, work: (step: number) => posix.Result, inodeOf?: () => number): void {
  const number = step++;
  say({ step: number, deed });
  const result = work(number);
  const end = typeof result === 'string' ? result : 'ok';
  const line = { step: number, end, ...(end === 'ok' && inodeOf !== undefined ? { inode: inodeOf() } : {}) };
  say(line);
  story.tell(number, deed, line);
  if (end !== 'ok') throw new Refused(end);
}

function create(name: string): number {
  const file = files++;
  let fd = -1;
  act(
    { do: 'create', file, name },
    () => {
      const result = posix.open(at(name), posix.O.RDWR | posix.O.CREAT | posix.O.EXCL, 0o600);
      if (typeof result === 'number') fd = result;
      return result;
    },
    () => Number(posix.stat(fd).inode),
  );
  open.set(file, fd);
  while (open.size > maxOpen) closeFile(open.keys().next().value!);
  return file;
}

/** A descriptor of a file that has a name. */
function descriptor(name: string, file: number): number {
  const known = open.get(file);
  if (known !== undefined) return known;
  const result = posix.open(at(name), posix.O.RDWR);
  if (typeof result === 'string') throw new Refused(`open ${name}: ${result}`);
  open.set(file, result);
  return result;
}

/** @throws Refused where the close says that something is lost: whoever opens the file later may hear nothing of it. */
function closeFile(file: number): void {
  const fd = open.get(file);
  if (fd === undefined) return;
  open.delete(file);
  const result = posix.close(fd);
  if (typeof result === 'string') throw new Refused(`close of file ${file}: ${result}`);
}

function whole(result: posix.Result, length: number): posix.Result {
  return typeof result === 'number' && result !== length ? `short write of ${result} bytes` : result;
}

/** With flags of its own. */
function writeBy(name: string, flags: number, data: Buffer, offset: number | 'append'): posix.Result {
  const fd = posix.open(at(name), posix.O.RDWR | flags);
  if (typeof fd === 'string') return fd;
  const result = whole(offset === 'append' ? posix.write(fd, data) : posix.pwrite(fd, data, offset), data.length);
  const closed = posix.close(fd);
  return typeof result === 'string' ? result : closed;
}

function write(name: string, file: number): void {
  const { size } = story.contentOf(file);
  const way = random.chance(mappedShare) ? 6 : integer(0, 6);
  const length = integer(1, random.pick([200, 5000, 70_000]));
  const offset = integer(0, Math.min(size, maxFileBytes - length));
  const append = { do: 'write', file, offset: size, length } as const;
  if (way <= 2) {
    const fd = descriptor(name, file);
    act({ do: 'write', file, offset, length }, (number) => whole(posix.pwrite(fd, bytesOf(seed, number, length), offset), length));
  } else if (way === 3) {
    if (size + length <= maxFileBytes) act(append, (number) => writeBy(name, posix.O.APPEND, bytesOf(seed, number, length), 'append'));
  } else if (way === 4) {
    const [from, bytes] = [Math.floor(offset / 4096) * 4096, Math.max(1, Math.floor(length / 4096)) * 4096];
    act({ do: 'write', file, offset: from, length: bytes }, (number) => writeBy(name, posix.O.DIRECT, bytesOf(seed, number, bytes), from));
  } else if (way === 5) {
    act({ do: 'write', file, offset, length, sync: true }, (number) => writeBy(name, posix.O.DSYNC, bytesOf(seed, number, length), offset));
  } else if (size > 0) mapped(name, file, size);
}

function mapped(name: string, file: number, size: number): void {
  using mapping = new posix.Mapping(descriptor(name, file), size);
  for (let count = integer(1, 3); count > 0; count--) {
    const length = integer(1, Math.min(size, 9000));
    const offset = integer(0, size - length);
    unsyncedMaps.add(file);
    act({ do: 'write', file, offset, length }, (number) => {
      posix.pwrite(scratch, bytesOf(seed, number, length), 0);
      return whole(mapping.copyFrom(scratch, length, offset), length);
    });
    posix.must(posix.ftruncate(scratch, 0));
    mapping.copyTo(scratch, size);
    requireAll(name, file, posix.pread(scratch, size, 0));
  }
  if (!random.chance(0.7)) return;
  act({ do: 'msync', file, length: size }, () => mapping.sync());
  unsyncedMaps.delete(file);
}

/** As careful programs do: and as careless ones. */
function replace(name: string): void {
  const file = create(`new-${files}`);
  const fresh = `new-${file}`;
  write(fresh, file);
  const careful = random.chance(0.7);
  if (careful) sync(fresh, file);
  // What the kernel has of it the daemon gets with its close at the latest.
  else closeFile(file);
  act({ do: 'rename', from: fresh, to: name }, () => posix.rename(at(fresh), at(name)));
  if (careful) syncDirectory();
}

function sync(name: string, file: number): void {
  const fd = descriptor(name, file);
  if (random.chance(0.3)) act({ do: 'sync', file }, () => posix.fdatasync(fd));
  else act({ do: 'sync', file, names: true }, () => posix.fsync(fd));
  unsyncedMaps.delete(file);
}

function syncDirectory(): void {
  act({ do: 'syncDirectory' }, () => posix.fsync(itself));
}

function look(name: string, file: number): void {
  requireAll(name, file, posix.pread(descriptor(name, file), maxFileBytes, 0));
}

/** What is seen of a file is what was done to it, or the next sync says that something is lost. @throws Refused */
function requireAll(name: string, file: number, { text, error }: ReturnType<typeof posix.pread>): void {
  const problem = error ?? story.contentOf(file).problem(Buffer.from(text, 'latin1'), true);
  if (problem === undefined) return;
  const isTold = typeof posix.fsync(descriptor(name, file)) === 'string';
  throw new Refused(`${name}, file ${file}, as it is seen: ${problem}${isTold ? '' : untold}`);
}

function once(): void {
  const names = [...story.names];
  const fresh = `f${files}-${step}`;
  if (names.length < 4) return void create(fresh);
  const [name, file] = random.pick(names);
  const [other, otherFile] = random.pick(names);
  const dice = integer(0, 99);
  if (dice < 35) write(name, file);
  else if (dice < 50) sync(name, file);
  else if (dice < 54) {
    const size = integer(0, Math.min(maxFileBytes, story.contentOf(file).size + 9000));
    act({ do: 'truncate', file, size }, () => posix.ftruncate(descriptor(name, file), size));
  } else if (dice < 60) {
    const { size } = story.contentOf(file);
    if (size === 0) return;
    const offset = integer(0, size - 1);
    const length = integer(1, size - offset);
    const { KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE } = posix.FALLOCATE;
    const mode = KEEP_SIZE | (random.chance(0.6) ? PUNCH_HOLE : ZERO_RANGE);
    act({ do: 'zero', file, offset, length }, () => posix.fallocate(descriptor(name, file), mode, offset, length));
  } else if (dice < 72) replace(name);
  else if (dice < 77) look(name, file);
  else if (dice < 82) syncDirectory();
  else if (dice < 86) create(fresh);
  else if (dice < 89) act({ do: 'link', file, name: fresh }, () => posix.link(at(name), at(fresh)));
  else if (dice < 94 || names.length > 30) act({ do: 'unlink', name }, () => posix.unlink(at(name)));
  else if (dice < 97) act({ do: 'rename', from: name, to: fresh }, () => posix.rename(at(name), at(fresh)));
  else if (file !== otherFile) act({ do: 'exchange', from: name, to: other }, () => posix.rename(at(name), at(other), posix.RENAME.EXCHANGE));
}

/** Whether pages of mapped files were refused neither munmap nor exit says. Nothing else is synced: what was written otherwise is still to be said. */
function hear(): void {
  for (const [name, file] of story.names) if (unsyncedMaps.has(file)) sync(name, file);
}

/** Nothing is left that is not durable. */
function settle(): void {
  for (const [name, file] of story.names) sync(name, file);
  syncDirectory();
}

process.stdin.on('data', () => (settles = true)).on('end', () => (stopped = true));
console.log('begun');
try {
  for (; !stopped; await new Promise((resolve) => setImmediate(resolve))) once();
  if (settles) settle();
  else hear();
} catch (error) {
  say({ refused: error instanceof Refused ? error.message : String(error instanceof Error ? error.stack : error) });
  process.exit(1);
}
process.exit(0);
