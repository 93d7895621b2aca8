/**
 * `parley erase-user`: erases everything that a user wrote, through the running server (--url) or in a directory that
 * no server has open (--data).
 */
import { NAME_PATTERN, type UserId } from "../domain/address.ts";
import type { ErasureStatus } from "../protocol/http-shapes.ts";
import { isHelp, type Command } from "./command.ts";
import { askServer, type AskedServer } from "./erase-user-remote.ts";
import { EXIT_STATUS, FatalError } from "./fatal-error.ts";
import { commandHelp } from "./help.ts";
import { programOf, type Io } from "./io.ts";
import { flag, parseOptions, text, type OptionValues } from "./options.ts";
import { counted, DATA, JSON_LINES } from "./tool-options.ts";

const section = "Options";

const OPTIONS = {
  user: text({
    section,
    summary: "whose messages; the account stays",
    placeholder: "USER",
    initial: undefined,
    expected: "a user id, such as alice",
    accepts: (value) => NAME_PATTERN.test(value),
  }),
  yes: flag({ section, summary: "confirm; there is no way back" }),
  url: text({
    section,
    summary: "URL of the running server that is to do it",
    placeholder: "URL",
    initial: undefined,
    expected: "an http or https URL",
    accepts: (value) => URL.canParse(value) && /^https?:$/.test(new URL(value).protocol),
  }),
  apiKey: text({
    section,
    summary: "with --url: a key of that server; the variable is safer, since other users of the machine cannot see it",
    placeholder: "KEY",
    initial: undefined,
    expected: "an API key",
    accepts: (value) => /^[\x21-\x7e]+$/.test(value),
  }),
  data: { ...DATA, summary: "without --url: the data directory, which no server may have open" },
  json: JSON_LINES,
};

type Options = OptionValues<typeof OPTIONS>;
type Done = Extract<ErasureStatus, { state: "done" }>;

export function eraseUserCommand(): Command {
  const command: Command = {
    name: "erase-user",
    usage: "erase-user --user USER --yes [options]",
    summary: "erase a user's own timeline, and what the user wrote anywhere else, for good, from every file",
    options: OPTIONS,
    run: async (args, io) => {
      if (!args.some(isHelp)) return await run(parseOptions(OPTIONS, args, io.env), io);
      io.stdout(commandHelp(command, io));
      return EXIT_STATUS.ok;
    },
  };
  return command;
}

async function run(options: Options, io: Io): Promise<number> {
  const { user, yes, url, data, json } = options;
  if (user === undefined) throw new FatalError("usage", "--user is missing: say whose messages are to be erased");
  if (!yes) {
    throw new FatalError(
      "usage",
      `nothing was erased: all messages of @${user}, and every receiver's copy, would be gone for good`,
      { hint: "to confirm, add --yes" },
    );
  }
  const done =
    url === undefined ? await eraseHere(user as UserId, data, io) : await askServer(asked(options, url), user, io);
  io.stdout(
    json
      ? `${JSON.stringify({ user, ...done })}\n`
      : `@${user}: ${counted(done.entries, "entry", "entries")} erased, gone from every file\n`,
  );
  return EXIT_STATUS.ok;
}

function asked({ apiKey }: Options, url: string): AskedServer {
  if (apiKey !== undefined) return { url: url.replace(/\/+$/, ""), apiKey };
  throw new FatalError("usage", "--url needs an API key of that server", {
    hint: "PARLEY_API_KEY has it, or --api-key; parley keys create makes one",
  });
}

async function eraseHere(user: UserId, data: string, io: Io): Promise<Done> {
  const { withShards } = await import("./with-shards.ts");
  const { erasureStatus, eraseRequested, finishErasure, requestErasure } =
    await import("../home/erasing/erase-user.ts");
  try {
    return await withShards(data, io, async (host) => {
      const home = host.home(user);
      if (home.users.get(user) === undefined) throw new FatalError("failed", `there is no user @${user} in ${data}`);
      await requestErasure(home, user);
      await eraseRequested(home, user, { isStopped: () => false, tidy: () => host.store.eraseNow() });
      await host.store.eraseNow();
      await finishErasure(home, user);
      return erasureStatus(home.users.get(user)!) as Done;
    });
  } catch (error) {
    if (!(error instanceof FatalError) || error.reason !== "dataLocked") throw error;
    throw new FatalError("dataLocked", error.message, {
      hint: `ask that server: ${programOf(io)} erase-user --user ${user} --yes --url URL, with PARLEY_API_KEY; or stop it first`,
      cause: error,
    });
  }
}
