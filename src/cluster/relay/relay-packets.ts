/**
 * What the relay sends over a link: `u8 kind, varint channel or call, body`. The numbers of channels and calls are
 * counted by the edge, for each link. A kind's number never changes, and is never given to another kind.
 */
import { ByteReader } from "../../../storage/encoding/byte-reader.ts";
import { GrowingWriter } from "../../../storage/encoding/byte-writer.ts";
import { fields, list, optional, type Codec } from "../../home/messages/codec/codec.ts";
import { number, text } from "../../home/messages/codec/values.ts";
import type { RelayedAnswer, RelayedCall } from "../../edge/relay.ts";

export const RELAY = {
  // edge → home
  open: 1,
  textFrame: 2,
  binaryFrame: 3,
  heard: 4,
  /** So many bytes of frames have come since the last report, and so many wait for the client. */
  drained: 5,
  clientGone: 6,
  call: 7,
  abort: 8,
  // home → edge
  frame: 21,
  close: 22,
  terminate: 23,
  misbehaved: 24,
  saidHello: 25,
  /** The home has taken so many bytes of frames. */
  taken: 26,
  answer: 27,
  /** The home is not here. */
  notHere: 28,
} as const;
export type RelayKind = (typeof RELAY)[keyof typeof RELAY];

const KINDS = new Set<number>(Object.values(RELAY));
const NOTHING = Buffer.alloc(0);

export type RelayPacket = { readonly kind: RelayKind; readonly id: number; readonly body: Buffer };

export function encodeRelay(kind: RelayKind, id: number, body: Uint8Array = NOTHING): Buffer {
  const out = new GrowingWriter(body.length + 12);
  out.varint(kind);
  out.varint(id);
  out.copy(body, 0, body.length);
  return out.written();
}

/** @throws RangeError for bytes that no node sends */
export function decodeRelay(packet: Buffer): RelayPacket {
  const from = new ByteReader(packet);
  const kind = from.varint();
  const id = from.varint();
  if (!KINDS.has(kind)) throw new RangeError(`unknown kind of relayed packet: ${kind}`);
  return { kind: kind as RelayKind, id, body: packet.subarray(from.pos) };
}

const bytes: Codec<Uint8Array> = {
  write(out, value) {
    out.varint(value.length);
    out.copy(value, 0, value.length);
  },
  read(from) {
    const length = from.varint();
    if (length > from.end - from.pos) throw new RangeError(`${length} bytes where ${from.end - from.pos} are left`);
    const start = from.skip(length);
    return from.bytes.subarray(start, start + length);
  },
};

const headers: Codec<RelayedCall["headers"]> = list<readonly [string, string]>({
  write(out, [name, value]) {
    text.write(out, name);
    text.write(out, value);
  },
  read: (from) => [text.read(from), text.read(from)],
});

export const relayedCall = fields<RelayedCall>({
  method: text,
  path: text,
  headers,
  clientIp: optional(text),
  body: bytes,
});

export const relayedAnswer = fields<RelayedAnswer>({ status: number, headers, body: bytes as Codec<Buffer> });

export const sentOn = fields<{ came: number; waiting: number }>({ came: number, waiting: number });

export const closeReason = fields<{ code: number; reason: string }>({ code: number, reason: text });
