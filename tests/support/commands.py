"""What a real command said, held against how it should end."""

import subprocess


def sentence(answer: subprocess.CompletedProcess[str], code: int = 9) -> str:
    """The one line of an expected failure."""
    assert answer.returncode == code, answer.stdout + answer.stderr
    assert answer.stdout == ""
    [line] = answer.stderr.splitlines()
    return line.removeprefix("error: ")


def ran(answer: subprocess.CompletedProcess[str]) -> str:
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    return answer.stdout


def one_sentence(answer: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line of an expected failure, without the place in a query that is drawn below it."""
    assert answer.returncode == code, answer.stderr
    lines = [line for line in answer.stderr.splitlines() if not line.startswith("  ")]
    assert len(lines) == 1, answer.stderr
    assert answer.stdout == ""
    return lines[0].removeprefix("error: ")
