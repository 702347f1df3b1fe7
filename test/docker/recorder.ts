import { createServer, type IncomingHttpHeaders, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { rmSync } from 'node:fs';
import path from 'node:path';

import type { LabHost } from './host.ts';

/** One call that the engine made. */
export interface RecordedCall {
  /** Such as `VolumeDriver.Mount`. */
  readonly name: string;
  readonly headers: IncomingHttpHeaders;
  /** As it came. */
  readonly text: string;
  /** Parsed; empty where `text` is. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** What is done to a call instead of passing it on. */
export type Fault =
  /** The plugin gets the call and answers, but the answer is lost: the connection breaks. */
  | { readonly kind: 'lose the answer' }
  /** The plugin does not get it; this is answered. */
  | { readonly kind: 'answer'; readonly body: object }
  /** The plugin gets it after this. */
  | { readonly kind: 'wait'; readonly until: Promise<void> };

/**
 * Stands between an engine and a plugin: listens where the engine looks and passes each call on as it came. Remembers every call,
 * and can harm the next one of a kind.
 */
export class Recorder implements AsyncDisposable {
  readonly calls: RecordedCall[] = [];
  /** Where the plugin is to listen. */
  readonly pluginSocket: string;
  readonly #socketPath: string;
  readonly #server = createServer({ requireHostHeader: false }, (incoming, response) => void this.#pass(incoming, response));
  readonly #faults: { readonly call: string; readonly volume: string; readonly fault: Fault }[] = [];

  private constructor(host: LabHost) {
    this.pluginSocket = path.join(host.directory, 'behind.sock');
    this.#socketPath = path.join(host.pluginDirectory, 'infinit.sock');
  }

  static async start(host: LabHost): Promise<Recorder> {
    const recorder = new Recorder(host);
    await new Promise<void>((resolve, reject) => {
      recorder.#server.once('error', reject);
      recorder.#server.listen(recorder.#socketPath, resolve);
    });
    return recorder;
  }

  /** The calls that name this volume, in order. */
  of(volume: string, call?: string): readonly RecordedCall[] {
    return this.calls.filter(({ name, body }) => body['Name'] === volume && (call === undefined || name === `VolumeDriver.${call}`));
  }

  /** Harms the next call of this kind that names this volume. */
  harm(volume: string, call: string, fault: Fault): void {
    this.#faults.push({ volume, call: `VolumeDriver.${call}`, fault });
  }

  async #pass(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const text = (await incoming.toArray()).map(String).join('');
    const name = incoming.url!.slice(1);
    const body = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
    this.calls.push({ name, headers: incoming.headers, text, body });
    const index = this.#faults.findIndex(({ call, volume }) => call === name && volume === body['Name']);
    const fault = index < 0 ? undefined : this.#faults.splice(index, 1)[0]!.fault;
    if (fault?.kind === 'answer') return void response.end(JSON.stringify(fault.body));
    if (fault?.kind === 'wait') await fault.until;
    const onward = request({ socketPath: this.pluginSocket, path: incoming.url, method: incoming.method, headers: incoming.headers, agent: false });
    // A caller that leaves takes the plugin's caller with it, and the other way round.
    response.once('close', () => onward.destroy());
    onward.on('error', () => incoming.socket.destroy());
    onward.on('response', (answer) => {
      if (fault?.kind === 'lose the answer') {
        answer.resume().once('end', () => incoming.socket.destroy());
        return;
      }
      response.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(response);
    });
    onward.end(text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    rmSync(this.#socketPath, { force: true });
  }
}
