/** An error that a person has to fix. Only its message is shown, without a stack. */
export class InstallError extends Error {
  constructor(message, exitStatus = 1) {
    super(message);
    this.name = "InstallError";
    this.exitStatus = exitStatus;
  }
}
