/**
 * How two nodes prove to each other that they belong to one cluster, before anything else crosses. Both know the
 * cluster's secret, and neither sends it.
 *
 *     dialing node    →  hello: cluster, node, process, directory, nonce
 *     accepting node  →  hello, and proof = HMAC(secret, "accept" | both hellos)
 *     dialing node    →  proof = HMAC(secret, "dial" | both hellos)
 *     accepting node  →  ready
 *
 * Each nonce is random and used once, so no proof can be used again. A refusal names its reason, and no secret. What
 * follows is not encrypted here: between machines, use a network that only they share, or TLS.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { NAME_PATTERN } from "../../domain/address.ts";
import type { Random } from "../../base/random.ts";
import type { NodeId } from "../map/partition-map.ts";

export const LINK_VERSION = 1;
const NONCE_BYTES = 32;
const TEXT_CHARACTERS_MAX = 4096;

export type Introduction = {
  /** Of the links' format. */
  readonly version: number;
  /** Id of the cluster, from its map. */
  readonly cluster: string;
  readonly node: NodeId;
  /** Random for each process. */
  readonly process: string;
  /** Random for each data directory. */
  readonly directory: string;
  readonly nonce: string;
};

export type HandshakeMessage =
  | { t: "hello"; from: Introduction; proof?: string }
  | { t: "proof"; proof: string }
  | { t: "ready" }
  | { t: "refused"; why: string };

export function introduce(
  who: Pick<Introduction, "cluster" | "node" | "process" | "directory">,
  random: Random,
): Introduction {
  return { version: LINK_VERSION, ...who, nonce: Buffer.from(random.bytes(NONCE_BYTES)).toString("base64url") };
}

export function proofOf(
  secret: Uint8Array,
  side: "dial" | "accept",
  dialer: Introduction,
  accepter: Introduction,
): string {
  const text = JSON.stringify([side, written(dialer), written(accepter)]);
  return createHmac("sha256", secret).update(text).digest("base64url");
}

export function isProof(given: string, expected: string): boolean {
  const [one, other] = [Buffer.from(given), Buffer.from(expected)];
  return one.length === other.length && timingSafeEqual(one, other);
}

const written = ({ version, cluster, node, process, directory, nonce }: Introduction): unknown[] => [
  version,
  cluster,
  node,
  process,
  directory,
  nonce,
];

export const encodeHandshake = (message: HandshakeMessage): Buffer => Buffer.from(JSON.stringify(message));

/** Undefined for bytes that are no message of a handshake. */
export function decodeHandshake(bytes: Buffer): HandshakeMessage | undefined {
  if (bytes.length > TEXT_CHARACTERS_MAX) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { t, from, proof, why } = value as Record<string, unknown>;
  if (t === "ready") return { t };
  if (t === "refused" && typeof why === "string") return { t, why };
  if (t === "proof" && typeof proof === "string") return { t, proof };
  if (t !== "hello" || (proof !== undefined && typeof proof !== "string")) return undefined;
  const introduction = introductionOf(from);
  if (introduction === undefined) return undefined;
  return proof === undefined ? { t, from: introduction } : { t, from: introduction, proof };
}

function introductionOf(value: unknown): Introduction | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { version, cluster, node, process, directory, nonce } = value as Record<string, unknown>;
  const texts = [cluster, node, process, directory, nonce];
  if (typeof version !== "number" || !texts.every((text) => typeof text === "string")) return undefined;
  if (!NAME_PATTERN.test(node as string)) return undefined;
  return { version, cluster, node, process, directory, nonce } as Introduction;
}
