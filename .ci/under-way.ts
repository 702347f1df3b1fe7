/** A reporter that writes down which tests begin and which end, for whoever has to kill their file: "+" or "-", line and name. */
interface Event {
  readonly type: string;
  readonly data: { readonly name: string; readonly line?: number };
}

// Node's test runner takes a reporter as its module's default.
// oxlint-disable-next-line import/no-default-export
export default async function* underWay(source: AsyncIterable<Event>): AsyncGenerator<string> {
  for await (const { type, data } of source)
    if (type === 'test:dequeue' || type === 'test:complete') yield `${type === 'test:dequeue' ? '+' : '-'}${data.name} (line ${data.line})\n`;
}
