"""Prints where the library is that lies about the time to the process that loads it."""

import importlib.util
import pathlib

package = importlib.util.find_spec("libfaketime").submodule_search_locations[0]
print(*pathlib.Path(package).rglob("libfaketime.so.1"))
