/** Rate limits of Parley run, but must not be what is measured when few users do much. */
export const UNLIMITED_SENDS = ["--send-rate", "100000", "--send-burst", "100000"];
export const UNLIMITED_CALLS = ["--call-rate", "100000000", "--read-rate", "100000000"];
export const UNLIMITED_CONNECTIONS = [
  ...["--connect-rate", "100000000", "--address-connections-max", "1000000", "--connections-max", "1000000"],
];
