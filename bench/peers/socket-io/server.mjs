/**
 * A chat server as one would write it in an afternoon: Socket.IO, and a row for each message with better-sqlite3.
 *
 * - `send` {to, text} is acked with the message's id after the row is committed (WAL, synchronous=FULL).
 * - The receiver gets `message`, and its ack becomes a `receipt` for the sender.
 * - A client says on connecting up to which id it has everything; what came after it is queried and sent.
 *
 * It checks no password, and a user has one device: both spare it work. Usage: server.mjs DATABASE
 */
import { createServer } from "node:http";
import Database from "better-sqlite3";
import { Server } from "socket.io";

const db = new Database(process.argv[2]);
db.pragma("journal_mode = WAL");
db.pragma("synchronous = FULL");
db.exec(`
  CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY, sender TEXT NOT NULL, receiver TEXT NOT NULL, text TEXT NOT NULL, sentAt INTEGER NOT NULL
  );
  CREATE INDEX IF NOT EXISTS messages_by_receiver ON messages (receiver, id);
`);
const insert = db.prepare("INSERT INTO messages (sender, receiver, text, sentAt) VALUES (?, ?, ?, ?)");
const missed = db.prepare("SELECT id, sender, text, sentAt FROM messages WHERE receiver = ? AND id > ? ORDER BY id");

const http = createServer();
const io = new Server(http, { transports: ["websocket"] });
const online = new Map();

function deliver(socket, message) {
  socket.emit("message", message, () => online.get(message.sender)?.emit("receipt", message.id));
}

io.on("connection", (socket) => {
  const { user, after } = socket.handshake.auth;
  if (typeof user !== "string" || !Number.isSafeInteger(after)) return socket.disconnect(true);
  online.set(user, socket);
  for (const message of missed.all(user, after)) deliver(socket, message);

  socket.on("send", ({ to, text }, ack) => {
    if (typeof to !== "string" || typeof text !== "string") return ack({ error: "to and text are missing" });
    const sentAt = Date.now();
    const id = Number(insert.run(user, to, text, sentAt).lastInsertRowid);
    ack({ id });
    const receiver = online.get(to);
    if (receiver) deliver(receiver, { id, sender: user, text, sentAt });
  });

  socket.on("disconnect", () => {
    if (online.get(user) === socket) online.delete(user);
  });
});

http.listen(0, "127.0.0.1", () => console.log(`socket.io listening on http://127.0.0.1:${http.address().port}`));
process.on("SIGTERM", () => process.exit(0));
