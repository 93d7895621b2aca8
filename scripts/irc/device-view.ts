/** The messages that a client handed to its device, by conversation. */
import type { WireAddress, WireMessage } from "../../src/protocol/frames.ts";
import { addDifferences, noDifferences, StreamCheck, type Differences, type SeenMessage } from "./stream-check.ts";

/** Messages of each conversation of one user, as history has them. */
export type ExpectedMessages = Map<WireAddress, SeenMessage[]>;

export class DeviceView {
  /** Messages of other users. */
  deliveries = 0;
  /** Messages of conversations that this import does not play, from other imports or other people. */
  foreign = 0;
  private readonly streams = new Map<WireAddress, StreamCheck>();

  /**
   * `withOwn`: whether the user's own messages are expected, too. The device that sent them gets `sent` and need not
   * get them.
   */
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

  /** Errors that show without a history to compare with. */
  seenWrong(): Differences {
    const sum = noDifferences();
    for (const stream of this.streams.values()) addDifferences(sum, { lost: 0, ...stream.seenWrong });
    return sum;
  }
}
