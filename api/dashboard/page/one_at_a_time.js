/** Buttons of which one is at work at a time. */

export class OneAtATime {
  #buttons;
  #onProblem;
  #isBusy = false;

  /** `onProblem(problem)` is called with what an action throws. */
  constructor(buttons, onProblem) {
    this.#buttons = buttons;
    this.#onProblem = onProblem;
  }

  get isBusy() {
    return this.#isBusy;
  }

  /** Await `act()`, unless another one is under way. The buttons stay focusable: `disabled` would take the focus. */
  async run(act) {
    if (this.#isBusy) return;
    this.#setBusy(true);
    try {
      await act();
    } catch (problem) {
      this.#onProblem(problem);
    } finally {
      this.#setBusy(false);
    }
  }

  #setBusy(isBusy) {
    this.#isBusy = isBusy;
    for (const button of this.#buttons) button.ariaDisabled = isBusy ? "true" : null;
  }
}
