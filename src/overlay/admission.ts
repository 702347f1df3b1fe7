import { codeOf, InfinitError, messageOf } from '../base/index.ts';
import { FramedStream, frameType, outgoing } from '../exchange/index.ts';
import { type Gate, maxCredentialBytes } from './gate.ts';
import { protocols, type WireConnection, type WireStream } from './wire.ts';

/**
 * The first stream of a session: the dialler shows its credential, the other side its own or a refusal. Nothing else of a peer is read
 * before its credential was verified, and no more than {@link maxCredentialBytes} of that.
 * @param askedToJoin As for {@link Gate.admit}.
 * @throws InfinitError what the peer refused with, or `denied` where the peer itself is no member.
 */
export async function askForAdmission(connection: WireConnection, gate: Gate, signal: AbortSignal, askedToJoin: boolean): Promise<void> {
  const stream = await connection.openStream(protocols.admission, signal);
  const framed = new FramedStream(stream, maxCredentialBytes);
  framed.send(outgoing(frameType.request, 0, 1, 0, [gate.credential()]));
  gate.admit(connection.peer, await framed.next(frameType.reply, signal), askedToJoin);
}

export interface AdmissionEvents {
  readonly admitted: () => void;
  readonly refused: (reason: string) => void;
  /** The peer, whom this host dialled, says that this host was expelled: text to be verified. */
  readonly farewell: (revocation: string) => void;
}

/** How long a host that was expelled has to read that it was, in ms. */
const farewellMs = 300;

/** Tells a host that was expelled, on a stream of its own. Nothing that the host says is read. */
export async function sayFarewell(connection: WireConnection, revocation: string): Promise<void> {
  try {
    const stream = await connection.openStream(protocols.admission, AbortSignal.timeout(farewellMs));
    new FramedStream(stream, maxCredentialBytes).send(outgoing(frameType.reply, 0, 0, 0, [Buffer.from(revocation)]));
    await new Promise((resolve) => void setTimeout(resolve, farewellMs));
  } catch {
    // It hung up, or does not listen.
  } finally {
    connection.abort('it was revoked');
  }
}

/** Judges whoever asks; breaks the connection of those who have no right. */
export function answerAdmission(stream: WireStream, connection: WireConnection, gate: Gate, on: AdmissionEvents): void {
  const framed = new FramedStream(stream, maxCredentialBytes);
  framed.onFrame = (frame) => {
    framed.onFrame = () => {};
    // Nobody was asked: it is the last word to a host that was expelled, if its signature says so. Only who is dialled has a reason to say it.
    if (frame.type === frameType.reply && connection.dialled) return on.farewell(Buffer.from(frame.body).toString('utf8'));
    try {
      if (frame.type !== frameType.request) throw new InfinitError('bad-argument', 'a credential was expected');
      gate.admit(connection.peer, Uint8Array.from(frame.body));
      on.admitted();
      framed.send(outgoing(frameType.reply, 0, 1, 0, [gate.credential()]));
    } catch (error) {
      on.refused(messageOf(error));
      const shown = codeOf(error) === 'bug' ? new InfinitError('denied', 'the credential cannot be read') : (error as InfinitError);
      framed.refuse(shown, () => connection.abort('refused'));
    }
  };
}
