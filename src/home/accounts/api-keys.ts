/**
 * API keys, by which an operator's own system calls the server. They live in the file `api-keys.json` of the data
 * directory, a JSON array of {id, name, createdAt, hash, revokedAt?}.
 *
 * A key is `pk_<id>_<secret>`. The file keeps only the SHA-256 of the secret: with 256 random bits no slower hash is
 * needed. `parley keys` replaces the whole file while the server runs; the server notices within a second.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import { randomName, type Random } from "../../base/random.ts";
import type { ApiKeys } from "../services.ts";

export const API_KEYS_FILE = "api-keys.json";

export type ApiKeyRecord = { id: string; name: string; createdAt: number; hash: string; revokedAt?: number };

const ID_CHARACTERS = 8;
const SECRET_BYTES = 32;
const KEY_PATTERN = /^pk_([a-z2-7]{8})_([A-Za-z0-9_-]{43})$/;
const CHECK_INTERVAL_MS = 1000;
/**
 * An unknown key makes the file be read at once, since it may be new. This bounds the reads that guessed keys cause.
 */
const CHECKS_FOR_UNKNOWN_PER_INTERVAL = 5;

export class ApiKeyFile implements ApiKeys {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #onUnreadable: (error: unknown) => void;
  #keys = new Map<string, ApiKeyRecord>();
  /** Of the file when it was read; undefined if there was no file. */
  #fingerprint: string | undefined;
  #checkedAt = Number.NEGATIVE_INFINITY;
  #checksForUnknown = 0;
  #checking: Promise<void> | undefined;

  /** `onUnreadable` gets the error when the file cannot be read; the keys read before stay in force. */
  constructor(dataDir: string, clock: Clock, onUnreadable: (error: unknown) => void) {
    this.#path = join(dataDir, API_KEYS_FILE);
    this.#clock = clock;
    this.#onUnreadable = onUnreadable;
  }

  async authenticate(key: string): Promise<{ keyId: string }> {
    const parts = apiKeyParts(key);
    if (parts === undefined || !(await this.isKnown(parts.id, parts.hash))) throw refused();
    return { keyId: parts.id };
  }

  /** @param hash of the key's secret, hexadecimal */
  async isKnown(id: string, hash: string): Promise<boolean> {
    if (this.#clock.monotonicMs() - this.#checkedAt >= CHECK_INTERVAL_MS) await this.#check();
    else if (this.#checking) await this.#checking;
    if (!this.#keys.has(id) && this.#checksForUnknown < CHECKS_FOR_UNKNOWN_PER_INTERVAL) {
      this.#checksForUnknown++;
      await this.#reloadIfChanged();
    }
    const record = this.#keys.get(id);
    return record !== undefined && isHashOf(record, hash) && record.revokedAt === undefined;
  }

  #check(): Promise<void> {
    this.#checkedAt = this.#clock.monotonicMs();
    this.#checksForUnknown = 0;
    return this.#reloadIfChanged();
  }

  /** One reload at a time; concurrent callers wait for the same one. */
  #reloadIfChanged(): Promise<void> {
    this.#checking ??= this.#reload().finally(() => {
      this.#checking = undefined;
    });
    return this.#checking;
  }

  async #reload(): Promise<void> {
    try {
      const fingerprint = await fingerprintOf(this.#path);
      if (fingerprint === this.#fingerprint) return;
      const records = await readApiKeys(this.#path);
      this.#keys = new Map(records.map((record) => [record.id, record]));
      this.#fingerprint = fingerprint;
    } catch (error) {
      this.#onUnreadable(error);
    }
  }
}

/** Id and hash of a key, by its form alone. Undefined if it is none. */
export function apiKeyParts(key: string): { id: string; hash: string } | undefined {
  const [, id, secret] = KEY_PATTERN.exec(key) ?? [];
  if (id === undefined || secret === undefined) return undefined;
  return { id, hash: hashOf(secret).toString("hex") };
}

/** A new key: the record to keep, and the key to show once. */
export function newApiKey(name: string, clock: Clock, random: Random): { record: ApiKeyRecord; key: string } {
  const id = randomName(random, ID_CHARACTERS);
  const secret = Buffer.from(random.bytes(SECRET_BYTES)).toString("base64url");
  return {
    record: { id, name, createdAt: clock.now(), hash: hashOf(secret).toString("hex") },
    key: `pk_${id}_${secret}`,
  };
}

/**
 * The records of the file at `path`; none if there is no file.
 * @throws Error that names the file if its content is not a list of records
 */
export async function readApiKeys(path: string): Promise<ApiKeyRecord[]> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
  return parseRecords(path, text);
}

function parseRecords(path: string, text: string): ApiKeyRecord[] {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (cause) {
    throw new Error(`${path}: not JSON`, { cause });
  }
  if (Array.isArray(content) && content.every(isRecord)) return content;
  throw new Error(`${path}: not a list of {id, name, createdAt, hash, revokedAt?}`);
}

function isRecord(value: unknown): value is ApiKeyRecord {
  if (typeof value !== "object" || value === null) return false;
  const { id, name, createdAt, hash, revokedAt } = value as Record<string, unknown>;
  const hasTypes = typeof id === "string" && typeof name === "string" && typeof createdAt === "number";
  return (
    hasTypes &&
    typeof hash === "string" &&
    /^[0-9a-f]{64}$/.test(hash) &&
    (revokedAt === undefined || typeof revokedAt === "number")
  );
}

function isHashOf(record: ApiKeyRecord, hash: string): boolean {
  const [one, other] = [Buffer.from(hash, "hex"), Buffer.from(record.hash, "hex")];
  return one.length === other.length && timingSafeEqual(one, other);
}

function hashOf(secret: string): Buffer {
  return createHash("sha256").update(secret).digest();
}

/** Each write is a new file, so the inode tells apart two writes of one size within one tick of the clock. */
async function fingerprintOf(path: string): Promise<string | undefined> {
  try {
    const { ino, size, mtimeNs } = await stat(path, { bigint: true });
    return `${ino}:${size}:${mtimeNs}`;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}

function refused(): AppError {
  return new AppError("unauthorized", "the API key is unknown or revoked; `parley keys list` shows the known ones");
}
