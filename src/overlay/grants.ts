import { InfinitError } from '../base/index.ts';
import type { ClusterAuthority } from './cluster-authority.ts';
import type { KnownToken } from './known-tokens.ts';
import type { PassportGate } from './membership/passport-gate.ts';
import type { PeerId, Transport } from './transport.ts';

/** Request: a passport for the host that is asked, which takes it in place of its own. Answered with nothing. */
export const passportKind = 4;

const deadlineMs = 5000;

/** Gives members all rights, and takes them: a passport for a host that is there already travels to it by itself. */
export class Grants implements Disposable {
  readonly #transport: Transport;
  readonly #gate: PassportGate;
  readonly #authority: ClusterAuthority;
  readonly #self: PeerId;
  readonly #stop: () => void;

  /** @param onTaken This host has another passport now. */
  constructor(transport: Transport, gate: PassportGate, authority: ClusterAuthority, self: PeerId, onTaken: () => void) {
    this.#transport = transport;
    this.#gate = gate;
    this.#authority = authority;
    this.#self = self;
    this.#stop = transport.handle(passportKind, async (peer, body) => {
      await authority.takePassport(Buffer.from(body).toString('utf8'), self, peer);
      onTaken();
      return undefined;
    });
  }

  /** @throws InfinitError `denied` where this host may not invite, `not-found`, `unavailable` where the host is not connected. */
  async grant(peer: PeerId): Promise<void> {
    await this.#authority.checkMayInvite();
    const current = this.#gate.passportOf(peer);
    if (current === undefined) throw new InfinitError('not-found', `no member has the id ${peer}`);
    if (peer === this.#self || (current.rights.includes('invite') && !this.#gate.restsOnRevoked(current))) return;
    const text = await this.#authority.passportFor(current);
    await this.#transport.request(peer, passportKind, Buffer.from(text), { deadlineMs });
    this.#gate.vouch(peer, text);
  }

  /** The tokens that were made on this host, and those that members joined with. */
  async tokens(nameOf: (peer: PeerId) => string): Promise<readonly KnownToken[]> {
    const joined = [...this.#gate.uses.passports(), ...this.#gate.passports()].flatMap(({ invitation }) => invitation ?? []);
    const made = await this.#authority.tokensMade();
    const all = new Map([...joined, ...made].map(({ id, rights, expiresMs, uses }) => [id, { id, rights, expiresMs, uses }]));
    return [...all.values()].map((token) => {
      const peers = this.#gate.hostsOf(token.id);
      return { ...token, revoked: this.#gate.revocations.has(`token:${token.id}`), hosts: peers.map(nameOf), peers };
    });
  }

  [Symbol.dispose](): void {
    this.#stop();
  }
}
