/** What the socket below knows about a request; whoever listens hands it to `fetch`. */
export type HttpEnv = { clientIp?: string };
