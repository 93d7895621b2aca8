/** Every option of `parley serve`. Flags, variables, checks and help are all made from this table. */
import { DEFAULT_LIMITS, KEEP_DAYS_MAX } from "../domain/limits.ts";
import type { Limits } from "../protocol/frames.ts";
import { flag, integer, oneOf, text, type OptionSpec, type OptionValues } from "./options.ts";

const LISTENING = "Listening";
const STORAGE = "Storage";
const ACCOUNTS = "Accounts";
const LIMITS = "Limits";
const CONNECTIONS = "Connections";
const NODE = "Node";
const CLUSTER = "Cluster";

const MIB = 1 << 20;

export const SERVE_OPTIONS = {
  host: text({
    section: LISTENING,
    summary: "address to listen on; 0.0.0.0 is every network",
    placeholder: "ADDRESS",
    initial: "127.0.0.1",
    expected: "an address or host name",
    accepts: (value) => /^[a-zA-Z0-9.:%_-]+$/.test(value),
  }),
  port: integer({
    section: LISTENING,
    summary: "port to listen on; 0 takes a free one",
    initial: 8080,
    min: 0,
    max: 65_535,
  }),
  publicUrl: text({
    section: LISTENING,
    summary: "URL at which clients reach this node, if it differs from the address it listens on",
    placeholder: "URL",
    initial: undefined,
    expected: "an http or https URL",
    accepts: isHttpUrl,
  }),

  data: text({
    section: STORAGE,
    summary: "data directory; made if missing, one server at a time",
    placeholder: "DIR",
    initial: "./data",
    expected: "a directory",
    accepts: (value) => value !== "" && !value.includes("\0"),
  }),
  memtableMb: integer({
    section: STORAGE,
    summary: "MiB of recent messages in memory before they are flushed",
    initial: 128,
    min: 1,
    max: 65_536,
  }),
  stateMb: integer({
    section: STORAGE,
    summary: "MiB of users and groups in memory before idle ones are dropped; they are loaded again when needed",
    initial: 128,
    min: 0,
    max: 1_048_576,
  }),
  walMb: integer({
    section: STORAGE,
    summary: "MiB of write-ahead log before the oldest part is flushed",
    initial: 512,
    min: 8,
    max: 1_048_576,
  }),
  segmentMb: integer({
    section: STORAGE,
    summary: "MiB of a segment file before the next one begins",
    initial: 64,
    min: 1,
    max: 65_536,
  }),

  strict: flag({
    section: STORAGE,
    summary: "refuse to start when any data is damaged; without it, undamaged shards are served",
  }),
  keepDays: {
    ...integer({
      section: STORAGE,
      summary: "days that messages are kept before they are erased; without it they are kept for ever",
      initial: 0,
      min: 1,
      max: KEEP_DAYS_MAX,
    }),
    initial: undefined,
  } as OptionSpec<number | undefined>,

  registration: oneOf({
    section: ACCOUNTS,
    summary: "open: anybody may register; closed: only API keys create users",
    choices: ["open", "closed"],
    initial: "open",
  }),
  argon2MemoryKb: integer({
    section: ACCOUNTS,
    summary: "KiB of memory used to check one password",
    initial: 19_456,
    min: 8,
    max: 4_194_304,
  }),
  argon2Passes: integer({
    section: ACCOUNTS,
    summary: "passes over that memory for each check",
    initial: 2,
    min: 1,
    max: 100,
  }),

  sendRate: integer({
    section: LIMITS,
    summary: "sustained messages a second that a user may send",
    initial: DEFAULT_LIMITS.sendsPerSecond,
    min: 1,
    max: 1_000_000,
  }),
  sendBurst: integer({
    section: LIMITS,
    summary: "messages that a user may send in a burst",
    initial: DEFAULT_LIMITS.sendsBurst,
    min: 1,
    max: 10_000_000,
  }),
  userMb: {
    ...integer({
      section: LIMITS,
      summary: "MiB of text that a user may have written and not erased; without it there is no bound",
      initial: 0,
      min: 1,
      max: 1_048_576,
    }),
    initial: undefined,
  } as OptionSpec<number | undefined>,
  callRate: integer({
    section: LIMITS,
    summary: "calls a second over HTTP with one token, or without any; an address may make 4 times as many",
    initial: 500,
    min: 1,
    max: 100_000_000,
  }),
  readRate: integer({
    section: LIMITS,
    summary: "sustained messages a second that a user may read back; the burst is ten times as many",
    initial: 20_000,
    min: 100,
    max: 100_000_000,
  }),
  textBytesMax: integer({
    section: LIMITS,
    summary: "bytes of a message's text",
    initial: DEFAULT_LIMITS.textBytesMax,
    min: 1,
    max: 32_768,
  }),
  groupMembersMax: integer({
    section: LIMITS,
    summary: "members of a group",
    initial: DEFAULT_LIMITS.groupMembersMax,
    min: 2,
    max: 100_000,
  }),
  groupAddsMax: integer({
    section: LIMITS,
    summary: "times that a user may add the same other user to groups; one more every hour",
    initial: 20,
    min: 1,
    max: 1_000_000,
  }),
  groupReceiptsMembersMax: integer({
    section: LIMITS,
    summary: "members above which a group gets no receipts",
    initial: DEFAULT_LIMITS.groupReceiptsMembersMax,
    min: 0,
    max: 1000,
  }),
  resumeEntriesMax: integer({
    section: LIMITS,
    summary: "missed entries that a resume streams; if there are more, it sends a gap",
    initial: DEFAULT_LIMITS.resumeEntriesMax,
    min: 1,
    max: 1_000_000,
  }),

  outboxKb: integer({
    section: CONNECTIONS,
    summary: "KiB that may wait for a slow client before it is closed",
    initial: 1024,
    min: 64,
    max: 1_048_576,
  }),
  socketMemoryMb: integer({
    section: CONNECTIONS,
    summary: "MiB that may wait in all sockets together before those that hold most are closed",
    initial: 256,
    min: 1,
    max: 1_048_576,
  }),
  connectionsMax: integer({
    section: CONNECTIONS,
    summary: "WebSockets that may be open",
    initial: 50_000,
    min: 1,
    max: 10_000_000,
  }),
  addressConnectionsMax: integer({
    section: CONNECTIONS,
    summary: "WebSockets that may be open from one address; a proxy must set X-Forwarded-For",
    initial: 20_000,
    min: 1,
    max: 10_000_000,
  }),
  connectRate: integer({
    section: CONNECTIONS,
    summary: "WebSockets a second that one address may ask for, granted or not; ten times as many at once",
    initial: 200,
    min: 1,
    max: 100_000_000,
  }),
  heartbeatMs: integer({
    section: CONNECTIONS,
    summary: "silence after which a client pings; 2.5 times as long ends the connection",
    initial: 25_000,
    min: 1000,
    max: 600_000,
  }),
  drainMs: integer({
    section: CONNECTIONS,
    summary: "how long SIGTERM waits for work in progress",
    initial: 10_000,
    min: 0,
    max: 600_000,
  }),

  processes: {
    ...integer({
      section: CLUSTER,
      summary: "processes that share the port and divide the users, to use that many cores; without it, one",
      initial: 0,
      min: 1,
      max: 64,
    }),
    initial: undefined,
  } as OptionSpec<number | undefined>,
  processOf: text({
    section: CLUSTER,
    summary: "set by --processes for each of its processes: the data directory of all",
    placeholder: "DIR",
    initial: undefined,
    expected: "a directory",
    accepts: (value) => value !== "" && !value.includes("\0"),
  }),
  node: text({
    section: CLUSTER,
    summary: "id of this node in the map; with it the server is one of many",
    placeholder: "ID",
    initial: undefined,
    expected: "1 to 32 of a-z, 0-9, dot, dash, underscore",
    accepts: (value) => /^[a-z0-9][a-z0-9._-]{0,31}$/.test(value),
  }),
  map: text({
    section: CLUSTER,
    summary: "the partition map, as parley map init writes it",
    placeholder: "FILE",
    initial: undefined,
    expected: "a file",
    accepts: (value) => value !== "" && !value.includes("\0"),
  }),
  clusterSecretFile: text({
    section: CLUSTER,
    summary: "file with the secret that all nodes share, 32 characters or more",
    placeholder: "FILE",
    initial: undefined,
    expected: "a file",
    accepts: (value) => value !== "" && !value.includes("\0"),
  }),

  nodeName: text({
    section: NODE,
    summary: "this node's name, as clients and the log see it",
    placeholder: "NAME",
    initial: "n1",
    expected: "1 to 32 of a-z, 0-9, dot, dash, underscore",
    accepts: (value) => /^[a-z0-9][a-z0-9._-]{0,31}$/.test(value),
  }),
  logLevel: oneOf({
    section: NODE,
    summary: "least level of log lines on stderr",
    choices: ["debug", "info", "warn", "error"],
    initial: "info",
  }),
};

export type ServeOptions = OptionValues<typeof SERVE_OPTIONS>;

/** The limits that clients get in `welcome`. */
export function limitsOf(options: ServeOptions): Limits {
  return {
    frameBytesMax: DEFAULT_LIMITS.frameBytesMax,
    textBytesMax: options.textBytesMax,
    groupMembersMax: options.groupMembersMax,
    groupReceiptsMembersMax: options.groupReceiptsMembersMax,
    sendsPerSecond: options.sendRate,
    sendsBurst: options.sendBurst,
    resumeEntriesMax: options.resumeEntriesMax,
    ...(options.keepDays === undefined ? {} : { keepDays: options.keepDays }),
    ...(options.userMb === undefined ? {} : { storedBytesMax: options.userMb * MIB }),
  };
}

function isHttpUrl(value: string): boolean {
  return URL.canParse(value) && /^https?:$/.test(new URL(value).protocol);
}
