import type { Acl } from '../../src/filesystem/inodes/acl.ts';

/** The number of whom an entry of no user or group is for. */
export const nobody = 0xffffffff;
/** u::rwx u:5:rw- g::r-x m::rwx o::r-- */
export const acl: Acl = {
  entries: [
    { tag: 1, permissions: 7, id: nobody },
    { tag: 2, permissions: 6, id: 5 },
    { tag: 4, permissions: 5, id: nobody },
    { tag: 16, permissions: 7, id: nobody },
    { tag: 32, permissions: 4, id: nobody },
  ],
};
