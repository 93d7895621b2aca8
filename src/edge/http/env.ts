/** What the listener knows about a request and passes to `fetch`; `clientIp` as of client-address.ts. */
export type HttpEnv = { clientIp?: string };
