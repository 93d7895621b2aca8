/** All peers, in the order in which they are measured. */
import { EJABBERD } from "./ejabberd.ts";
import type { Peer } from "./peer.ts";
import { PROSODY } from "./prosody.ts";
import { SOCKET_IO } from "./socket-io.ts";

export const PEERS: readonly Peer[] = [...SOCKET_IO, ...EJABBERD, ...PROSODY];

/** @param words each is a peer's name or the beginning of one: `ejabberd` stands for all with ejabberd */
export function peersNamed(words: readonly string[]): Peer[] {
  for (const word of words) {
    if (!PEERS.some(({ name }) => name.startsWith(word)))
      throw new Error(`peers: ${word} is not one; there are ${PEERS.map(({ name }) => name).join(", ")}`);
  }
  return PEERS.filter(({ name }) => words.some((word) => name.startsWith(word)));
}
