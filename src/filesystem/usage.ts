import type { Usage } from './journal-codec.ts';

/** What the volume holds. Exact while mounted; after a crash it may lack what was written since the last block of the journal. */
export class VolumeUsage implements Usage {
  /** Bytes of file contents kept in the store. */
  allocated: number;
  /** Inodes in use. */
  files: number;

  constructor(usage: Usage) {
    this.allocated = usage.allocated;
    this.files = usage.files;
  }
}
