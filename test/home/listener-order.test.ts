/** The records of one frame are told one after the other: nothing may depend on which of two is told first. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { userAddress, type Address, type DeviceId, type UserId } from "../../src/domain/address.ts";
import type { MessageFrame } from "../../src/protocol/frames.ts";
import { sendMessage } from "../../src/home/sending/send-message.ts";
import type { Sent } from "../../src/home/sending/pending-send.ts";
import type { Session } from "../../src/home/session.ts";
import type { RecordSource } from "../../storage/shard/staged-record.ts";
import { CLUB, PEOPLE, Talk } from "./talk.ts";

const [ANN, BEN] = PEOPLE as [UserId, UserId];

let talk: Talk;
beforeEach(async () => {
  talk = new Talk();
  await talk.begin();
});
afterEach(() => talk.shards.close());

/** A device of the user, and the messages that it gets. */
function attach(user: UserId): MessageFrame[] {
  const frames: MessageFrame[] = [];
  const session: Session = {
    user,
    device: "d" as DeviceId,
    entry: (_place, _seq, frame) => void frames.push(JSON.parse(frame) as MessageFrame),
    notice: () => {},
    close: () => {},
  };
  talk.host.attach(session);
  return frames;
}

/** Sends one message whose records are told in the order that `inOrder` puts them into. @returns the id that `sent` says */
async function sendTold(to: Address, inOrder: (sources: RecordSource[]) => RecordSource[]): Promise<string> {
  const told: RecordSource[] = [];
  const logs = new Set([userAddress(ANN), to].map((address) => talk.host.log(address)));
  for (const log of logs) {
    const append = log.append.bind(log);
    log.append = (source) =>
      append({
        encode: () => source.encode(),
        committed: () => void told.push(source),
        failed: (error) => source.failed(error),
      });
  }
  let id = "no answer";
  const reply = { session: undefined, sent: (sent: Sent) => void (id = sent.id), refused: () => {} };
  const request = { to, text: "hello", ref: "r", retry: false };
  const rest = sendMessage(talk.host.home(ANN), talk.host.users.get(ANN)!, request, reply);
  if (rest !== undefined) await talk.host.turns.run(rest);
  await talk.host.store.idle();
  expect(told).toHaveLength(2);
  for (const source of inOrder(told)) source.committed();
  return id;
}

test.each<[string, Address]>([
  ["a direct message", userAddress(BEN)],
  ["a group message", CLUB],
])("whoever is told first of %s, sender and receivers get the same id, and the answer comes", async (_what, to) => {
  const ids = async (inOrder: (sources: RecordSource[]) => RecordSource[]): Promise<unknown[]> => {
    const frames = [ANN, BEN].map(attach);
    const id = await sendTold(to, inOrder);
    expect(talk.host.users.get(ANN)!.pendingSends).toEqual([]);
    return [id, ...frames.map(([frame]) => frame?.id)];
  };
  const inOrder = await ids((sources) => sources);
  expect(new Set(inOrder).size).toBe(1);
  await talk.shards.close();
  talk = new Talk();
  await talk.begin();
  expect(await ids((sources) => sources.toReversed())).toEqual(inOrder);
});
