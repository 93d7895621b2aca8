/** Other messengers beside Parley: the same pairs of users send the same texts to each. */
import type { Bench } from "../bench.ts";
import { PEERS as ALL } from "./list.ts";
import { measurePeers, type Parameters } from "./measure.ts";
import { peersOutcome } from "./outcome.ts";

const SMALL: Parameters = {
  pairs: 16,
  windowPerUser: 4,
  rounds: 3,
  openRounds: 1,
  warmUpMs: 400,
  measureMs: 1000,
  quietMs: 5000,
  openShare: 0.5,
  peers: ALL.map(({ name }) => name),
  install: false,
};

export const PEERS: Bench<Parameters> = {
  name: "peers",
  summary: "Socket.IO with SQLite, ejabberd and Prosody, with and without archives, each beside Parley",
  sizes: {
    tiny: { ...SMALL, pairs: 4, windowPerUser: 2, rounds: 1, warmUpMs: 50, measureMs: 150, quietMs: 0 },
    small: SMALL,
    full: { ...SMALL, rounds: 10, openRounds: 3, warmUpMs: 1000, measureMs: 3000 },
  },
  async run(parameters, context) {
    return peersOutcome(await measurePeers(parameters, context));
  },
};
