/**
 * One leader among many candidates. The leader writes the block again every second; a candidate who has not seen it change for three
 * seconds, by his own clock, tries to replace exactly the version that he saw last: of many one succeeds. No clocks are compared.
 *
 *     node examples/leader.ts job me
 *
 * The version is a fencing token: whoever gets work from a leader should refuse it with a lower version than before. A leader that was
 * paused for long finds a conflict at its next beat, and stops.
 */
import { type Block, connect } from 'infinit';

const beatMs = 1000;
const patienceMs = 3 * beatMs;

const [job = 'job', me = `program ${process.pid}`] = process.argv.slice(2);
const { blocks } = connect();
const address = blocks.named(`leader of ${job}`);

/** The block as it was when it had not changed for `patienceMs`; undefined: nobody ever led. */
async function whenSilent(): Promise<Block | undefined> {
  for (let last = await blocks.get(address); ;) {
    if (last === undefined) return undefined;
    const changed = AbortSignal.timeout(patienceMs);
    let next: Block | undefined = last;
    for await (next of blocks.watch(address, { signal: changed })) if (next?.version !== last.version) break;
    if (next?.version === last.version) return last;
    last = next;
  }
}

for (;;) {
  const before = await whenSilent();
  let held = before === undefined ? await blocks.createNamed(`leader of ${job}`, me) : await blocks.update(address, me, { expect: before.version });
  while (held.status === 'committed') {
    console.log(`${me} leads, token ${held.version}`);
    await new Promise((resolve) => setTimeout(resolve, beatMs));
    held = await blocks.update(address, me, { expect: held.version, deadlineMs: beatMs });
  }
  // Conflict: somebody else leads. Failed or unknown: no majority in reach, so nobody may rely on leading.
  console.log(`${me} follows (${held.status})`);
}
