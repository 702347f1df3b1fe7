/** Request codes of the FUSE kernel protocol (include/uapi/linux/fuse.h, enum fuse_opcode). */
export const opcodes = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  readlink: 5,
  symlink: 6,
  mknod: 8,
  mkdir: 9,
  unlink: 10,
  rmdir: 11,
  rename: 12,
  link: 13,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  setxattr: 21,
  getxattr: 22,
  listxattr: 23,
  removexattr: 24,
  flush: 25,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  fsyncdir: 30,
  getlk: 31,
  setlk: 32,
  setlkw: 33,
  create: 35,
  interrupt: 36,
  destroy: 38,
  batchForget: 42,
  fallocate: 43,
  readdirplus: 44,
  rename2: 45,
  lseek: 46,
  copyFileRange: 47,
  syncfs: 50,
  tmpfile: 51,
  copyFileRange64: 53,
} as const;

/** A request code by its name here. */
export type OperationName = keyof typeof opcodes;

/** One more than the largest code that the kernel could send us: the size of tables indexed by it. */
export const opcodeLimit = 64;

/** The name of a code, for statistics and logs. */
export function operationName(opcode: number): string {
  return names[opcode] ?? `opcode ${opcode}`;
}

const names: (string | undefined)[] = [];
for (const [name, code] of Object.entries(opcodes)) names[code] = name;
