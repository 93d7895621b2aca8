/** The `UserCells` port over a map, for tests of what stands on it. Writes become visible a turn later, as durable ones do. */
import { AppError } from "../../src/base/errors.ts";
import type { DeviceId, UserId } from "../../src/domain/address.ts";
import type { UserCells } from "../../src/home/services.ts";

export class CellsInMemory implements UserCells {
  readonly users = new Map<UserId, Map<string, Uint8Array>>();
  readonly closed: string[] = [];
  /** Runs between the start of a `create` and its effect. */
  beforeCreate: () => Promise<void> = async () => undefined;

  async load(user: UserId): Promise<boolean> {
    return this.users.has(user);
  }

  cell(user: UserId, key: string): Uint8Array | undefined {
    return this.users.get(user)?.get(key);
  }

  cellsWithPrefix(user: UserId, prefix: string): Map<string, Uint8Array> {
    return new Map([...(this.users.get(user) ?? [])].filter(([key]) => key.startsWith(prefix)));
  }

  async create(user: UserId, cells: [key: string, value: Uint8Array][]): Promise<void> {
    await this.beforeCreate();
    if (this.users.has(user)) throw new AppError("user_taken", `@${user} is taken`);
    this.users.set(user, new Map(cells));
  }

  async write(user: UserId, cells: [key: string, value: Uint8Array | null][]): Promise<void> {
    await Promise.resolve();
    const kept = this.users.get(user) ?? new Map<string, Uint8Array>();
    for (const [key, value] of cells) {
      if (value === null) kept.delete(key);
      else kept.set(key, value);
    }
    this.users.set(user, kept);
  }

  closeSessions(user: UserId, device: DeviceId): void {
    this.closed.push(`${user}/${device}`);
  }

  text(user: string, key: string): string | undefined {
    const cell = this.users.get(user as UserId)?.get(key);
    return cell && new TextDecoder().decode(cell);
  }
}
