"""Events of the library of CloudEvents for Python, in structured mode."""

import json
import urllib.request

from shop import properties


def send(catcher, actions):
    from cloudevents.core.bindings.http import to_structured_event
    from cloudevents.core.v1.event import CloudEvent

    for action in actions:
        attributes = {
            "id": action.id,
            "type": "example.shop." + action.what.lower().replace(" ", "-"),
            "source": "/shop/web",
            "specversion": "1.0",
            "time": action.when,
            "datacontenttype": "application/json",
        }
        if action.user:
            attributes["subject"] = action.user
        message = to_structured_event(CloudEvent(attributes, properties(action)))
        request = urllib.request.Request(catcher.url, data=message.body, headers=dict(message.headers))
        urllib.request.urlopen(request).close()


def events(catcher):
    return [json.loads(body) for body in catcher.bodies]
