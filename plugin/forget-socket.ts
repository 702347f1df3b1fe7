import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { createServer } from 'node:http';
import path from 'node:path';
import { promisify } from 'node:util';

import { isServed } from '../src/api/index.ts';

/** Where engines look for plugins that are no managed ones. */
const socketDirectory = '/run/docker/plugins';
/** Of one question to the engine, which asks us, in ms. */
const questionMs = 10_000;

/**
 * Has the engine forget the volumes that it knows through a daemon's socket. It notes the name of the driver with each, `infinit`, and that of the managed
 * plugin is `infinit:latest`: it would refuse them for ever ("provided volume driver does not match stored driver"). It forgets what its driver says does
 * not exist, so for a moment somebody says so at that socket. To the volumes nothing is done.
 * @returns their names.
 */
export async function forgetSocketVolumes(name: string): Promise<readonly string[]> {
  const socketPath = path.join(socketDirectory, `${name}.sock`);
  if (await isServed(socketPath)) return [];
  rmSync(socketPath, { force: true });
  const server = createServer({ requireHostHeader: false }, (request, response) => {
    request.resume();
    // A list that fails has the engine tell what it knows itself.
    if (request.url === '/Plugin.Activate') response.end('{"Implements":["VolumeDriver"]}');
    else if (request.url === '/VolumeDriver.Capabilities') response.end('{"Capabilities":{"Scope":"global"}}');
    else response.writeHead(500).end('{"Err":"the daemon of this socket is gone"}');
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(socketPath, resolve));
  try {
    const known = (await docker('volume', 'ls', '-q', '--filter', `driver=${name}`)).split('\n').filter(Boolean);
    // That it fails is what is wanted.
    for (const volume of known) await docker('volume', 'inspect', volume).catch(() => {});
    return known;
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    rmSync(socketPath, { force: true });
  }
}

async function docker(...args: string[]): Promise<string> {
  return (await promisify(execFile)('docker', args, { timeout: questionMs })).stdout;
}
