import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';

import { createLogger } from '../../src/base/index.ts';
import { passportKind } from '../../src/overlay/grants.ts';
import { passportFromToken, readToken } from '../../src/overlay/identity/index.ts';
import { allRights, type Overlay } from '../../src/overlay/index.ts';
import { Cluster } from './fixture.ts';

const dayMs = 24 * 60 * 60 * 1000;

describe('a passport that travels to a host', () => {
  const send = async (from: Overlay, to: Overlay, text: string): Promise<void> => {
    await from.transport.request(to.self, passportKind, Buffer.from(text));
  };

  test('is refused where the sender may not invite, and where it is worth less than the one that it replaces', async () => {
    await using cluster = await Cluster.inMemory();
    const a = await cluster.first();
    const join = [`memory:${a.self}`];
    const b = await cluster.join('b', a, { join });
    const c = await cluster.join('c', a, { join });
    const tokens = async (): Promise<ReturnType<typeof readToken>> => readToken((await a.createToken({ rights: allRights })).text);
    const good = await tokens();
    const passing = readToken((await a.createToken({ rights: allRights, passportMs: dayMs })).text);
    const lesser = readToken((await a.createToken({})).text);
    const revoked = await tokens();
    await a.revokeToken(revoked.invitation.id);
    const now = Date.now();
    const cases = [
      ['of a sender that may not invite', c, passportFromToken(good, b.self, now)],
      ['that ends', a, passportFromToken(passing, b.self, now)],
      ['without the right to invite', a, passportFromToken(lesser, b.self, now)],
      ['of the future', a, passportFromToken(good, b.self, now + 2 * dayMs)],
      ['of a token that was revoked', a, passportFromToken(revoked, b.self, now)],
    ] as const;
    for (const [what, from, passport] of cases) {
      await assert.rejects(send(from, b, passport.text), { code: 'denied' }, what);
      assert.deepEqual([b.rightsOf(b.self), b.member(b.self)?.passportExpiresMs], [['store', 'write'], undefined], what);
    }
    await send(a, b, passportFromToken(good, b.self, now).text);
    assert.deepEqual(b.rightsOf(b.self), allRights);
  });
});

describe('the list of tokens that were made on a host', () => {
  for (const [what, content] of [
    ['no JSON', '[{"id":'],
    ['no list', '{}'],
    ['entries of other kinds', '[null,7,{"id":"ab","rights":["store"],"expiresMs":1e300,"uses":1}]'],
  ] as const)
    test(`with ${what} in it keeps nobody from making more`, async () => {
      const lines: string[] = [];
      await using cluster = await Cluster.inMemory({ logger: createLogger('warn', (_level, line) => lines.push(line)) });
      const a = await cluster.first();
      await writeFile(`${cluster.directory}/a/tokens.json`, content);
      const { id } = await a.createToken({});
      assert.deepEqual(
        (await a.tokens()).map((token) => token.id),
        [id],
      );
      if (!content.endsWith(']')) assert.match(lines.join('\n'), /list of the tokens .* cannot be read/);
    });
});
