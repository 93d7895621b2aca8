import { expect, test } from "bun:test";
import { clientAddress, fairnessKey } from "../../src/edge/http/client-address.ts";

const forwarded = (value?: string): Headers => new Headers(value === undefined ? {} : { "x-forwarded-for": value });

test.each([
  ["198.51.100.7", undefined, "198.51.100.7"],
  ["198.51.100.7", "203.0.113.9", "198.51.100.7"],
  ["::ffff:198.51.100.7", "203.0.113.9", "198.51.100.7"],
  ["127.0.0.1", undefined, "127.0.0.1"],
  ["127.0.0.1", "203.0.113.9", "203.0.113.9"],
  ["::1", "made up, 203.0.113.9", "203.0.113.9"],
  ["::ffff:127.0.0.1", "2001:db8::1", "2001:db8::1"],
  ["127.0.0.1", "", "127.0.0.1"],
  ["127.0.0.1", "203.0.113.9,", "127.0.0.1"],
  ["127.0.0.1", "x".repeat(10_000), "127.0.0.1"],
  ["127.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"],
  ["127.0.0.1", "::FFFF:203.0.113.9", "203.0.113.9"],
  ["127.0.0.1", "203.0.113.9:51234", "203.0.113.9"],
  ["127.0.0.1", "[2001:db8::1]:51234", "2001:db8::1"],
  ["127.0.0.1", "[2001:db8::1]", "2001:db8::1"],
  ["127.0.0.1", "[::ffff:203.0.113.9]:51234", "203.0.113.9"],
  [undefined, "203.0.113.9", undefined],
])("a request from %p that says it was forwarded for %p is of %p", (peer, header, expected) => {
  expect(clientAddress(peer, forwarded(header))).toBe(expected);
});

test("addresses of one IPv6 network are one client, those of two are two", () => {
  const key = fairnessKey("2001:db8:1:2:3:4:5:6");
  for (const same of ["2001:db8:1:2::", "2001:0DB8:0001:0002::9", "2001:db8:1:2:ffff::1"])
    expect(fairnessKey(same)).toBe(key);
  for (const other of ["2001:db8:1:3::", "2001:db8::1:2", "2001:db8:1::2", "::1"])
    expect(fairnessKey(other)).not.toBe(key);
});

test("IPv4 addresses are clients by themselves; who is not known is one", () => {
  expect(fairnessKey("198.51.100.7")).not.toBe(fairnessKey("198.51.100.8"));
  expect(fairnessKey(undefined)).toBe(fairnessKey(undefined));
});
