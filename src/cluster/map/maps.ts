/**
 * The map that this node goes by. Nodes tell each other which version they have when their link begins and when it
 * changes; a node that is behind asks for the newer one. So a change has to be brought to one node only.
 */
import type { Logger } from "../../base/logger.ts";
import { readMap, writeMap } from "./map-file.ts";
import { fingerprintOf, type NodeId, type PartitionMap } from "./partition-map.ts";

/** What a node tells of its map. */
export type MapNote = { readonly mapVersion: number; readonly fingerprint: string };

export type MapsParts = {
  readonly logger: Logger;
  /** Keeps the map for the next start. Nothing depends on it: a node that starts with an older map learns the newer. */
  save(text: string): void;
  /** The map is another one now. */
  onChange(before: PartitionMap): void;
};

export class Maps {
  readonly #parts: MapsParts;
  #current: PartitionMap;

  constructor(current: PartitionMap, parts: MapsParts) {
    this.#current = current;
    this.#parts = parts;
  }

  get current(): PartitionMap {
    return this.#current;
  }

  note(): MapNote {
    return { mapVersion: this.#current.mapVersion, fingerprint: fingerprintOf(this.#current) };
  }

  /** Compares with what another node has. @returns whether its map is newer and should be asked for */
  isBehind(node: NodeId, { mapVersion, fingerprint }: MapNote): boolean {
    if (mapVersion === this.#current.mapVersion && fingerprint !== this.note().fingerprint)
      this.#parts.logger.error("two different maps have the same version; make a newer one with parley map", {
        node,
        mapVersion,
      });
    return mapVersion > this.#current.mapVersion;
  }

  text(): string {
    return writeMap(this.#current);
  }

  /** A map from another node, or from the operator. An older one changes nothing. @throws MapError */
  learn(text: string): boolean {
    const map = readMap(text);
    const before = this.#current;
    if (map.cluster !== before.cluster || map.mapVersion <= before.mapVersion) return false;
    this.#parts.save(text);
    this.#current = map;
    this.#parts.logger.info("a newer map", { mapVersion: map.mapVersion });
    this.#parts.onChange(before);
    return true;
  }
}
