// What every client test here prints: one line a step, then `N passed, N failed`, and an exit code that says the same.

/** Runs named steps; a step that throws is a failure and the next one is tried all the same. */
export class Report {
  #passed = 0;
  #failed = 0;

  constructor(title) {
    console.log(title);
  }

  async step(name, run) {
    const started = performance.now();
    try {
      await run();
      this.#passed += 1;
      console.log(`  ok    ${name} (${Math.round(performance.now() - started)} ms)`);
    } catch (error) {
      this.#failed += 1;
      console.log(`  FAIL  ${name}: ${error?.message ?? error}`);
    }
  }

  /** Prints the closing line; 0 when every step passed and there was at least one. */
  close() {
    console.log(`${this.#passed} passed, ${this.#failed} failed`);
    return this.#failed === 0 && this.#passed > 0 ? 0 : 1;
  }
}

/** A setting that the scripts hand over through the environment. */
export function required(name) {
  const value = process.env[name];
  if (!value) {
    console.error(`${name} is not set; scripts/clients sets it from \`toolbridge dev --json\`.`);
    process.exit(2);
  }
  return value;
}
