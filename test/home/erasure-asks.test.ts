/** Erasing asks the shards of others. Their answers may be lost, come twice or never: what went is counted once all the same. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { AppError } from "../../src/base/errors.ts";
import { readTimelineEntry } from "../../src/domain/entries.ts";
import { userAddress, type Address, type UserId } from "../../src/domain/address.ts";
import { cellText } from "../../src/home/state/cells.ts";
import { writeRecord } from "../../src/home/durable.ts";
import { eraseRequested, erasureStatus, requestErasure } from "../../src/home/erasing/erase-user.ts";
import { ERASE_PAGE } from "../../src/home/erasing/erasure.ts";
import { RANGES_MAX } from "../../src/home/erasing/erased-files.ts";
import type { ContentErased, ContentToErase } from "../../src/home/messages/erasing.ts";
import { eraseBefore } from "../../src/home/erasing/retention.ts";
import type { Seq } from "../../storage/types.ts";
import { CLUB, PEOPLE } from "./talk.ts";
import { randomFrom } from "../support/random.ts";
import { until } from "../support/wait.ts";
import { WrittenBytes } from "./written-bytes.ts";

const [ANN, BEN, CAT] = PEOPLE as [UserId, UserId, UserId];
const TO_BEN = 3;
const TO_CAT = 2;
const TO_CLUB = 4;
/** Each of the direct ones went from Ann's own timeline, too. */
const ALL = 2 * (TO_BEN + TO_CAT) + TO_CLUB;
const ports = { isStopped: () => false, tidy: async () => {} };

let written: WrittenBytes;
const hellos = (count: number): string[] => Array.from({ length: count }, () => "hello");
const status = () => erasureStatus(written.user(ANN));
const erase = (): Promise<void> => eraseRequested(written.host.home(ANN), ANN, ports);

beforeEach(async () => {
  written = new WrittenBytes();
  await written.begin();
  await written.write(ANN, userAddress(BEN), hellos(TO_BEN));
  await written.write(ANN, userAddress(CAT), hellos(TO_CAT));
  await written.write(ANN, CLUB, hellos(TO_CLUB));
});
afterEach(() => written.talk.shards.close());

type Erase = (question: ContentToErase) => Promise<ContentErased>;

/** What becomes of questions to erase. */
function asksGo(go: (question: ContentToErase, erased: Erase) => Promise<ContentErased>): void {
  const { router } = written.host.home(ANN);
  const ask = router.ask.bind(router);
  Object.assign(router, {
    ask(...asked: Parameters<typeof ask>) {
      const [kind, to, question] = asked;
      if (kind !== "eraseContent") return ask(...asked);
      return go(question as ContentToErase, async (one) => ask("eraseContent", to, one));
    },
  });
}

test.each<Address>([userAddress(BEN), CLUB])(
  "an answer of %s that is lost after it erased is asked for again, and says the same",
  async (stream) => {
    let lost = 0;
    asksGo(async (question, erased) => {
      const answer = await erased(question);
      if (question.stream !== stream || lost > 0) return answer;
      lost++;
      throw new AppError("unavailable", "no answer came in time");
    });
    await requestErasure(written.host.home(ANN), ANN);
    await expect(erase()).rejects.toThrow("no answer came in time");
    // What did not answer keeps nobody else from being asked.
    expect(status()).toMatchObject({ state: "running", entries: ALL - (stream === CLUB ? TO_CLUB : TO_BEN) });
    await erase();
    expect([lost, status()]).toMatchObject([1, { state: "running", entries: ALL }]);
    await erase();
    expect(status()).toMatchObject({ entries: ALL });
    expect(written.inLogs(ANN)).toBe(0);
  },
);

test("a crash between the erasing and the answer leaves the same count", async () => {
  let isErased = false;
  asksGo(async (question, erased) => {
    const answer = await erased(question);
    if (question.stream !== CLUB) return answer;
    isErased = true;
    return await new Promise(() => {});
  });
  await requestErasure(written.host.home(ANN), ANN);
  void erase();
  await until("it is erased", () => isErased);
  expect((status() as { entries: number }).entries).toBeLessThan(ALL);
  await written.talk.shards.crash(randomFrom(1));
  expect(written.inLogs(ANN)).toBe(0);
  await erase();
  expect(status()).toMatchObject({ state: "running", entries: ALL });
});

test("a question that comes twice at once, and once more later, counts nothing twice", async () => {
  await written.counted(ANN);
  const home = written.host.home(ANN);
  const question = { user: ANN, request: 1, stream: CLUB, through: 1000 as Seq, last: 0 as Seq, after: 0 as Seq };
  const ask = async (): Promise<ContentErased> => home.router.ask("eraseContent", CLUB, question);
  const answers = await Promise.all([ask(), ask()]);
  expect([...answers, await ask()].map(({ entries }) => entries)).toEqual([TO_CLUB, TO_CLUB, TO_CLUB]);
  expect(written.user(ANN).storedBytes).toBe(written.inLogs(ANN));
  expect(await home.router.ask("eraseContent", CLUB, { ...question, request: 2 })).toMatchObject({ entries: 0 });
});

test("retention of the same stream at the same time erases nothing a second time", async () => {
  await written.write(ANN, CLUB, hellos(2 * ERASE_PAGE));
  await written.counted(ANN);
  await requestErasure(written.host.home(ANN), ANN);
  const end = written.talk.shards.wallMs + 1;
  const [, retained] = await Promise.all([erase(), eraseBefore(written.host.ownerOf(CLUB), CLUB, end, () => false)]);
  const { entries } = status() as { entries: number };
  expect(entries + retained.entries).toBe(ALL + 2 * ERASE_PAGE);
  expect([written.user(ANN).storedBytes, written.inLogs(ANN)]).toEqual([0, 0]);
});

test("a long stream takes several questions, each of which goes on where the last one ended", async () => {
  const posts = 33 * ERASE_PAGE;
  await written.write(BEN, CLUB, hellos(posts));
  await written.write(ANN, CLUB, hellos(1));
  const asked: number[] = [];
  asksGo((question, erased) => {
    if (question.stream === CLUB) asked.push(question.after);
    return erased(question);
  });
  await requestErasure(written.host.home(ANN), ANN);
  await erase();
  expect(asked).toEqual([0, 32 * ERASE_PAGE + (asked[1]! % ERASE_PAGE)]);
  expect(status()).toMatchObject({ entries: ALL + 1 });
  expect(written.inLogs(BEN)).toBe(posts * 5);
});

test("what is on its way to a group's log is before the request", async () => {
  const posted = written.write(ANN, CLUB, hellos(2));
  await requestErasure(written.host.home(ANN), ANN);
  await posted;
  await erase();
  expect([status(), written.inLogs(ANN)]).toMatchObject([{ entries: ALL + 2 }, 0]);
});

test("a second request counts from nothing", async () => {
  await written.erase(ANN);
  expect(status()).toMatchObject({ state: "done", entries: ALL });
  await written.write(ANN, CLUB, hellos(1));
  await written.erase(ANN);
  expect(status()).toMatchObject({ state: "done", entries: 1 });
});

test("a stream that is being flushed for long is left for later, and keeps no other waiting", async () => {
  let isFlushing = true;
  asksGo((question, erased) => {
    const { after } = question;
    if (question.stream !== CLUB || !isFlushing) return erased(question);
    written.talk.shards.passedMs += 40_000;
    return Promise.resolve({ entries: 0, ranges: 0, through: after, isDone: false });
  });
  await requestErasure(written.host.home(ANN), ANN);
  await expect(erase()).rejects.toThrow("is being flushed");
  expect(status()).toMatchObject({ state: "running", entries: ALL - TO_CLUB });
  isFlushing = false;
  await erase();
  expect(status()).toMatchObject({ entries: ALL });
});

test("ranges of many short streams add up until the files are tidied", async () => {
  let tidied = 0;
  const tidy = async (): Promise<void> => void tidied++;
  asksGo(async (question, erased) => ({ ...(await erased(question)), ranges: RANGES_MAX / 2 }));
  await requestErasure(written.host.home(ANN), ANN);
  await eraseRequested(written.host.home(ANN), ANN, { ...ports, tidy });
  expect(tidied).toBe(1);
});

test("a request that an earlier version began counts on from what that one had erased", async () => {
  await requestErasure(written.host.home(ANN), ANN);
  const { log, handle, address } = written.user(ANN);
  const { id: _, ...request } = JSON.parse(cellText(log.cell(address, "erasure"))) as { id: number };
  await writeRecord(log, () => {
    log.putCell(handle, "erasure", Buffer.from(JSON.stringify(request)));
    log.putNumbers(handle, "erasedEntries", 7);
  });
  await erase();
  expect(status()).toMatchObject({ state: "running", entries: 7 + ALL });
  await written.talk.shards.crash(randomFrom(1));
  await erase();
  expect(status()).toMatchObject({ state: "running", entries: 7 + ALL });
});

test("without any answer of a group nobody knows how far a request goes, so it is refused", async () => {
  const { router } = written.host.home(ANN);
  const ask = router.ask.bind(router);
  Object.assign(router, {
    ask(...asked: Parameters<typeof ask>) {
      if (asked[0] === "groupEnd") throw new AppError("unavailable", "no answer came in time");
      return ask(...asked);
    },
  });
  await expect(requestErasure(written.host.home(ANN), ANN)).rejects.toThrow("no answer came in time");
  expect(status()).toEqual({ state: "none" });
});

test("a message that was sent before the request and is handed over after the erasure does not come, and those behind it do", async () => {
  const { router } = written.host.home(ANN);
  const { handOff, handOffAlong } = router;
  const late: (() => void)[] = [];
  Object.assign(router, {
    handOffAlong: () => false,
    handOff(...handedOver: Parameters<typeof handOff>) {
      const go = (): void => handOff.apply(router, handedOver);
      if (handedOver[1].kind === "message") late.push(go);
      else go();
    },
  });
  await written.write(ANN, userAddress(BEN), ["too late"]);
  Object.assign(router, { handOff, handOffAlong });
  await requestErasure(written.host.home(ANN), ANN);
  await erase();
  const came = (): (string | undefined)[] =>
    written.host
      .log(userAddress(BEN))
      .readLaneForward(userAddress(BEN), userAddress(ANN), 0 as Seq, 100)
      .map((stored) => readTimelineEntry(stored))
      .map((entry) => (entry.kind === "taken" ? entry.text : undefined));
  const before = came();
  expect(before.every((text) => text === undefined)).toBe(true);
  expect(late).toHaveLength(1);
  late[0]!();
  await written.host.store.idle();
  expect(came()).toEqual(before);
  await written.write(ANN, userAddress(BEN), ["new"]);
  expect(came()).toEqual([...before, "new"]);
  await written.talk.shards.crash(randomFrom(1));
  await written.write(ANN, userAddress(BEN), ["newer"]);
  expect(came()).toEqual([...before, "new", "newer"]);
});
