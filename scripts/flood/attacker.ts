/** The attacker's process: runs one flood, from a line "go" on stdin to the end of stdin. Prints what it did. */
import { FLOODS, type FloodWorld } from "./floods.ts";

const [name, worldText] = process.argv.slice(2);
const flood = FLOODS.find((one) => one.name === name);
if (flood === undefined || worldText === undefined)
  throw new Error("attacker: expected the name of a flood and its world as JSON");
const { url, ...world } = JSON.parse(worldText) as Omit<FloodWorld, "url"> & { url: string };

const stopped = (async () => {
  for await (const _ of Bun.stdin.stream());
})();
process.stdout.write(await flood.attack({ ...world, url: new URL(url) }, stopped));
process.exit(0);
