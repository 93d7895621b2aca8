/**
 * Every limit a client can meet, with its default. `welcome.limits` names them; `parley serve --help` shows which can
 * be set.
 */
import type { Rate } from "../base/token-bucket.ts";
import type { Limits } from "../protocol/frames.ts";

export const REF_PATTERN = /^[\x20-\x7e]{1,64}$/;
export const DISPLAY_NAME_CHARACTERS_MAX = 64;
export const PASSWORD_CHARACTERS_MIN = 8;
export const PASSWORD_BYTES_MAX = 1024;
export const DEVICES_MAX = 64;
/** Sockets and waiting polls of one user. */
export const SESSIONS_PER_USER_MAX = 128;
/**
 * Groups that a user made, came back to or posted in. A cursor names each group, and must fit a frame with those below.
 */
export const GROUPS_PER_USER_MAX = 500;
/** Groups to which others added a user, counted apart from those above. */
export const UNASKED_GROUPS_PER_USER_MAX = 200;
/** A hundred years, in days. */
export const KEEP_DAYS_MAX = 36_500;
export const HISTORY_PAGE_MAX = 200;
/** Approximate bytes of JSON in one answer. A page ends there, whatever its entry limit. */
export const ANSWER_BYTES_MAX = 1 << 20;
export const SYNC_WAIT_MS_MAX = 60_000;
export const SYNC_FRAMES_MAX = 500;
/**
 * Approximate characters of the frames in one reply, so that a client with a bad connection gets at least some of it.
 */
export const SYNC_CHARACTERS_MAX = 1 << 20;

export const DEFAULT_LIMITS: Limits = {
  frameBytesMax: 65_536,
  textBytesMax: 16_384,
  groupMembersMax: 1000,
  groupReceiptsMembersMax: 32,
  sendsPerSecond: 200,
  sendsBurst: 1000,
  resumeEntriesMax: 10_000,
};

/** The rate at which one user may read entries of logs. */
export const readRate = (perSecond: number): Rate => ({ perSecond, burst: READ_BURST_SECONDS * perSecond });
const READ_BURST_SECONDS = 10;

/** Rates of frames and their bytes, of one socket or of all sockets of a user. */
export type FrameRates = { frames: Rate; bytes: Rate };

const FRAMES: Rate = { perSecond: 2000, burst: 5000 };
const BYTES: Rate = { perSecond: 4 << 20, burst: 16 << 20 };
/**
 * A message that is sent is a frame. Each one that arrives is answered by `received`, and pages that are read by
 * `read`.
 */
const FRAMES_PER_SEND = 4;
/** The rate of all sockets of a user, as a multiple of the rate of one. */
const USER_OVER_SOCKET = 2;

/** The rates of one socket: never less than the messages need that its user may send. */
export function socketFrameRates({ sendsPerSecond, sendsBurst, textBytesMax }: Limits): FrameRates {
  return {
    frames: {
      perSecond: Math.max(FRAMES.perSecond, sendsPerSecond * FRAMES_PER_SEND),
      burst: Math.max(FRAMES.burst, sendsBurst * FRAMES_PER_SEND),
    },
    bytes: {
      perSecond: Math.max(BYTES.perSecond, sendsPerSecond * textBytesMax),
      burst: Math.max(BYTES.burst, sendsBurst * textBytesMax),
    },
  };
}

export function userFrameRates(limits: Limits): FrameRates {
  const { frames, bytes } = socketFrameRates(limits);
  return { frames: times(frames, USER_OVER_SOCKET), bytes: times(bytes, USER_OVER_SOCKET) };
}

const times = ({ perSecond, burst }: Rate, factor: number): Rate => ({
  perSecond: perSecond * factor,
  burst: burst * factor,
});
