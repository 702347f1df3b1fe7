import { InfinitError } from '../../base/index.ts';
import type { Overlay } from '../../overlay/index.ts';

/** Refuses what people and programs want to write on a host whose token did not let it write. A host that is alone may. @throws InfinitError `denied`. */
export function checkMayWrite(overlay: Overlay): void {
  // On the path of every write: what it costs to say why not is for those who are refused.
  if (overlay.rightsOf(overlay.self).includes('write') || overlay.clusterId === undefined) return;
  const own = overlay.member(overlay.self)!;
  if (!own.rights.includes('write'))
    throw new InfinitError(
      'denied',
      `this host has no right to write (its token gave: ${own.rights.join(', ')}): use another host, or have one that may invite say \`infinit cluster grant ${own.name}\``,
    );
}
