/** Servers that speak just enough XMPP and Socket.IO for the load, and lie when a test wants them to. */
import type { Socket } from "bun";

/** What a server does with a message between two users: `pass` hands it over as it should be. */
export type Lie = (message: string, pass: (message: string) => void) => void;
const HONEST: Lie = (message, pass) => pass(message);

const FEATURES =
  "<?xml version='1.0'?><stream:stream id='1' from='bench.test' xmlns='jabber:client' " +
  "xmlns:stream='http://etherx.jabber.org/streams'><stream:features><bind/></stream:features>";

type Connection = { user: string; rest: string };

/** @param cut bytes of a write, so that stanzas are split anywhere */
export function startFakeXmpp(lie: Lie = HONEST, cut = Number.POSITIVE_INFINITY): { port: number; stop(): void } {
  const sockets = new Map<string, Socket<Connection>>();
  const write = (socket: Socket<Connection>, text: string) => {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += cut) socket.write(bytes.subarray(at, Math.min(bytes.length, at + cut)));
  };
  const onStanza = (socket: Socket<Connection>, stanza: string) => {
    if (stanza.startsWith("<stream:stream")) return write(socket, FEATURES);
    if (stanza.startsWith("<auth")) {
      const login = Buffer.from(/>(.*)</.exec(stanza)![1]!, "base64").toString();
      socket.data.user = login.split("\0")[1]!;
      sockets.set(socket.data.user, socket);
      return write(socket, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    }
    if (stanza.startsWith("<iq")) return write(socket, "<iq type='result' id='bind'><bind/></iq> ");
    if (stanza.startsWith("<presence")) return write(socket, `<presence from='${socket.data.user}@bench.test/bench'/>`);
    const receiver = sockets.get(/to='(\w+)@/.exec(stanza)![1]!)!;
    const sent = stanza.replace("<message ", `<message from='${socket.data.user}@bench.test/bench' `);
    if (stanza.includes("<body>")) lie(sent, (message) => write(receiver, message));
    else write(receiver, sent);
  };
  const server = Bun.listen<Connection>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (socket) => void (socket.data = { user: "", rest: "" }),
      data(socket, chunk) {
        const stanzas = /<\?xml.*?\?>|<stream:stream[^>]*>|<(\w+)[^>]*\/>|<(\w+)[^]*?<\/\2>/g;
        let text = socket.data.rest + chunk.toString("utf8");
        for (let found = stanzas.exec(text); found !== null; found = stanzas.exec(text)) {
          if (!found[0].startsWith("<?xml")) onStanza(socket, found[0]);
          text = text.slice(found.index + found[0].length);
          stanzas.lastIndex = 0;
        }
        socket.data.rest = text;
      },
    },
  });
  return { port: server.port, stop: () => server.stop(true) };
}

type Packet = { sender: string; id: number; text: string };

export function startFakeSocketIo(lie: Lie = HONEST): { port: number; stop(): void } {
  type Data = { user: string };
  const sockets = new Map<string, Bun.ServerWebSocket<Data>>();
  const senders = new Map<number, string>();
  let lastId = 0;
  const server = Bun.serve<Data>({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request, server) => (server.upgrade(request, { data: { user: "" } }) ? undefined : new Response()),
    websocket: {
      open: (ws) => void ws.send('0{"sid":"1"}'),
      message(ws, raw) {
        const [, type, number, body] = /^(\d\d)(\d*)(.*)$/s.exec(String(raw))!;
        if (type === "40") {
          ws.data.user = (JSON.parse(body!) as { user: string }).user;
          sockets.set(ws.data.user, ws);
          ws.send('40{"sid":"2"}');
        } else if (type === "42") {
          const [, { to, text }] = JSON.parse(body!) as [string, { to: string; text: string }];
          const id = ++lastId;
          senders.set(id, ws.data.user);
          ws.send(`43${number}[{"id":${id}}]`);
          const packet: Packet = { id, sender: ws.data.user, text };
          lie(JSON.stringify(packet), (message) => void sockets.get(to)?.send(`42${id}["message",${message}]`));
        } else {
          sockets.get(senders.get(Number(number))!)?.send(`42["receipt",${number}]`);
        }
      },
    },
  });
  return { port: server.port!, stop: () => void server.stop(true) };
}
