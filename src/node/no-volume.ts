import { nearest } from '../api/index.ts';
import { InfinitError } from '../base/index.ts';

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
