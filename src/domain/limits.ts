/** Every bound a client can meet, with its default. `welcome.limits` tells them; `parley serve --help` shows which can be set. */
import type { Limits } from "../protocol/frames.ts";

export const REF_PATTERN = /^[\x20-\x7e]{1,64}$/;
export const DISPLAY_NAME_CHARACTERS_MAX = 64;
export const PASSWORD_CHARACTERS_MIN = 8;
export const PASSWORD_BYTES_MAX = 1024;
export const DEVICES_MAX = 64;
/** Sockets and waiting polls of one user. */
export const SESSIONS_PER_USER_MAX = 128;
/** A cursor names each of them, and must fit a frame. */
export const GROUPS_PER_USER_MAX = 500;
/** A hundred years. */
export const KEEP_DAYS_MAX = 36_500;
export const HISTORY_PAGE_MAX = 200;
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
