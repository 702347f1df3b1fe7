/** What the code under test does wrong: each must be found out. */
export type LockMutant =
  /** A host that serves the volume gives locks without asking for those that it lent. */
  | 'hasty'
  /** A guest says that it has no locks to give back, and grants them as before. */
  | 'forgetful'
  /** A guest's clock stands still: it grants locks though it was given up. */
  | 'timeless'
  /** Locks that a guest had before it was lent them all are never forgotten. */
  | 'hoarding'
  /** A host that serves the volume gives a guest its locks again though others had them since it was given up. */
  | 'forgiving'
  /** One that opens the volume does not know whose locks the one before gave to others. */
  | 'ignorant'
  /** One of an earlier version: what a guest asked before it knew that it was given up is done, if it comes late enough. */
  | 'termless';
