/** The second log of the tests, as a `CommitLog`: what the port promises does not depend on how the local log does it. */
import { commitLogConforms } from "./conformance.ts";
import { LaneWorld } from "./lane-world.ts";

let worlds = 0;
commitLogConforms("a log in lanes elsewhere", () => new LaneWorld(++worlds));
