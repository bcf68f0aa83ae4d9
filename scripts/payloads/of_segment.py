"""Calls of Segment's library for Python, and of RudderStack's, which is a fork of it."""

import json

from shop import page, properties


def send(client, actions):
    for action in actions:
        who = {"user_id": action.user} if action.user else {"anonymous_id": action.device}
        at = {"timestamp": action.when, "message_id": action.id, "context": {"ip": "203.0.113.7", "page": page(action)}}
        if action.what == "Page":
            client.page(**who, category="Products", name="Product", properties=page(action), **at)
        else:
            client.track(**who, event=action.what, properties=properties(action), **at)
    client.shutdown()


def send_segment(catcher, actions):
    from segment.analytics.client import Client

    send(Client("key", host=catcher.url, gzip=True, max_queue_size=len(actions) + 1), actions)


def send_rudderstack(catcher, actions):
    from rudderstack.analytics.client import Client

    send(Client("key", host=catcher.url, gzip=True, max_queue_size=len(actions) + 1), actions)


def calls(catcher):
    """Batches taken apart, with what a collector adds to each call."""
    for body in catcher.bodies:
        batch = json.loads(body)
        for call in batch["batch"]:
            yield {**call, "sentAt": batch.get("sentAt", call.get("sentAt")), "receivedAt": "2026-01-05T23:00:00.000Z"}


def tracks(catcher):
    return [call for call in calls(catcher) if call["type"] == "track"]


def pages(catcher):
    return [call for call in calls(catcher) if call["type"] == "page"]
