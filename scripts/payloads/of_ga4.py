"""Rows of the export of Google Analytics 4 to BigQuery, made here after the public documentation, for no library writes them:
as TO_JSON_STRING does, with every column, null where it has no value, and as `bq extract` does.
"""

from shop import page, total

NAMES = {"Page": "page_view", "Product Viewed": "view_item", "Product Added": "add_to_cart", "Order Completed": "purchase"}


def parameter(key, **value):
    kinds = ["string_value", "int_value", "float_value", "double_value"]
    return {"key": key, "value": {kind: value.get(kind) for kind in kinds}}


def item(product, index):
    return {
        "item_id": product.product_id,
        "item_name": product.name,
        "item_brand": "(not set)",
        "item_variant": "(not set)",
        "item_category": product.category,
        "price_in_usd": float(product.price),
        "price": float(product.price),
        "quantity": product.quantity,
        "item_revenue_in_usd": None,
        "item_revenue": None,
        "coupon": "(not set)",
        "item_list_index": str(index),
        "item_params": [],
    }


def row(action):
    micros = int(action.when.timestamp() * 1_000_000)
    seen = page(action)
    bought = action.what == "Order Completed"
    worth = float(total(action))
    return {
        "event_date": action.when.strftime("%Y%m%d"),
        "event_timestamp": micros,
        "event_name": NAMES[action.what],
        "event_params": [
            parameter("page_location", string_value=seen["url"]),
            parameter("ga_session_id", int_value=micros // 1_000_000),
            parameter("value", double_value=worth),
        ],
        "event_previous_timestamp": None,
        "event_value_in_usd": worth if bought else None,
        "event_bundle_sequence_id": 1,
        "event_server_timestamp_offset": 0,
        "user_id": action.user,
        "user_pseudo_id": action.device,
        "privacy_info": {"analytics_storage": "Yes", "ads_storage": "Yes", "uses_transient_token": "No"},
        "user_properties": [],
        "user_first_touch_timestamp": micros,
        "user_ltv": {"revenue": 0.0, "currency": "USD"},
        "device": {
            "category": "mobile",
            "mobile_brand_name": "Example",
            "operating_system": "Android",
            "language": "de-de",
            "time_zone_offset_seconds": None,
            "web_info": {"browser": "Chrome", "browser_version": "140.0", "hostname": "shop.example"},
        },
        "geo": {"city": "", "country": "Germany", "continent": "Europe", "region": "", "metro": "(not set)"},
        "app_info": None,
        "traffic_source": {"name": "(direct)", "medium": "(none)", "source": "(direct)"},
        "stream_id": "1234567890",
        "platform": "WEB",
        "event_dimensions": None,
        "ecommerce": {
            "total_item_quantity": sum(product.quantity for product in action.products),
            "purchase_revenue_in_usd": worth,
            "purchase_revenue": worth,
            "refund_value": None,
            "unique_items": len(action.products),
            "transaction_id": action.order,
        }
        if bought
        else None,
        "items": [] if action.what == "Page" else [item(one, index) for index, one in enumerate(action.products)],
        "collected_traffic_source": {"manual_campaign_name": None, "manual_source": "mail", "manual_medium": "email"},
        "is_active_user": True,
        "batch_event_index": 1,
        "batch_page_id": micros // 1000,
        "batch_ordering_id": 1,
    }


def rows(actions):
    return [row(action) for action in actions]


def extracted(actions):
    """Without nulls, and with integers in strings."""

    def written(value):
        match value:
            case dict():
                return {name: written(one) for name, one in value.items() if one is not None}
            case list():
                return [written(one) for one in value]
            case bool() | float() | str():
                return value
            case int():
                return str(value)

    return [written(row(action)) for action in actions]
