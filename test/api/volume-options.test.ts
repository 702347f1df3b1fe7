import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { differences, parseVolumeChanges, parseVolumeOptions, typedOptions, type VolumeOption, volumeOptions } from '../../src/api/index.ts';

const size = (text: string): string => parseVolumeOptions({ size: text }).size;

const refusal = (given: unknown): string => {
  try {
    parseVolumeOptions(given);
  } catch (error) {
    assert.equal((error as { code: string }).code, 'bad-argument');
    return (error as Error).message;
  }
  throw new Error(`accepted: ${JSON.stringify(given)}`);
};

test('no options at all give every option its default, null and {} alike', () => {
  const effective = parseVolumeOptions(null);
  assert.deepEqual(parseVolumeOptions({}), effective);
  assert.deepEqual(
    Object.keys(effective),
    volumeOptions.map(({ name }) => name),
  );
  assert.deepEqual([effective.size, effective.mode, effective['on-remove'], effective.encryption], ['unlimited', '0755', 'trash', 'none']);
});

test('the names that other plugins use mean the same', () => {
  const effective = parseVolumeOptions({ quota: '10G', repl: '5', ro: 'true', secure: 'true' });
  assert.deepEqual([effective.size, effective.replicas, effective.readonly, effective.encryption], ['10G', '5', 'true', 'aes-256-gcm']);
});

test('"-" and "_", capitals and quotes make no difference', () => {
  assert.equal(parseVolumeOptions({ on_remove: 'retain' })['on-remove'], 'retain');
  assert.equal(parseVolumeOptions({ 'ON-REMOVE': '"Delete"' })['on-remove'], 'delete');
  assert.equal(parseVolumeOptions({ ro: "'true'" }).readonly, 'true');
  assert.equal(parseVolumeOptions({ readonly: '' }).readonly, 'true');
  assert.equal(parseVolumeOptions({ readonly: 'No' }).readonly, 'false');
  assert.equal(parseVolumeOptions({ access: 'one_writer' }).access, 'onewriter');
});

test('sizes have units of 1024 and a shortest form', () => {
  assert.deepEqual(
    ['10G', '10g', '10GB', '10GiB', '10240M', '10737418240', '"10 G"'].map(size),
    Array.from({ length: 7 }, () => '10G'),
  );
  assert.equal(size('1.5T'), '1536G');
  assert.deepEqual(['0', 'none', 'unlimited'].map(size), ['unlimited', 'unlimited', 'unlimited']);
  assert.equal(typedOptions(parseVolumeOptions({ size: '512M' })).sizeBytes, 512 * 1024 ** 2);
});

test('modes are octal, and umask is what they leave out', () => {
  assert.equal(parseVolumeOptions({ mode: '750' }).mode, '0750');
  assert.equal(parseVolumeOptions({ mode: '01777' }).mode, '1777');
  assert.equal(parseVolumeOptions({ umask: '027' }).mode, '0750');
  assert.equal(typedOptions(parseVolumeOptions({ mode: '2775' })).mode, 0o2775);
});

test('an unknown option is refused with the nearest name', () => {
  assert.match(refusal({ sise: '1G' }), /unknown volume option "sise": did you mean "size"\?/);
  assert.match(refusal({ siez: '10G' }), /did you mean "size"\?/);
  assert.match(refusal({ 'on-removal': 'trash' }), /did you mean "on-remove"/);
  assert.match(refusal({ replica: '3' }), /did you mean "replicas"/);
  assert.match(refusal({ type: 'nfs' }), /unknown volume option "type": known are size, replicas/);
  assert.match(refusal({ ['x'.repeat(500)]: '' }), /known are/);
  assert.match(refusal(JSON.parse('{"__proto__": "x"}')), /unknown volume option "__proto__"/);
});

test('a value of the wrong kind is refused, and the message says what is wanted', () => {
  assert.equal(refusal({ size: 'big' }), 'option "size": "big" is not a size of at least 1M such as 512M, 10G or 1T, or "unlimited"');
  assert.match(refusal({ size: '1K' }), /at least 1M/);
  assert.match(refusal({ size: '-5G' }), /is not a size/);
  assert.match(refusal({ size: '9999999999P' }), /is not a size/);
  assert.match(refusal({ uid: 'root' }), /"uid": "root" is not a whole number from 0 to 4294967294/);
  assert.match(refusal({ gid: '4294967295' }), /is not a whole number/);
  assert.match(refusal({ mode: '0888' }), /octal/);
  assert.match(refusal({ mode: '17777' }), /octal/);
  assert.match(refusal({ ro: 'maybe' }), /true or false/);
  assert.match(refusal({ 'on-remove': 'burn' }), /one of trash, delete, retain/);
  assert.match(refusal({ encryption: 'constructor' }), /one of none, aes-256-gcm/);
  assert.match(refusal({ replicas: '2' }), /one of 1, 3, 5, 7, 9/);
  assert.match(refusal({ size: 10 }), /a string is wanted, not number/);
  assert.match(refusal({ size: null }), /a string is wanted, not null/);
  assert.match(refusal(['size']), /an object of strings/);
  assert.match(refusal('size=10G'), /an object of strings/);
});

test('the same option twice must say the same', () => {
  assert.equal(parseVolumeOptions({ ro: 'true', readonly: 'yes' }).readonly, 'true');
  assert.match(refusal({ size: '1G', quota: '2G' }), /"size" and "quota" are the same option/);
});

test('the daemon may have fallbacks of its own', () => {
  assert.equal(parseVolumeOptions({}, { replicas: '1' }).replicas, '1');
  assert.equal(parseVolumeOptions({ replicas: '5' }, { replicas: '1' }).replicas, '5');
});

test('no two options share a name, and every default is canonical', () => {
  const names = volumeOptions.flatMap(({ name, aliases }) => [name, ...aliases]);
  assert.equal(new Set(names).size, names.length);
  for (const { name, type, fallback } of volumeOptions as readonly VolumeOption[]) assert.equal(type.canonical(fallback), fallback, name);
});

test('what is effective reads back to itself', () => {
  const value = fc.oneof(fc.constantFrom('1', '3', 'true', 'no', '10G', '1.5g', '0755', 'trash', 'readonly', 'zstd', '"5"', ''), fc.string());
  const key = fc.constantFrom(...volumeOptions.flatMap(({ name, aliases }) => [name, ...aliases]));
  fc.assert(
    fc.property(fc.dictionary(key, value), (given) => {
      let effective;
      try {
        effective = parseVolumeOptions(given);
      } catch (error) {
        assert.equal((error as { code: string }).code, 'bad-argument');
        return;
      }
      assert.deepEqual(parseVolumeOptions(effective), effective);
      typedOptions(effective);
    }),
  );
});

test('what other drivers offer and this one does not is refused with the reason', () => {
  assert.match(refusal({ zone: 'a' }), /"zone" is not supported: blocks are spread over all zones/);
  assert.match(refusal({ Nodes: 'a,b' }), /cannot be tied/);
  assert.match(refusal({ clone_from: 'other' }), /cannot be cloned/);
  assert.match(refusal({ snapshot: 's' }), /no snapshots/);
});

test('a value is shown as it was typed, and none is asked for', () => {
  for (const given of [{ size: '' }, { size: ' ""' }]) assert.match(refusal(given), /^option "size" needs a value: a size of at least 1M/);
  assert.equal(refusal({ mode: `'9\\9'` }), `option "mode": "'9\\9'" is not permissions in octal from 0000 to 7777, such as 0755`);
  assert.match(refusal({ Quota: 'lots' }), /^option "Quota": "lots" is not a size/);
  assert.match(refusal({ size: '1\nx' }), /^option "size": "1\\nx" is not/);
  assert.throws(() => parseVolumeChanges({ user: '3' }), { message: /^option "user" is fixed when a volume is created/ });
});

test('how two creations differ is said in the words of the second', () => {
  const there = parseVolumeOptions({ size: '1G' });
  const given = { quota: '2048M', 'on-remove': 'Retain' };
  assert.deepEqual(differences(there, parseVolumeOptions(given), given), ['size is 1G, not quota=2048M', 'on-remove is trash, not Retain']);
  assert.deepEqual(differences(there, parseVolumeOptions({}), {}), ['size is 1G, not unlimited']);
  assert.deepEqual(differences(there, parseVolumeOptions({ size: '1024M', replicas: '5' }), { size: '1024M', replicas: '5' }), []);
});
