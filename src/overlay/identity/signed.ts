import { InfinitError, messageOf } from '../../base/index.ts';
import { type KeyPair, verifySignature } from './key-pair.ts';

/** What a signature is for: one made for a passport can never be shown as another thing. */
export type Purpose = 'invitation' | 'passport' | 'revocation' | 'member';

/** A signed statement as text: `PAYLOAD.SIGNATURE`, both base64url, the payload a JSON object. The signature covers the very bytes that travel. */
export type SignedText = string;

/** A statement whose signature has not been looked at: its fields may only be used to find out who must have signed. */
export interface Unverified {
  readonly fields: Readonly<Record<string, unknown>>;
  /** @throws InfinitError `denied` where the key did not sign it. */
  verify(publicKey: Uint8Array): void;
}

export function signText(purpose: Purpose, fields: object, key: KeyPair): SignedText {
  const payload = Buffer.from(JSON.stringify(fields));
  return `${payload.toString('base64url')}.${Buffer.from(key.sign(signedBytes(purpose, payload))).toString('base64url')}`;
}

/** Takes a statement apart. @throws InfinitError `bad-argument` for what is none or is longer than `maxLength`. */
export function readText(purpose: Purpose, text: unknown, maxLength: number): Unverified {
  if (typeof text !== 'string' || text.length > maxLength)
    throw new InfinitError('bad-argument', `a ${purpose} is text of at most ${maxLength} characters`);
  const dot = text.indexOf('.');
  const payload = Buffer.from(text.slice(0, Math.max(dot, 0)), 'base64url');
  const signature = Buffer.from(text.slice(dot + 1), 'base64url');
  const fields = parseObject(purpose, payload);
  return {
    fields,
    verify: (publicKey) => {
      if (!verifySignature(publicKey, signedBytes(purpose, payload), signature))
        throw new InfinitError('denied', `the signature of a ${purpose} is wrong`);
    },
  };
}

function signedBytes(purpose: Purpose, payload: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`infinit ${purpose} 1\n`), payload]);
}

function parseObject(purpose: Purpose, payload: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(payload.toString());
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('not an object');
    return value as Record<string, unknown>;
  } catch (cause) {
    throw new InfinitError('bad-argument', `a ${purpose} cannot be read: ${messageOf(cause)}`, { cause });
  }
}

/** A text field. @throws InfinitError `bad-argument`. */
export function textField(fields: Readonly<Record<string, unknown>>, name: string, maxLength: number): string {
  const value = fields[name];
  if (typeof value !== 'string' || value.length > maxLength)
    throw new InfinitError('bad-argument', `field ${name} is no text of at most ${maxLength} characters`);
  return value;
}

/** A field with a whole number from 0 to 2^53. @throws InfinitError `bad-argument`. */
export function numberField(fields: Readonly<Record<string, unknown>>, name: string): number {
  const value = fields[name];
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw new InfinitError('bad-argument', `field ${name} is no whole number`);
  return value as number;
}

/** A field with 32 bytes in base64url. @throws InfinitError `bad-argument`. */
export function keyField(fields: Readonly<Record<string, unknown>>, name: string): Uint8Array {
  const bytes = Buffer.from(textField(fields, name, 64), 'base64url');
  if (bytes.length !== 32) throw new InfinitError('bad-argument', `field ${name} is no key`);
  return bytes;
}
