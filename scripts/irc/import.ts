/**
 * The whole import: users, groups, connecting everybody, the lines, their delivery, and with `verify` a check of
 * everything.
 */
import { readFileSync } from "node:fs";
import { ProgressBar, type ProgressOutput } from "../../src/cli/progress-bar.ts";
import { Accounts } from "./accounts.ts";
import { startCalls } from "./calls.ts";
import { expectationsOf, type Expectations } from "./expectations.ts";
import { openGroups } from "./groups.ts";
import { UsageError, type ReadOptions, type RunOptions } from "./options.ts";
import { decodeLog } from "./encoding.ts";
import { dateOfFile, parseDay, type IrcDay } from "./parse.ts";
import { Patience } from "./patience.ts";
import { People } from "./people.ts";
import { planImport, type Plan, type PlannedLine } from "./plan.ts";
import { playLines } from "./play.ts";
import { Reach } from "./reach.ts";
import { addDifferences, noDifferences, type Differences } from "./stream-check.ts";
import { sidesToRead, verifyHistory, type HistoryResult } from "./verify-history.ts";
import { verifyResume, type ResumeResult } from "./verify-resume.ts";

/** The phases in their order, with the names that are shown. */
export const IMPORT_PHASES = [
  "users",
  "groups",
  "sockets",
  "messages",
  "delivery",
  "check: history",
  "check: devices",
] as const;
export type ImportPhase = (typeof IMPORT_PHASES)[number];
/** Lets a caller act at a chosen moment of the import. */
export type ImportHooks = { onProgress?: (phase: ImportPhase, done: number, total: number) => void };

export type ImportResult = {
  users: number;
  groups: number;
  /** Direct and group messages played. */
  direct: number;
  group: number;
  /** Messages handed to other people's online clients. */
  deliveries: number;
  deliveriesExpected: number;
  seconds: number;
  /** From the first line sent to the last ack, and to the last delivery. */
  ackedSeconds: number;
  deliveredSeconds: number;
  lost: number;
  duplicated: number;
  misordered: number;
  /** Lines of the files that are not messages. */
  skippedLines: number;
  /** Messages of the files that were not played: their text is too long. */
  tooLongLines: number;
  verified: boolean;
  /** Differences by check. Without `verify` there is only `live`. */
  checks: { live: Differences; history?: Differences; resume?: Differences };
  historyPages?: number;
  resumedDevices?: number;
  resumedMessages?: number;
};

/** @throws UsageError when these files cannot be played. */
export function readPlan({ files, encoding, textBytesMax }: ReadOptions, warn: (line: string) => void): Plan {
  const dayOf = (file: string): IrcDay =>
    parseDay(dateOfFile(file), decodeLog(readFileSync(file), encoding, file), textBytesMax);
  let plan: Plan;
  try {
    plan = planImport(files.map(dayOf));
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error });
  }
  for (const warning of plan.warnings) warn(`warning: ${warning}`);
  return plan;
}

export async function runImport(
  plan: Plan,
  options: RunOptions,
  output: ProgressOutput,
  hooks: ImportHooks = {},
): Promise<ImportResult> {
  const patience = new Patience(options.giveUpAfterMs);
  const nameCells = Math.max(...IMPORT_PHASES.map((phase) => phase.length));
  const progress = new ProgressBar("users", plan.users.length, output, { nameCells });
  const run = new ImportRun(plan, options, patience, progress, hooks);
  try {
    return await patience.guard(run.all());
  } catch (error) {
    progress.leave();
    throw new Error(`${(error as Error).message} (${run.describe()})`, { cause: error });
  } finally {
    patience.end();
    await run.end();
  }
}

class ImportRun {
  private readonly expectations: Expectations;
  private readonly reach: Reach;
  private people: People | undefined;
  private unacked: (() => string[]) | undefined;
  private phase: ImportPhase = "users";
  private done = 0;
  private total: number;

  constructor(
    private readonly plan: Plan,
    private readonly options: RunOptions,
    private readonly patience: Patience,
    private readonly progress: ProgressBar,
    private readonly hooks: ImportHooks,
  ) {
    this.expectations = expectationsOf(plan);
    this.total = plan.users.length;
    this.reach = new Reach(() => progress.say(`cannot reach ${options.url}, still trying`));
  }

  async all(): Promise<ImportResult> {
    const { plan, options, patience } = this;
    const began = performance.now();
    const calls = startCalls(options.url, patience.signal, {
      answered: () => {
        this.reach.answered();
        patience.touch();
      },
      failed: () => this.reach.failed(),
    });
    const accounts = new Accounts(calls, options.apiKey);
    const tokens = await accounts.open(plan.users, () => this.step());
    this.begin("groups", plan.groups.length);
    await openGroups(calls, plan.groups, tokens, () => this.step());
    const people = await this.goOnline(tokens);
    const playBegan = performance.now();
    const ids = await this.play(people);
    const ackedSeconds = secondsSince(playBegan);
    await this.arrive(people);
    const deliveredSeconds = secondsSince(playBegan);
    const history = options.verify ? await this.readHistory(ids, tokens, calls) : undefined;
    const resume = history === undefined ? undefined : await this.resumeAll(accounts, calls, history);
    this.progress.finish();
    const live = liveDifferences(people, plan, history);
    return {
      ...resultOf(plan, people, live, history, resume),
      seconds: secondsSince(began),
      ackedSeconds,
      deliveredSeconds,
    };
  }

  /** The state of the import, for errors. */
  describe(): string {
    const offline = this.people?.offline ?? [];
    const away =
      offline.length === 0
        ? ""
        : `; not connected: ${offline.slice(0, 5).join(", ")}${offline.length > 5 ? ` and ${offline.length - 5} more` : ""}`;
    const unacked = this.unacked === undefined ? "" : `; unacked: ${this.unacked().slice(0, 5).join(", ")}`;
    return `${this.phase} ${this.done} of ${this.total}${away}${unacked}`;
  }

  async end(): Promise<void> {
    await this.people?.close();
  }

  private async goOnline(tokens: Map<string, string>): Promise<People> {
    this.begin("sockets", this.plan.users.length);
    const people = new People(this.options.url, tokens, this.expectations.conversationsOf, {
      progress: () => this.patience.touch(),
      live: () => this.reach.answered(),
      offline: () => this.reach.failed(),
    });
    this.people = people;
    await people.connect(this.plan.users, () => this.step());
    return people;
  }

  private play(people: People): Promise<string[]> {
    const { plan, options, patience } = this;
    const inFlight = new Set<PlannedLine>();
    this.unacked = () => [...inFlight].map((line) => `${line.ref} from ${line.from} to ${line.to}`);
    this.begin("messages", plan.lines.length);
    return playLines(people, plan.lines, {
      ...options,
      signal: patience.signal,
      inFlight,
      onAcked: () => this.step(1, `${people.deliveries} delivered`),
      onWaiting: () => patience.touch(),
    });
  }

  /** Waits until everything is delivered, or nothing more arrives. */
  private async arrive(people: People): Promise<void> {
    this.begin("delivery", this.plan.deliveries);
    this.step(people.deliveries);
    const isSettled = () => this.patience.idleMs >= this.options.settleMs && people.offline.length === 0;
    while (people.deliveries < this.plan.deliveries && !isSettled()) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      const more = people.deliveries - this.done;
      if (more > 0) this.step(more);
    }
  }

  private async readHistory(
    ids: string[],
    tokens: Map<string, string>,
    calls: ReturnType<typeof startCalls>,
  ): Promise<HistoryResult> {
    const { plan, expectations } = this;
    const membersMax = this.options.verifyMembers;
    this.begin("check: history", sidesToRead(plan, expectations, membersMax));
    return verifyHistory({ plan, expectations, ids, tokens, calls, membersMax, onConversation: () => this.step() });
  }

  private async resumeAll(
    accounts: Accounts,
    calls: ReturnType<typeof startCalls>,
    history: HistoryResult,
  ): Promise<ResumeResult> {
    this.begin("check: devices", this.plan.users.length);
    const { conversationsOf } = this.expectations;
    return verifyResume({
      url: this.options.url,
      accounts,
      calls,
      conversationsOf,
      expected: history.expected,
      onMessage: () => this.patience.touch(),
      onDevice: () => this.step(),
    });
  }

  private begin(phase: ImportPhase, total: number): void {
    this.phase = phase;
    this.done = 0;
    this.total = total;
    this.patience.touch();
    this.progress.phase(phase, total);
  }

  private step(by = 1, note?: string): void {
    this.done += by;
    this.patience.touch();
    this.progress.set(this.done, note);
    this.hooks.onProgress?.(this.phase, this.done, this.total);
  }
}

/** Compared with history message by message for each device; without history, by counts. */
function liveDifferences(people: People, plan: Plan, history: HistoryResult | undefined): Differences {
  const sum = noDifferences();
  for (const [user, view] of people.views) {
    addDifferences(
      sum,
      history === undefined ? view.seenWrong() : view.compare(history.expected.get(user) ?? new Map()),
    );
  }
  if (history === undefined) sum.lost = Math.max(0, plan.deliveries - people.deliveries);
  return sum;
}

function resultOf(plan: Plan, people: People, live: Differences, history?: HistoryResult, resume?: ResumeResult) {
  const sum = noDifferences();
  for (const part of [live, history?.differences, resume?.differences])
    if (part !== undefined) addDifferences(sum, part);
  return {
    users: plan.users.length,
    groups: plan.groups.length,
    direct: plan.direct,
    group: plan.group,
    deliveries: people.deliveries,
    deliveriesExpected: plan.deliveries,
    ...sum,
    skippedLines: plan.skipped,
    tooLongLines: plan.tooLong,
    verified: resume !== undefined,
    checks: { live, ...(history && { history: history.differences }), ...(resume && { resume: resume.differences }) },
    ...(history && { historyPages: history.pages }),
    ...(resume && { resumedDevices: resume.devices, resumedMessages: resume.messages }),
  };
}

/** The result for a person. */
export function summaryOf(result: ImportResult): string {
  const count = (value: number, of: string) => `${value.toLocaleString("en-US")} ${of}`;
  const facts = [
    count(result.users, "users"),
    count(result.direct + result.group, "messages"),
    count(result.lost, "lost"),
    count(result.duplicated, "duplicated"),
    count(result.misordered, "misordered"),
    ...(result.tooLongLines === 0 ? [] : [count(result.tooLongLines, "too long and not played")]),
    `${Math.round(result.seconds)} s`,
  ];
  return `${result.verified ? "verified" : "played, not verified"}: ${facts.join(", ")}`;
}

function secondsSince(beganMs: number): number {
  return Math.round(performance.now() - beganMs) / 1000;
}
