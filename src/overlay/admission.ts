import { codeOf, InfinitError, messageOf } from '../base/index.ts';
import { FramedStream, frameType, outgoing } from '../exchange/index.ts';
import { type Gate, maxCredentialBytes } from './gate.ts';
import { protocols, type WireConnection, type WireStream } from './wire.ts';

/**
 * The first stream of a session: the dialler shows its credential, the other side its own or a refusal. Nothing else of a peer is read
 * before its credential was verified, and no more than {@link maxCredentialBytes} of that.
 * @throws InfinitError what the peer refused with, or `denied` where the peer itself is no member.
 */
export async function askForAdmission(connection: WireConnection, gate: Gate, signal: AbortSignal): Promise<void> {
  const stream = await connection.openStream(protocols.admission, signal);
  const framed = new FramedStream(stream, maxCredentialBytes);
  framed.send(outgoing(frameType.request, 0, 1, 0, [gate.credential()]));
  gate.admit(connection.peer, await framed.next(frameType.reply, signal));
}

/** Judges whoever asks; breaks the connection of those who have no right. */
export function answerAdmission(stream: WireStream, connection: WireConnection, gate: Gate, onRefused: (reason: string) => void): void {
  const framed = new FramedStream(stream, maxCredentialBytes);
  framed.onFrame = (frame) => {
    framed.onFrame = () => {};
    try {
      if (frame.type !== frameType.request) throw new InfinitError('bad-argument', 'a credential was expected');
      gate.admit(connection.peer, Uint8Array.from(frame.body));
      framed.send(outgoing(frameType.reply, 0, 1, 0, [gate.credential()]));
    } catch (error) {
      onRefused(messageOf(error));
      const shown = codeOf(error) === 'bug' ? new InfinitError('denied', 'the credential cannot be read') : (error as InfinitError);
      framed.refuse(shown, () => connection.abort('refused'));
    }
  };
}
