/**
 * A fresh device for every user, resumed from the start. It must get exactly what history shows, own messages included.
 */
import { ParleyClient } from "../../src/client/client.ts";
import { logout } from "../../src/client/http.ts";
import type { WireAddress } from "../../src/protocol/frames.ts";
import { VERIFY_DEVICE, type Accounts } from "./accounts.ts";
import { forEachBounded } from "./bounded.ts";
import type { Calls } from "./calls.ts";
import { DeviceView, type ExpectedMessages } from "./device-view.ts";
import { addDifferences, noDifferences, type Differences } from "./stream-check.ts";

const AT_ONCE_MAX = 12;

export type ResumeInput = {
  url: string;
  accounts: Accounts;
  calls: Calls;
  conversationsOf: Map<string, Set<WireAddress>>;
  expected: Map<string, ExpectedMessages>;
  onMessage: () => void;
  onDevice: () => void;
};
export type ResumeResult = { differences: Differences; devices: number; messages: number };

export async function verifyResume(input: ResumeInput): Promise<ResumeResult> {
  const result: ResumeResult = { differences: noDifferences(), devices: 0, messages: 0 };
  await forEachBounded(input.conversationsOf, AT_ONCE_MAX, async ([user, conversations]) => {
    const view = new DeviceView(user, conversations, true);
    const token = await input.accounts.openDevice(user, VERIFY_DEVICE);
    await resume(input, token, view, () => result.messages++);
    await input.calls.call({ token }, (server) => loggedOut(logout(server)));
    addDifferences(result.differences, view.compare(input.expected.get(user) ?? new Map()));
    result.devices++;
    input.onDevice();
  });
  return result;
}

async function resume(input: ResumeInput, token: string, view: DeviceView, onMessage: () => void): Promise<void> {
  const client = new ParleyClient({
    url: input.url,
    token,
    from: "start",
    transport: "socket",
    onMessage: (message) => {
      view.take(message);
      onMessage();
      input.onMessage();
    },
  });
  await client.connect();
  await client.close();
}

/** A repeated call finds the token already revoked. */
async function loggedOut(call: Promise<void>): Promise<void> {
  await call.catch((error: { code?: string }) => {
    if (error.code !== "unauthorized") throw error;
  });
}
