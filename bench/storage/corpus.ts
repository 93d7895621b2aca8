/**
 * The real corpus, stored: the bytes of all files after closing, against the raw bytes of the logs. The import's plan
 * is played into the server's own commands: users with their cells, a group a day, each direct message in both
 * timelines, refs as the import makes them, times of the logs, and `received` from all devices at the end of each day.
 * Then everything is read back and counted.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { decodeLog } from "../../scripts/irc/encoding.ts";
import { planImport, type Plan, type PlannedGroup, type PlannedLine } from "../../scripts/irc/plan.ts";
import { dateOfFile, parseDay, type IrcDay } from "../../scripts/irc/parse.ts";
import { randomName, systemRandom } from "../../src/base/random.ts";
import {
  isGroup,
  shardOf,
  userAddress,
  type Address,
  type GroupAddress,
  type UserId,
} from "../../src/domain/address.ts";
import { readGroupEntry, readTimelineEntry } from "../../src/domain/entries.ts";
import { TOKEN_ID_BYTES } from "../../src/home/accounts/tokens.ts";
import { encodeDevice, encodeProfile } from "../../src/home/state/account-cells.ts";
import { writeUserCells } from "../../src/home/durable.ts";
import { changeGroup, createGroup } from "../../src/home/groups/group-changes.ts";
import type { SendReply } from "../../src/home/sending/pending-send.ts";
import { postGroup } from "../../src/home/sending/post-group.ts";
import { sendDirect } from "../../src/home/sending/send-direct.ts";
import type { ShardLog } from "../../storage/shard/shard-log.ts";
import type { Seq, ShardId } from "../../storage/types.ts";
import { CorpusShards } from "./corpus-shards.ts";
import { loadTexts } from "../measure/texts.ts";
import { bytesByTable, diskUse, round4, seededRandom, type DiskUse } from "./measure.ts";
import type { PartContext } from "./part.ts";
import { openSegments } from "./stores.ts";

export type CorpusParameters = {
  /** Undefined: made-up days. */
  corpus: string | undefined;
  daysMax: number;
  shards: number;
  /** Number of flushes, evenly over the lines; the last one is at the end. */
  flushes: number;
};

export type CorpusFigures = {
  texts: "corpus" | "made-up";
  shards: number;
  flushes: number;
  users: number;
  direct: number;
  group: number;
  /** Bytes of the log files as they are, and of the messages' texts alone. */
  rawBytes: number;
  textBytes: number;
  stored: DiskUse;
  /** Bytes by table and index. */
  tables: Record<string, number>;
  /** The rest of the write-ahead log after closing, which is not needed any more. */
  log: DiskUse;
  /** Stored over raw, and over the texts alone. */
  ratioToRaw: number;
  ratioToTexts: number;
  bytesPerMessage: number;
  compacted: { stored: DiskUse; ratioToRaw: number; ratioToTexts: number; bytesPerMessage: number; seconds: number };
  /** Seconds from the first record until the last file is closed. */
  seconds: number;
};

const BEGAN_AT = Date.UTC(2004, 10, 15);
const MINUTE_MS = 60_000;
const LINES_AT_ONCE = 500;
const USERS_AT_ONCE = 500;
const PAGE = 1000;
const FIRST_MEMBERS_MAX = 500;
const REPLY: SendReply = {
  session: undefined,
  sent: () => {},
  refused: (ref, error) => {
    throw new Error(`${ref} was refused`, { cause: error });
  },
};

export async function corpus(parameters: CorpusParameters, context: PartContext): Promise<CorpusFigures> {
  const { days, rawBytes } =
    parameters.corpus === undefined ? madeUpDays(parameters.daysMax) : readDays(parameters.corpus, parameters.daysMax);
  const plan = planImport(days);
  context.progress(0, plan.lines.length);
  const { directory } = context;
  const beganAt = performance.now();
  const shards = await CorpusShards.open(directory, openSegments({ dir: directory }), parameters.shards);
  await new Play(shards, plan).run(parameters.flushes, context.progress);
  await shards.store.close();
  const seconds = round4((performance.now() - beganAt) / 1000);
  const stored = diskUse(join(directory, "shards"));
  const tables = bytesByTable(join(directory, "shards"));
  const log = diskUse(join(directory, "wal"));
  await readBack(directory, parameters.shards, plan);
  const compactingAt = performance.now();
  const compacted = await compact(directory, parameters.shards);
  const compactSeconds = round4((performance.now() - compactingAt) / 1000);
  await readBack(directory, parameters.shards, plan);
  const textBytes = plan.lines.reduce((sum, line) => sum + Buffer.byteLength(line.text), 0);
  const ratios = ({ bytes }: DiskUse) => ({
    ratioToRaw: round4(bytes / rawBytes),
    ratioToTexts: round4(bytes / textBytes),
    bytesPerMessage: round4(bytes / plan.lines.length),
  });
  return {
    texts: parameters.corpus === undefined ? "made-up" : "corpus",
    ...{ shards: parameters.shards, flushes: parameters.flushes },
    ...{ users: plan.users.length, direct: plan.direct, group: plan.group, rawBytes, textBytes },
    ...{ stored, tables, log, ...ratios(stored), seconds },
    compacted: { stored: compacted, ...ratios(compacted), seconds: compactSeconds },
  };
}

async function compact(directory: string, shards: number): Promise<DiskUse> {
  const segments = openSegments({ dir: directory });
  for (let shard = 0; shard < shards; shard++) await segments.compact(shard as ShardId);
  await segments.close();
  return diskUse(join(directory, "shards"));
}

class Play {
  readonly #shards: CorpusShards;
  readonly #plan: Plan;
  readonly #random = seededRandom(17);
  #now = BEGAN_AT;

  constructor(shards: CorpusShards, plan: Plan) {
    this.#shards = shards;
    this.#plan = plan;
  }

  async run(flushes: number, progress: PartContext["progress"]): Promise<void> {
    const { lines } = this.#plan;
    this.#shards.clock.set(this.#now);
    await this.#createUsers();
    for (const group of this.#plan.groups) await this.#createGroup(group);
    const every = Math.ceil(lines.length / flushes);
    for (let at = 0; at < lines.length;) {
      const to = Math.min(lines.length, at + LINES_AT_ONCE, (Math.floor(at / every) + 1) * every);
      for (const line of lines.slice(at, to)) this.#say(line);
      at = to;
      await this.#shards.store.idle();
      if (at === lines.length || at % every === 0) await this.#flush();
      progress(at, lines.length);
    }
  }

  /** All devices have received everything. */
  async #flush(): Promise<void> {
    const { markTurns, store } = this.#shards;
    for (const user of this.#shards.loadedUsers()) {
      if (user.headSeq > user.receivedPending) this.#shards.shard(user.log.shard).marks.received(user, user.headSeq);
      for (const { address } of user.conversations.values())
        if (isGroup(address)) this.#receiveGroup(address, user.user);
    }
    markTurns.hurry();
    await store.flushAll(() => false);
  }

  #receiveGroup(address: GroupAddress, user: UserId): void {
    const group = this.#shards.groups.get(address)!;
    const state = this.#shards.users.get(user)!;
    if (group.headSeq > state.conversation(address).got)
      this.#shards.shard(state.log.shard).marks.receivedGroup(state, group, group.headSeq);
  }

  #say(line: PlannedLine): void {
    const shards = this.#shards;
    this.#now = Math.max(this.#now + 1 + Math.floor(this.#random() * 1000), BEGAN_AT + line.minute * MINUTE_MS);
    shards.clock.set(this.#now);
    const sender = shards.users.get(line.from as UserId)!;
    const to = line.to as Address;
    const request = { ref: line.ref, to, text: line.text, retry: false };
    const home = shards.at(sender.address);
    if (isGroup(to))
      return postGroup(home, sender, to, shardOf(to), sender.conversations.get(to), request, REPLY, false);
    // Load it, so that the handoff is accepted in this turn.
    shards.userAt(to);
    sendDirect(home, sender, sender.conversation(to), request, REPLY);
  }

  /** The cells of src/home/accounts/accounts.ts for a user made by an API key, with one device. */
  async #createUsers(): Promise<void> {
    const { users } = this.#plan;
    const createdAt = this.#now;
    for (let at = 0; at < users.length; at += USERS_AT_ONCE) {
      const written = users.slice(at, at + USERS_AT_ONCE).map(({ id, nick }) =>
        writeUserCells(this.#shards.at(userAddress(id as UserId)), id as UserId, [
          ["profile", encodeProfile(id as UserId, { displayName: nick.slice(0, 64), createdAt })],
          ["device/irc-import", encodeDevice({ createdAt, login: 1, tokenId: systemRandom.bytes(TOKEN_ID_BYTES) })],
        ]),
      );
      await Promise.all(written);
    }
  }

  async #createGroup({ address, name, members }: PlannedGroup): Promise<void> {
    const [by] = members as [UserId, ...UserId[]];
    const first = members.slice(0, FIRST_MEMBERS_MAX) as UserId[];
    const detail = { change: "created", by, at: this.#now, name, members: first } as const;
    const epoch = randomName(systemRandom, 8);
    // Load them, so that they accept their memberships in this turn.
    for (const user of members) this.#shards.userAt(userAddress(user as UserId));
    const shard = this.#shards.at(address as GroupAddress);
    const group = await createGroup(shard, address as GroupAddress, epoch, detail);
    for (const user of members.slice(FIRST_MEMBERS_MAX) as UserId[])
      await changeGroup(shard, group, { change: "joined", by, at: this.#now, user, role: "member" });
  }
}

/** Every message must be there with its text, twice if it is direct and not a note to self. */
async function readBack(directory: string, shardCount: number, plan: Plan): Promise<void> {
  const shards = await CorpusShards.open(directory, openSegments({ dir: directory }), shardCount);
  let messages = 0;
  let textBytes = 0;
  const note = (text: string): void => {
    messages++;
    textBytes += Buffer.byteLength(text);
  };
  for (const { id } of plan.users) {
    const address = userAddress(id as UserId);
    for (const entry of entriesOf(shards.log(address), address)) {
      const found = readTimelineEntry(entry);
      if (found.kind === "sent" || found.kind === "taken") note(found.text);
    }
  }
  for (const { address } of plan.groups) {
    for (const entry of entriesOf(shards.log(address as GroupAddress), address)) {
      const found = readGroupEntry(entry);
      if (found.kind === "posted") note(found.text);
    }
  }
  await shards.store.close();
  const copies = (line: PlannedLine): number => (line.to.startsWith("@") && line.to !== `@${line.from}` ? 2 : 1);
  const expected = plan.lines.reduce((sum, line) => sum + copies(line), 0);
  const expectedBytes = plan.lines.reduce((sum, line) => sum + copies(line) * Buffer.byteLength(line.text), 0);
  if (messages !== expected || textBytes !== expectedBytes)
    throw new Error(`read back ${messages} messages of ${textBytes} bytes instead of ${expected} of ${expectedBytes}`);
}

function* entriesOf(log: ShardLog, stream: string) {
  for (let after = 0 as Seq; ;) {
    const page = log.readForward(stream, after, PAGE);
    yield* page;
    if (page.length < PAGE) return;
    after = page.at(-1)!.seq;
  }
}

type Days = { days: IrcDay[]; rawBytes: number };

function readDays(directory: string, daysMax: number): Days {
  const names = readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".log"));
  if (names.length === 0) throw new Error(`corpus: no *.log files under ${directory}; give another --corpus DIR`);
  const contents = names
    .toSorted()
    .slice(0, daysMax)
    .map((name) => ({ name, text: decodeLog(readFileSync(join(directory, name)), "utf-8", name) }));
  return {
    days: contents.map(({ name, text }) => parseDay(dateOfFile(name), text)),
    rawBytes: contents.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0),
  };
}

const MADE_UP_LINES_A_DAY = 600;

function madeUpDays(daysMax: number): Days {
  const random = seededRandom(19);
  const below = (count: number): number => Math.floor(random() * count);
  const { lines } = loadTexts(undefined, daysMax * MADE_UP_LINES_A_DAY);
  const texts = Array.from({ length: daysMax }, (_, day) =>
    lines
      .slice(day * MADE_UP_LINES_A_DAY, (day + 1) * MADE_UP_LINES_A_DAY)
      .map((text, at) => {
        const time = `${String(Math.floor(at / 60)).padStart(2, "0")}:${String(at % 60).padStart(2, "0")}`;
        return `[${time}] <nick${below(60)}> ${random() < 0.4 ? `nick${below(60)}: ` : ""}${text}\n`;
      })
      .join(""),
  );
  return {
    days: texts.map((text, at) => parseDay(`2010-01-${String(at + 1).padStart(2, "0")}`, text)),
    rawBytes: texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0),
  };
}
