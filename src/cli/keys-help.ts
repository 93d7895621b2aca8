import { helpText, type Row } from "./help-text.ts";
import { programOf, type Io } from "./io.ts";

export const KEYS_VERBS = ["create", "list", "revoke"] as const;
export type KeysVerb = (typeof KEYS_VERBS)[number];
export const isKeysVerb = (word: string): word is KeysVerb => KEYS_VERBS.some((verb) => verb === word);

const SUMMARY = "API keys, with which your own systems create users and get tokens for them.";
const WORDS: Record<KeysVerb, string> = { create: "create --name NAME", list: "list", revoke: "revoke ID" };
const MEANING: Record<KeysVerb, string> = {
  create: "make a key; it is printed once, alone on stdout, and cannot be shown again",
  list: "show the keys: id, name, when made, whether revoked",
  revoke: "refuse a key from now on; a running server notices within a second",
};
const NAME: Row = ["--name NAME", "whose key it is, shown in the list; at most 64 characters"];
const EVERYWHERE: Row[] = [
  ["--data DIR", "the data directory of the server, which may run meanwhile", "PARLEY_DATA, default ./data"],
  ["--json", "print JSON"],
];

/** Help of one verb, or of all. */
export function keysHelp(verb: KeysVerb | undefined, io: Io): string {
  const program = `${programOf(io)} keys`;
  const options = { title: "Options", rows: verb === "create" ? [NAME, ...EVERYWHERE] : EVERYWHERE };
  if (verb === undefined) {
    const commands = { title: "Commands", rows: KEYS_VERBS.map((each): Row => [WORDS[each], MEANING[each]]) };
    return helpText([`${program} COMMAND [options]`], [SUMMARY, commands, options], io.columns);
  }
  const about = `${MEANING[verb][0]?.toUpperCase() ?? ""}${MEANING[verb].slice(1)}.`;
  const made = verb === "create" ? " A data directory that is not there is made." : "";
  return helpText([`${program} ${WORDS[verb]} [options]`], [`${about}${made}`, options], io.columns);
}
