/** What tells hosts apart for people. Each chooses its own name; its id is its key. */
interface Called {
  readonly name: string;
  readonly peer: string;
}

/** The hosts that a person means by a name or a peer id. An id means that host alone: others may call themselves so, lest it be expelled. */
export function hostsCalled<Host extends Called>(which: string, hosts: readonly Host[]): readonly Host[] {
  const ofId = hosts.filter(({ peer }) => peer === which);
  return ofId.length > 0 ? ofId : hosts.filter(({ name }) => name === which);
}
