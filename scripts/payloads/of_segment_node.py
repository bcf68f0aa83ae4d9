"""Calls of Segment's library for Node."""

import json
import os
import pathlib
import subprocess

from shop import page, properties


def calls(actions):
    for action in actions:
        who = {"userId": action.user} if action.user else {"anonymousId": action.device}
        call = {**who, "messageId": action.id, "timestamp": action.when.isoformat(), "context": {"page": page(action)}}
        if action.what == "Page":
            yield {"kind": "page", "call": {**call, "name": "Product", "category": "Products", "properties": page(action)}}
        else:
            yield {"kind": "track", "call": {**call, "event": action.what, "properties": properties(action)}}


def send(catcher, actions):
    script, modules = pathlib.Path(__file__).parent / "node/segment.mjs", pathlib.Path(os.environ["PAYLOADS_NODE"]).resolve()
    told = json.dumps(list(calls(actions)))
    subprocess.run(["node", script, modules, catcher.url], input=told, text=True, check=True)
