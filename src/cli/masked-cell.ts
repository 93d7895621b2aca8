/** Cells for people. Tools that only look never show secrets. */
import { readable } from "../../storage/tools/readable.ts";

const MASK = Buffer.from("(secret, not shown)");
const SECRET_KEYS = new Set(["password"]);

/** The value of a cell, or a replacement for a secret one. */
export const maskedCell = (stream: string, key: string, value: Uint8Array): Uint8Array =>
  stream.startsWith("@") && SECRET_KEYS.has(key) ? MASK : value;

export const readableCell = (stream: string, key: string, value: Uint8Array): string =>
  readable(maskedCell(stream, key, value));
