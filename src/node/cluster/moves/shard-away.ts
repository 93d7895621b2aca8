/** A shard of this node that is being copied to another: its files as of one flush, and every record above them. */
import * as fs from "node:fs";
import { join } from "node:path";
import type { MovedAway } from "../../../cluster/moves/move-storage.ts";
import type { NodeId } from "../../../cluster/map/partition-map.ts";
import type { ShardId } from "../../../../storage/types.ts";
import type { ShardHost } from "../../shard-host.ts";
import { ownerRecord, release } from "../owner-cell.ts";
import { copyFiles } from "./copy-files.ts";

export class ShardAway implements MovedAway {
  readonly size: number;
  readonly through: number;
  onRecords: () => void = () => {};
  readonly #host: ShardHost;
  readonly #shard: ShardId;
  readonly #to: NodeId;
  /** Where clients reach that node; undefined if the map does not say that they do. */
  readonly #url: () => string | undefined;
  readonly #path: string;
  readonly #file: number | undefined;
  readonly #records: RecordQueue;

  /** @throws Error if the shard is not this node's to give */
  static async open(
    host: ShardHost,
    directory: string,
    shard: ShardId,
    { to, self, url }: { to: NodeId; self: NodeId; url: () => string | undefined },
  ): Promise<ShardAway> {
    const log = host.store.shard(shard);
    const owner = ownerRecord(log);
    const isReleased = owner?.state === "released" && owner.node === to;
    if (!isReleased && !host.owns(shard)) throw new Error(`shard ${shard} is not at ${self}${said(owner)}`);
    // From here on every record is in the files, or is passed on, or both.
    const records = new RecordQueue();
    const after = host.store.flushedThrough(shard);
    records.end = log.follow(after, (bytes, start, end) => records.add(bytes, start, end));
    // Two nodes may ask for the same shard.
    const file = join(directory, "moves", `${shard}-${to}.export`);
    fs.mkdirSync(join(directory, "moves"), { recursive: true, mode: 0o700 });
    try {
      await host.store.settle(shard);
      const { through, hasData } = await copyFiles({ kind: "export", directory, shard, file });
      return new ShardAway(host, shard, to, url, file, records, { through, hasData });
    } catch (error) {
      records.end();
      throw error;
    }
  }

  private constructor(
    host: ShardHost,
    shard: ShardId,
    to: NodeId,
    url: () => string | undefined,
    path: string,
    records: RecordQueue,
    { through, hasData }: { through: number; hasData: boolean },
  ) {
    this.#host = host;
    this.#shard = shard;
    this.#to = to;
    this.#url = url;
    this.#path = path;
    this.#records = records;
    this.#file = hasData ? fs.openSync(path, "r") : undefined;
    this.size = hasData ? fs.fstatSync(this.#file!).size : 0;
    this.through = through;
    records.onAdded = () => this.onRecords();
  }

  read(at: number, bytes: number): Buffer {
    const piece = Buffer.allocUnsafe(bytes);
    const read = fs.readSync(this.#file!, piece, 0, bytes, at);
    if (read !== bytes) throw new Error(`${this.#path} is shorter than it was`);
    return piece;
  }

  takeRecords(bytesMax: number): Buffer | undefined {
    return this.#records.take(bytesMax);
  }

  get waitingBytes(): number {
    return this.#records.bytes;
  }

  async release(): Promise<number> {
    const log = this.#host.store.shard(this.#shard);
    const owner = ownerRecord(log);
    if (owner?.state === "released") {
      if (owner.node === this.#to) return log.durableThrough;
      throw new Error(`shard ${this.#shard} was released to ${owner.node}`);
    }
    const words = `shard ${this.#shard} moves to ${this.#to}`;
    return await this.#host.release(this.#shard, (last) => release(last, this.#to), words, this.#url());
  }

  end(): void {
    this.#records.end();
    if (this.#file !== undefined) fs.closeSync(this.#file);
    fs.rmSync(this.#path, { force: true });
  }
}

const said = (owner: ReturnType<typeof ownerRecord>): string =>
  owner === undefined ? "" : `: its log says ${owner.state}, ${owner.node}, term ${owner.term}`;

/** Copies of records, in order. */
class RecordQueue {
  #records: Buffer[] = [];
  bytes = 0;
  onAdded: () => void = () => {};
  end: () => void = () => {};

  add(bytes: Buffer, start: number, end: number): void {
    this.#records.push(Buffer.from(bytes.subarray(start, end)));
    this.bytes += end - start;
    this.onAdded();
  }

  take(bytesMax: number): Buffer | undefined {
    let count = 0;
    let bytes = 0;
    while (count < this.#records.length && (count === 0 || bytes + this.#records[count]!.length <= bytesMax))
      bytes += this.#records[count++]!.length;
    if (count === 0) return undefined;
    this.bytes -= bytes;
    return Buffer.concat(this.#records.splice(0, count), bytes);
  }
}
