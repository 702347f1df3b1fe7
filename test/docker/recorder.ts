import { createServer, type IncomingHttpHeaders, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { renameSync, rmSync } from 'node:fs';
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
  /** When it came, in milliseconds of this process's clock. */
  readonly atMs: number;
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
  #restore = (): void => {};
  readonly #server = createServer({ requireHostHeader: false }, (incoming, response) => void this.#pass(incoming, response));
  readonly #faults: { readonly call: string; readonly volume: string; readonly fault: Fault }[] = [];

  private constructor(socketPath: string, pluginSocket: string) {
    this.#socketPath = socketPath;
    this.pluginSocket = pluginSocket;
  }

  /** For a plugin that is started afterwards, to listen at {@link pluginSocket}. */
  static async start(host: LabHost): Promise<Recorder> {
    const recorder = new Recorder(path.join(host.pluginDirectory, 'infinit.sock'), path.join(host.directory, 'behind.sock'));
    await recorder.#listen();
    return recorder;
  }

  /** In front of a plugin that listens already, which gets its place back in the end. It must not be started again before. */
  static async inFrontOf(socketPath: string): Promise<Recorder> {
    const recorder = new Recorder(socketPath, path.join(path.dirname(socketPath), 'behind.sock'));
    renameSync(socketPath, recorder.pluginSocket);
    recorder.#restore = () => renameSync(recorder.pluginSocket, socketPath);
    await recorder.#listen();
    return recorder;
  }

  async #listen(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#socketPath, resolve);
    });
  }

  /** The calls that name this volume, in order. */
  of(volume: string, call?: string): readonly RecordedCall[] {
    return this.calls.filter(({ name, body }) => body['Name'] === volume && (call === undefined || name === `VolumeDriver.${call}`));
  }

  /** Harms the next call of this kind that names this volume; '': that names none. */
  harm(volume: string, call: string, fault: Fault): void {
    this.#faults.push({ volume, call: `VolumeDriver.${call}`, fault });
  }

  /** Heals what has not come to pass. */
  heal(volume: string): void {
    const left = this.#faults.filter((fault) => fault.volume !== volume);
    this.#faults.splice(0, this.#faults.length, ...left);
  }

  async #pass(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const text = (await incoming.toArray()).map(String).join('');
    const name = incoming.url!.slice(1);
    const body = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
    this.calls.push({ name, headers: incoming.headers, text, body, atMs: performance.now() });
    const index = this.#faults.findIndex(({ call, volume }) => call === name && volume === (body['Name'] ?? ''));
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
    this.#restore();
  }
}
