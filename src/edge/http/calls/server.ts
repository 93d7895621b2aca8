/** What the server tells about itself. */
import { z } from "@hono/zod-openapi";
import { AppError } from "../../../base/errors.ts";
import { userAddress } from "../../../domain/address.ts";
import type { Directory, Health } from "../../../home/services.ts";
import { call, reply, type Call } from "../call.ts";
import { address } from "../schemas/names.ts";

const tag = "Server";
const route = z.object({ shard: z.number().int().min(0).max(999), node: z.string(), url: z.string() }).openapi("Route");
const status = (value: string) => z.object({ status: z.literal(value) });

export function serverCalls(directory: Directory, health: Health): Call[] {
  return [
    call({
      method: "get",
      path: "/v1/route/{address}",
      id: "getRoute",
      tag,
      summary: "Where a user or a group lives",
      description:
        "Computed from the address; says nothing about whether it exists. A client may connect to `url` directly.",
      auth: "none",
      params: z.object({ address }),
      replies: {
        200: {
          description: "Shard, the node that owns it, and how to reach that node.",
          schema: route,
        },
      },
      errors: [],
      handle: ({ params }) => reply(200, directory.route(params.address)),
    }),
    call({
      method: "get",
      path: "/v1/route",
      id: "getOwnRoute",
      tag,
      summary: "Where the user of the token lives",
      description: "A client may connect to `url` directly. Every other node serves it, too, by way of this one.",
      auth: "user",
      replies: { 200: { description: "As for an address.", schema: route } },
      errors: [],
      handle: ({ who }) => reply(200, directory.route(userAddress(who.user))),
    }),
    call({
      method: "get",
      path: "/healthz",
      id: "getHealth",
      tag,
      summary: "Whether the process answers",
      auth: "none",
      replies: { 200: { description: "It does.", schema: status("ok") } },
      errors: [],
      handle: () => reply(200, { status: "ok" }),
    }),
    call({
      method: "get",
      path: "/readyz",
      id: "getReadiness",
      tag,
      summary: "Whether the server takes work",
      auth: "none",
      replies: {
        200: {
          description:
            "It does. `damagedShards` is there when some users and groups are unavailable since their data is damaged.",
          schema: status("ready").extend({ damagedShards: z.number().int().positive().optional() }),
        },
      },
      errors: ["unavailable"],
      handle: () => {
        const reason = health.notReadyReason();
        if (reason !== undefined) throw new AppError("unavailable", `not ready: ${reason}`);
        const damagedShards = health.damagedShards();
        return reply(200, damagedShards === 0 ? { status: "ready" } : { status: "ready", damagedShards });
      },
    }),
  ];
}
