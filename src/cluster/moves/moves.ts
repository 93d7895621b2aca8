/** All moves of shards to and from this node. */
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import { decodeMessage } from "../../home/messages/codec/codec.ts";
import type { ShardId } from "../../../storage/types.ts";
import type { Link } from "../link/link.ts";
import type { NodeId } from "../map/partition-map.ts";
import { IncomingMove } from "./incoming-move.ts";
import { decodeMove, MOVE, wanted } from "./move-packets.ts";
import type { MoveStorage } from "./move-storage.ts";
import { OutgoingMove } from "./outgoing-move.ts";

export type MovesParts = {
  readonly self: NodeId;
  readonly storage: MoveStorage;
  linkTo(node: NodeId): Link | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** How a move stands, for the operator's script. */
export type MoveReport = {
  readonly shard: ShardId;
  readonly from: NodeId;
  readonly state: IncomingMove["state"];
  readonly size: number;
  readonly copied: number;
  readonly pauseMs?: number | undefined;
  readonly why?: string | undefined;
};

/** Ended moves that are remembered for the script. */
const ENDED_MAX = 2000;
const AT_ONCE_MAX = 32;
/** Nobody can write to a shard that was released and is not begun: bytes a second. */
const TAKE_OVER_RATE = 1 << 30;

export class Moves {
  readonly #parts: MovesParts;
  readonly #incoming = new Map<number, IncomingMove>();
  readonly #outgoing = new Map<Link, Map<number, OutgoingMove>>();
  #last = 0;

  constructor(parts: MovesParts) {
    this.#parts = parts;
  }

  /**
   * Begins to move the shard here. Asking again while it moves changes nothing.
   * @param rate bytes a second of its files
   * @throws Error if that cannot begin
   */
  begin(shard: ShardId, from: NodeId, rate: number): void {
    const running = [...this.#incoming.values()].filter(({ isBusy }) => isBusy);
    const present = running.find((move) => move.shard === shard);
    if (present?.isOver === true) throw new Error(`an earlier move of shard ${shard} is still ending here; try again`);
    if (present !== undefined) return;
    if (running.length >= AT_ONCE_MAX) throw new Error(`${AT_ONCE_MAX} shards move to this node already`);
    const link = this.#parts.linkTo(from);
    if (link === undefined) throw new Error(`node ${from} cannot be reached from here`);
    const id = ++this.#last;
    const { storage, clock, logger } = this.#parts;
    const move: IncomingMove = new IncomingMove(link, shard, id, storage, clock, () => {
      const { state, why, size, pauseMs } = move;
      logger.info("a move has ended", { shard, from, state, why, size, pauseMs });
    });
    this.#incoming.set(id, move);
    for (const [old, { isOver }] of this.#incoming) {
      if (this.#incoming.size <= ENDED_MAX) break;
      if (isOver) this.#incoming.delete(old);
    }
    move.begin(rate);
  }

  /** Whether the shard is on its way here. */
  isComing(shard: ShardId): boolean {
    for (const move of this.#incoming.values()) if (move.shard === shard && move.isBusy) return true;
    return false;
  }

  /** The source has released the shard to this node, and the move that it was for has ended before its time. */
  takeOver(shard: ShardId, link: Link): void {
    try {
      this.begin(shard, link.peer.node, TAKE_OVER_RATE);
    } catch (error) {
      this.#parts.logger.debug("a shard cannot be taken over now", { shard, error });
    }
  }

  /** The last move of each shard that moved here. */
  reports(): MoveReport[] {
    const byShard = new Map<ShardId, MoveReport>();
    for (const { shard, link, state, size, copied, pauseMs, why } of this.#incoming.values())
      byShard.set(shard, { shard, from: link.peer.node, state, size, copied, pauseMs, why });
    return [...byShard.values()];
  }

  /** A bulk packet. @throws RangeError for bytes that no node sends */
  came(link: Link, bytes: Buffer): void {
    const packet = decodeMove(bytes);
    const { kind, move } = packet;
    if (kind === MOVE.want) return this.#begin(link, packet);
    const isOfTarget = kind === MOVE.ready || kind === MOVE.taken || kind === MOVE.release;
    const outgoing = this.#outgoing.get(link)?.get(move);
    const incoming = this.#incoming.get(move);
    if (isOfTarget) return outgoing?.came(packet);
    if (kind === MOVE.failed && outgoing?.shard === packet.shard) return outgoing.came(packet);
    if (incoming?.link === link && incoming.shard === packet.shard) incoming.came(packet);
  }

  linkClosed(link: Link): void {
    for (const move of [...(this.#outgoing.get(link)?.values() ?? [])]) move.end();
    this.#outgoing.delete(link);
    for (const move of this.#incoming.values())
      if (move.link === link && !move.isOver) move.fail(new Error("the link to the source has ended"));
  }

  #begin(link: Link, packet: ReturnType<typeof decodeMove>): void {
    const ofLink = this.#outgoing.get(link) ?? new Map<number, OutgoingMove>();
    this.#outgoing.set(link, ofLink);
    const { rate } = decodeMessage(wanted, packet.body);
    const { storage, clock, logger, self } = this.#parts;
    const onEnd = (): void => void ofLink.delete(packet.move);
    const move = new OutgoingMove(link, packet, rate, storage, clock, onEnd);
    ofLink.set(packet.move, move);
    logger.info("a shard is being moved away", { shard: packet.shard, from: self, to: link.peer.node });
    void move.run();
  }
}
