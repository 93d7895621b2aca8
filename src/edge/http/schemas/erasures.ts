import { z } from "@hono/zod-openapi";
import { time } from "./messages.ts";
import { userId } from "./names.ts";

export const erasureRequest = z
  .object({ user: userId.openapi({ description: "Your own user id, so that this is not done by mistake." }) })
  .openapi("ErasureRequest");

const entries = z.number().int().openapi({ type: "integer", description: "Entries erased so far, in every log." });

export const erasure = z
  .discriminatedUnion("state", [
    z.object({ state: z.literal("none") }),
    z.object({ state: z.literal("running"), requestedAt: time, entries }),
    z.object({ state: z.literal("done"), requestedAt: time, finishedAt: time, entries }),
  ])
  .openapi("Erasure", { description: "`done` when no file of the server has it any more." });
