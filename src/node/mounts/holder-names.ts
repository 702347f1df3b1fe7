import { directoryOf } from '../../api/index.ts';

/** What the plugin's holders begin with; the rest is the engine's ID of the mount, which is not the container's. */
export const dockerPrefix = 'docker:';
/** Digits of a mount ID that are shown. */
const shortId = 12;

/** Who holds a volume: containers by name where the engine gives them, mounts that people made by their place, else mount IDs as they are. */
export function holdersInWords(holders: readonly string[], containers: readonly string[]): readonly string[] {
  const [fromDocker, fromPeople] = [
    holders.filter((holder) => holder.startsWith(dockerPrefix)),
    holders.filter((holder) => !holder.startsWith(dockerPrefix)),
  ];
  const named = containers.map((name) => `container ${name}`);
  return [
    ...(fromDocker.length === 0
      ? []
      : named.length > 0
        ? named
        : fromDocker.map((holder) => `Docker (mount ${holder.slice(dockerPrefix.length).slice(0, shortId)})`)),
    ...fromPeople.map((holder) => (directoryOf(holder) === undefined ? holder : `the mount at ${directoryOf(holder)}`)),
  ];
}
