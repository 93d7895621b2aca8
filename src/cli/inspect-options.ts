/** The options of `parley inspect`. */
import type { ShardId } from "../../storage/types.ts";
import { integer, text, type OptionSpec, type OptionValues } from "./options.ts";
import { DATA, JSON_LINES, LIMIT } from "./tool-options.ts";

export const INSPECT_OPTIONS = {
  data: DATA,
  limit: LIMIT,
  after: {
    ...integer({
      section: "Options",
      summary: "stream: entries after this seq; wal: log files after this number; otherwise the newest",
      initial: 0,
      min: 0,
      max: Number.MAX_SAFE_INTEGER,
    }),
    initial: undefined,
  } as OptionSpec<number | undefined>,
  lane: text({
    section: "Options",
    summary: "stream: the entries of one lane, such as @bob, alone",
    placeholder: "LANE",
    initial: undefined,
    expected: "a lane",
    accepts: () => true,
  }),
  shard: text({
    section: "Options",
    summary: "wal: records of one shard alone; stream: its shard, if it is no address",
    placeholder: "N",
    initial: undefined,
    expected: "a whole number from 0 to 999",
    accepts: (value) => /^\d{1,3}$/.test(value),
  }),
  sql: text({
    section: "Options",
    summary: "shard: write all of it to a plain SQLite file, for the sqlite3 shell",
    placeholder: "FILE",
    initial: undefined,
    expected: "a file",
    accepts: (value) => value !== "" && !value.includes("\0"),
  }),
  json: JSON_LINES,
};

export type InspectOptions = Omit<OptionValues<typeof INSPECT_OPTIONS>, "shard"> & {
  shard: ShardId | undefined;
  directory: string;
};
