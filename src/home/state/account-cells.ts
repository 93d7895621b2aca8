/** Cells that make a user: what the account service writes and others read. `cells.ts` draws the bytes. */
import { randomName } from "../../base/random.ts";
import type { UserAddress, UserId } from "../../domain/address.ts";
import { cellText, CellReader, encodeCell } from "./cells.ts";

const EPOCH_CHARACTERS = 8;

/** Says when a repair found the account without a password. Cleared with the next password. */
export const PASSWORD_LOST = "passwordLost";
export const PASSWORD = "password";
export const DEVICE_PREFIX = "device/";

/** `createdAt` is Unix ms. */
export type Profile = { createdAt: number; displayName: string };

export const encodeProfile = (user: UserId, { createdAt, displayName }: Profile): Uint8Array =>
  encodeCell(createdAt, displayName === user ? "" : displayName);

export function readProfile(user: UserId, cell: Uint8Array): Profile {
  const fields = new CellReader(cell);
  const createdAt = fields.number();
  return { createdAt, displayName: fields.text() || user };
}

/**
 * `tokenId` names the one token of the device that is alive. `createdAt` is for people to see; which login came first, `login` says: it rises from one login of
 * the user to the next, and is 0 where an older version wrote the cell.
 */
export type DeviceCell = { createdAt: number; tokenId: Uint8Array; login: number };

export const encodeDevice = ({ createdAt, tokenId, login }: DeviceCell): Uint8Array =>
  encodeCell(createdAt, tokenId, login);

export function readDevice(cell: Uint8Array): DeviceCell {
  const fields = new CellReader(cell);
  return { createdAt: fields.number(), tokenId: fields.bytes(), login: fields.number() };
}

/**
 * The epoch of a timeline: 8 characters of `[a-z2-7]`. It says which history this is, and until one is rebuilt, which its own cell would tell, that follows from whose it is and
 * when it began. So it need not be stored; nothing depends on nobody guessing it.
 */
export function epochOf(address: UserAddress, { createdAt }: Profile, cell: Uint8Array | undefined): string {
  if (cell !== undefined) return cellText(cell);
  const hash = Buffer.alloc(EPOCH_CHARACTERS);
  hash.writeBigUInt64LE(Bun.hash.xxHash64(`${address} ${createdAt}`, 0n));
  return randomName({ bytes: () => hash }, EPOCH_CHARACTERS);
}
