/** The longest that the kernel trusts what it was told, in ms: so long, and {@link slackMs} more, another host's first operation may have to wait. */
export const maxTrustMs: number = 1000;
/** The kernel counts from when the thread that asked takes the answer in; on a host whose processors are all busy that is so long after it was sent, in ms. */
const askerMs = 500;
/** Trust ends so long before the lease, in ms, as counted from when an answer is sent. */
export const marginMs: number = askerMs + 100;
/** The kernel counts in ticks, and rounds up, in ms. */
const tickMs = 20;
/** An answer that took longer to reach the kernel, in ms, is taken back: it would be trusted for too long. */
export const lateMs: number = 50;
/** All that may come on top of a trust that was given, in ms. */
export const slackMs: number = lateMs + tickMs + askerMs;
/** The longest that it may trust anything that left in time, in ms. */
export const longestTrustMs: number = maxTrustMs + slackMs;
