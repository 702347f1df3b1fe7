import { codeOf, InfinitError, messageOf } from '../base/index.ts';
import type { AcceptorState } from './acceptor.ts';
import { maxEncodedBytes } from './limits.ts';
import { acceptedValue, readAccepted, readBallotOrNone, writeAccepted, writeBallotOrNone } from './record-codec.ts';
import { Reader, Writer } from './wire.ts';

/** The first byte of a stored state: which layout follows. */
const stateFormat = 1;
const nothing = new Uint8Array(0);

/** The durable form of an acceptor's state. */
export function encodeState(state: AcceptorState): Uint8Array {
  const writer = new Writer();
  writer.byte(stateFormat);
  writer.byte(state.lost ? 1 : 0);
  writeBallotOrNone(writer, state.promised);
  writeAccepted(writer, state.accepted, false);
  return writer.finishWith(acceptedValue(state.accepted) ?? nothing);
}

/** Reads what {@link encodeState} made. The value is not copied. @throws InfinitError `damaged`, `wrong-version`. */
export function decodeState(bytes: Uint8Array): AcceptorState {
  if (bytes.length > 0 && bytes[0]! > stateFormat) {
    throw new InfinitError('wrong-version', `acceptor state of format ${bytes[0]}: this version knows up to ${stateFormat}`);
  }
  try {
    if (bytes.length > maxEncodedBytes) throw new InfinitError('too-large', `acceptor state of ${bytes.length} bytes`);
    const reader = new Reader(bytes, 'acceptor state');
    if (reader.byte() !== stateFormat) reader.refuse('unknown format');
    const lost = reader.flag();
    const promised = readBallotOrNone(reader);
    const { accepted } = readAccepted(reader, false);
    return { promised, accepted, lost };
  } catch (cause) {
    if (codeOf(cause) === 'bug') throw cause;
    throw new InfinitError('damaged', messageOf(cause), { cause });
  }
}
