/**
 * Maps nicks to user ids. A nick that is a legal id without a dot is its own id. Any other nick (capitals, brackets, a
 * bar, too long) is written in legal characters, with `.` and a hash of the original, so that `Seveas` and `seveas`
 * stay two users. The id depends only on the nick, not on the imported files, so a later import of other days finds the
 * same users.
 */
import { createHash } from "node:crypto";

const PLAIN = /^[a-z0-9][a-z0-9_-]{0,31}$/;
const ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";
const HASH_CHARACTERS = 7;
const STEM_CHARACTERS_MAX = 32 - 1 - HASH_CHARACTERS;

export function userIdOf(nick: string): string {
  if (PLAIN.test(nick)) return nick;
  const legal = nick.toLowerCase().replaceAll(/[^a-z0-9_-]/g, "-");
  const stem = (/^[a-z0-9]/.test(legal) ? legal : `x${legal}`).slice(0, STEM_CHARACTERS_MAX);
  return `${stem}.${hashOf(nick)}`;
}

/** @throws when two nicks get the same id: a 35-bit collision between nicks that are written alike. */
export function userIdsOf(nicks: Iterable<string>): Map<string, string> {
  const ids = new Map<string, string>();
  const nickById = new Map<string, string>();
  for (const nick of new Set(nicks)) {
    const id = userIdOf(nick);
    const other = nickById.get(id);
    if (other !== undefined)
      throw new Error(`nicks: ${JSON.stringify(nick)} and ${JSON.stringify(other)} both map to ${id}`);
    ids.set(nick, id);
    nickById.set(id, nick);
  }
  return ids;
}

function hashOf(nick: string): string {
  const digest = createHash("sha256").update(nick).digest();
  return Array.from(digest.subarray(0, HASH_CHARACTERS), (byte) => ALPHABET[byte & 31]).join("");
}
