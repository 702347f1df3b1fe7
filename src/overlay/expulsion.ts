import { InfinitError, type Logger, messageOf } from '../base/index.ts';
import type { ClusterAuthority } from './cluster-authority.ts';
import type { Subject } from './identity/index.ts';
import type { AntiEntropy } from './membership/anti-entropy.ts';
import type { MemberTable } from './membership/member-table.ts';
import type { PassportGate } from './membership/passport-gate.ts';
import type { MeshTransport, PeerId } from './transport.ts';

/** What the last word to a host that is expelled is given to travel. */
const farewellMs = 150;

export interface ExpulsionOptions {
  readonly mesh: MeshTransport;
  readonly gate: PassportGate;
  readonly table: MemberTable;
  readonly sync: AntiEntropy;
  readonly authority: ClusterAuthority;
  readonly logger: Logger;
}

/** How hosts are expelled and tokens ended, and what an expelled host is told. */
export class Expulsion {
  readonly #options: ExpulsionOptions;

  constructor(options: ExpulsionOptions) {
    this.#options = options;
  }

  /** As `Overlay.revokeToken`. */
  async revokeToken(id: string): Promise<void> {
    if (!/^[0-9a-f]{16}$/.test(id))
      throw new InfinitError('bad-argument', `"${id}" is no token's ID, which has 16 hex digits: it was printed where the token was made`);
    await this.#revoke([`token:${id}`]);
  }

  /** As `Overlay.revokeHost`. */
  async revokeHost(peer: PeerId): Promise<void> {
    const { mesh, gate, table } = this.#options;
    if (peer === mesh.self) throw new InfinitError('bad-argument', 'a host cannot expel itself: let another do it, or leave');
    if (table.get(peer) === undefined && gate.passportOf(peer) === undefined) throw new InfinitError('not-found', `no member has the id ${peer}`);
    await this.#revoke(this.#subjectsOf(peer));
  }

  /** The last word to a host that was expelled is the revocation, so that its own people are told; nothing that it says counts from now on. */
  async dismiss(peer: PeerId, revocation: string): Promise<void> {
    const { mesh, sync } = this.#options;
    if (mesh.isConnected(peer)) await sync.tellAndWait(peer, { entries: [], revocations: [revocation] }, farewellMs).catch(() => {}); // it may be gone, or hang up first
    mesh.drop(peer, 'it was revoked');
  }

  /** A peer that this host dialled says as its last word that this host was expelled. */
  hearFarewell(peer: PeerId, revocation: string): void {
    const { gate, sync, logger } = this.#options;
    try {
      gate.checkFarewell(peer, revocation);
    } catch (error) {
      logger.warn('a peer says that this host was expelled, and is not believed', { peer, reason: messageOf(error) });
      return;
    }
    void sync.take({ entries: [], revocations: [revocation] }, peer);
  }

  /** Whose token still lets somebody in would come back with it, as another host. */
  #subjectsOf(peer: PeerId): Subject[] {
    return [`host:${peer}`, ...this.#options.gate.uses.tokensOf(peer).map((id) => `token:${id}` as const)];
  }

  async #revoke(subjects: readonly Subject[]): Promise<void> {
    const { authority, gate, sync, mesh } = this.#options;
    const revocations = await authority.revoke([...new Set(subjects)].filter((subject) => !gate.revocations.has(subject)));
    await sync.take({ entries: [], revocations: revocations.map(({ text }) => text) }, mesh.self);
  }
}
