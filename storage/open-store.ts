/** Builds a store: where it is said which log, and which segments, it has. */
import { LogStore } from "./log-store.ts";
import type { LogStoreHooks, LogStoreOptions } from "./store-options.ts";

/**
 * Opens a data directory.
 * @throws CorruptionError, FormatError, DirectoryLostError, OtherWriterError; what the system says. Nothing is open then.
 */
export function openLogStore(options: LogStoreOptions, hooks: LogStoreHooks): Promise<LogStore> {
  return LogStore.open(options, hooks);
}
