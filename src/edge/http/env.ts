/** What whoever listens knows about a request and hands to `fetch`; `clientIp` as of client-address.ts. */
export type HttpEnv = { clientIp?: string };
