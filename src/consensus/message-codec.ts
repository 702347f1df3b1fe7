import { InfinitError } from '../base/index.ts';
import { type Ballot, compareBallots, type PeerId } from './ballot.ts';
import { maxEncodedBytes, maxReplicas, maxRound, maxViews } from './limits.ts';
import type { Accept, LeaseRequest, Reply, ReplyType, Request, RequestHead } from './messages.ts';
import {
  acceptedValue,
  readAccepted,
  readBallot,
  readBallotOrNone,
  readRecord,
  writeAccepted,
  writeBallot,
  writeBallotOrNone,
  writeRecord,
} from './record-codec.ts';
import type { View } from './record.ts';
import { type Keep, Reader, Writer } from './wire.ts';

const requestTypes = ['prepare', 'accept', 'read', 'learn', 'forget'] as const satisfies readonly Request['type'][];
const replyTypes: readonly ReplyType[] = ['promised', 'accepted', 'value', 'learned', 'forgotten', 'rejected', 'leased', 'lost'];

/** A message as it goes over the wire, to be sent one part after the other; a value is the caller's own memory, not a copy. */
export type Parts = readonly Uint8Array[];

/** The wire form of a request. The sender is not in it: the transport knows. */
export function encodeRequest(request: Request): Parts {
  const writer = new Writer();
  writer.byte(requestTypes.indexOf(request.type));
  writer.name(request.block);
  writer.number(request.tag);
  writer.number(request.attempt);
  if (request.type === 'prepare') {
    writeBallot(writer, request.ballot);
    writer.number(request.view + 1);
    writeBallotOrNone(writer, request.known);
  } else if (request.type === 'accept') {
    writeBallot(writer, request.ballot);
    writeBallotOrNone(writer, request.next);
    writer.byte(request.condition === null ? 0 : 1);
    if (request.condition !== null) writeBallotOrNone(writer, request.condition.ballot);
    writer.number(request.founding + 1);
    writer.number(request.leaseClock);
    writeLease(writer, request.lease);
    writeRecord(writer, request.record);
  } else if (request.type === 'read') {
    writer.number(request.view + 1);
    writeBallotOrNone(writer, request.known);
    writeLease(writer, request.lease);
  } else {
    writeBallot(writer, request.ballot);
    if (request.type === 'learn') writeRecord(writer, request.record);
    else writer.number(request.floor);
  }
  const head = writer.finish();
  const value = request.type === 'accept' || request.type === 'learn' ? request.record.value : null;
  return value === null ? [head] : [head, value];
}

/**
 * Reads a request that the authenticated peer `from` sent. Values are not copied, unless by `keep`.
 * @throws InfinitError `bad-argument`, `too-large`; `denied` where it speaks with another's ballot.
 */
export function decodeRequest(from: PeerId, bytes: Uint8Array, keep?: Keep): Request {
  const reader = open(bytes, 'request', keep);
  const type = requestTypes[reader.byte()] ?? reader.refuse('an unknown type');
  const head: RequestHead = { from, block: reader.name(), tag: reader.number(), attempt: reader.number() };
  const request = readBody(reader, type, head);
  reader.end();
  return request;
}

function readBody(reader: Reader, type: Request['type'], head: RequestHead): Request {
  if (type === 'read') return { type, ...head, view: reader.number() - 1, known: readBallotOrNone(reader), lease: readLease(reader) };
  const ballot = readBallot(reader);
  if (type === 'forget') return { type, ...head, ballot, floor: reader.number(maxRound) };
  if (type === 'learn') return { type, ...head, ballot, record: readRecord(reader) };
  own(ballot, head.from);
  if (type === 'prepare') return { type, ...head, ballot, view: reader.number() - 1, known: readBallotOrNone(reader) };
  return readAccept(reader, head, ballot);
}

function readAccept(reader: Reader, { from, block, tag, attempt }: RequestHead, ballot: Ballot): Accept {
  const next = readBallotOrNone(reader);
  if (next !== null) {
    own(next, from);
    if (compareBallots(next, ballot) <= 0) reader.refuse('the next ballot is not higher');
  }
  const condition = reader.flag() ? { ballot: readBallotOrNone(reader) } : null;
  const founding = reader.number() - 1;
  const leaseClock = reader.number();
  const lease = readLease(reader);
  const record = readRecord(reader);
  // Every field by its name: this is the message of each write, and an object made of another's fields is slow to make.
  return { type: 'accept', from, block, tag, attempt, ballot, record, next, condition, founding, leaseClock, lease };
}

/** The wire form of a reply. */
export function encodeReply(reply: Reply): Parts {
  const writer = new Writer();
  writer.byte(replyTypes.indexOf(reply.type));
  writer.name(reply.block);
  writer.number(reply.tag);
  writer.number(reply.attempt);
  writer.number(reply.floor);
  writer.number(reply.grant);
  writeBallotOrNone(writer, reply.promised);
  writer.byte(reply.unsure ? 1 : 0);
  writer.number(reply.views.length);
  for (const view of reply.views) {
    writer.number(view.number);
    writer.peers(view.replicas);
  }
  writeAccepted(writer, reply.accepted, reply.same);
  const head = writer.finish();
  const value = reply.same ? null : acceptedValue(reply.accepted);
  return value === null ? [head] : [head, value];
}

/** Reads a reply of the authenticated peer `from`. Values are not copied, unless by `keep`. @throws InfinitError `bad-argument`, `too-large`. */
export function decodeReply(from: PeerId, bytes: Uint8Array, keep?: Keep): Reply {
  const reader = open(bytes, 'reply', keep);
  const type = replyTypes[reader.byte()] ?? reader.refuse('an unknown type');
  const block = reader.name();
  const tag = reader.number();
  const attempt = reader.number();
  const floor = reader.number();
  const grant = reader.number();
  const promised = readBallotOrNone(reader);
  const unsure = reader.flag();
  const views: View[] = [];
  for (let left = reader.number(maxViews); left > 0; left--) views.push({ number: reader.number(), replicas: reader.peers(1, maxReplicas) });
  const { accepted, same } = readAccepted(reader, true);
  return { type, from, block, tag, attempt, promised, accepted, same, floor, views, unsure, grant };
}

function open(bytes: Uint8Array, what: string, keep?: Keep): Reader {
  if (bytes.length > maxEncodedBytes) throw new InfinitError('too-large', `${what} of ${bytes.length} bytes: the limit is ${maxEncodedBytes}`);
  return new Reader(bytes, what, keep);
}

/** A host may use its own ballots only: that is what makes them unique. */
function own(ballot: Ballot, from: PeerId): void {
  if (ballot.peer !== from) throw new InfinitError('denied', `request from ${from} uses a ballot of ${ballot.peer}`);
}

function writeLease(writer: Writer, lease: LeaseRequest | null): void {
  writer.byte(lease === null ? 0 : lease.mode === 'shared' ? 1 : 2);
  if (lease === null) return;
  writer.number(lease.incarnation);
  writer.number(lease.sequence);
}

function readLease(reader: Reader): LeaseRequest | null {
  const mode = reader.byte();
  if (mode > 2) reader.refuse('an unknown mode of lease');
  return mode === 0 ? null : { mode: mode === 1 ? 'shared' : 'exclusive', incarnation: reader.number(), sequence: reader.number() };
}
