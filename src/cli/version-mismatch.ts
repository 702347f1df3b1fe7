import { ControlClient, version } from '../api/index.ts';
import { codeOf, type ErrorCode, messageOf } from '../base/index.ts';

/** How long a daemon may take to say which version it is, in ms. */
const deadlineMs = 2000;
/** What a daemon of another version says of what it does not know; an answer that is not understood is a bug. */
const suspicious: ReadonlySet<ErrorCode> = new Set(['bug', 'unsupported']);

/** Says of a daemon of another version that it is one, and what to do; undefined: it is not. */
export function mismatch(running: string): string | undefined {
  if (running === version) return undefined;
  return `the daemon is version ${running}, this program ${version}`;
}

/** What brings both to one version. */
export const mismatchAdvice =
  'run the daemon of this program: `kill -USR2` its holder, or start it again; a managed plugin: `docker plugin disable -f infinit && docker plugin rm infinit && npm run plugin:create`';

/** Whether a command may have failed since the daemon is of another version, and what to do; undefined: that is not why. */
export async function explainByVersion(failure: unknown, controlSocket: string): Promise<string | undefined> {
  if (!suspicious.has(codeOf(failure)) && !/the control API has no /.test(messageOf(failure))) return undefined;
  const running = await new ControlClient(controlSocket, deadlineMs).status().then(
    (status) => status.version,
    () => undefined,
  );
  const found = running === undefined ? undefined : mismatch(running);
  return found === undefined ? undefined : `${found}: ${mismatchAdvice}`;
}
