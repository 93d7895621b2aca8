/** Any message that can cross between shards. A kind that is missing here is a type error. */
import fc from "fast-check";
import { AppError } from "../../../src/base/errors.ts";
import { groupAddress, userAddress, type GroupId, type UserId } from "../../../src/domain/address.ts";
import { ERROR_CODES } from "../../../src/protocol/codes.ts";
import type { ToldOutcome } from "../../../src/home/messages/codec/handoff-codec.ts";
import type { ToldPostReply } from "../../../src/home/messages/codec/post-codec.ts";
import type { Group, GroupMember } from "../../../src/protocol/http-shapes.ts";
import type { Answers, GroupWish, Questions } from "../../../src/home/messages/ask.ts";
import type { Cast, OwnPost } from "../../../src/home/messages/cast.ts";
import type { Handoff, MessageHandoff } from "../../../src/home/messages/handoff.ts";
import type { Cost } from "../../../src/home/messages/reads.ts";
import type { Viewer } from "../../../src/home/authorization.ts";
import type { Life, Post, Posted } from "../../../src/home/messages/post.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";

type Fields<Value> = { readonly [Key in keyof Value]-?: fc.Arbitrary<Value[Key]> };
/** A field more or less than the type has is a type error. */
const record = <Value>(fields: Fields<Value>): fc.Arbitrary<Value> => fc.record(fields) as fc.Arbitrary<Value>;
const kind = <Kind extends string>(one: Kind): fc.Arbitrary<Kind> => fc.constant(one);
const maybe = <Value>(some: fc.Arbitrary<Value>): fc.Arbitrary<Value | undefined> =>
  fc.option(some, { nil: undefined });

const number = fc.oneof(fc.nat(300), fc.maxSafeNat());
const seq = number as fc.Arbitrary<Seq>;
const shard = fc.nat(999) as fc.Arbitrary<ShardId>;
const user = fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,31}$/) as fc.Arbitrary<UserId>;
const group = user.map((name) => groupAddress(name as string as GroupId));
const at = user.map(userAddress);
const text = fc.oneof(fc.string({ unit: "grapheme" }), fc.string({ unit: "binary", maxLength: 300 }));
const error = fc
  .record({ code: fc.constantFrom(...ERROR_CODES), detail: text, retryAfterMs: maybe(number) })
  .map(
    ({ code, detail, retryAfterMs }) => new AppError(code, detail, retryAfterMs === undefined ? {} : { retryAfterMs }),
  );

export const HANDOFFS: {
  [Kind in Handoff["kind"]]: fc.Arbitrary<Omit<Extract<Handoff, { kind: Kind }>, "receiver" | "id" | "textJson">>;
} = {
  message: record<Omit<MessageHandoff, "receiver" | "id" | "textJson">>({
    kind: kind("message"),
    from: at,
    to: at,
    seq,
    prev: seq,
    streamNo: number,
    sentAt: number,
    rank: number,
    text,
  }),
  posted: record({ kind: kind("posted"), group, author: user, ref: text, seq }),
  membership: record({
    kind: kind("membership"),
    group,
    user,
    change: fc.constantFrom("joined" as const, "left" as const),
    seq,
    prev: seq,
    at: number,
    isUnasked: fc.boolean(),
    epoch: text,
  }),
  peerMark: record({ kind: kind("peerMark"), from: at, to: at, delivered: seq, read: seq }),
  memberMark: record({ kind: kind("memberMark"), user, group, epoch: text, delivered: seq, read: seq }),
};

export const OUTCOMES: { [Kind in ToldOutcome["kind"]]: fc.Arbitrary<Extract<ToldOutcome, { kind: Kind }>> } = {
  confirmed: record({ kind: kind("confirmed"), through: seq, read: seq }),
  missing: record({ kind: kind("missing"), through: seq }),
  notTaken: record({ kind: kind("notTaken"), error }),
};

const posted = record<Posted>({
  seq,
  id: text,
  sentAt: number,
  text: maybe(text),
  deletedAt: maybe(number) as fc.Arbitrary<number>,
});

const viewer = record<Viewer>({ user, knownThrough: seq, joinedSeq: seq });
const cost = record<Cost>({ bytes: number, looked: number });
const messages = fc.array(
  fc.record({ id: text, conversation: fc.oneof(group, at), from: user, text, seq, sentAt: number }),
);
const role = fc.constantFrom("admin" as const, "member" as const);
const WISHES: { [Kind in GroupWish["kind"]]: fc.Arbitrary<Extract<GroupWish, { kind: Kind }>> } = {
  settings: record({ kind: kind("settings"), name: maybe(text), keepDays: maybe(number) }),
  dissolve: record({ kind: kind("dissolve") }),
  putMember: record({ kind: kind("putMember"), user, role }),
  removeMember: record({ kind: kind("removeMember"), user }),
  comeBack: record({ kind: kind("comeBack") }),
};
const described = record<Group>({
  id: text,
  name: text,
  createdAt: number,
  head: record({ epoch: text, seq: number }),
  members: fc.array(record<GroupMember>({ user: text, role })),
  keepDays: maybe(number) as fc.Arbitrary<number>,
});

export const QUESTIONS: { [Kind in keyof Questions]: fc.Arbitrary<Questions[Kind]> } = {
  posted: record({ group, seq }),
  user: record({ user: at }),
  groupEntries: record({ group, viewer, after: seq, limit: number, charactersMax: number }),
  groupPage: record({ group, viewer, before: maybe(number), after: maybe(number), limit: number }),
  groupRankAsOf: record({ group, viewer, rank: number }),
  groupStanding: record({ group, isWhole: fc.boolean() }),
  groupView: record({ group, viewer, read: seq, messages: number, bytes: number }),
  profile: record({ user: at }),
  groupEnd: record({ group }),
  postedBytes: record({ group, author: user }),
  erasedFromFiles: record({ stream: fc.oneof(group, at) }),
  eraseContent: record({ user, request: number, stream: fc.oneof(group, at), through: seq, last: seq, after: seq }),
  group: record({ group, viewer }),
  createGroup: record({ group, epoch: text, by: user, name: text, members: fc.array(user) }),
  changeGroup: record({ group, call: text, by: viewer, wish: fc.oneof(...Object.values(WISHES)) }),
  mayJoin: record({ user, group, isOwnDoing: fc.boolean() }),
};

export const ANSWERS: { [Kind in keyof Answers]: fc.Arbitrary<Answers[Kind]> } = {
  posted: maybe(posted),
  user: maybe(record({ displayName: text })),
  groupEntries: record({ epoch: text, frames: fc.array(text), from: seq, through: seq, headSeq: seq }),
  groupPage: record({ page: fc.record({ messages }), cost }),
  groupRankAsOf: record({ rank: number, looked: number }),
  groupStanding: maybe(
    record({
      epoch: text,
      bornSeq: seq,
      headSeq: seq,
      whole: maybe(fc.record({ lastRank: number, memberCount: number })),
    }),
  ),
  groupView: record({ name: text, unread: number, headSeq: seq, seen: number, delivered: number, messages, cost }),
  profile: maybe(record({ displayName: text })),
  groupEnd: maybe(record({ through: seq })),
  postedBytes: maybe(record({ bytes: number, through: seq })),
  erasedFromFiles: record({ isGone: fc.boolean() }),
  eraseContent: record({ entries: number, ranges: number, through: seq, isDone: fc.boolean() }),
  group: described,
  createGroup: described,
  changeGroup: record({ group: maybe(described), isKeptAnew: fc.boolean(), isAdded: fc.boolean() }),
  mayJoin: record({ knownThrough: seq }),
};

export const POST = record<Post>({
  author: user,
  authorShard: shard,
  ref: text,
  text,
  mayRepeat: fc.boolean(),
  knownThrough: seq,
  life: record<Life>({ id: number, rank: number }),
  no: number,
  prev: number,
  round: number,
  groupLife: number,
});

export const POST_REPLIES: { [Kind in ToldPostReply["kind"]]: fc.Arbitrary<Extract<ToldPostReply, { kind: Kind }>> } = {
  posted: record({ kind: kind("posted"), posted, isRepeat: fc.boolean(), groupLife: number }),
  refused: record({ kind: kind("refused"), error }),
  missing: record({ kind: kind("missing"), round: number }),
};

export const CASTS: { [Kind in Cast["kind"]]: fc.Arbitrary<Extract<Cast, { kind: Kind }>> } = {
  entry: record({
    kind: kind("entry"),
    group,
    seq,
    rank: maybe(number),
    frame: text,
    users: fc.array(user),
    own: maybe(record<OwnPost>({ author: user, authorShard: shard, ref: text })),
  }),
  postedBytes: record({
    kind: kind("postedBytes"),
    group,
    author: user,
    authorShard: shard,
    bytes: number,
    through: seq,
  }),
  notice: record({ kind: kind("notice"), users: fc.array(user), frame: text }),
};

export const ADDRESS = fc.oneof(group, at);
export const GROUP = group;
