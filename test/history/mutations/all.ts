/** Ways to break each guarantee in a history that keeps it. */
import { ACKS } from "./acks.ts";
import { ORDER } from "./order.ts";
import { SHOWN } from "./shown.ts";
import { TOLD } from "./told.ts";
import { HANDED } from "./handed.ts";
import type { Mutation } from "./mutation.ts";

export const MUTATIONS: Mutation[] = [...ACKS, ...ORDER, ...SHOWN, ...TOLD, ...HANDED];
