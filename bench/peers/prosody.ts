/** Prosody from Debian's package, without its system service: its own configuration, data folder and log. */
import { globSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { debianVersion, type Missing, type Peer, type PeerServer } from "./peer.ts";
import { startPeerProcess } from "./peer-process.ts";
import { countArchived, registerAccounts } from "./xmpp/accounts.ts";
import { DOMAIN } from "./xmpp/xmpp-stream.ts";

type Archive = "off" | "files" | "sqlite";

/** Above what a run sends to one user: at the limit Prosody would throw old messages away while it is measured. */
const ARCHIVE_ITEMS_MAX = 1_000_000;
const SETTINGS =
  "raw TCP without TLS; modules roster, saslauth, disco, register_ibr, and those that Prosody always loads but s2s " +
  "and http; accounts in files";

const ARCHIVES: Record<Archive, { title: string; settings: string; ack: string }> = {
  off: {
    title: "Prosody, no archive",
    settings: SETTINGS,
    ack: "the receiver's client has the message (XEP-0184); no disk has it, a crash loses what was on its way",
  },
  files: {
    title: "Prosody, archive in files",
    settings: `${SETTINGS}; mod_mam, storage internal, at most ${ARCHIVE_ITEMS_MAX} messages a user instead of 10000`,
    ack: "as without an archive, and both users' archives have it in files, written to the system and not synced",
  },
  sqlite: {
    title: "Prosody, archive in SQLite",
    settings: `${SETTINGS}; mod_mam, storage sql, SQLite as Prosody opens it (rollback journal, full sync)`,
    ack: "as without an archive, and both users' archives have it, each committed and synced by SQLite",
  },
};

export const PROSODY: readonly Peer[] = (["off", "files", "sqlite"] as const).map((archive) => ({
  name: `prosody-${archive}`,
  ...ARCHIVES[archive],
  missing: async () => missing(archive),
  version: () => debianVersion("prosody"),
  start: () => start(archive),
}));

function missing(archive: Archive): Missing | undefined {
  if (Bun.which("prosody") === null)
    return { why: "Prosody is not installed", packages: ["prosody", "lua-dbi-sqlite3"] };
  if (archive === "sqlite" && globSync("/usr/lib/*/lua/*/dbd/sqlite3.so").length === 0)
    return { why: "Lua's SQLite driver is not installed", packages: ["lua-dbi-sqlite3"] };
  return undefined;
}

async function start(archive: Archive): Promise<PeerServer> {
  const server = await startPeerProcess("prosody", (directory, port) => {
    const config = join(directory, "prosody.cfg.lua");
    mkdirSync(join(directory, "data"));
    writeFileSync(config, configuration(archive, directory, port));
    return { command: ["prosody", "-F", "--config", config], log: join(directory, "prosody.log") };
  });
  return {
    ...server,
    protocol: "xmpp",
    copies: 2,
    register: (users) => registerAccounts(server.url, users),
    ...(archive !== "off" && { countStored: (users) => countArchived(server.url, users) }),
  };
}

/** `run_as_root`: Prosody refuses to run as root otherwise, and the bench may be. */
function configuration(archive: Archive, directory: string, port: number): string {
  const modules = ["roster", "saslauth", "disco", "register_ibr", ...(archive === "off" ? [] : ["mam"])];
  return `run_as_root = true
daemonize = false
pidfile = "${join(directory, "prosody.pid")}"
data_path = "${join(directory, "data")}"
certificates = "${directory}"
log = { warn = "${join(directory, "prosody.log")}" }
interfaces = { "127.0.0.1" }
c2s_ports = { ${port} }
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
allow_registration = true
authentication = "internal_plain"
modules_enabled = { ${modules.map((name) => `"${name}"`).join(", ")} }
modules_disabled = { "s2s", "http", "tls" }
default_storage = "internal"
storage = { archive = "${archive === "sqlite" ? "sql" : "internal"}" }
sql = { driver = "SQLite3", database = "archive.sqlite" }
${archive === "files" ? `storage_archive_item_limit = ${ARCHIVE_ITEMS_MAX}\n` : ""}VirtualHost "${DOMAIN}"
`;
}
