/** Errors that one shard tells another: what is no AppError is `internal` there, and its cause stays where it was. */
import { AppError } from "../../../base/errors.ts";
import { ERROR_CODES, type ErrorCode } from "../../../protocol/codes.ts";
import { fields, optional, type Codec } from "./codec.ts";
import { number, text, word } from "./values.ts";

const parts = fields<{ code: ErrorCode; message: string; retryAfterMs: number | undefined }>({
  code: word(...ERROR_CODES),
  message: text,
  retryAfterMs: optional(number),
});

export const appError: Codec<AppError> = {
  write: (out, error) => parts.write(out, error),
  read(from) {
    const { code, message, retryAfterMs } = parts.read(from);
    return new AppError(code, message, retryAfterMs === undefined ? {} : { retryAfterMs });
  },
};

/** What was thrown, as another shard is told. */
export const anyError: Codec<unknown> = {
  write: (out, error) => appError.write(out, error instanceof AppError ? error : unforeseen()),
  read: appError.read,
};

const unforeseen = (): AppError =>
  new AppError("internal", "something unforeseen went wrong; the log of the server there has it");
