/** Control packets of a link, as JSON: rare, and the first to be sent. */
import { NAME_PATTERN } from "../domain/address.ts";
import { SHARD_COUNT, type ShardId } from "../../storage/types.ts";
import type { MapNote, OwnedBy } from "./map/maps.ts";

export type Control =
  /** Which map the sender has. */
  | ({ readonly t: "mapNote" } & MapNote)
  | { readonly t: "mapWanted" }
  | { readonly t: "map"; readonly text: string }
  /** These shards have an owner of a later term than the map says. */
  | { readonly t: "owned"; readonly shards: readonly OwnedBy[] }
  /** The receiver has been released this shard, and has not begun: it is to fetch what is missing. */
  | { readonly t: "takeOver"; readonly shard: ShardId }
  /** Is this an API key of the receiver? `hash`: of its secret, hexadecimal. */
  | { readonly t: "apiKey"; readonly ask: number; readonly key: string; readonly hash: string }
  | { readonly t: "apiKeyIs"; readonly ask: number; readonly isValid: boolean };

export const encodeControl = (control: Control): Buffer => Buffer.from(JSON.stringify(control));

type Fields = Readonly<Record<string, unknown>>;

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isShard = (value: unknown): boolean => isCount(value) && value < SHARD_COUNT;
const isText = (value: unknown): boolean => typeof value === "string";

function isOwnedBy(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { shard, node, term } = value as Fields;
  const isNode = typeof node === "string" && NAME_PATTERN.test(node);
  return isShard(shard) && isNode && isCount(term) && term > 0;
}

/** What each kind must have. */
const SHAPES: Readonly<Record<Control["t"], (fields: Fields) => boolean>> = {
  mapNote: ({ mapVersion, fingerprint }) => isCount(mapVersion) && isText(fingerprint),
  mapWanted: () => true,
  map: ({ text }) => isText(text),
  owned: ({ shards }) => Array.isArray(shards) && shards.every(isOwnedBy),
  takeOver: ({ shard }) => isShard(shard),
  apiKey: ({ ask, key, hash }) => isCount(ask) && isText(key) && isText(hash),
  apiKeyIs: ({ ask, isValid }) => isCount(ask) && typeof isValid === "boolean",
};

/** @throws RangeError for bytes that are no control packet */
export function decodeControl(packet: Buffer): Control {
  const value = objectOf(packet);
  const { t } = value ?? {};
  if (typeof t === "string" && Object.hasOwn(SHAPES, t) && SHAPES[t as Control["t"]](value!)) return value as Control;
  throw new RangeError(`no control packet: ${packet.toString("latin1", 0, 100)}`);
}

function objectOf(packet: Buffer): Fields | undefined {
  try {
    const value: unknown = JSON.parse(packet.toString());
    return typeof value === "object" && value !== null ? (value as Fields) : undefined;
  } catch {
    return undefined;
  }
}
