/** A session on a socket that a test makes up, without a server around it. */
import { createLogger } from "../../src/base/logger.ts";
import { DEFAULT_LIMITS, socketFrameRates } from "../../src/domain/limits.ts";
import { Admission } from "../../src/edge/socket/admission.ts";
import { OutboxFlusher } from "../../src/home/session/outbox-flusher.ts";
import type { SocketContext } from "../../src/home/session/socket-context.ts";
import { SocketSession } from "../../src/home/session/socket-session.ts";
import { WaitingBytes } from "../../src/home/session/waiting-bytes.ts";
import { HandClock } from "../home/hand-clock.ts";

/** As the runtime: closed at once, and nothing is known of it from then on. */
export class MadeUpSocket {
  bytes: number;
  isTerminated = false;
  closeCode: number | undefined;
  onClose = (): void => {};

  constructor(bytes: number) {
    this.bytes = bytes;
  }

  sendText(text: string): number {
    return text.length;
  }

  cork(run: () => void): void {
    run();
  }

  getBufferedAmount(): number {
    return this.bytes;
  }

  close(code?: number): void {
    this.closeCode = code;
    this.bytes = 0;
    this.onClose();
  }

  terminate(): void {
    this.isTerminated = true;
    this.close();
  }
}

/** @param bytes that its client has not read; a user, and all of them together, may have 1000 */
export function lonelySession(bytes: number) {
  const clock = new HandClock();
  const waiting = new WaitingBytes({ perUserBytes: 1000, perNodeBytes: 1000 });
  const logged: string[] = [];
  const context = {
    clock,
    waiting,
    logger: createLogger(
      "error",
      (line) => void logged.push(line),
      () => clock.now(),
    ),
    limits: DEFAULT_LIMITS,
    frameRates: socketFrameRates(DEFAULT_LIMITS),
    flusher: new OutboxFlusher(clock, () => {}),
    outboxBytesMax: 1000,
  };
  const bounds = { total: 9, perAddress: 9, beforeHello: 9, beforeHelloPerAddress: 9 };
  const admitted = new Admission({ ...bounds, strikes: { perSecond: 1, burst: 1 } }, clock).admit("a");
  const socket = new MadeUpSocket(bytes);
  const session = new SocketSession(socket, context as unknown as SocketContext, admitted);
  socket.onClose = () => session.ended();
  return { waiting, socket, session, logged };
}
