"""What a command costs: wall time, processor time and memory of its whole process tree. Linux only.

A peer is rarely one process: PyFlink starts a Java machine that outlives the Python that started it. So the command gets a
session of its own, this process adopts what is orphaned in it, and the usage of every process is added up as it ends.
"""

import ctypes
import dataclasses
import os
import signal
import subprocess
import time

PR_SET_CHILD_SUBREAPER = 36
SAMPLE_SECONDS = 0.02
ORPHANS_END_WITHIN_SECONDS = 20
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class TimedOut(Exception):
    """The command did not end in the time it was given."""


class Failed(Exception):
    """The command ended with an error; holds the end of what it wrote."""


@dataclasses.dataclass
class Usage:
    """Seconds until the command ended, CPU seconds of all its processes, and the largest sum of their resident bytes."""

    wall_s: float
    cpu_s: float
    peak_bytes: int


def session_bytes(session):
    """Resident bytes of all processes of a session, shared pages counted once per process."""
    total = 0
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except OSError:
            continue  # ended since it was listed
        if int(fields[3]) == session:
            total += int(fields[21]) * PAGE_BYTES
    return total


def adopt_orphans():
    """Makes orphaned descendants children of this process, so that their usage can be read."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "can't adopt orphaned processes (prctl)")


def run(command, log, timeout_s, env=None, cwd=None):
    """Runs `command` with standard output and errors into the file `log`. Returns its `Usage`."""
    adopt_orphans()
    with open(log, "wb") as output:
        start = time.monotonic()
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, cwd=cwd, start_new_session=True
        )
    usage, status, ended = Usage(0.0, 0.0, 0), None, None
    while True:
        try:
            pid, code, used = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            break  # all have ended
        now = time.monotonic()
        if pid:
            usage.cpu_s += used.ru_utime + used.ru_stime
            usage.peak_bytes = max(usage.peak_bytes, used.ru_maxrss * 1024)
            if pid == child.pid:
                status, ended = os.waitstatus_to_exitcode(code), now
            continue
        usage.peak_bytes = max(usage.peak_bytes, session_bytes(child.pid))
        if now - start > timeout_s or (ended and now - ended > ORPHANS_END_WITHIN_SECONDS):
            end_session(child.pid)
            if not ended:
                raise TimedOut(f"not done in {timeout_s:.0f} s")
        time.sleep(SAMPLE_SECONDS)
    child.returncode = status  # it was waited for here, not by subprocess
    if status != 0:
        raise Failed(f"exit status {status}; {log} ends with:\n{end_of(log)}")
    usage.wall_s = ended - start
    return usage


def end_of(log):
    """The last lines of a log without Java's stack frames."""
    with open(log, encoding="utf-8", errors="replace") as output:
        return "".join([line for line in output if not line.startswith("\tat ")][-12:])


def end_session(session):
    """Kills the command's process group and waits for all of it."""
    try:
        os.killpg(session, signal.SIGKILL)
    except ProcessLookupError:
        pass
    while True:
        try:
            os.wait4(-1, 0)
        except ChildProcessError:
            return
