/**
 * Server frames as text, for frequent ones. They are concatenated, because a frame is encoded once and sent to many.
 * Only free text is escaped. Names, addresses, ids and epochs are checked where they enter and need no escaping; refs
 * may hold quotes.
 */
import type { ReceiptKind, WireAddress, WireMessage } from "./frames.ts";

const NEEDS_ESCAPE = /["\\\u0000-\u001f\ud800-\udfff]/;

/** JSON of a string; most text has nothing to escape. */
export const jsonString = (text: string): string => (NEEDS_ESCAPE.test(text) ? JSON.stringify(text) : `"${text}"`);

export function sentFrame(
  refJson: string,
  id: string,
  conversation: WireAddress,
  seq: number,
  sentAt: number,
  isDuplicate: boolean,
  deletedAt?: number,
): string {
  const deleted = deletedAt === undefined ? "" : `,"deletedAt":${deletedAt}`;
  const end = isDuplicate ? `,"duplicate":true${deleted}}` : "}";
  return `{"t":"sent","ref":${refJson},"id":"${id}","conversation":"${conversation}","seq":${seq},"sentAt":${sentAt}${end}`;
}

/** @param refJson only for the author's own devices. */
export function messageFrame(
  id: string,
  conversation: WireAddress,
  from: string,
  textJson: string,
  seq: number,
  sentAt: number,
  refJson?: string,
): string {
  const end = refJson === undefined ? "}" : `,"ref":${refJson}}`;
  return `{"t":"message","id":"${id}","conversation":"${conversation}","from":"${from}","text":${textJson},"seq":${seq},"sentAt":${sentAt}${end}`;
}

/** The same message for its author's own devices. */
export const withRef = (frame: string, ref: string): string => `${frame.slice(0, -1)},"ref":${jsonString(ref)}}`;

export function receiptFrame(
  kind: ReceiptKind,
  conversation: WireAddress,
  by: string,
  seq: number,
  mark?: number,
): string {
  const end = mark === undefined ? "}" : `,"mark":${mark}}`;
  return `{"t":"receipt","kind":"${kind}","conversation":"${conversation}","by":"${by}","seq":${seq}${end}`;
}

export function messageFrameOf(message: WireMessage): string {
  return `{"t":"message",${JSON.stringify(message).slice(1)}`;
}
