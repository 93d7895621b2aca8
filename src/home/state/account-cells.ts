/** Cells of a user's account: the account service writes them, others read them. `cells.ts` draws the bytes. */
import { randomName } from "../../base/random.ts";
import type { UserAddress, UserId } from "../../domain/address.ts";
import { cellText, CellReader, encodeCell } from "./cells.ts";

const EPOCH_CHARACTERS = 8;

/** When a repair found the account without a password. Cleared when a password is set. */
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
 * `tokenId` names the one live token of the device. `createdAt` is only shown. `login` orders the logins: it rises from
 * one login of the user to the next; 0 in a cell of an older version.
 */
export type DeviceCell = { createdAt: number; tokenId: Uint8Array; login: number };

export const encodeDevice = ({ createdAt, tokenId, login }: DeviceCell): Uint8Array =>
  encodeCell(createdAt, tokenId, login);

export function readDevice(cell: Uint8Array): DeviceCell {
  const fields = new CellReader(cell);
  return { createdAt: fields.number(), tokenId: fields.bytes(), login: fields.number() };
}

/**
 * The epoch of a timeline: 8 characters of `[a-z2-7]`. It identifies this history. Unless history was rebuilt, which
 * has a cell of its own, the epoch follows from address and creation time, so it is not stored. It is not secret.
 */
export function epochOf(address: UserAddress, { createdAt }: Profile, cell: Uint8Array | undefined): string {
  if (cell !== undefined) return cellText(cell);
  const hash = Buffer.alloc(EPOCH_CHARACTERS);
  hash.writeBigUInt64LE(Bun.hash.xxHash64(`${address} ${createdAt}`, 0n));
  return randomName({ bytes: () => hash }, EPOCH_CHARACTERS);
}
