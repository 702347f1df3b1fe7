import { Overlay } from '../../src/overlay/index.ts';

/** A host in a process of its own: prints its peer id once it has joined, then lives until it is killed. */
const [stateDirectory, tokenFile, join] = process.argv.slice(2) as [string, string, string];
const overlay = await Overlay.open({ stateDirectory, tokenFile, join: [join], listen: '127.0.0.1:0', name: 'child', zone: 'z', capacity: 1 });
await overlay.whenJoined();
process.stdout.write(`${overlay.self}\n`);
