/** The largest value of a record: a mutable block's 64 KiB and room for its sealing. */
export const maxValueBytes = 64 * 1024 + 4 * 1024;
/** The largest round of a ballot that is believed: far above what a cluster reaches in a century, far below 2^53, where numbers stop counting. */
export const maxRound = 2 ** 48;
/** The largest version, epoch, serial or incarnation that is believed. */
export const maxCount = 2 ** 48;
/**
 * So many rounds a block that was given up begins above all that anybody who is left promised or heard of: its lost hosts may have gone on by themselves, and no version that somebody may
 * remember is to come back. Over a hundred years of a write a second, and 65,536 times it fits into {@link maxRound}.
 */
export const givenUpRounds = 2 ** 32;
/** Members of one replica set. */
export const maxReplicas = 32;
/** Sets that must agree at once: one while settled, two in a change, more only for a founding while rosters differ. */
export const maxPreviousSets = 4;
/** Hosts that a record remembers as not yet told that they left. A change that would pass it waits until some are settled. */
export const maxUnsettled = 128;
/** Characters of a peer's or a block's name. */
export const maxNameLength = 128;
/** Blocks on which an acceptor has granted leases at once. */
export const maxLeases = 1_000_000;
/** Hosts that hold leases of one acceptor at once. */
export const maxHolders = 4096;
/** Hosts whose acceptors grant leases to one host at once. */
export const maxGrantors = 4096;
/** Bytes of an encoded message or state: a value and what describes it. */
export const maxEncodedBytes = maxValueBytes + 64 * 1024;
/** Blocks that one host holds leases on at once. */
export const maxHeldLeases = 262_144;
/** For so long at most a proposer puts answers of one round together, by any clock within the bound: longer than its longest wait for answers. */
export const maxRoundMs = 4000;
/** Views of the roster in force at once; a founding is joint over all of them. */
export const maxViews = maxPreviousSets + 1;
