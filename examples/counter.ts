/**
 * A counter that any number of programs on any hosts raise at once, and none of them loses a count.
 *
 *     node examples/counter.ts visits 100
 */
import { connect } from 'infinit';

const [name = 'counter', times = '1'] = process.argv.slice(2);
await using infinit = connect();
const { blocks } = infinit;
const address = blocks.named(name);

for (let i = 0; i < Number(times); i++) {
  // Read, add one, and write only if nobody else has written meanwhile; otherwise once more.
  const after = await blocks.modify(address, (now) => String(Number(now?.text() ?? 0) + 1));
  if (i + 1 === Number(times)) console.log(after?.text());
}
