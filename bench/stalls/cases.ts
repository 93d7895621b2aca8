/**
 * Requests to a server that has loaded nothing yet, each of which a careless server would answer in one long turn of
 * its event loop.
 */
import { userAddress as addressOf, type Address, type UserId } from "../../src/domain/address.ts";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { inBatches, type Filling } from "../servers/filling.ts";
import { call, keyed, FROM_THE_BEGINNING, Visitor } from "./visitor.ts";

export type Sizes = { groups: number; members: number; peers: number; hellos: number; conversations: number };

export const SIZES: Sizes = { groups: 400, members: 1000, peers: 500, hellos: 200, conversations: 25_000 };

/**
 * A client's requests to the server with this URL. All of it is measured, or only the part that it passes to `measure`.
 */
export type Visit = (url: string, measure: (work: () => Promise<void>) => Promise<void>) => Promise<void>;

export type Case = {
  name: string;
  /** Writes the needed data; `id` is part of all names. */
  prepare: (data: Filling, id: string, sizes: Sizes) => Promise<Visit>;
};

export const CASES: readonly Case[] = [
  {
    name: "hello of a user in many groups",
    async prepare(data, id, sizes) {
      const { who } = await manyGroups(data, id, sizes);
      return async (url) => (await Visitor.hello(url, who)).leave();
    },
  },
  {
    name: "catch-up of a user in many groups",
    async prepare(data, id, sizes) {
      const { who } = await manyGroups(data, id, sizes);
      return async (url) => (await Visitor.hello(url, who, FROM_THE_BEGINNING)).leave();
    },
  },
  {
    name: "catch-up of a user with many conversations",
    async prepare(data, id, { peers }) {
      const [user, ...others] = (await data.users(id, 4 * peers + 1)) as [UserId, ...UserId[]];
      for (let n = 0; n < 2; n++) await inBatches(others, (other) => data.send(other, addressOf(user), "good morning"));
      const who = await data.token(user);
      return async (url) => (await Visitor.hello(url, who, FROM_THE_BEGINNING)).leave();
    },
  },
  {
    name: "resume of a user who has got all in many groups",
    async prepare(data, id, sizes) {
      const { who, author } = await manyGroups(data, id, sizes);
      const cursor = data.cursorOf(who.user as UserId);
      return async (url, measure) => {
        const other = await Visitor.hello(url, author);
        await measure(async () => {
          (await Visitor.hello(url, who, cursor)).leave();
          await other.next("receipt", sizes.groups);
        });
        other.leave();
      };
    },
  },
  {
    name: "long poll of a user in many groups",
    async prepare(data, id, sizes) {
      const { who } = await manyGroups(data, id, sizes);
      return async (url) => void (await call(url, who, "POST", "/v1/sync", { cursor: FROM_THE_BEGINNING, waitMs: 0 }));
    },
  },
  {
    name: "many users at once",
    async prepare(data, id, { hellos }) {
      const users = await data.users(id, hellos);
      const all = await Promise.all(users.map((user) => data.token(user)));
      for (let n = 0; n < 5; n++) await data.group(users[0]!, `${id}-${n}`, users);
      return async (url) => {
        const visitors = await Promise.all(all.map((who) => Visitor.hello(url, who, FROM_THE_BEGINNING)));
        for (const visitor of visitors) visitor.leave();
      };
    },
  },
  {
    name: "list of conversations of a user in many groups",
    async prepare(data, id, sizes) {
      const { who } = await manyGroups(data, id, sizes);
      return async (url) => void (await call(url, who, "GET", "/v1/conversations?limit=5"));
    },
  },
  {
    name: "all that a user in many groups has written is erased",
    async prepare(data, id, sizes) {
      const { who } = await manyGroups(data, id, sizes);
      return async (url) => {
        await call(url, who, "POST", "/v1/me/erasure", { user: who.user });
        while ((await call(url, who, "GET", "/v1/me/erasure")).state !== "done") await Bun.sleep(20);
      };
    },
  },
  {
    name: "received, of messages from many users",
    async prepare(data, id, { peers }) {
      const [user, ...others] = (await data.users(id, peers + 1)) as [UserId, ...UserId[]];
      await inBatches(others, (other) => data.send(other, addressOf(user), "good morning"));
      const who = await data.token(user);
      return async (url) => {
        const visitor = await Visitor.hello(url, who);
        visitor.send({ t: "received", seq: peers });
        await visitor.answered();
        visitor.leave();
      };
    },
  },
  {
    name: "messages to many users who are away",
    async prepare(data, id, { peers }) {
      const [user, ...others] = (await data.users(id, peers + 1)) as [UserId, ...UserId[]];
      const who = await data.token(user);
      return async (url) => {
        const visitor = await Visitor.hello(url, who);
        for (const other of others)
          visitor.send({ t: "send", ref: `a-${other}`, to: addressOf(other), text: "good morning" });
        await visitor.next("sent", peers);
        visitor.leave();
      };
    },
  },
  {
    name: "a group of many is made",
    async prepare(data, id, { members }) {
      const users = await data.users(id, members);
      const who = await data.token(users[0]!);
      return async (url) =>
        void (await call(url, who, "POST", "/v1/groups", { id: `${id}-new`, name: id, members: users.slice(1) }));
    },
  },
  {
    name: "a group of many is dissolved",
    async prepare(data, id, { members }) {
      const users = await data.users(id, members);
      await data.group(users[0]!, id, users);
      const who = await data.token(users[0]!);
      return async (url) => void (await call(url, who, "DELETE", `/v1/groups/${id}`));
    },
  },
  {
    name: "a message to a group of many who are there",
    async prepare(data, id, { members }) {
      const users = await data.users(id, members);
      await data.group(users[0]!, id, users);
      const all: Credentials[] = [];
      await inBatches(users, async (user) => void all.push(await data.token(user)));
      return async (url, measure) => {
        const visitors: Visitor[] = [];
        for (const who of all) visitors.push(await Visitor.hello(url, who));
        await measure(async () => {
          visitors[0]!.send({ t: "send", ref: "a-1", to: `#${id}`, text: "good morning" });
          for (const visitor of visitors.slice(1)) await visitor.next("message");
        });
        for (const visitor of visitors) visitor.leave();
      };
    },
  },
  {
    name: "hello of a user with very many conversations",
    async prepare(data, id, sizes) {
      const { who } = await manyConversations(data, id, sizes);
      return async (url) => (await Visitor.hello(url, who)).leave();
    },
  },
  {
    name: "a message to a user with very many conversations",
    async prepare(data, id, sizes) {
      const { who, peer } = await manyConversations(data, id, sizes);
      return async (url) => {
        const visitor = await Visitor.hello(url, peer);
        visitor.send({ t: "send", ref: "a-1", to: addressOf(who.user as UserId), text: "good morning" });
        await visitor.next("sent");
        visitor.leave();
      };
    },
  },
  {
    name: "login of a user with very many conversations",
    async prepare(data, id, sizes) {
      const { who } = await manyConversations(data, id, sizes);
      return async (url) => void (await keyed(url, data.apiKey, "POST", `/v1/users/${who.user}/token`, {}));
    },
  },
  {
    name: "list of very many conversations",
    async prepare(data, id, sizes) {
      const { who } = await manyConversations(data, id, sizes);
      return async (url) => void (await call(url, who, "GET", "/v1/conversations?limit=5"));
    },
  },
];

/** A user in many small groups, with a message in each. */
async function manyGroups(data: Filling, id: string, { groups }: Sizes) {
  const [user, ...others] = (await data.users(id, 10)) as [UserId, UserId];
  const ids = Array.from({ length: groups }, (_, n) => `${id}-${n}`);
  await inBatches(ids, (group) => data.group(user, group, others));
  await inBatches(ids, (group) => data.send(others[0], `#${group}` as Address, "the train leaves at nine"));
  await inBatches(ids, (group) => data.send(user, `#${group}` as Address, "no, at ten"));
  return { who: await data.token(user), author: await data.token(others[0]) };
}

/** A user with very many conversations, in both directions. */
async function manyConversations(data: Filling, id: string, { conversations }: Sizes) {
  const [user, ...peers] = (await data.users(id, conversations + 1)) as [UserId, ...UserId[]];
  await inBatches(peers, (peer) => data.send(peer, addressOf(user), "hello"));
  await inBatches(peers, (peer) => data.send(user, addressOf(peer), "hello to you"));
  return { who: await data.token(user), peer: await data.token(peers[0]!) };
}
