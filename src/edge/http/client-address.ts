/** The address that a request comes from. Behind a proxy on this machine it is the one that the proxy names. */

const LOOPBACK = /^(127\.|::1$)/;
const IPV4_IN_IPV6 = /^::ffff:(?=\d+\.)/i;
/** Some proxies add the port, which differs per connection and would make each connection a client of its own. */
const BRACKETED = /^\[([^\]]*)\](?::\d+)?$/;
const IPV4_WITH_PORT = /^([\d.]+):\d+$/;
const ADDRESS_CHARACTERS_MAX = 53;
const HEADER = "x-forwarded-for";

/**
 * @param peer the other end of the connection
 * @returns the client's address. A proxy on this machine adds the last hop of the header; the hops before it may be
 * forged, so the last one counts.
 */
export function clientAddress(peer: string | undefined, headers: Headers): string | undefined {
  const address = peer?.replace(IPV4_IN_IPV6, "");
  if (address === undefined || !LOOPBACK.test(address)) return address;
  const named = headers.get(HEADER)?.split(",").at(-1)?.trim();
  return named === undefined || named === "" || named.length > ADDRESS_CHARACTERS_MAX ? address : withoutPort(named);
}

const withoutPort = (named: string): string =>
  named.replace(BRACKETED, "$1").replace(IPV4_WITH_PORT, "$1").replace(IPV4_IN_IPV6, "");

/**
 * What counts as one client: an IPv4 address, or the /64 of an IPv6 address, the smallest range that one customer gets.
 */
export function fairnessKey(address: string | undefined): string {
  if (address === undefined || !address.includes(":")) return address ?? "";
  const [front = "", back] = address.split("::");
  const groups = front === "" ? [] : front.split(":");
  if (back !== undefined) {
    const behind = back === "" ? [] : back.split(":");
    while (groups.length + behind.length < 8) groups.push("0");
    groups.push(...behind);
  }
  return groups
    .slice(0, 4)
    .map((group) => group.toLowerCase().replace(/^0+(?=.)/, ""))
    .join(":");
}
