/** The local log, as a `CommitLog`. */
import { LocalLog } from "../../../../storage/log/local/local-log.ts";
import type { FileSystem } from "../../../../storage/vfs/file-system.ts";
import { randomFrom } from "../../../support/random.ts";
import { until } from "../../../support/wait.ts";
import { SimulatedDisk } from "../../vfs/simulated-disk.ts";
import { commitLogConforms } from "../conformance.ts";
import type { LogWorld } from "../log-world.ts";

class LocalWorld implements LogWorld {
  #disk = new SimulatedDisk();
  #held: (() => void)[] = [];
  #isHolding = false;
  #failure: "nothing" | "all" | undefined;

  constructor() {
    this.#disk.files.makeDirectory("/data/wal");
  }

  make: LogWorld["make"] = (hooks) =>
    new LocalLog(
      {
        root: "/data",
        held: undefined,
        files: this.#files(),
        fileBytesMax: 2000,
        keptBytesMax: 8000,
        markAfterMs: 0,
        fullFrameBytes: 300,
      },
      hooks,
    );

  /** Writes of the disk as it is now: a log that is lost in a crash keeps its own. */
  #files(): FileSystem {
    const disk = this.#disk;
    const { files } = disk;
    const write: FileSystem["write"] = (...args) => {
      if (this.#failure !== undefined) disk.fail("write", 1, "EIO", this.#failure);
      this.#failure = undefined;
      if (this.#isHolding) this.#held.push(() => files.write(...args));
      else files.write(...args);
    };
    return { ...files, write };
  }

  hold = (): void => void (this.#isHolding = true);

  release = (): void => {
    this.#isHolding = false;
    for (const write of this.#held.splice(0)) write();
  };

  held = (): Promise<void> => until("a write waits", () => this.#held.length > 0);

  failNext: LogWorld["failNext"] = (_shard, does) => {
    this.#failure = does === "written" ? "all" : "nothing";
  };

  crash = (): void => {
    this.#disk = this.#disk.afterCrash("power", randomFrom(this.#disk.calls));
  };
}

commitLogConforms("the local log", () => new LocalWorld());
