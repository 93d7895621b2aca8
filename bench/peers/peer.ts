/** What the bench knows about a server that Parley is compared with. */
import type { Protocol } from "../load/talkers.ts";
import type { ServerProcess } from "../servers/server-process.ts";

export type PeerServer = ServerProcess & {
  readonly protocol: Protocol;
  /** Makes the users, before any load. */
  register(users: string[]): Promise<void>;
  /** How many messages the server has stored for these users, asked after the load. Undefined where it stores none. */
  countStored?(users: string[]): Promise<number>;
  /** In how many archives the server keeps each message. */
  copies: number;
};

/** Why a peer cannot run here, and the command that changes it where there is one. */
export type Missing = { why: string; packages?: string[] };

export type Peer = {
  /** A word: the kind of server, `-`, what it keeps or runs on. */
  name: string;
  /** For people, as "Prosody, archive in files". */
  title: string;
  /** Everything in which it differs from its defaults, and what it runs on. */
  settings: string;
  /** What a sender knows when the message counts as delivered. */
  ack: string;
  missing(): Promise<Missing | undefined>;
  /** The version that runs; asked only when nothing is missing. */
  version(): Promise<string>;
  start(): Promise<PeerServer>;
};

/** The name of a Debian package and the file by which it is found. */
export async function debianVersion(name: string): Promise<string> {
  const child = Bun.spawn(["dpkg-query", "-W", "-f", "${Version}", name], { stdout: "pipe", stderr: "ignore" });
  return `${name} ${(await new Response(child.stdout).text()).trim()}`;
}
