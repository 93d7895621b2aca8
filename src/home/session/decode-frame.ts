/**
 * Decodes a client's frame from text: parsed once and checked by hand, since every message passes here. Throws nothing:
 * returns `bad_request` or `too_large` with the name of the field.
 */
import { AppError } from "../../base/errors.ts";
import { NAME_PATTERN, parseAddress, type Address } from "../../domain/address.ts";
import { REF_PATTERN } from "../../domain/limits.ts";
import { checkText } from "../../domain/text.ts";
import type { ClientFrame, Cursor, Limits, StreamPosition } from "../../protocol/frames.ts";
import { plainReceived } from "./plain-received.ts";

type Fields = Record<string, unknown>;

/** A frame of the contract that this version does not serve. The client is sound, so it does not count as a refusal. */
export class UnservedFrame extends AppError {
  constructor(type: string) {
    super("bad_request", `t: ${type} is not served by this version`);
  }
}

/** A refused frame with a usable ref is answered with that ref. */
export type Decoded = { frame: ClientFrame } | { error: AppError; ref: string | undefined };

export function decodeFrame(text: string, limits: Limits): Decoded {
  const received = plainReceived(text);
  if (received !== undefined) return { frame: { t: "received", seq: received } };
  let fields: Fields | undefined;
  try {
    if (text.length * 3 > limits.frameBytesMax) checkFrameBytes(text, limits.frameBytesMax);
    fields = parseObject(text);
    return { frame: decodeFields(fields, limits) };
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    const ref = fields?.["ref"];
    return { error, ref: typeof ref === "string" && REF_PATTERN.test(ref) ? ref : undefined };
  }
}

function checkFrameBytes(text: string, bytesMax: number): void {
  const bytes = Buffer.byteLength(text);
  if (bytes > bytesMax) throw new AppError("too_large", `frame: ${bytes} bytes, the most is ${bytesMax}`);
}

function parseObject(text: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new AppError("bad_request", "frame: is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new AppError("bad_request", "frame: must be a JSON object");
  return value as Fields;
}

function decodeFields(fields: Fields, limits: Limits): ClientFrame {
  switch (fields["t"]) {
    case "send": {
      const ref = refField(fields);
      const to = addressField(fields, "to");
      const text = stringField(fields, "text");
      checkText(text, limits.textBytesMax);
      return { t: "send", ref, to, text, retry: optionalTrue(fields, "retry") };
    }
    case "received":
      if (fields["conversation"] === undefined) return { t: "received", seq: seqField(fields, "seq") };
      return { t: "received", conversation: addressField(fields, "conversation"), seq: seqField(fields, "seq") };
    case "read":
      return { t: "read", conversation: addressField(fields, "conversation"), seq: seqField(fields, "seq") };
    case "ping":
      return { t: "ping" };
    case "hello": {
      const token = stringField(fields, "token");
      return fields["cursor"] === undefined
        ? { t: "hello", token }
        : { t: "hello", token, cursor: decodeCursor(fields["cursor"]) };
    }
    case "typing":
      return { t: "typing" };
    case "watch":
    case "edit":
    case "delete":
      throw new UnservedFrame(fields["t"]);
    case undefined:
      throw new AppError("bad_request", "t: is missing; it says what the frame is");
    default:
      throw new AppError(
        "bad_request",
        `t: ${shownType(fields["t"])} is not a frame of this version; expected hello, send, received, read or ping`,
      );
  }
}

/** Does not serialize lists and objects: one nested 30,000 deep fits into a frame and takes the runtime a second. */
const shownType = (type: unknown): string =>
  typeof type === "object" && type !== null ? "a list or an object" : JSON.stringify(type).slice(0, 40);

/** @throws AppError bad_request */
export function decodeCursor(value: unknown): Cursor {
  const fields = objectOf(value, "cursor");
  const cursor: Cursor = {
    epoch: stringField(fields, "epoch"),
    timeline: seqField(fields, "timeline"),
    groups: {},
  };
  const groups = fields["groups"] === undefined ? {} : objectOf(fields["groups"], "cursor.groups");
  for (const [address, position] of Object.entries(groups)) {
    if (address.charCodeAt(0) !== 35 || !NAME_PATTERN.test(address.slice(1)))
      throw new AppError("bad_request", "cursor.groups: a key is not #group");
    cursor.groups[address] = decodePosition(position);
  }
  if (fields["marks"] !== undefined) cursor.marks = seqField(fields, "marks");
  return cursor;
}

function decodePosition(value: unknown): StreamPosition {
  const fields = objectOf(value, "cursor.groups");
  return { epoch: stringField(fields, "epoch"), seq: seqField(fields, "seq") };
}

function objectOf(value: unknown, name: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new AppError("bad_request", `${name}: must be an object`);
  return value as Fields;
}

function stringField(fields: Fields, name: string): string {
  const value = fields[name];
  if (typeof value !== "string") throw new AppError("bad_request", `${name}: must be a string`);
  return value;
}

function refField(fields: Fields): string {
  const ref = stringField(fields, "ref");
  if (!REF_PATTERN.test(ref)) throw new AppError("bad_request", "ref: must be 1 to 64 printable ASCII characters");
  return ref;
}

const addressField = (fields: Fields, name: string): Address => parseAddress(stringField(fields, name), name);

function seqField(fields: Fields, name: string): number {
  const value = fields[name];
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && value < 2 ** 48) return value;
  throw new AppError("bad_request", `${name}: must be a whole number from 0`);
}

function optionalTrue(fields: Fields, name: string): boolean {
  const value = fields[name];
  if (value === undefined || typeof value === "boolean") return value === true;
  throw new AppError("bad_request", `${name}: must be true or absent`);
}
