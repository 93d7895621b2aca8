/** A log that is stopped while its next file is still being filled: nothing is closed, or written, beside a write that is under way. */
import { expect, test } from "bun:test";
import { entry, openStore } from "../../log-fixture.ts";
import { LogHistory } from "../../log-history.ts";
import { MemorySegments } from "../../files/memory-segments.ts";
import { SimulatedDisk } from "../../vfs/simulated-disk.ts";
import { until } from "../../../support/wait.ts";
import type { FileHandle, FileSystem } from "../../../../storage/vfs/file-system.ts";

/** A disk on which filling a file, and writes, end when they are let go. Says what was done with a file while a write of it was under way. */
class SlowDisk {
  readonly disk = new SimulatedDisk();
  readonly files: FileSystem;
  isWriteHeld = false;
  readonly meddled: string[] = [];
  readonly held = { fill: [] as (() => void)[], write: [] as (() => void)[] };
  readonly #underWay = new Set<FileHandle>();

  constructor() {
    const { files } = this.disk;
    const note = (what: string, file: FileHandle): void => {
      if (this.#underWay.has(file)) this.meddled.push(what);
    };
    this.files = {
      ...files,
      fillZeros: (...args) => void this.held.fill.push(() => files.fillZeros(...args)),
      write: (file, bytes, from, to, position, done) => {
        this.#underWay.add(file);
        const begin = (): void =>
          files.write(file, bytes, from, to, position, (error) => {
            this.#underWay.delete(file);
            done(error);
          });
        if (this.isWriteHeld) this.held.write.push(begin);
        else begin();
      },
      writeNow: (file, ...args) => {
        note("written to", file);
        files.writeNow(file, ...args);
      },
      close: (file) => {
        note("closed", file);
        files.close(file);
      },
    };
  }

  release(kind: "fill" | "write"): void {
    for (const go of this.held[kind].splice(0)) go();
  }
}

test.each(["fill", "write"] as const)(
  "a record that is appended while the log is being stopped is there and told, or refused, when the %s ends first",
  async (first) => {
    const slow = new SlowDisk();
    const segments = new MemorySegments();
    const store = await openStore(slow.disk, { files: slow.files, segments });
    const history = new LogHistory();
    for (let n = 0; slow.held.fill.length === 0; n++) {
      history.append(store, [entry(`message ${n} ${"long ".repeat(20)}`)]);
      await store.idle();
    }
    const closed = store.close();
    // Until it waits for the file alone.
    await new Promise(setImmediate);
    slow.isWriteHeld = true;
    history.append(store, [entry("late")]);
    await until("the late record", () => slow.held.write.length > 0 || history.failed.length > 0);
    slow.release(first);
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    slow.release(first === "fill" ? "write" : "fill");
    await closed;
    expect(slow.meddled).toEqual([]);
    expect(slow.disk.handlesOpen).toBe(0);
    const next = await openStore(slow.disk, { segments, damage: "refuse" });
    expect(next.recovery.isMarked).toBe(true);
    history.expectIn(next);
    await next.close();
  },
);
