import type { Channel } from './calls.ts';

/** The largest body of a message: one immutable block of the largest size and what surrounds it. */
export const maxBodyBytes = 5 * 1024 * 1024;
/**
 * Bulk bytes under way to one peer (a larger single message goes alone): seven data blocks. That fills the connection while the peer makes others durable, and gives its disk several
 * at once; more would only add delay.
 */
export const maxBulkInFlightBytes = 8 * 1024 * 1024;
/** Bulk requests to one peer that wait for their turn. */
export const maxBulkWaiting = 4096;
/** Bytes of such requests. */
export const maxBulkWaitingBytes = 64 * 1024 * 1024;
/** Requests to one peer whose reply has not come. */
export const maxRequestsInFlight = 16_384;
/** Requests of one peer that are served at once; further ones wait. */
export const maxServed: Readonly<Record<Channel, number>> = { control: 1024, bulk: 32 };
/** Bytes of requests of one peer that are served at once on a channel. Who keeps to {@link maxBulkInFlightBytes} never comes near. */
export const maxServedBytes = 64 * 1024 * 1024;
/**
 * Bytes of large answers of one sort that are put together for one peer at once: they are in memory until they have left, and some bytes ask for each. A guest's kernel asks for 1 MiB at a time, a dozen times
 * ahead of its programs; what waits is begun as soon as others have left.
 */
export const maxAnswerBytes = 32 * 1024 * 1024;
/** Requests of one peer that wait to be served; further ones are answered `overloaded`. */
export const maxBacklog: Readonly<Record<Channel, number>> = { control: maxRequestsInFlight, bulk: maxBulkWaiting };
/** Bytes of requests that wait to be served. */
export const maxBacklogBytes = 16 * 1024 * 1024;
/** While more bytes than this wait to leave on a channel, no further request of that peer is begun on it. */
export const highWaterBytes = 8 * 1024 * 1024;
/** A peer that lets more bytes than this pile up (it asks but does not read) is disconnected. */
export const maxLineBytes = 256 * 1024 * 1024;
/** Where a request names no deadline. */
export const defaultDeadlineMs = 5000;
