"""Who takes part, and how each is installed and called. Every contender does the same query over the same file:

    SELECT user_id, window_start, count(*), sum(price), count(*) FILTER (WHERE kind = 'cart'), count(DISTINCT item_id)
    GROUP BY user_id, hop(ts, slide, size)

Two threads, processes or subtasks each. Rows are thrown away (`out` is None) or written to a file or folder.
"""

import json
import os
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
RUNTIME = os.path.join(ROOT, ".runtime", "peers")
PYTHONS = ("python3.11", "python3.12", "python3.10", "python3")
SUPPORTED = ("3.10", "3.11", "3.12")


class Unavailable(Exception):
    """A contender can't run on this machine; says what is missing."""


class Contender:
    """One side of the comparison. `slow` ones get a smaller share of the rows, and one round; a window's start, where it is
    written as a number, counts units of `start_unit_ms`.
    """

    slow = False
    start_unit_ms = 1

    def prepare(self):
        """Installs what is missing."""

    def command(self, file, size_s, slide_s, out):
        """The command line, and what it adds to the environment."""
        raise NotImplementedError


class Windows(Contender):
    """Our own program, bench/windows.rs, with one of its engines."""

    program = None
    start_unit_ms = 1000

    def __init__(self, engine):
        self.name = engine

    def prepare(self):
        if Windows.program is None:
            given = os.environ.get("WINDOWS_BENCH")
            Windows.program = os.path.abspath(given) if given else build_windows()

    def command(self, file, size_s, slide_s, out):
        command = [Windows.program, "--file", file, "--size", str(size_s), "--slide", str(slide_s)]
        command += ["--engine", self.name, "--threads", "2"]
        return command + (["--out", out] if out else []), {}


def build_windows():
    """Builds bench/windows.rs; the path of the program."""
    build = ["cargo", "bench", "--locked", "--bench", "windows", "--no-run", "--message-format=json"]
    messages = subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in messages.splitlines():
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("target", {}).get("name") == "windows" and message.get("executable"):
            return message["executable"]
    raise Unavailable("cargo built no benchmark named windows")


class PythonPeer(Contender):
    """A peer that is called from Python, in a virtual environment of its own below .runtime/peers."""

    packages = ()

    def prepare(self):
        home = os.path.join(RUNTIME, self.name)
        self.python = os.path.join(home, "bin", "python")
        if os.path.exists(self.python):
            return
        # Made aside and moved, so that an interrupted download leaves nothing that looks finished.
        part = f"{home}.part"
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)
        print(f"installing {' '.join(self.packages)}", flush=True)
        subprocess.run([find_python(), "-m", "venv", part], check=True)
        pip = [os.path.join(part, "bin", "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *self.packages], check=True)
        os.rename(part, home)


def find_python():
    """A Python that has wheels of all peers. PEER_PYTHON chooses another one."""
    for python in (os.environ.get("PEER_PYTHON"), *PYTHONS):
        if python is None or shutil.which(python) is None:
            continue
        version = "import sys; print('%d.%d' % sys.version_info[:2])"
        answer = subprocess.run([python, "-c", version], capture_output=True, text=True, check=False)
        if answer.returncode == 0 and answer.stdout.strip() in SUPPORTED:
            return python
    tried = ", ".join(PYTHONS)
    raise Unavailable(f"the peers need Python {', '.join(SUPPORTED)}: none of {tried} is one; set PEER_PYTHON")


class Flink(PythonPeer):
    name = "flink"
    packages = ("apache-flink==2.3.0",)
    java = "-Xms4g -Xmx4g -XX:+UseParallelGC"

    def prepare(self):
        java = os.path.join(os.environ["JAVA_HOME"], "bin", "java") if os.environ.get("JAVA_HOME") else "java"
        if shutil.which(java) is None:
            raise Unavailable("Flink needs Java 17: put `java` on the PATH, or leave flink out of PEERS")
        super().prepare()

    def command(self, file, size_s, slide_s, out):
        script = os.path.join(HERE, "flink_hop.py")
        return [self.python, script, file, str(size_s), str(slide_s), out or "-"], {"FLINK_ENV_JAVA_OPTS": self.java}


class Bytewax(PythonPeer):
    name = "bytewax"
    packages = ("bytewax==0.21.1", "orjson==3.13.0")
    slow = True

    def command(self, file, size_s, slide_s, out):
        if out:
            os.makedirs(out)
        given = {"FILE": file, "SIZE_S": str(size_s), "SLIDE_S": str(slide_s), "OUT": out or "-", "PYTHONPATH": HERE}
        return [self.python, "-m", "bytewax.testing", "-p", "2", "bytewax_hop:flow"], given


class Pathway(PythonPeer):
    name = "pathway"
    packages = ("pathway==0.33.0",)
    slow = True

    def command(self, file, size_s, slide_s, out):
        script = os.path.join(HERE, "pathway_hop.py")
        return [self.python, script, file, str(size_s), str(slide_s), out or "-"], {"PATHWAY_THREADS": "2"}


OURS = Windows("tidewheel")
PEERS = {peer.name: peer for peer in (Windows("datafusion"), Flink(), Bytewax(), Pathway())}
