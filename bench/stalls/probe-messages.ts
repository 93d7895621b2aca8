/** Controls the probe in another process or thread: begin, end, and the gap as the answer. */
import { type Gap, LoopProbe } from "./loop-probe.ts";

export type Asked = "begin" | "end";
export type Answered = "begun" | Gap;

export function answerWith(probe: LoopProbe, asked: Asked): Answered {
  if (asked === "end") return probe.end();
  probe.begin();
  return "begun";
}
