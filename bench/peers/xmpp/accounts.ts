/** Accounts on an XMPP server: made by registration in the stream (XEP-0077), their archives counted (XEP-0313). */
import { numberAfter } from "../../load/number-after.ts";
import { withTimeout } from "../../servers/server-process.ts";
import { XmppStream } from "./xmpp-stream.ts";

const ANSWER_MS = 20_000;
const CONNECTIONS_MAX = 16;
const IGNORING = { onStanza: () => {}, onClose: () => {} };

/** The password is the name. */
export function registerAccounts(server: URL, users: string[]): Promise<void> {
  return forEach(users, server, async (stream, user) => {
    const answer = await stream.ask(
      "<iq type='set' id='register'><query xmlns='jabber:iq:register'>" +
        `<username>${user}</username><password>${user}</password></query></iq>`,
    );
    if (!answer.includes("type='result'")) throw new Error(`registering ${user}: ${answer.slice(0, 300)}`);
  });
}

/** How many messages the archives of these users have together. */
export async function countArchived(server: URL, users: string[]): Promise<number> {
  let archived = 0;
  await forEach(users, server, async (stream, user) => {
    await stream.logIn(user, "count");
    const answer = await stream.ask(
      "<iq type='set' id='count'><query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'>" +
        "<max>0</max></set></query></iq>",
    );
    const count = numberAfter(answer, "<count>");
    if (Number.isNaN(count)) throw new Error(`the archive of ${user} has no count: ${answer.slice(0, 300)}`);
    archived += count;
  });
  return archived;
}

async function forEach(
  users: string[],
  server: URL,
  act: (stream: XmppStream, user: string) => Promise<void>,
): Promise<void> {
  const waiting = users.values();
  const worker = async () => {
    for (const user of waiting) {
      const stream = new XmppStream(IGNORING);
      const work = stream.connect(server.hostname, Number(server.port)).then(() => act(stream, user));
      await withTimeout(work, ANSWER_MS, `${user}: no answer within ${ANSWER_MS / 1000} s`).finally(() =>
        stream.close(),
      );
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS_MAX }, worker));
}
