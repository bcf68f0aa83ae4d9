"""Events of PostHog's library for Python."""

import json

from shop import page, properties


def send(catcher, actions):
    from posthog import Posthog

    client = Posthog("phc_key", host=catcher.url, max_queue_size=len(actions) + 1, gzip=True, disable_geoip=True)
    for action in actions:
        who, at = action.user or action.device, {"timestamp": action.when, "uuid": action.id}
        if action.what == "Page":
            seen = page(action)
            told = {"$current_url": seen["url"], "$pathname": seen["path"], "$host": "shop.example", "$session_id": action.device}
            client.capture("$pageview", distinct_id=who, properties=told, **at)
        else:
            client.capture(action.what, distinct_id=who, properties=properties(action), **at)
    client.shutdown()


def events(catcher):
    return [event for body in catcher.bodies for event in json.loads(body)["batch"]]
