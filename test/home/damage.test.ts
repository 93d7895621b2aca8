import { expect, test } from "bun:test";
import { damagedError, isDamage, unlessDamaged } from "../../src/home/damage.ts";
import { DamageLog } from "../../src/node/damage-log.ts";
import { AppError } from "../../src/base/errors.ts";
import type { LogFields } from "../../src/base/logger.ts";
import { CorruptionError, DamagedShardError } from "../../storage/errors.ts";
import type { LogPosition, ShardId } from "../../storage/types.ts";
import { HandClock } from "./hand-clock.ts";

test("damaged shards are told when they are found, and once a minute at most while they are asked for", () => {
  const clock = new HandClock();
  const lines: (LogFields | undefined)[] = [];
  const say = (_message: string, fields?: LogFields): void => void lines.push(fields);
  const log = new DamageLog(clock, { debug: say, info: say, warn: say, error: say });
  const NOWHERE = 0 as LogPosition;
  const damage = (shard: number) => ({ shard: shard as ShardId, what: "torn", first: NOWHERE, last: NOWHERE });
  log.found([0, 1, 2, 7, 9, 10].map(damage));
  expect(lines).toMatchObject([{ shards: "0-2, 7, 9-10", count: 6 }]);
  for (let second = 0; second < 300; second++) {
    for (const shard of [7, 7, 1]) log.asked(shard as ShardId);
    clock.advance(1000);
  }
  expect(lines.slice(1)).toMatchObject([
    { shards: "1, 7", times: 181 },
    { shards: "1, 7", times: 180 },
    { shards: "1, 7", times: 180 },
    { shards: "1, 7", times: 180 },
  ]);
});

test("what is refused or fails for damage is told from everything else", () => {
  const damage = new CorruptionError("state.db", "table page", "checksum does not match");
  for (const error of [damage, new DamagedShardError(7 as ShardId, "x"), damagedError(damage, "@bob" as never)])
    expect(isDamage(error)).toBe(true);
  for (const error of [new AppError("unavailable", "the disk is full"), new RangeError("x")]) {
    expect(isDamage(error)).toBe(false);
    const ask = (): never => {
      throw error;
    };
    expect(() => unlessDamaged(ask)).toThrow(error.message);
  }
});
