"""Makes the virtual environment of the tests, unless it is there already.

    environment.py HOME [REQUIREMENTS]

HOME gets exactly the packages of REQUIREMENTS, by default the requirements.txt beside this script,
and is made anew when that file changes. A stamp written last tells a whole environment from one
left half made; a lock makes all processes that want it at the same time wait for the one that
builds it.
"""

import fcntl
import pathlib
import shutil
import subprocess
import sys
import venv


def main() -> None:
    home, *others = map(pathlib.Path, sys.argv[1:])
    requirements = others[0] if others else pathlib.Path(__file__).with_name("requirements.txt")
    home.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{home}.lock", "w") as lock:
        # The system lets go of it when this process ends, in whatever way.
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = f"{sys.version}\n{requirements.read_text()}"
        stamp = home / "stamp"
        if stamp.exists() and stamp.read_text() == wanted:
            return
        shutil.rmtree(home, ignore_errors=True)
        venv.create(home, with_pip=True)
        pip = [home / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-input"]
        subprocess.run([*pip, "--requirement", requirements], check=True)
        stamp.write_text(wanted)


main()
