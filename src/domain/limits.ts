/** Every bound a client can meet, with its default. `welcome.limits` tells them; `parley serve --help` shows which can be set. */
import type { Rate } from "../base/token-bucket.ts";
import type { Limits } from "../protocol/frames.ts";

export const REF_PATTERN = /^[\x20-\x7e]{1,64}$/;
export const DISPLAY_NAME_CHARACTERS_MAX = 64;
export const PASSWORD_CHARACTERS_MIN = 8;
export const PASSWORD_BYTES_MAX = 1024;
export const DEVICES_MAX = 64;
/** Sockets and waiting polls of one user. */
export const SESSIONS_PER_USER_MAX = 128;
/** Groups that a user made, came back to or posted in. A cursor names each group, and must fit a frame with those below. */
export const GROUPS_PER_USER_MAX = 500;
/** Groups that others put a user into, apart from those above. */
export const UNASKED_GROUPS_PER_USER_MAX = 200;
/** A hundred years. */
export const KEEP_DAYS_MAX = 36_500;
export const HISTORY_PAGE_MAX = 200;
/** JSON of one answer, about; whatever a page may count, it ends there. */
export const ANSWER_BYTES_MAX = 1 << 20;
export const SYNC_WAIT_MS_MAX = 60_000;
export const SYNC_FRAMES_MAX = 500;
/** Of the frames in one reply, about: whoever polls with a bad connection must get some of it. */
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

/** Entries of the log that one user may have read. */
export const readRate = (perSecond: number): Rate => ({ perSecond, burst: READ_BURST_SECONDS * perSecond });
const READ_BURST_SECONDS = 10;

/** Frames of a socket, or of all sockets of a user, and the bytes of them. */
export type FrameRates = { frames: Rate; bytes: Rate };

const FRAMES: Rate = { perSecond: 2000, burst: 5000 };
const BYTES: Rate = { perSecond: 4 << 20, burst: 16 << 20 };
/** A message sent is a frame; each that comes is answered by a `received`, and pages that are read by a `read`. */
const FRAMES_PER_SEND = 4;
/** A user's sockets together, over one of them. */
const USER_OVER_SOCKET = 2;

/** What one socket may say: never less than what the messages need that its user may send. */
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
