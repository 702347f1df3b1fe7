import { InfinitError } from '../base/index.ts';
import type { PeerId } from './ballot.ts';
import type { LeaseMessage } from './lease-messages.ts';
import { Reader, Writer } from './wire.ts';

const types = ['heartbeat', 'heartbeat-reply', 'recall', 'release', 'forgot', 'forgot-reply'] as const satisfies readonly LeaseMessage['type'][];
/** Times go over the wire in microseconds; the origin is each host's own, so that only the sender can read them. */
const perMs = 1000;
const maxBytes = 1024;

/** The wire form of a lease message. */
export function encodeLeaseMessage(message: LeaseMessage): Uint8Array {
  const writer = new Writer();
  writer.byte(types.indexOf(message.type));
  if (message.type === 'recall') {
    writer.name(message.block);
    return writer.finish();
  }
  if (message.type === 'forgot' || message.type === 'forgot-reply') {
    writer.number(message.session);
    return writer.finish();
  }
  writer.number(message.incarnation);
  if (message.type === 'release') {
    writer.name(message.block);
    writer.number(message.sequence);
    return writer.finish();
  }
  // Rounded down: a holder must not believe that it asked later than it did.
  writer.number(Math.floor(message.sentAt * perMs));
  if (message.type === 'heartbeat-reply') writer.number(message.session);
  return writer.finish();
}

/** Reads a lease message of the authenticated peer `from`. @throws InfinitError `bad-argument`, `too-large`. */
export function decodeLeaseMessage(from: PeerId, bytes: Uint8Array): LeaseMessage {
  if (bytes.length > maxBytes) throw new InfinitError('too-large', `lease message of ${bytes.length} bytes: the limit is ${maxBytes}`);
  const reader = new Reader(bytes, 'lease message');
  const type = types[reader.byte()] ?? reader.refuse('an unknown type');
  const message = readBody(reader, type, from);
  reader.end();
  return message;
}

function readBody(reader: Reader, type: LeaseMessage['type'], from: PeerId): LeaseMessage {
  switch (type) {
    case 'recall':
      return { type, from, block: reader.name() };
    case 'release':
      return { type, from, incarnation: reader.number(), block: reader.name(), sequence: reader.number() };
    case 'forgot':
    case 'forgot-reply':
      return { type, from, session: reader.number() };
    case 'heartbeat':
      return { type, from, incarnation: reader.number(), sentAt: reader.number() / perMs };
    case 'heartbeat-reply':
      return { type, from, incarnation: reader.number(), sentAt: reader.number() / perMs, session: reader.number() };
  }
}
