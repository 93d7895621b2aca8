/** Cells for people: what is secret is not shown, by no tool that only looks. */
import { readable } from "../../storage/tools/readable.ts";

const MASK = Buffer.from("(secret, not shown)");
const SECRET_KEYS = new Set(["password"]);

/** The value of a cell, or what stands for it. */
export const maskedCell = (stream: string, key: string, value: Uint8Array): Uint8Array =>
  stream.startsWith("@") && SECRET_KEYS.has(key) ? MASK : value;

export const readableCell = (stream: string, key: string, value: Uint8Array): string =>
  readable(maskedCell(stream, key, value));
