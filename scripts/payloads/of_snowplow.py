"""Events of Snowplow's tracker for Python, enriched, and made JSON by its analytics SDK for Python.

The enrichment here is what Snowplow's does to every event: parameters of the tracker protocol become the fields of the
canonical event model, URLs are taken apart, and the time is corrected for the device's clock.
"""

import datetime
import json
import urllib.parse

from shop import page, properties, total

PLAIN = {
    "aid": "app_id", "p": "platform", "eid": "event_id", "tna": "name_tracker", "tv": "v_tracker", "uid": "user_id",
    "duid": "domain_userid", "nuid": "network_userid", "sid": "domain_sessionid", "vid": "domain_sessionidx",
    "url": "page_url", "page": "page_title", "refr": "page_referrer", "se_ca": "se_category", "se_ac": "se_action",
    "se_la": "se_label", "se_pr": "se_property", "se_va": "se_value", "lang": "br_lang", "ua": "useragent",
    "ip": "user_ipaddress", "ue_pr": "unstruct_event", "co": "contexts", "tz": "os_timezone",
}  # fmt: skip
KINDS = {"pv": "page_view", "se": "struct", "ue": "unstruct", "pp": "page_ping"}
SCHEMA = "iglu:com.example/product_added/jsonschema/1-0-0"


def send(catcher, actions):
    from snowplow_tracker import Emitter, PageView, SelfDescribing, SelfDescribingJson, StructuredEvent, Subject, Tracker

    emitter = Emitter("127.0.0.1", protocol="http", port=catcher.port, method="post", batch_size=10)
    tracker = Tracker(namespace="shop", emitters=emitter, app_id="web", encode_base64=False)
    for action in actions:
        subject = Subject()
        subject.set_domain_user_id(action.device)
        if action.user:
            subject.set_user_id(action.user)
        seen = page(action)
        about = SelfDescribingJson("iglu:com.example/product/jsonschema/1-0-0", {"id": action.products[0].product_id})
        at = {"event_subject": subject, "context": [about], "true_timestamp": int(action.when.timestamp() * 1000)}
        match action.what:
            case "Page":
                event = PageView(page_url=seen["url"], page_title=seen["title"], **at)
            case "Product Added":
                event = SelfDescribing(event_json=SelfDescribingJson(SCHEMA, properties(action)), **at)
            case what:
                amount = {"value": total(action)}
                event = StructuredEvent(category="shop", action=what, label=action.products[0].product_id, **amount, **at)
        tracker.track(event)
    tracker.flush()


def moment(millis):
    """As enriched events have times."""
    when = datetime.datetime.fromtimestamp(int(millis) / 1000, datetime.timezone.utc)
    return when.strftime("%Y-%m-%d %H:%M:%S.") + f"{int(millis) % 1000:03}"


def enriched(parameters, received):
    """The fields of one event, by name."""
    fields = {PLAIN[name]: str(value) for name, value in parameters.items() if name in PLAIN}
    fields["event"] = KINDS[parameters["e"]]
    fields["event_vendor"], fields["event_name"] = "com.snowplowanalytics.snowplow", fields["event"]
    fields["event_format"], fields["event_version"] = "jsonschema", "1-0-0"
    if "ue_pr" in parameters:
        schema = json.loads(parameters["ue_pr"])["data"]["schema"].removeprefix("iglu:")
        names = ["event_vendor", "event_name", "event_format", "event_version"]
        fields.update(zip(names, schema.split("/")))
    fields["collector_tstamp"] = fields["etl_tstamp"] = moment(received)
    fields["v_collector"], fields["v_etl"] = "catcher", "catcher"
    for name, field in [("dtm", "dvce_created_tstamp"), ("stm", "dvce_sent_tstamp"), ("ttm", "true_tstamp")]:
        if name in parameters:
            fields[field] = moment(parameters[name])
    lag = int(parameters["stm"]) - int(parameters["dtm"]) if "dtm" in parameters else 0
    fields["derived_tstamp"] = fields.get("true_tstamp") or moment(int(received) - lag)
    if "url" in parameters:
        url = urllib.parse.urlsplit(parameters["url"])
        parts = [url.scheme, url.hostname, str(url.port or 443), url.path, url.query, url.fragment]
        names = ["scheme", "host", "port", "path", "query", "fragment"]
        fields.update({f"page_url{name}": part for name, part in zip(names, parts)})
    return fields


def events(catcher):
    from snowplow_analytics_sdk.event_transformer import ENRICHED_EVENT_FIELD_TYPES, transform

    names = [name for name, _ in ENRICHED_EVENT_FIELD_TYPES]
    received = int(datetime.datetime(2026, 1, 5, 23, tzinfo=datetime.timezone.utc).timestamp() * 1000)
    found = []
    for body in catcher.bodies:
        for parameters in json.loads(body)["data"]:
            fields = enriched(parameters, received)
            tsv = "\t".join(fields.get(name, "").replace("\t", " ").replace("\n", " ") for name in names)
            found.append(transform(tsv))
    return found
