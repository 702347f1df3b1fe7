import { closeSync, existsSync, openSync, readFileSync, writeSync } from 'node:fs';

import { messageOf } from './errors.ts';
import { type Logger, silentLogger } from './logger.ts';

/** So many requests … */
const flowRequests = 3;
/** … within this time, in ms, are a flow: a renewal now and then, or a heartbeat, keeps no processor awake. */
const flowWindowMs = 20;
/** A flow has ended once this time, in ms, brought no request; the end is noticed up to as long after. */
const restMs = 25;

/** Microseconds in which a processor of a virtual machine may wake: only one that never sleeps does. */
const virtualLatencyUs = 0;
/** Of a bare one: its lightest sleep (C1 takes 1 or 2 µs) is allowed, the deeper ones (10 µs and more) are not. */
const bareLatencyUs = 3;

/** What became of the wish: `leave`: it is not to be made; `unavailable`: the device is not there or denied; `resting`: no requests flow; `held`. */
export type WakefulnessState = 'leave' | 'unavailable' | 'resting' | 'held';

export interface WakefulnessOptions {
  readonly logger?: Logger;
  /** Linux's PM QoS device; tests give a file. */
  readonly device?: string;
  /** What to ask for, in µs; by default what suits this machine. */
  readonly latencyUs?: number;
  /** False: never ask. */
  readonly enabled?: boolean;
}

/**
 * Asks the kernel to keep its processors awake while requests flow (Linux, Documentation/power/pm_qos_interface: the wish holds for as long
 * as the device is open). A request crosses threads several times, and to wake a sleeping processor takes longer than most of what is done in between.
 * One for each thread that serves: wishes add up in the kernel. docs/decisions/wakefulness.md.
 */
export class Wakefulness implements Disposable {
  readonly #device: string;
  readonly #latencyUs: number | undefined;
  readonly #logger: Logger;
  #state: WakefulnessState;
  #file = -1;
  #touched = false;
  #count = 0;
  #windowEnd = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor({ logger = silentLogger, device = '/dev/cpu_dma_latency', latencyUs, enabled = true }: WakefulnessOptions = {}) {
    this.#logger = logger;
    this.#device = device;
    this.#latencyUs = latencyUs;
    this.#state = enabled ? 'resting' : 'leave';
  }

  get state(): WakefulnessState {
    return this.#state;
  }

  /** A request has come. Costs next to nothing. */
  touch(): void {
    if (this.#state === 'held') this.#touched = true;
    else if (this.#state === 'resting') this.#reckon();
  }

  [Symbol.dispose](): void {
    this.#release();
    this.#state = 'leave';
  }

  #reckon(): void {
    const now = performance.now();
    if (now >= this.#windowEnd) {
      this.#windowEnd = now + flowWindowMs;
      this.#count = 0;
    }
    if (++this.#count >= flowRequests) this.#hold();
  }

  #hold(): void {
    try {
      this.#file = openSync(this.#device, 'r+');
      writeSync(this.#file, Int32Array.of(this.#latencyUs ?? suitableLatencyUs()));
    } catch (error) {
      this.#release();
      this.#state = 'unavailable';
      this.#logger.debug('processors may sleep between requests', { device: this.#device, reason: messageOf(error) });
      return;
    }
    this.#state = 'held';
    this.#touched = false;
    this.#timer = setInterval(() => this.#look(), restMs).unref();
  }

  #look(): void {
    if (!this.#touched) this.#release();
    this.#touched = false;
  }

  #release(): void {
    clearInterval(this.#timer);
    if (this.#file >= 0) closeSync(this.#file);
    this.#file = -1;
    this.#count = 0;
    this.#windowEnd = 0;
    if (this.#state === 'held') this.#state = 'resting';
  }
}

let suitableUs: number | undefined;

/** A virtual machine's processor that halts leaves to its host, and to come back takes tens of microseconds. Found out once: older kernels take their time over cpuinfo. */
function suitableLatencyUs(): number {
  suitableUs ??= isVirtual() ? virtualLatencyUs : bareLatencyUs;
  return suitableUs;
}

function isVirtual(): boolean {
  return (
    read('/sys/devices/system/cpu/cpuidle/current_driver').trim() === 'haltpoll' ||
    existsSync('/sys/hypervisor/type') ||
    /^flags\b.*\bhypervisor\b/m.test(read('/proc/cpuinfo'))
  );
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
