/**
 * Errors between shards. An error that is no AppError becomes `internal`; its cause stays at the shard that threw it.
 */
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

/** Any thrown value, as another shard gets it. */
export const anyError: Codec<unknown> = {
  write: (out, error) => appError.write(out, error instanceof AppError ? error : unexpectedError()),
  read: appError.read,
};

const unexpectedError = (): AppError => new AppError("internal", "unexpected error; that server's log has the details");
