/** Sending over HTTP: the same way as of a socket, as a promise. */
import { checkText } from "../../domain/text.ts";
import type { WireMessage } from "../../protocol/frames.ts";
import type { SendReply, Sent } from "./pending-send.ts";
import type { Home } from "../shard.ts";
import { actingUser } from "../acting-user.ts";
import { sendMessage } from "./send-message.ts";
import type { Actor, Messaging, SendInput } from "../services.ts";

export function createMessaging(home: Home): Messaging {
  return {
    async send(actor: Actor, input: SendInput) {
      const shard = home(actor.user);
      const sender = actingUser(shard, actor);
      checkText(input.text, shard.limits.textBytesMax);
      const { promise, resolve, reject } = Promise.withResolvers<{ message: WireMessage; duplicate: boolean }>();
      const reply: SendReply = {
        session: undefined,
        sent: (sent, duplicate) => resolve({ message: wireMessage(actor, sent), duplicate }),
        refused: (_ref, error) => reject(error),
      };
      const rest = sendMessage(shard, sender, input, reply);
      if (rest !== undefined) await shard.turns.run(rest);
      return promise;
    },
  };
}

function wireMessage(actor: Actor, sent: Sent): WireMessage {
  const { id, to, text, seq, sentAt, ref, deletedAt } = sent;
  const message = { id, conversation: to, from: actor.user, seq, sentAt, ref };
  return text === undefined ? { ...message, deletedAt: deletedAt ?? 0 } : { ...message, text };
}
