import type { Command } from "./command.ts";
import { runKeys } from "./keys.ts";

export function keysCommand(): Command {
  return {
    name: "keys",
    usage: "keys create|list|revoke",
    summary: "API keys, with which your own systems create users",
    options: {},
    run: (args, io) => runKeys(args, io),
  };
}
