/** Begins the name of the holder that `infinit volume mount` is; the rest is the directory. */
const prefix = 'cli:';

/** Who holds a volume that a person has mounted on a directory. */
export function holderOf(directory: string): string {
  return `${prefix}${directory}`;
}

/** The directory of such a holder; undefined: it is another, a container say. */
export function directoryOf(holder: string): string | undefined {
  return holder.startsWith(prefix) ? holder.slice(prefix.length) : undefined;
}
