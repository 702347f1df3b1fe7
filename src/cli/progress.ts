/** Where a progress line goes. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const barWidth = 20;
const clearLine = '\r\u001b[K';

/** Tells on stderr how far something long is: on a terminal in one line that is written over, elsewhere in a line for each change. */
export class Progress implements Disposable {
  readonly #stream: ProgressStream;
  #said = '';

  constructor(stream: ProgressStream = process.stderr) {
    this.#stream = stream;
  }

  /** @param done How much of it, from 0 to 1, where that is known. */
  say(text: string, done?: number): void {
    const onTerminal = this.#stream.isTTY === true;
    const said = onTerminal && done !== undefined ? `${bar(done)} ${text}` : text;
    if (said === this.#said) return;
    this.#said = said;
    if (!onTerminal) this.#stream.write(`${said}\n`);
    // A line that wraps could not be written over.
    else this.#stream.write(clearLine + said.slice(0, (this.#stream.columns ?? 80) - 1));
  }

  /** Something beside it that is to stay readable. */
  note(text: string): void {
    this[Symbol.dispose]();
    this.#stream.write(`${text}\n`);
  }

  /** Takes the line away: what was done is said by whoever did it. */
  [Symbol.dispose](): void {
    if (this.#said === '' || this.#stream.isTTY !== true) return;
    this.#stream.write(clearLine);
    this.#said = '';
  }
}

function bar(done: number): string {
  const share = Math.min(Math.max(done, 0), 1);
  const full = Math.floor(share * barWidth);
  return `[${'='.repeat(full)}${full < barWidth ? '>' : ''}${' '.repeat(Math.max(barWidth - full - 1, 0))}] ${String(Math.floor(share * 100)).padStart(3)} %`;
}
