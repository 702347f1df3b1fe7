import { messageOf } from '../../../src/base/index.ts';
import { acls } from './cases/acls.ts';
import { attributes } from './cases/attributes.ts';
import { data } from './cases/data.ts';
import { directories } from './cases/directories.ts';
import { links } from './cases/links.ts';
import { locks } from './cases/locks.ts';
import { modes } from './cases/modes.ts';
import { nodes } from './cases/nodes.ts';
import { opening } from './cases/opening.ts';
import { owners } from './cases/owners.ts';
import { paths } from './cases/paths.ts';
import { renames } from './cases/renames.ts';
import { sizes } from './cases/sizes.ts';
import { times } from './cases/times.ts';
import { type Cases, Scene } from './scene.ts';

const groups: Readonly<Record<string, Cases>> = {
  paths,
  modes,
  owners,
  links,
  directories,
  nodes,
  opening,
  renames,
  sizes,
  times,
  data,
  attributes,
  acls,
  locks,
};

/** How one case ended. */
export interface Outcome {
  readonly group: string;
  readonly name: string;
  readonly ms: number;
  /** Absent: it passed. */
  readonly failure?: string;
}

/** Runs every case (or those of a group, or whose name has the text) in a directory of its own below `directory`. Needs root, and umask 0. */
export async function runSuite(directory: string, wanted = ''): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  let number = 0;
  for (const [group, cases] of Object.entries(groups)) {
    for (const [name, run] of Object.entries(cases)) {
      if (group !== wanted && !name.includes(wanted)) continue;
      const started = performance.now();
      let failure: string | undefined;
      try {
        await run(new Scene(`${directory}/${group}-${number++}`));
      } catch (error) {
        failure = messageOf(error);
      }
      outcomes.push({ group, name, ms: performance.now() - started, ...(failure === undefined ? {} : { failure }) });
    }
  }
  return outcomes;
}
