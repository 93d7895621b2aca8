/** Control packets of a link, as JSON: rare, and the first to be sent. */
import type { ShardId } from "../../storage/types.ts";
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

/** @throws RangeError for bytes that are no control packet */
export function decodeControl(packet: Buffer): Control {
  try {
    const value: unknown = JSON.parse(packet.toString());
    if (typeof value === "object" && value !== null && "t" in value) return value as Control;
  } catch {
    // As below.
  }
  throw new RangeError("a control packet is no JSON object");
}
