/**
 * Reads a JSON body within a bound. A body without a stated length is refused as soon as it exceeds the bound, so that
 * it costs no more memory than one with a length.
 */
import { AppError, ERROR_FACTS } from "../../base/errors.ts";
import { HttpError, wrongContentType } from "./problem.ts";

/** How long a body may take to arrive: as long as a connection may be silent. */
export const BODY_TIMEOUT_MS = 30_000;

const JSON_TYPE = /^application\/json(?:\s*;\s*charset\s*=\s*"?utf-8"?)?\s*;?\s*$/i;

/** Bounds of a body, in bytes and milliseconds. */
export type BodyBounds = { bytesMax: number; timeoutMs: number };

/** @throws AppError bad_request, too_large */
export function readBodyBytes(request: Request, { bytesMax, timeoutMs }: BodyBounds): Promise<Uint8Array> {
  return inTime(readBytes(request, bytesMax), timeoutMs);
}

/** The stated length of the body; the bound if none is stated. */
export function statedBytes({ headers }: Request, { bytesMax }: BodyBounds): number {
  const stated = headers.get("content-length");
  return stated === null ? bytesMax : Math.min(Number(stated), bytesMax);
}

/** @returns the parsed body; undefined if it is empty. @throws AppError bad_request, too_large */
export async function readJsonBody(request: Request, bounds: BodyBounds): Promise<unknown> {
  const bytes = await readBodyBytes(request, bounds);
  if (bytes.length === 0) return undefined;
  const contentType = request.headers.get("content-type");
  if (contentType !== null && !JSON_TYPE.test(contentType)) throw wrongContentType(contentType);
  return parseJson(decodeUtf8(bytes));
}

/** A late body is not read: the connection ends with the answer. */
async function inTime<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const detail = `body: did not arrive within ${timeoutMs / 1000} s`;
  const timer = setTimeout(
    () => reject(new HttpError(408, "Request timeout", "bad_request", detail, { connection: "close" })),
    timeoutMs,
  );
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
    work.catch(() => undefined);
  }
}

async function readBytes(request: Request, bytesMax: number): Promise<Uint8Array> {
  const stated = request.headers.get("content-length");
  if (stated === null) return readChunks(request, bytesMax);
  if (Number(stated) > bytesMax) throw tooLarge(`${stated} bytes`, bytesMax);
  // The runtime reads exactly the stated length; checked all the same.
  const bytes = new Uint8Array(await received(() => request.arrayBuffer()));
  if (bytes.length > bytesMax) throw tooLarge(`${bytes.length} bytes`, bytesMax);
  return bytes;
}

async function readChunks(request: Request, bytesMax: number): Promise<Uint8Array> {
  if (request.body === null) return new Uint8Array();
  const reader = request.body.getReader();
  const chunks: Uint8Array[] = [];
  let total = 0;
  for (;;) {
    const { done, value } = await received(() => reader.read());
    if (done) return Buffer.concat(chunks, total);
    total += value.byteLength;
    if (total > bytesMax) {
      // Not awaited: nothing depends on the cancellation.
      reader.cancel().catch(() => undefined);
      throw tooLarge("more", bytesMax);
    }
    chunks.push(value);
  }
}

/** A client that goes away or breaks the framing within its body is refused, not logged as an error of the server. */
async function received<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    throw new AppError("bad_request", "body: broke off before its end", { cause });
  }
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new AppError("bad_request", "body: not valid UTF-8", { cause });
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's message quotes the text, which may hold a password.
    throw new AppError("bad_request", "body: not JSON");
  }
}

/** The rest of the body is not read: the connection ends with the answer. */
function tooLarge(size: string, bytesMax: number): AppError {
  return new HttpError(413, ERROR_FACTS.too_large.title, "too_large", `body: ${size}, at most ${bytesMax} bytes`, {
    connection: "close",
  });
}
