/** Exchanges the names of two directories in one step: at no moment is one of the names missing. */
import { dlopen, FFIType, read } from "bun:ffi";
import { constants } from "node:os";

const AT_FDCWD = -100;
/** RENAME_EXCHANGE of Linux; RENAME_SWAP of macOS has the same number. */
const EXCHANGE = 2;

/**
 * @returns false where the system or this file system cannot do it; then nothing is changed
 * @throws Error with the errno as its `code` when a name is missing or may not be changed
 */
export function exchangeNames(one: string, other: string): boolean {
  // Pass buffers, not addresses: an address would not keep the bytes in memory until the call.
  const errno = call(Buffer.from(`${one}\0`), Buffer.from(`${other}\0`));
  if (errno === 0) return true;
  const code = Object.entries(constants.errno).find(([, number]) => number === errno)?.[0] ?? `errno ${errno}`;
  if (["ENOSYS", "EINVAL", "ENOTSUP", "EOPNOTSUPP"].includes(code)) return false;
  throw Object.assign(new Error(`${one} and ${other} cannot exchange their names (${code})`), { code });
}

/** @returns the errno; 0 only if the names were exchanged */
function call(one: Buffer, other: Buffer): number {
  const isMac = process.platform === "darwin";
  const errnoName = isMac ? "__error" : "__errno_location";
  const { i32, u32, ptr: pointer } = FFIType;
  const exchange: Record<string, { args: FFIType[]; returns: FFIType }> = isMac
    ? { renamex_np: { args: [pointer, pointer, u32], returns: i32 } }
    : { renameat2: { args: [i32, pointer, i32, pointer, u32], returns: i32 } };
  let library;
  try {
    library = dlopen(isMac ? "libSystem.B.dylib" : "libc.so.6", {
      ...exchange,
      [errnoName]: { args: [], returns: pointer },
    });
  } catch {
    // An older C library has no such function.
    return constants.errno.ENOSYS;
  }
  try {
    const symbols = library.symbols as Record<string, (...args: (number | Buffer)[]) => number>;
    const status = isMac
      ? symbols["renamex_np"]!(one, other, EXCHANGE)
      : symbols["renameat2"]!(AT_FDCWD, one, AT_FDCWD, other, EXCHANGE);
    return status === 0 ? 0 : read.i32(symbols[errnoName]!()) || constants.errno.EIO;
  } finally {
    library.close();
  }
}
