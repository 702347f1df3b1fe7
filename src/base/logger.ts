import { InfinitError, messageOf } from './errors.ts';

/** Levels from the least to the most urgent. */
export const logLevels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];

/** Facts that go with a line; secrets never do. */
export type LogFields = Readonly<Record<string, unknown>>;

/** One line per event: a short constant message, the variable part as fields. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger whose lines all carry these fields too. */
  with(fields: LogFields): Logger;
}

/** Where finished lines go. Docker takes a plugin's stdout as info and its stderr as error. */
export type LogSink = (level: LogLevel, line: string) => void;

const stdioSink: LogSink = (level, line) => {
  (level === 'warn' || level === 'error' ? process.stderr : process.stdout).write(`${line}\n`);
};

function text(value: unknown): string {
  if (value instanceof InfinitError) return `${value.code}: ${value.message}`;
  if (value instanceof Error) return messageOf(value);
  return typeof value === 'string' && /^[\w./:@-]+$/.test(value) ? value : (JSON.stringify(value) ?? String(value));
}

/** A logger in logfmt: `2026-01-02T03:04:05.678Z info volume mounted volume=data`. */
export function createLogger(level: LogLevel = 'info', sink: LogSink = stdioSink, fields: LogFields = {}): Logger {
  const least = logLevels.indexOf(level);
  const write = (at: LogLevel, message: string, more: LogFields = {}): void => {
    if (logLevels.indexOf(at) < least) return;
    let line = `${new Date().toISOString()} ${at} ${message}`;
    for (const [key, value] of Object.entries({ ...fields, ...more })) line += value === undefined ? '' : ` ${key}=${text(value)}`;
    sink(at, line);
  };
  return {
    debug: (message, more) => write('debug', message, more),
    info: (message, more) => write('info', message, more),
    warn: (message, more) => write('warn', message, more),
    error: (message, more) => write('error', message, more),
    with: (more) => createLogger(level, sink, { ...fields, ...more }),
  };
}

/** Drops every line: for tests and for programs that embed the client. */
export const silentLogger: Logger = createLogger('error', () => {});
