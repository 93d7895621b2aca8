/**
 * Stops and resumes accepting connections. The runtime cannot: it accepts all waiting connections, down to the last
 * descriptor, and then retries in a busy loop (oven-sh/bun, pull request 32705). So system calls remove its listening
 * socket from what its event loop waits for.
 *
 * While the gate is shut, the kernel keeps up to `waitingMax` new connections waiting. Linux only.
 */
import { dlopen, FFIType, ptr } from "bun:ffi";
import { readdirSync, readFileSync } from "node:fs";

export type ListenerGate = {
  /** Accepts nobody until `open`. At most `waitingMax` connections wait in the kernel. */
  shut(waitingMax: number): void;
  open(): void;
  /** While paused nobody is accepted, whether the gate is shut or open. */
  pause(isPaused: boolean): void;
  /** Restores the number of connections that may wait. */
  widen(): void;
  /** Opens the gate for good. */
  close(): void;
};

type Registration = { epoll: number; events: number; data: bigint };

const EPOLL_CTL_MOD = 3;
/** The runtime's value. `net.core.somaxconn` may lower it. */
const WAITING_MAX = 512;
const FD_INFO = "/proc/self/fdinfo";

/** @returns undefined where the system has no such calls, or no event loop waits for that socket */
export function listenerGate(listener: number): ListenerGate | undefined {
  const registration = process.platform === "linux" ? registrationOf(listener) : undefined;
  if (registration === undefined) return undefined;
  const { epoll, events, data } = registration;
  const library = dlopen("libc.so.6", {
    epoll_ctl: { args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
    listen: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 },
  });
  const { epoll_ctl: change, listen } = library.symbols;
  let isShut = false;
  let isPaused = false;
  let isWaitedFor = true;
  let isNarrow = false;
  const set = (): void => {
    if (isWaitedFor === !(isShut || isPaused)) return;
    isWaitedFor = !isWaitedFor;
    change(epoll, EPOLL_CTL_MOD, listener, ptr(epollEvent(isWaitedFor ? events : 0, data)));
  };
  const widen = (): void => {
    if (isNarrow) listen(listener, WAITING_MAX);
    isNarrow = false;
  };
  return {
    shut(waitingMax) {
      isShut = true;
      set();
      if (!isNarrow) listen(listener, waitingMax);
      isNarrow = true;
    },
    open() {
      isShut = false;
      set();
    },
    pause(paused) {
      isPaused = paused;
      set();
    },
    widen,
    close() {
      isShut = isPaused = false;
      set();
      widen();
      library.close();
    },
  };
}

/** `struct epoll_event`, which is packed on x86 alone. */
function epollEvent(events: number, data: bigint): Buffer {
  const dataAt = process.arch === "x64" ? 4 : 8;
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32LE(events);
  bytes.writeBigUInt64LE(data, dataAt);
  return bytes;
}

/** The event loop that waits for a socket, and the event data it registered, as the kernel shows them. */
function registrationOf(listener: number): Registration | undefined {
  const line = new RegExp(`^tfd: +${listener} events: +([0-9a-f]+) data: +([0-9a-f]+)`, "m");
  for (const name of readdirSync(FD_INFO)) {
    const found = line.exec(infoOf(name));
    if (found === null) continue;
    return { epoll: Number(name), events: Number.parseInt(found[1]!, 16), data: BigInt(`0x${found[2]!}`) };
  }
  return undefined;
}

/** Empty for the descriptor with which the directory was listed: it is closed by now. */
function infoOf(name: string): string {
  try {
    return readFileSync(`${FD_INFO}/${name}`, "utf8");
  } catch {
    return "";
  }
}
