"""What a drill asked for, and whether it held."""


class Checks:
    """Counts what held, what did not, and what could not be asked here; tells each as it comes."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def check(self, what, holds, detail=""):
        self.passed, self.failed = self.passed + bool(holds), self.failed + (not holds)
        print(f"{'ok    ' if holds else 'FAILED'} {what}{f': {detail}' if detail else ''}", flush=True)

    def skip(self, what):
        self.skipped += 1
        print(f"SKIPPED {what}", flush=True)

    def holds(self):
        """Whether something was asked for, and all of it held."""
        return self.passed > 0 and not self.failed
