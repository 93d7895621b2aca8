/**
 * ejabberd from Debian's package, without its system service: the package's files on a node without a name, with its own
 * configuration, database and log.
 */
import { globSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { debianVersion, type Missing, type Peer, type PeerServer } from "./peer.ts";
import { startPeerProcess } from "./peer-process.ts";
import { countArchived, registerAccounts } from "./xmpp/accounts.ts";
import { DOMAIN } from "./xmpp/xmpp-stream.ts";

type Archive = "off" | "mnesia" | "sqlite";

const SETTINGS =
  "raw TCP without TLS; no modules but disco, roster, offline and register; no shaper; accounts in Mnesia; Erlang's " +
  "schedulers sleep at once (+sbwt none), which costs less CPU than the default";
/** Threads that spin before they sleep would take time from the load, which shares the cores. */
const NO_SPINNING = ["+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"];

const ARCHIVES: Record<Archive, { title: string; settings: string; ack: string }> = {
  off: {
    title: "ejabberd, no archive",
    settings: SETTINGS,
    ack: "the receiver's client has the message (XEP-0184); no disk has it, a crash loses what was on its way",
  },
  mnesia: {
    title: "ejabberd, archive in Mnesia",
    settings: `${SETTINGS}; mod_mam for all, db_type mnesia (ejabberd recommends SQL)`,
    ack: "as without an archive, and both users' archives have it in Mnesia's log, not synced to the disk",
  },
  sqlite: {
    title: "ejabberd, archive in SQLite",
    settings: `${SETTINGS}; mod_mam for all, db_type sql, SQLite as ejabberd opens it (rollback journal, full sync)`,
    ack: "as without an archive, and both users' archives have it, each committed and synced by SQLite",
  },
};

export const EJABBERD: readonly Peer[] = (["off", "mnesia", "sqlite"] as const).map((archive) => ({
  name: `ejabberd-${archive}`,
  ...ARCHIVES[archive],
  missing: async () => missing(archive),
  version: () => debianVersion("ejabberd"),
  start: () => start(archive),
}));

/** `/usr/lib/ARCHITECTURE/ejabberd-VERSION/ebin/ejabberd.app` */
const application = (): string | undefined => globSync("/usr/lib/*/ejabberd-*/ebin/ejabberd.app")[0];

function missing(archive: Archive): Missing | undefined {
  if (Bun.which("erl") === null || application() === undefined)
    return { why: "ejabberd is not installed", packages: ["ejabberd", "erlang-p1-sqlite3"] };
  if (archive === "sqlite" && globSync("/usr/lib/erlang/lib/p1_sqlite3-*").length === 0)
    return { why: "Erlang's SQLite driver is not installed", packages: ["erlang-p1-sqlite3"] };
  return undefined;
}

async function start(archive: Archive): Promise<PeerServer> {
  const server = await startPeerProcess("ejabberd", (directory, port) => {
    const config = join(directory, "ejabberd.yml");
    writeFileSync(config, configuration(archive, directory, port));
    return {
      command: [
        ...["erl", "+K", "true", ...NO_SPINNING, "-noinput"],
        ...["-mnesia", "dir", `"${join(directory, "mnesia")}"`, "-s", "ejabberd"],
      ],
      environment: {
        ERL_LIBS: dirname(dirname(dirname(application() ?? ""))),
        EJABBERD_CONFIG_PATH: config,
        EJABBERD_LOG_PATH: join(directory, "ejabberd.log"),
        ERL_CRASH_DUMP: join(directory, "crash.dump"),
      },
      log: join(directory, "ejabberd.log"),
    };
  });
  return {
    ...server,
    protocol: "xmpp",
    copies: 2,
    register: (users) => registerAccounts(server.url, users),
    ...(archive !== "off" && { countStored: (users) => countArchived(server.url, users) }),
  };
}

function configuration(archive: Archive, directory: string, port: number): string {
  const mam = {
    off: "",
    mnesia: "  mod_mam: {default: always, db_type: mnesia}\n",
    sqlite: "  mod_mam: {default: always, db_type: sql}\n",
  };
  return `hosts: [${DOMAIN}]
loglevel: warning
auth_method: internal
registration_timeout: infinity
sql_type: sqlite
sql_database: "${join(directory, "archive.sqlite")}"
listen:
  - {module: ejabberd_c2s, ip: "127.0.0.1", port: ${port}, starttls: false, shaper: none, access: all}
modules:
  mod_disco: {}
  mod_roster: {}
  mod_offline: {}
  mod_register: {ip_access: all, access: all}
${mam[archive]}`;
}
