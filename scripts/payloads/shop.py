"""What people do in a shop: the same for every library, with what decoders stumble over."""

import dataclasses
import datetime
import random
import uuid

# Every event of a run is within some hours of this.
START = datetime.datetime(2026, 1, 5, 10, 0, 0, tzinfo=datetime.timezone.utc)

CATEGORIES = ["Games", "Küche & Bad", "本", 'The "best"']


@dataclasses.dataclass
class Product:
    product_id: str
    name: str
    category: str
    price: float
    quantity: int


@dataclasses.dataclass
class Action:
    """One thing that somebody did."""

    id: str
    what: str
    # None for somebody who is not signed in.
    user: str | None
    device: str
    when: datetime.datetime
    # What it was about; an order has several.
    products: list[Product]
    order: str | None = None


def product(random, number):
    category = CATEGORIES[number % len(CATEGORIES)]
    # Whole prices, small ones, and such as no binary fraction is.
    price = random.choice([10, 0.1, 1999.99, 1e-7, round(random.uniform(1, 100), 2)])
    return Product(f"p{number}", f"Product {number} 🎲\t\\", category, price, random.randint(1, 4))


def actions(count, seed=7):
    source = random.Random(seed)
    when = START
    found = []
    for number in range(count):
        # Some share their time with the one before, some have no fraction of a second.
        when += datetime.timedelta(milliseconds=source.choice([0, 1, 250, 1000, 12_345]))
        if source.random() < 0.1:
            when = when.replace(microsecond=0) + datetime.timedelta(seconds=1)
        user = source.randrange(max(count // 20, 3))
        what = source.choices(["Product Viewed", "Product Added", "Order Completed", "Page"], [6, 2, 1, 3])[0]
        products = [product(source, source.randrange(50)) for _ in range(3 if what == "Order Completed" else 1)]
        found.append(
            Action(
                id=str(uuid.UUID(int=source.getrandbits(128), version=4)),
                what=what,
                user=None if source.random() < 0.2 else f"user-{user}",
                device=str(uuid.UUID(int=user + 1)),
                when=when,
                products=products,
                order=f"o{number}" if what == "Order Completed" else None,
            )
        )
    return found


def total(action):
    return round(sum(product.price * product.quantity for product in action.products), 2)


def page(action):
    """The page of a product."""
    path = f"/products/{action.products[0].product_id}"
    return {"path": path, "url": f"https://shop.example{path}?ref=a%20b", "title": action.products[0].name, "search": "?ref=a%20b", "referrer": ""}


def properties(action):
    """The properties of an e-commerce event, with some that no contract has."""
    if action.what == "Order Completed":
        return {
            "order_id": action.order,
            "total": total(action),
            "revenue": total(action),
            "currency": "EUR",
            "coupon": None,
            "products": [dataclasses.asdict(product) for product in action.products],
        }
    own = {"own": {"of": ["this", {"shop": True}]}, "note": None}
    return {**dataclasses.asdict(action.products[0]), "currency": "EUR", **own}
