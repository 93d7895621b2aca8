/**
 * The connections of this process as the kernel knows them, by descriptor. The runtime shows a connection only after a
 * complete request, and never closes one that sends none. Those are found and ended here. Linux on little-endian
 * machines only.
 */
import { dlopen, FFIType, ptr } from "bun:ffi";

export type KernelSocket = {
  descriptor: number;
  /** The other end, as `peerKey` writes it. */
  peer: string;
  /** Milliseconds since the other end last sent something, or since it connected. */
  idleMs: number;
  /** The other end has received everything, and knows that nothing more comes. */
  isDelivered: boolean;
  /** Bytes that the kernel has received; undefined where it does not count them (before Linux 4.1). */
  receivedBytes: number | undefined;
};

/** System calls for connections. Undefined where the system does not have them. */
export type KernelSockets = {
  /** The connection with this descriptor, if it is one to this port. */
  at(descriptor: number, localPort: number): KernelSocket | undefined;
  /**
   * How many bytes this process has read from a connection since it began, as of `at`; undefined where the kernel does
   * not count them. Call it in the same turn of the event loop.
   */
  bytesRead(socket: Pick<KernelSocket, "descriptor" | "receivedBytes">): number | undefined;
  /** The socket that listens on this port. */
  listener(port: number, descriptorsMax: number): number | undefined;
  /** discards what the other end has not received, which the kernel would otherwise go on offering */
  end(descriptor: number, isLost?: boolean): void;
  /** Unloads the system calls. Nothing may be called after it. */
  close(): void;
};

const AF_INET = 2;
const AF_INET6 = 10;
const SHUT_RDWR = 2;
const SOL_SOCKET = 1;
const SO_LINGER = 13;
const SO_ACCEPTCONN = 30;
const IPPROTO_TCP = 6;
const TCP_INFO = 11;
/**
 * Offsets in `struct tcp_info` of `tcpi_state`, `tcpi_last_data_recv` and `tcpi_bytes_received`. Older kernels return a
 * shorter struct.
 */
const STATE_AT = 0;
const LAST_DATA_AT = 52;
const BYTES_RECEIVED_AT = 128;
const TCP_INFO_BYTES = 136;
/** TCP state: this end closed the connection, and the other end has acknowledged it. */
const FIN_WAIT_2 = 5;
/** `struct linger`: on, 0 seconds. */
const NO_LINGER = Int32Array.of(1, 0);
/** The `ioctl` for the number of unread bytes of a socket. */
const FIONREAD = 0x541b;
const NAME_BYTES = 128;
const INT = FFIType.i32;
const POINTER = FFIType.ptr;

/** The same text for every spelling of an address: `::ffff:1.2.3.4` becomes `1.2.3.4`. */
export function peerKey(address: string, port: number): string {
  const bytes = address.includes(":") ? bytesOfIPv6(address) : undefined;
  return `${bytes === undefined ? address : textOf(bytes)} ${port}`;
}

export function kernelSockets(): KernelSockets | undefined {
  if (process.platform !== "linux") return undefined;
  const library = dlopen("libc.so.6", {
    getsockname: { args: [INT, POINTER, POINTER], returns: INT },
    getpeername: { args: [INT, POINTER, POINTER], returns: INT },
    getsockopt: { args: [INT, INT, INT, POINTER, POINTER], returns: INT },
    ioctl: { args: [INT, FFIType.u64, POINTER], returns: INT },
    setsockopt: { args: [INT, INT, INT, POINTER, INT], returns: INT },
    shutdown: { args: [INT, INT], returns: INT },
  });
  const { symbols } = library;
  const name = Buffer.alloc(NAME_BYTES);
  const info = Buffer.alloc(TCP_INFO_BYTES);
  const length = new Uint32Array(1);
  const unread = new Int32Array(1);
  const sized = (bytes: number): ReturnType<typeof ptr> => {
    length[0] = bytes;
    return ptr(length);
  };
  const isOn = (descriptor: number, localPort: number): boolean =>
    symbols.getsockname(descriptor, ptr(name), sized(NAME_BYTES)) === 0 &&
    isInternet(name) &&
    name.readUInt16BE(2) === localPort;
  const isListening = (descriptor: number): boolean =>
    symbols.getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, ptr(info), sized(4)) === 0 && info.readInt32LE() === 1;
  const readInfo = (descriptor: number): boolean =>
    symbols.getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, ptr(info), sized(TCP_INFO_BYTES)) === 0;
  return {
    listener(port, descriptorsMax) {
      for (let descriptor = 0; descriptor < descriptorsMax; descriptor++)
        if (isOn(descriptor, port) && isListening(descriptor)) return descriptor;
      return undefined;
    },
    at(descriptor, localPort) {
      if (!isOn(descriptor, localPort)) return undefined;
      // The listening socket has no other end.
      if (symbols.getpeername(descriptor, ptr(name), sized(NAME_BYTES)) !== 0) return undefined;
      if (!readInfo(descriptor)) return undefined;
      const isDelivered = info[STATE_AT] === FIN_WAIT_2;
      const receivedBytes = length[0]! < TCP_INFO_BYTES ? undefined : Number(info.readBigUInt64LE(BYTES_RECEIVED_AT));
      return { descriptor, peer: peerOf(name), idleMs: info.readUInt32LE(LAST_DATA_AT), isDelivered, receivedBytes };
    },
    bytesRead({ descriptor, receivedBytes }) {
      // Asked after `tcp_info`: bytes that arrive in between count as unread.
      if (receivedBytes === undefined || symbols.ioctl(descriptor, FIONREAD, ptr(unread)) !== 0) return undefined;
      return Math.max(0, receivedBytes - unread[0]!);
    },
    end(descriptor, isLost = false) {
      if (isLost) symbols.setsockopt(descriptor, SOL_SOCKET, SO_LINGER, ptr(NO_LINGER), NO_LINGER.byteLength);
      symbols.shutdown(descriptor, SHUT_RDWR);
    },
    close: () => library.close(),
  };
}

function isInternet(name: Buffer): boolean {
  const family = name.readUInt16LE(0);
  return family === AF_INET || family === AF_INET6;
}

function peerOf(name: Buffer): string {
  const port = name.readUInt16BE(2);
  // As `textOf` would, without objects: this is asked for every connection, again and again.
  if (name.readUInt16LE(0) === AF_INET) return `${name[4]}.${name[5]}.${name[6]}.${name[7]} ${port}`;
  return `${textOf(name.subarray(8, 24))} ${port}`;
}

function textOf(bytes: Uint8Array): string {
  const isIPv4 =
    bytes.length === 4 || (bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 255 && bytes[11] === 255);
  return isIPv4 ? bytes.slice(-4).join(".") : Buffer.from(bytes).toString("hex");
}

function bytesOfIPv6(address: string): Uint8Array | undefined {
  const [text = ""] = address.split("%");
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  const hex = (high: string | undefined, low: string | undefined): string =>
    (Number(high) * 256 + Number(low)).toString(16);
  const plain = dotted === null ? text : `${dotted[1]}${hex(dotted[2], dotted[3])}:${hex(dotted[4], dotted[5])}`;
  const [head = "", tail] = plain.split("::");
  const groupsOf = (part: string): string[] => (part === "" ? [] : part.split(":"));
  const before = groupsOf(head);
  const after = groupsOf(tail ?? "");
  const zeros = Array<string>(Math.max(0, 8 - before.length - after.length)).fill("0");
  const groups = [...before, ...zeros, ...after].map((group) => Number.parseInt(group, 16));
  if (groups.length !== 8 || groups.some((group) => !(group >= 0 && group <= 0xffff))) return undefined;
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 255]));
}
