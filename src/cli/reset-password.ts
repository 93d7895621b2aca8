/**
 * `parley reset-password`: sets a new password for an account and logs out all its devices. No server may have the
 * directory open.
 */
import { randomName, systemRandom } from "../base/random.ts";
import { NAME_PATTERN, userAddress, type UserId } from "../domain/address.ts";
import { PASSWORD_BYTES_MAX, PASSWORD_CHARACTERS_MIN } from "../domain/limits.ts";
import { DEFAULT_PASSWORD_OPTIONS, Passwords } from "../home/accounts/passwords.ts";
import { DEVICE_PREFIX, PASSWORD, PASSWORD_LOST } from "../home/state/account-cells.ts";
import { writeUserCells } from "../home/durable.ts";
import type { ShardHost } from "../node/shard-host.ts";
import { isHelp, type Command } from "./command.ts";
import { EXIT_STATUS, FatalError } from "./fatal-error.ts";
import { commandHelp } from "./help.ts";
import type { Io } from "./io.ts";
import { parseOptions, text, type OptionValues } from "./options.ts";
import { DATA, JSON_LINES } from "./tool-options.ts";

/** Characters of a generated password, of five bits each. */
const DRAWN_CHARACTERS = 20;
const section = "Options";

const OPTIONS = {
  user: text({
    section,
    summary: "whose password",
    placeholder: "USER",
    initial: undefined,
    expected: "a user id, such as alice",
    accepts: (value) => NAME_PATTERN.test(value),
  }),
  password: text({
    section,
    summary: "the new one; the variable is safer, since other users of the machine cannot see it. Generated if absent",
    placeholder: "PASSWORD",
    initial: undefined,
    expected: `at least ${PASSWORD_CHARACTERS_MIN} characters, at most ${PASSWORD_BYTES_MAX} bytes`,
    accepts: (value) => value.length >= PASSWORD_CHARACTERS_MIN && Buffer.byteLength(value) <= PASSWORD_BYTES_MAX,
  }),
  data: { ...DATA, summary: "the data directory, which no server may have open" },
  json: JSON_LINES,
};

type Options = OptionValues<typeof OPTIONS>;

export function resetPasswordCommand(): Command {
  const command: Command = {
    name: "reset-password",
    usage: "reset-password --user USER [options]",
    summary: "set a new password for an account and log out all its devices, while no server runs",
    options: OPTIONS,
    run: async (args, io) => {
      if (!args.some(isHelp)) return await reset(parseOptions(OPTIONS, args, io.env), io);
      io.stdout(commandHelp(command, io));
      return EXIT_STATUS.ok;
    },
  };
  return command;
}

async function reset({ user, password, data, json }: Options, io: Io): Promise<number> {
  if (user === undefined) throw new FatalError("usage", "--user is missing: say whose password");
  const given = password ?? randomName(systemRandom, DRAWN_CHARACTERS);
  const passwords = await Passwords.open(DEFAULT_PASSWORD_OPTIONS, systemRandom);
  const hash = await passwords.hash(given);
  const { withShards } = await import("./with-shards.ts");
  const devices = await withShards(data, io, (host) => write(host, user as UserId, hash, data));
  // A password that was given is not printed, to keep it out of the terminal's history.
  const drawn = password === undefined ? given : undefined;
  io.stdout(
    json
      ? `${JSON.stringify({ user, password: drawn, devices })}\n`
      : `@${user}: ${drawn === undefined ? "the password is set" : `the password is ${drawn}`}; logged out everywhere\n`,
  );
  return EXIT_STATUS.ok;
}

/** Writes all in one record. @returns how many devices were logged out */
async function write(host: ShardHost, user: UserId, hash: string, data: string): Promise<number> {
  const home = host.home(user);
  const state = home.users.get(user);
  if (state === undefined) throw new FatalError("failed", `there is no user @${user} in ${data}`);
  const keys = [...state.log.cells(userAddress(user)).keys()].filter((key) => key.startsWith(DEVICE_PREFIX));
  await writeUserCells(home, user, [
    [PASSWORD, Buffer.from(hash)],
    [PASSWORD_LOST, null],
    ...keys.map((key): [string, null] => [key, null]),
  ]);
  return keys.length;
}
