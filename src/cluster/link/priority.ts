/** The four priorities of a link, each with a queue of its own. A lower number goes first. */
export const PRIORITY = { control: 0, messages: 1, relay: 2, bulk: 3 } as const;
export type Priority = (typeof PRIORITY)[keyof typeof PRIORITY];
export const PRIORITIES: readonly Priority[] = [0, 1, 2, 3];
