import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import type { NameHash } from '../../src/filesystem/names/name-hash.ts';
import { type NameChange, NameOverlay } from '../../src/filesystem/names/name-overlay.ts';

const hash = { of: (name: string) => Number(name) % 7 } as NameHash;
const names = fc.integer({ min: 0, max: 40 }).map(String);
const steps = fc.array(fc.tuple(fc.constantFrom('change', 'stage', 'apply', 'order'), names), { maxLength: 300 });

test('in order of place there is each name that has a change, once, and the staged ones come part by part', () => {
  fc.assert(
    fc.property(steps, (list) => {
      const overlay = new NameOverlay(hash);
      const [pending, staged] = [new Map<string, NameChange>(), new Map<string, NameChange>()];
      for (const [what, name] of list) {
        if (what === 'change') {
          const change = { name, dentry: undefined };
          pending.set(name, change);
          overlay.change(change);
        } else if (what === 'stage') {
          overlay.stage(pending.values());
          for (const change of pending.values()) staged.set(change.name, change);
          pending.clear();
        } else if (what === 'apply' && staged.has(name)) {
          overlay.applied([staged.get(name)!]);
          staged.delete(name);
        } else overlay.ordered();
      }
      const places = overlay.ordered();
      assert.deepEqual(
        places.map(({ position }) => position),
        places.map(({ position }) => position).toSorted((a, b) => a - b),
      );
      const known = places.filter(({ name }) => overlay.get(name) !== undefined).map(({ name }) => name);
      assert.deepEqual(known.toSorted(), [...new Set([...pending.keys(), ...staged.keys()])].toSorted());
      const parts: string[] = [];
      for (let after = -Infinity; ;) {
        const { changes, until } = overlay.stagedAfter(after, 3);
        if (changes.length === 0) break;
        parts.push(...changes.map((change) => change.name));
        after = until;
      }
      assert.deepEqual(parts.toSorted(), [...staged.keys()].toSorted());
    }),
  );
});
