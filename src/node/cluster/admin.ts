/** What the operator's scripts ask a node of a cluster, under `/cluster/v1/`. Every call but the challenge is signed. */
import { AppError } from "../../base/errors.ts";
import type { AdminAuth } from "../../cluster/admin-auth.ts";
import { MapError } from "../../cluster/map/map-file.ts";
import type { MapNote, OwnedBy } from "../../cluster/map/maps.ts";
import type { NodeId } from "../../cluster/map/partition-map.ts";
import type { MoveReport } from "../../cluster/moves/moves.ts";
import { BODY_TIMEOUT_MS, readBodyBytes } from "../../edge/http/body.ts";
import { SHARD_COUNT, type ShardId } from "../../../storage/types.ts";

export const ADMIN_PREFIX = "/cluster/v1/";
/** Strangers send bodies, too: they are counted while they are read. */
const BODY = { bytesMax: 4 << 20, timeoutMs: BODY_TIMEOUT_MS };

export type NodeStatus = {
  readonly node: NodeId;
  readonly cluster: string;
  /** The map as this node has it. */
  readonly map: string;
  /** Moves that the map does not have yet. */
  readonly moved: readonly OwnedBy[];
  /** Nodes to which there is a link. */
  readonly links: readonly NodeId[];
  readonly moves: readonly MoveReport[];
  /** Shards by their bytes on disk and in memory: only those that have any, and are this node's. */
  readonly bytes: Readonly<Record<number, number>>;
  /** Shards that the map gives to this node and that it cannot serve. */
  readonly unserved: readonly ShardId[];
};

/** What a script looks at again and again while shards move: the sizes of shards are not in it. */
export type NodeProgress = Omit<NodeStatus, "map" | "bytes" | "links"> & MapNote;

export type AdminParts = {
  readonly auth: AdminAuth;
  status(): NodeStatus;
  progress(): NodeProgress;
  /** @throws Error if it cannot begin */
  move(shard: ShardId, from: NodeId, rate: number): void;
  /** @throws MapError */
  learnMap(text: string): boolean;
};

export class Admin {
  readonly #parts: AdminParts;

  constructor(parts: AdminParts) {
    this.#parts = parts;
  }

  async fetch(request: Request, path: string): Promise<Response> {
    if (request.method === "GET" && path === `${ADMIN_PREFIX}challenge`)
      return Response.json({ nonce: this.#parts.auth.challenge() });
    let body: string;
    try {
      body = Buffer.from(await readBodyBytes(request, BODY)).toString();
    } catch (error) {
      return answer(error instanceof AppError && error.code === "too_large" ? 413 : 400, String(error));
    }
    const { auth } = this.#parts;
    if (!auth.isSigned(request.headers.get("authorization"), { method: request.method, path, body }))
      return answer(401, "this call is not signed with the cluster's secret");
    try {
      return this.#answer(`${request.method} ${path.slice(ADMIN_PREFIX.length)}`, body);
    } catch (error) {
      const isInput = error instanceof MapError || error instanceof SyntaxError || error instanceof RangeError;
      return answer(isInput ? 400 : 409, error instanceof Error ? error.message : String(error));
    }
  }

  #answer(call: string, body: string): Response {
    switch (call) {
      case "GET status":
        return Response.json(this.#parts.status());
      case "GET progress":
        return Response.json(this.#parts.progress());
      case "POST moves": {
        const { shard, from, rate } = JSON.parse(body) as { shard: unknown; from: unknown; rate: unknown };
        if (!Number.isInteger(shard) || (shard as number) < 0 || (shard as number) >= SHARD_COUNT)
          throw new RangeError("shard: no shard from 0 to 999");
        if (typeof from !== "string") throw new RangeError("from: no node");
        if (!Number.isSafeInteger(rate) || (rate as number) < 1) throw new RangeError("rate: no bytes a second");
        this.#parts.move(shard as ShardId, from as NodeId, rate as number);
        return Response.json({});
      }
      case "POST map":
        return Response.json({ isNew: this.#parts.learnMap(body) });
      default:
        return answer(404, `${call} is not served`);
    }
  }
}

const answer = (status: number, detail: string): Response => Response.json({ detail }, { status });
