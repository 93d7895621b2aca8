/** A shard of another node that is being copied here. */
import * as fs from "node:fs";
import { join } from "node:path";
import type { MovedHere } from "../../../cluster/moves/move-storage.ts";
import type { NodeId } from "../../../cluster/map/partition-map.ts";
import { recordEnd } from "../../../../storage/encoding/record.ts";
import type { ShardLog } from "../../../../storage/shard/shard-log.ts";
import { placeShard } from "../../../../storage/tools/import-shard.ts";
import type { ShardId } from "../../../../storage/types.ts";
import type { ShardHost } from "../../shard-host.ts";
import { ownerRecord, start } from "../owner-cell.ts";
import { copyFiles } from "./copy-files.ts";

export type ShardHereParts = {
  host(): ShardHost;
  /** The data directory. */
  directory: string;
  self: NodeId;
  /** The shard is this node's from now on, in this term. */
  onBegun(shard: ShardId, term: number): void;
};

export class ShardHere implements MovedHere {
  readonly #parts: ShardHereParts;
  readonly #shard: ShardId;
  readonly #path: string;
  #file: number | undefined;
  #log: ShardLog | undefined;

  /** @throws Error if the shard is here */
  constructor(shard: ShardId, parts: ShardHereParts) {
    this.#parts = parts;
    this.#shard = shard;
    this.#mustBeElsewhere();
    const folder = join(parts.directory, "moves");
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#path = join(folder, `${shard}.import`);
    this.#file = fs.openSync(this.#path, "w", 0o600);
  }

  /** What this node has begun to write to must not be replaced by what the owner before had. */
  #mustBeElsewhere(): void {
    const { host, self } = this.#parts;
    this.#findOwnStart();
    if (host().owns(this.#shard)) throw new Error(`shard ${this.#shard} is at ${self} already`);
  }

  /** A crash came behind the first record of this node's ownership, and before anybody was told of it. */
  #findOwnStart(): void {
    const { host, self, onBegun } = this.#parts;
    const record = ownerRecord(host().store.shard(this.#shard));
    if (record?.state !== "started" || record.node !== self || host().owns(this.#shard)) return;
    onBegun(this.#shard, record.term);
    if (host().owns(this.#shard)) host().begun(this.#shard);
  }

  write(bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) at += fs.writeSync(this.#file!, bytes, at);
  }

  async place(): Promise<number> {
    const { directory } = this.#parts;
    const shard = this.#shard;
    const hasFiles = fs.fstatSync(this.#file!).size > 0;
    this.#close();
    if (hasFiles) await copyFiles({ kind: "unpack", directory, shard, file: this.#path });
    // Without files of its own there, the shard goes on from what is here. In any case its log is another object: the
    // one before takes nothing more.
    const place = async (): Promise<void> => (hasFiles ? placeShard(directory, shard) : undefined);
    this.#mustBeElsewhere();
    this.#log = await this.#parts.host().store.replaceShard(shard, place);
    return this.#log.durableThrough;
  }

  records(bytes: Buffer, { durable, failed }: Parameters<MovedHere["records"]>[1]): void {
    const log = this.#log!;
    for (let at = 0; at < bytes.length;) {
      const end = recordEnd(bytes, at);
      if (end <= at || end > bytes.length) throw new RangeError("records that were copied are not whole");
      const isLast = end === bytes.length;
      log.appendCopy(bytes.subarray(at, end), {
        committed: () => isLast && durable(log.durableThrough),
        failed,
      });
      at = end;
    }
    // They may have been here already.
    if (!log.isAppending) durable(log.durableThrough);
  }

  async begin(): Promise<void> {
    const { host, self, onBegun } = this.#parts;
    await start(this.#log!, self);
    onBegun(this.#shard, this.#log!.term);
    host().begun(this.#shard);
  }

  end(): void {
    this.#close();
    fs.rmSync(this.#path, { force: true });
  }

  #close(): void {
    if (this.#file !== undefined) fs.closeSync(this.#file);
    this.#file = undefined;
  }
}
