/** What one device was handed by its client, conversation by conversation. */
import type { WireAddress, WireMessage } from "../../src/protocol/frames.ts";
import { addDifferences, noDifferences, StreamCheck, type Differences, type SeenMessage } from "./stream-check.ts";

/** Messages of each conversation of one user, as history has them. */
export type ExpectedMessages = Map<WireAddress, SeenMessage[]>;

export class DeviceView {
  /** Messages of others. */
  deliveries = 0;
  /** Messages of conversations that this import does not play, from other imports or other people. */
  foreign = 0;
  private readonly streams = new Map<WireAddress, StreamCheck>();

  /** `withOwn`: whether what the user sent itself is expected too. The device that sent it hears of it by `sent`, and need not be told. */
  constructor(
    private readonly user: string,
    conversations: Iterable<WireAddress>,
    private readonly withOwn: boolean,
  ) {
    for (const conversation of conversations) this.streams.set(conversation, new StreamCheck());
  }

  /** @returns whether it counts as a delivery. */
  take(message: WireMessage): boolean {
    const isOwn = message.from === this.user;
    if (isOwn && !this.withOwn) return false;
    const stream = this.streams.get(message.conversation);
    if (stream === undefined) {
      this.foreign++;
      return false;
    }
    stream.note(message);
    if (isOwn) return false;
    this.deliveries++;
    return true;
  }

  compare(expected: ExpectedMessages): Differences {
    const sum = noDifferences();
    for (const [conversation, stream] of this.streams) {
      const messages = expected.get(conversation) ?? [];
      addDifferences(
        sum,
        stream.compare(this.withOwn ? messages : messages.filter((message) => message.from !== this.user)),
      );
    }
    return sum;
  }

  /** Without history to compare with: what is wrong by itself. */
  seenWrong(): Differences {
    const sum = noDifferences();
    for (const stream of this.streams.values()) addDifferences(sum, { lost: 0, ...stream.seenWrong });
    return sum;
  }
}
