import type { VolumeUsage } from './status.ts';

/**
 * What the Docker plugin, the control API and the CLI do with volumes, on this host. All calls are idempotent:
 * dockerd repeats them, with and without a body, and after its own crash.
 */
export interface VolumeService {
  /** Same name and same options: fine; other options: @throws InfinitError `already-exists`. An unknown option: `bad-argument` with a suggestion. */
  create(name: string, options: Readonly<Record<string, string>>): Promise<Volume>;
  /** Answers from the local durable catalogue: never needs a quorum. undefined: it does not exist. @throws `unavailable` where that is truly unknown. */
  inspect(name: string): Promise<Volume | undefined>;
  list(): Promise<readonly Volume[]>;
  /**
   * @param how `force`: not to find it is fine, and so is that its last writes cannot be written out.
   * @throws InfinitError `in-use` that says who has it mounted; `not-found`; `disk-full` or whatever else keeps its last writes from the store.
   */
  remove(name: string, how?: { readonly force?: boolean; readonly signal?: AbortSignal }): Promise<void>;
  /** Mounts at the volume's own place below the mount directory; `holder` (a container's mount ID, a CLI session) is remembered, twice the same is one. Returns the mount point. */
  mount(name: string, holder: string, signal?: AbortSignal): Promise<string>;
  /** Forgets one holder; after the last the path is detached and the file system goes on until the kernel lets go of it. Unknown holders are fine. */
  unmount(name: string, holder: string): Promise<void>;
  /** Where it is mounted on this host now, if it is. */
  mountpoint(name: string): string | undefined;
}

/** Whether this host has a say about volumes at all, and what Docker believes about them while it has not. */
export interface Membership {
  /** Why this host is no member of the cluster that it is to belong to; undefined: it is one, or alone by choice. */
  whyOutside(): string | undefined;
  /** Waits for it to become one. @throws InfinitError at once where there is no hope; what the signal says. */
  whenInside(signal: AbortSignal): Promise<void>;
  /** Names that Docker was told are volumes although that was not known. Kept over restarts. */
  readonly expected: {
    list(): readonly string[];
    has(name: string): boolean;
    add(name: string): Promise<void>;
    delete(name: string): Promise<void>;
  };
}

/** What people do with volumes beyond what the engine asks for. */
export interface VolumeControl extends VolumeService {
  /** Changes options of a volume; those that a mount depends on only while nobody has it mounted. @throws InfinitError `in-use`, `not-found`, `bad-argument`. */
  update(name: string, options: Readonly<Record<string, string>>): Promise<Volume>;
  /** As {@link list}, with all hosts that have a volume mounted. */
  listEverywhere(): Promise<readonly Volume[]>;
  /** What it takes, mounted or not. */
  usage(name: string): Promise<VolumeUsage>;
}

/** The trash of the cluster. */
export interface TrashControl {
  list(): Promise<readonly TrashedVolume[]>;
  /** `which`: a name (the one removed last) or an id. */
  restore(which: string, name: string | undefined): Promise<{ readonly name: string }>;
  /** Deletes for good, in the background; returns what is deleted. */
  empty(which?: string): Promise<readonly TrashedVolume[]>;
}

/** A volume as people see it. */
export interface Volume {
  readonly name: string;
  /** 32 hex digits. */
  readonly id: string;
  /** RFC 3339. */
  readonly createdAt: string;
  /** The effective options, normalised, defaults included. */
  readonly options: Readonly<Record<string, string>>;
  readonly mountpoint?: string;
  /** Who holds it on this host. */
  readonly holders: readonly string[];
  /** Hosts that have it mounted, by name. */
  readonly hosts: readonly string[];
  /** HEALTHY, DEGRADED, READ-ONLY or UNAVAILABLE, and why. */
  readonly health: { readonly state: 'HEALTHY' | 'DEGRADED' | 'READ-ONLY' | 'UNAVAILABLE'; readonly reasons: readonly string[] };
}

/** A removed volume whose data is still there. */
export interface TrashedVolume {
  readonly name: string;
  readonly id: string;
  /** When it was removed, RFC 3339. */
  readonly trashedAt: string;
  /** When its data is to be deleted; absent: not by itself, or it is being deleted now. */
  readonly deletedAt?: string;
  readonly state: 'kept' | 'restoring' | 'deleting';
  readonly options: Readonly<Record<string, string>>;
}
