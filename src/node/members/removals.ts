import { InfinitError, KeyedQueue } from '../../base/index.ts';
import type { Membership } from '../../membership/index.ts';
import type { Overlay, PeerId } from '../../overlay/index.ts';
import { jsonBody } from '../control/json-body.ts';
import { nodeKinds } from '../kinds.ts';

/** How long a connected host may take to say whom it expels, in ms. */
const answerMs = 3000;
/** An announcement counts so long, in ms: by then all have heard that the host was expelled, or it was not. */
const announcedMs = 10_000;
/** Announcements of others that are remembered. */
const maxAnnounced = 256;
const maxPeerLength = 128;

export interface RemovalsContext {
  readonly overlay: Overlay;
  readonly membership: Pick<Membership, 'whyItMustStay'>;
}

/**
 * Expels hosts so that every block keeps a majority. One host at a time may go, perhaps, and not two: a daemon expels one after the other, and tells the others before it looks
 * whether the host may go. Each tells before it looks, so of two daemons at once at least one knows of the other; and a host that leaves meanwhile knows of both.
 */
export class Removals {
  readonly #context: RemovalsContext;
  readonly #turns = new KeyedQueue();
  /** Whom this daemon is about to expel. */
  readonly #own = new Set<PeerId>();
  /** Whom others said that they are about to expel, and until when (by the monotonic clock, ms) that counts. */
  readonly #announced = new Map<PeerId, number>();

  constructor(context: RemovalsContext) {
    this.#context = context;
    context.overlay.transport.handle(nodeKinds.expelling, (asker, body) => {
      const { peer, on } = announcementOf(body);
      if (context.overlay.rightsOf(asker).includes('invite')) {
        this.#announced.delete(peer);
        if (on && this.#announced.size < maxAnnounced) this.#announced.set(peer, performance.now() + announcedMs);
      }
      return Buffer.from(JSON.stringify([...this.#aboutToGo()].filter((other) => other !== peer)));
    });
  }

  /**
   * Expels a host.
   * @param which As people call it.
   * @param unsafe Also where some block may have no majority without it, and without asking the others.
   * @throws InfinitError `in-use` where that is so; `unavailable` where a connected host does not say whether it expels one too; `denied`.
   */
  remove(peer: PeerId, which: string, unsafe: boolean): Promise<void> {
    return this.#turns.run('remove', async () => {
      this.#own.add(peer);
      try {
        if (!unsafe) await this.#check(peer, which);
        await this.#context.overlay.revokeHost(peer);
      } catch (error) {
        this.#withdraw(peer);
        throw error;
      } finally {
        this.#own.delete(peer);
      }
    });
  }

  /** Why a host should not go now, be it expelled or by itself; undefined: it may. Hosts that are being expelled count as gone. */
  whyItMustStay(peer: PeerId, alsoGone: Iterable<PeerId> = []): string | undefined {
    const { overlay, membership } = this.#context;
    const gone = new Set([...this.#aboutToGo(), ...alsoGone]);
    gone.delete(peer);
    const why = membership.whyItMustStay(peer, gone);
    if (why === undefined || gone.size === 0 || membership.whyItMustStay(peer) !== undefined) return why;
    const names = [...gone].map((other) => overlay.member(other)?.name ?? other);
    return `${why} while ${names.join(', ')} is being expelled too: say it again when that is done`;
  }

  async #check(peer: PeerId, which: string): Promise<void> {
    const why = this.whyItMustStay(peer, await this.#ask(peer));
    if (why === undefined) return;
    throw new InfinitError(
      'in-use',
      // One that does not answer gives nothing away.
      this.#context.overlay.transport.isConnected(peer)
        ? `${which}: ${why}. Bring the missing hosts back, or drain it first (\`infinit node drain\`); \`--unsafe\` expels it all the same`
        : `${which}: ${why}. Bring the missing hosts back if there is any way to; where all of them are lost for good \`--unsafe\` expels it all the same, and \`infinit salvage\` brings back what is left`,
    );
  }

  /** Tells all connected hosts that this one is about to go; returns whom they expel. */
  async #ask(peer: PeerId): Promise<readonly PeerId[]> {
    const { overlay } = this.#context;
    const { transport } = overlay;
    const body = announcement(peer, true);
    const asked = transport.connected().filter((other) => other !== peer);
    const answers = await Promise.allSettled(
      asked.map(async (other) => {
        const listed = jsonBody(await transport.request(other, nodeKinds.expelling, body, { deadlineMs: answerMs }));
        // Who may not expel has nobody to name.
        return Array.isArray(listed) && overlay.rightsOf(other).includes('invite') ? listed.filter((each) => typeof each === 'string') : [];
      }),
    );
    return answers.flatMap((answer, index) => {
      if (answer.status === 'fulfilled') return answer.value;
      const other = asked[index]!;
      // One of an earlier version does not know the question; one that is gone meanwhile counts as missing.
      if ((answer.reason as InfinitError).code === 'unsupported' || !transport.isConnected(other)) return [];
      const name = overlay.member(other)?.name ?? other;
      throw new InfinitError('unavailable', `${name} is connected and does not say whether it expels a host too: try again, or say \`--unsafe\``);
    });
  }

  #withdraw(peer: PeerId): void {
    const { transport } = this.#context.overlay;
    for (const other of transport.connected()) transport.notify(other, nodeKinds.expelling, announcement(peer, false));
  }

  #aboutToGo(): Set<PeerId> {
    const now = performance.now();
    for (const [peer, until] of this.#announced) if (until <= now) this.#announced.delete(peer);
    return new Set([...this.#own, ...this.#announced.keys()]);
  }
}

function announcement(peer: PeerId, on: boolean): Uint8Array {
  return Buffer.from(JSON.stringify({ peer, on }));
}

function announcementOf(body: Uint8Array): { readonly peer: PeerId; readonly on: boolean } {
  const { peer, on } = (jsonBody(body) ?? {}) as { readonly peer?: unknown; readonly on?: unknown };
  if (typeof peer !== 'string' || peer.length > maxPeerLength) throw new InfinitError('bad-argument', 'no host is named that is to be expelled');
  return { peer, on: on === true };
}
