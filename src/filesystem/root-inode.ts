/** The root directory's inode. */
export const rootInode = 1;
