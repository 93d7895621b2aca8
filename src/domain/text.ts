/**
 * The rules for the text of a message, checked once where it enters. HTTP and sockets refuse the same texts with the
 * same words.
 */
import { AppError } from "../base/errors.ts";

/** @throws AppError bad_request or too_large */
export function checkText(text: string, bytesMax: number): void {
  if (text.length === 0) throw new AppError("bad_request", "text: must not be empty");
  // A UTF-16 unit is 1 to 3 bytes of UTF-8: most texts need no count.
  if (text.length * 3 > bytesMax) {
    const bytes = Buffer.byteLength(text);
    if (bytes > bytesMax) throw new AppError("too_large", `text: ${bytes} bytes, the most is ${bytesMax}`);
  }
  if (!text.isWellFormed()) throw new AppError("bad_request", "text: has a lone surrogate, which is no character");
}
