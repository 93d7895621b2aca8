/**
 * Users, groups and addresses: the names of `docs/protocol.md`, checked once where they enter and branded after that.
 */
import { AppError } from "../base/errors.ts";
import { SHARD_COUNT, type ShardId } from "../../storage/types.ts";

declare const brand: unique symbol;
type Brand<T, Name extends string> = T & { readonly [brand]: Name };

export type UserId = Brand<string, "UserId">;
export type GroupId = Brand<string, "GroupId">;
export type DeviceId = Brand<string, "DeviceId">;
/** `@user` */
export type UserAddress = Brand<`@${string}`, "UserAddress">;
/** `#group` */
export type GroupAddress = Brand<`#${string}`, "GroupAddress">;
export type Address = UserAddress | GroupAddress;

export const NAME_PATTERN = /^[a-z0-9][a-z0-9._-]{0,31}$/;
const NAME_RULE = "1 to 32 of a-z, 0-9, '.', '_', '-', beginning with a letter or digit";

export const userAddress = (user: UserId): UserAddress => `@${user}` as UserAddress;
export const groupAddress = (group: GroupId): GroupAddress => `#${group}` as GroupAddress;
export const isGroup = (address: Address): address is GroupAddress => address.charCodeAt(0) === 35;
/** The name without its `@` or `#`. */
export const nameOf = (address: Address): string => address.slice(1);

export function parseUserId(text: string): UserId {
  if (!NAME_PATTERN.test(text))
    throw new AppError("bad_request", `user: ${JSON.stringify(text.slice(0, 64))} is not ${NAME_RULE}`);
  return text as UserId;
}

export function parseGroupId(text: string): GroupId {
  if (!NAME_PATTERN.test(text))
    throw new AppError("bad_request", `group: ${JSON.stringify(text.slice(0, 64))} is not ${NAME_RULE}`);
  return text as GroupId;
}

export function parseDeviceId(text: string): DeviceId {
  if (!NAME_PATTERN.test(text))
    throw new AppError("bad_request", `device: ${JSON.stringify(text.slice(0, 64))} is not ${NAME_RULE}`);
  return text as DeviceId;
}

/** @throws AppError bad_request, naming `field`, when `text` is not `@user` or `#group`. */
export function parseAddress(text: string, field = "address"): Address {
  const sigil = text.charCodeAt(0);
  if ((sigil === 64 || sigil === 35) && NAME_PATTERN.test(text.slice(1))) return text as Address;
  throw new AppError(
    "bad_request",
    `${field}: ${JSON.stringify(text.slice(0, 64))} is neither @user nor #group, each ${NAME_RULE}`,
  );
}

/**
 * The shard of an address: xxHash64 of its UTF-8, seed 0, mod 1000. Frozen by the vectors in
 * `test/domain/address.test.ts`.
 */
export function shardOf(address: Address): ShardId {
  return Number(Bun.hash.xxHash64(address, 0n) % BigInt(SHARD_COUNT)) as ShardId;
}
