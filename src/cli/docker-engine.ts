import { connect } from 'node:net';

import { http } from '../base/index.ts';

/** Milliseconds for the engine to answer. What is asked here it asks no plugin for. */
const deadlineMs = 5000;
/** More of an answer is not read. */
const maxBytes = 8 * 1024 * 1024;

/** Infinit as a managed plugin of the engine. */
export interface ManagedPlugin {
  readonly name: string;
  readonly enabled: boolean;
  /** Where its daemon listens, as this host sees it. */
  readonly controlSocket: string | undefined;
}

/** A container of the engine. */
export interface Container {
  /** 64 hexadecimal digits. */
  readonly id: string;
  readonly name: string;
}

/** Why nobody can be reached at a socket; undefined: somebody answers. */
export function whyDeaf(socketPath: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const probe = connect(socketPath, () => {
      probe.destroy();
      resolve(undefined);
    });
    probe.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

/** Names of the local driver's volumes; none where the engine does not say. */
export async function localVolumes(socketPath: string): Promise<readonly string[]> {
  const filters = encodeURIComponent(JSON.stringify({ driver: ['local'] }));
  const answer = (await ask(socketPath, `/volumes?filters=${filters}`)) as Partial<Listed> | undefined;
  return (answer?.Volumes ?? []).flatMap(({ Name, Driver }) => (Driver === 'local' ? [Name] : []));
}

/**
 * Whether the engine has the volume driver `infinit` as somebody's socket. It keeps such a driver, and prefers it to a managed plugin, until it is started
 * again; managed plugins are not in this list.
 */
export async function remembersSocket(socketPath: string): Promise<boolean> {
  const answer = (await ask(socketPath, '/info')) as { readonly Plugins?: { readonly Volume?: readonly string[] | null } } | undefined;
  return answer?.Plugins?.Volume?.includes('infinit') ?? false;
}

/**
 * Whom the engine has root of its containers be (`--userns-remap`), as UID:GID of this host; undefined: root, or the engine does not say. What it stores lies in a directory of that name.
 */
export async function remappedRoot(socketPath: string): Promise<string | undefined> {
  const { SecurityOptions: options, DockerRootDir: directory = '' } = ((await ask(socketPath, '/info')) ?? {}) as Partial<EngineInfo>;
  if (options?.includes('name=userns') !== true) return undefined;
  return /\/(\d+)\.(\d+)$/.exec(directory)?.slice(1).join(':');
}

/** The engine's containers that run; none where it does not say. */
export async function runningContainers(socketPath: string): Promise<readonly Container[]> {
  const answer = await ask(socketPath, '/containers/json');
  const containers = Array.isArray(answer) ? (answer as readonly { readonly Id: string; readonly Names: readonly string[] | null }[]) : [];
  return containers.map(({ Id, Names }) => ({ id: Id, name: Names?.[0]?.replace(/^\//, '') ?? Id }));
}

/** Infinit where the engine has it as a managed plugin, running or not; undefined also where the engine does not say. */
export async function managedPlugin(socketPath: string): Promise<ManagedPlugin | undefined> {
  const answer = await ask(socketPath, '/plugins');
  const plugin = (Array.isArray(answer) ? (answer as PluginInfo[]) : []).find(({ Name }) => /^(.*\/)?infinit(:|$)/.test(Name));
  if (plugin === undefined) return undefined;
  return { name: plugin.Name.replace(/:latest$/, ''), enabled: plugin.Enabled, controlSocket: controlSocketOf(plugin) };
}

/** What is of interest here of the engine's answer to GET /info. */
interface EngineInfo {
  readonly SecurityOptions: readonly string[] | null;
  readonly DockerRootDir: string;
}

interface Listed {
  readonly Volumes: readonly { readonly Name: string; readonly Driver: string }[] | null;
}

/** What is of interest here of the engine's answer to GET /plugins. */
interface PluginInfo {
  readonly Name: string;
  readonly Enabled: boolean;
  readonly Settings?: {
    readonly Env?: readonly string[] | null;
    readonly Mounts?: readonly { readonly Source: string; readonly Destination: string }[] | null;
  };
}

function controlSocketOf({ Settings: settings }: PluginInfo): string | undefined {
  const inside = settings?.Env?.find((setting) => setting.startsWith('INFINIT_CONTROL_SOCKET='))?.split('=')[1];
  const bind = settings?.Mounts?.find(({ Destination }) => inside?.startsWith(`${Destination}/`));
  return bind === undefined ? undefined : bind.Source + inside!.slice(bind.Destination.length);
}

/** The engine's answer; undefined: it gives none that can be read. */
async function ask(socketPath: string, path: string): Promise<unknown> {
  try {
    const text = await new Promise<string>((resolve, reject) => {
      const call = http().request({ socketPath, path, signal: AbortSignal.timeout(deadlineMs) }, (answer) => {
        let body = '';
        answer.setEncoding('utf8');
        answer.on('data', (part: string) => {
          body += part;
          if (body.length > maxBytes) call.destroy(new Error('the answer is too long'));
        });
        answer.on('end', () => resolve(body));
        answer.on('error', reject);
      });
      call.on('error', reject);
      call.end();
    });
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
