/** The probe in another process or thread: told to begin and to end, answers with the gap. */
import { type Gap, LoopProbe } from "./loop-probe.ts";

export type Asked = "begin" | "end";
export type Answered = "begun" | Gap;

export function answerWith(probe: LoopProbe, asked: Asked): Answered {
  if (asked === "end") return probe.end();
  probe.begin();
  return "begun";
}
