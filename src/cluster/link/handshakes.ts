/** The two sides of a handshake over a wire (handshake.ts says what is sent). Each ends within `HANDSHAKE_MS`. */
import type { Clock } from "../../base/clock.ts";
import type { NodeId } from "../map/partition-map.ts";
import {
  decodeHandshake,
  encodeHandshake,
  isProof,
  LINK_VERSION,
  proofOf,
  type HandshakeMessage,
  type Introduction,
} from "./handshake.ts";
import type { Wire } from "./wire.ts";

export const HANDSHAKE_MS = 5000;

export type HandshakeParts = {
  readonly secret: Uint8Array;
  readonly clock: Clock;
  /** This node, with a new nonce. */
  readonly self: Introduction;
  /** Why a node that has proved to be of this cluster gets no link; undefined if it gets one. */
  refusalOf(peer: Introduction): string | undefined;
  /** Both sides have proved who they are. */
  done(peer: Introduction): void;
  /** @param why for the server's log */
  failed(why: string): void;
};

/** What both sides share. Everything that comes after the end is ignored. */
abstract class Side {
  protected readonly parts: HandshakeParts;
  protected readonly wire: Wire;
  readonly #cancel: () => void;
  #isOver = false;

  constructor(wire: Wire, parts: HandshakeParts) {
    this.wire = wire;
    this.parts = parts;
    this.#cancel = parts.clock.after(HANDSHAKE_MS, () => this.fail(`no handshake within ${HANDSHAKE_MS} ms`));
  }

  protected abstract next(message: HandshakeMessage): void;

  received(bytes: Buffer): void {
    if (this.#isOver) return;
    const message = decodeHandshake(bytes);
    if (message === undefined) return this.refuse("the other end sent no handshake");
    if (message.t === "refused") return this.fail(`refused by the other node: ${message.why.slice(0, 300)}`);
    this.next(message);
  }

  closed(): void {
    this.fail("the connection ended during the handshake");
  }

  protected send(message: HandshakeMessage): void {
    if (!this.wire.send(encodeHandshake(message))) this.fail("the connection ended during the handshake");
  }

  protected done(peer: Introduction): void {
    if (this.#isOver) return;
    this.#end();
    this.parts.done(peer);
  }

  /** Tells the other end why, and gives up. */
  protected refuse(why: string): void {
    if (this.#isOver) return;
    this.wire.send(encodeHandshake({ t: "refused", why }));
    this.fail(why);
  }

  fail(why: string): void {
    if (this.#isOver) return;
    this.#end();
    this.wire.close();
    this.parts.failed(why);
  }

  #end(): void {
    this.#isOver = true;
    this.#cancel();
  }

  /** What a stranger may be told about a peer that has not proved anything yet. */
  protected mismatch(peer: Introduction): string | undefined {
    const { self } = this.parts;
    if (peer.version !== LINK_VERSION)
      return `its links have format ${peer.version}, and those of this node format ${LINK_VERSION}: run one version of parley on all nodes`;
    if (peer.cluster !== self.cluster)
      return `it belongs to the cluster ${peer.cluster}, and this node to ${self.cluster}: give both the same map`;
    return undefined;
  }
}

const WRONG_SECRET = "the cluster secret of the other node is another one: give both the same --cluster-secret-file";

export class DialingSide extends Side {
  readonly #to: NodeId;
  #accepter: Introduction | undefined;

  /** @param to the node that should be at the other end */
  constructor(wire: Wire, parts: HandshakeParts, to: NodeId) {
    super(wire, parts);
    this.#to = to;
  }

  /** The wire is open. */
  begin(): void {
    this.send({ t: "hello", from: this.parts.self });
  }

  protected next(message: HandshakeMessage): void {
    if (message.t === "ready" && this.#accepter !== undefined) return this.done(this.#accepter);
    if (message.t !== "hello" || this.#accepter !== undefined) return this.refuse("this message is out of order");
    const { from, proof } = message;
    const { self, secret } = this.parts;
    const mismatch = this.mismatch(from);
    if (mismatch !== undefined) return this.refuse(mismatch);
    if (from.node !== this.#to) return this.refuse(`it is ${from.node}, and the map says that ${this.#to} is there`);
    if (!isProof(proof ?? "", proofOf(secret, "accept", self, from))) return this.refuse(WRONG_SECRET);
    const refusal = this.parts.refusalOf(from);
    if (refusal !== undefined) return this.refuse(refusal);
    this.#accepter = from;
    this.send({ t: "proof", proof: proofOf(secret, "dial", self, from) });
  }
}

export class AcceptingSide extends Side {
  #dialer: Introduction | undefined;

  protected next(message: HandshakeMessage): void {
    if (message.t === "hello" && this.#dialer === undefined) return this.#hello(message.from);
    if (message.t === "proof" && this.#dialer !== undefined) return this.#proof(this.#dialer, message.proof);
    this.refuse("this message is out of order");
  }

  #hello(from: Introduction): void {
    const { self, secret } = this.parts;
    const mismatch = this.mismatch(from);
    if (mismatch !== undefined) return this.refuse(mismatch);
    this.#dialer = from;
    this.send({ t: "hello", from: self, proof: proofOf(secret, "accept", from, self) });
  }

  #proof(dialer: Introduction, proof: string): void {
    const { self, secret } = this.parts;
    if (!isProof(proof, proofOf(secret, "dial", dialer, self))) return this.refuse(WRONG_SECRET);
    const refusal = this.parts.refusalOf(dialer);
    if (refusal !== undefined) return this.refuse(refusal);
    this.send({ t: "ready" });
    this.done(dialer);
  }
}
