"""Orders as Shopify's webhook `orders/create` sends them: made here after the public documentation, for no library writes them."""

import datetime
import decimal

from shop import total

# Shops write their own time.
ZONE = datetime.timezone(datetime.timedelta(hours=-5))


def money(amount):
    return str(decimal.Decimal(str(amount)).quantize(decimal.Decimal("0.01")))


def line(product, number):
    return {
        "id": 866_550_311_766_439_020 + number,
        "product_id": 7_513_594 + int(product.product_id[1:]),
        "variant_id": 39_072_856,
        "title": product.name,
        "name": f"{product.name} - large",
        "sku": product.product_id.upper(),
        "vendor": None,
        "quantity": product.quantity,
        "price": money(product.price),
        "total_discount": "0.00",
        "taxable": True,
        "gift_card": False,
        "properties": [],
        "tax_lines": [],
    }


def order(action, number):
    when = action.when.astimezone(ZONE).isoformat(timespec="seconds")
    customer = {"id": 115_310_627_314_723_954 + number, "email": "ann@example.com", "created_at": when, "tags": ""}
    return {
        "id": 820_982_911_946_154_500 + number,
        "admin_graphql_api_id": f"gid://shopify/Order/{number}",
        "name": f"#{1000 + number}",
        "email": "ann@example.com",
        "created_at": when,
        "updated_at": when,
        "processed_at": when,
        "cancelled_at": when if number % 7 == 0 else None,
        "cancel_reason": "customer" if number % 7 == 0 else None,
        "closed_at": None,
        "currency": "EUR",
        "presentment_currency": "EUR",
        "total_price": money(total(action)),
        "subtotal_price": money(total(action)),
        "total_line_items_price": money(total(action)),
        "total_discounts": "0.00",
        "total_tax": "0.00",
        "total_price_set": {"shop_money": {"amount": money(total(action)), "currency_code": "EUR"}},
        "taxes_included": True,
        "test": False,
        "source_name": "web",
        "landing_site": "/products/p1",
        "referring_site": "",
        "financial_status": "paid",
        "fulfillment_status": None,
        "checkout_id": 901_414_060,
        "cart_token": "68778783ad298f1c80c3bafcddeea02f",
        "discount_codes": [],
        "note_attributes": [],
        "customer": customer if action.user else None,
        "shipping_address": {"name": "Ann Example", "city": "Bonn", "country_code": "DE", "province_code": None},
        "line_items": [line(product, index) for index, product in enumerate(action.products)],
        "shipping_lines": [],
    }


def orders(actions):
    return [order(action, number) for number, action in enumerate(actions)]
