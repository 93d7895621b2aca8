/** Services that answer with one fixed thing and write down what they were asked; accounts and API keys are the real ones. */
import type { AccountService } from "../../src/home/accounts/accounts.ts";
import type { Conversation, Group } from "../../src/protocol/http-shapes.ts";
import type { WireMessage } from "../../src/protocol/frames.ts";
import type { ApiKeys, Services } from "../../src/home/services.ts";

export const MESSAGE: WireMessage = {
  id: "m1",
  conversation: "@bob",
  from: "alice",
  text: "hello",
  seq: 1,
  sentAt: 1,
  ref: "r1",
};
export const GROUP: Group = {
  id: "ubuntu",
  name: "Ubuntu",
  createdAt: 1,
  head: { epoch: "e", seq: 1 },
  members: [{ user: "alice", role: "admin" }],
};
export const CONVERSATION: Conversation = {
  conversation: "@bob",
  name: "Bob",
  unread: 0,
  lastSeq: 1,
  readThrough: 1,
  deliveredThrough: 1,
  ownReadThrough: 0,
  messages: [MESSAGE],
};
const { ref: _, ...OTHERS_MESSAGE } = MESSAGE;

export type Script = {
  /** What the services were asked: the call, then its arguments after the actor. */
  asked: unknown[][];
  /** Set to make every scripted call fail. */
  failure: Error | undefined;
  notReady: string | undefined;
  /** What became of the last poll that was told to wait. */
  poll: { signal: AbortSignal | undefined };
};

export function scriptedServices(accounts: AccountService, apiKeys: ApiKeys): { services: Services; script: Script } {
  const script: Script = { asked: [], failure: undefined, notReady: undefined, poll: { signal: undefined } };
  const answers =
    <Args extends unknown[], Result>(call: string, result: Result) =>
    async (_actor: unknown, ...args: Args): Promise<Result> => {
      script.asked.push([call, ...args]);
      if (script.failure !== undefined) throw script.failure;
      return result;
    };
  const services: Services = {
    accounts,
    apiKeys,
    messaging: {
      send: async (actor, input) => {
        const seen = script.asked.some(([call, earlier]) => call === "send" && Bun.deepEquals(earlier, input));
        return answers("send", { message: MESSAGE, duplicate: seen })(actor, input);
      },
    },
    groups: {
      create: answers("create", GROUP),
      get: answers("get", GROUP),
      change: answers("change", GROUP),
      dissolve: answers("dissolve", undefined),
      putMember: answers("putMember", undefined),
      removeMember: answers("removeMember", undefined),
    },
    history: {
      page: answers("page", { messages: [MESSAGE], before: 1, after: 1 }),
      conversations: answers("conversations", { conversations: [CONVERSATION], before: "mark" }),
      conversation: answers("conversation", CONVERSATION),
      entries: answers("entries", {
        frames: [
          { t: "message", ...OTHERS_MESSAGE },
          { t: "membership", seq: 2, conversation: "#ubuntu", change: "joined", groupSeq: 1, epoch: "e" },
          {
            t: "group",
            conversation: "#ubuntu",
            seq: 1,
            change: "created",
            by: "alice",
            at: 1,
            name: "Ubuntu",
            members: ["alice"],
          },
        ],
        after: 2,
        more: false,
      }),
    },
    sync: {
      poll: async (actor, cursor, waitMs, signal) => {
        script.poll.signal = signal;
        if (waitMs > 0) await new Promise((resolve) => signal.addEventListener("abort", resolve));
        return answers("poll", {
          frames: [
            { t: "receipt", kind: "delivered", conversation: "@bob", by: "bob", seq: 1, mark: 1 },
            { t: "gap", from: 1, to: 2 },
            { t: "reset", conversation: "#ubuntu" },
          ],
          cursor,
          more: false,
        } as const)(actor, cursor, waitMs).then((reply) => ({ ...reply, frames: [...reply.frames] }));
      },
    },
    erasures: {
      request: (user, by) =>
        answers("eraseUser", { state: "running", requestedAt: 1, entries: 0 } as const)(undefined, user, by),
      status: (user) => answers("erasure", { state: "none" } as const)(undefined, user),
    },
    directory: { route: () => ({ shard: 7, node: "n1", url: "http://n1" }) },
    health: { damagedShards: () => 0, notReadyReason: () => script.notReady },
  };
  return { services, script };
}
