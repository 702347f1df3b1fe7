import { InfinitError } from '../base/index.ts';
import { nearest } from './nearest.ts';
import type { TrashedVolume } from './volume-service.ts';

/** A name that means nothing to whoever wants to remove it: one in the trash was removed before, and nobody is told to create what is to go. */
export function noVolumeToRemove(
  name: string,
  known: readonly { readonly name: string }[],
  trash: readonly Pick<TrashedVolume, 'name' | 'state'>[],
): InfinitError {
  const trashed = trash.filter((volume) => volume.name === name);
  const near = nearest(
    name,
    known.map((volume) => volume.name),
  );
  const hint = trashed.some(({ state }) => state !== 'deleting')
    ? `: it is in the trash already; \`infinit volume trash restore ${name}\` brings it back, \`infinit volume trash empty ${name}\` deletes it for good`
    : trashed.length > 0
      ? ': it was removed, and its data is being deleted'
      : near === undefined
        ? ': see `infinit volume ls`'
        : `: did you mean "${near}"?`;
  return new InfinitError('not-found', `there is no volume "${name}"${hint}`);
}

/** That a name means nothing, and which one may have been meant. @param known The volumes that this host knows. */
export function noVolume(name: string, known: readonly { readonly name: string }[]): InfinitError {
  const near = nearest(
    name,
    known.map((volume) => volume.name),
  );
  const hint =
    near === undefined
      ? `create it with \`infinit volume create ${name}\` or \`docker volume create -d infinit ${name}\``
      : `did you mean "${near}"?`;
  return new InfinitError('not-found', `there is no volume "${name}": ${hint}`);
}
