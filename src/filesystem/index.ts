/** A volume as a POSIX file system over a block store. */
export * from './file-system.ts';
