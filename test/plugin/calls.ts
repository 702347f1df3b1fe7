import { request } from 'node:http';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { silentLogger } from '../../src/base/index.ts';
import { startPlugin } from '../../plugin/index.ts';
import type { PluginSettings } from '../../plugin/server.ts';
import { PluginSocket } from '../../plugin/socket/index.ts';
import { MemoryVolumes } from './memory-volumes.ts';

/** What came back: `hung up` where the connection was closed without an answer. */
export type Reply = { readonly status: number; readonly type: string | undefined; readonly body: Record<string, unknown> } | 'hung up';

/** A plugin over {@link MemoryVolumes} on a socket of its own. */
export interface ServedPlugin extends AsyncDisposable {
  readonly volumes: MemoryVolumes;
  readonly socketPath: string;
  /** As dockerd does it: POST, no Content-Type, an empty Host. A string goes out as it is. */
  call(name: string, body?: object | string, signal?: AbortSignal): Promise<Reply>;
}

/** Serves a plugin for one test. */
export async function servePlugin(settings: Partial<PluginSettings> = {}): Promise<ServedPlugin> {
  const dir = mkdtempSync(path.join(tmpdir(), 'infinit-plugin-'));
  const socketPath = path.join(dir, 'p.sock');
  const volumes = new MemoryVolumes();
  const socket = await PluginSocket.open(socketPath, silentLogger);
  startPlugin({ ...settings, socket, volumes, logger: silentLogger });
  return {
    volumes,
    socketPath,
    call: (name, body = '', signal) => post(socketPath, name, typeof body === 'string' ? body : JSON.stringify(body), signal),
    async [Symbol.asyncDispose]() {
      await socket[Symbol.asyncDispose]();
      rmSync(dir, { recursive: true });
    },
  };
}

/** One POST to a plugin socket. */
export function post(socketPath: string, name: string, body: string, signal?: AbortSignal): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const call = request({
      socketPath,
      path: `/${name}`,
      method: 'POST',
      agent: false,
      headers: { Host: '', Accept: 'application/vnd.docker.plugins.v1.2+json', 'Content-Length': Buffer.byteLength(body) },
      ...(signal === undefined ? {} : { signal }),
    });
    call.on('error', (error: NodeJS.ErrnoException) => (error.code === 'ECONNRESET' ? resolve('hung up') : reject(error)));
    call.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.on('error', reject);
      response.on('end', () => {
        resolve({ status: response.statusCode!, type: response.headers['content-type'], body: JSON.parse(text) as Record<string, unknown> });
      });
    });
    call.end(body);
  });
}
