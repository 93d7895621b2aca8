/** Speaks HTTP by hand, for requests that no client library makes. */
import { connect } from "node:net";
import { WAIT_MS } from "../support/wait.ts";

export type RawAnswer = { status: number; head: string; body: string };

const GIVE_UP_MS = WAIT_MS;

/** Sends the parts and reads one answer, until its Content-Length is there or the server closes. */
export function rawRequest(port: number, parts: (string | Uint8Array)[]): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    let received = "";
    const timer = setTimeout(() => finish(), GIVE_UP_MS);
    const finish = () => {
      clearTimeout(timer);
      socket.destroy();
      const answer = parse(received);
      if (answer === undefined) reject(new Error(`no answer, got ${JSON.stringify(received.slice(0, 200))}`));
      else resolve(answer);
    };
    socket.on("data", (data) => {
      received += data.toString("latin1");
      if (isWhole(received)) finish();
    });
    socket.on("close", finish);
    // The server may close before it has read all: what it said before that counts.
    socket.on("error", () => undefined);
    for (const part of parts) socket.write(part);
  });
}

function parse(received: string): RawAnswer | undefined {
  const end = received.indexOf("\r\n\r\n");
  if (end === -1) return undefined;
  const head = received.slice(0, end);
  return { status: Number(head.split(" ")[1]), head, body: received.slice(end + 4) };
}

function isWhole(received: string): boolean {
  const answer = parse(received);
  const length = /content-length: (\d+)/i.exec(answer?.head ?? "")?.[1];
  return answer !== undefined && length !== undefined && answer.body.length >= Number(length);
}
