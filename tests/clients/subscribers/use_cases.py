"""What the uses in examples/ subscribe with, in Python: a line of JSON for each event, until one of type `end`."""

import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "examples" / "use-cases"))
from mercure import subscribe  # noqa: E402 it is not in this folder

for event in subscribe(sys.argv[1:], os.environ["TOKEN"], ""):
    print(json.dumps({"id": event.id, "type": event.event, "data": event.data}), flush=True)
    if event.event == "end":
        break
