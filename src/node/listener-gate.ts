/**
 * Stops and resumes accepting connections. The runtime cannot: it accepts whatever waits, down to the last descriptor, and then tries again without pause
 * (oven-sh/bun, pull request 32705). So its listening socket is taken out of what its event loop waits for, by the kernel's own calls.
 *
 * While the gate is shut the kernel keeps newcomers waiting, as many as `waitingMax`; they find it open moments later. Linux only.
 */
import { dlopen, FFIType, ptr } from "bun:ffi";
import { readdirSync, readFileSync } from "node:fs";

export type ListenerGate = {
  /** Nobody is accepted until `open`, and only so many wait. */
  shut(waitingMax: number): void;
  open(): void;
  /** Shut or not, nobody is accepted while it is paused. */
  pause(isPaused: boolean): void;
  /** Again as many wait as when it was made. */
  widen(): void;
  /** Opens it, for good. */
  close(): void;
};

type Registration = { epoll: number; events: number; data: bigint };

const EPOLL_CTL_MOD = 3;
/** As the runtime has it; the kernel takes less where `net.core.somaxconn` says so. */
const WAITING_MAX = 512;
const FD_INFO = "/proc/self/fdinfo";

/** @returns undefined where the system has no such calls, or nothing waits for that socket */
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

/** Which event loop waits for a socket, and what it is told then: as the kernel shows it. */
function registrationOf(listener: number): Registration | undefined {
  const line = new RegExp(`^tfd: +${listener} events: +([0-9a-f]+) data: +([0-9a-f]+)`, "m");
  for (const name of readdirSync(FD_INFO)) {
    const found = line.exec(infoOf(name));
    if (found === null) continue;
    return { epoll: Number(name), events: Number.parseInt(found[1]!, 16), data: BigInt(`0x${found[2]!}`) };
  }
  return undefined;
}

/** The descriptor that the directory was read with is closed by now. */
function infoOf(name: string): string {
  try {
    return readFileSync(`${FD_INFO}/${name}`, "utf8");
  } catch {
    return "";
  }
}
