/** The users of the load for each protocol. */
import { shareSocketIoTexts, SocketIoUser } from "../peers/socket-io/socket-io-user.ts";
import { shareXmppTexts, XmppUser } from "../peers/xmpp/xmpp-user.ts";
import { LoadUser, shareTexts } from "./load-user.ts";
import type { LoadSink, Talker } from "./talker.ts";

export type Protocol = "parley" | "xmpp" | "socket.io";
/** `firstText`: which of the lines is the user's first message. */
export type NewTalker = (login: { user: string; token: string }, firstText: number) => Talker;

/** The lines are encoded once for all users. */
export function talkersOf(protocol: Protocol, lines: string[], sink: LoadSink): NewTalker {
  switch (protocol) {
    case "parley": {
      const texts = shareTexts(lines);
      return ({ user, token }, firstText) => new LoadUser(user, token, firstText, texts, sink);
    }
    case "xmpp": {
      const texts = shareXmppTexts(lines);
      return ({ user }, firstText) => new XmppUser(user, firstText, texts, sink);
    }
    case "socket.io": {
      const texts = shareSocketIoTexts(lines);
      return ({ user }, firstText) => new SocketIoUser(user, firstText, texts, sink);
    }
  }
}
