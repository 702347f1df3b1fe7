import { randomFillSync } from 'node:crypto';

/** Randomness as a value: production passes {@link systemRandom}, the simulator a seeded one. */
export interface Random {
  /** Fresh random bytes. */
  bytes(length: number): Uint8Array<ArrayBuffer>;
  /** Uniform in [0, 1). */
  unit(): number;
}

/** The kernel's own randomness. */
export const systemRandom: Random = {
  bytes: (length) => randomFillSync(new Uint8Array(length)),
  unit: () => Math.random(),
};
