import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';

import { HostNames } from '../../src/overlay/host-names.ts';

/** A resolver that answers when the test says so. */
class Resolver {
  readonly asked: { readonly host: string; readonly answer: (address: string) => void; readonly fail: (error: Error) => void }[] = [];
  readonly names = new HostNames((host) => new Promise((answer, fail) => this.asked.push({ host, answer, fail })));

  hosts(): string[] {
    return this.asked.map(({ host }) => host);
  }
}

const patient = (): AbortSignal => new AbortController().signal;

test('who waits for a name server that says nothing waits no longer than its signal', async () => {
  const { names } = new Resolver();
  await assert.rejects(names.resolve('silent', AbortSignal.timeout(20)), {
    code: 'unavailable',
    message: /silent cannot be resolved: no name server answers/,
  });
  await assert.rejects(names.resolve('silent', AbortSignal.abort()), { code: 'unavailable' });
  assert.equal(await names.resolve('10.0.0.1', AbortSignal.abort()), '10.0.0.1');
});

test('a name is looked up once at a time, few at once, and what came too late for one is there for the next', async () => {
  const resolver = new Resolver();
  const { names, asked } = resolver;
  const impatient = names.resolve('c', AbortSignal.timeout(20));
  const given = Promise.allSettled(['a', 'b', 'a', 'd'].map((host) => names.resolve(host, patient())));
  await assert.rejects(impatient, { code: 'unavailable' });
  // `c` came first and `a` next: the others wait for their turn.
  assert.deepEqual(resolver.hosts(), ['c', 'a']);
  asked[0]!.answer('10.0.0.3');
  await turn();
  assert.deepEqual(resolver.hosts(), ['c', 'a', 'b']);
  assert.equal(await names.resolve('c', patient()), '10.0.0.3');
  asked[1]!.answer('10.0.0.1');
  asked[2]!.fail(new Error('nobody knows it'));
  await turn();
  asked[3]!.answer('10.0.0.4');
  assert.deepEqual(
    (await given).map((result) => (result.status === 'fulfilled' ? result.value : (result.reason as Error).message)),
    ['10.0.0.1', 'host name b cannot be resolved: nobody knows it', '10.0.0.1', '10.0.0.4'],
  );
  // What failed is asked again.
  void names.resolve('b', patient());
  assert.deepEqual(resolver.hosts(), ['c', 'a', 'b', 'd', 'b']);
});
