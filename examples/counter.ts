/**
 * A counter that any number of programs on any hosts raise at once, and none of them loses a count, or counts twice.
 *
 *     node examples/counter.ts visits 100
 */
import { randomUUID } from 'node:crypto';

import { connect } from 'infinit';

const [name = 'counter', times = '1'] = process.argv.slice(2);
await using infinit = connect();
const { blocks } = infinit;
const address = blocks.named(name);
// Each program has a number of its own in the block. So one whose write may have been made, or not (a host died, or others were at it at the same instant), sees in the block which it was.
const me = randomUUID();

/** Raises this program's number to `mine`, if it is not there yet. Returns the sum. */
async function count(mine: number): Promise<number> {
  for (;;) {
    try {
      // Read, change, and write only if nobody else has written meanwhile; otherwise once more.
      const after = await blocks.modify(address, (now) => {
        const numbers = JSON.parse(now?.text() ?? '{}') as Record<string, number>;
        return numbers[me] === mine ? undefined : JSON.stringify({ ...numbers, [me]: mine });
      });
      return Object.values(JSON.parse(after!.text()) as Record<string, number>).reduce((sum, number) => sum + number, 0);
    } catch (error) {
      if ((error as { readonly code?: string }).code !== 'unknown-outcome') throw error;
    }
  }
}

for (let i = 1; i <= Number(times); i++) {
  const sum = await count(i);
  if (i === Number(times)) console.log(String(sum));
}
