import { http, InfinitError, type Logger, messageOf, plainly } from '../../base/index.ts';

/** A scraper that sends its request slower than this is cut off, in ms. */
const requestTimeoutMs = 5000;
/** Scrapers at once. */
const maxConnections = 32;

/** Serves `GET /metrics` on TCP, and nothing else: it tells no secrets and takes no orders. @throws InfinitError `unavailable` where the address cannot be had. */
export async function serveMetrics(
  { host, port }: { readonly host: string; readonly port: number },
  text: () => Promise<string>,
  logger: Logger,
): Promise<AsyncDisposable & { readonly port: number }> {
  // Who asks while it is being read hears the same.
  let reading: Promise<string> | undefined;
  const read = (): Promise<string> => (reading ??= text().finally(() => (reading = undefined)));
  const server = http().createServer({ requestTimeout: requestTimeoutMs }, (request, response) => {
    if (request.method !== 'GET' || request.url?.split('?')[0] !== '/metrics') {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('only GET /metrics is here\n');
      return;
    }
    read().then(
      (body) => response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(body),
      (error: unknown) => {
        logger.error('metrics could not be read', { error });
        response.writeHead(500).end(`${messageOf(error)}\n`);
      },
    );
  });
  server.maxConnections = maxConnections;
  // Whoever sends one question behind the other, and reads no answer, had all of them in this memory at once.
  server.maxRequestsPerSocket = 1;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(new InfinitError('unavailable', `--metrics ${host}:${port}: ${plainly(cause)}`, { cause })));
    server.listen(port, host, resolve);
  });
  // A lack of descriptors, say: it would end the process otherwise.
  server.on('error', (error) => logger.error('the metrics cannot take a connection', { error }));
  return {
    port: (server.address() as { port: number }).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
