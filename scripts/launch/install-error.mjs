/** Something a person has to see to; shown as its message alone, without a stack. */
export class InstallError extends Error {
  constructor(message, exitStatus = 1) {
    super(message);
    this.name = "InstallError";
    this.exitStatus = exitStatus;
  }
}
