import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/** Below those that Linux gives to connections (from 32,768 on): one that was just found free is taken by none before it is used. */
const [first, end] = [10_000, 32_768];
const attempts = 100;

/** A TCP port that nobody uses at this moment. */
export async function freePort(): Promise<number> {
  let failure: unknown;
  for (let attempt = 0; attempt < attempts; attempt++) {
    const port = randomInt(first, end);
    const server = createServer();
    try {
      await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
      await new Promise((resolve) => server.close(resolve));
      return port;
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}
