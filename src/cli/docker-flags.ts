/** Flags of `docker` itself that take a value, and those that take none (`docker --help`, 20.10 to 29). */
const valued = new Set(['--config', '-c', '--context', '-H', '--host', '-l', '--log-level', '--tlscacert', '--tlscert', '--tlskey']);
const plain = new Set(['-D', '--debug', '--tls', '--tlsverify']);

/** What `docker [flags] infinit …` hands on, without docker's part. */
export interface DockerCall {
  readonly words: readonly string[];
  /** The engine that was chosen for docker; we talk to a daemon of this host all the same. */
  readonly engine: string | undefined;
}

/** Docker runs a plugin with all that it was given itself: its own flags, the plugin's name, what is meant for the plugin. */
export function ownArguments(argv: readonly string[]): DockerCall {
  let engine: string | undefined;
  for (let index = 0; index < argv.length; index++) {
    const word = argv[index]!;
    if (word === 'infinit') return { words: argv.slice(index + 1), engine };
    const [flag = '', ...rest] = word.split('=');
    const takes = valued.has(flag);
    if (!takes && !plain.has(flag)) break;
    const value = takes && rest.length === 0 ? argv[++index] : rest.join('=');
    if (['-c', '--context', '-H', '--host'].includes(flag)) engine = value;
  }
  return { words: argv, engine: undefined };
}
