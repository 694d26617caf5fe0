"""A git repository in a folder of its own, for tests."""

import os
import subprocess

IDENTITY = {
    **{f"GIT_{who}_NAME": "A Tester" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "tester@example.invalid" for who in ("AUTHOR", "COMMITTER")},
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
}


class Repository:
    def __init__(self, top):
        self.top = top

    def git(self, *arguments):
        done = subprocess.run(
            ["git", "-C", str(self.top), *arguments],
            env={"PATH": os.environ["PATH"]} | IDENTITY,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit(self, text):
        (self.top / "notes.txt").write_text(text)
        self.git("add", "notes.txt")
        self.git("commit", "-q", "-m", text)
        return self.git("rev-parse", "HEAD")
