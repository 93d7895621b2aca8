/** Asks of erasures as bytes. */
import type { Answers, Questions } from "../ask.ts";
import { bool, fields } from "./codec.ts";
import { address, groupAddress, number, seq, userId } from "./values.ts";

export const groupEndQuestion = fields<Questions["groupEnd"]>({ group: groupAddress });
export const groupEndAnswer = fields<NonNullable<Answers["groupEnd"]>>({ through: seq });

export const postedBytesQuestion = fields<Questions["postedBytes"]>({ group: groupAddress, author: userId });
export const postedBytesAnswer = fields<NonNullable<Answers["postedBytes"]>>({ bytes: number, through: seq });

export const erasedFromFilesQuestion = fields<Questions["erasedFromFiles"]>({ stream: address });
export const erasedFromFilesAnswer = fields<Answers["erasedFromFiles"]>({ isGone: bool });

export const contentToErase = fields<Questions["eraseContent"]>({
  user: userId,
  request: number,
  stream: address,
  through: seq,
  last: seq,
  after: seq,
});
export const contentErased = fields<Answers["eraseContent"]>({
  entries: number,
  ranges: number,
  through: seq,
  isDone: bool,
});
