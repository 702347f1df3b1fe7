import { open } from 'node:fs/promises';
import path from 'node:path';

import { hostsCalled, type RepairControl, type SalvageAnswer, type SalvageCall, type SalvagedBlock } from '../../api/index.ts';
import { InfinitError, insistOnFile, type Logger } from '../../base/index.ts';
import type { Membership } from '../../membership/index.ts';
import type { Overlay, PeerId } from '../../overlay/index.ts';
import type { Repair, SalvageEntry } from '../../repair/index.ts';

/** Where salvage says what it did: one JSON object a line, on the disk before and after each block is rewritten. */
const auditFile = 'salvage.log';

export interface UpkeepContext {
  readonly repair: Repair;
  readonly membership: Pick<Membership, 'forgive' | 'percentLost'>;
  readonly overlay: Overlay;
  readonly stateDir: string;
  readonly scrubBytesPerSecond: number;
  readonly logger: Logger;
}

/** What people may have repair do, with names in place of peer ids and an audit of what cannot be undone. */
export class Upkeep implements RepairControl {
  readonly #context: UpkeepContext;

  constructor(context: UpkeepContext) {
    this.#context = context;
  }

  async salvage({ force, lost, giveUp, by }: SalvageCall): Promise<SalvageAnswer> {
    const { repair, membership, logger } = this.#context;
    const peers = lost.map((which) => this.#peer(which));
    if (force) logger.warn(giveUp ? 'lost blocks are given up' : 'salvage was forced', { by, lost: peers });
    const request = { force, lost: peers, ...(giveUp ? { giveUp: { by, at: new Date().toISOString() } } : {}) };
    const report = await repair.salvage(request, (line) => this.audit({ by, lost: peers, ...line }));
    // Of what nobody is left to know of no block tells: that it is accepted as well the person said of the hosts.
    const isForgiven = giveUp && force && (await membership.forgive(peers));
    if (isForgiven) await this.audit({ by, lost: peers, step: 'accepted', what: 'blocks of which nobody is left to know' });
    const percentLost = giveUp && !force ? membership.percentLost : 0;
    const missing = report.missing.map((peer) => this.#nameOf(peer));
    const blocks = report.blocks.map((entry) => this.#named(entry));
    return { ...report, accepted: isForgiven, ...(percentLost > 0 ? { percentLost } : {}), missing, blocks };
  }

  scrub(bytesPerSecond: number | undefined): void {
    this.#context.repair.scrub(bytesPerSecond ?? (this.#context.scrubBytesPerSecond || unhurriedBytesPerSecond));
  }

  /** An expelled host is in no list any longer: then only its peer id names it. */
  #peer(which: string): PeerId {
    const { overlay } = this.#context;
    if (overlay.expelled().has(which)) return which;
    const found = hostsCalled(which, overlay.members());
    if (found.length > 1) throw new InfinitError('bad-argument', `${found.length} hosts are called "${which}": give the peer id`);
    if (found[0]?.self === true) throw new InfinitError('bad-argument', `"${which}" is this host, which is not lost`);
    if (found[0] !== undefined) return found[0].peer;
    throw new InfinitError('not-found', `there is no host "${which}": an expelled one is named by its peer id, as \`infinit salvage\` lists it`);
  }

  #nameOf(peer: PeerId): string {
    return this.#context.overlay.member(peer)?.name ?? peer;
  }

  #named(entry: SalvageEntry): SalvagedBlock {
    const name = (peer: PeerId): string => this.#nameOf(peer);
    const { missing, damaged, holders, replicas } = entry;
    return { ...entry, missing: missing.map(name), damaged: damaged.map(name), holders: holders.map(name), replicas: replicas.map(name) };
  }

  /** Also of what else people do that goes past what was acknowledged. */
  async audit(line: object): Promise<void> {
    const place = path.join(this.#context.stateDir, auditFile);
    await insistOnFile(place, { code: 'damaged' });
    const file = await open(place, 'a', 0o600);
    try {
      await file.appendFile(`${JSON.stringify({ at: new Date().toISOString(), host: this.#context.overlay.self, ...line })}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
  }
}

/** The rate of a scrub on demand where scrub is switched off. */
const unhurriedBytesPerSecond = 16 * 1024 * 1024;
